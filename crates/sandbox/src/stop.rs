//! Stopping a call that broke its CPU or instruction limit, and saying where it was.

use std::ffi::{c_int, c_void};
use std::ptr;

use mlua::ffi::{self, lua_Debug, lua_State};

use crate::failure::FailureKind;
use crate::vm::Lua;

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
pub(crate) unsafe extern "C-unwind" fn hook(state: *mut lua_State, _: *mut lua_Debug) {
    // SAFETY: by contract.
    let lua = unsafe { Lua::from_raw(state) };
    let host = lua.host();
    let kind = if host.worker.tripped() {
        FailureKind::Cpu
    } else if host.stopped.get().is_some() {
        FailureKind::Instructions
    } else {
        let left = host.instructions.get().saturating_sub(host.instruction_step.get());
        host.instructions.set(left);
        if left > 0 {
            return;
        }
        FailureKind::Instructions
    };
    stop(lua, kind)
}

/// Raises if the watchdog wants the running call stopped. For C functions that may take long:
/// the hook waits until control is back in the script.
pub(crate) fn check(lua: Lua) {
    if lua.host().worker.tripped() {
        stop(lua, FailureKind::Cpu)
    }
}

/// Ends the call: raises what no `pcall` holds up for more than an instruction.
pub(crate) fn stop(lua: Lua, kind: FailureKind) -> ! {
    let host = lua.host();
    if host.stopped.get().is_none() {
        host.stopped.set(Some(kind));
        host.place.set(lua.place());
        // SAFETY: the state that is running. The hook fires at every instruction from here on.
        unsafe { ffi::lua_sethook(lua.raw(), Some(hook), EVERYTHING, 1) };
    }
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
