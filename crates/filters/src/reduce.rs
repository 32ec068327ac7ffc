//! Many messages become one: the lines of one request, a burst of the same complaint, the parts of a
//! transaction.
//!
//! Messages with the same values of `by` are a group. It ends by a message that matches `ends_when`,
//! before one that matches `starts_when`, when none came for `timeout`, or when it is as old or as large
//! as it may be; then one message goes out. Open groups survive reloads and restarts; an orderly stop
//! ends them. The messages themselves still go wherever else they are routed.

mod merge;

use std::sync::Arc;
use std::time::Duration;

use matcher::{Matcher, Part, Parts, condition};
use message::{Batch, BatchBuilder, Header, MessageRef, Selection};
use options::{Opt, Options, Problem, Scalar, nearest};
use plugin::{Carried, Example, Filter, FilterCx, FilterFailure, Gauge, Kind, Stability};

use crate::bounds::{nanoseconds, some_time, within};
use crate::pending::Pending;
use crate::saved::{Loader, Saver};
use crate::stored;
use merge::{Limits, Merged, Strategy, add_all};

pub const KIND: Kind = Kind::filter("reduce", Stability::Stable, |o, _| Ok(Box::new(Reduce::new(o)?)))
    .summary("Merges the messages of a group into one.")
    .doc(
        "Messages with the same values in the headers and fields `by` are a group; those that have none of them are passed over and counted. When a \
         group ends, one message goes out: of the Type `message_type`, with the Timestamp of the first, the other headers and fields of the first (or last) \
         message, and for each of `merge` the values of all messages, merged: `first`, `last`, `sum`, `min` and `max` (of numbers), `concat` (text, with \
         `separator` between), `array` or `count` (of messages that have it). The Fields `reduced_messages`, `reduced_seconds` (from the first Timestamp to the last) \
         and `reduced_end` (why it ended: `ends_when`, `starts_when`, `timeout`, `max_age`, `max_messages`, `evicted` or `stop`) are added, and `reduced_cut` when a value was too \
         long. When there are more than `max_keys` groups, or they take more than `max_memory`, the oldest ends early.",
    )
    .options(&[
        Opt::strings("by").sample("[\"request_id\"]").doc("Headers or fields; messages with the same values are a group. Default: all are one group."),
        Opt::table("merge").sample("{ bytes = \"sum\", Payload = \"concat\", Severity = \"min\" }").doc("Headers and fields, and how their values are merged."),
        Opt::choice("others", &["first", "last", "none"]).default("first").doc("Where headers and fields that are not merged come from; `none`: only headers, of the first message."),
        Opt::matcher("starts_when").sample("'Fields[event] == \"begin\"'").doc("Which messages begin a group; one that is open ends before it."),
        Opt::matcher("ends_when").sample("'Fields[event] == \"end\"'").doc("Which messages end their group; they belong to it."),
        Opt::duration("timeout").default("30s").doc("A group ends when no message came for this long."),
        Opt::duration("max_age").default("5m").doc("A group ends when it is this old."),
        Opt::integer("max_messages").default("1000").doc("Most messages of a group."),
        Opt::string("separator").default("\n").sample("\" \"").doc("What stands between texts that are put together."),
        Opt::string("message_type").default("reduced").doc("Type of the messages that go out."),
        Opt::integer("max_keys").default("10000").doc("Most groups at a time."),
        Opt::size("max_value").default("64KiB").doc("Largest merged value; what would make it longer is left out."),
        Opt::size("max_memory").default("64MiB").doc("Most memory for all groups."),
    ])
    .examples(&[
        Example {
            title: "The lines of a request",
            toml: "by = [\"request_id\"]\nends_when = 'Fields[event] == \"end\"'\nmerge = { Payload = \"concat\", bytes = \"sum\", Severity = \"min\" }",
        },
        Example {
            title: "The same complaint once a minute",
            toml: "by = [\"Hostname\", \"Payload\"]\ntimeout = \"1m\"\nmax_age = \"1m\"\nmax_messages = 1000000\nothers = \"last\"",
        },
    ]);

/// Most bytes of one value that tell it from others.
const LONGEST: usize = 1024;

