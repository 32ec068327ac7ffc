use crate::expr::{Check, Compare, Expr, Test};
use crate::search::{Kind, Search};
use std::fmt::{Display, Formatter, Result};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Expr::Const(value) => f.write_str(if *value { "TRUE" } else { "FALSE" }),
            Expr::Test(test) => test.fmt(f),
            Expr::Not(inner) => write!(f, "!({inner})"),
            Expr::All(list) => join(f, list, " && "),
            Expr::Any(list) => join(f, list, " || "),
        }
    }
}

/// Lists in a list are set in parentheses; those of `&&` within `||` too, for the reader.
fn join(f: &mut Formatter<'_>, list: &[Expr], separator: &str) -> Result {
    for (i, expr) in list.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        match expr {
            Expr::All(_) | Expr::Any(_) => write!(f, "({expr})")?,
            _ => expr.fmt(f)?,
        }
    }
    Ok(())
}

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.subject.fmt(f)?;
        match &self.check {
            Check::Nil => f.write_str(" == NIL"),
            Check::NotNil => f.write_str(" != NIL"),
            Check::Text(compare, text) => {
                write!(f, " {compare} ")?;
                quoted(f, text)
            }
            Check::Number(compare, number) => write!(f, " {compare} {number}"),
            Check::Bool(value) => write!(f, " == {}", if *value { "TRUE" } else { "FALSE" }),
            Check::Matches(search) => write!(f, " =~ {search}"),
            Check::NotMatches(search) => write!(f, " !~ {search}"),
        }
    }
}

impl Display for Search {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.kind {
            Kind::Regex => write!(f, "/{}/", self.source.replace('/', r"\/")),
            Kind::Lua => quoted(f, &self.source),
            Kind::Literal => {
                quoted(f, &self.source)?;
                f.write_str("%")
            }
        }
    }
}

impl Display for Compare {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Compare::Equal => "==",
            Compare::NotEqual => "!=",
            Compare::Less => "<",
            Compare::LessOrEqual => "<=",
            Compare::Greater => ">",
            Compare::GreaterOrEqual => ">=",
        })
    }
}

/// A string literal. A backslash before the quote that encloses a text cannot be written, as an
/// escape eats it, but one of the two quotes will always do for a text that was parsed.
fn quoted(f: &mut Formatter<'_>, text: &str) -> Result {
    let quote = if is_writable(text, '\'') { '\'' } else { '"' };
    write!(f, "{quote}{}{quote}", text.replace(quote, &format!("\\{quote}")))
}

/// Whether no backslash of the text, taken in pairs with what follows, eats this quote or the end.
fn is_writable(text: &str, quote: char) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next().is_none_or(|next| next == quote) {
            return false;
        }
    }
    true
}
