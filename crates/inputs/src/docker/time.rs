//! The engine's times: RFC 3339 with up to nine decimals.

/// Nanoseconds since the epoch.
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| {
        let digits = text.get(range)?;
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0i64, |n, d| n * 10 + i64::from(d - b'0')))
    };
    let fixed = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !fixed.iter().all(|(at, b)| text.get(*at) == Some(b)) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    // Other years do not fit into nanoseconds of 64 bits.
    if !in_range || !(1678..2262).contains(&year) {
        return None;
    }
    let mut at = 19;
    let mut nanos = 0;
    if text.get(at) == Some(&b'.') {
        let digits = text[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        nanos = (digits > 0 && digits <= 9).then(|| number(at + 1..at + 1 + digits))?? * 10i64.pow(9 - digits as u32);
        at += 1 + digits;
    }
    let offset = match text.get(at..)? {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let seconds = number(at + 1..at + 3)? * 3600 + number(at + 4..at + 6)? * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    Some((days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset) * 1_000_000_000 + nanos)
}

/// Days since 1970-01-01 of the Gregorian calendar: years begin in March here, so that leap days are last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// As the engine takes times: seconds since the epoch, with nine decimals.
pub(super) fn seconds(ns: i64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let of = |text: &str| parse(text.as_bytes());
        assert_eq!(of("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(of("2001-09-09T01:46:40.000000123Z"), Some(1_000_000_000_000_000_123));
        assert_eq!(of("2024-02-29T23:59:59.5+01:30"), of("2024-02-29T22:29:59.500Z"));
        assert_eq!(of("2024-03-01T00:00:00Z").unwrap() - of("2024-02-29T00:00:00Z").unwrap(), 86400 * 1_000_000_000);
        for bad in [
            "",
            "2024-02-29",
            "2024-13-01T00:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.1234567890Z",
            "0001-01-01T00:00:00Z",
            "2024-01-01T00:00:00.Z",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(seconds(1_500_000_001), "1.500000001");
    }
}
