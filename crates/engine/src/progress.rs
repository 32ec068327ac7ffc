use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use message::{Batch, Outcome, Selection, Ticket};

use crate::origin::{Origin, Positions};
use crate::sync::{Mutex, MutexGuard};

/// Follows what a consumer has taken until it is accepted: how far the consumer has what can be read again, and below which
/// number of the journal everything it took is accepted.
#[derive(Default, Debug)]
pub(crate) struct Progress {
    inner: Mutex<Inner>,
}

#[derive(Default, Debug)]
struct Inner {
    /// Number of the next entry.
    next: u64,
    /// From the first that is under way on.
    entries: BTreeMap<u64, Entry>,
    positions: Positions,
    changed: bool,
    /// Behind the last record of the journal that was its own.
    seen: u64,
    /// Something was let go without a verdict: positions and cursor stand still.
    halted: Option<u64>,
}

#[derive(Debug)]
enum Entry {
    UnderWay(UnderWay),
    /// Accepted, with its neighbours: while one work is stuck for days, the list of those behind it does not grow.
    Accepted(Positions),
}

#[derive(Debug)]
struct UnderWay {
    place: Place,
    /// Who waits to hear that it is accepted, or written.
    sender: Ticket,
    content: Option<Content>,
    /// When it was queued, on the steady clock.
    queued: Duration,
}

/// Where work comes from.
#[derive(Clone, Default, Debug)]
pub(crate) struct Place {
    /// What can be read again.
    pub origin: Option<Arc<Origin>>,
    /// Its number in the journal.
    pub record: Option<u64>,
    /// Number behind the last record of its consumer before that.
    pub follows: Option<u64>,
    /// Under which number its consumer's progress follows it, once it was taken.
    pub number: Option<u64>,
    /// What tells it from other work in its consumer's line.
    pub key: u64,
}

impl Place {
    /// Whether it comes back when the process dies.
    pub fn comes_again(&self) -> bool {
        self.origin.is_some() || self.record.is_some()
    }
}

/// The messages of some work.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub batch: Arc<Batch>,
    pub selection: Selection,
}

