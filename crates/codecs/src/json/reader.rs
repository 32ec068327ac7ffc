use std::borrow::Cow;
use std::str;

use plugin::Reject;

use super::plain;

/// Nesting at which reading is given up.
const MAX_DEPTH: usize = 128;

/// Where text is not JSON, and what would have been.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wrong {
    pub at: usize,
    pub expected: &'static str,
}

impl Wrong {
    /// As a reason to refuse `bytes`.
    pub fn reject(self, bytes: &[u8]) -> Reject {
        let found: Cow<'_, str> = match bytes.get(self.at) {
            None => "the end".into(),
            Some(b @ 0x20..0x7f) => format!("`{}`", char::from(*b)).into(),
            Some(b) => format!("byte 0x{b:02x}").into(),
        };
        Reject::new(format!("at byte {}: found {found}, expected {}", self.at, self.expected))
    }
}

/// What is between the quotes of a string, as it stands there.
#[derive(Clone, Copy)]
pub(crate) struct Str<'a> {
    pub raw: &'a [u8],
    pub escaped: bool,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Number {
    Integer(i64),
    /// Also integers that 64 bits do not hold.
    Double(f64),
}

/// Reads JSON from the front of `bytes` on. Values are read where they stand; whitespace is skipped
/// by [`Reader::peek`].
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// What was read since `start`.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    pub fn wrong(&self, expected: &'static str) -> Wrong {
        Wrong { at: self.at, expected }
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The byte behind whitespace.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Skips `byte` behind whitespace, if it is there.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// Skips the bracket that begins an object or array; false when it is empty, and then skipped.
    pub fn enter(&mut self, open: u8, close: u8, expected: &'static str) -> Result<bool, Wrong> {
        if !self.take(open) {
            return Err(self.wrong(expected));
        }
        Ok(!self.take(close))
    }

    /// Skips what follows a member or element: true when there is another one.
    pub fn another(&mut self, close: u8, expected: &'static str) -> Result<bool, Wrong> {
        if self.take(b',') {
            return Ok(true);
        }
        if self.take(close) { Ok(false) } else { Err(self.wrong(expected)) }
    }

    /// A member's name and the colon behind it.
    pub fn key(&mut self) -> Result<Str<'a>, Wrong> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a name in quotes"));
        }
        let key = self.string()?;
        if self.take(b':') { Ok(key) } else { Err(self.wrong("`:`")) }
    }

    /// A string, whose quote is next.
    #[inline]
    pub fn string(&mut self) -> Result<Str<'a>, Wrong> {
        let start = self.at + 1;
        self.at = start;
        let mut escaped = false;
        loop {
            self.at += plain(&self.bytes[self.at..]);
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                _ => return Err(self.wrong("`\"`; control characters in strings are escaped")),
            }
            escaped = true;
        }
        self.at += 1;
        Ok(Str { raw: &self.bytes[start..self.at - 1], escaped })
    }

    fn escape(&mut self) -> Result<(), Wrong> {
        self.at += 1;
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                for _ in 0..4 {
                    self.at += 1;
                    if !self.byte().is_some_and(|b| b.is_ascii_hexdigit()) {
                        return Err(self.wrong("a hexadecimal digit"));
                    }
                }
                self.at += 1;
            }
            _ => return Err(self.wrong("one of `\"\\/bfnrtu`")),
        }
        Ok(())
    }

    /// `true`, `false` or `null`.
    pub fn literal(&mut self, word: &'static str) -> Result<(), Wrong> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.wrong(word))
    }

    /// A number, whose first byte is next.
    pub fn number(&mut self) -> Result<Number, Wrong> {
        let start = self.at;
        let negative = self.byte() == Some(b'-');
        self.at += usize::from(negative);
        let digits = self.at;
        let mut magnitude = Some(0u64);
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            magnitude = magnitude.and_then(|m| m.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
            self.at += 1;
        }
        match self.since(digits) {
            [] => return Err(self.wrong(if negative { "a digit" } else { "a value" })),
            [b'0', _, ..] => return Err(Wrong { at: digits + 1, expected: "a number without leading zeros" }),
            _ => {}
        }
        let integer = match magnitude {
            Some(m) if negative => 0i64.checked_sub_unsigned(m),
            Some(m) => i64::try_from(m).ok(),
            None => None,
        };
        match (self.byte(), integer) {
            (Some(b'.' | b'e' | b'E'), _) | (_, None) => self.double(start),
            (_, Some(n)) => Ok(Number::Integer(n)),
        }
    }

    /// The rest of a number that is not a 64-bit integer.
    fn double(&mut self, start: usize) -> Result<Number, Wrong> {
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let parsed = str::from_utf8(self.since(start)).ok().and_then(|text| text.parse::<f64>().ok());
        let finite = parsed.filter(|n| n.is_finite());
        finite.map(Number::Double).ok_or(Wrong { at: start, expected: "a number that 64 bits can hold" })
    }

    fn digits(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.wrong("a digit")) }
    }

    /// Reads past a value of any kind, at this depth of nesting.
    pub fn skip(&mut self, depth: usize) -> Result<(), Wrong> {
        match self.peek() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => Err(self.wrong("at most 128 levels of nesting")),
            Some(b'{') => {
                let mut more = self.enter(b'{', b'}', "")?;
                while more {
                    self.key()?;
                    self.skip(depth + 1)?;
                    more = self.another(b'}', "`,` or `}`")?;
                }
                Ok(())
            }
            Some(b'[') => {
                let mut more = self.enter(b'[', b']', "")?;
                while more {
                    self.skip(depth + 1)?;
                    more = self.another(b']', "`,` or `]`")?;
                }
                Ok(())
            }
            Some(b'"') => self.string().map(drop),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => self.number().map(drop),
        }
    }

    /// Makes sure that nothing but whitespace follows.
    pub fn end(&mut self) -> Result<(), Wrong> {
        if self.peek().is_none() { Ok(()) } else { Err(self.wrong("the end")) }
    }
}

