//! Was it there before?
//!
//! A Bloom filter (Bloom 1970) of m = −n ln p ⁄ ln² 2 bits and k = m⁄n ln 2 probes, which are made of
//! two hashes (Kirsch, Mitzenmacher 2006). What was added is always found; with n items in it,
//! something else is found with probability p, and more often when there are more.

use crate::Sketch;
use crate::hash::{below, hash, mix};
use crate::saved::{Reader, Writer};

const VERSION: u8 = 1;

#[derive(Clone, PartialEq, Debug)]
pub struct Bloom {
    items: u64,
    probability: f64,
    probes: u32,
    count: u64,
    words: Vec<u64>,
}

impl Bloom {
    /// Bytes a filter for so many items takes; nothing unless `items` > 1 and 0 < `probability` < 1.
    pub fn bytes_for(items: u64, probability: f64) -> Option<usize> {
        if items < 2 || !(probability > 0.0 && probability < 1.0) {
            return None;
        }
        let bits = -(items as f64) * probability.ln() / std::f64::consts::LN_2.powi(2);
        let words = (bits / 64.0).ceil().max(1.0);
        (words < 2_f64.powi(48)).then(|| words as usize * 8)
    }

    /// A filter for so many items with this probability of false positives. Takes [`Bloom::bytes_for`].
    pub fn new(items: u64, probability: f64) -> Option<Bloom> {
        let words = Bloom::bytes_for(items, probability)? / 8;
        let probes = (-probability.log2()).round().clamp(1.0, 64.0) as u32;
        Some(Bloom { items, probability, probes, count: 0, words: vec![0; words] })
    }

    /// True if it was not there before.
    pub fn add(&mut self, item: &[u8]) -> bool {
        let mut added = false;
        for bit in probes(item, self.probes, self.words.len()) {
            let word = &mut self.words[(bit / 64) as usize];
            added |= *word & (1 << (bit % 64)) == 0;
            *word |= 1 << (bit % 64);
        }
        self.count += u64::from(added);
        added
    }

    pub fn contains(&self, item: &[u8]) -> bool {
        probes(item, self.probes, self.words.len()).all(|bit| self.words[(bit / 64) as usize] & (1 << (bit % 64)) != 0)
    }

    /// How many were added that were not there before.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn clear(&mut self) {
        self.words.fill(0);
        self.count = 0;
    }
}

impl Sketch for Bloom {
    fn bytes(&self) -> usize {
        self.words.capacity() * 8
    }

    fn save(&self, into: &mut Vec<u8>) {
        let mut writer = Writer::new(into, VERSION);
        writer.u64(self.items);
        writer.f64(self.probability);
        writer.u64(self.count);
        for &word in &self.words {
            writer.u64(word);
        }
    }

    fn restore(saved: &[u8]) -> Option<Bloom> {
        let mut reader = Reader::new(saved, VERSION)?;
        let (items, probability, count) = (reader.u64()?, reader.f64()?, reader.u64()?);
        if Bloom::bytes_for(items, probability)? != reader.rest() {
            return None;
        }
        let mut restored = Bloom::new(items, probability)?;
        restored.count = count;
        for word in &mut restored.words {
            *word = reader.u64()?;
        }
        reader.end()?;
        Some(restored)
    }
}

fn probes(item: &[u8], probes: u32, words: usize) -> impl Iterator<Item = u64> {
    let first = hash(item);
    let step = mix(first) | 1;
    let bits = words as u64 * 64;
    (0..probes).map(move |i| below(first.wrapping_add(step.wrapping_mul(u64::from(i))), bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn says_what_it_takes() {
        assert_eq!(Bloom::bytes_for(1000, 0.01).map(|b| b * 8 / 1000), Some(9)); // 9.59 bits an item
        for (items, probability) in [(1, 0.1), (2, 0.0), (2, 1.0), (2, f64::NAN), (u64::MAX, 1e-300)] {
            assert!(Bloom::new(items, probability).is_none(), "{items} {probability}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn finds_all_and_little_else(items in 100_u64..4000, exponent in 1_i32..4, salt in any::<u64>()) {
            let probability = 10_f64.powi(-exponent);
            let mut bloom = Bloom::new(items, probability).unwrap();
            let name = |i: u64| (i.wrapping_add(salt)).to_le_bytes();
            let added = (0..items).filter(|&i| bloom.add(&name(i))).count() as u64;
            prop_assert_eq!(added, bloom.count());
            prop_assert!(added as f64 >= items as f64 * (1.0 - 2.0 * probability) - 5.0);
            prop_assert!((0..items).all(|i| bloom.contains(&name(i)) && !bloom.add(&name(i))));
            let wrong = (items..items + 20_000).filter(|&i| bloom.contains(&name(i))).count() as f64;
            // Poisson: six standard deviations, and the few percent by which rounding the probes misses p.
            let expected = 20_000.0 * probability * 1.15;
            prop_assert!(wrong <= expected + 6.0 * expected.sqrt() + 3.0, "{wrong} of 20000 at {probability}");
            bloom.clear();
            prop_assert!(!bloom.contains(&name(0)) && bloom.count() == 0);
        }

        #[test]
        fn comes_back(items in 2_u64..500, n in 0_u32..500, cut in 0_usize..100) {
            let mut bloom = Bloom::new(items, 0.01).unwrap();
            (0..n).for_each(|i| { bloom.add(&i.to_le_bytes()); });
            let mut saved = Vec::new();
            bloom.save(&mut saved);
            prop_assert_eq!(Bloom::restore(&saved), Some(bloom));
            prop_assert_eq!(Bloom::restore(&saved[..cut.min(saved.len() - 1)]), None);
        }

        #[test]
        fn garbage_is_refused_or_small(garbage in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(bloom) = Bloom::restore(&garbage) {
                prop_assert!(bloom.bytes() <= garbage.len());
            }
        }
    }
}
