//! The Common Event Format, in which security products report.
//!
//! `CEF:0|vendor|product|version|class|name|severity|key=value with spaces …`, as ArcSight's *Implementing Common
//! Event Format* describes it. For CEF within syslog: `chain` with `syslog` and this decoder. IBM's format is
//! `leef`.

use memchr::{memchr, memchr2, memmem};
use message::{MessageMut, Messages};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use super::event::{Event, event_options, severity};
use super::fields::{Piece, within};
use super::types::excerpt;

pub const KIND: Kind = Kind::decoder("cef", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Cef::new(o)?)))
    .summary("Reads events in the Common Event Format.")
    .doc(
        "The seven parts of the header become the fields `cefVersion`, `deviceVendor`, `deviceProduct`, `deviceVersion`, \
         `deviceEventClassId`, `name` and `severity`, the keys of the extension fields of their names. Of a custom key with a label \
         (`cs1=x cs1Label=user`) the label is the name. The Payload is `msg`, or else the name of the event. The Severity is 6 for 0 to 3 \
         and Low, 4 for 4 to 6 and Medium, 3 for 7, 8 and High, 2 for 9, 10 and Very-High. What stands before `CEF:` becomes the field \
         `before`.",
    )
    .options(event_options![
        Opt::strings("timestamp").default("rt").doc(
            "Keys whose value is the Timestamp, if it can be read: milliseconds since 1970, RFC 3339, `Nov 14 2023 22:13:20.123 UTC` and \
             the like.",
        ),
        Opt::strings("hostname").default("dvchost").doc("Keys whose value is the Hostname."),
        Opt::bool("labels").default("true").doc("Name custom keys by their labels."),
    ])
    .examples(&[Example {
        title: "Time and host of another device",
        toml: "timestamp = [\"end\", \"rt\"]\nhostname = [\"dvchost\", \"shost\"]",
    }]);

struct Cef {
    event: Event,
    labels: bool,
    max_keys: usize,
    pairs: Vec<Pair>,
    /// Of the pairs those that are labels of others.
    known: Vec<Pair>,
    /// Memory for a name and a value without their escapes.
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Where a key and its value stand in the record.
#[derive(Clone, Copy)]
struct Pair {
    key: (usize, usize),
    value: (usize, usize),
}

impl Pair {
    fn key<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.key.0..self.key.1]
    }

    fn value<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        bytes[self.value.0..self.value.1].trim_ascii_end()
    }
}

const PARTS: [&str; 7] = ["cefVersion", "deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId", "name", "severity"];

const LABEL: &[u8] = b"Label";
/// Labels that are looked at: products use some ten.
const MAX_LABELS: usize = 64;

impl Cef {
    fn new(o: &Options) -> Result<Cef, Problem> {
        Ok(Cef {
            event: Event::new(o)?,
            labels: o.bool("labels"),
            max_keys: within(o, "max_fields", 1, 1_000_000)?,
            pairs: Vec::new(),
            known: Vec::new(),
            name: Vec::new(),
            value: Vec::new(),
        })
    }

    /// The header; returns where the extension begins.
    fn header(&mut self, m: &mut MessageMut<'_>, record: &Record<'_>, start: usize) -> Result<usize, Reject> {
        let (bytes, mut at) = (record.bytes(), start);
        for name in PARTS {
            let Some((end, escaped)) = part(bytes, at) else {
                return Err(Reject::new(format!("at byte {}: found the end, expected `|` behind `{name}`", bytes.len())));
            };
            let value = unescaped(&bytes[at..end], escaped, &mut self.value);
            match name {
                "name" => self.event.name(m, record, value),
                "severity" => severity(value.bytes()).into_iter().for_each(|n| m.set_severity(n)),
                _ => {}
            }
            self.event.part(m, record, name, value)?;
            at = end + 1;
        }
        Ok(at)
    }

    /// Finds keys and values of the extension: a value ends where a space and another key with its sign begin.
    fn extension(&mut self, bytes: &[u8], start: usize) -> Result<(), Reject> {
        self.pairs.clear();
        let mut at = start;
        while let Some(n) = bytes.get(at..).and_then(|rest| memchr2(b'=', b'\\', rest)) {
            let sign = at + n;
            if bytes[sign] == b'\\' {
                at = sign + 2;
                continue;
            }
            at = sign + 1;
            let from = self.pairs.last().map_or(start, |p| p.value.0);
            let key = sign - bytes[from..sign].iter().rev().take_while(|b| is_key(**b)).count();
            // Other signs belong to values whose writers did not escape them, as in addresses of pages.
            let begins = if key == from { self.pairs.is_empty() } else { bytes[key - 1].is_ascii_whitespace() };
            if key == sign || !begins {
                continue;
            }
            if let Some(last) = self.pairs.last_mut() {
                last.value.1 = key - 1;
            }
            if self.pairs.len() == self.max_keys {
                return Err(Reject::new(format!("found more than {} keys; `max_fields` raises that", self.max_keys)));
            }
            self.pairs.push(Pair { key: (key, sign), value: (sign + 1, bytes.len()) });
        }
        let end = self.pairs.first().map_or(bytes.len(), |p| p.key.0);
        match bytes[start..end].iter().position(|b| !b.is_ascii_whitespace()) {
            None => Ok(()),
            Some(n) => {
                let found = bytes[start + n].escape_ascii();
                Err(Reject::new(format!("at byte {}: found `{found}`, expected key=value or the end", start + n)))
            }
        }
    }

