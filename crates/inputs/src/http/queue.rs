use std::collections::VecDeque;
use std::mem;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use plugin::{Event, Meter};
use tokio::sync::oneshot;

use super::protocol::LeftOut;

/// Bodies on their way from the server to the input's thread. The bytes of all that are arriving or
/// waiting are bounded; their number is by that of connections.
pub struct Queue {
    bodies: Mutex<VecDeque<Body>>,
    held: AtomicUsize,
    max: usize,
    /// Set when there is a body, and when the server ends.
    arrived: Event,
    counts: [AtomicU64; COUNTERS.len()],
}

/// A body that is complete.
pub struct Body {
    pub bytes: Vec<u8>,
    /// Its share of the queue.
    pub held: Held,
    pub reply: Reply,
}

/// Where to say what became of a body. Dropping it says that nothing will be said.
pub type Reply = oneshot::Sender<Outcome>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// All who wanted the records accepted them.
    Accepted,
    /// As these, but for some.
    AcceptedBut(LeftOut),
    /// Someone never will.
    Lost,
}

/// What the server counts.
#[derive(Clone, Copy)]
pub enum Count {
    Connections,
    RefusedConnections,
    Requests,
    /// Requests that are wrong: 4xx.
    RefusedRequests,
    /// Requests whose senders are to send again: 503.
    PutOffRequests,
    /// Those of the refused ones whose senders may not send: 401.
    UnauthorizedRequests,
    /// Encrypted connections that did not come about.
    FailedHandshakes,
}

const COUNTERS: [&str; 7] = [
    "connections",
    "refused_connections",
    "requests",
    "refused_requests",
    "put_off_requests",
    "unauthorized_requests",
    "failed_handshakes",
];

impl Queue {
    /// Holds up to `max` bytes.
    pub fn new(max: usize) -> Queue {
        Queue { bodies: Mutex::default(), held: AtomicUsize::new(0), max, arrived: Event::new(), counts: Default::default() }
    }

    pub fn put(&self, body: Body) {
        self.lock().push_back(body);
        self.arrived.set();
    }

    /// All there are.
    pub fn take(&self) -> VecDeque<Body> {
        self.arrived.clear();
        mem::take(&mut self.lock())
    }

    /// Readable when there are bodies.
    pub fn arrived(&self) -> BorrowedFd<'_> {
        self.arrived.fd()
    }

    /// Wakes whoever waits for bodies.
    pub fn wake(&self) {
        self.arrived.set();
    }

    pub fn count(&self, what: Count) {
        self.counts[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Hands the counts over.
    pub fn report(&self, meter: &Meter) {
        for (name, count) in COUNTERS.into_iter().zip(&self.counts) {
            meter.add_extra(name, count.swap(0, Ordering::Relaxed));
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Body>> {
        self.bodies.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Bytes that count as held by a queue until this is dropped.
pub struct Held {
    queue: Arc<Queue>,
    bytes: usize,
}

impl Held {
    pub fn none(queue: Arc<Queue>) -> Held {
        Held { queue, bytes: 0 }
    }

    /// Takes `more` bytes; false when the queue has no room for them.
    #[must_use]
    pub fn grow(&mut self, more: usize) -> bool {
        let room = |held: usize| held.checked_add(more).filter(|held| *held <= self.queue.max);
        let taken = self.queue.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        self.bytes += if taken { more } else { 0 };
        taken
    }

    pub fn shrink(&mut self, to: usize) {
        let less = self.bytes.saturating_sub(to);
        self.queue.held.fetch_sub(less, Ordering::Relaxed);
        self.bytes -= less;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_held_until_they_are_let_go() {
        let queue = Arc::new(Queue::new(100));
        let (mut a, mut b) = (Held::none(queue.clone()), Held::none(queue.clone()));
        assert!(a.grow(60) && b.grow(40) && !a.grow(1) && !b.grow(usize::MAX));
        a.shrink(10);
        assert!(b.grow(50) && !b.grow(1));
        drop(b);
        assert!(a.grow(90) && !a.grow(1));
        drop(a);
        assert_eq!(queue.held.load(Ordering::Relaxed), 0);
    }
}
