//! The configuration is changed, sometimes to a broken one, and the program killed, in random order.

use anyhow::Result;

use super::random::Random;
use super::report::Report;
use super::stage::{Load, Stage};

/// A variation of the configuration. What every output gets stays the same.
fn vary(config: String, random: &mut Random) -> String {
    let mut config = config;
    if random.percent(50) {
        config += "[output.extra]\ntype = \"null\"\nmatch = 'TRUE'\n";
    }
    if random.percent(30) {
        config += "[filter.extra]\ntype = \"count\"\nevery = \"1s\"\nmatch = 'Type == \"none\"'\n";
    }
    let count = random.within(100..10_000);
    config = config.replace("[output.file]\n", &format!("[output.file]\nbatch_count = {count}\n"));
    if random.percent(30) {
        config = config.replace("[output.tcp]\n", "[output.tcp]\nbatch_count = 500\n");
    }
    if random.percent(30) {
        config = config.replace("[output.http]\n", "[output.http]\nbatch_count = 300\n");
    }
    if random.percent(30) {
        config = config.replace("[input.tail]\n", "[input.tail]\npoll = \"900ms\"\n");
    }
    if random.percent(20) {
        config = config.replace("[input.tcp]\n", "[input.tcp]\nidle_timeout = \"9m\"\n");
    }
    config
}

/// Changes the configuration so often, and kills about every fourth time.
///
/// # Errors
/// When `nilo` does not run, or ends by itself.
pub fn torture(load: Load, changes: usize) -> Result<Report> {
    let title = format!("{changes} reloads with kill -9 among them, seed {}", load.seed);
    let mut stage = Stage::new(load)?;
    let plain = stage.config("");
    stage.daemon.configure(&plain)?;
    stage.feed()?;
    stage.start()?;
    let (mut kills, mut broken) = (0, 0);
    for _ in 0..changes {
        stage.pause(20..300);
        let config = vary(plain.clone(), &mut stage.random);
        if stage.random.percent(10) {
            broken += 1;
            stage.daemon.configure(&config.replace("match = 'Type", "match = 'Typo"))?;
            stage.pause(5..100);
        }
        stage.daemon.configure(&config)?;
        if stage.random.percent(25) {
            stage.pause(0..50);
            stage.kill()?;
            kills += 1;
            stage.start()?;
        }
    }
    stage.daemon.configure(&plain)?;
    stage.pause(200..400);
    let mut report = stage.finish(title)?.0;
    report.notes.push(format!("{changes} changes, {broken} broken ones besides, {kills} kills"));
    Ok(report)
}
