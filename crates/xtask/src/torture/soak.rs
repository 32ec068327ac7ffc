//! Moderate load for long: memory, descriptors and threads stay where they are.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::report::Report;
use super::stage::{Load, Stage};

type Value = fn(&Held) -> u64;

/// What the program held at a moment.
#[derive(Clone, Copy, Debug)]
struct Held {
    rss_kib: u64,
    descriptors: u64,
    threads: u64,
}

fn held(stage: &mut Stage) -> Result<Held> {
    let process = stage.daemon.process()?;
    ensure!(!process.ended(), "nilo ended by itself\n{}", stage.daemon.log_end());
    let process = stage.daemon.process()?;
    let entries = |what: &str| fs::read_dir(format!("/proc/{}/{what}", process.id())).map_or(0, |d| d.count() as u64);
    Ok(Held { rss_kib: process.rss_kib(), descriptors: entries("fd"), threads: entries("task") })
}

/// The middle one of the values of a third of the samples.
fn median(samples: &[Held], third: usize, value: Value) -> u64 {
    let size = samples.len() / 3;
    let mut values: Vec<u64> = samples[third * size..(third + 1) * size].iter().map(value).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// What rose between the middle and the last third.
fn rising(samples: &[Held]) -> Vec<String> {
    let values: [(&str, Value, u64); 3] =
        [("resident memory (KiB)", |h| h.rss_kib, 5), ("descriptors", |h| h.descriptors, 0), ("threads", |h| h.threads, 0)];
    let mut risen = Vec::new();
    for (name, value, percent) in values {
        let (middle, last) = (median(samples, 1, value), median(samples, 2, value));
        if last > middle + middle * percent / 100 {
            risen.push(format!("{name} rose from {middle} to {last}"));
        }
    }
    risen
}

/// Runs for `samples` times `every`, and tells each.
///
/// # Errors
/// When `nilo` does not run, or ends by itself.
pub fn torture(load: Load, samples: usize, every: Duration) -> Result<Report> {
    let title = format!("{:?} of moderate load, seed {}", every * samples as u32, load.seed);
    let mut stage = Stage::new(load)?;
    stage.daemon.configure(&stage.config(""))?;
    stage.feed()?;
    stage.start()?;
    let mut all = Vec::new();
    for n in 1..=samples {
        std::thread::sleep(every);
        let held = held(&mut stage)?;
        println!("{:>6.0?}  {:>8} KiB  {:>4} descriptors  {:>3} threads", every * n as u32, held.rss_kib, held.descriptors, held.threads);
        all.push(held);
    }
    let mut report = stage.finish(title)?.0;
    if all.len() >= 6 {
        report.broken.extend(rising(&all));
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rises_is_told() {
        let held = |rss_kib, descriptors| Held { rss_kib, descriptors, threads: 9 };
        assert_eq!(rising(&[held(90, 7), held(100, 9), held(104, 9)]), Vec::<String>::new());
        assert_eq!(rising(&[held(90, 7), held(100, 9), held(106, 10)]).len(), 2);
    }
}
