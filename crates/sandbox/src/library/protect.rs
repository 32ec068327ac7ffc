//! `xpcall`, whose handler runs after the failed function is gone: Lua's own runs handlers on top
//! of it, with hooks off. There is no stack left to look at, and no `debug` to look at it with.

use std::ffi::c_int;

use mlua::ffi::{self, lua_KContext, lua_State};

use crate::vm::Lua;

/// `xpcall(f, handler, ...)`. When the handler fails, too, its error takes the place of its result.
pub(crate) fn xpcall(lua: Lua) -> c_int {
    lua.check_type(2, ffi::LUA_TFUNCTION);
    lua.push_value(1);
    lua.insert(3);
    lua.push_bool(true);
    lua.replace(1); // true, handler, function, arguments
    // SAFETY: live state; the function and its arguments are on top of the handler. Like `pcall` it
    // may be left by a yield and continued.
    let status = unsafe { ffi::lua_pcallk(lua.raw(), lua.top() - 3, ffi::LUA_MULTRET, 0, 0, Some(called)) };
    after_call(lua, status)
}

unsafe extern "C-unwind" fn called(state: *mut lua_State, status: c_int, _: lua_KContext) -> c_int {
    // SAFETY: Lua continues its functions with a live state.
    after_call(unsafe { Lua::from_raw(state) }, status)
}

/// At 1 is true, at 2 the handler, above it are the results, which may fill the stack, or the error.
fn after_call(lua: Lua, status: c_int) -> c_int {
    if status == ffi::LUA_OK || status == ffi::LUA_YIELD {
        lua.remove(2);
        return lua.top();
    }
    // SAFETY: live state; handler and error are on the stack.
    unsafe { ffi::lua_pcallk(lua.raw(), 1, 1, 0, 0, Some(handled)) };
    after_handler(lua)
}

unsafe extern "C-unwind" fn handled(state: *mut lua_State, _: c_int, _: lua_KContext) -> c_int {
    // SAFETY: as above.
    after_handler(unsafe { Lua::from_raw(state) })
}

fn after_handler(lua: Lua) -> c_int {
    lua.push_bool(false);
    lua.replace(1);
    2
}
