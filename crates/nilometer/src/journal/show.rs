//! The commands that only read.

use std::fmt::Write;

use engine::stored::Stored;
use message::Selection;
use options::unit::show_size;
use serde_json::{Value, json};

use super::place::Found;
use super::survey::{Consumer, Survey, for_each_record};
use super::{Cat, List, Look};
use crate::cat::{Sink, parse};
use crate::registry::registry;
use crate::status::table;
use crate::terminal::{complain, count, printable};
use crate::{Failure, print};

pub fn list(args: &List) -> Result<(), Failure> {
    let found = args.place.find()?;
    let survey = Survey::of(&found)?;
    if args.json {
        return print(&format!("{:#}\n", json(&survey, &found)));
    }
    let mut text = segments(&survey);
    let _ = write!(text, "\n{}", consumers(&survey, &found));
    let damaged = survey.report.findings().chain(&survey.findings).count() + survey.strange.len();
    if damaged > 0 {
        let _ = writeln!(text, "\ndamaged in {}: see `nilo journal check`", count(damaged as u64, "place"));
    }
    print(&text)
}

fn segments(survey: &Survey) -> String {
    let mut rows = vec![["segment", "first", "last", "records", "size"].map(String::from).to_vec()];
    for s in &survey.report.segments {
        let name = s.file.file_name().unwrap_or_default().to_string_lossy();
        let last = s.last.map_or("-".to_string(), |last| last.to_string());
        rows.push(vec![printable(&name), s.first.to_string(), last, s.records.to_string(), show_size(s.bytes)]);
    }
    let report = &survey.report;
    let bytes: u64 = report.segments.iter().map(|s| s.bytes).sum();
    let mut text = table(&rows, &[1, 2, 3, 4]);
    let _ = write!(text, "{}, {}", count(report.segments.len() as u64, "segment"), show_size(bytes));
    if report.spare > 0 {
        let _ = write!(text, "; {} kept for reuse", show_size(report.spare));
    }
    let _ = writeln!(text, "; the next record is {}", survey.end);
    for file in &report.aside {
        let _ = writeln!(text, "set aside: {}", printable(&file.display().to_string()));
    }
    text
}

fn consumers(survey: &Survey, found: &Found) -> String {
    let mut rows = vec![["plugin", "at record", "records wait", "messages", "size", "note"].map(String::from).to_vec()];
    for c in &survey.consumers {
        let mut row = vec![printable(&c.name)];
        row.extend([c.at, c.records, c.messages].map(|n| n.to_string()));
        row.extend([show_size(c.bytes), note(c, found)]);
        rows.push(row);
    }
    table(&rows, &[1, 2, 3, 4])
}

fn note(c: &Consumer, found: &Found) -> String {
    let stranger = (found.has(&c.name) == Some(false)).then(|| "not configured any more".to_string());
    let state = c.place.map(|place| format!("its saved state has all below {place}"));
    stranger.into_iter().chain(state).collect::<Vec<_>>().join("; ")
}

fn json(survey: &Survey, found: &Found) -> Value {
    let segment = |s: &journal::inspect::SegmentReport| json!({ "file": s.file.to_string_lossy(), "first": s.first, "last": s.last, "records": s.records, "bytes": s.bytes });
    let consumer = |c: &Consumer| {
        json!({
            "id": c.name, "at": c.at, "records": c.records, "messages": c.messages, "bytes": c.bytes, "state_has_below": c.place,
            "configured": found.has(&c.name),
        })
    };
    json!({
        "segments": survey.report.segments.iter().map(segment).collect::<Vec<_>>(),
        "consumers": survey.consumers.iter().map(consumer).collect::<Vec<_>>(),
        "spare_bytes": survey.report.spare,
        "next": survey.end,
        "damaged": survey.report.findings().chain(&survey.findings).count() + survey.strange.len(),
    })
}

pub fn check(args: &Look) -> Result<(), Failure> {
    let found = args.place.find()?;
    let survey = Survey::of(&found)?;
    let mut damaged = 0;
    for finding in survey.report.findings().chain(&survey.findings) {
        print(&format!("{}\n", printable(&finding.to_string())))?;
        damaged += 1;
    }
    for (record, why) in &survey.strange {
        print(&format!("record {record} is not understood: {}\n", printable(why)))?;
        damaged += 1;
    }
    let records = survey.report.segments.iter().map(|s| s.records).sum();
    let mut text = format!("{} in {}\n", count(records, "record"), count(survey.report.segments.len() as u64, "segment"));
    for c in &survey.consumers {
        let _ = writeln!(text, "{}: {} in {}", waiting(c), count(c.messages, "message"), count(c.records, "record"));
    }
    print(&text)?;
    match damaged {
        0 => Ok(()),
        n => Err(Failure::Failed(format!(
            "the journal is damaged in {}; nilo goes on with the rest, `nilo journal repair` keeps a copy of the damaged bytes",
            count(n, "place")
        ))),
    }
}

fn waiting(c: &Consumer) -> String {
    format!("{} from record {} on", printable(&c.name), c.at)
}

pub fn cat(args: &Cat) -> Result<(), Failure> {
    let found = args.place.find()?;
    let mut sink = Sink::new(&registry(), parse(&args.matcher)?, args.format)?;
    let survey = Survey::of(&found)?;
    let wanted: Vec<&Consumer> = match &args.consumer {
        Some(name) => vec![survey.consumer(name)?],
        None => survey.consumers.iter().collect(),
    };
    let from = args.from.or(wanted.iter().map(|c| c.at).min()).unwrap_or(survey.end);
    // Whether a consumer's messages in this record are to be shown.
    let shown = |name: &str, record: u64| match (args.from, &args.consumer) {
        (Some(_), None) => true,
        (Some(_), Some(only)) => only == name,
        (None, _) => wanted.iter().any(|c| c.name == name && c.at <= record),
    };
    let mut strange = 0;
    let findings = for_each_record(&found.journal, from, |record| {
        let read = Stored::parse(&record.bytes).and_then(|stored| {
            let selection = union(stored.consumers.iter().filter(|(name, _)| shown(name, record.seq)).map(|(_, s)| s));
            if selection.is_empty() { Ok(None) } else { stored.batch().map(|batch| Some((batch, selection))) }
        });
        match read {
            Ok(None) => Ok(()),
            Ok(Some((batch, selection))) => batch.selected(&selection).try_for_each(|m| sink.take(m)),
            Err(why) => {
                complain(&format!("nilo: record {} is left out: {}", record.seq, printable(&why)));
                strange += 1;
                Ok(())
            }
        }
    })?;
    let written = sink.end()?;
    findings.iter().for_each(|f| complain(&format!("nilo: {}", printable(&f.to_string()))));
    match written && findings.is_empty() && strange == 0 {
        true => Ok(()),
        false => Err(Failure::Failed("not everything was read or written".to_string())),
    }
}

/// Messages that any of them selects.
fn union<'a>(selections: impl Iterator<Item = &'a Selection>) -> Selection {
    let mut all: Vec<u32> = selections.flat_map(|s| s.iter().map(|i| i as u32)).collect();
    all.sort_unstable();
    all.dedup();
    Selection::of(&all)
}
