use std::ops::Range;
use std::time::Duration;

use message::{Batch, MessageRef};

use crate::{BuildCx, Clock, Meter, Reject, Stop};

/// Writes a message as bytes. Built on its output's thread.
pub trait Encoder {
    /// Appends the message to `into`. Whatever delimiter or framing the format has is included.
    ///
    /// # Errors
    /// A message that cannot be written in this format is a Reject; what was appended is taken back.
    fn encode(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject>;
}

/// Delivers encoded messages. Owns a thread.
///
/// An output holds no retry, batching or buffering code. It gives a verdict on every message of
/// the batch, and waits for the world only as long as its own timeout and never beyond a stop.
pub trait Output {
    /// Delivers the batch. For every item it calls one of [`OutCx::done`], [`OutCx::retry`] and
    /// [`OutCx::reject`]; items without a verdict are retried.
    fn write(&mut self, batch: &OutBatch<'_>, cx: &mut OutCx<'_>);

    /// How often [`Output::poll`] is wanted when there is nothing to write.
    fn every(&self) -> Option<Duration> {
        None
    }

    /// Something to do with time alone: rotate, reconnect.
    fn poll(&mut self, _cx: &mut OutCx<'_>) {}

    /// Orderly stop: everything written must be handed over before it returns.
    fn close(&mut self, _cx: &mut OutCx<'_>) {}

    /// Whether it wants encoded bytes. One that only looks at messages saves the encoding.
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
    bytes: &'a [u8],
    items: &'a [Item<'a>],
}

/// One message of an [`OutBatch`] as the engine lays it out.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    pub batch: &'a Batch,
    pub index: u32,
    /// End of its bytes; they begin where the previous item's end.
    pub end: usize,
}

/// A message and its bytes.
#[derive(Clone, Copy)]
pub struct OutItem<'a> {
    pub message: MessageRef<'a>,
    pub bytes: &'a [u8],
}

impl<'a> OutBatch<'a> {
    /// `items` end at ascending places of `bytes`, the last one at its end.
    pub fn new(bytes: &'a [u8], items: &'a [Item<'a>]) -> OutBatch<'a> {
        OutBatch { bytes, items }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn get(&self, i: usize) -> OutItem<'a> {
        let item = &self.items[i];
        OutItem { message: item.batch.get(item.index as usize), bytes: &self.bytes[self.start(i)..item.end] }
    }

    pub fn iter(&self) -> impl Iterator<Item = OutItem<'a>> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }

    /// The bytes of all messages, one behind the other.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of a range of messages.
    pub fn bytes_of(&self, range: Range<usize>) -> &'a [u8] {
        if range.is_empty() { b"" } else { &self.bytes[self.start(range.start)..self.items[range.end - 1].end] }
    }

    /// Number of leading messages that lie wholly within the first `n` bytes: what a partial write
    /// delivered.
    pub fn within(&self, n: usize) -> usize {
        self.items.partition_point(|item| item.end <= n)
    }

    fn start(&self, i: usize) -> usize {
        if i == 0 { 0 } else { self.items[i - 1].end }
    }
}

/// What became of one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Done,
    Reject(String),
    Retry { after: Option<Duration>, why: String },
}

/// What an output works with during a call, and where it tells its verdicts.
pub struct OutCx<'a> {
    pub build: &'a BuildCx,
    pub clock: &'a Clock,
    pub stop: &'a Stop,
    pub meter: &'a Meter,
    verdicts: &'a mut Vec<Option<Verdict>>,
}

impl<'a> OutCx<'a> {
    /// `verdicts` has a place for every message of the batch.
    pub fn new(
        build: &'a BuildCx,
        clock: &'a Clock,
        stop: &'a Stop,
        meter: &'a Meter,
        verdicts: &'a mut Vec<Option<Verdict>>,
    ) -> OutCx<'a> {
        OutCx { build, clock, stop, meter, verdicts }
    }

    /// These messages are delivered.
    pub fn done(&mut self, range: Range<usize>) {
        self.tell(range, &Verdict::Done);
    }

    /// The world did not take these messages; the engine offers them again, no sooner than `after`
    /// when the other side asked for that.
    pub fn retry(&mut self, range: Range<usize>, after: Option<Duration>, why: impl Into<String>) {
        self.tell(range, &Verdict::Retry { after, why: why.into() });
    }

    /// The other side will never take this message.
    pub fn reject(&mut self, i: usize, why: impl Into<String>) {
        self.tell(i..i + 1, &Verdict::Reject(why.into()));
    }

    fn tell(&mut self, range: Range<usize>, verdict: &Verdict) {
        for slot in &mut self.verdicts[range] {
            *slot = Some(verdict.clone());
        }
    }
}
