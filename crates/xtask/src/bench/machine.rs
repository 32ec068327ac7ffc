use std::fmt;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::workspace;

/// What was measured on: a figure means nothing without it.
#[derive(Clone, Debug)]
pub struct Machine {
    model: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    /// Processes that wanted to run in the minute before.
    load: String,
    date: String,
    /// What was measured, as git names it.
    version: String,
}

impl Machine {
    pub fn here() -> Machine {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|l| l.strip_prefix("model name")).and_then(|l| l.split_once(':')).map_or("?", |(_, m)| m.trim());
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib: u64 = memory.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        let system = rustix::system::uname();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Machine {
            model: model.to_string(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (kib as f64 / f64::from(1 << 20)).round(),
            kernel: format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy()),
            load: load.split(' ').next().unwrap_or("?").to_string(),
            date: said("date", &["-u", "+%F"]),
            version: said("git", &["describe", "--always", "--dirty"]),
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "model": self.model, "cores": self.cores, "memory_gib": self.memory_gib, "kernel": self.kernel,
            "load_at_start": self.load, "date": self.date, "nilo": self.version,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { model, cores, memory_gib, kernel, load, date, version } = self;
        write!(f, "{model}, {cores} cores, {memory_gib} GiB, {kernel}; load {load} at the start, {date}, nilo {version}")
    }
}

/// The line a command says.
fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(workspace::root()).output();
    output.ok().map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string()).filter(|s| !s.is_empty()).unwrap_or_else(|| "?".into())
}
