use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plugin::{Clock, Counter, Gauge, Meter};
use serde_json::{Value, json};

use crate::activity::{Activity, Doing};

/// Gauges by part: its own under no name, those of its codecs under theirs (`decoder.nginx`).
type Gauges = Vec<(String, Vec<Gauge>)>;

/// What a running plugin says of itself; written by its thread, read by anyone.
#[derive(Default, Debug)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// What its thread is doing; a filter's is that of its worker.
    pub activity: Activity,
    /// It ran once, or came to its end.
    started: AtomicBool,
}

#[derive(Default, Debug)]
struct Inner {
    state: String,
    error: Option<String>,
    /// When it starts again, on the steady clock, while it backs off.
    again: Option<Duration>,
    gauges: Gauges,
    /// Files it was made of, with a hash of their content, and those of its codecs.
    files: [Vec<(PathBuf, u64)>; 2],
    /// What its scripts saved last.
    kept: Vec<u8>,
    /// Of an output with several instances, what each of them says.
    lanes: Vec<Arc<Shared>>,
}

/// Whose files: the plugin's own, or those of the codecs that serve it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Made {
    Own,
    Codecs,
}

impl Shared {
    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(|p| p.into_inner()))
    }

    /// `running`, `finished`, ….
    pub fn set_state(&self, state: impl Into<String>) {
        self.with(|i| (i.state, i.again) = (state.into(), None));
    }

    /// An instance is about to be built.
    pub fn starting(&self) {
        self.activity.begin();
        self.set_state("starting");
    }

    /// An instance runs.
    pub fn running(&self) {
        self.set_state("running");
        self.started.store(true, Ordering::Release);
    }

    /// Nothing runs any more, and nothing will start again: `stopped`, `finished`.
    pub fn ended(&self, how: &str) {
        self.activity.begin();
        self.set_state(how);
        self.started.store(true, Ordering::Release);
    }

    /// It failed and starts again at this time of the steady clock.
    pub fn back_off(&self, why: &str, again: Duration) {
        self.activity.begin();
        self.with(|i| (i.state, i.error, i.again) = ("backing off".to_string(), Some(why.to_string()), Some(again)));
    }

    /// An input came back to the engine.
    pub fn beat(&self) {
        if self.activity.beat() {
            self.running();
        }
    }

    /// Has several instances from now on, or none but itself.
    pub fn set_lanes(&self, lanes: Vec<Arc<Shared>>) {
        self.with(|i| i.lanes = lanes);
    }

    fn lanes(&self) -> Vec<Arc<Shared>> {
        self.with(|i| i.lanes.clone())
    }

    /// What it is in the middle of; of several instances, that which goes on longest.
    pub fn doing(&self) -> Option<Doing> {
        let lanes = self.lanes();
        [self.activity.doing()].into_iter().chain(lanes.iter().map(|lane| lane.activity.doing())).flatten().min_by_key(|d| d.since)
    }

    /// Whether it has run once.
    pub fn has_started(&self) -> bool {
        let lanes = self.lanes();
        self.started.load(Ordering::Acquire) || (!lanes.is_empty() && lanes.iter().all(|lane| lane.has_started()))
    }

    /// While it backs off: why, and how long it will be until it starts again.
    pub fn backs_off(&self) -> Option<(String, Duration)> {
        let now = Clock::real().steady();
        let own = self.with(|i| i.again.map(|again| (i.error.clone().unwrap_or_default(), again.saturating_sub(now))));
        own.or_else(|| self.lanes().iter().find_map(|lane| lane.backs_off()))
    }

    pub fn set_error(&self, error: impl Into<String>) {
        self.with(|i| i.error = Some(error.into()));
    }

    pub fn set_gauges(&self, gauges: Gauges) {
        self.with(|i| i.gauges = gauges);
    }

    pub fn set_files(&self, whose: Made, files: Vec<(PathBuf, u64)>) {
        self.with(|i| i.files[whose as usize] = files);
    }

    pub fn files_of(&self, whose: Made) -> Vec<(PathBuf, u64)> {
        self.with(|i| i.files[whose as usize].clone())
    }

    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        self.with(|i| i.files.concat())
    }

    /// The plugin is gone: changes of its files concern nobody.
    pub fn forget_files(&self) {
        self.with(|i| i.files = Default::default());
    }

    /// Keeps what the plugin's scripts saved, for its successor.
    pub fn keep(&self, state: Vec<u8>) {
        self.with(|i| i.kept = state);
    }

    pub fn kept(&self) -> Vec<u8> {
        self.with(|i| i.kept.clone())
    }

    pub fn error(&self) -> Option<String> {
        self.with(|i| i.error.clone())
    }

    fn read(&self) -> (String, Option<String>, Gauges) {
        let (state, error, gauges) = self.with(|i| (i.state.clone(), i.error.clone(), i.gauges.clone()));
        let lanes: Vec<_> = self.lanes().iter().map(|lane| lane.with(|i| (i.state.clone(), i.error.clone()))).collect();
        let state = if lanes.is_empty() { state } else { of_lanes(lanes.iter().map(|(state, _)| state.as_str())) };
        (state, lanes.into_iter().find_map(|(_, error)| error).or(error), gauges)
    }
}

