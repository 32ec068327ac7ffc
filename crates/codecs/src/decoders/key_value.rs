//! Names and values between separators of one's own choice, as firewalls and appliances write them.
//!
//! `a=1; b='two words'`, `a: 1, b: 2` and so on. For `key=value` between spaces with the escapes of JSON
//! `logfmt` is faster; for values with spaces that are not quoted there are `cef` and `leef`.

use memchr::{memchr2, memmem};
use message::{Datum, MessageMut, Messages};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use super::fields::{Fields, MAX_FIELDS, Piece, TYPED};
use super::headers::header_options;

pub const KIND: Kind = Kind::decoder("key_value", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(KeyValue::new(o)?)))
    .summary("Reads names and values between separators of any kind.")
    .doc(
        "A pair is a name, the `key_separator` and a value; the `pair_separator` ends it. Names and values may be quoted, and then hold \
         anything; a backslash before a quote or a backslash takes its meaning away there, and `\\n`, `\\r` and `\\t` are what they are in C. \
         Quoted values are strings. Spaces and tabs around names and values are dropped, empty pairs passed over. A record without any \
         pair is refused.",
    )
    .options(header_options![
        Opt::string("key_separator").default("=").sample("\": \"").doc("Text between a name and its value."),
        Opt::string("pair_separator").default(" ").sample("\"; \"").doc("Text between pairs."),
        Opt::string("quotes").default("\"").sample("\"\\\"'\"").doc("Characters that may stand around a name or value."),
        Opt::choice("standalone", &["flag", "skip", "refuse"])
            .default("flag")
            .doc("What a name without a value is: a field that is true, nothing, or a reason to refuse the record."),
        TYPED,
        MAX_FIELDS,
    ])
    .examples(&[
        Example { title: "Pairs between semicolons", toml: "pair_separator = \";\"\nquotes = \"\\\"'\"" },
        Example { title: "Colons and commas, all values text", toml: "key_separator = \":\"\npair_separator = \",\"\ntyped = false" },
    ]);

struct KeyValue {
    fields: Fields,
    syntax: Syntax,
    standalone: Standalone,
    typed: bool,
    /// Memory for a name and a value without their escapes.
    name: Vec<u8>,
    value: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum Standalone {
    Flag,
    Skip,
    Refuse,
}

struct Syntax {
    key: Box<[u8]>,
    pair: Box<[u8]>,
    pairs: memmem::Finder<'static>,
    quotes: Box<[u8]>,
}

impl KeyValue {
    fn new(o: &Options) -> Result<KeyValue, Problem> {
        let (key, pair, quotes) = (o.str("key_separator").as_bytes(), o.str("pair_separator").as_bytes(), o.str("quotes").as_bytes());
        for (name, text) in [("key_separator", key), ("pair_separator", pair)] {
            if text.is_empty() {
                return Err(o.problem(name, format!("`{name}` is empty"), "expected a text, such as \"=\""));
            }
        }
        if key == pair {
            return Err(o.problem("pair_separator", "both separators are the same", "expected another text"));
        }
        if quotes.iter().any(|q| !q.is_ascii_punctuation() || *q == b'\\' || *q == key[0] || *q == pair[0]) {
            return Err(o.problem("quotes", "`quotes` holds what cannot be a quote", "expected characters such as \" or '"));
        }
        let standalone = match o.str("standalone") {
            "skip" => Standalone::Skip,
            "refuse" => Standalone::Refuse,
            _ => Standalone::Flag,
        };
        let syntax = Syntax { key: key.into(), pair: pair.into(), pairs: memmem::Finder::new(pair).into_owned(), quotes: quotes.into() };
        Ok(KeyValue { fields: Fields::new(o)?, syntax, standalone, typed: o.bool("typed"), name: Vec::new(), value: Vec::new() })
    }

    fn add(&mut self, m: &mut MessageMut<'_>, record: &Record<'_>, pair: Pair<'_>) -> Result<bool, Reject> {
        let name = pair.name.piece(&mut self.name);
        match pair.value {
            Some(value) => {
                let guess = self.typed && !value.is_quoted();
                self.fields.add(m, record, name, value.piece(&mut self.value), guess)?;
                Ok(true)
            }
            None if self.standalone == Standalone::Flag => self.fields.put(m, record, name, Datum::Bool(true), b"").map(|()| false),
            None if self.standalone == Standalone::Skip => Ok(false),
            None => {
                let name = super::types::excerpt(name.bytes());
                Err(Reject::new(format!("at byte {}: found the name {name} without a value", pair.at)))
            }
        }
    }
}

impl Decoder for KeyValue {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        let bytes = record.bytes();
        let mut m = self.fields.begin(&record, out);
        let (mut at, mut any) = (0, false);
        while let Some(pair) = self.syntax.next(bytes, &mut at).map_err(|wrong| wrong.reject(bytes))? {
            any |= self.add(&mut m, &record, pair)?;
        }
        if any {
            Ok(())
        } else {
            Err(Reject::new("found no name with a value; `key_separator` and `pair_separator` say what they look like"))
        }
    }
}

