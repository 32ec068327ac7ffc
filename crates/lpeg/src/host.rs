//! What the machine asks of its surroundings: a stack of values, calls, and leave to go on.

use crate::{Constant, Error, Key, ValueId};

/// A stack of values in the host's language, and the functions kept there. Indices count from the bottom of this match's
/// stack, from 0. Whatever needs memory may fail.
pub trait Host {
    type Error: From<Error>;

    /// Called every [`crate::STEPS_PER_TICK`] steps; an error ends the match.
    fn tick(&mut self) -> Result<(), Self::Error>;

    /// Called before the machine takes this much memory; an error ends the match.
    fn room(&mut self, bytes: usize) -> Result<(), Self::Error>;

    /// Values on the stack.
    fn len(&self) -> usize;
    /// Whether the stack is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Drops the values from `len` on.
    fn truncate(&mut self, len: usize);
    /// Removes `count` values from `from` on; those above move down.
    fn remove(&mut self, from: usize, count: usize);
    /// Pushes a copy of the value at `index`.
    fn copy(&mut self, index: usize) -> Result<(), Self::Error>;
    /// Pops the top value and stores it at `index`.
    fn replace(&mut self, index: usize);

    fn push_text(&mut self, text: &[u8]) -> Result<(), Self::Error>;
    /// Pushes the whole subject.
    fn push_subject(&mut self) -> Result<(), Self::Error>;
    fn push_integer(&mut self, n: i64) -> Result<(), Self::Error>;
    fn push_constant(&mut self, constant: &Constant) -> Result<(), Self::Error>;
    /// Pushes extra argument `n` of the match, from 1; false when there is none.
    fn push_argument(&mut self, n: u32) -> Result<bool, Self::Error>;

    /// Calls the function at `base` with the values above it; the results take their place.
    fn call(&mut self, base: usize) -> Result<(), Self::Error>;
    /// Pops a key; pushes `table[key]` and says true, unless that is nil.
    fn query(&mut self, table: ValueId) -> Result<bool, Self::Error>;

    /// Pushes a new table.
    fn push_table(&mut self) -> Result<(), Self::Error>;
    /// Pops the top value into `table[n]`, the table being at index `table`.
    fn set_item(&mut self, table: usize, n: i64) -> Result<(), Self::Error>;
    /// Pops the top value into `table[key]`.
    fn set_field(&mut self, table: usize, key: &Key) -> Result<(), Self::Error>;

    /// Appends the value at `index` to `text` when it is a string or a number, otherwise gives the name of its type.
    fn append_text(&mut self, index: usize, text: &mut Vec<u8>) -> Result<(), &'static str>;
    /// What the value at `index` says as the first result of a match-time capture.
    fn verdict(&mut self, index: usize) -> Verdict;
}

/// The first result of a match-time capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// nil, false, or nothing.
    Fail,
    /// true: go on from here.
    Stay,
    /// A number: go on from this position, counted from 1. Anything else is position 0, which is never valid.
    Position(i64),
}

/// A host without values, for those who only want to know whether and where a pattern matches.
pub(crate) struct Nobody(pub usize);

impl Host for Nobody {
    type Error = Error;

    fn tick(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn room(&mut self, _bytes: usize) -> Result<(), Error> {
        Ok(())
    }

    fn len(&self) -> usize {
        self.0
    }

    fn truncate(&mut self, len: usize) {
        self.0 = len;
    }

    fn remove(&mut self, _from: usize, count: usize) {
        self.0 -= count;
    }

    fn copy(&mut self, _index: usize) -> Result<(), Error> {
        self.0 += 1;
        Ok(())
    }

    fn replace(&mut self, _index: usize) {
        self.0 -= 1;
    }

    fn push_text(&mut self, _text: &[u8]) -> Result<(), Error> {
        self.copy(0)
    }

    fn push_subject(&mut self) -> Result<(), Error> {
        self.copy(0)
    }

    fn push_integer(&mut self, _n: i64) -> Result<(), Error> {
        self.copy(0)
    }

    fn push_constant(&mut self, _constant: &Constant) -> Result<(), Error> {
        self.copy(0)
    }

    fn push_argument(&mut self, _n: u32) -> Result<bool, Error> {
        self.copy(0).map(|()| true)
    }

    fn call(&mut self, base: usize) -> Result<(), Error> {
        self.0 = base;
        Ok(())
    }

    fn query(&mut self, _table: ValueId) -> Result<bool, Error> {
        Ok(true)
    }

    fn push_table(&mut self) -> Result<(), Error> {
        self.copy(0)
    }

    fn set_item(&mut self, _table: usize, _n: i64) -> Result<(), Error> {
        self.0 -= 1;
        Ok(())
    }

    fn set_field(&mut self, _table: usize, _key: &Key) -> Result<(), Error> {
        self.0 -= 1;
        Ok(())
    }

    fn append_text(&mut self, _index: usize, _text: &mut Vec<u8>) -> Result<(), &'static str> {
        Ok(())
    }

    fn verdict(&mut self, _index: usize) -> Verdict {
        Verdict::Fail
    }
}
