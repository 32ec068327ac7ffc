//! `nilo run`: the daemon, and what it reacts to: signals, changed files, requests.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, after, bounded, never, select};
use engine::{Change, Engine, Plan, PluginStatus, Report, Settings, Ticks};
use options::{Problem, Style};
use plugin::{Counter, Family, tap};
use serde_json::{Value, json};

use crate::Failure;
use crate::control::{ReloadRequest, SOCKET, Server, Shared};
use crate::registry::registry;
use crate::service::Service;
use crate::signals::{self, Signal};
use crate::source::Source;
use crate::watching::Watching;

/// Run a configuration until it is stopped, or until all inputs are at their end.
#[derive(clap::Args)]
#[command(after_help = "SIGTERM and SIGINT stop in order: inputs, filters with a last tick, outputs. SIGHUP reloads.")]
pub struct Args {
    /// A file, or a directory of *.toml files.
    path: PathBuf,
    /// Directory for checkpoints, filter state and the control socket, in the place of `state` in [nilo].
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Control socket, in the place of nilo.sock in the state directory.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let source = Source { path: args.path.clone(), state: args.state.clone(), registry: registry() };
    let signals = signals::listen(true)?;
    let fingerprint = source.fingerprint();
    let plan = source.plan()?;
    plan.check()?;
    warn(&plan);
    let socket = args.socket.clone().or_else(|| Some(plan.state()?.join(SOCKET)));
    let mut watching = Watching::start(plan.watches());
    let summary = summary(&plan);
    let engine = Engine::start(plan, Settings { registry: source.registry.clone(), ticks: Ticks::Clock })?;
    watching.renew(&engine);
    let health = engine.health();
    let shared: Shared = Arc::new(RwLock::new(Some(engine)));
    let own = shared.clone();
    tap::provide(move || own.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(readings).unwrap_or_default());
    let (reloads, asked) = bounded(16);
    // Without a socket nobody asks, and a channel without senders would fire for ever.
    let _open = reloads.clone();
    // With the state directory locked, a socket in it belongs to nobody who lives.
    let server = socket.as_deref().map(|path| Server::start(path, shared.clone(), health.clone(), reloads)).transpose();
    let service = server.and_then(|server| Ok((server, Service::start(health)?)));
    if let Ok((_, service)) = &service {
        log::info!("running {summary}");
        Daemon { source, engine: shared.clone(), watching, fingerprint, service }.watch(&signals, &asked);
        service.stopping();
    }
    let engine = shared.write().unwrap_or_else(PoisonError::into_inner).take();
    let undelivered = engine.map_or(0, |engine| engine.stop().undelivered);
    log::info!("stopped");
    service.map(drop).map_err(Failure::Failed)?;
    match undelivered {
        0 => Ok(()),
        n => Err(Failure::Failed(format!("{n} messages were not delivered; inputs that can be read again will send them the next time"))),
    }
}

/// What runs, and what it is renewed from.
struct Daemon<'a> {
    source: Source,
    engine: Shared,
    watching: Watching,
    /// Of the configuration last looked at, sound or not: a broken one is complained about once.
    fingerprint: u64,
    service: &'a Service,
}

/// How often to look whether everything is delivered, once all inputs are at their end.
const LOOK: Duration = Duration::from_millis(50);

