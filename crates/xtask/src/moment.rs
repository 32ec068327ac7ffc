//! Moments on the wall clock, as nanoseconds since 1970 UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now. Provers compare it with the timestamps of messages.
#[expect(clippy::disallowed_methods, reason = "what is measured is the program's real clock, from outside of it")]
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64)
}

/// Reads RFC 3339 in the one shape the `json` encoder writes: `2023-11-14T22:13:20.123456789Z`.
pub fn parse(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let seconds = number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
    let fraction = text.get(19..)?.strip_suffix('Z')?.trim_start_matches('.');
    let nanos = format!("{fraction:0<9}").get(..9)?.parse::<i64>().ok()?;
    // Days of the civil calendar, with years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + seconds) * 1_000_000_000 + nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read() {
        assert_eq!(parse("1970-01-01T00:00:00.000000000Z"), Some(0));
        assert_eq!(parse("2023-11-14T22:13:20.123456789Z"), Some(1_700_000_000_123_456_789));
        assert_eq!(parse("2024-02-29T00:00:00.5Z"), Some(1_709_164_800_500_000_000));
        assert_eq!(parse("2023-11-14 22:13"), None);
    }
}
