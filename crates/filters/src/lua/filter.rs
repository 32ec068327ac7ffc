//! `lua`: a filter written in Lua, in Heka's sandbox API, under hard caps of memory, CPU, output
//! and injection.
//!
//! For everything ad hoc: counting, rates, alerts, sessions. Not for what a native filter does
//! already (`count`, `statsd_aggregate`): those cost a tenth. A script that breaks a limit is
//! reported and started again with back-off; it cannot hurt the stream or its neighbours. Its
//! globals are carried over reloads and restarts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use message::{Batch, BatchBuilder, Selection};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Carried, Example, Filter, FilterCx, FilterFailure, Gauge, Kind, Scripted, Stability};
use sandbox::{Family, Inject, Schedule, Status, common_tick};

use super::{API, CONFIG, CPU, INSTRUCTIONS, Loaded, MEMORY, MODULES, OUTPUT, SCRIPT, STATE, count, load, sandbox_config};

pub const KIND: Kind = Kind::filter("lua", Stability::Stable, build)
    .summary("Computes over messages in a sandboxed Lua script, reloaded when its file changes.")
    .doc(
        "The script defines process_message(), called for each message, and usually timer_event(ns), called every `every` and once at an \
         orderly stop. It reads the message with read_message(\"Fields[status]\") and sends results with inject_payload(type, name, text) or \
         inject_message{Type = …, Payload = …, Fields = {…}}. Globals are its state: they are saved, and carried over a reload if the new \
         version gives them the same initial value.",
    )
    .options(&[
        SCRIPT,
        Opt::duration("every").sample("\"5s\"").doc("How often timer_event(ns) is called. Default: only at an orderly stop."),
        CONFIG,
        MODULES,
        API,
        MEMORY,
        CPU,
        INSTRUCTIONS,
        OUTPUT,
        Opt::integer("max_process_inject").default("1").doc("Messages one call of process_message may inject."),
        Opt::integer("max_timer_inject").default("10").doc("Messages one call of timer_event may inject."),
        STATE,
    ])
    .examples(&[Example {
        title: "Count server errors and tell every five seconds",
        toml: "match = 'Type == \"nginx.access\" && Fields[status] >= 500'\nscript = \"errors.lua\"\nevery = \"5s\"",
    }]);

struct LuaFilter {
    name: String,
    loaded: Loaded,
    ticks: Ticks,
}

/// When timer_event and the script's own timers are called.
struct Ticks {
    /// Of `timer_event`.
    every: Option<Schedule>,
    /// Of the engine: it falls on all of them.
    common: Option<Duration>,
}

impl Ticks {
    fn new(every: Option<Duration>, timers: Option<Duration>) -> Ticks {
        Ticks { every: every.map(Schedule::new), common: common_tick(every.into_iter().chain(timers)) }
    }

    /// When timer_event was due, if it is at this tick.
    fn timer_event(&mut self, due: i64, last: bool) -> Option<i64> {
        let common = self.common.unwrap_or_default();
        let event = self.every.as_mut().and_then(|every| every.take(due, common));
        event.or(last.then_some(due))
    }
}

fn build(o: &Options, cx: &BuildCx) -> Result<Box<dyn Filter>, Problem> {
    let config = sandbox_config(o, cx, Family::Filter, count(o, "max_process_inject")?, count(o, "max_timer_inject")?);
    let loaded = load(o, config)?;
    let every = o.get_duration("every");
    if every.is_some() && !loaded.sandbox.has_timer_event() {
        let problem = o.problem("every", "the script has no timer_event", "`every` says how often it is called");
        return Err(problem.help("define function timer_event(ns) in the script, or remove `every`"));
    }
    let ticks = Ticks::new(every, loaded.sandbox.timers());
    Ok(Box::new(LuaFilter { name: format!("filter.{}", cx.name), loaded, ticks }))
}

impl LuaFilter {
    fn failure(&mut self, at: usize, why: &sandbox::Failure) -> FilterFailure {
        self.loaded.log_prints(&self.name);
        FilterFailure { at, why: why.to_string() }
    }
}

impl Filter for LuaFilter {
    fn messages(
        &mut self,
        batch: &Arc<Batch>,
        selection: &Selection,
        out: &mut BatchBuilder,
        cx: &FilterCx<'_>,
    ) -> Result<(), FilterFailure> {
        let _awake = sandbox::active();
        let mut inject = Inject { builder: out, now_ns: cx.clock.now() };
        let mut refused = 0;
        let outcome = self.loaded.sandbox.process_messages(batch, selection, &mut inject, &mut |status| {
            refused += 1;
            if let Status::Skipped(Some(why)) | Status::Failed(Some(why)) = status {
                log::debug!(target: &self.name, "process_message failed: {why}");
            }
        });
        cx.meter.add_extra("process_message_failures", refused);
        self.loaded.log_prints(&self.name);
        outcome.map_err(|(at, why)| FilterFailure { at, why: why.to_string() })
    }

    fn every(&self) -> Option<Duration> {
        self.ticks.common
    }

