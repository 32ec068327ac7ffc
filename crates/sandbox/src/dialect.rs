//! What scripts written for Lua 5.1 expect: `table.getn` and kin, and environments. Those are the `_ENV` upvalue of a function.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use crate::globals::push_globals;
use crate::library::arguments::truncate;
use crate::stop;
use crate::vm::Lua;

/// `math.random`, whose original keeps its state in an upvalue and hence is called, not run in place.
pub(crate) fn random(lua: Lua) -> c_int {
    truncate(lua, 1);
    truncate(lua, 2);
    let arguments = lua.top();
    lua.push_value(ffi::lua_upvalueindex(1));
    lua.insert(1);
    lua.call(arguments, 1);
    1
}

pub(crate) fn getn(lua: Lua) -> c_int {
    lua.check_type(1, ffi::LUA_TTABLE);
    lua.push_integer(lua.raw_len(1) as i64);
    1
}

pub(crate) fn maxn(lua: Lua) -> c_int {
    lua.check_type(1, ffi::LUA_TTABLE);
    lua.set_top(1);
    let mut max = 0.0_f64;
    lua.push_nil();
    while lua.next(1) != 0 {
        lua.pop(1);
        max = max.max(lua.number(-1).unwrap_or(0.0));
    }
    if max.fract() == 0.0 && max < i64::MAX as f64 {
        lua.push_integer(max as i64)
    } else {
        lua.push_number(max)
    }
    1
}

/// Functions no script gets, and why.
const ABSENT: [(&str, &str); 9] = [
    ("load", COMPILED),
    ("loadstring", COMPILED),
    ("loadfile", COMPILED),
    ("dofile", COMPILED),
    ("dump", "a sandbox takes no compiled code"),
    ("collectgarbage", "memory is the sandbox's affair: nilo status shows what the script uses"),
    ("newproxy", "a sandbox has no userdata of its own: use a table with a metatable"),
    ("debug", "a sandbox shows nothing of its inside: the log has errors with their lines"),
    ("io", "files are for inputs and outputs, by `allow = [\"io\"]`"),
];
const COMPILED: &str = "a sandbox compiles code only when it loads: put it into the script, or into a module for require()";

/// Why something is nil that a script tried to use, if this error is about that.
pub(crate) fn why_absent(error: &str) -> Option<&'static str> {
    let (_, name) = error.split_once("a nil value (")?;
    let name = name.split('\'').nth(1)?;
    ABSENT.iter().find(|(absent, _)| *absent == name).map(|(_, why)| *why)
}

/// `table.foreach(table, f)`: until `f(key, value)` returns something.
pub(crate) fn foreach(lua: Lua) -> c_int {
    lua.check_type(1, ffi::LUA_TTABLE);
    lua.check_type(2, ffi::LUA_TFUNCTION);
    lua.set_top(2);
    lua.push_nil();
    while lua.next(1) != 0 {
        stop::check(lua);
        lua.push_value(2);
        lua.push_value(3);
        lua.push_value(4);
        lua.call(2, 1);
        if lua.type_(-1) != ffi::LUA_TNIL {
            return 1;
        }
        lua.set_top(3);
    }
    0
}

/// `table.foreachi(table, f)`: until `f(index, value)` returns something.
pub(crate) fn foreachi(lua: Lua) -> c_int {
    lua.check_type(1, ffi::LUA_TTABLE);
    lua.check_type(2, ffi::LUA_TFUNCTION);
    lua.set_top(2);
    for n in 1..=lua.raw_len(1) as i64 {
        stop::check(lua);
        lua.push_value(2);
        lua.push_integer(n);
        lua.raw_geti(1, n);
        lua.call(2, 1);
        if lua.type_(-1) != ffi::LUA_TNIL {
            return 1;
        }
        lua.pop(1);
    }
    0
}

/// Pushes the function at argument 1: a function, or the level of a running one. Level 1 is the caller.
fn push_target(lua: Lua) -> bool {
    if lua.type_(1) == ffi::LUA_TFUNCTION {
        lua.push_value(1);
        return true;
    }
    match lua.integer(1).unwrap_or(1) {
        0 => false,
        level @ 1..=250 => push_running(lua, level as c_int),
        _ => lua.bad_argument(1, c"invalid level"),
    }
}

/// Pushes the function running at this level. Does not raise.
pub(crate) fn push_running(lua: Lua, level: c_int) -> bool {
    // SAFETY: a zeroed lua_Debug is valid; the state is live; "f" pushes one value, for which a
    // C function has room.
    unsafe {
        let mut at: ffi::lua_Debug = std::mem::zeroed();
        if ffi::lua_getstack(lua.raw(), level, &mut at) == 0 {
            return false;
        }
        ffi::lua_getinfo(lua.raw(), c"f".as_ptr(), &mut at) != 0
    }
}

/// The number of the `_ENV` upvalue of the function on top of the stack. Does not raise.
fn environment_upvalue(lua: Lua) -> Option<c_int> {
    for n in 1..=255 {
        // SAFETY: live state with a function on top; the name is static or belongs to that function.
        unsafe {
            let name = ffi::lua_getupvalue(lua.raw(), -1, n);
            if name.is_null() {
                return None;
            }
            lua.pop(1);
            if CStr::from_ptr(name) == c"_ENV" {
                return Some(n);
            }
        }
    }
    None
}

/// Gives the function on top of the stack the table below it as environment, and pops both. As in
/// 5.1 only that function and those it makes from now on are concerned, not its siblings:
/// so the upvalue is joined to a fresh one. Raises when out of memory.
pub(crate) fn set_environment(lua: Lua) {
    if let Some(n) = environment_upvalue(lua) {
        const FRESH: &CStr = c"return _ENV";
        // SAFETY: live state; the chunk is a valid string and makes a function with one upvalue.
        unsafe {
            if ffi::luaL_loadbufferx(lua.raw(), FRESH.as_ptr(), FRESH.count_bytes(), c"=env".as_ptr(), c"t".as_ptr()) != ffi::LUA_OK {
                lua.throw();
            }
            lua.push_value(-3);
            ffi::lua_setupvalue(lua.raw(), -2, 1);
            ffi::lua_upvaluejoin(lua.raw(), -2, n, -1, 1);
        }
        lua.pop(1);
    }
    lua.pop(2);
}

pub(crate) fn setfenv(lua: Lua) -> c_int {
    lua.check_type(2, ffi::LUA_TTABLE);
    lua.set_top(2);
    lua.push_value(2);
    if !push_target(lua) {
        lua.raise(format_args!("setfenv() cannot change the environment of this level"));
    }
    lua.push_value(-1);
    lua.insert(-3); // function, table, function
    set_environment(lua);
    1
}

pub(crate) fn getfenv(lua: Lua) -> c_int {
    lua.set_top(1);
    if push_target(lua)
        && let Some(n) = environment_upvalue(lua)
    {
        // SAFETY: live state; the upvalue was just seen.
        unsafe { ffi::lua_getupvalue(lua.raw(), -1, n) };
    } else {
        push_globals(lua);
    }
    1
}
