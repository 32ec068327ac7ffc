//! An append-only log in segment files, for what was acknowledged and is not delivered yet. It knows
//! bytes, not messages.
//!
//! One process appends records and gets their numbers, from 1. Any number of readers follow, each at
//! its own pace, and [`Cursors`] remember how far they are. When all are past a segment, it is
//! released, and its file used again: overwriting blocks that exist is cheaper than asking for new.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! use journal::{Cursors, Journal, Settings};
//!
//! let (journal, damage) = Journal::open(dir.path(), Settings::default())?;
//! assert!(damage.is_empty());
//! journal.append(&[b"head", b"body"])?;
//! journal.append(&[b"second"])?;
//! assert_eq!(journal.sync()?, 3); // all below 3 survives a crash
//!
//! let mut reader = journal.reader(1);
//! assert_eq!(reader.next()?.unwrap().bytes, b"headbody");
//!
//! let (mut cursors, _) = Cursors::open(dir.path());
//! cursors.set("output.elastic", reader.position());
//! cursors.save()?;
//! journal.release(2)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it promises:
//!
//! * What `append` has answered survives the end of the process, and what `sync` has answered a crash
//!   of the machine. An append that fails leaves the log as it was.
//! * Damage costs the records whose bytes it hit and is told as a [`Finding`]; it never keeps the log
//!   from opening, and readers go on behind it. The end of the last segment is cut back to the last
//!   whole record.
//! * A file that was copied or renamed among the segments is set aside and told; it does not come in
//!   the way of those whose names are their own. Records that are missing at the end are told as far
//!   as cursors, or who says [`Journal::skip_to`], know of them.
//! * Numbers are not given out twice: neither those that a cursor has seen, nor those in a segment
//!   that was set aside. Who remembers numbers elsewhere says so by [`Journal::skip_to`].
//! * A segment that the disk failed to synchronise is written anew; a second, successful call alone
//!   would prove nothing.
//! * No length in a file makes it allocate more than the file has, or than [`MAX_RECORD`].
//!
//! The alternative, an embedded database, pays for each durable write with more of them, and for
//! deleting with compaction.

mod cursors;
pub mod disk;
mod finding;
pub mod inspect;
mod log;
mod muster;
mod reader;
mod record;
mod recover;
mod release;
mod scan;
mod segment;
mod sync;
mod window;

pub use cursors::Cursors;
pub use finding::{Finding, What};
pub use log::{AppendError, Journal, OpenError, SPARES, Settings};
pub use reader::{Reader, Record};
pub use record::MAX_RECORD;
pub use sync::Lost;
