use std::borrow::Cow;

/// Reads line protocol from front to back: [`Lines::begin`] a line, then its [`Lines::measurement`], its [`Lines::tag`]s, its
/// [`Lines::field`]s and its [`Lines::timestamp`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
}

/// What stands where something else is expected.
#[derive(Debug)]
pub(super) struct Wrong {
    at: usize,
    expected: &'static str,
}

impl Wrong {
    /// Line and column count from 1, the column in bytes.
    pub fn describe(&self, bytes: &[u8]) -> String {
        let before = &bytes[..self.at];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        let column = self.at - memchr::memrchr(b'\n', before).map_or(0, |end| end + 1) + 1;
        let found = match bytes.get(self.at) {
            None => "the end".to_string(),
            Some(b'\n') => "the end of the line".to_string(),
            Some(byte) => format!("`{}`", byte.escape_ascii()),
        };
        format!("line {line}, column {column}: found {found}, expected {}", self.expected)
    }
}

/// A measurement, key or value of a tag, or key of a field, as it stands there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'b> {
    raw: &'b [u8],
    /// The bytes that a backslash before them makes ordinary ones; empty when there is no such backslash. One before
    /// any other byte is an ordinary byte itself.
    escapes: &'static [u8],
}

impl<'b> Name<'b> {
    /// Without its escapes.
    pub fn text(self) -> Cow<'b, [u8]> {
        if self.escapes.is_empty() {
            return Cow::Borrowed(self.raw);
        }
        let mut text = Vec::with_capacity(self.raw.len());
        let mut bytes = self.raw.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            let escaped = bytes.next_if(|next| byte == b'\\' && self.escapes.contains(next));
            text.push(escaped.unwrap_or(byte));
        }
        Cow::Owned(text)
    }
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'b> {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Bool(bool),
    String(Cow<'b, [u8]>),
}

const IN_MEASUREMENTS: &[u8] = b", ";
const IN_KEYS: &[u8] = b",= ";

