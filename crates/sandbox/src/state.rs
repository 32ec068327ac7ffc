//! One Lua state: its making, its calls, its end.

use std::cell::Cell;
use std::ffi::c_int;
use std::mem;
use std::rc::Rc;

use mlua::ffi;

use crate::allocator::{Memory, allocate};
use crate::api::inject::{INJECTION, OUTPUT};
use crate::failure::{Entry, span};
use crate::host::Host;
use crate::vm::{Lua, Place, Raised, lua_function};
use crate::watchdog::Worker;
use crate::{Failure, FailureKind, globals, stop};

/// Stack index of the message handler, which stays there for the state's life.
const HANDLER: c_int = 1;
/// How much longer than a call loading may take.
const LOAD_FACTOR: u32 = 10;

pub(crate) struct State {
    pub lua: Lua,
    pub memory: Rc<Memory>,
    pub host: Rc<Host>,
    /// Set when a panic went through Lua's frames: the state is in pieces and is never touched again.
    broken: Cell<bool>,
}

impl State {
    /// A state with everything a script finds, and nothing loaded.
    pub fn new(host: Host) -> Result<State, Raised> {
        let memory = Rc::new(Memory::new(host.config.limits.memory));
        let host = Rc::new(host);
        // SAFETY: the memory outlives the state: `Drop` closes the state first.
        let raw = unsafe { ffi::lua_newstate(allocate, Rc::as_ptr(&memory).cast_mut().cast()) };
        if raw.is_null() {
            return Err(Raised { out_of_memory: true, message: "not enough memory".into() });
        }
        // SAFETY: the extra space is one pointer wide and the host outlives the state. The state
        // is live until `Drop`, and this crate keeps to the rule of `Lua`.
        let lua = unsafe {
            *ffi::lua_getextraspace(raw).cast::<*const Host>() = Rc::as_ptr(&host);
            Lua::from_raw(raw)
        };
        memory.watch(raw);
        let state = State { lua, memory, host, broken: Cell::new(false) };
        lua.push_function(lua_function!(stop::on_error));
        lua.protected(&mut (), |lua, ()| globals::install(lua))?;
        Ok(state)
    }

    /// Calls the function below `args` arguments on the stack, under all limits. On success its
    /// `results` are on the stack from index 2 on; on failure nothing is.
    pub fn run(&self, entry: Entry, args: c_int, results: c_int) -> Result<(), Failure> {
        let (host, raw) = (&*self.host, self.lua.raw());
        if self.broken.get() {
            return Err(Failure { kind: FailureKind::Error, message: "the sandbox is broken: an earlier call panicked".into() });
        }
        host.entry.set(entry);
        host.stopped.set(None);
        host.refused.set(None);
        self.memory.forget();
        let counted = self.count_instructions();
        let worker = &*host.worker;
        let alone = !worker.is_active();
        if alone {
            worker.enter();
        }
        let call = Call { worker, broken: &self.broken, alone };
        worker.begin(raw, self.budget(entry));
        // SAFETY: live state with function and arguments on its stack and the handler below. What
        // this frame holds is not skipped: errors end in this call.
        let status = unsafe { ffi::lua_pcall(raw, args, results, HANDLER) };
        let tripped = call.end();
        if tripped || counted {
            // SAFETY: live state.
            unsafe { ffi::lua_sethook(raw, None, 0, 0) };
        }
        if status == ffi::LUA_OK && host.stopped.get().is_none() {
            return Ok(());
        }
        if tripped && host.stopped.get().is_none() {
            host.stopped.set(Some(FailureKind::Cpu)); // it ended on its own, by an error, but too late
            host.place.set(self.memory.refused().unwrap_or_default());
        }
        let failure = self.failure(status, entry);
        self.lua.set_top(HANDLER);
        Err(failure)
    }

    fn budget(&self, entry: Entry) -> u64 {
        let cpu = self.host.config.limits.cpu;
        let cpu = if entry == Entry::Load { cpu.saturating_mul(LOAD_FACTOR) } else { cpu };
        u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Arms the hook of an instruction limit, if there is one.
    fn count_instructions(&self) -> bool {
        let Some(limit) = self.host.config.limits.instructions else { return false };
        let step = limit.clamp(1, 1 << 30);
        self.host.instructions.set(limit);
        self.host.instruction_step.set(step);
        // SAFETY: live state.
        unsafe { ffi::lua_sethook(self.lua.raw(), Some(stop::hook), ffi::LUA_MASKCOUNT, step as c_int) };
        true
    }

    /// What to say about a call that ended with an error, whose value is on top of the stack.
    fn failure(&self, status: c_int, entry: Entry) -> Failure {
        let host = &*self.host;
        let limits = &host.config.limits;
        let (name, per) = (entry.name(), entry.per());
        if let Some(kind) = host.stopped.get() {
            let place = shown(host.place.get());
            let message = if kind == FailureKind::Cpu {
                let used = std::time::Duration::from_nanos(host.worker.used());
                let limit = std::time::Duration::from_nanos(self.budget(entry));
                format!("{place}CPU budget used up: {} of {} in {name}. Raise cpu_limit or do less {per}.", span(used), span(limit))
            } else {
                let limit = limits.instructions.unwrap_or_default();
                format!("{place}instruction_limit exceeded: {limit} of {limit} in {name}. Raise instruction_limit or do less {per}.")
            };
            return Failure { kind, message };
        }
        let raised = self.lua.take_error(status);
        if let (Some(place), true) = (self.memory.refused(), raised.out_of_memory || raised.message.ends_with("not enough memory")) {
            let (used, cap) = (self.memory.current(), self.memory.cap());
            let place = shown(place);
            let message = format!("{place}not enough memory: {used} of {cap} bytes in {name}. Raise memory_limit or keep less.");
            return Failure { kind: FailureKind::Memory, message };
        }
        let place = host.place.get();
        let located = raised.message.as_bytes().starts_with(place.source()) || raised.message.contains(".lua:");
        let message = if place.line > 0 && !located { format!("{place}: {}", raised.message) } else { raised.message };
        let kind = match host.refused.get() {
            Some(FailureKind::Output) if message.contains(OUTPUT) => FailureKind::Output,
            Some(FailureKind::Injection) if message.contains(INJECTION) => FailureKind::Injection,
            _ => FailureKind::Error,
        };
        Failure { kind, message }
    }
}

/// A place in front of a message, where it is known.
fn shown(place: Place) -> String {
    if place.line > 0 { format!("{place}: ") } else { String::new() }
}

impl Drop for State {
    fn drop(&mut self) {
        if !self.broken.get() {
            // SAFETY: live until here and not used again; nothing of it is referenced.
            unsafe { ffi::lua_close(self.lua.raw()) };
            debug_assert_eq!(self.memory.current(), 0, "every byte is accounted for");
        } else {
            // The state still points at both.
            mem::forget((self.memory.clone(), self.host.clone()));
        }
    }
}

/// A running call. Dropped instead of ended only when a panic passes through.
struct Call<'a> {
    worker: &'a Worker,
    broken: &'a Cell<bool>,
    alone: bool,
}

impl Call<'_> {
    /// Whether a hook was armed.
    fn end(self) -> bool {
        let armed = self.worker.end();
        if self.alone {
            self.worker.leave();
        }
        mem::forget(self);
        armed
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.worker.end();
        if self.alone {
            self.worker.leave();
        }
        self.broken.set(true);
    }
}
