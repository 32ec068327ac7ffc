//! The commands that put a journal in order, while no instance runs.

use std::collections::VecDeque;

use journal::{Cursors, inspect};

use super::place::Found;
use super::survey::{Consumer, Survey, for_each_own};
use super::{Forget, Look, Rewind};
use crate::terminal::{count, printable};
use crate::{Failure, print};

pub fn repair(args: &Look) -> Result<(), Failure> {
    let found = args.place.find()?;
    let _stopped = found.stopped()?;
    let mut findings = inspect::repair(&found.journal).map_err(|e| e.to_string())?;
    findings.extend(Cursors::open(&found.journal).1);
    if findings.is_empty() {
        return print("nothing is damaged\n");
    }
    let text: String = findings.iter().map(|f| format!("{}\n", printable(&f.to_string()))).collect();
    let lost = findings.iter().map(|f| f.records()).sum();
    print(&format!("{text}{} lost; nilo goes on with the rest\n", count(lost, "record")))
}

pub fn rewind(args: &Rewind) -> Result<(), Failure> {
    let found = args.place.find()?;
    let stopped = found.stopped()?;
    let survey = Survey::of(&found)?;
    let consumer = survey.consumer(&args.consumer)?;
    let (name, shown) = (consumer.name.as_str(), printable(&consumer.name));
    let target = target(args, &survey, consumer, &found)?;
    let (from, to) = (consumer.at.min(target), consumer.at.max(target));
    let mut messages = 0;
    for_each_own(&found.journal, name, from, |record, n| messages += if record < to { n } else { 0 })?;
    let these = count(messages, "message");
    let again = consumer.place.is_some_and(|place| place > target);
    if target > consumer.at && messages > 0 && !args.yes {
        return Err(Failure::Failed(format!("{these} that wait for {shown} below record {target} would be given up; --yes does it")));
    }
    if again && messages > 0 && !args.yes {
        return Err(Failure::Failed(format!(
            "{these} from record {target} on are part of the saved state of {shown} already, and would be a second time; --yes does it"
        )));
    }
    if again {
        stopped.set_place(name, target)?;
    }
    let mut cursors = Cursors::open(&found.journal).0;
    cursors.set(name, target);
    cursors.save().map_err(|e| format!("the cursors of {}: {e}", found.journal.display()))?;
    let what = match target.cmp(&consumer.at) {
        std::cmp::Ordering::Less if again => format!("takes {these} again, on top of its saved state"),
        std::cmp::Ordering::Less => format!("gets {these} again"),
        std::cmp::Ordering::Equal => "is there already".to_string(),
        std::cmp::Ordering::Greater => format!("gives up {these}"),
    };
    print(&format!("{shown} goes on at record {target} instead of {}: it {what}\n", consumer.at))
}

fn target(args: &Rewind, survey: &Survey, consumer: &Consumer, found: &Found) -> Result<u64, Failure> {
    match (args.to, args.by) {
        (Some(to), _) if (survey.first..=survey.end).contains(&to) => Ok(to),
        (Some(to), _) => {
            let (first, end) = (survey.first, survey.end);
            Err(Failure::Failed(format!(
                "record {to} is not in the journal: expected --to {first} to {end}, where {end} is the next to come"
            )))
        }
        (None, Some(by)) => {
            // As many as asked for, at most all.
            let mut last: VecDeque<u64> = VecDeque::new();
            for_each_own(&found.journal, &consumer.name, survey.first, |record, _| {
                if record < consumer.at {
                    last.push_back(record);
                    if last.len() as u64 > by {
                        last.pop_front();
                    }
                }
            })?;
            Ok(last.front().copied().unwrap_or(consumer.at))
        }
        (None, None) => Ok(survey.first),
    }
}

pub fn forget(args: &Forget) -> Result<(), Failure> {
    let found = args.place.find()?;
    let _stopped = found.stopped()?;
    let survey = Survey::of(&found)?;
    let consumer = survey.consumer(&args.consumer)?;
    let shown = printable(&consumer.name);
    if found.has(&consumer.name) == Some(true) {
        return Err(Failure::Failed(format!(
            "{shown} is configured; to give up what waits for it: nilo journal rewind {shown} --to {} --yes",
            survey.end
        )));
    }
    let these = count(consumer.messages, "message");
    if consumer.messages > 0 && !args.yes {
        return Err(Failure::Failed(format!("{these} that wait for {shown} would be given up; --yes does it")));
    }
    let mut cursors = Cursors::open(&found.journal).0;
    cursors.forget(&consumer.name);
    cursors.save().map_err(|e| format!("the cursors of {}: {e}", found.journal.display()))?;
    print(&format!("{shown} is forgotten, and {these} with it; nilo gives the room back when it runs\n"))
}
