use std::sync::Arc;
use std::time::Duration;

use message::{Batch, Selection, Ticket};
use options::unit::show_size;
use plugin::{Counter, Meter, Stop};

use crate::activity;
use crate::backlog::{Line, Oldest};
use crate::durable::Durable;
use crate::plan::WhenFull;
use crate::progress::{Content, Place, Progress, Unwritten};
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
    line: Line,
    rules: Rules,
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
        let inner = Inner { line: Line::default(), rules, closed: None, left: 0, waiting: 0 };
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
        self.lock().line = Line::left(next, end);
    }

    /// Adds work, by the consumer's policy when it is full.
    pub fn offer(&self, work: Work, sender: Sender<'_>) -> Offered {
        self.meter.add(Counter::Received, work.selection.len() as u64);
        let mut q = self.lock();
        if self.durable.is_some()
            && let (WhenFull::Spill, Sender::Input { can_wait: true, stop }) = (q.rules.when_full, sender)
            && !q.line.has_runs()
        {
            // One that is only slower than its input need not go by the disk.
            q = self.wait_for_room(q, work.bytes, stop, SLOWER);
        }
        let full = q.is_full(work.bytes);
        if self.durable.is_some() && q.closed.is_none() {
            // What a filter injects exists only once: the filter's snapshot may be on disk before it is delivered.
            let injected = matches!(sender, Sender::Filter { .. }) && q.rules.when_full == WhenFull::Spill;
            let first = (q.rules.durable || injected) && !work.place.comes_again();
            let spilled = q.line.has_runs() || (full && q.rules.when_full == WhenFull::Spill);
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
        if q.closed == Some(Closed::Removed) && q.line.least().is_none() && !self.progress.holds_records() {
            // No cursor stays before this.
            q.line.wrote(record);
            self.meter.add(Counter::Dropped, work.selection.len() as u64);
            return false;
        }
        let idle = q.line.is_empty();
        if q.closed.is_none() && !q.line.has_runs() && !q.is_full(work.bytes) {
            // Its sender need not wait for the consumer any more.
            work.ticket = Ticket::none();
            q.line.push_written(work, record);
        } else {
            q.line.append(record, work.selection.len());
        }
        idle
    }

    /// Work that is in memory only and was queued before `until`: some of it, from a key on, in order.
    pub fn unwritten(&self, until: Duration, from: u64) -> Vec<Unwritten> {
        if !self.retains {
            return Vec::new();
        }
        let q = self.lock();
        let mut all = self.progress.unwritten(until, from);
        all.extend(q.line.unwritten(until, from));
        all
    }

    /// Whether there is such work.
    pub fn is_overdue(&self, until: Duration) -> bool {
        self.retains && (self.progress.is_overdue(until) || self.lock().line.unwritten(until, 0).next().is_some())
    }

    /// Work with this key is in the journal by now. Whoever waits for that.
    pub fn written(&self, key: u64, record: u64) -> Option<Ticket> {
        let mut q = self.lock();
        q.line.written(key, record).or_else(|| self.progress.written(key, record))
    }

    /// What was queued before `until` and is in the journal need not be in memory, too: inputs have room for more.
    pub fn park(&self, until: Duration) {
        let parked = {
            let mut q = self.lock();
            let parked = q.line.park(until);
            if !parked.is_empty() && q.waiting > 0 {
                self.room.notify_all();
            }
            parked
        };
        drop(parked);
    }

    /// Work that should be in the journal and cannot be. It is kept in memory, behind what waits in the journal: as long as
    /// there is room, when its sender could not wait. True when its owner has to be woken.
    pub fn keep(&self, work: Work, sender: Sender<'_>) -> bool {
        let q = self.lock();
        if matches!(sender, Sender::Input { can_wait: true, .. }) || !q.is_full(work.bytes) {
            return self.add(q, work);
        }
        let q = self.drop_oldest(q, work.bytes);
        self.add(q, work)
    }

    fn add(&self, mut q: MutexGuard<'_, Inner>, work: Work) -> bool {
        if let Some(closed) = q.closed {
            self.turn_away(&mut q, closed, &work);
            return false;
        }
        let idle = q.line.is_empty();
        q.line.push(work);
        idle
    }

    /// Nobody takes this any more.
    fn turn_away(&self, q: &mut Inner, closed: Closed, work: &Work) {
        if closed == Closed::Removed && !self.progress.is_written(&work.place) {
            self.meter.add(Counter::Dropped, work.selection.len() as u64);
        } else {
            self.abandon_work(work);
            q.left += work.selection.len();
        }
    }

    /// Lets go of work without a verdict.
    fn abandon_work(&self, work: &Work) {
        work.ticket.abandon();
        if work.place.number.is_none() && self.is_followed(work) {
            self.progress.halt(work.place.record);
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
        while q.line.bytes() + bytes > q.rules.limit {
            match q.line.oldest() {
                Some(Oldest::Only(oldest)) => self.meter.add(Counter::Dropped, oldest.selection.len() as u64),
                Some(Oldest::Written) => {}
                None => break,
            }
        }
        q
    }

    /// The next work. Only the consumer itself calls this: what waits in the journal is read on its thread.
    pub fn pop(&self) -> Option<Work> {
        loop {
            let mut q = self.lock();
            if let Some(work) = q.line.pop() {
                if q.waiting > 0 {
                    self.room.notify_all();
                }
                return Some(self.follow(work));
            }
            if q.closed.is_some() || !self.refill(q) {
                return None;
            }
        }
    }

    /// Whether positions or senders wait for work to be accepted.
    fn is_followed(&self, work: &Work) -> bool {
        self.durable.is_some() && (work.place.comes_again() || work.ticket.is_awaited())
    }

    fn follow(&self, mut work: Work) -> Work {
        if work.place.number.is_none() && self.is_followed(&work) {
            // A filter has its part in a snapshot long before that is on disk.
            let content = self.retains.then(|| Content { batch: work.batch.clone(), selection: work.selection.clone() });
            let (number, ticket) = self.progress.follow(work.ticket, work.place.clone(), content, work.queued);
            (work.place.number, work.ticket) = (Some(number), ticket);
        }
        work
    }

    /// Reads on in the journal. False when there is nothing, or it cannot be read now.
    fn refill(&self, mut q: MutexGuard<'_, Inner>) -> bool {
        let (Some(durable), Some(goal)) = (&self.durable, q.line.goal()) else { return false };
        // Meanwhile others may add to the line.
        let mut reading = std::mem::take(&mut q.line.reading);
        let bytes = q.rules.limit / 2;
        drop(q);
        let loaded = durable.load(&self.owner, &mut reading, goal, bytes);
        let mut q = self.lock();
        q.line.reading = reading;
        if q.closed.is_some() {
            // Its cursor stays before all of it.
            return false;
        }
        let count =
            |wanted| loaded.works.iter().filter(|(_, inherited)| *inherited == wanted).map(|(w, _)| w.selection.len()).sum::<usize>();
        let (known, inherited, any) = (count(false), count(true), !loaded.works.is_empty());
        self.meter.add(Counter::Received, inherited as u64);
        let lost = q.line.read(loaded.next, loaded.works.into_iter().map(|(work, _)| work).collect(), known);
        if lost > 0 {
            log::error!(target: &self.owner, "{lost} messages in the journal were damaged and are lost");
            self.meter.add(Counter::Dropped, lost as u64);
        }
        // After long with nothing of its own, it goes on when it is woken the next time.
        any || (loaded.trouble.is_none() && !loaded.paused && !q.line.is_empty())
    }

    /// Puts back what was taken and not finished, in front.
    pub fn unpop(&self, work: Work) {
        let mut q = self.lock();
        if let Some(closed) = q.closed {
            return self.turn_away(&mut q, closed, &work);
        }
        q.line.unpop(work);
    }

    /// Messages and bytes that wait, and since when the oldest does.
    pub fn depth(&self) -> (usize, usize, Option<Duration>) {
        let q = self.lock();
        let (here, away) = q.line.messages();
        (q.left + here + away, q.line.bytes(), q.line.since())
    }

    pub fn is_empty(&self) -> bool {
        self.lock().line.is_empty()
    }

    /// Whether what comes next has to be read in the journal: its owner may have to be woken.
    pub fn starves(&self) -> bool {
        let q = self.lock();
        q.line.starts_with_run() && q.closed.is_none()
    }

    /// Notes that below `end` of the journal nothing waits for it, unless something does.
    pub fn pass(&self, end: u64) {
        if !self.lock().line.has_runs() {
            self.progress.pass(end);
        }
    }

    /// Everything of its own below this number of the journal is accepted.
    pub fn cursor(&self) -> u64 {
        let q = self.lock();
        q.line.least().unwrap_or(u64::MAX).min(self.progress.cursor())
    }

    /// Whether what it cannot deliver goes to the journal.
    pub fn spills(&self) -> bool {
        let q = self.lock();
        q.rules.when_full == WhenFull::Spill && q.closed.is_none()
    }

    /// Whether something of its own is in the journal.
    pub fn holds_records(&self) -> bool {
        self.lock().line.least().is_some() || self.progress.holds_records()
    }

    /// Whether its consumer is behind: with as many bytes more, much of the queue is taken.
    pub fn lags(&self, more: usize) -> bool {
        let q = self.lock();
        q.line.bytes().saturating_add(more) > q.rules.limit / 4
    }

    /// Whether its consumer was removed.
    pub fn is_removed(&self) -> bool {
        self.lock().closed == Some(Closed::Removed)
    }

    /// Pieces of work that wait in memory.
    pub fn len(&self) -> usize {
        self.lock().line.works()
    }

    /// Nobody will take from it any more; what waits is dropped and counted, unless it is in the journal.
    pub fn close(&self) {
        let mut q = self.lock();
        q.closed = Some(Closed::Removed);
        let works = q.line.drain();
        works.iter().for_each(|work| self.turn_away(&mut q, Closed::Removed, work));
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
        let (written, lost): (Vec<Work>, Vec<Work>) = q.line.drain().into_iter().partition(|w| self.progress.is_written(&w.place));
        let count = |works: &[Work]| works.iter().map(|w| w.selection.len()).sum::<usize>();
        written.iter().chain(&lost).for_each(|work| self.abandon_work(work));
        let kept = count(&written) + q.line.messages().1;
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
        self.line.bytes() + more > self.rules.limit && self.line.works() > 0
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
