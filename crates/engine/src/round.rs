use std::ops::Range;
use std::sync::Arc;

use message::Ticket;
use plugin::{Encoded, Part};

use crate::queue::Work;

/// Messages that an output is handed together. They are counted through; the work they came in says
/// which ones they are, so that a message costs nothing as long as nobody looks at it.
#[derive(Default)]
pub(crate) struct Round {
    works: Vec<Held>,
    len: usize,
    /// The messages encoded; empty where nobody wants bytes.
    pub encoded: Encoded,
}

/// Work of which every message belongs to the round.
pub(crate) struct Held {
    pub work: Arc<Work>,
    /// How many messages come before it.
    first: usize,
}

impl Held {
    fn range(&self) -> Range<usize> {
        self.first..self.first + self.work.selection.len()
    }

    /// The index in its batch of message `i` of the round.
    fn index(&self, i: usize) -> u32 {
        self.work.selection.index(i - self.first) as u32
    }
}

impl Round {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn clear(&mut self) {
        self.works.clear();
        self.len = 0;
        self.encoded.truncate(0);
    }

    /// Adds work whose messages were encoded but for those in `refused`, ascending.
    pub fn add(&mut self, work: Work, refused: &[u32]) {
        let work = match refused {
            [] => work,
            _ => work.part(work.selection.iter().map(|i| i as u32).filter(|i| refused.binary_search(i).is_err()).collect()),
        };
        if !work.selection.is_empty() {
            let first = self.len;
            self.len += work.selection.len();
            self.works.push(Held { work: Arc::new(work), first });
        }
    }

    /// The work as an output sees it.
    pub fn parts(&self) -> Vec<Part<'_>> {
        self.works.iter().map(|Held { work, first }| Part { batch: &work.batch, selection: &work.selection, first: *first }).collect()
    }

    /// What a range of messages comes from: pieces of work, each with the messages that are its own.
    pub fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = (&Held, Range<usize>)> {
        let within = move |own: Range<usize>| own.start.max(range.start)..own.end.min(range.end);
        self.works.iter().map(move |held| (held, within(held.range()))).filter(|(_, own)| !own.is_empty())
    }

    /// Each message of a range with its work, its index in the batch, and its size.
    pub fn messages(&self, range: Range<usize>) -> impl Iterator<Item = (&Arc<Work>, u32, usize)> {
        self.pieces(range).flat_map(|(held, own)| own.map(|i| (&held.work, held.index(i), self.size(i..i + 1))))
    }

    /// Bytes of a range of messages.
    pub fn size(&self, range: Range<usize>) -> usize {
        self.encoded.place(range).len()
    }

    pub fn tickets(&self) -> Vec<Ticket> {
        self.works.iter().map(|held| held.work.ticket.clone()).collect()
    }

    /// Keeps these ranges of messages, ascending, with their bytes.
    pub fn keep(&mut self, ranges: &[Range<usize>]) {
        match ranges {
            [] => return self.clear(),
            [all] if *all == (0..self.len) => return,
            _ => {}
        }
        let mut kept = Round::default();
        for range in ranges.iter().filter(|_| !self.encoded.is_empty()) {
            let place = self.encoded.place(range.clone());
            let ends = self.encoded.ends[range.clone()].iter().map(|end| kept.encoded.bytes.len() + end - place.start);
            kept.encoded.ends.extend(ends);
            kept.encoded.bytes.extend_from_slice(&self.encoded.bytes[place]);
        }
        let mut indices: Vec<Vec<u32>> = vec![Vec::new(); self.works.len()];
        for (range, held) in ranges.iter().flat_map(|range| self.pieces(range.clone()).map(|(held, own)| (own, held))) {
            let work = self.works.partition_point(|other| other.first < held.first);
            indices[work].extend(range.map(|i| held.index(i)));
        }
        for (held, left) in self.works.iter().zip(indices).filter(|(_, left)| !left.is_empty()) {
            kept.add(held.work.part(left), &[]);
        }
        *self = kept;
    }

    /// What is left, as it goes back to the queue: the last first.
    pub fn into_works(self) -> impl Iterator<Item = Work> {
        self.works.into_iter().rev().map(|held| Arc::unwrap_or_clone(held.work))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::work;

    /// Each message with its bytes.
    fn content(round: &Round) -> Vec<(u32, String)> {
        let parts = round.parts();
        let batch = plugin::OutBatch::new(round.len(), &parts, &round.encoded);
        let texts = batch.iter().map(|item| String::from_utf8_lossy(item.bytes).into_owned());
        round.messages(0..round.len()).zip(texts).map(|((_, index, _), text)| (index, text)).collect()
    }

    fn own((index, text): (u32, &str)) -> (u32, String) {
        (index, text.to_string())
    }

    fn round() -> Round {
        let mut round = Round::default();
        for text in ["a0", "a1", "a3", "b00", "b1"] {
            round.encoded.bytes.extend_from_slice(text.as_bytes());
            round.encoded.ends.push(round.encoded.bytes.len());
        }
        round.add(work(4), &[2]);
        round.add(work(1), &[0]);
        round.add(work(2), &[]);
        round
    }

    #[test]
    fn what_is_kept_stays_in_order_and_goes_back_in_order() {
        let mut round = round();
        assert_eq!(content(&round), [(0, "a0"), (1, "a1"), (3, "a3"), (0, "b00"), (1, "b1")].map(own));
        assert_eq!((round.size(1..4), round.size(2..2)), (7, 0));
        round.keep(&[0..1, 2..4]);
        assert_eq!(content(&round), [(0, "a0"), (3, "a3"), (0, "b00")].map(own));
        let back: Vec<Vec<usize>> = round.into_works().map(|w| w.selection.iter().collect()).collect();
        assert_eq!(back, [vec![0], vec![0, 3]]);
    }

    #[test]
    fn without_bytes_messages_are_kept_all_the_same() {
        let mut round = round();
        round.encoded.truncate(0);
        round.keep(std::slice::from_ref(&(4..5)));
        assert_eq!(content(&round), [(1, "")].map(own));
        round.keep(&[]);
        assert!(round.is_empty());
    }
}
