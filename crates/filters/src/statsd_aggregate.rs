//! Adds up StatsD samples that travel as messages, and emits metrics at every flush.
//!
//! Takes what the decoder `statsd` makes, and any other message with the same fields, so a Lua
//! filter can feed it too. Where samples come straight from the network, the `statsd` input does
//! the same without a message for each sample.
//!
//! Results and formulas are exactly those of Etsy's statsd. The state, with what was added up
//! since the last flush, survives reloads and restarts. Memory is bounded by `max_series` and
//! `max_values`.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use message::{Batch, BatchBuilder, MessageRef, Selection, Value};
use metrics::{AGGREGATE_OPTIONS, AggregateOptions, Aggregator, Measure, RESERVED_FIELDS, Sample};
use options::{Options, Problem};
use plugin::{Carried, Counter, Example, Filter, FilterCx, FilterFailure, Gauge, Kind, Stability};

pub const KIND: Kind = Kind::filter("statsd_aggregate", Stability::Stable, |o, _| Ok(Box::new(StatsdAggregate::new(o)?)))
    .summary("Adds up StatsD samples and emits metrics at every flush.")
    .doc(
        "A sample is a message with the Fields `name`, `value` and `kind` (`counter`, `gauge`, `gauge_delta`, `timer` or `set`), \
         perhaps `rate`, and a field for every tag, as the decoder `statsd` makes it. Messages without these are counted as \
         rejected; messages of Type `metric` are passed over, as they are results already. At every flush messages of Type \
         `metric` go out, with Fields `name`, `value`, `kind` and the tags. Names and formulas are those of Etsy's statsd.",
    )
    .options(AGGREGATE_OPTIONS)
    .examples(&[Example {
        title: "Slow ends of timers, nothing for idle series",
        toml: "percentiles = [\"50\", \"99\", \"99.9\"]\ndelete_idle = true",
    }]);

struct StatsdAggregate {
    aggregator: Aggregator,
    every: Duration,
    max_series: u64,
    most_series: u64,
    tags: Vec<u8>,
}

impl StatsdAggregate {
    fn new(o: &Options) -> Result<StatsdAggregate, Problem> {
        let options = AggregateOptions::read(o)?;
        let max_series = options.max_series as u64;
        Ok(StatsdAggregate {
            aggregator: Aggregator::new(options),
            every: o.duration("every"),
            max_series,
            most_series: 0,
            tags: Vec::new(),
        })
    }
}

impl Filter for StatsdAggregate {
    fn messages(
        &mut self,
        batch: &Arc<Batch>,
        selection: &Selection,
        _: &mut BatchBuilder,
        cx: &FilterCx<'_>,
    ) -> Result<(), FilterFailure> {
        let (mut rejected, mut results) = (0, 0);
        for m in batch.selected(selection) {
            if m.type_() == b"metric" {
                results += 1;
            } else if sample(m, &mut self.tags).is_none_or(|sample| self.aggregator.add(&sample).is_err()) {
                rejected += 1;
            }
        }
        cx.meter.add(Counter::Rejected, rejected);
        cx.meter.add_extra("passed_over", results);
        self.most_series = self.most_series.max(self.aggregator.series() as u64);
        Ok(())
    }

    fn every(&self) -> Option<Duration> {
        Some(self.every)
    }

    fn tick(&mut self, due: i64, _last: bool, out: &mut BatchBuilder, cx: &FilterCx<'_>) -> Result<(), FilterFailure> {
        let begin = cx.clock.steady();
        self.aggregator.flush(due).write_all(out.messages());
        self.aggregator.took(cx.clock.steady().saturating_sub(begin));
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.aggregator.save())
    }

    fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        self.aggregator.restore(saved)?;
        Ok(Carried { carried: vec!["samples".to_string(), "gauges".to_string()], ..Carried::default() })
    }

    fn gauges(&self) -> Vec<Gauge> {
        let current = self.aggregator.series() as u64;
        vec![Gauge { name: "max_series", unit: "series", current, max: self.most_series, cap: self.max_series }]
    }
}

/// The sample a message stands for; `tags` holds its tags meanwhile.
fn sample<'a>(m: MessageRef<'a>, tags: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    tags.clear();
    let (mut name, mut value, mut kind, mut rate) = (None, None, None, 1.0);
    for field in m.fields() {
        let first = field.value(0);
        match field.name() {
            b"name" if name.is_none() => name = first?.as_bytes(),
            b"value" if value.is_none() => value = first,
            b"kind" if kind.is_none() => kind = first?.as_bytes(),
            b"rate" => rate = first?.as_f64()?,
            tag if RESERVED_FIELDS.iter().any(|r| r.as_bytes() == tag) => {}
            tag => add_tag(tags, tag, first?),
        }
    }
    let value = value?;
    let measure = match kind? {
        b"counter" => Measure::Counter(value.as_f64()?),
        b"gauge" => Measure::Gauge(value.as_f64()?),
        b"gauge_delta" => Measure::GaugeDelta(value.as_f64()?),
        b"timer" => Measure::Timer(value.as_f64()?),
        b"set" => Measure::Set(value.as_bytes()?),
        _ => return None,
    };
    Some(Sample { name: name?, measure, rate, tags })
}

