//! Metrics as messages: the StatsD dialects and the exact aggregation that follows them.
//!
//! [`statsd`] reads lines in place, [`Aggregator`] adds the samples up, and every flush turns what
//! was added up into messages of Type `metric`: Fields `name`, `value`, `kind` (that of the
//! samples: `counter`, `gauge`, `timer` or `set`), and a field for every tag. Names and formulas
//! are those of Etsy's statsd with its Graphite backend.
//!
//! ```
//! use message::{BatchBuilder, Value};
//! use metrics::{AggregateOptions, Aggregator, Dialect};
//!
//! let mut aggregator = Aggregator::new(AggregateOptions::default());
//! aggregator.packet(b"hits:3|c\nhits:2|c|@0.5\n", Dialect::Etsy, &mut |line, why| panic!("{line:?} {why}"));
//!
//! let mut out = BatchBuilder::default();
//! aggregator.flush(10_000_000_000).write_all(out.messages());
//! assert_eq!(out.get(1).value(b"name", 0, 0), Some(Value::String(b"stats.counters.hits.count")));
//! assert_eq!(out.get(1).value(b"value", 0, 0), Some(Value::Integer(7)));
//! ```

mod aggregate;
mod flush;
mod hash;
mod index;
mod key;
mod names;
mod number;
pub mod point;
mod settings;
mod state;
pub mod statsd;
mod timer;

pub use aggregate::{Aggregator, Refused};
pub use flush::Flush;
pub use key::{RESERVED_FIELDS, is_reserved, tags};
pub use point::{NewPoint, Number, Point, PointKind};
pub use settings::{AGGREGATE_OPTIONS, AggregateOptions, Bin, Histogram, with_aggregate};
pub use statsd::{Dialect, Malformed, Measure, Sample};