/// `2 of 8 lanes: retrying: connection refused`, unless all of them run.
fn of_lanes<'a>(states: impl Iterator<Item = &'a str> + Clone) -> String {
    let odd = || states.clone().filter(|state| *state != "running");
    odd().next().map_or_else(|| "running".to_string(), |state| format!("{} of {} lanes: {state}", odd().count(), states.clone().count()))
}

/// A plugin as it stands.
#[derive(Clone, Debug)]
pub struct PluginStatus {
    /// Such as `filter.errors`.
    pub id: String,
    pub kind: &'static str,
    /// `running`, `backing off`, `finished`, `stuck …`.
    pub state: String,
    pub last_error: Option<String>,
    /// What it is in the middle of, and for how long: `writing`, `retrying: connection refused`,
    /// `waiting for room in the queue of output.relay (16 MiB)`.
    pub doing: Option<(String, Duration)>,
    /// It is in the middle of that for longer than it should ever be.
    pub stuck: bool,
    /// While it backs off: how long until it starts again.
    pub starts_again: Option<Duration>,
    /// Counters by name, see [`plugin::Counter`].
    pub counters: Vec<(&'static str, u64)>,
    /// Messages and bytes that wait for it.
    pub waiting: (usize, usize),
    /// Its limits, and those of its codecs under their names (`decoder.nginx`; its own have none).
    pub gauges: Vec<(String, Gauge)>,
}

/// The running system as it stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// Configurations and scripts applied since the start.
    pub generation: u64,
    pub plugins: Vec<PluginStatus>,
}

impl PluginStatus {
    pub(crate) fn new(id: &str, kind: &'static str, shared: &Shared, meter: &Meter, waiting: (usize, usize)) -> PluginStatus {
        let (state, last_error, gauges) = shared.read();
        let gauges = gauges.into_iter().flat_map(|(part, list)| list.into_iter().map(move |g| (part.clone(), g))).collect();
        let starts_again = shared.backs_off().map(|(_, left)| left);
        let (id, counters) = (id.to_string(), meter.read());
        PluginStatus { id, kind, state, last_error, doing: None, stuck: false, starts_again, counters, waiting, gauges }
    }

    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize].1
    }

    fn json(&self) -> Value {
        let counters: serde_json::Map<String, Value> = self.counters.iter().map(|(k, v)| (k.to_string(), json!(v))).collect();
        let gauge = |(part, g): &(String, Gauge)| json!({"part": part, "limit": g.name, "unit": g.unit, "current": g.current, "max": g.max, "cap": g.cap});
        let doing = self.doing.as_ref().map(|(what, time)| json!({ "what": what, "seconds": time.as_secs_f64() }));
        json!({
            "id": self.id, "type": self.kind, "state": self.state, "doing": doing, "stuck": self.stuck,
            "starts_again_seconds": self.starts_again.map(|left| left.as_secs_f64()), "last_error": self.last_error, "counters": counters,
            "waiting_messages": self.waiting.0, "waiting_bytes": self.waiting.1, "limits": self.gauges.iter().map(gauge).collect::<Vec<_>>(),
        })
    }
}

impl Status {
    /// For programs.
    pub fn json(&self) -> Value {
        json!({ "generation": self.generation, "plugins": self.plugins.iter().map(PluginStatus::json).collect::<Vec<_>>() })
    }
}

/// Everything a plugin's threads share, by its name: it outlives the instances that a reload replaces.
#[derive(Clone, Default)]
pub(crate) struct Standing {
    pub meter: Arc<Meter>,
    pub shared: Arc<Shared>,
}
