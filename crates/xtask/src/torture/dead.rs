//! One output is dead for a while: the other one keeps its rate, and the dead one catches up in order.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::report::Report;
use super::stage::{Load, Sink, Source, Stage};

/// What was seen of the program in a phase.
#[derive(Clone, Copy, Default, Debug)]
struct Phase {
    time: Duration,
    /// Records a second at the healthy output.
    rate: f64,
    rss_kib: u64,
    journal: u64,
}

/// Watches until `done`; the healthy output is the first.
fn watch(stage: &mut Stage, mut done: impl FnMut(&Stage, Duration) -> bool) -> Result<Phase> {
    let healthy = stage.ledger.outputs()[0].clone();
    let (start, before, mut phase) = (Instant::now(), healthy.count(), Phase::default());
    while !done(stage, start.elapsed()) {
        std::thread::sleep(Duration::from_millis(20));
        phase.journal = phase.journal.max(stage.journal());
        let process = stage.daemon.process()?;
        anyhow::ensure!(!process.ended(), "nilo ended by itself\n{}", stage.daemon.log_end());
        phase.rss_kib = phase.rss_kib.max(stage.daemon.process()?.rss_kib());
    }
    phase.time = start.elapsed();
    phase.rate = (healthy.count() - before) as f64 / phase.time.as_secs_f64();
    Ok(phase)
}

/// Runs from `tail` into a file and into a receiver that is dead for so long.
///
/// # Errors
/// When `nilo` does not run, or ends by itself.
pub fn torture(mut load: Load, dead: Duration) -> Result<Report> {
    (load.sources, load.sinks, load.queue) = (vec![Source::Tail], vec![Sink::File, Sink::Tcp], "4MiB");
    let (title, rate, limit) = (format!("an output dead for {dead:?}, seed {}", load.seed), load.rate, load.limit);
    let mut stage = Stage::new(load)?;
    stage.daemon.configure(&stage.config(""))?;
    stage.feed()?;
    stage.start()?;
    let calm = (dead / 4).min(Duration::from_secs(10));
    let before = watch(&mut stage, |_, t| t > calm)?;
    stage.tcp.as_ref().context("no receiver")?.close();
    let during = watch(&mut stage, |_, t| t > dead)?;
    stage.tcp.as_ref().context("no receiver")?.reopen();
    // Caught up: not further behind than a twentieth of a second.
    let behind = |stage: &Stage| stage.tail.as_ref().map_or(0, |t| t.written()).saturating_sub(stage.ledger.outputs()[1].tally().delivered);
    let catching = watch(&mut stage, |stage, t| behind(stage) <= rate / 20 || t > dead * 4 + limit)?;
    let left = behind(&stage);
    let after = watch(&mut stage, |_, t| t > calm)?;
    let mut report = stage.finish(title)?.0;
    for (name, phase) in [("before", before), ("dead", during), ("catching up", catching), ("after", after)] {
        report.notes.push(format!(
            "{name:<12} {:>6.1} s: the healthy output gets {:>7.0}/s; resident {} MiB, journal {} MiB at most",
            phase.time.as_secs_f64(),
            phase.rate,
            phase.rss_kib >> 10,
            phase.journal >> 20
        ));
    }
    if left > rate / 20 {
        report.broken.push(format!("the dead output is still {left} records behind"));
    }
    if during.rate < before.rate / 2.0 {
        report.broken.push("the healthy output has lost more than half of its rate".to_string());
    }
    Ok(report)
}
