//! `nilo tail`: the engine without a configuration file.

pub mod config;
mod progress;
mod stdout;

use std::time::Duration;

use crossbeam_channel::{Receiver, select};
use engine::{Config, Engine, Plan, Settings, Status, Ticks};
use options::Source;
use plugin::Counter;

use crate::registry::registry;
use crate::run::at_rest;
use crate::signals::{self, Signal};
use crate::watching::Watching;
use crate::{Failure, terminal};
use progress::Progress;

/// Follow files, select lines, compute over them in Lua: without any configuration.
///
/// Without a script every matching record is a line on standard output. With one, what the script
/// injects is, and nothing else.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nilo tail access.log --decode nginx --match 'Fields[status] >= 500'
  nilo tail access.log --decode nginx --lua top_paths.lua --once
  zcat access.log.*.gz | nilo tail - --decode nginx --lua top_paths.lua")]
pub struct Args {
    /// Files, patterns such as 'logs/*.log', or - for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// How lines are understood: a decoder such as json, a well-known format such as nginx, or the log_format itself.
    #[arg(short, long, value_name = "FORMAT", default_value = "none")]
    decode: String,
    /// Only messages that match, such as 'Fields[status] >= 500'.
    #[arg(short, long = "match", value_name = "EXPR", default_value = "TRUE")]
    matcher: String,
    /// Lua filter that receives the messages. It is reloaded the moment it is saved.
    #[arg(short, long, value_name = "SCRIPT")]
    lua: Option<String>,
    /// How often the script's timer_event is called, such as 5s. With --once in the time of the messages.
    #[arg(short, long, value_name = "DURATION", requires = "lua")]
    every: Option<String>,
    /// A value that the script reads with read_config.
    #[arg(long, value_name = "NAME=VALUE", requires = "lua", value_parser = config::pair)]
    set: Vec<(String, String)>,
    /// Directory in which the script's require() finds modules.
    #[arg(long, value_name = "DIR", requires = "lua")]
    modules: Option<String>,
    /// Read from the start to the end, tick a last time and exit.
    #[arg(long)]
    once: bool,
    /// Follow from the start instead of the end.
    #[arg(long, conflicts_with = "once")]
    from_start: bool,
    /// How messages are written: payload, json, text, heka or another encoder.
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Regular expression of a record's first line: the lines that follow it belong to it.
    #[arg(long, value_name = "REGEX")]
    multiline_start: Option<String>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let files = config::Files::sort(args)?;
    let registry = registry();
    let text = config::text(args, &files);
    log::trace!("{text}");
    let plan = Plan::new(&Config::parse(vec![Source::new(config::NAME, text)])?, &registry)?;
    plan.check()?;
    let signals = signals::listen(false)?;
    let mut watching = Watching::start(args.lua.is_some() && !args.once);
    let ticks = if args.once { Ticks::Messages } else { Ticks::Clock };
    let engine = Engine::start(plan, Settings { registry, ticks })?;
    watching.renew(&engine);
    let mut progress = Progress::new(args.once && crate::logging::progress_is_welcome(args.lua.is_none()), files.bytes());
    attend(&engine, &signals, &mut watching, &mut progress);
    progress.clear();
    if stdout::closed() {
        // What cutting it short leads to interests nobody.
        log::set_max_level(log::LevelFilter::Off);
    }
    let summary = engine.stop();
    conclude(&summary.status)
}

/// Lets the engine run until its inputs are at their end, something fails, or nobody wants more.
fn attend(engine: &Engine, signals: &Receiver<Signal>, watching: &mut Watching, progress: &mut Progress) {
    const LONGEST: Duration = Duration::from_millis(20);
    let changed = watching.changed();
    let mut pause = Duration::from_millis(1);
    loop {
        select! {
            recv(signals) -> _ => return,
            recv(changed) -> _ => reload(engine, watching),
            default(pause) => pause = (pause * 2).min(LONGEST),
        }
        if at_rest(engine) || engine.failure().is_some() || stdout::closed() {
            return;
        }
        progress.show(|| inputs(&engine.status(), Counter::Bytes));
    }
}

fn reload(engine: &Engine, watching: &mut Watching) {
    for (_, change) in engine.reload_changed_scripts().changes {
        terminal::complain(&format!("nilo: script: {}", terminal::printable(&change.to_string())));
    }
    watching.renew(engine);
}

/// What came of it, from the last state of affairs.
fn conclude(status: &Status) -> Result<(), Failure> {
    if let Some(failed) = status.plugins.iter().find(|p| p.counter(Counter::Failed) > 0) {
        let why = failed.last_error.as_deref().unwrap_or("it says no reason");
        return Err(Failure::Failed(format!("{}: {why}", failed.id)));
    }
    if stdout::closed() {
        return Err(Failure::Unread);
    }
    let rejected: u64 = status.plugins.iter().map(|p| p.counter(Counter::Rejected)).sum();
    match rejected {
        0 => {}
        1 => terminal::complain("nilo: 1 record was rejected"),
        n => terminal::complain(&format!("nilo: {n} records were rejected")),
    }
    Ok(())
}

/// A counter over all inputs.
fn inputs(status: &Status, counter: Counter) -> u64 {
    status.plugins.iter().filter(|p| p.id.starts_with("input.")).map(|p| p.counter(counter)).sum()
}
