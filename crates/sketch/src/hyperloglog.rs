//! Counts distinct items.
//!
//! HyperLogLog (Flajolet, Fusy, Gandouet, Meunier 2007) with 2¹⁴ registers of six bits, packed as
//! Redis packs its dense form, and a 64-bit hash. The count is Ertl's improved estimator ("New
//! cardinality estimation algorithms for HyperLogLog sketches", 2017), which needs neither a table
//! of corrections nor a switch to linear counting. Standard error 1.04 ⁄ √2¹⁴ = 0.81 %.

use crate::Sketch;
use crate::hash::hash;
use crate::saved::{Reader, Writer};

const PRECISION: u32 = 14;
const REGISTERS: usize = 1 << PRECISION;
/// Highest value of a register: the hash bits that are left, and one.
const HIGHEST: usize = 64 - PRECISION as usize + 1;
const BYTES: usize = REGISTERS * 6 / 8;
const VERSION: u8 = 1;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HyperLogLog {
    /// Four registers in three bytes, the first in the lowest bits. Read in pairs of bytes: one more.
    packed: Vec<u8>,
}

impl Default for HyperLogLog {
    fn default() -> Self {
        HyperLogLog { packed: vec![0; BYTES + 1] }
    }
}

impl HyperLogLog {
    /// Whether the item changed anything, and so perhaps the count.
    pub fn add(&mut self, item: &[u8]) -> bool {
        let hash = hash(item);
        let register = (hash & (REGISTERS as u64 - 1)) as usize;
        let rank = (((hash >> PRECISION) | 1 << (64 - PRECISION)).trailing_zeros() + 1) as u8;
        let grows = rank > self.get(register);
        if grows {
            self.set(register, rank);
        }
        grows
    }

    /// The estimate of how many distinct items were added.
    pub fn count(&self) -> u64 {
        let mut histogram = [0_u32; HIGHEST + 1];
        for register in 0..REGISTERS {
            histogram[usize::from(self.get(register)).min(HIGHEST)] += 1;
        }
        let m = REGISTERS as f64;
        let mut z = m * tau((m - f64::from(histogram[HIGHEST])) / m);
        for &n in histogram[1..HIGHEST].iter().rev() {
            z = 0.5 * (z + f64::from(n));
        }
        z += m * sigma(f64::from(histogram[0]) / m);
        (m * m / (2.0 * std::f64::consts::LN_2 * z)).round() as u64
    }

    /// Adds all that the other has counted.
    pub fn merge(&mut self, other: &HyperLogLog) {
        for register in 0..REGISTERS {
            let rank = other.get(register);
            if rank > self.get(register) {
                self.set(register, rank);
            }
        }
    }

    fn get(&self, register: usize) -> u8 {
        let (byte, shift) = (register * 6 / 8, register * 6 % 8);
        let pair = u16::from_le_bytes([self.packed[byte], self.packed[byte + 1]]);
        (pair >> shift) as u8 & 63
    }

    fn set(&mut self, register: usize, rank: u8) {
        let (byte, shift) = (register * 6 / 8, register * 6 % 8);
        let pair = u16::from_le_bytes([self.packed[byte], self.packed[byte + 1]]);
        let pair = (pair & !(63 << shift)) | u16::from(rank & 63) << shift;
        [self.packed[byte], self.packed[byte + 1]] = pair.to_le_bytes();
    }

    pub fn clear(&mut self) {
        self.packed.fill(0);
    }
}

impl Sketch for HyperLogLog {
    fn bytes(&self) -> usize {
        self.packed.capacity()
    }

    fn save(&self, into: &mut Vec<u8>) {
        Writer::new(into, VERSION).bytes(&self.packed[..BYTES]);
    }

    fn restore(saved: &[u8]) -> Option<HyperLogLog> {
        let mut reader = Reader::new(saved, VERSION)?;
        let mut restored = HyperLogLog::default();
        restored.packed[..BYTES].copy_from_slice(reader.bytes(BYTES)?);
        reader.end()?;
        (0..REGISTERS).all(|r| usize::from(restored.get(r)) <= HIGHEST).then_some(restored)
    }
}

/// What registers that are still 0 contribute: x + Σ x^(2^k)·2^(k−1).
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// What registers at their highest value contribute.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(range: std::ops::Range<u64>) -> HyperLogLog {
        let mut hll = HyperLogLog::default();
        for i in range {
            hll.add(&i.to_le_bytes());
        }
        hll
    }

    #[test]
    fn small_counts_are_exact() {
        let mut hll = HyperLogLog::default();
        assert_eq!(hll.count(), 0);
        assert!(hll.add(b"one") && hll.add(b"two"));
        assert!(!hll.add(b"one"));
        assert_eq!(hll.count(), 2);
        hll.clear();
        assert_eq!(hll, HyperLogLog::default());
    }

    #[test]
    fn full_registers_count_as_the_most_there_can_be() {
        let mut hll = HyperLogLog::default();
        (0..REGISTERS).for_each(|r| hll.set(r, HIGHEST as u8));
        assert!(hll.count() > 1 << 60);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Five standard errors: once in two million.
        #[test]
        fn counts_within_the_error(n in 1_u64..200_000, start in any::<u32>()) {
            let start = u64::from(start) << 20;
            let count = of(start..start + n).count() as f64;
            prop_assert!((count - n as f64).abs() <= 1.0 + 5.0 * 0.0081 * n as f64, "{count} for {n}");
        }

        #[test]
        fn a_merge_is_the_sketch_of_both(a in 0_u64..3000, b in 0_u64..3000, common in 0_u64..3000) {
            let mut left = of(0..a + common);
            left.merge(&of(a..a + common + b));
            prop_assert_eq!(left, of(0..a + common + b));
        }

        #[test]
        fn comes_back(n in 0_u64..5000, cut in 0_usize..BYTES) {
            let hll = of(0..n);
            let mut saved = Vec::new();
            hll.save(&mut saved);
            prop_assert_eq!(HyperLogLog::restore(&saved), Some(hll));
            prop_assert_eq!(HyperLogLog::restore(&saved[..cut]), None);
            saved.push(0);
            prop_assert_eq!(HyperLogLog::restore(&saved), None);
        }
    }
}