    /// Finds the labels of keys that are there.
    fn find_labels(&mut self, bytes: &[u8]) {
        self.known.clear();
        let named = |label: &&Pair| {
            let key = label.key(bytes).strip_suffix(LABEL);
            key.is_some_and(|key| self.pairs.iter().any(|p| p.key(bytes) == key)) && !label.value(bytes).trim_ascii().is_empty()
        };
        let labels = self.pairs.iter().filter(|p| p.key(bytes).ends_with(LABEL)).take(MAX_LABELS);
        self.known.extend(labels.filter(named));
    }
}

impl Decoder for Cef {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, cx: &DecodeCx) -> Result<(), Reject> {
        let bytes = record.bytes();
        let Some(start) = memmem::find(bytes, b"CEF:") else {
            return Err(Reject::new(format!("found {}, expected `CEF:`", excerpt(bytes))));
        };
        let mut m = self.event.begin(&record, out);
        let before = bytes[..start].trim_ascii();
        if !before.is_empty() {
            self.event.part(&mut m, &record, "before", Piece::Here(before))?;
        }
        let at = self.header(&mut m, &record, start + 4)?;
        self.extension(bytes, at)?;
        if self.labels {
            self.find_labels(bytes);
        }
        for pair in &self.pairs {
            let (key, value) = (pair.key(bytes), pair.value(bytes));
            if self.known.iter().any(|label| label.key == pair.key) {
                continue;
            }
            let key = match self.known.iter().find(|label| label.key(bytes).strip_suffix(LABEL) == Some(key)) {
                Some(label) => unescape(label.value(bytes).trim_ascii(), &mut self.name),
                None => Piece::Here(key),
            };
            self.event.key(&mut m, &record, key, unescape(value, &mut self.value), cx.now)?;
        }
        Ok(())
    }
}

/// Where the part of the header at `at` ends, and whether it has escapes.
fn part(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    let (mut end, mut escaped) = (at, false);
    loop {
        end += memchr2(b'|', b'\\', bytes.get(end..)?)?;
        if bytes[end] == b'|' {
            return Some((end, escaped));
        }
        (end, escaped) = (end + 2, true);
    }
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']' | b':')
}

fn unescape<'a>(raw: &'a [u8], made: &'a mut Vec<u8>) -> Piece<'a> {
    unescaped(raw, memchr(b'\\', raw).is_some(), made)
}

fn unescaped<'a>(raw: &'a [u8], escaped: bool, made: &'a mut Vec<u8>) -> Piece<'a> {
    if !escaped {
        return Piece::Here(raw);
    }
    made.clear();
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.clone().next()) {
            (b'\\', Some(next @ (b'\\' | b'|' | b'='))) => made.push(next),
            (b'\\', Some(b'n')) => made.push(b'\n'),
            (b'\\', Some(b'r')) => made.push(b'\r'),
            _ => {
                made.push(byte);
                continue;
            }
        }
        bytes.next();
    }
    Piece::Made(made)
}

#[cfg(test)]
mod tests {
    use message::{Batch, Value};
    use proptest::prelude::*;
    use testkit::plugins::{decode, decoder};

    use super::*;

    fn read(toml: &str, record: &str) -> Result<Batch, String> {
        let (batch, rejects) = decode(&mut *decoder(&KIND, toml).unwrap(), &[record.as_bytes()]);
        rejects.into_iter().next().map_or(Ok(batch), Err)
    }

    fn text(batch: &Batch, name: &str) -> String {
        let value = batch.get(0).value(name.as_bytes(), 0, 0);
        value.and_then(Value::as_bytes).map_or("(none)".to_string(), |s| String::from_utf8(s.to_vec()).unwrap())
    }

    const START: &str = r"CEF:0|Security|threat\|manager|1.0|100|worm \\ stopped|10|";

