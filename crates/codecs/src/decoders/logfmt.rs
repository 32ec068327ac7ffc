//! `key=value` pairs in a line, as Heroku, Go services and many daemons write them.
//!
//! For lines that consist of pairs. Not for pairs within other text: that is for a regular
//! expression.

use message::{Datum, MessageMut, Messages};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Kind, Record, Reject, Stability};

use super::headers::{HeaderMap, header_options};
use crate::json::{Number, Reader, Str, Wrong, unescape};
use crate::labels::Labels;

pub const KIND: Kind = Kind::decoder("logfmt", Stability::Stable, build)
    .summary("Reads key=value pairs.")
    .doc(
        "Values are bare or quoted; quoted ones are strings with the escapes of JSON. Bare `true` and `false` are booleans, what JSON takes \
         for a number is one (with an exponent only behind a point or with a sign, so that a commit id such as 12e4567 stays text), and \
         anything else is a string. A key without a value is true, an empty value is an empty string. A line without any `=` is refused.",
    )
    .options(header_options![Opt::integer("max_fields").default("1024").doc("A record with more fields than this is refused.")])
    .examples(&[plugin::Example { title: "Another name for the time", toml: "timestamp = [\"at\", \"time\"]" }]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Decoder>, Problem> {
    let max_fields = usize::try_from(o.integer("max_fields")).ok().filter(|n| *n > 0);
    let max_fields = max_fields.ok_or_else(|| o.problem("max_fields", "`max_fields` is out of range", "expected 1 or more"))?;
    Ok(Box::new(Logfmt { headers: HeaderMap::new(o), max_fields, labels: Labels::default(), unescaped: Vec::new() }))
}

struct Logfmt {
    headers: HeaderMap,
    max_fields: usize,
    labels: Labels,
    unescaped: Vec<u8>,
}

impl Decoder for Logfmt {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        let bytes = record.bytes();
        if memchr::memchr(b'=', bytes).is_none() {
            return Err(Reject::new("found no `=`, expected key=value pairs"));
        }
        self.headers.begin();
        self.labels.begin(out);
        let mut m = out.add();
        if self.headers.keep_payload {
            m.set_payload_text(record.at());
        }
        let mut at = 0;
        while let Some(pair) = Pair::next(bytes, &mut at).map_err(|wrong| wrong.reject(bytes))? {
            if !self.add(&pair, &record, &mut m) {
                return Err(Reject::new(format!("found more than {} fields; `max_fields` raises that", self.max_fields)));
            }
        }
        Ok(())
    }
}

impl Logfmt {
    /// False when there are too many fields.
    fn add(&mut self, pair: &Pair<'_>, record: &Record<'_>, m: &mut MessageMut<'_>) -> bool {
        let (value, text) = match pair.value {
            Value::None => (Datum::Bool(true), &b""[..]),
            Value::Bare(text) => (typed(text).unwrap_or(Datum::String(record.text(text))), text),
            Value::Quoted(Str { raw, escaped: false }) => (Datum::String(record.text(raw)), raw),
            Value::Quoted(Str { raw, escaped: true }) => {
                self.unescaped.clear();
                unescape(raw, &mut self.unescaped);
                (Datum::String(m.messages().store(&self.unescaped)), &self.unescaped[..])
            }
        };
        if self.headers.take(m, pair.key, value, text) {
            return true;
        }
        let fits = m.field_count() < self.max_fields;
        if fits {
            match self.labels.learnt(pair.key, m.messages()) {
                Some(label) => m.add_labelled(label, value),
                None => m.add(record.text(pair.key), value),
            }
        }
        fits
    }
}

/// The boolean or number that a bare value is.
pub(super) fn typed(text: &[u8]) -> Option<Datum> {
    match text {
        b"true" => return Some(Datum::Bool(true)),
        b"false" => return Some(Datum::Bool(false)),
        [b'0'..=b'9' | b'-', ..] => {}
        _ => return None,
    }
    let mut reader = Reader::new(text);
    let number = reader.number().ok()?;
    reader.end().ok()?;
    match number {
        Number::Integer(n) => Some(Datum::Integer(n)),
        Number::Double(n) => text[1..].iter().any(|b| matches!(b, b'.' | b'+' | b'-')).then_some(Datum::Double(n)),
    }
}

struct Pair<'a> {
    key: &'a [u8],
    value: Value<'a>,
}

