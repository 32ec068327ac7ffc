//! `lua`: an input written in Lua: it makes messages, and says how far it is.
//!
//! For sources no native input reads: generated load, a file in a format of its own, a device. It runs
//! on a thread of its own. What it injects goes through the input's decoder, if one is named, and its
//! transforms. A checkpoint given along comes back to process_message after a restart, once all who
//! wanted the message have accepted it: nothing is lost, and what was in flight is made again.

use std::time::Duration;

use message::{Messages, StreamId};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability, StreamOptions};
use sandbox::{Checkpoint, FailureKind, Family, InputSink, LogLine, Status};

use super::{ALLOW, API, CONFIG, INSTRUCTIONS, MEMORY, MODULES, OUTPUT, SCRIPT, STATE, grants, load, sandbox_config, tell, try_load};

pub const KIND: Kind = Kind::input("lua", Stability::Stable, build)
    .summary("Makes messages in a Lua script, with checkpoints of its own.")
    .doc(
        "The script defines process_message(checkpoint), called every `every`, or once: then it loops inside, and the input ends when it returns. \
         inject_message(message, checkpoint) sends a message; the checkpoint, a number or a text, is remembered when all who wanted the message \
         have accepted it, and handed to process_message after a restart. inject_message(nil, checkpoint) moves the checkpoint alone. A stop \
         ends the script at its next inject_message. It has no CPU budget unless `cpu_limit` gives it one, and reaches files only where \
         `allow = [\"io\"]` says so.",
    )
    .options(&[
        SCRIPT,
        Opt::duration("every").sample("\"10s\"").doc("How often process_message is called. Default: once."),
        CONFIG,
        MODULES,
        API,
        MEMORY,
        Opt::duration("cpu_limit").doc("CPU time one call of the script may take. Default: no such limit."),
        INSTRUCTIONS,
        OUTPUT,
        STATE,
        ALLOW,
    ])
    .examples(&[Example { title: "A message every ten seconds", toml: "script = \"poll.lua\"\nevery = \"10s\"\nallow = [\"io\"]" }]);

/// The script belongs to the thread that runs it, and is loaded there.
struct LuaInput {
    options: Options,
    build: BuildCx,
    may_block: bool,
}

fn build(o: &Options, cx: &BuildCx) -> Result<Box<dyn Input>, Problem> {
    let grants = grants(o)?;
    let input = LuaInput { options: o.clone(), build: cx.clone(), may_block: grants.io || grants.exec };
    // Only to find what is wrong with it.
    try_load(o, sandbox_config(o, cx, Family::Input, 0, 0))?;
    Ok(Box::new(input))
}

/// Name of the stream that remembers the checkpoint.
const STREAM: &str = "script";

impl LuaInput {
    fn load(&self) -> Result<super::Loaded, Problem> {
        let config = sandbox_config(&self.options, &self.build, Family::Input, 0, 0);
        load(&self.options, sandbox::SandboxConfig { grants: grants(&self.options)?, ..config })
    }
}

