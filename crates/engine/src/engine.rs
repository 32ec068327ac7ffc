use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use plugin::{Clock, Counter, Meter, Registry};

use crate::checkpoints::StateDir;
use crate::durable::{Durable, Syncer};
use crate::health::Health;
use crate::input::{InputHandle, InputSeed};
use crate::leaving::Leaving;
use crate::memory::Memory;
use crate::origin::{Had, Positions};
use crate::output::{OutputHandle, OutputSeed};
use crate::plan::{ConsumerPlan, InputPlan, Plan};
use crate::queue::Queue;
use crate::reject;
use crate::route::{Router, Table, Target, Wake};
use crate::slot::SlotSeed;
use crate::snapshot::Snapshot;
use crate::status::{PluginStatus, Shared, Standing, Status};
use crate::tracker::Tracker;
use crate::worker::{Command, Worker};

/// What makes filters tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ticks {
    /// Time.
    Clock,
    /// The messages' own timestamps: for files read to their end.
    Messages,
}

/// How an engine runs.
#[derive(Clone, Debug)]
pub struct Settings {
    pub registry: Registry,
    pub ticks: Ticks,
}

/// A running plan.
pub struct Engine {
    pub(crate) settings: Settings,
    pub(crate) running: Mutex<Running>,
    pub(crate) router: Arc<Router>,
    pub(crate) generation: AtomicU64,
    pub(crate) health: Arc<Health>,
    filter_clock: Clock,
    epoch: i64,
    state: Option<Arc<StateDir>>,
    pub(crate) durable: Option<Arc<Durable>>,
    syncer: Option<Syncer>,
    pub(crate) input_ended: (Sender<()>, Receiver<()>),
    /// Ends when the sender is dropped.
    housekeeper: Option<(Sender<()>, JoinHandle<()>)>,
    /// Tells the housekeeper of streams that a restart must know.
    news: (Sender<()>, Receiver<()>),
}

/// Everything that runs, by name.
pub(crate) struct Running {
    pub plan: Arc<Plan>,
    pub inputs: BTreeMap<Arc<str>, InputHandle>,
    pub filters: BTreeMap<Arc<str>, FilterHandle>,
    pub outputs: BTreeMap<Arc<str>, OutputHandle>,
    pub leaving: Leaving,
    /// Outlives the plugins of these names.
    pub standings: BTreeMap<Arc<str>, Standing>,
    pub trackers: Arc<Mutex<BTreeMap<Arc<str>, Arc<Tracker>>>>,
    pub workers: Vec<Worker>,
    next_slot: u64,
}

/// A filter in its place on a worker.
pub(crate) struct FilterHandle {
    pub plan: Arc<ConsumerPlan>,
    pub queue: Arc<Queue>,
    pub worker: usize,
    pub slot: u64,
    /// What it had when it was started.
    pub had: Arc<Had>,
    /// The plan's version was refused and an older one runs: another reload tries it again.
    pub refused: bool,
}

/// What happened between start and stop.
#[derive(Clone, Debug)]
pub struct Summary {
    pub status: Status,
    /// Messages that were queued for outputs and not delivered in time.
    pub undelivered: usize,
}

impl Engine {
    /// Runs a plan that was checked.
    ///
    /// # Errors
    /// When the state directory cannot be used, a plugin cannot be built, or threads run out.
    /// Nothing runs then.
    pub fn start(plan: Plan, settings: Settings) -> Result<Engine, String> {
        let state = plan.globals.state.as_deref().map(StateDir::open).transpose()?.map(Arc::new);
        let journal = |dir| Durable::open(dir, plan.globals.journal_max, plan.globals.journal_sync);
        let (durable, syncer) = plan.globals.state.as_deref().map(journal).transpose()?.unzip();
        let workers = (0..plan.globals.workers).map(Worker::start).collect::<Result<Vec<_>, _>>()?;
        let plan = Arc::new(plan);
        let clock = Clock::real();
        let router = Arc::new(Router::new(durable.clone()));
        let engine = Engine {
            filter_clock: if settings.ticks == Ticks::Messages { Clock::standing(0) } else { Clock::real() },
            epoch: clock.now() - clock.steady().as_nanos() as i64,
            settings,
            health: Arc::new(Health::new(&workers, router.clone(), plan.globals.stuck_after)),
            router,
            generation: AtomicU64::new(1),
            running: Mutex::new(Running {
                plan: plan.clone(),
                inputs: BTreeMap::new(),
                filters: BTreeMap::new(),
                outputs: BTreeMap::new(),
                leaving: Leaving::default(),
                standings: BTreeMap::new(),
                trackers: Arc::default(),
                workers,
                next_slot: 0,
            }),
            state,
            durable,
            syncer,
            input_ended: bounded(1),
            housekeeper: None,
            news: bounded(1),
        };
        if let Some(durable) = engine.durable.clone() {
            engine.health.watch("the journal", move || durable.trouble());
        }
        if let Err(why) = engine.start_all(&plan) {
            engine.stop();
            return Err(why);
        }
        Ok(engine.with_housekeeper())
    }

