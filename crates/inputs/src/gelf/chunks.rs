use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// How long the chunks of a message may take, as the format says.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most chunks of a message, as the format says.
const MOST: usize = 128;

const MAGIC: &[u8] = &[0x1e, 0x0f];

/// Bytes in front of each chunk: magic, the message's number, the chunk's place and how many there are.
const HEAD: usize = 12;

/// Whom a message is of, and its number.
type Key = (Option<IpAddr>, [u8; 8]);

/// Messages that came in several datagrams. What is kept of them is bounded in number, bytes and time; when there is too
/// much, the oldest go.
pub struct Chunks {
    max_messages: usize,
    max_bytes: usize,
    partial: HashMap<Key, Partial>,
    /// In the order they began, and when; those that are complete may still be in it.
    order: VecDeque<(Key, Duration)>,
    bytes: usize,
    /// Messages given up since the last [`Chunks::lost`].
    lost: u64,
}

struct Partial {
    began: Duration,
    chunks: Vec<Option<Box<[u8]>>>,
    missing: usize,
    bytes: usize,
}

/// What a datagram is.
#[derive(PartialEq, Eq, Debug)]
pub enum Datagram<'a> {
    /// A message of its own.
    Whole(&'a [u8]),
    /// The last chunk that was missing.
    Complete(Vec<u8>),
    /// One of several chunks, or one that was there already.
    Part,
    /// A chunk that is none.
    Wrong,
}

impl Chunks {
    pub fn new(max_messages: usize, max_bytes: usize) -> Chunks {
        Chunks { max_messages, max_bytes, partial: HashMap::new(), order: VecDeque::new(), bytes: 0, lost: 0 }
    }

    /// Takes a datagram; `now` is of the steady clock.
    pub fn take<'a>(&mut self, datagram: &'a [u8], from: Option<IpAddr>, now: Duration) -> Datagram<'a> {
        if !datagram.starts_with(MAGIC) {
            return Datagram::Whole(datagram);
        }
        let Some((head, chunk)) = datagram.split_first_chunk::<HEAD>() else { return Datagram::Wrong };
        let [_, _, number @ .., place, count] = *head;
        let (place, count) = (usize::from(place), usize::from(count));
        if count == 0 || count > MOST || place >= count || chunk.is_empty() || chunk.len() > self.max_bytes {
            return Datagram::Wrong;
        }
        let key = (from, number);
        if self.partial.get(&key).is_some_and(|partial| partial.chunks.len() != count) {
            return Datagram::Wrong;
        }
        if !self.partial.contains_key(&key) {
            self.begin(key, count, now);
        }
        self.add(key, place, chunk)
    }

    fn begin(&mut self, key: Key, count: usize, now: Duration) {
        while self.partial.len() >= self.max_messages {
            self.give_up_oldest();
        }
        let chunks = (0..count).map(|_| None).collect();
        self.partial.insert(key, Partial { began: now, chunks, missing: count, bytes: 0 });
        self.order.push_back((key, now));
        // Complete ones leave their places behind.
        if self.order.len() > 2 * self.max_messages {
            let partial = &self.partial;
            self.order.retain(|(key, began)| partial.get(key).is_some_and(|p| p.began == *began));
        }
    }

    fn add<'a>(&mut self, key: Key, place: usize, chunk: &[u8]) -> Datagram<'a> {
        while self.bytes + chunk.len() > self.max_bytes && !self.partial.is_empty() {
            self.give_up_oldest();
        }
        // It may have been the oldest itself.
        let Some(partial) = self.partial.get_mut(&key) else { return Datagram::Part };
        let slot = &mut partial.chunks[place];
        if slot.is_some() {
            return Datagram::Part;
        }
        *slot = Some(chunk.into());
        partial.missing -= 1;
        partial.bytes += chunk.len();
        self.bytes += chunk.len();
        if partial.missing > 0 {
            return Datagram::Part;
        }
        let whole = self.remove(key).map(|partial| partial.chunks.into_iter().flatten().collect::<Vec<_>>().concat());
        whole.map_or(Datagram::Part, Datagram::Complete)
    }

    fn remove(&mut self, key: Key) -> Option<Partial> {
        let partial = self.partial.remove(&key)?;
        self.bytes -= partial.bytes;
        Some(partial)
    }

    fn give_up_oldest(&mut self) {
        while let Some((key, began)) = self.order.pop_front() {
            if self.partial.get(&key).is_some_and(|p| p.began == began) {
                self.remove(key);
                self.lost += 1;
                return;
            }
        }
    }

    /// Gives up those that have not become complete in time.
    pub fn expire(&mut self, now: Duration) {
        while self.order.front().is_some_and(|(_, began)| now.saturating_sub(*began) >= PATIENCE) {
            let Some((key, began)) = self.order.pop_front() else { return };
            if self.partial.get(&key).is_some_and(|p| p.began == began) {
                self.remove(key);
                self.lost += 1;
            }
        }
    }

    /// Messages that were given up since this was asked last.
    pub fn lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

