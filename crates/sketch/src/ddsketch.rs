//! Quantiles.
//!
//! DDSketch (Masson, Rim, Lee 2019): counts of values in buckets whose bounds grow by
//! γ = (1 + α) ⁄ (1 − α). A quantile is off by at most α of its value; count, sum, least and greatest
//! are exact. When more than `max_buckets` would be needed, those of the least magnitude are put
//! together: quantiles that fall there lose their bound, the others keep it ([`DdSketch::collapsed`]).

use crate::saved::{Reader, Writer};
use crate::sketch::{NoRoom, Sketch, grow};

/// Most buckets of a sketch, for the values above 0 and again for those below.
const MOST_BUCKETS: usize = 1 << 16;
const VERSION: u8 = 1;

#[derive(Clone, PartialEq, Debug)]
pub struct DdSketch {
    alpha: f64,
    max_buckets: usize,
    above: Buckets,
    below: Buckets,
    /// Values that are 0, or too small to have a logarithm.
    zeros: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl DdSketch {
    /// Relative accuracy 0.0001 ≤ `alpha` ≤ 0.5, and 16 to 65536 buckets for each sign; else nothing.
    /// 2048 buckets at 1 % hold values that differ by a factor of 10¹⁷.
    pub fn new(alpha: f64, max_buckets: usize) -> Option<DdSketch> {
        ((0.0001..=0.5).contains(&alpha) && (16..=MOST_BUCKETS).contains(&max_buckets)).then(|| DdSketch {
            alpha,
            max_buckets,
            above: Buckets::default(),
            below: Buckets::default(),
            zeros: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        })
    }

    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    pub fn max_buckets(&self) -> usize {
        self.max_buckets
    }

    /// Adds a value `n` times; false for one that is not finite.
    pub fn add(&mut self, value: f64, n: u64) -> bool {
        self.try_add(value, n, |_| true).expect("there is room")
    }

    /// As [`DdSketch::add`], but asks whether it may have so many bytes more before it takes them.
    ///
    /// # Errors
    /// It may not: nothing was added.
    pub fn try_add(&mut self, value: f64, n: u64, mut room: impl FnMut(usize) -> bool) -> Result<bool, NoRoom> {
        if !value.is_finite() || n == 0 {
            return Ok(value.is_finite());
        }
        let magnitude = value.abs();
        if magnitude < f64::MIN_POSITIVE {
            self.zeros = self.zeros.saturating_add(n);
        } else {
            let index = (magnitude.ln() / self.ln_gamma()).ceil() as i32;
            let buckets = if value > 0.0 { &mut self.above } else { &mut self.below };
            buckets.reserve(index, index, self.max_buckets, &mut room)?;
            buckets.add(index, n, self.max_buckets);
        }
        self.sum += value * n as f64;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        Ok(true)
    }

    /// The value at rank ⌊q (count − 1)⌋, for 0 ≤ q ≤ 1; nothing when there are none.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if !(0.0..=1.0).contains(&q) || self.count() == 0 {
            return None;
        }
        let mut rank = (q * (self.count() - 1) as f64) as u64;
        let value = if let Some(index) = self.below.at(self.below.total.saturating_sub(1).wrapping_sub(rank)) {
            -self.middle(index)
        } else {
            rank -= self.below.total.min(rank);
            match rank.checked_sub(self.zeros).and_then(|rank| self.above.at(rank)) {
                Some(index) => self.middle(index),
                None => 0.0,
            }
        };
        Some(value.clamp(self.min, self.max))
    }

    pub fn count(&self) -> u64 {
        self.above.total.saturating_add(self.below.total).saturating_add(self.zeros)
    }

    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The least value; nothing when there are none.
    pub fn min(&self) -> Option<f64> {
        (self.count() > 0).then_some(self.min)
    }

    pub fn max(&self) -> Option<f64> {
        (self.count() > 0).then_some(self.max)
    }

    /// Whether low buckets were put together, so that low quantiles may be off by more than α.
    pub fn collapsed(&self) -> bool {
        self.above.collapsed || self.below.collapsed
    }

    /// Adds what the other one holds; false, and nothing is done, if their accuracies differ.
    pub fn merge(&mut self, other: &DdSketch) -> bool {
        self.try_merge(other, |_| true).expect("there is room")
    }

    /// As [`DdSketch::merge`], but asks whether it may have so many bytes more before it takes them.
    ///
    /// # Errors
    /// It may not: nothing was added.
    pub fn try_merge(&mut self, other: &DdSketch, mut room: impl FnMut(usize) -> bool) -> Result<bool, NoRoom> {
        if self.alpha != other.alpha {
            return Ok(false);
        }
        for (into, from) in [(&mut self.above, &other.above), (&mut self.below, &other.below)] {
            if let Some(last) = from.counts.len().checked_sub(1) {
                into.reserve(from.first, from.first + last as i32, self.max_buckets, &mut room)?;
            }
        }
        for (into, from) in [(&mut self.above, &other.above), (&mut self.below, &other.below)] {
            for (index, n) in from.iter() {
                into.add(index, n, self.max_buckets);
            }
            into.collapsed |= from.collapsed;
        }
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        Ok(true)
    }

    fn ln_gamma(&self) -> f64 {
        ((1.0 + self.alpha) / (1.0 - self.alpha)).ln()
    }

    /// The value of a bucket that is off by α at both of its bounds.
    fn middle(&self, index: i32) -> f64 {
        let ln_gamma = self.ln_gamma();
        (f64::from(index) * ln_gamma).exp() * 2.0 / (1.0 + ln_gamma.exp())
    }

    pub fn clear(&mut self) {
        *self = DdSketch {
            above: Buckets::default(),
            below: Buckets::default(),
            zeros: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            ..*self
        };
    }
}

