//! Times as people write them, for `write_message("Timestamp", text)`.

use crate::clock::days;

/// What is taken, in this order: `%` and a letter stand for a part, a space for any number of them, and everything else for itself.
/// RFC 3339 and its looser kin, RFC 1123, RFC 850, RFC 822, C's asctime with and without a zone, and that without a year.
const LAYOUTS: &[&str] = &[
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S %z",
    "%Y-%m-%d %H:%M:%S%z",
    "%Y-%m-%d %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a, %d-%b-%y %H:%M:%S %z",
    "%d %b %y %H:%M %z",
    "%d %b %Y %H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S %z",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S %z %Y",
    "%b %d %H:%M:%S",
    "%Y-%m-%d",
];

const SECOND: i64 = 1_000_000_000;
const MONTHS: [&[u8]; 12] = [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
/// The zones that RFC 822 names, in hours east of Greenwich. Any other name counts as UTC.
const ZONES: [(&[u8], i64); 8] =
    [(b"EST", -5), (b"EDT", -4), (b"CST", -6), (b"CDT", -5), (b"MST", -7), (b"MDT", -6), (b"PST", -8), (b"PDT", -7)];

/// Nanoseconds since the UNIX epoch that a text tells: a number of seconds, milliseconds, microseconds or nanoseconds, by its size, or a time in
/// one of the layouts, UTC unless it says otherwise. A time without a year is the latest that is not a day ahead of `now`.
pub(super) fn parse(text: &[u8], now: i64) -> Option<i64> {
    let text = text.trim_ascii();
    if let Some(n) = std::str::from_utf8(text).ok().and_then(|t| t.parse::<i64>().ok()) {
        return epoch(n);
    }
    LAYOUTS.iter().find_map(|layout| read(layout.as_bytes(), text)?.ns(now))
}

fn epoch(n: i64) -> Option<i64> {
    let unit = match n.unsigned_abs() {
        0..100_000_000_000 => SECOND,
        100_000_000_000..100_000_000_000_000 => SECOND / 1000,
        100_000_000_000_000..100_000_000_000_000_000 => SECOND / 1_000_000,
        _ => 1,
    };
    n.checked_mul(unit)
}

#[derive(Default)]
struct Moment {
    year: Option<i64>,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    /// Seconds east of Greenwich.
    offset: i64,
}

impl Moment {
    fn ns(self, now: i64) -> Option<i64> {
        let valid = (1..=12).contains(&self.month) && self.hour < 24 && self.minute < 60 && self.second <= 60;
        let in_year = |year| {
            let day = days(year, self.month, self.day);
            let in_month = self.day >= 1 && day < days(year, self.month + 1, 1);
            let seconds = day * 86_400 + self.hour * 3600 + self.minute * 60 + self.second - self.offset;
            in_month.then(|| seconds.checked_mul(SECOND)?.checked_add(self.nanos)).flatten()
        };
        if !valid {
            return None;
        }
        if let Some(year) = self.year {
            return in_year(year);
        }
        // Years have at most this many days, so this is too early rather than too late.
        let this = 1970 + now.div_euclid(366 * 86_400 * SECOND);
        (this - 1..this + 3).rev().filter_map(in_year).find(|ns| *ns <= now.saturating_add(86_400 * SECOND))
    }
}

/// Reads a text that is all of the layout.
fn read(layout: &[u8], text: &[u8]) -> Option<Moment> {
    let (mut moment, mut rest) = (Moment::default(), text);
    let mut parts = layout.iter();
    while let Some(&part) = parts.next() {
        match part {
            b'%' => rest = part_of(&mut moment, *parts.next()?, rest)?,
            b' ' => {
                let trimmed = rest.trim_ascii_start();
                if trimmed.len() == rest.len() {
                    return None;
                }
                rest = trimmed;
            }
            other => rest = rest.strip_prefix(&[other])?,
        }
    }
    rest.is_empty().then_some(moment)
}

/// Reads one part and returns what follows it.
fn part_of<'t>(m: &mut Moment, part: u8, text: &'t [u8]) -> Option<&'t [u8]> {
    match part {
        b'a' => letters(text, 3).map(|(_, rest)| rest),
        b'b' => {
            let (name, rest) = letters(text, 3)?;
            m.month = MONTHS.iter().position(|month| name[..3].eq_ignore_ascii_case(month))? as i64 + 1;
            Some(rest)
        }
        b'Y' => {
            let (n, rest) = digits(text, 4, 4)?;
            m.year = Some(n);
            Some(rest)
        }
        b'y' => {
            let (n, rest) = digits(text, 2, 2)?;
            m.year = Some(if n < 69 { 2000 + n } else { 1900 + n });
            Some(rest)
        }
        b'm' => number(&mut m.month, text, 2),
        b'd' => number(&mut m.day, text, 1),
        b'H' => number(&mut m.hour, text, 2),
        b'M' => number(&mut m.minute, text, 2),
        b'S' => {
            let rest = number(&mut m.second, text, 2)?;
            fraction(m, rest)
        }
        b'z' => zone(m, text),
        _ => None,
    }
}

fn letters(text: &[u8], least: usize) -> Option<(&[u8], &[u8])> {
    let n = text.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    (n >= least).then(|| text.split_at(n))
}