/// Work that is in memory only.
pub(crate) struct Unwritten {
    pub key: u64,
    pub batch: Arc<Batch>,
    pub selection: Selection,
    pub origin: Option<Arc<Origin>>,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|p| p.into_inner())
    }

    /// What the consumer had when it started.
    pub fn start(&self, positions: Positions, cursor: u64) {
        let mut p = self.lock();
        (p.positions, p.seen) = (positions, cursor);
    }

    /// Follows work that is taken next: its number, and a ticket in the place of its sender's.
    pub fn follow(self: &Arc<Progress>, sender: Ticket, place: Place, content: Option<Content>, queued: Duration) -> (u64, Ticket) {
        let mut p = self.lock();
        let number = p.next;
        p.next += 1;
        p.seen = place.record.map_or(p.seen, |record| p.seen.max(record + 1));
        p.entries.insert(number, Entry::UnderWay(UnderWay { place, sender, content, queued }));
        drop(p);
        let progress = self.clone();
        (number, Ticket::new(move |outcome| progress.settle(number, outcome)))
    }

    /// Whether work is in the journal by now.
    pub fn is_written(&self, place: &Place) -> bool {
        let written = |number| matches!(self.lock().entries.get(&number), Some(Entry::UnderWay(e)) if e.place.record.is_some());
        place.record.is_some() || place.number.is_some_and(written)
    }

    fn settle(&self, number: u64, outcome: Outcome) {
        let mut guard = self.lock();
        let p = &mut *guard;
        let Some(Entry::UnderWay(entry)) = p.entries.remove(&number) else { return };
        // Let go outside of the lock: whoever hears of it may send.
        let UnderWay { place, sender, content, .. } = entry;
        if outcome == Outcome::Abandoned {
            sender.abandon();
            p.halt(place.record);
        }
        p.accept(number, place.origin.as_deref());
        drop(guard);
        drop((sender, content));
    }

    /// Work that was never taken was let go of without a verdict.
    pub fn halt(&self, record: Option<u64>) {
        self.lock().halt(record);
    }

    /// Work that was taken before it was written, was queued before `until`, and is in memory only: from a key on, in order.
    pub fn unwritten(&self, until: Duration, from: u64) -> Vec<Unwritten> {
        let p = self.lock();
        let item = |entry: &UnderWay| {
            let (Content { batch, selection }, place) = (entry.content.clone()?, &entry.place);
            Some(Unwritten { key: place.key, batch, selection, origin: place.origin.clone() })
        };
        p.under_way().filter(|e| e.is_unwritten(until) && e.place.key >= from).filter_map(item).collect()
    }

    /// Whether there is such work.
    pub fn is_overdue(&self, until: Duration) -> bool {
        self.lock().under_way().any(|e| e.is_unwritten(until))
    }

    /// Work has this number in the journal now. Its sender need not wait for the consumer any more.
    pub fn written(&self, key: u64, record: u64) -> Option<Ticket> {
        let mut p = self.lock();
        p.seen = p.seen.max(record + 1);
        let mut under_way = p.entries.values_mut().filter_map(Entry::under_way_mut);
        let entry = under_way.find(|e| e.place.key == key && e.place.record.is_none())?;
        entry.place.record = Some(record);
        entry.content = None;
        Some(std::mem::take(&mut entry.sender))
    }

    /// Nothing of its own is in the journal below this number but what is under way.
    pub fn pass(&self, end: u64) {
        let mut p = self.lock();
        p.seen = p.seen.max(end);
    }

    /// Everything it took below this number of the journal is accepted.
    pub fn cursor(&self) -> u64 {
        let p = self.lock();
        let under_way = p.under_way().filter_map(|e| e.place.record);
        under_way.chain(p.halted).min().map_or(p.seen, |least| least.min(p.seen))
    }

    /// Whether records of the journal are under way, or were let go of without a verdict.
    pub fn holds_records(&self) -> bool {
        let p = self.lock();
        p.halted.is_some_and(|record| record < u64::MAX) || p.under_way().any(|e| e.place.record.is_some())
    }

    /// What to write down, if it changed since the last call.
    pub fn positions_if_changed(&self) -> Option<Positions> {
        let mut p = self.lock();
        std::mem::take(&mut p.changed).then(|| p.positions.clone())
    }

    /// What was to be written down could not be: it is wanted again.
    pub fn not_saved(&self) {
        self.lock().changed = true;
    }
}

impl Inner {
    fn under_way(&self) -> impl Iterator<Item = &UnderWay> {
        self.entries.values().filter_map(|e| if let Entry::UnderWay(e) = e { Some(e) } else { None })
    }

    fn halt(&mut self, record: Option<u64>) {
        let record = record.unwrap_or(u64::MAX);
        self.halted = Some(self.halted.map_or(record, |halted| halted.min(record)));
    }

    /// Positions move in order, never past what is not accepted.
    fn accept(&mut self, number: u64, origin: Option<&Origin>) {
        let first = self.entries.first_key_value().is_none_or(|(first, _)| *first > number);
        if !first {
            return self.join(number, origin);
        }
        if let Some(origin) = origin.filter(|_| self.halted.is_none()) {
            self.positions.advance(origin);
            self.changed = true;
        }
        while let Some(entry) = self.entries.first_entry().filter(|e| matches!(e.get(), Entry::Accepted(_))) {
            if let Entry::Accepted(positions) = entry.remove()
                && self.halted.is_none()
                && !positions.is_empty()
            {
                self.positions.absorb(positions);
                self.changed = true;
            }
        }
    }

    /// Work that is accepted before others is joined with its neighbours of that kind.
    fn join(&mut self, number: u64, origin: Option<&Origin>) {
        let mut positions = Positions::default();
        origin.into_iter().for_each(|origin| positions.advance(origin));
        let after = self.entries.range(number..).next().filter(|(_, e)| matches!(e, Entry::Accepted(_))).map(|(n, _)| *n);
        if let Some(Entry::Accepted(later)) = after.and_then(|after| self.entries.remove(&after)) {
            positions.absorb(later);
        }
        match self.entries.range_mut(..number).next_back() {
            Some((_, Entry::Accepted(before))) => before.absorb(positions),
            _ => drop(self.entries.insert(number, Entry::Accepted(positions))),
        }
    }
}

