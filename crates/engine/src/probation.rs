use std::time::Duration;

use crossbeam_channel::Sender as Channel;
use plugin::{Carried, Counter};

use crate::instance::Instance;
use crate::queue::Work;
use crate::route::Parcel;
use crate::slot::{Slot, SlotSeed};
use crate::status::Made;

/// The first moments of a reloaded filter: what it consumes is retained and what it injects is
/// held back, so that its predecessor can go on as if nothing had happened.
pub(crate) struct Probation {
    old: Instance,
    old_seed: SlotSeed,
    held: Vec<Parcel>,
    /// How many messages had a number before.
    given: u64,
    retained: Vec<Work>,
    bytes: usize,
    messages: usize,
    /// Of these, what the new instance refused and counted itself.
    refused: u64,
    pub ticked: bool,
    ends: Duration,
    carried: Carried,
    answer: Channel<Result<Carried, String>>,
}

/// It is over after this time, or after this many messages and a tick, or when this many bytes
/// are retained and held back; whichever comes first.
const TIME: Duration = Duration::from_millis(250);
const MESSAGES: usize = 300;
const BYTES: usize = 4 << 20;

impl Probation {
    pub fn ends(&self) -> Duration {
        self.ends
    }

    /// Keeps what the new instance injected.
    pub fn hold(&mut self, parcel: Parcel) {
        self.bytes += parcel.batch.bytes();
        self.held.push(parcel);
    }

    fn over(&self, now: Duration, ticks: bool) -> bool {
        now >= self.ends || self.bytes >= BYTES || (self.messages >= MESSAGES && (self.ticked || !ticks))
    }
}

impl Slot {
    /// Puts a new instance in the place of the running one, on probation. The answer tells what
    /// was carried over, once the new one has held, or why the old one runs on.
    pub fn replace(&mut self, seed: SlotSeed, answer: Channel<Result<Carried, String>>) {
        let mut new = match Instance::build(&seed) {
            Ok(new) => new,
            Err(why) => return drop(answer.try_send(Err(why))),
        };
        // A reload during a probation: the one under way counts as held.
        self.finish_probation();
        seed.standing.shared.set_files(Made::Own, new.files());
        let Some(mut old) = self.live.take() else { return self.revive(seed, new, &answer) };
        new.succeed(&old);
        let carried = old.save().and_then(|saved| new.restore(&saved)).unwrap_or_else(|why| {
            log::warn!(target: &seed.filter.id, "nothing was carried over: {why}");
            Carried::default()
        });
        let old_seed = std::mem::replace(&mut self.seed, seed);
        self.live = Some(new);
        let ends = self.now() + TIME;
        self.probation = Some(Box::new(Probation {
            old,
            old_seed,
            held: Vec::new(),
            given: self.identity.given,
            retained: Vec::new(),
            bytes: 0,
            messages: 0,
            refused: 0,
            ticked: false,
            ends,
            carried,
            answer,
        }));
    }

    /// A new script for a filter that was down: there is nothing to fall back on.
    fn revive(&mut self, seed: SlotSeed, mut new: Instance, answer: &Channel<Result<Carried, String>>) {
        let carried = new.restore(self.saved()).unwrap_or_else(|why| {
            log::warn!(target: &seed.filter.id, "nothing was carried over: {why}");
            Carried::default()
        });
        seed.standing.shared.set_state("running");
        seed.standing.meter.add(Counter::Reloaded, 1);
        self.seed = seed;
        self.live = Some(new);
        let _ = answer.try_send(Ok(carried));
    }

    /// Takes work while on probation.
    pub(crate) fn probe(&mut self, work: Work) {
        let Some((outcome, refused)) = self.process(&work) else { return self.seed.queue.unpop(work) };
        self.emit(Some(&work));
        if let Some(probation) = &mut self.probation {
            probation.messages += work.selection.len();
            probation.refused += refused;
            probation.bytes += work.bytes;
            probation.retained.push(work);
        }
        match outcome {
            Ok(()) => self.end_probation_if_over(),
            Err(failure) => self.roll_back(&failure.why),
        }
    }

    pub(crate) fn end_probation_if_over(&mut self) {
        let ticks = self.live.as_ref().is_some_and(Instance::ticks);
        if self.probation.as_ref().is_some_and(|p| p.over(self.now(), ticks)) {
            self.finish_probation();
        }
    }

    /// The new instance held: what it injected goes out, the old one is let go.
    pub(crate) fn finish_probation(&mut self) {
        let Some(probation) = self.probation.take() else { return };
        self.meter().add(Counter::Reloaded, 1);
        self.meter().add(Counter::Delivered, (probation.messages as u64).saturating_sub(probation.refused));
        probation.held.into_iter().for_each(|parcel| self.inject(parcel));
        probation.retained.into_iter().for_each(|work| self.accept(work.place, work.ticket));
        if let Some(live) = &self.live {
            live.report(&self.seed.standing);
        }
        let _ = probation.answer.try_send(Ok(probation.carried));
        probation.old.let_go();
    }

    /// The new instance failed: what it injected is dropped, and what it had taken waits for the
    /// old one. The files stay known in their failed version, so that only another change is tried.
    pub(crate) fn roll_back(&mut self, why: &str) {
        let Some(probation) = self.probation.take() else { return };
        self.out.take();
        let held: usize = probation.held.iter().map(|parcel| parcel.batch.len()).sum();
        log::error!(target: &self.seed.filter.id, "the new version failed and the old one goes on: {why}");
        self.seed.standing.shared.set_error(format!("reload rolled back: {why}"));
        self.seed.standing.meter.add_extra("rolled_back", 1);
        self.seed.standing.meter.add_extra("rolled_back_injections", held as u64);
        self.identity.given = probation.given;
        self.seed = probation.old_seed;
        if let Some(new) = self.live.replace(probation.old) {
            new.let_go();
        }
        // In front of what waits, in order.
        probation.retained.into_iter().rev().for_each(|work| self.seed.queue.unpop(work));
        let _ = probation.answer.try_send(Err(why.to_string()));
    }
}
