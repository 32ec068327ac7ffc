//! The rest of `string` that needs care.

use std::ffi::c_int;

use mlua::ffi;

use super::arguments::{original, total_len, truncate};
use crate::buffer::{Buffer, Space};
use crate::vm::Lua;

/// `string.rep(s, n [, separator])`
pub(crate) fn rep(lua: Lua) -> c_int {
    let unit = lua.check_bytes(1);
    truncate(lua, 2);
    let n = lua.check_integer(2);
    let separator = if lua.type_(3) <= ffi::LUA_TNIL { b"".as_slice() } else { lua.check_bytes(3) };
    let Some(n) = usize::try_from(n).ok().filter(|&n| n > 0 && unit.len() + separator.len() > 0) else {
        lua.push_bytes(b"");
        return 1;
    };
    let total = (unit.len() + separator.len()).checked_mul(n).filter(|&total| total <= i64::MAX as usize);
    let Some(total) = total else { lua.raise(format_args!("resulting string too large")) };
    let mut space = Space::uninit();
    let mut out = Buffer::new(lua, &mut space);
    let total = total - separator.len();
    out.add_repeated([unit, separator], total);
    out.push();
    1
}

/// `string.sub(s, i [, j])`
pub(crate) fn sub(lua: Lua) -> c_int {
    truncate(lua, 2);
    truncate(lua, 3);
    original(lua)
}

/// `string.pack(format, ...)`: strings that are not to be read as numbers all go into the result,
/// so more of them than there may be memory are numerals, each of which would be read for long.
pub(crate) fn pack(lua: Lua) -> c_int {
    let limit = lua.host().config.limits.memory;
    if total_len(lua) > limit {
        lua.raise(format_args!("string.pack() of strings with more than the {limit} bytes of memory_limit"));
    }
    original(lua)
}
