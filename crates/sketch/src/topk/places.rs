//! Where an item is among the counters: a hash table of their numbers, with linear probing. It knows
//! neither items nor hashes beyond what it is told; its memory is known to the byte.

use crate::sketch::{NoRoom, grow};

/// Numbers are stored plus one: this is an empty slot.
const EMPTY: u32 = 0;
const FEWEST: usize = 8;

#[derive(Clone, Debug, Default)]
pub struct Places {
    /// A power of two of slots, at most three quarters in use.
    slots: Vec<u32>,
    used: usize,
}

impl Places {
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    fn next(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    /// The slot with a number that `is` it, of those that an item with this hash may be in.
    fn slot(&self, hash: u32, is: impl Fn(usize) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut slot = self.home(hash);
        while self.slots[slot] != EMPTY {
            if is(self.slots[slot] as usize - 1) {
                return Some(slot);
            }
            slot = self.next(slot);
        }
        None
    }

    /// The number that `is` it, of those with this hash.
    pub fn find(&self, hash: u32, is: impl Fn(usize) -> bool) -> Option<usize> {
        self.slot(hash, is).map(|slot| self.slots[slot] as usize - 1)
    }

    /// Makes room for one more number, which asks `room` for the bytes.
    pub fn reserve(&mut self, hash_of: impl Fn(usize) -> u32, room: &mut dyn FnMut(usize) -> bool) -> Result<(), NoRoom> {
        let had = self.slots.len();
        if (self.used + 1) * 4 <= had * 3 {
            return Ok(());
        }
        let len = (2 * had).max(FEWEST);
        let used = std::mem::take(&mut self.used);
        if let Err(refused) = grow(&mut self.slots, len, len, room) {
            self.used = used;
            return Err(refused);
        }
        self.slots.clear();
        self.slots.resize(len, EMPTY);
        (0..used).for_each(|number| self.insert(hash_of(number), number));
        Ok(())
    }

    /// Stores a number, for which there is room.
    pub fn insert(&mut self, hash: u32, number: usize) {
        let mut slot = self.home(hash);
        while self.slots[slot] != EMPTY {
            slot = self.next(slot);
        }
        self.slots[slot] = number as u32 + 1;
        self.used += 1;
    }

    /// Forgets a number, and moves those behind it to where they are found (Knuth's algorithm R).
    pub fn remove(&mut self, hash: u32, number: usize, hash_of: impl Fn(usize) -> u32) {
        let Some(mut hole) = self.slot(hash, |n| n == number) else { return };
        let mut slot = self.next(hole);
        while self.slots[slot] != EMPTY {
            let home = self.home(hash_of(self.slots[slot] as usize - 1));
            let distance = |from: usize| slot.wrapping_sub(from) & (self.slots.len() - 1);
            if distance(home) >= distance(hole) {
                self.slots[hole] = self.slots[slot];
                hole = slot;
            }
            slot = self.next(slot);
        }
        self.slots[hole] = EMPTY;
        self.used -= 1;
    }

    /// Two items, with these hashes and numbers, change numbers.
    pub fn swap(&mut self, (a_hash, a): (u32, usize), (b_hash, b): (u32, usize)) {
        if let (Some(x), Some(y)) = (self.slot(a_hash, |n| n == a), self.slot(b_hash, |n| n == b)) {
            self.slots.swap(x, y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Few hashes: long runs of neighbours. Numbers are given out from 0 on, and the last leaves first.
        #[test]
        fn follows_a_list(ops in proptest::collection::vec((0_u8..4, 0_u32..6, any::<prop::sample::Index>()), 1..200)) {
            let mut places = Places::default();
            let mut hashes: Vec<u32> = Vec::new();
            for (op, hash, which) in ops {
                let hash = hash * 5;
                if op == 0 && !hashes.is_empty() {
                    // The item with some number is replaced by another.
                    let number = which.index(hashes.len());
                    places.remove(hashes[number], number, |n| hashes[n]);
                    prop_assert_eq!(places.find(hashes[number], |n| n == number), None);
                    hashes[number] = hash;
                    places.insert(hash, number);
                } else if op == 1 && hashes.len() > 1 {
                    let (a, b) = (which.index(hashes.len()), hashes.len() - 1);
                    places.swap((hashes[a], a), (hashes[b], b));
                    hashes.swap(a, b);
                } else {
                    places.reserve(|n| hashes[n], &mut |_| true).unwrap();
                    hashes.push(hash);
                    places.insert(hash, hashes.len() - 1);
                }
                for (number, hash) in hashes.iter().enumerate() {
                    prop_assert_eq!(places.find(*hash, |n| n == number), Some(number));
                }
                prop_assert_eq!(places.used, hashes.len());
                prop_assert_eq!(places.slots.iter().filter(|s| **s != EMPTY).count(), hashes.len());
            }
        }
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let mut places = Places::default();
        assert_eq!(places.reserve(|_| 0, &mut |_| false), Err(NoRoom));
        for number in 0..6 {
            places.reserve(|_| 7, &mut |_| true).unwrap();
            places.insert(7, number);
        }
        assert_eq!(places.reserve(|_| 7, &mut |_| false), Err(NoRoom));
        assert!((0..6).all(|number| places.find(7, |n| n == number) == Some(number)));
        assert_eq!(places.bytes(), 32);
    }
}
