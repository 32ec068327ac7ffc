//! The hash all sketches share. It is part of what they save: changing it means a new version there.

use twox_hash::XxHash3_64;

pub(crate) fn hash(item: &[u8]) -> u64 {
    XxHash3_64::oneshot(item)
}

/// Spreads the bits of a word: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// `x` as a number below `n`, by its high bits (Lemire 2019).
pub(crate) fn below(x: u64, n: u64) -> u64 {
    ((u128::from(x) * u128::from(n)) >> 64) as u64
}
