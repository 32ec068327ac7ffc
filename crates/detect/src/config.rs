//! The text that configures checks: any number of calls, with or without white space before each.
//!
//! ```text
//! roc("NAME", col, win, hwin, sd, loss_of_data, start_of_data)
//! mww("NAME", col, win, nwin, pvalue, decreasing | increasing | any)
//! mww_nonparametric("NAME", col, win, nwin, pstat)
//! ```
//!
//! White space may follow a comma and is allowed nowhere else. `""` in a name is a quote. Numbers are
//! digits, with decimals where a fraction makes sense; `pstat` begins with 0.

use std::fmt;

use crate::{Algorithm, Check, Trend};

/// Where and why a configuration cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// Offset in bytes.
    pub at: usize,
    pub expected: &'static str,
    found: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Malformed { at, expected, found } = self;
        if found.is_empty() {
            write!(f, "{expected} expected at its end")
        } else {
            write!(f, "{expected} expected at byte {}: `{found}`", at + 1)
        }
    }
}

impl std::error::Error for Malformed {}

/// The checks of a configuration, each with the name of the ring it is for, in order.
///
/// # Errors
/// Where the text departs from the form above.
pub fn parse(text: &str) -> Result<Vec<(String, Check)>, Malformed> {
    let mut parser = Parser { text, at: 0 };
    let mut checks = Vec::new();
    loop {
        parser.space();
        checks.push(parser.check()?);
        if parser.rest().is_empty() {
            return Ok(checks);
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

type Parsed<T> = Result<T, Malformed>;

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn wrong<T>(&self, expected: &'static str) -> Parsed<T> {
        Err(Malformed { at: self.at, expected, found: self.rest().chars().take(20).collect() })
    }

    fn space(&mut self) {
        self.at += self.rest().find(|c: char| !c.is_ascii_whitespace()).unwrap_or(self.rest().len());
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn need(&mut self, word: &str, expected: &'static str) -> Parsed<()> {
        if self.eat(word) { Ok(()) } else { self.wrong(expected) }
    }

    fn comma(&mut self) -> Parsed<()> {
        self.need(",", "`,`")?;
        self.space();
        Ok(())
    }

    fn check(&mut self) -> Parsed<(String, Check)> {
        let kinds = [("roc(", 0), ("mww_nonparametric(", 1), ("mww(", 2)];
        let Some((_, kind)) = kinds.into_iter().find(|(word, _)| self.eat(word)) else {
            return self.wrong("`roc(`, `mww(` or `mww_nonparametric(`");
        };
        let name = self.name()?;
        let column = self.integer()?;
        let win = self.integer()?;
        let second = self.integer()?; // the length of the history or the number of windows
        let algorithm = match kind {
            0 => Algorithm::Roc { win, hwin: second, sd: self.number()?, loss_of_data: self.boolean()?, start_of_data: self.boolean()? },
            1 => Algorithm::MwwNonparametric { win, nwin: second, pstat: self.pstat()? },
            _ => Algorithm::Mww { win, nwin: second, pvalue: self.number()?, trend: self.trend()? },
        };
        self.need(")", "`)`")?;
        Ok((name, Check { column, algorithm }))
    }

    fn name(&mut self) -> Parsed<String> {
        self.need("\"", "a name in quotes")?;
        let mut name = String::new();
        loop {
            let Some(end) = self.rest().find('"') else { return self.wrong("the quote that ends the name") };
            name.push_str(&self.rest()[..end]);
            self.at += end + 1;
            if !self.eat("\"") {
                return if name.is_empty() { self.wrong("a name that is not empty") } else { Ok(name) };
            }
            name.push('"');
        }
    }

    fn digits(&mut self, expected: &'static str) -> Parsed<&'t str> {
        let rest = self.rest();
        let len = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if len == 0 {
            return self.wrong(expected);
        }
        self.at += len;
        Ok(&rest[..len])
    }

    fn integer(&mut self) -> Parsed<usize> {
        self.comma()?;
        let at = self.at;
        self.digits("a whole number")?.parse::<u32>().map(|n| n as usize).or_else(|_| {
            self.at = at;
            self.wrong("a whole number below 4294967296")
        })
    }

    fn number(&mut self) -> Parsed<f64> {
        self.comma()?;
        let start = self.at;
        self.digits("a number")?;
        self.decimals(start)
    }

    fn pstat(&mut self) -> Parsed<f64> {
        self.comma()?;
        let start = self.at;
        self.need("0", "a number from 0 to 1 that begins with 0")?;
        self.decimals(start)
    }

    /// The number from `start` on, of which the whole part has been read.
    fn decimals(&mut self, start: usize) -> Parsed<f64> {
        if self.eat(".") {
            self.digits("decimals")?;
        }
        self.text[start..self.at].parse().or_else(|_| self.wrong("a number"))
    }

    fn boolean(&mut self) -> Parsed<bool> {
        self.comma()?;
        if self.eat("true") {
            Ok(true)
        } else if self.eat("false") {
            Ok(false)
        } else {
            self.wrong("`true` or `false`")
        }
    }

    fn trend(&mut self) -> Parsed<Trend> {
        self.comma()?;
        match Trend::ALL.into_iter().find(|t| self.eat(t.name())) {
            Some(trend) => Ok(trend),
            None => self.wrong("`decreasing`, `increasing` or `any`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn calls_with_and_without_space() {
        let checks = parse(concat!(
            r#"roc("Output1", 1, 15, 0, 2, true, false) "#,
            r#"mww("Out ""2""",2,60,10,0.0001,decreasing)mww_nonparametric("Output1", 2, 15, 10, 0.55)"#
        ));
        let roc = Algorithm::Roc { win: 15, hwin: 0, sd: 2.0, loss_of_data: true, start_of_data: false };
        let mww = Algorithm::Mww { win: 60, nwin: 10, pvalue: 0.0001, trend: Trend::Decreasing };
        let nonparametric = Algorithm::MwwNonparametric { win: 15, nwin: 10, pstat: 0.55 };
        let check = |name: &str, column, algorithm| (name.to_string(), Check { column, algorithm });
        assert_eq!(checks, Ok(vec![check("Output1", 1, roc), check("Out \"2\"", 2, mww), check("Output1", 2, nonparametric)]));
    }

    #[test]
    fn errors_say_where_and_what() {
        assert_eq!(error("bogus"), "`roc(`, `mww(` or `mww_nonparametric(` expected at byte 1: `bogus`");
        assert_eq!(error(r#"roc("a" , 1"#), "`,` expected at byte 8: ` , 1`");
        assert_eq!(error(r#"roc("a", -1"#), "a whole number expected at byte 10: `-1`");
        assert_eq!(error(r#"roc("a", 1, 2, 3, 1.x"#), "decimals expected at byte 21: `x`");
        assert_eq!(error(r#"roc("a", 1, 2, 3, 1, yes"#), "`true` or `false` expected at byte 22: `yes`");
        assert_eq!(error(r#"roc("a"#), "the quote that ends the name expected at byte 6: `a`");
        assert_eq!(error(r#"mww("a", 1, 2, 3, 1, up)"#), "`decreasing`, `increasing` or `any` expected at byte 22: `up)`");
        assert_eq!(error(r#"mww_nonparametric("a", 1, 2, 3, 1)"#), "a number from 0 to 1 that begins with 0 expected at byte 33: `1)`");
        assert_eq!(error(r#"roc("a", 99999999999"#), "a whole number below 4294967296 expected at byte 10: `99999999999`");
    }

    #[test]
    fn nothing_may_follow_or_be_missing() {
        for text in ["", " ", r#"roc("", 1, 2, 0, 1, true, true)"#, r#"mww_nonparametric("a", 1, 2, 3, 0.5) "#] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
