use crate::messages::Part;
use crate::record::{Field, LabelText, Rec};
use crate::{Datum, Header, Label, MessageRef, Messages, Text, Uuid, ValueType};

/// A message under construction or under transformation.
///
/// Setters come in two shapes: `set_type(&[u8])` copies, `set_type_text(Text)` points at bytes the
/// batch already holds. `Text::NONE` clears a header.
pub struct MessageMut<'a> {
    messages: &'a mut Messages,
    index: usize,
}

macro_rules! envelope_setters {
    ($($set:ident $set_text:ident $part:ident;)*) => {$(
        pub fn $set(&mut self, value: &[u8]) {
            let text = self.messages.store(value);
            self.$set_text(text);
        }

        #[inline]
        pub fn $set_text(&mut self, value: Text) {
            self.messages.change_envelope(self.index, Part::$part, value);
        }
    )*};
}

impl<'a> MessageMut<'a> {
    #[inline]
    pub(crate) fn new(messages: &'a mut Messages, index: usize) -> MessageMut<'a> {
        MessageMut { messages, index }
    }

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

    envelope_setters! {
        set_type set_type_text Type;
        set_logger set_logger_text Logger;
        set_env_version set_env_version_text EnvVersion;
        set_hostname set_hostname_text Hostname;
        set_signer set_signer_text Signer;
    }

    pub fn set_payload(&mut self, value: &[u8]) {
        let text = self.messages.store(value);
        self.set_payload_text(text);
    }

    #[inline]
    pub fn set_payload_text(&mut self, value: Text) {
        self.rec().payload = value;
    }

    /// Sets or clears a text header by name; false for a header that is not text.
    pub fn set_text_header(&mut self, header: Header, value: Text) -> bool {
        let part = match header {
            Header::Payload => {
                self.rec().payload = value;
                return true;
            }
            Header::Type => Part::Type,
            Header::Logger => Part::Logger,
            Header::EnvVersion => Part::EnvVersion,
            Header::Hostname => Part::Hostname,
            Header::Uuid | Header::Timestamp | Header::Severity | Header::Pid => return false,
        };
        self.messages.change_envelope(self.index, part, value);
        true
    }

    /// Whether somebody gave it an identity; otherwise it has a random one.
    pub fn has_uuid(&self) -> bool {
        !self.messages.recs[self.index].uuid.is_empty()
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
        self.rec().set_severity(severity);
    }

    pub fn set_pid(&mut self, pid: i32) {
        self.rec().set_pid(pid);
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
        let label = self.messages.find_label(name, representation);
        self.add_labelled(label, value);
    }

    /// As [`MessageMut::add_in`], for a decoder that keeps the labels of its fields.
    #[inline(always)]
    pub fn add_labelled(&mut self, label: Label, value: Datum) {
        self.push(Field::new(label, value.type_(), 1, value.to_bits()));
    }

    /// Adds a field. All `values` must be of `type_`.
    pub fn add_field(&mut self, name: Text, representation: Text, type_: ValueType, values: &[Datum]) {
        debug_assert!(values.iter().all(|v| v.type_() == type_));
        let bits = self.store_values(values);
        let label = self.messages.find_label(name, representation);
        self.push(Field::new(label, type_, values.len(), bits));
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
        let bits = self.store_values(values);
        let field = self.field_mut(nth);
        *field = Field::new(field.label, type_, values.len(), bits);
    }

    fn store_values(&mut self, values: &[Datum]) -> u64 {
        match values {
            [one] => one.to_bits(),
            many => {
                self.messages.values.extend(many.iter().map(|v| v.to_bits()));
                (self.messages.values.len() - many.len()) as u64
            }
        }
    }

    /// Renames field `nth`.
    pub fn set_field_name(&mut self, nth: usize, name: Text) {
        let representation = self.label(nth).representation;
        let label = self.messages.label(name, representation);
        self.field_mut(nth).label = label;
    }

    pub fn set_field_representation(&mut self, nth: usize, representation: Text) {
        let name = self.label(nth).name;
        let label = self.messages.label(name, representation);
        self.field_mut(nth).label = label;
    }

    fn label(&mut self, nth: usize) -> LabelText {
        let label = self.field_mut(nth).label;
        self.messages.labels[label.0 as usize]
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
        self.messages.copy_over(self.index, from);
    }
}
