//! The most frequent values in a window: paths, clients, errors, whatever fills the stream.
//!
//! A Space-Saving sketch (`sketch::TopK`) of `max_keys` counters: a key that makes up more than one
//! `max_keys`th of all is never missed, a count never too low, and too high by no more than its `error`
//! says; with no more than `max_keys` keys in a window all counts are exact.

use std::sync::Arc;
use std::time::Duration;

use matcher::{Part, Parts};
use message::{Batch, BatchBuilder, Selection};
use options::{Opt, Options, Problem};
use plugin::{Carried, Example, Filter, FilterCx, FilterFailure, Gauge, Kind, Stability};
use sketch::{Sketch, TopK};

use crate::bounds::{some_time, within};
use crate::saved::{Loader, Saver};

pub const KIND: Kind = Kind::filter("top", Stability::Stable, |o, _| Ok(Box::new(Top::new(o)?)))
    .summary("Tells the most frequent values of a window.")
    .doc(
        "At every tick, for each of the `show` most frequent combinations of values, a message of Type `nilometer.top` with the Fields `rank` \
         (from 1), `count`, `error` (by how much the count may be too high), `share` (of all, from 0 to 1) and one for each of `by`, and a Payload \
         for people. With `sum`, that field's numbers are added up instead of messages counted; fractions are cut off, and negative ones passed over. \
         Each window begins with nothing. Memory: some 60 bytes and the values for each of `max_keys`.",
    )
    .options(&[
        Opt::strings("by").required().sample("[\"request_uri\"]").doc("Headers or fields; each combination of their values is a key."),
        Opt::duration("every").default("1m").doc("Length of a window."),
        Opt::integer("show").default("10").doc("How many are told."),
        Opt::string("sum").sample("\"bytes\"").doc("Field whose numbers are added up. Default: messages are counted."),
        Opt::integer("max_keys").default("1000").doc("Keys that are counted at a time: a hundred times `show` gives sound answers."),
    ])
    .examples(&[
        Example { title: "Who asks most", toml: "by = [\"remote_addr\"]\nevery = \"1m\"" },
        Example { title: "What moves the most bytes", toml: "by = [\"Hostname\", \"request_uri\"]\nsum = \"body_bytes_sent\"\nshow = 5" },
    ]);

/// Most bytes of one value that tell it from others.
const LONGEST: usize = 256;

struct Top {
    by: Parts,
    every: Duration,
    show: usize,
    sum: Option<Part>,
    keys: TopK,
    most: usize,
    key: Vec<u8>,
    meaning: String,
}

impl Top {
    fn new(o: &Options) -> Result<Top, Problem> {
        let by = Parts::new(o.strings("by"));
        if by.is_empty() {
            return Err(o.problem("by", "this filter counts nothing", "expected names of headers or fields"));
        }
        let (max_keys, show) = (within(o, "max_keys", 1, 1 << 20)?, within(o, "show", 1, 10_000)?);
        let out_of_range = || o.problem("max_keys", "`max_keys` is out of range", "expected 1 to 1048576");
        Ok(Top {
            by,
            every: some_time(o, "every")?,
            show,
            sum: o.get_str("sum").map(Part::new),
            keys: TopK::new(max_keys).ok_or_else(out_of_range)?,
            most: 0,
            key: Vec::new(),
            meaning: format!("{}\n{}\n{max_keys}", o.strings("by").join("\t"), o.str("sum")),
        })
    }
}

impl Filter for Top {
    fn messages(
        &mut self,
        batch: &Arc<Batch>,
        selection: &Selection,
        _: &mut BatchBuilder,
        cx: &FilterCx<'_>,
    ) -> Result<(), FilterFailure> {
        let mut without = 0;
        for m in batch.selected(selection) {
            let n = self.sum.as_ref().map_or(Some(1.0), |part| part.number(m)).filter(|n| *n >= 0.0);
            match n {
                Some(n) if self.by.key(m, LONGEST, &mut self.key) => self.keys.add(&self.key, n as u64),
                _ => without += 1,
            }
        }
        self.most = self.most.max(self.keys.len());
        cx.meter.add_extra("passed_over", without);
        Ok(())
    }

    fn every(&self) -> Option<Duration> {
        Some(self.every)
    }

