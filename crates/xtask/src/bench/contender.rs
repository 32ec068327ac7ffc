use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::daemon::Daemon;
use crate::process::{Process, Usage};

/// What one run gave, by the name of its column.
pub type Values = Vec<(&'static str, f64)>;

/// Longest time for one run.
pub const LIMIT: Duration = Duration::from_secs(600);

/// Someone who does a workload.
pub struct Contender {
    pub name: String,
    /// Whether the others are compared with it.
    pub floor: bool,
    pub run: Box<dyn FnMut() -> Result<Values>>,
}

impl Contender {
    pub fn new(name: impl Into<String>, run: impl FnMut() -> Result<Values> + 'static) -> Contender {
        Contender { name: name.into(), floor: false, run: Box::new(run) }
    }

    pub fn floor(self) -> Contender {
        Contender { floor: true, ..self }
    }
}

/// Records a second and a CPU-second, in thousands, and memory.
pub fn rates(records: u64, usage: Usage) -> Values {
    let thousands = records as f64 / 1e3;
    // The kernel counts in steps of 10 ms.
    let cpu = usage.cpu.max(Duration::from_millis(10));
    vec![
        ("k/s wall", thousands / usage.wall.as_secs_f64()),
        ("k/CPU-s", thousands / cpu.as_secs_f64()),
        ("RSS MB", usage.rss_kib as f64 / 1024.0),
    ]
}

/// Runs `nilo` on a configuration until it ends by itself, and lets `check` look at its directory.
///
/// # Errors
/// When it fails, or the check does.
pub fn nilo_to_end(nilo: &Path, config: &str, files: &[(&str, &str)], check: impl Fn(&Daemon) -> Result<()>) -> Result<Usage> {
    let mut daemon = prepare(nilo, config, files)?;
    daemon.start()?;
    let usage = daemon.take_process()?.finish(LIMIT).map_err(|e| e.context(daemon.log_end()))?;
    check(&daemon)?;
    Ok(usage)
}

/// A directory with a configuration and other files.
///
/// # Errors
/// Those of the file system.
pub fn prepare(nilo: &Path, config: &str, files: &[(&str, &str)]) -> Result<Daemon> {
    let daemon = Daemon::new(nilo)?;
    daemon.configure(config)?;
    for (name, text) in files {
        daemon.write(name, text)?;
    }
    Ok(daemon)
}

/// Runs a command until it ends by itself, without its output.
///
/// # Errors
/// When it fails.
pub fn command_to_end(command: &mut std::process::Command) -> Result<Usage> {
    Process::spawn(command.stdout(std::process::Stdio::null()))?.finish(LIMIT)
}