enum Value<'a> {
    None,
    Bare(&'a [u8]),
    Quoted(Str<'a>),
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl<'a> Pair<'a> {
    /// The pair at or behind `at`, which moves behind it.
    fn next(bytes: &'a [u8], at: &mut usize) -> Result<Option<Pair<'a>>, Wrong> {
        let until = |from: usize, test: fn(u8) -> bool| bytes[from..].iter().position(|b| test(*b)).map_or(bytes.len(), |n| from + n);
        let start = until(*at, |b| !is_space(b));
        if start == bytes.len() {
            return Ok(None);
        }
        let end = until(start, |b| is_space(b) || matches!(b, b'=' | b'"'));
        let key = &bytes[start..end];
        if key.is_empty() || bytes.get(end) == Some(&b'"') {
            return Err(Wrong { at: end, expected: if key.is_empty() { "a key" } else { "`=` or a space" } });
        }
        *at = end + 1;
        let value = match (bytes.get(end), bytes.get(end + 1)) {
            (Some(b'='), Some(b'"')) => {
                let mut reader = Reader::new(&bytes[end + 1..]);
                let string = reader.string().map_err(|wrong| Wrong { at: wrong.at + end + 1, ..wrong })?;
                *at = end + 1 + reader.at();
                if bytes.get(*at).is_some_and(|b| !is_space(*b)) {
                    return Err(Wrong { at: *at, expected: "a space" });
                }
                Value::Quoted(string)
            }
            (Some(b'='), _) => {
                *at = until(end + 1, is_space);
                Value::Bare(&bytes[end + 1..*at])
            }
            _ => {
                *at = end;
                Value::None
            }
        };
        Ok(Some(Pair { key, value }))
    }
}

#[cfg(test)]
mod tests {
    use message::{Batch, Value};
    use proptest::prelude::*;

    use super::*;

    fn decode(toml: &str, record: &str) -> Result<Batch, String> {
        let (batch, rejects) = testkit::plugins::decode(&mut *testkit::plugins::decoder(&KIND, toml).unwrap(), &[record.as_bytes()]);
        rejects.into_iter().next().map_or(Ok(batch), Err)
    }

    #[test]
    fn the_record_is_kept_on_request() {
        let batch = decode("keep_payload = true", "msg=hello level=error").unwrap();
        let m = batch.get(0);
        assert_eq!((m.payload(), m.severity()), (&b"msg=hello level=error"[..], 3));
        assert_eq!(m.value(b"msg", 0, 0), Some(Value::String(b"hello")));
    }

    #[test]
    fn values_are_typed() {
        let batch =
            decode("", "a=1 b=-2.5 c=\"1\" d=x=y e  f= g=true h=12e4567 i=1e+06 j=99999999999999999999 k=\"a \\\"\\n\" l=007\n").unwrap();
        let fields: Vec<_> = batch.get(0).fields().map(|f| (f.name()[0] as char, f.value(0).unwrap())).collect();
        let string = |s: &'static str| Value::String(s.as_bytes());
        let expected = [
            ('a', Value::Integer(1)),
            ('b', Value::Double(-2.5)),
            ('c', string("1")),
            ('d', string("x=y")),
            ('e', Value::Bool(true)),
            ('f', string("")),
            ('g', Value::Bool(true)),
            ('h', string("12e4567")),
            ('i', Value::Double(1e6)),
            ('j', string("99999999999999999999")),
            ('k', string("a \"\n")),
            ('l', string("007")),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn well_known_keys_become_headers() {
        let batch = decode("", "ts=1700000000.25 level=error msg=\"a \\\"b\\\"\" host=web pid=12 status=500").unwrap();
        let m = batch.get(0);
        assert_eq!((m.timestamp(), m.severity(), m.pid()), (1_700_000_000_250_000_000, 3, 12));
        assert_eq!((m.payload(), m.hostname(), m.fields().count()), (&b"a \"b\""[..], &b"web"[..], 1));
    }

    #[test]
    fn refusals_say_where_and_what() {
        for (record, expected) in [
            ("just some text", "found no `=`, expected key=value pairs"),
            ("a=1 =2", "at byte 4: found `=`, expected a key"),
            ("a=\"x\"y", "at byte 5: found `y`, expected a space"),
            ("a=1 b\"=", "at byte 5: found `\"`, expected `=` or a space"),
            ("a=1 b=\"x", "at byte 8: found the end, expected `\"`; control characters in strings are escaped"),
            ("a=1 b=2 c=3", "found more than 2 fields; `max_fields` raises that"),
        ] {
            assert_eq!(decode("max_fields = 2", record).unwrap_err(), expected, "{record}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_kept_in_quotes(values in prop::collection::vec(".{0,10}", 1..6)) {
            let pairs = values.iter().enumerate().map(|(n, v)| format!("k{n}={}", serde_json::to_string(v).unwrap()));
            let batch = decode("", &pairs.collect::<Vec<_>>().join(" ")).unwrap();
            let read: Vec<_> = batch.get(0).fields().map(|f| f.value(0).unwrap().as_bytes().unwrap()).collect();
            prop_assert_eq!(read, values.iter().map(String::as_bytes).collect::<Vec<_>>());
        }

        #[test]
        fn nothing_fails(record in prop::collection::vec(any::<u8>(), 0..60)) {
            let (batch, rejects) = testkit::plugins::decode(&mut *testkit::plugins::decoder(&KIND, "").unwrap(), &[&record]);
            prop_assert_eq!(batch.len() + rejects.len(), 1);
        }
    }
}
