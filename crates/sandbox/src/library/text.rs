//! Functions that go through a whole string in one go. What is long is done in stretches, with a
//! look at the budget between them.

use std::ffi::c_int;

use mlua::ffi::{self, lua_upvalueindex};

use super::arguments::original;
use crate::buffer::{Buffer, Space};
use crate::stop;
use crate::vm::Lua;

/// Bytes from which on a string is long, and of a stretch: some 100 µs.
const STRETCH: usize = 256 << 10;

pub(crate) fn upper(lua: Lua) -> c_int {
    mapped(lua, |b| b.to_ascii_uppercase())
}

pub(crate) fn lower(lua: Lua) -> c_int {
    mapped(lua, |b| b.to_ascii_lowercase())
}

fn mapped(lua: Lua, map: fn(u8) -> u8) -> c_int {
    let text = lua.check_bytes(1);
    if text.len() < STRETCH {
        return original(lua);
    }
    let mut space = Space::uninit();
    let mut out = Buffer::new(lua, &mut space);
    for stretch in text.chunks(STRETCH) {
        stop::check(lua);
        stretch.chunks(PIECE).for_each(|piece| out.add(filled(piece.iter().map(|&b| map(b)), &mut [0; PIECE])));
    }
    out.push();
    1
}

/// Bytes that are worked on outside of Lua's memory.
const PIECE: usize = 1024;

fn filled(bytes: impl Iterator<Item = u8>, piece: &mut [u8; PIECE]) -> &[u8] {
    let mut len = 0;
    for (slot, b) in piece.iter_mut().zip(bytes) {
        *slot = b;
        len += 1;
    }
    &piece[..len]
}

pub(crate) fn reverse(lua: Lua) -> c_int {
    let text = lua.check_bytes(1);
    if text.len() < STRETCH {
        return original(lua);
    }
    let mut space = Space::uninit();
    let mut out = Buffer::new(lua, &mut space);
    for stretch in text.rchunks(STRETCH) {
        stop::check(lua);
        stretch.rchunks(PIECE).for_each(|piece| out.add(filled(piece.iter().rev().copied(), &mut [0; PIECE])));
    }
    out.push();
    1
}

/// Calls the function this one replaced with the values on top of the stack.
fn call_original(lua: Lua, given: c_int, results: c_int) {
    lua.push_value(lua_upvalueindex(1));
    lua.insert(-given - 1);
    lua.call(given, results);
}

/// A position as an argument gives it, counted from the end if negative.
fn position(n: i64, len: usize) -> i64 {
    if n >= 0 { n } else { (len as i64).saturating_add(n).saturating_add(1).max(0) }
}

/// `utf8.len(s [, i [, j [, lax]]])`
pub(crate) fn utf8_len(lua: Lua) -> c_int {
    let text = lua.check_bytes(1);
    if text.len() < STRETCH {
        return original(lua);
    }
    let (mut i, j) = (position(lua.integer_or(2, 1), text.len()), position(lua.integer_or(3, -1), text.len()));
    if i < 1 || i > text.len() as i64 + 1 || j > text.len() as i64 {
        return original(lua); // which says what is wrong
    }
    lua.set_top(4);
    let mut count = 0;
    while i <= j {
        stop::check(lua);
        let mut end = i.saturating_add(STRETCH as i64).min(j);
        // The stretch ends before a character begins.
        while end < j && text[end as usize] & 0xc0 == 0x80 {
            end += 1;
        }
        lua.push_value(1);
        lua.push_integer(i);
        lua.push_integer(end);
        lua.push_value(4);
        call_original(lua, 4, 2);
        if lua.type_(-2) == ffi::LUA_TNIL {
            return 2;
        }
        count += lua.integer(-2).unwrap_or(0);
        lua.pop(2);
        i = end + 1;
    }
    lua.push_integer(count);
    1
}

/// `utf8.offset(s, n [, i])`
pub(crate) fn utf8_offset(lua: Lua) -> c_int {
    let text = lua.check_bytes(1);
    if text.len() < STRETCH {
        return original(lua);
    }
    let mut n = lua.check_integer(2);
    let first = if n > 0 { 1 } else { text.len() as i64 + 1 };
    let mut i = lua.integer_or(3, first);
    let stride = STRETCH as i64 / 4;
    while n.unsigned_abs() > stride as u64 + 1 {
        stop::check(lua);
        let step = if n > 0 { stride + 1 } else { -stride };
        lua.push_value(1);
        lua.push_integer(step);
        lua.push_integer(i);
        call_original(lua, 3, 1);
        let Some(at) = lua.integer(-1) else { return 1 };
        i = at;
        n += if n > 0 { -stride } else { stride };
        lua.pop(1);
    }
    lua.set_top(1);
    lua.push_integer(n);
    lua.push_integer(i);
    call_original(lua, 3, 1);
    1
}
