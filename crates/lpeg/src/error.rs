//! What can be wrong with a pattern, and what can go wrong in a match.

use std::fmt;

/// An error of building a pattern or of matching with it. Names of rules and groups are given as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// `p^n` where `p` may match nothing: the loop would not end.
    EmptyLoop,
    /// The same, found only when the grammar was closed.
    EmptyLoopInRule(String),
    LeftRecursive(String),
    UndefinedRule(String),
    RuleOutsideGrammar(String),
    NoInitialRule,
    TooManyRules,
    /// Patterns nested deeper than [`crate::MAX_DEPTH`].
    TooDeep,
    /// Patterns with more than [`crate::MAX_SIZE`] parts.
    TooBig,
    BehindNotFixed,
    BehindTooLong,
    BehindCaptures,
    /// `lpeg.utfR` with code points out of range or in the wrong order.
    CodePoints,
    /// The backtrack stack is full; its limit.
    StackOverflow(usize),
    SubjectTooLong,
    TooManyCaptures(usize),
    CapturesTooDeep(usize),
    NoBackReference(String),
    AbsentArgument(u32),
    /// `p / n` where `p` has fewer than `n` captures.
    NoCapture(u32),
    /// `%n` in the text of a string capture that has no such capture.
    CaptureIndex(u32),
    /// `%n` in the text of a string capture whose capture has no values.
    NoValues(u32),
    /// A value inside a string or substitution capture that is neither string nor number.
    NotText {
        what: &'static str,
        found: &'static str,
    },
    NoFoldStart,
    NoPrevious,
    InvalidPosition,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Error::*;
        match self {
            EmptyLoop => f.write_str("loop body may accept empty string"),
            EmptyLoopInRule(rule) => write!(f, "empty loop in rule '{rule}'"),
            LeftRecursive(rule) => write!(f, "rule '{rule}' may be left recursive"),
            UndefinedRule(rule) => write!(f, "rule '{rule}' undefined in given grammar"),
            RuleOutsideGrammar(rule) => write!(f, "rule '{rule}' used outside a grammar"),
            NoInitialRule => f.write_str("grammar has no initial rule"),
            TooManyRules => write!(f, "grammar has too many rules (limit is {})", crate::MAX_RULES),
            TooDeep => write!(f, "pattern nested too deep (limit is {}); use a grammar with rules", crate::MAX_DEPTH),
            TooBig => write!(f, "pattern too big (limit is {} parts); use a grammar with rules", crate::MAX_SIZE),
            BehindNotFixed => f.write_str("pattern may not have fixed length"),
            BehindTooLong => f.write_str("pattern too long to look behind"),
            BehindCaptures => f.write_str("pattern has captures"),
            CodePoints => f.write_str("invalid range of code points (expected 0 <= from <= to <= 0x10FFFF)"),
            StackOverflow(limit) => write!(f, "backtrack stack overflow (current limit is {limit}); see lpeg.setmaxstack"),
            SubjectTooLong => f.write_str("subject too long"),
            TooManyCaptures(limit) => write!(f, "too many captures (limit is {limit})"),
            CapturesTooDeep(limit) => write!(f, "subcapture nesting too deep (limit is {limit})"),
            NoBackReference(name) => write!(f, "back reference '{name}' not found"),
            AbsentArgument(n) => write!(f, "absent extra argument #{n}"),
            NoCapture(n) => write!(f, "no capture '{n}'"),
            CaptureIndex(n) => write!(f, "invalid capture index ({n})"),
            NoValues(n) => write!(f, "no values in capture index {n}"),
            NotText { what, found } => write!(f, "invalid {what} value (a {found})"),
            NoFoldStart => f.write_str("no initial value for fold capture"),
            NoPrevious => f.write_str("no previous value for accumulator capture"),
            InvalidPosition => f.write_str("invalid position returned by match-time capture"),
        }
    }
}

impl std::error::Error for Error {}
