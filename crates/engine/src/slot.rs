use std::sync::Arc;
use std::time::Duration;

use message::{Batch, BatchBuilder, Selection, Ticket, Uuid};
use plugin::{Build, Carried, Clock, Counter, Filter, FilterCx, FilterFailure, Meter};

use crate::checkpoints::StateDir;
use crate::engine::Ticks;
use crate::plan::{ConsumerPlan, Plan};
use crate::probation::Probation;
use crate::queue::{Queue, Sender, Work};
use crate::reject::{self, Original};
use crate::route::{Port, Router};
use crate::status::Standing;
use crate::supervise::{BackOff, contained};

/// A filter's place on its worker: its queue, the instance that runs now, and what supervision
/// knows of it. It outlives the instances.
pub(crate) struct Slot {
    pub seed: SlotSeed,
    pub live: Option<Instance>,
    pub probation: Option<Probation>,
    pub(crate) port: Port,
    pub(crate) out: BatchBuilder,
    clock: Clock,
    back_off: BackOff,
    /// Backing off until then, on the steady clock.
    suspended: Option<Duration>,
    /// State to start the next instance with.
    saved: Vec<u8>,
    saved_at: Duration,
    /// The message the last failure happened at.
    hurt: Option<Uuid>,
}

/// What a filter's place is made of.
#[derive(Clone)]
pub(crate) struct SlotSeed {
    pub plan: Arc<Plan>,
    pub filter: ConsumerPlan,
    pub queue: Arc<Queue>,
    pub standing: Standing,
    pub router: Arc<Router>,
    pub state: Option<Arc<StateDir>>,
    pub ticks: Ticks,
    /// The clock filters see.
    pub clock: Clock,
    /// Wall time minus steady time at the engine's start, ns: ticks do not jump when the wall
    /// clock is set.
    pub epoch: i64,
}

impl SlotSeed {
    /// Now, ns since the UNIX epoch, on the clock that ticks follow.
    fn wall(&self) -> i64 {
        self.epoch + Clock::real().steady().as_nanos() as i64
    }

    fn steady(&self, wall: i64) -> Duration {
        Duration::from_nanos((wall - self.epoch).max(0) as u64)
    }
}

/// One instance of a filter with its tick schedule.
pub(crate) struct Instance {
    filter: Box<dyn Filter>,
    every: Option<i64>,
    /// When the next tick is due, ns since the UNIX epoch.
    due: Option<i64>,
}

impl Instance {
    /// # Errors
    /// Why the filter cannot be built.
    pub fn build(seed: &SlotSeed) -> Result<Instance, String> {
        let spec = &seed.filter.spec;
        let Build::Filter(build) = spec.kind.build else { return Err("not a filter".to_string()) };
        let cx = seed.plan.build_cx(spec, &seed.clock);
        let filter = contained(|| build(&spec.options, &cx)).and_then(|built| built.map_err(|p| p.to_string()))?;
        let every = filter.every().map(|e| (e.as_nanos() as i64).max(1_000_000));
        let due = match seed.ticks {
            Ticks::Clock => every.map(|e| seed.wall() + e),
            Ticks::Messages => None,
        };
        Ok(Instance { filter, every, due })
    }

