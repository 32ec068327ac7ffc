//! W1, W2 and W3: a file of access log is read from its start to its end.

use std::process::Command;

use anyhow::{Result, ensure};

use super::Settings;
use super::contender::{Contender, command_to_end, rates};
use super::inputs::AccessLog;
use super::peers::{self, Task};
use crate::daemon::Daemon;

/// A configuration that begins with `globals` and reads the log once.
pub fn input(globals: &str, log: &AccessLog, decoder: &str) -> String {
    format!("{globals}[input.log]\ntype = \"tail\"\npaths = [{:?}]\nonce = true\ndecoder = \"{decoder}\"\n", log.path)
}

fn floor(program: &str, args: &[&str], log: &AccessLog) -> Contender {
    let (log, args) = (log.clone(), args.iter().map(ToString::to_string).collect::<Vec<_>>());
    let (name, program) = (format!("{program} {}", args.join(" ")), program.to_string());
    Contender::machine(name, move || {
        let usage = command_to_end(Command::new(&program).args(&args).arg(&log.path).env("LC_ALL", "C"))?;
        Ok(rates(log.lines, usage))
    })
}

/// Every line, or those that `matcher` lets through, dropped.
fn null(globals: &str, log: &AccessLog, matcher: &str) -> String {
    format!("{}[output.null]\ntype = \"null\"\nmatch = '{matcher}'\n", input(globals, log, "none"))
}

/// The configuration of W1.
pub fn to_null(globals: &str, log: &AccessLog) -> String {
    null(globals, log, "TRUE")
}

/// Runs the program to its end, and lets `check` look at its directory.
pub fn nilo(
    settings: &Settings,
    workload: &str,
    name: &str,
    log: &AccessLog,
    config: String,
    script: &'static str,
    check: fn(&Daemon, &AccessLog) -> Result<()>,
) -> Contender {
    let (case, log) = (settings.case(workload, name), log.clone());
    Contender::new(name, move || {
        let usage = case.to_end(&config, &[("script.lua", script)], |daemon| check(daemon, &log))?;
        Ok(rates(log.lines, usage))
    })
}

/// W1.
pub fn nothing(settings: &Settings) -> Result<Vec<Contender>> {
    let log = AccessLog::make(&settings.dir, settings.lines(24_000_000))?;
    let mut all = vec![
        floor("grep", &["-c", "STRING_NOT_THERE"], &log).floor(),
        floor("wc", &["-l"], &log),
        nilo(settings, "W1", "nilo, to null", &log, to_null("", &log), "", |_, _| Ok(())),
        nilo(settings, "W1", "nilo, searching as grep does", &log, null("", &log, "Payload =~ /STRING_NOT_THERE/"), "", |_, _| Ok(())),
    ];
    let (program, tailed) = (settings.nilo.clone(), log.clone());
    all.push(Contender::new("nilo tail --once --match", move || {
        let mut command = Command::new(&program);
        command.args(["tail", "--once", "--match", "Payload =~ /STRING_NOT_THERE/"]).arg(&tailed.path);
        Ok(rates(tailed.lines, command_to_end(&mut command)?))
    }));
    all.extend(access_peers(settings, Task::Nothing)?);
    Ok(all)
}

/// Peers are slow enough to be given less.
fn access_peers(settings: &Settings, task: Task) -> Result<Vec<Contender>> {
    let log = AccessLog::make(&settings.dir, settings.lines_for_peers())?;
    Ok(peers::contenders(settings, task, &log.path, log.lines))
}

/// W2.
pub fn errors(settings: &Settings) -> Result<Vec<Contender>> {
    let log = AccessLog::make(&settings.dir, settings.lines(6_000_000))?;
    let output = "[output.errors]\ntype = \"file\"\ndir = \"{dir}/out\"\nname = \"errors.json\"\nmatch = 'Fields[status] >= 500'\nencoder = \"json\"\n";
    let check: fn(&Daemon, &AccessLog) -> Result<()> = |daemon, log| {
        let text = std::fs::read(daemon.path("out/errors.json"))?;
        let found = text.iter().filter(|b| **b == b'\n').count() as u64;
        ensure!(found == log.errors, "{found} errors came out, {} are in the log", log.errors);
        Ok(())
    };
    let mut all = vec![
        floor("grep", &["-c", "\" 50[0-9] "], &log).floor(),
        nilo(settings, "W2", "nilo", &log, input("", &log, "nginx") + output, "", check),
    ];
    all.extend(access_peers(settings, Task::Errors)?);
    Ok(all)
}

const ONE_READ: &str = r#"
local by_status = {}

function process_message()
    local status = read_message("Fields[status]")
    by_status[status] = (by_status[status] or 0) + 1
    return 0
end

function timer_event()
    local lines = 0
    for _, n in pairs(by_status) do lines = lines + n end
    inject_payload("txt", "lines", string.format("%d", lines))
end
"#;

/// W3.
pub fn lua(settings: &Settings) -> Result<Vec<Contender>> {
    let log = AccessLog::make(&settings.dir, settings.lines(6_000_000))?;
    let rest = "[filter.count]\ntype = \"lua\"\nscript = \"{dir}/script.lua\"\nmatch = 'Type == \"nginx.access\"'\n\
         [output.count]\ntype = \"file\"\ndir = \"{dir}/out\"\nname = \"count\"\nfrom = [\"filter.count\"]\nencoder = \"line\"\n";
    let check: fn(&Daemon, &AccessLog) -> Result<()> = |daemon, log| {
        let text = std::fs::read_to_string(daemon.path("out/count"))?;
        ensure!(text.trim() == log.lines.to_string(), "the script counted {}, there are {} lines", text.trim(), log.lines);
        Ok(())
    };
    let null = input("", &log, "nginx") + "[output.null]\ntype = \"null\"\nmatch = 'TRUE'\n";
    Ok(vec![
        nilo(settings, "W3", "nilo, one read", &log, input("", &log, "nginx") + rest, ONE_READ, check),
        nilo(settings, "W3", "nilo, decoding only", &log, null, "", |_, _| Ok(())),
    ])
}
