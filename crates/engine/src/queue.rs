use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use message::{Batch, Selection, Ticket};
use options::unit::show_size;
use plugin::{Counter, Meter, Stop};

use crate::activity;
use crate::backlog::Backlog;
use crate::durable::Durable;
use crate::plan::WhenFull;
use crate::progress::{Content, Place, Progress};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// What waits for a consumer: a batch, and which of its messages are meant.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub batch: Arc<Batch>,
    pub selection: Selection,
    /// Share of the queue it takes.
    pub bytes: usize,
    /// When it was queued, on the steady clock.
    pub queued: Duration,
    /// Dropped once the consumer has accepted it.
    pub ticket: Ticket,
    pub place: Place,
}

impl Work {
    /// Some of its messages, by their indices in the batch.
    pub fn part(&self, indices: Vec<u32>) -> Work {
        let bytes = (self.bytes / self.selection.len().max(1) * indices.len()).max(1);
        Work { bytes, selection: Selection::of(&indices), ..self.clone() }
    }
}

/// A consumer's queue, bounded by bytes; what is beyond may wait in the journal. It belongs to the consumer's
/// name: a reload replaces the plugin behind it and the work stays.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    room: Condvar,
    pub meter: Arc<Meter>,
    /// Whose it is: `output.relay`.
    pub owner: Arc<str>,
    pub progress: Arc<Progress>,
    durable: Option<Arc<Durable>>,
    /// What was taken can still be written to the journal: an output's, until it is delivered.
    retains: bool,
}

struct Inner {
    works: VecDeque<Work>,
    bytes: usize,
    rules: Rules,
    /// What waits in the journal, behind `works`.
    backlog: Backlog,
    closed: Option<Closed>,
    /// Messages that were left when the program stopped.
    left: usize,
    /// Senders that wait for room: without one, telling of room would be a system call for nothing.
    waiting: usize,
}

/// What may wait for a consumer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Bytes in memory.
    pub limit: usize,
    pub when_full: WhenFull,
    /// What does not come again by itself is written to the journal first.
    pub durable: bool,
}

/// How long a consumer may have no room before what it gets goes by the journal.
const SLOWER: Duration = Duration::from_millis(100);

/// How often who waits for room looks around.
const LOOK: Duration = Duration::from_millis(100);

/// Why nobody takes from a queue any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Closed {
    /// The consumer was removed: what comes is dropped and counted.
    Removed,
    /// The program stops: what comes was not delivered, and inputs that can replay it will.
    Stopped,
}

/// On whose account a sender may wait.
#[derive(Clone, Copy)]
pub(crate) enum Sender<'a> {
    /// An input; the flag says whether the world it reads can wait without loss.
    Input { can_wait: bool, stop: &'a Stop },
    /// A filter: never waits. `bounded` when what it injects is part of an input's bytes in flight,
    /// so that it may be queued beyond the limit.
    Filter { bounded: bool },
}

/// What became of work that was offered.
pub(crate) enum Offered {
    /// It is queued, or was dropped by the consumer's policy; whether the queue was empty before, so that its
    /// owner has to be woken.
    Taken { wake: bool },
    /// It has to be written to the journal, because there is no room in memory (`spilled`) or it is to outlive the
    /// process: [`Queue::journalled`] follows, or [`Queue::keep`].
    Journal { work: Work, spilled: bool },
}

