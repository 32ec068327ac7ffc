//! `kill -9` at random instants, under load from every input into every output.

use anyhow::Result;

use super::report::Report;
use super::stage::{Load, Stage};

/// When a run is killed, in milliseconds after its first delivery.
const ALIVE: std::ops::Range<u64> = 50..701;

/// Kills so often, at once starting again.
///
/// # Errors
/// When `nilo` does not run, or ends by itself.
pub fn torture(load: Load, kills: usize) -> Result<Report> {
    let title = format!("kill -9, outputs {}durable, seed {}", if load.durable { "" } else { "not " }, load.seed);
    let mut stage = Stage::new(load)?;
    stage.daemon.configure(&stage.config(""))?;
    stage.feed()?;
    for kill in 1..=kills {
        stage.start()?;
        stage.pause(ALIVE);
        stage.kill()?;
        if kill % 50 == 0 {
            eprintln!("{kill} of {kills} kills: {} acknowledged", stage.ledger.acknowledged());
        }
    }
    stage.start()?;
    stage.pause(ALIVE);
    Ok(stage.finish(title)?.0)
}
