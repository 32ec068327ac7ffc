//! The most frequent items.
//!
//! Space-Saving (Metwally, Agrawal, El Abbadi 2005): so many counters; an item that has none takes
//! over the least one, whose count becomes its possible error. With N the sum of what was added and
//! m counters: every item that makes up more than N ⁄ m is among them, a count is never too low and
//! at most its `error` ≤ N ⁄ m too high.

mod places;

use std::hash::{BuildHasher, RandomState};

use crate::saved::{Reader, Writer};
use crate::sketch::{NoRoom, Sketch, grow};
use places::Places;

/// Most counters.
const MOST: usize = 1 << 20;
const VERSION: u8 = 1;

/// An item that is counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopItem<'a> {
    pub item: &'a [u8],
    /// Never too low.
    pub count: u64,
    /// By how much the count may be too high.
    pub error: u64,
}

#[derive(Clone, Debug)]
struct Counter {
    item: Box<[u8]>,
    count: u64,
    error: u64,
    hash: u32,
}

#[derive(Clone, Debug)]
pub struct TopK {
    capacity: usize,
    total: u64,
    /// Bytes of all items' texts.
    text: usize,
    /// A heap: the least count first.
    heap: Vec<Counter>,
    /// Where in the heap an item is.
    places: Places,
    /// Keyed, so that nobody can choose items that collide.
    hasher: RandomState,
}

impl TopK {
    /// 1 to 2²⁰ counters, else nothing.
    pub fn new(capacity: usize) -> Option<TopK> {
        (1..=MOST).contains(&capacity).then(|| TopK {
            capacity,
            total: 0,
            text: 0,
            heap: Vec::new(),
            places: Places::default(),
            hasher: RandomState::new(),
        })
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Counts an item `n` times.
    pub fn add(&mut self, item: &[u8], n: u64) {
        self.try_add(item, n, |_| true).expect("there is room");
    }

    /// As [`TopK::add`], but asks whether it may have so many bytes more before it takes them.
    ///
    /// # Errors
    /// It may not: nothing was counted.
    pub fn try_add(&mut self, item: &[u8], n: u64, mut room: impl FnMut(usize) -> bool) -> Result<(), NoRoom> {
        if n == 0 {
            return Ok(());
        }
        let hash = self.hash(item);
        let place = match self.find(hash, item) {
            Some(place) => place,
            None if self.heap.len() < self.capacity => {
                self.insert(hash, item, &mut room)?;
                self.rise(self.heap.len() - 1)
            }
            None => {
                self.take_over(hash, item, &mut room)?;
                0
            }
        };
        self.total = self.total.saturating_add(n);
        let counter = &mut self.heap[place];
        counter.count = counter.count.saturating_add(n);
        self.sink(place);
        Ok(())
    }

    /// The items with the highest counts, at most `n`; those with the same count by their bytes.
    pub fn list(&self, n: usize) -> Vec<TopItem<'_>> {
        let mut all: Vec<TopItem<'_>> = self.heap.iter().map(|c| TopItem { item: &c.item, count: c.count, error: c.error }).collect();
        all.sort_unstable_by(|a, b| b.count.cmp(&a.count).then(a.item.cmp(b.item)));
        all.truncate(n);
        all
    }

    pub fn get(&self, item: &[u8]) -> Option<TopItem<'_>> {
        let counter = &self.heap[self.find(self.hash(item), item)?];
        Some(TopItem { item: &counter.item, count: counter.count, error: counter.error })
    }

    /// How many items are counted.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The sum of what was added.
    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn clear(&mut self) {
        *self = TopK { total: 0, text: 0, heap: Vec::new(), places: Places::default(), hasher: self.hasher.clone(), ..*self };
    }

    fn hash(&self, item: &[u8]) -> u32 {
        self.hasher.hash_one(item) as u32
    }

    fn find(&self, hash: u32, item: &[u8]) -> Option<usize> {
        self.places.find(hash, |place| *self.heap[place].item == *item)
    }

    fn insert(&mut self, hash: u32, item: &[u8], room: &mut dyn FnMut(usize) -> bool) -> Result<(), NoRoom> {
        self.places.reserve(|place| self.heap[place].hash, room)?;
        let len = self.heap.len() + 1;
        grow(&mut self.heap, len, self.capacity, room)?;
        let item = copy(item, item.len(), room)?;
        self.text += item.len();
        self.places.insert(hash, self.heap.len());
        self.heap.push(Counter { item, count: 0, error: 0, hash });
        Ok(())
    }

    /// Gives the least counter to another item.
    fn take_over(&mut self, hash: u32, item: &[u8], room: &mut dyn FnMut(usize) -> bool) -> Result<(), NoRoom> {
        let had = self.heap[0].item.len();
        let item = copy(item, item.len().saturating_sub(had), room)?;
        self.places.remove(self.heap[0].hash, 0, |place| self.heap[place].hash);
        self.text = self.text - had + item.len();
        self.places.insert(hash, 0);
        let count = self.heap[0].count;
        self.heap[0] = Counter { item, count, error: count, hash };
        Ok(())
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 && self.heap[place].count < self.heap[(place - 1) / 2].count {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let children = [2 * place + 1, 2 * place + 2];
            let least = children.into_iter().filter(|&c| c < self.heap.len()).min_by_key(|&c| self.heap[c].count);
            match least {
                Some(child) if self.heap[child].count < self.heap[place].count => self.swap(place, child),
                _ => return,
            }
            place = least.unwrap_or(place);
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.places.swap((self.heap[a].hash, a), (self.heap[b].hash, b));
        self.heap.swap(a, b);
    }
}

