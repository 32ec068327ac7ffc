mod each;
mod evaluate;
mod timers;

pub use evaluate::Evaluated;
pub use timers::{Schedule, common_tick};

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{CString, c_int};
use std::rc::Rc;

use message::{BatchBuilder, Messages};
use mlua::ffi;

use crate::coverage::Recorder;
use crate::failure::Entry;
use crate::globals::push_globals;
use crate::hash::{ABSENT, ValueHash};
use crate::host::{Current, Host};
use crate::largest::largest;
use crate::state::State;
use crate::vm::{Lua, REGISTRY, Raised};
use crate::watchdog::{Worker, thread_cpu_ns};
use crate::{
    Carried, Failure, FailureKind, Gauge, LoadError, LogLine, ModuleFile, SandboxConfig, Script, Usage, restore, snapshot, source,
};

/// One call in so many is measured.
const SAMPLE: u64 = 128;

/// What `process_message` said of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
    /// 0
    Ok,
    /// −2: no output, and no error.
    Skipped(Option<String>),
    /// Any other negative number: this message failed, the script goes on.
    Failed(Option<String>),
}

/// What a call may inject into. What a failed call injected is taken out again; what was injected
/// by a call that returned a negative status stays. Hops are the caller's to set.
pub struct Inject<'a> {
    /// Injected messages are added at its end.
    pub builder: &'a mut BatchBuilder,
    /// The time, in nanoseconds since the UNIX epoch.
    pub now_ns: i64,
}

/// A Lua script with limits. It belongs to the thread that made it.
pub struct Sandbox {
    state: State,
    process: c_int,
    timer: Option<c_int>,
    /// What `every` set up, once the first tick has come.
    timers: Vec<timers::Timer>,
    /// Hash of each global after loading.
    initial: HashMap<Vec<u8>, u64>,
    calls: Cell<u64>,
    cpu: Cell<Gauge>,
    inject: Cell<Gauge>,
    snapshot: Gauge,
}

impl Sandbox {
    /// Compiles a script and runs its main part.
    ///
    /// # Errors
    /// The text is refused (too long, bytecode, `<close>`), does not compile, breaks a limit or
    /// raises an error while it loads, or defines no `process_message`.
    pub fn new(script: &Script, config: &SandboxConfig) -> Result<Sandbox, LoadError> {
        let file = script.name();
        let failed = |message: String| LoadError::located(&file, message);
        let state = compiled(script, config)?;
        if config.coverage {
            let chunk = CString::new(format!("@{file}")).unwrap_or_default();
            *state.host.recorder.borrow_mut() = Some(Box::new(Recorder::of(state.lua, &chunk)));
        }
        state.run(Entry::Load, 0, 0).map_err(|f| failed(f.message))?;
        let mut entries = [0, 0];
        state.lua.protected(&mut entries, find_entries).map_err(|raised| starved(&file, &raised))?;
        let [process, timer] = entries;
        if process == 0 {
            return Err(failed(format!("{file}: process_message() function was not found")));
        }
        let initial = initial_hashes(state.lua);
        // What compiling leaves behind is a tenth of an idle sandbox.
        state.lua.collect();
        let limits = &config.limits;
        Ok(Sandbox {
            cpu: Cell::new(Gauge::capped(u64::try_from(limits.cpu.as_nanos()).unwrap_or(u64::MAX))),
            inject: Cell::new(Gauge::capped(limits.process_inject as u64)),
            snapshot: Gauge::capped(limits.state as u64),
            state,
            process,
            timer: (timer != 0).then_some(timer),
            timers: Vec::new(),
            initial,
            calls: Cell::new(0),
        })
    }

    /// Gives the script the message at `index` to read and change; what it injects is added to the
    /// same messages. For decoders and transforms, between `BatchBuilder::parts` and the next message.
    /// Changes stay when the call fails: the caller drops or rejects the message.
    pub fn process_message_mut(&mut self, messages: &mut Messages, raw: &[u8], index: usize, now_ns: i64) -> Result<Status, Failure> {
        if index >= messages.len() {
            return Err(Failure { kind: FailureKind::Error, message: format!("no message {index} of {}", messages.len()) });
        }
        let messages: *mut Messages = messages;
        let max = self.state.host.config.limits.process_inject;
        self.answer(Current::Write { messages, raw, index }, messages, now_ns, max, |_| 0).map(Answer::status)
    }

    /// Whether the script has a `timer_event` function.
    pub fn has_timer_event(&self) -> bool {
        self.timer.is_some()
    }

    /// A tick that was due at `ns`. Does nothing when the script has no `timer_event`.
    pub fn timer_event(&mut self, ns: i64, shutdown: bool, inject: &mut Inject<'_>) -> Result<(), Failure> {
        let Some(timer) = self.timer else { return Ok(()) };
        let max = self.state.host.config.limits.timer_inject;
        self.call(Current::None, inject.builder.messages(), inject.now_ns, max, |s| {
            s.state.lua.raw_geti(REGISTRY, i64::from(timer));
            s.state.lua.push_integer(ns);
            s.state.lua.push_bool(shutdown);
            s.state.run(Entry::TimerEvent, 2, 0)
        })
    }

