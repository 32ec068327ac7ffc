use std::fmt;

use super::{MAX_FIELDS, MAX_VALUES};

/// Why bytes are not a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// Where in the bytes.
    pub offset: usize,
    pub problem: Problem,
}

/// What was found where something else was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The bytes end within this.
    Ended(&'static str),
    /// A length of `length` where only `left` bytes are left.
    Overrun { length: u64, left: usize },
    /// A varint of more than 64 bits.
    LongVarint,
    /// A key whose field number is 0 or above 2^29 - 1.
    FieldNumber(u64),
    /// A wire type that protobuf does not have, or a group (3 and 4), which proto2 deprecates.
    WireType { field: u32, found: u8 },
    /// A known field with a wire type that it cannot have.
    Mismatch { field: u32, found: u8 },
    /// A packed list of doubles of a length that 8 does not divide.
    PackedDoubles(usize),
    /// A `uuid` of this length, which is not 16.
    UuidLength(usize),
    /// A `value_type` that does not exist.
    ValueType(u64),
    /// A required field is not there.
    Missing(&'static str),
    /// More than [`MAX_FIELDS`] fields.
    TooManyFields,
    /// More than [`MAX_VALUES`] values.
    TooManyValues,
    /// 2 GiB or more.
    TooLong,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}: ", self.offset)?;
        match self.problem {
            Problem::Ended(within) => write!(f, "the message ends within {within}"),
            Problem::Overrun { length, left } => write!(f, "found a length of {length} bytes, expected at most the {left} that are left"),
            Problem::LongVarint => f.write_str("found a varint that goes on, expected one of at most 64 bits in 10 bytes"),
            Problem::FieldNumber(n) => write!(f, "found field number {n}, expected 1 to {}", (1u32 << 29) - 1),
            Problem::WireType { field, found } => write!(f, "found wire type {found} in field {field}, expected 0, 1, 2 or 5"),
            Problem::Mismatch { field, found } => {
                write!(f, "found wire type {found} in field {field}, expected the wire type of Heka's schema")
            }
            Problem::PackedDoubles(n) => write!(f, "found {n} bytes of packed doubles, expected a multiple of 8"),
            Problem::UuidLength(n) => write!(f, "found a uuid of {n} bytes, expected 16"),
            Problem::ValueType(n) => write!(f, "found value_type {n}, expected 0 (string), 1 (bytes), 2 (integer), 3 (double) or 4 (bool)"),
            Problem::Missing(what) => write!(f, "the message ends, expected the required {what}"),
            Problem::TooManyFields => write!(f, "found more fields than the {MAX_FIELDS} a message may have"),
            Problem::TooManyValues => write!(f, "found more values than the {MAX_VALUES} that the fields of a message may have"),
            Problem::TooLong => f.write_str("found 2 GiB or more, expected a message"),
        }
    }
}

impl std::error::Error for DecodeError {}
