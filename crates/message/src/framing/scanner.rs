use std::fmt;
use std::ops::Range;

use super::{FRAMING_SIZE, FrameHeader, RECORD_SEPARATOR, UNIT_SEPARATOR};
use crate::wire::{self, DecodeError};

/// Finds the records of one stream, with whatever between them.
///
/// Anything that is not a record is skipped **one byte** at a time, so that garbage costs no record
/// behind it. A record's message must be a valid one ([`wire::validate`]): a corrupt length that
/// takes in the records that follow is noticed, and they are found. That last search is paid for
/// out of a credit of [`CREDIT`] times the longest message, which what goes through the stream
/// renews; a peer that exhausts it by sending such lengths only loses the bytes they span, instead
/// of making every byte looked at over and over.
///
/// While a stream is open, an incomplete record is waited for. If its length is corrupt, records
/// behind it are held up until that many bytes have come, at most the longest message, or until
/// the stream ends.
#[derive(Clone, Debug)]
pub struct Scanner {
    max_message: usize,
    /// Bytes that may be looked at in vain before spans are skipped unsearched.
    credit: usize,
}

/// See [`Scanner`].
pub const CREDIT: usize = 16;

/// Longest message that a scanner can be made to accept.
const MAX_MESSAGE: usize = 1 << 30;

/// What a search came to. Positions are from the start of the bytes searched; the first `skip`
/// belong to no record and are to be dropped, and counted. `fault` is the first record among them
/// that was sound but for one thing, to tell the user of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found<'a> {
    /// A record, from `skip` to `end`.
    Record { skip: usize, fault: Option<Fault>, header: FrameHeader<'a>, message: Range<usize>, end: usize },
    /// No complete record. From `skip` on, `need` bytes in all make a next search worth while.
    More { skip: usize, fault: Option<Fault>, need: usize },
}

/// Why something that looks like a record was skipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The record at `at` has a message longer than is accepted.
    TooBig { at: usize, size: usize, max: usize },
    /// The record at `at` holds no valid message.
    Malformed { at: usize, error: DecodeError },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::TooBig { size, max, .. } => {
                write!(f, "a record announces a message of {size} bytes, expected at most {max}; `max_message_size` raises that")
            }
            Fault::Malformed { error, .. } => write!(f, "a record's message is not a Heka message: {error}"),
        }
    }
}

impl std::error::Error for Fault {}

/// What may begin with a record separator.
enum Frame<'a> {
    /// Not a record.
    Bad,
    /// A record's beginning that takes at least this many bytes.
    Short(usize),
    /// A record with too long a message of this size.
    TooBig(usize),
    /// A record whose message begins at this offset.
    Whole(FrameHeader<'a>, usize),
}

impl Scanner {
    /// A scanner that takes messages of up to `max_message` bytes, at most 1 GiB.
    pub fn new(max_message: usize) -> Scanner {
        let max_message = max_message.min(MAX_MESSAGE);
        Scanner { max_message, credit: CREDIT * max_message }
    }

    pub fn max_message(&self) -> usize {
        self.max_message
    }

