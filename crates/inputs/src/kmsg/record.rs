//! A record of `/dev/kmsg`, as the kernel's `Documentation/ABI/testing/dev-kmsg` describes it:
//! `priority,sequence,microseconds,flags[,…];text`, then lines ` NAME=value`.

use memchr::{memchr, memchr_iter};

/// More of a file without a line end is no record.
const LONGEST: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Record<'a> {
    /// Facility times eight, plus severity.
    pub priority: u32,
    pub sequence: u64,
    pub boot_us: i64,
    /// Goes on with the line of the record before.
    pub continuation: bool,
    /// Escaped, see [`unescape`].
    pub text: &'a [u8],
    properties: &'a [u8],
}

impl<'a> Record<'a> {
    pub fn parse(bytes: &'a [u8]) -> Option<Record<'a>> {
        let (head, rest) = bytes.split_at(memchr(b';', bytes)?);
        let mut head = std::str::from_utf8(head).ok()?.split(',');
        let priority = head.next()?.parse().ok()?;
        let sequence = head.next()?.parse().ok()?;
        let boot_us = head.next()?.parse().ok().filter(|us| *us >= 0)?;
        let continuation = matches!(head.next(), Some("c" | "+"));
        let rest = &rest[1..];
        let (text, properties) = rest.split_at(memchr(b'\n', rest).unwrap_or(rest.len()));
        Some(Record { priority, sequence, boot_us, continuation, text, properties })
    }

    pub fn properties(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.properties.split(|b| *b == b'\n').filter_map(|line| {
            let line = line.strip_prefix(b" ")?;
            let (name, value) = line.split_at(memchr(b'=', line)?);
            Some((name, &value[1..]))
        })
    }
}

/// Appends text whose bytes that cannot be printed are written as `\xNN`.
pub(super) fn unescape(text: &[u8], into: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        into.extend_from_slice(&rest[..at]);
        let digit = |i: usize| rest.get(at + i).and_then(|b| char::from(*b).to_digit(16));
        match (rest.get(at + 1), digit(2), digit(3)) {
            (Some(b'x'), Some(high), Some(low)) => {
                into.push((high * 16 + low) as u8);
                rest = &rest[at + 4..];
            }
            _ => {
                into.push(b'\\');
                rest = &rest[at + 1..];
            }
        }
    }
    into.extend_from_slice(rest);
}

/// Finds the records of a file: one ends where a line follows that does not begin with a blank, or
/// where the file does.
#[derive(Default)]
pub(super) struct Records {
    rest: Vec<u8>,
}

impl Records {
    pub fn add(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) {
        self.rest.extend_from_slice(bytes);
        let mut start = 0;
        for at in memchr_iter(b'\n', &self.rest) {
            if self.rest.get(at + 1).is_some_and(|next| *next != b' ') {
                take(&self.rest[start..at]);
                start = at + 1;
            }
        }
        self.rest.drain(..start);
        if self.rest.len() > LONGEST {
            self.rest.clear();
        }
    }

    /// There is no more for now: a line end that is the last ends the record, too.
    pub fn end(&mut self, take: impl FnOnce(&[u8])) {
        if self.rest.pop_if(|b| *b == b'\n').is_some() {
            take(&self.rest);
            self.rest.clear();
        }
    }
}