impl Queue {
    pub fn new(owner: &Arc<str>, rules: Rules, meter: Arc<Meter>, durable: Option<Arc<Durable>>) -> Queue {
        let rules = Rules { limit: rules.limit.max(1), ..rules };
        let backlog = Backlog::default();
        let inner = Inner { works: VecDeque::new(), bytes: 0, rules, backlog, closed: None, left: 0, waiting: 0 };
        Queue {
            inner: Mutex::new(inner),
            room: Condvar::new(),
            meter,
            owner: owner.clone(),
            progress: Arc::default(),
            retains: owner.starts_with("output."),
            durable,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes over new rules after a reload.
    pub fn configure(&self, rules: Rules) {
        self.lock().rules = Rules { limit: rules.limit.max(1), ..rules };
        self.room.notify_all();
    }

    /// What an earlier process left in the journal, from record `next` to before `end`, comes first.
    pub fn resume(&self, next: u64, end: u64) {
        self.lock().backlog = Backlog::left(next, end);
    }

    /// Adds work, by the consumer's policy when it is full.
    pub fn offer(&self, work: Work, sender: Sender<'_>) -> Offered {
        self.meter.add(Counter::Received, work.selection.len() as u64);
        let mut q = self.lock();
        if self.durable.is_some()
            && let (WhenFull::Spill, Sender::Input { can_wait: true, stop }) = (q.rules.when_full, sender)
            && q.backlog.is_empty()
        {
            // One that is only slower than its input need not go by the disk.
            q = self.wait_for_room(q, work.bytes, stop, SLOWER);
        }
        let full = q.is_full(work.bytes);
        if self.durable.is_some() && q.closed.is_none() {
            // What a filter injects exists only once: the filter's snapshot may be on disk before it is delivered.
            let injected = matches!(sender, Sender::Filter { .. }) && q.rules.when_full == WhenFull::Spill;
            let first = (q.rules.durable || injected) && !work.place.comes_again();
            let spilled = !q.backlog.is_empty() || (full && q.rules.when_full == WhenFull::Spill);
            if first || spilled {
                return Offered::Journal { work, spilled };
            }
        }
        if !full {
            return Offered::Taken { wake: self.add(q, work) };
        }
        let q = match (q.rules.when_full, sender) {
            (WhenFull::Hold | WhenFull::Spill, Sender::Input { can_wait: true, stop }) | (WhenFull::Block, Sender::Input { stop, .. }) => {
                self.wait_for_room(q, work.bytes, stop, Duration::MAX)
            }
            (WhenFull::DropNewest, _) => {
                self.meter.add(Counter::Dropped, work.selection.len() as u64);
                return Offered::Taken { wake: false };
            }
            (WhenFull::Hold | WhenFull::Spill | WhenFull::Block, Sender::Filter { bounded: true }) => q,
            _ => self.drop_oldest(q, work.bytes),
        };
        Offered::Taken { wake: self.add(q, work) }
    }

    /// Work that has this number in the journal by now. True when its owner has to be woken.
    pub fn journalled(&self, mut work: Work, record: u64) -> bool {
        let mut q = self.lock();
        work.place.record = Some(record);
        if q.closed == Some(Closed::Removed) && q.backlog.is_empty() && !self.progress.holds_records() {
            // No cursor stays before this.
            self.meter.add(Counter::Dropped, work.selection.len() as u64);
            return false;
        }
        let idle = q.works.is_empty() && q.backlog.is_empty();
        if q.closed.is_none() && q.backlog.is_empty() && !q.is_full(work.bytes) {
            // Its sender need not wait for the consumer any more.
            work.ticket = Ticket::none();
            self.add(q, work);
        } else {
            q.backlog.extend(record, work.selection.len());
        }
        idle
    }

    /// Work that it was given under this number of its progress is in the journal by now. Whoever waits for that.
    pub fn written(&self, number: u64, record: u64) -> Option<Ticket> {
        self.lock().backlog.has(record);
        self.progress.written(number, record)
    }

    /// Work that should be in the journal and cannot be. It is kept in memory, for as long as there is room when
    /// its sender could not wait. True when its owner has to be woken.
    pub fn keep(&self, work: Work, sender: Sender<'_>) -> bool {
        let q = self.lock();
        if matches!(sender, Sender::Input { can_wait: true, .. }) || !q.is_full(work.bytes) {
            return self.add(q, work);
        }
        let q = self.drop_oldest(q, work.bytes);
        self.add(q, work)
    }

    fn add(&self, mut q: MutexGuard<'_, Inner>, mut work: Work) -> bool {
        if let Some(closed) = q.closed {
            self.turn_away(&mut q, closed, &work);
            return false;
        }
        if self.durable.is_some() && (work.place.comes_again() || work.ticket.is_awaited()) {
            let ticket = std::mem::take(&mut work.ticket);
            // A filter has its part in a snapshot long before that is on disk.
            let content = self.retains.then(|| Content { batch: work.batch.clone(), selection: work.selection.clone() });
            let (number, ticket) = self.progress.follow(ticket, work.place.clone(), content, work.queued);
            (work.place.number, work.ticket) = (Some(number), ticket);
        }
        q.bytes += work.bytes;
        q.works.push_back(work);
        q.works.len() == 1
    }

    /// Nobody takes this any more.
    fn turn_away(&self, q: &mut Inner, closed: Closed, work: &Work) {
        if closed == Closed::Removed && !self.progress.is_written(&work.place) {
            self.meter.add(Counter::Dropped, work.selection.len() as u64);
        } else {
            work.ticket.abandon();
            q.left += work.selection.len();
        }
    }

    /// Waits until there is room, the consumer is gone, `longest` is over, or the input is asked to stop. After a stop
    /// the last batch goes in beyond the limit, because what was read must not be lost.
    fn wait_for_room<'q>(&'q self, mut q: MutexGuard<'q, Inner>, bytes: usize, stop: &Stop, longest: Duration) -> MutexGuard<'q, Inner> {
        let (owner, limit, mut told, mut turns) = (&self.owner, q.rules.limit, None, longest.as_millis() / LOOK.as_millis());
        while q.is_full(bytes)
            && turns > 0
            && q.closed.is_none()
            && !stop.asked()
            && matches!(q.rules.when_full, WhenFull::Hold | WhenFull::Spill | WhenFull::Block)
        {
            told.get_or_insert_with(|| {
                activity::waiting(|| format!("waiting for room in the queue of {owner} ({})", show_size(limit as u64)))
            });
            q.waiting += 1;
            let (guard, waited) = self.room.wait_timeout(q, LOOK).unwrap_or_else(|p| p.into_inner());
            q = guard;
            q.waiting -= 1;
            turns -= u128::from(waited.timed_out());
        }
        q
    }

    fn drop_oldest<'q>(&self, mut q: MutexGuard<'q, Inner>, bytes: usize) -> MutexGuard<'q, Inner> {
        while q.bytes + bytes > q.rules.limit {
            let Some(oldest) = q.works.pop_front() else { break };
            q.bytes -= oldest.bytes;
            self.meter.add(Counter::Dropped, oldest.selection.len() as u64);
        }
        q
    }

