//! W6: what it costs to do nothing, and how soon something is done.

use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Settings;
use super::contender::{Case, Contender, Values};
use super::peers::{self, Task};
use crate::daemon::Daemon;

const CONFIG: &str = "\
[input.log]\ntype = \"tail\"\npaths = [\"{dir}/in.log\"]\n\
[output.file]\ntype = \"file\"\ndir = \"{dir}/out\"\nname = \"lines\"\nmatch = 'Type == \"log\"'\nencoder = \"line\"\n";

/// Filters beyond the first.
const FURTHER: usize = 1000;

const SCRIPT: &str = "\
lines = 0\n\
function process_message()\n    lines = lines + 1\n    return 0\nend\n\
function timer_event()\n    inject_payload(\"txt\", \"lines\", lines)\nend\n";

fn with_filters(count: usize) -> String {
    (0..count).fold(CONFIG.to_string(), |mut config, n| {
        // Writing to memory does not fail.
        let _ = write!(config, "[filter.f{n}]\ntype = \"lua\"\nscript = \"{{dir}}/idle.lua\"\nmatch = 'Type == \"none\"'\n");
        config
    })
}

/// Starts it beside one line in its file; how long until the line is out.
fn start(case: &Case, config: &str) -> Result<(Daemon, Duration)> {
    let mut daemon = case.prepare(config, &[("idle.lua", SCRIPT), ("in.log", "the first line\n")])?;
    let (out, start) = (daemon.path("out/lines"), Instant::now());
    daemon.start()?;
    daemon.wait_for("first line", Duration::from_secs(60), || fs::metadata(&out).is_ok_and(|m| m.len() > 0).then_some(()))?;
    Ok((daemon, start.elapsed()))
}

/// Resident memory once all is quiet, in KiB.
fn resident(mut daemon: Daemon, quiet: Duration) -> Result<f64> {
    std::thread::sleep(quiet);
    Ok(daemon.process()?.rss_kib() as f64)
}

/// W6.
pub fn idle(settings: &Settings) -> Result<Vec<Contender>> {
    let quiet = if settings.quick { Duration::from_millis(500) } else { Duration::from_secs(3) };
    let case = settings.case("W6", "nilo");
    let mut all = vec![Contender::new("nilo", move || {
        let (daemon, first) = start(&case, CONFIG)?;
        Ok(idle_values(resident(daemon, quiet)?, first))
    })];
    let case = settings.case("W6", "sandboxes");
    all.push(Contender::new(format!("nilo with {} sandboxes", FURTHER + 1), move || {
        let one = resident(start(&case, &with_filters(1))?.0, quiet)?;
        let (daemon, first) = start(&case, &with_filters(1 + FURTHER))?;
        let many = resident(daemon, quiet)?;
        let mut values = idle_values(many, first);
        values.push(("KiB/sandbox", (many - one) / FURTHER as f64));
        Ok(values)
    }));
    all.extend(peers::idle(settings, Task::Copy, quiet));
    Ok(all)
}

/// Resident KiB, and the time to the first line.
pub fn idle_values(kib: f64, first: Duration) -> Values {
    vec![("RSS MB", kib / 1024.0), ("ms to first line", first.as_secs_f64() * 1e3)]
}
