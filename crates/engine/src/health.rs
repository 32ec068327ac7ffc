use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use options::unit::show_size;
use plugin::{Clock, Family};

use crate::activity::{Deed, Doing};
use crate::engine::{Engine, Running};
use crate::plan::Spec;
use crate::queue::Queue;
use crate::route::{Port, Router};
use crate::status::{PluginStatus, Standing};
use crate::worker::{Inbox, Worker};

/// How everything that runs is, for those who must not wait: nothing here takes the engine's own lock,
/// which a reload may hold while it waits for a worker.
pub struct Health {
    workers: Vec<Arc<Inbox>>,
    router: Arc<Router>,
    roster: Mutex<Roster>,
    /// Parts of the whole that may be in trouble: `the journal`.
    parts: Mutex<Vec<(&'static str, Trouble)>>,
    stopping: AtomicBool,
}

/// Says what is wrong with a part, if anything is.
type Trouble = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Who is to run.
#[derive(Default)]
struct Roster {
    members: BTreeMap<Arc<str>, Member>,
    stuck_after: Duration,
    hostname: String,
    /// It was called once: whoever is missing is not meant to be here.
    complete: bool,
}

/// A plugin that is to run.
struct Member {
    family: Family,
    standing: Standing,
    queue: Option<Arc<Queue>>,
    /// The worker of a filter.
    worker: Option<usize>,
    /// Longest a call may take by the plugin's own limits.
    patience: Duration,
}

/// Something that has a thread: an input, an output, or a worker with the filter it is in.
pub(crate) struct Subject {
    pub id: Arc<str>,
    pub standing: Option<Standing>,
    /// In words: `writing`, `worker-0 running filter.errors`.
    pub what: String,
    pub since: Duration,
    /// It is told after that long.
    pub notice: Duration,
    /// It counts as stuck after that long; `None`: it only waits, for what the world or others owe it.
    pub limit: Option<Duration>,
    /// What waits in its queue; empty when there is nothing or it has none.
    pub queued: String,
}

/// A worker's call is worth a word after that long: it holds up the other filters of the worker.
const WORKER: Duration = Duration::from_secs(2);

/// Anything else that goes on for that long is worth a word.
const OTHERS: Duration = Duration::from_secs(5);

impl Health {
    pub(crate) fn new(workers: &[Worker], router: Arc<Router>, stuck_after: Duration) -> Health {
        let workers = workers.iter().map(|w| w.inbox.clone()).collect();
        let roster = Mutex::new(Roster { stuck_after, ..Default::default() });
        Health { workers, router, roster, parts: Mutex::default(), stopping: AtomicBool::new(false) }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(|p| p.into_inner())
    }

    pub(crate) fn port(&self) -> Port {
        Port::new(self.router.clone(), Arc::from("nilometer"))
    }

    pub(crate) fn hostname(&self) -> String {
        self.roster().hostname.clone()
    }

    /// How long a call of a filter may take.
    pub(crate) fn stuck_after(&self) -> Duration {
        self.roster().stuck_after
    }

    /// From here on it is neither ready nor to be started again.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Has `trouble` asked from here on whenever somebody wants to know how everything is. It must answer at once.
    pub fn watch(&self, part: &'static str, trouble: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.parts.lock().unwrap_or_else(|p| p.into_inner()).push((part, Box::new(trouble)));
    }

    /// `the journal: cannot be written: no space left`.
    fn troubles(&self) -> Vec<String> {
        let parts = self.parts.lock().unwrap_or_else(|p| p.into_inner());
        parts.iter().filter_map(|(part, trouble)| trouble().map(|what| format!("{part}: {what}"))).collect()
    }

    /// Whether it is worth going on: no worker is stuck.
    ///
    /// # Errors
    /// Which worker is, in which filter, and for how long. Only a new process helps.
    pub fn live(&self) -> Result<(), String> {
        let (limit, now) = (self.stuck_after(), Clock::real().steady());
        let told =
            self.workers.iter().filter_map(|w| w.stuck(limit).map(|d| format!("{} is stuck {} for {}", w.name, d.deed, age(&d, now))));
        let told: Vec<String> = told.collect();
        if told.is_empty() { Ok(()) } else { Err(told.join("; ")) }
    }

    /// Whether every plugin works as it should: each has started, and none backs off.
    ///
    /// # Errors
    /// Everything that speaks against it, one sentence each.
    pub fn ready(&self) -> Result<(), Vec<String>> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(vec!["stopping".to_string()]);
        }
        let mut reasons: Vec<String> = self.live().err().into_iter().collect();
        let roster = self.roster();
        if !roster.complete {
            reasons.push("starting".to_string());
        }
        for (id, member) in &roster.members {
            let shared = &member.standing.shared;
            if let Some((why, left)) = shared.backs_off() {
                reasons.push(format!("{id} backs off and starts again in {} s: {why}", left.as_secs()));
            } else if !shared.has_started() {
                reasons.push(format!("{id} is starting"));
            }
        }
        drop(roster);
        reasons.extend(self.troubles());
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    /// Whether every plugin has started once, or failed to and will try again: waiting longer tells nothing new.
    pub fn has_started(&self) -> bool {
        let roster = self.roster();
        roster.complete && roster.members.values().map(|m| &m.standing.shared).all(|s| s.has_started() || s.backs_off().is_some())
    }

