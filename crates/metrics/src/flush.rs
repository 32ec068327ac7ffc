use message::{Datum, Messages, Text};

use crate::AggregateOptions;
use crate::aggregate::{Aggregator, COUNTER, GAUGE, SET, TIMER, Tally};
use crate::key::{is_reserved, tags};
use crate::timer::whole;

/// A flush under way. It is written in portions, so that a large one need not be held in memory
/// at once; samples cannot be added before it ends. Dropping it early drops nothing: what was not
/// written goes out with the next flush.
#[derive(Debug)]
pub struct Flush<'a> {
    aggregator: &'a mut Aggregator,
    now: i64,
    stage: Stage,
    /// Next series of the stage.
    at: usize,
    /// Series written so far: `numStats`.
    written: i64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Stage {
    Counters,
    Timers,
    Gauges,
    Sets,
    Own,
    Done,
}

/// What stands before and behind the names of each kind, dots included.
#[derive(Clone, Debug)]
pub(crate) struct Titles {
    counter: String,
    /// Before and behind the name of a counter's rate and count.
    rate: String,
    count: (String, String),
    timer: String,
    gauge: String,
    set: String,
    own: String,
    num_stats: String,
    suffix: String,
}

impl Titles {
    pub fn new(o: &AggregateOptions) -> Titles {
        let dotted = |parts: &[&str]| parts.iter().filter(|p| !p.is_empty()).map(|p| format!("{p}.")).collect::<String>();
        let suffix = if o.global_suffix.is_empty() { String::new() } else { format!(".{}", o.global_suffix) };
        if o.legacy_namespace {
            return Titles {
                counter: "stats.".into(),
                rate: String::new(),
                count: ("stats_counts.".into(), String::new()),
                timer: "stats.timers.".into(),
                gauge: "stats.gauges.".into(),
                set: "stats.sets.".into(),
                own: dotted(&["stats", &o.statsd_prefix]),
                num_stats: dotted(&[&o.statsd_prefix]),
                suffix,
            };
        }
        let global = &o.global_prefix[..];
        let counter = dotted(&[global, &o.counter_prefix]);
        let own = dotted(&[global, &o.statsd_prefix]);
        Titles {
            rate: ".rate".into(),
            count: (counter.clone(), ".count".into()),
            counter,
            timer: dotted(&[global, &o.timer_prefix]),
            gauge: dotted(&[global, &o.gauge_prefix]),
            set: dotted(&[global, &o.set_prefix]),
            num_stats: own.clone(),
            own,
            suffix,
        }
    }
}

impl<'a> Flush<'a> {
    pub(crate) fn new(aggregator: &'a mut Aggregator, now: i64) -> Flush<'a> {
        Flush { aggregator, now, stage: Stage::Counters, at: 0, written: 0 }
    }

    /// Adds messages until there are `limit` more (or a few, as a series is not divided). False
    /// when the flush is complete.
    pub fn write(&mut self, out: &mut Messages, limit: usize) -> bool {
        let end = out.len() + limit.max(1);
        let mut writer = Writer::new(out, self.now, &self.aggregator.titles.suffix);
        while self.stage != Stage::Done && writer.out.len() < end {
            let (left, next) = match self.stage {
                Stage::Counters => (self.aggregator.counters.len(), Stage::Timers),
                Stage::Timers => (self.aggregator.timers.len(), Stage::Gauges),
                Stage::Gauges => (self.aggregator.gauges.len(), Stage::Sets),
                Stage::Sets => (self.aggregator.sets.len(), Stage::Own),
                Stage::Own | Stage::Done => (1, Stage::Done),
            };
            if self.at < left {
                one(self.aggregator, self.stage, self.at, self.now, &mut self.written, &mut writer);
                self.at += 1;
            }
            if self.at >= left {
                (self.stage, self.at) = (next, 0);
            }
        }
        let complete = self.stage == Stage::Done;
        if complete {
            self.aggregator.forget_idle(self.now);
        }
        !complete
    }

    /// Adds all messages at once.
    pub fn write_all(mut self, out: &mut Messages) {
        while self.write(out, usize::MAX >> 1) {}
    }
}

/// Writes one series of a stage, and empties it.
fn one(a: &mut Aggregator, stage: Stage, at: usize, now: i64, written: &mut i64, writer: &mut Writer<'_>) {
    let titles = &a.titles;
    *written += 1;
    match stage {
        Stage::Counters => {
            let count = std::mem::take(&mut a.counters[at]);
            writer.counter(a.names[COUNTER].parts(at), count, a.options.interval, titles);
        }
        Stage::Timers => {
            let (key, timer) = (a.names[TIMER].parts(at), &mut a.timers[at]);
            let histogram = a.options.histograms.iter().find(|h| contains(key.0, h.part.as_bytes()));
            let series = writer.series("timer", key.1);
            timer.report(&a.percentiles, histogram, a.options.interval, &mut a.sums, &mut |statistic, label, value| {
                writer.metric(&series, [titles.timer.as_bytes(), key.0, b".", statistic.as_bytes(), label.as_bytes()], value);
            });
            a.kept -= timer.values.len();
            timer.reset();
        }
        Stage::Gauges => writer.single("gauge", &titles.gauge, a.names[GAUGE].parts(at), "", Datum::Double(a.gauges[at].value)),
        Stage::Sets => {
            let set = std::mem::take(&mut a.sets[at]);
            writer.single("set", &titles.set, a.names[SET].parts(at), ".count", Datum::Integer(set.len() as i64));
            a.kept -= set.iter().map(|m| crate::aggregate::cost(m)).sum::<usize>();
        }
        Stage::Own | Stage::Done => own(a, now, *written - 1, writer),
    }
}

/// The aggregation's metrics of itself; they count in `numStats` as in Etsy.
fn own(a: &mut Aggregator, now: i64, mut written: i64, writer: &mut Writer<'_>) {
    let prefix = Some(&a.options.statsd_prefix[..]).filter(|p| !p.is_empty()).map(|p| format!("{p}.")).unwrap_or_default();
    let Tally { packets, metrics, bad_lines } = std::mem::take(&mut a.tally);
    for (name, n) in [("bad_lines_seen", bad_lines), ("packets_received", packets), ("metrics_received", metrics)] {
        writer.counter((format!("{prefix}{name}").as_bytes(), b""), n as f64, a.options.interval, &a.titles);
        written += 1;
    }
    let mut gauge = |before: &str, name: &str, value| writer.single("gauge", before, (name.as_bytes(), b""), "", value);
    if let Some(last) = a.flushed {
        let lag = now.saturating_sub(last) as f64 / 1e9 - a.options.interval;
        gauge(&a.titles.gauge, &format!("{prefix}timestamp_lag"), Datum::Double(lag));
        written += 1;
    }
    gauge(&a.titles.num_stats, "numStats", Datum::Integer(written));
    if let Some(took) = a.processing {
        gauge(&a.titles.own, "processing_time", Datum::Double(took.as_secs_f64() * 1e3));
    }
}

impl Aggregator {
    /// The end of a flush: drops what the idle rules do not keep.
    fn forget_idle(&mut self, now: i64) {
        self.flushed = Some(now);
        let o = &self.options;
        for (delete, kind) in [(o.delete_counters, COUNTER), (o.delete_timers, TIMER), (o.delete_sets, SET)] {
            if delete {
                self.names[kind].clear();
                match kind {
                    COUNTER => self.counters.clear(),
                    TIMER => self.timers.clear(),
                    _ => self.sets.clear(),
                }
            }
        }
        if o.delete_gauges {
            self.gauges.iter_mut().for_each(|gauge| gauge.ttl = gauge.ttl.saturating_sub(1));
            if self.gauges.iter().any(|gauge| gauge.ttl == 0) {
                self.forget_gauges();
            }
        }
    }

