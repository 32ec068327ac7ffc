//! How many different values a field has: of users, paths, or labels that are about to explode.
//!
//! A HyperLogLog for each field and group: the count is off by 0.8 % on average, in 12 KiB whatever it
//! is. To act on it, match its metrics with a rule or use the transform `limit_cardinality`.

use std::sync::Arc;
use std::time::Duration;

use matcher::Parts;
use message::{Batch, BatchBuilder, MessageRef, Selection};
use options::{Opt, Options, Problem};
use plugin::{Carried, Example, Filter, FilterCx, FilterFailure, Gauge, Kind, Stability};
use sketch::{HyperLogLog, Sketch};

use crate::bounds::{some_time, within};
use crate::metric;
use crate::pending::Pending;
use crate::saved::{Loader, Saver};

pub const KIND: Kind = Kind::filter("watch_cardinality", Stability::Stable, |o, _| Ok(Box::new(Watch::new(o)?)))
    .summary("Tells how many different values fields have in a window.")
    .doc(
        "At every tick, for each of `fields` a message of Type `metric` with the Fields `name` (`cardinality`), `value`, `kind` (`gauge`), `field`, \
         and one for each of `by`. The value is an estimate: exact for a few, off by 0.8 % on average. Windows begin with nothing. \
         When `max_keys` groups are known in a window, further ones are taken together, as `(other)`. Memory: 12 KiB a field and group.",
    )
    .options(&[
        Opt::strings("fields").required().sample("[\"user\", \"request_uri\"]").doc("Headers or fields whose different values are counted."),
        Opt::strings("by").sample("[\"Hostname\"]").doc("Headers or fields; each combination of their values is a group."),
        Opt::duration("every").default("1m").doc("Length of a window."),
        Opt::integer("max_keys").default("100").doc("Most groups in a window that are told apart."),
    ])
    .examples(&[Example { title: "Labels of each service", toml: "fields = [\"route\", \"customer\"]\nby = [\"service\"]\nevery = \"1h\"" }]);

/// Most bytes of one value that tell a group from others.
const LONGEST: usize = 256;

struct Watch {
    fields: Parts,
    by: Parts,
    every: Duration,
    max_keys: usize,
    groups: Pending<Vec<HyperLogLog>>,
    other: Option<Vec<HyperLogLog>>,
    key: Vec<u8>,
    value: Vec<u8>,
    meaning: String,
}

impl Watch {
    fn new(o: &Options) -> Result<Watch, Problem> {
        let fields = Parts::new(o.strings("fields"));
        if fields.is_empty() {
            return Err(o.problem("fields", "this filter watches nothing", "expected names of headers or fields"));
        }
        Ok(Watch {
            fields,
            by: Parts::new(o.strings("by")),
            every: some_time(o, "every")?,
            max_keys: within(o, "max_keys", 1, 100_000)?,
            groups: Pending::new(),
            other: None,
            key: Vec::new(),
            value: Vec::new(),
            meaning: format!("{}\n{}", o.strings("fields").join("\t"), o.strings("by").join("\t")),
        })
    }

    fn group(&self) -> Vec<HyperLogLog> {
        self.fields.iter().map(|_| HyperLogLog::default()).collect()
    }

    fn add(&mut self, m: MessageRef<'_>) {
        self.by.key(m, LONGEST, &mut self.key);
        let known = self.groups.contains(&self.key);
        if !known && self.groups.len() < self.max_keys {
            let new = self.group();
            self.groups.insert(&self.key, new);
        } else if !known && self.other.is_none() {
            self.other = Some(self.group());
        }
        let Some(group) = self.groups.get_mut(&self.key).or(self.other.as_mut()) else { return };
        for (part, counted) in self.fields.iter().zip(group) {
            self.value.clear();
            if part.write(m, &mut self.value) {
                counted.add(&self.value);
            }
        }
    }

    fn tell(&self, group: &[HyperLogLog], key: Option<&[u8]>, at: i64, out: &mut BatchBuilder) {
        for (part, counted) in self.fields.iter().zip(group) {
            let mut m = metric::add(out, at, b"cardinality", counted.count() as f64, "gauge");
            m.add_string(b"field", part.name().as_bytes());
            metric::tags(&mut m, &self.by, key);
        }
    }
}

