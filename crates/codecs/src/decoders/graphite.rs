//! Lines of Graphite's plaintext protocol, each a message.
//!
//! `path value timestamp`, as Carbon takes it, with tags as `path;name=value`. For what collectd, scripts with `nc`
//! and relays send. Carbon's pickle protocol is another format.

use message::{Datum, Messages};
use metrics::statsd::lines;
use options::{Opt, Options};
use plugin::{DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use super::samples::{Measure, Samples};
use super::types::excerpt;
use crate::number::{double, integer};

pub const KIND: Kind = Kind::decoder("graphite", Stability::Stable, |o, _| Ok(Box::new(Graphite::new(o))))
    .summary("Reads lines of Graphite's plaintext protocol.")
    .doc(
        "Each line `path value timestamp` is a message of the Type `metric` with the fields `name` (the path as it was sent), `value` (a double) \
         and `kind` (`gauge`). Tags, as in `disk.used;host=web1;mount=/srv`, are fields of text; one called `name`, `value`, `kind` or `rate` has \
         `tag_` before its name. The timestamp is in seconds since 1970, with a fraction or without; -1 is now. A record of several lines is \
         refused whole when one of them is; where that is not wanted, the splitter `line` makes a record of each.",
    )
    .options(&[Opt::choice("non_finite", &["refuse", "keep"])
        .default("refuse")
        .doc("What becomes of a line whose value is `nan` or `inf`: sums and averages with one of them are lost.")])
    .examples(&[Example { title: "Take what is not a number too", toml: "non_finite = \"keep\"" }]);

#[derive(Debug)]
struct Graphite {
    keep_non_finite: bool,
    samples: Samples,
}

impl Graphite {
    fn new(o: &Options) -> Graphite {
        Graphite { keep_non_finite: o.str("non_finite") == "keep", samples: Samples::new() }
    }

    fn line(&mut self, record: Record<'_>, line: &[u8], out: &mut Messages, now: i64) -> Result<(), Reject> {
        let mut parts = line.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty());
        let (Some(path), Some(value), Some(time), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            let found = line.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty()).count();
            return Err(wrong(line, format!("found {found} parts, expected `path value timestamp`")));
        };
        let mut tags = path.split(|b| *b == b';');
        let name = tags.next().filter(|name| !name.is_empty()).ok_or_else(|| wrong(line, "the path has no name"))?;
        self.samples.line(out);
        for tag in tags {
            let split = memchr::memchr(b'=', tag).map(|at| (&tag[..at], &tag[at + 1..]));
            let Some((tag, value)) = split.filter(|(tag, value)| !tag.is_empty() && !value.is_empty()) else {
                return Err(wrong(line, format!("found the tag {}, expected `name=value`", excerpt(tag))));
            };
            self.samples.tag(out, tag, record.text(value));
        }
        let number = value_of(value).ok_or_else(|| wrong(line, format!("found {}, expected a number", excerpt(value))))?;
        if !number.is_finite() && !self.keep_non_finite {
            return Err(wrong(line, format!("found {}, which is no finite number; `non_finite = \"keep\"` takes it", excerpt(value))));
        }
        let expected = "expected seconds since 1970, or -1 for now";
        let time = time_of(time, now).ok_or_else(|| wrong(line, format!("found the time {}, {expected}", excerpt(time))))?;
        self.samples.add(out, record.text(name), Datum::Double(number), Measure::Gauge)?;
        let last = out.len() - 1;
        out.message(last).set_timestamp(time);
        Ok(())
    }
}

fn wrong(line: &[u8], why: impl AsRef<str>) -> Reject {
    Reject::new(format!("not a line of Graphite: {}: {}", why.as_ref(), excerpt(line)))
}

impl Decoder for Graphite {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, cx: &DecodeCx) -> Result<(), Reject> {
        self.samples.begin(record.bytes().len());
        let before = out.len();
        for line in lines(record.bytes()) {
            self.line(record, line, out, cx.now)?;
        }
        if out.len() == before { Err(Reject::new("found an empty record, expected `path value timestamp`")) } else { Ok(()) }
    }
}

/// A number, also one that is none or not finite, as Python writes them.
fn value_of(text: &[u8]) -> Option<f64> {
    double(text).or_else(|| {
        let (negative, word) = match text {
            [b'-', word @ ..] => (true, word),
            [b'+', word @ ..] => (false, word),
            word => (false, word),
        };
        let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
        let magnitude = if is("nan") { Some(f64::NAN) } else { (is("inf") || is("infinity")).then_some(f64::INFINITY) };
        magnitude.map(|n| if negative { -n } else { n })
    })
}

