use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Sender as Channel;

use crate::queue::{Queue, Work};

/// Messages, and the bytes the queue counted for them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Load {
    pub messages: usize,
    pub bytes: usize,
}

impl Load {
    fn of(work: &Work) -> Load {
        Load { messages: work.selection.len(), bytes: work.bytes }
    }

    pub fn and(self, more: Load) -> Load {
        Load { messages: self.messages + more.messages, bytes: self.bytes + more.bytes }
    }

    fn without(self, less: Load) -> Load {
        Load { messages: self.messages.saturating_sub(less.messages), bytes: self.bytes.saturating_sub(less.bytes) }
    }
}

/// What was handed to one of several instances of an output, in order.
pub(super) struct Lane {
    inner: Mutex<Inner>,
    /// There is something for the lane.
    wake: Channel<()>,
    /// The lane may have room.
    room: Channel<()>,
    ended: AtomicBool,
}

#[derive(Default)]
struct Inner {
    works: VecDeque<Work>,
    waiting: Load,
    /// Of what was taken, that which has no verdict.
    taken: Load,
}

impl Lane {
    pub fn new(wake: Channel<()>, room: Channel<()>) -> Lane {
        Lane { inner: Mutex::default(), wake, room, ended: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, work: Work) {
        let mut lane = self.lock();
        lane.waiting = lane.waiting.and(Load::of(&work));
        lane.works.push_back(work);
        drop(lane);
        self.wake();
    }

    fn pop(&self) -> Option<Work> {
        let mut lane = self.lock();
        let work = lane.works.pop_front()?;
        lane.waiting = lane.waiting.without(Load::of(&work));
        lane.taken = lane.taken.and(Load::of(&work));
        drop(lane);
        let _ = self.room.try_send(());
        Some(work)
    }

    fn unpop(&self, work: Work) {
        let mut lane = self.lock();
        lane.waiting = lane.waiting.and(Load::of(&work));
        lane.works.push_front(work);
    }

    /// What waits, and what has been taken and not delivered.
    pub fn load(&self) -> (Load, Load) {
        let lane = self.lock();
        (lane.waiting, lane.taken)
    }

    /// Everything that was not delivered, in order, once the lane has ended.
    pub fn take_all(&self) -> VecDeque<Work> {
        std::mem::take(&mut self.lock().works)
    }

    pub fn wake(&self) {
        let _ = self.wake.try_send(());
    }

    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let _ = self.room.try_send(());
    }

    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// Where a runner has its work from, and gives back what it cannot finish.
pub(super) enum Source {
    /// It is the only one: from the output's queue.
    Queue(Arc<Queue>),
    Lane(Arc<Lane>),
}

impl Source {
    pub fn pop(&self) -> Option<Work> {
        match self {
            Source::Queue(queue) => queue.pop(),
            Source::Lane(lane) => lane.pop(),
        }
    }

    /// Puts back what was taken and not finished, in front.
    pub fn unpop(&self, work: Work) {
        match self {
            Source::Queue(queue) => queue.unpop(work),
            Source::Lane(lane) => lane.unpop(work),
        }
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Source::Queue(queue) => queue.is_empty(),
            Source::Lane(lane) => lane.lock().works.is_empty(),
        }
    }

    /// Of what was popped and not given back, so much has no verdict by now.
    pub fn holds(&self, load: impl FnOnce() -> Load) {
        if let Source::Lane(lane) = self {
            let load = load();
            let before = std::mem::replace(&mut lane.lock().taken, load);
            if before != load {
                let _ = lane.room.try_send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::work;
    use crossbeam_channel::bounded;

    #[test]
    fn what_is_taken_counts_until_it_is_settled_or_given_back() {
        let ((wake, woken), (room, roomy)) = (bounded(1), bounded(1));
        let lane = Arc::new(Lane::new(wake, room));
        let source = Source::Lane(lane.clone());
        lane.push(work(3));
        lane.push(work(1));
        assert!(woken.try_recv().is_ok());
        let first = source.pop().unwrap();
        let load = |messages, bytes| Load { messages, bytes };
        assert_eq!(lane.load(), (load(1, 100), load(3, 100)));
        source.unpop(first);
        source.holds(Load::default);
        assert_eq!(lane.load(), (load(4, 200), Load::default()));
        assert!(roomy.try_recv().is_ok());
        source.holds(Load::default);
        assert!(roomy.try_recv().is_err() && !source.is_empty());
        assert_eq!(lane.take_all().iter().map(|w| w.selection.len()).collect::<Vec<_>>(), [3, 1]);
        assert!(source.is_empty() && source.pop().is_none());
    }
}
