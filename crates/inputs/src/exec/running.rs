use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use options::unit::{show_duration, show_size};
use plugin::InputCx;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::output::Output;
use super::settings::Settings;

/// Time from SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_millis(500);

/// How long one that was killed may take to be gone.
const GONE: Duration = Duration::from_millis(300);

/// A command that was started. Its process stays until [`Running::turn`] or [`Running::finish`] says how it ended,
/// so that the number of its group cannot become that of another.
pub struct Running {
    child: Child,
    /// Readable when the command itself has ended.
    ended: OwnedFd,
    group: Pid,
    pipes: [Option<OwnedFd>; 2],
    /// Bytes that may still come, and whether more than those came.
    left: Option<usize>,
    exceeded: bool,
    /// When it has to end, by the steady clock; and the option's value.
    deadline: Option<(Duration, Duration)>,
    /// Told to end, why unless it ended by itself, and until when it may take.
    ending: Option<(Option<String>, Duration)>,
    killed: bool,
    max_output: usize,
}

/// How a run ended.
pub struct End {
    /// None for one that could not even be killed.
    status: Option<ExitStatus>,
    /// Why it was made to end.
    cause: Option<String>,
}

impl End {
    /// What there is to complain about. One that is to go on should not have ended.
    pub fn failure(&self, goes_on: bool) -> Option<String> {
        let Some(status) = self.status else { return Some("it was killed and is still there".into()) };
        match (&self.cause, status.code(), status.signal()) {
            (Some(cause), ..) => Some(cause.clone()),
            (None, Some(0), _) if !goes_on => None,
            (None, Some(code), _) => Some(format!("it ended with status {code}")),
            (None, None, signal) => Some(format!("it was ended by signal {}", signal.unwrap_or_default())),
        }
    }

    pub fn status(&self) -> Option<i32> {
        self.status?.code()
    }

    pub fn signal(&self) -> Option<i32> {
        self.status?.signal()
    }
}

impl Running {
    /// Starts the command in a process group of its own.
    ///
    /// # Errors
    /// When there is no such program, or no more processes or descriptors.
    pub fn start(settings: &Settings, now: Duration) -> io::Result<Running> {
        let mut child = settings.command().process_group(0).spawn()?;
        let group = Pid::from_child(&child);
        let ended = pidfd_open(group, PidfdFlags::empty()).inspect_err(|_| {
            let _ = kill_process_group(group, Signal::KILL);
            let _ = child.wait();
        })?;
        let pipes = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
        Ok(Running {
            child,
            ended,
            group,
            pipes,
            left: settings.max_output,
            exceeded: false,
            deadline: settings.timeout.map(|timeout| (now + timeout, timeout)),
            ending: None,
            killed: false,
            max_output: settings.max_output.unwrap_or_default(),
        })
    }

    /// Waits for what it writes, for its end, or for `due`, and does what there is to do. How it ended, when all of it has.
    pub fn turn(&mut self, outputs: &mut [Output; 2], due: Duration, cx: &mut InputCx<'_>) -> Option<End> {
        let now = cx.clock.steady();
        let until = [Some(due), self.deadline.map(|(at, _)| at), self.ending.as_ref().map(|(_, at)| *at)];
        let until = until.into_iter().flatten().map(|at| at.saturating_sub(now)).min().unwrap_or_default();
        let ended = self.wait(until.min(cx.intake.wait()), outputs, cx);
        let now = cx.clock.steady();
        if let Some((_, timeout)) = self.deadline.filter(|(at, _)| now >= *at && self.ending.is_none()) {
            self.tell(Some(format!("it was ended after {} (option `timeout`)", show_duration(timeout))), now);
        }
        if self.exceeded {
            // Even when it ended by itself meanwhile: there is more than was taken.
            self.tell(Some(format!("it was ended after {} of output (option `max_output`)", show_size(self.max_output as u64))), now);
        }
        if ended && self.ending.is_none() {
            // What it left behind is of no use to anybody.
            self.tell(None, now);
        }
        let silent = self.pipes.iter().all(Option::is_none);
        if self.ending.as_ref().is_some_and(|(_, at)| (ended && silent) || now >= *at) {
            self.kill();
        }
        // Processes that left the group may hold the pipes open: they are not waited for.
        self.killed.then(|| self.reap())
    }

