//! Looking at a log from outside: what a command line shows. [`check`] and [`records`] only read,
//! and may do so while another process appends.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cursors;
use crate::disk::{Dir, Disk, DiskFile, write_all};
use crate::finding::{Finding, What};
use crate::log::{Journal, OpenError, Settings, file_of};
use crate::muster::{Identity, Member, Muster, identify, muster};
use crate::reader::Record;
use crate::recover;
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
    /// Of files that are no segments of this log, and of records missing at its end.
    pub others: Vec<Finding>,
}

impl Report {
    /// Whatever is wrong, in order.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.segments.iter().flat_map(|s| &s.findings).chain(&self.others)
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
    fn open(disk: &dyn Disk, member: Member, from: u64, below: u64) -> io::Result<Option<Place>> {
        let Member { first, length, identity } = member;
        let file: Arc<dyn DiskFile> = match disk.open(&segment::name(first)) {
            Ok(file) => Arc::from(file),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let (salt, length) = match identity {
            Identity::Good { salt, .. } | Identity::Headless { salt } => (salt, length),
            Identity::Stale { .. } | Identity::Emptied | Identity::Blank | Identity::Unknown => (0, 0),
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
            Identity::Emptied => (What::Emptied, 0),
            Identity::Good { .. } | Identity::Stale { .. } => return None,
        };
        let lost = if self.is_gone() && self.below < u64::MAX { self.first..self.below } else { 0..0 };
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
                if self.is_gone() {
                    Found::End
                } else if !last {
                    let missing = self.scan.finish(self.length, self.below);
                    let found = missing.map_or_else(|| self.scan.overlap(self.length, self.below), |d| Ok(Some(d)))?;
                    found.map_or(Found::End, |d| self.finding(d))
                } else if self.length > 0 && self.scan.torn(self.length, reused)? {
                    let (offset, bytes) = (self.scan.whole(), self.scan.rest(self.length));
                    self.finding(Damage { offset, bytes, what: What::TornTail, lost: 0..0 })
                } else {
                    Found::End
                }
            }
        })
    }

    /// Whether all that was in it is lost.
    fn is_gone(&self) -> bool {
        matches!(self.identity, Identity::Unknown | Identity::Emptied)
    }

    /// Whether the file still is this segment: it may have been released, and reused, meanwhile.
    fn is_there(&self, disk: &dyn Disk) -> bool {
        let file = disk.open(&segment::name(self.first)).map(Arc::<dyn DiskFile>::from);
        let now = file.and_then(|file| identify(&file, self.first, if self.length == 0 { file.length()? } else { self.length }));
        now.is_ok_and(|now| now == self.identity)
    }
}

/// All segments with records from `from` on, and where the next one begins.
fn layout(segments: &[Member], from: u64) -> impl Iterator<Item = (Member, u64)> {
    let next = segments.iter().skip(1).map(|s| s.first).chain([u64::MAX]);
    segments.iter().copied().zip(next).filter(move |s| s.1 > from)
}

/// Reads everything and tells what is there, and what is wrong with it.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn check(dir: &Path) -> io::Result<Report> {
    let disk = Dir::read_only(dir);
    // Before anything is listed: they move on as records come.
    let cursors = cursors::span(&disk);
    let listing = recover::list(&disk)?;
    let Muster { members, impostors } = muster(&disk, &listing.segments)?;
    let aside = listing.aside.iter().map(|s| format!("{}.damaged", segment::name(s.0)));
    let mut report = Report {
        spare: listing.spares.iter().map(|s| s.1).sum(),
        aside: aside.chain(listing.copies).map(|name| dir.join(name)).collect(),
        others: impostors.iter().map(|i| i.finding(&disk)).collect(),
        ..Report::default()
    };
    let (mut end, mut end_at) = (cursors.map_or(0, |c| c.0), 0);
    for (member, below) in layout(&members, 0) {
        let Member { first, length: bytes, .. } = member;
        let Some(mut place) = Place::open(&disk, member, 0, below)? else { continue };
        let mut findings = Vec::from_iter(place.opening(bytes));
        let mut last = None;
        loop {
            match place.step()? {
                Found::Record(seq) => last = Some(seq),
                Found::Finding(finding) => findings.push(finding),
                Found::End => break,
            }
        }
        (end, end_at) = (place.scan.expect(), if place.length == 0 { 0 } else { place.scan.whole() });
        if findings.is_empty() || place.is_there(&disk) {
            report.segments.push(SegmentReport { records: place.scan.records, file: place.file, bytes, first, last, findings });
        }
    }
    if let Some((_, highest)) = cursors.filter(|c| c.1 > end) {
        let last = members.last().map_or(end, |m| m.first);
        report.others.push(Damage { offset: end_at, bytes: 0, what: What::End, lost: end..highest }.of(file_of(&disk, last)));
    }
    Ok(report)
}

/// The records of a log from number `from` on, over damage.
///
/// # Errors
/// When the directory cannot be read.
pub fn records(dir: &Path, from: u64) -> io::Result<Records> {
    let disk = Dir::read_only(dir);
    let ahead = layout(&muster(&disk, &recover::list(&disk)?.segments)?.members, from).collect();
    Ok(Records { disk, from, ahead, place: None, findings: Vec::new() })
}

/// Iterates over records; ends where the log ended when the iteration began.
#[derive(Debug)]
pub struct Records {
    disk: Dir,
    from: u64,
    ahead: VecDeque<(Member, u64)>,
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
                let Some((member, below)) = self.ahead.pop_front() else { return Ok(None) };
                self.place = Place::open(&self.disk, member, self.from, below)?;
                self.findings.extend(self.place.as_ref().and_then(|p| p.opening(member.length)));
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
