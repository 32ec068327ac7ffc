//! Walks over the records of one segment, and over damage.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::DiskFile;
use crate::finding::{Finding, What};
use crate::record::{HEADER, MARKER, RecordHeader, plausible_below};
use crate::window::{BLOCK, Window};

/// Damage within one segment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Damage {
    pub offset: u64,
    pub bytes: u64,
    pub what: What,
    pub lost: Range<u64>,
}

impl Damage {
    pub fn of(self, file: PathBuf) -> Finding {
        let Damage { offset, bytes, what, lost } = self;
        Finding { file, offset, bytes, what, lost, aside: None }
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// A record of this number; its payload is at hand.
    Record(u64),
    Damage(Damage),
    /// Nothing more up to the end given. There may be later.
    End,
}

/// A hole: bytes that are no record, whose end is not found yet.
#[derive(Debug)]
struct Hole {
    start: u64,
    what: What,
}

#[derive(Debug)]
pub(crate) struct Scan {
    window: Window,
    salt: u64,
    first: u64,
    /// Where to look next.
    at: u64,
    /// Number of the next record, if none is missing.
    expect: u64,
    /// Records before this one are passed over.
    from: u64,
    /// Whether there are records before `from`.
    jumps: bool,
    /// Numbers from here on belong to the next segment.
    below: u64,
    hole: Option<Hole>,
    /// The record before `at`, if it was passed over without a look at its payload.
    unseen: Option<u64>,
    /// What looked wrong was read anew: it may have been written meanwhile.
    doubted: bool,
    /// End of the last record found.
    whole: u64,
    payload: Range<u64>,
    pub records: u64,
}

impl Scan {
    /// Over a segment whose first record is `first`, for the records `from..below`.
    pub fn new(file: Arc<dyn DiskFile>, salt: u64, first: u64, from: u64, below: u64) -> Scan {
        Scan {
            window: Window::new(file),
            salt,
            first,
            at: HEADER,
            expect: first,
            from,
            jumps: from > first,
            below,
            hole: None,
            unseen: None,
            doubted: false,
            whole: HEADER,
            payload: 0..0,
            records: 0,
        }
    }

    /// Number of the next record, if none is missing.
    pub fn expect(&self) -> u64 {
        self.expect
    }

    /// Where the last record ends, and whatever follows begins.
    pub fn whole(&self) -> u64 {
        self.whole
    }

    /// Whether the disk did not give back all it was asked for.
    pub fn unreadable(&self) -> bool {
        self.window.unreadable > 0
    }

    /// The payload of the record that the last step found.
    pub fn payload(&mut self) -> io::Result<&[u8]> {
        let Range { start, end } = self.payload;
        self.window.get(start, end - start, end)
    }

    /// Goes on to the next record or piece of damage before byte `end`, up to which all was written.
    pub fn step(&mut self, end: u64) -> io::Result<Step> {
        loop {
            if let Some(hole) = self.hole.take() {
                match self.leave(hole, end)? {
                    Some(step) => return Ok(step),
                    None => continue,
                }
            }
            if self.at >= end {
                return Ok(Step::End);
            }
            let Some(header) = self.header(self.at, end)? else {
                if self.look_again() {
                    continue;
                }
                // What was passed over may have ended elsewhere than its header says.
                match self.unseen.take() {
                    Some(start) => self.open_hole(start, start + HEADER, What::Header),
                    // The first record may have moved into what was the segment header.
                    None if self.at == HEADER => self.open_hole(0, 0, What::Header),
                    None => self.open_hole(self.at, self.at + 1, What::Header),
                }
                continue;
            };
            if header.seq > self.expect {
                let lost = self.clip(self.expect..header.seq);
                self.expect = header.seq;
                if !lost.is_empty() {
                    return Ok(Step::Damage(Damage { offset: self.at, bytes: 0, what: What::Missing, lost }));
                }
            }
            let stop = self.at + header.size();
            if stop <= end && header.seq < self.from {
                self.unseen = Some(self.at);
                self.pass(stop);
                continue;
            }
            if stop <= end && crc32fast::hash(self.window.get(self.at + HEADER, u64::from(header.length), end)?) == header.payload {
                self.unseen = None;
                self.payload = self.at + HEADER..stop;
                self.pass(stop);
                self.records += 1;
                return Ok(Step::Record(header.seq));
            }
            if self.look_again() {
                continue;
            }
            if stop <= end && self.ends_as_said(header, stop, end)? {
                let (offset, bytes, lost) = (self.at, stop - self.at, header.seq..header.seq + 1);
                self.pass(stop);
                return Ok(Step::Damage(Damage { offset, bytes, what: self.blame(What::Payload), lost }));
            }
            self.open_hole(self.at, self.at + HEADER, What::Payload);
        }
    }

    /// What is missing at the end of a segment, when the next one begins with record `next`.
    ///
    /// Bytes that remain but miss no record are what an earlier life of the file, or a write that
    /// failed, left behind.
    pub fn finish(&self, end: u64, next: u64) -> Option<Damage> {
        let lost = self.clip(self.expect..next);
        let what = match &self.hole {
            _ if lost.is_empty() => return None,
            Some(hole) => self.blame(hole.what.clone()),
            None => What::Missing,
        };
        Some(Damage { offset: self.whole, bytes: end.saturating_sub(self.whole), what, lost })
    }

