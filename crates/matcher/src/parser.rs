use crate::error::{SyntaxError, excerpt};
use crate::expr::{Check, Compare, Expr, Test};
use crate::lexer::{Lexeme, Lexer, Token, unescaped_offset};
use crate::search::Search;
use crate::subject::Subject;
use crate::{MAX_DEPTH, MAX_LENGTH, MAX_TESTS, suggest, time};
use message::Header;
use std::ops::Range;

/// Parses a whole text by recursive descent; the grammar is in the crate's documentation.
pub(crate) fn parse(text: &str) -> Result<Expr, SyntaxError> {
    if text.len() > MAX_LENGTH {
        let found = format!("an expression of {} bytes", text.len());
        return Err(SyntaxError::new(text, 0..0, found, format!("at most {MAX_LENGTH} bytes")));
    }
    let mut lexer = Lexer::new(text);
    let next = lexer.next()?;
    if next.token == Token::End {
        let error = SyntaxError::new(text, 0..text.len(), "an empty expression", "a test such as Type == 'nginx.access'");
        return Err(error.help("`TRUE` matches every message"));
    }
    let mut parser = Parser { text, lexer, next, tests: 0, depth: 0 };
    let expr = parser.any()?;
    match parser.next.token {
        Token::End => Ok(expr),
        Token::Close => Err(parser.unexpected("`&&`, `||` or the end").help("there is no `(` for it")),
        _ => Err(parser.unexpected("`&&`, `||` or the end")),
    }
}

