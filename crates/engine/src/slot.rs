use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use message::{BatchBuilder, MessageRef, Ticket, Uuid};
use plugin::{Clock, Counter, FilterFailure, Meter};

use crate::checkpoints::StateDir;
use crate::engine::Ticks;
use crate::identity::Identity;
use crate::instance::Instance;
use crate::origin::Positions;
use crate::plan::{ConsumerPlan, Plan};
use crate::probation::Probation;
use crate::progress::Place;
use crate::queue::{Queue, Sender, Work};
use crate::reject::{self, Original};
use crate::route::{Parcel, Port, Router};
use crate::snapshot::Snapshot;
use crate::status::{Made, Standing};
use crate::supervise::{BackOff, announce, contained, failed};

/// A filter's place on its worker: its queue, the instance that runs now, and what supervision
/// knows of it. It outlives the instances.
pub(crate) struct Slot {
    pub seed: SlotSeed,
    pub live: Option<Instance>,
    pub probation: Option<Box<Probation>>,
    pub(crate) port: Port,
    pub(crate) out: Out,
    clock: Clock,
    back_off: BackOff,
    /// Backing off until then, on the steady clock.
    suspended: Option<Duration>,
    /// State to start the next instance with.
    saved: Vec<u8>,
    saved_at: Duration,
    /// What the live instance has taken of what can be read again.
    taken: Positions,
    /// Everything of its own below this number of the journal is taken.
    cursor: u64,
    /// Of work that is taken, and in no snapshot on disk yet.
    unsaved: Vec<Ticket>,
    /// A part of one work is taken: a snapshot has no place in the stream.
    midway: bool,
    /// Something happened since the state was saved.
    touched: bool,
    pub(crate) identity: Identity,
    /// Hash of what the state directory was given last.
    kept: u64,
    /// The message the last failure happened at.
    hurt: Option<Uuid>,
    /// Failures that no single message explains; a message was set aside, but no other got through since.
    suspicion: u32,
    blamed: bool,
    /// It stands in its worker's list of places with work.
    pub listed: bool,
    /// When its worker will look at it, by [`Slot::wants_at`].
    pub planned: Option<Duration>,
}

/// After more failures than this the state may be the reason, and is given up.
const SUSPICIOUS: u32 = 4;

/// Pieces of work that wait for a snapshot of a state that cannot be saved.
const MOST_UNSAVED: usize = 100_000;

/// State is saved no more often than that.
const SHORTEST: Duration = Duration::from_millis(100);

/// What filters inject while they are called. One for all places of a worker: it is empty between calls.
pub(crate) type Out = Rc<RefCell<BatchBuilder>>;

/// What a filter's place is made of.
#[derive(Clone)]
pub(crate) struct SlotSeed {
    pub plan: Arc<Plan>,
    pub filter: Arc<ConsumerPlan>,
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
    pub fn wall(&self) -> i64 {
        self.epoch + Clock::real().steady().as_nanos() as i64
    }

    fn steady(&self, wall: i64) -> Duration {
        Duration::from_nanos((wall - self.epoch).max(0) as u64)
    }
}

impl Slot {
    /// A place with its first instance, which takes over what was saved before.
    ///
    /// # Errors
    /// Why the filter cannot be built.
    pub fn new(seed: SlotSeed, snapshot: Snapshot, out: Out) -> Result<Slot, String> {
        let Snapshot { positions: taken, journal: cursor, injected, state: saved } = snapshot;
        let identity = Identity::new(&seed.filter.id, seed.state.as_ref().map(|state| state.instance()), injected);
        let port = Port::new(seed.router.clone(), seed.filter.id.clone());
        let clock = Clock::real();
        let saved_at = clock.steady();
        let mut slot = Slot {
            seed,
            live: None,
            probation: None,
            port,
            out,
            clock,
            back_off: BackOff::default(),
            suspended: None,
            kept: digest(&saved, injected),
            identity,
            saved,
            saved_at,
            taken,
            cursor,
            unsaved: Vec::new(),
            midway: false,
            touched: false,
            hurt: None,
            suspicion: 0,
            blamed: false,
            listed: false,
            planned: None,
        };
        slot.start()?;
        Ok(slot)
    }

    fn start(&mut self) -> Result<(), String> {
        let mut instance = Instance::build(&self.seed)?;
        if let Err(why) = instance.restore(&self.saved) {
            log::warn!(target: &self.seed.filter.id, "starts without its saved state: {why}");
        }
        self.seed.standing.shared.set_files(Made::Own, instance.files());
        self.seed.standing.shared.running();
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
        [tick, self.suspended, self.probation.as_ref().map(|p| p.ends()), self.snapshot_at()].into_iter().flatten().min()
    }

    /// When the state is to be saved: not while nothing happens, and not what is on probation.
    fn snapshot_at(&self) -> Option<Duration> {
        let wanted = self.seed.state.is_some() && self.touched && self.probation.is_none() && !self.midway;
        wanted.then(|| self.saved_at.saturating_add(self.seed.plan.globals.snapshot.max(SHORTEST)))
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
        if self.snapshot_at().is_some_and(|at| now >= at) {
            self.save();
        }
    }

