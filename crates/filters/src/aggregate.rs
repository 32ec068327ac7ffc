//! Statistics of numbers in messages, by window and group: counts, sums, extremes, means, quantiles.
//!
//! For dashboards and alerts over what logs say. A window is the time between two ticks. Quantiles are
//! those of a DDSketch: off by at most `accuracy` of their value; all else is exact. What was added up
//! in an open window survives reloads and restarts; an orderly stop ends it.

use std::sync::Arc;
use std::time::Duration;

use matcher::{Part, Parts};
use message::{Batch, BatchBuilder, MessageRef, Selection};
use options::{Opt, Options, Problem};
use plugin::{Carried, Example, Filter, FilterCx, FilterFailure, Gauge, Kind, Stability};
use sketch::{DdSketch, Sketch};

use crate::bounds::{some_time, within};
use crate::metric;
use crate::pending::Pending;
use crate::saved::{Loader, Saver};

pub const KIND: Kind = Kind::filter("aggregate", Stability::Stable, |o, _| Ok(Box::new(Aggregate::new(o)?)))
    .summary("Computes counts, sums, extremes, means and quantiles of fields, by window and group.")
    .doc(
        "At every tick, messages of Type `metric` with the Fields `name`, `value`, `kind` and one for each of `by`: `messages` (a counter of this \
         window's messages), and for each of `fields` those of `stats`, as `took.count`, `took.sum` (counters), `took.min`, `took.max`, `took.avg`, \
         `took.p99` (gauges). A value is a number, or text that is one; others are passed over and counted. Groups without a message in a window \
         are not told. When `max_series` groups are known in a window, further ones are added up together, as `(other)`. Memory: some 200 \
         bytes a group and field, and with percentiles up to 32 KiB more where values differ by many orders of magnitude.",
    )
    .options(&[
        Opt::strings("fields").sample("[\"request_time\", \"bytes\"]").doc("Fields with numbers. Without any, messages are counted."),
        Opt::strings("by").sample("[\"Hostname\", \"status\"]").doc("Headers or fields; each combination of their values is a group, and they are tags."),
        Opt::duration("every").default("10s").doc("Length of a window."),
        Opt::strings("stats").sample("[\"count\", \"avg\", \"max\"]").doc("What is told of a field: count, sum, min, max and avg. Default: all of them."),
        Opt::strings("percentiles").sample("[\"50\", \"99.9\"]").doc("Percentiles that are told of a field, above 0 and up to 100."),
        Opt::float("accuracy").default("0.01").doc("How far a percentile may be off, relative to its value: 0.001 to 0.1."),
        Opt::string("prefix").default("").sample("\"nginx.\"").doc("What stands before every name."),
        Opt::integer("max_series").default("10000").doc("Most groups in a window that are told apart."),
    ])
    .examples(&[Example {
        title: "How long requests take, by status",
        toml: "fields = [\"request_time\"]\nby = [\"status\"]\nevery = \"1m\"\nstats = [\"count\", \"avg\", \"max\"]\npercentiles = [\"50\", \"99\"]",
    }]);

/// Most bytes of one value that tell it from others.
const LONGEST: usize = 256;
const STATS: [&str; 5] = ["count", "sum", "min", "max", "avg"];
/// Of a sketch, for each sign.
const BUCKETS: usize = 2048;

struct Aggregate {
    every: Duration,
    by: Parts,
    fields: Vec<Part>,
    stats: [bool; 5],
    /// Each with its name.
    percentiles: Vec<(String, f64)>,
    accuracy: f64,
    prefix: String,
    max_series: usize,
    groups: Pending<Group>,
    other: Option<Group>,
    key: Vec<u8>,
    meaning: String,
}

/// What was added up of a group.
struct Group {
    messages: u64,
    fields: Vec<Field>,
}

struct Field {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    sketch: Option<DdSketch>,
}

