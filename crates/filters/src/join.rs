//! Request and response, or any two messages that belong together, become one that knows how long it took.
//!
//! The one that comes first waits for the other, whichever it is: messages of two inputs may come in
//! either order. What waits survives reloads and restarts; an orderly stop sends it on alone. The
//! messages themselves still go wherever else they are routed.

use std::sync::Arc;
use std::time::Duration;

use matcher::{Matcher, Parts, condition};
use message::{Batch, BatchBuilder, Datum, MessageMut, MessageRef, Selection};
use options::{Opt, Options, Problem};
use plugin::{Carried, Counter, Example, Filter, FilterCx, FilterFailure, Gauge, Kind, Stability};

use crate::bounds::{nanoseconds, some_time, within};
use crate::pending::Pending;
use crate::saved::{Loader, Saver};
use crate::stored;

pub const KIND: Kind = Kind::filter("join", Stability::Stable, |o, _| Ok(Box::new(Join::new(o)?)))
    .summary("Joins two messages with the same id, such as request and response, into one.")
    .doc(
        "A message that matches `ends_when` is a response, any other (or, with `starts_when`, what matches that) a request. When both of an id are \
         there, a message of Type `message_type` goes out: headers and Timestamp of the request, the id, the fields of both behind `request_prefix` and \
         `response_prefix`, the response's Payload as the field `Payload` behind its prefix, `duration` (seconds from one Timestamp to the other) and `matched` = true. One whose \
         other half does not come within `timeout` goes out alone, with `matched` = false and `unmatched` telling why: `timeout`, `replaced` (the same half came \
         again), `evicted` (there were more than `max_keys`, or they took more than `max_memory`) or `stop`. Messages that have nothing of `by`, and \
         those that match neither, are passed over and counted.",
    )
    .options(&[
        Opt::strings("by").required().sample("[\"request_id\"]").doc("Headers or fields that are the id."),
        Opt::matcher("starts_when").sample("'Type == \"request\"'").doc("Which messages are requests. Default: all that are no responses."),
        Opt::matcher("ends_when").required().sample("'Type == \"response\"'").doc("Which messages are responses."),
        Opt::duration("timeout").default("30s").doc("How long one waits for the other."),
        Opt::choice("unmatched", &["emit", "drop"]).default("emit").doc("What becomes of one whose other half does not come; dropped ones are counted."),
        Opt::string("request_prefix").default("request.").doc("What stands before names of the request's fields."),
        Opt::string("response_prefix").default("response.").doc("What stands before names of the response's fields."),
        Opt::string("message_type").default("joined").doc("Type of the messages that go out."),
        Opt::integer("max_keys").default("100000").doc("Most messages that wait; beyond, the oldest goes out alone."),
        Opt::size("max_memory").default("64MiB").doc("Most memory of messages that wait; beyond, the oldest goes out alone."),
    ])
    .examples(&[Example {
        title: "How long requests take",
        toml: "by = [\"request_id\"]\nstarts_when = 'Type == \"proxy.request\"'\nends_when = 'Type == \"proxy.response\"'\ntimeout = \"1m\"",
    }]);

/// Most bytes of one value that tell it from others.
const LONGEST: usize = 1024;

struct Join {
    by: Parts,
    starts_when: Option<Matcher>,
    ends_when: Option<Matcher>,
    timeout: i64,
    emits_unmatched: bool,
    prefixes: [String; 2],
    type_: String,
    max_keys: usize,
    max_memory: usize,
    waiting: Pending<Half>,
    memory: usize,
    most_memory: usize,
    /// Unmatched ones that were dropped in this call.
    dropped: u64,
    key: Vec<u8>,
    meaning: String,
}

/// Which of the two it is: their places in `prefixes`.
const REQUEST: usize = 0;
const RESPONSE: usize = 1;

/// One that waits for the other.
struct Half {
    side: usize,
    message: Vec<u8>,
    /// By the clock, when it came.
    came: i64,
}

impl Half {
    /// Bytes of memory, some for the lists it is in.
    fn bytes(&self, key: usize) -> usize {
        200 + key + self.message.len()
    }
}