    /// Searches `buf`, the bytes of the stream behind those that earlier searches skipped and
    /// found. With `eof`, none follow: an incomplete record is skipped like garbage, and
    /// [`Found::More`] means that there is nothing left.
    pub fn find<'a>(&mut self, buf: &'a [u8], eof: bool) -> Found<'a> {
        let mut fault = None;
        let mut at = 0;
        while let Some(skipped) = memchr::memchr(RECORD_SEPARATOR, &buf[at..]) {
            at += skipped;
            match self.frame(&buf[at..]) {
                Frame::Short(need) if !eof => return self.more(at, fault, need),
                Frame::Short(_) | Frame::Bad => at += 1,
                Frame::TooBig(size) => {
                    fault.get_or_insert(Fault::TooBig { at, size, max: self.max_message });
                    at += 1;
                }
                Frame::Whole(header, offset) => {
                    let message = at + offset..at + offset + header.message_length;
                    let Err(error) = wire::validate(&buf[message.clone()]) else {
                        self.earn(message.end);
                        return Found::Record { skip: at, fault, header, end: message.end, message };
                    };
                    fault.get_or_insert(Fault::Malformed { at, error });
                    at = if self.spend(error.offset) { at + 1 } else { message.end };
                }
            }
        }
        self.more(buf.len(), fault, 2)
    }

    fn more<'a>(&mut self, skip: usize, fault: Option<Fault>, need: usize) -> Found<'a> {
        self.earn(skip);
        Found::More { skip, fault, need }
    }

    fn frame<'a>(&self, buf: &'a [u8]) -> Frame<'a> {
        let Some(&header_length) = buf.get(1) else { return Frame::Short(2) };
        let start = FRAMING_SIZE + usize::from(header_length);
        match buf.get(start - 1) {
            None => return Frame::Short(start),
            Some(&UNIT_SEPARATOR) => {}
            Some(_) => return Frame::Bad,
        }
        match FrameHeader::parse(&buf[2..start - 1]) {
            Err(_) => Frame::Bad,
            Ok(header) if header.message_length > self.max_message => Frame::TooBig(header.message_length),
            Ok(header) if header.message_length > buf.len() - start => Frame::Short(start + header.message_length),
            Ok(header) => Frame::Whole(header, start),
        }
    }

    /// Pays for `bytes` that were looked at in vain, and will be again.
    fn spend(&mut self, bytes: usize) -> bool {
        let left = self.credit.checked_sub(bytes);
        self.credit = left.unwrap_or(self.credit);
        left.is_some()
    }

    fn earn(&mut self, bytes: usize) {
        self.credit = self.credit.saturating_add(bytes).min(CREDIT * self.max_message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::write;

    fn record(message: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(message, None, &mut bytes).unwrap();
        bytes
    }

    /// A message with this type.
    fn message(type_: &[u8]) -> Vec<u8> {
        [b"\x10\x01\x1a", [type_.len() as u8].as_slice(), type_].concat()
    }

    /// Starts of the records in `buf`, and the first fault.
    fn starts(scanner: &mut Scanner, buf: &[u8], eof: bool) -> (Vec<usize>, Option<Fault>) {
        let (mut from, mut starts, mut first) = (0, Vec::new(), None);
        while let Found::Record { skip, fault, end, .. } = scanner.find(&buf[from..], eof) {
            starts.push(from + skip);
            from += end;
            first = first.or(fault);
        }
        (starts, first)
    }

    #[test]
    fn what_is_missing_is_asked_for() {
        let bytes = record(&message(b"TEST"));
        let mut scanner = Scanner::new(100);
        let mut need = |n: usize| match scanner.find(&[b"garbage", &bytes[..n]].concat(), false) {
            Found::More { skip: 7, fault: None, need } => need,
            other => panic!("{n}: {other:?}"),
        };
        assert_eq!([0, 1, 2, 4, 5, 12].map(&mut need), [2, 2, 5, 5, 13, 13]);
        assert_eq!(scanner.find(&bytes[..12], true), Found::More { skip: 12, fault: None, need: 2 });
    }

    #[test]
    fn a_bad_header_costs_one_byte() {
        let good = record(&message(b"TEST"));
        for bad in [b"\x1e".as_slice(), b"\x1e\x02", b"\x1e\x02\x08", b"\x1e\x00\x1f", b"\x1e\x02\x10\x05\x1f", b"\x1e\x02\x08\x05\x20"] {
            let (found, _) = starts(&mut Scanner::new(100), &[bad, &good, &good].concat(), true);
            assert_eq!(found, [bad.len(), bad.len() + good.len()], "{bad:02x?}");
        }
    }

    #[test]
    fn a_length_above_the_maximum_is_told_of() {
        let bytes = [record(&message(&[b'x'; 100])), record(&message(b"TEST"))].concat();
        let (found, fault) = starts(&mut Scanner::new(50), &bytes, false);
        assert_eq!(found, [109]);
        assert_eq!(fault, Some(Fault::TooBig { at: 0, size: 104, max: 50 }));
    }

    #[test]
    fn records_that_a_corrupt_length_takes_in_are_found() {
        let good = record(&message(b"TEST"));
        let mut bytes = good.repeat(4);
        bytes[3] += 2 * good.len() as u8 + 5;
        let (found, fault) = starts(&mut Scanner::new(100), &bytes, false);
        assert_eq!(found, [1, 2, 3].map(|n| n * good.len()));
        assert!(matches!(fault, Some(Fault::Malformed { at: 0, .. })));
        // At the end of the stream also those in an incomplete record.
        bytes[3] = 100;
        assert_eq!(starts(&mut Scanner::new(100), &bytes, false).0, []);
        assert_eq!(starts(&mut Scanner::new(100), &bytes, true).0, [1, 2, 3].map(|n| n * good.len()));
    }

    #[test]
    fn credit_bounds_what_is_searched_again_and_is_renewed() {
        let good = record(&message(b"TEST"));
        // Its length takes in the two records behind it, after a long valid beginning.
        let mut corrupt = record(&message(&[b'x'; 50]));
        corrupt[3] += 2 * good.len() as u8;
        let bytes = [&corrupt[..], &good, &good, &good].concat();
        let mut scanner = Scanner::new(100);
        assert_eq!(starts(&mut scanner.clone(), &bytes, true).0.len(), 3);
        scanner.credit = 0;
        assert_eq!(starts(&mut scanner, &bytes, true).0.len(), 1);
        for _ in 0..10 {
            assert_eq!(starts(&mut scanner, &good, true).0, [0]);
        }
        assert_eq!(starts(&mut scanner, &bytes, true).0.len(), 3);
    }
}
