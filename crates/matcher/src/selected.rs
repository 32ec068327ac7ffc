use message::Selection;
use std::ops::Range;
use std::sync::Arc;

/// Which messages of a batch each consumer gets: the result of [`crate::Index::select`], and its
/// memory for the next time. It takes memory for the messages that were selected, however many
/// consumers there are.
#[derive(Default)]
pub struct Selected {
    len: u32,
    /// By slot.
    consumers: Arc<[usize]>,
    all: Arc<[usize]>,
    /// Slot and message, as one number that sorts by both.
    hits: Vec<u64>,
    spare: Vec<u64>,
    /// Messages, those of one slot side by side and ascending.
    messages: Vec<u32>,
    groups: Vec<Group>,
}

/// A slot with its part of `messages`.
struct Group {
    slot: u32,
    from: u32,
    to: u32,
}

impl Selected {
    pub(crate) fn reset(&mut self, consumers: &Arc<[usize]>, all: &Arc<[usize]>, len: u32) {
        self.hits.clear();
        self.consumers.clone_from(consumers);
        self.all.clone_from(all);
        self.len = len;
    }

    #[inline]
    pub(crate) fn add(&mut self, slot: u32, message: usize) {
        self.hits.push(u64::from(slot) << 32 | message as u64);
    }

    pub(crate) fn add_range(&mut self, slot: u32, messages: Range<usize>) {
        self.hits.extend(messages.map(|i| u64::from(slot) << 32 | i as u64));
    }

    /// Brings together what each slot has. It may have a message by several keys or matchers.
    pub(crate) fn group(&mut self) {
        self.sort();
        self.hits.dedup();
        self.messages.clear();
        self.groups.clear();
        for hit in &self.hits {
            let (slot, at) = ((hit >> 32) as u32, self.messages.len() as u32);
            self.messages.push(*hit as u32);
            match self.groups.last_mut() {
                Some(last) if last.slot == slot => last.to = at + 1,
                _ => self.groups.push(Group { slot, from: at, to: at + 1 }),
            }
        }
    }

    /// Few hits by comparison, many digit by digit of their slots: each consumer's hits come in the
    /// order of messages, unless it has several keys or matchers.
    fn sort(&mut self) {
        if self.hits.len() > FEW && !self.hits.is_sorted() {
            let bits = usize::BITS - self.consumers.len().leading_zeros();
            for shift in (32..32 + bits).step_by(DIGIT_BITS) {
                sort_by_digit(&self.hits, &mut self.spare, shift);
                std::mem::swap(&mut self.hits, &mut self.spare);
            }
        }
        if !self.hits.is_sorted() {
            self.hits.sort_unstable();
        }
    }

    /// Consumers that get every message because their matcher says so, ascending. They are not
    /// among [`Selected::some`].
    pub fn all(&self) -> &[usize] {
        &self.all
    }

    /// Each other consumer that gets a message, ascending, with the ascending, non-empty list of the
    /// messages' places in the batch.
    pub fn some(&self) -> impl Iterator<Item = (usize, &[u32])> {
        self.groups.iter().map(|g| (self.consumers[g.slot as usize], &self.messages[g.from as usize..g.to as usize]))
    }

    /// Each consumer that gets a message, with its selection.
    pub fn selections(&self) -> impl Iterator<Item = (usize, Selection)> {
        let every = self.all.iter().filter(|_| self.len > 0).map(|consumer| (*consumer, Selection::All(self.len)));
        let some = self.some().map(|(consumer, list)| {
            let complete = list.len() == self.len as usize;
            (consumer, if complete { Selection::All(self.len) } else { Selection::of(list) })
        });
        every.chain(some)
    }
}

/// Up to this many hits, the counts of digits would cost more than comparisons.
const FEW: usize = 64;
const DIGIT_BITS: usize = 7;

/// One pass of a radix sort, from its lowest digit on: stable, by the digit at `shift`.
fn sort_by_digit(from: &[u64], to: &mut Vec<u64>, shift: u32) {
    let digit = |hit: u64| (hit >> shift) as usize & ((1 << DIGIT_BITS) - 1);
    let mut ends = [0_u32; 1 << DIGIT_BITS];
    from.iter().for_each(|hit| ends[digit(*hit)] += 1);
    let mut sum = 0;
    for end in &mut ends {
        sum += std::mem::replace(end, sum);
    }
    // `ends` are beginnings until a digit's last hit is in its place.
    to.resize(from.len(), 0);
    for hit in from {
        let at = &mut ends[digit(*hit)];
        to[*at as usize] = *hit;
        *at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hits_are_grouped(hits in vec((0_u32..300, 0_usize..50), 0..400), consumers in 300_usize..20_000) {
            let mut selected = Selected::default();
            selected.reset(&(0..consumers).collect(), &Arc::default(), 50);
            hits.iter().for_each(|(slot, message)| selected.add(*slot, *message));
            selected.group();
            let found: Vec<(usize, usize)> = selected.some().flat_map(|(c, list)| list.iter().map(move |i| (c, *i as usize))).collect();
            let expected: std::collections::BTreeSet<_> = hits.iter().map(|(slot, message)| (*slot as usize, *message)).collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
            prop_assert!(selected.some().map(|(c, _)| c).is_sorted_by(|a, b| a < b));
        }
    }
}
