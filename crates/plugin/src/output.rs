use std::ops::Range;
use std::time::Duration;

use message::{Batch, MessageRef};

use crate::{BuildCx, Clock, Fatal, Meter, Reject, Scripted, Stop};

/// Writes a message as bytes. Built on its output's thread.
pub trait Encoder {
    /// Appends the message to `into`. Whatever delimiter or framing the format has is included.
    ///
    /// # Errors
    /// A message that cannot be written in this format is a Reject; what was appended is taken back.
    fn encode(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject>;

    /// Its script, if it is made of one.
    fn script(&mut self) -> Option<&mut dyn Scripted> {
        None
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
    Retry {
        after: Option<Duration>,
        why: String,
    },
    /// Taken under this number; the verdict follows.
    Later(u64),
}

/// What an output said in one call.
#[derive(Default, Debug)]
pub struct Verdicts {
    /// On the messages offered, each in its place.
    pub now: Vec<Option<Verdict>>,
    /// On messages taken before, by their numbers.
    pub late: Vec<(Range<u64>, Verdict)>,
    /// The output cannot go on.
    pub fatal: Option<Fatal>,
}

impl Verdicts {
    /// Places for `n` messages.
    pub fn of(n: usize) -> Verdicts {
        Verdicts { now: vec![None; n], ..Verdicts::default() }
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
    /// `verdicts` has a place for every message of the batch.
    pub fn new(build: &'a BuildCx, clock: &'a Clock, stop: &'a Stop, meter: &'a Meter, verdicts: &'a mut Verdicts) -> OutCx<'a> {
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

    /// These messages were taken, under numbers from `first` on that no message had before; their
    /// verdicts follow in this call or a later one. Until then they are part of what is in flight,
    /// and go to the next instance should this one end.
    pub fn later(&mut self, range: Range<usize>, first: u64) {
        for (i, number) in range.zip(first..) {
            self.verdicts.now[i] = Some(Verdict::Later(number));
        }
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

    fn tell(&mut self, range: Range<usize>, verdict: &Verdict) {
        for slot in &mut self.verdicts.now[range] {
            *slot = Some(verdict.clone());
        }
    }
}