impl Sketch for DdSketch {
    fn bytes(&self) -> usize {
        (self.above.counts.capacity() + self.below.counts.capacity()) * 8
    }

    fn save(&self, into: &mut Vec<u8>) {
        let mut writer = Writer::new(into, VERSION);
        writer.f64(self.alpha);
        writer.u32(self.max_buckets as u32);
        writer.u64(self.zeros);
        [self.sum, self.min, self.max].into_iter().for_each(|x| writer.f64(x));
        for buckets in [&self.above, &self.below] {
            writer.u32(buckets.first as u32);
            writer.u32(buckets.counts.len() as u32 | u32::from(buckets.collapsed) << 31);
            buckets.counts.iter().for_each(|&n| writer.u64(n));
        }
    }

    fn restore(saved: &[u8]) -> Option<DdSketch> {
        let mut reader = Reader::new(saved, VERSION)?;
        let mut sketch = DdSketch::new(reader.f64()?, reader.u32()? as usize)?;
        sketch.zeros = reader.u64()?;
        [sketch.sum, sketch.min, sketch.max] = [reader.f64()?, reader.f64()?, reader.f64()?];
        sketch.above = Buckets::restore(&mut reader, sketch.max_buckets)?;
        sketch.below = Buckets::restore(&mut reader, sketch.max_buckets)?;
        reader.end()?;
        let sane = if sketch.count() == 0 { sketch.min > sketch.max } else { sketch.min <= sketch.max };
        sane.then_some(sketch)
    }
}

/// Counts of neighbouring buckets.
#[derive(Clone, PartialEq, Debug, Default)]
struct Buckets {
    first: i32,
    counts: Vec<u64>,
    total: u64,
    collapsed: bool,
}

impl Buckets {
    /// Makes room for the buckets from `low` to `high`, as far as they will be kept.
    fn reserve(&mut self, low: i32, high: i32, most: usize, room: &mut dyn FnMut(usize) -> bool) -> Result<(), NoRoom> {
        let (low, high) = match self.counts.len().checked_sub(1) {
            Some(last) => (low.min(self.first), high.max(self.first + last as i32)),
            None => (low, high),
        };
        grow(&mut self.counts, ((high - low) as usize + 1).min(most), most, room)
    }

