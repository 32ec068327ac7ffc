use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use message::{Datum, MessageMut, Messages, Text, ValueType};

use super::wire::{Fields, Malformed};

/// Values inside each other at which reading is given up.
const MAX_DEPTH: usize = 32;

/// A value of OTLP.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Any<'a> {
    None,
    Text(&'a [u8]),
    Bool(bool),
    Integer(i64),
    Double(f64),
    /// The values are inside.
    Array(&'a [u8]),
    /// The keys and values are inside.
    Map(&'a [u8]),
    Bytes(&'a [u8]),
}

impl<'a> Any<'a> {
    /// # Errors
    /// What is none.
    pub fn read(bytes: &'a [u8]) -> Result<Any<'a>, Malformed> {
        let mut any = Any::None;
        Fields(bytes).each(|number, value| {
            any = match number {
                1 => Any::Text(value.chunk()?),
                2 => Any::Bool(value.number()? != 0),
                3 => Any::Integer(value.number()? as i64),
                4 => Any::Double(value.double()?),
                5 => Any::Array(value.chunk()?),
                6 => Any::Map(value.chunk()?),
                7 => Any::Bytes(value.chunk()?),
                _ => return Ok(()),
            };
            Ok(())
        })?;
        Ok(any)
    }

    /// A value that has no others inside.
    fn datum(self, messages: &mut Messages) -> Option<Datum> {
        Some(match self {
            Any::Text(text) => Datum::String(messages.store(text)),
            Any::Bool(b) => Datum::Bool(b),
            Any::Integer(n) => Datum::Integer(n),
            Any::Double(n) => Datum::Double(n),
            Any::Bytes(bytes) => Datum::Bytes(messages.store(bytes)),
            Any::None | Any::Array(_) | Any::Map(_) => return None,
        })
    }

    /// Appends it as text: of text its bytes, of anything else JSON.
    ///
    /// # Errors
    /// What is malformed inside, or too deep.
    pub fn write_text(self, into: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Any::Text(text) => into.extend_from_slice(text),
            Any::None => {}
            other => other.write_json(into, 1)?,
        }
        Ok(())
    }

    /// Appends it as JSON.
    ///
    /// # Errors
    /// As [`Any::write_text`].
    pub fn write_json(self, into: &mut Vec<u8>, depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed("at most 32 values inside each other"));
        }
        match self {
            Any::None => into.extend_from_slice(b"null"),
            Any::Text(text) => write_string(text, into),
            Any::Bool(b) => into.extend_from_slice(b.to_string().as_bytes()),
            Any::Integer(n) => into.extend_from_slice(n.to_string().as_bytes()),
            Any::Double(n) if n.is_finite() => into.extend_from_slice(format!("{n:?}").as_bytes()),
            Any::Double(_) => into.extend_from_slice(b"null"),
            Any::Bytes(bytes) => write_string(STANDARD.encode(bytes).as_bytes(), into),
            Any::Array(values) => {
                into.push(b'[');
                let mut first = true;
                Fields(values).each(|number, value| {
                    if number == 1 {
                        comma(&mut first, into);
                        Any::read(value.chunk()?)?.write_json(into, depth + 1)?;
                    }
                    Ok(())
                })?;
                into.push(b']');
            }
            Any::Map(pairs) => {
                into.push(b'{');
                let mut first = true;
                Fields(pairs).each(|number, value| {
                    if number == 1 {
                        let (key, value) = key_value(value.chunk()?)?;
                        comma(&mut first, into);
                        write_string(key, into);
                        into.push(b':');
                        value.write_json(into, depth + 1)?;
                    }
                    Ok(())
                })?;
                into.push(b'}');
            }
        }
        Ok(())
    }
}

fn comma(first: &mut bool, into: &mut Vec<u8>) {
    if !std::mem::take(first) {
        into.push(b',');
    }
}

/// Appends a JSON string. What is not UTF-8 becomes U+FFFD.
pub fn write_string(bytes: &[u8], into: &mut Vec<u8>) {
    // Writing text to memory does not fail.
    let _ = serde_json::to_writer(into, &String::from_utf8_lossy(bytes));
}

/// A key and its value.
///
/// # Errors
/// What is none.
pub fn key_value(bytes: &[u8]) -> Result<(&[u8], Any<'_>), Malformed> {
    let (mut key, mut any) = (&b""[..], Any::None);
    Fields(bytes).each(|number, value| {
        match number {
            1 => key = value.chunk()?,
            2 => any = Any::read(value.chunk()?)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, any))
}

/// A field before it is added to a message.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    pub name: Text,
    pub representation: Text,
    pub value: Datum,
}

/// An attribute that is one value, or JSON text; nothing for one without value.
///
/// # Errors
/// What is malformed inside.
pub fn stored(prefix: &[u8], key: &[u8], any: Any<'_>, out: &mut Messages) -> Result<Option<Stored>, Malformed> {
    let (representation, value) = match any {
        Any::None => return Ok(None),
        Any::Array(_) | Any::Map(_) => {
            let mut json = Vec::new();
            any.write_text(&mut json)?;
            (out.store(b"json"), Datum::String(out.store(&json)))
        }
        one => match one.datum(out) {
            Some(value) => (Text::NONE, value),
            None => return Ok(None),
        },
    };
    let name = out.store_with(|into| {
        into.extend_from_slice(prefix);
        into.extend_from_slice(key);
    });
    Ok(Some(Stored { name, representation, value }))
}

/// Adds an attribute; an array of values of one type is a field of several values.
///
/// # Errors
/// What is malformed inside.
pub fn add_attribute(m: &mut MessageMut<'_>, prefix: &[u8], key: &[u8], any: Any<'_>) -> Result<(), Malformed> {
    if let Any::Array(list) = any {
        let mut values: Option<Vec<Datum>> = Some(Vec::new());
        Fields(list).each(|number, value| {
            if let (1, Some(all)) = (number, &mut values) {
                let value = Any::read(value.chunk()?)?.datum(m.messages());
                match value.filter(|v| all.first().is_none_or(|first| first.type_() == v.type_())) {
                    Some(value) => all.push(value),
                    None => values = None,
                }
            }
            Ok(())
        })?;
        if let Some(values) = values {
            let name = m.messages().store_with(|into| {
                into.extend_from_slice(prefix);
                into.extend_from_slice(key);
            });
            let type_ = values.first().map_or(ValueType::String, |v| v.type_());
            m.add_field(name, Text::NONE, type_, &values);
            return Ok(());
        }
    }
    if let Some(Stored { name, representation, value }) = stored(prefix, key, any, m.messages())? {
        m.add_in(name, representation, value);
    }
    Ok(())
}

/// Stores hexadecimal digits.
pub fn hex(bytes: &[u8], out: &mut Messages) -> Text {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.store_with(|into| into.extend(bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])))
}