    fn start_all(&self, plan: &Arc<Plan>) -> Result<(), String> {
        let mut running = self.lock();
        for output in &plan.outputs {
            self.start_output(&mut running, plan, output, None)?;
        }
        for filter in &plan.filters {
            self.start_filter(&mut running, plan, filter)?;
        }
        self.swap_table(&running);
        self.durable.iter().for_each(|durable| durable.started());
        for input in &plan.inputs {
            self.start_input(&mut running, plan, input, None)?;
        }
        self.enlist(&mut running);
        if let Some(durable) = &self.durable {
            let known = |name: &str| running.filters.contains_key(name) || running.outputs.contains_key(name);
            for name in durable.strangers(known) {
                log::warn!(target: &name, "is not configured any more; what waits for it in the journal is kept until `nilo journal forget {name}`");
            }
        }
        plan.troubles.iter().for_each(|t| log::error!(target: &t.id, "does not run: {}", t.problem));
        self.tell_input_ended();
        Ok(())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(|p| p.into_inner())
    }

    pub(crate) fn start_output(
        &self,
        running: &mut Running,
        plan: &Arc<Plan>,
        output: &Arc<ConsumerPlan>,
        predecessor: Option<OutputHandle>,
    ) -> Result<(), String> {
        let standing = running.standing(&output.id);
        let queue = match &predecessor {
            Some(old) => old.queue.clone(),
            None => self.queue(output, standing.meter.clone(), 0),
        };
        queue.configure(output.rules());
        let had = match &predecessor {
            Some(old) => old.had.clone(),
            None => Arc::new(Had::new(self.state.as_ref().map(|state| state.positions(&output.id)).unwrap_or_default())),
        };
        if predecessor.is_none() {
            queue.progress.start(had.positions.clone(), self.cursor(&output.id, 0));
        }
        let seed = OutputSeed {
            plan: plan.clone(),
            output: output.clone(),
            queue,
            standing,
            router: self.router.clone(),
            state: self.state.clone(),
        };
        let handle = OutputHandle::start(seed, predecessor, had)?;
        running.outputs.insert(output.id.clone(), handle);
        Ok(())
    }

    /// What a filter's place needs, for a new place or for a new instance in an old one.
    pub(crate) fn slot_seed(&self, running: &mut Running, plan: &Arc<Plan>, filter: &Arc<ConsumerPlan>, queue: Arc<Queue>) -> SlotSeed {
        SlotSeed {
            plan: plan.clone(),
            filter: filter.clone(),
            queue,
            standing: running.standing(&filter.id),
            router: self.router.clone(),
            state: self.state.clone(),
            ticks: self.settings.ticks,
            clock: self.filter_clock.clone(),
            epoch: self.epoch,
        }
    }

    pub(crate) fn start_filter(&self, running: &mut Running, plan: &Arc<Plan>, filter: &Arc<ConsumerPlan>) -> Result<(), String> {
        let (limit, standing) = (self.health.stuck_after(), running.standing(&filter.id));
        let failed = |why: String| format!("{}: {why}", filter.id);
        running.leaving.wait_for_filter(&filter.id, &running.workers, limit).map_err(failed)?;
        let snapshot = Snapshot::of(&filter.id, self.state.as_deref(), &standing);
        self.durable.iter().for_each(|durable| durable.skip_to(snapshot.journal));
        let queue = self.queue(filter, standing.meter, snapshot.journal);
        let cursor = self.cursor(&filter.id, snapshot.journal);
        queue.progress.start(Positions::default(), cursor);
        // What the filter has, with what waits for it in the journal, is not given to it again.
        let mut had = Had::new(snapshot.positions.clone());
        if let Some(durable) = self.durable.as_ref().filter(|_| !queue.is_empty()) {
            durable.add_waiting(&filter.id, cursor, &mut had);
        }
        let seed = Box::new(self.slot_seed(running, plan, filter, queue.clone()));
        let (slot, worker) = running.place(limit);
        let (answer, answered) = bounded(1);
        running.workers[worker].inbox.send(Command::Add { slot, seed, snapshot, answer });
        running.workers[worker].answer(&answered, limit).and_then(|started| started).map_err(failed)?;
        running.workers[worker].filters += 1;
        let handle = FilterHandle { plan: filter.clone(), queue, worker, slot, had: Arc::new(had), refused: false };
        running.filters.insert(filter.id.clone(), handle);
        Ok(())
    }

