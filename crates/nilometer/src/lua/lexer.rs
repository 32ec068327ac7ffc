//! The tokens of a Lua text that compiles: what `nilo lua check` looks at.

use std::ops::Range;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Name,
    Keyword,
    Number,
    /// A string, quotes and all.
    Text,
    Symbol,
    End,
}

#[derive(Clone, Debug)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Bytes of the source.
    pub at: Range<usize>,
}

impl<'a> Token<'a> {
    /// The content of a string without escapes.
    pub fn literal(&self) -> Option<&'a str> {
        if self.kind != Kind::Text {
            return None;
        }
        match self.text.as_bytes()[0] {
            b'[' => {
                let level = self.text[1..].bytes().take_while(|b| *b == b'=').count() + 2;
                self.text.get(level..self.text.len().saturating_sub(level))
            }
            _ => self.text.get(1..self.text.len() - 1).filter(|t| !t.contains('\\')),
        }
    }
}

const KEYWORDS: [&str; 22] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil", "not", "or", "repeat",
    "return", "then", "true", "until", "while",
];

/// The symbols of more than one character, longest first.
const SYMBOLS: [&str; 12] = ["...", "..", "==", "~=", "<=", ">=", "//", "<<", ">>", "::", "->", "=="];

/// What a text is made of.
pub struct Tokens<'a> {
    pub tokens: Vec<Token<'a>>,
    /// Escapes that Lua 5.4 does not know, such as `\d`.
    pub bad_escapes: Vec<Range<usize>>,
}

pub fn tokens(source: &str) -> Tokens<'_> {
    let mut lexer = Lexer { source, at: 0, bad_escapes: Vec::new() };
    if source.starts_with('#') {
        lexer.at = source.find('\n').unwrap_or(source.len());
    }
    let mut tokens = Vec::new();
    loop {
        let token = lexer.token();
        let end = token.kind == Kind::End;
        tokens.push(token);
        if end {
            return Tokens { tokens, bad_escapes: lexer.bad_escapes };
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    bad_escapes: Vec<Range<usize>>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn token(&mut self) -> Token<'a> {
        self.skip();
        let start = self.at;
        let rest = self.rest();
        let kind = match rest.as_bytes().first() {
            None => Kind::End,
            Some(b'_' | b'a'..=b'z' | b'A'..=b'Z') => {
                self.at += rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
                if KEYWORDS.contains(&&self.source[start..self.at]) { Kind::Keyword } else { Kind::Name }
            }
            Some(b'0'..=b'9') => self.number(),
            Some(b'.') if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => self.number(),
            Some(quote @ (b'"' | b'\'')) => self.quoted(*quote),
            Some(b'[') if self.long() => Kind::Text,
            Some(_) => {
                let long = SYMBOLS.iter().find(|s| rest.starts_with(**s)).map(|s| s.len());
                self.at += long.unwrap_or_else(|| rest.chars().next().map_or(1, char::len_utf8));
                Kind::Symbol
            }
        };
        Token { kind, text: &self.source[start..self.at], at: start..self.at }
    }

    /// Past white space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b').len();
            if !self.rest().starts_with("--") {
                return;
            }
            self.at += 2;
            if !(self.rest().starts_with('[') && self.long()) {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            }
        }
    }

    fn number(&mut self) -> Kind {
        let rest = self.rest().as_bytes();
        let hex = rest.len() > 1 && rest[0] == b'0' && (rest[1] | 32) == b'x';
        let exponent = if hex { b'p' } else { b'e' };
        let mut n = 0;
        while let Some(b) = rest.get(n) {
            let sign = (*b == b'+' || *b == b'-') && n > 0 && (rest[n - 1] | 32) == exponent;
            // `1..2` is two numbers to nobody but us; Lua refuses it.
            if !(b.is_ascii_alphanumeric() || *b == b'.' || sign) {
                break;
            }
            n += 1;
        }
        self.at += n;
        Kind::Number
    }

    fn quoted(&mut self, quote: u8) -> Kind {
        let bytes = self.source.as_bytes();
        self.at += 1;
        while let Some(b) = bytes.get(self.at) {
            self.at += 1;
            match b {
                b'\\' => {
                    let Some(escaped) = self.rest().chars().next() else { break };
                    if !"abfnrtvxzu\\'\"\r\n0123456789".contains(escaped) {
                        self.bad_escapes.push(self.at - 1..self.at + escaped.len_utf8());
                    }
                    self.at += escaped.len_utf8();
                    if escaped == 'z' {
                        let rest = self.rest();
                        self.at += rest.len() - rest.trim_start().len();
                    }
                }
                b'\n' => break, // it does not compile
                b if *b == quote => break,
                _ => {}
            }
        }
        Kind::Text
    }

    /// Past `[[…]]` or `[==[…]==]`, if that begins here.
    fn long(&mut self) -> bool {
        let rest = self.rest();
        let level = rest[1..].bytes().take_while(|b| *b == b'=').count();
        if rest.as_bytes().get(1 + level) != Some(&b'[') {
            return false;
        }
        let close = format!("]{}]", "=".repeat(level));
        self.at += rest.find(&close).map_or(rest.len(), |n| n + close.len());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source).tokens.iter().filter(|t| t.kind != Kind::End).map(|t| t.text).collect()
    }

    #[test]
    fn a_text_falls_into_tokens() {
        assert_eq!(
            texts("#!/bin/x\nlocal a<const> = 0x1p-3..b -- c\n--[==[ x\n]]]==] f"),
            ["local", "a", "<", "const", ">", "=", "0x1p-3..b", "f"]
        );
        assert_eq!(
            texts("a.b:c'x\\'y'[[z]] // ::l:: ... ~= é"),
            ["a", ".", "b", ":", "c", "'x\\'y'", "[[z]]", "//", "::", "l", "::", "...", "~=", "é"]
        );
        assert_eq!(texts("1e-5-2 .5 a..b"), ["1e-5", "-", "2", ".5", "a", "..", "b"]);
    }

    #[test]
    fn strings_without_escapes_are_literal() {
        let literals = |source| tokens(source).tokens.iter().map(|t| t.literal().map(str::to_string)).collect::<Vec<_>>();
        assert_eq!(literals("'a' [=[b]=] 'c\\n' d"), [Some("a".into()), Some("b".into()), None, None, None]);
    }

    #[test]
    fn unknown_escapes_are_found() {
        let source = "x = '\\d\\n\\065\\x41\\z  \\u{41}\\é' .. [[\\d]]";
        assert_eq!(tokens(source).bad_escapes.iter().map(|at| &source[at.clone()]).collect::<Vec<_>>(), ["\\d", "\\é"]);
    }
}
