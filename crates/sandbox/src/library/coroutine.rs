//! `coroutine`, whose threads share the budget of the call that runs them.
//!
//! A hook belongs to one thread of Lua. So whoever hands control to a thread shows it to the
//! watchdog first, and stops in turn when that thread was stopped: however deep a script nests
//! threads, and whatever it catches in each, all of them end. Their memory is the state's.

use std::ffi::c_int;

use mlua::ffi::{self, lua_State, lua_upvalueindex};

use crate::failure::FailureKind;
use crate::globals::set_function;
use crate::stop;
use crate::vm::{Lua, lua_function};

/// What handing control over costs of an `instruction_limit`, as the count of a thread begins anew
/// each time, and instructions of a thread between two hooks then.
const STEP: u64 = 100;

/// Pushes the library.
pub(crate) fn open(lua: Lua) {
    lua.push_function(ffi::luaopen_coroutine);
    lua.call(0, 1);
    set_function(lua, "resume", lua_function!(resume));
    set_function(lua, "wrap", lua_function!(wrap));
    set_function(lua, "close", lua_function!(close));
}

/// Argument or upvalue `n`, a thread. Raises otherwise.
fn thread(lua: Lua, n: c_int) -> *mut lua_State {
    // SAFETY: live state; null for what is no thread.
    let co = unsafe { ffi::lua_tothread(lua.raw(), n) };
    if co.is_null() {
        lua.bad_type(n, "coroutine");
    }
    co
}

/// `coroutine.resume(co, ...)`
fn resume(lua: Lua) -> c_int {
    let co = thread(lua, 1);
    let (fine, results) = transfer(lua, co, lua.top() - 1);
    lua.push_bool(fine);
    lua.insert(-results - 1);
    results + 1
}

/// `coroutine.wrap(f)`
fn wrap(lua: Lua) -> c_int {
    lua.check_type(1, ffi::LUA_TFUNCTION);
    lua.set_top(1);
    // SAFETY: live state; the new thread is on its stack, and takes the function.
    unsafe {
        let co = ffi::lua_newthread(lua.raw());
        lua.push_value(1);
        ffi::lua_xmove(lua.raw(), co, 1);
    }
    lua.push_closure(lua_function!(next), 1);
    1
}

/// What `wrap` returns.
fn next(lua: Lua) -> c_int {
    let co = thread(lua, lua_upvalueindex(1));
    let (fine, results) = transfer(lua, co, lua.top());
    if !fine {
        if lua.type_(-1) == ffi::LUA_TSTRING {
            // SAFETY: live state.
            unsafe { ffi::luaL_where(lua.raw(), 1) };
            lua.insert(-2);
            lua.concat(2);
        }
        lua.throw();
    }
    results
}

/// `coroutine.close(co)`
fn close(lua: Lua) -> c_int {
    let co = thread(lua, 1);
    // SAFETY: a live thread, as it is reachable. One that runs, or waits for another it resumed,
    // has a running function and is not to be closed.
    let idle = unsafe {
        let status = ffi::lua_status(co);
        let mut at: ffi::lua_Debug = std::mem::zeroed();
        status != ffi::LUA_OK || (co != lua.raw() && ffi::lua_getstack(co, 0, &mut at) == 0)
    };
    if !idle {
        lua.raise(format_args!("cannot close a running coroutine"));
    }
    hand_over(lua, co);
    // SAFETY: a suspended or dead thread; closing may run metamethods, under the hook, and reports errors,
    // whose value is on top of the thread's stack.
    let status = unsafe { ffi::lua_closethread(co, lua.raw()) };
    lua.host().worker.switch(lua.raw());
    lua.push_bool(status == ffi::LUA_OK);
    if status == ffi::LUA_OK {
        ended(lua);
        return 1;
    }
    // SAFETY: as above.
    unsafe { ffi::lua_xmove(co, lua.raw(), 1) };
    ended(lua);
    2
}

/// Hands control to a thread with the `given` values on top of the stack, until it yields, returns
/// or fails. Whether it did not fail, and how many values it left on top of the stack: its results,
/// or the error. Raises when the call is to be stopped.
fn transfer(lua: Lua, co: *mut lua_State, given: c_int) -> (bool, c_int) {
    // SAFETY: both states are live; `lua_resume` itself refuses a thread that cannot be resumed. Room for one more is for
    // what it then says. Nothing that was left on the thread's stack stays there when the call is stopped.
    unsafe {
        if ffi::lua_checkstack(co, given + 1) == 0 {
            lua.push_bytes(b"too many arguments to resume");
            return (false, 1);
        }
        hand_over(lua, co);
        ffi::lua_xmove(lua.raw(), co, given);
        let mut results = 0;
        let status = ffi::lua_resume(co, lua.raw(), given, &mut results);
        lua.host().worker.switch(lua.raw());
        let fine = status == ffi::LUA_OK || status == ffi::LUA_YIELD;
        let left = if fine { results } else { 1 };
        if !lua.reserve(left + 1) {
            ffi::lua_settop(co, -left - 1);
            ended(lua);
            lua.push_bytes(b"too many results to resume");
            return (false, 1);
        }
        ffi::lua_xmove(co, lua.raw(), left);
        ended(lua);
        (fine, left)
    }
}

/// Shows the watchdog the thread that is about to run. Raises when the call is to be stopped.
fn hand_over(lua: Lua, co: *mut lua_State) {
    watch_as(lua, co);
    lua.host().worker.switch(co);
    // From here on the thread is the one that gets armed. It was not if the signal came before.
    ended(lua);
}

/// Raises if the call is to be stopped, or was while another thread was running.
fn ended(lua: Lua) {
    match lua.host().stopped.get() {
        Some(kind) => {
            lua.host().worker.switch(lua.raw());
            stop::stop(lua, kind)
        }
        None if lua.host().tripped() => {
            lua.host().worker.switch(lua.raw());
            stop::stop(lua, FailureKind::Cpu)
        }
        None => {}
    }
}

/// Gives a thread the hook of the one that runs it; whatever it had is from another call.
fn watch_as(lua: Lua, co: *mut lua_State) {
    // SAFETY: both states are live.
    let (hook, mask, count) = unsafe { (ffi::lua_gethook(lua.raw()), ffi::lua_gethookmask(lua.raw()), ffi::lua_gethookcount(lua.raw())) };
    let counts = mask & ffi::LUA_MASKCOUNT != 0;
    let step = if counts { count.min(STEP as c_int) } else { 0 };
    if counts && lua.host().config.limits.instructions.is_some() {
        stop::count(lua, STEP);
    }
    // SAFETY: a live state that does not run.
    unsafe { ffi::lua_sethook(co, hook.filter(|_| mask != 0), mask, step) };
}
