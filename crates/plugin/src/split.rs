use std::ops::Range;
use std::time::Duration;

/// Finds records in a stream of bytes. One instance a stream.
pub trait Splitter {
    /// Looks for the next record at the start of `buf`, which holds everything read of the stream
    /// and not consumed yet. With `end` there will never be more: what is left is a record or
    /// garbage.
    ///
    /// When the answer is [`Split::More`], the next call gets the same bytes with more behind
    /// them; a splitter may remember how far it has looked.
    fn split(&mut self, buf: &[u8], end: bool) -> Split;

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
