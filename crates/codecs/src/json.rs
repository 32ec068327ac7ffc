//! JSON (RFC 8259) as text: read strictly and in place, written without allocation.
//!
//! It is strict about grammar and lenient about characters: strings need not be UTF-8 and may
//! hold a surrogate without its partner, because logs do.

mod reader;
mod text;

pub(crate) use reader::{Number, Reader, Str, Wrong, is_value};
pub(crate) use text::{plain, unescape, write_string};
