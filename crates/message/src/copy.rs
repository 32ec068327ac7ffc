use crate::record::{Envelope, Field, LabelText, Rec};
use crate::{Label, MessageRef, Messages, Text, ValueType};

/// What envelopes and labels of another batch have become here, so that messages copied together
/// share theirs as they did there.
#[derive(Default, Debug)]
pub(crate) struct Copied {
    /// The other batch, by its generation.
    from: u64,
    envelopes: Vec<Option<u32>>,
    labels: Vec<Option<Label>>,
}

impl Copied {
    pub fn clear(&mut self) {
        self.from = 0;
    }

    fn of(&mut self, generation: u64) {
        if self.from != generation {
            self.from = generation;
            self.envelopes.clear();
            self.labels.clear();
        }
    }
}

/// The place of `at` in a list that grows as needed.
fn place<T: Clone>(list: &mut Vec<Option<T>>, at: u32) -> &mut Option<T> {
    if list.len() <= at as usize {
        list.resize(at as usize + 1, None);
    }
    &mut list[at as usize]
}

impl Messages {
    /// Copies everything of `from`, which may belong to another batch, over message `index`.
    pub(crate) fn copy_over(&mut self, index: usize, from: MessageRef<'_>) {
        self.copied.of(from.messages.generation());
        self.recs[index] = Rec {
            uuid: self.store(&from.uuid().0),
            payload: self.copy_text(from, from.rec.payload),
            envelope: self.copy_envelope(from),
            first_field: self.fields.len() as u32,
            field_count: from.rec.field_count,
            ..*from.rec
        };
        for at in from.rec.fields() {
            let field = from.messages.fields[at];
            let label = self.copy_label(from, field.label);
            let bits = match field.count() {
                1 => self.copy_bits(from, field.type_(), field.bits),
                n => {
                    let first = self.values.len();
                    for value in field.bits as usize..field.bits as usize + n {
                        let bits = self.copy_bits(from, field.type_(), from.messages.values[value]);
                        self.values.push(bits);
                    }
                    first as u64
                }
            };
            self.fields.push(Field::new(label, field.type_(), field.count(), bits));
        }
    }

    fn copy_text(&mut self, from: MessageRef<'_>, text: Text) -> Text {
        if text.is_none() { text } else { self.store(from.text(text)) }
    }

    fn copy_bits(&mut self, from: MessageRef<'_>, type_: ValueType, bits: u64) -> u64 {
        match type_ {
            ValueType::String | ValueType::Bytes => self.store(from.text(Text::from_bits(bits))).to_bits(),
            ValueType::Integer | ValueType::Double | ValueType::Bool => bits,
        }
    }

    fn copy_envelope(&mut self, from: MessageRef<'_>) -> u32 {
        let at = from.rec.envelope;
        if let Some(known) = *place(&mut self.copied.envelopes, at) {
            return known;
        }
        let old = from.messages.envelopes[at as usize];
        let envelope = Envelope {
            type_: self.copy_text(from, old.type_),
            logger: self.copy_text(from, old.logger),
            env_version: self.copy_text(from, old.env_version),
            hostname: self.copy_text(from, old.hostname),
            signer: self.copy_text(from, old.signer),
        };
        let new = self.envelope_of(envelope);
        self.copied.envelopes[at as usize] = Some(new);
        new
    }

    fn copy_label(&mut self, from: MessageRef<'_>, label: Label) -> Label {
        if let Some(known) = *place(&mut self.copied.labels, label.0) {
            return known;
        }
        let LabelText { name, representation } = from.messages.labels[label.0 as usize];
        let (name, representation) = (self.copy_text(from, name), self.copy_text(from, representation));
        let new = self.label(name, representation);
        self.copied.labels[label.0 as usize] = Some(new);
        new
    }
}

#[cfg(test)]
mod tests {
    use crate::{BatchBuilder, Datum, Header, Text, Value, ValueType};

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
    fn messages_of_two_batches_keep_what_is_theirs() {
        let batch = |type_: &[u8], name: &[u8]| {
            let mut b = BatchBuilder::default();
            for i in 0..2 {
                let mut m = b.add();
                m.set_type(type_);
                m.set_payload(&[b'0' + i]);
                let name = m.messages().store(name);
                m.add_field(name, Text::NONE, ValueType::Integer, &[Datum::Integer(1), Datum::Integer(i64::from(i))]);
            }
            b.finish()
        };
        let (one, two) = (batch(b"one", b"a"), batch(b"two", b"b"));
        let mut copies = BatchBuilder::default();
        for m in [one.get(0), two.get(1), one.get(1), two.get(0)] {
            copies.copy(m);
        }
        let copies = copies.finish();
        let read = |i: usize, name: &[u8]| (copies.get(i).type_(), copies.get(i).payload(), copies.get(i).value(name, 0, 1));
        assert_eq!(read(0, b"a"), (&b"one"[..], &b"0"[..], Some(Value::Integer(0))));
        assert_eq!(read(1, b"b"), (&b"two"[..], &b"1"[..], Some(Value::Integer(1))));
        assert_eq!(read(2, b"a"), (&b"one"[..], &b"1"[..], Some(Value::Integer(1))));
        assert_eq!(read(3, b"b"), (&b"two"[..], &b"0"[..], Some(Value::Integer(0))));
    }
}