struct Pair<'a> {
    at: usize,
    name: Part<'a>,
    value: Option<Part<'a>>,
}

/// A name or value as it stands in the record, without its quotes.
#[derive(Clone, Copy)]
enum Part<'a> {
    Bare(&'a [u8]),
    Quoted { raw: &'a [u8], escaped: bool, quote: u8 },
}

impl<'a> Part<'a> {
    fn is_quoted(&self) -> bool {
        matches!(self, Part::Quoted { .. })
    }

    fn piece<'p>(self, made: &'p mut Vec<u8>) -> Piece<'p>
    where
        'a: 'p,
    {
        match self {
            Part::Bare(raw) | Part::Quoted { raw, escaped: false, .. } => Piece::Here(raw),
            Part::Quoted { raw, quote, .. } => {
                unescape(raw, quote, made);
                Piece::Made(made)
            }
        }
    }
}

fn unescape(raw: &[u8], quote: u8, into: &mut Vec<u8>) {
    into.clear();
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.clone().next()) {
            (b'\\', Some(next)) if next == quote || next == b'\\' => into.push(next),
            (b'\\', Some(b'n')) => into.push(b'\n'),
            (b'\\', Some(b'r')) => into.push(b'\r'),
            (b'\\', Some(b't')) => into.push(b'\t'),
            _ => {
                into.push(byte);
                continue;
            }
        }
        bytes.next();
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Where a quoted text goes wrong.
struct Wrong {
    at: usize,
    expected: &'static str,
}

impl Wrong {
    fn reject(self, bytes: &[u8]) -> Reject {
        let found = bytes.get(self.at).map_or("the end".to_string(), |b| format!("`{}`", b.escape_ascii()));
        Reject::new(format!("at byte {}: found {found}, expected {}", self.at, self.expected))
    }
}

impl Syntax {
    /// The pair at or behind `at`, which moves behind it.
    fn next<'a>(&self, bytes: &'a [u8], at: &mut usize) -> Result<Option<Pair<'a>>, Wrong> {
        let mut start = *at;
        loop {
            let rest = &bytes[start..];
            start += match rest.first() {
                None => return Ok(None),
                _ if rest.starts_with(&self.pair) => self.pair.len(),
                Some(byte) if is_blank(*byte) => 1,
                Some(_) => break,
            };
        }
        let (name, mut end) = match self.quote(bytes, start) {
            Some(quote) => self.quoted(bytes, start, quote)?,
            None => self.name(bytes, start),
        };
        if name.is_quoted() {
            end += blanks(&bytes[end..], &self.key, &self.pair);
        }
        if !bytes[end..].starts_with(&self.key) {
            *at = end;
            if end < bytes.len() && !bytes[end..].starts_with(&self.pair) {
                return Err(Wrong { at: end, expected: "the `key_separator` or the `pair_separator` behind a quoted name" });
            }
            return Ok(Some(Pair { at: start, name, value: None }));
        }
        if matches!(name, Part::Bare(b"")) {
            return Err(Wrong { at: start, expected: "a name" });
        }
        let from = end + self.key.len();
        let from = from + blanks(&bytes[from..], &self.pair, &self.pair);
        let (value, end) = match self.quote(bytes, from) {
            Some(quote) => {
                let (value, end) = self.quoted(bytes, from, quote)?;
                let end = end + blanks(&bytes[end..], &self.pair, &self.pair);
                if end < bytes.len() && !bytes[end..].starts_with(&self.pair) {
                    return Err(Wrong { at: end, expected: "the `pair_separator` behind a quoted value" });
                }
                (value, end)
            }
            None => {
                let end = self.pairs.find(&bytes[from..]).map_or(bytes.len(), |n| from + n);
                (Part::Bare(bytes[from..end].trim_ascii_end()), end)
            }
        };
        *at = end;
        Ok(Some(Pair { at: start, name, value: Some(value) }))
    }

    /// A name without quotes, and where what ends it begins.
    fn name<'a>(&self, bytes: &'a [u8], start: usize) -> (Part<'a>, usize) {
        let mut end = start;
        while let Some(n) = memchr2(self.key[0], self.pair[0], &bytes[end..]) {
            end += n;
            if bytes[end..].starts_with(&self.key) || bytes[end..].starts_with(&self.pair) {
                return (Part::Bare(bytes[start..end].trim_ascii_end()), end);
            }
            end += 1;
        }
        (Part::Bare(bytes[start..].trim_ascii_end()), bytes.len())
    }

    /// The quote that stands at `at`, if there is one.
    fn quote(&self, bytes: &[u8], at: usize) -> Option<u8> {
        bytes.get(at).copied().filter(|b| self.quotes.contains(b))
    }

    /// A text whose quote stands at `start`, and where what is behind it begins.
    fn quoted<'a>(&self, bytes: &'a [u8], start: usize, quote: u8) -> Result<(Part<'a>, usize), Wrong> {
        let (mut end, mut escaped) = (start + 1, false);
        loop {
            let Some(n) = bytes.get(end..).and_then(|rest| memchr2(quote, b'\\', rest)) else {
                return Err(Wrong { at: bytes.len(), expected: "the closing quote" });
            };
            end += n;
            if bytes[end] == quote {
                return Ok((Part::Quoted { raw: &bytes[start + 1..end], escaped, quote }, end + 1));
            }
            escaped = true;
            end += 2;
        }
    }
}

