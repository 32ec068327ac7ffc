use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use crate::AggregateOptions;
use crate::flush::{Flush, Titles};
use crate::hash::Keyed;
use crate::index::Index;
use crate::names::Names;
use crate::settings::Percentile;
use crate::statsd::{self, Dialect, Malformed, Measure, Sample};
use crate::timer::{Sums, Timer};

/// The kinds of series, each with names of its own: numbers in [`Aggregator::names`].
pub(crate) const COUNTER: usize = 0;
pub(crate) const GAUGE: usize = 1;
pub(crate) const TIMER: usize = 2;
pub(crate) const SET: usize = 3;

pub(crate) type Members = HashSet<Box<[u8]>, Keyed>;

/// Samples that are looked up together: while one waits for memory, the next is already asked for.
const TOGETHER: usize = 32;

/// Adds samples up until they are flushed. Follows Etsy's statsd; see [`AggregateOptions`].
///
/// Memory is bounded by `max_series` and `max_values`. A sample of a known series costs no
/// allocation.
#[derive(Debug)]
pub struct Aggregator {
    pub(crate) options: AggregateOptions,
    pub(crate) percentiles: Vec<Percentile>,
    pub(crate) titles: Titles,
    /// By kind; a series' number is its place in what follows.
    pub(crate) names: [Names; 4],
    pub(crate) counters: Vec<f64>,
    pub(crate) gauges: Vec<Gauge>,
    pub(crate) timers: Vec<Timer>,
    pub(crate) sets: Vec<Members>,
    pub(crate) keyed: Keyed,
    /// What timers and sets hold, as `max_values` counts it.
    pub(crate) kept: usize,
    pub(crate) tally: Tally,
    /// Time of the last flush; none before the first.
    pub(crate) flushed: Option<i64>,
    pub(crate) processing: Option<Duration>,
    pub(crate) sums: Sums,
    scratch: Vec<u8>,
    /// Empty between packets; kept for its memory.
    waiting: Vec<Waiting<'static>>,
}

/// A sample that is about to be added.
#[derive(Clone, Copy, Debug)]
struct Waiting<'a> {
    line: &'a [u8],
    sample: Sample<'a>,
    hash: u32,
    /// Its series, when that is known already; before, what may be it.
    number: u32,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Gauge {
    pub value: f64,
    /// Flushes it is still reported in, where idle gauges are deleted.
    pub ttl: u32,
}

/// What the aggregation tells of itself, since the last flush.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Tally {
    pub packets: u64,
    pub metrics: u64,
    pub bad_lines: u64,
}

/// Why a sample was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    Malformed(Malformed),
    TooManySeries,
    TooManyValues,
    /// Name and tags take more than 2 KiB, or there are more than 64 tags.
    TooLong,
    /// Infinite, not a number, or a negative time.
    OutOfRange,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Malformed(malformed) => malformed.fmt(f),
            Refused::TooManySeries => f.write_str("a new series beyond the limit; raise `max_series`"),
            Refused::TooManyValues => {
                f.write_str("more values of timers and sets than are kept until a flush; raise `max_values` or lower `every`")
            }
            Refused::TooLong => f.write_str("name and tags take more than 2048 bytes or there are more than 64 tags"),
            Refused::OutOfRange => f.write_str("expected a finite number, and a time that is not negative"),
        }
    }
}

