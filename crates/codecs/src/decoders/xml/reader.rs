//! The grammar of [XML 1.0](https://www.w3.org/TR/xml/) as far as logs need it, over bytes.

use memchr::{memchr, memmem};
use plugin::Reject;

/// Where a text is not XML, and what would have been.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wrong {
    pub at: usize,
    pub expected: &'static str,
}

impl Wrong {
    pub fn reject(self, bytes: &[u8]) -> Reject {
        let found = match bytes.get(self.at) {
            None => "the end".to_string(),
            Some(b) => format!("`{}`", b.escape_ascii()),
        };
        Reject::new(format!("at byte {}: found {found}, expected {}", self.at, self.expected))
    }
}

/// Where the name and the value of an attribute stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute {
    pub name: (usize, usize),
    pub value: (usize, usize),
}

/// Reads from the front of `bytes` on.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 } }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub fn wrong(&self, expected: &'static str) -> Wrong {
        Wrong { at: self.at, expected }
    }

    fn blanks(&mut self) -> usize {
        let n = self.rest().iter().take_while(|b| is_blank(**b)).count();
        self.at += n;
        n
    }

    /// Skips what may stand before the outermost element: declaration, comments, and a document type without
    /// declarations of its own.
    pub fn prologue(&mut self) -> Result<(), Wrong> {
        loop {
            self.blanks();
            if self.skip_comment()? {
                continue;
            }
            if !self.rest().starts_with(b"<!DOCTYPE") {
                break;
            }
            match self.rest().iter().position(|b| matches!(b, b'[' | b'>')) {
                Some(n) if self.rest()[n] == b'>' => self.at += n + 1,
                Some(n) => return Err(Wrong { at: self.at + n, expected: "a document without declarations of its own" }),
                None => return Err(Wrong { at: self.bytes.len(), expected: "the end of `<!DOCTYPE`" }),
            }
        }
        if self.rest().first() == Some(&b'<') { Ok(()) } else { Err(self.wrong("`<`")) }
    }

    /// Makes sure that nothing but comments follows.
    pub fn epilogue(&mut self) -> Result<(), Wrong> {
        loop {
            self.blanks();
            if !self.skip_comment()? {
                return if self.rest().is_empty() { Ok(()) } else { Err(self.wrong("the end")) };
            }
        }
    }

    /// Skips a comment or processing instruction, if one is next.
    pub fn skip_comment(&mut self) -> Result<bool, Wrong> {
        let (start, end, expected) = match self.rest() {
            [b'<', b'!', b'-', b'-', ..] => (4, &b"-->"[..], "the end of a comment, `-->`"),
            [b'<', b'?', ..] => (2, &b"?>"[..], "the end of an instruction, `?>`"),
            _ => return Ok(false),
        };
        self.until(start, end, expected)?;
        Ok(true)
    }

    /// Where what begins `start` bytes on and ends before `end` lies; it is read past that.
    fn until(&mut self, start: usize, end: &[u8], expected: &'static str) -> Result<(usize, usize), Wrong> {
        let from = self.at + start;
        let n = memmem::find(&self.bytes[from..], end).ok_or(Wrong { at: self.bytes.len(), expected })?;
        self.at = from + n + end.len();
        Ok((from, from + n))
    }

    /// Text up to the next `<`.
    pub fn text(&mut self) -> (usize, usize) {
        let start = self.at;
        self.at += memchr(b'<', self.rest()).unwrap_or(self.rest().len());
        (start, self.at)
    }

    /// What is in a CDATA section, which begins here.
    pub fn cdata(&mut self) -> Result<(usize, usize), Wrong> {
        if !self.rest().starts_with(b"<![CDATA[") {
            return Err(self.wrong("`<![CDATA[`"));
        }
        self.until(9, b"]]>", "the end of CDATA, `]]>`")
    }

    fn name(&mut self, expected: &'static str) -> Result<(usize, usize), Wrong> {
        let start = self.at;
        let begins = |b: &u8| b.is_ascii_alphabetic() || matches!(b, b'_' | b':' | 0x80..);
        let n = self.rest().iter().take_while(|b| begins(b) || b.is_ascii_digit() || matches!(b, b'-' | b'.')).count();
        if !self.rest().first().is_some_and(begins) {
            return Err(self.wrong(expected));
        }
        self.at += n;
        Ok((start, self.at))
    }

    /// The start of an element, whose `<` is next: where its name stands and whether it ends at once.
    pub fn start(&mut self, attributes: &mut Vec<Attribute>, most: usize) -> Result<((usize, usize), bool), Wrong> {
        self.at += 1;
        let name = self.name("the name of an element")?;
        loop {
            let blanks = self.blanks();
            match self.rest() {
                [b'>', ..] => {
                    self.at += 1;
                    return Ok((name, false));
                }
                [b'/', b'>', ..] => {
                    self.at += 2;
                    return Ok((name, true));
                }
                _ if blanks == 0 => return Err(self.wrong("a space, `>` or `/>`")),
                _ => {}
            }
            let attribute = self.attribute()?;
            let known = |a: &Attribute| self.bytes[a.name.0..a.name.1] == self.bytes[attribute.name.0..attribute.name.1];
            if attributes.iter().any(known) {
                return Err(Wrong { at: attribute.name.0, expected: "each attribute once" });
            }
            if attributes.len() == most {
                return Err(Wrong { at: attribute.name.0, expected: "fewer attributes; `max_fields` raises that" });
            }
            attributes.push(attribute);
        }
    }

    fn attribute(&mut self) -> Result<Attribute, Wrong> {
        let name = self.name("the name of an attribute, `>` or `/>`")?;
        self.blanks();
        if self.rest().first() != Some(&b'=') {
            return Err(self.wrong("`=`"));
        }
        self.at += 1;
        self.blanks();
        let Some(quote @ (b'"' | b'\'')) = self.rest().first().copied() else { return Err(self.wrong("a value in quotes")) };
        let value = self.until(1, &[quote], "the closing quote")?;
        match memchr(b'<', &self.bytes[value.0..value.1]) {
            None => Ok(Attribute { name, value }),
            Some(n) => Err(Wrong { at: value.0 + n, expected: "`&lt;`" }),
        }
    }

    /// The name of the element that ends here.
    pub fn end(&mut self) -> Result<&'a [u8], Wrong> {
        self.at += 2;
        let name = self.name("the name of an element")?;
        self.blanks();
        if self.rest().first() != Some(&b'>') {
            return Err(self.wrong("`>`"));
        }
        self.at += 1;
        Ok(&self.bytes[name.0..name.1])
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Appends text of the range of `bytes` with its references resolved; in an attribute white space becomes spaces.
pub(super) fn text(bytes: &[u8], (start, end): (usize, usize), attribute: bool, into: &mut Vec<u8>) -> Result<(), Wrong> {
    let mut at = start;
    while at < end {
        let n = memchr(b'&', &bytes[at..end]).unwrap_or(end - at);
        let before = into.len();
        plain(&bytes[at..at + n], into);
        if attribute {
            into[before..].iter_mut().filter(|b| is_blank(**b)).for_each(|b| *b = b' ');
        }
        at += n;
        if at < end {
            at = reference(bytes, at, end, into)?;
        }
    }
    Ok(())
}

