use super::reader::Reader;
use super::{DecodeError, MAX_FIELDS, MAX_VALUES, Problem, field_key, message_key};
use crate::record::{Envelope, Field, Rec};
use crate::{Messages, Text, ValueType};

/// Adds the message that `bytes` hold to `out`. Its texts are slices of `at`, the text of `bytes`
/// in the batch; nothing is copied.
///
/// Of a header that occurs several times the last one counts. A field whose list of `value_type`
/// is empty has no values, whatever its other lists hold.
///
/// # Errors
/// Says where and why `bytes` are not a message; `out` is as it was. Besides malformed protobuf
/// these are: no timestamp, a uuid that is not 16 bytes long, a field without a name or with an
/// unknown `value_type`, more than [`MAX_FIELDS`] fields or [`MAX_VALUES`] values.
///
/// # Panics
/// When `at` is not as long as `bytes`.
pub fn decode(bytes: &[u8], at: Text, out: &mut Messages) -> Result<(), DecodeError> {
    assert_eq!(bytes.len(), at.len(), "the text must be that of the bytes");
    let (fields, values, labels) = (out.fields.len(), out.values.len(), out.labels.len());
    let mut values_left = MAX_VALUES;
    let walked = walk(bytes, at, |field| {
        if out.fields.len() - fields == MAX_FIELDS {
            return Err(field.error(Problem::TooManyFields));
        }
        add_field(field, at, &mut values_left, out)
    });
    match walked {
        Ok((rec, envelope)) => {
            let field_count = (out.fields.len() - fields) as u32;
            let envelope = out.envelope_of(envelope);
            out.recs.push(Rec { first_field: fields as u32, field_count, envelope, ..rec });
            Ok(())
        }
        Err(error) => {
            out.fields.truncate(fields);
            out.values.truncate(values);
            out.labels.truncate(labels);
            Err(error)
        }
    }
}

/// Walks `bytes` as [`decode`] would, without keeping anything and without its limits on numbers
/// of fields and values.
///
/// # Errors
/// Those of [`decode`], except for these limits.
pub fn validate(bytes: &[u8]) -> Result<(), DecodeError> {
    if bytes.len() >= 1 << 31 {
        return Err(DecodeError { offset: 0, problem: Problem::TooLong });
    }
    let at = Text::raw(0, bytes.len());
    walk(bytes, at, |field| walk_field(field, at, |_, _| ()).map(drop)).map(drop)
}

/// Reads the headers and gives a reader of each field to `field`.
fn walk<'a>(
    bytes: &'a [u8],
    at: Text,
    mut field: impl FnMut(Reader<'a>) -> Result<(), DecodeError>,
) -> Result<(Rec, Envelope), DecodeError> {
    let mut r = Reader::new(bytes);
    let (mut rec, mut envelope) = (Rec::default(), Envelope::default());
    let mut timestamp = None;
    while let Some(key) = r.key()? {
        let text = match key {
            message_key::TYPE => &mut envelope.type_,
            message_key::LOGGER => &mut envelope.logger,
            message_key::PAYLOAD => &mut rec.payload,
            message_key::ENV_VERSION => &mut envelope.env_version,
            message_key::HOSTNAME => &mut envelope.hostname,
            message_key::UUID => {
                rec.uuid = text(&mut r, at)?;
                if rec.uuid.len() != 16 {
                    return Err(r.error(Problem::UuidLength(rec.uuid.len())));
                }
                continue;
            }
            message_key::FIELDS => {
                let range = r.chunk()?;
                field(r.nested(range))?;
                continue;
            }
            key => {
                match key {
                    message_key::TIMESTAMP => timestamp = Some(r.varint()? as i64),
                    message_key::SEVERITY => rec.set_severity(r.varint()? as i32),
                    message_key::PID => rec.set_pid(r.varint()? as i32),
                    message_key::HOPS => rec.hops = r.varint()?.min(255) as u8,
                    other => r.unknown(other, 10)?,
                }
                continue;
            }
        };
        *text = self::text(&mut r, at)?;
    }
    rec.timestamp = timestamp.ok_or_else(|| r.error(Problem::Missing("timestamp (field 2)")))?;
    Ok((rec, envelope))
}

#[inline]
fn text(r: &mut Reader<'_>, at: Text) -> Result<Text, DecodeError> {
    let range = r.chunk()?;
    Ok(at.slice(range.start, range.len()))
}