impl Aggregator {
    pub fn new(options: AggregateOptions) -> Aggregator {
        Aggregator {
            percentiles: options.percentiles.iter().map(|p| Percentile::new(*p)).collect(),
            titles: Titles::new(&options),
            options,
            names: Default::default(),
            counters: Vec::new(),
            gauges: Vec::new(),
            timers: Vec::new(),
            sets: Vec::new(),
            keyed: Keyed::default(),
            kept: 0,
            tally: Tally::default(),
            flushed: None,
            processing: None,
            sums: Sums::default(),
            scratch: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Number of series held.
    pub fn series(&self) -> usize {
        self.names.iter().map(Names::len).sum()
    }

    /// Reads the lines of a packet and adds their samples. What is refused is handed over with its
    /// line. Returns the number of samples taken.
    pub fn packet(&mut self, packet: &[u8], dialect: Dialect, refused: &mut impl FnMut(&[u8], Refused)) -> u64 {
        self.tally.packets += 1;
        let mut taken = 0;
        let mut waiting = emptied(std::mem::take(&mut self.waiting));
        let lines = statsd::samples(packet, dialect, &mut |line, sample| match sample {
            Ok(sample) => {
                waiting.push(Waiting { line, sample, hash: self.keyed.of(sample.name, sample.tags), number: Index::NONE });
                if waiting.len() == TOGETHER {
                    taken += self.take_all(&mut waiting, refused);
                }
            }
            Err(malformed) => {
                taken += self.take_all(&mut waiting, refused);
                self.tally.bad_lines += 1;
                refused(line, Refused::Malformed(malformed));
            }
        });
        taken += self.take_all(&mut waiting, refused);
        self.waiting = emptied(waiting);
        self.tally.metrics += lines;
        taken
    }

    /// Adds what waits. Returns how many samples were taken.
    fn take_all(&mut self, waiting: &mut Vec<Waiting<'_>>, refused: &mut impl FnMut(&[u8], Refused)) -> u64 {
        // The processor has several reads of memory under way as long as none depends on another,
        // and with many series the memory is what takes time. So all slots first, then all keys.
        for one in waiting.iter_mut() {
            one.number = self.names[series_of(one.sample.measure)].candidate(one.hash);
        }
        for one in waiting.iter_mut() {
            one.number = self.names[series_of(one.sample.measure)].confirm(one.number, one.sample.name, one.sample.tags);
        }
        let mut taken = 0;
        for one in waiting.drain(..) {
            match self.take(&one.sample, one.hash, one.number) {
                Ok(()) => taken += 1,
                Err(why) => refused(one.line, why),
            }
        }
        taken
    }

    /// Adds one sample that did not come in a packet.
    ///
    /// # Errors
    /// Over a limit, or not a number that can be added.
    pub fn add(&mut self, sample: &Sample<'_>) -> Result<(), Refused> {
        self.tally.metrics += 1;
        self.take(sample, self.keyed.of(sample.name, sample.tags), Index::NONE)
    }

    /// Adds a sample whose series is `number`, unless that is yet to be found.
    fn take(&mut self, sample: &Sample<'_>, hash: u32, mut number: u32) -> Result<(), Refused> {
        let fits = match sample.measure {
            Measure::Counter(n) | Measure::Gauge(n) | Measure::GaugeDelta(n) => n.is_finite(),
            Measure::Timer(n) => n.is_finite() && n >= 0.0,
            Measure::Set(_) => true,
        };
        let weight = if sample.rate == 1.0 { 1.0 } else { 1.0 / sample.rate };
        if !(fits && weight.is_finite() && weight > 0.0) {
            return Err(Refused::OutOfRange);
        }
        if number == Index::NONE {
            let room = self.options.max_series.saturating_sub(self.series());
            let names = &mut self.names[series_of(sample.measure)];
            number = names.number(&self.keyed, hash, sample.name, sample.tags, room, &mut self.scratch)?;
        }
        let room = self.options.max_values.saturating_sub(self.kept);
        match sample.measure {
            Measure::Counter(n) => *of(&mut self.counters, number) += n * weight,
            Measure::Gauge(n) => of(&mut self.gauges, number).set(n, self.options.gauge_ttl),
            Measure::GaugeDelta(n) => {
                let gauge = of(&mut self.gauges, number);
                gauge.set(gauge.value + n, self.options.gauge_ttl);
            }
            Measure::Timer(n) => {
                let timer = of(&mut self.timers, number);
                if room == 0 {
                    return Err(Refused::TooManyValues);
                }
                timer.values.push(n);
                timer.count += weight;
                self.kept += 1;
            }
            Measure::Set(member) => {
                let set = of(&mut self.sets, number);
                if !set.contains(member) {
                    let cost = cost(member);
                    if room < cost {
                        return Err(Refused::TooManyValues);
                    }
                    set.insert(member.into());
                    self.kept += cost;
                }
            }
        }
        Ok(())
    }

    /// Begins a flush at `now` (ns since the UNIX epoch).
    pub fn flush(&mut self, now: i64) -> Flush<'_> {
        Flush::new(self, now)
    }

    /// Tells how long the last flush took, for `statsd.processing_time` of the next.
    pub fn took(&mut self, processing: Duration) {
        self.processing = Some(processing);
    }
}

impl Gauge {
    fn set(&mut self, value: f64, ttl: u32) {
        *self = Gauge { value, ttl };
    }
}

/// A gauge that was never set is as good as zero: a delta sets either.
impl Default for Gauge {
    fn default() -> Self {
        Gauge { value: 0.0, ttl: 0 }
    }
}

/// What a set's member counts in `max_values`.
pub(crate) fn cost(member: &[u8]) -> usize {
    4 + member.len().div_ceil(8)
}

/// What a series holds; nothing yet if its name was just added.
fn of<T: Default>(all: &mut Vec<T>, number: u32) -> &mut T {
    let at = number as usize;
    if at == all.len() {
        all.push(T::default());
    }
    &mut all[at]
}

fn series_of(measure: Measure<'_>) -> usize {
    match measure {
        Measure::Counter(_) => COUNTER,
        Measure::Gauge(_) | Measure::GaugeDelta(_) => GAUGE,
        Measure::Timer(_) => TIMER,
        Measure::Set(_) => SET,
    }
}

/// The same memory for samples of another packet.
fn emptied<'a>(mut waiting: Vec<Waiting<'_>>) -> Vec<Waiting<'a>> {
    waiting.clear();
    // Collecting in place keeps the allocation; there is nothing to convert.
    waiting.into_iter().map(|_| unreachable!("emptied")).collect()
}
