use std::sync::Arc;
use std::time::Duration;

use message::Ticket;
use plugin::{Counter, Verdict, Verdicts};

use super::breaker::{PROBE, REFUSALS, Told};
use super::lane::Load;
use super::runner::Runner;
use crate::outstanding::{self, Pending};
use crate::queue::{Sender, Work};
use crate::reject::{self, Original};
use crate::round::Round;
use crate::route::Parcel;

/// Messages have to be offered again.
pub(super) struct Retry {
    /// No sooner than after this, if the other side said so.
    after: Option<Duration>,
    why: String,
    /// None of what was offered was taken.
    all: bool,
}

impl Runner {
    /// Acts on the verdicts and keeps what has to be offered again, in order.
    pub(super) fn settle(&mut self, round: &mut Round, verdicts: &Verdicts) -> Option<Retry> {
        let mut retry: Option<Retry> = None;
        let mut taken = false;
        let mut keep = Vec::new();
        let mut done = Done::at(self.clock.steady());
        for (range, verdict) in verdicts.in_order() {
            taken |= matches!(verdict, Some(Verdict::Done | Verdict::Reject(_) | Verdict::Later(_)));
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
                        self.outstanding.add(number, pending).into_iter().for_each(|before| self.source.unpop(before.into_work()));
                    }
                }
                Some(Verdict::Retry { after, why }) => {
                    keep.push(range);
                    retry.get_or_insert(Retry { after, why, all: true });
                }
                None => {
                    keep.push(range);
                    retry.get_or_insert_with(|| Retry { after: None, why: "the output gave no verdict".to_string(), all: true });
                }
            }
        }
        if verdicts.offered() < round.len() {
            keep.push(verdicts.offered()..round.len());
        }
        self.count(&done);
        self.send_rejects(|| round.tickets());
        round.keep(&keep);
        if taken {
            self.taken();
        }
        retry.map(|retry| Retry { all: !taken, ..retry })
    }

    /// Acts on verdicts on what was taken before.
    pub(super) fn settle_late(&mut self, verdicts: &mut Verdicts) {
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
                    outstanding::works(settled).into_iter().for_each(|work| self.source.unpop(work));
                }
                Verdict::Later(first) => {
                    (first..).zip(settled).for_each(|(number, p)| {
                        self.outstanding.add(number, p).into_iter().for_each(|before| self.source.unpop(before.into_work()))
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
            self.breaker.delivered();
            self.seed.standing.shared.activity.go_on();
        }
    }

    pub(super) fn dead_letter(&mut self, work: &Work, index: u32, why: &str) {
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
    pub(super) fn send_rejects(&mut self, parents: impl FnOnce() -> Vec<Ticket>) {
        if !self.rejects.is_empty() {
            let ticket = Ticket::derived(parents());
            let bounded = ticket.is_awaited();
            let batch = Arc::new(self.rejects.finish());
            self.port.send_rejects(Parcel { batch, ticket, origin: None }, Sender::Filter { bounded });
        }
    }

    /// Waits before the next attempt.
    pub(super) fn pause(&mut self, Retry { after, why, all }: Retry) {
        let standing = self.seed.standing.clone();
        let id = &self.seed.output.id;
        let pause = self.breaker.pause(after, &self.clock);
        match if all { self.breaker.refused(&self.clock) } else { Told::Refused } {
            Told::Refused => log::warn!(target: id, "{why}; trying again in {pause:?}"),
            Told::Opened => log::warn!(
                target: id,
                "{why}; refused {REFUSALS} times in a row, offers no more than {PROBE} messages at a time until some are taken"
            ),
            Told::Nothing => {}
        }
        match self.breaker.since() {
            Some(since) => {
                standing.shared.set_state(format!("open since {since}: {why}"));
                standing.shared.activity.probe(&why);
            }
            None => {
                standing.shared.set_state(format!("retrying: {why}"));
                standing.shared.activity.retry(&why);
            }
        }
        standing.meter.add(Counter::Retried, 1);
        standing.shared.set_error(why);
        self.asked.stop.wait(pause);
        if self.breaker.since().is_none() {
            standing.shared.set_state("running");
        }
    }

    /// Something of what was offered got a verdict: there is somebody again.
    fn taken(&mut self) {
        if self.breaker.since().is_some() {
            self.seed.standing.shared.set_state("running");
        }
        if let Some(open) = self.breaker.taken(&self.clock) {
            log::info!(target: &self.seed.output.id, "delivers again after {} s", open.as_secs());
        }
    }

    /// What the output has taken or is being offered.
    pub(super) fn load(&self, round: &Round) -> Load {
        let bytes: usize = round.pieces(0..round.len()).map(|(held, _)| held.work.bytes).sum();
        Load { messages: round.len() + self.outstanding.len(), bytes: bytes + self.outstanding.bytes() }
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