    fn tick(&mut self, due: i64, last: bool, out: &mut BatchBuilder, cx: &FilterCx<'_>) -> Result<(), FilterFailure> {
        let _awake = sandbox::active();
        let mut inject = Inject { builder: out, now_ns: cx.clock.now() };
        let event = self.ticks.timer_event(due, last);
        let sandbox = &mut self.loaded.sandbox;
        let mut outcome = match self.ticks.common {
            Some(common) => sandbox.fire_timers(due, common, last, &mut inject),
            None => Ok(()),
        };
        if let (Ok(()), Some(due)) = (&outcome, event) {
            outcome = sandbox.timer_event(due, last, &mut inject);
        }
        self.loaded.log_prints(&self.name);
        outcome.map_err(|why| self.failure(0, &why))
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        self.loaded.save()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        self.loaded.restore(saved)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.loaded.files()
    }

    fn gauges(&self) -> Vec<Gauge> {
        self.loaded.gauges()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin::{Clock, Meter};

    fn filter(dir: &tempfile::TempDir, source: &str, options: &str) -> Result<Box<dyn Filter>, String> {
        let path = dir.path().join("f.lua");
        std::fs::write(&path, source).unwrap();
        testkit::plugins::filter(&KIND, &format!("script = {path:?}\n{options}"))
    }

    fn three() -> Arc<Batch> {
        let mut b = BatchBuilder::default();
        for n in 1..=3 {
            b.add().add_integer(b"n", n);
        }
        Arc::new(b.finish())
    }

    const SUM: &str = "sum = 0\nfunction process_message() sum = sum + read_message('Fields[n]') return 0 end\n\
        function timer_event(ns) inject_payload('txt', 'sum', sum) end";

    #[test]
    fn a_script_that_never_ends_is_refused() {
        let refused = testkit::plugins::filter(&KIND, "script = '/dev/zero'").err().unwrap();
        assert_eq!(refused, "test.toml:1:10: /dev/zero is too long: a script has at most 256 KiB");
    }

    #[test]
    fn sums_and_tells_at_the_tick() {
        let dir = tempfile::tempdir().unwrap();
        let mut f = filter(&dir, SUM, "every = '1s'").unwrap();
        let (clock, meter, mut out) = (Clock::standing(5), Meter::default(), BatchBuilder::default());
        let cx = FilterCx { clock: &clock, meter: &meter };
        let batch = three();
        f.messages(&batch, &batch.all(), &mut out, &cx).unwrap();
        f.tick(5, false, &mut out, &cx).unwrap();
        assert_eq!(out.get(0).payload(), b"6");
        let mut next = filter(&dir, SUM, "").unwrap();
        assert_eq!(next.restore(&f.save().unwrap()).unwrap().carried, ["sum"]);
    }

    #[test]
    fn timers_of_the_script_and_timer_event_each_have_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let source = "function process_message() return 0 end
            function timer_event(ns, last) inject_payload('', '', 'event ', ns, last and ' last' or '') end
            every('4s', function(ns, last) inject_payload('', '', 'four ', ns, last and ' last' or '') end)";
        const S: i64 = 1_000_000_000;
        let fired = |f: &mut Box<dyn Filter>, at: i64, last: bool| {
            let (clock, meter, mut out) = (Clock::standing(at), Meter::default(), BatchBuilder::default());
            f.tick(at, last, &mut out, &FilterCx { clock: &clock, meter: &meter }).unwrap();
            (0..out.len()).map(|n| String::from_utf8_lossy(out.get(n).payload()).into_owned()).collect::<Vec<_>>()
        };
        let mut f = filter(&dir, source, "every = '6s'").unwrap();
        assert_eq!(f.every(), Some(Duration::from_secs(2)));
        let all: Vec<_> = [2, 4, 6, 8, 10, 12].iter().flat_map(|n| fired(&mut f, n * S, false)).collect();
        assert_eq!(all, ["four 4000000000", "event 6000000000", "four 8000000000", "four 12000000000", "event 12000000000"]);
        assert_eq!(fired(&mut f, 13 * S, true), ["four 13000000000 last", "event 13000000000 last"]);
        let mut without = filter(&dir, source, "").unwrap();
        assert_eq!(without.every(), Some(Duration::from_secs(4)));
        assert_eq!(fired(&mut without, 4 * S, false), ["four 4000000000"], "no `every`, no timer_event");
        assert_eq!(filter(&dir, SUM, "").unwrap().every(), None);
    }

    #[test]
    fn a_failure_names_the_message_and_keeps_what_was_done() {
        let dir = tempfile::tempdir().unwrap();
        let source = "function process_message() if read_message('Fields[n]') == 2 then error('no twos') end inject_payload('txt','',1) return 0 end";
        let mut f = filter(&dir, source, "").unwrap();
        let (clock, meter, mut out) = (Clock::standing(5), Meter::default(), BatchBuilder::default());
        let batch = three();
        let failure = f.messages(&batch, &batch.all(), &mut out, &FilterCx { clock: &clock, meter: &meter }).unwrap_err();
        assert_eq!((failure.at, out.len()), (1, 1));
        assert!(failure.why.contains("f.lua:1:") && failure.why.contains("no twos"), "{}", failure.why);
    }

    #[test]
    fn problems_point_at_the_option() {
        let dir = tempfile::tempdir().unwrap();
        let err = |source, options| filter(&dir, source, options).err().unwrap();
        assert!(err("function process_message( end", "").contains("f.lua:1:"));
        assert!(err("function process_message() return 0 end", "every = '1s'").contains("has no timer_event"));
        let missing = testkit::plugins::filter(&KIND, "script = '/nowhere/x.lua'").err().unwrap();
        assert!(missing.starts_with("test.toml:1:10: cannot read /nowhere/x.lua"), "{missing}");
    }
}