    /// Lines the script printed or logged since the last time, and the number of lines beyond those kept.
    pub fn take_log(&mut self) -> (Vec<LogLine>, u64) {
        (self.state.host.log.take(), self.state.host.log_dropped.take())
    }

    /// The module files the script has loaded so far, each with the hash of its content.
    pub fn files(&self) -> Vec<ModuleFile> {
        self.state.host.files.borrow().clone()
    }

    /// Which lines have run, if the configuration asks for it.
    pub fn coverage(&self) -> Option<crate::Coverage> {
        self.state.host.recorder.borrow().as_ref().map(|recorder| recorder.coverage())
    }

    pub fn usage(&self) -> Usage {
        let memory = &self.state.memory;
        Usage {
            memory: Gauge { current: memory.current() as u64, max: memory.max() as u64, cap: memory.cap() as u64 },
            cpu: self.cpu.get(),
            output: self.state.host.output.get(),
            inject: self.inject.get(),
            state: self.snapshot,
        }
    }

    /// The globals the script has changed since it was loaded, as bytes for [`Sandbox::restore`].
    ///
    /// # Errors
    /// They take more than `state_limit`, or more memory than is there.
    pub fn save(&mut self) -> Result<Vec<u8>, Failure> {
        let limit = self.state.host.config.limits.state;
        let mut saved = self.with_more_memory(|s| snapshot::save(s.state.lua, &s.initial, limit));
        match &mut saved {
            Ok(bytes) => self.snapshot.set(bytes.len() as u64),
            Err(failure) => failure.message.extend(largest(self.state.lua, limit).into_iter().flat_map(|l| [" ".into(), l])),
        }
        saved
    }

    /// Carries over what [`Sandbox::save`] of an earlier run or version of the script returned.
    /// A global is carried if it had changed since load, and was loaded with the same value
    /// there and here.
    ///
    /// # Errors
    /// The bytes are no snapshot (nothing is changed then), or memory ran out half-way: make a new sandbox.
    pub fn restore(&mut self, saved: &[u8]) -> Result<Carried, Failure> {
        self.with_more_memory(|s| restore::restore(s.state.lua, &s.initial, saved))
    }

    /// Saving and restoring must not fail for want of the memory they take themselves.
    fn with_more_memory<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let cap = self.state.memory.cap();
        self.state.memory.set_cap(cap.saturating_add(cap / 2).saturating_add(self.state.host.config.limits.state));
        let done = work(self);
        self.state.memory.set_cap(cap);
        done
    }

    /// Calls `process_message` with what it injects going to the host's own messages, without a limit on their number.
    pub(crate) fn process_own(&mut self, current: Current, now_ns: i64, push: impl FnOnce(Lua) -> c_int) -> Result<Answer, Failure> {
        let own = self.state.host.own().as_ptr();
        self.answer(current, own, now_ns, usize::MAX, push)
    }

    /// Calls `process_message` with what `push`, which never raises, pushes: so many arguments.
    fn answer(
        &mut self,
        current: Current,
        target: *mut Messages,
        now_ns: i64,
        max: usize,
        push: impl FnOnce(Lua) -> c_int,
    ) -> Result<Answer, Failure> {
        self.call(current, target, now_ns, max, |s| {
            let lua = s.state.lua;
            lua.raw_geti(REGISTRY, i64::from(s.process));
            let arguments = push(lua);
            s.state.run(Entry::ProcessMessage, arguments, 2)?;
            let answer = Answer::read(lua);
            lua.set_top(1);
            answer
        })
    }

    pub(crate) fn lua(&self) -> Lua {
        self.state.lua
    }

    pub(crate) fn host(&self) -> Rc<Host> {
        self.state.host.clone()
    }

    /// Sets a call's context up, makes the call and clears the context away.
    fn call<T>(
        &mut self,
        current: Current,
        target: *mut Messages,
        now_ns: i64,
        max_inject: usize,
        call: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.state.host.labels.borrow_mut().forget();
        let start = self.begin(current, target, now_ns, max_inject);
        let outcome = call(self);
        self.end(&start);
        outcome.inspect_err(|failure| self.undo(&start, failure))
    }

    /// Sets a call's context up. The caller holds the messages at `target` mutably until the call is over.
    fn begin(&self, current: Current, target: *mut Messages, now_ns: i64, max_inject: usize) -> Start {
        let host = &*self.state.host;
        host.current.set(current);
        host.target.set(target);
        host.now_ns.set(now_ns);
        host.injected.set(0);
        host.stored.set(0);
        host.max_inject.set(max_inject);
        host.next_field.set(0);
        let nth = self.calls.replace(self.calls.get() + 1);
        Start {
            target,
            // SAFETY: the caller holds the messages.
            messages: unsafe { (*target).len() },
            payload: host.output.get().current as usize,
            sampled: nth.is_multiple_of(SAMPLE).then(thread_cpu_ns),
        }
    }

    /// Clears a call's context away.
    fn end(&self, start: &Start) {
        let host = &*self.state.host;
        if let Some(began) = start.sampled {
            note(&self.cpu, thread_cpu_ns() - began);
        }
        host.current.set(Current::None);
        host.target.set(std::ptr::null_mut());
        let mut inject = self.inject.get();
        if host.max_inject.get() != usize::MAX {
            inject.cap = host.max_inject.get() as u64;
        }
        inject.set(host.injected.get() as u64);
        self.inject.set(inject);
    }

    /// Takes back what a failed call injected.
    fn undo(&self, start: &Start, failure: &Failure) {
        let host = &*self.state.host;
        // SAFETY: who began the call still holds the messages.
        unsafe { (*start.target).truncate(start.messages) };
        host.payload.borrow_mut().truncate(start.payload);
        if failure.kind == FailureKind::Cpu {
            note(&self.cpu, host.worker.used());
        }
    }
}