/// How many spaces and tabs stand before one of these texts, or anything else.
fn blanks(bytes: &[u8], one: &[u8], other: &[u8]) -> usize {
    let here = |at: usize| bytes[at..].starts_with(one) || bytes[at..].starts_with(other);
    (0..bytes.len()).take_while(|at| is_blank(bytes[*at]) && !here(*at)).count()
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

    fn fields(toml: &str, record: &str) -> Vec<(String, String)> {
        let batch = read(toml, record).unwrap();
        let text = |value: Value<'_>| match value {
            Value::String(s) | Value::Bytes(s) => String::from_utf8(s.to_vec()).unwrap(),
            Value::Integer(n) => format!("#{n}"),
            Value::Double(n) => format!("#{n}"),
            Value::Bool(b) => format!("#{b}"),
        };
        batch.get(0).fields().map(|f| (String::from_utf8(f.name().to_vec()).unwrap(), text(f.value(0).unwrap()))).collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
    }

    #[test]
    fn separators_are_configured() {
        let expected = pairs(&[("a", "#1"), ("b c", "two words"), ("d", ""), ("e", "#true")]);
        assert_eq!(fields("pair_separator = ';'", "a=1;b c=two words ; ;d=;e\n"), expected);
        assert_eq!(fields("pair_separator = ', '\nkey_separator = ': '", "a: 1, b c: two words, d: , e"), expected);
        assert_eq!(fields("pair_separator = '|'\nkey_separator = '=>'", "a=>1|b c => two words|d=>|e"), expected);
        assert_eq!(fields("key_separator = ' = '", "a = 1 e"), pairs(&[("a", "#1"), ("e", "#true")]));
        assert_eq!(fields("typed = false", "a=1  b=true "), pairs(&[("a", "1"), ("b", "true")]));
    }

    #[test]
    fn quotes_hold_anything() {
        let toml = "pair_separator = ','\nquotes = \"\\\"'\"";
        let record = r#"'a,=1' = "x,\"y\" \\ \n \z" , b='it"s', c="1""#;
        assert_eq!(fields(toml, record), pairs(&[("a,=1", "x,\"y\" \\ \n \\z"), ("b", "it\"s"), ("c", "1")]));
    }

    #[test]
    fn names_become_headers() {
        let batch =
            read("hostname = 'devname'\ntimestamp = 'eventtime'", "eventtime=1700000000 devname=\"FG 1\" level=\"warning\" srcport=55")
                .unwrap();
        let m = batch.get(0);
        assert_eq!((m.timestamp(), m.severity(), m.hostname()), (1_700_000_000_000_000_000, 4, &b"FG 1"[..]));
        assert_eq!(m.value(b"srcport", 0, 0), Some(Value::Integer(55)));
    }

    #[test]
    fn refusals_say_where_and_what() {
        let error = |toml: &str, record: &str| read(toml, record).unwrap_err();
        assert_eq!(error("", "a=\"x\"y"), "at byte 5: found `y`, expected the `pair_separator` behind a quoted value");
        assert_eq!(error("", "a=\"x"), "at byte 4: found the end, expected the closing quote");
        assert_eq!(error("", "a=1 =2"), "at byte 4: found `=`, expected a name");
        assert_eq!(error("standalone = 'refuse'", "a=1 b"), "at byte 4: found the name `b` without a value");
        assert_eq!(error("max_fields = 1", "a=1 b=2"), "found more than 1 fields; `max_fields` raises that");
        assert!(error("", "just words").starts_with("found no name with a value"));
        let problem = |toml: &str| decoder(&KIND, toml).err().unwrap();
        assert!(problem("pair_separator = ''").contains("is empty"));
        assert!(problem("pair_separator = '='").contains("the same"));
        assert!(problem("quotes = 'x'").contains("cannot be a quote"));
    }

    proptest! {
        #[test]
        fn quoted_pairs_are_read_back(list in prop::collection::vec(("[a-z]{1,9}_", "[a\\\\\"= ;\n\tz]{0,9}"), 1..9)) {
            let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
            let record: Vec<String> = list.iter().map(|(name, value)| format!("{}={}", name, quoted(value))).collect();
            prop_assert_eq!(fields("pair_separator = ';'", &record.join(";")), list.clone());
            prop_assert_eq!(fields("", &record.join(" ")), list);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(record in prop::collection::vec(prop_oneof![prop::sample::select(&b"a=;\"\\ 1"[..]), any::<u8>()], 0..40)) {
            for toml in ["", "pair_separator = '; '\nkey_separator = '=='", "standalone = 'refuse'\nquotes = ''"] {
                let (batch, rejects) = decode(&mut *decoder(&KIND, toml).unwrap(), &[&record]);
                prop_assert_eq!(batch.len() + rejects.len(), 1);
            }
        }
    }
}
