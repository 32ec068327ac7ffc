use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plugin::{Build, BuildCx, Carried, Clock, Counter, Decoder, Encoder, Refusal, Reject, Scripted, Stop, Transform};

use crate::plan::{Plan, Spec};
use crate::status::Standing;
use crate::supervise::{BackOff, contained};
use crate::watch;

/// The families whose plugins serve a thread that belongs to an input or an output.
pub(crate) trait Serving {
    /// # Errors
    /// Why it cannot be built.
    fn build(spec: &Spec, cx: &BuildCx) -> Result<Box<Self>, String>;

    fn script(&mut self) -> Option<&mut dyn Scripted>;
}

macro_rules! serving {
    ($($family:ident)*) => {$(
        impl Serving for dyn $family {
            fn build(spec: &Spec, cx: &BuildCx) -> Result<Box<Self>, String> {
                match spec.kind.build {
                    Build::$family(build) => build(&spec.options, cx).map_err(|p| p.to_string()),
                    _ => Err(format!("{} is of another family", spec.name)),
                }
            }

            fn script(&mut self) -> Option<&mut dyn Scripted> {
                $family::script(self)
            }
        }
    )*};
}

serving!(Decoder Transform Encoder);

/// Where a codec serves; the same for all streams of an input.
pub(crate) struct Place {
    pub plan: Arc<Plan>,
    pub spec: Spec,
    /// The input or output it belongs to.
    pub owner: Arc<str>,
    pub standing: Standing,
    pub clock: Clock,
    pub stop: Stop,
    /// Counts requests to look for changed scripts.
    pub renew: Arc<AtomicU64>,
}

/// A decoder, transform or encoder, and what supervision knows of it. One without a script is a plain
/// call; a script is replaced by a changed version between two records, and by a new instance when
/// it fails.
pub(crate) struct Codec<T: ?Sized> {
    place: Arc<Place>,
    live: Box<T>,
    /// Files it was made of, with what they held; none without a script.
    files: Vec<(PathBuf, u64)>,
    scripted: bool,
    /// The version before, while the new one is on probation.
    old: Option<Old<T>>,
    /// Instances in a row that failed at their first record.
    failures: u32,
    back_off: BackOff,
    refusal: Refusal,
}

struct Old<T: ?Sized> {
    instance: Box<T>,
    /// Records until the new version counts as sound, no sooner than `until`.
    left: u32,
    until: Duration,
}

/// A new version is on probation for as many records, and as long.
const RECORDS: u32 = 100;
const TIME: Duration = Duration::from_millis(250);

/// A record may be bad: only after more failures in a row there is a pause.
const UNLUCKY: u32 = 2;

/// After more failures in a row the state may be the reason, and is given up.
const SUSPICIOUS: u32 = 4;

/// How often a pause looks for a changed script.
const LOOK: Duration = Duration::from_millis(50);

impl<T: Serving + ?Sized> Codec<T> {
    /// # Errors
    /// Why it cannot be built.
    pub fn new(place: Arc<Place>, saved: Option<&[u8]>) -> Result<Codec<T>, String> {
        let mut live = place.build::<T>()?;
        let (mut files, mut scripted) = (Vec::new(), false);
        if let Some(script) = live.script() {
            scripted = true;
            files = script.files().into_iter().map(|f| (f.clone(), watch::hash(&f))).collect();
            place.restore(script, saved);
        }
        let (back_off, refusal) = (BackOff::default(), Refusal::Refused);
        Ok(Codec { place, live, files, scripted, old: None, failures: 0, back_off, refusal })
    }

    pub fn name(&self) -> &str {
        &self.place.spec.name
    }

    /// Its script, if it has one.
    pub fn script(&mut self) -> Option<&mut dyn Scripted> {
        self.live.script()
    }

    pub fn is_scripted(&self) -> bool {
        self.scripted
    }

    pub fn files(&self) -> &[(PathBuf, u64)] {
        &self.files
    }

    /// Whether a new version still has to prove itself.
    pub fn on_probation(&self) -> bool {
        self.old.is_some()
    }

    /// Whether the last refusal meant that there is nothing to write.
    pub fn skipped(&self) -> bool {
        self.refusal == Refusal::Skipped
    }

    /// Has it deal with many records in one call. False when it is a script, which is supervised record
    /// by record, or when a panic ended the call: then nothing of it counts.
    #[inline]
    pub fn call_at_once(&mut self, call: impl FnOnce(&mut T)) -> bool {
        !self.scripted && contained(|| call(&mut *self.live)).is_ok()
    }

    /// Has it deal with a record. When it fails, `attempt` is called a second time, with another
    /// instance: it must take back what the first one did, or refuse the record.
    ///
    /// # Errors
    /// The record is refused, or it failed twice at it.
    #[inline]
    pub fn call<R>(&mut self, mut attempt: impl FnMut(&mut T) -> Result<R, Reject>) -> Result<R, Reject> {
        match contained(|| attempt(&mut *self.live)) {
            Ok(Ok(done)) => {
                if self.scripted {
                    self.held();
                }
                Ok(done)
            }
            Ok(Err(reject)) => self.refused(reject, attempt),
            Err(panic) => self.refused(Reject::new(panic), attempt),
        }
    }

    #[cold]
    fn refused<R>(&mut self, reject: Reject, mut attempt: impl FnMut(&mut T) -> Result<R, Reject>) -> Result<R, Reject> {
        self.refusal = self.live.script().map_or(Refusal::Refused, |s| s.refusal());
        if self.refusal != Refusal::Failed {
            self.held();
            return Err(reject);
        }
        match self.old.take() {
            Some(old) => self.roll_back(old, &reject.0),
            None => self.restart(&reject.0),
        }
        let again = contained(|| attempt(&mut *self.live)).unwrap_or_else(|panic| Err(Reject::new(panic)));
        let Err(why) = &again else {
            self.failures = 0;
            return again;
        };
        self.refusal = self.live.script().map_or(Refusal::Refused, |s| s.refusal());
        if self.refusal == Refusal::Failed {
            self.restart(&why.0);
        }
        if self.failures > UNLUCKY {
            self.pause();
        }
        again
    }

