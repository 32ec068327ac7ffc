/// What RFC 3339 asks for, for error messages.
pub(crate) const SHAPE: &str = "an RFC 3339 time such as '2015-04-11T17:30:26.112Z'";

/// Nanoseconds since the UNIX epoch of an [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339#section-5.6)
/// time: `T`, `t` or a space between date and time, at most nine digits of a second, `Z`, `±hh:mm`
/// or `±hhmm`. A leap second counts as the second after it. Says what is wrong otherwise.
pub(crate) fn parse(text: &str) -> Result<i64, &'static str> {
    let mut rest = text.as_bytes();
    let r = &mut rest;
    let (year, month, day) = (number(r, 4)?, after(r, b"-", 2)?, after(r, b"-", 2)?);
    let (hour, minute, second) = (after(r, b"Tt ", 2)?, after(r, b":", 2)?, after(r, b":", 2)?);
    let fraction = fraction(r)?;
    let offset = offset(r)?;
    if !rest.is_empty() {
        return Err("it goes on after the offset");
    }
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return Err("there is no such day");
    }
    if hour > 23 || minute > 59 || second > 60 {
        return Err("there is no such time of day");
    }
    let seconds = days_from_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    let ns = i128::from(seconds) * 1_000_000_000 + i128::from(fraction);
    i64::try_from(ns).map_err(|_| "it must lie between the years 1678 and 2262")
}

const MALFORMED: &str = "write year-month-day, T, hours:minutes:seconds and an offset";

/// Exactly `digits` decimal digits.
fn number(rest: &mut &[u8], digits: usize) -> Result<i64, &'static str> {
    let (head, tail) = rest.split_at_checked(digits).ok_or(MALFORMED)?;
    if !head.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    *rest = tail;
    Ok(head.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
}

/// One byte of `separator`, then a number.
fn after(rest: &mut &[u8], separator: &[u8], digits: usize) -> Result<i64, &'static str> {
    let (first, tail) = rest.split_first().ok_or(MALFORMED)?;
    if !separator.contains(first) {
        return Err(MALFORMED);
    }
    *rest = tail;
    number(rest, digits)
}

/// Nanoseconds of an optional fraction of a second.
fn fraction(rest: &mut &[u8]) -> Result<i64, &'static str> {
    let Some(tail) = rest.strip_prefix(b".") else { return Ok(0) };
    *rest = tail;
    let digits = tail.iter().take_while(|c| c.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return Err("a second has one to nine decimals");
    }
    Ok(number(rest, digits)? * 10_i64.pow(9 - digits as u32))
}

/// Seconds to subtract from local time.
fn offset(rest: &mut &[u8]) -> Result<i64, &'static str> {
    let (first, tail) = rest.split_first().ok_or("end it with Z or an offset such as +02:00")?;
    *rest = tail;
    let sign = match first {
        b'Z' | b'z' => return Ok(0),
        b'+' => 1,
        b'-' => -1,
        _ => return Err("end it with Z or an offset such as +02:00"),
    };
    let hours = number(rest, 2)?;
    let minutes = if rest.first() == Some(&b':') { after(rest, b":", 2)? } else { number(rest, 2)? };
    if hours > 23 || minutes > 59 {
        return Err("there is no such offset");
    }
    Ok(sign * (hours * 3600 + minutes * 60))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, for years from 0 on. Counts in years that begin
/// in March, so that the leap day is the last of its year and months follow a line of 153 days in 5.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Counts day by day what [`days_from_epoch`] computes.
    fn slow_days(year: i64, month: i64, day: i64) -> i64 {
        let length = |y| if is_leap(y) { 366 } else { 365 };
        let years: i64 = if year >= 1970 { (1970..year).map(length).sum() } else { -(year..1970).map(length).sum::<i64>() };
        years + (1..month).map(|m| days_in(year, m)).sum::<i64>() + day - 1
    }

    #[test]
    fn known_times() {
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2015-04-11T17:30:26.112Z", 1_428_773_426_112_000_000),
            ("2015-04-11t17:30:26.112z", 1_428_773_426_112_000_000),
            ("2015-04-11 19:30:26.112+02:00", 1_428_773_426_112_000_000),
            ("2015-04-11T10:30:26.112-0700", 1_428_773_426_112_000_000),
            ("2015-04-12T00:30:26.112+0700", 1_428_773_426_112_000_000),
            ("1969-12-31T23:59:59.999999999Z", -1),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000),
            ("2262-04-11T23:47:16.854775807Z", i64::MAX),
        ] {
            assert_eq!(parse(text), Ok(ns), "{text}");
        }
    }

    #[test]
    fn malformed_times() {
        for text in [
            "",
            "2015",
            "2015-04-11",
            "2015-04-11T17:30:26",
            "2015-04-11T17:30Z",
            "2015-02-29T00:00:00Z",
            "2015-00-01T00:00:00Z",
            "2015-01-00T00:00:00Z",
            "2015-13-01T00:00:00Z",
            "2015-04-11T24:00:00Z",
            "2015-04-11T17:60:00Z",
            "2015-04-11T17:30:61Z",
            "2015-04-11T17:30:26.Z",
            "2015-04-11T17:30:26.0123456789Z",
            "2015-04-11T17:30:26+2",
            "2015-04-11T17:30:26+24:00",
            "2015-04-11T17:30:26Zx",
            "2015-04-11X17:30:26Z",
            "+015-04-11T17:30:26Z",
            "2262-04-11T23:47:16.854775808Z",
            "1600-01-01T00:00:00Z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_counting_days(
            year in 1678_i64..2262, month in 1_i64..=12, day in 1_i64..=31, second in 0_i64..86_400, ns in 0_i64..1_000_000_000,
            offset in -1439_i64..1440, colon: bool,
        ) {
            let day = day.min(days_in(year, month));
            let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
            let (sign, o) = (if offset < 0 { '-' } else { '+' }, offset.abs());
            let colon = if colon { ":" } else { "" };
            let text = format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ns:09}{sign}{:02}{colon}{:02}", o / 60, o % 60);
            let expected = (slow_days(year, month, day) * 86_400 + second - offset * 60) * 1_000_000_000 + ns;
            prop_assert_eq!(parse(&text), Ok(expected));
        }

        #[test]
        fn never_panics(text in "[0-9TZ:.+ -]{0,40}|.{0,40}") {
            let _ = parse(&text);
        }
    }
}
