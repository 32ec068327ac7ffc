//! Counts messages, and tells the count and its rate at every tick.
//!
//! For a pulse of the stream and for simple graphs. Counts go on over reloads and restarts.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use message::{Batch, BatchBuilder, Header, MessageRef, Selection, Value};
use options::{Opt, Options, Problem};
use plugin::{Carried, Example, Filter, FilterCx, FilterFailure, Gauge, Kind, Stability};

mod tally;
use tally::{Count, Tally};

pub const KIND: Kind = Kind::filter("count", Stability::Stable, |o, _| Ok(Box::new(Counting::new(o)?)))
    .summary("Counts messages, and tells the count and its rate at every tick.")
    .doc(
        "Emits messages of Type `nilometer.count` with the Fields `count` (since it first started), `delta` (since the last \
         tick) and `rate` (per second), and a Payload for people. With `by` there is one for every combination of values seen, \
         which are fields too; a missing field counts as an empty value. When `max_keys` combinations are known, further ones are counted together, \
         as `(other)`.",
    )
    .options(&[
        Opt::duration("every").default("5s").doc("Time between ticks."),
        Opt::strings("by").sample("[\"Type\", \"status\"]").doc("Headers or fields; each combination of their values is counted apart."),
        Opt::integer("max_keys").default("1000").doc("Most combinations of values that are counted apart."),
    ])
    .examples(&[Example { title: "Answers by status", toml: "by = [\"status\"]\nevery = \"10s\"" }]);

/// The combination that stands for all beyond `max_keys`.
const OTHER: &[u8] = b"(other)";
/// Most bytes of one value that tell it from others.
const MAX_VALUE: usize = 256;

struct Counting {
    every: Duration,
    by: Vec<By>,
    tally: Tally,
    /// The last tick.
    ticked: Option<i64>,
    /// Memory for keys and payloads.
    key: Vec<u8>,
    text: String,
}

/// A part of a message that is counted by.
struct By {
    name: String,
    header: Option<Header>,
}

impl Counting {
    fn new(o: &Options) -> Result<Counting, Problem> {
        let max_keys = match o.integer("max_keys") {
            n @ 1..=10_000_000 => n as usize,
            n => return Err(o.problem("max_keys", "`max_keys` is out of range", format!("found {n}, expected 1 to 10000000"))),
        };
        if o.duration("every").is_zero() {
            return Err(o.problem("every", "`every` is out of range", "found no time at all, expected something like \"5s\""));
        }
        let by: Vec<By> =
            o.strings("by").iter().map(|name| By { name: name.clone(), header: Header::from_name(name.as_bytes()) }).collect();
        let names: Vec<&str> = by.iter().map(|by| &by.name[..]).collect();
        let tally = Tally::new(&names.join("\n"), max_keys);
        Ok(Counting { every: o.duration("every"), by, tally, ticked: None, key: Vec::new(), text: String::new() })
    }

    /// Appends the message's combination of values, each with its length before it.
    fn key(&mut self, m: MessageRef<'_>) {
        self.key.clear();
        for by in &self.by {
            let at = self.key.len();
            self.key.extend([0; 2]);
            let value = match by.header {
                Some(Header::Severity) => Some(Value::Integer(m.severity().into())),
                Some(Header::Pid) => Some(Value::Integer(m.pid().into())),
                Some(header) => Some(Value::String(m.text_header(header))),
                None => m.value(by.name.as_bytes(), 0, 0),
            };
            match value {
                None => {}
                Some(Value::String(text) | Value::Bytes(text)) => self.key.extend_from_slice(&text[..text.len().min(MAX_VALUE)]),
                Some(other) => {
                    self.text.clear();
                    // Writing to memory does not fail.
                    let _ = match other {
                        Value::Integer(n) => write!(self.text, "{n}"),
                        Value::Double(n) => write!(self.text, "{n}"),
                        Value::Bool(b) => write!(self.text, "{b}"),
                        Value::String(_) | Value::Bytes(_) => Ok(()),
                    };
                    self.key.extend_from_slice(self.text.as_bytes());
                }
            }
            let len = (self.key.len() - at - 2) as u16;
            self.key[at..at + 2].copy_from_slice(&len.to_le_bytes());
        }
    }
}

impl Filter for Counting {
    fn messages(&mut self, batch: &Arc<Batch>, selection: &Selection, _: &mut BatchBuilder, _: &FilterCx<'_>) -> Result<(), FilterFailure> {
        if self.by.is_empty() {
            self.tally.add(b"", selection.len() as u64);
            return Ok(());
        }
        for m in batch.selected(selection) {
            self.key(m);
            self.tally.add(&self.key, 1);
        }
        Ok(())
    }

    fn every(&self) -> Option<Duration> {
        Some(self.every)
    }

    fn tick(&mut self, due: i64, _last: bool, out: &mut BatchBuilder, _: &FilterCx<'_>) -> Result<(), FilterFailure> {
        let passed = self.ticked.map(|last| due.saturating_sub(last)).filter(|ns| *ns > 0);
        let seconds = passed.map_or(self.every.as_secs_f64(), |ns| ns as f64 / 1e9);
        self.ticked = Some(due);
        let (by, text) = (&self.by, &mut self.text);
        self.tally.each(&mut |key, count| emit(out, due, by, key, count, seconds, text));
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.tally.save())
    }

    fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        self.tally.restore(saved)?;
        Ok(Carried { carried: vec!["count".to_string()], ..Carried::default() })
    }

    fn gauges(&self) -> Vec<Gauge> {
        let (current, cap) = (self.tally.len() as u64, self.tally.max_keys() as u64);
        vec![Gauge { name: "max_keys", unit: "keys", current, max: current, cap }]
    }
}

