use std::ops::Range;

use super::{CHUNK, DecodeError, FIXED32, FIXED64, Problem, VARINT};

/// Walks the bytes of a protobuf message. Offsets count from the start of the outermost message,
/// in nested ones too.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// A reader of `range`, which [`Reader::chunk`] returned.
    pub fn nested(&self, range: Range<usize>) -> Reader<'a> {
        Reader { bytes: &self.bytes[..range.end], at: range.start }
    }

    pub fn bytes(&self, range: Range<usize>) -> &'a [u8] {
        &self.bytes[range]
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The next key; `None` at the end.
    #[inline]
    pub fn key(&mut self) -> Result<Option<u64>, DecodeError> {
        if self.is_at_end() { Ok(None) } else { self.varint().map(Some) }
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (i, &byte) in self.bytes[self.at..].iter().take(10).enumerate() {
            // The tenth byte has room for the 64th bit alone.
            if i == 9 && byte > 1 {
                return Err(self.error(Problem::LongVarint));
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.error(Problem::Ended("a varint")))
    }

    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, DecodeError> {
        let bytes = self.bytes[self.at..].first_chunk().ok_or_else(|| self.error(Problem::Ended("a 64-bit number")))?;
        self.at += 8;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// A length and that many bytes, which are skipped: where they are.
    #[inline]
    pub fn chunk(&mut self) -> Result<Range<usize>, DecodeError> {
        let before = self.at;
        let length = self.varint()?;
        let left = self.bytes.len() - self.at;
        if length > left as u64 {
            return Err(DecodeError { offset: before, problem: Problem::Overrun { length, left } });
        }
        let start = self.at;
        self.at += length as usize;
        Ok(start..self.at)
    }

    /// Skips the value behind a key that is none of ours; one of the fields `1..=known` has the
    /// wrong wire type then.
    #[cold]
    pub fn unknown(&mut self, key: u64, known: u32) -> Result<(), DecodeError> {
        let (number, found) = (key >> 3, (key & 7) as u8);
        if number == 0 || number >= 1 << 29 {
            return Err(self.error(Problem::FieldNumber(number)));
        }
        let field = number as u32;
        if field <= known {
            return Err(self.error(Problem::Mismatch { field, found }));
        }
        match found {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            CHUNK => self.chunk().map(drop),
            FIXED32 if self.bytes.len() - self.at >= 4 => {
                self.at += 4;
                Ok(())
            }
            FIXED32 => Err(self.error(Problem::Ended("a 32-bit number"))),
            _ => Err(self.error(Problem::WireType { field, found })),
        }
    }

    #[cold]
    pub fn error(&self, problem: Problem) -> DecodeError {
        DecodeError { offset: self.at, problem }
    }
}