    /// Numbers the gauges that live anew.
    fn forget_gauges(&mut self) {
        let (names, gauges) = (std::mem::take(&mut self.names[GAUGE]), std::mem::take(&mut self.gauges));
        for (at, gauge) in gauges.into_iter().enumerate().filter(|(_, gauge)| gauge.ttl > 0) {
            if self.names[GAUGE].restore(&self.keyed, names.parts(at)).is_some() {
                self.gauges.push(gauge);
            }
        }
    }
}

/// Writes metric messages; texts that all of them share are stored once.
struct Writer<'a> {
    out: &'a mut Messages,
    now: i64,
    suffix: String,
    type_: Text,
    name: Text,
    value: Text,
    kind: Text,
    /// The value of a tag that has none.
    unvalued: Text,
}

/// What the messages of one series share.
struct SeriesTexts {
    kind: Text,
    tags: Vec<(Text, Text)>,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut Messages, now: i64, suffix: &str) -> Writer<'a> {
        let [type_, name, value, kind, unvalued] = ["metric", "name", "value", "kind", "true"].map(|t| out.store(t.as_bytes()));
        Writer { out, now, suffix: suffix.to_string(), type_, name, value, kind, unvalued }
    }

    fn series(&mut self, kind: &str, list: &[u8]) -> SeriesTexts {
        let mut series = SeriesTexts { kind: self.out.store(kind.as_bytes()), tags: Vec::new() };
        for (name, value) in tags(list) {
            let before: &[u8] = if is_reserved(name) { b"tag_" } else { b"" };
            let name = self.out.store_with(|arena| [before, name].iter().for_each(|part| arena.extend_from_slice(part)));
            let value = value.map_or(self.unvalued, |value| self.out.store(value));
            series.tags.push((name, value));
        }
        series
    }

    /// A metric whose name is these parts and the suffix.
    fn metric<const N: usize>(&mut self, series: &SeriesTexts, name: [&[u8]; N], value: Datum) {
        let suffix = self.suffix.as_bytes();
        let text = self.out.store_with(|arena| name.into_iter().chain([suffix]).for_each(|part| arena.extend_from_slice(part)));
        let mut m = self.out.add();
        m.set_type_text(self.type_);
        m.set_timestamp(self.now);
        m.add(self.name, Datum::String(text));
        m.add(self.value, value);
        m.add(self.kind, Datum::String(series.kind));
        for (name, value) in &series.tags {
            m.add(*name, Datum::String(*value));
        }
    }

    fn single(&mut self, kind: &str, before: &str, (name, tags): (&[u8], &[u8]), behind: &str, value: Datum) {
        let series = self.series(kind, tags);
        self.metric(&series, [before.as_bytes(), name, behind.as_bytes()], value);
    }

    fn counter(&mut self, (name, tags): (&[u8], &[u8]), count: f64, interval: f64, titles: &Titles) {
        let series = self.series("counter", tags);
        self.metric(&series, [titles.counter.as_bytes(), name, titles.rate.as_bytes()], Datum::Double(count / interval));
        self.metric(&series, [titles.count.0.as_bytes(), name, titles.count.1.as_bytes()], whole(count));
    }
}

fn contains(name: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(name, part).is_some()
}
