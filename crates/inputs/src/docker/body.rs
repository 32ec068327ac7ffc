//! The body of an answer, in the ways that [RFC 9112](https://www.rfc-editor.org/rfc/rfc9112#section-6) has for its length.

use std::io;

use memchr::memchr;

/// Longest line between chunks.
const MAX_LINE: usize = 4096;

pub(super) enum Body {
    /// So many bytes are to come.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

pub(super) struct Chunked {
    at: At,
    line: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the line with the length of a chunk.
    Size,
    /// So many bytes of a chunk are to come.
    Data(u64),
    /// In the line end behind a chunk.
    Behind,
    /// In the lines behind the last chunk.
    Trailer,
    End,
}

impl Body {
    pub fn chunked() -> Body {
        Body::Chunked(Chunked { at: At::Size, line: Vec::new() })
    }

    /// Whether the end of the connection is an end here.
    pub fn may_close(&self) -> bool {
        matches!(self, Body::UntilClose | Body::Length(0) | Body::Chunked(Chunked { at: At::End, .. }))
    }

    /// Takes what was read and adds what is content; true when that is complete.
    pub fn feed(&mut self, bytes: &[u8], into: &mut Vec<u8>) -> io::Result<bool> {
        match self {
            Body::UntilClose => {
                into.extend_from_slice(bytes);
                Ok(false)
            }
            Body::Length(left) => {
                let n = (*left).min(bytes.len() as u64);
                into.extend_from_slice(&bytes[..n as usize]);
                *left -= n;
                Ok(*left == 0)
            }
            Body::Chunked(chunked) => chunked.feed(bytes, into),
        }
    }
}

impl Chunked {
    fn feed(&mut self, mut bytes: &[u8], into: &mut Vec<u8>) -> io::Result<bool> {
        while self.at != At::End && !bytes.is_empty() {
            if let At::Data(left) = self.at {
                let n = left.min(bytes.len() as u64);
                into.extend_from_slice(&bytes[..n as usize]);
                bytes = &bytes[n as usize..];
                self.at = if n == left { At::Behind } else { At::Data(left - n) };
                continue;
            }
            let end = memchr(b'\n', bytes);
            self.line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            bytes = &bytes[end.map_or(bytes.len(), |end| end + 1)..];
            if self.line.len() > MAX_LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has a chunk without a length"));
            }
            if end.is_some() {
                self.line()?;
            }
        }
        Ok(self.at == At::End)
    }

    /// A line is complete.
    fn line(&mut self) -> io::Result<()> {
        let line = self.line.trim_ascii();
        self.at = match self.at {
            At::Size => match size(line) {
                Some(0) => At::Trailer,
                Some(n) => At::Data(n),
                None => return Err(io::Error::new(io::ErrorKind::InvalidData, "the length of a chunk is no number")),
            },
            At::Behind => At::Size,
            At::Trailer if line.is_empty() => At::End,
            other => other,
        };
        self.line.clear();
        Ok(())
    }
}

/// The length of a chunk, before what may follow it.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|b| *b == b';').next()?.trim_ascii();
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_however_they_are_cut() {
        let bytes = b"4;a=b\r\nWiki\r\n6\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nTrailer: x\r\n\r\n";
        for step in 1..bytes.len() {
            let (mut body, mut into, mut end) = (Body::chunked(), Vec::new(), false);
            for piece in bytes.chunks(step) {
                assert!(!end);
                end = body.feed(piece, &mut into).unwrap();
            }
            assert!(end && body.may_close());
            assert_eq!(into, b"Wikipedia in \r\n\r\nchunks.", "{step}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_an_error() {
        for bytes in [&b"zz\r\n"[..], &[b'1'; 5000], b"-1\r\n"] {
            assert!(Body::chunked().feed(bytes, &mut Vec::new()).is_err());
        }
        let mut half = Body::chunked();
        assert!(!half.feed(b"4\r\nab", &mut Vec::new()).unwrap() && !half.may_close());
    }
}
