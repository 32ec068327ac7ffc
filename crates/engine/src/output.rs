use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender as Channel, bounded};
use message::{BatchBuilder, Selection, Ticket};
use plugin::{Build, BuildCx, Clock, Counter, Encoder, Item, OutBatch, OutCx, Output, Stop, Verdict};

use crate::plan::{ConsumerPlan, Plan};
use crate::queue::{Queue, Sender, Work};
use crate::reject::{self, Original};
use crate::route::{Port, Router, Wake};
use crate::status::Standing;
use crate::supervise::{BackOff, contained};

/// A running output: its thread, its queue, and how to end it.
pub(crate) struct OutputHandle {
    pub plan: ConsumerPlan,
    pub queue: Arc<Queue>,
    /// Give up now; what is not delivered goes back to the queue.
    pub stop: Stop,
    /// Nothing more will come: deliver what is queued, then end.
    finish: Arc<AtomicBool>,
    channel: Channel<()>,
    thread: Option<JoinHandle<()>>,
}

/// What an output's thread needs.
pub(crate) struct OutputSeed {
    pub plan: Arc<Plan>,
    pub output: ConsumerPlan,
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
        let (channel, wakes) = bounded(1);
        let (stop, finish) = (Stop::new(), Arc::new(AtomicBool::new(false)));
        let (plan, queue) = (seed.output.clone(), seed.queue.clone());
        let (mine, last) = (stop.clone(), finish.clone());
        let body = move || {
            if let Some(old) = predecessor {
                old.stop.ask();
                old.join();
            }
            Runner::new(seed, mine, last, wakes).supervise();
        };
        let thread = thread::Builder::new().name(plan.id.to_string()).spawn(body).map_err(|e| format!("{}: no thread: {e}", plan.id))?;
        Ok(OutputHandle { plan, queue, stop, finish, channel, thread: Some(thread) })
    }

    pub fn wake(&self) -> Wake {
        Wake::Output(self.channel.clone())
    }

    /// Asks it to deliver what is queued and end.
    pub fn finish(&self) {
        self.finish.store(true, Ordering::Release);
        let _ = self.channel.try_send(());
    }

    pub fn ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    pub fn join(mut self) {
        let _ = self.channel.try_send(());
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
}

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
        self.next = (self.next * 2).min(self.longest);
        let jitter = pause.mul_f64(f64::from(clock.steady().subsec_nanos() % 1000) / 4000.0);
        (pause + jitter).max(asked.unwrap_or_default())
    }

    fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Messages that are handed over together.
#[derive(Default)]
struct Round {
    works: Vec<Work>,
    bytes: Vec<u8>,
    /// Work, index in its batch, end of its bytes.
    items: Vec<(usize, u32, usize)>,
    verdicts: Vec<Option<Verdict>>,
}

struct Built {
    output: Box<dyn Output>,
    encoder: Box<dyn Encoder>,
}

