//! Metrics of log messages: how many there were, what they add up to, the last value, how values are spread.
//!
//! Each metric has a name, a kind and tags of its own, as dashboards want them; for all statistics of
//! some fields at once there is `aggregate`. What was added up since the last tick survives reloads
//! and restarts.

mod definition;

use std::sync::Arc;
use std::time::Duration;

use message::{Batch, BatchBuilder, MessageRef, Selection};
use options::{Opt, Options, Problem};
use plugin::{Carried, Example, Filter, FilterCx, FilterFailure, Gauge, Kind, Stability};

use crate::bounds::{some_time, within};
use crate::metric;
use crate::pending::Pending;
use crate::saved::{Loader, Saver};
use definition::{Definition, Measure};

pub const KIND: Kind = Kind::filter("log_to_metric", Stability::Stable, |o, _| Ok(Box::new(LogToMetric::new(o)?)))
    .summary("Makes counters, gauges and histograms of log messages.")
    .doc(
        "Each entry of `metrics` is a metric of that name: a table with `kind` (`counter`, `gauge` or `histogram`), `field` (whose numbers count), `by` \
         (headers and fields that are its tags, beside those of all) and, for a histogram, `bounds`. A counter without a field counts messages. At \
         every tick, messages of Type `metric` go out with the Fields `name`, `value`, `kind` and the tags: a counter's increase since the last \
         tick, a gauge's last value, and of a histogram the increase of `NAME.count`, `NAME.sum` and, with a tag `le`, of `NAME.bucket`: how many values were \
         at most that. What was not seen since the last tick is not told. A message without the field, or without a number in it, adds nothing to that \
         metric; nor does a negative number to a counter. Of more than `max_series` series in a window, further ones are passed over and counted.",
    )
    .options(&[
        Opt::tree("metrics").required().sample("{ requests = { kind = \"counter\" } }").doc("The metrics, by name."),
        Opt::strings("by").sample("[\"Hostname\"]").doc("Headers or fields that are tags of all metrics."),
        Opt::duration("every").default("10s").doc("Time between ticks."),
        Opt::integer("max_series").default("10000").doc("Most metrics with their tags that are kept until the next tick, some 200 bytes each, and 8 more for each bound."),
    ])
    .examples(&[Example {
        title: "What an access log tells",
        toml: "by = [\"Hostname\"]\nmetrics = { requests = { kind = \"counter\", by = [\"status\"] }, sent = { kind = \"counter\", field = \"body_bytes_sent\" }, \
               took = { kind = \"histogram\", field = \"request_time\", bounds = [0.1, 0.5, 1, 5] } }",
    }]);

/// Most bytes of one value that tell it from others.
const LONGEST: usize = 256;

struct LogToMetric {
    metrics: Vec<Definition>,
    every: Duration,
    max_series: usize,
    series: Pending<Series>,
    key: Vec<u8>,
    meaning: String,
}

/// What was added up of one metric with its tags.
struct Series {
    /// Place of its definition.
    metric: usize,
    count: u64,
    /// The sum, or a gauge's last value.
    value: f64,
    /// Values up to each bound and not to the one before.
    buckets: Vec<u64>,
}

impl LogToMetric {
    fn new(o: &Options) -> Result<LogToMetric, Problem> {
        let metrics = definition::read(o, "metrics", o.strings("by"))?;
        Ok(LogToMetric {
            every: some_time(o, "every")?,
            max_series: within(o, "max_series", 1, 10_000_000)?,
            series: Pending::new(),
            key: Vec::new(),
            meaning: metrics.iter().map(Definition::meaning).collect::<Vec<_>>().join("\n"),
            metrics,
        })
    }

    /// Adds a message up; returns how many series there is no room for.
    fn add(&mut self, m: MessageRef<'_>) -> u64 {
        let mut refused = 0;
        for (place, metric) in self.metrics.iter().enumerate() {
            let Some(value) = metric.value(m) else { continue };
            metric.by.key(m, LONGEST, &mut self.key);
            self.key.extend((place as u32).to_le_bytes());
            if !self.series.contains(&self.key) {
                if self.series.len() >= self.max_series {
                    refused += 1;
                    continue;
                }
                self.series.insert(&self.key, Series { metric: place, count: 0, value: 0.0, buckets: vec![0; metric.bounds().len()] });
            }
            let Some(series) = self.series.get_mut(&self.key) else { continue };
            series.count += 1;
            series.value = if metric.measure == Measure::Gauge { value } else { series.value + value };
            if let Some(bucket) = metric.bounds().iter().position(|bound| value <= *bound) {
                series.buckets[bucket] += 1;
            }
        }
        refused
    }

    fn tell(&self, key: &[u8], series: &Series, at: i64, out: &mut BatchBuilder) {
        let metric = &self.metrics[series.metric];
        let mut say = |name: &str, value: f64, le: Option<String>| {
            if !value.is_finite() {
                return;
            }
            let mut m = metric::add(out, at, name.as_bytes(), value, metric.measure.name());
            metric::tags(&mut m, &metric.by, Some(key));
            if let Some(le) = le {
                metric::tag(&mut m, b"le", le.as_bytes());
            }
        };
        let Measure::Histogram(bounds) = &metric.measure else { return say(&metric.name, series.value, None) };
        say(&format!("{}.count", metric.name), series.count as f64, None);
        say(&format!("{}.sum", metric.name), series.value, None);
        let mut below = 0;
        for (bound, n) in bounds.iter().zip(&series.buckets) {
            below += n;
            say(&format!("{}.bucket", metric.name), below as f64, Some(bound.to_string()));
        }
        say(&format!("{}.bucket", metric.name), series.count as f64, Some("+Inf".to_string()));
    }
}