/// Of one typed list of a field: how many values, and the first.
#[derive(Clone, Copy, Default)]
struct List {
    count: u32,
    first: u64,
}

fn add_field(r: Reader<'_>, at: Text, values_left: &mut usize, out: &mut Messages) -> Result<(), DecodeError> {
    // The type may stand behind the values, so each list is counted. A second walk is needed for
    // arrays only.
    let mut lists = [List::default(); 5];
    let Shape { name, representation, type_ } = walk_field(r, at, |type_, bits| {
        let list = &mut lists[type_ as usize];
        if list.count == 0 {
            list.first = bits;
        }
        list.count += 1;
    })?;
    let List { count, first } = lists[type_ as usize];
    *values_left = values_left.checked_sub(count as usize).ok_or_else(|| r.error(Problem::TooManyValues))?;
    let bits = if count == 1 { first } else { out.values.len() as u64 };
    if count > 1 {
        walk_field(r, at, |t, bits| {
            if t == type_ {
                out.values.push(bits);
            }
        })?;
    }
    let label = out.label(name, representation);
    out.fields.push(Field::new(label, type_, count as usize, bits));
    Ok(())
}

/// A field without its values.
struct Shape {
    name: Text,
    representation: Text,
    type_: ValueType,
}

/// Reads a field and gives the values of all its lists to `value`, as the batch stores them.
#[inline]
fn walk_field(mut r: Reader<'_>, at: Text, mut value: impl FnMut(ValueType, u64)) -> Result<Shape, DecodeError> {
    let mut shape = Shape { name: Text::NONE, representation: Text::NONE, type_: ValueType::String };
    while let Some(key) = r.key()? {
        match key {
            field_key::NAME => shape.name = text(&mut r, at)?,
            field_key::VALUE_TYPE => {
                let number = r.varint()?;
                shape.type_ = ValueType::from_number(number).ok_or_else(|| r.error(Problem::ValueType(number)))?;
            }
            field_key::REPRESENTATION => shape.representation = text(&mut r, at)?,
            field_key::STRING => value(ValueType::String, text(&mut r, at)?.to_bits()),
            field_key::BYTES => value(ValueType::Bytes, text(&mut r, at)?.to_bits()),
            field_key::INTEGER => value(ValueType::Integer, r.varint()?),
            field_key::DOUBLE => value(ValueType::Double, r.fixed64()?),
            field_key::BOOL => value(ValueType::Bool, u64::from(r.varint()? != 0)),
            field_key::INTEGERS => {
                let mut list = packed(&mut r)?;
                while !list.is_at_end() {
                    value(ValueType::Integer, list.varint()?);
                }
            }
            field_key::DOUBLES => {
                let range = r.chunk()?;
                if !range.len().is_multiple_of(8) {
                    return Err(DecodeError { offset: range.start, problem: Problem::PackedDoubles(range.len()) });
                }
                let mut list = r.nested(range);
                while !list.is_at_end() {
                    value(ValueType::Double, list.fixed64()?);
                }
            }
            field_key::BOOLS => {
                let mut list = packed(&mut r)?;
                while !list.is_at_end() {
                    value(ValueType::Bool, u64::from(list.varint()? != 0));
                }
            }
            other => r.unknown(other, 8)?,
        }
    }
    if shape.name.is_none() {
        return Err(r.error(Problem::Missing("name (field 1) of a field")));
    }
    Ok(shape)
}

