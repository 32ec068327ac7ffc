use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender as Channel, bounded};
use message::{BatchBuilder, Ticket};
use plugin::{Build, BuildCx, Clock, Counter, Encoded, Encoder, Fatal, OutBatch, OutCx, Output, Reject, Stop, Verdict, Verdicts};

use crate::activity::Deed;
use crate::checkpoints::StateDir;
use crate::codec::{Codec, Place};
use crate::keeper::Keeper;
use crate::origin::Had;
use crate::outstanding::{self, Outstanding, Pending};
use crate::plan::{ConsumerPlan, Plan, Spec};
use crate::queue::{Queue, Sender, Work};
use crate::reject::{self, Original};
use crate::round::Round;
use crate::route::{Parcel, Port, Router, Wake};
use crate::status::{Made, Standing};
use crate::supervise::{BackOff, announce, contained, failed};
use crate::watch;

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

/// What an output's thread needs.
pub(crate) struct OutputSeed {
    pub plan: Arc<Plan>,
    pub output: Arc<ConsumerPlan>,
    pub queue: Arc<Queue>,
    pub standing: Standing,
    pub router: Arc<Router>,
    pub state: Option<Arc<StateDir>>,
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
        let runner = Runner::new(seed, stop.clone(), finish.clone(), renew.clone(), wakes.clone());
        let body = move || {
            if let Some(old) = predecessor {
                old.stop();
                old.join();
            }
            runner.supervise();
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

struct Runner {
    seed: OutputSeed,
    stop: Stop,
    finish: Arc<AtomicBool>,
    renew: Arc<AtomicU64>,
    renewed: u64,
    wakes: Receiver<()>,
    clock: Clock,
    build_cx: BuildCx,
    port: Port,
    rejects: BatchBuilder,
    pause: Pause,
    /// After a panic the messages at hand go one by one, so that the one to blame is found.
    singly: bool,
    /// Taken by the output, which has not said yet what became of them.
    outstanding: Outstanding,
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
    /// None where nobody wants bytes.
    encoder: Option<Codec<dyn Encoder>>,
    keeper: Keeper,
    scripted: bool,
}

/// Parts whose states are kept.
const OUTPUT: &str = "output";
const ENCODER: &str = "encoder";

/// After more failures in a row the state may be the reason, and is given up.
const SUSPICIOUS: u32 = 4;

impl Runner {
    fn new(seed: OutputSeed, stop: Stop, finish: Arc<AtomicBool>, renew: Arc<AtomicU64>, wakes: Receiver<()>) -> Runner {
        let clock = Clock::real();
        let o = &seed.output.spec.options;
        let [first, longest] = ["retry", "retry_max"].map(|name| o.duration(name).min(LONGEST));
        Runner {
            pause: Pause { first, longest, next: first },
            singly: false,
            outstanding: Outstanding::default(),
            renewed: 0,
            renew,
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

    fn build(&mut self, with_state: bool) -> Result<Built, String> {
        let (spec, standing, id) = (&self.seed.output.spec, &self.seed.standing, &self.seed.output.id);
        let Build::Output(build) = spec.kind.build else { return Err("not an output".to_string()) };
        let every = self.seed.plan.globals.snapshot;
        let mut keeper = Keeper::new(id.clone(), standing.clone(), self.seed.state.clone(), every, self.clock.steady());
        if !with_state {
            log::warn!(target: id, "failed again and again, and starts without its state");
            keeper.forget(OUTPUT);
        }
        let _building = standing.shared.activity.call(Deed::Call("starting"));
        self.renewed = self.renew.load(Ordering::Acquire);
        let mut output = build(&spec.options, &self.build_cx).map_err(|p| p.to_string())?;
        let mut scripted = false;
        if let Some(script) = output.script() {
            scripted = true;
            standing.shared.set_files(Made::Own, script.files().into_iter().map(|f| (f.clone(), watch::hash(&f))).collect());
            if let Some(saved) = keeper.part(OUTPUT)
                && let Err(why) = contained(|| script.restore(saved)).and_then(|r| r)
            {
                log::warn!(target: id, "starts without its saved state: {why}");
            }
        }
        let wanted = output.wants_bytes() || spec.options.has("encoder");
        let encoder = match &self.seed.output.encoder {
            Some(encoder) if wanted => Some(Codec::new(self.place(encoder), keeper.part(ENCODER))?),
            None if wanted => return Err("no encoder".to_string()),
            _ => None,
        };
        scripted |= encoder.as_ref().is_some_and(Codec::is_scripted);
        let files = encoder.as_ref().map_or_else(Vec::new, |e| e.files().to_vec());
        standing.shared.set_files(Made::Codecs, files);
        let mut built = Built { output, encoder, keeper, scripted };
        built.look(self.clock.steady(), false);
        Ok(built)
    }

    fn place(&self, encoder: &Spec) -> Arc<Place> {
        let OutputSeed { plan, output, standing, .. } = &self.seed;
        let (owner, standing, clock) = (output.id.clone(), standing.clone(), self.clock.clone());
        let (stop, renew) = (self.stop.clone(), self.renew.clone());
        Arc::new(Place { plan: plan.clone(), spec: encoder.clone(), owner, standing, clock, stop, renew })
    }

    /// Runs the output, again and again while it fails, until it is finished or stopped.
    fn supervise(mut self) {
        let mut back_off = BackOff::default();
        let mut round = Round::default();
        loop {
            self.seed.standing.shared.starting();
            let outcome = contained(|| {
                let mut built = self.build(back_off.failures() <= SUSPICIOUS)?;
                self.seed.standing.shared.running();
                // Contained by itself: what it has in its state survives a panic elsewhere.
                let ran = contained(|| self.run(&mut built, &mut round)).and_then(|ran| ran);
                built.look(self.clock.steady(), true);
                ran
            });
            let Err(why) = outcome.and_then(|ran| ran) else { break };
            let pause = failed(&self.seed.output.id, &self.seed.standing, &mut back_off, &why);
            announce(&mut self.port, "nilometer.failed", &self.seed.output.id, &why, &self.seed.plan.globals.hostname);
            if self.outstanding.len() > 0 {
                self.give_back(std::mem::take(&mut round));
            }
            if self.stop.wait(pause) {
                break;
            }
            self.seed.standing.meter.add(Counter::Restarted, 1);
        }
        // What was taken and not delivered waits for the successor, in order.
        self.give_back(round);
        self.seed.standing.shared.ended("stopped");
    }

    /// What was taken and has no verdict goes back to the queue; what the output had taken came first.
    fn give_back(&mut self, round: Round) {
        round.into_works().for_each(|work| self.seed.queue.unpop(work));
        std::mem::take(&mut self.outstanding).into_works().into_iter().for_each(|work| self.seed.queue.unpop(work));
    }

    fn run(&mut self, built: &mut Built, round: &mut Round) -> Result<(), String> {
        let (mut used, mut polled) = (Clock::thread_cpu(), self.clock.steady());
        loop {
            self.renew(built);
            if round.is_empty() && !self.stop.asked() {
                round.clear();
                if self.has_room() {
                    self.fill(built, round);
                }
            }
            let finished = round.is_empty() && self.finish.load(Ordering::Acquire) && self.seed.queue.is_empty();
            if finished || self.stop.asked() {
                self.told("closing", |cx| built.output.close(cx))?;
                // What it could not hand over in the end is offered once more.
                if self.stop.asked() || self.seed.queue.is_empty() {
                    return Ok(());
                }
            }
            let due = polled.saturating_add(built.output.every().unwrap_or(IDLE));
            let wake = if built.scripted { due.min(built.keeper.next()) } else { due };
            if round.is_empty() {
                if self.wakes.recv_timeout(wake.saturating_sub(self.clock.steady())) == Err(RecvTimeoutError::Disconnected) {
                    return Ok(()); // Nobody can reach it any more.
                }
            } else {
                self.deliver(built, round)?;
            }
            if self.clock.steady() >= due {
                polled = self.clock.steady();
                self.told("looking for confirmations", |cx| built.output.poll(cx))?;
            }
            if built.scripted && self.clock.steady() >= built.keeper.next() {
                built.look(self.clock.steady(), false);
            }
            let now = Clock::thread_cpu();
            self.seed.standing.meter.add(Counter::CpuNs, (now - used).as_nanos() as u64);
            used = now;
        }
    }

    /// Takes a changed script of the encoder into service.
    fn renew(&mut self, built: &mut Built) {
        let wanted = self.renew.load(Ordering::Acquire);
        if wanted == self.renewed {
            return;
        }
        self.renewed = wanted;
        if let Some(encoder) = &mut built.encoder {
            encoder.renew(&mut HashMap::new());
            self.seed.standing.shared.set_files(Made::Codecs, encoder.files().to_vec());
        }
    }

    /// Whether the output may take more, beside what it has not confirmed yet.
    fn has_room(&self) -> bool {
        let o = &self.seed.output.spec.options;
        let (count, bytes) = (self.outstanding.len(), self.outstanding.bytes());
        let room = count < o.integer("unconfirmed").max(1) as usize && bytes < o.size("queue").max(1);
        if !room {
            let what = format!("waiting until {count} messages are confirmed");
            self.seed.standing.shared.activity.wait(what.clone());
            self.seed.standing.shared.set_state(what);
        } else if count > 0 {
            self.seed.standing.shared.activity.go_on();
            self.seed.standing.shared.set_state("running");
        }
        room
    }

    /// Takes what waits, up to the size of a hand-over.
    fn fill(&mut self, built: &mut Built, round: &mut Round) {
        let o = &self.seed.output.spec.options;
        let (count, bytes, age) = (o.integer("batch_count").max(1) as usize, o.size("batch_bytes"), o.duration("batch_age"));
        let until = self.clock.steady().saturating_add(age);
        let full = |round: &Round| round.len() >= count || round.encoded.bytes.len() >= bytes.max(1);
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
        let refused = match &mut built.encoder {
            Some(encoder) => encoded(encoder, &work, &mut round.encoded),
            None => Vec::new(),
        };
        for (index, why) in &refused {
            match why {
                Some(Reject(why)) => self.dead_letter(&work, *index, why),
                None => self.seed.standing.meter.add(Counter::Delivered, 1),
            }
        }
        self.send_rejects(|| vec![work.ticket.clone()]);
        round.add(work, &refused.iter().map(|(index, _)| *index).collect::<Vec<_>>());
    }

    /// Offers the round until every message has its verdict, or until a stop.
    fn deliver(&mut self, built: &mut Built, round: &mut Round) -> Result<(), String> {
        loop {
            let mut verdicts = Verdicts::of(if self.singly { 1 } else { round.len() });
            let panic = {
                let parts = round.parts();
                let batch = OutBatch::new(verdicts.offered(), &parts, &round.encoded);
                contained(|| self.call("writing", |cx| built.output.write(&batch, cx), &mut verdicts)).err()
            };
            let failure = panic.or_else(|| verdicts.fatal.take().map(|Fatal(why)| why));
            if let (true, Some(why)) = (self.singly, &failure) {
                verdicts.blame(why);
            }
            let retry = self.settle(round, &verdicts);
            self.settle_late(&mut verdicts);
            if let Some(why) = failure {
                self.singly = !round.is_empty();
                return Err(why);
            }
            if round.is_empty() {
                self.seed.standing.shared.activity.go_on();
                self.singly = false;
                return Ok(());
            }
            if let Some((after, why)) = retry {
                self.seed.standing.meter.add(Counter::Retried, 1);
                let pause = self.pause.take(after, &self.clock);
                log::warn!(target: &self.seed.output.id, "{why}; trying again in {pause:?}");
                self.seed.standing.shared.set_state(format!("retrying: {why}"));
                self.seed.standing.shared.activity.retry(&why);
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
    fn settle(&mut self, round: &mut Round, verdicts: &Verdicts) -> Option<(Option<Duration>, String)> {
        let mut retry: Option<(Option<Duration>, String)> = None;
        let mut keep = Vec::new();
        let mut done = Done::at(self.clock.steady());
        for (range, verdict) in verdicts.in_order() {
            match verdict {
                Some(Verdict::Done) => {
                    done.bytes += round.size(range.clone()) as u64;
                    round.pieces(range).for_each(|(held, own)| done.add(&held.work, own.len()));
                }
                Some(Verdict::Reject(why)) => {
                    round.messages(range).for_each(|(work, index, _)| self.dead_letter(work, index, &why));
                }
                Some(Verdict::Later(first)) => {
                    for ((work, index, len), number) in round.messages(range).zip(first..) {
                        let pending = Pending { work: Arc::clone(work), index, len };
                        // An output that gives a number twice does not lose the first message by it.
                        self.outstanding.add(number, pending).into_iter().for_each(|before| self.seed.queue.unpop(before.into_work()));
                    }
                }
                Some(Verdict::Retry { after, why }) => {
                    keep.push(range);
                    retry.get_or_insert((after, why));
                }
                None => {
                    keep.push(range);
                    retry.get_or_insert_with(|| (None, "the output gave no verdict".to_string()));
                }
            }
        }
        if verdicts.offered() < round.len() {
            keep.push(verdicts.offered()..round.len());
        }
        self.count(&done);
        self.send_rejects(|| round.tickets());
        round.keep(&keep);
        retry
    }

    /// Acts on verdicts on what was taken before.
    fn settle_late(&mut self, verdicts: &mut Verdicts) {
        let mut done = Done::at(self.clock.steady());
        for (numbers, verdict) in verdicts.late.drain(..) {
            let settled = self.outstanding.take(numbers);
            match verdict {
                Verdict::Done => settled.iter().for_each(|p| {
                    done.add(&p.work, 1);
                    done.bytes += p.len as u64;
                }),
                Verdict::Reject(why) => {
                    settled.iter().for_each(|p| self.dead_letter(&p.work, p.index, &why));
                    self.send_rejects(|| settled.iter().map(|p| p.work.ticket.clone()).collect());
                }
                Verdict::Retry { why, .. } => {
                    if !settled.is_empty() {
                        self.seed.standing.meter.add(Counter::Retried, 1);
                        self.seed.standing.shared.set_error(why);
                    }
                    outstanding::works(settled).into_iter().for_each(|work| self.seed.queue.unpop(work));
                }
                Verdict::Later(first) => {
                    (first..).zip(settled).for_each(|(number, p)| {
                        self.outstanding.add(number, p).into_iter().for_each(|before| self.seed.queue.unpop(before.into_work()))
                    });
                }
            }
        }
        self.count(&done);
    }

    fn count(&mut self, done: &Done) {
        let meter = &self.seed.standing.meter;
        meter.add(Counter::Delivered, done.messages);
        meter.add(Counter::LatencyNs, done.latency.as_nanos() as u64);
        meter.add(Counter::Bytes, done.bytes);
        if done.messages > 0 {
            self.pause.reset();
            self.seed.standing.shared.activity.go_on();
        }
    }

    fn dead_letter(&mut self, work: &Work, index: u32, why: &str) {
        let m = work.batch.get(index as usize);
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
            let batch = Arc::new(self.rejects.finish());
            self.port.send_rejects(Parcel { batch, ticket, origin: None }, Sender::Filter { bounded });
        }
    }

    /// A call without messages, which may bring verdicts on those taken before.
    fn told(&mut self, what: &'static str, call: impl FnOnce(&mut OutCx<'_>)) -> Result<(), String> {
        let mut verdicts = Verdicts::default();
        self.call(what, call, &mut verdicts);
        self.settle_late(&mut verdicts);
        verdicts.fatal.map_or(Ok(()), |Fatal(why)| Err(why))
    }

    fn call(&self, what: &'static str, call: impl FnOnce(&mut OutCx<'_>), verdicts: &mut Verdicts) {
        let _calling = self.seed.standing.shared.activity.call(Deed::Call(what));
        call(&mut OutCx::new(&self.build_cx, &self.clock, &self.stop, &self.seed.standing.meter, verdicts));
    }
}

/// Delivered messages, to be counted together.
struct Done {
    now: Duration,
    messages: u64,
    bytes: u64,
    latency: Duration,
}

impl Done {
    fn at(now: Duration) -> Done {
        Done { now, messages: 0, bytes: 0, latency: Duration::ZERO }
    }

    /// So many messages of a work.
    fn add(&mut self, work: &Work, messages: usize) {
        self.messages += messages as u64;
        self.latency += self.now.saturating_sub(work.queued).saturating_mul(messages.try_into().unwrap_or(u32::MAX));
    }
}

/// Encodes a work; returns the messages that were refused, and why. None: there is nothing to write for it.
fn encoded(encoder: &mut Codec<dyn Encoder>, work: &Work, out: &mut Encoded) -> Vec<(u32, Option<Reject>)> {
    let before = out.len();
    let mut refused = Vec::new();
    if encoder.call_at_once(|encoder| {
        encoder.encode_all(&work.batch, &work.selection, out, &mut |index, why| refused.push((index, Some(why))));
    }) {
        return refused;
    }
    out.truncate(before);
    refused.clear();
    for index in work.selection.iter() {
        let complete = out.len();
        let outcome = encoder.call(|encoder| {
            out.truncate(complete);
            encoder.encode(work.batch.get(index), &mut out.bytes)
        });
        match outcome {
            Ok(()) => out.ends.push(out.bytes.len()),
            Err(why) => {
                out.truncate(complete);
                refused.push((index as u32, (!encoder.skipped()).then_some(why)));
            }
        }
    }
    refused
}

impl Built {
    /// Reports the limits of scripts, and saves their states when that is due.
    fn look(&mut self, now: Duration, last: bool) {
        if !self.scripted {
            return;
        }
        self.keeper.begin(now, last);
        if let Some(script) = self.output.script() {
            self.keeper.visit("", OUTPUT, script);
        }
        if let Some(encoder) = &mut self.encoder {
            let part = format!("encoder.{}", encoder.name());
            if let Some(script) = encoder.script() {
                self.keeper.visit(&part, ENCODER, script);
            }
        }
        self.keeper.done();
    }
}
