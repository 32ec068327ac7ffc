use std::ops::Range;

use crate::time::Layout;

/// A part of a log format.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Piece {
    /// Bytes that stand on every line.
    Literal(Vec<u8>),
    Var(Var),
}

/// A place of a log format where a value stands.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Var {
    /// The field it becomes.
    pub name: String,
    pub value: ValueKind,
    /// Where the format has it, in bytes.
    pub at: Range<usize>,
}

/// What a value is read as. A `-` or nothing in the place of a number means there is none.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum ValueKind {
    Text,
    /// An IP address; its version becomes the representation.
    Address,
    /// A whole number in this unit (empty: none); anything else is an error.
    Integer(&'static str),
    /// A number of seconds; anything else is an error.
    Seconds,
    /// A list with commas or colons and spaces, one item for each server that was asked.
    List,
    /// A whole number, a list of them, or whatever a client sent: text unless it is one number.
    MaybeInteger(&'static str),
    /// A number in this unit, or a list of them: text unless it is one number.
    MaybeDouble(&'static str),
    /// The message's Timestamp.
    Time(Layout),
    /// The request line.
    Request,
}

impl ValueKind {
    /// Whether there may be spaces in it, behind a comma or around a colon.
    pub fn is_list(&self) -> bool {
        matches!(self, ValueKind::List | ValueKind::MaybeInteger(_) | ValueKind::MaybeDouble(_))
    }
}

/// What is wrong with a format, and where.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct FormatError {
    pub at: Range<usize>,
    pub label: String,
    pub help: Option<String>,
}

impl FormatError {
    pub fn new(at: Range<usize>, label: impl Into<String>) -> FormatError {
        FormatError { at, label: label.into(), help: None }
    }

    pub fn help(mut self, help: impl Into<String>) -> FormatError {
        self.help = Some(help.into());
        self
    }
}

/// Collects pieces; literals side by side become one.
#[derive(Default)]
pub(super) struct Pieces(pub Vec<Piece>);

impl Pieces {
    pub fn literal(&mut self, bytes: &[u8]) {
        match self.0.last_mut() {
            Some(Piece::Literal(last)) => last.extend_from_slice(bytes),
            _ => self.0.push(Piece::Literal(bytes.to_vec())),
        }
    }

    pub fn var(&mut self, name: impl Into<String>, value: ValueKind, at: Range<usize>) {
        self.0.push(Piece::Var(Var { name: name.into(), value, at }));
    }
}
