//! What a directory holds, and how the log goes on from there.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::cursors;
use crate::disk::{Disk, DiskFile};
use crate::finding::{Finding, What};
use crate::log::{Active, Leftover, Sealed, State};
use crate::record::{HEADER, MARKER, MAX_RECORD, RecordHeader, SegmentHeader};
use crate::scan::{Damage, Scan, Step};
use crate::segment::{self, Segment};
use crate::window::{BLOCK, Window};

/// What the first bytes of a segment tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Identity {
    Good {
        salt: u64,
        reused: bool,
    },
    /// The header is damaged, but records say what their salt is.
    Headless {
        salt: u64,
    },
    /// The header never reached the disk, nor did any record whole.
    Blank,
    /// Nothing was written to this segment; what the file holds is of an earlier life.
    Empty,
    Unknown,
}

/// Looks at the file of the segment whose first record is `first` by its name.
pub(crate) fn identify(file: &Arc<dyn DiskFile>, first: u64, length: u64) -> io::Result<Identity> {
    let mut window = Window::new(file.clone());
    if length < HEADER {
        return Ok(if length == 0 { Identity::Empty } else { Identity::Blank });
    }
    let start: [u8; 32] = window.get(0, HEADER, length)?.first_chunk().copied().unwrap_or_default();
    match SegmentHeader::decode(&start) {
        Some(header) if header.first == first => return Ok(Identity::Good { salt: header.salt, reused: header.reused }),
        // A reused file whose new header never reached the disk.
        Some(header) if header.first < first => return Ok(Identity::Empty),
        Some(_) => return Ok(Identity::Unknown),
        None => {}
    }
    // As many as there may have been before something was cut out.
    let plausible = first..first.saturating_add((length + MAX_RECORD as u64) / HEADER);
    Ok(match first_salt(&mut window, length, plausible)? {
        Some(salt) => Identity::Headless { salt },
        None if start == [0; 32] => Identity::Blank,
        None => Identity::Unknown,
    })
}

/// The salt of the first record with a number of those that can be here.
fn first_salt(window: &mut Window, length: u64, plausible: Range<u64>) -> io::Result<Option<u64>> {
    let mut at = 0;
    while at + HEADER <= length {
        let size = BLOCK.min(length - at);
        let block = window.get(at, size, length)?;
        let found = memchr::memmem::find_iter(block, &MARKER)
            .filter_map(|i| RecordHeader::decode(block.get(i..)?.first_chunk()?))
            .find(|h| plausible.contains(&h.seq));
        if let Some(header) = found {
            return Ok(Some(header.salt));
        }
        at += size - (HEADER - 1);
    }
    Ok(None)
}

/// The files of a directory, by what they are.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Number of the first record and length, in order.
    pub segments: Vec<(u64, u64)>,
    pub spares: Vec<(String, u64)>,
    /// Segments that were set aside: number and length.
    pub aside: Vec<(u64, u64)>,
    /// Segments that the disk failed to synchronise.
    pub suspect: Vec<u64>,
    /// Left by a write that was under way.
    pub unfinished: Vec<String>,
}

pub(crate) fn list(disk: &dyn Disk) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for (name, length) in disk.list()? {
        if let Some(first) = segment::number(&name, ".log") {
            listing.segments.push((first, length));
        } else if let Some(first) = segment::number(&name, ".log.damaged") {
            listing.aside.push((first, length));
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
    // As many records as could have been in what nobody can read have had their numbers.
    let numbers = |(first, length): (u64, u64)| first.saturating_add(length / HEADER);
    let mut taken = listing.aside.into_iter().map(numbers).max().unwrap_or(0).max(cursors::highest(disk));
    let mut reused = false;
    let mut ahead = listing.segments.iter().copied().peekable();
    while let Some((first, length)) = ahead.next() {
        let name = segment::name(first);
        let file: Arc<dyn DiskFile> = Arc::from(disk.open(&name)?);
        let mut note = |what, bytes, lost| {
            findings.push(Damage { offset: 0, bytes, what, lost }.of(disk.path().join(&name)));
        };
        let identity = identify(&file, first, length)?;
        let found = match identity {
            Identity::Good { salt, .. } => Segment::found(first, salt, length),
            Identity::Headless { salt } => {
                note(What::SegmentHeader, HEADER, 0..0);
                Segment::found(first, salt, length)
            }
            Identity::Empty => Segment::fresh(first),
            Identity::Blank => {
                note(What::TornTail, length, 0..0);
                Segment::fresh(first)
            }
            Identity::Unknown => {
                taken = taken.max(numbers((first, length)));
                note(What::Segment, length, ahead.peek().map_or(0..0, |next| first..next.0));
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
    state.skip_to(taken);
    state.released = state.first();
    Ok((state, findings))
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
        length = end;
        state.active = Some(Active { segment, file, length });
    } else if end > HEADER {
        state.sealed.push_back(Sealed { segment, file: Some(file), length });
    } else {
        state.active = Some(Active { segment, file, length });
    }
    Ok(())
}
