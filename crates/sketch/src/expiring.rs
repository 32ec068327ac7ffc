//! Was it there within the last 255 intervals?
//!
//! A [cuckoo filter](crate::Cuckoo) whose entries carry the interval in which they were last added.
//! Those that are 255 intervals old are swept when time moves on. False positives: 0.00012 when full.

use crate::Sketch;
use crate::cuckoo::{Place, slots_for};
use crate::saved::{Reader, Writer};

/// Intervals an entry lives.
const LIFE: i64 = 255;
const VERSION: u8 = 1;

/// What became of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    New,
    /// It was there; intervals since it was last added, negative when this one is older.
    Again(i64),
    /// It is older than what the filter remembers: not added.
    Old,
    /// There is no room: it was not added, and nothing else was lost.
    Full,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expiring {
    items: u64,
    /// The newest interval.
    now: i64,
    count: u64,
    slots: Vec<u16>,
    /// Interval of each entry, modulo 256.
    times: Vec<u8>,
}

impl Expiring {
    /// Bytes a filter for so many items takes; nothing unless 4 ≤ `items` ≤ 2³².
    pub fn bytes_for(items: u64) -> Option<usize> {
        Some(slots_for(items)? * 3)
    }

    /// An empty filter for so many items within 255 intervals. Takes [`Expiring::bytes_for`].
    pub fn new(items: u64) -> Option<Expiring> {
        let slots = slots_for(items)?;
        Some(Expiring { items, now: 0, count: 0, slots: vec![0; slots], times: vec![0; slots] })
    }

    pub fn items(&self) -> u64 {
        self.items
    }

    /// The newest interval there was.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Adds an item at an interval, which may be the newest so far.
    pub fn add(&mut self, item: &[u8], interval: i64) -> Seen {
        self.advance(interval);
        if interval <= self.now.saturating_sub(LIFE) {
            return Seen::Old;
        }
        let place = Place::of(item, self.slots.len());
        if let Some(slot) = place.find(&self.slots) {
            let last = self.time(slot);
            if interval > last {
                self.times[slot] = interval as u8;
            }
            return Seen::Again(interval - last);
        }
        let Some(way) = place.way(&self.slots) else { return Seen::Full };
        for step in way.windows(2).rev() {
            self.slots[step[1]] = self.slots[step[0]];
            self.times[step[1]] = self.times[step[0]];
        }
        self.slots[way[0]] = place.fingerprint;
        self.times[way[0]] = interval as u8;
        self.count += 1;
        Seen::New
    }

    /// The interval in which the item was last added.
    pub fn last(&self, item: &[u8]) -> Option<i64> {
        Place::of(item, self.slots.len()).find(&self.slots).map(|slot| self.time(slot))
    }

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

    fn time(&self, slot: usize) -> i64 {
        self.now - i64::from((self.now as u8).wrapping_sub(self.times[slot]))
    }

    /// Moves on to an interval, and sweeps what is too old then.
    fn advance(&mut self, interval: i64) {
        if interval <= self.now {
            return;
        }
        let oldest = interval.saturating_sub(LIFE);
        for slot in 0..self.slots.len() {
            if self.slots[slot] != 0 && self.time(slot) <= oldest {
                self.slots[slot] = 0;
                self.count -= 1;
            }
        }
        self.now = interval;
    }

    pub fn clear(&mut self) {
        self.slots.fill(0);
        self.count = 0;
    }
}

impl Sketch for Expiring {
    fn bytes(&self) -> usize {
        self.slots.capacity() * 2 + self.times.capacity()
    }

    fn save(&self, into: &mut Vec<u8>) {
        let mut writer = Writer::new(into, VERSION);
        writer.u64(self.items);
        writer.u64(self.now as u64);
        for slot in &self.slots {
            writer.bytes(&slot.to_le_bytes());
        }
        writer.bytes(&self.times);
    }

    fn restore(saved: &[u8]) -> Option<Expiring> {
        let mut reader = Reader::new(saved, VERSION)?;
        let (items, now) = (reader.u64()?, reader.u64()? as i64);
        if Expiring::bytes_for(items)? != reader.rest() {
            return None;
        }
        let n = slots_for(items)?;
        let slots: Vec<u16> = reader.bytes(n * 2)?.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        let times = reader.bytes(n)?.to_vec();
        let count = slots.iter().filter(|&&s| s != 0).count() as u64;
        Some(Expiring { items, now, count, slots, times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn follows_a_map_with_expiry(ops in proptest::collection::vec((0_u64..60, -40_i64..90), 1..400)) {
            let mut filter = Expiring::new(100).unwrap();
            let mut map: HashMap<u64, i64> = HashMap::new();
            let mut now = 0;
            for (item, step) in ops {
                let at = (now + step).max(1);
                now = now.max(at);
                map.retain(|_, last| *last > now - LIFE);
                let expected = match map.get(&item) {
                    _ if at <= now - LIFE => Seen::Old,
                    Some(last) => Seen::Again(at - last),
                    None => Seen::New,
                };
                prop_assert_eq!(filter.add(&item.to_le_bytes(), at), expected);
                if expected != Seen::Old {
                    map.entry(item).and_modify(|last| *last = at.max(*last)).or_insert(at);
                }
                prop_assert_eq!(filter.last(&item.to_le_bytes()), map.get(&item).copied());
                prop_assert_eq!(filter.count(), map.len() as u64);
            }
            let mut saved = Vec::new();
            filter.save(&mut saved);
            prop_assert_eq!(Expiring::restore(&saved), Some(filter));
            saved.push(0);
            prop_assert_eq!(Expiring::restore(&saved), None);
        }
    }

    #[test]
    fn time_may_jump() {
        let mut filter = Expiring::new(10).unwrap();
        assert_eq!(filter.add(b"a", i64::MAX - 1), Seen::New);
        assert_eq!(filter.add(b"b", i64::MIN), Seen::Old);
        assert_eq!(filter.add(b"a", i64::MAX), Seen::Again(1));
    }
}
