//! The syntax of `re`:
//!
//! ```text
//! pattern  <- S (grammar / alternative) !.         alternative <- sequence ('/' S sequence)*
//! grammar  <- (name S '<-' S alternative)+         sequence    <- ([&!] S)* suffixed …
//! suffixed <- primary S (([*+?] / '^' [+-]? number / '->' S (string / '{}' / number / name)
//!                        / '=>' S name / '~>' S name / '>>' S name) S)*
//! primary  <- '(' pattern ')' / string / '[' '^'? item+ ']' / '%' name / '{:' (name ':')? pattern ':}' / '=' name
//!           / '{}' / '{~' pattern '~}' / '{|' pattern '|}' / '{' pattern '}' / '.' / '<' name '>' / name !'<-'
//! ```

use lpeg::{Capture, Charset, Key, Pattern};
use sandbox::native::{Call, Error, Returned, Slot, Value};

use crate::lpeg::{CLASSES, Operator, RULE, Values, convert, division_of};

/// How deep brackets may be nested.
const MAX_DEPTH: usize = 100;

/// The classes that have a letter of their own; in upper case they mean the rest.
const LETTERS: [(u8, &str); 10] = [
    (b'a', "alpha"),
    (b'c', "cntrl"),
    (b'd', "digit"),
    (b'g', "graph"),
    (b'l', "lower"),
    (b'p', "punct"),
    (b's', "space"),
    (b'u', "upper"),
    (b'w', "alnum"),
    (b'x', "xdigit"),
];

/// The pattern of a text. `definitions`: a table of what names stand for.
pub fn parse(call: &mut Call<'_>, text: &[u8], definitions: Option<Slot>, values: &mut Values) -> Result<Pattern, Error> {
    // What is pushed on the way must not be among the values.
    values.own(call)?;
    let mut parser = Parser { call, text, at: 0, definitions, values, depth: 0, rules: 0 };
    let pattern = parser.pattern()?;
    if parser.at < text.len() {
        return parser.error("an operator or the end was expected");
    }
    Ok(pattern)
}

struct Parser<'p, 'c> {
    call: &'p mut Call<'c>,
    text: &'p [u8],
    at: usize,
    definitions: Option<Slot>,
    values: &'p mut Values,
    depth: usize,
    /// Grammars around this place.
    rules: usize,
}