impl Aggregate {
    fn new(o: &Options) -> Result<Aggregate, Problem> {
        let fields: Vec<Part> = o.strings("fields").iter().map(|f| Part::new(f)).collect();
        let accuracy = match o.get_float("accuracy").unwrap_or(f64::NAN) {
            a if (0.001..=0.1).contains(&a) => a,
            a => return Err(o.problem("accuracy", "`accuracy` is out of range", format!("found {a}, expected 0.001 to 0.1"))),
        };
        let percentiles = o.strings("percentiles").iter().map(|p| percentile(o, p)).collect::<Result<Vec<_>, _>>()?;
        let list = |name: &str| o.strings(name).join("\t");
        Ok(Aggregate {
            every: some_time(o, "every")?,
            by: Parts::new(o.strings("by")),
            fields,
            stats: stats(o)?,
            meaning: format!("{}\n{}\n{}", list("by"), list("fields"), if percentiles.is_empty() { 0.0 } else { accuracy }),
            percentiles,
            accuracy,
            prefix: o.str("prefix").to_string(),
            max_series: within(o, "max_series", 1, 10_000_000)?,
            groups: Pending::new(),
            other: None,
            key: Vec::new(),
        })
    }

    fn group(&self) -> Group {
        let sketch = || (!self.percentiles.is_empty()).then(|| DdSketch::new(self.accuracy, BUCKETS)).flatten();
        let field = |_: &Part| Field { count: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, sketch: sketch() };
        Group { messages: 0, fields: self.fields.iter().map(field).collect() }
    }

    /// Adds a message up; returns how many of its fields are there and no numbers.
    fn add(&mut self, m: MessageRef<'_>) -> u64 {
        self.by.key(m, LONGEST, &mut self.key);
        let known = self.groups.contains(&self.key);
        if !known && self.groups.len() < self.max_series {
            let new = self.group();
            self.groups.insert(&self.key, new);
        } else if !known && self.other.is_none() {
            self.other = Some(self.group());
        }
        let Some(group) = self.groups.get_mut(&self.key).or(self.other.as_mut()) else { return 0 };
        group.messages += 1;
        let mut odd = 0;
        for (field, part) in group.fields.iter_mut().zip(&self.fields) {
            match part.number(m) {
                Some(value) => field.add(value),
                None => odd += part.with(m, |value| u64::from(value.is_some())),
            }
        }
        odd
    }

    fn tell(&self, group: &Group, key: Option<&[u8]>, at: i64, out: &mut BatchBuilder) {
        let mut say = |name: &str, value: f64, kind: &str| {
            if value.is_finite() {
                let name = format!("{}{name}", self.prefix);
                metric::tags(&mut metric::add(out, at, name.as_bytes(), value, kind), &self.by, key);
            }
        };
        say("messages", group.messages as f64, "counter");
        for (field, part) in group.fields.iter().zip(&self.fields).filter(|(field, _)| field.count > 0) {
            let values = [field.count as f64, field.sum, field.min, field.max, field.sum / field.count as f64];
            for (nth, value) in values.into_iter().enumerate().filter(|(nth, _)| self.stats[*nth]) {
                say(&format!("{}.{}", part.name(), STATS[nth]), value, if nth < 2 { "counter" } else { "gauge" });
            }
            for (name, q) in &self.percentiles {
                if let Some(value) = field.sketch.as_ref().and_then(|s| s.quantile(*q)) {
                    say(&format!("{}.{name}", part.name()), value, "gauge");
                }
            }
        }
    }
}

fn stats(o: &Options) -> Result<[bool; 5], Problem> {
    let mut stats = [o.strings("stats").is_empty(); 5];
    for name in o.strings("stats") {
        let Some(nth) = STATS.iter().position(|s| s == name) else {
            let problem = o.problem("stats", format!("there is no statistic `{name}`"), format!("expected {}", STATS.join(", ")));
            return Err(match options::nearest(name, STATS) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help("quantiles are named in `percentiles`"),
            });
        };
        stats[nth] = true;
    }
    Ok(stats)
}

/// `99.9` as `p99.9` and 0.999.
fn percentile(o: &Options, text: &str) -> Result<(String, f64), Problem> {
    match text.parse::<f64>() {
        Ok(p) if p > 0.0 && p <= 100.0 => Ok((format!("p{p}"), p / 100.0)),
        _ => Err(o.problem("percentiles", format!("`{text}` is not a percentile"), "expected a number above 0, up to 100")),
    }
}

