//! Which files are the segments of the log, and which only have the names of such.
//!
//! A segment has its number in its name and in its header, and a salt that no other has. A file whose
//! header has another number is either one that is used again and whose new header never reached the
//! disk, or it was copied or renamed by somebody. The former has nothing of the log: its earlier life
//! was over before the oldest segment began. The latter must not cut short the segment before it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::finding::{Finding, What};
use crate::log::file_of;
use crate::record::{HEADER, MARKER, RecordHeader, SegmentHeader, plausible_below};
use crate::scan::Damage;
use crate::segment;
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
    /// The header is that of segment `of`. Of a genuine one nothing was written to this segment.
    Stale {
        of: u64,
        salt: u64,
    },
    /// There is not even a header.
    Emptied,
    Unknown,
}

/// A file with the name of the segment whose first record is `first`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub first: u64,
    pub length: u64,
    pub identity: Identity,
}

/// A file with the name of a segment that is none of this log, or not that one.
#[derive(Clone, Debug)]
pub(crate) struct Impostor {
    pub first: u64,
    pub length: u64,
    pub what: What,
    /// Numbers below this one may be in it and nowhere else.
    pub taken: u64,
}

impl Impostor {
    pub fn finding(&self, disk: &dyn Disk) -> Finding {
        Damage { offset: 0, bytes: self.length, what: self.what.clone(), lost: 0..0 }.of(file_of(disk, self.first))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Muster {
    /// In order.
    pub members: Vec<Member>,
    pub impostors: Vec<Impostor>,
}

/// As many records as could be in what nobody can read have had their numbers.
pub(crate) fn numbers((first, length): (u64, u64)) -> u64 {
    first.saturating_add(length / HEADER)
}

/// Looks at the first bytes of all files that are listed: number by the name, and length. Those that
/// are gone meanwhile are left out.
pub(crate) fn muster(disk: &dyn Disk, listed: &[(u64, u64)]) -> io::Result<Muster> {
    let mut all = Vec::with_capacity(listed.len());
    for &(first, length) in listed {
        match disk.open(&segment::name(first)) {
            Ok(file) => all.push(Member { first, length, identity: identify(&Arc::from(file), first, length)? }),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    let known = Known::of(&all);
    let mut muster = Muster::default();
    for member in all {
        let Member { first, length, .. } = member;
        match known.suspicion(&member) {
            None => muster.members.push(member),
            Some((what, taken)) => muster.impostors.push(Impostor { first, length, what, taken }),
        }
    }
    Ok(muster)
}

/// What tells the genuine from the others.
struct Known {
    names: BTreeSet<u64>,
    /// Whose salt it is.
    owners: BTreeMap<u64, u64>,
    /// Salts of headers that are not where they belong, and how many have them.
    strays: BTreeMap<u64, u32>,
    /// First record of the oldest segment.
    oldest: u64,
}

impl Known {
    fn of(all: &[Member]) -> Known {
        let (mut owners, mut strays) = (BTreeMap::new(), BTreeMap::new());
        // A header that fits its name goes before records; of two without one the first has all of them.
        for member in all {
            match member.identity {
                Identity::Good { salt, .. } => drop(owners.entry(salt).or_insert(member.first)),
                Identity::Stale { salt, .. } => *strays.entry(salt).or_insert(0) += 1,
                _ => {}
            }
        }
        for member in all {
            if let Identity::Headless { salt } = member.identity {
                owners.entry(salt).or_insert(member.first);
            }
        }
        let oldest = owners.values().copied().min().unwrap_or(u64::MAX);
        Known { names: all.iter().map(|m| m.first).collect(), owners, strays, oldest }
    }

    /// Why it is an impostor, and below which number it may have records that are nowhere else.
    fn suspicion(&self, member: &Member) -> Option<(What, u64)> {
        let own = (member.first, member.length);
        match member.identity {
            Identity::Good { salt, .. } | Identity::Headless { salt } => {
                (self.owners.get(&salt) != Some(&member.first)).then_some((What::Copy, 0))
            }
            Identity::Stale { salt, .. } if self.owners.contains_key(&salt) => Some((What::Copy, 0)),
            Identity::Stale { of, salt } => {
                let twice = self.strays.get(&salt).is_some_and(|n| *n > 1);
                let strange = twice || of > member.first || of > self.oldest || self.names.contains(&of);
                strange.then(|| (What::Misplaced, numbers(own).max(numbers((of, member.length)))))
            }
            Identity::Blank | Identity::Emptied | Identity::Unknown => None,
        }
    }
}

/// Looks at the file of the segment whose first record is `first` by its name.
pub(crate) fn identify(file: &Arc<dyn DiskFile>, first: u64, length: u64) -> io::Result<Identity> {
    let mut window = Window::new(file.clone());
    if length < HEADER {
        return Ok(if length == 0 { Identity::Emptied } else { Identity::Blank });
    }
    let start: [u8; 32] = window.get(0, HEADER, length)?.first_chunk().copied().unwrap_or_default();
    match SegmentHeader::decode(&start) {
        Some(header) if header.first == first => return Ok(Identity::Good { salt: header.salt, reused: header.reused }),
        Some(header) => return Ok(Identity::Stale { of: header.first, salt: header.salt }),
        None => {}
    }
    let plausible = first..plausible_below(first, length);
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