    /// The next work. Only the consumer itself calls this: what waits in the journal is read on its thread.
    pub fn pop(&self) -> Option<Work> {
        loop {
            let mut q = self.lock();
            if let Some(work) = q.works.pop_front() {
                q.bytes -= work.bytes;
                if q.waiting > 0 {
                    self.room.notify_all();
                }
                return Some(work);
            }
            if q.closed.is_some() || !self.refill(q) {
                return None;
            }
        }
    }

    /// Reads on in the journal. False when there is nothing, or it cannot be read now.
    fn refill(&self, mut q: MutexGuard<'_, Inner>) -> bool {
        let Some(durable) = self.durable.as_ref().filter(|_| !q.backlog.is_empty()) else { return false };
        // Meanwhile others may add to it.
        let mut backlog = std::mem::take(&mut q.backlog.reading);
        let (goal, bytes) = (q.backlog.goal(), q.rules.limit / 2);
        drop(q);
        let loaded = durable.load(&self.owner, &mut backlog, goal, bytes);
        let mut q = self.lock();
        q.backlog.reading = backlog;
        if q.closed.is_some() {
            // Its cursor stays before all of it.
            return false;
        }
        let mut any = false;
        for (work, inherited) in loaded.works {
            if work.place.record.is_some_and(|record| q.backlog.had(record)) {
                continue;
            }
            let messages = work.selection.len();
            any = true;
            q.bytes += work.bytes;
            q.backlog.loaded(messages, inherited);
            if inherited {
                self.meter.add(Counter::Received, messages as u64);
            }
            let (number, ticket) = self.progress.follow(Ticket::none(), work.place.clone(), None, work.queued);
            q.works.push_back(Work { ticket, place: Place { number: Some(number), ..work.place }, ..work });
        }
        if let Some(lost) = q.backlog.reached(loaded.next).filter(|lost| *lost > 0) {
            log::error!(target: &self.owner, "{lost} messages in the journal were damaged and are lost");
            self.meter.add(Counter::Dropped, lost as u64);
        }
        // After long with nothing of its own, it goes on when it is woken the next time.
        any || (loaded.trouble.is_none() && !loaded.paused && !q.backlog.is_empty())
    }

