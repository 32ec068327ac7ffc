use message::{Batch, FieldRef, Header, MessageRef, Value};
use std::fmt;
use std::ops::Range;

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

    /// Reads the values from all messages of a batch, in order: each with the messages that have it,
    /// which are more than one where neighbours share their headers.
    pub(crate) fn each(&self, batch: &Batch, mut read: impl FnMut(Range<usize>, Option<Value<'_>>)) {
        match self {
            Subject::Header(_) if self.is_shared() => {
                let mut at = 0;
                while at < batch.len() {
                    let envelope = batch.get(at).envelope();
                    let end = (at + 1..batch.len()).find(|i| batch.get(*i).envelope() != envelope).unwrap_or(batch.len());
                    self.with(batch.get(at), |value| read(at..end, value));
                    at = end;
                }
            }
            Subject::Field { name, field: 0, array: 0 } => {
                let mut named = Named::new(name);
                (0..batch.len()).for_each(|i| read(i..i + 1, named.first(batch.get(i))));
            }
            _ => (0..batch.len()).for_each(|i| self.with(batch.get(i), |value| read(i..i + 1, value))),
        }
    }

    /// Whether messages with the same envelope have the same value.
    pub(crate) fn is_shared(&self) -> bool {
        [Header::Type, Header::Logger, Header::EnvVersion, Header::Hostname].iter().any(|h| self.is_header(*h))
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

/// Finds the fields of one name in the messages of a batch. What a label says is looked at once,
/// for the first 64 labels of the batch; few batches have more.
pub(crate) struct Named<'n> {
    name: &'n [u8],
    /// By label: its name has been compared; it is this name.
    known: u64,
    same: u64,
}

impl<'n> Named<'n> {
    pub(crate) fn new(name: &'n str) -> Named<'n> {
        Named { name: name.as_bytes(), known: 0, same: 0 }
    }

    /// `Fields[name]`: the first value of the first field of this name.
    #[inline]
    pub(crate) fn first<'m>(&mut self, m: MessageRef<'m>) -> Option<Value<'m>> {
        m.fields().find(|field| self.is(field))?.value(0)
    }

    #[inline]
    fn is(&mut self, field: &FieldRef<'_>) -> bool {
        let label = field.label_number();
        if label < 64 && self.known >> label & 1 != 0 { self.same >> label & 1 != 0 } else { self.look(*field, label) }
    }

    #[inline(never)]
    fn look(&mut self, field: FieldRef<'_>, label: u32) -> bool {
        let same = field.name() == self.name;
        if label < 64 {
            self.known |= 1 << label;
            self.same |= u64::from(same) << label;
        }
        same
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
