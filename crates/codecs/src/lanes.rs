//! Sixteen bytes at a time.
//!
//! Text of logs is cut at bytes that stand close together, where the call to `memchr` costs more
//! than the search. Loops over sixteen bytes that only ask whether there is *any* such byte become
//! three vector instructions; where it is, is then a matter of two words.

use std::hint::select_unpredictable;

/// Bytes that are looked at together.
pub(crate) const WIDTH: usize = 16;

const ONES: u128 = u128::MAX / 0xff;
const HIGH: u128 = ONES << 7;

/// A byte to look for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needle([u8; WIDTH]);

impl Needle {
    pub const fn new(byte: u8) -> Needle {
        Needle([byte; WIDTH])
    }

    /// Where it first stands in `text` at or behind `from`.
    #[inline(always)]
    pub fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let rest = text.get(from..)?;
        let (blocks, tail) = rest.as_chunks::<WIDTH>();
        for (n, block) in blocks.iter().enumerate() {
            if some(block, |n, byte| byte == self.0[n]) {
                return Some(from + n * WIDTH + self.first(block));
            }
        }
        // The last sixteen bytes of the text, without those before the tail.
        let Some(block) = text.last_chunk::<WIDTH>() else {
            return tail.iter().position(|b| *b == self.0[0]).map(|at| from + at);
        };
        let differ = u128::from_le_bytes(*block) ^ u128::from_le_bytes(self.0);
        let before = u128::MAX >> (8 * tail.len());
        let zeros = zeros(differ | before);
        (zeros != 0).then(|| text.len() - WIDTH + zeros.trailing_zeros() as usize / 8)
    }

    /// Where it first stands in `block`, where it does.
    #[inline(always)]
    fn first(&self, block: &[u8; WIDTH]) -> usize {
        let differ = u128::from_le_bytes(*block) ^ u128::from_le_bytes(self.0);
        // Of each half the lowest byte that is zero; those above it may be wrong, for the subtraction borrows.
        let [low, high] = [differ as u64, (differ >> 64) as u64].map(|word| word.wrapping_sub(ONES as u64) & !word & HIGH as u64);
        let at = |word: u64| word.trailing_zeros() as usize / 8;
        select_unpredictable(low != 0, at(low), 8 + at(high))
    }
}

/// Bytes of `word` that are zero, as high bits.
#[inline(always)]
fn zeros(word: u128) -> u128 {
    !(((word & !HIGH) + !HIGH) | word) & HIGH
}

/// Whether `test` holds for any byte; it is given its number, too.
#[inline(always)]
pub(crate) fn some(block: &[u8; WIDTH], test: impl Fn(usize, u8) -> bool) -> bool {
    let mut found = 0;
    for (n, byte) in block.iter().enumerate() {
        found |= if test(n, *byte) { 0xff } else { 0_u8 };
    }
    found != 0
}

/// The eight bytes from `from` on, the first one lowest, if there are so many.
#[inline(always)]
pub(crate) fn word(text: &[u8], from: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*text.get(from..)?.first_chunk()?))
}

/// Bytes that a text may begin with, compared without a call.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Prefix {
    bytes: [[u64; 2]; PREFIX_BLOCKS],
    /// Which bits count; none when there is nothing to compare with.
    mask: [[u64; 2]; PREFIX_BLOCKS],
}

/// A [`Prefix`] has at most so many blocks of sixteen bytes.
const PREFIX_BLOCKS: usize = 3;

impl Prefix {
    /// Of bytes that are too many, or none, nothing begins with the result.
    pub fn new(bytes: &[u8]) -> Prefix {
        let mut prefix = Prefix::default();
        if bytes.len() <= PREFIX_BLOCKS * WIDTH {
            for (n, byte) in bytes.iter().enumerate() {
                let (block, word, shift) = (n / 16, n / 8 % 2, n % 8 * 8);
                prefix.bytes[block][word] |= u64::from(*byte) << shift;
                prefix.mask[block][word] |= 0xff << shift;
            }
        }
        prefix
    }

    /// Whether it stands at `at`, and as many bytes of `text` follow as it could have at most.
    #[inline(always)]
    pub fn begins(&self, text: &[u8], at: usize) -> bool {
        let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<{ PREFIX_BLOCKS * WIDTH }>()) else { return false };
        let mut differ = 0;
        for (n, word) in block.as_chunks::<8>().0.iter().enumerate() {
            differ |= (u64::from_le_bytes(*word) ^ self.bytes[n / 2][n % 2]) & self.mask[n / 2][n % 2];
        }
        differ == 0 && self.mask[0][0] != 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_byte_is_found_wherever_it_is(text in prop::collection::vec(prop_oneof![1 => Just(b'"'), 9 => any::<u8>()], 0..60), from in 0..70usize, byte: u8) {
            for byte in [b'"', byte, byte ^ 1, byte ^ 0x80] {
                let expected = text.iter().enumerate().skip(from).find(|(_, b)| **b == byte).map(|(at, _)| at);
                prop_assert_eq!(Needle::new(byte).find(&text, from), expected);
            }
        }

        #[test]
        fn a_prefix_is_all_of_its_bytes(text in prop::collection::vec(any::<u8>(), 48..90), length in 0..60usize, from in 0..60usize, other in 0..90usize) {
            let Some(bytes) = text.get(from..from + length) else { return Ok(()) };
            let prefix = Prefix::new(bytes);
            let fits = (1..=48).contains(&length) && from + 48 <= text.len();
            prop_assert_eq!(prefix.begins(&text, from), fits);
            let mut changed = text.clone();
            if let Some(byte) = changed.get_mut(other) {
                *byte ^= 1;
                prop_assert_eq!(prefix.begins(&changed, from), fits && !(from..from + length).contains(&other));
            }
        }
    }
}
