//! `metric`: a message in the form the metrics of the project have.
//!
//! ```text
//! Type "metric", Fields name, value, kind, and one for each tag, all strings but the value
//! ```
//!
//! That is what `statsd_aggregate` emits, too.

use std::cell::Cell;
use std::ffi::c_int;
use std::io::Write;

use message::{Datum, Messages, Text};
use mlua::ffi;

use super::inject::{admit, complete, too_much_output};
use crate::failure::FailureKind;
use crate::vm::{Lossy, Lua};
use crate::{Family, input, stop};

/// What a metric may be.
const KINDS: [&[u8]; 5] = [b"counter", b"gauge", b"histogram", b"set", b"timer"];
/// Fields that a tag may not take the name of: it gets `tag_` in front.
const RESERVED: [&[u8]; 4] = [b"kind", b"name", b"rate", b"value"];
const MAX_TAGS: c_int = 64;

/// `metric(name, value [, tags [, kind]])`
pub(super) fn metric(lua: Lua) -> c_int {
    let name = lua.check_bytes(1);
    if name.is_empty() {
        lua.bad_argument(1, c"a metric needs a name");
    }
    let value = match lua.type_(2) {
        ffi::LUA_TNUMBER if lua.is_integer(2) => Datum::Integer(lua.integer(2).unwrap_or_default()),
        ffi::LUA_TNUMBER => Datum::Double(lua.number(2).unwrap_or_default()),
        _ => lua.bad_type(2, "number"),
    };
    let kind = if lua.type_(4) <= ffi::LUA_TNIL { b"gauge".as_slice() } else { lua.check_bytes(4) };
    if !KINDS.contains(&kind) {
        lua.raise(format_args!("metric() kind '{}': expected counter, gauge, histogram, set or timer", Lossy(&kind[..kind.len().min(40)])));
    }
    lua.set_top(4);
    if lua.type_(3) > ffi::LUA_TNIL {
        lua.check_type(3, ffi::LUA_TTABLE);
        push_tags(lua);
    }
    admit(lua, "metric");
    let host = lua.host();
    let size = Cell::new(name.len());
    let stored = host.with_target(|messages| {
        let at = messages.add().index();
        let before = messages.store(name);
        add(messages, at, b"name", Datum::String(before));
        add(messages, at, b"value", value);
        let kind = messages.store(kind);
        add(messages, at, b"kind", Datum::String(kind));
        for tag in (5..=lua.top()).step_by(2) {
            size.set(size.get() + add_tag(lua, messages, at, tag));
        }
        if size.get() > host.config.limits.output {
            messages.truncate(at);
        }
    });
    host.stored.set(host.stored.get() + size.get());
    if size.get() > host.config.limits.output {
        too_much_output(lua, size.get(), "metric");
    }
    if stored.is_some() {
        complete(host);
        // Not before: the Type of what a filter injects gets a prefix.
        host.with_target(|messages| {
            let at = messages.len() - 1;
            messages.message(at).set_type(b"metric");
        });
    }
    host.injected.set(host.injected.get() + 1);
    lua.set_top(1); // an input would take argument 2 for a checkpoint
    if host.config.family == Family::Input && !input::send(lua, host, true) {
        stop::stop(lua, FailureKind::Stopped);
    }
    0
}

/// Pushes names and values of the tags, sorted by name. Raises when one is not what a tag can be.
fn push_tags(lua: Lua) {
    lua.push_nil();
    while lua.next(3) != 0 {
        let Some(name) = lua.bytes(-2) else {
            lua.raise(format_args!(
                "metric() tags are named: found a {} as the name of one, such as {{host = 'a'}} was expected",
                lua.type_name(-2)
            ))
        };
        if !matches!(lua.type_(-1), ffi::LUA_TSTRING | ffi::LUA_TNUMBER | ffi::LUA_TBOOLEAN) {
            let shown = Lossy(&name[..name.len().min(60)]);
            lua.raise(format_args!("metric() tag '{shown}' is a {}: a string, number or boolean was expected", lua.type_name(-1)));
        }
        if lua.top() > 4 + 2 * MAX_TAGS || !lua.reserve(8) {
            lua.raise(format_args!("metric() takes at most {MAX_TAGS} tags"));
        }
        sort_in(lua);
    }
}

/// Moves the pair on top of the stack to its place among those from 5 on, and leaves its name on top.
fn sort_in(lua: Lua) {
    let name = lua.bytes(-2);
    let mut place = 5;
    while place < lua.top() - 1 && lua.bytes(place) < name {
        place += 2;
    }
    lua.push_value(-2); // pair, name
    lua.insert(place);
    lua.insert(place + 1);
}

/// Adds the tag at these two stack indices. Does not raise. Returns its size.
fn add_tag(lua: Lua, messages: &mut Messages, at: usize, index: c_int) -> usize {
    let name = lua.bytes(index).unwrap_or_default();
    let prefix: &[u8] = if RESERVED.contains(&name) { b"tag_" } else { b"" };
    let field = messages.store_with(|arena| [prefix, name].iter().for_each(|part| arena.extend_from_slice(part)));
    let mut len = 8;
    let text = match lua.type_(index + 1) {
        ffi::LUA_TSTRING => {
            let text = lua.bytes(index + 1).unwrap_or_default();
            len = text.len();
            messages.store(text)
        }
        // Writing to memory does not fail; a whole number has no fraction.
        ffi::LUA_TNUMBER if lua.is_integer(index + 1) => {
            let n = lua.integer(index + 1).unwrap_or_default();
            messages.store_with(|arena| drop(write!(arena, "{n}")))
        }
        ffi::LUA_TNUMBER => {
            let x = lua.number(index + 1).unwrap_or_default();
            messages.store_with(|arena| drop(write!(arena, "{x}")))
        }
        _ => messages.store(if lua.boolean(index + 1) { b"true" } else { b"false" }),
    };
    let mut m = messages.message(at);
    m.add(field, Datum::String(text));
    name.len() + len
}

fn add(messages: &mut Messages, at: usize, name: &[u8], value: Datum) {
    let name: Text = messages.store(name);
    messages.message(at).add(name, value);
}
