//! Outputs: their threads, from a queue to verdicts.
//!
//! A [`runner`] drives one instance of an output: it takes work, encodes it, offers it until every message has its
//! verdict ([`settle`]), and paces attempts by a [`breaker`]. With `concurrency` an output has several runners, each of which
//! takes from its [`lane`]; [`lanes`] shares the queue out to them, by what [`order`] says.

mod breaker;
mod lane;
mod lanes;
mod order;
mod runner;
mod settle;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender as Channel, bounded};
use plugin::Stop;

use self::lane::Source;
use self::lanes::Lanes;
use self::order::lanes;
pub(crate) use self::order::objection;
use self::runner::Runner;
use crate::checkpoints::StateDir;
use crate::origin::Had;
use crate::plan::{ConsumerPlan, Plan};
use crate::queue::Queue;
use crate::route::{Router, Wake};
use crate::status::Standing;

/// A running output: its thread, its queue, and how to end it.
pub(crate) struct OutputHandle {
    pub plan: Arc<ConsumerPlan>,
    pub queue: Arc<Queue>,
    /// What it had when it was started.
    pub had: Arc<Had>,
    /// Give up now; what is not delivered goes back to the queue.
    stop: Stop,
    /// Nothing more will come: deliver what is queued, then end.
    finish: Arc<AtomicBool>,
    /// Counts requests to look for a changed script of the encoder.
    renew: Arc<AtomicU64>,
    channel: Channel<()>,
    wakes: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// What an output's threads need.
#[derive(Clone)]
pub(crate) struct OutputSeed {
    pub plan: Arc<Plan>,
    pub output: Arc<ConsumerPlan>,
    pub queue: Arc<Queue>,
    pub standing: Standing,
    pub router: Arc<Router>,
    pub state: Option<Arc<StateDir>>,
}

/// What the threads of an output are asked.
#[derive(Clone)]
struct Asked {
    /// Give up now.
    stop: Stop,
    /// Nothing more will come: deliver what is there, then end.
    finish: Arc<AtomicBool>,
    /// Counts requests to look for a changed script of the encoder.
    renew: Arc<AtomicU64>,
}

impl OutputHandle {
    /// Starts the output once `predecessor`, the instance it replaces, has ended.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(seed: OutputSeed, predecessor: Option<OutputHandle>, had: Arc<Had>) -> Result<OutputHandle, String> {
        // As the queue, the channel belongs to the name: whoever knows only the predecessor wakes its successor.
        let (channel, wakes) = predecessor.as_ref().map_or_else(|| bounded(1), |old| (old.channel.clone(), old.wakes.clone()));
        let (stop, finish, renew) = (Stop::new(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (plan, queue) = (seed.output.clone(), seed.queue.clone());
        let asked = Asked { stop: stop.clone(), finish: finish.clone(), renew: renew.clone() };
        let own_wakes = wakes.clone();
        let body = move || {
            if let Some(old) = predecessor {
                old.stop();
                old.join();
            }
            let source = Source::Queue(seed.queue.clone());
            match lanes(&seed.output.spec) {
                1 => Runner::new(seed, source, asked, own_wakes, Arc::default()).supervise(),
                n => Lanes::new(seed, n, asked, own_wakes).run(),
            }
        };
        let thread = thread::Builder::new().name(plan.id.to_string()).spawn(body).map_err(|e| format!("{}: no thread: {e}", plan.id))?;
        Ok(OutputHandle { plan, queue, had, stop, finish, renew, channel, wakes, thread: Some(thread) })
    }

    pub fn wake(&self) -> Wake {
        Wake::Output(self.channel.clone())
    }

    /// Asks it to deliver what is queued and end.
    pub fn finish(&self) {
        self.finish.store(true, Ordering::Release);
        let _ = self.channel.try_send(());
    }

    /// Asks it to look for a changed script of its encoder.
    pub fn renew(&self) {
        self.renew.fetch_add(1, Ordering::AcqRel);
        let _ = self.channel.try_send(());
    }

    /// Asks it to give up at once; what is not delivered goes back to the queue.
    pub fn stop(&self) {
        self.stop.ask();
        let _ = self.channel.try_send(());
    }

    pub fn ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
