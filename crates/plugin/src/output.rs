use std::ops::Range;
use std::time::Duration;

use message::{Batch, MessageRef, Selection};

use crate::{BuildCx, Clock, Fatal, Meter, Reject, Scripted, Stop};

/// Writes a message as bytes. Built on its output's thread.
pub trait Encoder {
    /// Appends the message to `into`. Whatever delimiter or framing the format has is included.
    ///
    /// # Errors
    /// A message that cannot be written in this format is a Reject; what was appended is taken back.
    fn encode(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject>;

    /// Appends the selected messages, each of which ends at its place in `ends`; `refused` hears of those
    /// that cannot be written, by their indices in the batch. It need not be written anew: here it is
    /// compiled for each encoder, so that a message costs no call through a table.
    fn encode_all(&mut self, batch: &Batch, selection: &Selection, out: &mut Encoded, refused: &mut dyn FnMut(u32, Reject)) {
        for index in selection.iter() {
            match self.encode(batch.get(index), &mut out.bytes) {
                Ok(()) => out.ends.push(out.bytes.len()),
                Err(reject) => {
                    out.truncate(out.len());
                    refused(index as u32, reject);
                }
            }
        }
    }

    /// Its script, if it is made of one.
    fn script(&mut self) -> Option<&mut dyn Scripted> {
        None
    }
}

/// Encoded messages, one behind the other.
#[derive(Default, Debug)]
pub struct Encoded {
    pub bytes: Vec<u8>,
    /// Where the bytes of each message end.
    pub ends: Vec<usize>,
}

impl Encoded {
    /// Messages that are complete.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Where the bytes of a range of messages lie; nowhere when nothing was encoded.
    pub fn place(&self, range: Range<usize>) -> Range<usize> {
        if range.is_empty() || self.is_empty() {
            return 0..0;
        }
        (if range.start == 0 { 0 } else { self.ends[range.start - 1] })..self.ends[range.end - 1]
    }

    /// Keeps the first `len` messages.
    pub fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

/// Delivers encoded messages. Owns a thread.
///
/// An output holds no retry, batching or buffering code. It gives a verdict on every message of
/// the batch, and waits for the world only as long as its own timeout and never beyond a stop.
pub trait Output {
    /// Delivers the batch. For every item it calls one of [`OutCx::done`], [`OutCx::retry`],
    /// [`OutCx::reject`] and [`OutCx::later`]; items without a verdict are retried.
    fn write(&mut self, batch: &OutBatch<'_>, cx: &mut OutCx<'_>);

    /// How often [`Output::poll`] is wanted when there is nothing to write.
    fn every(&self) -> Option<Duration> {
        None
    }

    /// Something to do with time alone: rotate, reconnect, tell verdicts that were put off.
    fn poll(&mut self, _cx: &mut OutCx<'_>) {}

    /// Orderly stop: everything written must be handed over before it returns. Messages whose verdict
    /// was put off and is not told by then are offered again to the next instance.
    fn close(&mut self, _cx: &mut OutCx<'_>) {}

    /// Its script, if it is made of one.
    fn script(&mut self) -> Option<&mut dyn Scripted> {
        None
    }

    /// Whether it wants encoded bytes. One that only looks at messages saves the encoding, and needs
    /// no encoder.
    fn wants_bytes(&self) -> bool {
        true
    }

    /// Encoder used unless the configuration names one.
    fn default_encoder(&self) -> &'static str {
        "json"
    }
}

/// Encoded messages, in order.
pub struct OutBatch<'a> {
    len: usize,
    parts: &'a [Part<'a>],
    encoded: &'a Encoded,
}

/// Messages of an [`OutBatch`] that come from one batch.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    pub batch: &'a Batch,
    pub selection: &'a Selection,
    /// How many messages come before it.
    pub first: usize,
}

/// A message and its bytes.
#[derive(Clone, Copy)]
pub struct OutItem<'a> {
    pub message: MessageRef<'a>,
    pub bytes: &'a [u8],
}

