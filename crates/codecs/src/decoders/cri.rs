//! Log files of Kubernetes' container runtimes: containerd and CRI-O.
//!
//! The pieces of a long line come as one record from the splitter `container`, which waits until all are there. With the
//! splitter `line` each piece is a message of its own.

use message::Messages;
use options::{Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Kind, Record, Reject, Stability};

use crate::container::cri::parse;
use crate::container::join::{Joiner, Piece, lines};

pub const KIND: Kind = Kind::decoder("cri", Stability::Stable, build)
    .summary("Reads log files of containerd and CRI-O.")
    .doc(
        "Lines such as `2026-11-23T07:00:00.123456789Z stdout F text`. The time is the Timestamp, the text the Payload, and the field `stream` says \
         `stdout` or `stderr`. With `splitter = \"container\"` the pieces of a line that the runtime cut (`P`) are one message, with the time of the first; \
         its `max_joined` bounds them. A line whose end is missing has the field `partial`, as has every piece with another splitter.",
    );

fn build(_: &Options, _: &BuildCx) -> Result<Box<dyn Decoder>, Problem> {
    Ok(Box::new(Cri::default()))
}

#[derive(Default)]
struct Cri {
    joiner: Joiner,
}

impl Decoder for Cri {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        let before = out.len();
        self.joiner.begin();
        for line in lines(record) {
            let line = parse(line).map_err(Reject::new)?;
            let piece =
                Piece { source: line.source, partial: line.partial, time: line.time, text: record.text(line.content), bytes: line.content };
            self.joiner.piece(&piece, out, |_, _| {})?;
        }
        self.joiner.end(out);
        if out.len() == before { Err(Reject::new("found an empty record, expected a line")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use message::Value;

    use super::*;

    fn decode(record: &str) -> Result<Vec<String>, String> {
        let mut decoder = testkit::plugins::decoder(&KIND, "").unwrap();
        let (batch, rejects) = testkit::plugins::decode(&mut *decoder, &[record.as_bytes()]);
        let show = |m: message::MessageRef<'_>| {
            let fields: Vec<_> =
                m.fields().map(|f| format!("{}={}", String::from_utf8_lossy(f.name()), show(f.value(0).unwrap()))).collect();
            format!("{} {} {}", m.timestamp(), String::from_utf8_lossy(m.payload()), fields.join(" "))
        };
        rejects.into_iter().next().map_or_else(|| Ok(batch.iter().map(show).collect()), Err)
    }

    fn show(value: Value<'_>) -> String {
        match value {
            Value::String(text) => String::from_utf8_lossy(text).into_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn lines_and_their_pieces() {
        assert_eq!(decode("1970-01-01T00:00:01Z stdout F a line").unwrap(), ["1000000000 a line stream=stdout"]);
        let record = "1970-01-01T00:00:01Z stdout P one \n1970-01-01T00:00:02Z stderr P:x err\r\n1970-01-01T00:00:03Z stdout P two \n\
                      1970-01-01T00:00:04Z stdout F three\n1970-01-01T00:00:05Z stdout F \n";
        assert_eq!(
            decode(record).unwrap(),
            ["1000000000 one two three stream=stdout", "2000000000 err stream=stderr partial=Bool(true)", "5000000000  stream=stdout"]
        );
    }

    #[test]
    fn what_is_none_is_refused() {
        for (record, expected) in [
            ("nonsense", "expected `stdout` or `stderr`"),
            ("1970-01-01T00:00:01Z stdout X text", "expected the tag `P` or `F`"),
            ("yesterday stdout F text", "found `yesterday` as time"),
        ] {
            assert!(decode(record).unwrap_err().contains(expected), "{record}");
        }
    }
}
