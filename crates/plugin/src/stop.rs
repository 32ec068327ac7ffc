use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use crate::Event;

/// Asks a thread to stop. It can be looked at, waited for, and polled beside sockets. Copies share it.
#[derive(Clone, Debug)]
pub struct Stop(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    asked: AtomicBool,
    event: Event,
}

impl Stop {
    /// # Panics
    /// When the process has no file descriptor left.
    pub fn new() -> Stop {
        Stop(Arc::new(Inner { asked: AtomicBool::new(false), event: Event::new() }))
    }

    /// Asks; it cannot be taken back.
    pub fn ask(&self) {
        self.0.asked.store(true, Ordering::Release);
        self.0.event.set();
    }

    pub fn asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire)
    }

    /// Waits up to `timeout`; true when stop was asked for.
    pub fn wait(&self, timeout: Duration) -> bool {
        if !self.asked() {
            let mut fds = [PollFd::from_borrowed_fd(self.0.event.fd(), PollFlags::IN)];
            let _ = poll(
                &mut fds,
                Some(&rustix::event::Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) }),
            );
        }
        self.asked()
    }

    /// Becomes readable when stop is asked for, for `poll` beside other descriptors.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.event.fd()
    }
}

impl Default for Stop {
    fn default() -> Self {
        Stop::new()
    }
}
