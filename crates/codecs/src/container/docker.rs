//! `{"log":"…\n","stream":"stdout","time":"…"}`, as Docker's driver `json-file` writes. Where `log` does not end in a newline
//! the line goes on.

use super::Source;
use crate::json::{Reader, Str, Wrong};

#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub log: Str<'a>,
    pub source: Source,
    pub time: &'a [u8],
    /// The object of what `--log-opt labels` and `tag` add.
    pub attrs: &'a [u8],
}

impl Line<'_> {
    pub fn partial(&self) -> bool {
        !ends_in_newline(self.log)
    }
}

/// An escape of its own at the end: the backslash is not one that was escaped itself.
fn ends_in_newline(log: Str<'_>) -> bool {
    let Some(before) = log.raw.strip_suffix(b"n") else { return false };
    let backslashes = before.iter().rev().take_while(|b| **b == b'\\').count();
    backslashes % 2 == 1
}

pub(crate) fn parse(line: &[u8]) -> Result<Line<'_>, Wrong> {
    let mut r = Reader::new(line);
    let (mut log, mut source, mut time, mut attrs) = (None, Source::Stdout, &b""[..], &b""[..]);
    let mut more = r.enter(b'{', b'}', "`{`")?;
    while more {
        match r.key()?.raw {
            b"log" => log = Some(r.string()?),
            b"stream" => {
                let name = r.string()?.raw;
                source = Source::named(name).ok_or_else(|| r.wrong("`stdout` or `stderr` as stream"))?;
            }
            b"time" => time = r.string()?.raw,
            b"attrs" => {
                r.peek();
                let start = r.at();
                r.skip(1)?;
                attrs = r.since(start);
            }
            _ => r.skip(1)?,
        }
        more = r.another(b'}', "`,` or `}`")?;
    }
    r.end()?;
    let log = log.ok_or(Wrong { at: line.len(), expected: "a member `log`" })?;
    Ok(Line { log, source, time, attrs })
}

/// Whose piece a line is, and whether more follows.
pub(crate) fn piece(line: &[u8]) -> Option<(Source, bool)> {
    parse(line).ok().map(|line| (line.source, line.partial()))
}