    /// Without taking memory: see [`Buckets::reserve`].
    fn add(&mut self, index: i32, n: u64, most: usize) {
        self.total = self.total.saturating_add(n);
        if self.counts.is_empty() {
            self.first = index;
        }
        let last = self.first + self.counts.len() as i32 - 1;
        if index > last {
            self.raise(index.saturating_sub(most as i32 - 1));
            self.counts.resize((index - self.first) as usize + 1, 0);
        } else if index < self.first {
            let lowest = last - most as i32 + 1;
            self.collapsed |= index < lowest;
            let missing = (self.first - index.max(lowest)) as usize;
            self.counts.resize(self.counts.len() + missing, 0);
            self.counts.rotate_right(missing);
            self.first -= missing as i32;
        }
        let slot = &mut self.counts[(index.max(self.first) - self.first) as usize];
        *slot = slot.saturating_add(n);
    }

    /// Puts the buckets below `lowest` into it.
    fn raise(&mut self, lowest: i32) {
        if lowest <= self.first || self.counts.is_empty() {
            return;
        }
        let below = ((lowest - self.first) as usize).min(self.counts.len());
        let moved: u64 = self.counts.drain(..below).fold(0, u64::saturating_add);
        self.first = lowest;
        match self.counts.first_mut() {
            Some(first) => *first = first.saturating_add(moved),
            None => self.counts.push(moved),
        }
        self.collapsed = true;
    }

    /// The bucket of the value with this rank.
    fn at(&self, rank: u64) -> Option<i32> {
        let mut seen = 0_u64;
        self.iter()
            .find(|&(_, n)| {
                seen = seen.saturating_add(n);
                seen > rank
            })
            .map(|(index, _)| index)
    }

    fn iter(&self) -> impl Iterator<Item = (i32, u64)> {
        (self.first..).zip(self.counts.iter().copied()).filter(|&(_, n)| n > 0)
    }

