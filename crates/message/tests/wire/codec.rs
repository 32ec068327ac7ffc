use proptest::prelude::*;
use prost::Message as _;
use testkit::oracle::{Field, Message, agree, any_message, decoded, encoded, read, unpack};

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