impl Input for LuaInput {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let mut loaded = self.load().map_err(|p| Fatal::new(p.to_string()))?;
        let every = self.options.get_duration("every").or(loaded.every);
        let known = cx.intake.checkpoints().into_iter().find(|c| c.key == STREAM).unwrap_or_default();
        let stream = cx.intake.open(StreamOptions { key: STREAM.into(), position: known.position, ..StreamOptions::default() });
        cx.intake.adopt(&mut loaded);
        let name = format!("input.{}", self.build.name);
        let mut checkpoint = from_note(&known.note);
        let mut due = cx.clock.steady();
        while !cx.stop.asked() {
            let mut sink = Sink { cx, stream, checkpoint: checkpoint.clone(), may_block: self.may_block, name: &name };
            let outcome = {
                let _awake = sandbox::active();
                loaded.sandbox.run_input(checkpoint.as_ref(), &mut sink)
            };
            checkpoint = sink.checkpoint;
            loaded.log_prints(&name);
            cx.intake.hand_on();
            match outcome {
                Ok(Status::Ok) => {}
                Ok(Status::Skipped(why) | Status::Failed(why)) => {
                    cx.meter.add_extra("process_message_failures", 1);
                    log::warn!(target: &name, "process_message failed{}", why.map(|w| format!(": {w}")).unwrap_or_default());
                }
                Err(failure) if failure.kind == FailureKind::Stopped => break,
                Err(failure) => {
                    cx.intake.look_after(&mut loaded, true);
                    return Err(Fatal::new(failure.to_string()));
                }
            }
            let Some(every) = every else { break };
            cx.intake.look_after(&mut loaded, false);
            // Ticks that were missed are not made up for.
            due = (due + every).max(cx.clock.steady());
            wait(cx, due);
        }
        cx.intake.look_after(&mut loaded, true);
        Ok(())
    }

    fn can_wait(&self) -> bool {
        true
    }
}

/// Waits until `due`, or a stop.
fn wait(cx: &mut InputCx<'_>, due: Duration) {
    loop {
        cx.intake.poll();
        let left = due.saturating_sub(cx.clock.steady());
        if left.is_zero() || cx.stop.wait(left.min(cx.intake.wait())) {
            return;
        }
    }
}

struct Sink<'a, 'b> {
    cx: &'a mut InputCx<'b>,
    stream: StreamId,
    /// The last one given.
    checkpoint: Option<Checkpoint>,
    /// The script may wait for the world after any message: that one must not wait along.
    may_block: bool,
    name: &'a str,
}

impl InputSink for Sink<'_, '_> {
    fn inject(&mut self, make: Option<&mut dyn FnMut(&mut Messages)>, checkpoint: Option<Checkpoint>) -> bool {
        let note = checkpoint.as_ref().map(to_note);
        match make {
            Some(make) => self.cx.intake.make_at(self.stream, note.as_deref(), make),
            None => self.cx.intake.make_at(self.stream, note.as_deref(), &mut |_| {}),
        }
        self.checkpoint = checkpoint.or_else(|| self.checkpoint.take());
        if self.may_block {
            self.cx.intake.hand_on();
        }
        self.cx.intake.poll();
        !self.cx.stop.asked()
    }

    fn now(&self) -> i64 {
        self.cx.clock.now()
    }

    fn stopped(&self) -> bool {
        self.cx.stop.asked()
    }

    fn log(&mut self, lines: Vec<LogLine>, dropped: u64) {
        tell(self.name, lines, dropped);
    }
}

/// A checkpoint as it is remembered: its type in the first letter.
fn to_note(checkpoint: &Checkpoint) -> String {
    match checkpoint {
        Checkpoint::Integer(n) => format!("i{n}"),
        // By its bits: nothing is rounded.
        Checkpoint::Number(n) => format!("n{:016x}", n.to_bits()),
        Checkpoint::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => format!("t{text}"),
            Err(_) => format!("x{}", text.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        },
    }
}

