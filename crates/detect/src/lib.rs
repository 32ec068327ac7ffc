//! Notices change in series of numbers: pure streaming algorithms.
//!
//! A [`Ring`] holds the last so many intervals of some columns of numbers. [`Statistic`]s and the
//! rank test [`mann_whitney`] look at ranges of it, and a [`Check`], read from a configuration text
//! by [`parse`], compares its newest window with those before. The text formats `cbuf` and `cbufd`
//! of a ring are those of Heka's circular buffer.
//!
//! ```
//! use detect::{Ring, parse};
//!
//! let mut ring = Ring::new(60, 1, 60, false)?;
//! for minute in 0..60 {
//!     let requests = if minute < 58 { 10 + minute % 3 } else { 90 };
//!     ring.add(minute * 60_000_000_000, 0, requests as f64);
//! }
//! let (name, check) = parse(r#"roc("requests", 1, 5, 0, 2, true, false)"#)?.remove(0);
//! assert_eq!(name, "requests");
//! assert_eq!(check.run(&ring)?.as_deref(), Some("detected anomaly, standard deviation exceeds 2"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod config;
mod number;
mod rank;
mod ring;
mod saved;
mod statistic;
mod text;

pub use check::{Algorithm, Check, OutOfRange, Trend};
pub use config::{Malformed, parse};
pub use number::{general, write_number};
pub use rank::{RankTest, mann_whitney};
pub use ring::{Aggregation, Annotation, Column, Ring, Rows, Size};
pub use statistic::Statistic;
pub use text::BadText;
