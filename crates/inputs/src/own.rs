//! The `self` input: what the program says and counts of itself, as messages.
//!
//! So that the one that watches is watched like all else: its warnings go where others' do, and an alert can
//! be raised when an output lags. Lines about these very messages do not come back: those that this input's
//! own thread says are left out, and all others are limited in number.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use log::{Level, LevelFilter};
use message::{Datum, Messages};
use options::{Opt, Options, Problem};
use plugin::tap::{self, Reading, Said, Tap};
use plugin::{BuildCx, Counter, Example, Fatal, Input, InputCx, Kind, Stability};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub const KIND: Kind = Kind::input("self", Stability::Experimental, |o, cx| Ok(Box::new(Own::new(o, cx)?)))
    .summary("Makes messages of the program's own log and counters.")
    .doc(
        "A line of the log is a message of Type `nilometer.log`: the text is the Payload, the plugin that said it, such as `output.relay`, the Logger, and \
         Severity is 3 for errors, 4 for warnings, 6 for what is to know and 7 for details. Only what the log itself is told with `--verbose` or `--quiet` can come. \
         What an output says because it cannot deliver these messages comes as well, at the pace of its retries and never faster than `max_per_second`; \
         lines beyond that are dropped and counted. What is said before the input starts and after it stopped is in the log only.\n\n\
         With `metrics`, each plugin's counters and gauges are messages of Type `metric`, as everywhere: the fields are `name` (`nilometer.delivered`, `nilometer.waiting_bytes`), `value`, \
         `kind` (`counter`: how much it grew since the last time; `gauge`), `plugin` and `plugin_type`. Counters that did not grow are left out. The first reading is what later ones are compared with.",
    )
    .options(&[
        Opt::bool("logs").default("true").doc("Make messages of the log."),
        Opt::choice("level", &["error", "warn", "info", "debug"]).default("info").doc("The least important lines to take."),
        Opt::integer("max_per_second").default("100").doc("Most lines taken in a second; further ones are counted as dropped."),
        Opt::duration("metrics").sample("\"10s\"").doc("How often to make metrics of the plugins' counters, at least 100ms. Not given: never."),
    ])
    .examples(&[
        Example { title: "Warnings go where other logs go", toml: "level = \"warn\"" },
        Example { title: "Only metrics", toml: "logs = false\nmetrics = \"10s\"" },
    ]);

/// Lines that may wait while consumers are full.
const CAPACITY: usize = 10_000;

struct Own {
    level: LevelFilter,
    max_per_second: u64,
    metrics: Option<Duration>,
}

impl Own {
    fn new(o: &Options, _: &BuildCx) -> Result<Own, Problem> {
        let level = if o.bool("logs") { o.str("level").parse().unwrap_or(LevelFilter::Info) } else { LevelFilter::Off };
        let most = o.integer("max_per_second");
        let max_per_second = u64::try_from(most)
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| o.problem("max_per_second", format!("`max_per_second` is {most}"), "expected at least 1"))?;
        Ok(Own { level, max_per_second, metrics: o.get_duration("metrics").map(|every| every.max(Duration::from_millis(100))) })
    }
}

impl Input for Own {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        // Of this thread, which is deaf to what it says itself from here on.
        let tap = Tap::open(self.level, CAPACITY);
        let mut lines = Limit { second: Duration::ZERO, taken: 0 };
        let mut metrics = self.metrics.map(|every| Metrics::new(every, cx.clock.steady()));
        while !cx.stop.asked() {
            self.take(&tap, &mut lines, cx);
            if let Some(metrics) = &mut metrics {
                metrics.look(cx);
            }
            cx.intake.poll();
            let wait = cx.intake.wait().min(metrics.as_ref().map_or(Duration::MAX, |m| m.wait(cx.clock.steady())));
            let wait = Timespec { tv_sec: wait.as_secs().min(3600) as i64, tv_nsec: wait.subsec_nanos().into() };
            let mut fds = [PollFd::from_borrowed_fd(cx.stop.fd(), PollFlags::IN), PollFd::from_borrowed_fd(tap.fd(), PollFlags::IN)];
            let _ = poll(&mut fds, Some(&wait));
        }
        self.take(&tap, &mut lines, cx);
        Ok(())
    }

    /// Nobody waits for the log to be written.
    fn can_wait(&self) -> bool {
        false
    }
}

