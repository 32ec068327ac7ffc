use crate::error::{SyntaxError, excerpt};
use crate::expr::Compare;
use crate::number::Number;
use crate::subject::Subject;
use std::ops::Range;

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Token {
    /// A header, a constant or something unknown: the text tells.
    Word,
    Field(Subject),
    Text(Box<str>),
    Regex(Box<str>),
    Number(Number),
    Compare(Compare),
    Match,
    NoMatch,
    And,
    Or,
    Not,
    /// Behind a string: find it as it stands.
    Percent,
    Open,
    Close,
    End,
}

/// A token and the bytes of the text it was read from.
#[derive(Clone, Debug)]
pub(crate) struct Lexeme {
    pub(crate) token: Token,
    pub(crate) at: Range<usize>,
}

/// Longer ones before those they begin with.
const SYMBOLS: [(&str, Token); 14] = [
    ("==", Token::Compare(Compare::Equal)),
    ("!=", Token::Compare(Compare::NotEqual)),
    ("<=", Token::Compare(Compare::LessOrEqual)),
    (">=", Token::Compare(Compare::GreaterOrEqual)),
    ("<", Token::Compare(Compare::Less)),
    (">", Token::Compare(Compare::Greater)),
    ("=~", Token::Match),
    ("!~", Token::NoMatch),
    ("&&", Token::And),
    ("||", Token::Or),
    ("!", Token::Not),
    ("%", Token::Percent),
    ("(", Token::Open),
    (")", Token::Close),
];

/// Where byte `n` of what a string or regex stands for is, from the beginning of its spelling `'…'`.
pub(crate) fn unescaped_offset(spelling: &str, n: usize) -> usize {
    let quote = spelling.chars().next().unwrap_or('\'');
    let mut stands_for = 0;
    let mut chars = spelling.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if stands_for >= n {
            return at;
        }
        if c == '\\' && chars.peek().is_some_and(|(_, next)| *next == quote) {
            chars.next();
        }
        stands_for += c.len_utf8();
    }
    spelling.len()
}

