//! Small summaries of large streams: counts of distinct things, membership, quantiles, top items,
//! shapes. Each answers approximately, within bounds that its documentation names, in memory that
//! does not grow with the stream.
//!
//! | | answers | memory | error |
//! | --- | --- | --- | --- |
//! | [`HyperLogLog`] | how many distinct items | 12 KiB | 0.81 % standard error |
//! | [`Bloom`] | was it there before | 1.44 log₂(1/p) bits an item | false positives with probability p |
//! | [`Cuckoo`] | the same, and forgets on request | 17 bits an item | false positives 0.00012 |
//! | [`Expiring`] | the same, and forgets what is old | 26 bits an item | false positives 0.00012 |
//! | [`DdSketch`] | any quantile | 8 bytes a bucket | relative error α |
//! | [`TopK`] | the most frequent items | some 60 bytes an item and its text | N ⁄ capacity |
//! | [`sax::Word`] | how alike two shapes are | one byte a frame | a lower bound of the distance |
//!
//! All are deterministic: the same stream gives the same bytes. All are [`Sketch`]es: `save` writes a
//! versioned form and `restore` reads it back; damaged bytes give `None`, and never more memory than
//! they are long times a small factor. Those that grow can be made to ask before they do:
//! [`TopK::try_add`], [`DdSketch::try_add`].
//!
//! ```
//! let mut visitors = sketch::HyperLogLog::default();
//! for ip in ["10.0.0.1", "10.0.0.2", "10.0.0.1"] {
//!     visitors.add(ip.as_bytes());
//! }
//! assert_eq!(visitors.count(), 2);
//! ```

mod bloom;
mod cuckoo;
mod ddsketch;
mod expiring;
mod hash;
mod hyperloglog;
mod saved;
pub mod sax;
mod sketch;
mod topk;

pub use bloom::Bloom;
pub use cuckoo::{Added, Cuckoo};
pub use ddsketch::DdSketch;
pub use expiring::{Expiring, Seen};
pub use hyperloglog::HyperLogLog;
pub use sketch::{NoRoom, Sketch};
pub use topk::{TopItem, TopK};
