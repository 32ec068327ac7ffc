use std::sync::Arc;

use message::Ticket;
use plugin::{Item, Verdicts};

use crate::outstanding::part;
use crate::queue::Work;

/// Messages that an output is handed together.
#[derive(Default)]
pub(crate) struct Round {
    works: Vec<Arc<Work>>,
    /// The encoded messages, one behind the other.
    pub bytes: Vec<u8>,
    items: Vec<Place>,
    /// Scratch memory.
    pub verdicts: Verdicts,
}

/// One message of a round.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    work: usize,
    pub index: u32,
    /// End of its bytes; they begin where those of the one before end.
    end: usize,
}

impl Round {
    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn clear(&mut self) {
        self.works.clear();
        self.bytes.clear();
        self.items.clear();
    }

    /// Adds the message at `index` of the work that is added next; its bytes were appended.
    pub fn add(&mut self, index: usize) {
        self.items.push(Place { work: self.works.len(), index: index as u32, end: self.bytes.len() });
    }

    /// Adds the work of which messages were added; one of which none was is let go.
    pub fn add_work(&mut self, work: Work) {
        if self.items.last().is_some_and(|item| item.work == self.works.len()) {
            self.works.push(Arc::new(work));
        }
    }

    /// The first `n` messages, and their bytes.
    pub fn offer(&self, n: usize) -> (&[u8], Vec<Item<'_>>) {
        let items = self.items[..n].iter().map(|p| Item { batch: &self.works[p.work].batch, index: p.index, end: p.end }).collect();
        (&self.bytes[..self.items[n - 1].end], items)
    }

    /// Each message with its work and the length of its bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Work>, Place, usize)> {
        let mut start = 0;
        self.items.iter().map(move |p| (&self.works[p.work], *p, p.end - std::mem::replace(&mut start, p.end)))
    }

    pub fn tickets(&self) -> Vec<Ticket> {
        self.works.iter().map(|w| w.batch.ticket().clone()).collect()
    }

    /// Keeps these messages, ascending, with their bytes.
    pub fn keep(&mut self, items: &[usize]) {
        if items.is_empty() {
            return self.clear();
        }
        let (mut kept, mut bytes) = (Vec::with_capacity(items.len()), Vec::new());
        for &i in items {
            let start = if i == 0 { 0 } else { self.items[i - 1].end };
            bytes.extend_from_slice(&self.bytes[start..self.items[i].end]);
            kept.push(Place { end: bytes.len(), ..self.items[i] });
        }
        self.items = kept;
        self.bytes = bytes;
    }

    /// What is left, as it goes back to the queue: the last first.
    pub fn into_works(self) -> impl Iterator<Item = Work> {
        let mut left: Vec<Vec<u32>> = vec![Vec::new(); self.works.len()];
        self.items.iter().for_each(|p| left[p.work].push(p.index));
        let works = self.works.into_iter().zip(left).rev().filter(|(_, left)| !left.is_empty());
        works.map(|(work, left)| part(&work, left))
    }
}