    /// One line on everything: what runs, and what does not do so well. It has no numbers that change by themselves.
    pub fn line(&self) -> String {
        let now = Clock::real().steady();
        let mut wrong = self.troubles();
        wrong.extend(self.subjects(now).iter().filter(|s| now.saturating_sub(s.since) >= s.notice).map(Subject::name));
        let roster = self.roster();
        for (id, member) in &roster.members {
            wrong.extend(member.standing.shared.backs_off().map(|(why, _)| format!("{id}: backing off: {why}")));
        }
        let n = roster.members.len();
        let all = format!("{n} plugin{} running", if n == 1 { "" } else { "s" });
        if self.stopping.load(Ordering::Acquire) {
            "stopping".to_string()
        } else if wrong.is_empty() {
            all
        } else {
            format!("{all}; {}", wrong.join("; "))
        }
    }

    /// Everything that is in the middle of something.
    pub(crate) fn subjects(&self, now: Duration) -> Vec<Subject> {
        let roster = self.roster();
        let workers = self.workers.iter().filter_map(|w| roster.worker(w));
        let plugins = roster.members.iter().filter_map(|(id, m)| roster.plugin(id, m, now));
        workers.chain(plugins).collect()
    }

    /// Says of each plugin what it is in the middle of.
    pub(crate) fn describe(&self, plugins: &mut [PluginStatus]) {
        let now = Clock::real().steady();
        let roster = self.roster();
        for plugin in plugins {
            let Some((id, member)) = roster.members.get_key_value(plugin.id.as_str()) else { continue };
            if let Some(worker) = member.worker.and_then(|w| self.workers.get(w)) {
                let Some(doing) = worker.activity.doing() else { continue };
                let time = now.saturating_sub(doing.since);
                if doing.deed == Deed::Running(id.clone()) {
                    plugin.stuck = time > roster.stuck_after;
                    plugin.doing = Some((format!("running on {}", worker.name), time));
                } else if plugin.waiting.0 > 0 {
                    plugin.doing = Some((format!("waiting for {}, which is {}", worker.name, doing.deed), time));
                }
            } else if let Some(subject) = roster.plugin(id, member, now) {
                let time = now.saturating_sub(subject.since);
                plugin.stuck = subject.limit.is_some_and(|limit| time > limit);
                plugin.doing = Some((subject.what, time));
            }
        }
    }
}

fn age(doing: &Doing, now: Duration) -> String {
    format!("{} s", now.saturating_sub(doing.since).as_secs())
}

impl Subject {
    /// `output.relay: writing`.
    pub fn name(&self) -> String {
        format!("{}: {}", self.id, self.what)
    }
}

impl Roster {
    fn worker(&self, worker: &Inbox) -> Option<Subject> {
        let doing = worker.activity.doing()?;
        let Deed::Running(id) = &doing.deed else { return None };
        let member = self.members.get(id);
        Some(Subject {
            id: id.clone(),
            standing: member.map(|m| m.standing.clone()),
            what: format!("running on {}", worker.name),
            since: doing.since,
            notice: WORKER.min(self.stuck_after),
            limit: Some(self.stuck_after),
            queued: member.map(Member::queued).unwrap_or_default(),
        })
    }

    fn plugin(&self, id: &Arc<str>, member: &Member, now: Duration) -> Option<Subject> {
        let activity = &member.standing.shared.activity;
        let quiet = || {
            let since = activity.quiet_since(now).filter(|_| member.family == Family::Input)?;
            // Short silences are nothing: an idle input comes back once a second.
            (now.saturating_sub(since) >= OTHERS).then_some(Doing { deed: Deed::Call("in its own code"), since })
        };
        let doing = member.standing.shared.doing().or_else(quiet)?;
        let waits = matches!(doing.deed, Deed::Waiting(_));
        Some(Subject {
            id: id.clone(),
            standing: Some(member.standing.clone()),
            what: doing.deed.to_string(),
            since: doing.since,
            notice: OTHERS.min(self.stuck_after),
            limit: (!waits).then(|| self.stuck_after.max(member.patience)),
            queued: member.queued(),
        })
    }
}

impl Member {
    fn new(spec: &Spec, standing: Standing, queue: Option<Arc<Queue>>, worker: Option<usize>) -> Member {
        let o = &spec.options;
        let timeout = if o.declares("timeout") { o.get_duration("timeout") } else { None };
        // Connecting and writing may each take as long.
        let patience = timeout.map_or(Duration::ZERO, |timeout| timeout.saturating_mul(2).saturating_add(OTHERS));
        Member { family: spec.kind.family(), standing, queue, worker, patience }
    }

    fn queued(&self) -> String {
        let mut text = String::new();
        if let Some((messages @ 1.., bytes, _)) = self.queue.as_ref().map(|q| q.depth()) {
            let _ = write!(text, "{messages} message{} ({}) in its queue", if messages == 1 { "" } else { "s" }, show_size(bytes as u64));
        }
        text
    }
}

impl Engine {
    /// How everything is, for a service manager and probes; it stays when the engine stops.
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Says who is to run from here on.
    pub(crate) fn enlist(&self, running: &mut Running) {
        let plan = running.plan.clone();
        let mut members = BTreeMap::new();
        for input in &plan.inputs {
            members.insert(input.id.clone(), Member::new(&input.spec, running.standing(&input.id), None, None));
        }
        for consumer in plan.filters.iter().chain(&plan.outputs) {
            let filter = running.filters.get(&consumer.id);
            let queue = filter.map(|f| &f.queue).or_else(|| running.outputs.get(&consumer.id).map(|o| &o.queue)).cloned();
            let worker = filter.map(|f| f.worker);
            members.insert(consumer.id.clone(), Member::new(&consumer.spec, running.standing(&consumer.id), queue, worker));
        }
        let (stuck_after, hostname) = (plan.globals.stuck_after, plan.globals.hostname.clone());
        *self.health.roster() = Roster { members, stuck_after, hostname, complete: true };
    }
}
