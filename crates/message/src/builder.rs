use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::pool::Storage;
use crate::{Batch, Datum, Header, MessageRef, Pool, Span, Text, Ticket, Uuid, ValueType};

/// A message as stored: texts are offsets, fields are a range of the batch's field list.
#[derive(Clone, Default, Debug)]
pub(crate) struct Rec {
    pub timestamp: i64,
    pub uuid: Text,
    pub type_: Text,
    pub logger: Text,
    pub payload: Text,
    pub env_version: Text,
    pub hostname: Text,
    pub signer: Text,
    pub severity: Option<i32>,
    pub pid: Option<i32>,
    pub first_field: u32,
    pub field_count: u32,
    pub hops: u8,
}

impl Rec {
    pub fn fields<'a>(&self, all: &'a [Field]) -> &'a [Field] {
        &all[self.first_field as usize..(self.first_field + self.field_count) as usize]
    }

    pub fn text_header(&self, header: Header) -> Text {
        match header {
            Header::Type => self.type_,
            Header::Logger => self.logger,
            Header::Payload => self.payload,
            Header::EnvVersion => self.env_version,
            Header::Hostname => self.hostname,
            Header::Uuid | Header::Timestamp | Header::Severity | Header::Pid => Text::NONE,
        }
    }

    fn text_header_mut(&mut self, header: Header) -> Option<&mut Text> {
        match header {
            Header::Type => Some(&mut self.type_),
            Header::Logger => Some(&mut self.logger),
            Header::Payload => Some(&mut self.payload),
            Header::EnvVersion => Some(&mut self.env_version),
            Header::Hostname => Some(&mut self.hostname),
            Header::Uuid | Header::Timestamp | Header::Severity | Header::Pid => None,
        }
    }
}

/// A field as stored. With one value `bits` is the value, otherwise an index into the value list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub name: Text,
    pub representation: Text,
    pub bits: u64,
    pub count: u32,
    pub type_: ValueType,
}

/// The messages of a batch under construction, without the raw block: what a decoder writes to
/// while it reads the raw block.
#[derive(Debug)]
pub struct Messages {
    pub(crate) arena: Vec<u8>,
    pub(crate) recs: Vec<Rec>,
    pub(crate) fields: Vec<Field>,
    pub(crate) values: Vec<u64>,
    pub(crate) seed: u128,
    generation: u64,
}

/// Each set of messages gets a number of its own, see [`Messages::generation`].
static GENERATION: AtomicU64 = AtomicU64::new(1);

impl Default for Messages {
    fn default() -> Self {
        let mut new = Messages { arena: Vec::new(), recs: Vec::new(), fields: Vec::new(), values: Vec::new(), seed: 0, generation: 0 };
        new.clear();
        new
    }
}

impl Messages {
    /// Empties the set for its next use; memory is kept.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.recs.clear();
        self.fields.clear();
        self.values.clear();
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

    /// A number no other batch has had. A decoder that keeps [`Text`]s of names it stored once
    /// stores them again when this changes.
    pub fn generation(&self) -> u64 {
        self.generation
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

    /// Starts a message with nothing set.
    pub fn add(&mut self) -> MessageMut<'_> {
        self.recs.push(Rec {
            timestamp: 0,
            uuid: Text::NONE,
            type_: Text::NONE,
            logger: Text::NONE,
            payload: Text::NONE,
            env_version: Text::NONE,
            hostname: Text::NONE,
            signer: Text::NONE,
            severity: None,
            pid: None,
            first_field: self.fields.len() as u32,
            field_count: 0,
            hops: 0,
        });
        let index = self.recs.len() - 1;
        MessageMut { messages: self, index }
    }

