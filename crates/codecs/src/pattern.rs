use options::{Location, Problem};
use regex::bytes::{Regex, RegexBuilder};

/// Memory that a compiled expression may take. Bytes.
const MAX_COMPILED: usize = 1 << 20;

/// Compiles the regular expression that the option `name` gives at `at`. Log lines are bytes: `.`
/// is any byte, `\w` and `\d` are ASCII, and `(?u)` turns Unicode on.
///
/// # Errors
/// What is wrong, pointing at the place in the expression.
pub(crate) fn compile(name: &str, pattern: &str, at: &Location) -> Result<Regex, Problem> {
    RegexBuilder::new(pattern).size_limit(MAX_COMPILED).unicode(false).build().map_err(|e| {
        let title = format!("`{name}` is not a regular expression");
        let problem = match regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern) {
            Err(regex_syntax::Error::Parse(e)) => Problem::new(title).at(&inside(at, pattern, e.span()), e.kind().to_string()),
            Err(regex_syntax::Error::Translate(e)) => Problem::new(title).at(&inside(at, pattern, e.span()), e.kind().to_string()),
            _ => Problem::new(title).at(at, e.to_string()),
        };
        problem.help("expected the syntax of docs.rs/regex; a backslash takes a character's special meaning away")
    })
}

fn inside(at: &Location, pattern: &str, span: &regex_syntax::ast::Span) -> Location {
    at.within(span.start.offset..span.end.offset.max(span.start.offset + 1), pattern)
}
