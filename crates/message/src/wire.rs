//! A message as bytes: the protobuf encoding of Heka's `Message` (proto2), read in place.
//!
//! | number | name | type |
//! |---|---|---|
//! | 1 | `uuid` | bytes, 16 of them |
//! | 2 | `timestamp` | int64, nanoseconds since the UNIX epoch |
//! | 3, 4, 6, 7, 9 | `type`, `logger`, `payload`, `env_version`, `hostname` | string |
//! | 5, 8 | `severity`, `pid` | int32 |
//! | 10 | `fields` | repeated `Field` |
//! | 100 | `hops` | uint32; ours, left out when 0. Heka skips it as an unknown field |
//!
//! and of its `Field`: 1 `name`, 2 `value_type`, 3 `representation`, 4 to 8 the lists of string,
//! bytes, int64, double and bool values, of which `value_type` says the one that counts.
//!
//! [`encode`] writes in the order of the numbers, numbers packed, `value_type` unless it is string,
//! headers that are unset left out. The verified signer is not part of a message's bytes.
//!
//! [`decode`] takes any order, numbers packed or not, and skips what it does not know. It is
//! lenient in one point: a message without `uuid` is given one.
//!
//! ```
//! use message::{BatchBuilder, Text, wire};
//!
//! let mut builder = BatchBuilder::default();
//! builder.add().add_integer(b"status", 200);
//! let sent = builder.finish();
//! let mut bytes = Vec::new();
//! wire::encode(sent.get(0), &mut bytes);
//!
//! let mut builder = BatchBuilder::default();
//! builder.raw().extend_from_slice(&bytes);
//! let (raw, messages) = builder.parts();
//! wire::decode(raw, Text::raw(0, raw.len()), messages)?;
//! assert_eq!(builder.get(0).uuid(), sent.get(0).uuid());
//! # Ok::<(), wire::DecodeError>(())
//! ```

mod decode;
mod encode;
mod error;
pub(crate) mod reader;

pub use decode::{decode, validate};
pub use encode::encode;
pub(crate) use encode::{chunk, number};
pub use error::{DecodeError, Problem};

/// Fields that [`decode`] accepts in one message.
pub const MAX_FIELDS: usize = 4096;

/// Values that [`decode`] accepts in the fields of one message, all together.
pub const MAX_VALUES: usize = 65_536;

/// Protobuf wire types.
pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const CHUNK: u8 = 2;
pub(crate) const FIXED32: u8 = 5;

/// What precedes a value on the wire: field number and wire type.
pub(crate) const fn key(number: u32, wire_type: u8) -> u64 {
    (number as u64) << 3 | wire_type as u64
}

/// Keys of `Message`.
pub(crate) mod message_key {
    use super::{CHUNK, VARINT, key};

    pub const UUID: u64 = key(1, CHUNK);
    pub const TIMESTAMP: u64 = key(2, VARINT);
    pub const TYPE: u64 = key(3, CHUNK);
    pub const LOGGER: u64 = key(4, CHUNK);
    pub const SEVERITY: u64 = key(5, VARINT);
    pub const PAYLOAD: u64 = key(6, CHUNK);
    pub const ENV_VERSION: u64 = key(7, CHUNK);
    pub const PID: u64 = key(8, VARINT);
    pub const HOSTNAME: u64 = key(9, CHUNK);
    pub const FIELDS: u64 = key(10, CHUNK);
    pub const HOPS: u64 = key(100, VARINT);
}

/// Keys of `Field`. Numbers have two: one by one, and packed.
pub(crate) mod field_key {
    use super::{CHUNK, FIXED64, VARINT, key};

    pub const NAME: u64 = key(1, CHUNK);
    pub const VALUE_TYPE: u64 = key(2, VARINT);
    pub const REPRESENTATION: u64 = key(3, CHUNK);
    pub const STRING: u64 = key(4, CHUNK);
    pub const BYTES: u64 = key(5, CHUNK);
    pub const INTEGER: u64 = key(6, VARINT);
    pub const INTEGERS: u64 = key(6, CHUNK);
    pub const DOUBLE: u64 = key(7, FIXED64);
    pub const DOUBLES: u64 = key(7, CHUNK);
    pub const BOOL: u64 = key(8, VARINT);
    pub const BOOLS: u64 = key(8, CHUNK);
}
