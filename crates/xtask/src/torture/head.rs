//! As much of HTTP/1.1 as a sender and a receiver of ours need.

use std::io::{self, BufRead, Read};

/// Longest head and longest body taken, in bytes.
const MAX_HEAD: u64 = 64 << 10;
const MAX_BODY: u64 = 64 << 20;

/// The first line of a request or an answer, and how its body is delimited.
#[derive(Debug, Default)]
pub struct Head {
    pub first: String,
    length: u64,
    chunked: bool,
    /// The peer waits for leave to send the body.
    pub expects: bool,
}

impl Head {
    /// Reads up to the empty line.
    ///
    /// # Errors
    /// Those of the connection; when it ends before, or the head is malformed.
    pub fn read(from: &mut impl BufRead) -> io::Result<Head> {
        let mut head = Head::default();
        let mut lines = from.take(MAX_HEAD);
        loop {
            let line = line(&mut lines)?;
            if head.first.is_empty() {
                head.first = line;
            } else if line.is_empty() {
                return Ok(head);
            } else {
                head.field(&line)?;
            }
        }
    }

    fn field(&mut self, line: &str) -> io::Result<()> {
        let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other("no header"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => self.length = value.parse().map_err(|_| io::Error::other("no length"))?,
            "transfer-encoding" => self.chunked = value.eq_ignore_ascii_case("chunked"),
            "expect" => self.expects = true,
            _ => {}
        }
        Ok(())
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// Those of the connection; when it ends before, or the body is longer than 64 MiB.
    pub fn body(&self, from: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if !self.chunked {
            exactly(self.length, from, &mut body)?;
            return Ok(body);
        }
        loop {
            let size = line(&mut from.take(100))?;
            let size = u64::from_str_radix(size.split(';').next().unwrap_or("").trim(), 16).map_err(|_| io::Error::other("no size"))?;
            exactly(size, from, &mut body)?;
            line(&mut from.take(100))?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_string()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn exactly(length: u64, from: &mut impl Read, into: &mut Vec<u8>) -> io::Result<()> {
    if into.len() as u64 + length > MAX_BODY {
        return Err(io::Error::other("the body is longer than 64 MiB"));
    }
    match from.take(length).read_to_end(into)? as u64 == length {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut text: &[u8]) -> io::Result<(String, Vec<u8>, usize)> {
        let head = Head::read(&mut text)?;
        let body = head.body(&mut text)?;
        Ok((head.first, body, text.len()))
    }

    #[test]
    fn bodies_end_where_they_say() {
        let plain = read(b"POST / HTTP/1.1\r\nCONTENT-length: 3\r\n\r\nabcNEXT").unwrap();
        assert_eq!(plain, ("POST / HTTP/1.1".into(), b"abc".to_vec(), 4));
        let chunked = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\nNEXT").unwrap();
        assert_eq!(chunked, ("HTTP/1.1 200 OK".into(), b"abcd".to_vec(), 4));
        assert!(read(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab").is_err());
        assert!(read(b"POST / HTTP/1.1\r\nContent-").is_err());
    }
}
