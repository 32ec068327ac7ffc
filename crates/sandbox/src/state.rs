//! One Lua state: its making, its calls, its end.

use std::cell::Cell;
use std::ffi::{CString, c_int};
use std::mem;
use std::rc::Rc;

use mlua::ffi;

use crate::allocator::Memory;
use crate::failure::Entry;
use crate::host::Host;
use crate::vm::{BROKEN, Lua, Raised, lua_function};
use crate::watchdog::Worker;
use crate::{Failure, FailureKind, Limits, explain, fault, globals, source, stop};

/// Stack index of the message handler, which stays there for the state's life.
const HANDLER: c_int = 1;
/// How much longer than a call loading may take.
const LOAD_FACTOR: u32 = 10;
/// Nanoseconds of CPU after which an input is asked whether it should stop.
const INPUT_SLICE: u64 = 50_000_000;

pub(crate) struct State {
    pub lua: Lua,
    pub memory: Rc<Memory>,
    pub host: Rc<Host>,
}

impl State {
    /// A state with everything a script finds, and nothing loaded.
    pub fn new(host: Host) -> Result<State, Raised> {
        let memory = Rc::new(Memory::new(host.config.limits.memory));
        let host = Rc::new(host);
        // SAFETY: the memory outlives the state: `Drop` closes the state first.
        let raw = unsafe { ffi::lua_newstate(fault::allocator(), Rc::as_ptr(&memory).cast_mut().cast()) };
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
        let state = State { lua, memory, host };
        lua.push_function(lua_function!(stop::on_error));
        lua.protected(&mut (), |lua, ()| globals::install(lua))?;
        Ok(state)
    }

    /// Calls the function below `args` arguments on the stack, under all limits. On success its
    /// `results` are on the stack from index 2 on; on failure nothing is.
    pub fn run(&self, entry: Entry, args: c_int, results: c_int) -> Result<(), Failure> {
        // SAFETY: live state with function and arguments on its stack and the handler below. What
        // the frames here hold is not skipped: errors end in this call.
        self.limited(entry, |lua| unsafe { ffi::lua_pcall(lua.raw(), args, results, HANDLER) })
    }

    /// Runs `body`, which makes several calls, each under limits of its own: it asks for those of every call but the first
    /// with [`State::renew`]. Nothing is left on the stack.
    pub fn run_several<T>(&self, entry: Entry, data: &mut T, body: fn(Lua, &mut T)) -> Result<(), Failure> {
        self.limited(entry, |lua| lua.call_body(HANDLER, data, body))
    }

    /// Between two calls of [`State::run_several`]: the limits begin anew, with the entry's [`State::budget`].
    pub fn renew(&self, entry: Entry, budget: u64) {
        if self.host.worker.end() {
            // Armed too late for the call that is over, which is not the next one's fault.
            self.disarm();
        }
        self.begin(entry, budget);
    }

    /// Compiles a text that was checked and leaves the function on the stack. Errors name this file.
    pub fn compile(&self, file: &str, source: &[u8]) -> Result<(), Failure> {
        let name = CString::new(format!("@{file}")).unwrap_or_default();
        self.limited(Entry::Compile, |lua| source::load(lua, &name, source))
    }

    /// Does something that gives a status, with the error on the stack if it is one, under all limits.
    fn limited(&self, entry: Entry, work: impl FnOnce(Lua) -> c_int) -> Result<(), Failure> {
        let host = &*self.host;
        if host.broken.get() {
            return Err(Failure { kind: FailureKind::Error, message: BROKEN.into() });
        }
        let worker = &*host.worker;
        let alone = !worker.is_active();
        if alone {
            worker.enter();
        }
        let call = Call { worker, broken: &host.broken, alone };
        let counted = self.begin(entry, self.budget(entry));
        let status = work(self.lua);
        let tripped = call.end();
        if tripped || counted {
            self.disarm();
        }
        if status == ffi::LUA_OK && host.stopped.get().is_none() {
            return Ok(());
        }
        if tripped && host.stopped.get().is_none() {
            host.stopped.set(Some(FailureKind::Cpu)); // it ended on its own, by an error, but too late
            host.place.set(self.memory.refused().unwrap_or_default().place);
            stop::forget();
        }
        let failure = explain::failure(self, status, entry);
        self.lua.set_top(HANDLER);
        if failure.kind == FailureKind::Memory {
            // Lua's own collection at that point ran no finalisers.
            self.lua.collect();
        }
        Err(failure)
    }

    /// From here on a call's limits count. Returns whether a hook was armed.
    fn begin(&self, entry: Entry, budget: u64) -> bool {
        let host = &*self.host;
        host.entry.set(entry);
        host.stopped.set(None);
        host.refused.set(None);
        self.memory.forget();
        let counted = self.arm();
        host.worker.begin(self.lua.raw(), budget);
        counted
    }

    fn disarm(&self) {
        // SAFETY: live state.
        unsafe { ffi::lua_sethook(self.lua.raw(), None, 0, 0) };
    }

    /// Nanoseconds of CPU that a call may take.
    pub fn budget(&self, entry: Entry) -> u64 {
        let cpu = self.host.config.limits.cpu;
        if self.host.sink.get().is_some() {
            return INPUT_SLICE.min(u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX));
        }
        let cpu = if cpu == Limits::ENDLESS { Limits::default().cpu } else { cpu };
        let cpu = if matches!(entry, Entry::Compile | Entry::Load) { cpu.saturating_mul(LOAD_FACTOR) } else { cpu };
        u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Arms the hook of an instruction limit and of recording lines, if there is such.
    fn arm(&self) -> bool {
        let (mut mask, mut step) = (if self.host.config.coverage { ffi::LUA_MASKLINE } else { 0 }, 0);
        if let Some(limit) = self.host.config.limits.instructions {
            mask |= ffi::LUA_MASKCOUNT;
            step = limit.clamp(1, 1 << 30);
            self.host.instructions.set(limit);
            self.host.instruction_step.set(step);
        }
        if mask != 0 {
            // SAFETY: live state.
            unsafe { ffi::lua_sethook(self.lua.raw(), Some(stop::hook), mask, step as c_int) };
        }
        mask != 0
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if !self.host.broken.get() {
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
