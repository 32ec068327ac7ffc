use std::borrow::Cow;
use std::io::Write;

use message::{Datum, Messages};
use plugin::Record;

use super::schema::{Schema, Type};
use super::wire::{Malformed, Raw, Reader, Slice};
use crate::json::write_string;

/// The value of a field that is no message.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Scalar<'a> {
    Integer(i64),
    Double(f64),
    Bool(bool),
    /// As it stands in the record.
    String(&'a [u8]),
    Bytes(&'a [u8]),
    /// The name of an enum's value, or what was written anew.
    Text(Cow<'a, [u8]>),
}

impl<'a> Scalar<'a> {
    /// What `raw` is as a value of this type; `None` when it does not fit, or is a message.
    pub fn read(schema: &'a Schema, type_: Type, raw: Raw, record: &'a [u8]) -> Option<Scalar<'a>> {
        Some(match (type_, raw) {
            (Type::Double, Raw::Fixed64(n)) => Scalar::Double(f64::from_bits(n)),
            (Type::Float, Raw::Fixed32(n)) => Scalar::Double(f64::from(f32::from_bits(n))),
            (Type::Int64, Raw::Varint(n)) | (Type::Sfixed64, Raw::Fixed64(n)) => Scalar::Integer(n as i64),
            (Type::Uint64, Raw::Varint(n)) | (Type::Fixed64, Raw::Fixed64(n)) => unsigned(n),
            (Type::Int32, Raw::Varint(n)) => Scalar::Integer(i64::from(n as i32)),
            (Type::Uint32, Raw::Varint(n)) => Scalar::Integer(i64::from(n as u32)),
            (Type::Sint32, Raw::Varint(n)) => Scalar::Integer(i64::from(zigzag(u64::from(n as u32)) as i32)),
            (Type::Sint64, Raw::Varint(n)) => Scalar::Integer(zigzag(n)),
            (Type::Fixed32, Raw::Fixed32(n)) => Scalar::Integer(i64::from(n)),
            (Type::Sfixed32, Raw::Fixed32(n)) => Scalar::Integer(i64::from(n as i32)),
            (Type::Bool, Raw::Varint(n)) => Scalar::Bool(n != 0),
            (Type::String, Raw::Bytes(slice)) => Scalar::String(slice.in_record(record)),
            (Type::Bytes, Raw::Bytes(slice)) => Scalar::Bytes(slice.in_record(record)),
            (Type::Enum(id), Raw::Varint(n)) => match schema.enums[id].name(n as i32) {
                Some(name) => Scalar::Text(Cow::Borrowed(name)),
                None => Scalar::Text(Cow::Owned((n as i32).to_string().into_bytes())),
            },
            _ => return None,
        })
    }

    /// What a field of this type is that is not on the wire.
    pub fn default(type_: Type) -> Scalar<'a> {
        match type_ {
            Type::Double | Type::Float => Scalar::Double(0.0),
            Type::Bool => Scalar::Bool(false),
            Type::Bytes => Scalar::Bytes(b""),
            Type::String | Type::Enum(_) | Type::Message(_) => Scalar::String(b""),
            _ => Scalar::Integer(0),
        }
    }

    pub fn datum(&self, record: &Record<'_>, messages: &mut Messages) -> Datum {
        match self {
            Scalar::Integer(n) => Datum::Integer(*n),
            Scalar::Double(n) => Datum::Double(*n),
            Scalar::Bool(b) => Datum::Bool(*b),
            Scalar::String(text) => Datum::String(record.text(text)),
            Scalar::Bytes(text) => Datum::Bytes(record.text(text)),
            Scalar::Text(text) => Datum::String(messages.store(text)),
        }
    }

    /// As text: digits of a number, and so on.
    pub fn write(&self, into: &mut Vec<u8>) {
        // Writing to memory does not fail.
        let _ = match self {
            Scalar::Integer(n) => write!(into, "{n}"),
            Scalar::Double(n) => write!(into, "{n}"),
            Scalar::Bool(b) => write!(into, "{b}"),
            Scalar::String(text) | Scalar::Bytes(text) => into.write_all(text),
            Scalar::Text(text) => into.write_all(text),
        };
    }

    /// As JSON: bytes in base64, what JSON has no number for as text.
    pub fn write_json(&self, into: &mut Vec<u8>) {
        match self {
            Scalar::Integer(_) | Scalar::Bool(_) => self.write(into),
            // With an exponent where digits alone would be many.
            Scalar::Double(n) if n.is_finite() => _ = write!(into, "{n:?}"),
            Scalar::Double(n) => _ = write!(into, "\"{n}\""),
            Scalar::String(text) => write_string(text, into),
            Scalar::Text(text) => write_string(text, into),
            Scalar::Bytes(bytes) => write_string(base64(bytes).as_bytes(), into),
        }
    }
}

/// An integer, or its digits when it is too large for one: half of all random identities are.
fn unsigned<'a>(n: u64) -> Scalar<'a> {
    i64::try_from(n).map_or_else(|_| Scalar::Text(Cow::Owned(n.to_string().into_bytes())), Scalar::Integer)
}

fn zigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// Base64 (RFC 4648) with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, at| word << 8 | u32::from(chunk.get(at).copied().unwrap_or_default()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// How values of a type follow each other when packed; `None` for those that never are.
pub(super) fn unpack(type_: Type, reader: &mut Reader<'_>) -> Option<Result<Raw, Malformed>> {
    Some(match type_ {
        Type::Double | Type::Fixed64 | Type::Sfixed64 => reader.fixed64().map(Raw::Fixed64),
        Type::Float | Type::Fixed32 | Type::Sfixed32 => reader.fixed32().map(Raw::Fixed32),
        Type::String | Type::Bytes | Type::Message(_) => return None,
        _ => reader.varint().map(Raw::Varint),
    })
}

/// Whether a value on the wire can be of this type; `packed`: or of several of it.
pub(super) fn fits(type_: Type, raw: Raw, packed: bool) -> bool {
    match (type_, raw) {
        (Type::Double | Type::Fixed64 | Type::Sfixed64, Raw::Fixed64(_)) => true,
        (Type::Float | Type::Fixed32 | Type::Sfixed32, Raw::Fixed32(_)) => true,
        (Type::String | Type::Bytes, raw) => matches!(raw, Raw::Bytes(_)),
        (Type::Message(_), raw) => matches!(raw, Raw::Bytes(_) | Raw::Group(_)),
        (_, Raw::Bytes(_)) => packed,
        (Type::Double | Type::Fixed64 | Type::Sfixed64 | Type::Float | Type::Fixed32 | Type::Sfixed32, _) => false,
        (_, raw) => matches!(raw, Raw::Varint(_)),
    }
}

/// What a message on the wire lies in.
pub(super) fn slice(raw: Raw) -> Option<Slice> {
    match raw {
        Raw::Bytes(slice) | Raw::Group(slice) => Some(slice),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{base64, zigzag};

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!([0, 1, 2, 3, u64::MAX].map(zigzag), [0, -1, 1, -2, i64::MIN]);
    }
}
