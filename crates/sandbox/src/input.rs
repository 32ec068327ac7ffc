//! An input's call: it may run for as long as the input does, sending messages meanwhile.

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};

use message::Messages;

use crate::host::{Current, Host};
use crate::vm::{Lua, REGISTRY, Raised};
use crate::watchdog::thread_cpu_ns;
use crate::{Failure, FailureKind, LogLine, Sandbox, Status};

/// Where an input is, in words of its own.
#[derive(Clone, PartialEq, Debug)]
pub enum Checkpoint {
    Integer(i64),
    Number(f64),
    Text(Vec<u8>),
}

/// Where an input's messages go.
pub trait InputSink {
    /// Takes a message, which `make` adds to what it is given (exactly one, and without ever raising), and the checkpoint given along:
    /// everything up to it has been sent. May wait for room. False: stop was asked for, and the script is ended.
    fn inject(&mut self, make: Option<&mut dyn FnMut(&mut Messages)>, checkpoint: Option<Checkpoint>) -> bool;

    /// The time, in nanoseconds since the UNIX epoch.
    fn now(&self) -> i64;

    /// Whether stop was asked for. A script that runs on without injecting is asked by way of this every 50 ms of its CPU time.
    fn stopped(&self) -> bool;

    /// Lines the script has logged so far, and the number of lines beyond those kept: a script that loops would
    /// not be heard before its end.
    fn log(&mut self, _lines: Vec<LogLine>, _dropped: u64) {}
}

impl Sandbox {
    /// Calls an input's `process_message(checkpoint)`, which sends what it injects to `sink`, and returns when the script does.
    /// There is no CPU budget if `limits.cpu` is [`Limits::ENDLESS`](crate::Limits::ENDLESS). Take no [`active`](crate::active) around this: it
    /// may wait long.
    ///
    /// # Errors
    /// The call failed; what it sent before stays sent. [`FailureKind::Stopped`] when the sink asked for the end.
    pub fn run_input(&mut self, checkpoint: Option<&Checkpoint>, sink: &mut dyn InputSink) -> Result<Status, Failure> {
        let now_ns = sink.now();
        let sink = NonNull::from(sink);
        // SAFETY: only the lifetime changes; the sink is forgotten before this returns.
        let sink = unsafe { std::mem::transmute::<NonNull<dyn InputSink + '_>, NonNull<dyn InputSink + 'static>>(sink) };
        let host = self.host();
        let budget = u64::try_from(host.config.limits.cpu.as_nanos()).unwrap_or(u64::MAX);
        host.until.set(thread_cpu_ns().saturating_add(budget));
        host.own().borrow_mut().clear();
        if let Some(Checkpoint::Text(text)) = checkpoint {
            self.keep(text)?;
        }
        host.sink.set(Some(sink));
        let answer = self.process_own(Current::None, now_ns, |lua| push(lua, checkpoint));
        host.sink.set(None);
        Ok(answer?.status())
    }

    /// Puts a text where it can be pushed without memory.
    fn keep(&self, text: &[u8]) -> Result<(), Failure> {
        let mut text = text;
        let kept = self.lua().protected(&mut text, |lua, text| {
            lua.push_bytes(text);
            lua.raw_setp(REGISTRY, kept_key());
        });
        let full = |raised: Raised| Failure {
            kind: FailureKind::Memory,
            message: format!("{} for the checkpoint. Raise memory_limit.", raised.message),
        };
        kept.map_err(full)
    }
}

static KEPT: u8 = 0;

/// Key of the text checkpoint in the registry.
fn kept_key() -> *const c_void {
    ptr::from_ref(&KEPT).cast()
}

/// Pushes what the script gets. Does not raise.
fn push(lua: Lua, checkpoint: Option<&Checkpoint>) -> c_int {
    match checkpoint {
        None => lua.push_nil(),
        Some(Checkpoint::Integer(n)) => lua.push_integer(*n),
        Some(Checkpoint::Number(n)) => lua.push_number(*n),
        Some(Checkpoint::Text(_)) => drop(lua.raw_getp(REGISTRY, kept_key())),
    }
    1
}

/// Hands what the script has just added to its own messages, if it has, to the sink, with the checkpoint at stack index 2.
/// False: the script is to be ended. Does not raise.
pub(crate) fn send(lua: Lua, host: &Host, has_message: bool) -> bool {
    let checkpoint = match lua.bytes(2) {
        Some(text) => Some(Checkpoint::Text(text.to_vec())),
        None if lua.is_integer(2) => lua.integer(2).map(Checkpoint::Integer),
        None => lua.number(2).map(Checkpoint::Number),
    };
    let Some(mut sink) = host.sink.get() else { return true };
    // SAFETY: `run_input` holds the sink mutably for the length of the call, and nobody else uses it now.
    let sink = unsafe { sink.as_mut() };
    let own = host.own();
    let mut make = |messages: &mut Messages| messages.add().copy_from(own.borrow().view(b"", 0));
    let away = host.worker.away();
    let go_on = sink.inject(has_message.then_some(&mut make), checkpoint);
    drop(away);
    if !host.log.borrow().is_empty() {
        sink.log(host.log.take(), host.log_dropped.take());
    }
    go_on
}
