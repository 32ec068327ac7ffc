//! W8: what each further consumer of every message costs.

use std::cell::Cell;
use std::fmt::Write;
use std::rc::Rc;

use anyhow::Result;

use super::Settings;
use super::contender::{Contender, rates};
use super::inputs::AccessLog;

/// Nanoseconds of CPU a message, for each consumer beyond the first.
pub const EXTRA: &str = "ns/extra";

const COUNTS: &[(usize, &str)] = &[(1, "1 output"), (10, "10 outputs"), (100, "100 outputs")];

fn config(log: &AccessLog, outputs: usize) -> String {
    let head = format!("[input.log]\ntype = \"tail\"\npaths = [{:?}]\nonce = true\n", log.path);
    (0..outputs).fold(head, |mut config, n| {
        // Writing to memory does not fail.
        let _ = write!(config, "[output.null{n}]\ntype = \"null\"\nmatch = 'TRUE'\n");
        config
    })
}

/// W8.
pub fn outputs(settings: &Settings) -> Result<Vec<Contender>> {
    let log = AccessLog::make(&settings.dir, settings.lines(6_000_000))?;
    // What one output took in the same round: the first of them runs first.
    let alone = Rc::new(Cell::new(0.0));
    let contender = |&(outputs, name): &(usize, &'static str)| {
        let (case, log, alone) = (settings.case("W8", name), log.clone(), alone.clone());
        let config = config(&log, outputs);
        let run = move || {
            let usage = case.to_end(&config, &[], |_| Ok(()))?;
            let mut values = rates(log.lines, usage);
            if outputs == 1 {
                alone.set(usage.cpu.as_secs_f64());
            } else {
                let extra = (usage.cpu.as_secs_f64() - alone.get()) * 1e9 / log.lines as f64 / (outputs - 1) as f64;
                values.push((EXTRA, extra));
            }
            Ok(values)
        };
        let contender = Contender::new(name, run);
        if outputs == 1 { contender.floor() } else { contender }
    };
    Ok(COUNTS.iter().map(contender).collect())
}
