//! What a directory holds, and how the log goes on from there.

use std::io;
use std::sync::Arc;

use crate::cursors;
use crate::disk::Disk;
use crate::finding::{Finding, What};
use crate::log::{Active, Leftover, Sealed, State, file_of};
use crate::muster::{Identity, Impostor, Member, Muster, muster, numbers};
use crate::record::HEADER;
use crate::scan::{Damage, Scan, Step};
use crate::segment::{self, Segment};

/// The files of a directory, by what they are.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Number of the first record and length, in order.
    pub segments: Vec<(u64, u64)>,
    pub spares: Vec<(String, u64)>,
    /// Segments that were set aside: number and length.
    pub aside: Vec<(u64, u64)>,
    /// Copies of segments that were set aside.
    pub copies: Vec<String>,
    /// Segments that the disk failed to synchronise.
    pub suspect: Vec<u64>,
    /// Left by a write that was under way.
    pub unfinished: Vec<String>,
}

/// How the name of a copy that was set aside ends. Its numbers are in use elsewhere.
const COPY: &str = ".log.copy.damaged";

pub(crate) fn list(disk: &dyn Disk) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for (name, length) in disk.list()? {
        if let Some(first) = segment::number(&name, ".log") {
            listing.segments.push((first, length));
        } else if let Some(first) = segment::number(&name, ".log.damaged") {
            listing.aside.push((first, length));
        } else if segment::number(&name, COPY).is_some() {
            listing.copies.push(name);
        } else if segment::number(&name, ".spare").is_some() {
            listing.spares.push((name, length));
        } else if let Some(first) = segment::number(&name, ".log.suspect") {
            listing.suspect.push(first);
        } else if segment::number(&name, ".log.new").is_some() {
            listing.unfinished.push(name);
        }
    }
    listing.segments.sort_unstable();
    listing.spares.sort_unstable();
    Ok(listing)
}

/// Brings a directory into order.
pub(crate) fn open(disk: &dyn Disk) -> io::Result<(State, Vec<Finding>)> {
    let listing = list(disk)?;
    let mut findings = Vec::new();
    let mut state = State { next: 1, changes: 1, ..State::default() };
    for name in listing.unfinished {
        // It is in nobody's way, if that fails.
        let _ = disk.remove(&name);
    }
    for (name, length) in listing.spares {
        state.bytes += length;
        state.spares.push(Leftover { name, length, reusable: true });
    }
    let Muster { members, impostors } = muster(disk, &listing.segments)?;
    let mut taken = listing.aside.into_iter().map(numbers).max().unwrap_or(0);
    for impostor in &impostors {
        taken = taken.max(impostor.taken);
        findings.push(turn_out(disk, impostor));
    }
    let mut reused = false;
    let mut ahead = members.into_iter().peekable();
    while let Some(Member { first, length, identity }) = ahead.next() {
        let next = ahead.peek().map_or(first, |next| next.first);
        let mut note = |what, bytes, lost| findings.push(Damage { offset: 0, bytes, what, lost }.of(file_of(disk, first)));
        let found = match identity {
            Identity::Good { salt, .. } => Segment::found(first, salt, length),
            Identity::Headless { salt } => {
                note(What::SegmentHeader, HEADER, 0..0);
                Segment::found(first, salt, length)
            }
            Identity::Stale { .. } => Segment::fresh(first),
            Identity::Emptied => {
                note(What::Emptied, 0, first..next);
                Segment::fresh(first)
            }
            Identity::Blank => {
                note(What::TornTail, length, 0..0);
                Segment::fresh(first)
            }
            Identity::Unknown => {
                taken = taken.max(numbers((first, length)));
                note(What::Segment, length, first..next);
                let name = segment::name(first);
                let aside = format!("{name}.damaged");
                if let (Ok(()), Some(finding)) = (disk.rename(&name, &aside), findings.last_mut()) {
                    finding.aside = Some(disk.path().join(aside));
                }
                continue;
            }
        };
        reused = matches!(identity, Identity::Good { reused: true, .. });
        state.bytes += length;
        state.sealed.push_back(Sealed { segment: Arc::new(found), file: None, length });
    }
    go_on(disk, &mut state, &mut findings, reused)?;
    for segment in state.segments().filter(|s| s.end() > 0 && listing.suspect.contains(&s.first)) {
        segment.set_suspect();
    }
    state.durable = state.first();
    if let Some((lowest, highest)) = cursors::span(disk) {
        findings.extend(state.missing_end(disk, Some(lowest), highest));
    }
    state.skip_to(taken);
    state.released = state.first();
    Ok((state, findings))
}

/// Sets aside what is none of the log's segments.
fn turn_out(disk: &dyn Disk, impostor: &Impostor) -> Finding {
    let name = segment::name(impostor.first);
    let aside = if impostor.what == What::Copy { name.replace(".log", COPY) } else { format!("{name}.damaged") };
    let mut finding = impostor.finding(disk);
    finding.aside = disk.rename(&name, &aside).is_ok().then(|| disk.path().join(aside));
    finding
}

/// Reads the last segment to find where it ends, and makes it the active one.
fn go_on(disk: &dyn Disk, state: &mut State, findings: &mut Vec<Finding>, reused: bool) -> io::Result<()> {
    let Some(Sealed { segment, mut length, .. }) = state.sealed.pop_back() else { return Ok(()) };
    let file = segment.open(disk)?;
    state.next = segment.first;
    if segment.end() == 0 {
        state.active = Some(Active { segment, file, length });
        return Ok(());
    }
    let path = disk.path().join(segment.name());
    let mut scan = Scan::new(file.clone(), segment.salt, segment.first, segment.first, u64::MAX);
    loop {
        match scan.step(length)? {
            Step::Record(_) => {}
            Step::Damage(d) => findings.push(d.of(path.clone())),
            Step::End => break,
        }
    }
    state.next = scan.expect();
    // Without a record not even the header counts: the segment has to keep its name to itself.
    let end = if scan.whole() > HEADER { scan.whole() } else { 0 };
    segment.set_end(end);
    let (rest, torn) = (scan.rest(length), scan.torn(length, reused)?);
    if !torn && !scan.unreadable() {
        state.active = Some(Active { segment, file, length });
        return Ok(());
    }
    let what = if scan.unreadable() { What::Unreadable } else { What::TornTail };
    findings.push(Damage { offset: scan.whole(), bytes: rest, what, lost: 0..0 }.of(path));
    // What the disk may give back another time is not cut off.
    if !scan.unreadable() && file.truncate(end).is_ok() {
        state.bytes -= length - end;
        length = segment.begin(&*file, end);
        state.bytes += length - end;
        state.active = Some(Active { segment, file, length });
    } else if end > HEADER {
        state.sealed.push_back(Sealed { segment, file: Some(file), length });
    } else {
        state.active = Some(Active { segment, file, length });
    }
    Ok(())
}
