//! Stopping a call that broke its CPU or instruction limit, and saying where it was.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::ptr;

use mlua::ffi::{self, lua_Debug, lua_State};

use crate::failure::FailureKind;
use crate::vm::{Lossy, Lua};

/// Hook mask under which nothing a script does goes unnoticed.
pub(crate) const EVERYTHING: c_int = ffi::LUA_MASKCOUNT | ffi::LUA_MASKCALL;

/// Its address is the error value of a stopped call: raising it needs no memory.
static STOPPED: u8 = 0;

fn stopped() -> *mut c_void {
    ptr::from_ref(&STOPPED).cast_mut().cast()
}

/// The hook of a call with an instruction limit, and of one the watchdog wants stopped.
///
/// # Safety
/// To be called by Lua only, with a live state.
pub(crate) unsafe extern "C-unwind" fn hook(state: *mut lua_State, at: *mut lua_Debug) {
    // SAFETY: by contract.
    let lua = unsafe { Lua::from_raw(state) };
    let host = lua.host();
    // SAFETY: Lua gives a live record.
    if unsafe { (*at).event } == ffi::LUA_HOOKLINE {
        if let Some(recorder) = &mut *host.recorder.borrow_mut() {
            recorder.record(lua, at);
        }
        return;
    }
    let kind = if host.tripped() {
        FailureKind::Cpu
    } else if host.stopped.get().is_some() {
        FailureKind::Instructions
    } else if host.config.limits.instructions.is_none() {
        // An input that may go on: see `Host::tripped`.
        // SAFETY: the state that is running.
        unsafe { ffi::lua_sethook(state, None, 0, 0) };
        return;
    } else {
        // SAFETY: the state that is running; a thread counts in steps of its own.
        let step = host.instruction_step.get().min(unsafe { ffi::lua_gethookcount(state) } as u64);
        return count(lua, step);
    };
    stop(lua, kind)
}

/// Counts instructions, and raises when the call has no more of them.
pub(crate) fn count(lua: Lua, instructions: u64) {
    let host = lua.host();
    let left = host.instructions.get().saturating_sub(instructions);
    host.instructions.set(left);
    if left == 0 {
        stop(lua, FailureKind::Instructions)
    }
}

/// Raises if the watchdog wants the running call stopped. For C functions that may take long:
/// the hook waits until control is back in the script.
pub(crate) fn check(lua: Lua) {
    if lua.host().tripped() {
        stop(lua, FailureKind::Cpu)
    }
}

/// Which functions were running when a call was stopped: the innermost with lines, and what it was calling.
#[derive(Clone, Copy)]
pub(crate) struct Struck {
    function: Name,
    callee: Name,
}

/// A function's name, as far as it is known and fits.
#[derive(Clone, Copy)]
struct Name([u8; 40]);

thread_local! {
    /// Of the call that was stopped last on this thread.
    static STRUCK: Cell<Struck> = const { Cell::new(Struck::NOBODY) };
}

/// Who was struck when the last call was stopped; shows as nothing, or a clause after "in process_message".
pub(crate) fn struck() -> Struck {
    STRUCK.get()
}

/// For a call that ended without being struck.
pub(crate) fn forget() {
    STRUCK.set(Struck::NOBODY);
}

impl Struck {
    const NOBODY: Struck = Struck { function: Name([0; 40]), callee: Name([0; 40]) };

    /// Neither allocates nor raises.
    fn of(lua: Lua) -> Struck {
        let mut struck = Struck::NOBODY;
        // SAFETY: a zeroed lua_Debug is valid (integers and nullable pointers); the state is live.
        unsafe {
            let mut at: lua_Debug = std::mem::zeroed();
            for level in 0..32 {
                if ffi::lua_getstack(lua.raw(), level, &mut at) == 0 {
                    break;
                }
                ffi::lua_getinfo(lua.raw(), c"Sln".as_ptr(), &mut at);
                let name = Name::from_c(at.name);
                if at.currentline > 0 {
                    struck.function = name;
                    break;
                }
                struck.callee = name;
            }
        }
        struck
    }
}

impl Name {
    /// # Safety
    /// Null or a string.
    unsafe fn from_c(name: *const c_char) -> Name {
        let mut kept = [0; 40];
        if !name.is_null() {
            // SAFETY: by contract.
            let text = unsafe { CStr::from_ptr(name) }.to_bytes();
            let len = text.len().min(kept.len());
            kept[..len].copy_from_slice(&text[..len]);
        }
        Name(kept)
    }

    fn text(&self) -> &[u8] {
        self.0.split(|b| *b == 0).next().unwrap_or_default()
    }
}

impl fmt::Display for Struck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.function.text().is_empty() {
            write!(f, ", function `{}`", Lossy(self.function.text()))?;
        }
        if !self.callee.text().is_empty() {
            write!(f, ", calling `{}`", Lossy(self.callee.text()))?;
        }
        Ok(())
    }
}

/// Ends the call: raises what no `pcall` holds up for more than an instruction.
pub(crate) fn stop(lua: Lua, kind: FailureKind) -> ! {
    let host = lua.host();
    if host.stopped.get().is_none() {
        let kind = if kind == FailureKind::Cpu && host.stop_asked() { FailureKind::Stopped } else { kind };
        host.stopped.set(Some(kind));
        host.place.set(lua.place());
        STRUCK.set(Struck::of(lua));
    }
    // Whoever resumed this thread is stopped in turn, so this comes for every thread in a row.
    // SAFETY: the state that is running. The hook fires at every instruction from here on.
    unsafe { ffi::lua_sethook(lua.raw(), Some(hook), EVERYTHING, 1) };
    lua.push_light(stopped());
    lua.throw()
}

/// The message handler of every call: notes the line and makes a text of what is not one.
pub(crate) fn on_error(lua: Lua) -> c_int {
    let host = lua.host();
    let value = lua.type_(1);
    if host.stopped.get().is_some() || value == ffi::LUA_TLIGHTUSERDATA {
        return 1;
    }
    host.place.set(lua.place());
    if value == ffi::LUA_TNUMBER {
        lua.push_text_of(1);
    } else if value != ffi::LUA_TSTRING {
        let name = lua.type_name(1);
        lua.push_bytes(b"(error object is a ");
        lua.push_bytes(name.as_bytes());
        lua.push_bytes(b" value)");
        lua.concat(3);
    }
    1
}
