use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// Something that happened, for `poll` beside sockets: readable from [`Event::set`] until [`Event::clear`].
#[derive(Debug)]
pub struct Event(OwnedFd);

impl Event {
    /// # Panics
    /// When the process has no file descriptor left.
    pub fn new() -> Event {
        Event(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("a file descriptor for an event"))
    }

    pub fn set(&self) {
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    pub fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Default for Event {
    fn default() -> Self {
        Event::new()
    }
}
