//! Was it there before? And forget it.
//!
//! A cuckoo filter (Fan, Andersen, Kaminsky, Mitzenmacher 2014): buckets of four fingerprints of 16
//! bits, each item in one of two buckets. The second bucket is `hash(fingerprint) − first` modulo
//! their number, which need not be a power of two. False positives: 2·4 ⁄ 2¹⁶ = 0.00012 when full.
//! An item whose fingerprint lies in its buckets already counts as a duplicate.

use crate::Sketch;
use crate::hash::{below, hash, mix};
use crate::saved::{Reader, Writer};

/// Fingerprints in a bucket.
pub(crate) const SLOTS: usize = 4;
/// How full it can surely be: 95 % in the paper.
const LOAD: f64 = 0.95;
/// Fingerprints moved before it is given up as full.
const MOVES: usize = 500;
/// Most items: 2³² fingerprints.
const MOST: u64 = 1 << 32;
const VERSION: u8 = 1;

/// What became of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Added {
    New,
    Duplicate,
    /// There is no room: it was not added, and nothing else was lost.
    Full,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cuckoo {
    items: u64,
    count: u64,
    /// Fingerprints; 0 is an empty slot.
    slots: Vec<u16>,
}

impl Cuckoo {
    /// Bytes a filter for so many items takes; nothing unless 4 ≤ `items` ≤ 2³².
    pub fn bytes_for(items: u64) -> Option<usize> {
        Some(slots_for(items)? * 2)
    }

    /// An empty filter for so many items. Takes [`Cuckoo::bytes_for`].
    pub fn new(items: u64) -> Option<Cuckoo> {
        Some(Cuckoo { items, count: 0, slots: vec![0; slots_for(items)?] })
    }

    /// The number of items it was made for.
    pub fn items(&self) -> u64 {
        self.items
    }

    pub fn add(&mut self, item: &[u8]) -> Added {
        let place = Place::of(item, self.slots.len());
        if place.find(&self.slots).is_some() {
            return Added::Duplicate;
        }
        let Some(way) = place.way(&self.slots) else { return Added::Full };
        for step in way.windows(2).rev() {
            self.slots[step[1]] = self.slots[step[0]];
        }
        self.slots[way[0]] = place.fingerprint;
        self.count += 1;
        Added::New
    }

    pub fn contains(&self, item: &[u8]) -> bool {
        Place::of(item, self.slots.len()).find(&self.slots).is_some()
    }

    /// Forgets an item; false if it was not there. To be asked only of what was added: else it may
    /// forget another one with the same fingerprint.
    pub fn delete(&mut self, item: &[u8]) -> bool {
        let found = Place::of(item, self.slots.len()).find(&self.slots);
        if let Some(slot) = found {
            self.slots[slot] = 0;
            self.count -= 1;
        }
        found.is_some()
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn clear(&mut self) {
        self.slots.fill(0);
        self.count = 0;
    }
}

impl Sketch for Cuckoo {
    fn bytes(&self) -> usize {
        self.slots.capacity() * 2
    }

    fn save(&self, into: &mut Vec<u8>) {
        let mut writer = Writer::new(into, VERSION);
        writer.u64(self.items);
        for slot in &self.slots {
            writer.bytes(&slot.to_le_bytes());
        }
    }

    fn restore(saved: &[u8]) -> Option<Cuckoo> {
        let mut reader = Reader::new(saved, VERSION)?;
        let items = reader.u64()?;
        if Cuckoo::bytes_for(items)? != reader.rest() {
            return None;
        }
        let slots: Vec<u16> = reader.bytes(reader.rest())?.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        let count = slots.iter().filter(|&&s| s != 0).count() as u64;
        Some(Cuckoo { items, count, slots })
    }
}

/// Slots for so many items, a multiple of [`SLOTS`].
pub(crate) fn slots_for(items: u64) -> Option<usize> {
    if !(4..=MOST).contains(&items) {
        return None;
    }
    let buckets = (items as f64 / LOAD / SLOTS as f64).ceil() as usize + 1;
    buckets.checked_mul(SLOTS)
}

/// Where an item belongs.
pub(crate) struct Place {
    pub fingerprint: u16,
    /// First slots of its two buckets.
    pub buckets: [usize; 2],
}

impl Place {
    pub fn of(item: &[u8], slots: usize) -> Place {
        let hash = hash(item);
        let fingerprint = ((hash & 0xffff) as u16).max(1);
        let first = below(hash, (slots / SLOTS) as u64) as usize * SLOTS;
        Place { fingerprint, buckets: [first, other(fingerprint, first, slots)] }
    }

