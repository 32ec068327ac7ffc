//! Reads StatsD lines in place.
//!
//! ```text
//! name:value|type[|@rate][|#tag:value,tag…]      one sample (the tags are DogStatsD's)
//! name:1|c:2|ms                                  several, each with its type (Etsy)
//! name:1:2:3|ms|@0.5                             several of one type (DogStatsD 1.1)
//! ```
//!
//! The grammar is that of Etsy's statsd, where numbers are JavaScript's. What is refused although
//! Etsy takes it would spoil series silently: an empty name or type, `@0` (an infinite weight),
//! infinities. The members of a set are not split at `:`, as in DogStatsD. Further fields behind
//! the third are ignored as in Etsy, and so are DogStatsD's container fields; samples with a time
//! of their own (`|T…`), events and service checks are refused.

use std::fmt;

use memchr::{memchr, memchr_iter, memchr2};

use crate::number::{leading_decimal, number};

/// What the letters of a type mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialect {
    /// `ms`, `g`, `s`; everything else is a counter.
    #[default]
    Etsy,
    /// `c`, `g`, `ms`, `s`; `h` (histogram) and `d` (distribution) are timers; others are refused.
    DogStatsd,
}

/// One sample, lying in the line it was read from.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample<'a> {
    /// As sent: the aggregator cleans it.
    pub name: &'a [u8],
    pub measure: Measure<'a>,
    /// The share of the events that were sent; above 0.
    pub rate: f64,
    /// `tag:value,tag:value`; empty: none.
    pub tags: &'a [u8],
}

/// What was measured. Numbers are finite.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Measure<'a> {
    Counter(f64),
    Gauge(f64),
    /// Adds to the gauge, but sets it when there is none or it is zero (Etsy's rule).
    GaugeDelta(f64),
    /// Not negative; milliseconds by custom.
    Timer(f64),
    /// A member of a set, any bytes.
    Set(&'a [u8]),
}

impl Measure<'_> {
    /// `counter`, `gauge`, `gauge_delta`, `timer` or `set`.
    pub fn kind(self) -> &'static str {
        match self {
            Measure::Counter(_) => "counter",
            Measure::Gauge(_) => "gauge",
            Measure::GaugeDelta(_) => "gauge_delta",
            Measure::Timer(_) => "timer",
            Measure::Set(_) => "set",
        }
    }
}

/// Why a line, or one value of it, is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// Where in the line, in bytes.
    pub offset: usize,
    pub reason: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)
    }
}

/// The lines of a packet that are not empty.
pub fn lines(packet: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = packet;
    std::iter::from_fn(move || next_line(&mut rest))
}

/// Takes the next line that is not empty.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    while !rest.is_empty() {
        let line = match memchr(b'\n', rest) {
            Some(end) => {
                let (line, tail) = rest.split_at(end);
                *rest = &tail[1..];
                line
            }
            None => std::mem::take(rest),
        };
        let line = line.trim_ascii_end();
        if !line.is_empty() {
            return Some(line);
        }
    }
    None
}

/// Reads a packet and hands over each sample, or why there is none, with its line. Returns the number
/// of lines that are not empty.
pub fn samples<'a>(packet: &'a [u8], dialect: Dialect, each: &mut impl FnMut(&'a [u8], Result<Sample<'a>, Malformed>)) -> u64 {
    let (mut rest, mut n) = (packet, 0);
    loop {
        while let Some((sample, length, next)) = plain(rest, dialect) {
            n += 1;
            each(&rest[..length], Ok(sample));
            rest = rest.get(next..).unwrap_or_default();
        }
        let Some(line) = next_line(&mut rest) else { return n };
        n += 1;
        parse(line, dialect, &mut |sample| each(line, sample));
    }
}