    /// A consumer's queue, behind which stands what an earlier process left for it in the journal.
    fn queue(&self, consumer: &ConsumerPlan, meter: Arc<Meter>, least: u64) -> Arc<Queue> {
        let queue = Queue::new(&consumer.id, consumer.rules(), meter, self.durable.clone());
        if let Some(durable) = &self.durable {
            queue.resume(self.cursor(&consumer.id, least), durable.end());
        }
        Arc::new(queue)
    }

    /// Number of the journal's record at which a consumer goes on, which has everything below `least`.
    fn cursor(&self, consumer: &str, least: u64) -> u64 {
        self.durable.as_ref().map_or(0, |durable| durable.cursor(consumer).max(least))
    }

    pub(crate) fn start_input(
        &self,
        running: &mut Running,
        plan: &Arc<Plan>,
        input: &InputPlan,
        predecessor: Option<InputHandle>,
    ) -> Result<(), String> {
        let standing = running.standing(&input.id);
        let remembered = || {
            Arc::new(Tracker::new(
                input.id.clone(),
                self.state.as_ref().map(|s| s.checkpoints(&input.id)).unwrap_or_default(),
                self.news.0.clone(),
            ))
        };
        let tracker = running.trackers.lock().unwrap_or_else(|p| p.into_inner()).entry(input.id.clone()).or_insert_with(remembered).clone();
        let (router, ended) = (self.router.clone(), self.input_ended.0.clone());
        let seed = InputSeed { plan: plan.clone(), input: input.clone(), standing, tracker, router, state: self.state.clone(), ended };
        let handle = InputHandle::start(seed, predecessor)?;
        running.inputs.insert(input.id.clone(), handle);
        Ok(())
    }

    /// Makes the routing table of what runs.
    pub(crate) fn swap_table(&self, running: &Running) {
        let filters = running.filters.values().map(|f| {
            let inbox = running.workers[f.worker].inbox.clone();
            Target::new(&f.plan, f.queue.clone(), Wake::Worker { inbox, slot: f.slot }, f.had.clone())
        });
        let outputs = running.outputs.values().map(|o| Target::new(&o.plan, o.queue.clone(), o.wake(), o.had.clone()));
        // Those that are new get what is written down for them only once it can be found again.
        self.durable.iter().for_each(|durable| durable.remember());
        self.router.swap(Table::new(filters.chain(outputs).collect()));
    }

    /// Starts the thread that writes checkpoints and filter states down.
    fn with_housekeeper(mut self) -> Engine {
        let Some(memory) = self.memory() else { return self };
        let (stop, stopped) = bounded::<()>(0);
        let news = self.news.1.clone();
        let body = move || {
            let mut pause = SAVE_EVERY;
            loop {
                select! {
                    recv(stopped) -> _ => return,
                    recv(news) -> _ => {}
                    default(pause) => {}
                }
                // A full disk is complained of now and then, not twice a second.
                pause = if memory.save() { SAVE_EVERY } else { 20 * SAVE_EVERY };
            }
        };
        match std::thread::Builder::new().name("checkpoints".into()).spawn(body) {
            Ok(thread) => self.housekeeper = Some((stop, thread)),
            Err(e) => log::error!("no thread to save checkpoints: {e}"),
        }
        self
    }

    fn memory(&self) -> Option<Memory> {
        let (state, durable) = (self.state.clone()?, self.durable.clone()?);
        Some(Memory { state, durable, trackers: self.lock().trackers.clone(), router: self.router.clone() })
    }

    /// Whether every input is exhausted.
    pub fn inputs_finished(&self) -> bool {
        self.lock().inputs.values().all(|i| i.finished.load(Ordering::Acquire))
    }

