//! Records that end in a fixed sequence of bytes, or in every n-th occurrence of it.
//!
//! For NUL-terminated messages, blank-line separated blocks and records of a fixed number of lines.
//! What follows the last delimiter of a stream that ends is a record.

use memchr::memmem::Finder;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Family, Kind, Preset, Split, Splitter, Stability};

pub const KIND: Kind = Kind::splitter("token", Stability::Stable, build)
    .summary("Cuts a stream at a fixed sequence of bytes.")
    .doc(
        "A record ends at the delimiter, or at every `count`-th one: the others stay inside the record. \
         Skipped empty records are counted as discarded bytes.",
    )
    .options(&[
        Opt::string("delimiter")
            .default("\\n")
            .doc("What ends a record. `\\n`, `\\r`, `\\t`, `\\0`, `\\\\` and `\\x1e` (any byte in hexadecimal) are understood.")
            .sample("'\\0'"),
        Opt::integer("count").default("1").doc("How many delimiters make a record."),
        Opt::bool("keep_delimiter").default("false").doc("Whether the last delimiter stays part of the record."),
        Opt::bool("skip_empty").default("true").doc("Whether records that hold nothing but the delimiter are dropped."),
    ])
    .examples(&[
        plugin::Example { title: "Messages that end in a NUL byte", toml: "delimiter = '\\0'" },
        plugin::Example { title: "Blocks of three lines", toml: "count = 3" },
    ]);

/// For messages of GELF over TCP, and others.
pub const NUL: Preset =
    Preset { family: Family::Splitter, name: "nul", kind: "token", summary: "Records that end in a NUL byte.", toml: "delimiter = '\\0'" };

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Splitter>, Problem> {
    let text = o.str("delimiter");
    let delimiter = unescape(text).map_err(|at| {
        let place = o.location("delimiter").within(at..at + 2, text);
        Problem::new("`delimiter` holds an unknown escape")
            .at(&place, "expected \\n, \\r, \\t, \\0, \\\\ or \\x and two hexadecimal digits")
    })?;
    if delimiter.is_empty() {
        return Err(o.problem("delimiter", "`delimiter` is empty", "expected at least one byte"));
    }
    let count = u32::try_from(o.integer("count")).ok().filter(|n| *n > 0);
    let count = count.ok_or_else(|| o.problem("count", "`count` is out of range", "expected 1 or more"))?;
    Ok(Box::new(Token {
        finder: Finder::new(&delimiter).into_owned(),
        count,
        keep_delimiter: o.bool("keep_delimiter"),
        skip_empty: o.bool("skip_empty"),
        found: 0,
        searched: 0,
    }))
}

/// # Errors
/// Offset of the escape that is not one.
fn unescape(text: &str) -> Result<Vec<u8>, usize> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or_default();
        let (byte, len) = match escape {
            b'n' => (b'\n', 2),
            b'r' => (b'\r', 2),
            b't' => (b'\t', 2),
            b'0' => (0, 2),
            b'\\' => (b'\\', 2),
            b'x' => {
                let digits = rest.get(at + 2..at + 4).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                (digits.ok_or(text.len() - rest.len() + at)?, 4)
            }
            _ => return Err(text.len() - rest.len() + at),
        };
        out.push(byte);
        rest = &rest[at + len..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

struct Token {
    finder: Finder<'static>,
    count: u32,
    keep_delimiter: bool,
    skip_empty: bool,
    /// Delimiters of the record seen so far, and bytes of the buffer looked at for them.
    found: u32,
    searched: usize,
}

impl Token {
    fn record(&mut self, text: usize, end: usize) -> Split {
        (self.found, self.searched) = (0, 0);
        match text {
            0 if self.skip_empty => Split::Garbage { end },
            _ => Split::Record { record: 0..if self.keep_delimiter { end } else { text }, end },
        }
    }
}

impl Splitter for Token {
    fn split(&mut self, buf: &[u8], end: bool) -> Split {
        let width = self.finder.needle().len();
        self.searched = self.searched.min(buf.len());
        while let Some(at) = self.finder.find(&buf[self.searched..]) {
            let text = self.searched + at;
            self.searched = text + width;
            self.found += 1;
            if self.found == self.count {
                return self.record(text, text + width);
            }
        }
        if end && !buf.is_empty() {
            return self.record(buf.len(), buf.len());
        }
        // A delimiter may have begun within the last bytes.
        self.searched = self.searched.max((buf.len() + 1).saturating_sub(width));
        Split::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(toml: &str, stream: &[u8]) -> (Vec<Vec<u8>>, usize) {
        testkit::plugins::split(&mut *testkit::plugins::splitter(&KIND, toml).unwrap(), stream, 2)
    }

    #[test]
    fn delimiters_of_any_length() {
        assert_eq!(split("delimiter = '\\0'", b"a\0\0b"), (vec![b"a".to_vec(), b"b".to_vec()], 1));
        assert_eq!(split("delimiter = '<>\\x41'\nkeep_delimiter = true", b"a<><>Ab<>A"), (vec![b"a<><>A".to_vec(), b"b<>A".to_vec()], 0));
        assert_eq!(split("delimiter = \"\\u0000\"\nskip_empty = false", b"\0a\0").0, [b"".to_vec(), b"a".to_vec()]);
    }

    #[test]
    fn every_nth_delimiter() {
        assert_eq!(split("count = 2", b"a\nb\nc\nd\ne").0, [b"a\nb".to_vec(), b"c\nd".to_vec(), b"e".to_vec()]);
    }

    #[test]
    fn bad_delimiters_are_pointed_at() {
        let build = |toml| testkit::plugins::splitter(&KIND, toml).err().unwrap();
        assert!(build("delimiter = 'ab\\q'").starts_with("test.toml:1:16: `delimiter` holds an unknown escape: expected \\n"));
        assert!(build("delimiter = '\\x1'").starts_with("test.toml:1:14: "));
        assert!(build("delimiter = ''").contains("is empty"));
        assert!(build("count = 0").contains("expected 1 or more"));
    }
}