impl Runner {
    fn new(seed: OutputSeed, stop: Stop, finish: Arc<AtomicBool>, wakes: Receiver<()>) -> Runner {
        let clock = Clock::real();
        let o = &seed.output.spec.options;
        let first = o.duration("retry");
        Runner {
            pause: Pause { first, longest: o.duration("retry_max"), next: first },
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
    fn supervise(&mut self) {
        let mut back_off = BackOff::default();
        let mut round = Round::default();
        // After a panic messages go one by one, so that the one to blame is found.
        let mut singly = false;
        loop {
            self.seed.standing.shared.set_state("running");
            let outcome = contained(|| {
                let mut built = self.build()?;
                self.run(&mut built, &mut round, singly)
            });
            let why = match outcome {
                Ok(Ok(())) => break,
                Ok(Err(why)) => why,
                Err(panic) => {
                    if singly && !round.items.is_empty() {
                        self.reject(&mut round, 0, &panic);
                    }
                    singly = true;
                    panic
                }
            };
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
        self.give_back(round);
        self.seed.standing.shared.set_state("stopped");
    }

    fn run(&mut self, built: &mut Built, round: &mut Round, mut singly: bool) -> Result<(), String> {
        let before = Clock::thread_cpu();
        let mut used = before;
        loop {
            if round.items.is_empty() {
                round.clear();
                self.fill(built, round);
            }
            if !round.items.is_empty() {
                if !self.deliver(built, round, singly) {
                    return Ok(());
                }
                singly = false;
            } else if self.stop.asked() || (self.finish.load(Ordering::Acquire) && self.seed.queue.is_empty()) {
                self.call(|cx| built.output.close(cx), &mut Vec::new());
                return Ok(());
            } else {
                let every = built.output.every().unwrap_or(Duration::from_secs(1));
                let woken = self.wakes.recv_timeout(every).is_ok();
                if !woken {
                    self.call(|cx| built.output.poll(cx), &mut Vec::new());
                }
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
        let until = self.clock.steady() + age;
        loop {
            while round.items.len() < count && round.bytes.len() < bytes {
                let Some(work) = self.seed.queue.pop() else { break };
                self.encode(built, round, work);
            }
            let left = until.saturating_sub(self.clock.steady());
            let full = round.items.len() >= count || round.bytes.len() >= bytes;
            if full || round.items.is_empty() || left.is_zero() || self.stop.asked() || self.finish.load(Ordering::Acquire) {
                return;
            }
            let _ = self.wakes.recv_timeout(left);
        }
    }

    fn encode(&mut self, built: &mut Built, round: &mut Round, work: Work) {
        let wants_bytes = built.output.wants_bytes();
        let place = round.works.len();
        for index in work.selection.iter() {
            let before = round.bytes.len();
            if wants_bytes && let Err(reject) = built.encoder.encode(work.batch.get(index), &mut round.bytes) {
                round.bytes.truncate(before);
                self.dead_letter(&work, index, &reject.0);
                continue;
            }
            round.items.push((place, index as u32, round.bytes.len()));
        }
        round.works.push(work);
    }

    /// Offers the round until every message has its verdict. False when stopped before.
    fn deliver(&mut self, built: &mut Built, round: &mut Round, singly: bool) -> bool {
        loop {
            let offered = if singly { 1 } else { round.items.len() };
            let mut verdicts = std::mem::take(&mut round.verdicts);
            verdicts.clear();
            verdicts.resize(offered, None);
            {
                let items: Vec<Item<'_>> =
                    round.items[..offered].iter().map(|&(w, index, end)| Item { batch: &round.works[w].batch, index, end }).collect();
                let batch = OutBatch::new(&round.bytes[..items[offered - 1].end], &items);
                self.call(|cx| built.output.write(&batch, cx), &mut verdicts);
            }
            let retry = self.settle(round, &verdicts);
            round.verdicts = verdicts;
            if round.items.is_empty() {
                self.pause.reset();
                return true;
            }
            if let Some((after, why)) = retry {
                self.seed.standing.meter.add(Counter::Retried, 1);
                let pause = self.pause.take(after, &self.clock);
                log::warn!(target: &self.seed.output.id, "{why}; trying again in {pause:?}");
                self.seed.standing.shared.set_state(format!("retrying: {why}"));
                self.seed.standing.shared.set_error(why);
                if self.stop.wait(pause) {
                    return false;
                }
                self.seed.standing.shared.set_state("running");
            }
            if self.stop.asked() {
                return false;
            }
        }
    }

    /// Acts on the verdicts and keeps what has to be offered again, in order.
    fn settle(&mut self, round: &mut Round, verdicts: &[Option<Verdict>]) -> Option<(Option<Duration>, String)> {
        let mut retry: Option<(Option<Duration>, String)> = None;
        let mut keep = Vec::new();
        let now = self.clock.steady();
        let (mut done, mut latency) = (0, Duration::ZERO);
        for (i, &(work, index, _)) in round.items.iter().enumerate() {
            match verdicts.get(i) {
                Some(Some(Verdict::Done)) => {
                    done += 1;
                    latency += now.saturating_sub(round.works[work].queued);
                }
                Some(Some(Verdict::Reject(why))) => self.dead_letter(&round.works[work], index as usize, why),
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
        meter.add(Counter::Bytes, if keep.is_empty() { round.bytes.len() as u64 } else { 0 });
        round.keep(&keep);
        self.send_rejects();
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

    fn send_rejects(&mut self) {
        if !self.rejects.is_empty() {
            let batch = self.rejects.finish_with(Ticket::none());
            self.port.send_rejects(batch, Sender::Filter { bounded: false });
        }
    }

    fn reject(&mut self, round: &mut Round, item: usize, why: &str) {
        let (work, index, _) = round.items[item];
        let work = &round.works[work];
        let m = work.batch.get(index as usize);
        log::error!(target: &self.seed.output.id, "message {} set aside: {why}", m.uuid());
        self.seed.standing.meter.add(Counter::Rejected, 1);
        let rest: Vec<usize> = (0..round.items.len()).filter(|i| *i != item).collect();
        round.keep(&rest);
    }

    fn call(&self, call: impl FnOnce(&mut OutCx<'_>), verdicts: &mut Vec<Option<Verdict>>) {
        call(&mut OutCx::new(&self.build_cx, &self.clock, &self.stop, &self.seed.standing.meter, verdicts));
    }

    /// What was taken and not delivered goes back to the queue, in order, for the successor.
    fn give_back(&self, round: Round) {
        for (place, work) in round.works.into_iter().enumerate().rev() {
            let left: Box<[u32]> = round.items.iter().filter(|(w, _, _)| *w == place).map(|(_, index, _)| *index).collect();
            if !left.is_empty() {
                self.seed.queue.unpop(Work { selection: Selection::Some(left), ..work });
            }
        }
    }
}

impl Round {
    fn clear(&mut self) {
        self.works.clear();
        self.bytes.clear();
        self.items.clear();
    }

    /// Keeps these items, with their bytes.
    fn keep(&mut self, items: &[usize]) {
        if items.is_empty() {
            return self.clear();
        }
        let (mut kept, mut bytes) = (Vec::with_capacity(items.len()), Vec::new());
        for &i in items {
            let start = if i == 0 { 0 } else { self.items[i - 1].2 };
            let (work, index, end) = self.items[i];
            bytes.extend_from_slice(&self.bytes[start..end]);
            kept.push((work, index, bytes.len()));
        }
        self.items = kept;
        self.bytes = bytes;
    }
}
