//! Looking at a log from outside: what a command line shows. [`check`] and [`records`] only read,
//! and may do so while another process appends.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Dir, Disk, DiskFile, write_all};
use crate::finding::{Finding, What};
use crate::log::{Journal, OpenError, Settings, file_of};
use crate::reader::Record;
use crate::recover::{self, Identity, identify};
use crate::scan::{Damage, Scan, Step};
use crate::segment;

/// What one segment holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SegmentReport {
    pub file: PathBuf,
    /// Length of the file.
    pub bytes: u64,
    /// Number that its first record has, or will have.
    pub first: u64,
    /// Number of its last record. None if it has none.
    pub last: Option<u64>,
    /// Records that can be read.
    pub records: u64,
    pub findings: Vec<Finding>,
}

/// What a directory holds.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// In order.
    pub segments: Vec<SegmentReport>,
    /// Bytes in released files that wait for reuse.
    pub spare: u64,
    /// Segments that were set aside.
    pub aside: Vec<PathBuf>,
}

impl Report {
    /// Whatever is wrong, in order.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.segments.iter().flat_map(|s| &s.findings)
    }
}

/// A segment and how far it has been read.
#[derive(Debug)]
struct Place {
    file: PathBuf,
    first: u64,
    length: u64,
    /// Number of the first record of the next segment; `u64::MAX` if this is the last.
    below: u64,
    identity: Identity,
    scan: Scan,
    ended: bool,
}

enum Found {
    Record(u64),
    Finding(Finding),
    End,
}

impl Place {
    /// None if it was released meanwhile.
    fn open(disk: &dyn Disk, first: u64, length: u64, from: u64, below: u64) -> io::Result<Option<Place>> {
        let file: Arc<dyn DiskFile> = match disk.open(&segment::name(first)) {
            Ok(file) => Arc::from(file),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let identity = identify(&file, first, length)?;
        let (salt, length) = match identity {
            Identity::Good { salt, .. } | Identity::Headless { salt } => (salt, length),
            Identity::Empty | Identity::Blank | Identity::Unknown => (0, 0),
        };
        let scan = Scan::new(file, salt, first, from.max(first), below);
        Ok(Some(Place { file: file_of(disk, first), first, length, below, identity, scan, ended: false }))
    }

    fn finding(&self, damage: Damage) -> Found {
        Found::Finding(damage.of(self.file.clone()))
    }

    /// What is wrong with the header.
    fn opening(&self, length: u64) -> Option<Finding> {
        let (what, bytes) = match self.identity {
            Identity::Headless { .. } => (What::SegmentHeader, crate::record::HEADER),
            Identity::Unknown => (What::Segment, length),
            Identity::Blank => (What::TornTail, length),
            Identity::Good { .. } | Identity::Empty => return None,
        };
        let set_aside = self.identity == Identity::Unknown && self.below < u64::MAX;
        let lost = if set_aside { self.first..self.below } else { 0..0 };
        Some(Damage { offset: 0, bytes, what, lost }.of(self.file.clone()))
    }

    fn step(&mut self) -> io::Result<Found> {
        if self.ended {
            return Ok(Found::End);
        }
        let last = self.below == u64::MAX;
        Ok(match self.scan.step(self.length)? {
            Step::Record(seq) => Found::Record(seq),
            // Its writer may be at it.
            Step::Damage(d) if last && d.what == What::Payload && d.offset + d.bytes == self.length => {
                self.finding(Damage { what: What::TornTail, lost: 0..0, ..d })
            }
            Step::Damage(damage) => self.finding(damage),
            Step::End => {
                self.ended = true;
                let reused = matches!(self.identity, Identity::Good { reused: true, .. });
                if self.identity == Identity::Unknown {
                    Found::End
                } else if !last {
                    self.scan.finish(self.length, self.below).map_or(Found::End, |d| self.finding(d))
                } else if self.length > 0 && self.scan.torn(self.length, reused)? {
                    let (offset, bytes) = (self.scan.whole(), self.scan.rest(self.length));
                    self.finding(Damage { offset, bytes, what: What::TornTail, lost: 0..0 })
                } else {
                    Found::End
                }
            }
        })
    }

    /// Whether the file still is this segment: it may have been released, and reused, meanwhile.
    fn is_there(&self, disk: &dyn Disk) -> bool {
        let file = disk.open(&segment::name(self.first)).map(Arc::from);
        file.and_then(|file| identify(&file, self.first, self.length)).is_ok_and(|now| now == self.identity)
    }
}

/// First record, length and end of all segments with records from `from` on.
fn layout(segments: &[(u64, u64)], from: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    let next = segments.iter().skip(1).map(|s| s.0).chain([u64::MAX]);
    segments.iter().zip(next).map(|(s, next)| (s.0, s.1, next)).filter(move |s| s.2 > from)
}

/// Reads everything and tells what is there, and what is wrong with it.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn check(dir: &Path) -> io::Result<Report> {
    let disk = Dir::read_only(dir);
    let listing = recover::list(&disk)?;
    let mut report = Report {
        spare: listing.spares.iter().map(|s| s.1).sum(),
        aside: listing.aside.iter().map(|s| dir.join(format!("{}.damaged", segment::name(s.0)))).collect(),
        ..Report::default()
    };
    for (first, bytes, below) in layout(&listing.segments, 0) {
        let Some(mut place) = Place::open(&disk, first, bytes, 0, below)? else { continue };
        let mut findings = Vec::from_iter(place.opening(bytes));
        let mut last = None;
        loop {
            match place.step()? {
                Found::Record(seq) => last = Some(seq),
                Found::Finding(finding) => findings.push(finding),
                Found::End => break,
            }
        }
        if findings.is_empty() || place.is_there(&disk) {
            report.segments.push(SegmentReport { records: place.scan.records, file: place.file, bytes, first, last, findings });
        }
    }
    Ok(report)
}

