use message::wire::{DecodeError, decode, encode, validate};
use message::{BatchBuilder, Text, ValueType};
use proptest::prelude::*;
use prost::Message as _;

use crate::model::{Field, Message, any_message, build, read, unpack};

fn encoded(m: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(build(m).get(0), &mut bytes);
    bytes
}

/// Decodes `bytes` where they stand among others in the raw block, behind another message.
fn decoded(bytes: &[u8]) -> Result<BatchBuilder, DecodeError> {
    let mut b = BatchBuilder::default();
    b.add().add_integer(b"before", 1);
    b.raw().extend_from_slice(&[b"before", bytes, b"after"].concat());
    let used = b.bytes();
    let (raw, messages) = b.parts();
    let result = decode(&raw[6..6 + bytes.len()], Text::raw(6, bytes.len()), messages);
    assert_eq!(b.len(), 1 + usize::from(result.is_ok()));
    if result.is_err() {
        assert_eq!(b.bytes(), used);
    }
    result.map(|()| b)
}

/// What our model keeps of a message that another implementation read.
fn kept(mut m: Message) -> Message {
    m.hops = m.hops.map(|n| n.min(255)).filter(|n| *n > 0);
    for field in &mut m.fields {
        let type_ = ValueType::from_number(field.value_type.unwrap_or(0) as u64);
        let all = std::mem::take(field);
        *field = Field {
            name: all.name,
            value_type: all.value_type.filter(|t| *t != 0),
            representation: all.representation.filter(|r| !r.is_empty()),
            ..Field::default()
        };
        match type_.expect("a known type") {
            ValueType::String => field.value_string = all.value_string,
            ValueType::Bytes => field.value_bytes = all.value_bytes,
            ValueType::Integer => field.value_integer = all.value_integer,
            ValueType::Double => field.value_double = all.value_double,
            ValueType::Bool => field.value_bool = all.value_bool,
        }
    }
    m
}

/// `Debug` as the measure of equality: a changed double may have become NaN.
fn assert_same(ours: &Message, theirs: &Message) {
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
}

/// Decodes and compares everything that must agree about bytes of any kind.
fn agree(bytes: &[u8]) {
    let result = decoded(bytes);
    assert_eq!(result.as_ref().err(), validate(bytes).as_ref().err());
    let Ok(ours) = result else { return };
    let ours = read(ours.get(1));
    let mut theirs = Message::decode(bytes).expect("the other implementation is no stricter");
    if theirs.uuid.is_empty() {
        theirs.uuid = ours.uuid.clone();
    }
    assert_same(&ours, &kept(theirs));
    assert_same(&read(decoded(&encoded(&ours)).unwrap().get(1)), &ours);
}

proptest! {
    #[test]
    fn we_read_what_we_write(m in any_message()) {
        prop_assert_eq!(read(decoded(&encoded(&m)).unwrap().get(1)), m);
    }

    #[test]
    fn we_write_what_the_other_implementation_writes(m in any_message()) {
        let bytes = encoded(&m);
        prop_assert_eq!(Message::decode(&bytes[..]).unwrap(), m.clone());
        prop_assert_eq!(bytes, m.encode_to_vec());
    }

    #[test]
    fn we_read_numbers_packed_and_unpacked(m in any_message()) {
        let unpacked = unpack(&m).encode_to_vec();
        prop_assert_eq!(read(decoded(&unpacked).unwrap().get(1)), m);
    }

    /// A protobuf message may be written in pieces, in any order: headers may be repeated, and the
    /// parts of a field may stand anywhere in it.
    #[test]
    fn order_does_not_matter(m in any_message(), turn in 0usize..20) {
        let mut shuffled = Vec::new();
        for field in &m.fields {
            let values = Field { name: Vec::new(), value_type: None, representation: None, ..field.clone() }.encode_to_vec();
            let shape = Field { name: field.name.clone(), value_type: field.value_type, representation: field.representation.clone(), ..Field::default() };
            // The first piece has an empty name, which the second one's replaces.
            let whole = [values, shape.encode_to_vec()].concat();
            prost::encoding::bytes::encode(10, &whole, &mut shuffled);
        }
        let headers = Message { fields: Vec::new(), ..m.clone() }.encode_to_vec();
        let old = Message { uuid: vec![1; 16], timestamp: turn as i64, ..Message::default() }.encode_to_vec();
        let bytes = [old, shuffled, headers].concat();
        prop_assert_eq!(read(decoded(&bytes).unwrap().get(1)), m);
    }

    #[test]
    fn arbitrary_bytes_are_read_as_the_other_implementation_reads_them(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        agree(&bytes);
        // A timestamp makes more of them messages.
        agree(&[b"\x10\x01", &bytes[..]].concat());
    }

    #[test]
    fn changed_messages_are_read_as_the_other_implementation_reads_them(
        m in any_message(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encoded(&m);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        agree(&bytes);
        agree(&bytes[..cut.index(bytes.len())]);
    }
}