impl Sketch for TopK {
    fn bytes(&self) -> usize {
        self.text + self.heap.capacity() * size_of::<Counter>() + self.places.bytes()
    }

    fn save(&self, into: &mut Vec<u8>) {
        let mut writer = Writer::new(into, VERSION);
        writer.u32(self.capacity as u32);
        writer.u64(self.total);
        for counter in &self.heap {
            writer.u64(counter.count);
            writer.u64(counter.error);
            writer.u32(counter.item.len() as u32);
            writer.bytes(&counter.item);
        }
    }

    fn restore(saved: &[u8]) -> Option<TopK> {
        let mut reader = Reader::new(saved, VERSION)?;
        let mut restored = TopK::new(reader.u32()? as usize)?;
        restored.total = reader.u64()?;
        while reader.rest() > 0 {
            let (count, error, len) = (reader.u64()?, reader.u64()?, reader.u32()?);
            let item = reader.bytes(len as usize)?;
            let hash = restored.hash(item);
            if restored.heap.len() == restored.capacity || restored.find(hash, item).is_some() || error > count {
                return None;
            }
            restored.insert(hash, item, &mut |_| true).ok()?;
            let last = restored.heap.len() - 1;
            (restored.heap[last].count, restored.heap[last].error) = (count, error);
            restored.rise(last);
        }
        Some(restored)
    }
}

/// A copy of an item, by which it grows so much.
fn copy(item: &[u8], more: usize, room: &mut dyn FnMut(usize) -> bool) -> Result<Box<[u8]>, NoRoom> {
    if more > 0 && !room(more) {
        return Err(NoRoom);
    }
    let mut copy = Vec::new();
    copy.try_reserve_exact(item.len()).map_err(|_| NoRoom)?;
    copy.extend_from_slice(item);
    Ok(copy.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn counts_exactly_while_there_is_room() {
        let mut top = TopK::new(3).unwrap();
        for (item, n) in [("a", 1), ("b", 5), ("c", 2), ("a", 3), ("d", 0)] {
            top.add(item.as_bytes(), n);
        }
        let list = top.list(2);
        assert_eq!(list[0], TopItem { item: b"b", count: 5, error: 0 });
        assert_eq!(list[1], TopItem { item: b"a", count: 4, error: 0 });
        assert_eq!((top.len(), top.total(), list.len()), (3, 11, 2));
        top.add(b"d", 1);
        assert_eq!(top.get(b"d"), Some(TopItem { item: b"d", count: 3, error: 2 }));
        assert_eq!(top.get(b"c"), None);
        top.clear();
        assert!(top.is_empty() && top.bytes() == 0 && top.capacity() == 3);
        assert!(TopK::new(0).is_none() && TopK::new(usize::MAX).is_none());
    }

    proptest! {
        #[test]
        fn keeps_its_promises(stream in proptest::collection::vec((0_u8..60, 1_u64..20), 1..500), capacity in 1_usize..30) {
            let mut top = TopK::new(capacity).unwrap();
            let mut exact: HashMap<u8, u64> = HashMap::new();
            for &(item, n) in &stream {
                // Squared: some are much more frequent than others.
                let item = (u32::from(item) * u32::from(item) / 60) as u8;
                top.add(&[item], n);
                *exact.entry(item).or_default() += n;
            }
            let bound = top.total() / capacity as u64;
            prop_assert_eq!(top.total(), exact.values().sum::<u64>());
            for found in top.list(usize::MAX) {
                let count = exact[&found.item[0]];
                prop_assert!(found.count >= count && found.count - found.error <= count && found.error <= bound);
            }
            for (item, count) in exact {
                prop_assert!(count <= bound || top.get(&[item]).is_some());
            }
            let mut saved = Vec::new();
            top.save(&mut saved);
            let restored = TopK::restore(&saved).unwrap();
            prop_assert_eq!(restored.list(usize::MAX), top.list(usize::MAX));
            prop_assert!(TopK::restore(&saved[..saved.len() - 1]).is_none());
        }

        /// What it asks for is what it takes, and what is refused changes nothing.
        #[test]
        fn asks_before_it_grows(stream in proptest::collection::vec((0_usize..60, 1_u64..9), 1..300), capacity in 1_usize..40, most in 0_usize..6000) {
            let mut top = TopK::new(capacity).unwrap();
            for (item, n) in stream {
                let (item, before, total) = (vec![item as u8; item], top.bytes(), top.total());
                let mut granted = 0;
                let added = top.try_add(&item, n, |more| {
                    let given = before + granted + more <= most;
                    granted += if given { more } else { 0 };
                    given
                });
                prop_assert!(top.bytes() <= before + granted && top.bytes() <= most);
                prop_assert_eq!(top.total() - total, if added.is_ok() { n } else { 0 });
                prop_assert_eq!(added.is_ok(), top.get(&item).is_some_and(|i| i.count >= n));
            }
        }

        #[test]
        fn garbage_does_no_harm(mut garbage in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(head) = garbage.get_mut(..5) { head.copy_from_slice(&[VERSION, 9, 0, 0, 0]); }
            if let Some(mut top) = TopK::restore(&garbage) {
                top.add(b"x", u64::MAX);
                prop_assert!(top.len() <= 9);
            }
        }
    }
}
