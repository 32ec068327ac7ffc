//! W10: what a second core brings, beside what it brings to two programs that share nothing.

use std::fmt::Write;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::Settings;
use super::contender::{Case, Contender, LIMIT, Values};
use super::inputs::AccessLog;
use crate::daemon::Daemon;
use crate::process::Process;

pub const SPEED_UP: &str = "speed-up";

/// Inputs, each with two scripts.
const INPUTS: usize = 4;

const SCRIPT: &str = r#"
local by_status, lines = {}, 0

function process_message()
    local status = read_message("Fields[status]")
    by_status[status] = (by_status[status] or 0) + 1
    lines = lines + 1
    return 0
end

function timer_event()
    inject_payload("txt", "lines", string.format("%d", lines))
end
"#;

/// Does something whose children may use the first `cores` of those we have.
fn on<T>(cores: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let all = sched_getaffinity(None)?;
    let mut some = CpuSet::new();
    (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).take(cores).for_each(|cpu| some.set(cpu));
    ensure!(some.count() as usize == cores, "there are no {cores} cores");
    // Children have the affinity of the thread that starts them.
    sched_setaffinity(None, &some)?;
    let result = work();
    sched_setaffinity(None, &all)?;
    result
}

fn values(mut wall: impl FnMut(usize) -> Result<Duration>) -> Result<Values> {
    let (one, two) = (wall(1)?.as_secs_f64(), wall(2)?.as_secs_f64());
    Ok(vec![(SPEED_UP, one / two), ("s, one core", one), ("s, two cores", two)])
}

fn config(log: &AccessLog) -> String {
    let head =
        "[output.counts]\ntype = \"file\"\ndir = \"{dir}/out\"\nname = \"counts\"\nmatch = 'Type =~ /^heka.sandbox/'\nencoder = \"line\"\n";
    (0..INPUTS).fold(head.to_string(), |mut config, n| {
        // Writing to memory does not fail.
        let _ = write!(config, "[input.log{n}]\ntype = \"tail\"\npaths = [{:?}]\nonce = true\ndecoder = \"nginx\"\n", log.path);
        for script in 0..2 {
            let _ = write!(config, "[filter.f{n}_{script}]\ntype = \"lua\"\nscript = \"{{dir}}/script.lua\"\nfrom = [\"input.log{n}\"]\n");
        }
        config
    })
}

fn check(daemon: &Daemon, lines: u64) -> Result<()> {
    let text = fs::read_to_string(daemon.path("out/counts"))?;
    let right = text.lines().filter(|line| *line == lines.to_string()).count();
    ensure!(right == 2 * INPUTS, "{right} of {} scripts counted {lines} lines: {text}", 2 * INPUTS);
    Ok(())
}

fn nilo(case: &Case, log: &AccessLog, cores: usize) -> Result<Duration> {
    let mut daemon = case.prepare(&config(log), &[("script.lua", SCRIPT)])?;
    on(cores, || daemon.start())?;
    let usage = daemon.take_process()?.finish(LIMIT).map_err(|e| e.context(daemon.log_end()))?;
    check(&daemon, log.lines)?;
    Ok(usage.wall)
}

/// Two at once, each with as much to do as it needs to take as long as the scripts.
fn greps(log: &AccessLog, cores: usize) -> Result<Duration> {
    // Slow enough for memory not to be what is shared.
    let grep = || {
        let mut command = Command::new("grep");
        command.args(["-cE", "([a-z]+=[0-9]+&)+nowhere$"]).arg(&log.path).env("LC_ALL", "C").stdout(Stdio::piped());
        Process::spawn(&mut command)
    };
    let start = Instant::now();
    let (first, second) = on(cores, || Ok((grep()?, grep()?)))?;
    first.finish(LIMIT)?;
    second.finish(LIMIT)?;
    Ok(start.elapsed())
}

/// W10.
pub fn two(settings: &Settings) -> Result<Vec<Contender>> {
    let log = AccessLog::make(&settings.dir, settings.lines(1_000_000))?;
    let large = AccessLog::make(&settings.dir, settings.lines(6_000_000))?;
    let case = settings.case("W10", "nilo");
    Ok(vec![
        Contender::machine("two of grep", move || values(|cores| greps(&large, cores))).floor(),
        Contender::new("nilo", move || values(|cores| nilo(&case, &log, cores))),
    ])
}