    fn tick(&mut self, due: i64, _last: bool, out: &mut BatchBuilder, _: &FilterCx<'_>) -> Result<(), FilterFailure> {
        let total = self.keys.total();
        for (rank, top) in (1..).zip(self.keys.list(self.show)) {
            let share = top.count as f64 / total.max(1) as f64;
            let values = self.by.values(top.item).map(|(_, value)| String::from_utf8_lossy(value.unwrap_or_default()));
            let text = format!("{rank}. {}: {} ({:.1} %)", values.collect::<Vec<_>>().join(" "), top.count, share * 100.0);
            let mut m = out.add();
            m.set_type(b"nilometer.top");
            m.set_timestamp(due);
            m.set_payload(text.as_bytes());
            m.add_integer(b"rank", rank);
            m.add_integer(b"count", i64::try_from(top.count).unwrap_or(i64::MAX));
            m.add_integer(b"error", i64::try_from(top.error).unwrap_or(i64::MAX));
            m.add_double(b"share", share);
            for (part, value) in self.by.values(top.item) {
                m.add_string(part.name().as_bytes(), value.unwrap_or_default());
            }
        }
        self.keys.clear();
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        let mut into = Saver::new(&self.meaning);
        let mut keys = Vec::new();
        self.keys.save(&mut keys);
        into.text(&keys);
        Ok(into.done())
    }

    fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        let keys = Loader::new(saved, &self.meaning)?.text().and_then(TopK::restore);
        self.keys = keys.filter(|k| k.capacity() == self.keys.capacity()).ok_or("the saved state is damaged")?;
        Ok(Carried { carried: vec!["the open window".to_string()], ..Carried::default() })
    }

    fn gauges(&self) -> Vec<Gauge> {
        let (current, cap) = (self.keys.len() as u64, self.keys.capacity() as u64);
        vec![Gauge { name: "max_keys", unit: "keys", current, max: (self.most as u64).max(current), cap }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{feed, tick};
    use message::{MessageRef, Value};
    use testkit::plugins::filter;

    fn batch(paths: &[(&str, i64)]) -> Arc<Batch> {
        let mut b = BatchBuilder::default();
        for (path, bytes) in paths {
            let mut m = b.add();
            m.add_string(b"path", path.as_bytes());
            m.add_integer(b"bytes", *bytes);
        }
        Arc::new(b.finish())
    }

    const SEEN: &[(&str, i64)] = &[("/a", 1), ("/b", 7), ("/a", 1), ("/c", 1), ("/b", 1), ("/a", -5)];

    fn told(out: &Batch) -> Vec<(i64, String, i64)> {
        let integer = |m: MessageRef<'_>, name: &[u8]| m.value(name, 0, 0).and_then(Value::as_f64).unwrap() as i64;
        let path = |m: MessageRef<'_>| String::from_utf8(m.value(b"path", 0, 0).unwrap().as_bytes().unwrap().to_vec()).unwrap();
        out.iter().map(|m| (integer(m, b"rank"), path(m), integer(m, b"count"))).collect()
    }

    #[test]
    fn the_most_frequent_come_first() {
        let row = |rank, path: &str, count| (rank, path.to_string(), count);
        let mut top = filter(&KIND, "by = 'path'\nshow = 2").unwrap();
        feed(&mut *top, &batch(SEEN));
        let out = tick(&mut *top, 5, false);
        assert_eq!(told(&out), [row(1, "/a", 3), row(2, "/b", 2)]);
        assert_eq!((out.get(0).payload(), out.get(0).value(b"share", 0, 0)), (&b"1. /a: 3 (50.0 %)"[..], Some(Value::Double(0.5))));
        assert!(tick(&mut *top, 6, false).is_empty());
        let mut top = filter(&KIND, "by = 'path'\nsum = 'bytes'").unwrap();
        assert!(feed(&mut *top, &batch(SEEN)).read().contains(&("passed_over", 1)));
        assert_eq!(told(&tick(&mut *top, 5, false)), [row(1, "/b", 8), row(2, "/a", 2), row(3, "/c", 1)]);
    }

    #[test]
    fn an_open_window_is_carried_over() {
        let (mut old, mut new) = (filter(&KIND, "by = 'path'").unwrap(), filter(&KIND, "by = 'path'\nshow = 1").unwrap());
        feed(&mut *old, &batch(SEEN));
        let saved = old.save().unwrap();
        new.restore(&saved).unwrap();
        feed(&mut *new, &batch(&[("/b", 1), ("/b", 1)]));
        assert_eq!(told(&tick(&mut *new, 5, false)), [(1, "/b".to_string(), 4)]);
        assert!(filter(&KIND, "by = 'Type'").unwrap().restore(&saved).is_err());
        for end in 0..saved.len() {
            assert!(filter(&KIND, "by = 'path'").unwrap().restore(&saved[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn bad_options_are_told() {
        assert!(filter(&KIND, "by = []").err().unwrap().contains("counts nothing"));
        assert!(filter(&KIND, "by = 'a'\nmax_keys = 0").err().unwrap().contains("expected 1 to"));
    }
}