impl Daemon<'_> {
    /// Acts on what comes, until it is time to stop.
    fn watch(&mut self, signals: &Receiver<Signal>, asked: &Receiver<ReloadRequest>) {
        let changed = self.watching.changed();
        let ended = self.with(|engine| engine.input_ended().clone()).unwrap_or_else(never);
        loop {
            let look = if self.with(Engine::inputs_finished) == Some(true) { after(LOOK) } else { never() };
            select! {
                recv(signals) -> signal => match signal {
                    Ok(Signal::Reload) => drop(self.reload()),
                    _ => return,
                },
                recv(asked) -> first => {
                    // One reload answers everybody who waits by now.
                    let waiting: Vec<ReloadRequest> = first.into_iter().chain(asked.try_iter()).collect();
                    let answer = self.reload();
                    waiting.iter().for_each(|w| drop(w.try_send(answer.clone())));
                },
                recv(changed) -> _ => self.files_changed(),
                // The next round asks whether it was the last one.
                recv(ended) -> _ => {}
                recv(look) -> _ => if self.with(at_rest).unwrap_or(true) {
                    return log::info!("all inputs are at their end and everything is delivered");
                },
            }
        }
    }

    fn with<T>(&self, f: impl FnOnce(&Engine) -> T) -> Option<T> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(f)
    }

    fn files_changed(&mut self) {
        if self.source.fingerprint() != self.fingerprint || self.with(Engine::watched_changed) == Some(true) {
            self.reload();
        } else if let Some(report) = self.with(Engine::reload_changed_scripts) {
            self.done(&report);
        }
    }

    /// Reloads everything that changed; the answer for whoever asked.
    fn reload(&mut self) -> Value {
        self.service.reloading();
        let answer = self.reload_all();
        self.service.reloaded();
        answer
    }

    fn reload_all(&mut self) -> Value {
        self.fingerprint = self.source.fingerprint();
        let plan = self.source.plan();
        plan.iter().for_each(warn);
        match plan.and_then(|plan| self.with(|engine| engine.reload(plan)).unwrap_or_else(|| Ok(Report::default()))) {
            Ok(report) => {
                self.done(&report);
                answer(&report)
            }
            Err(problems) => {
                log::error!("the configuration is not reloaded; what ran runs on");
                problems.iter().for_each(|p| log::error!("{p}"));
                refusal(&problems)
            }
        }
    }

    fn done(&mut self, report: &Report) {
        for (plugin, change) in &report.changes {
            match change {
                Change::Kept(_) | Change::Refused(_) => log::error!(target: plugin, "{change}"),
                _ => log::info!(target: plugin, "{change}"),
            }
        }
        if let Some(engine) = &*self.engine.read().unwrap_or_else(PoisonError::into_inner) {
            self.watching.renew(engine);
        }
    }
}

/// What the plugins count, for those who make messages of it.
fn readings(engine: &Engine) -> Vec<tap::Reading> {
    let reading = |p: PluginStatus| {
        let gauges = vec![("waiting_messages", p.waiting.0 as u64), ("waiting_bytes", p.waiting.1 as u64)];
        tap::Reading { plugin: p.id, kind: p.kind, counters: p.counters, gauges }
    };
    engine.status().plugins.into_iter().map(reading).collect()
}

fn warn(plan: &Plan) {
    plan.warnings.iter().for_each(|w| log::warn!("{w}"));
}

fn answer(report: &Report) -> Value {
    let changes: Vec<Value> =
        report.changes.iter().map(|(plugin, change)| json!({ "plugin": plugin, "change": change.to_string() })).collect();
    json!({ "ok": report.succeeded(), "generation": report.generation, "changes": changes, "text": report.to_string() })
}

fn refusal(problems: &[Problem]) -> Value {
    let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
    json!({ "ok": false, "problems": all, "text": options::render(problems, Style::Plain).trim_end() })
}

/// Whether all inputs are at their end and nothing waits any more. A stop before that would give
/// outputs no longer than their grace.
pub fn at_rest(engine: &Engine) -> bool {
    let held = |p: &PluginStatus| match p.id.starts_with("output.") {
        true => {
            let dealt_with = [Counter::Delivered, Counter::Rejected, Counter::Dropped].map(|c| p.counter(c)).iter().sum();
            p.counter(Counter::Received) > dealt_with
        }
        false => p.waiting.0 > 0,
    };
    engine.inputs_finished() && !engine.status().plugins.iter().any(held)
}

/// `1 input, 0 filters, 2 outputs`.
pub fn summary(plan: &Plan) -> String {
    let count = |family: Family| {
        let n = plan.plugins().filter(|(_, kind)| kind.family() == family).count();
        format!("{n} {family}{}", if n == 1 { "" } else { "s" })
    };
    [Family::Input, Family::Filter, Family::Output].map(count).join(", ")
}