struct Parser<'t> {
    text: &'t str,
    lexer: Lexer<'t>,
    /// The token not yet consumed.
    next: Lexeme,
    tests: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn advance(&mut self) -> Result<Lexeme, SyntaxError> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// Consumes the next token if it is this one.
    fn take(&mut self, token: Token) -> Result<bool, SyntaxError> {
        let found = self.next.token == token;
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn error(&self, at: &Range<usize>, found: impl Into<String>, expected: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.text, at.clone(), found, expected)
    }

    /// The next token is not what it should be. An unknown word is explained.
    fn unexpected(&self, expected: impl Into<String>) -> SyntaxError {
        let word = self.word();
        let found = if self.next.token == Token::End { "the end".to_owned() } else { excerpt(word) };
        let error = self.error(&self.next.at, found, expected);
        let known = Header::from_name(word.as_bytes()).is_some() || matches!(word, "TRUE" | "FALSE" | "NIL");
        if self.next.token == Token::Word && !known { error.help(suggest::for_word(word)) } else { error }
    }

    /// The text of the next token.
    fn word(&self) -> &'t str {
        &self.text[self.next.at.clone()]
    }

    fn any(&mut self) -> Result<Expr, SyntaxError> {
        let mut list = vec![self.all()?];
        while self.take(Token::Or)? {
            list.push(self.all()?);
        }
        Ok(Expr::Any(list))
    }

    fn all(&mut self) -> Result<Expr, SyntaxError> {
        let mut list = vec![self.term()?];
        while self.take(Token::And)? {
            list.push(self.term()?);
        }
        Ok(Expr::All(list))
    }

    fn term(&mut self) -> Result<Expr, SyntaxError> {
        match &self.next.token {
            Token::Open => self.group(),
            Token::Not => {
                self.advance()?;
                match self.next.token {
                    Token::Open => Ok(Expr::Not(Box::new(self.group()?))),
                    _ => Err(self.unexpected("`(` after `!`").help("negation is written `!( … )`")),
                }
            }
            Token::Field(subject) => {
                let subject = subject.clone();
                self.test(subject)
            }
            Token::Word => match (self.word(), Header::from_name(self.word().as_bytes())) {
                ("TRUE" | "FALSE", _) => {
                    let value = self.word() == "TRUE";
                    self.count()?;
                    self.advance()?;
                    Ok(Expr::Const(value))
                }
                (_, Some(header)) => self.test(Subject::Header(header)),
                _ => Err(self.unexpected("a header, `Fields[name]`, `TRUE` or `FALSE`")),
            },
            Token::Text(_) | Token::Number(_) | Token::Regex(_) => {
                Err(self.unexpected("a header or `Fields[name]`").help("the value stands on the right of the comparison"))
            }
            _ => Err(self.unexpected("a test such as Type == 'nginx.access'")),
        }
    }

    /// `( … )`
    fn group(&mut self) -> Result<Expr, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let found = format!("a parenthesis within {MAX_DEPTH} others");
            return Err(self.error(&self.next.at, found, format!("at most {MAX_DEPTH} of them nested")));
        }
        let open = self.advance()?;
        let expr = self.any()?;
        if !self.take(Token::Close)? {
            let error = self.unexpected("`&&`, `||` or `)`");
            let at_end = self.next.token == Token::End;
            let position = self.error(&open.at, "", "").position;
            return Err(if at_end { error.help(format!("the `(` at position {position} is not closed")) } else { error });
        }
        self.depth -= 1;
        Ok(expr)
    }

    fn count(&mut self) -> Result<(), SyntaxError> {
        self.tests += 1;
        if self.tests <= MAX_TESTS {
            return Ok(());
        }
        Err(self.error(&self.next.at, format!("more than {MAX_TESTS} tests"), format!("at most {MAX_TESTS}")))
    }

    /// A test whose subject comes next.
    fn test(&mut self, subject: Subject) -> Result<Expr, SyntaxError> {
        self.count()?;
        self.advance()?;
        let check = match self.next.token {
            Token::Compare(compare) => {
                self.advance()?;
                self.value(&subject, compare)?
            }
            Token::Match | Token::NoMatch if subject.is_text() => {
                let negative = self.advance()?.token == Token::NoMatch;
                let search = self.search()?;
                if negative { Check::NotMatches(search) } else { Check::Matches(search) }
            }
            Token::Match | Token::NoMatch => {
                let help = format!("`{subject}` is a number, which a regular expression cannot match");
                return Err(self.unexpected("one of == != < <= > >=").help(help));
            }
            _ if subject.is_text() => return Err(self.unexpected("one of == != < <= > >= =~ !~")),
            _ => return Err(self.unexpected("one of == != < <= > >=")),
        };
        Ok(Expr::Test(Test { subject, check }.into()))
    }

    /// The right side of a comparison.
    fn value(&mut self, subject: &Subject, compare: Compare) -> Result<Check, SyntaxError> {
        let equal = match compare {
            Compare::Equal => Some(true),
            Compare::NotEqual => Some(false),
            _ => None,
        };
        let check = match (&self.next.token, self.word(), equal) {
            (Token::Text(text), ..) if subject.is_header(Header::Timestamp) => Check::Number(compare, self.timestamp(text)?),
            (Token::Text(text), ..) if subject.is_text() => Check::Text(compare, text.clone()),
            (Token::Number(number), ..) if subject.is_number() => Check::Number(compare, *number),
            (Token::Word, "NIL", Some(true)) if subject.can_be_unset() => Check::Nil,
            (Token::Word, "NIL", Some(false)) if subject.can_be_unset() => Check::NotNil,
            (Token::Word, "TRUE", Some(equal)) if subject.is_field() => Check::Bool(equal),
            (Token::Word, "FALSE", Some(equal)) if subject.is_field() => Check::Bool(!equal),
            _ => return Err(self.wrong_value(subject, equal.is_some())),
        };
        self.advance()?;
        Ok(check)
    }

    fn timestamp(&self, text: &str) -> Result<crate::number::Number, SyntaxError> {
        time::parse(text).map(crate::number::Number::Int).map_err(|help| self.unexpected(time::SHAPE).help(help))
    }

    fn wrong_value(&self, subject: &Subject, equality: bool) -> SyntaxError {
        let mut wanted = match subject {
            Subject::Field { .. } => "a string or number".to_owned(),
            Subject::Header(Header::Timestamp) => format!("a number or {}", time::SHAPE),
            subject if subject.is_number() => "a number".to_owned(),
            _ => "a string".to_owned(),
        };
        match equality {
            true if subject.is_field() => wanted += ", TRUE, FALSE or NIL",
            true if subject.can_be_unset() => wanted += " or NIL",
            _ => {}
        }
        let error = self.unexpected(wanted);
        match (self.next.token.clone(), self.word()) {
            (Token::Word, "NIL") if !subject.can_be_unset() => error.help(format!("`{subject}` is always set")),
            (Token::Word, word @ ("NIL" | "TRUE" | "FALSE")) if !equality => error.help(format!("`{word}` goes with == and != only")),
            (Token::Word, "TRUE" | "FALSE") => error.help("only fields hold TRUE or FALSE"),
            (Token::Word, word) if Header::from_name(word.as_bytes()).is_some() => error.help("a header can stand on the left only"),
            (Token::Field(_), _) => error.help("a field can stand on the left only"),
            (Token::Regex(_), _) if subject.is_text() => error.help("a regular expression goes with =~ and !~"),
            _ => error,
        }
    }

    /// The right side of `=~` or `!~`.
    fn search(&mut self) -> Result<Search, SyntaxError> {
        match self.next.token.clone() {
            Token::Regex(source) => {
                let search = Search::regex(&source).map_err(|why| self.unexpected("a valid regular expression").help(why))?;
                self.advance()?;
                Ok(search)
            }
            Token::Text(source) => {
                let string = self.advance()?;
                match self.take(Token::Percent)? {
                    true => Ok(Search::literal(&source)),
                    false => Search::lua(&source).map_err(|invalid| self.invalid(&string.at, &invalid)),
                }
            }
            _ => Err(self.unexpected("a regular expression between slashes, such as /foo/, or a Lua pattern in quotes")),
        }
    }

    /// What is wrong with the Lua pattern of the string that stands there.
    fn invalid(&self, string: &Range<usize>, invalid: &pattern::Invalid) -> SyntaxError {
        let start = string.start + unescaped_offset(&self.text[string.clone()], invalid.at);
        let at = start..string.end.max(start);
        let error = self.error(&at, excerpt(&self.text[at.clone()]), "a valid Lua pattern");
        error.help(format!("{invalid}; `%` behind the closing quote finds the text as it stands"))
    }
}
