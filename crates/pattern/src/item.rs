use crate::class::{Bytes, class, set_has};
use crate::fault::Fault;

/// What one byte of the subject is held against.
#[derive(Clone, Copy)]
pub(crate) enum Item<'a> {
    Any,
    Byte(u8),
    Class(&'static Bytes),
    Set(&'a [u8]),
    ReadSet(Bytes),
}

impl<'a> Item<'a> {
    /// The item of the pattern from `p` to `end`.
    #[inline]
    pub fn new(pattern: &'a [u8], p: usize, end: usize) -> Item<'a> {
        match pattern[p] {
            b'.' => Item::Any,
            b'%' => class(pattern[p + 1]).map_or(Item::Byte(pattern[p + 1]), Item::Class),
            b'[' => Item::Set(&pattern[p + 1..end - 1]),
            b => Item::Byte(b),
        }
    }

    #[inline]
    pub fn has(&self, b: u8) -> bool {
        match self {
            Item::Any => true,
            Item::Byte(own) => *own == b,
            Item::Class(class) => class.has(b),
            Item::Set(set) => set_has(set, b),
            Item::ReadSet(set) => set.has(b),
        }
    }

    /// Made ready to be held against many bytes.
    #[inline]
    pub fn ready(self) -> Self {
        if let Item::Set(set) = self { Item::ReadSet(Bytes::of_set(set)) } else { self }
    }

    /// How many bytes at the beginning of the text match.
    #[inline]
    pub fn run(&self, text: &[u8]) -> usize {
        let end = match self {
            Item::Any => None,
            Item::Byte(own) => text.iter().position(|b| b != own),
            Item::Class(class) => text.iter().position(|&b| !class.has(b)),
            Item::ReadSet(set) => text.iter().position(|&b| !set.has(b)),
            Item::Set(set) => text.iter().position(|&b| !set_has(set, b)),
        };
        end.unwrap_or(text.len())
    }
}

/// The end of the item that begins at `p`.
#[inline]
pub(crate) fn end(pattern: &[u8], p: usize) -> Result<usize, Fault> {
    match pattern[p] {
        b'%' if p + 1 < pattern.len() => Ok(p + 2),
        b'%' => Err(Fault::EndsWithPercent),
        b'[' => set_end(pattern, p + 1),
        _ => Ok(p + 1),
    }
}

#[inline]
fn set_end(pattern: &[u8], mut p: usize) -> Result<usize, Fault> {
    if pattern.get(p) == Some(&b'^') {
        p += 1;
    }
    // A bracket that comes first is one of the set.
    loop {
        p += if *pattern.get(p).ok_or(Fault::OpenSet)? == b'%' { 2 } else { 1 };
        if pattern.get(p) == Some(&b']') {
            return Ok(p + 1);
        }
    }
}
