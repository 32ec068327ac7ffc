use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::time::Duration;

use indexmap::IndexMap;

use crate::AggregateOptions;
use crate::flush::{Flush, Names};
use crate::key::key;
use crate::settings::Percentile;
use crate::statsd::{self, Dialect, Malformed, Measure, Sample};
use crate::timer::{Sums, Timer};

/// Series by name and tags, in the order they came up. Whoever can send a metric chooses the keys,
/// so the hash is the standard library's keyed one, which cannot be made to collide from outside.
pub(crate) type Series<T> = IndexMap<Box<[u8]>, T, RandomState>;

/// Adds samples up until they are flushed. Follows Etsy's statsd; see [`AggregateOptions`].
///
/// Memory is bounded by `max_series` and `max_values`. A sample of a known series costs no
/// allocation.
#[derive(Debug)]
pub struct Aggregator {
    pub(crate) options: AggregateOptions,
    pub(crate) percentiles: Vec<Percentile>,
    pub(crate) names: Names,
    pub(crate) counters: Series<f64>,
    pub(crate) gauges: Series<Gauge>,
    pub(crate) timers: Series<Timer>,
    pub(crate) sets: Series<HashSet<Box<[u8]>>>,
    /// What timers and sets hold, as `max_values` counts it.
    pub(crate) kept: usize,
    pub(crate) tally: Tally,
    /// Time of the last flush; none before the first.
    pub(crate) flushed: Option<i64>,
    pub(crate) processing: Option<Duration>,
    pub(crate) sums: Sums,
    scratch: Vec<u8>,
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
            names: Names::new(&options),
            options,
            counters: Series::default(),
            gauges: Series::default(),
            timers: Series::default(),
            sets: Series::default(),
            kept: 0,
            tally: Tally::default(),
            flushed: None,
            processing: None,
            sums: Sums::default(),
            scratch: Vec::new(),
        }
    }

    /// Number of series held.
    pub fn series(&self) -> usize {
        self.counters.len() + self.gauges.len() + self.timers.len() + self.sets.len()
    }

    /// Reads the lines of a packet and adds their samples. What is refused is handed over with its
    /// line. Returns the number of samples taken.
    pub fn packet(&mut self, packet: &[u8], dialect: Dialect, refused: &mut impl FnMut(&[u8], Refused)) -> u64 {
        self.tally.packets += 1;
        let mut taken = 0;
        for line in statsd::lines(packet) {
            self.tally.metrics += 1;
            statsd::parse(line, dialect, &mut |sample| match sample.map_err(Refused::Malformed).and_then(|s| self.take(&s)) {
                Ok(()) => taken += 1,
                Err(why) => {
                    self.tally.bad_lines += u64::from(matches!(why, Refused::Malformed(_)));
                    refused(line, why);
                }
            });
        }
        taken
    }

    /// Adds one sample that did not come in a packet.
    ///
    /// # Errors
    /// Over a limit, or not a number that can be added.
    pub fn add(&mut self, sample: &Sample<'_>) -> Result<(), Refused> {
        self.tally.metrics += 1;
        self.take(sample)
    }

    fn take(&mut self, sample: &Sample<'_>) -> Result<(), Refused> {
        let fits = match sample.measure {
            Measure::Counter(n) | Measure::Gauge(n) | Measure::GaugeDelta(n) => n.is_finite(),
            Measure::Timer(n) => n.is_finite() && n >= 0.0,
            Measure::Set(_) => true,
        };
        let weight = 1.0 / sample.rate;
        if !(fits && weight.is_finite() && weight > 0.0) {
            return Err(Refused::OutOfRange);
        }
        let room = self.options.max_series.saturating_sub(self.series());
        let room_for_values = self.options.max_values.saturating_sub(self.kept);
        let key = key(sample.name, sample.tags, &mut self.scratch)?;
        match sample.measure {
            Measure::Counter(n) => *entry(&mut self.counters, key, room)? += n * weight,
            Measure::Gauge(n) => entry(&mut self.gauges, key, room)?.set(n, self.options.gauge_ttl),
            Measure::GaugeDelta(n) => {
                let gauge = entry(&mut self.gauges, key, room)?;
                gauge.set(gauge.value + n, self.options.gauge_ttl);
            }
            Measure::Timer(n) => {
                let timer = entry(&mut self.timers, key, room)?;
                if room_for_values == 0 {
                    return Err(Refused::TooManyValues);
                }
                timer.values.push(n);
                timer.count += weight;
                self.kept += 1;
            }
            Measure::Set(member) => {
                let set = entry(&mut self.sets, key, room)?;
                if !set.contains(member) {
                    let cost = cost(member);
                    if room_for_values < cost {
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

/// The series of this key, made when there is room for one more.
fn entry<'s, T: Default>(series: &'s mut Series<T>, key: &[u8], room: usize) -> Result<&'s mut T, Refused> {
    let at = match series.get_index_of(key) {
        Some(at) => at,
        None if room == 0 => return Err(Refused::TooManySeries),
        None => series.insert_full(key.into(), T::default()).0,
    };
    Ok(&mut series[at])
}
