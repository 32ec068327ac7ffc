use std::ops::Range;
use std::time::Duration;

use message::Text;

/// Finds records in a stream of bytes. One instance a stream.
pub trait Splitter {
    /// Looks for the next record at the start of `buf`, which holds everything read of the stream
    /// and not consumed yet. With `end` there will never be more: what is left is a record or
    /// garbage.
    ///
    /// When the answer is [`Split::More`], the next call gets the same bytes with more behind
    /// them; a splitter may remember how far it has looked.
    fn split(&mut self, buf: &[u8], end: bool) -> Split;

    /// Looks for all records of a block from `from` on, as [`Splitter::split`] would one after the
    /// other. It need not be written anew: here it is compiled for each splitter, so that a record
    /// costs no call through a table.
    fn split_all(&mut self, block: &[u8], from: usize, end: bool, found: &mut Found) {
        found.end = from;
        while found.end < block.len() {
            let at = found.end;
            match self.split(&block[at..], end) {
                Split::Record { record, end } => {
                    if let Some(signer) = self.signer() {
                        found.signers.push((found.records.len(), signer.into()));
                    }
                    found.record(at + record.start, record.len());
                    found.end = at + end;
                }
                Split::Garbage { end } => {
                    found.garbage += end as u64;
                    found.end = at + end;
                }
                Split::Refused { record, end, why } => {
                    found.refused.push((Text::raw(at + record.start, record.len()), why));
                    found.end = at + end;
                }
                Split::More => break,
            }
        }
    }

    /// How long bytes may wait for the rest of their record before `split` is called with `end`
    /// (multi-line records). `None`: as long as it takes.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// True when every read is a record of its own, such as a datagram.
    fn keeps_reads_apart(&self) -> bool {
        false
    }

    /// The verified signer of the record just returned.
    fn signer(&self) -> Option<&[u8]> {
        None
    }

    /// Adds to counters what `split` alone can count since the last call: name and amount.
    fn counts(&mut self, _add: &mut dyn FnMut(&'static str, u64)) {}
}

/// What a splitter found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Split {
    /// A record at `record`; the stream goes on at `end`.
    Record { record: Range<usize>, end: usize },
    /// Bytes up to `end` belong to no record and are discarded and counted.
    Garbage { end: usize },
    /// The record is refused (a bad signature): discarded up to `end`, counted, kept as a Reject.
    Refused { record: Range<usize>, end: usize, why: &'static str },
    /// No complete record yet.
    More,
}

/// What [`Splitter::split_all`] found in a block.
#[derive(Default, Debug)]
pub struct Found {
    /// The records, as slices of the raw block.
    pub records: Vec<Text>,
    /// Verified signers of records, by their places.
    pub signers: Vec<(usize, Box<[u8]>)>,
    /// Records that are refused, and why.
    pub refused: Vec<(Text, &'static str)>,
    /// Bytes that belong to no record.
    pub garbage: u64,
    /// Where the first record begins that is not complete yet.
    pub end: usize,
    /// Records longer than the limit, and bytes of them.
    pub oversized: u64,
    pub oversized_bytes: u64,
    /// Longest record taken. Bytes.
    limit: usize,
    /// Whether the beginning of a longer one is taken.
    cut: bool,
}

impl Found {
    /// Nothing yet; of records longer than `limit` bytes the beginning is taken if `cut`, or nothing.
    pub fn reset(&mut self, limit: usize, cut: bool) {
        self.records.clear();
        self.signers.clear();
        self.refused.clear();
        (self.garbage, self.end, self.oversized, self.oversized_bytes) = (0, 0, 0, 0);
        (self.limit, self.cut) = (limit, cut);
    }

    /// Adds a record.
    #[inline]
    pub fn record(&mut self, at: usize, len: usize) {
        if len <= self.limit {
            self.records.push(Text::raw(at, len));
        } else {
            self.oversize(at, len);
        }
    }

    #[cold]
    fn oversize(&mut self, at: usize, len: usize) {
        self.oversized += 1;
        self.oversized_bytes += len as u64;
        if self.cut {
            self.records.push(Text::raw(at, self.limit));
        } else if self.signers.last().is_some_and(|(place, _)| *place == self.records.len()) {
            self.signers.pop();
        }
    }
}
