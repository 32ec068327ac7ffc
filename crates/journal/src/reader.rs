//! Reading along.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::finding::{Finding, What};
use crate::log::{Log, file_of};
use crate::scan::{Damage, Scan, Step};
use crate::segment::Segment;

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub seq: u64,
    pub bytes: Vec<u8>,
}

/// Findings kept for [`Reader::take_findings`]; more are only counted.
const MAX_FINDINGS: usize = 1000;

/// Reads records in order, over damage, and sees what is appended later.
#[derive(Debug)]
pub struct Reader {
    log: Arc<Log>,
    /// Number of the next record, if none is missing.
    next: u64,
    place: Option<Place>,
    findings: Vec<Finding>,
    lost: u64,
}

/// The segment that is being read.
#[derive(Debug)]
struct Place {
    segment: Arc<Segment>,
    scan: Scan,
}

impl Reader {
    pub(crate) fn new(log: Arc<Log>, from: u64) -> Reader {
        Reader { log, next: from, place: None, findings: Vec::new(), lost: 0 }
    }

    /// Number of the record that the next call looks for.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// What was found since the last call: damage that was skipped, other than what opening the log or
    /// [`Journal::skip_to`](crate::Journal::skip_to) told already. At most 1000 are kept.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// Records that damage has cost this reader so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The next record, or None when there is none yet.
    ///
    /// # Errors
    /// When a file cannot be opened or read, other than that the disk does not give back single
    /// blocks, which counts as damage. It may be tried again.
    #[expect(clippy::should_implement_trait, reason = "None is no end: there may be more later")]
    pub fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let Some(place) = &mut self.place else {
                if self.enter(None)? {
                    continue;
                }
                return Ok(None);
            };
            let end = place.segment.end();
            match place.scan.step(end)? {
                Step::Record(seq) => {
                    self.next = seq + 1;
                    let bytes = place.scan.payload()?.to_vec();
                    return Ok(Some(Record { seq, bytes }));
                }
                Step::Damage(damage) => {
                    self.next = self.next.max(place.scan.expect());
                    let first = place.segment.first;
                    self.note(first, damage);
                }
                Step::End => {
                    let after = place.segment.first + 1;
                    let sealed = self.log.lock().segments().any(|s| s.first >= after);
                    // Once there is a next one, this one's end is final.
                    if place.segment.end() != end {
                        continue;
                    }
                    if !sealed || !self.enter(Some(after))? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Goes to the segment with the next record, or to the first from record `after` on.
    fn enter(&mut self, after: Option<u64>) -> io::Result<bool> {
        let (segment, file, below, released) = {
            let state = self.log.lock();
            let found = match after {
                Some(after) => state.segments().find(|s| s.first >= after),
                None => state.segments().rfind(|s| s.first <= self.next).or(state.segments().next()),
            };
            let Some(segment) = found.cloned() else { return Ok(false) };
            let below = state.segments().find(|s| s.first > segment.first).map_or(u64::MAX, |s| s.first);
            (segment.clone(), segment.open(&*self.log.disk), below, state.released)
        };
        if let Some(Place { segment: left, mut scan }) = self.place.take() {
            if let Some(mut damage) = scan.finish(left.end(), segment.first) {
                damage.lost.start = damage.lost.start.max(released);
                if !damage.lost.is_empty() {
                    self.note(left.first, damage);
                }
            } else if let Ok(Some(damage)) = scan.overlap(left.end(), segment.first) {
                self.note(left.first, damage);
            }
        }
        self.next = self.next.max(segment.first);
        let file = match file {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound && below != u64::MAX => {
                // Taken away by somebody else.
                self.note(segment.first, Damage { offset: 0, bytes: segment.end(), what: What::Missing, lost: self.next..below });
                self.next = below;
                return Ok(true);
            }
            Err(e) => return Err(e),
        };
        let scan = Scan::new(file, segment.salt, segment.first, self.next, below);
        self.place = Some(Place { segment, scan });
        Ok(true)
    }

    fn note(&mut self, first: u64, damage: Damage) {
        let finding = damage.of(file_of(&*self.log.disk, first));
        self.lost += finding.records();
        if self.findings.len() < MAX_FINDINGS && !self.log.lock().knows(&finding) {
            self.findings.push(finding);
        }
    }
}
