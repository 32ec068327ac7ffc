//! A followed file is rotated and the program killed, in random order.

use anyhow::{Context, Result};

use super::report::Report;
use super::stage::{Load, Source, Stage};

/// Rotates so often, and kills about every third time: before, between or after.
///
/// # Errors
/// When `nilo` does not run, or ends by itself.
pub fn torture(mut load: Load, rotations: usize) -> Result<Report> {
    load.sources = vec![Source::Tail];
    let title = format!("{rotations} rotations with kill -9 among them, seed {}", load.seed);
    let mut stage = Stage::new(load)?;
    stage.daemon.configure(&stage.config(""))?;
    stage.feed()?;
    stage.start()?;
    for n in 1..=rotations {
        stage.pause(10..300);
        let (kill, while_dead) = (stage.random.percent(35), stage.random.percent(50));
        if kill && while_dead {
            stage.kill()?;
        }
        let to = stage.daemon.path(&format!("in.log.{n}"));
        stage.tail.as_ref().context("no sender")?.rotate(&stage.ledger, &to)?;
        if kill && !while_dead {
            stage.pause(0..20);
            stage.kill()?;
        }
        if kill {
            stage.start()?;
        }
    }
    stage.pause(100..200);
    let kills = stage.kills;
    let mut report = stage.finish(title)?.0;
    report.notes.push(format!("{rotations} rotations, {kills} kills"));
    Ok(report)
}