/// Whether `bytes` are one JSON value and nothing else.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    reader.skip(0).and_then(|()| reader.end()).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrong(text: &str) -> String {
        let mut reader = Reader::new(text.as_bytes());
        match reader.skip(0).and_then(|()| reader.end()) {
            Ok(()) => String::new(),
            Err(wrong) => wrong.reject(text.as_bytes()).to_string(),
        }
    }

    #[test]
    fn errors_say_where_and_what() {
        for (text, expected) in [
            (r#"{"a":1 x}"#, "at byte 7: found `x`, expected `,` or `}`"),
            (r#"{"a":1,}"#, "at byte 7: found `}`, expected a name in quotes"),
            (r#"{"a" 1}"#, "at byte 5: found `1`, expected `:`"),
            ("[1 2]", "at byte 3: found `2`, expected `,` or `]`"),
            ("[1,]", "at byte 3: found `]`, expected a value"),
            ("\"ab\u{1}\"", "at byte 3: found byte 0x01, expected `\"`; control characters in strings are escaped"),
            (r#""\x""#, "at byte 2: found `x`, expected one of `\"\\/bfnrtu`"),
            (r#""\u12g4""#, "at byte 5: found `g`, expected a hexadecimal digit"),
            ("tru", "at byte 0: found `t`, expected true"),
            ("-", "at byte 1: found the end, expected a digit"),
            ("01", "at byte 1: found `1`, expected a number without leading zeros"),
            ("1.e5", "at byte 2: found `e`, expected a digit"),
            ("1e999", "at byte 0: found `1`, expected a number that 64 bits can hold"),
            ("", "at byte 0: found the end, expected a value"),
            ("1 1", "at byte 2: found `1`, expected the end"),
        ] {
            assert_eq!(wrong(text), expected, "{text}");
        }
        assert!(wrong(&"[".repeat(200)).starts_with("at byte 128: found `[`, expected at most 128"));
    }

    #[test]
    fn integers_are_exact() {
        let read = |text: &str| Reader::new(text.as_bytes()).number();
        assert_eq!(read("9223372036854775807"), Ok(Number::Integer(i64::MAX)));
        assert_eq!(read("-9223372036854775808"), Ok(Number::Integer(i64::MIN)));
        assert_eq!(read("9223372036854775808"), Ok(Number::Double(9223372036854775808.0)));
        assert_eq!(read("123456789012345678901234567890"), Ok(Number::Double(123456789012345678901234567890.0)));
        assert_eq!(read("-0.5e-3"), Ok(Number::Double(-0.0005)));
    }

    proptest! {
        #[test]
        fn serde_agrees_on_what_is_json(text in r#"(\{|\}|\[|\]|,|:| |"a"|"\\n"|"\\u00e9"|1|-|0|\.|e|true|null|\t){0,12}"#) {
            prop_assert_eq!(is_value(text.as_bytes()), serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }
}