/// What there was when a call began, and the CPU time of its thread if the call is measured.
struct Start {
    target: *mut Messages,
    messages: usize,
    payload: usize,
    sampled: Option<u64>,
}

fn note(gauge: &Cell<Gauge>, value: u64) {
    let mut noted = gauge.get();
    noted.set(value);
    gauge.set(noted);
}

/// What `process_message` returned: 0 or a negative number, and perhaps a text.
pub(crate) struct Answer {
    pub code: i64,
    pub text: Option<String>,
}

impl Answer {
    /// Reads it, at indices 2 and 3. A positive number is a failure.
    fn read(lua: Lua) -> Result<Answer, Failure> {
        let bad = |message: &str| Err(Failure { kind: FailureKind::BadReturn, message: message.into() });
        let Some(code) = lua.integer(2) else { return bad("process_message() must return a numeric status code") };
        let text = match lua.type_(3) {
            ffi::LUA_TNIL => None,
            ffi::LUA_TSTRING => lua.bytes(3).map(|t| String::from_utf8_lossy(t).into_owned()),
            _ => return bad("process_message() must return a nil or string error message"),
        };
        if code > 0 {
            let message = text.unwrap_or_else(|| format!("process_message() returned {code}"));
            return Err(Failure { kind: FailureKind::Fatal, message });
        }
        Ok(Answer { code, text })
    }

    pub fn status(self) -> Status {
        match self.code {
            0 => Status::Ok,
            -2 => Status::Skipped(self.text),
            _ => Status::Failed(self.text),
        }
    }
}

/// Adds the way out to errors that a script for 5.1 meets.
fn explain(message: String) -> String {
    if message.contains("invalid escape sequence") {
        return format!("{message} (Lua 5.1 read an unknown escape as the character itself; write that, or \\\\ for a backslash)");
    }
    message
}

/// A state with the compiled script on its stack.
fn compiled(script: &Script, config: &SandboxConfig) -> Result<State, LoadError> {
    let file = script.name();
    source::check(&script.source).map_err(|r| LoadError {
        message: match r.line {
            Some(line) => format!("{file}:{line}: {}", r.why),
            None => format!("{file}: {}", r.why),
        },
        line: r.line,
    })?;
    let failed = |message: String| LoadError::located(&file, message);
    let worker = Worker::current().map_err(|e| failed(format!("{file}: cannot start the watchdog: {e}")))?;
    let state = State::new(Host::new(config, worker)).map_err(|raised| starved(&file, &raised))?;
    state.compile(&file, &script.source).map_err(|f| failed(explain(f.message)))?;
    Ok(state)
}

fn starved(file: &str, raised: &Raised) -> LoadError {
    let hint = if raised.out_of_memory { ". Raise memory_limit." } else { "" };
    LoadError::located(file, format!("{file}: {}{hint}", raised.message))
}

impl Script {
    /// Compiles the script without running it.
    ///
    /// # Errors
    /// The text is refused or does not compile.
    pub fn check(&self) -> Result<(), LoadError> {
        compiled(self, &SandboxConfig::default()).map(drop)
    }
}

/// Makes registry references to the functions the host calls; 0 for one that is missing.
fn find_entries(lua: Lua, entries: &mut [c_int; 2]) {
    push_globals(lua);
    for (entry, name) in entries.iter_mut().zip(["process_message", "timer_event"]) {
        if lua.raw_field(1, name) == ffi::LUA_TFUNCTION {
            *entry = lua.make_ref(REGISTRY);
        } else {
            lua.pop(1);
        }
    }
}

fn initial_hashes(lua: Lua) -> HashMap<Vec<u8>, u64> {
    let (mut hashes, mut hasher) = (HashMap::new(), ValueHash::default());
    push_globals(lua);
    let globals = lua.top();
    lua.push_nil();
    while lua.next(globals) != 0 {
        let hash = hasher.of(lua, -1);
        if let (Some(name), true) = (lua.bytes(-2), hash != ABSENT) {
            hashes.insert(name.to_vec(), hash);
        }
        lua.pop(1);
    }
    lua.pop(1);
    hashes
}
