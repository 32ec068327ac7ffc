//! One line a message for people to read.
//!
//! For terminals. Not for programs: the line cannot be read back. Text from messages cannot command
//! the terminal, see [`super::printable`].

use message::{FieldRef, Header, MessageRef, Value};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Encoder, Example, Kind, Reject, Stability};

use super::number::write_integer;
use super::printable::write_printable;
use crate::time::write_rfc3339;

pub const KIND: Kind = Kind::encoder("text", Stability::Stable, build)
    .summary("Writes messages as lines for people.")
    .doc(
        "A line is the time of day (UTC, milliseconds), hostname, type, severity and payload, then the fields as name=value; `-` stands for \
         what is not set. Control characters and what is not UTF-8 are written as escapes such as `\\x1b`, so that a message stays on its \
         line and commands no terminal.",
    )
    .options(&[Opt::bool("colour").default("false").doc("Whether severities and field names are coloured for a terminal.")])
    .examples(&[Example { title: "On a terminal", toml: "colour = true" }]);

/// Syslog's severities and their colours (ANSI).
const SEVERITIES: [(&str, &str); 8] = [
    ("emerg", "\x1b[1;31m"),
    ("alert", "\x1b[1;31m"),
    ("crit", "\x1b[1;31m"),
    ("error", "\x1b[31m"),
    ("warn", "\x1b[33m"),
    ("notice", "\x1b[36m"),
    ("info", "\x1b[32m"),
    ("debug", "\x1b[2m"),
];
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Encoder>, Problem> {
    Ok(Box::new(Text { colour: o.bool("colour"), time: Vec::new() }))
}

struct Text {
    colour: bool,
    /// Memory for a time with its date.
    time: Vec<u8>,
}

impl Encoder for Text {
    fn encode(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject> {
        self.time.clear();
        write_rfc3339(m.timestamp(), 3, &mut self.time);
        into.extend_from_slice(self.time.get("2023-11-14T".len().."2023-11-14T22:13:20.123".len()).unwrap_or_default());
        for header in [Header::Hostname, Header::Type] {
            into.push(b' ');
            write_word(m.text_header(header), into);
        }
        into.push(b' ');
        self.write_severity(m, into);
        if !m.payload().is_empty() {
            into.push(b' ');
            write_printable(m.payload(), into);
        }
        for field in m.fields() {
            into.push(b' ');
            self.painted(DIM, into, |into| {
                write_printable(field.name(), into);
                into.push(b'=');
            });
            write_values(field, into);
        }
        into.push(b'\n');
        Ok(())
    }
}

impl Text {
    fn painted(&self, colour: &str, into: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        into.extend_from_slice(if self.colour { colour.as_bytes() } else { b"" });
        write(into);
        into.extend_from_slice(if self.colour { PLAIN.as_bytes() } else { b"" });
    }

    fn write_severity(&self, m: MessageRef<'_>, into: &mut Vec<u8>) {
        let known = usize::try_from(m.severity()).ok().and_then(|n| SEVERITIES.get(n));
        match known {
            _ if !m.has(Header::Severity) => into.push(b'-'),
            Some((name, colour)) => self.painted(colour, into, |into| into.extend_from_slice(name.as_bytes())),
            None => write_integer(m.severity().into(), into),
        }
    }
}

fn write_word(text: &[u8], into: &mut Vec<u8>) {
    write_printable(if text.is_empty() { b"-" } else { text }, into);
}

fn write_values(field: FieldRef<'_>, into: &mut Vec<u8>) {
    for (n, value) in field.values().enumerate() {
        if n > 0 {
            into.push(b',');
        }
        match value {
            Value::String(s) | Value::Bytes(s) if s.is_empty() || s.iter().any(|b| matches!(b, b' ' | b'"' | b'=' | b',')) => {
                into.push(b'"');
                write_printable(s, into);
                into.push(b'"');
            }
            Value::String(s) | Value::Bytes(s) => write_printable(s, into),
            Value::Integer(n) => write_integer(n, into),
            Value::Double(n) => into.extend_from_slice(n.to_string().as_bytes()),
            Value::Bool(b) => into.extend_from_slice(b.to_string().as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use message::BatchBuilder;
    use proptest::prelude::*;

    use super::*;

    fn encode(toml: &str, fill: impl FnOnce(&mut message::MessageMut<'_>)) -> String {
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        m.set_timestamp(1_700_000_000_123_456_789);
        fill(&mut m);
        let mut out = Vec::new();
        testkit::plugins::encoder(&KIND, toml).unwrap().encode(b.get(0), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_for_people() {
        let fill = |m: &mut message::MessageMut<'_>| {
            m.set_hostname(b"web");
            m.set_type(b"nginx.access");
            m.set_severity(4);
            m.set_payload(b"one\n\x1b[2Jtwo");
            m.add_integer(b"status", 500);
            m.add_double(b"time", 0.5);
            m.add_string(b"agent", b"a b");
        };
        let plain = "22:13:20.123 web nginx.access warn one\\n\\x1b[2Jtwo status=500 time=0.5 agent=\"a b\"\n";
        assert_eq!(encode("", fill), plain);
        let coloured = encode("colour = true", fill);
        assert!(coloured.contains("\x1b[33mwarn\x1b[0m") && coloured.contains("\\x1b[2Jtwo"));
        assert_eq!(encode("", |_| ()), "22:13:20.123 - - -\n");
    }

    proptest! {
        #[test]
        fn a_message_stays_on_its_line(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let line = encode("", |m| {
                m.set_hostname(&text);
                m.set_type(&text);
                m.set_payload(&text);
                m.add_string(&text, &text);
            });
            prop_assert!(!line[..line.len() - 1].chars().any(char::is_control) && line.ends_with('\n'));
        }
    }
}
