//! Encoders write messages as bytes, with whatever ends or frames a record in their format.

pub mod heka;
pub mod json;
pub mod line;
mod names;
mod number;
pub mod payload;
pub mod printable;
pub mod syslog;
pub mod text;

use plugin::Kind;

pub const KINDS: &[&Kind] = &[&heka::KIND, &json::KIND, &line::KIND, &payload::KIND, &syslog::KIND, &text::KIND];