    /// The message at `index`, for changes.
    pub fn message(&mut self, index: usize) -> MessageMut<'_> {
        assert!(index < self.recs.len());
        MessageMut { messages: self, index }
    }

    /// Drops the messages from `len` on: what a decoder had begun of a record it then refused.
    pub fn truncate(&mut self, len: usize) {
        if let Some(first) = self.recs.get(len) {
            self.fields.truncate(first.first_field as usize);
            self.recs.truncate(len);
        }
    }

    /// Fills in the headers that message `index` leaves open with those of message `from`.
    pub fn inherit(&mut self, index: usize, from: usize) {
        let from = self.recs[from].clone();
        let to = &mut self.recs[index];
        if to.timestamp == 0 {
            to.timestamp = from.timestamp;
        }
        let texts = [(&mut to.type_, from.type_), (&mut to.logger, from.logger), (&mut to.hostname, from.hostname)];
        for (text, other) in texts {
            if text.is_none() {
                *text = other;
            }
        }
        to.severity = to.severity.or(from.severity);
        to.pid = to.pid.or(from.pid);
    }

    /// Removes one message; those behind it move up.
    pub fn remove(&mut self, index: usize) {
        if index + 1 == self.len() {
            self.truncate(index);
        } else {
            self.recs.remove(index);
        }
    }

    /// Reads a message; `raw` is the raw block its texts point into.
    pub fn view<'a>(&'a self, raw: &'a [u8], index: usize) -> MessageRef<'a> {
        MessageRef { raw, messages: self, rec: &self.recs[index], index }
    }

    /// Moves a message's fields to the end of the list, where more can be added: the fields of a
    /// message lie side by side.
    #[cold]
    fn move_fields(&mut self, index: usize) {
        let rec = &mut self.recs[index];
        let old = rec.first_field as usize..(rec.first_field + rec.field_count) as usize;
        rec.first_field = self.fields.len() as u32;
        self.fields.extend_from_within(old);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.arena.len() + self.recs.len() * size_of::<Rec>() + self.fields.len() * size_of::<Field>() + self.values.len() * 8
    }
}

/// A message under construction or under transformation.
///
/// Setters come in two shapes: `set_type(&[u8])` copies, `set_type_text(Text)` points at bytes the
/// batch already holds. `Text::NONE` clears a header.
pub struct MessageMut<'a> {
    messages: &'a mut Messages,
    index: usize,
}

macro_rules! text_setters {
    ($($set:ident $set_text:ident $header:ident;)*) => {$(
        pub fn $set(&mut self, value: &[u8]) {
            let text = self.messages.store(value);
            self.$set_text(text);
        }

        pub fn $set_text(&mut self, value: Text) {
            self.rec().$header = value;
        }
    )*};
}

impl<'a> MessageMut<'a> {
    fn rec(&mut self) -> &mut Rec {
        &mut self.messages.recs[self.index]
    }

    /// Position in the batch.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The batch's store of messages, to put bytes in.
    pub fn messages(&mut self) -> &mut Messages {
        self.messages
    }

    text_setters! {
        set_type set_type_text type_;
        set_logger set_logger_text logger;
        set_payload set_payload_text payload;
        set_env_version set_env_version_text env_version;
        set_hostname set_hostname_text hostname;
        set_signer set_signer_text signer;
    }

    /// Sets or clears a text header by name; false for a header that is not text.
    pub fn set_text_header(&mut self, header: Header, value: Text) -> bool {
        self.rec().text_header_mut(header).map(|t| *t = value).is_some()
    }

    pub fn set_uuid(&mut self, uuid: Uuid) {
        let text = self.messages.store(&uuid.0);
        self.rec().uuid = text;
    }

    /// Nanoseconds since the UNIX epoch.
    pub fn set_timestamp(&mut self, ns: i64) {
        self.rec().timestamp = ns;
    }

    pub fn set_severity(&mut self, severity: i32) {
        self.rec().severity = Some(severity);
    }

    pub fn set_pid(&mut self, pid: i32) {
        self.rec().pid = Some(pid);
    }

    pub fn set_hops(&mut self, hops: u8) {
        self.rec().hops = hops;
    }

    pub fn timestamp(&self) -> i64 {
        self.messages.recs[self.index].timestamp
    }

    /// Whether a header is set.
    pub fn has(&self, header: Header) -> bool {
        self.messages.view(b"", self.index).has(header)
    }

    /// Adds a field with one value.
    #[inline]
    pub fn add(&mut self, name: Text, value: Datum) {
        self.add_in(name, Text::NONE, value);
    }

    /// Adds a field with one value and a representation, such as its unit.
    // Without the hint it stays a call that unpacks `value` again, which takes twice the time.
    #[inline(always)]
    pub fn add_in(&mut self, name: Text, representation: Text, value: Datum) {
        self.push(Field { name, representation, bits: value.to_bits(), count: 1, type_: value.type_() });
    }

    /// Adds a field. All `values` must be of `type_`.
    pub fn add_field(&mut self, name: Text, representation: Text, type_: ValueType, values: &[Datum]) {
        debug_assert!(values.iter().all(|v| v.type_() == type_));
        let bits = match values {
            [one] => one.to_bits(),
            many => {
                self.messages.values.extend(many.iter().map(|v| v.to_bits()));
                (self.messages.values.len() - many.len()) as u64
            }
        };
        self.push(Field { name, representation, bits, count: values.len() as u32, type_ });
    }