    /// Puts back what was taken and not finished, in front.
    pub fn unpop(&self, work: Work) {
        let mut q = self.lock();
        if let Some(closed) = q.closed {
            return self.turn_away(&mut q, closed, &work);
        }
        q.bytes += work.bytes;
        q.works.push_front(work);
    }

    /// Messages and bytes that wait, and since when the oldest does.
    pub fn depth(&self) -> (usize, usize, Option<Duration>) {
        let q = self.lock();
        let messages = q.left + q.backlog.messages() + q.works.iter().map(|w| w.selection.len()).sum::<usize>();
        (messages, q.bytes, q.works.front().map(|w| w.queued))
    }

    pub fn is_empty(&self) -> bool {
        let q = self.lock();
        q.works.is_empty() && q.backlog.is_empty()
    }

    /// Whether it has nothing in memory and something in the journal: it may have to be woken.
    pub fn starves(&self) -> bool {
        let q = self.lock();
        q.works.is_empty() && !q.backlog.is_empty() && q.closed.is_none()
    }

    /// Notes that below `end` of the journal nothing waits for it, unless something does.
    pub fn pass(&self, end: u64) {
        if self.lock().backlog.is_empty() {
            self.progress.pass(end);
        }
    }

    /// Everything of its own below this number of the journal is accepted.
    pub fn cursor(&self) -> u64 {
        let q = self.lock();
        let waiting = if q.backlog.is_empty() { u64::MAX } else { q.backlog.goal().next };
        self.progress.cursor().min(waiting)
    }

    /// Whether what it cannot deliver goes to the journal.
    pub fn spills(&self) -> bool {
        let q = self.lock();
        q.rules.when_full == WhenFull::Spill && q.closed.is_none()
    }

    /// Whether something of its own is in the journal.
    pub fn holds_records(&self) -> bool {
        !self.lock().backlog.is_empty() || self.progress.holds_records()
    }

    /// Whether its consumer is behind: with as many bytes more, much of the queue is taken.
    pub fn lags(&self, more: usize) -> bool {
        let q = self.lock();
        q.bytes.saturating_add(more) > q.rules.limit / 4
    }

    /// Whether its consumer was removed.
    pub fn is_removed(&self) -> bool {
        self.lock().closed == Some(Closed::Removed)
    }

    /// Pieces of work that wait in memory.
    pub fn len(&self) -> usize {
        self.lock().works.len()
    }

    /// Nobody will take from it any more; what waits is dropped and counted, unless it is in the journal.
    pub fn close(&self) {
        let mut q = self.lock();
        q.closed = Some(Closed::Removed);
        let works: Vec<Work> = q.works.drain(..).collect();
        works.iter().for_each(|work| self.turn_away(&mut q, Closed::Removed, work));
        q.bytes = 0;
        self.room.notify_all();
        drop(q);
        if let Some(durable) = &self.durable {
            durable.part_with(self);
        }
    }

