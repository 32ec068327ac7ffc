use crate::key::MAX_KEY;

/// Names with tags, numbered from zero in the order they came up.
///
/// Finding one touches a slot (8 bytes), an entry (8 bytes) and the text, each in an array of its
/// own. As a third to two thirds of the slots are taken, a key costs 20 to 32 bytes and its length.
#[derive(Clone, Debug)]
pub struct Index {
    /// A power of two of them, never more than two thirds taken; a key is at its hash's place or
    /// behind it.
    slots: Vec<Slot>,
    entries: Vec<Entry>,
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    /// [`Index::NONE`]: nobody's.
    number: u32,
}

/// Where in the text a key begins (40 bits), and the lengths of its name and its tags (12 bits each).
#[derive(Clone, Copy, Debug)]
struct Entry(u64);

const LENGTH: u64 = 0xfff;
const _: () = assert!(MAX_KEY <= LENGTH as usize && Index::MOST as u64 * MAX_KEY as u64 <= 1 << 40);

impl Entry {
    fn new(at: usize, name: usize, tags: usize) -> Entry {
        Entry((at as u64) << 24 | (name as u64) << 12 | tags as u64)
    }

    fn at(self) -> usize {
        (self.0 >> 24) as usize
    }

    fn name(self) -> usize {
        (self.0 >> 12 & LENGTH) as usize
    }

    fn tags(self) -> usize {
        (self.0 & LENGTH) as usize
    }
}

impl Default for Index {
    fn default() -> Self {
        Index { slots: vec![Slot::FREE; 16], entries: Vec::new(), text: Vec::new() }
    }
}

impl Slot {
    const FREE: Slot = Slot { hash: 0, number: Index::NONE };
}

impl Index {
    /// The number of no key.
    pub const NONE: u32 = u32::MAX;
    /// Most keys; the caller sees to it, and to it that none is longer than [`MAX_KEY`].
    pub const MOST: usize = 1 << 28;

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The first key of this hash, or `NONE`: most likely the one looked for, if it is there.
    #[inline]
    pub fn candidate(&self, hash: u32) -> u32 {
        self.slots_from(hash).find(|slot| slot.hash == hash || slot.number == Index::NONE).map_or(Index::NONE, |slot| slot.number)
    }

    /// Whether the key of this number is this one.
    #[inline]
    pub fn is(&self, number: u32, name: &[u8], tags: &[u8]) -> bool {
        let Some(&entry) = self.entries.get(number as usize) else { return false };
        if entry.name() != name.len() || entry.tags() != tags.len() {
            return false;
        }
        let text = &self.text[entry.at()..][..name.len() + tags.len()];
        &text[..name.len()] == name && (tags.is_empty() || &text[name.len()..] == tags)
    }

    pub fn find(&self, hash: u32, name: &[u8], tags: &[u8]) -> Option<u32> {
        self.slots_from(hash)
            .take_while(|slot| slot.number != Index::NONE)
            .find(|slot| slot.hash == hash && self.is(slot.number, name, tags))
            .map(|slot| slot.number)
    }

    /// Adds a key that is not there yet; its number.
    pub fn insert(&mut self, hash: u32, name: &[u8], tags: &[u8]) -> u32 {
        if (self.len() + 1) * 3 > self.slots.len() * 2 {
            let all = std::mem::take(&mut self.slots);
            self.slots = vec![Slot::FREE; all.len() * 2];
            all.into_iter().filter(|slot| slot.number != Index::NONE).for_each(|slot| self.put(slot));
        }
        let number = self.len() as u32;
        self.entries.push(Entry::new(self.text.len(), name.len(), tags.len()));
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(tags);
        self.put(Slot { hash, number });
        number
    }

    /// Name and tags of a key there is.
    pub fn parts(&self, number: usize) -> (&[u8], &[u8]) {
        let entry = self.entries[number];
        self.text[entry.at()..][..entry.name() + entry.tags()].split_at(entry.name())
    }

    pub fn clear(&mut self) {
        self.slots.fill(Slot::FREE);
        self.entries.clear();
        self.text.clear();
    }

    /// All slots, from a hash's place on and round.
    #[inline]
    fn slots_from(&self, hash: u32) -> impl Iterator<Item = Slot> {
        let mask = self.slots.len() - 1;
        (hash as usize..).map(move |at| self.slots[at & mask])
    }

    fn put(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = slot.hash as usize & mask;
        while self.slots[at].number != Index::NONE {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Few hashes for many keys: every chain is long, and goes round the end.
        #[test]
        fn every_key_is_found_by_its_number_whatever_the_hash(
            keys in prop::collection::hash_set(("[a-c]{0,4}", "[a-c]{0,3}"), 0..200),
            spread in prop::sample::select(vec![1u32, 3, 0x9e37_79b9]),
        ) {
            let hash = |name: &str, tags: &str| name.bytes().chain(tags.bytes()).map(u32::from).sum::<u32>().wrapping_mul(spread).wrapping_sub(400);
            let mut index = Index::default();
            let keys: Vec<_> = keys.into_iter().collect();
            for (n, (name, tags)) in keys.iter().enumerate() {
                let hash = hash(name, tags);
                prop_assert_eq!(index.find(hash, name.as_bytes(), tags.as_bytes()), None);
                prop_assert_eq!(index.insert(hash, name.as_bytes(), tags.as_bytes()) as usize, n);
            }
            for (n, (name, tags)) in keys.iter().enumerate() {
                prop_assert_eq!(index.find(hash(name, tags), name.as_bytes(), tags.as_bytes()), Some(n as u32));
                prop_assert_ne!(index.candidate(hash(name, tags)), Index::NONE);
                prop_assert_eq!(index.parts(n), (name.as_bytes(), tags.as_bytes()));
            }
            prop_assert_eq!(index.find(hash("d", ""), b"d", b""), None);
            index.clear();
            prop_assert_eq!(index.candidate(0), Index::NONE);
        }
    }
}