    pub fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        if saved.is_empty() {
            return Ok(Carried::default());
        }
        contained(|| self.filter.restore(saved)).and_then(|r| r)
    }

    pub fn save(&mut self) -> Result<Vec<u8>, String> {
        contained(|| self.filter.save()).and_then(|r| r)
    }

    pub fn ticks(&self) -> bool {
        self.every.is_some()
    }

    pub fn report(&self, standing: &Standing) {
        standing.shared.set_gauges(self.filter.gauges());
    }

    /// Files it was made of, with what they hold now.
    pub fn files(&self) -> Vec<(std::path::PathBuf, u64)> {
        self.filter.files().into_iter().map(|f| (f.clone(), crate::watch::hash(&f))).collect()
    }

    /// Whether a tick is due by the clock.
    pub fn due(&self) -> Option<i64> {
        self.due
    }

    /// Takes messages; with ticks by messages, ticks fall between them. The failure's position is
    /// in the selection.
    pub fn messages(
        &mut self,
        seed: &SlotSeed,
        batch: &Arc<Batch>,
        selection: &Selection,
        out: &mut BatchBuilder,
    ) -> Result<(), FilterFailure> {
        let cx = FilterCx { clock: &seed.clock, meter: &seed.standing.meter };
        if seed.ticks == Ticks::Clock || self.every.is_none() {
            return self.call(|f, out| f.messages(batch, selection, out, &cx), out);
        }
        let mut from = 0;
        for nth in 0..selection.len() {
            let at = batch.get(selection.index(nth)).timestamp();
            if self.due.is_some_and(|due| at >= due) {
                self.part(batch, selection, from..nth, out, &cx)?;
                from = nth;
                self.tick(seed, false, out).map_err(|f| FilterFailure { at: nth, ..f })?;
            }
            seed.clock.set(at);
            self.schedule(at);
        }
        self.part(batch, selection, from..selection.len(), out, &cx)
    }

    fn part(
        &mut self,
        batch: &Arc<Batch>,
        selection: &Selection,
        range: std::ops::Range<usize>,
        out: &mut BatchBuilder,
        cx: &FilterCx<'_>,
    ) -> Result<(), FilterFailure> {
        let part: Selection = match range.len() {
            0 => return Ok(()),
            n if n == selection.len() => selection.clone(),
            _ => Selection::Some(range.clone().map(|nth| selection.index(nth) as u32).collect()),
        };
        self.call(|f, out| f.messages(batch, &part, out, cx), out).map_err(|f| FilterFailure { at: f.at + range.start, ..f })
    }

    /// The first message's time starts the schedule; windows begin at multiples of the interval.
    fn schedule(&mut self, at: i64) {
        if let (None, Some(every)) = (self.due, self.every) {
            self.due = Some((at.div_euclid(every) + 1) * every);
        }
    }

    /// The tick that is due, and the next one scheduled: at most one is ever pending.
    pub fn tick(&mut self, seed: &SlotSeed, last: bool, out: &mut BatchBuilder) -> Result<(), FilterFailure> {
        let now = match seed.ticks {
            Ticks::Clock => seed.wall(),
            Ticks::Messages => seed.clock.now(),
        };
        let due = self.due.filter(|due| *due <= now || seed.ticks == Ticks::Messages).unwrap_or(now);
        if let Some(every) = self.every {
            self.due = match seed.ticks {
                Ticks::Clock => Some(if due + every > now { due + every } else { now + every }),
                Ticks::Messages => None,
            };
        }
        let cx = FilterCx { clock: &seed.clock, meter: &seed.standing.meter };
        self.call(|f, out| f.tick(due, last, out, &cx), out)
    }

    fn call(
        &mut self,
        call: impl FnOnce(&mut dyn Filter, &mut BatchBuilder) -> Result<(), FilterFailure>,
        out: &mut BatchBuilder,
    ) -> Result<(), FilterFailure> {
        contained(|| call(&mut *self.filter, out)).unwrap_or_else(|why| Err(FilterFailure { at: 0, why }))
    }
}

impl Slot {
    /// A place with its first instance, which takes over what was saved in an earlier run.
    ///
    /// # Errors
    /// Why the filter cannot be built.
    pub fn new(seed: SlotSeed) -> Result<Slot, String> {
        let saved = seed.state.as_ref().and_then(|s| s.filter(&seed.filter.id)).unwrap_or_default();
        let port = Port::new(seed.router.clone(), seed.filter.id.clone());
        let clock = Clock::real();
        let saved_at = clock.steady();
        let mut slot = Slot {
            seed,
            live: None,
            probation: None,
            port,
            out: BatchBuilder::default(),
            clock,
            back_off: BackOff::default(),
            suspended: None,
            saved,
            saved_at,
            hurt: None,
        };
        slot.start()?;
        Ok(slot)
    }

    fn start(&mut self) -> Result<(), String> {
        let mut instance = Instance::build(&self.seed)?;
        if let Err(why) = instance.restore(&self.saved) {
            log::warn!(target: &self.seed.filter.id, "starts without its saved state: {why}");
        }
        self.seed.standing.shared.set_files(instance.files());
        self.seed.standing.shared.set_state("running");
        instance.report(&self.seed.standing);
        self.live = Some(instance);
        Ok(())
    }

    pub fn now(&self) -> Duration {
        self.clock.steady()
    }

