//! Sandboxes under any script: whatever it does, its limits hold, its host is well afterwards, and
//! what a call does is told in a `Failure`.

mod choices;
mod grammar;
mod host_calls;
mod module_calls;

use std::cell::RefCell;
use std::time::Duration;

use message::{Batch, BatchBuilder, Messages};
use plugin::Registry;
use sandbox::{Api, Checkpoint, Failure, FailureKind, Family, Inject, InputSink, Limits, Sandbox, SandboxConfig, Script, Status};

use choices::Choices;

const NOW: i64 = 1_700_000_000_000_000_000;

/// A script: its text as it is, or what the bytes choose from a grammar, as the first byte says.
pub fn script(_: &Registry, data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let text = if first % 2 == 0 { rest.to_vec() } else { grammar::script(&mut Choices::new(rest)).into_bytes() };
    let config = SandboxConfig { limits: tight(), ..config(Family::Filter) };
    live(&text, &config, &crate::garbage::samples());
}

/// A series of calls of the host's functions, on a message of any content, in a family.
pub fn api(_: &Registry, data: &[u8]) {
    let mut choices = Choices::new(data);
    let api = choices.of(&[Api::Heka, Api::Hindsight]);
    let config = SandboxConfig { limits: tight(), api, ..config(host_calls::family(&mut choices)) };
    let batch = host_calls::message(&mut choices);
    live(host_calls::script(&mut choices).as_bytes(), &config, &batch);
}

/// A series of calls of everything that `require` finds.
pub fn modules(_: &Registry, data: &[u8]) {
    let mut choices = Choices::new(data);
    let limits = Limits { memory: 4 << 20, instructions: Some(200_000), ..tight() };
    let config = SandboxConfig { limits, modules: modules::ALL, ..config(Family::Filter) };
    live(module_calls::script(&mut choices).as_bytes(), &config, &crate::garbage::samples());
}

fn config(family: Family) -> SandboxConfig {
    SandboxConfig { name: "fuzz".into(), hostname: "host".into(), pid: 1, now_ns: NOW, family, ..SandboxConfig::default() }
}

/// Deterministic, but for what a function of the host takes.
fn tight() -> Limits {
    Limits {
        memory: 1 << 20,
        cpu: Duration::from_millis(20),
        instructions: Some(20_000),
        output: 8 << 10,
        process_inject: 2,
        timer_inject: 3,
        state: 64 << 10,
    }
}

/// The life of a sandbox: loaded, called, saved, restored, gone.
fn live(text: &[u8], config: &SandboxConfig, batch: &Batch) {
    let script = Script::new("fuzz.lua", text);
    match Sandbox::new(&script, config) {
        Err(e) => assert!(!e.message.is_empty()),
        Ok(mut sandbox) => {
            for i in 0..batch.len().min(3) {
                call(&mut sandbox, config, batch, i);
            }
            tick(&mut sandbox, config);
            holds(&sandbox, config);
            sandbox.take_log();
            if let Some(saved) = saved(&mut sandbox, config) {
                carry(&script, config, &saved, batch);
            }
        }
    }
    the_thread_is_well();
}

/// One call of the kind its family gets.
fn call(sandbox: &mut Sandbox, config: &SandboxConfig, batch: &Batch, i: usize) {
    let (mut builder, m) = (BatchBuilder::default(), batch.get(i));
    match config.family {
        Family::Decoder | Family::Transform => {
            builder.copy(m);
            let (raw, messages) = builder.parts();
            told(&sandbox.process_message_mut(messages, raw, 0, NOW));
        }
        Family::Encoder => {
            let mut bytes = b"before".to_vec();
            told(&sandbox.encode(m, NOW, &mut bytes));
            assert!(bytes.starts_with(b"before") && bytes.len() <= 4 * config.limits.output, "{} bytes", bytes.len());
        }
        Family::Output => {
            told(&sandbox.deliver(m, i as u64, NOW));
            sandbox.take_confirmed();
        }
        Family::Input => {
            let mut sink = Sink { builder: &mut builder, room: config.limits.process_inject };
            told(&sandbox.run_input(Some(&Checkpoint::Text(b"here".to_vec())), &mut sink));
        }
        Family::Filter => told(&sandbox.process_message(m, &mut Inject { builder: &mut builder, now_ns: NOW })),
    }
    readable(builder, config, config.limits.process_inject + 1);
}

/// Takes some messages and asks for the end then.
struct Sink<'a> {
    builder: &'a mut BatchBuilder,
    room: usize,
}