    #[inline(always)]
    fn push(&mut self, field: Field) {
        let m = &mut *self.messages;
        let rec = &m.recs[self.index];
        if (rec.first_field + rec.field_count) as usize != m.fields.len() {
            m.move_fields(self.index);
        }
        m.fields.push(field);
        m.recs[self.index].field_count += 1;
    }

    /// Adds a string field, copying name and value.
    pub fn add_string(&mut self, name: &[u8], value: &[u8]) {
        let (name, value) = (self.messages.store(name), self.messages.store(value));
        self.add(name, Datum::String(value));
    }

    pub fn add_integer(&mut self, name: &[u8], value: i64) {
        let name = self.messages.store(name);
        self.add(name, Datum::Integer(value));
    }

    pub fn add_double(&mut self, name: &[u8], value: f64) {
        let name = self.messages.store(name);
        self.add(name, Datum::Double(value));
    }

    pub fn add_bool(&mut self, name: &[u8], value: bool) {
        let name = self.messages.store(name);
        self.add(name, Datum::Bool(value));
    }

    /// Number of fields.
    pub fn field_count(&self) -> usize {
        self.messages.recs[self.index].field_count as usize
    }

    /// Replaces the values of field `nth` (in order of [`MessageRef::fields`]); name and
    /// representation stay.
    pub fn set_field_values(&mut self, nth: usize, type_: ValueType, values: &[Datum]) {
        let bits = match values {
            [one] => one.to_bits(),
            many => {
                self.messages.values.extend(many.iter().map(|v| v.to_bits()));
                (self.messages.values.len() - many.len()) as u64
            }
        };
        let field = self.field_mut(nth);
        field.bits = bits;
        field.count = values.len() as u32;
        field.type_ = type_;
    }

    /// Renames field `nth`.
    pub fn set_field_name(&mut self, nth: usize, name: Text) {
        self.field_mut(nth).name = name;
    }

    pub fn set_field_representation(&mut self, nth: usize, representation: Text) {
        self.field_mut(nth).representation = representation;
    }

    fn field_mut(&mut self, nth: usize) -> &mut Field {
        let rec = &self.messages.recs[self.index];
        assert!(nth < rec.field_count as usize);
        &mut self.messages.fields[rec.first_field as usize + nth]
    }

    /// Removes field `nth`, keeping the order of the others.
    pub fn remove_field(&mut self, nth: usize) {
        let m = &mut *self.messages;
        let rec = &mut m.recs[self.index];
        assert!(nth < rec.field_count as usize);
        let (at, end) = (rec.first_field as usize + nth, (rec.first_field + rec.field_count) as usize);
        m.fields.copy_within(at + 1..end, at);
        rec.field_count -= 1;
        // Only the last message's fields end the list; elsewhere one slot is left unused.
        if end == m.fields.len() {
            m.fields.pop();
        }
    }

    /// Copies everything of `from`, which may belong to another batch, over this message.
    pub fn copy_from(&mut self, from: MessageRef<'_>) {
        let index = self.index;
        let m = &mut *self.messages;
        let store = |m: &mut Messages, t: Text| if t.is_none() { t } else { m.store(from.text(t)) };
        m.recs[index] = Rec {
            uuid: m.store(&from.uuid().0),
            type_: store(m, from.rec.type_),
            logger: store(m, from.rec.logger),
            payload: store(m, from.rec.payload),
            env_version: store(m, from.rec.env_version),
            hostname: store(m, from.rec.hostname),
            signer: store(m, from.rec.signer),
            first_field: m.fields.len() as u32,
            field_count: 0,
            ..from.rec.clone()
        };
        for field in from.fields() {
            let name = self.messages.store(field.name());
            let representation = if field.representation().is_empty() { Text::NONE } else { self.messages.store(field.representation()) };
            let values: Vec<Datum> = field.values().map(|v| self.messages.datum(v)).collect();
            self.add_field(name, representation, field.type_(), &values);
        }
    }
}

impl Messages {
    /// Stores a value that was read elsewhere.
    pub fn datum(&mut self, value: crate::Value<'_>) -> Datum {
        use crate::Value;
        match value {
            Value::String(s) => Datum::String(self.store(s)),
            Value::Bytes(s) => Datum::Bytes(self.store(s)),
            Value::Integer(n) => Datum::Integer(n),
            Value::Double(n) => Datum::Double(n),
            Value::Bool(b) => Datum::Bool(b),
        }
    }
}

/// Fills a batch: raw bytes from an input, messages from a decoder.
#[derive(Default)]
pub struct BatchBuilder {
    storage: Storage,
    spans: Vec<Span>,
    pool: Pool,
}

