use super::{field_key, message_key};
use crate::{FieldRef, Header, MessageRef, Value, ValueType};

/// Appends the message's bytes.
pub fn encode(m: MessageRef<'_>, into: &mut Vec<u8>) {
    let text = |header, key, into: &mut Vec<u8>| {
        if m.has(header) {
            chunk(key, m.text_header(header), into);
        }
    };
    chunk(message_key::UUID, &m.uuid().0, into);
    number(message_key::TIMESTAMP, m.timestamp() as u64, into);
    text(Header::Type, message_key::TYPE, into);
    text(Header::Logger, message_key::LOGGER, into);
    if m.has(Header::Severity) {
        // An int32 is extended to 64 bits, so that a negative one takes ten bytes.
        number(message_key::SEVERITY, i64::from(m.severity()) as u64, into);
    }
    text(Header::Payload, message_key::PAYLOAD, into);
    text(Header::EnvVersion, message_key::ENV_VERSION, into);
    if m.has(Header::Pid) {
        number(message_key::PID, i64::from(m.pid()) as u64, into);
    }
    text(Header::Hostname, message_key::HOSTNAME, into);
    for field in m.fields() {
        nested(message_key::FIELDS, into, |into| encode_field(field, into));
    }
    if m.hops() > 0 {
        number(message_key::HOPS, u64::from(m.hops()), into);
    }
}

fn encode_field(field: FieldRef<'_>, into: &mut Vec<u8>) {
    chunk(field_key::NAME, field.name(), into);
    if field.type_() != ValueType::String {
        number(field_key::VALUE_TYPE, field.type_() as u64, into);
    }
    if !field.representation().is_empty() {
        chunk(field_key::REPRESENTATION, field.representation(), into);
    }
    if field.is_empty() {
        return;
    }
    let packed = match field.type_() {
        ValueType::String | ValueType::Bytes => return encode_texts(field, into),
        ValueType::Integer => field_key::INTEGERS,
        ValueType::Double => field_key::DOUBLES,
        ValueType::Bool => field_key::BOOLS,
    };
    nested(packed, into, |into| {
        for value in field.values() {
            match value {
                Value::Integer(n) => varint(n as u64, into),
                Value::Double(n) => into.extend_from_slice(&n.to_le_bytes()),
                Value::Bool(b) => into.push(u8::from(b)),
                Value::String(_) | Value::Bytes(_) => {}
            }
        }
    });
}

fn encode_texts(field: FieldRef<'_>, into: &mut Vec<u8>) {
    let key = if field.type_() == ValueType::Bytes { field_key::BYTES } else { field_key::STRING };
    field.values().filter_map(Value::as_bytes).for_each(|text| chunk(key, text, into));
}

#[inline]
fn varint(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

#[inline]
pub(crate) fn number(key: u64, value: u64, into: &mut Vec<u8>) {
    varint(key, into);
    varint(value, into);
}

#[inline]
pub(crate) fn chunk(key: u64, bytes: &[u8], into: &mut Vec<u8>) {
    varint(key, into);
    varint(bytes.len() as u64, into);
    into.extend_from_slice(bytes);
}

/// A chunk that `write` appends. One byte is kept for its length; the rare longer length is put in
/// afterwards.
#[inline]
fn nested(key: u64, into: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    varint(key, into);
    into.push(0);
    let start = into.len();
    write(into);
    let length = into.len() - start;
    if length < 0x80 {
        into[start - 1] = length as u8;
    } else {
        into[start - 1] = length as u8 | 0x80;
        let end = into.len();
        varint(length as u64 >> 7, into);
        let more = into.len() - end;
        into[start..].rotate_right(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchBuilder, Datum, Text, Uuid};

    fn encoded(b: &BatchBuilder) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(b.get(0), &mut bytes);
        bytes
    }

    #[test]
    fn headers_are_written_in_order_and_only_when_set() {
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        m.set_uuid(Uuid([7; 16]));
        m.set_timestamp(1);
        let plain = [[0x0a, 16].as_slice(), &[7; 16], &[0x10, 1]].concat();
        assert_eq!(encoded(&b), plain);

        let mut m = b.message(0);
        m.set_payload_text(Text::EMPTY);
        m.set_severity(-1);
        m.set_hops(3);
        let more = [&plain[..], &[0x28], &[0xff; 9], &[1, 0x32, 0, 0xa0, 0x06, 3]].concat();
        assert_eq!(encoded(&b), more);
    }

    #[test]
    fn numbers_are_packed_and_long_fields_get_a_long_length() {
        let mut b = BatchBuilder::default();
        let name = b.messages().store(b"n");
        let mut m = b.add();
        m.set_uuid(Uuid([7; 16]));
        m.add_field(name, Text::NONE, ValueType::Integer, &[Datum::Integer(1), Datum::Integer(300)]);
        assert_eq!(encoded(&b)[20..], [0x52, 10, 0x0a, 1, b'n', 0x10, 2, 0x32, 3, 1, 0xac, 2]);

        let mut m = b.message(0);
        m.remove_field(0);
        m.add_string(b"n", &[b'x'; 200]);
        let want = [&[0x52, 0xce, 0x01, 0x0a, 1, b'n', 0x22, 0xc8, 0x01], [b'x'; 200].as_slice()].concat();
        assert_eq!(encoded(&b)[20..], want);
    }
}
