use std::time::Duration;

use options::{Options, Problem};

/// 292 years are as long as it gets.
pub(super) fn nanoseconds(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}

/// A time that is not zero, in nanoseconds.
pub(super) fn some_time(o: &Options, name: &'static str) -> Result<i64, Problem> {
    match nanoseconds(o.duration(name)) {
        0 => Err(o.problem(name, format!("`{name}` is out of range"), "found no time at all, expected something like \"5s\"")),
        ns => Ok(ns),
    }
}

/// A number of something within bounds.
pub(super) fn within(o: &Options, name: &'static str, least: i64, most: i64) -> Result<u64, Problem> {
    match o.integer(name) {
        n if (least..=most).contains(&n) => Ok(n as u64),
        n => Err(o.problem(name, format!("`{name}` is out of range"), format!("found {n}, expected {least} to {most}"))),
    }
}
