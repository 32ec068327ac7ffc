//! JSON to values, pushed straight into tables: memory is what the tables take. Nesting is kept in a
//! stack of its own, and bounded.

use sandbox::native::{Call, Error, Returned, Slot};

use super::{push_null, settings};

/// Values between two looks at the budget.
const CHECK: usize = 256;

/// An array or object that is being read.
struct Open {
    table: Slot,
    array: bool,
    /// Items or members so far.
    items: i64,
}

pub(super) fn decode(call: &mut Call<'_>) -> Result<Returned, Error> {
    let text = call.bytes(1)?;
    let settings = settings(call)?;
    let null = if settings.decode_null { Some(push_null(call)?) } else { None };
    let mut reader = Reader { text: &text, at: 0, scratch: Vec::new(), null };
    let mut open: Vec<Open> = Vec::new();
    let mut values = 0;
    loop {
        values += 1;
        if values % CHECK == 0 {
            call.budget()?;
        }
        // A value is expected, or the end of an array or object that has none.
        if !reader.key(call, open.last())? {
            open.pop();
        } else if let Some(opened) = reader.value(call)? {
            if open.len() == settings.decode_depth {
                let depth = open.len() + 1;
                return Err(Error::message(format!("Found too many nested data structures ({depth}) at character {}", reader.at)));
            }
            open.push(opened);
            continue;
        }
        // A value is on top of the stack: give it away, close what ends behind it.
        loop {
            let Some(outer) = open.last_mut() else {
                reader.skip_space();
                return if reader.at == text.len() { Ok(Returned(1)) } else { Err(reader.expected("the end")) };
            };
            store(call, outer)?;
            if reader.another(outer.array)? {
                break;
            }
            open.pop();
        }
    }
}

/// Pops a value, and in an object its key, into the table. A nil leaves a hole.
fn store(call: &mut Call<'_>, outer: &mut Open) -> Result<(), Error> {
    outer.items += 1;
    if call.value(call.top()).is_nil() {
        call.pop(if outer.array { 1 } else { 2 });
        return Ok(());
    }
    if outer.array { call.set_index(outer.table, outer.items) } else { call.set_pair(outer.table) }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    /// A string with escapes, while it is read.
    scratch: Vec<u8>,
    null: Option<Slot>,
}

impl Reader<'_> {
    /// Pushes the key of an object's next member. False: the array or object that was just opened is empty, and closed.
    fn key(&mut self, call: &mut Call<'_>, open: Option<&Open>) -> Result<bool, Error> {
        self.skip_space();
        let Some(open) = open else { return Ok(true) };
        if open.items == 0 && self.peek() == Some(if open.array { b']' } else { b'}' }) {
            self.at += 1;
            return Ok(false);
        }
        if !open.array {
            if self.peek() != Some(b'"') {
                return Err(self.expected("object key string"));
            }
            self.string(call)?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.expected("colon"));
            }
            self.at += 1;
        }
        Ok(true)
    }

    /// Whether another value follows; else passes the end of the array or object.
    fn another(&mut self, array: bool) -> Result<bool, Error> {
        self.skip_space();
        let (end, expected) = if array { (b']', "comma or array end") } else { (b'}', "comma or object end") };
        let found = self.peek();
        if found != Some(b',') && found != Some(end) {
            return Err(self.expected(expected));
        }
        self.at += 1;
        Ok(found == Some(b','))
    }

    /// Pushes a value; an array or object is only opened.
    fn value(&mut self, call: &mut Call<'_>) -> Result<Option<Open>, Error> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.string(call)?,
            Some(b'-' | b'0'..=b'9') => self.number(call)?,
            Some(bracket @ (b'[' | b'{')) => {
                self.at += 1;
                let table = call.push_table(0, 0)?;
                return Ok(Some(Open { table, array: bracket == b'[', items: 0 }));
            }
            Some(b't') if self.word(b"true") => drop(call.push_bool(true)?),
            Some(b'f') if self.word(b"false") => drop(call.push_bool(false)?),
            Some(b'n') if self.word(b"null") => match self.null {
                Some(null) => drop(call.push_slot(null)?),
                None => drop(call.push_nil()?),
            },
            _ => return Err(self.expected("value")),
        }
        Ok(None)
    }

    fn word(&mut self, word: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(word) && !self.text.get(self.at + word.len()).is_some_and(u8::is_ascii_alphanumeric);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn number(&mut self, call: &mut Call<'_>) -> Result<(), Error> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.digits() {
            0 => return Err(self.expected("digit")),
            n if n > 1 && self.text[self.at - n] == b'0' => {
                self.at -= n - 1;
                return Err(self.expected("the end of a number after 0"));
            }
            _ => {}
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            whole = false;
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.expected("digit"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return Err(self.expected("digit"));
            }
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        if let Some(n) = text.parse().ok().filter(|_| whole) {
            call.push_integer(n)?;
            return Ok(());
        }
        match text.parse::<f64>() {
            Ok(x) if x.is_finite() => call.push_number(x).map(drop),
            _ => Err(Error::message(format!("Expected a number of 64 bits but found a larger one at character {}", start + 1))),
        }
    }

    fn digits(&mut self) -> usize {
        let digits = self.text[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += digits;
        digits
    }

    fn string(&mut self, call: &mut Call<'_>) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        self.scratch.clear();
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = memchr::memchr2(b'"', b'\\', rest) else {
                return Err(Error::message(format!(
                    "Expected the end of the string that begins at character {} but found the end of the text",
                    start + 1
                )));
            };
            let (piece, escape) = (&rest[..end], rest[end] == b'\\');
            self.at += end + 1;
            if !escape && self.scratch.is_empty() {
                return call.push_bytes(piece).map(drop);
            }
            call.room_for(2 * (self.scratch.len() + piece.len()) + 64)?;
            self.scratch.extend_from_slice(piece);
            if !escape {
                return call.push_bytes(&self.scratch).map(drop);
            }
            self.escape()?;
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Result<(), Error> {
        let byte = match self.peek() {
            Some(b @ (b'"' | b'\\' | b'/')) => b,
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'u') => return self.unicode(),
            _ => return Err(self.expected("escape code")),
        };
        self.at += 1;
        self.scratch.push(byte);
        Ok(())
    }

    /// Reads `uXXXX`, or two of them that make one character. Half a character is U+FFFD.
    fn unicode(&mut self) -> Result<(), Error> {
        let high = self.hex()?;
        let mut code = high;
        if (0xd800..0xdc00).contains(&high) && self.text[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 1;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            } else {
                self.at = back;
            }
        }
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// Reads a `u` and four digits.
    fn hex(&mut self) -> Result<u32, Error> {
        let digits = self.text.get(self.at + 1..self.at + 5).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let code = digits.and_then(|d| u32::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok());
        let code = code.ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 5;
        Ok(code)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        self.at += self.text[self.at..].iter().take_while(|b| matches!(b, b' ' | b'\n' | b'\t' | b'\r')).count();
    }

    fn expected(&self, what: &str) -> Error {
        let found = match self.peek() {
            None => "the end of the text".to_owned(),
            Some(byte) => format!("'{}'", byte.escape_ascii()),
        };
        Error::message(format!("Expected {what} but found {found} at character {}", self.at + 1))
    }
}
