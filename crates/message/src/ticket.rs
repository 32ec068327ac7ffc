use std::fmt;
use std::sync::Arc;

use crate::sync::atomic::{AtomicU8, Ordering};

/// What became of a batch at its worst consumer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Outcome {
    /// Every consumer accepted every message: delivered, dead-lettered or dropped by a policy.
    Accepted = 0,
    /// At least one consumer let go of a message without a verdict (it died, or was told to stop).
    Abandoned = 1,
}

/// An acknowledgement: whoever made a batch hears of it when the last copy is dropped, with the worst
/// outcome of all that held one.
///
/// Every holder accepts unless it says otherwise. What is derived from a batch (a message that a
/// filter injects while it processes another) carries the original's ticket along as a parent, so
/// an input's checkpoint waits for the whole tree.
#[derive(Clone, Default)]
pub struct Ticket(Option<Arc<Inner>>);

struct Inner {
    worst: AtomicU8,
    settle: Option<Box<dyn FnOnce(Outcome) + Send + Sync>>,
    parents: Vec<Ticket>,
}

impl Ticket {
    /// A ticket that nobody waits for.
    pub fn none() -> Ticket {
        Ticket(None)
    }

    /// A ticket that calls `settle` once, when the last copy is dropped.
    pub fn new(settle: impl FnOnce(Outcome) + Send + Sync + 'static) -> Ticket {
        Ticket(Some(Arc::new(Inner { worst: AtomicU8::new(0), settle: Some(Box::new(settle)), parents: Vec::new() })))
    }

    /// A ticket that calls `settle` once, when the last copy is dropped, and lets go of `parent` after that.
    pub fn following(parent: Ticket, settle: impl FnOnce(Outcome) + Send + Sync + 'static) -> Ticket {
        Ticket(Some(Arc::new(Inner { worst: AtomicU8::new(0), settle: Some(Box::new(settle)), parents: vec![parent] })))
    }

    /// A ticket for something made of `parents`; they settle no sooner than it.
    pub fn derived(parents: Vec<Ticket>) -> Ticket {
        let parents: Vec<Ticket> = parents.into_iter().filter(|p| p.0.is_some()).collect();
        if parents.is_empty() {
            return Ticket(None);
        }
        Ticket(Some(Arc::new(Inner { worst: AtomicU8::new(0), settle: None, parents })))
    }

    /// True when somebody waits for this ticket.
    pub fn is_awaited(&self) -> bool {
        self.0.is_some()
    }

    /// Records that a holder lets go without a verdict.
    pub fn abandon(&self) {
        if let Some(inner) = &self.0 {
            inner.worst.fetch_max(Outcome::Abandoned as u8, Ordering::Relaxed);
            inner.parents.iter().for_each(Ticket::abandon);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(settle) = self.settle.take() {
            let abandoned = *self.worst.get_mut() != 0;
            settle(if abandoned { Outcome::Abandoned } else { Outcome::Accepted });
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_awaited() { "Ticket(awaited)" } else { "Ticket(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn recorded() -> (Ticket, Arc<Mutex<Vec<Outcome>>>) {
        let log = Arc::new(Mutex::new(Vec::new()));
        let to = log.clone();
        (Ticket::new(move |o| to.lock().unwrap().push(o)), log)
    }

    #[test]
    fn settles_once_when_the_last_copy_goes() {
        let (ticket, log) = recorded();
        let copy = ticket.clone();
        drop(ticket);
        assert!(log.lock().unwrap().is_empty());
        drop(copy);
        assert_eq!(*log.lock().unwrap(), [Outcome::Accepted]);
    }

    #[test]
    fn the_worst_outcome_wins_and_reaches_the_parent() {
        let (parent, log) = recorded();
        let child = Ticket::derived(vec![parent.clone(), Ticket::none()]);
        drop(parent);
        child.abandon();
        assert!(log.lock().unwrap().is_empty());
        drop(child);
        assert_eq!(*log.lock().unwrap(), [Outcome::Abandoned]);
    }
}
