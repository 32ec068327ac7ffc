use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use message::{Batch, Selection};
use plugin::{Counter, Meter, Stop};

use crate::plan::WhenFull;

/// What waits for a consumer: a batch, and which of its messages are meant.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub batch: Arc<Batch>,
    pub selection: Selection,
    /// Share of the queue it takes.
    pub bytes: usize,
    /// When it was queued, on the steady clock.
    pub queued: Duration,
}

impl Work {
    /// Some of its messages, by their indices in the batch.
    pub fn part(&self, indices: Vec<u32>) -> Work {
        let bytes = (self.bytes / self.selection.len().max(1) * indices.len()).max(1);
        Work { batch: self.batch.clone(), selection: Selection::of(&indices), bytes, queued: self.queued }
    }
}

/// A consumer's queue, bounded by bytes. It belongs to the consumer's name: a reload replaces the
/// plugin behind it and the work stays.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    room: Condvar,
    pub meter: Arc<Meter>,
}

#[derive(Debug)]
struct Inner {
    works: VecDeque<Work>,
    bytes: usize,
    limit: usize,
    when_full: WhenFull,
    closed: Option<Closed>,
    /// Messages that were left when the program stopped.
    left: usize,
    /// Senders that wait for room: without one, telling of room would be a system call for nothing.
    waiting: usize,
}

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

