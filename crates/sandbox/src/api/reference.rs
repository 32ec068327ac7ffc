//! What Hindsight's `read_message(name, field, array, true)` returns: a name for a part of the message at hand. Scripts ask for
//! it once, while they load, and hand it to `file:write` for each message; what it stands for is read then.

use std::ffi::{c_int, c_void};
use std::ptr;

use mlua::ffi::{self, lua_upvalueindex};

use super::read::{Found, field_name, push};
use crate::Api;
use crate::vm::{Lua, REGISTRY, lua_function};

/// Bytes of a name.
const LONGEST: usize = 128;

/// A userdata without a destructor.
#[derive(Clone, Copy)]
struct Reference {
    name: [u8; LONGEST],
    len: usize,
    field: usize,
    array: usize,
}

static METATABLE: u8 = 0;

fn metatable_key() -> *const c_void {
    ptr::from_ref(&METATABLE).cast()
}

/// Pushes a reference. Raises when out of memory, and when the name is too long.
pub(super) fn push_reference(lua: Lua, name: &[u8], field: usize, array: usize) {
    let len = name.len();
    if len > LONGEST {
        lua.raise(format_args!("read_message() a name that is to be read later has at most {LONGEST} bytes, not {len}"));
    }
    let mut reference = Reference { name: [0; LONGEST], len, field, array };
    reference.name[..len].copy_from_slice(name);
    lua.push_plain(reference);
    if lua.raw_getp(REGISTRY, metatable_key()) == ffi::LUA_TNIL {
        lua.pop(1);
        lua.create_table(0, 2);
        lua.push_function(lua_function!(text));
        lua.set_raw_field(-2, "__tostring");
        lua.push_bool(false);
        lua.set_raw_field(-2, "__metatable");
        lua.push_value(-1);
        lua.raw_setp(REGISTRY, metatable_key());
    }
    lua.set_metatable(-2);
}

/// The reference at this index, if it is one. Neither allocates nor raises.
fn reference(lua: Lua, index: c_int) -> Option<Reference> {
    if lua.type_(index) != ffi::LUA_TUSERDATA || !lua.reserve(2) || lua.get_metatable(index) == 0 {
        return None;
    }
    let same = lua.raw_getp(REGISTRY, metatable_key()) == ffi::LUA_TTABLE && lua.to_pointer(-1) == lua.to_pointer(-2);
    lua.pop(2);
    // SAFETY: only `push_reference` gives userdata this metatable, and they are such.
    same.then(|| unsafe { *lua.to_userdata(index).cast::<Reference>() })
}

/// Pushes what a reference stands for; an empty text for nothing. Raises when out of memory.
fn push_value(lua: Lua, r: &Reference) {
    let name = &r.name[..r.len];
    let found = lua.host().message().map_or(Found::Nothing, |m| match field_name(name) {
        Some(name) => Found::at_hand(lua, name, r.field, r.array),
        None => Found::header(m, name, Api::Hindsight),
    });
    match found {
        Found::Nothing => lua.push_bytes(b""),
        Found::Bool(b) => lua.push_bytes(if b { b"true" } else { b"false" }),
        found => {
            push(lua, found);
        }
    }
}

/// `__tostring`
fn text(lua: Lua) -> c_int {
    let Some(r) = reference(lua, 1) else { return 0 };
    push_value(lua, &r);
    lua.push_text_of(-1);
    1
}

/// Makes the function `write` of the table on top of the stack take references. Raises when out of memory.
pub(crate) fn extend_write(lua: Lua) {
    lua.raw_field(-1, "write");
    lua.push_closure(lua_function!(write), 1);
    lua.set_raw_field(-2, "write");
}

/// Lua's own function, which is the upvalue, with values in place of references.
fn write(lua: Lua) -> c_int {
    let arguments = lua.top();
    for n in 1..=arguments {
        if let Some(r) = reference(lua, n) {
            push_value(lua, &r);
            lua.replace(n);
        }
    }
    lua.push_value(lua_upvalueindex(1));
    lua.insert(1);
    lua.call(arguments, ffi::LUA_MULTRET);
    lua.top()
}
