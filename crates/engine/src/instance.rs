use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use message::{Batch, BatchBuilder, Selection};
use plugin::{Build, Carried, Filter, FilterCx, FilterFailure};

use crate::engine::Ticks;
use crate::slot::SlotSeed;
use crate::status::Standing;
use crate::supervise::contained;
use crate::watch;

/// One instance of a filter with its tick schedule.
pub(crate) struct Instance {
    filter: Box<dyn Filter>,
    every: Option<i64>,
    /// When the next tick is due, ns since the UNIX epoch.
    due: Option<i64>,
    /// Files it was made of, with what they held.
    files: Vec<(PathBuf, u64)>,
}

/// No interval of ticks is longer than ten years, ns.
const LONGEST: u128 = 10 * 366 * 86_400_000_000_000;

impl Instance {
    /// # Errors
    /// Why the filter cannot be built.
    pub fn build(seed: &SlotSeed) -> Result<Instance, String> {
        let spec = &seed.filter.spec;
        let Build::Filter(build) = spec.kind.build else { return Err("not a filter".to_string()) };
        let cx = seed.plan.build_cx(spec, &seed.clock);
        // A file that changes while it is read must count as changed, hence its hash of before.
        let known: BTreeMap<PathBuf, u64> = seed.standing.shared.files().into_iter().map(|(f, _)| (f.clone(), watch::hash(&f))).collect();
        contained(|| {
            let filter = build(&spec.options, &cx).map_err(|p| p.to_string())?;
            let every = filter.every().map(|e| (e.as_nanos().min(LONGEST) as i64).max(1_000_000));
            let due = match seed.ticks {
                Ticks::Clock => every.map(|e| seed.wall() + e),
                Ticks::Messages => None,
            };
            let files = filter.files().into_iter().map(|f| (known.get(&f).copied().unwrap_or_else(|| watch::hash(&f)), f));
            let files = files.map(|(hash, file)| (file, hash)).collect();
            Ok(Instance { filter, every, due, files })
        })
        .and_then(|built| built)
    }

    /// Ticks go on as they were, unless the interval is another: edits do not put them off.
    pub fn succeed(&mut self, old: &Instance) {
        if self.every == old.every {
            self.due = old.due;
        }
    }

    pub fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        if saved.is_empty() {
            return Ok(Carried::default());
        }
        contained(|| self.filter.restore(saved)).and_then(|r| r)
    }

    pub fn save(&mut self) -> Result<Vec<u8>, String> {
        contained(|| self.filter.save()).and_then(|r| r)
    }

    pub fn ticks(&self) -> bool {
        self.every.is_some()
    }

    pub fn report(&self, standing: &Standing) {
        standing.shared.set_gauges(vec![(String::new(), self.filter.gauges())]);
    }

    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        self.files.clone()
    }

    /// Drops it; a panic in that harms nobody.
    pub fn let_go(self) {
        if let Err(panic) = contained(|| drop(self)) {
            log::error!("a filter that was let go {panic}");
        }
    }

    /// Whether a tick is due by the clock.
    pub fn due(&self) -> Option<i64> {
        self.due
    }

    /// Takes messages; with ticks by messages, ticks fall between them. The failure's position is
    /// in the selection.
    pub fn messages(
        &mut self,
        seed: &SlotSeed,
        batch: &Arc<Batch>,
        selection: &Selection,
        out: &mut BatchBuilder,
    ) -> Result<(), FilterFailure> {
        let cx = FilterCx { clock: &seed.clock, meter: &seed.standing.meter };
        if seed.ticks == Ticks::Clock || self.every.is_none() {
            return self.call(|f, out| f.messages(batch, selection, out, &cx), out);
        }
        let mut from = 0;
        for nth in 0..selection.len() {
            let at = batch.get(selection.index(nth)).timestamp();
            if self.due.is_some_and(|due| at >= due) {
                self.part(batch, selection, from..nth, out, &cx)?;
                from = nth;
                self.tick(seed, false, out).map_err(|f| FilterFailure { at: nth, ..f })?;
            }
            seed.clock.set(at);
            self.schedule(at);
        }
        self.part(batch, selection, from..selection.len(), out, &cx)
    }

    fn part(
        &mut self,
        batch: &Arc<Batch>,
        selection: &Selection,
        range: std::ops::Range<usize>,
        out: &mut BatchBuilder,
        cx: &FilterCx<'_>,
    ) -> Result<(), FilterFailure> {
        let part: Selection = match range.len() {
            0 => return Ok(()),
            n if n == selection.len() => selection.clone(),
            _ => range.clone().map(|nth| selection.index(nth) as u32).collect(),
        };
        self.call(|f, out| f.messages(batch, &part, out, cx), out).map_err(|f| FilterFailure { at: f.at + range.start, ..f })
    }

    /// The first message's time starts the schedule; windows begin at multiples of the interval.
    fn schedule(&mut self, at: i64) {
        if let (None, Some(every)) = (self.due, self.every) {
            self.due = Some((at.div_euclid(every) + 1) * every);
        }
    }

    /// The tick that is due, and the next one scheduled: at most one is ever pending.
    pub fn tick(&mut self, seed: &SlotSeed, last: bool, out: &mut BatchBuilder) -> Result<(), FilterFailure> {
        let now = match seed.ticks {
            Ticks::Clock => seed.wall(),
            Ticks::Messages => seed.clock.now(),
        };
        let due = self.due.filter(|due| *due <= now || seed.ticks == Ticks::Messages).unwrap_or(now);
        if let Some(every) = self.every {
            self.due = match seed.ticks {
                Ticks::Clock => Some(if due + every > now { due + every } else { now + every }),
                Ticks::Messages => None,
            };
        }
        let cx = FilterCx { clock: &seed.clock, meter: &seed.standing.meter };
        self.call(|f, out| f.tick(due, last, out, &cx), out)
    }

    fn call(
        &mut self,
        call: impl FnOnce(&mut dyn Filter, &mut BatchBuilder) -> Result<(), FilterFailure>,
        out: &mut BatchBuilder,
    ) -> Result<(), FilterFailure> {
        contained(|| call(&mut *self.filter, out)).unwrap_or_else(|why| Err(FilterFailure { at: 0, why }))
    }
}