impl<'a> OutBatch<'a> {
    /// The first `len` messages of `parts`, as they were encoded; `encoded` is empty where nobody wants bytes.
    pub fn new(len: usize, parts: &'a [Part<'a>], encoded: &'a Encoded) -> OutBatch<'a> {
        OutBatch { len, parts, encoded }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, i: usize) -> OutItem<'a> {
        assert!(i < self.len, "message {i} of {}", self.len);
        let part = self.parts.partition_point(|p| p.first <= i) - 1;
        self.item(&self.parts[part], i)
    }

    pub fn iter(&self) -> impl Iterator<Item = OutItem<'a>> + '_ {
        self.parts.iter().flat_map(|p| (p.first..p.first + p.selection.len()).map(|i| self.item(p, i))).take(self.len)
    }

    fn item(&self, part: &Part<'a>, i: usize) -> OutItem<'a> {
        OutItem { message: part.batch.get(part.selection.index(i - part.first)), bytes: self.bytes_of(i..i + 1) }
    }

    /// The bytes of all messages, one behind the other.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes_of(0..self.len)
    }

    /// The bytes of a range of messages.
    pub fn bytes_of(&self, range: Range<usize>) -> &'a [u8] {
        &self.encoded.bytes[self.encoded.place(range)]
    }

    /// Number of leading messages that lie wholly within the first `n` bytes: what a partial write
    /// delivered.
    pub fn within(&self, n: usize) -> usize {
        if self.encoded.is_empty() { self.len } else { self.encoded.ends.partition_point(|end| *end <= n).min(self.len) }
    }
}

/// What became of a message, or of several in a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Done,
    Reject(String),
    Retry {
        after: Option<Duration>,
        why: String,
    },
    /// Taken under this number, those behind it under the following ones; the verdict follows.
    Later(u64),
}

/// What an output said in one call.
#[derive(Default, Debug)]
pub struct Verdicts {
    /// Messages it was offered.
    offered: usize,
    /// On these, in the order it was said.
    told: Vec<(Range<usize>, Verdict)>,
    /// On messages taken before, by their numbers.
    pub late: Vec<(Range<u64>, Verdict)>,
    /// The output cannot go on.
    pub fatal: Option<Fatal>,
}

impl Verdicts {
    /// Nothing said yet about `n` messages.
    pub fn of(n: usize) -> Verdicts {
        Verdicts { offered: n, ..Verdicts::default() }
    }

    pub fn offered(&self) -> usize {
        self.offered
    }

    /// Notes a verdict; what was said about these messages before no longer counts.
    ///
    /// # Panics
    /// When there are not as many messages.
    pub fn tell(&mut self, range: Range<usize>, verdict: Verdict) {
        assert!(range.end <= self.offered, "a verdict on message {} of {}", range.end, self.offered);
        if range.is_empty() {
            return;
        }
        // An output that goes from one message to the next makes one range of it all the same.
        match self.told.last_mut() {
            Some((last, before)) if last.end == range.start && before.goes_on(last.len(), &verdict) => last.end = range.end,
            _ => self.told.push((range, verdict)),
        }
    }

    /// Refuses the first message offered, unless something was said.
    pub fn blame(&mut self, why: &str) {
        if self.told.is_empty() {
            self.tell(0..1, Verdict::Reject(why.to_string()));
        }
    }

    /// All messages offered in order, with their verdicts; `None` where nothing was said.
    pub fn in_order(&self) -> Vec<(Range<usize>, Option<Verdict>)> {
        let mut pieces = vec![(0..self.offered, None)];
        for (range, verdict) in &self.told {
            let first = pieces.partition_point(|(piece, _)| piece.end <= range.start);
            let last = pieces.partition_point(|(piece, _)| piece.start < range.end) - 1;
            let (left, right) = (&pieces[first], &pieces[last]);
            let left = (left.0.start..range.start, left.1.clone());
            let right = (range.end..right.0.end, right.1.as_ref().map(|v: &Verdict| v.at(range.end.saturating_sub(right.0.start))));
            let new = [left, (range.clone(), Some(verdict.clone())), right];
            pieces.splice(first..=last, new.into_iter().filter(|(range, _)| !range.is_empty()));
        }
        pieces
    }
}

