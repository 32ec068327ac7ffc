use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use crate::daemon::Daemon;
use crate::process::{Process, Usage};

/// What one run gave, by the name of its column.
pub type Values = Vec<(&'static str, f64)>;

/// Records, in thousands, for a second of CPU time: what most workloads compare.
pub const RATE: &str = "k/CPU-s";

/// Longest time for one run.
pub const LIMIT: Duration = Duration::from_secs(600);

/// Whose figures they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    Nilo,
    /// Programs that do next to nothing.
    Machine,
    Peer,
}

/// Someone who does a workload.
pub struct Contender {
    /// What it does, where a workload has several things to do; contenders of one group are compared.
    pub group: String,
    pub name: String,
    pub who: Who,
    /// Whether the others of its group are compared with it.
    pub floor: bool,
    pub run: Box<dyn FnMut() -> Result<Values>>,
}

impl Contender {
    pub fn new(name: impl Into<String>, run: impl FnMut() -> Result<Values> + 'static) -> Contender {
        Contender { group: String::new(), name: name.into(), who: Who::Nilo, floor: false, run: Box::new(run) }
    }

    pub fn machine(name: impl Into<String>, run: impl FnMut() -> Result<Values> + 'static) -> Contender {
        Contender { who: Who::Machine, ..Contender::new(name, run) }
    }

    pub fn peer(name: impl Into<String>, run: impl FnMut() -> Result<Values> + 'static) -> Contender {
        Contender { who: Who::Peer, ..Contender::new(name, run) }
    }

    pub fn floor(self) -> Contender {
        Contender { floor: true, ..self }
    }

    pub fn of(self, group: &str) -> Contender {
        Contender { group: group.to_string(), ..self }
    }
}

/// Records a second and a CPU-second, in thousands, memory, and what was written.
pub fn rates(records: u64, usage: Usage) -> Values {
    let thousands = records as f64 / 1e3;
    // The kernel counts in steps of 10 ms.
    let cpu = usage.cpu.max(Duration::from_millis(10));
    vec![
        (RATE, thousands / cpu.as_secs_f64()),
        ("k/s wall", thousands / usage.wall.as_secs_f64()),
        ("CPU-s", cpu.as_secs_f64()),
        ("RSS MB", usage.rss_kib as f64 / 1024.0),
        ("MB written", usage.written as f64 / 1e6),
    ]
}

/// What `nilo` is run on: a fresh directory each time.
#[derive(Clone, Debug)]
pub struct Case {
    pub nilo: PathBuf,
    /// The directory that is to stay; a temporary one if there is none.
    pub kept: Option<PathBuf>,
}

impl Case {
    /// A directory with a configuration and other files; nothing runs yet.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn prepare(&self, config: &str, files: &[(&str, &str)]) -> Result<Daemon> {
        let daemon = match &self.kept {
            Some(dir) => Daemon::within(&self.nilo, dir)?,
            None => Daemon::new(&self.nilo)?,
        };
        daemon.configure(config)?;
        for (name, text) in files {
            daemon.write(name, text)?;
        }
        Ok(daemon)
    }

    /// Runs it until it ends by itself, and lets `check` look at its directory.
    ///
    /// # Errors
    /// When it fails, or the check does.
    pub fn to_end(&self, config: &str, files: &[(&str, &str)], check: impl Fn(&Daemon) -> Result<()>) -> Result<Usage> {
        let mut daemon = self.prepare(config, files)?;
        daemon.start()?;
        let usage = daemon.take_process()?.finish(LIMIT).map_err(|e| e.context(daemon.log_end()))?;
        check(&daemon).map_err(|e| e.context(daemon.log_end()))?;
        Ok(usage)
    }
}

/// Runs a command that says little until it ends by itself.
///
/// # Errors
/// When it fails.
pub fn command_to_end(command: &mut Command) -> Result<Usage> {
    // Not /dev/null: grep sees that and stops at its first line.
    Process::spawn(command.stdout(Stdio::piped()))?.finish(LIMIT)
}
