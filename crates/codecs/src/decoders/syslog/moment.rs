use super::zone::Zone;
use crate::time::{parse_clf, parse_rfc3164, parse_rfc3339};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Reads times of the two RFCs. Messages come many to a minute, so that date, hour and minute are
/// mostly the same bytes as before; only seconds and fraction are read anew.
#[derive(Debug)]
pub(super) struct Moments {
    zone: Zone,
    /// `2003-10-11T22:14`, and the nanoseconds since the UNIX epoch then, in the offset it has.
    iso: ([u8; 16], i64),
    /// `Oct 11 22:14`, and the same in local time.
    plain: ([u8; 12], i64),
}

/// A time in a record and where it ends.
pub(super) type Ending = (i64, usize);

impl Moments {
    pub fn new(zone: Zone) -> Moments {
        Moments { zone, iso: ([0; 16], 0), plain: ([0; 12], 0) }
    }

    /// Reads the time of RFC 5424 at `at`: `2003-10-11T22:14:15.003Z`, with up to six decimals and `Z` or
    /// `±hh:mm`. If `lenient`, with up to nine, a space in place of the `T`, a comma as the point, an offset
    /// without a colon, or none: the `zone` then.
    #[inline]
    pub fn iso(&mut self, line: &[u8], at: usize, lenient: bool) -> Option<Ending> {
        let rest = line.get(at..)?;
        let (head, tail) = rest.split_first_chunk::<16>()?;
        if *head != self.iso.0 {
            self.iso = (*head, minute_of_iso(head)?);
        }
        if head[10] != b'T' && !lenient {
            return None;
        }
        let (second, mut tail) = seconds(tail, lenient)?;
        let mut ns = self.iso.1 + second;
        if let [b'.' | b',', digits @ ..] = tail
            && (tail[0] == b'.' || lenient)
        {
            let (fraction, length) = fraction(digits, if lenient { 9 } else { 6 })?;
            (ns, tail) = (ns + fraction, &digits[length..]);
        }
        let (offset, length) = match offset(tail, lenient) {
            Some(found) => found,
            None if lenient => (self.zone.offset(ns.div_euclid(SECOND)), 0),
            None => return None,
        };
        Some((ns.checked_sub(offset * SECOND)?, line.len() - tail.len() + length))
    }

    /// Reads the time of RFC 3164 at `at`, `Oct 11 22:14:15`, in the `zone`. `now` gives the year.
    #[inline]
    pub fn plain(&mut self, line: &[u8], at: usize, now: i64) -> Option<Ending> {
        let (head, tail) = line.get(at..)?.split_first_chunk::<12>()?;
        let (second, tail) = seconds(tail, true)?;
        // What is remembered still is the latest that fits: it is of the last three hundred days.
        let age = now.saturating_sub(self.plain.1);
        if *head != self.plain.0 || !(-DAY / 2..300 * DAY).contains(&age) {
            let mut text = *b"Oct 11 22:14:00";
            text[..12].copy_from_slice(head);
            self.plain = (*head, parse_rfc3164(&text, self.zone.local(now))?);
        }
        self.utc(self.plain.1 + second).map(|ns| (ns, line.len() - tail.len()))
    }

    /// As [`Moments::plain`] for what devices write: a day of one digit, a year before the month, before the time or behind it,
    /// decimals.
    pub fn device(&mut self, line: &[u8], at: usize, now: i64) -> Option<Ending> {
        let mut words = Words { line, at };
        let first = words.next()?;
        let (year, month) = if is_year(first) { (Some(first), words.next()?) } else { (None, first) };
        let day = words.next().filter(|day| (1..=2).contains(&day.len()) && day.iter().all(u8::is_ascii_digit))?;
        let before_time = words.at;
        let (year, time) = match words.next()? {
            word if year.is_none() && is_year(word) => (Some(word), words.skip_spaces()),
            _ => (year, Words { line, at: before_time }.skip_spaces()),
        };
        let (minute, tail) = line.get(time..)?.split_first_chunk::<5>()?;
        let (second, mut tail) = seconds(tail, true)?;
        let mut decimals = 0;
        if let [b'.' | b',', digits @ ..] = tail
            && let Some((ns, length)) = fraction(digits, 9)
        {
            (decimals, tail) = (ns, &digits[length..]);
        }
        // A year behind the time is taken for one only if it cannot be the beginning of something else.
        let behind = match tail {
            [b' ', year @ ..] if year.len() > 4 && is_year(&year[..4]) && matches!(year[4], b' ' | b':') => Some(&year[..4]),
            _ => None,
        };
        let (year, tail) = match (year, behind) {
            (None, Some(behind)) => (Some(behind), &tail[5..]),
            (year, _) => (year, tail),
        };
        let local = match year {
            Some(year) => {
                let day: &[u8] = if day.len() == 1 { &[b'0', day[0]] } else { day };
                parse_clf(&[day, b"/", month, b"/", year, b":", minute, b":00 +0000"].concat())
            }
            None => parse_rfc3164(&[month, b" ", day, b" ", minute, b":00"].concat(), self.zone.local(now)),
        };
        self.utc(local? + second + decimals).map(|ns| (ns, line.len() - tail.len()))
    }