    fn resume(&mut self) {
        self.suspended = None;
        if self.suspicion > SUSPICIOUS {
            log::warn!(target: &self.seed.filter.id, "failed {} times and starts without its state", self.suspicion);
            self.saved.clear();
            self.suspicion = 0;
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
        self.touched = true;
        let ticket = work.ticket.clone();
        let outcome = contained(|| if self.probation.is_some() { self.probe(work) } else { self.take(work) });
        if let Err(panic) = outcome {
            log::warn!(target: &self.seed.filter.id, "lets go of a batch without a verdict, as it {panic}");
            ticket.abandon();
            self.break_down(&panic);
        }
        true
    }

    /// What the instance says to this work, and how many of its messages it refused and counted itself; `None` while there
    /// is none.
    pub(crate) fn process(&mut self, work: &Work) -> Option<(Result<(), FilterFailure>, u64)> {
        let live = self.live.as_mut()?;
        let meter = &self.seed.standing.meter;
        let before = meter.get(Counter::Rejected);
        let outcome = live.messages(&self.seed, &work.batch, &work.selection, &mut self.out.borrow_mut());
        Some((outcome, meter.get(Counter::Rejected) - before))
    }

    pub(crate) fn take(&mut self, work: Work) {
        let Some((outcome, refused)) = self.process(&work) else { return self.seed.queue.unpop(work) };
        let taken = outcome.as_ref().map_or_else(|f| f.at.min(work.selection.len() - 1), |()| work.selection.len());
        if taken > 0 && self.blamed {
            // It was the message: neither the state nor the script, and no reason to wait longer the next time.
            (self.suspicion, self.blamed, self.back_off) = (0, false, BackOff::default());
        }
        let waited = self.now().saturating_sub(work.queued).as_nanos() as u64;
        self.meter().add(Counter::Delivered, (taken as u64).saturating_sub(refused));
        self.meter().add(Counter::LatencyNs, waited.saturating_mul(taken as u64));
        self.emit(Some(&work));
        match outcome {
            Ok(()) => {
                self.hurt = None;
                self.accept(work.place, work.ticket);
            }
            Err(failure) => self.failed_at(work, taken, &failure.why),
        }
    }

    /// The whole of some work is taken. What comes again is accepted only with a snapshot that contains it.
    pub(crate) fn accept(&mut self, place: Place, ticket: Ticket) {
        self.midway = false;
        if let Some(origin) = &place.origin {
            self.taken.advance(origin);
        }
        self.cursor = place.record.map_or(self.cursor, |record| record + 1);
        if place.comes_again() && self.seed.state.is_some() {
            self.unsaved.push(ticket);
        }
    }

    /// A tick, by the clock or the last one.
    pub fn tick(&mut self, last: bool) {
        if let Some(probation) = &mut self.probation {
            probation.ticked = true;
        }
        let Some(live) = &mut self.live else { return };
        self.touched = true;
        let outcome = live.tick(&self.seed, last, &mut self.out.borrow_mut());
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
        let shared = self.out.clone();
        let mut out = shared.borrow_mut();
        if out.is_empty() {
            return;
        }
        let hops = work.map_or(0, |w| w.batch.selected(&w.selection).map(|m| m.hops()).max().unwrap_or(0)).saturating_add(1);
        if hops > self.seed.plan.globals.max_hops {
            return self.refuse_loop(hops, out.finish().len());
        }
        if work.is_some_and(|w| w.place.comes_again()) {
            self.identity.stamp(&mut out);
        }
        for i in 0..out.len() {
            let now = self.seed.clock.now();
            let mut m = out.message(i);
            m.set_hops(hops);
            if m.timestamp() == 0 {
                m.set_timestamp(now);
            }
        }
        let parents = |of: fn(&Work) -> &Ticket| Ticket::derived(work.map(|w| of(w).clone()).into_iter().collect());
        // What goes by the journal is bounded by it, and must not hold what the input may have in memory.
        let loan = if self.seed.state.is_some() { Ticket::none() } else { parents(|w| w.batch.loan()) };
        let batch = Arc::new(out.finish_with(loan));
        let parcel = Parcel { batch, ticket: parents(|w| &w.ticket), origin: None };
        match &mut self.probation {
            Some(probation) => probation.hold(parcel),
            None => self.inject(parcel),
        }
    }

    pub(crate) fn inject(&mut self, parcel: Parcel) {
        self.seed.standing.meter.add(Counter::Injected, parcel.batch.len() as u64);
        let bounded = parcel.ticket.is_awaited();
        self.port.send(parcel, Sender::Filter { bounded });
    }

    fn refuse_loop(&mut self, hops: u8, refused: usize) {
        let max = self.seed.plan.globals.max_hops;
        let why = format!(
            "injected messages went through {hops} filters, allowed are {max}: does a filter match what it injects? Narrow its `match` or raise `max_hops` in [nilo]"
        );
        log::warn!(target: &self.seed.filter.id, "{refused} {why}");
        // They were never received, so that they are no rejects.
        self.seed.standing.meter.add_extra("refused_injections", refused as u64);
        self.seed.standing.shared.set_error(why);
    }

    /// The filter failed at a message: the rest waits for its successor; a message that was failed
    /// at twice is set aside.
    fn failed_at(&mut self, work: Work, at: usize, why: &str) {
        let m = work.batch.get(work.selection.index(at));
        let again = self.hurt.replace(m.uuid()) == Some(m.uuid());
        if again {
            self.hurt = None;
            self.blamed = true;
            self.seed.standing.meter.add(Counter::Rejected, 1);
            log::error!(target: &self.seed.filter.id, "message {} set aside after failing twice", m.uuid());
            self.dead_letter(&work, m, why);
        }
        let rest = work.selection.from_nth(at + usize::from(again));
        if rest.is_empty() {
            self.accept(work.place, work.ticket);
        } else {
            self.midway |= work.place.comes_again() && (at > 0 || again);
            self.seed.queue.unpop(Work { selection: rest, ..work });
        }
        self.suspend(why);
    }

    fn dead_letter(&mut self, work: &Work, m: MessageRef<'_>, why: &str) {
        if m.type_() == reject::TYPE.as_bytes() || !self.port.wants_rejects() {
            return;
        }
        let mut rejects = BatchBuilder::default();
        let (now, host) = (self.clock.now(), &self.seed.plan.globals.hostname);
        reject::add(&mut rejects, &self.seed.filter.id, why, Original::Message(m), now, host);
        let ticket = Ticket::derived(vec![work.ticket.clone()]);
        let bounded = ticket.is_awaited();
        self.port.send_rejects(Parcel { batch: Arc::new(rejects.finish()), ticket, origin: None }, Sender::Filter { bounded });
    }

    /// The instance failed: its state is kept if it can still be read, and a new one starts after
    /// a pause.
    fn suspend(&mut self, why: &str) {
        let pause = failed(&self.seed.filter.id, &self.seed.standing, &mut self.back_off, why);
        if self.back_off.failures() == 1 {
            self.suspicion = 0;
        }
        self.suspicion += 1;
        self.suspended = Some(self.now() + pause);
        if let Some(mut failed) = self.live.take() {
            let _ = contained(|| failed.report(&self.seed.standing));
            match failed.save() {
                Ok(saved) => self.saved = saved,
                Err(why) => log::warn!(target: &self.seed.filter.id, "goes back to the state saved before, as the last one is lost: {why}"),
            }
            failed.let_go();
        }
        announce(&mut self.port, "nilometer.failed", &self.seed.filter.id, why, &self.seed.plan.globals.hostname);
    }

    /// Something panicked around the instance, which is given up.
    pub fn break_down(&mut self, panic: &str) {
        self.out.replace(BatchBuilder::default());
        if let Some(probation) = self.probation.take() {
            let _ = contained(|| drop(probation));
        }
        if let Err(again) = contained(|| self.suspend(panic)) {
            log::error!(target: &self.seed.filter.id, "{again}");
        }
    }

    /// Saves the state and reports the limits. A filter that is down has saved it when it failed.
    pub fn save(&mut self) {
        (self.saved_at, self.touched) = (self.now(), false);
        if let Some(live) = &mut self.live {
            live.report(&self.seed.standing);
            match live.save() {
                Ok(saved) => self.saved = saved,
                Err(why) => {
                    log::error!(target: &self.seed.filter.id, "state not saved: {why}");
                    // What is in no snapshot is read again after a crash, but not without end.
                    if self.unsaved.len() < MOST_UNSAVED {
                        return;
                    }
                }
            }
        }
        let Some(state) = self.seed.state.as_ref().filter(|_| !self.midway) else { return };
        let unsaved = std::mem::take(&mut self.unsaved);
        // What left no trace in the state needs no place in it.
        let (now, injected) = (digest(&self.saved, self.identity.given), self.identity.given);
        if self.kept != now {
            self.kept = now;
            let snapshot = Snapshot { positions: self.taken.clone(), journal: self.cursor, injected, state: self.saved.clone() };
            state.save_state(&self.seed.filter.id, &snapshot.encode(), unsaved);
        }
    }

    /// The place ends: what is in no snapshot is not accepted.
    pub fn end(self) {
        self.unsaved.iter().for_each(Ticket::abandon);
        self.live.into_iter().for_each(Instance::let_go);
    }

    /// Saves the state for a filter of this name that may come back, even without a state directory.
    pub fn leave(&mut self) {
        self.save();
        if !self.unsaved.is_empty() {
            log::warn!(target: &self.seed.filter.id, "leaves and lets go of {} batches that are in no saved state", self.unsaved.len());
        }
        if self.seed.state.is_none() {
            self.seed.standing.shared.keep(self.saved.clone());
        }
    }

    /// State to start an instance with when there is no running one to ask.
    pub(crate) fn saved(&mut self) -> &[u8] {
        self.suspended = None;
        &self.saved
    }

    pub fn meter(&self) -> &Meter {
        &self.seed.standing.meter
    }
}

fn digest(state: &[u8], injected: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (state, injected).hash(&mut hasher);
    hasher.finish()
}