/// How many lines were taken in the present second.
struct Limit {
    second: Duration,
    taken: u64,
}

impl Own {
    fn take(&self, tap: &Tap, limit: &mut Limit, cx: &mut InputCx<'_>) {
        let (mut lines, mut dropped) = tap.take();
        let now = cx.clock.steady();
        if now >= limit.second + Duration::from_secs(1) {
            *limit = Limit { second: now, taken: 0 };
        }
        let room = usize::try_from(self.max_per_second - limit.taken).unwrap_or(usize::MAX);
        dropped += lines.len().saturating_sub(room) as u64;
        lines.truncate(room);
        limit.taken += lines.len() as u64;
        cx.meter.add(Counter::Dropped, dropped);
        if !lines.is_empty() {
            cx.intake.make(&mut |messages| lines.iter().for_each(|line| make(line, messages)));
        }
    }
}

fn make(line: &Said, messages: &mut Messages) {
    let mut m = messages.add();
    m.set_type(b"nilometer.log");
    m.set_timestamp(line.at);
    m.set_logger(line.target.as_bytes());
    m.set_payload(line.text.as_bytes());
    m.set_pid(std::process::id() as i32);
    m.set_severity(match line.level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    });
}

/// Asks for readings now and then, and compares them.
struct Metrics {
    every: Duration,
    due: Duration,
    asked: Option<Receiver<Vec<Reading>>>,
    /// Counters of the last reading, by plugin and name.
    last: Option<BTreeMap<(String, &'static str), u64>>,
}

/// How often to look whether a reading has come.
const LOOK: Duration = Duration::from_millis(20);

impl Metrics {
    fn new(every: Duration, now: Duration) -> Metrics {
        Metrics { every, due: now, asked: None, last: None }
    }

    fn wait(&self, now: Duration) -> Duration {
        if self.asked.is_some() { LOOK } else { self.due.saturating_sub(now) }
    }

    fn look(&mut self, cx: &mut InputCx<'_>) {
        let now = cx.clock.steady();
        if self.asked.is_none() && now >= self.due {
            self.due = now + self.every;
            self.asked = tap::ask();
        }
        match self.asked.as_ref().map(Receiver::try_recv) {
            None | Some(Err(TryRecvError::Empty)) => {}
            Some(Err(TryRecvError::Disconnected)) => self.asked = None,
            Some(Ok(readings)) => {
                self.asked = None;
                let at = cx.clock.now();
                cx.intake.make(&mut |messages| self.make(&readings, at, messages));
                let counters =
                    readings.into_iter().flat_map(|r| r.counters.into_iter().map(move |(name, n)| ((r.plugin.clone(), name), n)));
                self.last = Some(counters.collect());
            }
        }
    }