impl Field {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if let Some(sketch) = &mut self.sketch {
            sketch.add(value, 1);
        }
    }

    fn save(&self, into: &mut Saver) {
        into.u64(self.count);
        [self.sum, self.min, self.max].into_iter().for_each(|x| into.f64(x));
        let mut sketch = Vec::new();
        if let Some(s) = &self.sketch {
            s.save(&mut sketch);
        }
        into.text(&sketch);
    }

    fn load(&mut self, from: &mut Loader<'_>) -> Option<()> {
        (self.count, self.sum, self.min, self.max) = (from.u64()?, from.f64()?, from.f64()?, from.f64()?);
        let saved = from.text()?;
        if let Some(sketch) = &mut self.sketch {
            *sketch = DdSketch::restore(saved).filter(|s| s.alpha() == sketch.alpha() && s.max_buckets() == sketch.max_buckets())?;
        }
        Some(())
    }
}

impl Group {
    fn save(&self, into: &mut Saver) {
        into.u64(self.messages);
        self.fields.iter().for_each(|f| f.save(into));
    }

    fn load(&mut self, from: &mut Loader<'_>) -> Option<()> {
        self.messages = from.u64()?;
        self.fields.iter_mut().try_for_each(|f| f.load(from))
    }
}

impl Filter for Aggregate {
    fn messages(
        &mut self,
        batch: &Arc<Batch>,
        selection: &Selection,
        _: &mut BatchBuilder,
        cx: &FilterCx<'_>,
    ) -> Result<(), FilterFailure> {
        let odd = batch.selected(selection).map(|m| self.add(m)).sum();
        cx.meter.add_extra("not_numbers", odd);
        Ok(())
    }

    fn every(&self) -> Option<Duration> {
        Some(self.every)
    }

    fn tick(&mut self, due: i64, _last: bool, out: &mut BatchBuilder, _: &FilterCx<'_>) -> Result<(), FilterFailure> {
        for (key, group) in self.groups.take(|_| true) {
            self.tell(&group, Some(&key), due, out);
        }
        if let Some(other) = self.other.take() {
            self.tell(&other, None, due, out);
        }
        Ok(())
    }

    /// Groups with their keys; that of all others behind a key of its own, which no message has.
    fn save(&mut self) -> Result<Vec<u8>, String> {
        let mut into = Saver::new(&self.meaning);
        let others = self.other.iter().map(|group| (None, group));
        for (key, group) in self.groups.iter().map(|(key, group)| (Some(key), group)).chain(others) {
            into.byte(u8::from(key.is_none()));
            into.text(key.unwrap_or_default());
            group.save(&mut into);
        }
        Ok(into.done())
    }

    fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        let (mut groups, mut other) = (Pending::new(), None);
        Loader::new(saved, &self.meaning)?.all(|from| {
            let (is_other, key) = (from.byte()? != 0, from.text()?);
            let mut group = self.group();
            group.load(from)?;
            if is_other {
                other = Some(group);
            } else if groups.len() < self.max_series {
                groups.insert(key, group);
            }
            Some(())
        })?;
        (self.groups, self.other) = (groups, other);
        Ok(Carried { carried: vec!["the open window".to_string()], ..Carried::default() })
    }

    fn gauges(&self) -> Vec<Gauge> {
        let (current, max) = (self.groups.len() as u64, self.groups.most() as u64);
        vec![Gauge { name: "max_series", unit: "series", current, max, cap: self.max_series as u64 }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{feed, tick};
    use testkit::plugins::filter;

    fn batch(messages: &[(&str, f64)]) -> Arc<Batch> {
        let mut b = BatchBuilder::default();
        for (host, took) in messages {
            let mut m = b.add();
            m.set_hostname(host.as_bytes());
            m.add_double(b"took", *took);
            m.add_string(b"size", b"2");
            m.add_string(b"odd", b"two");
        }
        Arc::new(b.finish())
    }

    fn told(batch: &Batch) -> Vec<String> {
        let text = |m: MessageRef<'_>, name: &str| {
            let mut text = Vec::new();
            Part::new(name).write(m, &mut text);
            String::from_utf8(text).unwrap()
        };
        batch.iter().map(|m| format!("{} {} {} {}", text(m, "Hostname"), text(m, "name"), text(m, "value"), text(m, "kind"))).collect()
    }

    #[test]
    fn windows_are_told_by_group() {
        let mut aggregate =
            filter(&KIND, "fields = ['took', 'size', 'odd']\nby = 'Hostname'\npercentiles = ['50']\nprefix = 'x.'").unwrap();
        let meter = feed(&mut *aggregate, &batch(&[("a", 1.0), ("b", 0.5), ("a", 3.0), ("a", 2.0)]));
        assert!(meter.read().contains(&("not_numbers", 4)));
        let out = tick(&mut *aggregate, 7, false);
        assert!(out.iter().all(|m| (m.type_(), m.timestamp()) == (b"metric", 7)));
        let by_tag = |m: MessageRef<'_>| m.value(b"Hostname", 0, 0).and_then(|v| v.as_bytes()).map(<[u8]>::to_vec);
        assert_eq!(out.iter().filter(|m| by_tag(*m) == Some(b"a".to_vec())).count(), 13);
        let lines = told(&out);
        for line in [
            "x.messages 3 counter",
            "x.took.sum 6 counter",
            "x.took.min 1 gauge",
            "x.took.avg 2 gauge",
            "x.size.count 3 counter",
            "x.messages 1 counter",
        ] {
            assert!(lines.contains(&format!(" {line}")), "{line} in {lines:?}");
        }
        let median = out.iter().find(|m| m.value(b"name", 0, 0).unwrap().as_bytes() == Some(b"x.took.p50")).unwrap();
        let median = median.value(b"value", 0, 0).unwrap().as_f64().unwrap();
        assert!((median - 2.0).abs() <= 0.02, "{median}");
        assert!(tick(&mut *aggregate, 8, false).is_empty(), "each window by itself");
    }

    #[test]
    fn groups_beyond_the_cap_are_told_together() {
        let mut aggregate = filter(&KIND, "by = 'Hostname'\nmax_series = 2").unwrap();
        feed(&mut *aggregate, &batch(&[("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 1.0), ("a", 1.0)]));
        let gauge = &aggregate.gauges()[0];
        assert_eq!((gauge.current, gauge.cap), (2, 2));
        let saved = aggregate.save().unwrap();
        let mut new = filter(&KIND, "by = 'Hostname'\nmax_series = 2").unwrap();
        new.restore(&saved).unwrap();
        for filter in [&mut aggregate, &mut new] {
            let out = tick(&mut **filter, 0, true);
            let hosts: Vec<_> =
                out.iter().map(|m| (m.value(b"Hostname", 0, 0).unwrap().as_bytes().unwrap().to_vec(), m.value(b"value", 0, 0))).collect();
            let n = |n| Some(message::Value::Integer(n));
            assert_eq!(hosts, [(b"a".to_vec(), n(2)), (b"b".to_vec(), n(1)), (b"(other)".to_vec(), n(2))]);
        }
    }

    #[test]
    fn an_open_window_is_carried_over() {
        let toml = "fields = 'took'\nby = 'Hostname'\npercentiles = ['90']";
        let (first, second) = (batch(&[("a", 1.0), ("b", 0.5)]), batch(&[("a", 7.0), ("c", 9.5)]));
        let mut whole = filter(&KIND, toml).unwrap();
        feed(&mut *whole, &first);
        let saved = whole.save().unwrap();
        feed(&mut *whole, &second);
        let mut new = filter(&KIND, toml).unwrap();
        new.restore(&saved).unwrap();
        feed(&mut *new, &second);
        assert_eq!(told(&tick(&mut *new, 1, false)), told(&tick(&mut *whole, 1, false)));
        assert!(filter(&KIND, "fields = 'took'").unwrap().restore(&saved).unwrap_err().contains("other options"));
        for end in 0..saved.len() {
            let _ = filter(&KIND, toml).unwrap().restore(&saved[..end]);
        }
    }

    #[test]
    fn bad_options_are_told() {
        let error = |toml: &str| filter(&KIND, toml).err().unwrap();
        assert!(error("stats = ['cuont']").contains("did you mean `count`?"));
        assert!(error("percentiles = ['101']").contains("not a percentile"));
        assert!(error("accuracy = 0.5").contains("expected 0.001 to 0.1"));
        assert!(error("every = '0s'").contains("no time at all"));
    }
}