    /// When this place wants to be looked at again, on the steady clock.
    pub fn wants_at(&self) -> Option<Duration> {
        let tick = match self.seed.ticks {
            Ticks::Clock => self.live.as_ref().and_then(Instance::due).map(|due| self.seed.steady(due)),
            Ticks::Messages => None,
        };
        let snapshot = self.seed.state.as_ref().map(|_| self.saved_at + self.seed.plan.globals.snapshot);
        [tick, self.suspended, self.probation.as_ref().map(Probation::ends), snapshot].into_iter().flatten().min()
    }

    /// Does what time asks for: restarts, ends a probation, ticks, saves.
    pub fn look(&mut self) {
        let now = self.now();
        if self.suspended.is_some_and(|until| now >= until) {
            self.resume();
        }
        self.end_probation_if_over();
        let due = self.live.as_ref().and_then(Instance::due).is_some_and(|due| self.seed.wall() >= due);
        if due && self.seed.ticks == Ticks::Clock {
            self.tick(false);
        }
        if self.seed.state.is_some() && self.probation.is_none() && now >= self.saved_at + self.seed.plan.globals.snapshot {
            self.save();
        }
    }

    fn resume(&mut self) {
        self.suspended = None;
        // Twice in a row with its state: the state may be the reason.
        if self.back_off.failures() > 2 {
            log::warn!(target: &self.seed.filter.id, "failed {} times in a row and starts without its state", self.back_off.failures());
            self.saved.clear();
        }
        match self.start() {
            Ok(()) => {
                self.seed.standing.meter.add(Counter::Restarted, 1);
                log::info!(target: &self.seed.filter.id, "started again");
            }
            Err(why) => self.suspend(&why),
        }
    }

    /// Takes one piece of work from the queue. False when there is none or it cannot run.
    pub fn work(&mut self) -> bool {
        if self.live.is_none() {
            return false;
        }
        let Some(work) = self.seed.queue.pop() else { return false };
        let before = Clock::thread_cpu();
        if self.probation.is_some() {
            self.probe(work)
        } else {
            self.take(work)
        }
        self.seed.standing.meter.add(Counter::CpuNs, (Clock::thread_cpu() - before).as_nanos() as u64);
        true
    }

    pub(crate) fn take(&mut self, work: Work) {
        let Some(live) = &mut self.live else { return self.seed.queue.unpop(work) };
        let outcome = live.messages(&self.seed, &work.batch, &work.selection, &mut self.out);
        let taken = outcome.as_ref().map_or_else(|f| f.at, |()| work.selection.len());
        self.seed.standing.meter.add(Counter::Delivered, taken as u64);
        self.seed
            .standing
            .meter
            .add(Counter::LatencyNs, (self.now().saturating_sub(work.queued).as_nanos() as u64).saturating_mul(taken as u64));
        self.emit(Some(&work));
        match outcome {
            Ok(()) if self.hurt.is_some() => self.hurt = None,
            Ok(()) => {}
            Err(failure) => self.failed_at(work, &failure),
        }
    }

    /// A tick, by the clock or the last one.
    pub fn tick(&mut self, last: bool) {
        if let Some(probation) = &mut self.probation {
            probation.ticked = true;
        }
        let Some(live) = &mut self.live else { return };
        let outcome = live.tick(&self.seed, last, &mut self.out);
        live.report(&self.seed.standing);
        match outcome {
            Ok(()) => self.emit(None),
            Err(failure) if self.probation.is_some() => self.roll_back(&failure.why),
            Err(failure) => {
                self.emit(None);
                self.suspend(&failure.why);
            }
        }
    }

    /// Hands on what the filter injected, one hop on; during a probation it is held back.
    pub(crate) fn emit(&mut self, work: Option<&Work>) {
        if self.out.is_empty() {
            return;
        }
        let hops = work.map_or(0, |w| w.batch.selected(&w.selection).map(|m| m.hops()).max().unwrap_or(0)).saturating_add(1);
        self.seed.standing.meter.add(Counter::Injected, self.out.len() as u64);
        if hops > self.seed.plan.globals.max_hops {
            return self.refuse_loop(hops);
        }
        for i in 0..self.out.len() {
            let now = self.seed.clock.now();
            let mut m = self.out.message(i);
            m.set_hops(hops);
            if m.timestamp() == 0 {
                m.set_timestamp(now);
            }
        }
        let parents = work.map(|w| w.batch.ticket().clone()).into_iter().collect();
        let ticket = Ticket::derived(parents);
        let bounded = ticket.is_awaited();
        let batch = self.out.finish_with(ticket);
        match &mut self.probation {
            Some(probation) => probation.held.push(batch),
            None => self.port.send(batch, Sender::Filter { bounded }),
        }
    }

