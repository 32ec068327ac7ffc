//! Filters: any message may come, ticks fall between them, and state goes over to a successor.

use std::sync::Arc;

use message::{Batch, BatchBuilder, MessageRef, Value};
use plugin::{Clock, Filter, FilterCx, Kind, Meter};

use super::{Contract, try_on};
use crate::garbage;

const NOW: i64 = 1_700_000_000_000_000_000;

struct Bench {
    clock: Clock,
    meter: Meter,
}

impl Bench {
    fn new() -> Bench {
        Bench { clock: Clock::standing(NOW), meter: Meter::default() }
    }

    fn messages(&self, filter: &mut dyn Filter, batch: &Arc<Batch>) -> Result<Batch, String> {
        let mut out = BatchBuilder::default();
        let cx = FilterCx { clock: &self.clock, meter: &self.meter };
        let outcome = filter.messages(batch, &batch.all(), &mut out, &cx);
        outcome.map(|()| out.finish()).map_err(|failure| {
            assert!(failure.at < batch.len() && !failure.why.is_empty(), "{failure:?}");
            failure.why
        })
    }

    /// What a tick sends, in no order.
    fn tick(&self, filter: &mut dyn Filter, due: i64, last: bool) -> Result<Vec<String>, String> {
        self.clock.set(due);
        let mut out = BatchBuilder::default();
        let cx = FilterCx { clock: &self.clock, meter: &self.meter };
        filter.tick(due, last, &mut out, &cx).map_err(|failure| failure.why)?;
        let mut sent: Vec<String> = out.finish().iter().map(show).collect();
        sent.sort();
        Ok(sent)
    }
}

/// All but the Uuid.
fn show(m: MessageRef<'_>) -> String {
    let text = |t: &[u8]| String::from_utf8_lossy(t).into_owned();
    let fields: Vec<String> = m.fields().map(|f| format!("{}={:?}", text(f.name()), f.values().map(value).collect::<Vec<_>>())).collect();
    format!("{} {} {} {}", text(m.type_()), m.timestamp(), text(m.payload()), fields.join(" "))
}

fn value(value: Value<'_>) -> String {
    value.as_bytes().map_or_else(|| format!("{value:?}"), |text| String::from_utf8_lossy(text).into_owned())
}

/// Messages, two ticks and a snapshot.
///
/// # Errors
/// Why one of them failed.
///
/// # Panics
/// When the contract is broken.
pub fn run(filter: &mut dyn Filter, batch: &Arc<Batch>) -> Result<(), String> {
    let bench = Bench::new();
    bench.messages(filter, batch)?.iter().for_each(|m| {
        garbage::read(m);
    });
    let step = i64::try_from(filter.every().unwrap_or_default().as_nanos()).unwrap_or(i64::MAX);
    bench.tick(filter, NOW.saturating_add(step), false)?;
    bench.tick(filter, NOW.saturating_add(step), true)?;
    filter.save()?;
    for gauge in filter.gauges() {
        assert!(gauge.current <= gauge.max && !gauge.name.is_empty(), "{gauge:?}");
    }
    Ok(())
}

/// Messages of any content are taken, and nothing that is wrong with one fails the filter.
///
/// # Panics
/// When one does.
pub fn survive_any_message(contract: &Contract, kind: &'static Kind) {
    for toml in contract.configurations(kind) {
        try_on(60, &garbage::batch(), |batch| {
            run(&mut *contract.filter(kind, &toml), &Arc::new(batch)).unwrap_or_else(|why| panic!("{why} in {toml}"));
        });
    }
}

/// A successor says at the next tick what its predecessor would have said.
///
/// # Panics
/// When it does not.
pub fn hand_their_state_on(contract: &Contract, kind: &'static Kind) {
    for toml in contract.configurations(kind) {
        try_on(40, &(garbage::batch(), garbage::batch()), |(first, second)| {
            let (first, second, bench) = (Arc::new(first), Arc::new(second), Bench::new());
            let mut old = contract.filter(kind, &toml);
            bench.messages(&mut *old, &first).expect("the first batch");
            let step = old.every().map_or(5_000_000_000, |d| d.as_nanos() as i64);
            bench.tick(&mut *old, NOW + step, false).expect("a tick");
            let saved = old.save().expect("a snapshot");
            let mut new = contract.filter(kind, &toml);
            let carried = new.restore(&saved).expect("it is its own");
            assert!(saved.is_empty() || !carried.carried.is_empty(), "nothing is carried: {carried:?}");
            for filter in [&mut old, &mut new] {
                bench.messages(&mut **filter, &second).expect("the second batch");
            }
            let due = NOW + 2 * step;
            let [mut old, mut new] = [old, new].map(|mut filter| bench.tick(&mut *filter, due, true).expect("a tick"));
            // How long its own last flush took is an instance's alone.
            let ours = |m: &String| m.contains("processing_time");
            let both: Vec<String> = old.iter().filter(|m| new.contains(m)).cloned().collect();
            old.retain(|m| !both.contains(m) && !ours(m));
            new.retain(|m| !both.contains(m) && !ours(m));
            assert_eq!(new, old, "in {toml}");
        });
    }
}

/// A damaged snapshot is refused or taken as far as it fits; the filter works then.
///
/// # Panics
/// When it does other harm.
pub fn survive_damaged_state(contract: &Contract, kind: &'static Kind) {
    for toml in contract.configurations(kind) {
        let samples = Arc::new(garbage::samples());
        let mut old = contract.filter(kind, &toml);
        Bench::new().messages(&mut *old, &samples).expect("the samples");
        let saved = old.save().expect("a snapshot");
        let place = proptest::prelude::any::<(proptest::sample::Index, u8, bool)>;
        try_on(200, &(place(), garbage::record()), |((at, byte, cut), other)| {
            let mut damaged = saved.clone();
            let at = at.index(damaged.len() + 1);
            match damaged.get_mut(at) {
                Some(old) => *old = byte,
                None => damaged = other,
            }
            if cut {
                damaged.truncate(at);
            }
            let mut filter = contract.filter(kind, &toml);
            if let Err(why) = filter.restore(&damaged) {
                assert!(!why.is_empty() && why.len() < 1_000, "{why:.300}");
            }
            run(&mut *filter, &samples).unwrap_or_else(|why| panic!("{why} in {toml}"));
        });
    }
}
