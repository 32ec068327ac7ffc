//! Sets of bytes.

use std::ops::RangeInclusive;

/// A set of bytes, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Charset([u64; 4]);

impl Charset {
    pub const EMPTY: Charset = Charset([0; 4]);
    pub const FULL: Charset = Charset([u64::MAX; 4]);

    /// The set of the given bytes (`lpeg.S`).
    pub fn of(bytes: &[u8]) -> Charset {
        let mut set = Charset::EMPTY;
        bytes.iter().for_each(|byte| set.insert(*byte));
        set
    }

    /// The set of a range, empty when it runs backwards (`lpeg.R`).
    pub fn range(bytes: RangeInclusive<u8>) -> Charset {
        let mut set = Charset::EMPTY;
        bytes.for_each(|byte| set.insert(byte));
        set
    }

    /// The set of the bytes for which `keep` holds.
    pub fn filter(keep: impl Fn(u8) -> bool) -> Charset {
        let mut set = Charset::EMPTY;
        (0..=255).filter(|byte| keep(*byte)).for_each(|byte| set.insert(byte));
        set
    }

    pub fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    #[inline]
    pub fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 != 0
    }

    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    pub fn is_empty(&self) -> bool {
        *self == Charset::EMPTY
    }

    pub fn is_full(&self) -> bool {
        *self == Charset::FULL
    }

    /// The only byte of the set, if it has exactly one.
    pub fn single(&self) -> Option<u8> {
        if self.len() != 1 {
            return None;
        }
        (0..=255).find(|byte| self.contains(*byte))
    }

    pub fn union(&self, other: &Charset) -> Charset {
        self.zip(other, |a, b| a | b)
    }

    pub fn intersection(&self, other: &Charset) -> Charset {
        self.zip(other, |a, b| a & b)
    }

    pub fn difference(&self, other: &Charset) -> Charset {
        self.zip(other, |a, b| a & !b)
    }

    pub fn complement(&self) -> Charset {
        Charset(self.0.map(|word| !word))
    }

    pub fn is_disjoint(&self, other: &Charset) -> bool {
        self.intersection(other).is_empty()
    }

    fn zip(&self, other: &Charset, f: impl Fn(u64, u64) -> u64) -> Charset {
        Charset(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_algebra() {
        let digits = Charset::range(b'0'..=b'9');
        let hex = digits.union(&Charset::of(b"abcdef"));
        assert_eq!(hex.len(), 16);
        assert_eq!(hex.difference(&digits), Charset::range(b'a'..=b'f'));
        assert_eq!(hex.intersection(&digits), digits);
        assert!(digits.is_disjoint(&digits.complement()));
        assert!(digits.union(&digits.complement()).is_full());
        assert!(Charset::range(RangeInclusive::new(b'z', b'a')).is_empty());
        assert_eq!(Charset::of(b"\xff").single(), Some(255));
        assert_eq!(hex.single(), None);
        assert_eq!(Charset::filter(|b| b.is_ascii_digit()), digits);
    }
}