impl Entry {
    fn under_way_mut(&mut self) -> Option<&mut UnderWay> {
        if let Entry::UnderWay(e) = self { Some(e) } else { None }
    }
}

impl UnderWay {
    fn is_unwritten(&self, until: Duration) -> bool {
        self.place.record.is_none() && self.content.is_some() && self.sender.is_awaited() && self.queued < until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Part;
    use message::BatchBuilder;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn origin(to: u64) -> Place {
        let reached = vec![Part { life: 1, from: 0, to }];
        Place { origin: Some(Arc::new(Origin { input: "input.a".into(), reached })), ..Place::default() }
    }

    fn record(record: u64) -> Place {
        Place { record: Some(record), ..Place::default() }
    }

    fn follow(p: &Arc<Progress>, place: Place) -> Ticket {
        p.follow(Ticket::none(), place, None, Duration::ZERO).1
    }

    #[test]
    fn positions_move_in_order_and_the_cursor_to_what_is_not_accepted() {
        let p = Arc::new(Progress::default());
        p.start(Positions::default(), 3);
        assert_eq!(p.cursor(), 3);
        let [a, b, c, d] = [origin(10), record(5), origin(20), record(9)].map(|place| follow(&p, place));
        p.pass(100);
        assert_eq!(p.cursor(), 5);
        drop(b);
        drop(c);
        assert_eq!((p.positions_if_changed(), p.cursor(), p.holds_records()), (None, 9, true));
        drop(a);
        assert_eq!(p.positions_if_changed().unwrap().of("input.a", 1), Some(20));
        drop(d);
        assert_eq!((p.cursor(), p.holds_records()), (100, false));
    }

    #[test]
    fn what_was_let_go_halts_both() {
        let p = Arc::new(Progress::default());
        let [a, b] = [origin(10), record(5)].map(|place| follow(&p, place));
        a.abandon();
        drop(a);
        drop(b);
        assert_eq!((p.positions_if_changed(), p.cursor()), (None, 6));
        follow(&p, record(8)).abandon();
        drop(follow(&p, record(9)));
        assert_eq!(p.cursor(), 8);
    }

    #[test]
    fn behind_one_that_is_stuck_the_list_does_not_grow() {
        let p = Arc::new(Progress::default());
        let stuck = follow(&p, origin(1));
        let later: Vec<_> = (2..1000).map(|to| follow(&p, origin(to))).collect();
        // Every other one first, from behind.
        let (even, odd): (Vec<_>, Vec<_>) = later.into_iter().enumerate().rev().partition(|(i, _)| i % 2 == 0);
        drop(even);
        drop(odd);
        let entries = || p.lock().entries.len();
        assert_eq!((entries(), p.positions_if_changed()), (2, None));
        drop(stuck);
        assert_eq!((entries(), p.positions_if_changed().unwrap().of("input.a", 1)), (0, Some(999)));
    }

    #[test]
    fn a_sender_hears_when_its_work_is_written_or_settled() {
        let (p, heard) = (Arc::new(Progress::default()), Arc::new(AtomicUsize::new(0)));
        let batch = Arc::new(BatchBuilder::default().finish());
        let send = |key: u64| {
            let (heard, content) = (heard.clone(), Content { batch: batch.clone(), selection: batch.all() });
            let hear = move |_| {
                heard.fetch_add(1, Ordering::Relaxed);
            };
            p.follow(Ticket::new(hear), Place { key, ..Place::default() }, Some(content), Duration::from_secs(key)).1
        };
        let [_stuck, done, _late] = [1, 2, 9].map(send);
        drop(done);
        assert_eq!(heard.load(Ordering::Relaxed), 1);
        let until = Duration::from_secs(5);
        let unwritten = p.unwritten(until, 0);
        assert!(p.is_overdue(until) && unwritten.len() == 1);
        drop(p.written(unwritten[0].key, 7).unwrap());
        assert!(!p.is_overdue(until) && p.unwritten(Duration::MAX, 0).len() == 1);
        assert_eq!((heard.load(Ordering::Relaxed), p.cursor()), (2, 7));
    }
}
