//! Children whose CPU time and memory are measured.

use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

/// What a child used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub wall: Duration,
    /// User and system, of all its threads, in steps of the kernel's tick (10 ms).
    pub cpu: Duration,
    /// The most resident memory that was seen.
    pub rss_kib: u64,
    /// Bytes it handed to calls that write, whatever to.
    pub written: u64,
}

/// A running child. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    started: Instant,
    rss_kib: u64,
}

impl Process {
    /// Starts it with nothing to read.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Process> {
        Process::reading(command, Stdio::null())
    }

    /// Starts it with something to read.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn reading(command: &mut Command, stdin: impl Into<Stdio>) -> Result<Process> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(stdin).spawn().with_context(|| format!("cannot run {name}"))?;
        Ok(Process { child, name, started: Instant::now(), rss_kib: 0 })
    }

    /// The number by which the system knows it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// User and system time so far.
    pub fn cpu(&self) -> Duration {
        let ticks = self.stat().map_or(0, |(_, ticks)| ticks);
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Resident memory now, in KiB.
    pub fn rss_kib(&self) -> u64 {
        self.status("VmRSS:").unwrap_or(0)
    }

    /// State, and ticks of user and system time. They can be read until the child is waited for.
    fn stat(&self) -> Option<(char, u64)> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The second field is the name in parentheses, which may hold anything.
        let mut fields = text.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        let user: u64 = fields.nth(10)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some((state, user + system))
    }

    fn status(&self, key: &str) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        text.lines().find_map(|l| l.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
    }

    fn written(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/io", self.child.id())).unwrap_or_default();
        text.lines().find_map(|l| l.strip_prefix("wchar: ")?.parse().ok()).unwrap_or(0)
    }

    /// Whether it ended by itself.
    pub fn ended(&mut self) -> bool {
        self.rss_kib = self.rss_kib.max(self.status("VmHWM:").unwrap_or(0));
        self.stat().is_none_or(|(state, _)| state == 'Z')
    }

    fn usage(&self) -> Usage {
        Usage { wall: self.started.elapsed(), cpu: self.cpu(), rss_kib: self.rss_kib, written: self.written() }
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not within `limit`, or fails; grep's "nothing found" (1) is no failure.
    pub fn finish(mut self, limit: Duration) -> Result<Usage> {
        let deadline = Instant::now() + limit;
        while !self.ended() {
            if Instant::now() > deadline {
                bail!("{} did not end within {limit:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let usage = self.usage();
        let status = self.child.wait()?;
        match status.code() {
            Some(0) => Ok(usage),
            Some(1) if self.name.ends_with("grep") => Ok(usage),
            _ => Err(anyhow!("{}: {status}", self.name)),
        }
    }

    /// Waits until `done`; what it used until then, and all it used once it was told to stop.
    ///
    /// # Errors
    /// When `done` is not reached within `limit`, or the child ends before.
    pub fn finish_when(mut self, limit: Duration, mut done: impl FnMut() -> bool) -> Result<Usage> {
        let deadline = Instant::now() + limit;
        while !done() {
            if self.ended() {
                bail!("{} ended before its work was done: {}", self.name, self.child.wait()?);
            }
            if Instant::now() > deadline {
                bail!("{} was not done within {limit:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let wall = self.started.elapsed();
        self.terminate(Duration::from_secs(20))?;
        Ok(Usage { wall, ..self.usage() })
    }

    /// Asks it to stop and waits for the end; what it used can still be read.
    ///
    /// # Errors
    /// When it does not end within `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Result<()> {
        if !self.ended() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no such process")?;
            kill_process(pid, Signal::TERM)?;
        }
        let deadline = Instant::now() + limit;
        while !self.ended() {
            if Instant::now() > deadline {
                bail!("{} did not stop within {limit:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// As [`Process::terminate`], and collects it.
    ///
    /// # Errors
    /// As there.
    pub fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.terminate(limit)?;
        Ok(self.child.wait()?)
    }

    /// Ends it at once, between any two instructions.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_and_memory_are_seen() {
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"]);
        let usage = Process::spawn(&mut command).unwrap().finish(Duration::from_secs(60)).unwrap();
        assert!(usage.cpu > Duration::ZERO && usage.cpu <= usage.wall * 2, "{usage:?}");
        assert!(usage.rss_kib > 0, "{usage:?}");
    }

    #[test]
    fn failures_are_told() {
        let sh = |script: &str| Process::spawn(Command::new("sh").args(["-c", script])).unwrap();
        assert!(sh("exit 3").finish(Duration::from_secs(60)).is_err());
        assert!(sh("exit 3").finish_when(Duration::from_secs(60), || false).is_err());
        assert!(sh("sleep 60").finish(Duration::from_millis(10)).is_err());
        sh("sleep 60").finish_when(Duration::from_secs(60), || true).unwrap();
    }
}
