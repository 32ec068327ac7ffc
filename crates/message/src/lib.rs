//! The record that flows through Nilometer, and the batch it travels in.
//!
//! Messages are never passed one by one. An input fills a [`BatchBuilder`], a decoder describes
//! messages as offsets into the bytes the input read ([`Text`]), and the finished [`Batch`] is
//! shared, unchanged, by every consumer (`Arc<Batch>`). A message therefore costs no allocation:
//! its strings are (offset, length) pairs into the batch's *raw* block (what was read) or its
//! *arena* (what had to be rewritten, such as unescaped text).
//!
//! The model is Heka's: eight headers, and fields that are named, typed, may hold several values,
//! carry a representation (a unit or format hint) and may share a name. Text need not be UTF-8.
//!
//! ```
//! use message::{BatchBuilder, Value};
//!
//! let mut builder = BatchBuilder::default();
//! let mut m = builder.add();
//! m.set_type(b"nginx.access");
//! m.add_integer(b"status", 200);
//! let batch = builder.finish();
//!
//! let m = batch.get(0);
//! assert_eq!(m.type_(), b"nginx.access");
//! assert_eq!(m.value(b"status", 0, 0), Some(Value::Integer(200)));
//! ```

pub mod framing;
pub mod frozen;
pub mod signing;
pub mod wire;

mod batch;
mod builder;
mod content;
mod copy;
mod edit;
mod header;
mod merge;
mod messages;
mod pool;
mod raw;
mod read;
mod record;
mod selection;
mod sync;
mod text;
mod ticket;
mod uuid;
mod value;

pub use batch::{Batch, Span, StreamId};
pub use builder::BatchBuilder;
pub use content::ContentHash;
pub use edit::MessageMut;
pub use header::Header;
pub use messages::Messages;
pub use pool::Pool;
pub use raw::Raw;
pub use read::{FieldRef, Fields, MessageRef};
pub use record::Label;
pub use selection::Selection;
pub use text::Text;
pub use ticket::{Outcome, Ticket};
pub use uuid::Uuid;
pub use value::{Datum, Value, ValueType};

/// Severity of a message whose sender set none: syslog's "debug".
pub const DEFAULT_SEVERITY: i32 = 7;