fn from_note(note: &str) -> Option<Checkpoint> {
    let (kind, rest) = note.split_at_checked(1)?;
    match kind {
        "i" => rest.parse().ok().map(Checkpoint::Integer),
        "n" => u64::from_str_radix(rest, 16).ok().map(|bits| Checkpoint::Number(f64::from_bits(bits))),
        "t" => Some(Checkpoint::Text(rest.as_bytes().to_vec())),
        "x" => {
            let pair = |i: usize| u8::from_str_radix(rest.get(i..i + 2)?, 16).ok();
            (0..rest.len()).step_by(2).map(pair).collect::<Option<_>>().map(Checkpoint::Text)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::intake::{RecordingIntake, start};

    fn input(dir: &tempfile::TempDir, source: &str, options: &str) -> Result<Box<dyn Input>, String> {
        let path = dir.path().join("i.lua");
        std::fs::write(&path, source).unwrap();
        testkit::plugins::input(&KIND, &format!("script = {path:?}\n{options}"))
    }

    fn payloads(intake: &RecordingIntake) -> Vec<String> {
        intake
            .seen()
            .made
            .iter()
            .flat_map(|b| b.iter().map(|m| String::from_utf8_lossy(m.payload()).into_owned()).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn checkpoints_survive_as_they_are() {
        for c in [
            Checkpoint::Integer(i64::MIN),
            Checkpoint::Number(0.1),
            Checkpoint::Text(b"".to_vec()),
            Checkpoint::Text("ä b".as_bytes().to_vec()),
            Checkpoint::Text(vec![0xff, 0, 1]),
        ] {
            assert_eq!(from_note(&to_note(&c)), Some(c));
        }
        assert_eq!(["", "i", "nx", "xé", "q1"].map(from_note), [const { None }; 5]);
    }

    #[test]
    fn it_goes_on_where_it_was_and_ends_when_it_returns() {
        let dir = tempfile::tempdir().unwrap();
        let source = "function process_message(cp)\nfor n = (cp or 0) + 1, (cp or 0) + 3 do inject_message({Payload = tostring(n)}, n) end\nreturn 0\nend";
        let first = RecordingIntake::default();
        start(input(&dir, source, "").unwrap(), &first).finish().unwrap();
        assert_eq!(payloads(&first), ["1", "2", "3"]);
        let second = first.restarted();
        start(input(&dir, source, "").unwrap(), &second).finish().unwrap();
        assert_eq!(payloads(&second), ["4", "5", "6"]);
        assert_eq!(second.seen().streams[0].note, "i6");
    }

    #[test]
    fn ticks_repeat_and_a_failure_that_is_none_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let source = "local n = 0\nfunction process_message(cp)\nn = n + 1\ninject_message({Payload = tostring(cp)}, 'c' .. n)\nreturn -1, 'so what'\nend";
        let intake = RecordingIntake::default();
        let running = start(input(&dir, source, "every = '1ms'").unwrap(), &intake);
        running.wait_for(|seen| seen.made.len() > 3);
        running.stop().unwrap();
        assert_eq!(payloads(&intake)[..3], ["nil", "c1", "c2"]);
    }

    #[test]
    fn a_stop_ends_scripts_that_loop() {
        let dir = tempfile::tempdir().unwrap();
        for body in ["while true do inject_message({Payload = 'x'}) end", "inject_message({Payload = 'x'}) while true do end"] {
            let source = format!("function process_message() {body} end");
            let intake = RecordingIntake::default();
            let running = start(input(&dir, &source, "").unwrap(), &intake);
            running.wait_for(|seen| !seen.made.is_empty());
            running.stop().unwrap();
        }
    }

    #[test]
    fn io_is_granted_only_where_it_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let source = "function process_message() inject_message({Payload = type(io.open)}) return 0 end";
        let intake = RecordingIntake::default();
        start(input(&dir, source, "allow = 'io'").unwrap(), &intake).finish().unwrap();
        assert_eq!(payloads(&intake), ["function"]);
        let why = start(input(&dir, source, "").unwrap(), &RecordingIntake::default()).finish().unwrap_err();
        assert!(why.0.contains("io.open is not granted"), "{why}");
        let refused = input(&dir, source, "allow = ['oi']").err().unwrap();
        assert!(refused.contains("test.toml:2:9: there is no `oi` to allow"), "{refused}");
    }

    #[test]
    fn an_error_is_fatal() {
        let dir = tempfile::tempdir().unwrap();
        let source = "function process_message() error('no source') end";
        let why = start(input(&dir, source, "").unwrap(), &RecordingIntake::default()).finish().unwrap_err();
        assert!(why.0.contains("i.lua:1: no source"), "{why}");
        assert!(input(&dir, "function process_message(", "").err().unwrap().contains("i.lua:1:"));
    }
}
