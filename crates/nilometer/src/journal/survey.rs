use std::collections::BTreeMap;
use std::path::Path;

use engine::stored::{Stored, place};
use journal::inspect::{Report, check, records};
use journal::{Cursors, Finding, Record};

use super::place::Found;
use crate::Failure;

/// What a journal holds, and for whom.
pub struct Survey {
    pub report: Report,
    /// By name.
    pub consumers: Vec<Consumer>,
    /// Of the file of cursors.
    pub findings: Vec<Finding>,
    /// Records that are whole and not understood: their numbers, and why.
    pub strange: Vec<(u64, String)>,
    /// Number of the first record that is there, and of the one that comes next.
    pub first: u64,
    pub end: u64,
}

/// A filter or output, and what waits for it.
#[derive(Clone, PartialEq, Debug)]
pub struct Consumer {
    pub name: String,
    /// Where it goes on: everything of its own below is accepted.
    pub at: u64,
    /// Of a filter, below which everything is part of its saved state.
    pub place: Option<u64>,
    /// Records with messages for it, these messages, and the records' bytes.
    pub records: u64,
    pub messages: u64,
    pub bytes: u64,
}

impl Survey {
    /// Reads everything.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(found: &Found) -> Result<Survey, Failure> {
        let report = check(&found.journal).map_err(|e| unreadable(&found.journal, &e))?;
        let (cursors, findings) = Cursors::look(&found.journal);
        let first = report.segments.first().map_or(1, |s| s.first);
        let ends = report.segments.iter().map(|s| s.last.map_or(s.first, |last| last + 1)).chain(cursors.iter().map(|(_, at)| at));
        let end = ends.max().unwrap_or(1).max(first);
        let consumer = |name: &str, cursor: u64| {
            let place = place(&found.state, name);
            let at = cursor.max(place.unwrap_or(0)).max(first);
            Consumer { name: name.to_string(), at, place, records: 0, messages: 0, bytes: 0 }
        };
        let mut known: BTreeMap<String, Consumer> = cursors.iter().map(|(name, at)| (name.to_string(), consumer(name, at))).collect();
        // Without any cursor nilo gives everybody what is there; else a consumer without one gets what comes.
        let from_start = known.is_empty();
        let from = known.values().map(|c| c.at).min().unwrap_or(0);
        let mut strange = Vec::new();
        for_each_record(&found.journal, from, |record| match Stored::parse(&record.bytes) {
            Ok(stored) => {
                for (name, selection) in stored.consumers {
                    if from_start && !known.contains_key(&name) {
                        known.insert(name.clone(), consumer(&name, 0));
                    }
                    if let Some(c) = known.get_mut(&name).filter(|c| c.at <= record.seq) {
                        c.records += 1;
                        c.messages += selection.len() as u64;
                        c.bytes += record.bytes.len() as u64;
                    }
                }
                Ok(())
            }
            Err(why) => {
                strange.push((record.seq, why));
                Ok(())
            }
        })?;
        Ok(Survey { report, consumers: known.into_values().collect(), findings, strange, first, end })
    }

    /// A consumer by its name.
    ///
    /// # Errors
    /// Who there is instead.
    pub fn consumer(&self, name: &str) -> Result<&Consumer, Failure> {
        let names = || self.consumers.iter().map(|c| c.name.as_str());
        self.consumers.iter().find(|c| c.name == name).ok_or_else(|| {
            let near = options::nearest(name, names()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let known = names().collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "nobody".to_string() } else { known };
            Failure::Failed(format!("{name} is not known to this journal, expected one of: {known}{near}"))
        })
    }
}

/// Calls for every record from number `from` on that can be read; what cannot is said by `check`.
///
/// # Errors
/// When a file cannot be read, and those of the call.
pub fn for_each_record(dir: &Path, from: u64, mut each: impl FnMut(Record) -> Result<(), Failure>) -> Result<Vec<Finding>, Failure> {
    let mut all = records(dir, from).map_err(|e| unreadable(dir, &e))?;
    let mut findings = Vec::new();
    while let Some(record) = all.next() {
        each(record.map_err(|e| unreadable(dir, &e))?)?;
        findings.append(&mut all.take_findings());
    }
    findings.append(&mut all.take_findings());
    Ok(findings)
}

/// Calls for every record of a consumer, with its number and how many messages it has for it.
///
/// # Errors
/// When a file cannot be read.
pub fn for_each_own(dir: &Path, consumer: &str, from: u64, mut each: impl FnMut(u64, u64)) -> Result<(), Failure> {
    for_each_record(dir, from, |record| {
        let stored = Stored::parse(&record.bytes).ok();
        if let Some((_, selection)) = stored.iter().flat_map(|s| &s.consumers).find(|(name, _)| name == consumer) {
            each(record.seq, selection.len() as u64);
        }
        Ok(())
    })
    .map(drop)
}

fn unreadable(dir: &Path, e: &std::io::Error) -> Failure {
    Failure::Failed(format!("journal {}: {e}", dir.display()))
}
