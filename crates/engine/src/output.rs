use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender as Channel, bounded};
use message::{BatchBuilder, Ticket};
use plugin::{Build, BuildCx, Clock, Counter, Encoder, OutBatch, OutCx, Output, Reject, Stop, Verdict};

use crate::plan::{ConsumerPlan, Plan};
use crate::queue::{Queue, Sender, Work};
use crate::reject::{self, Original};
use crate::round::Round;
use crate::route::{Port, Router, Wake};
use crate::status::Standing;
use crate::supervise::{BackOff, contained};

/// A running output: its thread, its queue, and how to end it.
pub(crate) struct OutputHandle {
    pub plan: Arc<ConsumerPlan>,
    pub queue: Arc<Queue>,
    /// Give up now; what is not delivered goes back to the queue.
    stop: Stop,
    /// Nothing more will come: deliver what is queued, then end.
    finish: Arc<AtomicBool>,
    channel: Channel<()>,
    wakes: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// What an output's thread needs.
pub(crate) struct OutputSeed {
    pub plan: Arc<Plan>,
    pub output: Arc<ConsumerPlan>,
    pub queue: Arc<Queue>,
    pub standing: Standing,
    pub router: Arc<Router>,
}

impl OutputHandle {
    /// Starts the output once `predecessor`, the instance it replaces, has ended.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(seed: OutputSeed, predecessor: Option<OutputHandle>) -> Result<OutputHandle, String> {
        // As the queue, the channel belongs to the name: whoever knows only the predecessor wakes its successor.
        let (channel, wakes) = predecessor.as_ref().map_or_else(|| bounded(1), |old| (old.channel.clone(), old.wakes.clone()));
        let (stop, finish) = (Stop::new(), Arc::new(AtomicBool::new(false)));
        let (plan, queue) = (seed.output.clone(), seed.queue.clone());
        let runner = Runner::new(seed, stop.clone(), finish.clone(), wakes.clone());
        let body = move || {
            if let Some(old) = predecessor {
                old.stop();
                old.join();
            }
            runner.supervise();
        };
        let thread = thread::Builder::new().name(plan.id.to_string()).spawn(body).map_err(|e| format!("{}: no thread: {e}", plan.id))?;
        Ok(OutputHandle { plan, queue, stop, finish, channel, wakes, thread: Some(thread) })
    }

    pub fn wake(&self) -> Wake {
        Wake::Output(self.channel.clone())
    }

