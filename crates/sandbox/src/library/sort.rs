//! `table.sort`, by a heap: no input and no comparison function makes it take more than n log n steps,
//! and a function that contradicts itself makes it no worse than unordered.

use std::ffi::c_int;

use mlua::ffi;

use super::table::{ALL, length};
use crate::stop;
use crate::vm::Lua;

/// Stack indices.
const LIST: c_int = 1;
const FUNCTION: c_int = 2;

/// `table.sort(list [, less])`
pub(crate) fn sort(lua: Lua) -> c_int {
    let n = length(lua, LIST, ALL);
    if n < 2 {
        return 0;
    }
    if n >= i64::from(c_int::MAX) {
        lua.bad_argument(1, c"array too big");
    }
    if lua.type_(FUNCTION) > ffi::LUA_TNIL {
        lua.check_type(FUNCTION, ffi::LUA_TFUNCTION);
    }
    lua.set_top(2);
    for root in (1..=n / 2).rev() {
        lua.get_index(LIST, root);
        sift(lua, root, n);
    }
    for last in (2..=n).rev() {
        // The greatest goes behind the heap, and what was there to its top.
        lua.get_index(LIST, last);
        lua.push_value(-1);
        lua.get_index(LIST, 1);
        lua.set_index(LIST, last);
        lua.set_index(LIST, 1);
        sift(lua, 1, last - 1);
    }
    0
}

/// Pops the value at `root` of the heap that ends at `n`, and puts it where it belongs.
///
/// The place is sought from the leaves up: a value from the end of the heap seldom rises far, and
/// so this takes half the comparisons of seeking it from the root down. Nothing is written before
/// all comparisons are done, so an error in one of them loses nothing.
fn sift(lua: Lua, root: i64, n: i64) {
    let value = lua.top();
    let mut at = root;
    while at * 2 < n {
        let (left, right) = (at * 2, at * 2 + 1);
        lua.get_index(LIST, left);
        lua.get_index(LIST, right);
        at = if less(lua, value + 1, value + 2) { right } else { left };
        lua.set_top(value);
    }
    if at * 2 == n {
        at = n;
    }
    while at > root {
        lua.get_index(LIST, at);
        let found = !less(lua, value + 1, value);
        lua.set_top(value);
        if found {
            break;
        }
        at /= 2;
    }
    // The path above moves up by one.
    while at > root {
        lua.get_index(LIST, at);
        lua.insert(value);
        lua.set_index(LIST, at);
        at /= 2;
    }
    lua.set_index(LIST, root);
}

fn less(lua: Lua, a: c_int, b: c_int) -> bool {
    stop::check(lua);
    if lua.type_(FUNCTION) == ffi::LUA_TNIL {
        return lua.compare(a, b, ffi::LUA_OPLT) != 0;
    }
    lua.push_value(FUNCTION);
    lua.push_value(a);
    lua.push_value(b);
    lua.call(2, 1);
    let less = lua.boolean(-1);
    lua.pop(1);
    less
}
