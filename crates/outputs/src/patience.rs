use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use plugin::{Clock, OutCx, Stop};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How long an output that is stuck goes on trying after a stop was asked for.
pub const GRACE: Duration = Duration::from_millis(400);

/// Waits for descriptors, as long as a timeout allows and, from the moment a stop is asked for, no
/// longer than [`GRACE`].
pub struct Patience<'a> {
    clock: &'a Clock,
    stop: &'a Stop,
    timeout: Duration,
    /// When patience ends, by the steady clock.
    deadline: Duration,
    stopping: bool,
}

impl<'a> Patience<'a> {
    /// Patience for `timeout` from now on.
    pub fn new(cx: &OutCx<'a>, timeout: Duration) -> Patience<'a> {
        Patience::until(cx.clock, cx.stop, timeout, None)
    }

    /// Patience for `timeout` from now on; what an earlier one had left after a stop, when there was one.
    pub fn until(clock: &'a Clock, stop: &'a Stop, timeout: Duration, end: Option<Duration>) -> Patience<'a> {
        let deadline = clock.steady().saturating_add(timeout).min(end.unwrap_or(Duration::MAX));
        Patience { clock, stop, timeout, deadline, stopping: end.is_some() }
    }

    /// When patience ends, by the steady clock, because of a stop.
    pub fn end(&self) -> Option<Duration> {
        self.stopping.then_some(self.deadline)
    }

    /// Something moved: the timeout starts anew, unless a stop was asked for.
    pub fn renew(&mut self) {
        if !self.stopping {
            self.deadline = self.clock.steady().saturating_add(self.timeout);
        }
    }

    /// Waits until `fd` is ready for one of `events`, or broken.
    ///
    /// # Errors
    /// `TimedOut` when the patience is over, `Interrupted` when it is because of a stop.
    pub fn wait(&mut self, fd: impl AsFd, events: PollFlags) -> io::Result<()> {
        loop {
            let now = self.clock.steady();
            if !self.stopping && self.stop.asked() {
                self.stopping = true;
                self.deadline = self.deadline.min(now.saturating_add(GRACE));
            }
            let left = self.deadline.saturating_sub(now);
            match self.ready(fd.as_fd(), events, left) {
                Ok(Ready::Yes) => return Ok(()),
                Ok(Ready::Stop) | Err(Errno::INTR) => {}
                Ok(Ready::Late) if self.stopping => return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped while waiting")),
                Ok(Ready::Late) => {
                    let timeout = options::unit::show_duration(self.timeout);
                    return Err(io::Error::new(io::ErrorKind::TimedOut, format!("nothing moved for {timeout}")));
                }
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn ready(&self, fd: BorrowedFd<'_>, events: PollFlags, left: Duration) -> Result<Ready, Errno> {
        let mut fds = [PollFd::from_borrowed_fd(fd, events), PollFd::from_borrowed_fd(self.stop.fd(), PollFlags::IN)];
        // Once stopping, the stop descriptor stays readable and would end every wait at once.
        let watched = if self.stopping { 1 } else { 2 };
        let timeout = Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(left.subsec_nanos()) };
        Ok(match poll(&mut fds[..watched], Some(&timeout))? {
            0 => Ready::Late,
            _ if !fds[0].revents().is_empty() => Ready::Yes,
            _ => Ready::Stop,
        })
    }
}

enum Ready {
    Yes,
    Stop,
    Late,
}