    /// Records at the end of a segment that are none of its own, as the next one begins with record
    /// `next`. A single one may be what a write that failed left behind.
    pub fn overlap(&mut self, end: u64, next: u64) -> io::Result<Option<Damage>> {
        let (mut at, mut seq) = (self.whole, next);
        while self.expect == next && at + HEADER <= end {
            let header = self.window.get(at, HEADER, end)?.first_chunk().and_then(RecordHeader::decode);
            let Some(header) = header.filter(|h| h.salt == self.salt && h.seq == seq) else { break };
            (at, seq) = (at + header.size(), seq + 1);
        }
        let found = Damage { offset: self.whole, bytes: at.min(end).saturating_sub(self.whole), what: What::Overlap, lost: 0..0 };
        Ok((seq > next + 1).then_some(found))
    }

    /// Bytes at the end that are no record.
    pub fn rest(&self, end: u64) -> u64 {
        end.saturating_sub(self.whole)
    }

    /// Whether those bytes are a record that was being written, or was one, and not what an earlier
    /// life of a reused file left behind. In a reused file that takes a header that is half readable.
    pub fn torn(&mut self, end: u64, reused: bool) -> io::Result<bool> {
        let rest = self.rest(end);
        if rest == 0 || !reused {
            return Ok(rest > 0);
        }
        let start = self.window.get(self.whole, rest.min(HEADER), end)?;
        let is = |range: Range<usize>, bytes: &[u8]| start.get(range) == Some(bytes);
        Ok(is(16..24, &self.salt.to_le_bytes()) || (is(0..4, &MARKER) && is(8..16, &self.expect.to_le_bytes())))
    }

    fn pass(&mut self, stop: u64) {
        self.at = stop;
        self.whole = stop;
        self.expect += 1;
        self.doubted = false;
    }

    fn look_again(&mut self) -> bool {
        self.window.clear();
        !std::mem::replace(&mut self.doubted, true)
    }

    fn open_hole(&mut self, start: u64, search: u64, what: What) {
        self.hole = Some(Hole { start, what });
        self.at = search;
    }

    fn blame(&self, what: What) -> What {
        if self.unreadable() { What::Unreadable } else { what }
    }

    fn clip(&self, lost: Range<u64>) -> Range<u64> {
        lost.start.max(self.from)..lost.end.max(self.from)
    }

    /// Numbers that a record at `at` may have.
    fn wanted(&self, at: u64) -> Range<u64> {
        self.expect..self.below.min(plausible_below(self.first, at))
    }

    /// The header at `at`, if it is one of this segment and of a record not seen yet.
    fn header(&mut self, at: u64, end: u64) -> io::Result<Option<RecordHeader>> {
        if at + HEADER > end {
            return Ok(None);
        }
        let header = self.window.get(at, HEADER, end)?.first_chunk().and_then(RecordHeader::decode);
        Ok(header.filter(|h| h.salt == self.salt && self.wanted(at).contains(&h.seq)))
    }

    /// Whether a record with a bad payload is as long as its header says, so that the next is where it
    /// should be: nothing was cut out or inserted.
    fn ends_as_said(&mut self, header: RecordHeader, stop: u64, end: u64) -> io::Result<bool> {
        if stop < end {
            return Ok(self.header(stop, end)?.is_some_and(|h| h.seq == header.seq + 1));
        }
        let at = self.at;
        self.at += HEADER;
        let within = self.search(end);
        self.at = at;
        Ok(within?.is_none())
    }

    /// Looks for the next record after a hole. None if the hole is before what was asked for.
    fn leave(&mut self, hole: Hole, end: u64) -> io::Result<Option<Step>> {
        let header = match self.search(end) {
            // An empty record in the place of the header would be overlooked once there is one behind it.
            Ok(Some(header)) if self.at + header.size() <= HEADER => {
                self.at += 1;
                self.hole = Some(hole);
                return Ok(None);
            }
            Ok(Some(header)) => header,
            other => {
                self.hole = Some(hole);
                return other.map(|_| Some(Step::End));
            }
        };
        let lost = self.clip(self.expect..header.seq);
        let damage = Damage { offset: hole.start, bytes: self.at - hole.start, what: self.blame(hole.what), lost };
        self.expect = header.seq;
        self.doubted = false;
        let before = self.jumps && header.seq <= self.from && damage.lost.is_empty();
        Ok((!before).then_some(Step::Damage(damage)))
    }

    /// Moves to the next header of a record not seen yet. Without one, to where a search goes on
    /// when more was written.
    fn search(&mut self, end: u64) -> io::Result<Option<RecordHeader>> {
        while self.at + HEADER <= end {
            let length = BLOCK.min(end - self.at);
            let (salt, wanted) = (self.salt, self.wanted(self.at));
            let block = self.window.get(self.at, length, end)?;
            let found = memchr::memmem::find_iter(block, &MARKER).find_map(|i| {
                let header = RecordHeader::decode(block.get(i..)?.first_chunk()?)?;
                (header.salt == salt && wanted.contains(&header.seq)).then_some((i, header))
            });
            if let Some((i, header)) = found {
                self.at += i as u64;
                return Ok(Some(header));
            }
            self.at += length - (HEADER - 1);
        }
        Ok(None)
    }
}
