//! [MessagePack](https://github.com/msgpack/msgpack/blob/master/spec.md), read from bytes of anybody: in place, with
//! a limit to nesting, and with nothing allocated because a length in the bytes says so.
//!
//! [`Scan`] finds where a value ends that arrives in pieces, [`Reader`] reads values one after the
//! other, and [`Flatten`] makes fields of a map.
//!
//! ```
//! use msgpack::{Item, Reader, Scan};
//!
//! let bytes = b"\x82\xa1a\x07\xa1b\xc3 and more";
//! assert_eq!(Scan::default().find(bytes).unwrap(), Some(7));
//! let mut reader = Reader::new(bytes);
//! assert_eq!((reader.item().unwrap(), reader.item().unwrap()), (Item::Map(2), Item::Text(b"a")));
//! ```

mod flatten;
mod head;
mod json;
mod reader;
mod scan;

pub use self::flatten::{Flatten, Refused};
pub use self::reader::{Item, Reader, Wrong};
pub use self::scan::Scan;

/// Levels of arrays and maps inside each other at which reading is given up.
pub const MAX_DEPTH: usize = 64;