    /// The slot that holds its fingerprint.
    pub fn find(&self, slots: &[u16]) -> Option<usize> {
        self.slots().find(|&slot| slots[slot] == self.fingerprint)
    }

    pub fn slots(&self) -> impl Iterator<Item = usize> {
        let [a, b] = self.buckets;
        (a..a + SLOTS).chain(b..b + SLOTS)
    }

    /// The way by which a slot becomes free: what lies in each moves to the next, the last is empty.
    /// Nothing when none was found in [`MOVES`] steps.
    pub fn way(&self, slots: &[u16]) -> Option<Vec<usize>> {
        if let Some(empty) = self.slots().find(|&slot| slots[slot] == 0) {
            return Some(vec![empty]);
        }
        let mut way: Vec<usize> = Vec::new();
        let mut dice = mix(u64::from(self.fingerprint) ^ self.buckets[0] as u64);
        let mut bucket = self.buckets[(dice >> 63) as usize];
        while way.len() < MOVES {
            dice = mix(dice.wrapping_add(0x9e37_79b9_7f4a_7c15));
            // What has moved once stays: a way must not cross itself.
            let turn = (dice % SLOTS as u64) as usize;
            let slot = (0..SLOTS).map(|i| bucket + (turn + i) % SLOTS).find(|s| !way.contains(s))?;
            way.push(slot);
            bucket = other(slots[slot], bucket, slots.len());
            if let Some(empty) = (bucket..bucket + SLOTS).find(|&s| slots[s] == 0) {
                way.push(empty);
                return Some(way);
            }
        }
        None
    }
}

/// The first slot of a fingerprint's other bucket; of the other one, this one.
fn other(fingerprint: u16, bucket: usize, slots: usize) -> usize {
    let buckets = slots / SLOTS;
    let spread = below(mix(u64::from(fingerprint)), buckets as u64) as usize;
    (spread + buckets - bucket / SLOTS) % buckets * SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn name(i: u64) -> [u8; 8] {
        i.to_le_bytes()
    }

    #[test]
    fn holds_what_it_was_made_for() {
        for items in [4, 5, 100, 1000, 65_536] {
            let mut cuckoo = Cuckoo::new(items).unwrap();
            for i in 0..items {
                assert_ne!(cuckoo.add(&name(i)), Added::Full, "{i} of {items}");
            }
            assert!((0..items).all(|i| cuckoo.contains(&name(i))));
            assert!(cuckoo.bytes() as f64 <= items as f64 * 2.2 + 32.0);
        }
        assert!(Cuckoo::new(3).is_none() && Cuckoo::new(u64::MAX).is_none());
    }

    #[test]
    fn false_positives_are_rare() {
        let mut cuckoo = Cuckoo::new(10_000).unwrap();
        let new = (0..10_000).filter(|&i| cuckoo.add(&name(i)) == Added::New).count();
        assert!(new >= 9990, "{new}");
        let wrong = (10_000..1_010_000).filter(|&i| cuckoo.contains(&name(i))).count();
        assert!(wrong < 200, "{wrong} of a million"); // 120 expected
    }

    #[test]
    fn when_full_nothing_is_lost() {
        let mut cuckoo = Cuckoo::new(64).unwrap();
        let mut held = Vec::new();
        let mut full = 0;
        for i in 0..1000 {
            match cuckoo.add(&name(i)) {
                Added::New => held.push(i),
                Added::Full => full += 1,
                Added::Duplicate => {}
            }
        }
        assert!(full > 800 && held.len() >= 64);
        assert!(held.iter().all(|&i| cuckoo.contains(&name(i))));
        assert_eq!(cuckoo.count(), held.len() as u64);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Against a set, where a fingerprint that is shared counts as the same item.
        #[test]
        fn follows_a_set(ops in proptest::collection::vec((any::<bool>(), 0_u64..400), 1..600)) {
            let mut cuckoo = Cuckoo::new(400).unwrap();
            let mut set = HashSet::new();
            for (add, i) in ops {
                if add {
                    if cuckoo.add(&name(i)) == Added::New { set.insert(i); }
                } else if set.remove(&i) {
                    prop_assert!(cuckoo.delete(&name(i)));
                }
                prop_assert_eq!(cuckoo.count(), set.len() as u64);
            }
            prop_assert!(set.iter().all(|&i| cuckoo.contains(&name(i))));
            let mut saved = Vec::new();
            cuckoo.save(&mut saved);
            prop_assert_eq!(Cuckoo::restore(&saved), Some(cuckoo));
            saved.pop();
            prop_assert_eq!(Cuckoo::restore(&saved), None);
        }
    }
}