    #[test]
    fn header_and_extension_are_read() {
        let batch = read("", &format!("<13>host {START}src=10.0.0.1 act=blocked a | dst=2.1.2.2 request=http://x/?a=b cnt=7 rt=1700000000250 dvchost=fw msg=two\\nlines \\= here  ")).unwrap();
        let m = batch.get(0);
        assert_eq!((m.severity(), m.hostname(), m.timestamp()), (2, &b"fw"[..], 1_700_000_000_250_000_000));
        assert_eq!(m.payload(), b"two\nlines = here");
        let names = ["before", "deviceProduct", "name", "src", "act", "dst", "request"];
        let values = ["<13>host", "threat|manager", "worm \\ stopped", "10.0.0.1", "blocked a |", "2.1.2.2", "http://x/?a=b"];
        assert_eq!(names.map(|name| text(&batch, name)), values);
        assert_eq!((m.value(b"cnt", 0, 0), m.value(b"severity", 0, 0)), (Some(Value::Integer(7)), Some(Value::Integer(10))));
    }

    #[test]
    fn custom_keys_have_the_names_of_their_labels() {
        let record = format!("{START}cs1Label=Rule Name cs1=Default cn1=5 cn2Label=lost flexLabel= flex=x");
        let batch = read("", &record).unwrap();
        assert_eq!(
            ["Rule Name", "cs1", "cs1Label", "cn2Label", "flex"].map(|n| text(&batch, n)),
            ["Default", "(none)", "(none)", "lost", "x"]
        );
        let batch = read("labels = false\ntyped = false", &record).unwrap();
        assert_eq!(["cs1", "cs1Label", "cn1"].map(|n| text(&batch, n)), ["Default", "Rule Name", "5"]);
    }

    #[test]
    fn times_are_read_in_several_ways() {
        let time = |value: &str| read("", &format!("{START}rt={value} a=b")).unwrap().get(0).timestamp();
        assert_eq!(time("1700000000000"), 1_700_000_000_000_000_000);
        assert_eq!(time("Nov 14 2023 22:13:20"), 1_700_000_000_000_000_000);
        assert_eq!(time("Nov 14 2023 22:13:20.250 UTC"), 1_700_000_000_250_000_000);
        assert_eq!(time("Nov 14 2023 22:13:20 +0000"), 1_700_000_000_000_000_000);
        assert_eq!(time("Nov 14 22:13:20"), 1_700_000_000_000_000_000);
        assert_eq!(time("2023-11-14T22:13:20Z"), 1_700_000_000_000_000_000);
        assert_eq!(time("yesterday"), 0);
    }

    #[test]
    fn the_payload_is_the_name_or_the_record() {
        let payload = |toml: &str| read(toml, START).unwrap().get(0).payload().to_vec();
        assert_eq!(payload(""), b"worm \\ stopped");
        assert_eq!(payload("keep_payload = true"), START.as_bytes());
    }

    #[test]
    fn refusals_say_where_and_what() {
        let error = |record: &str| read("max_fields = 9", record).unwrap_err();
        assert_eq!(error("hello"), "found `hello`, expected `CEF:`");
        assert_eq!(error("CEF:0|a|b"), "at byte 9: found the end, expected `|` behind `deviceProduct`");
        assert_eq!(error(&format!("{START}what a=b")), "at byte 58: found `w`, expected key=value or the end");
        assert_eq!(error(&format!("{START}a=1 b=2 c=3")), "found more than 9 fields; `max_fields` raises that");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(list in prop::collection::vec(("[a-z]{1,5}", "[a-c=|\\\\\n ]{0,9}"), 0..9)) {
            let escape = |text: &str| text.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n");
            let pairs: Vec<String> = list.iter().map(|(key, value)| format!("{key}_={}", escape(value))).collect();
            let batch = read("typed = false", &format!("{START}{}", pairs.join(" "))).unwrap();
            let fields: Vec<_> = batch.get(0).fields().skip(7).map(|f| f.value(0).unwrap().as_bytes().unwrap().to_vec()).collect();
            // Spaces at the end are not told from the one before the next key.
            let expected: Vec<_> = list.iter().map(|(_, value)| value.trim_end_matches(' ').as_bytes().to_vec()).collect();
            prop_assert_eq!(fields, expected);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(record in prop::collection::vec(prop_oneof![prop::sample::select(&b"a=|\\ 1"[..]), any::<u8>()], 0..60), whole: bool) {
            let record = if whole { [START.as_bytes(), &record].concat() } else { [b"CEF:", &record[..]].concat() };
            let (batch, rejects) = decode(&mut *decoder(&KIND, "").unwrap(), &[&record]);
            prop_assert_eq!(batch.len() + rejects.len(), 1);
        }
    }
}
