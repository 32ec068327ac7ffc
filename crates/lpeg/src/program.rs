//! A compiled pattern.

use std::rc::Rc;

use crate::{Capture, Charset};

/// One instruction; addresses are indices of instructions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Op {
    /// So many bytes.
    Any(u32),
    Char(u8),
    Set(u16),
    Literal(u32),
    Utf8(u32),
    /// As many bytes of the set as there are.
    Span(u16),
    /// Up to this byte or the end.
    SpanTo(u8),
    /// Up to this literal or the end.
    Until(u32),
    /// All the rest.
    Rest,
    /// Go on at the address unless the next byte is this one.
    TestChar(u8, u32),
    TestSet(u16, u32),
    TestAny(u32),
    /// Remember the address for a failure.
    Choice(u32),
    /// Forget the last one remembered, and go to the address.
    Commit(u32),
    /// Remember this place for it instead, and go to the address.
    PartialCommit(u32),
    /// Go back to where it was remembered, and to the address.
    BackCommit(u32),
    Fail,
    /// Forget the last one remembered, and fail.
    FailTwice,
    Jump(u32),
    Call(u32),
    Return,
    End,
    /// Step back so many bytes.
    Behind(u32),
    Open(u32),
    Close,
    /// A capture of the last so many bytes, with nothing inside.
    Full(u16, u32),
    /// Close a match-time capture and call its function.
    Runtime,
}

/// A compiled pattern: instructions and what they refer to.
#[derive(Debug)]
pub struct Program {
    pub(crate) ops: Box<[Op]>,
    pub(crate) sets: Box<[Charset]>,
    pub(crate) literals: Box<[Rc<[u8]>]>,
    pub(crate) ranges: Box<[(u32, u32)]>,
    pub(crate) captures: Box<[Capture]>,
}

impl Program {
    /// Its memory.
    pub fn bytes(&self) -> usize {
        let lists = size_of_val(&*self.ops) + size_of_val(&*self.sets) + size_of_val(&*self.literals) + size_of_val(&*self.captures);
        let texts: usize = self.literals.iter().map(|text| text.len() + 16).sum();
        lists + texts + size_of_val(&*self.ranges) + size_of::<Program>() + 2 * size_of::<usize>()
    }

    /// Number of instructions.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// There is an instruction at least: the last.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_instruction_is_eight_bytes() {
        assert_eq!(size_of::<super::Op>(), 8);
    }
}