impl BatchBuilder {
    /// A builder whose batches give their memory back to `pool`.
    pub fn new(pool: Pool) -> BatchBuilder {
        BatchBuilder { storage: pool.take(), spans: Vec::new(), pool }
    }

    pub fn len(&self) -> usize {
        self.storage.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        self.storage.raw.len() + self.storage.messages.bytes()
    }

    /// The raw block, to append what was read. Bytes a message already points at must stay.
    pub fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.storage.raw
    }

    /// The messages, to read and write without the raw block.
    pub fn messages(&mut self) -> &mut Messages {
        &mut self.storage.messages
    }

    /// The raw block to read and the messages to write, at once: what a decoder works with.
    pub fn parts(&mut self) -> (&[u8], &mut Messages) {
        (&self.storage.raw, &mut self.storage.messages)
    }

    /// Starts a message.
    pub fn add(&mut self) -> MessageMut<'_> {
        self.storage.messages.add()
    }

    /// Adds a copy of a message of another batch.
    pub fn copy(&mut self, from: MessageRef<'_>) -> MessageMut<'_> {
        let mut m = self.storage.messages.add();
        m.copy_from(from);
        m
    }

    /// The message at `index`, for changes.
    pub fn message(&mut self, index: usize) -> MessageMut<'_> {
        self.storage.messages.message(index)
    }

    /// Reads a message back.
    pub fn get(&self, index: usize) -> MessageRef<'_> {
        self.storage.messages.view(&self.storage.raw, index)
    }

    /// Records that this batch covers the stream up to `to`; spans of one stream are joined.
    pub fn cover(&mut self, span: Span) {
        match self.spans.iter_mut().rev().find(|s| s.stream == span.stream) {
            Some(known) => known.to = span.to,
            None => self.spans.push(span),
        }
    }

    /// Stream positions covered so far.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Closes the batch; the builder starts the next one.
    pub fn finish_with(&mut self, ticket: Ticket) -> Batch {
        let storage = std::mem::replace(&mut self.storage, self.pool.take());
        Batch { storage, spans: std::mem::take(&mut self.spans), ticket, pool: self.pool.clone() }
    }

    /// Closes a batch that nobody awaits.
    pub fn finish(&mut self) -> Batch {
        self.finish_with(Ticket::none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    #[test]
    fn repeated_names_and_arrays_are_addressed_by_two_indices() {
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        m.add_string(b"a", b"first");
        let name = m.messages().store(b"a");
        m.add_field(name, Text::NONE, ValueType::Integer, &[Datum::Integer(1), Datum::Integer(2)]);
        let batch = b.finish();
        let m = batch.get(0);
        assert_eq!(m.value(b"a", 0, 0), Some(Value::String(b"first")));
        assert_eq!(m.value(b"a", 1, 1), Some(Value::Integer(2)));
        assert_eq!(m.value(b"a", 1, 2), None);
        assert_eq!(m.value(b"a", 2, 0), None);
    }

    #[test]
    fn changing_an_earlier_message_leaves_the_later_ones_alone() {
        let mut b = BatchBuilder::default();
        b.add().add_integer(b"x", 1);
        b.add().add_integer(b"x", 2);
        let mut first = b.message(0);
        first.add_integer(b"y", 3);
        first.remove_field(0);
        let batch = b.finish();
        assert_eq!(batch.get(0).value(b"x", 0, 0), None);
        assert_eq!(batch.get(0).value(b"y", 0, 0), Some(Value::Integer(3)));
        assert_eq!(batch.get(1).value(b"x", 0, 0), Some(Value::Integer(2)));
    }

    #[test]
    fn copies_keep_identity_and_unset_headers() {
        let mut b = BatchBuilder::default();
        b.add().add_string(b"k", b"v");
        let batch = b.finish();
        let mut other = BatchBuilder::default();
        other.copy(batch.get(0));
        let other = other.finish();
        assert_eq!(batch.get(0).uuid(), other.get(0).uuid());
        assert!(!other.get(0).has(Header::Type));
        assert_eq!(other.get(0).value(b"k", 0, 0), Some(Value::String(b"v")));
    }

    #[test]
    fn a_pool_reuses_memory() {
        let pool = Pool::new();
        let mut b = BatchBuilder::new(pool.clone());
        b.raw().reserve(4096);
        let at = b.raw().as_ptr();
        drop(b.finish());
        assert_eq!(BatchBuilder::new(pool).raw().as_ptr(), at);
    }
}
