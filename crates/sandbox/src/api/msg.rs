//! `msg`: the current message as a table that is none. Nothing is read before it is asked for.
//!
//! `msg` and `msg.Fields` are two empty tables made once a sandbox; what they show is read by their
//! metamethods.

use std::ffi::c_int;

use message::{Datum, Header, ValueType};
use mlua::ffi::{self, lua_upvalueindex};

use super::inject::too_much_output;
use super::read::{Found, push};
use super::table::unify;
use super::write::{MAX_WRITTEN, write_message};
use crate::globals::{protect_metatable, set_function};
use crate::host::Host;
use crate::stop;
use crate::vm::{Lossy, Lua, lua_function};

/// Pushes `msg`.
pub(crate) fn open(lua: Lua) {
    lua.create_table(0, 1);
    set_function(lua, "values", lua_function!(values));
    lua.create_table(0, 3); // its metatable
    lua.create_table(0, 0); // Fields
    lua.create_table(0, 4);
    set_function(lua, "__index", lua_function!(field));
    set_function(lua, "__newindex", lua_function!(set_field));
    set_function(lua, "__pairs", lua_function!(pairs));
    protect_metatable(lua);
    lua.set_metatable(-2);
    lua.push_closure(lua_function!(header), 1);
    lua.set_raw_field(-2, "__index");
    set_function(lua, "__newindex", lua_function!(set_header));
    protect_metatable(lua);
    lua.set_metatable(-2);
}

/// `msg[name]`
fn header(lua: Lua) -> c_int {
    let name = lua.bytes(2).unwrap_or_default();
    if name == b"Fields" {
        lua.push_value(lua_upvalueindex(1));
        return 1;
    }
    let host = lua.host();
    let found = host.message().map_or(Found::Nothing, |m| Found::header(m, name, host.config.api));
    if let Found::Nothing = found {
        check_header(lua, name);
    }
    push(lua, found)
}

/// Raises when there is no such header.
#[cold]
fn check_header(lua: Lua, name: &[u8]) {
    if Header::from_name(name).is_none() && !matches!(name, b"raw" | b"framed" | b"size") {
        let name = Lossy(&name[..name.len().min(60)]);
        lua.raise(format_args!("msg has no '{name}': it has the headers, such as msg.Type, and msg.Fields: msg.Fields['{name}']"));
    }
}

/// `msg.Fields[name]`: the first value of the first field.
fn field(lua: Lua) -> c_int {
    let (Some(name), Some(_)) = (lua.bytes(2), lua.host().message()) else { return 0 };
    push(lua, Found::at_hand(lua, name, 0, 0))
}

/// `msg.values(name)`: a list of all values of all fields of this name.
pub(super) fn values(lua: Lua) -> c_int {
    let name = lua.check_bytes(1);
    lua.create_table(0, 0);
    let Some(m) = lua.host().message() else { return 1 };
    let mut n = 0;
    for field in m.fields().filter(|f| f.name() == name) {
        for value in field.values() {
            stop::check(lua);
            n += 1;
            push(lua, Found::from(value));
            lua.raw_seti(-2, n);
        }
    }
    1
}

/// `pairs(msg.Fields)`: name and first value of each field that has values, in their order.
fn pairs(lua: Lua) -> c_int {
    lua.push_integer(0);
    lua.push_closure(lua_function!(next_field), 1);
    1
}

/// What `pairs` returns. Its upvalue counts the fields it has passed.
fn next_field(lua: Lua) -> c_int {
    let passed = lua.integer(lua_upvalueindex(1)).and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
    let Some(m) = lua.host().message() else { return 0 };
    for (n, field) in m.fields().enumerate().skip(passed) {
        if let Some(value) = field.value(0) {
            lua.push_integer(n as i64 + 1);
            lua.replace(lua_upvalueindex(1));
            lua.push_bytes(field.name());
            return 1 + push(lua, Found::from(value));
        }
    }
    0
}

/// `msg[name] = value`
fn set_header(lua: Lua) -> c_int {
    let name = lua.check_bytes(2);
    if name == b"Fields" {
        lua.raise(format_args!("msg.Fields cannot be assigned to: set its fields, as in msg.Fields.status = 200"));
    }
    check_header(lua, name);
    check_writable(lua);
    lua.remove(1);
    write_message(lua)
}

