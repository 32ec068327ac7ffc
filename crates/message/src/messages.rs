use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::copy::Copied;
use crate::record::{Envelope, Field, LabelText, Rec};
use crate::{Datum, Header, Label, MessageMut, MessageRef, Text, Value};

/// The messages of a batch under construction, without the raw block: what a decoder writes to
/// while it reads the raw block.
///
/// What messages have in common is stored once: the headers they share are an *envelope*, the name
/// and the representation of a field are a *label*. Decoders need not know: setters find the
/// envelope or label that was used last time.
#[derive(Debug)]
pub struct Messages {
    pub(crate) arena: Vec<u8>,
    pub(crate) recs: Vec<Rec>,
    pub(crate) envelopes: Vec<Envelope>,
    pub(crate) fields: Vec<Field>,
    pub(crate) labels: Vec<LabelText>,
    pub(crate) values: Vec<u64>,
    pub(crate) seed: u128,
    generation: u64,
    pub(crate) copied: Copied,
    /// The envelope of the next message.
    pub(crate) envelope: u32,
    /// What setting an envelope's header led to last time, by header.
    changes: [Change; 5],
    /// The label that the next field will have, if it is as with the message before.
    expected: u32,
}

/// With `text` in its place, envelope `from` is envelope `to`.
#[derive(Clone, Copy, Debug)]
struct Change {
    from: u32,
    text: Text,
    to: u32,
}

const NO_CHANGE: Change = Change { from: u32::MAX, text: Text::NONE, to: 0 };

/// Labels behind the expected one that are looked at, too: fields that a message lacks.
const SKIPPED: usize = 3;

/// A part of the envelope.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Type,
    Logger,
    EnvVersion,
    Hostname,
    Signer,
}

/// Each set of messages gets a number of its own, see [`Messages::generation`].
static GENERATION: AtomicU64 = AtomicU64::new(1);

impl Default for Messages {
    fn default() -> Self {
        let mut new = Messages {
            arena: Vec::new(),
            recs: Vec::new(),
            envelopes: Vec::new(),
            fields: Vec::new(),
            labels: Vec::new(),
            values: Vec::new(),
            seed: 0,
            generation: 0,
            copied: Copied::default(),
            envelope: 0,
            changes: [NO_CHANGE; 5],
            expected: 0,
        };
        new.clear();
        new
    }
}

