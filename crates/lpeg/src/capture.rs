//! What a pattern captures: descriptions, and the values they name.

use std::{fmt, rc::Rc};

/// A value of the host that the crate only hands back: a table, a function. The host gives every value a number of its
/// own, so that patterns made from others need no renumbering.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ValueId(pub u64);

/// The name of a rule or of a group.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Key {
    Text(Rc<[u8]>),
    Integer(i64),
    /// The bits of a float.
    Number(u64),
    Boolean(bool),
}

impl From<&str> for Key {
    fn from(name: &str) -> Key {
        Key::Text(name.as_bytes().into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Text(text) => f.write_str(&String::from_utf8_lossy(text)),
            Key::Integer(n) => write!(f, "{n}"),
            Key::Number(bits) => write!(f, "{}", f64::from_bits(*bits)),
            Key::Boolean(b) => write!(f, "{b}"),
        }
    }
}

/// A constant that a pattern produces (`lpeg.Cc`).
#[derive(Clone, PartialEq, Debug)]
pub enum Constant {
    Nil,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(Rc<[u8]>),
    Value(ValueId),
}

/// One capture of a pattern; the comment names LPeg's constructor.
#[derive(Clone, PartialEq, Debug)]
pub enum Capture {
    /// `C(p)`: the text matched, then the values of `p`.
    Simple,
    /// `Cp()`: the position, from 1.
    Position,
    /// `Cc(…)`
    Constants(Box<[Constant]>),
    /// `Carg(n)`, from 1.
    Argument(u32),
    /// `Cb(name)`
    Back(Key),
    /// `Cg(p [, name])`
    Group(Option<Key>),
    /// `Ct(p)`
    Table,
    /// `Cs(p)`
    Substitute,
    /// `p / "text with %1"`
    Format(Rc<[u8]>),
    /// `p / n`
    Select(u32),
    /// `p / table`
    Query(ValueId),
    /// `p / function`
    Function(ValueId),
    /// `Cf(p, f)`
    Fold(ValueId),
    /// `p % f`
    Accumulate(ValueId),
    /// `Cmt(p, f)`: called while matching.
    Runtime(ValueId),
}

impl Capture {
    /// Bytes held outside the value itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Capture::Constants(list) => size_of_val(&**list) + list.iter().map(Constant::heap_bytes).sum::<usize>(),
            Capture::Back(Key::Text(text)) | Capture::Group(Some(Key::Text(text))) | Capture::Format(text) => text.len() + 16,
            _ => 0,
        }
    }
}

impl Constant {
    fn heap_bytes(&self) -> usize {
        if let Constant::Text(text) = self { text.len() + 16 } else { 0 }
    }
}