/// Raises when there is no message to change.
fn check_writable(lua: Lua) {
    if lua.host().writable().is_none() {
        lua.raise(format_args!("msg cannot be changed here: decoders, transforms and encoders change messages, others inject new ones"));
    }
}

/// `msg.Fields[name] = value`: the field has this value and no other, whatever it had; nil removes all of this name.
fn set_field(lua: Lua) -> c_int {
    let name = lua.check_bytes(2);
    check_writable(lua);
    let host = lua.host();
    let size = name.len() + size(lua);
    let limit = host.config.limits.output;
    let stored = host.stored.get().saturating_add(size);
    if size > limit || stored > limit.saturating_mul(MAX_WRITTEN) {
        too_much_output(lua, size.max(stored), "msg.Fields");
    }
    host.stored.set(stored);
    if !write_field(lua, host, name) {
        let found = lua.type_name(3);
        lua.raise(format_args!(
            "msg.Fields takes a string, number or boolean, a list of one of these, or nil to remove the field; found a {found} for '{}'",
            Lossy(&name[..name.len().min(60)])
        ));
    }
    stop::check(lua); // if so, not all fields of this name are gone
    0
}

/// Bytes that the value at 3 takes; a list is bounded by what it takes. May raise when stopped.
fn size(lua: Lua) -> usize {
    if !lua.is_table(3) {
        return lua.bytes(3).map_or(8, <[u8]>::len);
    }
    let (mut size, limit) = (0_usize, lua.host().config.limits.output);
    let mut n = 1;
    while size <= limit && lua.raw_geti(3, n) != ffi::LUA_TNIL {
        stop::check(lua);
        size += 8 + lua.bytes(-1).map_or(0, <[u8]>::len);
        lua.pop(1);
        n += 1;
    }
    lua.set_top(3);
    size
}

/// Writes the value at 3. False if that is nothing a field can hold. Does not raise, so that values may have destructors.
fn write_field(lua: Lua, host: &Host, name: &[u8]) -> bool {
    let Some((messages, raw, at)) = host.writable() else { return false };
    // SAFETY: whoever set these holds both for the length of the call, and no other reference to
    // them is alive while this runs.
    let (messages, raw) = unsafe { (&mut *messages, &*raw) };
    let mut datums = Vec::new();
    let scalar = |messages: &mut message::Messages| {
        Some(match lua.type_(-1) {
            ffi::LUA_TSTRING => Datum::String(messages.store(lua.bytes(-1).unwrap_or_default())),
            ffi::LUA_TNUMBER if lua.is_integer(-1) => Datum::Integer(lua.integer(-1).unwrap_or_default()),
            ffi::LUA_TNUMBER => Datum::Double(lua.number(-1).unwrap_or_default()),
            ffi::LUA_TBOOLEAN => Datum::Bool(lua.boolean(-1)),
            _ => return None,
        })
    };
    lua.set_top(3);
    let mut type_ = ValueType::String;
    if lua.is_table(3) {
        let mut n = 1;
        while lua.raw_geti(3, n) != ffi::LUA_TNIL {
            let Some(datum) = scalar(messages) else { return false };
            datums.push(datum);
            lua.pop(1);
            n += 1;
        }
        if !datums.is_empty() {
            let Ok(unified) = unify(&mut datums) else { return false };
            type_ = unified;
        }
    } else if lua.type_(3) != ffi::LUA_TNIL {
        let Some(datum) = scalar(messages) else { return false };
        type_ = datum.type_();
        datums.push(datum);
    }
    let place = |messages: &message::Messages| messages.view(raw, at).fields().position(|f| f.name() == name);
    match place(messages) {
        None if datums.is_empty() => {}
        None => {
            let name = messages.store(name);
            messages.message(at).add_field(name, message::Text::NONE, type_, &datums);
        }
        Some(nth) if !datums.is_empty() => messages.message(at).set_field_values(nth, type_, &datums),
        Some(_) => {
            while let (Some(nth), false) = (place(messages), host.tripped()) {
                messages.message(at).remove_field(nth);
            }
        }
    }
    true
}