    /// Asks it to deliver what is queued and end.
    pub fn finish(&self) {
        self.finish.store(true, Ordering::Release);
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

struct Runner {
    seed: OutputSeed,
    stop: Stop,
    finish: Arc<AtomicBool>,
    wakes: Receiver<()>,
    clock: Clock,
    build_cx: BuildCx,
    port: Port,
    rejects: BatchBuilder,
    pause: Pause,
    /// After a panic the messages at hand go one by one, so that the one to blame is found.
    singly: bool,
}

/// Longest sleep of an output that wants no polls: it is woken for everything.
const IDLE: Duration = Duration::from_secs(600);

/// No pause is longer than that, whatever is configured.
const LONGEST: Duration = Duration::from_secs(86400);

/// Back-off of retries.
struct Pause {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pause {
    /// The next pause, no shorter than what the other side asked for; jittered by up to a quarter
    /// so that many senders do not come back at once.
    fn take(&mut self, asked: Option<Duration>, clock: &Clock) -> Duration {
        let pause = self.next;
        self.next = self.next.saturating_mul(2).min(self.longest);
        let jitter = pause.mul_f64(f64::from(clock.steady().subsec_nanos() % 1000) / 4000.0);
        (pause + jitter).max(asked.unwrap_or_default())
    }

    fn reset(&mut self) {
        self.next = self.first;
    }
}

struct Built {
    output: Box<dyn Output>,
    encoder: Box<dyn Encoder>,
}

impl Runner {
    fn new(seed: OutputSeed, stop: Stop, finish: Arc<AtomicBool>, wakes: Receiver<()>) -> Runner {
        let clock = Clock::real();
        let o = &seed.output.spec.options;
        let [first, longest] = ["retry", "retry_max"].map(|name| o.duration(name).min(LONGEST));
        Runner {
            pause: Pause { first, longest, next: first },
            singly: false,
            build_cx: seed.plan.build_cx(&seed.output.spec, &clock),
            port: Port::new(seed.router.clone(), seed.output.id.clone()),
            rejects: BatchBuilder::default(),
            seed,
            stop,
            finish,
            wakes,
            clock,
        }
    }

    fn build(&self) -> Result<Built, String> {
        let spec = &self.seed.output.spec;
        let Build::Output(build) = spec.kind.build else { return Err("not an output".to_string()) };
        let output = build(&spec.options, &self.build_cx).map_err(|p| p.to_string())?;
        let Some(encoder) = &self.seed.output.encoder else { return Err("no encoder".to_string()) };
        let Build::Encoder(encode) = encoder.kind.build else { return Err(format!("{} is not an encoder", encoder.name)) };
        let encoder = encode(&encoder.options, &self.seed.plan.build_cx(encoder, &self.clock)).map_err(|p| p.to_string())?;
        Ok(Built { output, encoder })
    }

    /// Runs the output, again and again while it fails, until it is finished or stopped.
    fn supervise(mut self) {
        let mut back_off = BackOff::default();
        let mut round = Round::default();
        loop {
            self.seed.standing.shared.set_state("running");
            let outcome = contained(|| {
                let mut built = self.build()?;
                self.run(&mut built, &mut round)
            });
            let Err(why) = outcome.and_then(|ran| ran) else { break };
            self.seed.standing.meter.add(Counter::Failed, 1);
            let pause = back_off.failed(self.clock.steady());
            log::error!(target: &self.seed.output.id, "failed: {why}; starting again in {pause:?}");
            self.seed.standing.shared.set_error(why);
            self.seed.standing.shared.set_state("backing off");
            if self.stop.wait(pause) {
                break;
            }
            self.seed.standing.meter.add(Counter::Restarted, 1);
        }
        // What was taken and not delivered waits for the successor, in order.
        round.into_works().for_each(|work| self.seed.queue.unpop(work));
        self.seed.standing.shared.set_state("stopped");
    }

    fn run(&mut self, built: &mut Built, round: &mut Round) -> Result<(), String> {
        let (mut used, mut polled) = (Clock::thread_cpu(), self.clock.steady());
        loop {
            if round.is_empty() && !self.stop.asked() {
                round.clear();
                self.fill(built, round);
            }
            let finished = round.is_empty() && self.finish.load(Ordering::Acquire) && self.seed.queue.is_empty();
            if finished || self.stop.asked() {
                self.call(|cx| built.output.close(cx), &mut Vec::new());
                return Ok(());
            }
            let due = polled.saturating_add(built.output.every().unwrap_or(IDLE));
            if round.is_empty() {
                if self.wakes.recv_timeout(due.saturating_sub(self.clock.steady())) == Err(RecvTimeoutError::Disconnected) {
                    return Ok(()); // Nobody can reach it any more.
                }
            } else {
                self.deliver(built, round)?;
            }
            if self.clock.steady() >= due {
                polled = self.clock.steady();
                self.call(|cx| built.output.poll(cx), &mut Vec::new());
            }
            let now = Clock::thread_cpu();
            self.seed.standing.meter.add(Counter::CpuNs, (now - used).as_nanos() as u64);
            used = now;
        }
    }

    /// Takes what waits, up to the size of a hand-over.
    fn fill(&mut self, built: &mut Built, round: &mut Round) {
        let o = &self.seed.output.spec.options;
        let (count, bytes, age) = (o.integer("batch_count").max(1) as usize, o.size("batch_bytes"), o.duration("batch_age"));
        let until = self.clock.steady().saturating_add(age);
        let full = |round: &Round| round.len() >= count || round.bytes.len() >= bytes.max(1);
        loop {
            while !full(round) && !self.stop.asked() {
                let Some(work) = self.seed.queue.pop() else { break };
                self.encode(built, round, work);
            }
            let left = until.saturating_sub(self.clock.steady());
            if full(round) || round.is_empty() || left.is_zero() || self.stop.asked() || self.finish.load(Ordering::Acquire) {
                return;
            }
            let _ = self.wakes.recv_timeout(left);
        }
    }

    fn encode(&mut self, built: &mut Built, round: &mut Round, work: Work) {
        let wants_bytes = built.output.wants_bytes();
        for index in work.selection.iter() {
            let before = round.bytes.len();
            if wants_bytes {
                let encoded = contained(|| built.encoder.encode(work.batch.get(index), &mut round.bytes));
                if let Err(reject) = encoded.unwrap_or_else(|panic| Err(Reject::new(panic))) {
                    round.bytes.truncate(before);
                    self.dead_letter(&work, index, &reject.0);
                    continue;
                }
            }
            round.add(index);
        }
        self.send_rejects(|| vec![work.batch.ticket().clone()]);
        round.add_work(work);
    }

    /// Offers the round until every message has its verdict, or until a stop.
    fn deliver(&mut self, built: &mut Built, round: &mut Round) -> Result<(), String> {
        loop {
            let mut verdicts = std::mem::take(&mut round.verdicts);
            verdicts.clear();
            verdicts.resize(if self.singly { 1 } else { round.len() }, None);
            let panic = {
                let (bytes, items) = round.offer(verdicts.len());
                let batch = OutBatch::new(bytes, &items);
                contained(|| self.call(|cx| built.output.write(&batch, cx), &mut verdicts)).err()
            };
            if let (true, Some(panic)) = (self.singly, &panic) {
                verdicts[0].get_or_insert_with(|| Verdict::Reject(panic.clone()));
            }
            let retry = self.settle(round, &verdicts);
            round.verdicts = verdicts;
            if let Some(panic) = panic {
                self.singly = !round.is_empty();
                return Err(panic);
            }
            if round.is_empty() {
                self.singly = false;
                return Ok(());
            }
            if let Some((after, why)) = retry {
                self.seed.standing.meter.add(Counter::Retried, 1);
                let pause = self.pause.take(after, &self.clock);
                log::warn!(target: &self.seed.output.id, "{why}; trying again in {pause:?}");
                self.seed.standing.shared.set_state(format!("retrying: {why}"));
                self.seed.standing.shared.set_error(why);
                self.stop.wait(pause);
                self.seed.standing.shared.set_state("running");
            }
            if self.stop.asked() {
                return Ok(());
            }
        }
    }

    /// Acts on the verdicts and keeps what has to be offered again, in order.
    fn settle(&mut self, round: &mut Round, verdicts: &[Option<Verdict>]) -> Option<(Option<Duration>, String)> {
        let mut retry: Option<(Option<Duration>, String)> = None;
        let mut keep = Vec::new();
        let now = self.clock.steady();
        let (mut done, mut bytes, mut latency) = (0, 0, Duration::ZERO);
        for (i, (work, place, len)) in round.iter().enumerate() {
            match verdicts.get(i) {
                Some(Some(Verdict::Done)) => {
                    done += 1;
                    bytes += len as u64;
                    latency += now.saturating_sub(work.queued);
                }
                Some(Some(Verdict::Reject(why))) => self.dead_letter(work, place.index as usize, why),
                Some(Some(Verdict::Retry { after, why })) => {
                    keep.push(i);
                    retry.get_or_insert_with(|| (*after, why.clone()));
                }
                Some(None) => {
                    keep.push(i);
                    retry.get_or_insert_with(|| (None, "the output gave no verdict".to_string()));
                }
                None => keep.push(i),
            }
        }
        let meter = &self.seed.standing.meter;
        meter.add(Counter::Delivered, done);
        meter.add(Counter::LatencyNs, latency.as_nanos() as u64);
        meter.add(Counter::Bytes, bytes);
        if done > 0 {
            self.pause.reset();
        }
        self.send_rejects(|| round.tickets());
        round.keep(&keep);
        retry
    }

    fn dead_letter(&mut self, work: &Work, index: usize, why: &str) {
        let m = work.batch.get(index);
        self.seed.standing.meter.add(Counter::Rejected, 1);
        self.seed.standing.shared.set_error(format!("message refused: {why}"));
        // A reject of a reject is only counted.
        if m.type_() != reject::TYPE.as_bytes() && self.port.wants_rejects() {
            let host = &self.seed.plan.globals.hostname;
            reject::add(&mut self.rejects, &self.seed.output.id, why, Original::Message(m), self.clock.now(), host);
        }
    }

    /// Sends the rejects made of messages of `parents`: their input waits for the dead letters, too.
    fn send_rejects(&mut self, parents: impl FnOnce() -> Vec<Ticket>) {
        if !self.rejects.is_empty() {
            let ticket = Ticket::derived(parents());
            let bounded = ticket.is_awaited();
            let batch = self.rejects.finish_with(ticket);
            self.port.send_rejects(batch, Sender::Filter { bounded });
        }
    }

    fn call(&self, call: impl FnOnce(&mut OutCx<'_>), verdicts: &mut Vec<Option<Verdict>>) {
        call(&mut OutCx::new(&self.build_cx, &self.clock, &self.stop, &self.seed.standing.meter, verdicts));
    }
}