impl Messages {
    /// Empties the set for its next use; memory is kept.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.recs.clear();
        self.envelopes.clear();
        self.envelopes.push(Envelope::default());
        self.envelope = 0;
        self.changes = [NO_CHANGE; 5];
        self.fields.clear();
        self.labels.clear();
        self.expected = 0;
        self.values.clear();
        self.copied.clear();
        self.generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        // SipHash with the process's random key: unpredictable enough for identities, no syscall.
        let half = |n: u64| {
            thread_local!(static KEY: RandomState = RandomState::new());
            KEY.with(|key| {
                let mut hasher = key.build_hasher();
                hasher.write_u64(n);
                hasher.finish()
            })
        };
        self.seed = u128::from(half(self.generation << 1)) << 64 | u128::from(half(self.generation << 1 | 1));
    }

    pub fn len(&self) -> usize {
        self.recs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.recs.is_empty()
    }

    /// A number no other batch has had. A decoder that keeps [`Text`]s or [`Label`]s of names it
    /// stored once stores them again when this changes.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Bytes that were copied into the arena so far.
    pub fn arena_bytes(&self) -> usize {
        self.arena.len()
    }

    /// Copies bytes into the arena.
    ///
    /// # Panics
    /// When the arena would exceed 2 GiB; records and batches are bounded far below.
    pub fn store(&mut self, bytes: &[u8]) -> Text {
        let at = self.arena.len();
        assert!(at + bytes.len() < (1 << 31) - 1, "a batch's arena is limited to 2 GiB");
        self.arena.extend_from_slice(bytes);
        Text::arena(at, bytes.len())
    }

    /// Lets `write` append to the arena and returns what it appended.
    pub fn store_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Text {
        let at = self.arena.len();
        write(&mut self.arena);
        assert!(self.arena.len() >= at && self.arena.len() < (1 << 31) - 1, "a batch's arena is limited to 2 GiB");
        Text::arena(at, self.arena.len() - at)
    }

    /// Stores a value that was read elsewhere.
    pub fn datum(&mut self, value: Value<'_>) -> Datum {
        match value {
            Value::String(s) => Datum::String(self.store(s)),
            Value::Bytes(s) => Datum::Bytes(self.store(s)),
            Value::Integer(n) => Datum::Integer(n),
            Value::Double(n) => Datum::Double(n),
            Value::Bool(b) => Datum::Bool(b),
        }
    }

    /// A label for fields with this name and representation (`Text::NONE`: none), for
    /// [`MessageMut::add_labelled`]. It is of this batch, see [`Messages::generation`].
    pub fn label(&mut self, name: Text, representation: Text) -> Label {
        self.labels.push(LabelText { name, representation });
        Label(self.labels.len() as u32 - 1)
    }

    /// As [`Messages::label`]. Messages made by one decoder have the same fields in the same order,
    /// so the label is most likely the one behind that of the field before.
    #[inline]
    pub(crate) fn find_label(&mut self, name: Text, representation: Text) -> Label {
        let wanted = LabelText { name, representation };
        let at = self.expected as usize;
        let candidates = self.labels.get(at..).unwrap_or_default();
        let label = match candidates.iter().take(1 + SKIPPED).position(|l| *l == wanted) {
            Some(skipped) => Label((at + skipped) as u32),
            None => self.label(name, representation),
        };
        self.expected = label.0 + 1;
        label
    }

    /// From here on, messages start with nothing set and share no envelope with earlier ones.
    /// Returns a mark for [`Messages::fill`].
    pub fn begin(&mut self) -> u32 {
        let unused = self.envelope as usize + 1 == self.envelopes.len()
            && self.envelopes[self.envelope as usize] == Envelope::default()
            && self.recs.last().is_none_or(|r| r.envelope < self.envelope);
        if !unused {
            self.envelopes.push(Envelope::default());
            self.envelope = self.envelopes.len() as u32 - 1;
        }
        self.envelope
    }

    /// Fills in Type, Logger and Hostname of the messages since `mark`, as far as they are open.
    pub fn fill(&mut self, mark: u32, type_: Text, logger: Text, hostname: Text) {
        for envelope in &mut self.envelopes[mark as usize..] {
            for (text, default) in [(&mut envelope.type_, type_), (&mut envelope.logger, logger), (&mut envelope.hostname, hostname)] {
                if text.is_none() {
                    *text = default;
                }
            }
        }
        self.changes = [NO_CHANGE; 5];
    }

    /// Replaces one part of the envelope of message `index`.
    #[inline]
    pub(crate) fn change_envelope(&mut self, index: usize, part: Part, text: Text) {
        let from = self.recs[index].envelope;
        let last = self.changes[part as usize];
        self.recs[index].envelope = if last.from == from && last.text == text { last.to } else { self.other_envelope(from, part, text) };
    }

    fn other_envelope(&mut self, from: u32, part: Part, text: Text) -> u32 {
        let mut new = self.envelopes[from as usize];
        *match part {
            Part::Type => &mut new.type_,
            Part::Logger => &mut new.logger,
            Part::EnvVersion => &mut new.env_version,
            Part::Hostname => &mut new.hostname,
            Part::Signer => &mut new.signer,
        } = text;
        let to = self.envelope_of(new);
        self.changes[part as usize] = Change { from, text, to };
        to
    }

    /// The place of an envelope: the last one, if that is the same, or a new one.
    pub(crate) fn envelope_of(&mut self, envelope: Envelope) -> u32 {
        if self.envelopes.last() != Some(&envelope) {
            self.envelopes.push(envelope);
        }
        self.envelopes.len() as u32 - 1
    }

    /// Starts a message with nothing set.
    #[inline]
    pub fn add(&mut self) -> MessageMut<'_> {
        self.recs.push(Rec { envelope: self.envelope, first_field: self.fields.len() as u32, ..Rec::default() });
        self.expected = 0;
        MessageMut::new(self, self.recs.len() - 1)
    }

    /// The message at `index`, for changes.
    pub fn message(&mut self, index: usize) -> MessageMut<'_> {
        assert!(index < self.recs.len());
        MessageMut::new(self, index)
    }

    /// Drops the messages from `len` on with their fields: what a decoder had begun of a record it then
    /// refused. Earlier messages must not have been changed since they were begun.
    pub fn truncate(&mut self, len: usize) {
        if let Some(first) = self.recs.get(len) {
            self.fields.truncate(first.first_field as usize);
            self.recs.truncate(len);
        }
    }

    /// Fills in the headers that message `index` leaves open with those of message `from`.
    pub fn inherit(&mut self, index: usize, from: usize) {
        let from = self.recs[from];
        let to = &mut self.recs[index];
        if to.timestamp == 0 {
            to.timestamp = from.timestamp;
        }
        if !to.has_severity {
            (to.severity, to.has_severity) = (from.severity, from.has_severity);
        }
        if !to.has_pid {
            (to.pid, to.has_pid) = (from.pid, from.has_pid);
        }
        let (own, other) = (self.envelopes[to.envelope as usize], self.envelopes[from.envelope as usize]);
        let or = |own: Text, other: Text| if own.is_none() { other } else { own };
        let (type_, logger, hostname) = (or(own.type_, other.type_), or(own.logger, other.logger), or(own.hostname, other.hostname));
        self.recs[index].envelope = self.envelope_of(Envelope { type_, logger, hostname, ..own });
    }

    /// Removes one message; those behind it move up. Its fields stay where they are: behind them may lie
    /// fields that earlier messages were given since.
    pub fn remove(&mut self, index: usize) {
        self.recs.remove(index);
    }

    /// Puts message `from` in the place of `to`, whose message is gone.
    pub fn put(&mut self, to: usize, from: usize) {
        self.recs[to] = self.recs[from];
    }

    /// Forgets the messages from `len` on, as [`Messages::remove`] does.
    pub fn forget(&mut self, len: usize) {
        self.recs.truncate(len);
    }

    /// Gives the messages from `first` on that have no Timestamp this one.
    pub fn stamp(&mut self, first: usize, timestamp: i64) {
        for rec in &mut self.recs[first..] {
            if rec.timestamp == 0 {
                rec.timestamp = timestamp;
            }
        }
    }

    /// Reads a message; `raw` is the raw block its texts point into.
    #[inline]
    pub fn view<'a>(&'a self, raw: &'a [u8], index: usize) -> MessageRef<'a> {
        MessageRef { raw, messages: self, rec: &self.recs[index], index }
    }

    /// The text of a header that is text.
    #[inline]
    pub(crate) fn text_header(&self, rec: &Rec, header: Header) -> Text {
        match header {
            Header::Payload => rec.payload,
            other => self.envelopes[rec.envelope as usize].text(other).unwrap_or(Text::NONE),
        }
    }

    /// Moves a message's fields to the end of the list, where more can be added: the fields of a
    /// message lie side by side.
    #[cold]
    pub(crate) fn move_fields(&mut self, index: usize) {
        let rec = &mut self.recs[index];
        let old = rec.fields();
        rec.first_field = self.fields.len() as u32;
        self.fields.extend_from_within(old);
    }

    /// Bytes of memory held, used or not.
    pub(crate) fn capacity(&self) -> usize {
        let shared = self.envelopes.capacity() * size_of::<Envelope>() + self.labels.capacity() * size_of::<LabelText>();
        let own = self.recs.capacity() * size_of::<Rec>() + self.fields.capacity() * size_of::<Field>();
        self.arena.capacity() + shared + own + self.values.capacity() * 8
    }

    pub(crate) fn bytes(&self) -> usize {
        let shared = self.envelopes.len() * size_of::<Envelope>() + self.labels.len() * size_of::<LabelText>();
        self.arena.len() + shared + self.recs.len() * size_of::<Rec>() + self.fields.len() * size_of::<Field>() + self.values.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use crate::{BatchBuilder, Value};

    #[test]
    fn removing_a_message_leaves_the_fields_of_others() {
        let mut b = BatchBuilder::default();
        b.add();
        b.add();
        b.message(0).add_integer(b"x", 1);
        b.messages().remove(1);
        b.add().add_integer(b"x", 2);
        let batch = b.finish();
        let x = |i: usize| batch.get(i).value(b"x", 0, 0);
        assert_eq!((batch.len(), x(0), x(1)), (2, Some(Value::Integer(1)), Some(Value::Integer(2))));
    }
}