/// A comma would begin another tag, so it becomes `_`.
fn add_tag(tags: &mut Vec<u8>, name: &[u8], value: Value<'_>) {
    let mut plain = |text: &[u8]| tags.extend(text.iter().map(|b| if *b == b',' { b'_' } else { *b }));
    plain(name);
    plain(b":");
    match value {
        Value::String(text) | Value::Bytes(text) => plain(text),
        // Writing to memory does not fail.
        Value::Integer(n) => drop(write!(tags, "{n}")),
        Value::Double(n) => drop(write!(tags, "{n}")),
        Value::Bool(b) => drop(write!(tags, "{b}")),
    }
    tags.push(b',');
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin::{Clock, Meter};
    use testkit::plugins::filter;

    fn samples(list: &[(&str, &str, Value<'_>)]) -> Arc<Batch> {
        let mut b = BatchBuilder::default();
        for (name, kind, value) in list {
            let mut m = b.add();
            m.set_type(b"statsd");
            m.add_string(b"name", name.as_bytes());
            let (field, value) = (m.messages().store(b"value"), m.messages().datum(*value));
            m.add(field, value);
            m.add_string(b"kind", kind.as_bytes());
            m.add_string(b"host", b"h1");
            m.add_integer(b"shard", 3);
        }
        Arc::new(b.finish())
    }

    fn feed(filter: &mut dyn Filter, batch: &Arc<Batch>, meter: &Meter) {
        let cx = FilterCx { clock: &Clock::standing(0), meter };
        filter.messages(batch, &batch.all(), &mut BatchBuilder::default(), &cx).unwrap();
    }

    fn flush(filter: &mut dyn Filter) -> Arc<Batch> {
        let (mut out, meter) = (BatchBuilder::default(), Meter::default());
        let cx = FilterCx { clock: &Clock::standing(0), meter: &meter };
        filter.tick(7, false, &mut out, &cx).unwrap();
        Arc::new(out.finish())
    }

    fn value(batch: &Batch, name: &str) -> Option<f64> {
        let m = batch.iter().find(|m| m.value(b"name", 0, 0) == Some(Value::String(name.as_bytes())))?;
        assert_eq!((m.type_(), m.timestamp()), (&b"metric"[..], 7));
        m.value(b"value", 0, 0)?.as_f64()
    }

    #[test]
    fn samples_become_metrics_with_their_tags() {
        let (mut aggregate, meter) = (filter(&KIND, "").unwrap(), Meter::default());
        let batch = samples(&[
            ("a", "counter", Value::Integer(2)),
            ("a", "counter", Value::Double(0.5)),
            ("t", "timer", Value::Double(4.0)),
            ("s", "set", Value::String(b"u1")),
            ("g", "gauge", Value::Double(8.0)),
            ("g", "gauge_delta", Value::Double(-1.0)),
            ("bad", "counter", Value::String(b"x")),
            ("bad", "what", Value::Double(1.0)),
            ("bad", "timer", Value::Double(-1.0)),
        ]);
        feed(&mut *aggregate, &batch, &meter);
        assert_eq!(meter.get(Counter::Rejected), 3);
        let out = flush(&mut *aggregate);
        for (name, expected) in [("counters.a.count", 2.5), ("timers.t.upper_90", 4.0), ("sets.s.count", 1.0), ("gauges.g", 7.0)] {
            assert_eq!(value(&out, &format!("stats.{name}")), Some(expected), "{name}");
        }
        let m = out.get(0);
        assert_eq!(m.value(b"host", 0, 0), Some(Value::String(b"h1")));
        assert_eq!(m.value(b"shard", 0, 0), Some(Value::String(b"3")));
        feed(&mut *aggregate, &out, &meter);
        assert_eq!(meter.get(Counter::Rejected), 3);
        let twice =
            |m: MessageRef<'_>| m.value(b"name", 0, 0).and_then(Value::as_bytes).is_some_and(|n| n[5..].windows(6).any(|w| w == b"stats."));
        assert!(!flush(&mut *aggregate).iter().any(twice), "results are not added up again");
    }

    #[test]
    fn a_reload_keeps_gauges_and_what_was_added_up() {
        let (mut old, meter) = (filter(&KIND, "").unwrap(), Meter::default());
        feed(&mut *old, &samples(&[("g", "gauge", Value::Double(8.0)), ("c", "counter", Value::Integer(1))]), &meter);
        let mut new = filter(&KIND, "percentiles = ['50']").unwrap();
        new.restore(&old.save().unwrap()).unwrap();
        feed(&mut *new, &samples(&[("c", "counter", Value::Integer(1))]), &meter);
        let out = flush(&mut *new);
        assert_eq!((value(&out, "stats.gauges.g"), value(&out, "stats.counters.c.count")), (Some(8.0), Some(2.0)));
        assert!(filter(&KIND, "").unwrap().restore(b"what is this").is_err());
    }

    #[test]
    fn bad_options_are_told_with_their_place() {
        let problem = filter(&KIND, "percentiles = ['101']").err().unwrap();
        assert!(problem.contains("test.toml:1:15: `101` is not a percentile"), "{problem}");
    }
}
