use message::{Header, MessageRef, Value};
use std::fmt;

/// What a test looks at: a header or one value of a field.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Subject {
    Header(Header),
    Field { name: Box<str>, field: u32, array: u32 },
}

impl Subject {
    /// Reads the value from a message: `None` if there is no such field. An unset header reads as
    /// empty text, or as its default number.
    #[inline]
    pub(crate) fn with<R>(&self, m: MessageRef<'_>, read: impl FnOnce(Option<Value<'_>>) -> R) -> R {
        let header = match self {
            Subject::Field { name, field, array } => return read(m.value(name.as_bytes(), *field as usize, *array as usize)),
            Subject::Header(header) => *header,
        };
        let uuid;
        let value = match header {
            Header::Uuid => {
                uuid = m.uuid().text();
                Value::String(&uuid)
            }
            Header::Timestamp => Value::Integer(m.timestamp()),
            Header::Severity => Value::Integer(m.severity().into()),
            Header::Pid => Value::Integer(m.pid().into()),
            _ => Value::String(m.text_header(header)),
        };
        read(Some(value))
    }

    pub(crate) fn is_set(&self, m: MessageRef<'_>) -> bool {
        match self {
            Subject::Header(header) => m.has(*header),
            Subject::Field { .. } => self.with(m, |value| value.is_some()),
        }
    }

    pub(crate) fn is_field(&self) -> bool {
        matches!(self, Subject::Field { .. })
    }

    pub(crate) fn is_header(&self, header: Header) -> bool {
        *self == Subject::Header(header)
    }

    /// Whether it may be compared with numbers.
    pub(crate) fn is_number(&self) -> bool {
        self.is_field() || [Header::Timestamp, Header::Severity, Header::Pid].iter().any(|h| self.is_header(*h))
    }

    /// Whether it may be compared with text.
    pub(crate) fn is_text(&self) -> bool {
        self.is_field() || !self.is_number()
    }

    /// Whether it may be compared with NIL.
    pub(crate) fn can_be_unset(&self) -> bool {
        !self.is_header(Header::Uuid) && !self.is_header(Header::Timestamp)
    }
}

/// As in an expression.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Header(header) => f.write_str(header.name()),
            Subject::Field { name, field: 0, array: 0 } => write!(f, "Fields[{name}]"),
            Subject::Field { name, field, array: 0 } => write!(f, "Fields[{name}][{field}]"),
            Subject::Field { name, field, array } => write!(f, "Fields[{name}][{field}][{array}]"),
        }
    }
}