    fn make(&self, readings: &[Reading], at: i64, messages: &mut Messages) {
        let Some(last) = &self.last else { return };
        for reading in readings {
            for (name, value) in &reading.counters {
                let grown = value.saturating_sub(last.get(&(reading.plugin.clone(), *name)).copied().unwrap_or(0));
                if grown > 0 {
                    metric(reading, name, grown, "counter", at, messages);
                }
            }
            for (name, value) in &reading.gauges {
                metric(reading, name, *value, "gauge", at, messages);
            }
        }
    }
}

fn metric(of: &Reading, name: &str, value: u64, kind: &str, at: i64, messages: &mut Messages) {
    let mut m = messages.add();
    m.set_type(b"metric");
    m.set_timestamp(at);
    m.add_string(b"name", format!("nilometer.{name}").as_bytes());
    let field = m.messages().store(b"value");
    m.add(field, Datum::Integer(i64::try_from(value).unwrap_or(i64::MAX)));
    m.add_string(b"kind", kind.as_bytes());
    m.add_string(b"plugin", of.plugin.as_bytes());
    m.add_string(b"plugin_type", of.kind.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use message::{MessageRef, Value};
    use testkit::intake::{RecordingIntake, Seen, start};
    use testkit::plugins::input;

    use super::*;

    fn each(seen: &Seen, type_: &str, mut look: impl FnMut(MessageRef<'_>)) {
        for batch in &seen.made {
            (0..batch.len()).map(|i| batch.get(i)).filter(|m| m.type_() == type_.as_bytes()).for_each(&mut look);
        }
    }

    /// Lines with this text, since other tests speak at the same time.
    fn lines(seen: &Seen, text: &str) -> usize {
        let mut n = 0;
        each(seen, "nilometer.log", |m| n += usize::from(m.payload() == text.as_bytes()));
        n
    }

    #[test]
    fn lines_of_the_log_become_messages() {
        let intake = RecordingIntake::default();
        let running = start(input(&KIND, "level = 'warn'").unwrap(), &intake);
        running.wait_for(|seen| {
            // Until it listens.
            tap::say(Level::Warn, "output.relay", "retrying");
            lines(seen, "retrying") > 0
        });
        tap::say(Level::Info, "output.relay", "not important");
        tap::say(Level::Error, "output.relay", "last");
        running.wait_for(|seen| lines(seen, "last") == 1);
        running.stop().unwrap();
        let seen = intake.seen();
        assert_eq!(lines(&seen, "not important"), 0);
        each(&seen, "nilometer.log", |m| {
            if m.payload() == b"last" {
                assert_eq!((m.logger(), m.severity(), m.pid()), (&b"output.relay"[..], 3, std::process::id() as i32));
                assert!(m.timestamp() > 0);
            }
        });
    }

    #[test]
    fn a_flood_is_limited_and_counted() {
        let intake = RecordingIntake::default();
        let running = start(input(&KIND, "max_per_second = 5").unwrap(), &intake);
        running.wait_for(|_| {
            (0..100).for_each(|_| tap::say(Level::Warn, "output.relay", "flood"));
            running.meter().get(Counter::Dropped) > 200
        });
        running.stop().unwrap();
        assert!(lines(&intake.seen(), "flood") < 200);
        assert!(input(&KIND, "max_per_second = 0").err().unwrap().contains("at least 1"));
    }

    #[test]
    fn counters_become_metrics() {
        static DELIVERED: AtomicU64 = AtomicU64::new(1000);
        tap::provide(|| {
            let delivered = DELIVERED.fetch_add(7, Ordering::Relaxed);
            vec![Reading {
                plugin: "output.relay".into(),
                kind: "tcp",
                counters: vec![("delivered", delivered), ("rejected", 3)],
                gauges: vec![("waiting_bytes", 42)],
            }]
        });
        let intake = RecordingIntake::default();
        let running = start(input(&KIND, "logs = false\nmetrics = '100ms'").unwrap(), &intake);
        let metrics = |seen: &Seen| {
            let mut all = Vec::new();
            each(seen, "metric", |m| {
                let text = |name: &str| match m.value(name.as_bytes(), 0, 0) {
                    Some(Value::String(text)) => String::from_utf8_lossy(text).into_owned(),
                    other => format!("{other:?}"),
                };
                let Some(Value::Integer(value)) = m.value(b"value", 0, 0) else { panic!("no value") };
                all.push(format!("{} {} {} {} {value}", text("name"), text("kind"), text("plugin"), text("plugin_type")));
            });
            all
        };
        running.wait_for(|seen| metrics(seen).len() >= 4);
        running.stop().unwrap();
        let all = metrics(&intake.seen());
        assert_eq!(all[..2], ["nilometer.delivered counter output.relay tcp 7", "nilometer.waiting_bytes gauge output.relay tcp 42"]);
        assert!(all.iter().all(|m| !m.contains("rejected")), "what did not grow is left out: {all:?}");
    }
}
