//! Why a call ended, in words a user can act on.

use std::fmt;
use std::time::Duration;

/// What went wrong in a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum FailureKind {
    /// The script raised an error.
    Error,
    /// `memory_limit`
    Memory,
    /// `cpu_limit`
    Cpu,
    /// `instruction_limit`
    Instructions,
    /// `output_limit`
    Output,
    /// `max_process_inject` or `max_timer_inject`
    Injection,
    /// `state_limit`
    State,
    /// `process_message` returned a positive number: the script itself asks to be ended.
    Fatal,
    /// `process_message` returned something that is not a status.
    BadReturn,
    /// Whoever runs the input asked for its end: no fault of the script.
    Stopped,
}

/// A call that failed. The sandbox can be called again, but its state may be half changed:
/// the supervisor replaces it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub kind: FailureKind,
    /// With script and line in front where known.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// A script that cannot be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadError {
    /// With file and line in front where known.
    pub message: String,
    pub line: Option<usize>,
}

impl LoadError {
    /// A message that names its place as `FILE:LINE: …`.
    pub(crate) fn located(file: &str, message: String) -> LoadError {
        let line = message.strip_prefix(file).and_then(|m| m.strip_prefix(':')).and_then(|m| m.split(':').next()?.parse().ok());
        LoadError { message, line }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LoadError {}

/// What was being called, for messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    Compile,
    Load,
    ProcessMessage,
    TimerEvent,
    Evaluate,
}

impl Entry {
    pub fn name(self) -> &'static str {
        match self {
            Entry::Compile => "compiling",
            Entry::Load => "loading",
            Entry::ProcessMessage => "process_message",
            Entry::TimerEvent => "timer_event",
            Entry::Evaluate => "this line",
        }
    }

    /// The unit in which a user can do less.
    pub fn per(self) -> &'static str {
        match self {
            Entry::Compile => "in one script",
            Entry::Load => "when loading",
            Entry::ProcessMessage => "per message",
            Entry::TimerEvent => "per tick",
            Entry::Evaluate => "in a line",
        }
    }
}

/// A duration as in a message: `100 ms`.
pub(crate) fn span(d: Duration) -> String {
    if d >= Duration::from_millis(1) { format!("{} ms", d.as_millis()) } else { format!("{} µs", d.as_micros()) }
}