    fn restore(reader: &mut Reader<'_>, most: usize) -> Option<Buckets> {
        let (first, len) = (reader.u32()? as i32, reader.u32()?);
        let (collapsed, len) = (len >> 31 == 1, (len & 0x7fff_ffff) as usize);
        // f64 has magnitudes up to e^710, and α at least 0.0001: indices within ±3.6 million.
        if len > most || first.unsigned_abs() > 4_000_000 {
            return None;
        }
        let mut bytes = reader.bytes(len * 8)?;
        let mut counts = Vec::with_capacity(len);
        while let Some((n, rest)) = bytes.split_first_chunk() {
            counts.push(u64::from_le_bytes(*n));
            bytes = rest;
        }
        let total = counts.iter().copied().fold(0, u64::saturating_add);
        Some(Buckets { first, counts, total, collapsed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![4 => (-300_i32..300, 1.0_f64..10.0, any::<bool>()).prop_map(|(e, m, n)| if n { -m } else { m } * 10_f64.powi(e / 30)), 1 => Just(0.0)]
    }

    fn of(alpha: f64, values: &[f64]) -> DdSketch {
        let mut sketch = DdSketch::new(alpha, 2048).unwrap();
        values.iter().for_each(|&v| assert!(sketch.add(v, 1)));
        sketch
    }

    proptest! {
        #[test]
        fn quantiles_are_within_alpha(mut values in proptest::collection::vec(value(), 1..300), alpha in 0.02_f64..0.1, q in 0.0_f64..=1.0) {
            let sketch = of(alpha, &values);
            prop_assert!(!sketch.collapsed());
            values.sort_by(f64::total_cmp);
            let exact = values[(q * (values.len() - 1) as f64) as usize];
            let found = sketch.quantile(q).unwrap();
            prop_assert!((found - exact).abs() <= exact.abs() * alpha * (1.0 + 1e-9), "{found} for {exact}");
            prop_assert_eq!(sketch.count(), values.len() as u64);
            prop_assert_eq!(sketch.min(), values.first().copied());
            prop_assert_eq!(sketch.max(), values.last().copied());
        }

        #[test]
        fn a_merge_is_the_sketch_of_both(a in proptest::collection::vec(value(), 0..100), b in proptest::collection::vec(value(), 0..100)) {
            let mut merged = of(0.01, &a);
            prop_assert!(merged.merge(&of(0.01, &b)));
            let both = of(0.01, &[a, b].concat());
            prop_assert!((merged.sum() - both.sum()).abs() <= 1e-9 * (1.0 + both.max().unwrap_or(0.0).abs().max(both.min().unwrap_or(0.0).abs()) * 200.0));
            merged.sum = both.sum;
            prop_assert_eq!(merged, both);
        }

        /// With few buckets the upper quantiles keep their bound, and memory its.
        #[test]
        fn collapses_the_lowest(mut values in proptest::collection::vec(1e-9_f64..1e9, 50..200)) {
            let mut sketch = DdSketch::new(0.05, 16).unwrap();
            values.push(1e-200);
            values.iter().for_each(|&v| { sketch.add(v, 1); });
            prop_assert!(sketch.collapsed() && sketch.above.counts.len() <= 16);
            values.sort_by(f64::total_cmp);
            let greatest = *values.last().unwrap();
            prop_assert!((sketch.quantile(1.0).unwrap() - greatest).abs() <= greatest * 0.05 * (1.0 + 1e-9));
            prop_assert_eq!(sketch.count(), values.len() as u64);
        }

        #[test]
        fn comes_back(values in proptest::collection::vec(value(), 0..100), cut in 0_usize..60) {
            let sketch = of(0.02, &values);
            let mut saved = Vec::new();
            sketch.save(&mut saved);
            prop_assert_eq!(DdSketch::restore(&saved), Some(sketch));
            prop_assert_eq!(DdSketch::restore(&saved[..cut.min(saved.len() - 1)]), None);
        }

        /// What it asks for is what it takes, and what is refused changes nothing.
        #[test]
        fn asks_before_it_grows(values in proptest::collection::vec(value(), 1..60), more in proptest::collection::vec(value(), 0..60), most in 0_usize..4000, buckets in 16_usize..600) {
            let mut sketch = DdSketch::new(0.02, buckets).unwrap();
            let other = of(0.02, &more);
            for value in values.iter().map(Some).chain([None]) {
                let (before, told) = (sketch.bytes(), sketch.clone());
                let mut granted = 0;
                let room = |bytes: usize| {
                    let given = before + granted + bytes <= most;
                    granted += if given { bytes } else { 0 };
                    given
                };
                let done = match value {
                    Some(value) => sketch.try_add(*value, 1, room),
                    None => sketch.try_merge(&other, room),
                };
                prop_assert!(sketch.bytes() == before + granted && sketch.bytes() <= most);
                prop_assert!(done.is_ok() || sketch == told);
            }
        }

        #[test]
        fn garbage_does_no_harm(mut garbage in proptest::collection::vec(any::<u8>(), 0..120), more in value()) {
            if let Some(first) = garbage.first_mut() { *first = VERSION; }
            if let Some(alpha) = garbage.get_mut(1..9) { alpha.copy_from_slice(&0.01_f64.to_le_bytes()); }
            if let Some(most) = garbage.get_mut(9..13) { most.copy_from_slice(&64_u32.to_le_bytes()); }
            if let Some(mut sketch) = DdSketch::restore(&garbage) {
                sketch.add(more, u64::MAX);
                sketch.quantile(0.5);
                prop_assert!(sketch.above.counts.len() <= 64);
            }
        }
    }

    #[test]
    fn edges() {
        assert!(DdSketch::new(0.0, 100).is_none() && DdSketch::new(f64::NAN, 100).is_none() && DdSketch::new(0.1, 1).is_none());
        let mut sketch = DdSketch::new(0.01, 2048).unwrap();
        assert_eq!((sketch.quantile(0.5), sketch.min(), sketch.sum()), (None, None, 0.0));
        assert!(!sketch.add(f64::NAN, 1) && !sketch.add(f64::INFINITY, 1) && sketch.add(1.0, 0));
        assert_eq!(sketch.count(), 0);
        assert!(sketch.add(f64::MAX, 1) && sketch.add(f64::MIN, 1) && sketch.add(5e-324, 3));
        assert_eq!(sketch.quantile(0.5), Some(0.0));
        assert_eq!(sketch.quantile(1.5), None);
        assert!(!sketch.merge(&DdSketch::new(0.02, 2048).unwrap()));
        sketch.clear();
        assert_eq!(sketch, DdSketch::new(0.01, 2048).unwrap());
    }
}