struct Reduce {
    by: Parts,
    rules: Vec<(Part, Strategy)>,
    others: Others,
    starts_when: Option<Matcher>,
    ends_when: Option<Matcher>,
    timeout: i64,
    max_age: i64,
    max_messages: u64,
    limits: Limits,
    type_: String,
    max_keys: usize,
    max_memory: usize,
    groups: Pending<Group>,
    memory: usize,
    most_memory: usize,
    key: Vec<u8>,
    meaning: String,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Others {
    First,
    Last,
    None,
}

struct Group {
    /// The message that headers and fields come from.
    model: Vec<u8>,
    messages: u64,
    /// Timestamps of the first message and the latest.
    first: i64,
    last: i64,
    /// By the clock: when it began, and when a message came last.
    began: i64,
    touched: i64,
    merged: Vec<Merged>,
    /// What it counts for in `memory`.
    bytes: usize,
}

impl Reduce {
    fn new(o: &Options) -> Result<Reduce, Problem> {
        let rules = o.table("merge").iter().map(|(name, value)| rule(o, name, value)).collect::<Result<Vec<_>, _>>()?;
        let size = |name: &'static str, least: usize| match o.size(name) {
            n if n >= least => Ok(n),
            n => Err(o.problem(name, format!("`{name}` is out of range"), format!("found {n} bytes, expected {least} or more"))),
        };
        Ok(Reduce {
            by: Parts::new(o.strings("by")),
            meaning: format!("{}\n{rules:?}\n{}", o.strings("by").join("\t"), o.str("others")),
            rules,
            others: match o.str("others") {
                "last" => Others::Last,
                "none" => Others::None,
                _ => Others::First,
            },
            starts_when: condition(o, "starts_when")?,
            ends_when: condition(o, "ends_when")?,
            timeout: nanoseconds(some_time(o, "timeout")?),
            max_age: nanoseconds(some_time(o, "max_age")?),
            max_messages: within(o, "max_messages", 1, i64::MAX)? as u64,
            limits: Limits { separator: o.str("separator").as_bytes().to_vec(), max_value: size("max_value", 1)? },
            type_: o.str("message_type").to_string(),
            max_keys: within(o, "max_keys", 1, 10_000_000)?,
            max_memory: size("max_memory", 1)?,
            groups: Pending::new(),
            memory: 0,
            most_memory: 0,
            key: Vec::new(),
        })
    }

    fn add(&mut self, m: MessageRef<'_>, now: i64, out: &mut BatchBuilder) {
        if self.starts_when.as_ref().is_some_and(|starts| starts.matches(m)) {
            self.end_at_hand("starts_when", out);
        }
        if !self.groups.contains(&self.key) {
            while self.groups.len() >= self.max_keys {
                self.end_oldest(out);
            }
            let merged = vec![Merged::default(); self.rules.len()];
            let (model, at) = (stored::store(m), m.timestamp());
            let new = Group { model, messages: 0, first: at, last: at, began: now, touched: now, merged, bytes: 0 };
            self.groups.insert(&self.key, new);
        }
        let Some(group) = self.groups.get_mut(&self.key) else { return };
        group.messages += 1;
        group.touched = now;
        (group.first, group.last) = (group.first.min(m.timestamp()), group.last.max(m.timestamp()));
        if self.others == Others::Last && group.messages > 1 {
            group.model = stored::store(m);
        }
        add_all(&mut group.merged, &self.rules, m, &self.limits);
        let (before, now) = (group.bytes, group.size(self.key.len()));
        group.bytes = now;
        self.memory = self.memory + now - before;
        let full = group.messages >= self.max_messages;
        if self.ends_when.as_ref().is_some_and(|ends| ends.matches(m)) {
            self.end_at_hand("ends_when", out);
        } else if full {
            self.end_at_hand("max_messages", out);
        }
        while self.memory > self.max_memory {
            self.end_oldest(out);
        }
        self.most_memory = self.most_memory.max(self.memory);
    }

    /// Ends the group of the key at hand, if it is open.
    fn end_at_hand(&mut self, why: &str, out: &mut BatchBuilder) {
        if let Some(group) = self.groups.remove(&self.key) {
            self.end(&group, why, out);
        }
    }

    fn end_oldest(&mut self, out: &mut BatchBuilder) {
        match self.groups.pop_oldest() {
            Some((_, group)) => self.end(&group, "evicted", out),
            None => self.memory = 0,
        }
    }

    fn end(&mut self, group: &Group, why: &str, out: &mut BatchBuilder) {
        self.memory -= group.bytes;
        let mut m = out.add();
        stored::with(&group.model, |model| {
            stored::copy_headers(&mut m, model);
            let is_merged = |name: &[u8]| self.rules.iter().any(|(part, _)| part.header().is_none() && part.name().as_bytes() == name);
            for field in model.fields().filter(|f| self.others != Others::None && !is_merged(f.name())) {
                stored::copy_field(&mut m, field.name(), field);
            }
        });
        m.set_type(self.type_.as_bytes());
        m.set_timestamp(group.first);
        for ((part, strategy), merged) in self.rules.iter().zip(&group.merged) {
            merged.write(part, *strategy, &mut m);
        }
        m.add_integer(b"reduced_messages", i64::try_from(group.messages).unwrap_or(i64::MAX));
        m.add_double(b"reduced_seconds", group.last.saturating_sub(group.first) as f64 / 1e9);
        m.add_string(b"reduced_end", why.as_bytes());
        if group.merged.iter().any(|merged| merged.cut) {
            m.add_bool(b"reduced_cut", true);
        }
    }
}