impl Verdict {
    /// Whether `next` says of the following message what this says of `len` messages.
    fn goes_on(&self, len: usize, next: &Verdict) -> bool {
        match (self, next) {
            (Verdict::Done, Verdict::Done) => true,
            (Verdict::Later(first), Verdict::Later(next)) => first + len as u64 == *next,
            _ => false,
        }
    }

    /// What it says of the `nth` message and those behind it.
    fn at(&self, nth: usize) -> Verdict {
        match self {
            Verdict::Later(first) => Verdict::Later(first + nth as u64),
            other => other.clone(),
        }
    }
}

/// What an output works with during a call, and where it tells its verdicts.
pub struct OutCx<'a> {
    pub build: &'a BuildCx,
    pub clock: &'a Clock,
    pub stop: &'a Stop,
    pub meter: &'a Meter,
    verdicts: &'a mut Verdicts,
}

impl<'a> OutCx<'a> {
    /// `verdicts` is about as many messages as the batch has.
    pub fn new(build: &'a BuildCx, clock: &'a Clock, stop: &'a Stop, meter: &'a Meter, verdicts: &'a mut Verdicts) -> OutCx<'a> {
        OutCx { build, clock, stop, meter, verdicts }
    }

    /// These messages are delivered.
    pub fn done(&mut self, range: Range<usize>) {
        self.verdicts.tell(range, Verdict::Done);
    }

    /// The world did not take these messages; the engine offers them again, no sooner than `after`
    /// when the other side asked for that.
    pub fn retry(&mut self, range: Range<usize>, after: Option<Duration>, why: impl Into<String>) {
        self.verdicts.tell(range, Verdict::Retry { after, why: why.into() });
    }

    /// The other side will never take this message.
    pub fn reject(&mut self, i: usize, why: impl Into<String>) {
        self.verdicts.tell(i..i + 1, Verdict::Reject(why.into()));
    }

    /// These messages were taken, under numbers from `first` on that no message had before; their
    /// verdicts follow in this call or a later one. Until then they are part of what is in flight,
    /// and go to the next instance should this one end.
    pub fn later(&mut self, range: Range<usize>, first: u64) {
        self.verdicts.tell(range, Verdict::Later(first));
    }

    /// The verdict on messages that were taken under these numbers; those that are not outstanding
    /// (any more) do no harm.
    pub fn settle(&mut self, numbers: Range<u64>, verdict: Verdict) {
        self.verdicts.late.push((numbers, verdict));
    }

    /// The output cannot go on: it is started again with back-off. The first message without a
    /// verdict is set aside when it happens at the same message again.
    pub fn fail(&mut self, why: Fatal) {
        self.verdicts.fatal.get_or_insert(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_a_message_counts() {
        let retry = || Verdict::Retry { after: None, why: "later".into() };
        let mut v = Verdicts::of(10);
        assert_eq!(v.in_order(), [(0..10, None)]);
        v.tell(0..8, Verdict::Later(100));
        v.tell(2..3, retry());
        v.tell(3..4, Verdict::Done);
        v.tell(4..5, Verdict::Done);
        v.tell(5..5, Verdict::Done);
        v.tell(7..9, Verdict::Reject("no".into()));
        let expected = [
            (0..2, Some(Verdict::Later(100))),
            (2..3, Some(retry())),
            (3..5, Some(Verdict::Done)),
            (5..7, Some(Verdict::Later(105))),
            (7..9, Some(Verdict::Reject("no".into()))),
            (9..10, None),
        ];
        assert_eq!(v.in_order(), expected);
        v.tell(0..10, Verdict::Done);
        assert_eq!(v.in_order(), [(0..10, Some(Verdict::Done))]);
        assert_eq!(Verdicts::of(0).in_order(), [(0..0, None)]);
    }

    #[test]
    fn messages_told_one_by_one_are_one_range() {
        let mut v = Verdicts::of(1000);
        (0..500).for_each(|i| v.tell(i..i + 1, Verdict::Done));
        (500..1000).for_each(|i| v.tell(i..i + 1, Verdict::Later(i as u64)));
        assert_eq!(v.in_order(), [(0..500, Some(Verdict::Done)), (500..1000, Some(Verdict::Later(500)))]);
    }
}
