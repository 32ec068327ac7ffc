//! The workloads of the speed table, each beside its floor and whichever peers are there.
//!
//! What is compared is records per CPU-second (user and system, all threads), as the median of
//! several runs. Contenders take turns, so that a busy moment of the machine hits all of them; only
//! ratios within one table mean anything.

mod contender;
pub mod floor;
mod idle;
mod inputs;
mod machine;
mod peers;
mod sandbox;
mod statsd;
mod table;
mod tail;
mod tcp;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

pub use contender::{Contender, Values};
pub use peers::install;
use table::Table;

use crate::workspace;

/// How much is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Size {
    /// Seconds altogether: whether it works.
    Small,
    /// 2,000,000 lines of access log, 1,000,000 of syslog.
    Full,
    /// Ten times that: three CPU-seconds and more for the fastest.
    Long,
}

impl Size {
    /// Lines of the access log; half as many of syslog.
    pub fn lines(self) -> u64 {
        match self {
            Size::Small => 100_000,
            Size::Full => 2_000_000,
            Size::Long => 20_000_000,
        }
    }
}

/// What to measure, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    pub nilo: PathBuf,
    pub workloads: Vec<String>,
    pub peers: bool,
    pub runs: usize,
    pub size: Size,
    /// Directory for inputs, which stay, and results.
    pub dir: PathBuf,
}

/// Whether any of these workloads runs the program.
pub fn runs_nilo(workloads: &[String]) -> bool {
    let without = |w: &String| [SANDBOX, PARSING].iter().any(|name| w.eq_ignore_ascii_case(name));
    workloads.is_empty() || !workloads.iter().all(without)
}

/// Where inputs, peers and results are kept.
pub fn directory() -> PathBuf {
    workspace::target().join("bench")
}

// Those that do not run the program.
const SANDBOX: &str = "sandbox";
const PARSING: &str = "parsing";

type Workload = fn(&Settings) -> Result<Vec<Contender>>;

/// By name, with what is done.
const WORKLOADS: &[(&str, &str, Workload)] = &[
    ("W1", "file → nothing", tail::nothing),
    ("W2", "nginx → status >= 500 → JSON file", tail::errors),
    ("W3", "nginx decode, then Lua per line with two reads, count per status", tail::lua),
    ("W4", "TCP → file, raw lines of RFC 5424", tcp::raw),
    ("W5", "statsd over UDP", statsd::udp),
    ("W6", "idle, one tail → file", idle::idle),
    (SANDBOX, "what a Lua sandbox costs", sandbox::sandbox),
    (PARSING, "one line of nginx's access log, 8 captures", sandbox::parsing),
];

/// Measures; prints tables on stdout and writes `results` as JSON.
///
/// # Errors
/// When a workload is not known, or a contender fails or does its work wrongly.
pub fn bench(settings: &Settings, results: &Path) -> Result<()> {
    let known = |name: &&String| !WORKLOADS.iter().any(|(w, ..)| w.eq_ignore_ascii_case(name));
    if let Some(unknown) = settings.workloads.iter().find(known) {
        let names: Vec<&str> = WORKLOADS.iter().map(|(name, ..)| *name).collect();
        bail!("there is no workload {unknown}; there are {}", names.join(", "));
    }
    fs::create_dir_all(&settings.dir)?;
    let machine = machine::describe();
    println!("{machine}");
    println!("medians of {} runs, {:?} size\n", settings.runs, settings.size);
    let mut tables = Vec::new();
    for (name, what, workload) in WORKLOADS {
        let wanted = settings.workloads.is_empty() || settings.workloads.iter().any(|w| w.eq_ignore_ascii_case(name));
        if wanted {
            let table = measure(name, what, workload(settings)?, settings.runs)?;
            println!("{table}");
            tables.push(table.json());
        }
    }
    write(results, &json!({ "machine": machine, "runs": settings.runs, "lines": settings.size.lines(), "workloads": tables }))
}

fn measure(name: &str, what: &str, mut contenders: Vec<Contender>, runs: usize) -> Result<Table> {
    let mut samples: Vec<Vec<Values>> = vec![Vec::new(); contenders.len()];
    for run in 1..=runs {
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            eprintln!("{name} run {run}/{runs}: {}", contender.name);
            samples.push((contender.run)().with_context(|| format!("{name}, {}", contender.name))?);
        }
    }
    let rows = contenders.into_iter().zip(samples).map(|(c, samples)| (c.name, c.floor, samples));
    Ok(Table::new(name, what, rows))
}

fn write(path: &Path, results: &Value) -> Result<()> {
    fs::write(path, format!("{results:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("{}", path.display());
    Ok(())
}
