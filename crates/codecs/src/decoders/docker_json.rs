//! Log files of Docker's driver `json-file`.
//!
//! The pieces of a long line come as one record from the splitter `container`, which waits until all are there. With the
//! splitter `line` each piece is a message of its own.

use message::{Datum, Messages};
use options::{Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Kind, Record, Reject, Stability};

use crate::container::docker::{Line, parse};
use crate::container::join::{Joiner, Piece, lines};
use crate::json::{Reader, Wrong, unescape};

pub const KIND: Kind = Kind::decoder("docker_json", Stability::Stable, build)
    .summary("Reads log files of Docker's driver json-file.")
    .doc(
        "Objects such as `{\"log\":\"text\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-23T07:00:00Z\"}`, one a line. The time is the Timestamp, the text without its \
         newline the Payload, and the field `stream` says `stdout` or `stderr`; strings in `attrs` become fields. With `splitter = \"container\"` the \
         pieces of a long line (those without a newline) are one message, with the time of the first; its `max_joined` bounds them. A line whose end is missing \
         has the field `partial`, as has every piece with another splitter.",
    );

fn build(_: &Options, _: &BuildCx) -> Result<Box<dyn Decoder>, Problem> {
    Ok(Box::new(DockerJson::default()))
}

#[derive(Default)]
struct DockerJson {
    joiner: Joiner,
    unescaped: Vec<u8>,
}

impl Decoder for DockerJson {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        let before = out.len();
        self.joiner.begin();
        for bytes in lines(record) {
            let line = parse(bytes).map_err(|wrong| wrong.reject(bytes))?;
            self.line(&line, record, out)?;
        }
        self.joiner.end(out);
        if out.len() == before { Err(Reject::new("found an empty record, expected a line")) } else { Ok(()) }
    }
}

impl DockerJson {
    fn line(&mut self, line: &Line<'_>, record: Record<'_>, out: &mut Messages) -> Result<(), Reject> {
        let partial = line.partial();
        let raw = if partial { line.log.raw } else { &line.log.raw[..line.log.raw.len() - 2] };
        let (text, bytes) = if raw.contains(&b'\\') {
            self.unescaped.clear();
            unescape(raw, &mut self.unescaped);
            (out.store(&self.unescaped), &self.unescaped[..])
        } else {
            (record.text(raw), raw)
        };
        let piece = Piece { source: line.source, partial, time: line.time, text, bytes };
        let mut wrong = None;
        self.joiner.piece(&piece, out, |out, index| wrong = attrs(line.attrs, record, out, index).err())?;
        wrong.map_or(Ok(()), |wrong| Err(wrong.reject(line.attrs)))
    }
}

/// Fields of the strings among them.
fn attrs(object: &[u8], record: Record<'_>, out: &mut Messages, index: usize) -> Result<(), Wrong> {
    if object.is_empty() {
        return Ok(());
    }
    let mut r = Reader::new(object);
    let mut unescaped = Vec::new();
    let mut more = r.enter(b'{', b'}', "`{`")?;
    while more {
        let key = r.key()?;
        if r.peek() == Some(b'"') {
            let value = r.string()?;
            let mut store = |text: &crate::json::Str<'_>, out: &mut Messages| match text.escaped {
                false => record.text(text.raw),
                true => {
                    unescaped.clear();
                    unescape(text.raw, &mut unescaped);
                    out.store(&unescaped)
                }
            };
            let (name, value) = (store(&key, out), store(&value, out));
            out.message(index).add(name, Datum::String(value));
        } else {
            r.skip(1)?;
        }
        more = r.another(b'}', "`,` or `}`")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(record: &str) -> Result<Vec<String>, String> {
        let mut decoder = testkit::plugins::decoder(&KIND, "").unwrap();
        let (batch, rejects) = testkit::plugins::decode(&mut *decoder, &[record.as_bytes()]);
        let show = |m: message::MessageRef<'_>| {
            let fields: Vec<_> = m.fields().map(|f| format!("{}={:?}", String::from_utf8_lossy(f.name()), f.value(0))).collect();
            format!("{} {} {}", m.timestamp(), String::from_utf8_lossy(m.payload()), fields.len())
        };
        rejects.into_iter().next().map_or_else(|| Ok(batch.iter().map(show).collect()), Err)
    }

    fn line(log: &str, stream: &str, second: u32, attrs: &str) -> String {
        format!("{{\"log\":\"{log}\",\"stream\":\"{stream}\"{attrs},\"time\":\"1970-01-01T00:00:0{second}Z\"}}\n")
    }

    #[test]
    fn lines_and_their_pieces() {
        assert_eq!(decode(&line("a line\\n", "stdout", 1, "")).unwrap(), ["1000000000 a line 1"]);
        let attrs = r#","attrs":{"tag":"web","n":1,"la\"bel":"x"}"#;
        assert_eq!(decode(&line(r#"say \"hi\"\t\\n\n"#, "stderr", 2, attrs)).unwrap(), ["2000000000 say \"hi\"\t\\n 3"]);
        // The backslash in front of the last n is one that was escaped: the line goes on.
        let record = [line(r"C:\\n", "stdout", 1, ""), line("err\\n", "stderr", 2, ""), line("x\\n", "stdout", 3, "")].concat();
        assert_eq!(decode(&record).unwrap(), ["1000000000 C:\\nx 1", "2000000000 err 1"]);
        assert_eq!(decode(&line("cut", "stdout", 1, "")).unwrap(), ["1000000000 cut 2"], "with the field partial");
    }

    #[test]
    fn what_is_none_is_refused() {
        for (record, expected) in [
            ("nonsense", "expected `{`"),
            ("{\"stream\":\"stdout\"}", "expected a member `log`"),
            ("{\"log\":\"a\\n\",\"stream\":\"stdin\"}", "expected `stdout` or `stderr`"),
            ("{\"log\":\"a\\n\",\"time\":\"now\"}", "found `now` as time"),
        ] {
            let refused = decode(record).unwrap_err();
            assert!(refused.contains(expected), "{record}: {refused}");
        }
    }
}
