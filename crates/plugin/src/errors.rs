use std::borrow::Cow;
use std::fmt;

/// A record that cannot be used. It is counted and kept as a `nilometer.reject` message; the next
/// record goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reject(pub Cow<'static, str>);

impl Reject {
    /// Says what was found and what was expected.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Reject {
        Reject(reason.into())
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A plugin that cannot go on. The supervisor reports it and restarts it with back-off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fatal(pub String);

impl Fatal {
    /// Says what failed, why, and which option helps.
    pub fn new(reason: impl Into<String>) -> Fatal {
        Fatal(reason.into())
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
