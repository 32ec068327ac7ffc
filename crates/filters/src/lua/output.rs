//! `lua`: an output written in Lua: it delivers messages, now or later.
//!
//! For places no native output writes to. It reads the message itself with read_message; with an
//! `encoder`, the payload it reads is what that made. Messages it keeps for a batch, or sends without
//! waiting, stay with the engine until it confirms them, and are offered again should it end before.

use std::time::Duration;

use message::BatchBuilder;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Kind, OutBatch, OutCx, OutItem, Output, Scripted, Stability, Verdict};
use sandbox::{Delivery, Failure, Family, Inject, SandboxConfig};

use super::{ALLOW, API, CONFIG, INSTRUCTIONS, Loaded, MEMORY, MODULES, OUTPUT, SCRIPT, STATE, grants, load, sandbox_config, try_load};

pub const KIND: Kind = Kind::output("lua", Stability::Stable, build)
    .summary("Delivers messages in a Lua script, one by one, in batches or with late confirmation.")
    .doc(
        "The script defines process_message(sequence) and returns what became of the message: 0 delivered, −1 refused, −2 not meant for it, −3 try again \
         later, −4 kept for a batch, −5 under way. A batch is delivered when a later call returns 0, or with update_checkpoint(); what is under way, \
         with update_checkpoint(sequence), which confirms everything up to it. timer_event(ns, shutdown) is called every `every`, and once at a stop: \
         what is not confirmed then is offered again to the next instance. It reaches files only where `allow = [\"io\"]` says so. Without an \
         `encoder` nothing is encoded; with one, the script finds the bytes as read_message(\"Payload\").",
    )
    .options(&[
        SCRIPT,
        Opt::duration("every").sample("\"5s\"").doc("How often timer_event(ns, false) is called. Default: only at a stop."),
        CONFIG,
        MODULES,
        API,
        MEMORY,
        Opt::duration("cpu_limit").default("1s").doc("CPU time one call of the script may take."),
        INSTRUCTIONS,
        OUTPUT,
        STATE,
        ALLOW,
    ])
    .examples(&[Example {
        title: "Hand messages to a script",
        toml: "match = 'Type == \"alert\"'\nscript = \"page.lua\"\nevery = \"5s\"\nallow = [\"io\"]",
    }]);

struct LuaOutput {
    name: String,
    loaded: Loaded,
    every: Option<Duration>,
    /// Sequence number of the next message.
    next: u64,
    /// First message of the batch the script keeps.
    batch: Option<u64>,
    /// Messages come with bytes, which the script finds as their payload.
    encoded: bool,
    /// The message with those bytes.
    scratch: BatchBuilder,
    closed: bool,
}

fn build(o: &Options, cx: &BuildCx) -> Result<Box<dyn Output>, Problem> {
    let config = sandbox_config(o, cx, Family::Output, 0, 0);
    let grants = grants(o)?;
    let loaded = match cx.check_only {
        true => match try_load(o, config)? {
            Some(loaded) => loaded,
            None => return Ok(Box::new(Unknown)),
        },
        false => load(o, SandboxConfig { grants, ..config })?,
    };
    let every = o.get_duration("every");
    if every.is_some() && !loaded.sandbox.has_timer_event() {
        let problem = o.problem("every", "the script has no timer_event", "`every` says how often it is called");
        return Err(problem.help("define function timer_event(ns, shutdown) in the script, or remove `every`"));
    }
    Ok(Box::new(LuaOutput {
        name: format!("output.{}", cx.name),
        every: every.or(loaded.every),
        loaded,
        next: 1,
        batch: None,
        encoded: o.declares("encoder") && o.has("encoder"),
        scratch: BatchBuilder::default(),
        closed: false,
    }))
}

/// A script that reaches outside while it loads, where only a check is wanted: never run.
struct Unknown;