fn digits(text: &[u8], least: usize, most: usize) -> Option<(i64, &[u8])> {
    let n = text.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
    (n >= least).then(|| (text[..n].iter().fold(0, |sum, b| sum * 10 + i64::from(b - b'0')), &text[n..]))
}

fn number<'t>(into: &mut i64, text: &'t [u8], least: usize) -> Option<&'t [u8]> {
    let (n, rest) = digits(text, least, 2)?;
    *into = n;
    Some(rest)
}

/// Reads the fraction of a second, if there is one; beyond nanoseconds it is cut.
fn fraction<'t>(m: &mut Moment, text: &'t [u8]) -> Option<&'t [u8]> {
    let Some(rest) = text.strip_prefix(b".").or_else(|| text.strip_prefix(b",")) else { return Some(text) };
    let n = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (mut nanos, mut unit) = (0, SECOND / 10);
    for digit in &rest[..n] {
        nanos += i64::from(digit - b'0') * unit;
        unit /= 10;
    }
    m.nanos = nanos;
    (n > 0).then(|| &rest[n..])
}

/// Reads `Z`, `+hh:mm`, `-hhmm`, `+hh` or a zone's name.
fn zone<'t>(m: &mut Moment, text: &'t [u8]) -> Option<&'t [u8]> {
    let (sign, rest) = match text.first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => {
            let (name, rest) = letters(text, 1)?;
            m.offset = ZONES.iter().find(|(zone, _)| *zone == name).map_or(0, |(_, hours)| hours * 3600);
            return (name.len() <= 5 && name.iter().all(u8::is_ascii_uppercase)).then_some(rest);
        }
    };
    let (hours, rest) = digits(rest, 2, 2)?;
    let minutes = rest.strip_prefix(b":").unwrap_or(rest);
    let (minutes, rest) = digits(minutes, 2, 2).unwrap_or((0, rest));
    m.offset = sign * (hours * 3600 + minutes * 60);
    (hours < 24 && minutes < 60).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000 * SECOND; // 2023-11-14T22:13:20Z

    fn seconds(text: &str) -> Option<f64> {
        parse(text.as_bytes(), NOW).map(|ns| ns as f64 / 1e9)
    }

    #[test]
    fn every_layout_is_read() {
        for text in [
            "2023-11-14T22:13:20Z",
            "2023-11-14T23:13:20+01:00",
            "2023-11-14T15:13:20-0700",
            "2023-11-14T22:13:20",
            "2023-11-14 22:13:20",
            "2023-11-14 22:13:20 UTC",
            "2023-11-14 23:13:20 +0100",
            "2023-11-14 23:13:20+01",
            "2023/11/14 22:13:20",
            "Tue, 14 Nov 2023 22:13:20 GMT",
            "Tue, 14 Nov 2023 17:13:20 EST",
            "Tue, 14 Nov 2023 23:13:20 +0100",
            "Tuesday, 14-Nov-23 22:13:20 UTC",
            "14 Nov 2023 22:13:20 Z",
            "14/Nov/2023:22:13:20 +0000",
            "Tue Nov 14 22:13:20 2023",
            "Tue Nov 14 22:13:20 UTC 2023",
            "Tue Nov 14 23:13:20 +0100 2023",
            "Nov 14 22:13:20",
            " 1700000000 ",
            "1700000000000",
            "1700000000000000",
            "1700000000000000000",
        ] {
            assert_eq!(seconds(text), Some(1_700_000_000.0), "{text}");
        }
        assert_eq!(seconds("14 Nov 23 22:13 UTC"), Some(1_699_999_980.0));
        assert_eq!(seconds("14 Nov 23 22:13 +0000"), Some(1_699_999_980.0));
        assert_eq!(seconds("2023-11-14"), Some(1_699_920_000.0));
        assert_eq!(seconds("Mon Nov  6 22:13:20 2023"), Some(1_699_308_800.0));
        assert_eq!(seconds("-1"), Some(-1.0));
    }

    #[test]
    fn fractions_are_exact_to_the_nanosecond() {
        assert_eq!(parse(b"2023-11-14T22:13:20.123456789Z", NOW), Some(NOW + 123_456_789));
        assert_eq!(parse(b"2023-11-14T22:13:20.1234567891Z", NOW), Some(NOW + 123_456_789));
        assert_eq!(parse(b"Nov 14 22:13:20.5", NOW), Some(NOW + SECOND / 2));
        assert_eq!(parse(b"2023-11-14 22:13:20,25", NOW), Some(NOW + SECOND / 4));
    }

    #[test]
    fn without_a_year_it_is_the_latest_that_is_not_ahead() {
        let year = |text: &str| seconds(text).map(|s| 1970.0 + (s / 31_556_952.0).floor());
        assert_eq!(year("Nov 15 22:00:00"), Some(2023.0)); // a clock may be ahead a little
        assert_eq!(year("Nov 16 23:00:00"), Some(2022.0));
        assert_eq!(year("Jan 02 00:00:00"), Some(2023.0));
        assert_eq!(parse(b"Feb 29 12:00:00", NOW), None); // neither 2021 nor 2022 nor 2023 has one
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "x",
            "2023-02-30T00:00:00Z",
            "2023-13-01",
            "2023-11-14T24:00:00Z",
            "2023-11-14T22:13:20Zz",
            "22:13",
            "99999999999999999999",
            "Nov",
            "2023-11-14T22:13:20.",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