    /// The program stops. Messages that were not delivered and are not in the journal.
    pub fn abandon(&self) -> usize {
        let mut q = self.lock();
        q.closed = Some(Closed::Stopped);
        q.bytes = 0;
        let (written, lost): (Vec<Work>, Vec<Work>) = q.works.drain(..).partition(|w| self.progress.is_written(&w.place));
        let count = |works: &[Work]| works.iter().map(|w| w.selection.len()).sum::<usize>();
        written.iter().chain(&lost).for_each(|w| w.ticket.abandon());
        let kept = count(&written) + q.backlog.messages();
        if kept > 0 {
            log::info!(target: &self.owner, "{kept} messages wait in the journal for the next start");
        }
        q.left += count(&written) + count(&lost);
        self.room.notify_all();
        count(&lost)
    }
}

impl Inner {
    fn is_full(&self, more: usize) -> bool {
        self.bytes + more > self.rules.limit && !self.works.is_empty()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use message::BatchBuilder;

    /// Of `n` messages.
    pub(crate) fn work(n: usize) -> Work {
        let mut b = BatchBuilder::default();
        for _ in 0..n {
            b.add();
        }
        let batch = Arc::new(b.finish());
        Work { selection: batch.all(), batch, bytes: 100, queued: Duration::ZERO, ticket: Ticket::none(), place: Place::default() }
    }

    fn queue(when_full: WhenFull) -> Queue {
        Queue::new(&"output.x".into(), Rules { limit: 250, when_full, durable: false }, Arc::default(), None)
    }

    fn push(q: &Queue, work: Work, sender: Sender<'_>) -> bool {
        matches!(q.offer(work, sender), Offered::Taken { wake: true })
    }

    const OTHER: Sender<'_> = Sender::Filter { bounded: false };

    #[test]
    fn each_policy_drops_its_own_end_and_counts() {
        for (policy, left) in [(WhenFull::DropOldest, [2, 3]), (WhenFull::DropNewest, [1, 2]), (WhenFull::Hold, [2, 3])] {
            let q = queue(policy);
            assert!(push(&q, work(1), OTHER));
            assert!(!push(&q, work(2), OTHER));
            push(&q, work(3), OTHER);
            assert_eq!([q.pop().unwrap().selection.len(), q.pop().unwrap().selection.len()], left, "{policy:?}");
            assert_eq!(q.meter.get(Counter::Received), 6);
            assert_eq!(q.meter.get(Counter::Dropped), 6 - left.iter().sum::<usize>() as u64);
        }
    }

    #[test]
    fn an_input_that_can_wait_waits_for_room() {
        let q = queue(WhenFull::Hold);
        let stop = Stop::new();
        let input = Sender::Input { can_wait: true, stop: &stop };
        push(&q, work(1), input);
        push(&q, work(1), input);
        std::thread::scope(|s| {
            let waiting = s.spawn(|| push(&q, work(5), input));
            assert_eq!(q.pop().unwrap().selection.len(), 1);
            waiting.join().unwrap();
        });
        assert_eq!((q.depth().0, q.meter.get(Counter::Dropped)), (6, 0));
    }

    #[test]
    fn a_stop_ends_the_wait_without_loss() {
        let q = queue(WhenFull::Block);
        let stop = Stop::new();
        let input = Sender::Input { can_wait: false, stop: &stop };
        push(&q, work(1), input);
        push(&q, work(1), input);
        stop.ask();
        push(&q, work(1), input);
        assert_eq!(q.depth().0, 3);
    }

    #[test]
    fn what_comes_after_the_stop_is_not_accepted() {
        let accepted = Arc::new(std::sync::Mutex::new(None));
        let told = accepted.clone();
        let mut b = BatchBuilder::default();
        b.add();
        let batch = Arc::new(b.finish());
        let ticket = Ticket::new(move |outcome| *told.lock().unwrap() = Some(outcome));
        let q = queue(WhenFull::Hold);
        assert_eq!(q.abandon(), 0);
        push(&q, Work { selection: batch.all(), batch, bytes: 1, queued: Duration::ZERO, ticket, place: Place::default() }, OTHER);
        assert_eq!((*accepted.lock().unwrap(), q.depth().0), (Some(message::Outcome::Abandoned), 1));
    }
}
