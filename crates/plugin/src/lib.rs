//! The contract between the engine and its plugins.
//!
//! A plugin is one file: a [`Kind`] that declares its name, options and how to build it, and an
//! implementation of its family's trait. Seven families exist:
//!
//! ```text
//! bytes → Input → Splitter → Decoder → Transform… ── router ─┬→ Filter ── injected → router
//!         └──────── one thread, plain calls ───────┘         └→ Encoder → Output
//! ```
//!
//! Three words for what can go wrong, everywhere: a [`Reject`] is a bad record (counted, kept
//! aside, the next one goes on), a retry is a bad world ([`OutCx::retry`]: back off and try the same
//! again), a [`Fatal`] is a bad plugin (the supervisor restarts it).
//!
//! Plugins hold no retry, batching, buffering or acknowledgement code: the engine does that once,
//! for all. They read no clock but [`Clock`], so every one of them runs under virtual time.

mod build;
mod clock;
mod decode;
mod errors;
mod event;
mod filter;
mod input;
mod kind;
mod meter;
mod nested;
mod output;
mod registry;
mod scripted;
mod split;
mod stop;
pub mod tap;
mod transform;

pub use build::BuildCx;
pub use clock::Clock;
pub use decode::{DecodeCx, Decoder, Record};
pub use errors::{Fatal, Reject};
pub use event::Event;
pub use filter::{Carried, Filter, FilterCx, FilterFailure, Gauge};
pub use input::{Acceptance, Checkpoint, Input, InputCx, Intake, StreamOptions};
pub use kind::{Build, Example, Family, Kind, Preset, Stability};
pub use meter::{Counter, Meter};
pub use nested::Nested;
pub use output::{Encoded, Encoder, OutBatch, OutCx, OutItem, Output, Part, Verdict, Verdicts};
pub use registry::{Library, Registry};
pub use scripted::{Refusal, Scripted};
pub use split::{Found, Split, Splitter};
pub use stop::Stop;
pub use transform::{Transform, Transformed};
