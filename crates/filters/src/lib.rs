//! Computes over the stream and injects what comes out: one file a filter. The Lua adapters of the
//! other families are here too, and the scripts that come with the program ([`library`]).

pub mod count;
pub mod library;
pub mod lua;
pub mod statsd_aggregate;

use plugin::Kind;

pub const KINDS: &[&Kind] = &[
    &count::KIND,
    &lua::decoder::KIND,
    &lua::encoder::KIND,
    &lua::filter::KIND,
    &lua::input::KIND,
    &lua::output::KIND,
    &lua::transform::KIND,
    &statsd_aggregate::KIND,
];
