//! Whether anybody still reads standard output.

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// True once the reading end of a pipe is closed, as by `| head`.
pub fn closed() -> bool {
    let stdout = rustix::stdio::stdout();
    // Errors are told without being asked for.
    let mut fds = [PollFd::from_borrowed_fd(stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