/// Appends text with each `\r\n` or `\r` as `\n`.
pub(super) fn plain(raw: &[u8], into: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(n) = memchr(b'\r', rest) {
        into.extend_from_slice(&rest[..n]);
        into.push(b'\n');
        rest = rest[n + 1..].strip_prefix(b"\n").unwrap_or(&rest[n + 1..]);
    }
    into.extend_from_slice(rest);
}

/// The longest reference, `&#x10FFFF;` with some zeros.
const MAX_REFERENCE: usize = 16;

/// Appends what the reference at `at` stands for; returns where what is behind it begins.
fn reference(bytes: &[u8], at: usize, end: usize, into: &mut Vec<u8>) -> Result<usize, Wrong> {
    let wrong = Wrong { at, expected: "`&lt;`, `&gt;`, `&amp;`, `&quot;`, `&apos;` or the number of a character" };
    let name = &bytes[at + 1..end.min(at + MAX_REFERENCE)];
    let name = &name[..memchr(b';', name).ok_or(wrong)?];
    let number = |digits: &[u8], radix| {
        let n = digits.iter().try_fold(0_u32, |n, d| n.checked_mul(radix)?.checked_add(char::from(*d).to_digit(radix)?));
        n.filter(|n| !digits.is_empty() && *n != 0).and_then(char::from_u32)
    };
    let character = match name {
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"amp" => Some('&'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        [b'#', b'x', digits @ ..] => number(digits, 16),
        [b'#', digits @ ..] => number(digits, 10),
        _ => None,
    };
    into.extend_from_slice(character.ok_or(wrong)?.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(at + name.len() + 2)
}