    /// Fires when an input has come to its end or was removed, and once after the start: the moment
    /// to ask [`Engine::inputs_finished`].
    pub fn input_ended(&self) -> &Receiver<()> {
        &self.input_ended.1
    }

    pub(crate) fn tell_input_ended(&self) {
        let _ = self.input_ended.0.try_send(());
    }

    /// Whether any plugin failed so far, and the last thing it said.
    pub fn failure(&self) -> Option<(String, String)> {
        let running = self.lock();
        let failed = running.standings.iter().find(|(_, s)| s.meter.get(Counter::Failed) > 0);
        failed.map(|(id, s)| (id.to_string(), s.shared.error().unwrap_or_default()))
    }

    /// Files that scripts were made of.
    pub fn script_files(&self) -> Vec<PathBuf> {
        self.lock().standings.values().flat_map(|s| s.shared.files()).map(|(f, _)| f).collect()
    }

    /// Directories whose scripts run.
    pub fn watched_directories(&self) -> Vec<PathBuf> {
        self.lock().plan.watched.directories.clone()
    }

    /// Whether scripts in watched directories came, went or changed since they were looked at.
    pub fn watched_changed(&self) -> bool {
        let watched = self.lock().plan.watched.clone();
        watched.changed()
    }

    /// Files the configuration was read from.
    pub fn config_files(&self) -> Vec<PathBuf> {
        self.lock().plan.files.clone()
    }

    pub fn status(&self) -> Status {
        let running = self.lock();
        let mut plugins = Vec::new();
        for (id, input) in &running.inputs {
            let s = &running.standings[id];
            plugins.push(PluginStatus::new(id, input.plan.spec.kind.name, &s.shared, &s.meter, (0, 0)));
        }
        let filters = running.filters.iter().map(|(id, f)| (id, f.plan.spec.kind.name, &f.queue));
        let outputs = running.outputs.iter().map(|(id, o)| (id, o.plan.spec.kind.name, &o.queue));
        for (id, kind, queue) in filters.chain(outputs) {
            let s = &running.standings[id];
            let (messages, bytes, since) = queue.depth();
            let mut status = PluginStatus::new(id, kind, &s.shared, &s.meter, (messages, bytes));
            let waited = since.map(|since| Clock::real().steady().saturating_sub(since)).unwrap_or_default();
            if waited > Duration::from_secs(5) {
                status.state = format!("{}, oldest message has waited {} s", status.state, waited.as_secs());
            }
            plugins.push(status);
        }
        for trouble in running.plan.troubles.iter().filter(|t| !running.filters.contains_key(t.id.as_str())) {
            let shared = Shared::default();
            shared.set_state("refused");
            shared.set_error(trouble.problem.to_string());
            plugins.push(PluginStatus::new(&trouble.id, trouble.kind, &shared, &Meter::default(), (0, 0)));
        }
        self.health.describe(&mut plugins);
        Status { generation: self.generation.load(Ordering::Relaxed), plugins }
    }

    /// Stops in order: inputs, then filters with a last tick, then outputs once they have delivered
    /// what is queued, or when the time for that is over. Then checkpoints are written down.
    pub fn stop(mut self) -> Summary {
        self.health.stopping();
        let plan = self.lock().plan.clone();
        let queues = self.lock().queues();
        self.stop_inputs();
        self.stop_filters();
        let undelivered = self.stop_outputs(plan.globals.grace);
        let status = self.last_status(&plan, &queues);
        if let Some((stop, thread)) = self.housekeeper.take() {
            drop(stop);
            let _ = thread.join();
        }
        drop(self.syncer.take());
        // States first, and then, since they are safe, the positions of inputs.
        for _ in 0..2 {
            self.memory().map(|memory| memory.save());
        }
        Summary { status, undelivered }
    }

    /// Of everything the plan had, when nothing runs any more.
    fn last_status(&self, plan: &Plan, queues: &BTreeMap<Arc<str>, Arc<Queue>>) -> Status {
        let running = self.lock();
        let of = |(id, kind): (&str, &plugin::Kind)| {
            let standing = running.standings.get(id)?;
            let waiting = queues.get(id).map_or((0, 0), |q| (q.depth().0, 0));
            Some(PluginStatus::new(id, kind.name, &standing.shared, &standing.meter, waiting))
        };
        Status { generation: self.generation.load(Ordering::Relaxed), plugins: plan.plugins().filter_map(of).collect() }
    }