impl Queue {
    pub fn new(limit: usize, when_full: WhenFull, meter: Arc<Meter>) -> Queue {
        let inner = Inner { works: VecDeque::new(), bytes: 0, limit: limit.max(1), when_full, closed: None, left: 0, waiting: 0 };
        Queue { inner: Mutex::new(inner), room: Condvar::new(), meter }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes over new limits after a reload.
    pub fn configure(&self, limit: usize, when_full: WhenFull) {
        let mut q = self.lock();
        (q.limit, q.when_full) = (limit.max(1), when_full);
        self.room.notify_all();
    }

    /// Adds work, by the consumer's policy when it is full. True when the queue was empty before,
    /// so that its owner has to be woken.
    pub fn push(&self, work: Work, sender: Sender<'_>) -> bool {
        let messages = work.selection.len();
        self.meter.add(Counter::Received, messages as u64);
        let mut q = self.lock();
        if q.bytes + work.bytes > q.limit && !q.works.is_empty() {
            match (q.when_full, sender) {
                (WhenFull::Hold, Sender::Input { can_wait: true, stop }) | (WhenFull::Block, Sender::Input { stop, .. }) => {
                    q = self.wait_for_room(q, work.bytes, stop)
                }
                (WhenFull::Hold | WhenFull::Block, Sender::Filter { bounded: true }) => {}
                (WhenFull::DropNewest, _) => {
                    self.meter.add(Counter::Dropped, messages as u64);
                    return false;
                }
                _ => self.drop_oldest(&mut q, work.bytes),
            }
        }
        match q.closed {
            None => {}
            Some(Closed::Removed) => {
                self.meter.add(Counter::Dropped, messages as u64);
                return false;
            }
            Some(Closed::Stopped) => {
                work.batch.ticket().abandon();
                q.left += messages;
                return false;
            }
        }
        q.bytes += work.bytes;
        q.works.push_back(work);
        q.works.len() == 1
    }

    /// Waits until there is room, the consumer is gone, or the input is asked to stop. After a stop
    /// the last batch goes in beyond the limit, because what was read must not be lost.
    fn wait_for_room<'q>(&'q self, mut q: MutexGuard<'q, Inner>, bytes: usize, stop: &Stop) -> MutexGuard<'q, Inner> {
        while q.bytes + bytes > q.limit
            && !q.works.is_empty()
            && q.closed.is_none()
            && !stop.asked()
            && matches!(q.when_full, WhenFull::Hold | WhenFull::Block)
        {
            q.waiting += 1;
            q = self.room.wait_timeout(q, Duration::from_millis(100)).unwrap_or_else(|p| p.into_inner()).0;
            q.waiting -= 1;
        }
        q
    }

    fn drop_oldest(&self, q: &mut Inner, bytes: usize) {
        while q.bytes + bytes > q.limit {
            let Some(oldest) = q.works.pop_front() else { break };
            q.bytes -= oldest.bytes;
            self.meter.add(Counter::Dropped, oldest.selection.len() as u64);
        }
    }

    pub fn pop(&self) -> Option<Work> {
        let mut q = self.lock();
        let work = q.works.pop_front()?;
        q.bytes -= work.bytes;
        if q.waiting > 0 {
            self.room.notify_all();
        }
        Some(work)
    }

    /// Puts back what was taken and not finished, in front.
    pub fn unpop(&self, work: Work) {
        let mut q = self.lock();
        q.bytes += work.bytes;
        q.works.push_front(work);
    }

    /// Messages and bytes that wait, and since when the oldest does.
    pub fn depth(&self) -> (usize, usize, Option<Duration>) {
        let q = self.lock();
        (q.left + q.works.iter().map(|w| w.selection.len()).sum::<usize>(), q.bytes, q.works.front().map(|w| w.queued))
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether its consumer is behind: with as many bytes more, much of the queue is taken.
    pub fn lags(&self, more: usize) -> bool {
        let q = self.lock();
        q.bytes.saturating_add(more) > q.limit / 4
    }

    /// Pieces of work that wait.
    pub fn len(&self) -> usize {
        self.lock().works.len()
    }

    /// Nobody will take from it any more; what waits is dropped and counted.
    pub fn close(&self) {
        let mut q = self.lock();
        q.closed = Some(Closed::Removed);
        let dropped: usize = q.works.drain(..).map(|w| w.selection.len()).sum();
        q.bytes = 0;
        self.meter.add(Counter::Dropped, dropped as u64);
        self.room.notify_all();
    }

    /// The program stops. Messages that were not delivered.
    pub fn abandon(&self) -> usize {
        let mut q = self.lock();
        q.closed = Some(Closed::Stopped);
        q.bytes = 0;
        let works: Vec<Work> = q.works.drain(..).collect();
        works.iter().for_each(|w| w.batch.ticket().abandon());
        q.left += works.iter().map(|w| w.selection.len()).sum::<usize>();
        self.room.notify_all();
        q.left
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
        Work { selection: batch.all(), batch, bytes: 100, queued: Duration::ZERO }
    }

    fn queue(when_full: WhenFull) -> Queue {
        Queue::new(250, when_full, Arc::default())
    }

    const OTHER: Sender<'_> = Sender::Filter { bounded: false };

    #[test]
    fn each_policy_drops_its_own_end_and_counts() {
        for (policy, left) in [(WhenFull::DropOldest, [2, 3]), (WhenFull::DropNewest, [1, 2]), (WhenFull::Hold, [2, 3])] {
            let q = queue(policy);
            assert!(q.push(work(1), OTHER));
            assert!(!q.push(work(2), OTHER));
            q.push(work(3), OTHER);
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
        q.push(work(1), input);
        q.push(work(1), input);
        std::thread::scope(|s| {
            let waiting = s.spawn(|| q.push(work(5), input));
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
        q.push(work(1), input);
        q.push(work(1), input);
        stop.ask();
        q.push(work(1), input);
        assert_eq!(q.depth().0, 3);
    }

    #[test]
    fn what_comes_after_the_stop_is_not_accepted() {
        let accepted = Arc::new(std::sync::Mutex::new(None));
        let told = accepted.clone();
        let mut b = BatchBuilder::default();
        b.add();
        let batch = Arc::new(b.finish_with(message::Ticket::new(move |outcome| *told.lock().unwrap() = Some(outcome))));
        let q = queue(WhenFull::Hold);
        assert_eq!(q.abandon(), 0);
        q.push(Work { selection: batch.all(), batch, bytes: 1, queued: Duration::ZERO }, OTHER);
        assert_eq!((*accepted.lock().unwrap(), q.depth().0), (Some(message::Outcome::Abandoned), 1));
    }
}
