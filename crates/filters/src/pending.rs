use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// What is under way, by key, in the order in which it began.
pub(crate) struct Pending<T> {
    index: HashMap<Rc<[u8]>, u64>,
    entries: BTreeMap<u64, (Rc<[u8]>, T)>,
    next: u64,
    /// The most there ever were.
    most: usize,
}

impl<T> Pending<T> {
    pub fn new() -> Pending<T> {
        Pending { index: HashMap::new(), entries: BTreeMap::new(), next: 0, most: 0 }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn most(&self) -> usize {
        self.most
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.index.contains_key(key)
    }

    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut T> {
        let place = self.index.get(key)?;
        self.entries.get_mut(place).map(|(_, entry)| entry)
    }

    /// Adds what is under way from now on; what was under its key before is let go.
    pub fn insert(&mut self, key: &[u8], entry: T) {
        self.remove(key);
        let key: Rc<[u8]> = key.into();
        self.index.insert(key.clone(), self.next);
        self.entries.insert(self.next, (key, entry));
        self.next += 1;
        self.most = self.most.max(self.entries.len());
    }

    pub fn remove(&mut self, key: &[u8]) -> Option<T> {
        let place = self.index.remove(key)?;
        self.entries.remove(&place).map(|(_, entry)| entry)
    }

    pub fn pop_oldest(&mut self) -> Option<(Rc<[u8]>, T)> {
        let (_, (key, entry)) = self.entries.pop_first()?;
        self.index.remove(&key);
        Some((key, entry))
    }

    /// All, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &T)> {
        self.entries.values().map(|(key, entry)| (&key[..], entry))
    }

    /// Takes those out for which `ends` is true, the oldest first.
    pub fn take(&mut self, ends: impl Fn(&T) -> bool) -> Vec<(Rc<[u8]>, T)> {
        let places: Vec<u64> = self.entries.iter().filter(|(_, (_, entry))| ends(entry)).map(|(place, _)| *place).collect();
        let taken: Vec<_> = places.iter().filter_map(|place| self.entries.remove(place)).collect();
        for (key, _) in &taken {
            self.index.remove(key);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::Pending;

    #[test]
    fn what_began_first_comes_first() {
        let mut pending = Pending::new();
        for (key, n) in [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("d", 5)] {
            pending.insert(key.as_bytes(), n);
        }
        assert_eq!(pending.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [2, 3, 4, 5]);
        assert_eq!(pending.take(|n| n % 2 == 1).iter().map(|(k, n)| (k[0], *n)).collect::<Vec<_>>(), [(b'c', 3), (b'd', 5)]);
        *pending.get_mut(b"a").unwrap() += 1;
        assert_eq!((pending.remove(b"b"), pending.remove(b"b"), pending.contains(b"c")), (Some(2), None, false));
        assert_eq!(pending.pop_oldest().map(|(_, n)| n), Some(5));
        assert_eq!((pending.len(), pending.most(), pending.pop_oldest()), (0, 4, None));
    }
}
