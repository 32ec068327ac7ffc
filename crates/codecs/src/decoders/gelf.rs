//! Messages of Graylog: [GELF 1.1](https://go2docs.graylog.org/current/getting_in_log_data/gelf.html), one JSON object a record.
//!
//! What the format names becomes headers, and what applications add (`_name`) fields. Compression, chunks
//! and the NUL byte between messages are of the way they are sent: the input `gelf` deals with those.

use message::{Datum, MessageMut, Messages};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use super::fields::{Fields, Piece};
use super::headers::HeaderMap;
use crate::json::{Number, Reader, Wrong, unescape};

pub const KIND: Kind = Kind::decoder("gelf", Stability::Stable, build)
    .summary("Reads messages of Graylog (GELF 1.1).")
    .doc(
        "`short_message` becomes the Payload, `host` the Hostname, `timestamp` the Timestamp and `level` the Severity; the Type is `gelf`. `full_message`, \
         `facility`, `file`, `line` and whatever applications add are fields, these without the underscore in front of their names. \
         Objects and arrays, which the format has not, stay JSON text. A record without `short_message` is refused, and so is what is not \
         one JSON object.",
    )
    .options(&[
        Opt::bool("keep_payload").default("false").doc("Keep the whole record as the Payload; `short_message` is a field then."),
        super::fields::MAX_FIELDS,
    ])
    .examples(&[Example { title: "The record as it came, beside what it says", toml: "keep_payload = true" }]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Decoder>, Problem> {
    let fields = Fields::with(HeaderMap::none(o.bool("keep_payload")), o)?;
    Ok(Box::new(Gelf { fields, name: Vec::new(), value: Vec::new() }))
}

struct Gelf {
    fields: Fields,
    /// Memory for a name and a value with escapes.
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder for Gelf {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        let mut m = self.fields.begin(&record, out);
        m.set_type(b"gelf");
        let mut r = Reader::new(record.bytes());
        let wrong = |wrong: Wrong| wrong.reject(record.bytes());
        let mut told = false;
        let mut more = r.enter(b'{', b'}', "`{`").map_err(wrong)?;
        while more {
            let key = r.key().map_err(wrong)?;
            self.name.clear();
            if key.escaped {
                unescape(key.raw, &mut self.name);
            }
            let name = if key.escaped { Piece::Made(&self.name) } else { Piece::Here(key.raw) };
            told |= name.bytes() == b"short_message";
            let value = read(&mut r, &mut self.value).map_err(wrong)?;
            if let Some(value) = value {
                member(&mut self.fields, &mut m, &record, name, value)?;
            }
            more = r.another(b'}', "`,` or `}`").map_err(wrong)?;
        }
        r.end().map_err(wrong)?;
        if told { Ok(()) } else { Err(Reject::new("found no `short_message`, which every message of GELF has")) }
    }
}

/// A value, and how it is written.
enum Value<'a> {
    Text(Piece<'a>),
    Number(Number, &'a [u8]),
    Bool(bool, &'a [u8]),
}

/// The next value; `null` is none. What has others inside is its text.
fn read<'v, 'a: 'v>(r: &mut Reader<'a>, unescaped: &'v mut Vec<u8>) -> Result<Option<Value<'v>>, Wrong> {
    let next = r.peek();
    let start = r.at();
    Ok(Some(match next {
        Some(b'n') => return r.literal("null").map(|()| None),
        Some(b't') => r.literal("true").map(|()| Value::Bool(true, b"true"))?,
        Some(b'f') => r.literal("false").map(|()| Value::Bool(false, b"false"))?,
        Some(b'"') => {
            let string = r.string()?;
            if string.escaped {
                unescaped.clear();
                unescape(string.raw, unescaped);
                Value::Text(Piece::Made(unescaped))
            } else {
                Value::Text(Piece::Here(string.raw))
            }
        }
        Some(b'{' | b'[') => {
            r.skip(1)?;
            Value::Text(Piece::Here(r.since(start)))
        }
        _ => {
            let number = r.number()?;
            Value::Number(number, r.since(start))
        }
    }))
}

/// A header or a field.
fn member(fields: &mut Fields, m: &mut MessageMut<'_>, record: &Record<'_>, name: Piece<'_>, value: Value<'_>) -> Result<(), Reject> {
    let text = match &value {
        Value::Text(piece) => piece.bytes(),
        Value::Number(_, text) | Value::Bool(_, text) => text,
    };
    match (name.bytes(), &value) {
        (b"version", _) => return Ok(()),
        (b"short_message", Value::Text(piece)) if !fields.keep_payload() => {
            let text = piece.text(record, m.messages());
            m.set_payload_text(text);
            return Ok(());
        }
        (b"host", Value::Text(piece)) => {
            let text = piece.text(record, m.messages());
            m.set_hostname_text(text);
            return Ok(());
        }
        (b"timestamp", _) => {
            if let Some(ns) = seconds(text) {
                m.set_timestamp(ns);
                return Ok(());
            }
        }
        (b"level", _) => {
            if let [digit @ b'0'..=b'7'] = text {
                m.set_severity(i32::from(digit - b'0'));
                return Ok(());
            }
        }
        _ => {}
    }
    let name = match name {
        Piece::Here(name) => Piece::Here(name.strip_prefix(b"_").unwrap_or(name)),
        Piece::Made(name) => Piece::Made(name.strip_prefix(b"_").unwrap_or(name)),
    };
    let datum = match value {
        Value::Text(piece) => Datum::String(piece.text(record, m.messages())),
        Value::Number(Number::Integer(n), _) => Datum::Integer(n),
        Value::Number(Number::Double(n), _) => Datum::Double(n),
        Value::Bool(b, _) => Datum::Bool(b),
    };
    fields.put(m, record, name, datum, text)
}

/// Seconds since 1970 with an optional fraction, in nanoseconds; to the digit, which a double could not tell.
fn seconds(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_plain(whole) || !is_plain(fraction) {
        // With an exponent or a sign.
        let seconds: f64 = text.parse().ok().filter(|s: &f64| s.abs() < 9e9)?;
        return Some((seconds * 1e9) as i64);
    }
    let ns = fraction.bytes().chain([b'0'; 9]).take(9).fold(0, |ns, digit| ns * 10 + i64::from(digit - b'0'));
    whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(ns)
}

#[cfg(test)]
mod tests {
    use message::{Batch, Value as V};
    use proptest::prelude::*;

    use super::*;

    fn decoded(toml: &str, record: &[u8]) -> Result<Batch, String> {
        let (batch, rejects) = testkit::plugins::decode(&mut *testkit::plugins::decoder(&KIND, toml).unwrap(), &[record]);
        rejects.into_iter().next().map_or(Ok(batch), Err)
    }

    /// The example of the format's own description, with more.
    const EXAMPLE: &[u8] = br#"{"version": "1.1", "host": "example.org", "short_message": "A short message \"that\" helps", "full_message": "Backtrace here\n\nmore stuff",
        "timestamp": 1385053862.307212345, "level": 1, "_user_id": 9001, "_some_info": "foo", "_some_env_var": "bar", "facility": "app", "line": 356, "_nothing": null,
        "_share": 0.5, "_ok": true, "_list": [1, {"a": 2}], "plain": "x"}"#;

    #[test]
    fn names_of_the_format_become_headers_and_others_fields() {
        let batch = decoded("", EXAMPLE).unwrap();
        let m = batch.get(0);
        assert_eq!((m.type_(), m.payload(), m.hostname()), (&b"gelf"[..], &b"A short message \"that\" helps"[..], &b"example.org"[..]));
        assert_eq!((m.timestamp(), m.severity()), (1_385_053_862_307_212_345, 1));
        let fields: Vec<_> = m.fields().map(|f| (String::from_utf8(f.name().to_vec()).unwrap(), f.value(0).unwrap())).collect();
        let expected = [
            ("full_message", V::String(b"Backtrace here\n\nmore stuff")),
            ("user_id", V::Integer(9001)),
            ("some_info", V::String(b"foo")),
            ("some_env_var", V::String(b"bar")),
            ("facility", V::String(b"app")),
            ("line", V::Integer(356)),
            ("share", V::Double(0.5)),
            ("ok", V::Bool(true)),
            ("list", V::String(b"[1, {\"a\": 2}]")),
            ("plain", V::String(b"x")),
        ];
        assert_eq!(fields, expected.map(|(name, value)| (name.to_string(), value)));
    }

    #[test]
    fn the_record_may_be_kept() {
        let batch = decoded("keep_payload = true", br#"{"short_message": "x"}"#).unwrap();
        assert_eq!(batch.get(0).payload(), br#"{"short_message": "x"}"#);
        assert_eq!(batch.get(0).value(b"short_message", 0, 0), Some(V::String(b"x")));
    }

    #[test]
    fn what_does_not_fit_a_header_is_a_field() {
        let batch = decoded("", br#"{"short_message": "x", "level": 9, "timestamp": "soon", "host": 7}"#).unwrap();
        let m = batch.get(0);
        assert_eq!(m.fields().map(|f| f.name()).collect::<Vec<_>>(), [&b"level"[..], b"timestamp", b"host"]);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for (record, why) in [
            (&b"[1]"[..], "at byte 0: found `[`, expected `{`"),
            (br#"{"version": "1.1", "host": "h"}"#, "found no `short_message`, which every message of GELF has"),
            (br#"{"short_message": "x"} x"#, "at byte 23: found `x`, expected the end"),
            (br#"{"short_message": "x", "_a": 1, "_b": 2}"#, "found more than 1 fields; `max_fields` raises that"),
        ] {
            assert_eq!(decoded("max_fields = 1", record).unwrap_err(), why);
        }
    }

    #[test]
    fn seconds_are_exact() {
        for (text, ns) in [
            ("1", Some(1_000_000_000)),
            ("0.1234567891", Some(123_456_789)),
            ("-1.5", Some(-1_500_000_000)),
            ("1e3", Some(1_000_000_000_000)),
            ("x", None),
            ("99999999999", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), ns, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40), text in r#"\{("(short_message|_a|\\u0041)":(1|"x\\n"|\[1\]|null|1\.5),?){0,4}\}?"#) {
            prop_assert!(decoded("", &bytes).is_err());
            prop_assert!(decoded("", text.as_bytes()).map_or(1, |batch| batch.len()) == 1);
        }
    }
}
