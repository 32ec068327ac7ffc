//! Expressions that select messages, and an index that asks many of them at once.
//!
//! The language is Heka's, with what Hindsight's users have on top:
//!
//! ```text
//! expression := all { '||' all }            all  := term { '&&' term }
//! term       := '(' expression ')' | '!' '(' expression ')' | 'TRUE' | 'FALSE' | test
//! test       := TEXT compare string         TEXT   := Uuid Type Logger Payload EnvVersion Hostname
//!             | TEXT match search           NUMBER := Timestamp Severity Pid
//!             | NUMBER compare number       compare := == != < <= > >=
//!             | Timestamp compare string    match   := =~ !~          (string: an RFC 3339 time)
//!             | header (== | !=) NIL        (any header but Uuid and Timestamp, which are always set)
//!             | FIELD compare (string | number) | FIELD match search
//!             | FIELD (== | !=) (TRUE | FALSE | NIL)
//! search     := regex | string [ '%' ]      (string: a Lua pattern; with '%' behind it plain text)
//! FIELD      := 'Fields[' name ']' [ '[' field ']' [ '[' array ']' ] ]     (indices count from 0)
//! ```
//!
//! * White space, newlines included, may stand between any two tokens.
//! * A string is `'…'` or `"…"`. A backslash escapes the string's own quote; before anything else it
//!   stands for itself, so that `'\n'` is two characters and `'\\'` two backslashes.
//! * A regex is `/…/`, with `\/` for a slash, in the syntax of the `regex` crate, not anchored.
//!   Text that is not UTF-8 can be searched too.
//! * A string behind `=~` or `!~` is a Lua pattern, as in Hindsight: `'^%d+ms$'`. With `%` behind it,
//!   or with none of `^$*+?.[%-` in it, it is found as it stands. Captures mean nothing. A pattern that is malformed does not
//!   compile (in Hindsight it never matches). One that takes more than [`PATTERN_STEPS`] on some
//!   text counts as no match there (so that `!~` holds), and [`Matcher::given_up`] counts it.
//! * A number may have a sign, a fraction and an exponent: `-1`, `.5`, `07`, `1e9`.
//!
//! What holds when:
//!
//! * An unset text header compares as `''`, an unset `Pid` as 0, an unset `Severity` as 7.
//! * Text compares byte by byte; whole numbers compare exactly, so timestamps do to the nanosecond.
//! * A field that is missing, or has no value at those indices, fails **every** test but `== NIL`:
//!   to include messages without `x`, write `Fields[x] == NIL || Fields[x] != 'a'`, or `!(Fields[x] == 'a')`.
//! * A field of another type than the literal fails every test too: a number is not `!= 'a'`.
//!
//! ```
//! use matcher::Matcher;
//! use message::BatchBuilder;
//!
//! let matcher = Matcher::parse("Type == 'nginx.access' && Fields[status] >= 500").unwrap();
//! let mut builder = BatchBuilder::default();
//! let mut m = builder.add();
//! m.set_type(b"nginx.access");
//! m.add_integer(b"status", 502);
//! assert!(matcher.matches(builder.finish().get(0)));
//!
//! let error = Matcher::parse("type == 'nginx.access'").unwrap_err();
//! assert_eq!(error.help.as_deref(), Some("did you mean `Type`?"));
//! ```
//!
//! A router holds one matcher a consumer and asks them all about every message. [`Index`] does that
//! at a cost that depends on how many of them match, hardly on how many there are.

mod among;
mod error;
mod expr;
mod index;
mod key;
mod lexer;
mod number;
mod option;
mod parser;
mod parts;
mod search;
mod selected;
mod show;
mod subject;
mod suggest;
mod table;
mod time;

pub use error::SyntaxError;
pub use index::Index;
pub use option::condition;
pub use parts::{Part, Parts, number, write_text};
pub use search::PATTERN_STEPS;
pub use selected::Selected;

use expr::Expr;
use message::MessageRef;
use std::fmt;
use std::sync::Arc;

/// Bytes an expression may have.
pub const MAX_LENGTH: usize = 128 * 1024;
/// How deep parentheses may be nested.
pub const MAX_DEPTH: usize = 64;
/// Tests an expression may have.
pub const MAX_TESTS: usize = 1024;

/// A compiled expression. Clones share it.
#[derive(Clone)]
pub struct Matcher(Arc<Compiled>);

struct Compiled {
    source: Box<str>,
    expr: Expr,
}

impl Matcher {
    /// Compiles an expression. Its length, nesting and number of tests are bounded ([`MAX_LENGTH`],
    /// [`MAX_DEPTH`], [`MAX_TESTS`]), and so is the compiled size of each regex.
    pub fn parse(text: &str) -> Result<Matcher, SyntaxError> {
        let expr = parser::parse(text)?.fold();
        Ok(Matcher(Arc::new(Compiled { source: text.into(), expr })))
    }

    /// Whether the message is selected. Does not allocate.
    #[inline]
    pub fn matches(&self, message: MessageRef<'_>) -> bool {
        self.0.expr.holds(message)
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether every message matches, whatever is in it.
    pub fn is_true(&self) -> bool {
        matches!(self.0.expr, Expr::Const(true))
    }

    /// Whether the expression asks for messages of this type by name.
    ///
    /// It does if it has a test `Type == 'type_'`, or a `Type =~ /…/` that matches `type_` and does
    /// not match just anything, like `/./`; tests that a `!` turns around do not count, negative
    /// tests that it turns around do. What else must hold is not considered.
    ///
    /// Messages about the router itself, such as `nilometer.reject`, are meant only for those who
    /// ask for them: a consumer of everything, `TRUE`, must not find them among its data.
    pub fn names_type(&self, type_: &str) -> bool {
        self.0.expr.names_type(type_, true)
    }

    /// How often a Lua pattern of the expression took more than [`PATTERN_STEPS`] and was given up.
    pub fn given_up(&self) -> u64 {
        self.0.expr.given_up()
    }

    pub(crate) fn expr(&self) -> &Expr {
        &self.0.expr
    }
}

/// The expression as it was understood: on one line, in one spelling, without needless parentheses
/// and constants. Parses to the same matcher.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expr.fmt(f)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matcher({})", self.0.expr)
    }
}

impl std::str::FromStr for Matcher {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Matcher, SyntaxError> {
        Matcher::parse(text)
    }
}
