use std::fmt;

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    Stopped,
    TooComplex,
    TooManyCaptures,
    EndsWithPercent,
    OpenSet,
    NoBalance,
    NoFrontier,
    NothingToClose,
    OpenCapture,
    /// A capture that does not exist (from 1; 0 when `%0` is asked for).
    NoCapture(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Stopped => "stopped",
            Fault::TooComplex => "pattern too complex",
            Fault::TooManyCaptures => "too many captures",
            Fault::EndsWithPercent => "malformed pattern (ends with '%')",
            Fault::OpenSet => "malformed pattern (missing ']')",
            Fault::NoBalance => "malformed pattern (missing arguments to '%b')",
            Fault::NoFrontier => "missing '[' after '%f' in pattern",
            Fault::NothingToClose => "invalid pattern capture",
            Fault::OpenCapture => "unfinished capture",
            Fault::NoCapture(n) => return write!(f, "invalid capture index %{n}"),
        })
    }
}

/// A pattern that cannot be matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invalid {
    /// The byte of the pattern, from 0, at which the part begins that is wrong.
    pub at: usize,
    pub fault: Fault,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for Fault {}
impl std::error::Error for Invalid {}
