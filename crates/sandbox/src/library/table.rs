//! Functions of `table` that go through as many elements as a `__len` says, or through long chains of
//! `__index` for each.

use std::ffi::c_int;

use mlua::ffi;

use super::arguments::original;
use crate::buffer::{Buffer, Space};
use crate::stop;
use crate::vm::Lua;

/// What is done with a table, by the metamethods that make something else one.
const READ: &[&str] = &["__index"];
const WRITE: &[&str] = &["__newindex"];
const READ_LENGTH: &[&str] = &["__index", "__len"];
pub(super) const ALL: &[&str] = &["__index", "__newindex", "__len"];

/// Raises unless argument `n` is a table or has these metamethods.
fn check_table(lua: Lua, n: c_int, uses: &[&str]) {
    if lua.is_table(n) {
        return;
    }
    if lua.get_metatable(n) != 0 {
        let all = uses.iter().all(|name| {
            let found = lua.raw_field(-1, name) != ffi::LUA_TNIL;
            lua.pop(1);
            found
        });
        lua.pop(1);
        if all {
            return;
        }
    }
    lua.check_type(n, ffi::LUA_TTABLE);
}

pub(super) fn length(lua: Lua, n: c_int, uses: &[&str]) -> i64 {
    check_table(lua, n, uses);
    lua.len_of(n)
}

/// `to[j] = from[i]`
fn copy(lua: Lua, from: (c_int, i64), to: (c_int, i64)) {
    stop::check(lua);
    lua.get_index(from.0, from.1);
    lua.set_index(to.0, to.1);
}

fn out_of_bounds(lua: Lua) -> ! {
    lua.bad_argument(2, c"position out of bounds")
}

/// `table.insert(list, [position,] value)`
pub(crate) fn insert(lua: Lua) -> c_int {
    if lua.top() != 3 {
        return original(lua);
    }
    let end = length(lua, 1, ALL).wrapping_add(1);
    let position = lua.check_integer(2);
    // Unsigned, as a `__len` may say anything.
    if position.wrapping_sub(1) as u64 >= end as u64 {
        out_of_bounds(lua);
    }
    for n in (position..end).rev() {
        copy(lua, (1, n), (1, n.wrapping_add(1)));
    }
    lua.set_top(3);
    lua.set_index(1, position);
    0
}

/// `table.remove(list [, position])`
pub(crate) fn remove(lua: Lua) -> c_int {
    let size = length(lua, 1, ALL);
    let position = lua.integer_or(2, size);
    if position != size && position.wrapping_sub(1) as u64 > size as u64 {
        out_of_bounds(lua);
    }
    lua.get_index(1, position);
    for n in position..size {
        copy(lua, (1, n + 1), (1, n));
    }
    lua.push_nil();
    lua.set_index(1, position.max(size));
    1
}

/// `table.move(from, first, last, to [, table])`
pub(crate) fn move_(lua: Lua) -> c_int {
    let (first, last, to) = (lua.check_integer(2), lua.check_integer(3), lua.check_integer(4));
    let target = if lua.type_(5) <= ffi::LUA_TNIL { 1 } else { 5 };
    check_table(lua, 1, READ);
    check_table(lua, target, WRITE);
    if last >= first {
        if first <= 0 && last >= i64::MAX + first {
            lua.bad_argument(3, c"too many elements to move");
        }
        let count = last - first + 1;
        if to > i64::MAX - count + 1 {
            lua.bad_argument(4, c"destination wrap around");
        }
        // What is read later must not be overwritten first.
        let forward = to > last || to <= first || (target != 1 && lua.compare(1, target, ffi::LUA_OPEQ) == 0);
        for n in 0..count {
            let n = if forward { n } else { count - 1 - n };
            copy(lua, (1, first + n), (target, to + n));
        }
    }
    lua.push_value(target);
    1
}

/// `table.concat(list [, separator [, first [, last]]])`
pub(crate) fn concat(lua: Lua) -> c_int {
    let size = length(lua, 1, READ_LENGTH);
    let separator = if lua.type_(2) <= ffi::LUA_TNIL { b"".as_slice() } else { lua.check_bytes(2) };
    let (first, last) = (lua.integer_or(3, 1), lua.integer_or(4, size));
    let mut space = Space::uninit();
    let mut out = Buffer::new(lua, &mut space);
    for n in first..=last {
        stop::check(lua);
        lua.get_index(1, n);
        if !matches!(lua.type_(-1), ffi::LUA_TSTRING | ffi::LUA_TNUMBER) {
            lua.raise(format_args!("invalid value ({}) at index {n} in table for 'concat'", lua.type_name(-1)));
        }
        out.add_value();
        if n < last {
            out.add(separator);
        }
    }
    out.push();
    1
}

/// `table.unpack(list [, first [, last]])`
pub(crate) fn unpack(lua: Lua) -> c_int {
    let first = lua.integer_or(2, 1);
    let last = if lua.type_(3) <= ffi::LUA_TNIL { lua.len_of(1) } else { lua.check_integer(3) };
    if first > last {
        return 0;
    }
    let count = c_int::try_from(last.wrapping_sub(first) as u64).ok().filter(|&n| n < c_int::MAX && lua.reserve(n + 1));
    let Some(count) = count else { lua.raise(format_args!("too many results to unpack")) };
    for n in first..=last {
        stop::check(lua);
        lua.get_index(1, n);
    }
    count + 1
}
