//! Types of values that a configuration gives by name: of columns, groups, captures.

use message::Datum;
use options::{Options, Problem, Scalar};
use plugin::Record;

use crate::number::{boolean, double, integer};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FieldType {
    String,
    Bytes,
    Integer,
    Double,
    Bool,
}

const TYPES: [(&str, FieldType); 5] = [
    ("string", FieldType::String),
    ("bytes", FieldType::Bytes),
    ("integer", FieldType::Integer),
    ("double", FieldType::Double),
    ("bool", FieldType::Bool),
];

impl FieldType {
    pub fn from_name(name: &str) -> Option<FieldType> {
        TYPES.iter().find(|(known, _)| *known == name).map(|(_, type_)| *type_)
    }

    /// What the table option `types` gives for `name`.
    ///
    /// # Errors
    /// When it is not a type.
    pub fn given(o: &Options, name: &str, type_: &Scalar) -> Result<FieldType, Problem> {
        let known = if let Scalar::String(text) = type_ { FieldType::from_name(text) } else { None };
        known.ok_or_else(|| {
            let label = format!("`{name}` has the type \"{type_}\", expected string, bytes, integer, double or bool");
            o.problem("types", "`types` names an unknown type", label)
        })
    }

    /// For reasons to refuse a record.
    pub fn expected(self) -> &'static str {
        match self {
            FieldType::Double => "a number",
            FieldType::Bool => "true or false",
            FieldType::String | FieldType::Bytes | FieldType::Integer => "a whole number",
        }
    }

    /// The value, a part of the record; [`Typed::Nothing`] for a number or boolean that is empty or `-`.
    pub fn read(self, record: &Record<'_>, value: &[u8]) -> Typed {
        match self {
            FieldType::String => Typed::Value(Datum::String(record.text(value))),
            FieldType::Bytes => Typed::Value(Datum::Bytes(record.text(value))),
            FieldType::Integer | FieldType::Double | FieldType::Bool => self.read_plain(value),
        }
    }

    /// As [`FieldType::read`], of types that are not text.
    pub fn read_plain(self, value: &[u8]) -> Typed {
        let datum = match self {
            _ if matches!(value, b"" | b"-") => return Typed::Nothing,
            FieldType::Integer => integer(value).map(Datum::Integer),
            FieldType::Double => double(value).map(Datum::Double),
            FieldType::Bool => boolean(value).map(Datum::Bool),
            FieldType::String | FieldType::Bytes => None,
        };
        datum.map_or(Typed::Unfit, Typed::Value)
    }
}

/// What text is as a value of a type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Typed {
    Value(Datum),
    Nothing,
    /// It is not of the type.
    Unfit,
}

/// The beginning of a text for an error, 80 bytes at most.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    match bytes.len() {
        0..=80 => format!("`{}`", bytes.escape_ascii()),
        _ => format!("`{}…`", bytes[..80].escape_ascii()),
    }
}