    /// The moment that is this local time.
    fn utc(&mut self, local: i64) -> Option<i64> {
        local.checked_sub(self.zone.offset(local.div_euclid(SECOND)) * SECOND)
    }

    /// The local time of a moment taken for one in the `zone`: for a time that turns out to be UTC.
    pub fn as_utc(&mut self, ns: i64) -> i64 {
        let local = self.zone.local(ns);
        if self.utc(local) == Some(ns) { local } else { ns }
    }
}

#[cold]
fn minute_of_iso(head: &[u8; 16]) -> Option<i64> {
    let mut text = *b"2003-10-11T22:14:00Z";
    text[..16].copy_from_slice(head);
    let ns = parse_rfc3339(&text)?;
    // Room for seconds and offsets at either end of what 64 bits hold.
    (i64::MIN + 2 * DAY..i64::MAX - 2 * DAY).contains(&ns).then_some(ns)
}

/// Nanoseconds of `:15`, and what follows. A leap second is not for RFC 5424.
#[inline]
fn seconds(text: &[u8], leap: bool) -> Option<(i64, &[u8])> {
    let [b':', tens @ b'0'..=b'6', ones @ b'0'..=b'9', rest @ ..] = text else { return None };
    let second = i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
    (second < 60 || leap && second == 60).then_some((second * SECOND, rest))
}

/// The leading digits as decimals of a second, in nanoseconds, and how many they are: one to `most`.
#[inline]
fn fraction(text: &[u8], most: usize) -> Option<(i64, usize)> {
    const SCALE: [i64; 10] = [0, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1000, 100, 10, 1];
    let (mut n, mut digits) = (0, 0);
    for digit in text.iter().take(most + 1).map(|b| b.wrapping_sub(b'0')).take_while(|d| *d <= 9) {
        (n, digits) = (n * 10 + i64::from(digit), digits + 1);
    }
    (1..=most).contains(&digits).then(|| (n * SCALE[digits], digits))
}

/// Seconds east of UTC of `Z` or `±hh:mm` at the beginning, and how long that is.
#[inline]
fn offset(text: &[u8], lenient: bool) -> Option<(i64, usize)> {
    let number = |a: u8, b: u8| (a.is_ascii_digit() && b.is_ascii_digit()).then(|| i64::from(a - b'0') * 10 + i64::from(b - b'0'));
    let (sign, hours, minutes, length) = match *text {
        [b'Z', ..] => return Some((0, 1)),
        [sign @ (b'+' | b'-'), a, b, b':', c, d, ..] => (sign, number(a, b)?, number(c, d)?, 6),
        [sign @ (b'+' | b'-'), a, b, c, d, ..] if lenient => (sign, number(a, b)?, number(c, d)?, 5),
        _ => return None,
    };
    let seconds = hours * 3600 + minutes * 60;
    (hours < 24 && minutes < 60).then_some((if sign == b'-' { -seconds } else { seconds }, length))
}

fn is_year(word: &[u8]) -> bool {
    matches!(word, [b'1', b'9', a, b] | [b'2', b'0', a, b] if a.is_ascii_digit() && b.is_ascii_digit())
}

/// Words between spaces.
struct Words<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    fn skip_spaces(&mut self) -> usize {
        self.at += self.line[self.at..].iter().take_while(|b| **b == b' ').count();
        self.at
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.skip_spaces();
        // Longer words are none of a date.
        let length = self.line[start..].iter().take(32).take_while(|b| **b != b' ').count();
        self.at = start + length;
        (length > 0).then(|| &self.line[start..self.at])
    }
}