fn packed<'a>(r: &mut Reader<'a>) -> Result<Reader<'a>, DecodeError> {
    let range = r.chunk()?;
    Ok(r.nested(range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::chunk;
    use crate::{BatchBuilder, Header, Value};

    fn decoded(bytes: &[u8]) -> Result<BatchBuilder, DecodeError> {
        let mut b = BatchBuilder::default();
        b.raw().extend_from_slice(bytes);
        let (raw, messages) = b.parts();
        let result = decode(raw, Text::raw(0, raw.len()), messages);
        assert_eq!(messages.len(), usize::from(result.is_ok()));
        if result.is_err() {
            assert!(messages.fields.is_empty() && messages.values.is_empty());
        }
        result.map(|()| b)
    }

    /// A message with a timestamp and one field made of `parts`.
    fn with_field(parts: &[&[u8]]) -> Vec<u8> {
        let field = parts.concat();
        [&[0x10, 1, 0x52, field.len() as u8], &field[..]].concat()
    }

    fn values(bytes: &[u8]) -> Vec<Value<'static>> {
        let b = decoded(bytes).unwrap();
        let m = b.get(0);
        let numbers = m.fields().next().unwrap().values().map(|v| match v {
            Value::Integer(n) => Value::Integer(n),
            Value::Bool(b) => Value::Bool(b),
            other => panic!("{other:?}"),
        });
        numbers.collect()
    }

    #[test]
    fn the_list_of_the_value_type_counts_wherever_the_type_stands() {
        let (name, integer, mixed) =
            (b"\x0a\x01n".as_slice(), b"\x10\x02".as_slice(), b"\x22\x01s\x30\x05\x32\x02\x06\x07\x40\x01".as_slice());
        let want = [5, 6, 7].map(Value::Integer);
        assert_eq!(values(&with_field(&[name, integer, mixed])), want);
        assert_eq!(values(&with_field(&[mixed, integer, name])), want);
        assert_eq!(values(&with_field(&[b"\x10\x04", mixed, name])), [Value::Bool(true)]);
        assert_eq!(values(&with_field(&[b"\x10\x01", mixed, name])), []);
    }

    #[test]
    fn the_last_scalar_wins_and_the_unknown_is_skipped() {
        let b =
            decoded(b"\x10\x01\x10\x02\x1a\x01a\x1a\x01b\xa8\x06\x01\xaa\x06\x02xx\xa9\x0612345678\xad\x061234\xa0\x06\xff\x7f").unwrap();
        let m = b.get(0);
        assert_eq!((m.timestamp(), m.type_(), m.hops()), (2, b"b".as_slice(), 255));
        assert!(!m.has(Header::Payload));
    }

    #[test]
    fn errors_say_where_and_what() {
        let case = |bytes: &[u8], offset, problem| {
            let want = DecodeError { offset, problem };
            assert_eq!(decoded(bytes).err(), Some(want), "{bytes:02x?}");
            assert_eq!(validate(bytes), Err(want), "{bytes:02x?}");
        };
        case(b"", 0, Problem::Missing("timestamp (field 2)"));
        case(b"\x10", 1, Problem::Ended("a varint"));
        case(b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 1, Problem::LongVarint);
        case(b"\x10\x01\x1a\x05ab", 3, Problem::Overrun { length: 5, left: 2 });
        case(b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 1, Problem::Overrun { length: u64::MAX, left: 0 });
        case(b"\x12\x00", 1, Problem::Mismatch { field: 2, found: 2 });
        case(b"\x1e\x00", 1, Problem::Mismatch { field: 3, found: 6 });
        case(b"\x02\x00", 1, Problem::FieldNumber(0));
        case(b"\xab\x06\xac\x06", 2, Problem::WireType { field: 101, found: 3 });
        case(b"\x10\x01\x0a\x02ab", 6, Problem::UuidLength(2));
        case(&with_field(&[b"\x10\x05"]), 6, Problem::ValueType(5));
        case(&with_field(&[b"\x10\x02"]), 6, Problem::Missing("name (field 1) of a field"));
        case(&with_field(&[b"\x0a\x01n\x3a\x03abc"]), 9, Problem::PackedDoubles(3));
        // A nested length may not leave its field, though the message goes on.
        let leaves = [with_field(&[b"\x0a\x01n\x22\x03a"]), b"\x1a\x03abc".to_vec()].concat();
        case(&leaves, 8, Problem::Overrun { length: 3, left: 1 });
    }

    #[test]
    fn numbers_of_fields_and_values_are_limited() {
        let fields = |n: usize| [b"\x10\x01".to_vec(), b"\x52\x02\x0a\x00".repeat(n)].concat();
        assert_eq!(decoded(&fields(MAX_FIELDS)).unwrap().get(0).fields().count(), MAX_FIELDS);
        assert_eq!(decoded(&fields(MAX_FIELDS + 1)).err().unwrap().problem, Problem::TooManyFields);
        assert_eq!(validate(&fields(MAX_FIELDS + 1)), Ok(()));

        let half = MAX_VALUES / 2;
        let mut bytes = b"\x10\x01".to_vec();
        for n in [half, half, 1] {
            let mut field = b"\x0a\x00\x10\x04".to_vec();
            chunk(field_key::BOOLS, &vec![1; n], &mut field);
            assert!(decoded(&bytes).is_ok());
            chunk(message_key::FIELDS, &field, &mut bytes);
        }
        assert_eq!(decoded(&bytes).err().unwrap().problem, Problem::TooManyValues);
    }
}
