//! A line of text made from a template.
//!
//! For files that people and simple tools read, and to pass text on as it came. Values are written
//! as they are: one with a newline makes several lines. For structure use [`super::json`], for
//! terminals [`super::text`].

use std::ops::Range;

use message::{Header, MessageRef, Value};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Encoder, Example, Kind, Reject, Stability};

use super::names::{self, FIELDS};
use super::number::{write_double, write_integer};
use crate::time::write_rfc3339;

pub const KIND: Kind = Kind::encoder("line", Stability::Stable, build)
    .summary("Writes messages as lines after a template.")
    .doc(
        "In the template, `{name}` stands for a header (`timestamp`, `type`, `logger`, `hostname`, `severity`, `pid`, `env_version`, `uuid`, \
         `payload`, or as matchers write them: `Type`) or else for the field of that name, and `{name|default}` has a text for messages \
         without it; `{fields.name}` is always the field. The values of a field are joined by commas. `{{` and `}}` are braces. A newline \
         follows each message. The timestamp is written in RFC 3339 with nanoseconds, UTC.",
    )
    .options(&[Opt::string("template").default("{payload}").doc("What a line is made of.").sample("\"{timestamp} {hostname} {payload}\"")])
    .examples(&[Example { title: "With fields", toml: "template = \"{timestamp} {hostname} {status|-} {payload}\"" }]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Encoder>, Problem> {
    let template = o.str("template");
    let pieces = parse(template).map_err(|wrong| {
        let place = o.location("template").within(wrong.at, template);
        Problem::new("`template` is malformed").at(&place, wrong.expected).help("write `{{` and `}}` for braces")
    })?;
    Ok(Box::new(Line { pieces }))
}

#[derive(PartialEq, Debug)]
enum Piece {
    Text(String),
    Header(Header, String),
    Field(String, String),
}

/// A place in a template where something else was expected.
#[derive(PartialEq, Debug)]
struct Wrong {
    at: Range<usize>,
    expected: &'static str,
}

fn parse(template: &str) -> Result<Vec<Piece>, Wrong> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut at = 0;
    while let Some(skipped) = template[at..].find(['{', '}']) {
        text.push_str(&template[at..at + skipped]);
        at += skipped;
        let rest = &template[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            text.push_str(&rest[..1]);
            at += 2;
            continue;
        }
        if rest.starts_with('}') {
            return Err(Wrong { at: at..at + 1, expected: "found `}` without a `{` before it" });
        }
        let inside = rest[1..].split_once('}').map(|(inside, _)| inside);
        let inside = inside.ok_or(Wrong { at: at..template.len(), expected: "expected `}` at the end of it" })?;
        let (name, default) = inside.split_once('|').unwrap_or((inside, ""));
        if name.is_empty() || name.contains('{') {
            return Err(Wrong { at: at..at + inside.len() + 2, expected: "expected the name of a header or field in it" });
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(piece(name, default));
        at += inside.len() + 2;
    }
    text.push_str(&template[at..]);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

fn piece(name: &str, default: &str) -> Piece {
    let header = names::header(name.as_bytes()).or_else(|| Header::from_name(name.as_bytes()));
    match header {
        Some(header) => Piece::Header(header, default.into()),
        None => Piece::Field(name.strip_prefix(FIELDS).unwrap_or(name).into(), default.into()),
    }
}

struct Line {
    pieces: Vec<Piece>,
}

impl Encoder for Line {
    fn encode(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject> {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => into.extend_from_slice(text.as_bytes()),
                Piece::Header(header, _) if m.has(*header) => write_header(m, *header, into),
                Piece::Field(name, default) => match m.field(name.as_bytes(), 0) {
                    Some(field) => write_values(field.values(), into),
                    None => into.extend_from_slice(default.as_bytes()),
                },
                Piece::Header(_, default) => into.extend_from_slice(default.as_bytes()),
            }
        }
        into.push(b'\n');
        Ok(())
    }
}

fn write_header(m: MessageRef<'_>, header: Header, into: &mut Vec<u8>) {
    match header {
        Header::Timestamp => write_rfc3339(m.timestamp(), 9, into),
        Header::Uuid => into.extend_from_slice(&m.uuid().text()),
        Header::Severity => write_integer(m.severity().into(), into),
        Header::Pid => write_integer(m.pid().into(), into),
        _ => into.extend_from_slice(m.text_header(header)),
    }
}

fn write_values<'a>(values: impl Iterator<Item = Value<'a>>, into: &mut Vec<u8>) {
    for (n, value) in values.enumerate() {
        if n > 0 {
            into.push(b',');
        }
        match value {
            Value::String(s) | Value::Bytes(s) => into.extend_from_slice(s),
            Value::Integer(n) => write_integer(n, into),
            Value::Double(n) => write_double(n, into),
            Value::Bool(b) => into.extend_from_slice(if b { b"true" } else { b"false" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use message::{BatchBuilder, Datum, Text, ValueType};

    use super::*;

    fn encode(template: &str) -> String {
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        m.set_timestamp(1_700_000_000_000_000_000);
        m.set_type(b"t");
        m.set_payload(b"hello");
        m.set_severity(3);
        m.add_integer(b"status", 200);
        m.add_string(b"type", b"field");
        let name = m.messages().store(b"list");
        m.add_field(name, Text::NONE, ValueType::Double, &[Datum::Double(1.0), Datum::Double(0.5)]);
        let mut out = Vec::new();
        let mut encoder = testkit::plugins::encoder(&KIND, &format!("template = '{template}'")).unwrap();
        encoder.encode(b.get(0), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_stand_for_values() {
        assert_eq!(encode("{timestamp} {Type}/{type} {severity} {payload}"), "2023-11-14T22:13:20.000000000Z t/t 3 hello\n");
        assert_eq!(encode("{status},{fields.type},{list}"), "200,field,1.0,0.5\n");
        assert_eq!(encode("[{hostname|-}][{none|a b}][{none}]"), "[-][a b][]\n");
        assert_eq!(encode("{{{status}}} }}{{"), "{200} }{\n");
        assert_eq!(encode(""), "\n");
    }

    #[test]
    fn the_payload_is_the_default() {
        let mut b = BatchBuilder::default();
        b.add().set_payload(b"as it came \xff");
        let mut out = Vec::new();
        testkit::plugins::encoder(&KIND, "").unwrap().encode(b.get(0), &mut out).unwrap();
        assert_eq!(out, b"as it came \xff\n");
    }

    #[test]
    fn malformed_templates_are_pointed_at() {
        let build = |toml| testkit::plugins::encoder(&KIND, toml).err().unwrap();
        assert_eq!(
            build("template = 'ab {x'"),
            "test.toml:1:16: `template` is malformed: expected `}` at the end of it (write `{{` and `}}` for braces)"
        );
        assert!(build("template = 'a}'").starts_with("test.toml:1:14: `template` is malformed: found `}` without"));
        assert!(build("template = '{}'").contains("expected the name of a header or field"));
        assert!(build("template = '{a{b}'").contains("expected the name of a header or field"));
    }
}