    /// A record got through.
    #[inline]
    fn held(&mut self) {
        if self.old.is_some() || self.failures > 0 {
            self.prove();
        }
    }

    #[cold]
    fn prove(&mut self) {
        (self.failures, self.back_off) = (0, BackOff::default());
        let Some(old) = &mut self.old else { return };
        old.left = old.left.saturating_sub(1);
        if old.left == 0 && self.place.clock.steady() >= old.until {
            self.old = None;
        }
    }

    /// Takes a changed version of the script into service, between two records. When it does not
    /// load, the running one stays.
    pub fn renew(&mut self, hashes: &mut HashMap<PathBuf, u64>) {
        let now = |f: &PathBuf| (f.clone(), *hashes.entry(f.clone()).or_insert_with(|| watch::hash(f)));
        let files: Vec<_> = self.files.iter().map(|(f, _)| f).map(now).collect();
        if files == self.files {
            return;
        }
        // Known from here on: a broken version is tried once.
        self.files = files;
        match self.place.build::<T>() {
            Ok(new) => self.replace(new),
            Err(why) => {
                log::error!(target: &self.place.owner, "{}: the old version stays: {why}", self.name());
                self.place.standing.shared.set_error(why);
            }
        }
    }

    fn replace(&mut self, mut new: Box<T>) {
        let saved = self.live.script().map(|s| contained(|| s.save()).and_then(|r| r));
        if let Some(script) = new.script() {
            let known = std::mem::take(&mut self.files);
            let hash = |f: PathBuf| {
                let before = known.iter().find(|(k, _)| *k == f).map(|(_, h)| *h);
                (f.clone(), before.unwrap_or_else(|| watch::hash(&f)))
            };
            self.files = script.files().into_iter().map(hash).collect();
            let carried = match saved {
                Some(Ok(saved)) => self.place.restore(script, Some(&saved)),
                Some(Err(why)) => {
                    log::warn!(target: &self.place.owner, "{}: nothing was carried over: {why}", self.place.spec.name);
                    Carried::default()
                }
                None => Carried::default(),
            };
            log::info!(target: &self.place.owner, "{}: reloaded{}", self.place.spec.name, crate::reload::carried(&carried));
        }
        self.place.standing.meter.add(Counter::Reloaded, 1);
        let instance = std::mem::replace(&mut self.live, new);
        self.old = Some(Old { instance, left: RECORDS, until: self.place.clock.steady() + TIME });
        self.failures = 0;
    }

    fn roll_back(&mut self, old: Old<T>, why: &str) {
        let shared = &self.place.standing.shared;
        log::error!(target: &self.place.owner, "{}: the new version failed and the old one goes on: {why}", self.name());
        shared.set_error(format!("{}: reload rolled back: {why}", self.name()));
        self.place.standing.meter.add_extra("rolled_back", 1);
        let new = std::mem::replace(&mut self.live, old.instance);
        let _ = contained(|| drop(new));
    }

    /// Puts a new instance in the place of one that failed; its state goes on unless it may be the
    /// reason.
    fn restart(&mut self, why: &str) {
        self.failures += 1;
        let Place { standing, owner, spec, .. } = &*self.place;
        standing.meter.add_extra("script_failures", 1);
        standing.shared.set_error(format!("{}: {why}", spec.name));
        log::error!(target: owner, "{} failed and is started again: {why}", spec.name);
        let saved = match self.failures {
            0..=SUSPICIOUS => self.live.script().and_then(|s| contained(|| s.save()).and_then(|r| r).ok()),
            _ => None,
        };
        match self.place.build::<T>() {
            Ok(mut new) => {
                if let (Some(script), Some(saved)) = (new.script(), saved) {
                    self.place.restore(script, Some(&saved));
                }
                let failed = std::mem::replace(&mut self.live, new);
                let _ = contained(|| drop(failed));
            }
            // Broken by now: as long as nobody mends it, the failed instance is all there is.
            Err(why) => log::error!(target: owner, "{}: {why}", spec.name),
        }
    }

    /// Nothing but failures: the owner waits, longer and longer, until a stop or a changed script.
    fn pause(&mut self) {
        let Place { standing, clock, stop, renew, .. } = &*self.place;
        let (before, until) = (renew.load(Ordering::Acquire), clock.steady() + self.back_off.failed(clock.steady()));
        standing.shared.set_state("backing off");
        while clock.steady() < until && renew.load(Ordering::Acquire) == before {
            if stop.wait(LOOK.min(until.saturating_sub(clock.steady()))) {
                break;
            }
        }
        standing.shared.set_state("running");
    }
}

impl Place {
    fn build<T: Serving + ?Sized>(&self) -> Result<Box<T>, String> {
        let cx = self.plan.build_cx(&self.spec, &self.clock);
        contained(|| T::build(&self.spec, &cx)).and_then(|built| built)
    }

    fn restore(&self, script: &mut dyn Scripted, saved: Option<&[u8]>) -> Carried {
        let Some(saved) = saved.filter(|s| !s.is_empty()) else { return Carried::default() };
        contained(|| script.restore(saved)).and_then(|r| r).unwrap_or_else(|why| {
            log::warn!(target: &self.owner, "{} starts without its saved state: {why}", self.spec.name);
            Carried::default()
        })
    }
}