impl Output for Unknown {
    fn write(&mut self, _: &OutBatch<'_>, _: &mut OutCx<'_>) {}

    fn wants_bytes(&self) -> bool {
        false
    }
}

impl LuaOutput {
    fn deliver(&mut self, item: OutItem<'_>, sequence: u64, now: i64) -> Result<Delivery, Failure> {
        if !self.encoded {
            return self.loaded.sandbox.deliver(item.message, sequence, now);
        }
        self.scratch.messages().clear();
        self.scratch.copy(item.message).set_payload(item.bytes);
        self.loaded.sandbox.deliver(self.scratch.get(0), sequence, now)
    }

    /// One message; false when no more are to be tried for now.
    fn one(&mut self, batch: &OutBatch<'_>, i: usize, cx: &mut OutCx<'_>) -> bool {
        let sequence = self.next;
        self.next += 1;
        let outcome = self.deliver(batch.get(i), sequence, cx.clock.now());
        let go_on = match outcome {
            Ok(Delivery::Done) => {
                // The batch went out with it.
                if let Some(first) = self.batch.take() {
                    cx.settle(first..sequence, Verdict::Done);
                }
                cx.done(i..i + 1);
                true
            }
            Ok(Delivery::Skipped) => {
                cx.done(i..i + 1);
                true
            }
            Ok(Delivery::Failed(why)) => {
                cx.meter.add_extra("process_message_failures", 1);
                cx.reject(i, why.unwrap_or_else(|| "process_message returned a negative number".to_string()));
                true
            }
            Ok(Delivery::Retry(why)) => {
                cx.retry(i..batch.len(), None, why.unwrap_or_else(|| "the script asks to try again later".to_string()));
                false
            }
            Ok(Delivery::Batching) => {
                self.batch.get_or_insert(sequence);
                cx.later(i..i + 1, sequence);
                true
            }
            Ok(Delivery::Later) => {
                cx.later(i..i + 1, sequence);
                true
            }
            Err(failure) => {
                cx.fail(Fatal::new(failure.to_string()));
                false
            }
        };
        self.confirm(cx);
        go_on
    }

    /// Passes on what the script has confirmed.
    fn confirm(&mut self, cx: &mut OutCx<'_>) {
        let Some(confirmed) = self.loaded.sandbox.take_confirmed() else { return };
        cx.meter.add_extra("process_message_failures", confirmed.failures);
        if let Some(sequence) = confirmed.sequence {
            let next = sequence.saturating_add(1);
            cx.settle(0..next, Verdict::Done);
            self.batch = self.batch.map(|first| first.max(next)).filter(|first| *first < self.next);
        }
    }

    fn timer_event(&mut self, last: bool, cx: &mut OutCx<'_>) {
        let _awake = sandbox::active();
        let now = cx.clock.now();
        // An output injects nothing.
        let mut nothing = BatchBuilder::default();
        let outcome = self.loaded.sandbox.timer_event(now, last, &mut Inject { builder: &mut nothing, now_ns: now });
        self.loaded.log_prints(&self.name);
        self.confirm(cx);
        if let Err(failure) = outcome {
            cx.fail(Fatal::new(failure.to_string()));
        }
    }
}

impl Output for LuaOutput {
    fn write(&mut self, batch: &OutBatch<'_>, cx: &mut OutCx<'_>) {
        let _awake = sandbox::active();
        for i in 0..batch.len() {
            if cx.stop.asked() {
                cx.retry(i..batch.len(), None, "stopped while delivering");
                break;
            }
            if !self.one(batch, i, cx) {
                break;
            }
        }
        self.loaded.log_prints(&self.name);
    }

    fn every(&self) -> Option<Duration> {
        self.every
    }

    fn poll(&mut self, cx: &mut OutCx<'_>) {
        if self.every.is_some() {
            self.timer_event(false, cx);
        }
    }

