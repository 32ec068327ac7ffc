use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use message::BatchBuilder;
use plugin::{Build, BuildCx, Clock, Counter, Encoded, Encoder, Fatal, OutBatch, OutCx, Output, Reject, Verdicts};

use super::breaker::Breaker;
use super::lane::Source;
use super::{Asked, OutputSeed};
use crate::activity::Deed;
use crate::codec::{Codec, Place};
use crate::keeper::Keeper;
use crate::outstanding::Outstanding;
use crate::plan::Spec;
use crate::queue::Work;
use crate::round::Round;
use crate::route::Port;
use crate::status::Made;
use crate::supervise::{BackOff, announce, contained, failed};
use crate::watch;

/// One instance of an output on its thread.
pub(super) struct Runner {
    pub(super) seed: OutputSeed,
    pub(super) source: Source,
    pub(super) asked: Asked,
    renewed: u64,
    wakes: Receiver<()>,
    pub(super) clock: Clock,
    build_cx: BuildCx,
    pub(super) port: Port,
    pub(super) rejects: BatchBuilder,
    pub(super) breaker: Breaker,
    /// After a panic the messages at hand go one by one, so that the one to blame is found.
    singly: bool,
    /// Taken by the output, which has not said yet what became of them.
    pub(super) outstanding: Outstanding,
}

/// Longest sleep of an output that wants no polls: it is woken for everything.
const IDLE: Duration = Duration::from_secs(600);

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
    /// `together` counts the open breakers of the output.
    pub fn new(seed: OutputSeed, source: Source, asked: Asked, wakes: Receiver<()>, together: Arc<AtomicUsize>) -> Runner {
        let clock = Clock::real();
        Runner {
            breaker: Breaker::new(&seed.output.spec.options, together),
            singly: false,
            outstanding: Outstanding::default(),
            renewed: 0,
            build_cx: seed.plan.build_cx(&seed.output.spec, &clock),
            port: Port::new(seed.router.clone(), seed.output.id.clone()),
            rejects: BatchBuilder::default(),
            seed,
            source,
            asked,
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
        self.renewed = self.asked.renew.load(Ordering::Acquire);
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
        if scripted && matches!(self.source, Source::Lane(_)) {
            return Err("a script has one state only: remove `concurrency`, or use an encoder that is no script".to_string());
        }
        let files = encoder.as_ref().map_or_else(Vec::new, |e| e.files().to_vec());
        standing.shared.set_files(Made::Codecs, files);
        let mut built = Built { output, encoder, keeper, scripted };
        built.look(self.clock.steady(), false);
        Ok(built)
    }

    fn place(&self, encoder: &Spec) -> Arc<Place> {
        let OutputSeed { plan, output, standing, .. } = &self.seed;
        let (owner, standing, clock) = (output.id.clone(), standing.clone(), self.clock.clone());
        let (stop, renew) = (self.asked.stop.clone(), self.asked.renew.clone());
        Arc::new(Place { plan: plan.clone(), spec: encoder.clone(), owner, standing, clock, stop, renew })
    }

    /// Runs the output, again and again while it fails, until it is finished or stopped.
    pub fn supervise(mut self) {
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
            if self.asked.stop.wait(pause) {
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
        round.into_works().for_each(|work| self.source.unpop(work));
        std::mem::take(&mut self.outstanding).into_works().into_iter().for_each(|work| self.source.unpop(work));
    }

    fn run(&mut self, built: &mut Built, round: &mut Round) -> Result<(), String> {
        let (mut used, mut polled) = (Clock::thread_cpu(), self.clock.steady());
        loop {
            self.renew(built);
            if round.is_empty() && !self.asked.stop.asked() {
                round.clear();
                if self.has_room() {
                    self.fill(built, round);
                }
            }
            let finished = round.is_empty() && self.asked.finish.load(Ordering::Acquire) && self.source.is_empty();
            if finished || self.asked.stop.asked() {
                self.told("closing", |cx| built.output.close(cx))?;
                // What it could not hand over in the end is offered once more.
                if self.asked.stop.asked() || self.source.is_empty() {
                    return Ok(());
                }
            }
            let due = polled.saturating_add(built.output.every().unwrap_or(IDLE));
            let wake = if built.scripted { due.min(built.keeper.next()) } else { due };
            if round.is_empty() {
                // What could not be encoded is settled without the output.
                self.source.holds(|| self.load(round));
                if self.wakes.recv_timeout(wake.saturating_sub(self.clock.steady())) == Err(RecvTimeoutError::Disconnected) {
                    return Ok(()); // Nobody can reach it any more.
                }
            } else {
                self.deliver(built, round)?;
            }
            if self.clock.steady() >= due {
                polled = self.clock.steady();
                self.told("looking for confirmations", |cx| built.output.poll(cx))?;
                self.source.holds(|| self.load(round));
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
        let wanted = self.asked.renew.load(Ordering::Acquire);
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
            while !full(round) && !self.asked.stop.asked() {
                let Some(work) = self.source.pop() else { break };
                self.encode(built, round, work);
            }
            let left = until.saturating_sub(self.clock.steady());
            if full(round) || round.is_empty() || left.is_zero() || self.asked.stop.asked() || self.asked.finish.load(Ordering::Acquire) {
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
            let mut verdicts = Verdicts::of(if self.singly { 1 } else { self.breaker.offers(round.len()) });
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
            self.source.holds(|| self.load(round));
            if let Some(why) = failure {
                self.singly = !round.is_empty();
                return Err(why);
            }
            if round.is_empty() {
                self.seed.standing.shared.activity.go_on();
                self.singly = false;
                return Ok(());
            }
            if let Some(retry) = retry {
                self.pause(retry);
            }
            if self.asked.stop.asked() {
                return Ok(());
            }
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
        call(&mut OutCx::new(&self.build_cx, &self.clock, &self.asked.stop, &self.seed.standing.meter, verdicts));
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
