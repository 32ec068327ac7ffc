//! The most frequent items.
//!
//! Space-Saving (Metwally, Agrawal, El Abbadi 2005): so many counters; an item that has none takes
//! over the least one, whose count becomes its possible error. With N the sum of what was added and
//! m counters: every item that makes up more than N ⁄ m is among them, a count is never too low and
//! at most its `error` ≤ N ⁄ m too high.

use std::collections::HashMap;
use std::sync::Arc;

use crate::saved::{Reader, Writer};

/// Most counters.
const MOST: usize = 1 << 20;
/// What an item takes beside its text, about.
const OVERHEAD: usize = 96;
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

#[derive(Clone, PartialEq, Debug)]
struct Counter {
    item: Arc<[u8]>,
    count: u64,
    error: u64,
}

#[derive(Clone, PartialEq, Debug)]
pub struct TopK {
    capacity: usize,
    total: u64,
    /// Bytes of all items' texts.
    text: usize,
    /// A heap: the least count first.
    heap: Vec<Counter>,
    /// Where in the heap an item is.
    places: HashMap<Arc<[u8]>, usize>,
}

impl TopK {
    /// 1 to 2²⁰ counters, else nothing.
    pub fn new(capacity: usize) -> Option<TopK> {
        (1..=MOST).contains(&capacity).then(|| TopK { capacity, total: 0, text: 0, heap: Vec::new(), places: HashMap::new() })
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Counts an item `n` times.
    pub fn add(&mut self, item: &[u8], n: u64) {
        if n == 0 {
            return;
        }
        self.total = self.total.saturating_add(n);
        let place = match self.places.get(item) {
            Some(&place) => place,
            None if self.heap.len() < self.capacity => {
                self.insert(item);
                self.rise(self.heap.len() - 1)
            }
            None => {
                self.take_over(item);
                0
            }
        };
        let counter = &mut self.heap[place];
        counter.count = counter.count.saturating_add(n);
        self.sink(place);
    }

    /// The items with the highest counts, at most `n`; those with the same count by their bytes.
    pub fn list(&self, n: usize) -> Vec<TopItem<'_>> {
        let mut all: Vec<TopItem<'_>> = self.heap.iter().map(|c| TopItem { item: &c.item, count: c.count, error: c.error }).collect();
        all.sort_unstable_by(|a, b| b.count.cmp(&a.count).then(a.item.cmp(b.item)));
        all.truncate(n);
        all
    }

    pub fn get(&self, item: &[u8]) -> Option<TopItem<'_>> {
        let counter = &self.heap[*self.places.get(item)?];
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
        *self = TopK { capacity: self.capacity, total: 0, text: 0, heap: Vec::new(), places: HashMap::new() };
    }

    /// Bytes on the heap, about.
    pub fn bytes(&self) -> usize {
        self.text + self.heap.capacity().max(self.places.capacity()) * OVERHEAD
    }

    pub fn save(&self, into: &mut Vec<u8>) {
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

    pub fn restore(saved: &[u8]) -> Option<TopK> {
        let mut reader = Reader::new(saved, VERSION)?;
        let mut restored = TopK::new(reader.u32()? as usize)?;
        restored.total = reader.u64()?;
        while reader.rest() > 0 {
            let (count, error, len) = (reader.u64()?, reader.u64()?, reader.u32()?);
            let item = reader.bytes(len as usize)?;
            if restored.heap.len() == restored.capacity || restored.places.contains_key(item) || error > count {
                return None;
            }
            restored.insert(item);
            let last = restored.heap.len() - 1;
            (restored.heap[last].count, restored.heap[last].error) = (count, error);
            restored.rise(last);
        }
        Some(restored)
    }

    fn insert(&mut self, item: &[u8]) {
        let item: Arc<[u8]> = item.into();
        self.text += item.len();
        self.places.insert(item.clone(), self.heap.len());
        self.heap.push(Counter { item, count: 0, error: 0 });
    }

    /// Gives the least counter to another item.
    fn take_over(&mut self, item: &[u8]) {
        let least = &mut self.heap[0];
        self.places.remove(&least.item);
        self.text = self.text - least.item.len() + item.len();
        least.item = item.into();
        least.error = least.count;
        self.places.insert(least.item.clone(), 0);
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
        self.heap.swap(a, b);
        for place in [a, b] {
            if let Some(known) = self.places.get_mut(&self.heap[place].item) {
                *known = place;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            prop_assert_eq!(TopK::restore(&saved[..saved.len() - 1]), None);
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