/// The first line when it has the usual shape, `name:1|c`, `name:1|ms|@0.1`, `name:1|g|#tags`: what
/// [`parse`] makes of it, in one pass over the bytes. Also its length and where the next one begins.
#[inline]
fn plain(packet: &[u8], dialect: Dialect) -> Option<(Sample<'_>, usize, usize)> {
    let colon = memchr2(b':', b'\n', packet)?;
    if colon == 0 || packet[colon] != b':' || packet[0] == b'_' {
        return None;
    }
    let (value, length) = leading_decimal(&packet[colon + 1..])?;
    let mut at = colon + 1 + length;
    let (measure, length) = match &packet[at..] {
        [b'|', b'c', ..] => (Measure::Counter(value), 2),
        [b'|', b'g', ..] => (Measure::Gauge(value), 2),
        [b'|', b'm', b's', ..] => (Measure::Timer(value), 3),
        [b'|', b'h' | b'd', ..] if dialect == Dialect::DogStatsd => (Measure::Timer(value), 2),
        _ => return None,
    };
    at += length;
    let mut rate = 1.0;
    if let Some(field) = packet[at..].strip_prefix(b"|@") {
        let (value, length) = leading_decimal(field).filter(|(value, _)| *value > 0.0)?;
        rate = value;
        at += 2 + length;
    }
    let mut tags = &b""[..];
    if let Some(field) = packet[at..].strip_prefix(b"|#") {
        tags = &field[..memchr2(b'|', b'\n', field).unwrap_or(field.len())];
        at += 2 + tags.len();
        tags = tags.trim_ascii_end();
    }
    // Anything more is not the usual.
    matches!(packet.get(at), None | Some(b'\n')).then(|| (Sample { name: &packet[..colon], measure, rate, tags }, at, at + 1))
}

/// Reads one line and hands over its samples in order. A value that is refused does not keep the
/// line's others from being taken.
pub fn parse<'a>(line: &'a [u8], dialect: Dialect, each: &mut impl FnMut(Result<Sample<'a>, Malformed>)) {
    let line = line.trim_ascii_end();
    let mut refuse = |offset, reason| each(Err(Malformed { offset, reason }));
    if line.first() == Some(&b'_') {
        if line.starts_with(b"_e{") {
            return refuse(0, "events are not supported yet");
        }
        if line.starts_with(b"_sc|") {
            return refuse(0, "service checks are not supported yet");
        }
    }
    let Some(colon) = memchr(b':', line) else {
        return refuse(line.len(), "expected `:` and a value behind the name");
    };
    if colon == 0 {
        return refuse(0, "expected a name before `:`");
    }
    let mut at = colon + 1;
    while let Some(next) = group(line, colon, at, dialect, each) {
        at = next;
    }
}

/// What stands behind the values: type, rate and tags.
struct Suffix<'a> {
    kind: Kind,
    rate: f64,
    tags: &'a [u8],
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Counter,
    Gauge,
    Timer,
    Set,
}

/// Reads values with their common suffix. Returns where the next group begins.
fn group<'a>(
    line: &'a [u8],
    name: usize,
    at: usize,
    dialect: Dialect,
    each: &mut impl FnMut(Result<Sample<'a>, Malformed>),
) -> Option<usize> {
    let Some(bar) = memchr(b'|', &line[at..]) else {
        each(Err(Malformed { offset: line.len(), reason: "expected `|` and a type behind the value" }));
        return None;
    };
    let mut end = at + bar;
    match suffix(line, &mut end, dialect) {
        Ok(suffix) => {
            let mut one = |value: &'a [u8], offset| {
                each(
                    measure(value, suffix.kind)
                        .map(|measure| Sample { name: &line[..name], measure, rate: suffix.rate, tags: suffix.tags })
                        .map_err(|reason| Malformed { offset, reason }),
                );
            };
            let values = &line[at..at + bar];
            let mut start = 0;
            if suffix.kind != Kind::Set {
                for colon in memchr_iter(b':', values) {
                    one(&values[start..colon], at + start);
                    start = colon + 1;
                }
            }
            one(&values[start..], at + start);
        }
        Err(malformed) => each(Err(malformed)),
    }
    (end < line.len()).then_some(end + 1)
}

/// Reads the suffix that begins with the `|` at `end`, and moves `end` to the `:` of the next
/// group or the end of the line.
fn suffix<'a>(line: &'a [u8], end: &mut usize, dialect: Dialect) -> Result<Suffix<'a>, Malformed> {
    let start = *end + 1;
    *end = until(line, start, true);
    let mut suffix = Suffix { kind: Kind::Counter, rate: 1.0, tags: b"" };
    let mut outcome =
        kind(&line[start..*end], dialect).map(|kind| suffix.kind = kind).map_err(|reason| Malformed { offset: start, reason });
    let mut third = true;
    while line.get(*end) == Some(&b'|') {
        let start = *end + 1;
        let field = &line[start..];
        let container = field.starts_with(b"c:") || field.starts_with(b"e:") || field.starts_with(b"card:");
        *end = until(line, start, !container && field.first() != Some(&b'#'));
        let field = &line[start..*end];
        let refused = match field.first() {
            Some(b'#') => {
                suffix.tags = &field[1..];
                None
            }
            Some(b'@') => match number(&field[1..]) {
                Some(rate) if rate > 0.0 => {
                    suffix.rate = rate;
                    None
                }
                _ => Some("expected a sample rate above 0 behind `@`"),
            },
            Some(b'T') => Some("samples with a time of their own are not supported yet"),
            _ if third && !container => Some("expected `@` and a sample rate or `#` and tags"),
            _ => None,
        };
        if let (Some(reason), Ok(())) = (refused, &outcome) {
            outcome = Err(Malformed { offset: start, reason });
        }
        third = false;
    }
    outcome.map(|()| suffix)
}