/// The records of a log from number `from` on, over damage.
///
/// # Errors
/// When the directory cannot be read.
pub fn records(dir: &Path, from: u64) -> io::Result<Records> {
    let disk = Dir::read_only(dir);
    let ahead = layout(&recover::list(&disk)?.segments, from).collect();
    Ok(Records { disk, from, ahead, place: None, findings: Vec::new() })
}

/// Iterates over records; ends where the log ended when the iteration began.
#[derive(Debug)]
pub struct Records {
    disk: Dir,
    from: u64,
    ahead: VecDeque<(u64, u64, u64)>,
    place: Option<Place>,
    findings: Vec<Finding>,
}

impl Records {
    /// Damage that was skipped since the last call.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    fn advance(&mut self) -> io::Result<Option<Record>> {
        loop {
            let Some(place) = &mut self.place else {
                let Some((first, length, below)) = self.ahead.pop_front() else { return Ok(None) };
                self.place = Place::open(&self.disk, first, length, self.from, below)?;
                self.findings.extend(self.place.as_ref().and_then(|p| p.opening(length)));
                continue;
            };
            match place.step()? {
                Found::Record(seq) => return Ok(Some(Record { seq, bytes: place.scan.payload()?.to_vec() })),
                Found::Finding(finding) => self.findings.push(finding),
                Found::End => self.place = None,
            }
        }
    }
}

impl Iterator for Records {
    type Item = io::Result<Record>;

    /// After an error it goes on with the next segment.
    fn next(&mut self) -> Option<io::Result<Record>> {
        let found = self.advance();
        if found.is_err() {
            self.place = None;
        }
        found.transpose()
    }
}

/// Does what [`Journal::open`] would do, then reads everything and keeps a copy of all damaged bytes
/// in files `*.damaged` beside the segments. The segments stay as they are: readers skip the damage.
/// Not while another process has the log open.
///
/// # Errors
/// When the directory cannot be read or written.
pub fn repair(dir: &Path) -> Result<Vec<Finding>, OpenError> {
    let (journal, mut findings) = Journal::open(dir, Settings::default())?;
    drop(journal);
    let failed = |error| OpenError { path: dir.display().to_string(), error };
    let disk = Dir::writable(dir).map_err(failed)?;
    for segment in check(dir).map_err(failed)?.segments {
        for mut finding in segment.findings {
            if finding.bytes > 0 {
                let name = format!("{}.at-{}.damaged", segment::name(segment.first), finding.offset);
                keep(&disk, segment.first, &finding, &name).map_err(failed)?;
                finding.aside = Some(dir.join(name));
            }
            // What opening told of the last segment already, now with its copy.
            findings.retain(|f| (&f.file, f.offset, &f.what) != (&finding.file, finding.offset, &finding.what));
            findings.push(finding);
        }
    }
    Ok(findings)
}

fn keep(disk: &Dir, first: u64, finding: &Finding, name: &str) -> io::Result<()> {
    let from = disk.open(&segment::name(first))?;
    let to = disk.create(name)?;
    let (mut piece, mut done) = ([0; 64 << 10], 0);
    while done < finding.bytes {
        let wanted = piece.len().min((finding.bytes - done) as usize);
        // Bytes that the disk does not give back stay zero.
        let n = match from.read_at(&mut piece[..wanted], finding.offset + done) {
            Ok(0) => break,
            Ok(n) => n,
            Err(_) => {
                piece[..wanted].fill(0);
                wanted
            }
        };
        write_all(&*to, &mut [IoSlice::new(&piece[..n])], done)?;
        done += n as u64;
    }
    to.sync()
}