impl Parser<'_, '_> {
    fn error<T>(&self, what: impl AsRef<str>) -> Result<T, Error> {
        let before = &self.text[..self.at.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        let rest = String::from_utf8_lossy(&self.text[before.len()..]);
        let near: String = rest.chars().take(20).collect();
        let near = if near.is_empty() { "at the end".to_string() } else { format!("near '{near}'") };
        Err(Error::message(format!("pattern error in line {line}, column {column}, {near}: {}", what.as_ref())))
    }

    fn made(&mut self, pattern: Result<Pattern, lpeg::Error>) -> Result<Pattern, Error> {
        self.values.settle(self.call)?;
        pattern.or_else(|error| self.error(error.to_string()))
    }

    fn join(&mut self, a: &Pattern, b: &Pattern, make: Operator) -> Result<Pattern, Error> {
        self.values.room(self.call, a, b)?;
        self.made(make(a, b))
    }

    // ---- words

    fn space(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            if rest.starts_with(b"--") {
                self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            } else if rest.first().is_some_and(|byte| byte.is_ascii_whitespace() || *byte == 0x0b) {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let hit = self.text[self.at..].starts_with(word.as_bytes());
        self.at += if hit { word.len() } else { 0 };
        hit
    }

    /// A word that must be here; `open` is where the bracket that it closes is.
    fn close(&mut self, word: &str, open: usize) -> Result<(), Error> {
        self.space();
        if self.take(word) {
            return Ok(());
        }
        self.error(format!("'{word}' was expected, for what is opened at byte {}", open + 1))
    }

    fn name(&mut self) -> Option<Key> {
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        if length == 0 || rest[0].is_ascii_digit() {
            return None;
        }
        self.at += length;
        Some(Key::Text(rest[..length].into()))
    }

    fn needed_name(&mut self) -> Result<Key, Error> {
        match self.name() {
            Some(name) => Ok(name),
            None => self.error("a name was expected"),
        }
    }

    fn number(&mut self) -> Result<Option<i64>, Error> {
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match std::str::from_utf8(&rest[..length]).unwrap_or_default().parse() {
            Ok(n) if n <= 0xffff => {
                self.at += length;
                Ok(Some(n))
            }
            _ if length == 0 => Ok(None),
            _ => self.error("the number is too large (limit is 65535)"),
        }
    }

    fn string(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let Some(quote @ (b'"' | b'\'')) = self.peek() else { return Ok(None) };
        let rest = &self.text[self.at + 1..];
        match rest.iter().position(|byte| *byte == quote) {
            Some(length) => {
                self.at += length + 2;
                Ok(Some(rest[..length].to_vec()))
            }
            None => self.error("the string does not end"),
        }
    }

    /// The name of a rule that is defined here.
    fn definition(&mut self) -> Option<Key> {
        let before = self.at;
        let name = self.name();
        self.space();
        if name.is_some() && self.take("<-") {
            return name;
        }
        self.at = before;
        None
    }

    // ---- patterns

    fn pattern(&mut self) -> Result<Pattern, Error> {
        if self.depth >= MAX_DEPTH {
            return self.error(format!("nested too deep (limit is {MAX_DEPTH})"));
        }
        self.depth += 1;
        self.space();
        let mut rules: Vec<(Key, Pattern)> = Vec::new();
        let begin = self.at;
        let pattern = match self.definition() {
            None => self.alternative()?,
            Some(first) => {
                self.rules += 1;
                let mut next = Some(first);
                while let Some(name) = next {
                    if rules.iter().any(|(known, _)| *known == name) {
                        return self.error(format!("'{name}' already defined as a rule"));
                    }
                    if rules.len() >= lpeg::MAX_RULES {
                        return self.error(lpeg::Error::TooManyRules.to_string());
                    }
                    let rule = self.alternative()?;
                    rules.push((name, rule));
                    next = self.definition();
                }
                self.rules -= 1;
                self.call.room_for(rules.len() * RULE)?;
                Pattern::grammar(rules).or_else(|error| {
                    self.at = begin;
                    self.error(error.to_string())
                })?
            }
        };
        self.depth -= 1;
        Ok(pattern)
    }

    fn alternative(&mut self) -> Result<Pattern, Error> {
        let mut all = self.sequence()?;
        while self.take("/") {
            let next = self.sequence()?;
            all = self.join(&all, &next, Pattern::or)?;
        }
        Ok(all)
    }

    fn sequence(&mut self) -> Result<Pattern, Error> {
        let mut all = Pattern::empty();
        self.space();
        while let Some(next) = self.prefixed()? {
            all = self.join(&all, &next, Pattern::then)?;
        }
        Ok(all)
    }

    fn prefixed(&mut self) -> Result<Option<Pattern>, Error> {
        let begin = self.at;
        while let Some(b'&' | b'!') = self.peek() {
            self.at += 1;
            self.space();
        }
        let signs: Vec<u8> = self.text[begin..self.at].iter().copied().filter(|byte| matches!(byte, b'&' | b'!')).collect();
        let Some(mut pattern) = self.suffixed()? else {
            return if signs.is_empty() { Ok(None) } else { self.error("a pattern was expected") };
        };
        for sign in signs.iter().rev() {
            pattern = self.made(if *sign == b'&' { pattern.and() } else { pattern.not() })?;
        }
        Ok(Some(pattern))
    }

    fn suffixed(&mut self) -> Result<Option<Pattern>, Error> {
        let Some(mut pattern) = self.primary()? else { return Ok(None) };
        loop {
            self.space();
            let made = if self.take("*") {
                pattern.repeat(0)
            } else if self.take("+") {
                pattern.repeat(1)
            } else if self.take("?") {
                pattern.repeat(-1)
            } else if self.take("^") {
                self.power(&pattern)?
            } else if self.take("->") {
                let capture = self.arrow()?;
                pattern.capture(capture)
            } else if self.take("=>") {
                pattern.capture(Capture::Runtime(self.function()?))
            } else if self.take("~>") {
                pattern.capture(Capture::Fold(self.function()?))
            } else if self.take(">>") {
                pattern.capture(Capture::Accumulate(self.function()?))
            } else {
                return Ok(Some(pattern));
            };
            pattern = self.made(made)?;
        }
    }

    /// `^n`: so many times; `^+n`: at least; `^-n`: at most.
    fn power(&mut self, pattern: &Pattern) -> Result<Result<Pattern, lpeg::Error>, Error> {
        let sign = self.peek().filter(|byte| matches!(byte, b'+' | b'-'));
        self.at += usize::from(sign.is_some());
        let Some(n) = self.number()? else { return self.error("a number was expected") };
        Ok(match sign {
            Some(b'-') if n == 0 => pattern.repeat(0),
            Some(b'-') => pattern.repeat(-n),
            Some(_) => pattern.repeat(n),
            None => Ok(self.times(pattern, n)?),
        })
    }

    /// The pattern `n` times, by doubling.
    fn times(&mut self, pattern: &Pattern, mut n: i64) -> Result<Pattern, Error> {
        let (mut all, mut power) = (Pattern::empty(), pattern.clone());
        while n > 0 {
            if n % 2 == 1 {
                all = self.join(&all, &power, Pattern::then)?;
            }
            n /= 2;
            if n > 0 {
                power = self.join(&power, &power, Pattern::then)?;
            }
        }
        Ok(all)
    }

    /// What stands right of `->`.
    fn arrow(&mut self) -> Result<Capture, Error> {
        self.space();
        if let Some(text) = self.string()? {
            return Ok(Capture::Format(text.into()));
        }
        if self.take("{}") {
            return Ok(Capture::Table);
        }
        if let Some(n) = self.number()? {
            return Ok(Capture::Select(n as u32));
        }
        let slot = self.defined()?;
        match division_of(self.call, slot, self.values)? {
            Some(capture) => Ok(capture),
            None => self.error("the name must stand for a string, number, table or function"),
        }
    }

    fn function(&mut self) -> Result<lpeg::ValueId, Error> {
        self.space();
        let slot = self.defined()?;
        match self.call.value(slot) {
            Value::Function(_) => self.values.keep(self.call, slot),
            other => {
                let found = other.type_name();
                self.error(format!("the name must stand for a function, got {found}"))
            }
        }
    }

    /// Pushes what a name stands for among the definitions.
    fn defined(&mut self) -> Result<Slot, Error> {
        let name = self.needed_name()?;
        match self.look_up(&name)? {
            Some(slot) => Ok(slot),
            None => self.error(format!("name '{name}' undefined")),
        }
    }

    fn look_up(&mut self, name: &Key) -> Result<Option<Slot>, Error> {
        let (Some(table), Key::Text(text)) = (self.definitions, name) else { return Ok(None) };
        self.call.push_bytes(text)?;
        let slot = self.call.get_pair(table)?;
        Ok(Some(slot).filter(|slot| !self.call.value(*slot).is_nil()))
    }

    fn primary(&mut self) -> Result<Option<Pattern>, Error> {
        let begin = self.at;
        if let Some(text) = self.string()? {
            self.call.room_for(text.len())?;
            return Ok(Some(Pattern::literal(&text)));
        }
        let bracketed = |parser: &mut Self, end: &str, capture: Option<Capture>| {
            let inner = parser.pattern()?;
            parser.close(end, begin)?;
            match capture {
                None => Ok(inner),
                Some(capture) => parser.made(inner.capture(capture)),
            }
        };
        let pattern = match self.peek() {
            Some(b'(') => {
                self.at += 1;
                bracketed(self, ")", None)?
            }
            Some(b'[') => self.class()?,
            Some(b'%') => self.percent()?,
            Some(b'.') => {
                self.at += 1;
                Pattern::set(&Charset::FULL)
            }
            Some(b'{') if self.take("{:") => {
                let before = self.at;
                let name = self.name().filter(|_| self.take(":"));
                if name.is_none() {
                    self.at = before;
                }
                bracketed(self, ":}", Some(Capture::Group(name)))?
            }
            Some(b'{') if self.take("{}") => self.made(Pattern::empty().capture(Capture::Position))?,
            Some(b'{') if self.take("{~") => bracketed(self, "~}", Some(Capture::Substitute))?,
            Some(b'{') if self.take("{|") => bracketed(self, "|}", Some(Capture::Table))?,
            Some(b'{') => {
                self.at += 1;
                bracketed(self, "}", Some(Capture::Simple))?
            }
            Some(b'=') if !self.text[self.at..].starts_with(b"=>") => {
                self.at += 1;
                let name = self.needed_name()?;
                self.same_as(name)?
            }
            Some(b'<') if !self.text[self.at..].starts_with(b"<-") => {
                self.at += 1;
                let name = self.needed_name()?;
                self.close(">", begin)?;
                self.rule(name)?
            }
            _ => {
                // A name with an arrow begins the next rule.
                let next = self.definition().is_some();
                self.at = begin;
                match self.name().filter(|_| !next) {
                    Some(name) => self.rule(name)?,
                    None => {
                        self.at = begin;
                        return Ok(None);
                    }
                }
            }
        };
        Ok(Some(pattern))
    }

    fn rule(&mut self, name: Key) -> Result<Pattern, Error> {
        if self.rules == 0 {
            return self.error(format!("rule '{name}' used outside a grammar"));
        }
        Ok(Pattern::rule(name))
    }

    /// The text that the group of this name captured, once more.
    fn same_as(&mut self, name: Key) -> Result<Pattern, Error> {
        let function = self.call.push_function(continues)?;
        let function = self.values.keep(self.call, function)?;
        self.made(Pattern::empty().capture(Capture::Back(name)).and_then(|back| back.capture(Capture::Runtime(function))))
    }

    fn percent(&mut self) -> Result<Pattern, Error> {
        let begin = self.at;
        self.at += 1;
        let name = self.needed_name()?;
        if let Some(slot) = self.look_up(&name)? {
            return convert(self.call, slot, self.values, 0);
        }
        match &name {
            Key::Text(text) if **text == *b"nl" => Ok(Pattern::literal(b"\n")),
            Key::Text(text) if text.len() == 1 && letter(text[0]).is_some() => Ok(Pattern::set(&letter(text[0]).unwrap_or_default())),
            _ => {
                self.at = begin;
                self.error(format!("name '{name}' undefined"))
            }
        }
    }

    fn class(&mut self) -> Result<Pattern, Error> {
        let begin = self.at;
        self.at += 1;
        let negated = self.take("^");
        let mut all = self.item(begin)?;
        while !self.take("]") {
            let item = self.item(begin)?;
            all = self.join(&all, &item, Pattern::or)?;
        }
        if negated { self.made(Pattern::set(&Charset::FULL).except(&all)) } else { Ok(all) }
    }

    fn item(&mut self, begin: usize) -> Result<Pattern, Error> {
        match self.text[self.at..] {
            [b'%', next, ..] if next.is_ascii_alphabetic() || next == b'_' => self.percent(),
            [from, b'-', to, ..] if to != b']' => {
                self.at += 3;
                Ok(Pattern::set(&Charset::range(from..=to)))
            }
            [byte, ..] => {
                self.at += 1;
                Ok(Pattern::literal(&[byte]))
            }
            [] => {
                self.at = begin;
                self.error("']' was expected, for what is opened here")
            }
        }
    }
}

fn letter(letter: u8) -> Option<Charset> {
    let (_, name) = LETTERS.iter().find(|(known, _)| *known == letter.to_ascii_lowercase())?;
    let (_, class) = CLASSES.iter().find(|(known, _)| known == name)?;
    let set = Charset::filter(class);
    Some(if letter.is_ascii_uppercase() { set.complement() } else { set })
}

/// `(subject, position, text)`: the position behind the text, if it comes next.
fn continues(call: &mut Call<'_>) -> Result<Returned, Error> {
    let position = call.integer(2)?;
    let next = match (call.arg(1), call.arg(3), usize::try_from(position - 1)) {
        (Value::String(subject), Value::String(text), Ok(at)) if subject.get(at..).is_some_and(|rest| rest.starts_with(text)) => {
            Some(text.len())
        }
        _ => None,
    };
    match next {
        Some(length) => call.push_integer(position + length as i64)?,
        None => call.push_bool(false)?,
    };
    Ok(Returned(1))
}