/// Nanoseconds since 1970.
fn time_of(text: &[u8], now: i64) -> Option<i64> {
    if text == b"-1" {
        return Some(now);
    }
    let (whole, fraction) = match memchr::memchr(b'.', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &b""[..]),
    };
    if whole.first() == Some(&b'-') || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut nanoseconds = 0;
    for place in 0..9 {
        nanoseconds = nanoseconds * 10 + fraction.get(place).map_or(0, |digit| i64::from(digit - b'0'));
    }
    integer(whole)?.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use message::{Batch, Value};
    use proptest::prelude::*;
    use testkit::plugins::{decode, decoder};

    use super::*;

    fn read(toml: &str, records: &[&str]) -> (Batch, Vec<String>) {
        decode(&mut *decoder(&KIND, toml).unwrap(), &records.iter().map(|r| r.as_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn lines_are_samples() {
        let (batch, rejects) =
            read("", &["servers.web1.load 0.25 1700000000\r\n\n  ä;host=h1;name=n;mount=/a=b \t -3e2  1700000000.25", "a 1 -1"]);
        assert_eq!((batch.len(), rejects), (3, vec![]));
        let times: Vec<_> = batch.iter().map(|m| m.timestamp()).collect();
        assert_eq!(times, [1_700_000_000_000_000_000, 1_700_000_000_250_000_000, 1_700_000_000_000_000_000]);
        let fields: Vec<_> = batch.get(1).fields().map(|f| (f.name(), f.value(0).unwrap())).collect();
        let text = |t: &'static str| Value::String(t.as_bytes());
        let expected = [
            (&b"name"[..], text("ä")),
            (b"value", Value::Double(-300.0)),
            (b"kind", text("gauge")),
            (b"host", text("h1")),
            (b"tag_name", text("n")),
            (b"mount", text("/a=b")),
        ];
        assert_eq!((batch.get(1).type_(), fields), (&b"metric"[..], expected.to_vec()));
        assert_eq!(batch.get(2).fields().count(), 3);
    }

    #[test]
    fn what_is_not_finite_is_kept_on_request() {
        let words = ["a nan 1", "a -Inf 1", "a infinity 1"];
        let (batch, rejects) = read("", &words);
        assert_eq!((batch.len(), rejects.len()), (0, 3));
        assert!(rejects[1].contains("`non_finite = \"keep\"`"), "{}", rejects[1]);
        let (batch, rejects) = read("non_finite = 'keep'", &words);
        assert_eq!((batch.len(), rejects), (3, vec![]));
        let value = |n| batch.get(n).value(b"value", 0, 0).and_then(Value::as_f64).unwrap();
        assert!(value(0).is_nan() && value(1) == f64::NEG_INFINITY && value(2) == f64::INFINITY);
    }

    #[test]
    fn refusals_say_what_is_expected() {
        for (record, expected) in [
            ("", "found an empty record, expected `path value timestamp`"),
            ("a 1", "found 2 parts, expected `path value timestamp`"),
            ("a 1 2 3", "found 4 parts, expected `path value timestamp`"),
            ("a 1 2\nb x 2", "expected a number"),
            (";a=b 1 2", "the path has no name"),
            ("a;b 1 2", "expected `name=value`"),
            ("a;b= 1 2", "expected `name=value`"),
            ("a 1 -5", "expected seconds since 1970, or -1 for now"),
            ("a 1 1.5e9", "expected seconds since 1970"),
            ("a 1 99999999999", "expected seconds since 1970"),
        ] {
            let (batch, rejects) = read("", &[record]);
            assert_eq!(batch.len(), 0, "{record}");
            assert!(rejects[0].contains(expected), "{record}: {}", rejects[0]);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(path in "[a-z.]{1,12}", value in proptest::num::f64::NORMAL, seconds in 0..4_000_000_000_u32, tag in "[^; \t\r\n=]{1,8}") {
            prop_assume!(!tag.contains(|c: char| c.is_ascii_whitespace()));
            let (batch, rejects) = read("", &[&format!("{path};t={tag} {value} {seconds}")]);
            prop_assert_eq!(rejects, Vec::<String>::new());
            let m = batch.get(0);
            prop_assert_eq!((m.value(b"name", 0, 0), m.value(b"value", 0, 0)), (Some(Value::String(path.as_bytes())), Some(Value::Double(value))));
            prop_assert_eq!((m.timestamp(), m.value(b"t", 0, 0)), (i64::from(seconds) * 1_000_000_000, Some(Value::String(tag.as_bytes()))));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(record in proptest::collection::vec(prop_oneof![Just(b' '), Just(b';'), Just(b'='), Just(b'1'), any::<u8>()], 0..60)) {
            let (batch, rejects) = decode(&mut *decoder(&KIND, "non_finite = 'keep'").unwrap(), &[&record]);
            prop_assert!(rejects.len() == 1 || !batch.is_empty());
        }
    }
}