/// The datagrams of a message, in chunks of so many bytes.
#[cfg(test)]
pub fn cut(message: &[u8], number: u64, size: usize) -> Vec<Vec<u8>> {
    let count = message.len().div_ceil(size) as u8;
    let head = |place: usize| [MAGIC, &number.to_be_bytes(), &[place as u8, count]].concat();
    message.chunks(size).enumerate().map(|(place, chunk)| [head(place), chunk.to_vec()].concat()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: Duration = Duration::from_secs(100);

    proptest! {
        #[test]
        fn messages_become_whole_in_any_order(message in prop::collection::vec(any::<u8>(), 1..300), other in prop::collection::vec(any::<u8>(), 1..300), order: prop::sample::Index, seed in any::<u64>()) {
            let mut chunks = Chunks::new(10, 10_000);
            let mut datagrams = [cut(&message, 1, 13), cut(&other, 2, 11), cut(&message, 1, 13).into_iter().take(1).collect()].concat();
            let n = datagrams.len();
            datagrams.rotate_left(order.index(n));
            datagrams.sort_by_key(|d| d.iter().fold(seed, |hash, b| hash.wrapping_mul(31).wrapping_add(u64::from(*b))));
            let mut whole: Vec<_> = datagrams.iter().filter_map(|d| match chunks.take(d, None, T) {
                Datagram::Complete(message) => Some(message),
                other => { assert_eq!(other, Datagram::Part); None }
            }).collect();
            // One that comes twice may make another one out of one chunk.
            whole.dedup();
            prop_assert!(whole.contains(&message) && whole.contains(&other));
        }

        #[test]
        fn what_is_kept_is_bounded(datagrams in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0x1e_u8), Just(0x0f), 0..4u8], 0..40), 0..200)) {
            let mut chunks = Chunks::new(3, 60);
            for (n, d) in datagrams.iter().enumerate() {
                let datagram = [MAGIC, d].concat();
                chunks.take(&datagram, None, T + Duration::from_millis(n as u64));
                prop_assert!(chunks.partial.len() <= 3 && chunks.bytes <= 60 && chunks.order.len() <= 7);
                prop_assert_eq!(chunks.bytes, chunks.partial.values().map(|p| p.bytes).sum::<usize>());
            }
            chunks.expire(T + Duration::from_secs(60));
            prop_assert_eq!((chunks.partial.len(), chunks.bytes), (0, 0));
        }
    }

    #[test]
    fn chunks_that_are_none() {
        let mut chunks = Chunks::new(3, 100);
        let chunk = |place: u8, count: u8, text: &[u8]| [MAGIC, &[7; 8], &[place, count], text].concat();
        for wrong in [MAGIC, &chunk(0, 0, b"x"), &chunk(2, 2, b"x"), &chunk(0, 129, b"x"), &chunk(0, 2, b""), &chunk(0, 2, &[0; 101])] {
            assert_eq!(chunks.take(wrong, None, T), Datagram::Wrong, "{wrong:?}");
        }
        assert_eq!(chunks.take(&chunk(0, 2, b"x"), None, T), Datagram::Part);
        assert_eq!(chunks.take(&chunk(1, 3, b"y"), None, T), Datagram::Wrong);
        // The same number of another sender is another message.
        let other = Some(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(chunks.take(&chunk(1, 2, b"z"), other, T), Datagram::Part);
        assert_eq!(chunks.take(&chunk(1, 2, b"y"), None, T), Datagram::Complete(b"xy".to_vec()));
        chunks.expire(T + PATIENCE);
        assert_eq!((chunks.lost(), chunks.take(b"{}", None, T)), (1, Datagram::Whole(b"{}")));
    }
}
