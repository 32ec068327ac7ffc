use crate::Text;

/// Type of a field's values, numbered as on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum ValueType {
    String = 0,
    Bytes = 1,
    Integer = 2,
    Double = 3,
    Bool = 4,
}

impl ValueType {
    /// The type with this wire number.
    pub fn from_number(n: u64) -> Option<ValueType> {
        use ValueType::*;
        [String, Bytes, Integer, Double, Bool].into_iter().find(|t| *t as u64 == n)
    }

    /// `string`, `bytes`, `integer`, `double` or `bool`.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::String => "string",
            ValueType::Bytes => "bytes",
            ValueType::Integer => "integer",
            ValueType::Double => "double",
            ValueType::Bool => "bool",
        }
    }
}

/// One value of a field, as read. A string is meant to be UTF-8 but need not be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    String(&'a [u8]),
    Bytes(&'a [u8]),
    Integer(i64),
    Double(f64),
    Bool(bool),
}

impl<'a> Value<'a> {
    pub fn type_(self) -> ValueType {
        match self {
            Value::String(_) => ValueType::String,
            Value::Bytes(_) => ValueType::Bytes,
            Value::Integer(_) => ValueType::Integer,
            Value::Double(_) => ValueType::Double,
            Value::Bool(_) => ValueType::Bool,
        }
    }

    /// The text of a string or bytes value.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        match self {
            Value::String(s) | Value::Bytes(s) => Some(s),
            _ => None,
        }
    }

    /// The number of an integer or double value.
    pub fn as_f64(self) -> Option<f64> {
        match self {
            Value::Integer(n) => Some(n as f64),
            Value::Double(n) => Some(n),
            _ => None,
        }
    }
}

/// One value of a field, as written: text is already stored in the batch.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Datum {
    String(Text),
    Bytes(Text),
    Integer(i64),
    Double(f64),
    Bool(bool),
}

impl Datum {
    #[inline]
    pub fn type_(self) -> ValueType {
        match self {
            Datum::String(_) => ValueType::String,
            Datum::Bytes(_) => ValueType::Bytes,
            Datum::Integer(_) => ValueType::Integer,
            Datum::Double(_) => ValueType::Double,
            Datum::Bool(_) => ValueType::Bool,
        }
    }

    #[inline]
    pub(crate) fn to_bits(self) -> u64 {
        match self {
            Datum::String(t) | Datum::Bytes(t) => t.to_bits(),
            Datum::Integer(n) => n as u64,
            Datum::Double(n) => n.to_bits(),
            Datum::Bool(b) => u64::from(b),
        }
    }
}
