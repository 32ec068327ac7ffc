use crate::record::{Envelope, Field, LabelText, Rec};
use crate::{DEFAULT_SEVERITY, Header, Messages, Text, Uuid, Value, ValueType};

/// A message, read in place.
#[derive(Clone, Copy)]
pub struct MessageRef<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) messages: &'a Messages,
    pub(crate) rec: &'a Rec,
    pub(crate) index: usize,
}

impl<'a> MessageRef<'a> {
    /// The bytes of a text of this message's batch; empty when not set.
    pub fn text(&self, text: Text) -> &'a [u8] {
        text.get(self.raw, &self.messages.arena)
    }

    fn envelope_texts(&self) -> &'a Envelope {
        &self.messages.envelopes[self.rec.envelope as usize]
    }

    /// Messages of a batch with the same number have the same Type, Logger, EnvVersion, Hostname and
    /// signer.
    #[inline]
    pub fn envelope(&self) -> u32 {
        self.rec.envelope
    }

    /// Random unless the sender set one.
    pub fn uuid(&self) -> Uuid {
        match self.text(self.rec.uuid).try_into() {
            Ok(bytes) => Uuid(bytes),
            Err(_) => Uuid::derived(self.messages.seed, self.index),
        }
    }

    /// Nanoseconds since the UNIX epoch.
    pub fn timestamp(&self) -> i64 {
        self.rec.timestamp
    }

    pub fn type_(&self) -> &'a [u8] {
        self.text(self.envelope_texts().type_)
    }

    pub fn logger(&self) -> &'a [u8] {
        self.text(self.envelope_texts().logger)
    }

    /// Syslog severity, 7 when not set.
    pub fn severity(&self) -> i32 {
        if self.rec.has_severity { self.rec.severity } else { DEFAULT_SEVERITY }
    }

    pub fn payload(&self) -> &'a [u8] {
        self.text(self.rec.payload)
    }

    pub fn env_version(&self) -> &'a [u8] {
        self.text(self.envelope_texts().env_version)
    }

    /// 0 when not set.
    pub fn pid(&self) -> i32 {
        self.rec.pid
    }

    pub fn hostname(&self) -> &'a [u8] {
        self.text(self.envelope_texts().hostname)
    }

    /// Name of the signer whose signature was verified on arrival; empty when unsigned.
    pub fn signer(&self) -> &'a [u8] {
        self.text(self.envelope_texts().signer)
    }

    /// How many filters this message's ancestry went through.
    pub fn hops(&self) -> u8 {
        self.rec.hops
    }

    /// Whether the sender set this header. `Uuid` and `Timestamp` always are.
    pub fn has(&self, header: Header) -> bool {
        match header {
            Header::Uuid | Header::Timestamp => true,
            Header::Severity => self.rec.has_severity,
            Header::Pid => self.rec.has_pid,
            _ => !self.messages.text_header(self.rec, header).is_none(),
        }
    }

    /// A text header's bytes (`Type`, `Logger`, `Payload`, `EnvVersion`, `Hostname`); empty when
    /// unset, and for the headers that are not text.
    pub fn text_header(&self, header: Header) -> &'a [u8] {
        self.text(self.messages.text_header(self.rec, header))
    }

    pub fn fields(&self) -> Fields<'a> {
        Fields { message: *self, rest: self.messages.fields[self.rec.fields()].iter() }
    }

    /// The `nth` (from 0) field of this name.
    pub fn field(&self, name: &[u8], nth: usize) -> Option<FieldRef<'a>> {
        self.fields().filter(|f| f.name() == name).nth(nth)
    }

    /// `Fields[name][field][array]`, counted from 0.
    pub fn value(&self, name: &[u8], field: usize, array: usize) -> Option<Value<'a>> {
        self.field(name, field)?.value(array)
    }

    /// Bytes of text in the message, for budgets.
    pub fn size(&self) -> usize {
        let fields: usize =
            self.fields().map(|f| f.name().len() + 16 + f.values().map(|v| v.as_bytes().map_or(8, <[u8]>::len)).sum::<usize>()).sum();
        96 + self.payload().len() + fields
    }
}

impl std::fmt::Debug for MessageRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |b| String::from_utf8_lossy(b).into_owned();
        let mut out = f.debug_struct("Message");
        out.field("timestamp", &self.timestamp()).field("severity", &self.severity());
        for header in [Header::Type, Header::Logger, Header::Hostname, Header::Payload, Header::EnvVersion] {
            if self.has(header) {
                out.field(header.name(), &text(self.text_header(header)));
            }
        }
        for field in self.fields() {
            out.field(&text(field.name()), &field.values().collect::<Vec<_>>());
        }
        out.finish()
    }
}

/// Iterator over a message's fields in the order they were added.
#[derive(Clone)]
pub struct Fields<'a> {
    message: MessageRef<'a>,
    rest: std::slice::Iter<'a, Field>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = FieldRef<'a>;

    fn next(&mut self) -> Option<FieldRef<'a>> {
        Some(FieldRef { message: self.message, field: self.rest.next()? })
    }
}

/// A named, typed list of values.
#[derive(Clone, Copy)]
pub struct FieldRef<'a> {
    message: MessageRef<'a>,
    field: &'a Field,
}

impl<'a> FieldRef<'a> {
    fn label(&self) -> &'a LabelText {
        &self.message.messages.labels[self.field.label.0 as usize]
    }

    /// Fields of a batch with the same number have the same name and representation.
    #[inline]
    pub fn label_number(&self) -> u32 {
        self.field.label.0
    }

    #[inline]
    pub fn name(&self) -> &'a [u8] {
        self.message.text(self.label().name)
    }

    pub fn type_(&self) -> ValueType {
        self.field.type_()
    }

    /// Unit or format hint such as `ms`, `B`, `ipv4`; empty when none.
    pub fn representation(&self) -> &'a [u8] {
        self.message.text(self.label().representation)
    }

    /// Number of values; a field may have none.
    pub fn len(&self) -> usize {
        self.field.count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn value(&self, index: usize) -> Option<Value<'a>> {
        let bits = match self.field.count() {
            n if index >= n => return None,
            1 => self.field.bits,
            _ => self.message.messages.values[self.field.bits as usize + index],
        };
        Some(match self.field.type_() {
            ValueType::String => Value::String(self.message.text(Text::from_bits(bits))),
            ValueType::Bytes => Value::Bytes(self.message.text(Text::from_bits(bits))),
            ValueType::Integer => Value::Integer(bits as i64),
            ValueType::Double => Value::Double(f64::from_bits(bits)),
            ValueType::Bool => Value::Bool(bits != 0),
        })
    }

    pub fn values(self) -> impl Iterator<Item = Value<'a>> {
        (0..self.len()).filter_map(move |i| self.value(i))
    }
}
