//! Text in other encodings becomes UTF-8 on its way in.

use super::identity::Head;

/// How the text of a file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// Taken as it is.
    Utf8,
    Utf16Le,
    Utf16Be,
    /// As the byte order mark at the start says; little-endian without one, as Windows writes it.
    Utf16,
    /// ISO 8859-1: every byte is the code point of its number.
    Latin1,
}

impl Encoding {
    pub const NAMES: &[&str] = &["utf-8", "utf-16", "utf-16le", "utf-16be", "latin-1"];

    /// By one of [`Encoding::NAMES`].
    pub fn named(name: &str) -> Encoding {
        match name {
            "utf-16" => Encoding::Utf16,
            "utf-16le" => Encoding::Utf16Le,
            "utf-16be" => Encoding::Utf16Be,
            "latin-1" => Encoding::Latin1,
            _ => Encoding::Utf8,
        }
    }
}

impl Encoding {
    /// Bytes that this much UTF-8 takes in the file.
    pub fn width(self, utf8: &[u8]) -> u64 {
        let first = |b: &&u8| **b & 0xc0 != 0x80;
        match self {
            Encoding::Utf8 => utf8.len() as u64,
            Encoding::Latin1 => utf8.iter().filter(first).count() as u64,
            // What takes four bytes in UTF-8 is a pair there.
            _ => utf8.iter().filter(first).map(|b| if *b >= 0xf0 { 4 } else { 2 }).sum(),
        }
    }
}

/// Makes UTF-8 of one text. What is not valid becomes U+FFFD.
#[derive(Debug)]
pub struct Transcoder {
    encoding: Encoding,
    /// The next bytes are the first of the text, where a byte order mark may be.
    start: bool,
    big: bool,
}

const MARK: char = '\u{feff}';

impl Transcoder {
    /// `None` for text that is UTF-8 already. `head`: how the file begins, for those that are not read from the start.
    pub fn new(encoding: Encoding, start: bool, head: &Head) -> Option<Transcoder> {
        let big = encoding == Encoding::Utf16Be || encoding == Encoding::Utf16 && head.bytes().starts_with(&[0xfe, 0xff]);
        (encoding != Encoding::Utf8).then_some(Transcoder { encoding, start, big })
    }

    /// Appends what the bytes say to `out`; returns how many it took. The rest is a character that is not whole.
    pub fn transcode(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let mut utf8 = [0; 4];
        let mut put = |c: char, out: &mut Vec<u8>| out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
        if self.encoding == Encoding::Latin1 {
            bytes.iter().for_each(|b| put(char::from(*b), out));
            return bytes.len();
        }
        let mut at = self.mark(bytes);
        while let Some(first) = self.unit(bytes, at) {
            let second = if is_high(first) { self.unit(bytes, at + 2) } else { Some(0) };
            let Some(second) = second else { break };
            let pair = is_high(first) && (0xdc00..0xe000).contains(&second);
            let code = if pair { 0x10000 + ((u32::from(first) - 0xd800) << 10) + (u32::from(second) - 0xdc00) } else { u32::from(first) };
            put(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), out);
            at += if pair { 4 } else { 2 };
        }
        at
    }

    /// The length of the byte order mark, which is no text.
    fn mark(&mut self, bytes: &[u8]) -> usize {
        if !self.start || bytes.len() < 2 {
            return 0;
        }
        self.start = false;
        self.big |= self.encoding == Encoding::Utf16 && bytes.starts_with(&[0xfe, 0xff]);
        if self.unit(bytes, 0) == Some(MARK as u16) { 2 } else { 0 }
    }

    fn unit(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let pair = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(if self.big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    }
}

fn is_high(unit: u16) -> bool {
    (0xd800..0xdc00).contains(&unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text in pieces of `step` bytes.
    fn transcode(name: &str, bytes: &[u8], step: usize) -> String {
        let mut transcoder = Transcoder::new(Encoding::named(name), true, &Head::default()).unwrap();
        let (mut rest, mut out) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(step) {
            rest.extend_from_slice(piece);
            let taken = transcoder.transcode(&rest, &mut out);
            rest.drain(..taken);
        }
        String::from_utf8(out).unwrap()
    }

    fn utf16(text: &str, big: bool) -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    #[test]
    fn every_encoding_in_pieces_of_every_size() {
        let text = "Grüße, 世界 🦀\n";
        assert_eq!(
            (Encoding::Utf16Le.width(text.as_bytes()), Encoding::Latin1.width("Grü".as_bytes())),
            (utf16(text, false).len() as u64, 3)
        );
        for step in 1..9 {
            assert_eq!(transcode("utf-16le", &utf16(text, false), step), text);
            assert_eq!(transcode("utf-16be", &utf16(text, true), step), text);
            assert_eq!(transcode("latin-1", b"Gr\xfc\xdfe\n", step), "Grüße\n");
            for big in [false, true] {
                let marked = utf16(&format!("{MARK}{text}{MARK}"), big);
                assert_eq!(transcode("utf-16", &marked, step), format!("{text}{MARK}"), "the mark at the start is no text");
            }
            assert_eq!(transcode("utf-16", &utf16(text, false), step), text);
        }
    }

    #[test]
    fn what_is_not_valid_is_replaced_and_half_a_character_waits() {
        assert_eq!(transcode("utf-16le", &[0x00, 0xd8, b'a', 0, 0x00, 0xdc, b'b', 0, b'c'], 3), "\u{fffd}a\u{fffd}b");
        assert_eq!(transcode("utf-16le", &[b'a', 0, 0x00, 0xd8], 4), "a");
    }

    #[test]
    fn what_is_read_from_its_middle_knows_its_byte_order() {
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &utf16("\u{feff}ab", true), 0).unwrap();
        let mut transcoder = Transcoder::new(Encoding::Utf16, false, &Head::read(&file).unwrap()).unwrap();
        let mut out = Vec::new();
        assert_eq!((transcoder.transcode(&[0, b'b'], &mut out), out.as_slice()), (2, &b"b"[..]));
    }
}
