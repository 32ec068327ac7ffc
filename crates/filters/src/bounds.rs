use std::time::Duration;

use options::{Options, Problem};

/// A number of something within bounds.
///
/// # Errors
/// It is not.
pub(crate) fn within(o: &Options, name: &'static str, least: i64, most: i64) -> Result<usize, Problem> {
    match o.integer(name) {
        n if (least..=most).contains(&n) => Ok(n as usize),
        n => Err(o.problem(name, format!("`{name}` is out of range"), format!("found {n}, expected {least} to {most}"))),
    }
}

/// A time that is not zero.
///
/// # Errors
/// It is.
pub(crate) fn some_time(o: &Options, name: &'static str) -> Result<Duration, Problem> {
    let time = o.duration(name);
    if time.is_zero() {
        return Err(o.problem(name, format!("`{name}` is out of range"), "found no time at all, expected something like \"5s\""));
    }
    Ok(time)
}

/// Nanoseconds; 292 years are as long as it gets.
pub(crate) fn nanoseconds(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}
