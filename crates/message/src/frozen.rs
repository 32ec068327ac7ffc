//! A batch as bytes for a local journal: about a copy of its memory. Only the version of the program
//! that wrote them is meant to read them; for others there is [`crate::wire`].
//!
//! ```
//! use message::{BatchBuilder, Pool, Selection, frozen};
//!
//! let mut builder = BatchBuilder::default();
//! for line in ["one", "two", "three"] {
//!     builder.add().set_payload(line.as_bytes());
//! }
//! let batch = builder.finish();
//! let wanted = Selection::of(&[2]);
//!
//! let mut freezer = frozen::Freezer::default();
//! let frozen = freezer.freeze(&batch, &wanted);
//! let at = frozen.mapping.index(2).expect("it was selected");
//!
//! let thawed = frozen::thaw(&frozen.parts.concat(), &Pool::default())?;
//! assert_eq!(thawed.get(at).payload(), b"three");
//! assert_eq!(thawed.get(at).uuid(), batch.get(2).uuid());
//! # Ok::<(), frozen::FrozenError>(())
//! ```
//!
//! # Format
//! All little endian.
//!
//! | bytes | |
//! |---|---|
//! | 1 | version, 1 |
//! | 16 | seed of the identities that no sender set |
//! | | a column (see `column.rs`): bytes of the raw block and of the arena, numbers of records, envelopes, labels, fields, values |
//! | | the tables, column by column; those of texts are three: where the first gap begins, lengths, gaps |
//! | | the raw block |
//! | | the arena |
//!
//! Fields and values lie in the order of the messages they belong to, so that a number of fields is
//! enough to find them, and nothing is frozen that belongs to no message.

mod column;
mod read;
mod selection;
mod write;

use std::fmt;

pub use selection::{Mapping, freeze_selection, thaw_selection};

use crate::{Batch, Messages, Pool, Selection, Ticket};

const VERSION: u8 = 1;

/// Least widths of a column of each table: numbers of rows without bytes would cost memory.
const LEAST_TEXT: usize = 1;
const LEAST_LABEL: usize = 1;
/// Doubles and texts fill all eight bytes.
const LEAST_VALUE: usize = 8;

/// Freezes batches, in memory that it keeps for the next one.
#[derive(Default)]
pub struct Freezer {
    tables: Vec<u8>,
    copies: Messages,
}

/// A batch as bytes.
#[derive(Clone, Copy, Debug)]
pub struct Frozen<'a> {
    /// To be written one behind the other. The largest is the batch's own memory, not a copy.
    pub parts: [&'a [u8]; 3],
    /// Where the messages are in the batch that is thawed.
    pub mapping: Mapping<'a>,
}

impl Frozen<'_> {
    /// Bytes of all parts.
    pub fn size(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }
}

impl Freezer {
    /// Freezes the selected messages of a batch, of which the selection's indices are. When they are at least half
    /// of it, or would be larger than all together when they are copied, it is the whole batch.
    ///
    /// Each message keeps its Uuid. What the batch covers of its streams and its loan stay behind.
    pub fn freeze<'a>(&'a mut self, batch: &'a Batch, selection: &'a Selection) -> Frozen<'a> {
        self.tables.clear();
        let (raw, messages, mapping) = if selection.len() * 2 < batch.len() && self.copy(batch, selection) {
            (&b""[..], &self.copies, Mapping::Compact(selection))
        } else {
            (&batch.storage.raw[..], &batch.storage.messages, Mapping::Same)
        };
        write::tables(messages, raw.len(), &mut self.tables);
        Frozen { parts: [&self.tables, raw, &messages.arena], mapping }
    }

    /// Copies the selected messages, unless that takes more than the whole batch: they may have texts
    /// in common.
    fn copy(&mut self, batch: &Batch, selection: &Selection) -> bool {
        self.copies.clear();
        let most = batch.bytes();
        batch.selected(selection).all(|m| {
            self.copies.add().copy_from(m);
            self.copies.bytes() <= most
        })
    }
}

/// The batch that was frozen, without stream positions and with nothing on loan, in memory of `pool`.
///
/// # Errors
/// Anything that a [`Freezer`] of this version does not write, as far as it matters: of the batch of
/// damaged bytes that are not refused, everything can be read.
pub fn thaw(bytes: &[u8], pool: &Pool) -> Result<Batch, FrozenError> {
    let mut storage = pool.take();
    match read::storage(bytes, &mut storage) {
        Ok(()) => Ok(Batch { storage, spans: Vec::new(), loan: Ticket::none(), pool: pool.clone() }),
        Err(error) => {
            pool.give(storage);
            Err(error)
        }
    }
}

/// Why bytes are not a frozen batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrozenError {
    /// Written by another version.
    Version(u8),
    /// The bytes end before the batch does.
    Short,
    /// This many bytes are left behind the batch.
    Long(usize),
    /// This cannot be what it says.
    Damaged(&'static str),
}

impl fmt::Display for FrozenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("frozen batch: ")?;
        match self {
            FrozenError::Version(found) => write!(f, "found version {found}, expected {VERSION}: another version of the program wrote it"),
            FrozenError::Short => f.write_str("found fewer bytes than its counts say"),
            FrozenError::Long(n) => write!(f, "found {n} bytes behind its end, expected none"),
            FrozenError::Damaged(what) => write!(f, "found what cannot be the {what}: the bytes are damaged"),
        }
    }
}

impl std::error::Error for FrozenError {}
