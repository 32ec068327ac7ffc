//! W7: a message is asked about by as many filters as there are, and matches one of them.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Settings;
use super::contender::{Case, Contender, rates};
use super::inputs::Keyed;
use crate::daemon::Daemon;

/// Filters, with the field that has as many values.
const COUNTS: &[(usize, &str, &str)] =
    &[(10, "ten", "10 matchers"), (1000, "thousand", "1,000 matchers"), (10_000, "myriad", "10,000 matchers")];

fn config(log: &Keyed, filters: usize, field: &str) -> String {
    let head = format!(
        "[input.log]\ntype = \"tail\"\npaths = [{:?}]\nonce = true\ndecoder = \"logfmt\"\n\
         [output.counts]\ntype = \"file\"\ndir = \"{{dir}}/out\"\nname = \"counts\"\nmatch = 'Type == \"nilometer.count\"'\nencoder = \"json\"\n",
        log.path
    );
    (0..filters).fold(head, |mut config, n| {
        // Writing to memory does not fail.
        let _ = write!(config, "[filter.f{n}]\ntype = \"count\"\nevery = \"1h\"\nmatch = 'Fields[{field}] == \"v{n}\"'\n");
        config
    })
}

/// Every filter tells its count at the end, and together they have every line once.
fn check(daemon: &Daemon, lines: u64, filters: usize) -> Result<()> {
    let text = fs::read_to_string(daemon.path("out/counts")).context("no counts came out")?;
    let counts = text.lines().map(|line| serde_json::from_str::<Value>(line)?["count"].as_u64().context("no count"));
    let counts = counts.collect::<Result<Vec<u64>>>()?;
    ensure!(counts.len() == filters, "{} filters told their count, there are {filters}", counts.len());
    let sum: u64 = counts.iter().sum();
    ensure!(sum == lines, "the filters counted {sum} lines, there are {lines}");
    Ok(())
}

/// W7.
pub fn many(settings: &Settings) -> Result<Vec<Contender>> {
    let log = Keyed::make(&settings.dir, settings.lines(3_000_000))?;
    let contender = |&(filters, field, name): &(usize, &str, &str)| {
        let (case, log): (Case, Keyed) = (settings.case("W7", name), log.clone());
        let config = config(&log, filters, field);
        let run = move || Ok(rates(log.lines, case.to_end(&config, &[], |daemon| check(daemon, log.lines, filters))?));
        let contender = Contender::new(name, run);
        if filters == COUNTS[0].0 { contender.floor() } else { contender }
    };
    Ok(COUNTS.iter().map(contender).collect())
}
