//! `TIME STREAM TAGS CONTENT`, as containerd and CRI-O write: the logging format of Kubernetes' Container Runtime Interface.
//! The first of the tags, which colons part, is `P` where the line goes on and `F` where it ends.

use super::Source;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line<'a> {
    pub time: &'a [u8],
    pub source: Source,
    pub partial: bool,
    pub content: &'a [u8],
}

/// `None` when it is none, and what is wrong with it.
pub(crate) fn parse(line: &[u8]) -> Result<Line<'_>, &'static str> {
    let mut parts = line.splitn(4, |b| *b == b' ');
    let time = parts.next().filter(|t| !t.is_empty()).ok_or("found nothing, expected a time")?;
    let source = parts.next().and_then(Source::named).ok_or("expected `stdout` or `stderr` behind the time")?;
    let tag = parts.next().and_then(|tags| tags.split(|b| *b == b':').next());
    let partial = match tag {
        Some(b"P") => true,
        Some(b"F") => false,
        _ => return Err("expected the tag `P` or `F` behind the stream"),
    };
    Ok(Line { time, source, partial, content: parts.next().unwrap_or_default() })
}

/// Whose piece a line is, and whether more follows.
pub(crate) fn piece(line: &[u8]) -> Option<(Source, bool)> {
    parse(line).ok().map(|line| (line.source, line.partial))
}
