use message::{Header, MessageRef, Value};

use crate::subject::Subject;

/// A part of a message, by name: what plugins that work by key, such as a throttle, are told.
///
/// A name that is a header's means the header, any other the first value of the first field of that
/// name; `Fields[Type]` is the field of that name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    name: Box<str>,
    subject: Subject,
}

impl Part {
    pub fn new(text: &str) -> Part {
        let name = text.strip_prefix("Fields[").and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        let subject = match Header::from_name(text.as_bytes()) {
            Some(header) => Subject::Header(header),
            None => Subject::Field { name: name.into(), field: 0, array: 0 },
        };
        Part { name: name.into(), subject }
    }

    /// The name of the header or field.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn header(&self) -> Option<Header> {
        match self.subject {
            Subject::Header(header) => Some(header),
            Subject::Field { .. } => None,
        }
    }

    /// Reads the value; `None` when the message has no such field, or the header is not set.
    pub fn with<R>(&self, m: MessageRef<'_>, read: impl FnOnce(Option<Value<'_>>) -> R) -> R {
        if self.subject.is_set(m) { self.subject.with(m, read) } else { read(None) }
    }

    /// The value as a number: that of a number, or of text that is one. Never infinite, never NaN.
    pub fn number(&self, m: MessageRef<'_>) -> Option<f64> {
        self.with(m, |value| number(value?))
    }

    /// Appends the value as text; false when there is none.
    pub fn write(&self, m: MessageRef<'_>, into: &mut Vec<u8>) -> bool {
        self.with(m, |value| value.map(|v| write_text(v, into)).is_some())
    }
}

/// A value as a number: that of a number, or of text that is one. Never infinite, never NaN.
pub fn number(value: Value<'_>) -> Option<f64> {
    let number = match value {
        Value::Integer(n) => n as f64,
        Value::Double(n) => n,
        // Words such as `inf` are no numbers here.
        Value::String(text) | Value::Bytes(text) if text.len() <= 40 && text.last().is_some_and(|b| b.is_ascii_digit() || *b == b'.') => {
            std::str::from_utf8(text).ok()?.parse().ok()?
        }
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// Appends a value as text.
pub fn write_text(value: Value<'_>, into: &mut Vec<u8>) {
    use std::io::Write;
    // Writing to memory does not fail.
    let _ = match value {
        Value::String(text) | Value::Bytes(text) => into.write_all(text),
        Value::Integer(n) => write!(into, "{n}"),
        Value::Double(n) => write!(into, "{n}"),
        Value::Bool(b) => write!(into, "{b}"),
    };
}

/// Some parts, whose values together are a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parts(Vec<Part>);

impl Parts {
    pub fn new<S: AsRef<str>>(names: &[S]) -> Parts {
        Parts(names.iter().map(|n| Part::new(n.as_ref())).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Part> {
        self.0.iter()
    }

    /// Replaces `into` by the message's key: each value as text, the first `longest` bytes of it, behind its length as 32 bits; a length
    /// of `u32::MAX` is a value that is missing. True when at least one is there.
    pub fn key(&self, m: MessageRef<'_>, longest: usize, into: &mut Vec<u8>) -> bool {
        into.clear();
        let mut any = false;
        for part in &self.0 {
            let at = into.len();
            into.extend([0xff; 4]);
            if part.write(m, into) {
                any = true;
                into.truncate(at + 4 + longest.min(into.len() - at - 4));
                let len = (into.len() - at - 4) as u32;
                into[at..at + 4].copy_from_slice(&len.to_le_bytes());
            }
        }
        any
    }

    /// The values of a key that [`Parts::key`] made, each with its part.
    pub fn values<'k>(&self, key: &'k [u8]) -> impl Iterator<Item = (&Part, Option<&'k [u8]>)> {
        let mut rest = key;
        self.0.iter().map(move |part| {
            let value = rest.split_first_chunk().and_then(|(len, after)| {
                rest = after;
                let (value, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
                rest = after;
                Some(value)
            });
            (part, value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::BatchBuilder;

    #[test]
    fn keys_tell_what_is_missing_and_where_values_end() {
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        m.set_type(b"t");
        m.set_severity(3);
        m.add_string(b"a", b"long value");
        m.add_integer(b"n", -7);
        m.add_string(b"Type", b"");
        let batch = b.finish();
        let parts = Parts::new(&["Type", "Severity", "a", "n", "none", "Logger", "Fields[Type]"]);
        let mut key = b"old".to_vec();
        assert!(parts.key(batch.get(0), 4, &mut key));
        let values: Vec<_> = parts.values(&key).map(|(p, v)| (p.name(), v.map(|v| String::from_utf8_lossy(v).into_owned()))).collect();
        let text = |t: &str| Some(t.to_string());
        let expected = [
            ("Type", text("t")),
            ("Severity", text("3")),
            ("a", text("long")),
            ("n", text("-7")),
            ("none", None),
            ("Logger", None),
            ("Type", text("")),
        ];
        assert_eq!(values, expected);
        assert!(!Parts::new(&["x", "Hostname"]).key(batch.get(0), 9, &mut key));
        assert!(Parts::new(&["x"]).values(b"\x05").all(|(_, v)| v.is_none()));
    }

    #[test]
    fn numbers_are_finite() {
        for (value, expected) in [
            (Value::Integer(3), Some(3.0)),
            (Value::Double(f64::NAN), None),
            (Value::String(b"2.5e1x"), None),
            (Value::String(b"-2.5"), Some(-2.5)),
            (Value::Bytes(b"inf"), None),
            (Value::String(b"1e999"), None),
            (Value::Bool(true), None),
        ] {
            assert_eq!(number(value), expected, "{value:?}");
        }
    }
}