impl<'b> Lines<'b> {
    pub fn new(bytes: &'b [u8]) -> Lines<'b> {
        Lines { bytes, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn wrong<T>(&self, expected: &'static str) -> Result<T, Wrong> {
        Err(Wrong { at: self.at, expected })
    }

    fn skip(&mut self, test: impl Fn(u8) -> bool) {
        self.at += self.bytes[self.at..].iter().take_while(|b| test(**b)).count();
    }

    /// Moves to the next line that is neither empty nor a comment; false at the end.
    pub fn begin(&mut self) -> bool {
        loop {
            self.skip(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
            match self.peek() {
                Some(b'#') => self.skip(|b| b != b'\n'),
                found => return found.is_some(),
            }
        }
    }

    pub fn measurement(&mut self) -> Result<Name<'b>, Wrong> {
        let name = self.name(IN_MEASUREMENTS, b", \n", "a measurement")?;
        if matches!(self.peek(), Some(b',' | b' ')) { Ok(name) } else { self.wrong("a space and fields") }
    }

    /// The next tag, key and value.
    pub fn tag(&mut self) -> Result<Option<(Name<'b>, Name<'b>)>, Wrong> {
        if self.peek() != Some(b',') {
            return Ok(None);
        }
        self.at += 1;
        let key = self.key("a tag's key")?;
        let value = self.name(IN_KEYS, b",= \n", "a tag's value")?;
        match self.peek() {
            Some(b',' | b' ') => Ok(Some((key, value))),
            Some(b'=') => self.wrong("`,` or a space; `=` in a tag's value is written `\\=`"),
            _ => self.wrong("a space and fields"),
        }
    }

    /// The next field, key and value; there is at least one. `first`: whether it is the first of its line.
    pub fn field(&mut self, first: bool) -> Result<Option<(Name<'b>, Value<'b>)>, Wrong> {
        match self.peek() {
            Some(b' ') if first => self.skip(|b| b == b' '),
            Some(b',') if !first => self.at += 1,
            _ => return Ok(None),
        }
        Ok(Some((self.key("a field's key")?, self.value()?)))
    }

    /// The timestamp if there is one, and the end of the line.
    pub fn timestamp(&mut self) -> Result<Option<i64>, Wrong> {
        if !matches!(self.peek(), None | Some(b' ' | b'\t' | b'\r' | b'\n')) {
            return self.wrong("`,`, a space or the end of the line");
        }
        self.skip(|b| b == b' ');
        let start = self.at;
        let token = self.token();
        let time = match token {
            [] => None,
            _ => {
                let time = integer(token)
                    .ok_or(Wrong { at: start, expected: "a timestamp, a whole number of 64 bits, or the end of the line" })?;
                self.at += token.len();
                Some(time)
            }
        };
        self.skip(|b| matches!(b, b' ' | b'\t' | b'\r'));
        match self.peek() {
            None | Some(b'\n') => Ok(time),
            _ => self.wrong("the end of the line"),
        }
    }

    /// A key and the `=` behind it.
    fn key(&mut self, what: &'static str) -> Result<Name<'b>, Wrong> {
        let key = self.name(IN_KEYS, b",= \n", what)?;
        if self.peek() != Some(b'=') {
            return self.wrong("`=`");
        }
        self.at += 1;
        Ok(key)
    }

    /// Bytes up to one of `ends` that no backslash makes an ordinary byte.
    fn name(&mut self, escapes: &'static [u8], ends: &[u8], what: &'static str) -> Result<Name<'b>, Wrong> {
        let (start, mut escaped) = (self.at, false);
        while let Some(byte) = self.peek().filter(|b| !ends.contains(b)) {
            let pair = byte == b'\\' && self.bytes.get(self.at + 1).is_some_and(|next| escapes.contains(next));
            escaped |= pair;
            self.at += 1 + usize::from(pair);
        }
        let raw = &self.bytes[start..self.at];
        if raw.is_empty() { self.wrong(what) } else { Ok(Name { raw, escapes: if escaped { escapes } else { b"" } }) }
    }

    /// Bytes up to what may stand behind a value.
    fn token(&self) -> &'b [u8] {
        let rest = &self.bytes[self.at..];
        &rest[..rest.iter().position(|b| matches!(b, b',' | b' ' | b'\t' | b'\r' | b'\n')).unwrap_or(rest.len())]
    }

    fn value(&mut self) -> Result<Value<'b>, Wrong> {
        if self.peek() == Some(b'"') {
            return self.string();
        }
        let token = self.token();
        let value = match token {
            b"t" | b"T" | b"true" | b"True" | b"TRUE" => Some(Value::Bool(true)),
            b"f" | b"F" | b"false" | b"False" | b"FALSE" => Some(Value::Bool(false)),
            [digits @ .., b'i'] => match integer(digits) {
                Some(n) => Some(Value::Integer(n)),
                None => return self.wrong("a whole number of 64 bits before `i`"),
            },
            [digits @ .., b'u'] => match unsigned(digits) {
                Some(n) => Some(Value::Unsigned(n)),
                None => return self.wrong("a whole number of 64 bits without sign before `u`"),
            },
            _ => float(token).map(Value::Float),
        };
        let Some(value) = value else {
            return self.wrong("a value: a number, `t` or `f`, or text in double quotes");
        };
        self.at += token.len();
        Ok(value)
    }

    /// Text in quotes, in which only quotes and backslashes are escaped, and which may go on over lines.
    fn string(&mut self) -> Result<Value<'b>, Wrong> {
        self.at += 1;
        let (start, mut text) = (self.at, Vec::new());
        let mut copied = start;
        loop {
            let Some(next) = memchr::memchr2(b'"', b'\\', &self.bytes[self.at..]) else {
                self.at = self.bytes.len();
                return self.wrong("`\"`");
            };
            self.at += next;
            let escaped = self.bytes[self.at] == b'\\';
            if !escaped {
                break;
            }
            if matches!(self.bytes.get(self.at + 1), Some(b'"' | b'\\')) {
                text.extend_from_slice(&self.bytes[copied..self.at]);
                copied = self.at + 1;
                self.at += 1;
            }
            self.at += 1;
        }
        let last = &self.bytes[copied..self.at];
        self.at += 1;
        if copied == start {
            return Ok(Value::String(Cow::Borrowed(last)));
        }
        text.extend_from_slice(last);
        Ok(Value::String(Cow::Owned(text)))
    }
}

fn digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

fn parsed<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn unsigned_part(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"-").unwrap_or(text)
}

fn integer(text: &[u8]) -> Option<i64> {
    if digits(unsigned_part(text)) { parsed(text) } else { None }
}

fn unsigned(text: &[u8]) -> Option<u64> {
    if digits(text) { parsed(text) } else { None }
}

/// A finite number: digits with a point among, before or behind them, and an exponent.
fn float(text: &[u8]) -> Option<f64> {
    let (mantissa, exponent) = match memchr::memchr2(b'e', b'E', text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let exponent_fits = exponent.is_none_or(|e| digits(e.strip_prefix(b"+").unwrap_or(unsigned_part(e))));
    let mut points = unsigned_part(mantissa).splitn(2, |b| *b == b'.');
    let (whole, fraction) = (points.next().unwrap_or_default(), points.next().unwrap_or_default());
    let only_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit) && !(whole.is_empty() && fraction.is_empty());
    if only_digits && exponent_fits { parsed(text).filter(|n: &f64| n.is_finite()) } else { None }
}