impl Join {
    fn new(o: &Options) -> Result<Join, Problem> {
        let by = Parts::new(o.strings("by"));
        if by.is_empty() {
            return Err(o.problem("by", "this filter joins nothing", "expected names of headers or fields"));
        }
        if o.size("max_memory") == 0 {
            return Err(o.problem(
                "max_memory",
                "`max_memory` is out of range",
                "found no bytes at all, expected something like \"64MiB\"",
            ));
        }
        Ok(Join {
            by,
            starts_when: condition(o, "starts_when")?,
            ends_when: condition(o, "ends_when")?,
            timeout: nanoseconds(some_time(o, "timeout")?),
            emits_unmatched: o.str("unmatched") == "emit",
            prefixes: [o.str("request_prefix").to_string(), o.str("response_prefix").to_string()],
            type_: o.str("message_type").to_string(),
            max_keys: within(o, "max_keys", 1, 10_000_000)?,
            max_memory: o.size("max_memory"),
            waiting: Pending::new(),
            memory: 0,
            most_memory: 0,
            dropped: 0,
            key: Vec::new(),
            meaning: o.strings("by").join("\t"),
        })
    }

    fn side(&self, m: MessageRef<'_>) -> Option<usize> {
        if self.ends_when.as_ref().is_some_and(|ends| ends.matches(m)) {
            return Some(RESPONSE);
        }
        self.starts_when.as_ref().is_none_or(|starts| starts.matches(m)).then_some(REQUEST)
    }

    fn add(&mut self, m: MessageRef<'_>, side: usize, now: i64, out: &mut BatchBuilder) {
        if let Some(other) = self.waiting.remove(&self.key) {
            self.memory -= other.bytes(self.key.len());
            if other.side != side {
                return self.join(m, side, &other, out);
            }
            self.alone(&other, "replaced", out);
        }
        while self.waiting.len() >= self.max_keys {
            self.evict(out);
        }
        let half = Half { side, message: stored::store(m), came: now };
        self.memory += half.bytes(self.key.len());
        self.waiting.insert(&self.key, half);
        while self.memory > self.max_memory {
            self.evict(out);
        }
        self.most_memory = self.most_memory.max(self.memory);
    }

    fn evict(&mut self, out: &mut BatchBuilder) {
        match self.waiting.pop_oldest() {
            Some((key, half)) => {
                self.memory -= half.bytes(key.len());
                self.alone(&half, "evicted", out);
            }
            None => self.memory = 0,
        }
    }

    fn join(&self, m: MessageRef<'_>, side: usize, other: &Half, out: &mut BatchBuilder) {
        let mut joined = out.add();
        let done = stored::with(&other.message, |other| {
            let (request, response) = if side == REQUEST { (m, other) } else { (other, m) };
            self.begin(&mut joined, request);
            self.fields(&mut joined, request, REQUEST);
            self.fields(&mut joined, response, RESPONSE);
            if !response.payload().is_empty() {
                joined.add_string(format!("{}Payload", self.prefixes[RESPONSE]).as_bytes(), response.payload());
            }
            response.timestamp().saturating_sub(request.timestamp()) as f64 / 1e9
        });
        let (name, unit) = (joined.messages().store(b"duration"), joined.messages().store(b"s"));
        match done {
            Some(seconds) => joined.add_in(name, unit, Datum::Double(seconds)),
            // What was stored cannot be read: it had more fields than messages may have.
            None => self.begin(&mut joined, m),
        }
        joined.add_bool(b"matched", done.is_some());
    }

    /// Headers and id.
    fn begin(&self, to: &mut MessageMut<'_>, from: MessageRef<'_>) {
        stored::copy_headers(to, from);
        to.set_type(self.type_.as_bytes());
        for part in self.by.iter().filter(|part| part.header().is_none()) {
            if let Some(field) = from.field(part.name().as_bytes(), 0) {
                stored::copy_field(to, part.name().as_bytes(), field);
            }
        }
    }

    /// The fields of one side, but for the id.
    fn fields(&self, to: &mut MessageMut<'_>, from: MessageRef<'_>, side: usize) {
        let is_id = |name: &[u8]| self.by.iter().any(|part| part.header().is_none() && part.name().as_bytes() == name);
        for field in from.fields().filter(|f| !is_id(f.name())) {
            let name = [self.prefixes[side].as_bytes(), field.name()].concat();
            stored::copy_field(to, &name, field);
        }
    }

