//! Arguments that Lua's own functions would refuse or take long over.

use std::ffi::c_int;

use mlua::ffi;

use crate::stop;
use crate::vm::Lua;

/// Runs the function this one replaced, in place, on the same arguments.
pub(crate) fn original(lua: Lua) -> c_int {
    match lua.c_function(ffi::lua_upvalueindex(1)) {
        // SAFETY: a C function of Lua's own without upvalues, run as Lua runs it: it finds its
        // arguments on the stack of the running function.
        Some(f) => unsafe { f(lua.raw()) },
        None => 0,
    }
}

/// Cuts the fraction off argument `n`, where 5.4 would refuse it.
pub(crate) fn truncate(lua: Lua, n: c_int) {
    if !lua.is_integer(n)
        && let Some(x) = lua.number(n)
        && (i64::MIN as f64..i64::MAX as f64).contains(&x)
    {
        lua.push_integer(x as i64);
        lua.replace(n);
    }
}

/// Longest numeral that is left to the function that wants it as a number.
const SHORT: usize = 256;

/// For functions that take any number of numbers: the same long numeral given thousands of times
/// would be read thousands of times.
pub(crate) fn numbers(lua: Lua) -> c_int {
    for n in 1..=lua.top() {
        if lua.bytes(n).is_some_and(|text| text.len() > SHORT) {
            stop::check(lua);
            if lua.push_number_of(n) {
                lua.replace(n);
            }
        }
    }
    original(lua)
}

/// Longest numeral there is: Lua reads one in one go, however long it is.
const LONGEST: usize = 64 << 10;

/// `tonumber(value [, base])`: a longer text is none.
pub(crate) fn to_number(lua: Lua) -> c_int {
    if lua.bytes(1).is_some_and(|text| text.len() > LONGEST) {
        lua.push_nil();
        return 1;
    }
    original(lua)
}

/// Bytes of all strings among the arguments.
pub(crate) fn total_len(lua: Lua) -> usize {
    (1..=lua.top()).filter_map(|n| lua.bytes(n)).map(<[u8]>::len).sum()
}
