//! Several messages made of one: what decoders within decoders need.

use crate::record::Envelope;
use crate::{Messages, Text, ValueType};

impl Messages {
    /// Where the Payload of message `index` lies; [`Text::NONE`] when it has none.
    pub fn payload_text(&self, index: usize) -> Text {
        self.recs[index].payload
    }

    /// The names of the fields of message `index`, in their order, and their text if they are one text.
    pub fn text_fields(&self, index: usize) -> impl Iterator<Item = (Text, Option<Text>)> {
        self.fields[self.recs[index].fields()].iter().map(|field| {
            let is_text = field.count() == 1 && matches!(field.type_(), ValueType::String | ValueType::Bytes);
            (self.labels[field.label.0 as usize].name, is_text.then(|| Text::from_bits(field.bits)))
        })
    }

    /// The bytes of a text that is not of the raw block; `None` when it is.
    pub fn stored(&self, text: Text) -> Option<&[u8]> {
        text.in_arena().then(|| text.get(b"", &self.arena))
    }

    /// As [`Messages::inherit`], of all headers but the Payload, and puts the fields of message `from` before those
    /// of message `index`.
    pub fn complete(&mut self, index: usize, from: usize) {
        self.inherit(index, from);
        let (source, own) = (self.recs[from], self.recs[index]);
        if own.uuid.is_empty() {
            self.recs[index].uuid = source.uuid;
        }
        self.recs[index].hops = own.hops.max(source.hops);
        let (mine, theirs) = (self.envelopes[own.envelope as usize], self.envelopes[source.envelope as usize]);
        let now = self.envelopes[self.recs[index].envelope as usize];
        let or = |mine: Text, theirs: Text| if mine.is_none() { theirs } else { mine };
        let (env_version, signer) = (or(mine.env_version, theirs.env_version), or(mine.signer, theirs.signer));
        self.recs[index].envelope = self.envelope_of(Envelope { env_version, signer, ..now });
        if source.field_count == 0 {
            return;
        }
        let rec = &mut self.recs[index];
        rec.field_count += source.field_count;
        if source.first_field + source.field_count == own.first_field {
            // They lie side by side already, and may belong to both.
            rec.first_field = source.first_field;
            return;
        }
        rec.first_field = self.fields.len() as u32;
        self.fields.extend_from_within(source.fields());
        self.fields.extend_from_within(own.fields());
    }

    /// Removes messages as [`Messages::remove`] does.
    pub fn remove_all(&mut self, range: std::ops::Range<usize>) {
        self.recs.drain(range);
    }
}

#[cfg(test)]
mod tests {
    use crate::{BatchBuilder, Header, Text, Value};

    #[test]
    fn a_message_is_completed_by_another() {
        let mut b = BatchBuilder::default();
        b.raw().extend_from_slice(b"rawname");
        let mut m = b.add();
        m.set_type(b"outer");
        m.set_hostname(b"host");
        m.set_env_version(b"1");
        m.set_severity(3);
        m.set_payload(b"payload");
        m.add_integer(b"a", 1);
        m.add(Text::raw(0, 7), crate::Datum::String(Text::raw(0, 3)));
        for n in [2, 3] {
            let mut m = b.add();
            m.set_type(b"inner");
            m.add_integer(b"b", n);
        }
        let messages = b.messages();
        let fields: Vec<_> = messages.text_fields(0).map(|(name, text)| (messages.stored(name).is_some(), text)).collect();
        assert_eq!(fields, [(true, None), (false, Some(Text::raw(0, 3)))]);
        assert_eq!(messages.stored(messages.payload_text(0)), Some(&b"payload"[..]));
        messages.complete(1, 0);
        messages.complete(2, 0);
        messages.remove_all(0..1);
        let batch = b.finish();
        for (m, n) in batch.iter().zip([2, 3]) {
            assert_eq!((m.type_(), m.hostname(), m.env_version(), m.severity()), (&b"inner"[..], &b"host"[..], &b"1"[..], 3));
            assert!(!m.has(Header::Payload));
            let fields: Vec<_> = m.fields().map(|f| (f.name(), f.value(0).unwrap())).collect();
            assert_eq!(fields, [(&b"a"[..], Value::Integer(1)), (b"rawname", Value::String(b"raw")), (b"b", Value::Integer(n))]);
        }
        assert_ne!(batch.get(0).uuid(), batch.get(1).uuid());
    }
}