impl Filter for LogToMetric {
    fn messages(
        &mut self,
        batch: &Arc<Batch>,
        selection: &Selection,
        _: &mut BatchBuilder,
        cx: &FilterCx<'_>,
    ) -> Result<(), FilterFailure> {
        let refused = batch.selected(selection).map(|m| self.add(m)).sum();
        cx.meter.add_extra("series_refused", refused);
        Ok(())
    }

    fn every(&self) -> Option<Duration> {
        Some(self.every)
    }

    fn tick(&mut self, due: i64, _last: bool, out: &mut BatchBuilder, _: &FilterCx<'_>) -> Result<(), FilterFailure> {
        for (key, series) in self.series.take(|_| true) {
            self.tell(&key, &series, due, out);
        }
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        let mut into = Saver::new(&self.meaning);
        for (key, series) in self.series.iter() {
            into.text(key);
            into.u64(series.metric as u64);
            into.u64(series.count);
            into.f64(series.value);
            series.buckets.iter().for_each(|n| into.u64(*n));
        }
        Ok(into.done())
    }

    fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        let mut all = Pending::new();
        Loader::new(saved, &self.meaning)?.all(|from| {
            let (key, metric, count, value) = (from.text()?, from.u64()? as usize, from.u64()?, from.f64()?);
            let bounds = self.metrics.get(metric)?.bounds().len();
            let buckets = (0..bounds).map(|_| from.u64()).collect::<Option<Vec<_>>>()?;
            if buckets.iter().fold(0, |sum, n| n.saturating_add(sum)) > count {
                return None;
            }
            if all.len() < self.max_series {
                all.insert(key, Series { metric, count, value, buckets });
            }
            Some(())
        })?;
        self.series = all;
        Ok(Carried { carried: vec!["the open window".to_string()], ..Carried::default() })
    }

    fn gauges(&self) -> Vec<Gauge> {
        let (current, max) = (self.series.len() as u64, self.series.most() as u64);
        vec![Gauge { name: "max_series", unit: "series", current, max, cap: self.max_series as u64 }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{feed, tick};
    use matcher::Part;
    use testkit::plugins::filter;

    const TOML: &str = "by = 'Type'\nmetrics = { n = { kind = 'counter', by = 'host' }, bytes = { kind = 'counter', field = 'size' }, \
                        temp = { kind = 'gauge', field = 'size' }, took = { kind = 'histogram', field = 'took', bounds = [1, 2.5] } }";

    fn batch(messages: &[(&str, i64, &str)]) -> Arc<Batch> {
        let mut b = BatchBuilder::default();
        for (host, size, took) in messages {
            let mut m = b.add();
            m.set_type(b"t");
            m.add_string(b"host", host.as_bytes());
            m.add_integer(b"size", *size);
            m.add_string(b"took", took.as_bytes());
        }
        Arc::new(b.finish())
    }

    fn told(out: &Batch) -> Vec<String> {
        let one = |m: MessageRef<'_>| {
            assert_eq!((m.type_(), m.timestamp()), (&b"metric"[..], 9));
            let text = |name: &str| {
                let mut text = Vec::new();
                Part::new(name).write(m, &mut text);
                String::from_utf8(text).unwrap()
            };
            ["Fields[Type]", "name", "value", "kind", "host", "le"].map(text).join(" ").trim_end().to_string()
        };
        out.iter().map(one).collect()
    }

    const SEEN: &[(&str, i64, &str)] = &[("a", 5, "0.5"), ("b", -2, "2"), ("a", 3, "7"), ("a", 1, "x")];
    const TOLD: [&str; 9] = [
        "t n 3 counter a",
        "t bytes 9 counter",
        "t temp 1 gauge",
        "t took.count 3 histogram",
        "t took.sum 9.5 histogram",
        "t took.bucket 1 histogram  1",
        "t took.bucket 2 histogram  2.5",
        "t took.bucket 3 histogram  +Inf",
        "t n 1 counter b",
    ];

    #[test]
    fn messages_become_metrics() {
        let mut filter = filter(&KIND, TOML).unwrap();
        feed(&mut *filter, &batch(SEEN));
        assert_eq!(told(&tick(&mut *filter, 9, false)), TOLD);
        assert!(tick(&mut *filter, 9, false).is_empty());
    }

    #[test]
    fn an_open_window_is_carried_over() {
        let (mut old, mut new) = (filter(&KIND, TOML).unwrap(), filter(&KIND, TOML).unwrap());
        feed(&mut *old, &batch(&SEEN[..2]));
        let saved = old.save().unwrap();
        new.restore(&saved).unwrap();
        feed(&mut *new, &batch(&SEEN[2..]));
        assert_eq!(told(&tick(&mut *new, 9, false)), TOLD);
        assert!(filter(&KIND, "metrics = { n = { kind = 'counter' } }").unwrap().restore(&saved).is_err());
        assert!(old.restore(&saved[..saved.len() - 1]).is_err());
    }

    #[test]
    fn series_are_capped() {
        let mut filter = filter(&KIND, &format!("{TOML}\nmax_series = 2")).unwrap();
        assert!(feed(&mut *filter, &batch(SEEN)).read().contains(&("series_refused", 8)));
        assert_eq!(told(&tick(&mut *filter, 9, false)).len(), 2);
    }
}
