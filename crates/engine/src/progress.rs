use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use message::{Batch, Outcome, Selection, Ticket};

use crate::origin::{Origin, Positions};
use crate::sync::{Mutex, MutexGuard};

/// Follows a consumer's work from the queue to acceptance: how far the consumer has what can be read again, and below which
/// number of the journal everything of its own is accepted.
#[derive(Default, Debug)]
pub(crate) struct Progress {
    inner: Mutex<Inner>,
}

#[derive(Default, Debug)]
struct Inner {
    /// Number of the first entry.
    first: u64,
    entries: VecDeque<Entry>,
    positions: Positions,
    changed: bool,
    /// Behind the last record of the journal that was its own.
    seen: u64,
    /// Something was let go without a verdict: positions and cursor stand still.
    halted: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    /// Who waits to hear that it is accepted, or written.
    sender: Ticket,
    content: Option<Content>,
    /// When it was queued, on the steady clock.
    queued: Duration,
    settled: bool,
}

/// Where work comes from.
#[derive(Clone, Default, Debug)]
pub(crate) struct Place {
    /// What can be read again.
    pub origin: Option<Arc<Origin>>,
    /// Its number in the journal.
    pub record: Option<u64>,
    /// Under which number its consumer's progress follows it.
    pub number: Option<u64>,
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
    pub number: u64,
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

    /// Follows work that comes next: its number, and a ticket in the place of its sender's.
    pub fn follow(self: &Arc<Progress>, sender: Ticket, place: Place, content: Option<Content>, queued: Duration) -> (u64, Ticket) {
        let mut p = self.lock();
        let number = p.first + p.entries.len() as u64;
        p.seen = place.record.map_or(p.seen, |record| p.seen.max(record + 1));
        p.entries.push_back(Entry { place, sender, content, queued, settled: false });
        drop(p);
        let progress = self.clone();
        (number, Ticket::new(move |outcome| progress.settle(number, outcome)))
    }

    /// Whether work is in the journal by now.
    pub fn is_written(&self, place: &Place) -> bool {
        let written = |number| self.lock().entry(number).is_some_and(|e| e.place.record.is_some());
        place.record.is_some() || place.number.is_some_and(written)
    }

    fn settle(&self, number: u64, outcome: Outcome) {
        let mut guard = self.lock();
        let p = &mut *guard;
        let Some(entry) = p.entry(number) else { return };
        // Let go outside of the lock: whoever hears of it may send.
        let (sender, content) = (std::mem::take(&mut entry.sender), entry.content.take());
        if outcome == Outcome::Abandoned {
            sender.abandon();
        }
        entry.settled = true;
        let record = entry.place.record.unwrap_or(u64::MAX);
        if outcome == Outcome::Abandoned {
            p.halted = Some(p.halted.map_or(record, |halted| halted.min(record)));
        }
        p.advance();
        drop(guard);
        drop((sender, content));
    }

    /// Work of before `until` that is in memory only, in order.
    pub fn unwritten(&self, until: Duration) -> Vec<Unwritten> {
        let p = self.lock();
        let item = |(number, entry): (u64, &Entry)| {
            let Content { batch, selection } = entry.content.clone()?;
            Some(Unwritten { number, batch, selection, origin: entry.place.origin.clone() })
        };
        (p.first..).zip(&p.entries).filter(|(_, e)| e.is_unwritten() && e.queued < until).filter_map(item).collect()
    }

    /// Whether there is such work.
    pub fn is_overdue(&self, until: Duration) -> bool {
        self.lock().entries.iter().any(|e| e.is_unwritten() && e.queued < until)
    }

    /// Work has this number in the journal now. Its sender need not wait for the consumer any more.
    pub fn written(&self, number: u64, record: u64) -> Option<Ticket> {
        let mut p = self.lock();
        p.seen = p.seen.max(record + 1);
        let entry = p.entry(number).filter(|e| !e.settled)?;
        entry.place.record = Some(record);
        entry.content = None;
        Some(std::mem::take(&mut entry.sender))
    }

    /// Nothing of its own is in the journal below this number but what is under way.
    pub fn pass(&self, end: u64) {
        let mut p = self.lock();
        p.seen = p.seen.max(end);
    }

    /// Everything of its own below this number of the journal is accepted.
    pub fn cursor(&self) -> u64 {
        let p = self.lock();
        let under_way = p.entries.iter().filter(|e| !e.settled).filter_map(|e| e.place.record);
        under_way.chain(p.halted).min().map_or(p.seen, |least| least.min(p.seen))
    }

    /// Whether records of the journal are under way.
    pub fn holds_records(&self) -> bool {
        self.lock().entries.iter().any(|e| !e.settled && e.place.record.is_some())
    }

    /// What to write down, if it changed since the last call.
    pub fn positions_if_changed(&self) -> Option<Positions> {
        let mut p = self.lock();
        std::mem::take(&mut p.changed).then(|| p.positions.clone())
    }
}

impl Inner {
    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Positions move in order, never past what is not accepted.
    fn advance(&mut self) {
        while self.entries.front().is_some_and(|e| e.settled) {
            let Some(Entry { place, .. }) = self.entries.pop_front() else { break };
            self.first += 1;
            if let Some(origin) = place.origin.as_ref().filter(|_| self.halted.is_none()) {
                self.positions.advance(origin);
                self.changed = true;
            }
        }
    }
}

impl Entry {
    fn is_unwritten(&self) -> bool {
        !self.settled && self.place.record.is_none() && self.content.is_some() && self.sender.is_awaited()
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
    fn a_sender_hears_when_its_work_is_written_or_settled() {
        let (p, heard) = (Arc::new(Progress::default()), Arc::new(AtomicUsize::new(0)));
        let batch = Arc::new(BatchBuilder::default().finish());
        let send = |at| {
            let (heard, content) = (heard.clone(), Content { batch: batch.clone(), selection: batch.all() });
            let hear = move |_| {
                heard.fetch_add(1, Ordering::Relaxed);
            };
            p.follow(Ticket::new(hear), Place::default(), Some(content), at).1
        };
        let [_stuck, done, _late] = [1, 2, 9].map(|s| send(Duration::from_secs(s)));
        drop(done);
        assert_eq!(heard.load(Ordering::Relaxed), 1);
        let until = Duration::from_secs(5);
        let unwritten = p.unwritten(until);
        assert!(p.is_overdue(until) && unwritten.len() == 1);
        drop(p.written(unwritten[0].number, 7).unwrap());
        assert!(!p.is_overdue(until) && p.unwritten(Duration::MAX).len() == 1);
        assert_eq!((heard.load(Ordering::Relaxed), p.cursor()), (2, 7));
    }
}
