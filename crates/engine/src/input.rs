use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::Sender;
use plugin::{Build, Clock, Counter, Fatal, InputCx, Stop};

use crate::activity;
use crate::checkpoints::StateDir;
use crate::intake::{EngineIntake, IntakeParts, OWN};
use crate::keeper::Keeper;
use crate::plan::{InputPlan, Plan};
use crate::route::{Port, Router};
use crate::status::Standing;
use crate::supervise::{BackOff, announce, contained, failed};
use crate::tracker::Tracker;

/// A running input: its thread, and how to stop it.
pub(crate) struct InputHandle {
    pub plan: InputPlan,
    pub stop: Stop,
    pub finished: Arc<AtomicBool>,
    /// Counts requests to look for changed scripts of its codecs.
    pub renew: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// What an input's thread needs.
pub(crate) struct InputSeed {
    pub plan: Arc<Plan>,
    pub input: InputPlan,
    pub standing: Standing,
    pub tracker: Arc<Tracker>,
    pub router: Arc<Router>,
    pub state: Option<Arc<StateDir>>,
    /// Told when the input has ended.
    pub ended: Sender<()>,
}

impl InputHandle {
    /// Starts the input once `predecessor`, the instance it replaces, has ended.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(seed: InputSeed, predecessor: Option<InputHandle>) -> Result<InputHandle, String> {
        let (stop, finished, renew) = (Stop::new(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let plan = seed.input.clone();
        let (mine, done, renewal) = (stop.clone(), finished.clone(), renew.clone());
        let body = move || {
            if let Some(old) = predecessor {
                old.join();
            }
            supervise(&seed, &mine, &renewal);
            done.store(true, Ordering::Release);
            let _ = seed.ended.try_send(());
        };
        let thread = thread::Builder::new().name(plan.id.to_string()).spawn(body).map_err(|e| format!("{}: no thread: {e}", plan.id))?;
        Ok(InputHandle { plan, stop, finished, renew, thread: Some(thread) })
    }

    /// Waits for the thread to end; the input was asked to stop or is exhausted.
    pub fn join(mut self) {
        self.stop.ask();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// After more failures in a row the state may be the reason, and is given up.
const SUSPICIOUS: u32 = 4;

/// Runs the input, again and again while it fails, until it is done or asked to stop.
fn supervise(seed: &InputSeed, stop: &Stop, renew: &Arc<AtomicU64>) {
    let mut back_off = BackOff::default();
    let Standing { meter, shared } = &seed.standing;
    // Not of the input itself: who takes from it wants its records only.
    let mut port = Port::new(seed.router.clone(), Arc::from("nilometer"));
    activity::adopt(shared);
    loop {
        shared.starting();
        let outcome = contained(|| run(seed, stop, renew, back_off.failures() <= SUSPICIOUS)).unwrap_or_else(|panic| Err(Fatal(panic)));
        let Err(Fatal(why)) = outcome else { break };
        let pause = failed(&seed.input.id, &seed.standing, &mut back_off, &why);
        announce(&mut port, "nilometer.failed", &seed.input.id, &why, &seed.plan.globals.hostname);
        if stop.wait(pause) {
            break;
        }
        meter.add(Counter::Restarted, 1);
    }
    shared.ended(if stop.asked() { "stopped" } else { "finished" });
}

fn run(seed: &InputSeed, stop: &Stop, renew: &Arc<AtomicU64>, with_state: bool) -> Result<(), Fatal> {
    let clock = Clock::real();
    let build_cx = seed.plan.build_cx(&seed.input.spec, &clock);
    let Build::Input(build) = seed.input.spec.kind.build else { return Err(Fatal::new("not an input")) };
    let mut input = build(&seed.input.spec.options, &build_cx).map_err(|p| Fatal::new(p.to_string()))?;
    let every = seed.plan.globals.snapshot;
    let mut keeper = Keeper::new(seed.input.id.clone(), seed.standing.clone(), seed.state.clone(), every, clock.steady());
    if !with_state {
        log::warn!(target: &seed.input.id, "failed again and again, and starts without its state");
        keeper.forget(OWN);
    }
    let parts = IntakeParts {
        plan: seed.plan.clone(),
        input: seed.input.clone(),
        standing: seed.standing.clone(),
        tracker: seed.tracker.clone(),
        port: Port::new(seed.router.clone(), seed.input.id.clone()),
        stop: stop.clone(),
        can_wait: input.can_wait(),
        renew: renew.clone(),
        keeper,
    };
    let mut intake = EngineIntake::new(parts).map_err(Fatal::new)?;
    let mut cx = InputCx { build: &build_cx, clock: &clock, stop, meter: &seed.standing.meter, intake: &mut intake };
    let outcome = input.run(&mut cx);
    intake.finish();
    outcome
}