fn rule(o: &Options, name: &str, value: &Scalar) -> Result<(Part, Strategy), Problem> {
    let part = Part::new(name);
    if let Some(Header::Uuid | Header::Timestamp | Header::Type) = part.header() {
        let help = "a field of that name is written `Fields[…]`; the Type is the option `message_type`";
        return Err(o.problem("merge", format!("`{name}` cannot be merged"), "named here").help(help));
    }
    let word = value.to_string();
    let word = word.trim_matches('"');
    Strategy::named(word).map(|strategy| (part, strategy)).ok_or_else(|| {
        let problem = o.problem(
            "merge",
            format!("there is no way to merge called {word}"),
            format!("for `{name}`, expected {}", Strategy::NAMES.join(", ")),
        );
        match nearest(word, Strategy::NAMES) {
            Some(near) => problem.help(format!("did you mean \"{near}\"?")),
            None => problem,
        }
    })
}

impl Group {
    /// Bytes of memory, some for the lists it is in.
    fn size(&self, key: usize) -> usize {
        200 + key + self.model.len() + self.merged.iter().map(Merged::bytes).sum::<usize>()
    }

    fn save(&self, into: &mut Saver) {
        into.text(&self.model);
        into.u64(self.messages);
        [self.first, self.last, self.began, self.touched].into_iter().for_each(|n| into.i64(n));
        self.merged.iter().for_each(|merged| merged.save(into));
    }

    fn load(from: &mut Loader<'_>, rules: &[(Part, Strategy)], key: usize) -> Option<Group> {
        let (model, messages) = (from.text()?.to_vec(), from.u64()?);
        let [first, last, began, touched] = [from.i64()?, from.i64()?, from.i64()?, from.i64()?];
        let merged = rules.iter().map(|(_, strategy)| Merged::load(from, *strategy)).collect::<Option<Vec<_>>>()?;
        let mut group = Group { model, messages, first, last, began, touched, merged, bytes: 0 };
        group.bytes = group.size(key);
        Some(group)
    }
}

impl Filter for Reduce {
    fn messages(
        &mut self,
        batch: &Arc<Batch>,
        selection: &Selection,
        out: &mut BatchBuilder,
        cx: &FilterCx<'_>,
    ) -> Result<(), FilterFailure> {
        let (now, mut without) = (cx.clock.now(), 0);
        for m in batch.selected(selection) {
            if self.by.key(m, LONGEST, &mut self.key) || self.by.is_empty() {
                self.add(m, now, out);
            } else {
                without += 1;
            }
        }
        cx.meter.add_extra("without_key", without);
        Ok(())
    }

    /// Often enough to end groups in time, a tenth of it late at most.
    fn every(&self) -> Option<Duration> {
        let shortest = Duration::from_nanos(self.timeout.min(self.max_age) as u64);
        Some((shortest / 10).clamp(Duration::from_millis(50), Duration::from_secs(1)))
    }

    fn tick(&mut self, due: i64, last: bool, out: &mut BatchBuilder, _: &FilterCx<'_>) -> Result<(), FilterFailure> {
        let (timeout, max_age) = (self.timeout, self.max_age);
        let is_old = |group: &Group| due.saturating_sub(group.began) >= max_age;
        let ended = self.groups.take(|group| last || is_old(group) || due.saturating_sub(group.touched) >= timeout);
        for (_, group) in ended {
            let idle = due.saturating_sub(group.touched) >= timeout;
            let why = if idle {
                "timeout"
            } else if is_old(&group) {
                "max_age"
            } else {
                "stop"
            };
            self.end(&group, why, out);
        }
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        let mut into = Saver::new(&self.meaning);
        for (key, group) in self.groups.iter() {
            into.text(key);
            group.save(&mut into);
        }
        Ok(into.done())
    }

    fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        let (mut groups, mut memory) = (Pending::new(), 0);
        Loader::new(saved, &self.meaning)?.all(|from| {
            let key = from.text()?;
            let group = Group::load(from, &self.rules, key.len())?;
            if groups.contains(key) {
                return None;
            }
            memory += group.bytes;
            groups.insert(key, group);
            Some(())
        })?;
        (self.groups, self.memory, self.most_memory) = (groups, memory, memory);
        Ok(Carried { carried: vec!["open groups".to_string()], ..Carried::default() })
    }

    fn gauges(&self) -> Vec<Gauge> {
        let (current, max) = (self.groups.len() as u64, self.groups.most() as u64);
        let (memory, most) = (self.memory as u64, self.most_memory as u64);
        vec![
            Gauge { name: "max_keys", unit: "keys", current, max, cap: self.max_keys as u64 },
            Gauge { name: "max_memory", unit: "bytes", current: memory, max: most, cap: self.max_memory as u64 },
        ]
    }
}

#[cfg(test)]
mod tests;
