//! Lines of text, ended by `\n` or `\r\n`.
//!
//! For almost every log file and stream socket. Not for records that span lines ([`super::group`])
//! or end in something else ([`super::token`], [`super::regex`]). What follows the last newline of
//! a stream that ends is a record.

use memchr::memchr;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Kind, Split, Splitter, Stability};

pub const KIND: Kind = Kind::splitter("line", Stability::Stable, build)
    .summary("Cuts a stream into lines.")
    .doc(
        "Lines end in `\\n` or `\\r\\n`; what follows the last newline when a stream ends is a line, too. \
         Skipped empty lines are counted as discarded bytes.",
    )
    .options(&[
        Opt::bool("keep_delimiter").default("false").doc("Whether the newline (and a carriage return before it) stays part of the record."),
        Opt::bool("skip_empty").default("true").doc("Whether lines that hold nothing are dropped."),
    ])
    .examples(&[plugin::Example { title: "Keep lines exactly as they are", toml: "keep_delimiter = true\nskip_empty = false" }]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Splitter>, Problem> {
    Ok(Box::new(Line { keep_delimiter: o.bool("keep_delimiter"), skip_empty: o.bool("skip_empty"), searched: 0 }))
}

struct Line {
    keep_delimiter: bool,
    skip_empty: bool,
    /// Bytes at the start of the buffer known to hold no newline.
    searched: usize,
}

impl Splitter for Line {
    fn split(&mut self, buf: &[u8], end: bool) -> Split {
        let from = self.searched.min(buf.len());
        let newline = memchr(b'\n', &buf[from..]).map(|at| from + at);
        if newline.is_none() && (!end || buf.is_empty()) {
            self.searched = buf.len();
            return Split::More;
        }
        self.searched = 0;
        let (text, end) = match newline {
            Some(at) => (buf[..at].strip_suffix(b"\r").map_or(at, <[u8]>::len), at + 1),
            None => (buf.len(), buf.len()),
        };
        match text {
            0 if self.skip_empty => Split::Garbage { end },
            _ => Split::Record { record: 0..if self.keep_delimiter { end } else { text }, end },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(toml: &str, stream: &[u8]) -> (Vec<String>, usize) {
        let (records, discarded) = testkit::plugins::split(&mut *testkit::plugins::splitter(&KIND, toml).unwrap(), stream, 3);
        (records.into_iter().map(|r| String::from_utf8(r).unwrap()).collect(), discarded)
    }

    #[test]
    fn lines() {
        let stream = b"one\r\ntwo\n\n\r\nthree\rfour\nlast";
        assert_eq!(split("", stream), (["one", "two", "three\rfour", "last"].map(String::from).to_vec(), 3));
        let kept = ["one\r\n", "two\n", "\n", "\r\n", "three\rfour\n", "last"].map(String::from).to_vec();
        assert_eq!(split("keep_delimiter = true\nskip_empty = false", stream), (kept, 0));
        assert_eq!(split("skip_empty = false", b"\na\n"), (vec![String::new(), "a".into()], 0));
    }
}