    fn refuse_loop(&mut self, hops: u8) {
        let refused = self.out.finish();
        let max = self.seed.plan.globals.max_hops;
        let why = format!(
            "injected messages went through {hops} filters, allowed are {max}: does a filter match what it injects? Narrow its `match` or raise `max_hops` in [nilo]"
        );
        log::warn!(target: &self.seed.filter.id, "{} {why}", refused.len());
        self.seed.standing.meter.add(Counter::Rejected, refused.len() as u64);
        self.seed.standing.shared.set_error(why);
    }

    /// The filter failed at a message: the rest waits for its successor; a message that was failed
    /// at twice is set aside.
    fn failed_at(&mut self, work: Work, failure: &FilterFailure) {
        let m = work.batch.get(work.selection.index(failure.at.min(work.selection.len() - 1)));
        let again = self.hurt.replace(m.uuid()) == Some(m.uuid());
        if again {
            self.hurt = None;
            self.seed.standing.meter.add(Counter::Rejected, 1);
            log::error!(target: &self.seed.filter.id, "message {} set aside after failing twice", m.uuid());
            if m.type_() != reject::TYPE.as_bytes() && self.port.wants_rejects() {
                let mut rejects = BatchBuilder::default();
                reject::add(
                    &mut rejects,
                    &self.seed.filter.id,
                    &failure.why,
                    Original::Message(m),
                    self.clock.now(),
                    &self.seed.plan.globals.hostname,
                );
                self.port.send_rejects(rejects.finish(), Sender::Filter { bounded: false });
            }
        }
        let rest = work.selection.from_nth(failure.at + usize::from(again));
        if !rest.is_empty() {
            self.seed.queue.unpop(Work { selection: rest, ..work });
        }
        self.suspend(&failure.why);
    }

    /// The instance failed: its state is kept if it can still be read, and a new one starts after
    /// a pause.
    fn suspend(&mut self, why: &str) {
        if let Some(mut failed) = self.live.take() {
            failed.report(&self.seed.standing);
            if let Ok(saved) = failed.save() {
                self.saved = saved;
            }
        }
        self.seed.standing.meter.add(Counter::Failed, 1);
        let now = self.now();
        let pause = self.back_off.failed(now);
        log::error!(target: &self.seed.filter.id, "failed: {why} Starting again in {pause:?}.");
        self.seed.standing.shared.set_error(why);
        self.seed.standing.shared.set_state("backing off");
        self.suspended = Some(now + pause);
        self.announce(why);
    }

    /// Says in the stream itself that a filter failed.
    fn announce(&mut self, why: &str) {
        let mut out = BatchBuilder::default();
        let mut m = out.add();
        m.set_type(b"nilometer.failed");
        m.set_timestamp(self.clock.now());
        m.set_logger(b"nilometer");
        m.set_hostname(self.seed.plan.globals.hostname.as_bytes());
        m.set_payload(why.as_bytes());
        m.set_severity(3);
        m.set_hops(1);
        m.add_string(b"plugin", self.seed.filter.id.as_bytes());
        self.port.send(out.finish(), Sender::Filter { bounded: false });
    }

    /// Saves the state to disk and reports the limits.
    pub fn save(&mut self) {
        self.saved_at = self.now();
        let Some(live) = &mut self.live else { return };
        live.report(&self.seed.standing);
        match live.save() {
            Ok(saved) => {
                if let Some(state) = &self.seed.state
                    && !(saved.is_empty() && self.saved.is_empty())
                    && let Err(e) = state.save_filter(&self.seed.filter.id, &saved)
                {
                    log::error!(target: &self.seed.filter.id, "state not saved: {e}");
                }
                self.saved = saved;
            }
            Err(why) => log::error!(target: &self.seed.filter.id, "state not saved: {why}"),
        }
    }

    /// State to start an instance with when there is no running one to ask.
    pub(crate) fn take_saved(&mut self) -> Vec<u8> {
        self.suspended = None;
        std::mem::take(&mut self.saved)
    }

    pub fn meter(&self) -> &Meter {
        &self.seed.standing.meter
    }
}