impl InputSink for Sink<'_> {
    fn inject(&mut self, make: Option<&mut dyn FnMut(&mut Messages)>, _: Option<Checkpoint>) -> bool {
        if let (Some(make), true) = (make, self.room > 0) {
            self.room -= 1;
            make(self.builder.messages());
        }
        self.room > 0
    }

    fn now(&self) -> i64 {
        NOW
    }

    fn stopped(&self) -> bool {
        self.room == 0
    }
}

fn tick(sandbox: &mut Sandbox, config: &SandboxConfig) {
    let mut builder = BatchBuilder::default();
    let outcome = sandbox.timer_event(NOW, false, &mut Inject { builder: &mut builder, now_ns: NOW }).map(|()| Status::Ok);
    assert!(outcome.is_ok() || builder.is_empty(), "a failed tick injects nothing");
    told(&outcome);
    readable(builder, config, config.limits.timer_inject);
}

fn told<T>(outcome: &Result<T, Failure>) {
    if let Err(failure) = outcome {
        assert!(!failure.message.is_empty() || matches!(failure.kind, FailureKind::Error | FailureKind::Fatal), "{failure:?}");
        assert_ne!(failure.kind, FailureKind::State, "{failure}");
    }
}

/// What was injected is no more than may be, and is sound.
fn readable(mut builder: BatchBuilder, config: &SandboxConfig, most: usize) {
    assert!(builder.len() <= most, "{} messages", builder.len());
    let batch = builder.finish();
    for m in batch.iter() {
        let mut bytes = Vec::new();
        message::wire::encode(m, &mut bytes);
        // Names of the host's own come on top, and what a decoder was given.
        assert!(bytes.len() <= 4 * config.limits.output, "a message of {} bytes", bytes.len());
    }
}

fn holds(sandbox: &Sandbox, config: &SandboxConfig) {
    let usage = sandbox.usage();
    assert!(usage.memory.max <= config.limits.memory as u64, "{:?}", usage.memory);
    assert!(usage.memory.current <= usage.memory.max, "{:?}", usage.memory);
    assert!(usage.output.current <= config.limits.output as u64, "{:?}", usage.output);
}

fn saved(sandbox: &mut Sandbox, config: &SandboxConfig) -> Option<Vec<u8>> {
    match sandbox.save() {
        Ok(saved) => {
            assert!(saved.len() <= config.limits.state, "{} bytes saved", saved.len());
            Some(saved)
        }
        Err(failure) => {
            assert!(matches!(failure.kind, FailureKind::State | FailureKind::Memory), "{failure:?}");
            None
        }
    }
}

/// What was saved is taken by the same script, and whole; damaged, it is no more than refused.
fn carry(script: &Script, config: &SandboxConfig, saved: &[u8], batch: &Batch) {
    if let Ok(mut again) = Sandbox::new(script, config) {
        match again.restore(saved) {
            Ok(_) => call(&mut again, config, batch, 0),
            Err(failure) => assert_eq!(failure.kind, FailureKind::Memory, "{failure}"),
        }
    }
    if let Ok(mut again) = Sandbox::new(script, config) {
        let mut damaged = saved.to_vec();
        let at = damaged.len() / 2;
        if let Some(byte) = damaged.get_mut(at) {
            *byte ^= 0x55;
        }
        let _ = again.restore(&damaged);
        let _ = again.restore(&saved[..at]);
        call(&mut again, config, batch, 0);
    }
}

/// Another sandbox of this thread works as ever.
fn the_thread_is_well() {
    const SCRIPT: &str = "n = 0 function process_message() n = n + 1 return read_message('Pid') == -1 and 0 or 1 end";
    thread_local!(static OTHER: RefCell<Option<(Sandbox, Batch)>> = const { RefCell::new(None) });
    OTHER.with_borrow_mut(|other| {
        let (sandbox, batch) = other.get_or_insert_with(|| {
            let limits = Limits { cpu: Duration::from_secs(60), ..Limits::default() };
            let sandbox = Sandbox::new(&Script::new("other.lua", SCRIPT), &SandboxConfig { limits, ..config(Family::Filter) });
            (sandbox.expect("a sound script"), crate::garbage::samples())
        });
        let mut builder = BatchBuilder::default();
        let outcome = sandbox.process_message(batch.get(1), &mut Inject { builder: &mut builder, now_ns: NOW });
        assert_eq!(outcome, Ok(Status::Ok));
    });
}
