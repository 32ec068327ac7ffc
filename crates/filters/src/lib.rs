//! Computes over the stream and injects what comes out: one file a filter. The Lua adapters of the
//! other families are here too, and the scripts that come with the program ([`library`]).

pub mod aggregate;
#[cfg(test)]
mod bench;
mod bounds;
pub mod count;
pub mod join;
pub mod library;
pub mod log_to_metric;
pub mod lua;
mod metric;
mod pending;
pub mod reduce;
mod saved;
pub mod statsd_aggregate;
mod stored;
pub mod top;
pub mod watch_cardinality;

use plugin::Kind;

pub const KINDS: &[&Kind] = &[
    &aggregate::KIND,
    &count::KIND,
    &join::KIND,
    &log_to_metric::KIND,
    &lua::decoder::KIND,
    &lua::encoder::KIND,
    &lua::filter::KIND,
    &lua::input::KIND,
    &lua::output::KIND,
    &lua::transform::KIND,
    &reduce::KIND,
    &statsd_aggregate::KIND,
    &top::KIND,
    &watch_cardinality::KIND,
];