    fn stop_inputs(&self) {
        let mut running = self.lock();
        let inputs = std::mem::take(&mut running.inputs);
        inputs.values().for_each(|i| i.stop.ask());
        let deadline = Clock::real().steady() + PATIENCE;
        for (id, input) in inputs.into_iter().chain(running.leaving.take_inputs()) {
            match until(deadline, || input.finished.load(Ordering::Acquire)) {
                true => input.join(),
                false => log::error!(target: &id, "does not stop and is left behind"),
            }
        }
    }

    /// Filters may feed each other: they are drained until nothing moves, tick a last time, and are
    /// drained again.
    fn stop_filters(&self) {
        let mut running = self.lock();
        self.drain(&running);
        self.tell(&running, |answer| Command::LastTick { answer });
        self.drain(&running);
        self.tell(&running, |answer| Command::Save { answer });
        let limit = self.health.stuck_after();
        running.workers.drain(..).for_each(|worker| worker.join(limit));
        for (id, filter) in &running.filters {
            let left = filter.queue.abandon();
            if left > 0 {
                log::error!(target: id, "{left} messages still waited for it");
            }
        }
    }

    fn drain(&self, running: &Running) {
        // The hop limit ends this; the number is for filters that inject without end all the same.
        for _ in 0..1000 {
            if !self.tell(running, |answer| Command::Drain { answer }).contains(&true) {
                return;
            }
        }
    }

    fn tell<T: Send>(&self, running: &Running, command: impl Fn(crossbeam_channel::Sender<T>) -> Command) -> Vec<T> {
        let ask = |w: &Worker| {
            let (answer, answered) = bounded(1);
            w.inbox.send(command(answer));
            answered
        };
        // Not of one that is stuck in a filter: the others are to stop in order all the same.
        let limit = self.health.stuck_after();
        let asked: Vec<_> = running.workers.iter().map(|w| (w, ask(w))).collect();
        asked.into_iter().filter_map(|(w, answered)| w.answer(&answered, limit).ok()).collect()
    }

    fn stop_outputs(&self, grace: Duration) -> usize {
        let mut running = self.lock();
        let outputs = std::mem::take(&mut running.outputs);
        let deadline = Clock::real().steady().saturating_add(grace);
        // Those that take rejects end last: until then the others may refuse something.
        for last in [false, true] {
            let these = || outputs.values().filter(|o| reject::wanted_by(&o.plan.matcher) == last);
            these().for_each(OutputHandle::finish);
            until(deadline, || these().all(OutputHandle::ended));
        }
        outputs.values().for_each(OutputHandle::stop);
        let (deadline, mut undelivered) = (Clock::real().steady() + PATIENCE, 0);
        for (id, output) in outputs {
            let queue = output.queue.clone();
            match until(deadline, || output.ended()) {
                true => output.join(),
                false => log::error!(target: &id, "does not stop and is left behind with what it had taken"),
            }
            let left = queue.abandon();
            if left > 0 {
                log::error!(target: &id, "{left} messages were not delivered within {grace:?} (`grace` in [nilo])");
            }
            undelivered += left;
        }
        undelivered
    }
}

/// How long a stop waits for a thread that was asked to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often checkpoints and filter states are written down.
const SAVE_EVERY: Duration = Duration::from_millis(200);

/// Waits for something that takes moments; false when it did not happen by then.
fn until(deadline: Duration, done: impl Fn() -> bool) -> bool {
    while !done() {
        if Clock::real().steady() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

impl Running {
    pub fn standing(&mut self, id: &Arc<str>) -> Standing {
        self.standings.entry(id.clone()).or_default().clone()
    }

    /// A place for another filter: its number, and its worker, one with few filters that is not stuck.
    fn place(&mut self, limit: Duration) -> (u64, usize) {
        self.next_slot += 1;
        let load = |w: &usize| (self.workers[*w].inbox.stuck(limit).is_some(), self.workers[*w].filters);
        (self.next_slot - 1, (0..self.workers.len()).min_by_key(load).unwrap_or(0))
    }

    fn queues(&self) -> BTreeMap<Arc<str>, Arc<Queue>> {
        let filters = self.filters.iter().map(|(id, f)| (id.clone(), f.queue.clone()));
        filters.chain(self.outputs.iter().map(|(id, o)| (id.clone(), o.queue.clone()))).collect()
    }
}