    /// Ends it, whatever it does; what it still writes is taken.
    pub fn finish(&mut self, outputs: &mut [Output; 2], cx: &mut InputCx<'_>) {
        let mut now = cx.clock.steady();
        self.tell(None, now);
        let end = now + GRACE;
        while now < end {
            let ended = self.wait(end - now, outputs, cx);
            if ended && self.pipes.iter().all(Option::is_none) {
                break;
            }
            now = cx.clock.steady();
        }
        self.kill();
        self.reap();
    }

    /// Waits and reads; whether the command itself has ended.
    fn wait(&mut self, timeout: Duration, outputs: &mut [Output; 2], cx: &mut InputCx<'_>) -> bool {
        let has_ended = is_readable(&self.ended, Duration::ZERO);
        let mut fds = Vec::with_capacity(4);
        // Each of these would end the wait at once, for ever.
        if !cx.stop.asked() {
            fds.push(PollFd::from_borrowed_fd(cx.stop.fd(), PollFlags::IN));
        }
        if !has_ended {
            fds.push(PollFd::new(&self.ended, PollFlags::IN));
        }
        let pipes_at = fds.len();
        fds.extend(self.pipes.iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let timeout = if has_ended && fds.len() == pipes_at { Duration::ZERO } else { timeout };
        // Fails for a signal only, and then nothing is ready.
        let polled = poll(&mut fds, Some(&timespec(timeout)));
        let mut ready = fds[pipes_at..].iter().map(|fd| polled.is_ok() && !fd.revents().is_empty());
        let ready = [0, 1].map(|i| self.pipes[i].is_some() && ready.next().unwrap_or(false));
        for i in [0, 1] {
            if ready[i] {
                self.read(i, &mut outputs[i], cx);
            }
        }
        is_readable(&self.ended, Duration::ZERO)
    }

    fn read(&mut self, i: usize, output: &mut Output, cx: &mut InputCx<'_>) {
        let Some(pipe) = &self.pipes[i] else { return };
        // Whether there is one byte too many has to be seen.
        let result = match self.left {
            Some(0) => rustix::io::read(pipe, &mut [0; 1]).map_err(io::Error::from),
            left => output.read(pipe.as_fd(), left.unwrap_or(usize::MAX), cx),
        };
        match result {
            Ok(0) => self.pipes[i] = None,
            Ok(_) if self.left == Some(0) => {
                self.exceeded = true;
                self.pipes[i] = None;
            }
            Ok(n) => self.left = self.left.map(|left| left.saturating_sub(n)),
            Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(_) => self.pipes[i] = None,
        }
    }

    /// Asks all of the group to end, once. The first cause is kept.
    fn tell(&mut self, cause: Option<String>, now: Duration) {
        match &mut self.ending {
            None => {
                let _ = kill_process_group(self.group, Signal::TERM);
                self.ending = Some((cause, now + GRACE));
            }
            Some((known, _)) => *known = known.take().or(cause),
        }
    }

    fn kill(&mut self) {
        if !self.killed {
            let _ = kill_process_group(self.group, Signal::KILL);
            self.killed = true;
        }
    }

    /// Takes note of its end, once it was killed.
    fn reap(&mut self) -> End {
        // One that the system does not let go is left: it must not hold us.
        let status = if is_readable(&self.ended, GONE) { self.child.wait().ok() } else { None };
        End { status, cause: self.ending.take().and_then(|(cause, _)| cause) }
    }
}

/// However it comes to that, nothing of it is left behind.
impl Drop for Running {
    fn drop(&mut self) {
        if !self.killed {
            self.kill();
            self.reap();
        }
    }
}

fn is_readable(fd: &OwnedFd, timeout: Duration) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    poll(&mut fds, Some(&timespec(timeout))).is_ok_and(|n| n > 0)
}

fn timespec(timeout: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX), tv_nsec: timeout.subsec_nanos().into() }
}