/// Emits one count and starts its next delta.
fn emit(out: &mut BatchBuilder, due: i64, by: &[By], key: Option<&[u8]>, count: &mut Count, seconds: f64, text: &mut String) {
    let delta = std::mem::take(&mut count.delta);
    let rate = delta as f64 / seconds;
    text.clear();
    // Writing to memory does not fail.
    let _ = write!(text, "Got {} messages. {rate:.2} msg/sec", count.total);
    let mut m = out.add();
    m.set_type(b"nilometer.count");
    m.set_timestamp(due);
    m.set_payload(text.as_bytes());
    m.add_integer(b"count", count.total as i64);
    m.add_integer(b"delta", delta as i64);
    m.add_double(b"rate", rate);
    let mut rest = key;
    for by in by {
        let value = match &mut rest {
            None => Some(OTHER),
            Some(key) => key.split_first_chunk().and_then(|(len, after)| {
                let (value, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
                *key = after;
                Some(value)
            }),
        };
        m.add_string(by.name.as_bytes(), value.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin::{Clock, Meter};
    use testkit::plugins::filter;

    fn batch(statuses: &[i64]) -> Arc<Batch> {
        let mut b = BatchBuilder::default();
        for status in statuses {
            let mut m = b.add();
            m.set_type(b"access");
            m.add_integer(b"status", *status);
        }
        Arc::new(b.finish())
    }

    fn with_cx<R>(call: impl FnOnce(&FilterCx<'_>) -> R) -> R {
        call(&FilterCx { clock: &Clock::standing(0), meter: &Meter::default() })
    }

    fn feed(count: &mut dyn Filter, batch: &Arc<Batch>) {
        with_cx(|cx| count.messages(batch, &batch.all(), &mut BatchBuilder::default(), cx)).unwrap();
    }

    fn tick(count: &mut dyn Filter, second: i64) -> Batch {
        let mut out = BatchBuilder::default();
        with_cx(|cx| count.tick(second * 1_000_000_000, false, &mut out, cx)).unwrap();
        out.finish()
    }

    fn numbers(m: MessageRef<'_>) -> (Option<Value<'_>>, Option<Value<'_>>, Option<Value<'_>>) {
        (m.value(b"count", 0, 0), m.value(b"delta", 0, 0), m.value(b"rate", 0, 0))
    }

    #[test]
    fn it_tells_total_delta_and_rate() {
        let mut count = filter(&KIND, "").unwrap();
        feed(&mut *count, &batch(&[200; 20]));
        let first = tick(&mut *count, 5);
        assert_eq!(first.get(0).payload(), b"Got 20 messages. 4.00 msg/sec");
        assert_eq!((first.get(0).type_(), first.get(0).timestamp()), (&b"nilometer.count"[..], 5_000_000_000));
        let some = batch(&[200; 9]);
        with_cx(|cx| count.messages(&some, &Selection::Some([1, 3].into()), &mut BatchBuilder::default(), cx)).unwrap();
        let second = tick(&mut *count, 9);
        assert_eq!(numbers(second.get(0)), (Some(Value::Integer(22)), Some(Value::Integer(2)), Some(Value::Double(0.5))));
    }

    #[test]
    fn it_counts_by_values_up_to_a_cap() {
        let mut count = filter(&KIND, "by = ['Type', 'status']\nmax_keys = 2").unwrap();
        feed(&mut *count, &batch(&[200, 404, 200, 500, 502]));
        let out = tick(&mut *count, 5);
        let told: Vec<_> = out.iter().map(|m| (m.value(b"Type", 0, 0), m.value(b"status", 0, 0), m.value(b"count", 0, 0))).collect();
        let text = |t: &'static str| Some(Value::String(t.as_bytes()));
        assert_eq!(
            told,
            [
                (text("access"), text("200"), Some(Value::Integer(2))),
                (text("access"), text("404"), Some(Value::Integer(1))),
                (text("(other)"), text("(other)"), Some(Value::Integer(2))),
            ]
        );
    }

    #[test]
    fn counts_go_on_after_a_reload_while_they_mean_the_same() {
        let mut old = filter(&KIND, "by = 'status'").unwrap();
        feed(&mut *old, &batch(&[200, 200]));
        let saved = old.save().unwrap();
        let mut new = filter(&KIND, "by = 'status'\nevery = '1s'").unwrap();
        new.restore(&saved).unwrap();
        feed(&mut *new, &batch(&[200]));
        assert_eq!(numbers(tick(&mut *new, 5).get(0)).0, Some(Value::Integer(3)));
        let mut other = filter(&KIND, "by = 'Type'").unwrap();
        assert!(other.restore(&saved).unwrap_err().contains("`by`"));
        for end in 0..saved.len() {
            assert!(filter(&KIND, "by = 'status'").unwrap().restore(&saved[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn bad_options_are_told() {
        assert!(filter(&KIND, "max_keys = 0").err().unwrap().contains("expected 1 to 10000000"));
    }
}
