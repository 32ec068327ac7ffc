use super::civil::{Civil, DAY, SECOND};

/// The number of `N` decimal digits at `at`.
fn number<const N: usize>(text: &[u8], at: usize) -> Option<u32> {
    let digits: &[u8; N] = text.get(at..at + N)?.try_into().ok()?;
    let (mut n, mut worst) = (0, 0);
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        worst = worst.max(digit);
        n = n * 10 + u32::from(digit);
    }
    (worst <= 9).then_some(n)
}

/// The month with this English abbreviation, from 1.
fn month(name: &[u8]) -> Option<u32> {
    const NAMES: [&[u8; 3]; 12] = [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    let name: &[u8; 3] = name.try_into().ok()?;
    let lower = name.map(|b| b.to_ascii_lowercase());
    NAMES.iter().position(|n| **n == lower).map(|at| at as u32 + 1)
}

/// Hours, minutes and seconds of `hh:mm:ss` at `at`.
fn time_of_day(text: &[u8], at: usize) -> Option<(u32, u32, u32)> {
    let colons = *text.get(at + 2)? == b':' && *text.get(at + 5)? == b':';
    let hms = (number::<2>(text, at)?, number::<2>(text, at + 3)?, number::<2>(text, at + 6)?);
    colons.then_some(hms)
}

/// Seconds east of UTC of `Z`, `±hh:mm` or `±hhmm`.
fn offset(text: &[u8]) -> Option<i64> {
    let (hours, minutes) = match text {
        [b'Z' | b'z'] => return Some(0),
        [_, _, _, b':', ..] if text.len() == 6 => (number::<2>(text, 1)?, number::<2>(text, 4)?),
        _ if text.len() == 5 => (number::<2>(text, 1)?, number::<2>(text, 3)?),
        _ => return None,
    };
    let seconds = i64::from(hours * 3600 + minutes * 60);
    match text[0] {
        _ if hours > 23 || minutes > 59 => None,
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// The leading digits of a fraction as nanoseconds, and how many there are; `None` for none or
/// more than nine.
fn fraction(text: &[u8]) -> Option<(i64, usize)> {
    const SCALE: [i64; 10] = [0, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1000, 100, 10, 1];
    let (mut n, mut digits) = (0_i64, 0);
    for digit in text.iter().map(|b| b.wrapping_sub(b'0')).take_while(|d| *d <= 9) {
        (n, digits) = (n.wrapping_mul(10).wrapping_add(i64::from(digit)), digits + 1);
    }
    (1..=9).contains(&digits).then(|| (n * SCALE[digits], digits))
}

/// Nanoseconds since the UNIX epoch of an [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339#section-5.6)
/// time such as `2023-11-14T22:13:20.123Z`: `T` or a space between date and time, up to nine decimals
/// of a second, `Z`, `±hh:mm` or `±hhmm`. Nothing may stand before or behind it.
pub fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    if head[4] != b'-' || head[7] != b'-' || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let (hour, minute, second) = time_of_day(head, 11)?;
    let (year, month, day) = (number::<4>(head, 0)?.into(), number::<2>(head, 5)?, number::<2>(head, 8)?);
    let seconds = Civil { year, month, day, hour, minute, second }.seconds()?;
    let (ns, tail) = match tail {
        [b'.', tail @ ..] => fraction(tail).map(|(ns, digits)| (ns, &tail[digits..]))?,
        tail => (0, tail),
    };
    (seconds - offset(tail)?).checked_mul(SECOND)?.checked_add(ns)
}

/// Nanoseconds since the UNIX epoch of a time in the Common Log Format of web servers,
/// `10/Oct/2000:13:55:36 -0700`. Nothing may stand before or behind it.
pub fn parse_clf(text: &[u8]) -> Option<i64> {
    let text: &[u8; 26] = text.try_into().ok()?;
    if text[2] != b'/' || text[6] != b'/' || text[11] != b':' || text[20] != b' ' {
        return None;
    }
    let (hour, minute, second) = time_of_day(text, 12)?;
    let (year, month, day) = (number::<4>(text, 7)?.into(), month(&text[3..6])?, number::<2>(text, 0)?);
    let seconds = Civil { year, month, day, hour, minute, second }.seconds()?;
    (seconds - offset(&text[21..])?).checked_mul(SECOND)
}

/// Nanoseconds since the UNIX epoch of a [BSD syslog](https://www.rfc-editor.org/rfc/rfc3164#section-4.1.2)
/// time, `Oct  9 22:13:20`, taken as UTC. A day below ten is written with a space, a zero or
/// neither. The year is [`year_near`] `now` (nanoseconds since the UNIX epoch).
pub fn parse_rfc3164(text: &[u8], now: i64) -> Option<i64> {
    let month = month(text.get(..3)?)?;
    let (day, at) = match text.get(3..)? {
        [b' ', b' ', d, b' ', ..] => (d.wrapping_sub(b'0').into(), 7),
        [b' ', d, b' ', ..] => (d.wrapping_sub(b'0').into(), 6),
        [b' ', _, _, b' ', ..] => (number::<2>(text, 4)?, 7),
        _ => return None,
    };
    let (hour, minute, second) = time_of_day(text, at)?;
    if text.len() != at + 8 {
        return None;
    }
    year_near(now, |year| Civil { year, month, day, hour, minute, second }.seconds()?.checked_mul(SECOND))
}

/// The moment that a time without a year most likely means: the latest one that is not more than a
/// day ahead of `now`, because clocks differ. `at` is the moment in a given year.
pub(super) fn year_near(now: i64, at: impl Fn(i64) -> Option<i64>) -> Option<i64> {
    let year = Civil::at(now.div_euclid(SECOND)).year;
    let latest = now.saturating_add(DAY * SECOND);
    // The 29th of February exists in the last eight years at least once.
    (year - 8..=year + 1).rev().filter_map(at).find(|ns| *ns <= latest)
}

/// Nanoseconds since the UNIX epoch of a number of seconds, milliseconds, microseconds or
/// nanoseconds since then, told apart by the digits before the point: up to 11 (the year 5138), 14,
/// 17 and 19. Decimals beyond the nanosecond are cut off.
pub fn epoch(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text).iter().take_while(|b| b.is_ascii_digit()).count();
    let unit = match digits {
        0..=11 => SECOND,
        12..=14 => 1_000_000,
        15..=17 => 1000,
        _ => 1,
    };
    epoch_in(text, unit)
}

/// As [`epoch`], in units of `unit` nanoseconds.
pub(super) fn epoch_in(text: &[u8], unit: i64) -> Option<i64> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || digits > 19 {
        return None;
    }
    let whole = text[..digits].iter().try_fold(0_i64, |n, b| n.checked_mul(10)?.checked_add(i64::from(b - b'0')))?;
    let decimals = match &text[digits..] {
        [] => 0,
        [b'.', decimals @ ..] if !decimals.is_empty() && decimals.iter().all(u8::is_ascii_digit) => {
            fraction(&decimals[..decimals.len().min(9)])?.0
        }
        _ => return None,
    };
    let ns = whole.checked_mul(unit)?.checked_add(decimals / (SECOND / unit))?;
    Some(if negative { -ns } else { ns })
}