    fn alone(&mut self, half: &Half, why: &str, out: &mut BatchBuilder) {
        if !self.emits_unmatched {
            self.dropped += 1;
            return;
        }
        let mut m = out.add();
        stored::with(&half.message, |message| {
            self.begin(&mut m, message);
            self.fields(&mut m, message, half.side);
        });
        m.set_type(self.type_.as_bytes());
        m.add_bool(b"matched", false);
        m.add_string(b"unmatched", why.as_bytes());
        m.add_string(b"side", if half.side == REQUEST { b"request" } else { b"response" });
    }

    fn count_dropped(&mut self, cx: &FilterCx<'_>) {
        cx.meter.add(Counter::Dropped, std::mem::take(&mut self.dropped));
    }
}

impl Filter for Join {
    fn messages(
        &mut self,
        batch: &Arc<Batch>,
        selection: &Selection,
        out: &mut BatchBuilder,
        cx: &FilterCx<'_>,
    ) -> Result<(), FilterFailure> {
        let (now, mut passed_over) = (cx.clock.now(), 0);
        for m in batch.selected(selection) {
            match self.side(m) {
                Some(side) if self.by.key(m, LONGEST, &mut self.key) => self.add(m, side, now, out),
                _ => passed_over += 1,
            }
        }
        cx.meter.add_extra("passed_over", passed_over);
        self.count_dropped(cx);
        Ok(())
    }

    /// Often enough that one waits a tenth too long at most.
    fn every(&self) -> Option<Duration> {
        let timeout = Duration::from_nanos(self.timeout.max(0) as u64);
        Some((timeout / 10).clamp(Duration::from_millis(50), Duration::from_secs(1)))
    }

    fn tick(&mut self, due: i64, last: bool, out: &mut BatchBuilder, cx: &FilterCx<'_>) -> Result<(), FilterFailure> {
        let timeout = self.timeout;
        let is_late = |half: &Half| due.saturating_sub(half.came) >= timeout;
        for (key, half) in self.waiting.take(|half| last || is_late(half)) {
            self.memory -= half.bytes(key.len());
            self.alone(&half, if is_late(&half) { "timeout" } else { "stop" }, out);
        }
        self.count_dropped(cx);
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        let mut into = Saver::new(&self.meaning);
        for (key, half) in self.waiting.iter() {
            into.text(key);
            into.byte(half.side as u8);
            into.i64(half.came);
            into.text(&half.message);
        }
        Ok(into.done())
    }

    fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        let (mut waiting, mut memory) = (Pending::new(), 0);
        Loader::new(saved, &self.meaning)?.all(|from| {
            let (key, side, came, message) = (from.text()?, usize::from(from.byte()?), from.i64()?, from.text()?.to_vec());
            if side > RESPONSE || waiting.contains(key) {
                return None;
            }
            let half = Half { side, message, came };
            memory += half.bytes(key.len());
            waiting.insert(key, half);
            Some(())
        })?;
        (self.waiting, self.memory, self.most_memory) = (waiting, memory, memory);
        Ok(Carried { carried: vec!["what waits".to_string()], ..Carried::default() })
    }

    fn gauges(&self) -> Vec<Gauge> {
        let (current, max) = (self.waiting.len() as u64, self.waiting.most() as u64);
        let (memory, most) = (self.memory as u64, self.most_memory as u64);
        vec![
            Gauge { name: "max_keys", unit: "keys", current, max, cap: self.max_keys as u64 },
            Gauge { name: "max_memory", unit: "bytes", current: memory, max: most, cap: self.max_memory as u64 },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{feed_at, tick};
    use matcher::Part;
    use message::{Header, Value};
    use testkit::plugins::filter;

    const SECOND: i64 = 1_000_000_000;
    const TOML: &str = "by = 'id'\nends_when = 'Type == \"response\"'\nstarts_when = 'Type == \"request\"'\ntimeout = '10s'\n";

    fn batch(messages: &[(&str, i64, i64)]) -> Arc<Batch> {
        let mut b = BatchBuilder::default();
        for (type_, id, at) in messages {
            let mut m = b.add();
            m.set_type(type_.as_bytes());
            m.set_hostname(b"h");
            m.set_timestamp(*at * SECOND);
            m.set_payload(type_.as_bytes());
            m.add_integer(b"id", *id);
            m.add_integer(b"at", *at);
        }
        Arc::new(b.finish())
    }

    fn feed(filter: &mut dyn Filter, messages: &[(&str, i64, i64)]) -> Batch {
        feed_at(filter, &batch(messages), 0).1
    }

    fn told(out: &Batch) -> Vec<String> {
        let one = |m: MessageRef<'_>| {
            assert_eq!((m.type_(), m.has(Header::Uuid)), (&b"joined"[..], true));
            let text = |name: &str| {
                let mut text = Vec::new();
                Part::new(name).write(m, &mut text);
                String::from_utf8(text).unwrap()
            };
            ["id", "request.at", "response.at", "duration", "matched", "unmatched", "side"].map(text).join(" ").trim_end().to_string()
        };
        out.iter().map(one).collect()
    }

    #[test]
    fn two_become_one_in_either_order() {
        let mut join = filter(&KIND, TOML).unwrap();
        let out = feed(&mut *join, &[("request", 1, 1), ("response", 2, 7), ("other", 1, 2), ("response", 1, 4), ("request", 2, 6)]);
        assert_eq!(told(&out), ["1 1 4 3 true", "2 6 7 1 true"]);
        let m = out.get(1);
        assert_eq!((m.timestamp(), m.hostname(), m.payload()), (6 * SECOND, &b"h"[..], &b"request"[..]));
        assert_eq!(m.value(b"response.Payload", 0, 0), Some(Value::String(b"response")));
        assert_eq!((join.gauges()[0].current, join.gauges()[1].current), (0, 0));
    }

    #[test]
    fn one_alone_says_why() {
        let mut join = filter(&KIND, TOML).unwrap();
        assert_eq!(told(&feed(&mut *join, &[("request", 1, 1), ("request", 1, 2), ("response", 2, 3)])), ["1 1   false replaced request"]);
        assert!(tick(&mut *join, 9 * SECOND, false).is_empty());
        assert_eq!(told(&tick(&mut *join, 10 * SECOND, false)), ["1 2   false timeout request", "2  3  false timeout response"]);
        feed(&mut *join, &[("request", 4, 1)]);
        assert_eq!(told(&tick(&mut *join, SECOND, true)), ["4 1   false stop request"]);
        let mut join = filter(&KIND, &format!("{TOML}max_keys = 1")).unwrap();
        assert_eq!(told(&feed(&mut *join, &[("request", 1, 1), ("request", 2, 2)])), ["1 1   false evicted request"]);
        let mut join = filter(&KIND, &format!("{TOML}max_memory = '700B'")).unwrap();
        assert!(feed(&mut *join, &[("request", 1, 1), ("request", 2, 2), ("request", 3, 2)]).len() <= 2);
        assert!(join.gauges()[1].max <= 700, "{:?}", join.gauges());
        let mut join = filter(&KIND, &format!("{TOML}unmatched = 'drop'\nmax_keys = 1")).unwrap();
        let (meter, out) = feed_at(&mut *join, &batch(&[("request", 1, 1), ("request", 2, 2), ("x", 1, 1)]), 0);
        assert_eq!((out.len(), meter.get(Counter::Dropped)), (0, 1));
        assert!(meter.read().contains(&("passed_over", 1)));
    }

    #[test]
    fn what_waits_is_carried_over() {
        let (mut old, mut new) = (filter(&KIND, TOML).unwrap(), filter(&KIND, TOML).unwrap());
        feed(&mut *old, &[("request", 1, 1), ("response", 2, 5)]);
        let saved = old.save().unwrap();
        new.restore(&saved).unwrap();
        assert_eq!(new.gauges()[1].current, old.gauges()[1].current);
        assert_eq!(told(&feed(&mut *new, &[("response", 1, 3), ("request", 2, 4)])), ["1 1 3 2 true", "2 4 5 1 true"]);
        for end in 0..saved.len() {
            let mut other = filter(&KIND, TOML).unwrap();
            if other.restore(&saved[..end]).is_ok() {
                assert!(other.gauges()[0].current < 2);
            }
        }
    }

    #[test]
    fn bad_options_are_told() {
        assert!(filter(&KIND, "by = 'id'").err().unwrap().contains("`ends_when`"));
        assert!(filter(&KIND, "by = []\nends_when = 'TRUE'").err().unwrap().contains("joins nothing"));
    }
}