/// Reads tokens off a text.
pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str) -> Lexer<'t> {
        Lexer { text, at: 0 }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub(crate) fn next(&mut self) -> Result<Lexeme, SyntaxError> {
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t', '\r', '\n']).len();
        let start = self.at;
        let token = self.token()?;
        Ok(Lexeme { token, at: start..self.at })
    }

    fn token(&mut self) -> Result<Token, SyntaxError> {
        let rest = self.rest();
        if let Some((symbol, token)) = SYMBOLS.iter().find(|(symbol, _)| rest.starts_with(symbol)) {
            self.at += symbol.len();
            return Ok(token.clone());
        }
        match rest.chars().next() {
            None => Ok(Token::End),
            Some(quote @ ('\'' | '"')) => Ok(Token::Text(self.quoted(quote)?)),
            Some('/') => Ok(Token::Regex(self.quoted('/')?)),
            Some('0'..='9' | '.' | '+' | '-') => self.number(),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.word(),
            Some(c) => Err(self.stray(c)),
        }
    }

    /// Text up to the next `quote`, which a backslash escapes. Other backslashes stay, each with
    /// the character after it.
    fn quoted(&mut self, quote: char) -> Result<Box<str>, SyntaxError> {
        let start = self.at;
        let mut out = String::new();
        let mut chars = self.rest()[1..].char_indices();
        while let Some((i, c)) = chars.next() {
            if c == quote {
                self.at = start + 1 + i + 1;
                return Ok(out.into());
            }
            let next = if c == '\\' { chars.next() } else { None };
            if next.is_none_or(|(_, next)| next != quote) {
                out.push(c);
            }
            out.extend(next.map(|(_, next)| next));
        }
        let what = if quote == '/' { "regular expression" } else { "string" };
        let found = format!("the end of the text within the {what} {}", excerpt(self.rest()));
        let error = SyntaxError::new(self.text, start..self.text.len(), found, format!("a closing {quote}"));
        Err(if out.contains(quote) { error.help(format!("`\\{quote}` stands for {quote} itself")) } else { error })
    }

    /// Everything that could be part of a number is, so that `5-3` is one malformed number.
    fn number(&mut self) -> Result<Token, SyntaxError> {
        let rest = self.rest();
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "._+-".contains(c))).unwrap_or(rest.len());
        let at = self.at..self.at + length;
        self.at = at.end;
        Number::parse(&rest[..length])
            .map(Token::Number)
            .ok_or_else(|| SyntaxError::new(self.text, at, excerpt(&rest[..length]), "a number such as 5, -0.5 or 1e9"))
    }

    fn word(&mut self) -> Result<Token, SyntaxError> {
        let rest = self.rest();
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "._".contains(c))).unwrap_or(rest.len());
        self.at += length;
        if &rest[..length] == "Fields" && rest[length..].starts_with('[') { self.field() } else { Ok(Token::Word) }
    }

    /// `[name]`, `[name][field]` or `[name][field][array]`.
    fn field(&mut self) -> Result<Token, SyntaxError> {
        let name: Box<str> = self.brackets("the field's name and a `]`")?.into();
        if name.is_empty() {
            let at = self.at - 2..self.at;
            return Err(SyntaxError::new(self.text, at, "`[]`", "the field's name between the brackets"));
        }
        let field = self.index()?;
        let array = self.index()?;
        match self.rest().chars().next() {
            Some('[') => Err(SyntaxError::new(self.text, self.at..self.at + 1, "a third index", "at most two: field and array")),
            _ => Ok(Token::Field(Subject::Field { name, field, array })),
        }
    }

    /// `[digits]` if there are brackets, or else 0.
    fn index(&mut self) -> Result<u32, SyntaxError> {
        if !self.rest().starts_with('[') {
            return Ok(0);
        }
        let start = self.at;
        let digits = self.brackets("an index and a `]`")?;
        let parsed = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
        parsed.ok_or_else(|| {
            SyntaxError::new(self.text, start..self.at, excerpt(&format!("[{digits}]")), "an index such as [0] (a number below 2^32)")
        })
    }

    /// What is between `[`, which comes next, and the next `]`.
    fn brackets(&mut self, expected: &str) -> Result<&'t str, SyntaxError> {
        let rest = self.rest();
        match rest.find(']') {
            Some(end) => {
                self.at += end + 1;
                Ok(&rest[1..end])
            }
            None => {
                let found = format!("the end of the text after {}", excerpt(rest));
                Err(SyntaxError::new(self.text, self.at..self.text.len(), found, expected))
            }
        }
    }

    /// A character that begins no token.
    fn stray(&self, c: char) -> SyntaxError {
        let (expected, help) = match c {
            '=' => ("one of == != < <= > >= =~ !~", Some("equality is written `==`")),
            '&' => ("`&&`", None),
            '|' => ("`||`", None),
            '[' => ("a test such as Type == 'nginx.access'", Some("no white space may stand before a `[`")),
            '“' | '”' | '„' | '‘' | '’' | '«' | '»' => ("text in plain quotes, ' or \"", None),
            _ => ("a test such as Type == 'nginx.access'", None),
        };
        let error = SyntaxError::new(self.text, self.at..self.at + c.len_utf8(), excerpt(c.encode_utf8(&mut [0; 4])), expected);
        if let Some(help) = help { error.help(help) } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Token {
        Lexer::new(text).next().unwrap().token
    }

    #[test]
    fn only_the_own_quote_is_escaped() {
        for (text, value) in
            [(r"'\n'", r"\n"), (r"'\\'", r"\\"), (r"'a\'b'", "a'b"), (r#"'a\"b'"#, r#"a\"b"#), (r#""a\"b""#, r#"a"b"#), (r"'\\\''", r"\\'")]
        {
            assert_eq!(first(text), Token::Text(value.into()), "{text}");
        }
        assert_eq!(first(r"/a\/b\.c\\/"), Token::Regex(r"a/b\.c\\".into()));
    }

    #[test]
    fn field_names_are_free() {
        for (text, name, field, array) in
            [("Fields[a b.'\"[c]", "a b.'\"[c", 0, 0), ("Fields[ü][2]", "ü", 2, 0), ("Fields[x][01][300]", "x", 1, 300)]
        {
            assert_eq!(first(text), Token::Field(Subject::Field { name: name.into(), field, array }), "{text}");
        }
    }

    #[test]
    fn spans_cover_the_token() {
        let mut lexer = Lexer::new(" Type\n== 'ü' ");
        let spans: Vec<_> = (0..4).map(|_| lexer.next().unwrap().at).collect();
        assert_eq!(spans, [1..5, 6..8, 9..13, 14..14]);
    }
}