impl Filter for Watch {
    fn messages(&mut self, batch: &Arc<Batch>, selection: &Selection, _: &mut BatchBuilder, _: &FilterCx<'_>) -> Result<(), FilterFailure> {
        batch.selected(selection).for_each(|m| self.add(m));
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

    /// Groups with their keys, that of all others marked by a 1.
    fn save(&mut self) -> Result<Vec<u8>, String> {
        let mut into = Saver::new(&self.meaning);
        let others = self.other.iter().map(|group| (None, group));
        for (key, group) in self.groups.iter().map(|(key, group)| (Some(key), group)).chain(others) {
            into.byte(u8::from(key.is_none()));
            into.text(key.unwrap_or_default());
            for counted in group {
                let mut saved = Vec::new();
                counted.save(&mut saved);
                into.text(&saved);
            }
        }
        Ok(into.done())
    }

    fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        let (mut groups, mut other) = (Pending::new(), None);
        Loader::new(saved, &self.meaning)?.all(|from| {
            let (is_other, key) = (from.byte()? != 0, from.text()?);
            let group = self.fields.iter().map(|_| HyperLogLog::restore(from.text()?)).collect::<Option<Vec<_>>>()?;
            if is_other {
                other = Some(group);
            } else if groups.len() < self.max_keys {
                groups.insert(key, group);
            }
            Some(())
        })?;
        (self.groups, self.other) = (groups, other);
        Ok(Carried { carried: vec!["the open window".to_string()], ..Carried::default() })
    }

    fn gauges(&self) -> Vec<Gauge> {
        let (current, max) = (self.groups.len() as u64, self.groups.most() as u64);
        vec![Gauge { name: "max_keys", unit: "keys", current, max, cap: self.max_keys as u64 }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{feed, tick};
    use message::Value;
    use testkit::plugins::filter;

    fn batch(users: std::ops::Range<i64>) -> Arc<Batch> {
        let mut b = BatchBuilder::default();
        for user in users {
            let mut m = b.add();
            m.set_type(if user % 2 == 0 { b"even" } else { b"odd" });
            m.add_integer(b"user", user % 10);
        }
        Arc::new(b.finish())
    }

    fn told(out: &Batch) -> Vec<(Vec<u8>, Vec<u8>, Option<Value<'_>>)> {
        let text = |v: Option<Value<'_>>| v.and_then(Value::as_bytes).unwrap_or_default().to_vec();
        out.iter().map(|m| (text(m.value(b"field", 0, 0)), text(m.value(b"Type", 0, 0)), m.value(b"value", 0, 0))).collect()
    }

    fn row(field: &str, type_: &str, n: i64) -> (Vec<u8>, Vec<u8>, Option<Value<'static>>) {
        (field.into(), type_.into(), Some(Value::Integer(n)))
    }

    #[test]
    fn different_values_are_counted_by_window_and_group() {
        let mut watch = filter(&KIND, "fields = ['user', 'none', 'Type']").unwrap();
        feed(&mut *watch, &batch(0..100));
        assert_eq!(told(&tick(&mut *watch, 5, false)), [row("user", "", 10), row("none", "", 0), row("Type", "", 2)]);
        assert!(tick(&mut *watch, 6, false).is_empty());
        let mut watch = filter(&KIND, "fields = 'user'\nby = 'Type'\nmax_keys = 1").unwrap();
        feed(&mut *watch, &batch(0..4));
        assert_eq!(told(&tick(&mut *watch, 5, false)), [row("user", "even", 2), row("user", "(other)", 2)]);
    }

    #[test]
    fn an_open_window_is_carried_over() {
        let toml = "fields = 'user'\nby = 'Type'\nmax_keys = 1";
        let (mut old, mut new) = (filter(&KIND, toml).unwrap(), filter(&KIND, toml).unwrap());
        feed(&mut *old, &batch(0..4));
        let saved = old.save().unwrap();
        new.restore(&saved).unwrap();
        feed(&mut *new, &batch(2..10));
        assert_eq!(told(&tick(&mut *new, 5, true)), [row("user", "even", 5), row("user", "(other)", 5)]);
        assert!(filter(&KIND, "fields = 'Type'").unwrap().restore(&saved).is_err());
        assert!(filter(&KIND, toml).unwrap().restore(&saved[..saved.len() - 1]).is_err());
    }
}