/// The end of the field that starts here: a `|`, and when wanted a `:`.
fn until(line: &[u8], start: usize, colon: bool) -> usize {
    let rest = &line[start..];
    // A type is a letter or two: no search pays for that.
    for (i, &byte) in rest.iter().take(4).enumerate() {
        if byte == b'|' || colon && byte == b':' {
            return start + i;
        }
    }
    let end = if colon { memchr2(b'|', b':', rest) } else { memchr(b'|', rest) };
    end.map_or(line.len(), |end| start + end)
}

fn kind(text: &[u8], dialect: Dialect) -> Result<Kind, &'static str> {
    Ok(match (text.trim_ascii(), dialect) {
        (b"c", _) => Kind::Counter,
        (b"ms", _) => Kind::Timer,
        (b"g", _) => Kind::Gauge,
        (b"s", _) => Kind::Set,
        (b"", _) => return Err("expected a type, such as `c`, `g`, `ms` or `s`"),
        (_, Dialect::Etsy) => Kind::Counter,
        (b"h" | b"d", Dialect::DogStatsd) => Kind::Timer,
        (_, Dialect::DogStatsd) => return Err("unknown type; expected `c`, `g`, `ms`, `h`, `d` or `s`"),
    })
}

fn measure(value: &[u8], kind: Kind) -> Result<Measure<'_>, &'static str> {
    if kind == Kind::Set {
        return Ok(Measure::Set(if value.is_empty() { b"0" } else { value }));
    }
    let n = number(value).ok_or("expected a number")?;
    match kind {
        Kind::Timer if n < 0.0 => Err("expected a time that is not negative"),
        Kind::Timer => Ok(Measure::Timer(n)),
        Kind::Gauge if matches!(value.first(), Some(b'+' | b'-')) => Ok(Measure::GaugeDelta(n)),
        Kind::Gauge => Ok(Measure::Gauge(n)),
        _ => Ok(Measure::Counter(n)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece() -> impl Strategy<Value = String> {
        let pieces = [
            "a",
            "name.x",
            "_",
            "_e{",
            ":",
            ":",
            "|",
            "|c",
            "|c",
            "|g",
            "|ms",
            "|h",
            "|s",
            "|@0.1",
            "|@",
            "|@1e1",
            "|#t:v,u",
            "|#",
            "|c:x",
            "|T1",
            "1",
            "12.5",
            ".",
            "-3",
            "+",
            "0x1f",
            "1234567890123456",
            "\n",
            "\n",
            "\r",
            " ",
            ",",
        ];
        prop::sample::select(pieces.map(String::from).to_vec())
    }

    proptest! {
        #[test]
        fn the_usual_shapes_are_read_as_every_line_is(pieces in prop::collection::vec(piece(), 0..40), dogstatsd in any::<bool>()) {
            let packet = pieces.concat();
            let dialect = if dogstatsd { Dialect::DogStatsd } else { Dialect::Etsy };
            let (mut quick, mut slow) = (Vec::new(), Vec::new());
            let n = samples(packet.as_bytes(), dialect, &mut |line, sample| quick.push((line.trim_ascii_end(), sample)));
            lines(packet.as_bytes()).for_each(|line| parse(line, dialect, &mut |sample| slow.push((line, sample))));
            prop_assert_eq!(quick, slow);
            prop_assert_eq!(n, lines(packet.as_bytes()).count() as u64);
        }

        #[test]
        fn usual_lines_take_the_quick_way(value in "[0-9]{1,6}(\\.[0-9]{1,3})?", kind in "c|g|ms", rest in "(\\|@0\\.5)?(\\|#a:b,c)?") {
            let line = format!("name:{value}|{kind}{rest}");
            prop_assert_eq!(plain(line.as_bytes(), Dialect::Etsy).map(|(_, length, _)| length), Some(line.len()));
        }
    }
}