    fn close(&mut self, cx: &mut OutCx<'_>) {
        if !std::mem::replace(&mut self.closed, true) {
            self.timer_event(true, cx);
        }
    }

    fn script(&mut self) -> Option<&mut dyn Scripted> {
        Some(&mut self.loaded)
    }

    fn wants_bytes(&self) -> bool {
        self.encoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::deliver::{Delivery, payloads};

    fn delivery(source: &str, options: &str) -> Delivery {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.lua");
        std::fs::write(&path, source).unwrap();
        Delivery::new(testkit::plugins::output(&KIND, &format!("script = {path:?}\napi = 'hindsight'\n{options}")).unwrap())
    }

    fn later(n: u64) -> Verdict {
        Verdict::Later(n)
    }

    #[test]
    fn each_number_is_a_verdict() {
        let mut d = delivery(
            "local code = {ok = 0, bad = -1, skip = -2, wait = -3}\n\
             function process_message() local p = read_message('Payload') return code[p], p end",
            "",
        );
        let verdicts = d.write(&payloads(["ok", "skip", "bad", "wait", "ok"]));
        assert_eq!(verdicts[..3], [Verdict::Done, Verdict::Done, Verdict::Reject("bad".into())]);
        assert!(verdicts[3..].iter().all(|v| matches!(v, Verdict::Retry { why, .. } if why == "wait")), "{verdicts:?}");
    }

    #[test]
    fn a_batch_is_done_with_the_message_that_fills_it_or_at_the_stop() {
        let mut d = delivery(
            "local n = 0\nfunction process_message() n = n + 1 if n % 3 == 0 then return 0 end return -4 end\n\
             function timer_event(ns, shutdown) if shutdown then update_checkpoint() end end",
            "",
        );
        assert_eq!(d.write(&payloads(["a", "b", "c", "d"])), [later(1), later(2), Verdict::Done, later(4)]);
        assert_eq!(d.late, [(1..3, Verdict::Done)]);
        d.poll();
        assert_eq!(d.late.len(), 1);
        d.close();
        assert_eq!(d.late.last(), Some(&(0..5, Verdict::Done)));
        d.close();
        assert_eq!(d.late.len(), 2);
    }

    #[test]
    fn what_is_under_way_is_confirmed_by_number() {
        let mut d = delivery(
            "function process_message(sequence) if sequence == 3 then update_checkpoint(sequence - 1, 1) end return -5 end\n\
             function timer_event() end",
            "every = '1s'",
        );
        assert_eq!(d.write(&payloads(["a", "b", "c"])), [later(1), later(2), later(3)]);
        assert_eq!(d.late, [(0..3, Verdict::Done)]);
        assert!(d.meter.read().contains(&("process_message_failures", 1)));
        assert_eq!(d.every(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_check_touches_nothing_outside() {
        let dir = tempfile::tempdir().unwrap();
        let (script, made) = (dir.path().join("o.lua"), dir.path().join("made"));
        std::fs::write(&script, format!("local f = assert(io.open({made:?}, 'w'))\nfunction process_message() return 0 end")).unwrap();
        let options = testkit::plugins::options(&KIND, &format!("script = {script:?}\nallow = 'io'")).unwrap();
        let cx = testkit::plugins::build_cx();
        build(&options, &BuildCx { check_only: true, ..cx.clone() }).unwrap();
        assert!(!made.exists());
        build(&options, &cx).unwrap();
        assert!(made.exists());
        std::fs::write(&script, "function process_message(").unwrap();
        assert!(build(&options, &BuildCx { check_only: true, ..cx }).is_err());
    }

    #[test]
    fn an_error_ends_it() {
        let mut d = delivery("function process_message() error('broken pipe') end", "");
        assert!(matches!(&d.write(&payloads(["a"]))[0], Verdict::Retry { .. }));
        assert!(d.fatal.as_ref().unwrap().0.contains("o.lua:1: broken pipe"), "{:?}", d.fatal);
    }
}
