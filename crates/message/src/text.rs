/// A string of a message: offset and length into its batch's raw block or arena.
///
/// The top bit of the offset tells the arena from the raw block, so either holds up to 2 GiB.
/// [`Text::NONE`] is "not set", which is different from empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Text {
    at: u32,
    len: u32,
}

const ARENA: u32 = 1 << 31;

impl Text {
    /// Not set.
    pub const NONE: Text = Text { at: u32::MAX, len: 0 };
    /// Set, and empty.
    pub const EMPTY: Text = Text { at: 0, len: 0 };

    /// A slice of the raw block. Offsets beyond 2 GiB do not occur: builders refuse to grow there.
    pub fn raw(at: usize, len: usize) -> Text {
        debug_assert!(at + len < ARENA as usize);
        Text { at: at as u32, len: len as u32 }
    }

    /// A slice of the arena.
    pub(crate) fn arena(at: usize, len: usize) -> Text {
        debug_assert!(at + len < ARENA as usize - 1);
        Text { at: at as u32 | ARENA, len: len as u32 }
    }

    pub fn is_none(self) -> bool {
        self == Text::NONE
    }

    pub fn len(self) -> usize {
        self.len as usize
    }

    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The `len` bytes from `start` of this text, itself a text of the same batch.
    #[inline]
    pub fn slice(self, start: usize, len: usize) -> Text {
        assert!(start + len <= self.len());
        Text { at: self.at + start as u32, len: len as u32 }
    }

    /// The bytes of a slice of the raw block.
    ///
    /// # Panics
    /// When it is not one.
    #[inline]
    pub fn in_raw(self, raw: &[u8]) -> &[u8] {
        &raw[self.at as usize..self.at as usize + self.len as usize]
    }

    /// Whether it is a slice of the arena, not of the raw block.
    #[inline]
    pub fn in_arena(self) -> bool {
        self.at & ARENA != 0
    }

    /// Where a slice of the raw block begins.
    pub fn start(self) -> usize {
        self.at as usize
    }

    /// The bytes; empty when not set.
    #[inline]
    pub(crate) fn get<'a>(self, raw: &'a [u8], arena: &'a [u8]) -> &'a [u8] {
        if self.len == 0 {
            return b"";
        }
        let (from, at) = if self.at & ARENA == 0 { (raw, self.at) } else { (arena, self.at & !ARENA) };
        &from[at as usize..at as usize + self.len as usize]
    }

    /// Offset, with the bit that tells the arena from the raw block.
    #[inline]
    pub(crate) fn at(self) -> u32 {
        self.at
    }

    /// As [`Text::at`], behind the last byte.
    #[inline]
    pub(crate) fn end(self) -> u32 {
        self.at.wrapping_add(self.len)
    }

    #[inline]
    pub(crate) fn from_parts(at: u32, len: u32) -> Text {
        Text { at, len }
    }

    /// Whether it can be read in blocks of these lengths.
    #[inline]
    pub(crate) fn lies_within(self, raw: usize, arena: usize) -> bool {
        let block = if self.at & ARENA == 0 { raw } else { arena };
        self.len == 0 || u64::from(self.at & !ARENA) + u64::from(self.len) <= block as u64
    }

    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.at) << 32 | u64::from(self.len)
    }

    pub(crate) fn from_bits(bits: u64) -> Text {
        Text { at: (bits >> 32) as u32, len: bits as u32 }
    }
}

impl Default for Text {
    fn default() -> Self {
        Text::NONE
    }
}
