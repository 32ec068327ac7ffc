//! The workloads of the speed table, each beside its floor and whichever peers are there.
//!
//! What is compared is mostly records per CPU-second (user and system, all threads), as the median of
//! several runs. Contenders take turns, so that a busy moment of the machine hits all of them; only
//! ratios within one table mean anything.

mod contender;
mod cores;
mod decoders;
mod durability;
mod example;
mod fanout;
pub mod floor;
mod idle;
mod inputs;
mod latency;
mod machine;
mod matchers;
mod peers;
mod picture;
mod relay;
mod rooms;
mod sandbox;
mod statsd;
mod syslog;
mod table;
mod tail;
pub mod tcp;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

pub use contender::{Case, Contender, Values};
use machine::Machine;
pub use peers::install;
use table::Table;
use workload::Workload;

use crate::workspace;

/// What to measure, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    pub nilo: PathBuf,
    /// Names of workloads; all if there are none.
    pub workloads: Vec<String>,
    pub peers: bool,
    pub runs: usize,
    /// A tenth of the input.
    pub quick: bool,
    /// Leave configurations and outputs below `dir`, in a directory for each workload.
    pub keep: bool,
    /// Directory for inputs, which stay, and results.
    pub dir: PathBuf,
}

impl Settings {
    /// Lines of input, where so many take the program about three seconds of CPU.
    fn lines(&self, full: u64) -> u64 {
        if self.quick { full / 10 } else { full }
    }

    fn lines_for_peers(&self) -> u64 {
        self.lines(1_000_000)
    }

    fn case(&self, workload: &str, name: &str) -> Case {
        let slug: String = name.chars().filter(|c| *c != ',').map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        Case { nilo: self.nilo.clone(), kept: self.keep.then(|| self.dir.join(workload).join(slug)) }
    }
}

fn wanted(names: &[String]) -> impl Iterator<Item = &'static Workload> {
    workload::ALL.iter().filter(|w| names.is_empty() || names.iter().any(|name| w.name.eq_ignore_ascii_case(name)))
}

/// Whether any of these workloads runs the program.
pub fn runs_nilo(names: &[String]) -> bool {
    wanted(names).any(|w| w.runs_nilo)
}

/// Where inputs, peers and results are kept.
pub fn directory() -> PathBuf {
    workspace::target().join("bench")
}

/// Measures; prints tables on stdout, and writes them to `results` as JSON and beside it as a picture.
///
/// # Errors
/// When a workload is not known, or a contender fails or does its work wrongly.
pub fn bench(settings: &Settings, results: &Path) -> Result<()> {
    let known = |name: &&String| !workload::ALL.iter().any(|w| w.name.eq_ignore_ascii_case(name));
    if let Some(unknown) = settings.workloads.iter().find(known) {
        let names: Vec<&str> = workload::ALL.iter().map(|w| w.name).collect();
        bail!("there is no workload {unknown}; there are {}", names.join(", "));
    }
    fs::create_dir_all(&settings.dir)?;
    let machine = Machine::here();
    println!("{machine}");
    println!("medians of {} runs{}\n", settings.runs, if settings.quick { ", a tenth of the input" } else { "" });
    let mut tables = Vec::new();
    for workload in wanted(&settings.workloads) {
        let table = measure(workload, (workload.contenders)(settings)?, settings.runs)?;
        println!("{table}");
        tables.push(table);
        // After each, so that what was measured is kept if the next one fails.
        let json: Vec<_> = tables.iter().map(Table::json).collect();
        let all = json!({ "machine": machine.json(), "runs": settings.runs, "quick": settings.quick, "workloads": json });
        write(results, &format!("{all:#}\n"))?;
        write(&results.with_extension("svg"), &picture::draw(&machine.to_string(), &tables))?;
    }
    eprintln!("{}", results.display());
    Ok(())
}

/// Copies results and picture of [`bench`] to where the documentation shows them.
///
/// # Errors
/// Those of the file system.
pub fn publish(results: &Path) -> Result<()> {
    let docs = workspace::root().join("docs");
    for extension in ["json", "svg"] {
        fs::copy(results.with_extension(extension), docs.join("performance").with_extension(extension))?;
    }
    Ok(())
}

fn measure(workload: &'static Workload, mut contenders: Vec<Contender>, runs: usize) -> Result<Table> {
    let mut samples: Vec<Vec<Values>> = vec![Vec::new(); contenders.len()];
    for run in 1..=runs {
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            eprintln!("{} run {run}/{runs}: {} {}", workload.name, contender.group, contender.name);
            samples.push((contender.run)().with_context(|| format!("{}, {}", workload.name, contender.name))?);
        }
    }
    Ok(Table::new(workload, contenders.into_iter().zip(samples)))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
