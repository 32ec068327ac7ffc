//! Payloads as they are.
//!
//! For text that passes through, and for what Lua filters write with `inject_payload`. A message
//! without a payload is not lost: it is written as JSON.

use message::MessageRef;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Encoder, Example, Kind, Reject, Stability};

use super::json;
use super::printable::write_printable;

pub const KIND: Kind = Kind::encoder("payload", Stability::Stable, build)
    .summary("Writes payloads as they are, each ending with a newline.")
    .doc(
        "A payload that ends with a newline gets no other one. A message without a payload is written as the encoder `json` does. \
         With `escape` the text cannot command a terminal: control characters other than newline and tab, and what is not UTF-8, are \
         written as escapes such as `\\x1b`.",
    )
    .options(&[Opt::bool("escape").default("false").doc("Whether control characters are written as escapes, for terminals.")])
    .examples(&[Example { title: "On a terminal", toml: "escape = true" }]);

fn build(o: &Options, cx: &BuildCx) -> Result<Box<dyn Encoder>, Problem> {
    let plugin::Build::Encoder(json) = json::KIND.build else { return Err(Problem::new("the encoder `json` is missing")) };
    let mut problems = Vec::new();
    let defaults = Options::defaults(&[json::KIND.options], o.at(), &mut problems);
    Ok(Box::new(Payload { escape: o.bool("escape"), json: json(&defaults, cx)? }))
}

struct Payload {
    escape: bool,
    /// For messages without a payload.
    json: Box<dyn Encoder>,
}

impl Encoder for Payload {
    fn encode(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject> {
        let payload = m.payload();
        if payload.is_empty() {
            return self.json.encode(m, into);
        }
        match self.escape {
            true => write_lines(payload, into),
            false => into.extend_from_slice(payload),
        }
        if payload.last() != Some(&b'\n') {
            into.push(b'\n');
        }
        Ok(())
    }
}

/// Escapes what is between newlines and tabs.
fn write_lines(text: &[u8], into: &mut Vec<u8>) {
    for piece in text.split_inclusive(|b| matches!(b, b'\n' | b'\t')) {
        let (text, end) = match piece.split_last() {
            Some((b'\n' | b'\t', text)) => (text, &piece[text.len()..]),
            _ => (piece, &b""[..]),
        };
        write_printable(text, into);
        into.extend_from_slice(end);
    }
}

#[cfg(test)]
mod tests {
    use message::BatchBuilder;

    use super::*;

    fn encode(toml: &str, payload: &[u8]) -> String {
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        m.set_timestamp(1_700_000_000_000_000_000);
        m.add_integer(b"status", 200);
        if !payload.is_empty() {
            m.set_payload(payload);
        }
        let mut out = Vec::new();
        testkit::plugins::encoder(&KIND, toml).unwrap().encode(b.get(0), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_payload_ends_with_one_newline() {
        assert_eq!(encode("", b"as it came"), "as it came\n");
        assert_eq!(encode("", b"two\nlines\n"), "two\nlines\n");
    }

    #[test]
    fn a_message_without_payload_is_json() {
        assert_eq!(encode("", b""), "{\"timestamp\":\"2023-11-14T22:13:20.000000000Z\",\"status\":200}\n");
    }

    #[test]
    fn a_terminal_is_not_commanded() {
        assert_eq!(encode("escape = true", b"a\tb\x1b[2J\xff\nnext\r\n"), "a\tb\\x1b[2J\\xff\nnext\\r\n");
    }
}
