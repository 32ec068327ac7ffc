use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::queue::Work;

/// Messages an output has taken and not yet given its verdict on, by the numbers it gave them.
#[derive(Default)]
pub(crate) struct Outstanding {
    items: BTreeMap<u64, Pending>,
    bytes: usize,
}

/// One of them. It holds its batch, and so the batch's ticket.
pub(crate) struct Pending {
    pub work: Arc<Work>,
    pub index: u32,
    /// Bytes it had encoded.
    pub len: usize,
}

impl Pending {
    /// Its part of what the queue counted for the work.
    fn share(&self) -> usize {
        (self.work.bytes / self.work.selection.len().max(1)).max(1)
    }

    /// As it goes back to the queue.
    pub fn into_work(self) -> Work {
        self.work.part(vec![self.index])
    }
}

impl Outstanding {
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Of the queue's bytes, how many are still held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds one; whatever had its number already comes back.
    pub fn add(&mut self, number: u64, pending: Pending) -> Option<Pending> {
        self.bytes += pending.share();
        let before = self.items.insert(number, pending);
        self.bytes -= before.as_ref().map_or(0, Pending::share);
        before
    }

    /// Those in a range of numbers, in order.
    pub fn take(&mut self, numbers: Range<u64>) -> Vec<Pending> {
        if numbers.is_empty() {
            return Vec::new();
        }
        let keys: Vec<u64> = self.items.range(numbers).map(|(number, _)| *number).collect();
        let taken: Vec<Pending> = keys.iter().filter_map(|number| self.items.remove(number)).collect();
        self.bytes -= taken.iter().map(Pending::share).sum::<usize>();
        taken
    }

    /// All of them, as they go back to the queue: the last first.
    pub fn into_works(self) -> Vec<Work> {
        works(self.items.into_values())
    }
}

/// Messages, in order, as they go back to the queue: the last first.
pub(crate) fn works(messages: impl IntoIterator<Item = Pending>) -> Vec<Work> {
    let mut works: Vec<(Arc<Work>, Vec<u32>)> = Vec::new();
    for item in messages {
        match works.last_mut().filter(|(work, _)| Arc::ptr_eq(work, &item.work)) {
            Some((_, indices)) => indices.push(item.index),
            None => works.push((item.work, vec![item.index])),
        }
    }
    works.into_iter().rev().map(|(work, indices)| work.part(indices)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::work;

    #[test]
    fn ranges_settle_and_the_rest_goes_back_in_order() {
        let (a, b) = (Arc::new(work(4)), Arc::new(work(2)));
        let mut out = Outstanding::default();
        let all = (0..4).map(|i| (a.clone(), i)).chain((0..2).map(|i| (b.clone(), i)));
        for (number, (work, index)) in (10..).zip(all) {
            assert!(out.add(number, Pending { work, index, len: 1 }).is_none());
        }
        assert_eq!((out.len(), out.bytes()), (6, 200));
        let settled: Vec<u32> = out.take(0..12).iter().map(|p| p.index).collect();
        assert_eq!((settled, out.take(90..u64::MAX).len(), out.bytes()), (vec![0, 1], 0, 150));
        assert_eq!(out.add(15, Pending { work: b.clone(), index: 0, len: 1 }).map(|p| p.index), Some(1));
        let back: Vec<Vec<usize>> = out.into_works().iter().map(|w| w.selection.iter().collect()).collect();
        assert_eq!(back, [vec![0, 0], vec![2, 3]]);
    }
}
