use std::collections::HashMap;

/// Counts by key, in the order the keys came up, and one count for all keys beyond the cap.
pub struct Tally {
    /// What the keys mean; a saved tally of another meaning is not taken over.
    meaning: String,
    max_keys: usize,
    index: HashMap<Box<[u8]>, usize>,
    keys: Vec<Box<[u8]>>,
    counts: Vec<Count>,
    other: Count,
    /// Place of the key that came last: often it comes again.
    last: usize,
}

#[derive(Clone, Copy, Default)]
pub struct Count {
    pub total: u64,
    /// Since the last tick.
    pub delta: u64,
}

impl Count {
    fn add(&mut self, n: u64) {
        self.total += n;
        self.delta += n;
    }
}

impl Tally {
    pub fn new(meaning: &str, max_keys: usize) -> Tally {
        let mut tally = Tally {
            meaning: meaning.to_string(),
            max_keys,
            index: HashMap::new(),
            keys: Vec::new(),
            counts: Vec::new(),
            other: Count::default(),
            last: 0,
        };
        if meaning.is_empty() {
            // Without keys there is a count from the start, of zero.
            tally.add(b"", 0);
        }
        tally
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn max_keys(&self) -> usize {
        self.max_keys
    }

    pub fn add(&mut self, key: &[u8], n: u64) {
        self.count(key).add(n);
    }

    fn count(&mut self, key: &[u8]) -> &mut Count {
        if self.keys.get(self.last).is_some_and(|last| **last == *key) {
            return &mut self.counts[self.last];
        }
        self.last = match self.index.get(key) {
            Some(at) => *at,
            None if self.keys.len() >= self.max_keys => return &mut self.other,
            None => {
                self.index.insert(key.into(), self.keys.len());
                self.keys.push(key.into());
                self.counts.push(Count::default());
                self.keys.len() - 1
            }
        };
        &mut self.counts[self.last]
    }

    /// Every key with its count; at last, without a key, the count of those beyond the cap, if there are any.
    pub fn each(&mut self, each: &mut impl FnMut(Option<&[u8]>, &mut Count)) {
        for (key, count) in self.keys.iter().zip(&mut self.counts) {
            each(Some(key), count);
        }
        if self.other.total > 0 {
            each(None, &mut self.other);
        }
    }

    /// The meaning, the count of others, then each key with its count; numbers little-endian, texts after a 32-bit length.
    pub fn save(&self) -> Vec<u8> {
        let mut into = Vec::new();
        let text = |into: &mut Vec<u8>, bytes: &[u8]| {
            into.extend((bytes.len() as u32).to_le_bytes());
            into.extend(bytes);
        };
        let count = |into: &mut Vec<u8>, count: &Count| into.extend([count.total, count.delta].iter().flat_map(|n| n.to_le_bytes()));
        text(&mut into, self.meaning.as_bytes());
        into.extend((self.keys.len() as u32).to_le_bytes());
        count(&mut into, &self.other);
        for (key, one) in self.keys.iter().zip(&self.counts) {
            text(&mut into, key);
            count(&mut into, one);
        }
        into
    }

    /// Takes over a saved tally; keys beyond today's cap join the others.
    ///
    /// # Errors
    /// Counts by something else, or damaged bytes; the tally is then as before.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let mut from = saved;
        let damaged = || "the saved counts are damaged".to_string();
        if take_text(&mut from).ok_or_else(damaged)? != self.meaning.as_bytes() {
            return Err("the saved counts are of another `by`".to_string());
        }
        let mut next = Tally::new(&self.meaning, self.max_keys);
        next.read(&mut from).filter(|()| from.is_empty()).ok_or_else(damaged)?;
        *self = next;
        Ok(())
    }

    fn read(&mut self, from: &mut &[u8]) -> Option<()> {
        let keys = u32::from_le_bytes(take(from)?);
        self.other = take_count(from)?;
        for _ in 0..keys {
            let key = take_text(from)?;
            let saved = take_count(from)?;
            let count = self.count(key);
            *count = Count { total: count.total.saturating_add(saved.total), delta: count.delta.saturating_add(saved.delta) };
        }
        Some(())
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*head)
}

fn take_count(from: &mut &[u8]) -> Option<Count> {
    Some(Count { total: u64::from_le_bytes(take(from)?), delta: u64::from_le_bytes(take(from)?) })
}

fn take_text<'s>(from: &mut &'s [u8]) -> Option<&'s [u8]> {
    let n = u32::from_le_bytes(take(from)?) as usize;
    let (head, rest) = from.split_at_checked(n)?;
    *from = rest;
    Some(head)
}
