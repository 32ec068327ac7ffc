//! OTLP in JSON becomes OTLP in protobuf as it is read, so that there is one reader of it, and no tree of values
//! that would take many times the memory of the text.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::schema::{Schema, Type};
use super::wire::Writer;

/// What `json` says as protobuf. Names that the schema has not are passed over, as the specification demands.
///
/// # Errors
/// What is not JSON, or not a value of its field.
pub fn to_protobuf(json: &[u8], schema: &'static Schema) -> Result<Vec<u8>, String> {
    let mut into = Writer::default();
    // It reads no deeper than 128 levels.
    let mut reader = serde_json::Deserializer::from_slice(json);
    let read = reader.deserialize_map(Message { schema, into: &mut into }).and_then(|()| reader.end());
    read.map(|()| into.0).map_err(|e| format!("expected OTLP in JSON: {e}"))
}

/// Writes the fields of an object.
struct Message<'w> {
    schema: &'static Schema,
    into: &'w mut Writer,
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            match self.schema.0.iter().find(|(known, ..)| *known == name) {
                Some((_, number, type_)) => map.next_value_seed(Field { number: *number, type_: *type_, into: self.into })?,
                None => map.next_value::<IgnoredAny>().map(|_| ())?,
            }
        }
        Ok(())
    }
}

/// Writes a value, or those of an array.
struct Field<'w> {
    number: u64,
    type_: Type,
    into: &'w mut Writer,
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.type_ {
            Type::Text => "text",
            Type::Id => "hexadecimal digits",
            Type::Bytes => "Base64",
            Type::Bool => "true or false",
            Type::Integer | Type::Fixed64 => "a whole number of 64 bits",
            Type::Enum(_) => "a number or its word",
            Type::Double => "a number",
            Type::Message(_) => "an object",
        })
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.type_ {
            Type::Bool => self.into.varint(self.number, value.into()),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<(), E> {
        match self.type_ {
            Type::Integer | Type::Enum(_) => self.into.varint(self.number, n),
            Type::Fixed64 => self.into.fixed64(self.number, n),
            Type::Double => self.into.fixed64(self.number, (n as f64).to_bits()),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Unsigned(n), &self)),
        }
        Ok(())
    }

    /// A negative one is written in two's complement.
    fn visit_i64<E: Error>(self, n: i64) -> Result<(), E> {
        if matches!(self.type_, Type::Double) { self.visit_f64(n as f64) } else { self.visit_u64(n as u64) }
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<(), E> {
        match self.type_ {
            Type::Double => self.into.fixed64(self.number, n.to_bits()),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Float(n), &self)),
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.value(text) {
            Some(Value::Bytes(bytes)) => self.into.chunk(self.number, &bytes),
            Some(Value::Number(n)) => return self.visit_u64(n),
            Some(Value::Double(n)) => return self.visit_f64(n),
            None => return Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Field { number, type_, into } = self;
        while list.next_element_seed(Field { number, type_, into: &mut *into })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Type::Message(schema) = self.type_ else { return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self)) };
        let mut inner = Writer::default();
        Message { schema, into: &mut inner }.visit_map(map)?;
        self.into.chunk(self.number, &inner.0);
        Ok(())
    }
}

/// What text stands for.
enum Value<'a> {
    Bytes(Cow<'a, [u8]>),
    Number(u64),
    Double(f64),
}

impl Field<'_> {
    fn value<'a>(&self, text: &'a str) -> Option<Value<'a>> {
        let number = || text.parse::<u64>().ok().or_else(|| text.parse::<i64>().ok().map(|n| n as u64)).map(Value::Number);
        match self.type_ {
            Type::Text => Some(Value::Bytes(text.as_bytes().into())),
            Type::Id => hex(text).map(|bytes| Value::Bytes(bytes.into())),
            Type::Bytes => STANDARD.decode(text).ok().map(|bytes| Value::Bytes(bytes.into())),
            Type::Integer | Type::Fixed64 => number(),
            Type::Enum(words) => words.iter().position(|word| *word == text).map(|n| Value::Number(n as u64)).or_else(number),
            // `NaN`, `Infinity` and `-Infinity` are among them.
            Type::Double => text.parse().ok().map(Value::Double),
            Type::Bool | Type::Message(_) => None,
        }
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::otlp::schema::{LOGS, METRICS};
    use crate::otlp::wire::{Fields, Wire};

    #[test]
    fn values_are_written_by_their_types() {
        let json = br#"{"unknown": 1, "resourceLogs": [{"scopeLogs": [{"logRecords": [
            {"timeUnixNano": "18446744073709551615", "severityNumber": "SEVERITY_NUMBER_WARN", "traceId": "0aFF", "body": {"intValue": "-1"}, "spanId": null}]}]}]}"#;
        let bytes = to_protobuf(json, &LOGS).unwrap();
        let inner = |bytes| match Fields(bytes).field() {
            Ok(Some((_, Wire::Chunk(inner)))) => inner,
            other => panic!("{other:?}"),
        };
        let mut fields = Fields(inner(inner(inner(&bytes))));
        let mut next = || fields.field().unwrap();
        assert_eq!(next(), Some((1, Wire::Fixed64(u64::MAX))));
        assert_eq!(next(), Some((2, Wire::Varint(13))));
        assert_eq!(next(), Some((9, Wire::Chunk(&[0x0a, 0xff]))));
        assert_eq!(next(), Some((5, Wire::Chunk(b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))));
        assert_eq!(next(), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (json, why) in [
            ("[", "invalid type: sequence, expected an object at line 1 column 0"),
            (r#"{"resourceLogs": ["#, "EOF while parsing a list at line 1 column 18"),
            (
                r#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": "x"}]}]}]}"#,
                "invalid value: string \"x\", expected hexadecimal digits at line 1 column 64",
            ),
            (r#"{"resourceLogs": [7]}"#, "invalid type: integer `7`, expected an object at line 1 column 19"),
            (r#"{} {}"#, "trailing characters at line 1 column 4"),
        ] {
            assert_eq!(to_protobuf(json.as_bytes(), &LOGS).unwrap_err(), format!("expected OTLP in JSON: {why}"));
        }
    }

    proptest! {
        #[test]
        fn any_json_is_written_or_refused(text in r#"(\{|\}|\[|\]|,|"resourceMetrics":|"scopeMetrics":|"metrics":|"name":|"x"|1|-0\.5|null){0,20}"#) {
            if let Ok(bytes) = to_protobuf(text.as_bytes(), &METRICS) {
                prop_assert!(Fields(&bytes).each(|_, _| Ok(())).is_ok());
            }
        }
    }
}
