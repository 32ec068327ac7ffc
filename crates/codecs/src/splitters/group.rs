//! Records of several lines: stack traces, indented continuations, pretty-printed blocks.
//!
//! Whether a line begins a record or belongs to the one before it is told by a regular expression
//! that is held against each line by itself. The end of a record shows only when the next one
//! begins, so the last one waits for `timeout`. For single lines [`super::line`] is faster.

use std::time::Duration;

use memchr::memchr;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, Split, Splitter, Stability};
use regex::bytes::Regex;

use crate::pattern::compile;

pub const KIND: Kind = Kind::splitter("group", Stability::Stable, build)
    .summary("Joins lines that belong together into one record.")
    .doc(
        "Give either `start`, which matches the first line of a record, or `continuation`, which matches every line but the first. \
         The record holds its lines with the newlines between them, without the last one. Records of one empty line are dropped and \
         counted as discarded bytes. A record that nothing follows is complete after `timeout`.",
    )
    .options(&[
        Opt::regex("start").doc("Matches a line that begins a record.").sample("'^\\d{4}-\\d\\d-\\d\\d'"),
        Opt::regex("continuation").doc("Matches a line that belongs to the record before it.").sample("'^\\s'"),
        Opt::integer("max_lines").default("500").doc("Lines in one record; what follows is a record of its own."),
        Opt::duration("timeout").default("1s").doc("How long a record waits for another line."),
    ])
    .examples(&[
        Example { title: "Records that begin with a date", toml: "start = '^\\d{4}-\\d\\d-\\d\\d '" },
        Example { title: "Java stack traces", toml: "continuation = '^(\\s|Caused by:)'" },
    ]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Splitter>, Problem> {
    let (name, begins) = match (o.has("start"), o.has("continuation")) {
        (true, false) => ("start", true),
        (false, true) => ("continuation", false),
        (true, true) => {
            return Err(o.problem("continuation", "`start` and `continuation` exclude each other", "expected only one of them"));
        }
        (false, false) => {
            let problem = Problem::new("neither `start` nor `continuation` is given").at(o.at(), "one of them is required here");
            return Err(problem.help("add `start = '^\\d{4}-'` or `continuation = '^\\s'`"));
        }
    };
    let line = compile(name, o.str(name), o.location(name))?;
    let max_lines = usize::try_from(o.integer("max_lines")).ok().filter(|n| *n > 0);
    let max_lines = max_lines.ok_or_else(|| o.problem("max_lines", "`max_lines` is out of range", "expected 1 or more"))?;
    Ok(Box::new(Group { line, begins, max_lines, timeout: o.duration("timeout"), lines: 0, text: 0, next: 0, searched: 0 }))
}

struct Group {
    line: Regex,
    /// Whether `line` tells first lines, rather than the others.
    begins: bool,
    max_lines: usize,
    timeout: Duration,
    /// Complete lines of the record found so far, and where its text ends.
    lines: usize,
    text: usize,
    /// Where the line after them begins, and how far its end has been looked for.
    next: usize,
    searched: usize,
}

impl Group {
    fn belongs(&self, line: &[u8]) -> bool {
        self.lines == 0 || self.line.is_match(line) != self.begins
    }

    /// What was found so far is a record.
    fn cut(&mut self) -> Split {
        let (record, end) = (0..self.text, self.next);
        (self.lines, self.text, self.next, self.searched) = (0, 0, 0, 0);
        if record.is_empty() { Split::Garbage { end } } else { Split::Record { record, end } }
    }

    /// Adds the line whose text ends at `text` and behind which the stream goes on at `next`.
    fn add(&mut self, text: usize, next: usize) {
        self.lines += 1;
        (self.text, self.next, self.searched) = (text, next, next);
    }
}

impl Splitter for Group {
    fn split(&mut self, buf: &[u8], end: bool) -> Split {
        while let Some(at) = buf.get(self.searched..).and_then(|rest| memchr(b'\n', rest)) {
            let newline = self.searched + at;
            let line = &buf[self.next..newline];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !self.belongs(line) {
                return self.cut();
            }
            self.add(self.next + line.len(), newline + 1);
            if self.lines == self.max_lines {
                return self.cut();
            }
        }
        if !end || buf.is_empty() {
            self.searched = buf.len();
            return Split::More;
        }
        if self.next < buf.len() && self.belongs(&buf[self.next..]) {
            self.add(buf.len(), buf.len());
        }
        self.cut()
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(toml: &str, stream: &str) -> Vec<String> {
        let (records, _) = testkit::plugins::split(&mut *testkit::plugins::splitter(&KIND, toml).unwrap(), stream.as_bytes(), 5);
        records.into_iter().map(|r| String::from_utf8(r).unwrap()).collect()
    }

    #[test]
    fn first_lines_begin_records() {
        let stream = "stray\n1 a\n  x\r\n\n2 b\r\n3 c\n y";
        assert_eq!(split("start = '^[0-9]'", stream), ["stray", "1 a\n  x\r\n", "2 b", "3 c\n y"]);
    }

    #[test]
    fn other_lines_continue_them() {
        assert_eq!(split("continuation = '^( |$)'", "a\n b\n\nc\n"), ["a\n b\n", "c"]);
        assert_eq!(split("continuation = '^ '", "\n\na\n b\n"), ["a\n b"]);
    }

    #[test]
    fn records_are_bounded() {
        assert_eq!(split("continuation = '^ '\nmax_lines = 2", "a\n b\n c\n d\n e"), ["a\n b", " c\n d", " e"]);
    }

    #[test]
    fn the_last_record_waits_for_its_timeout() {
        let mut splitter = testkit::plugins::splitter(&KIND, "start = '^a'\ntimeout = '250ms'").unwrap();
        assert_eq!(splitter.patience(), Some(Duration::from_millis(250)));
        assert_eq!(splitter.split(b"a\nb\n", false), Split::More);
        assert_eq!(splitter.split(b"a\nb\n", true), Split::Record { record: 0..3, end: 4 });
        assert_eq!(splitter.split(b"a\na", false), Split::More);
    }

    #[test]
    fn bad_options_are_refused() {
        let build = |toml| testkit::plugins::splitter(&KIND, toml).err().unwrap();
        assert!(build("").contains("neither `start` nor `continuation`"));
        assert!(build("start = 'a'\ncontinuation = 'b'").starts_with("test.toml:2:16: "));
        assert!(build("start = '('").contains("`start` is not a regular expression"));
        assert!(build("start = 'a'\nmax_lines = 0").contains("expected 1 or more"));
    }
}
