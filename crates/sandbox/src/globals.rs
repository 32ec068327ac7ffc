//! What a script finds without having defined it.
//!
//! The globals table holds the script's own names only, because that is what is saved. Behind it,
//! as `__index` of its metatable, stands the *library table* with the base functions. Behind that
//! stands [`demand`], which loads a library or host function when its name is first touched and
//! stores it in the library table, so that an idle sandbox stays small.

use std::ffi::{c_int, c_void};
use std::ptr;

use mlua::ffi::{self, lua_CFunction};

use crate::api::{config, inject, payload, print, read, write};
use crate::library::{arguments, format, search, sort, string, table};
use crate::vm::{Lua, REGISTRY, lua_function};
use crate::{Family, clock, dialect, require};

/// Base functions no script gets: they compile code, run handlers with hooks off, or steer the collector.
const REMOVED: [&str; 7] = ["collectgarbage", "dofile", "load", "loadfile", "loadstring", "warn", "xpcall"];

/// Host functions by name.
const FUNCTIONS: &[(&str, lua_CFunction)] = &[
    ("add_to_payload", lua_function!(payload::add_to_payload)),
    ("getfenv", lua_function!(dialect::getfenv)),
    ("inject_message", lua_function!(inject::inject_message)),
    ("inject_payload", lua_function!(payload::inject_payload)),
    ("module", lua_function!(require::module)),
    ("read_config", lua_function!(config::read_config)),
    ("read_message", lua_function!(read::read_message)),
    ("require", lua_function!(require::require)),
    ("setfenv", lua_function!(dialect::setfenv)),
    ("write_message", lua_function!(write::write_message)),
];

/// Pushes a library.
type Opener = fn(Lua);

/// Libraries that load on first use.
const LIBRARIES: &[(&str, Opener)] =
    &[("math", open_math), ("os", clock::open), ("package", require::open_package), ("table", open_table), ("utf8", open_utf8)];

/// Pushes the table of the script's globals.
pub(crate) fn push_globals(lua: Lua) {
    lua.raw_geti(REGISTRY, ffi::LUA_RIDX_GLOBALS);
}

static LIBRARY: u8 = 0;

/// Key of the library table in the registry.
pub(crate) fn library_key() -> *const c_void {
    ptr::from_ref(&LIBRARY).cast()
}

/// Sets a new state up. Raises when out of memory.
pub(crate) fn install(lua: Lua) {
    // The globals a state is born with become the library table: luaopen_base fills those.
    lua.push_function(ffi::luaopen_base);
    lua.call(0, 1);
    let library = lua.top();
    for name in REMOVED {
        lua.push_nil();
        lua.set_raw_field(library, name);
    }
    lua.push_function(lua_function!(print::print));
    lua.set_raw_field(library, "print");
    lua.push_function(lua_function!(set_metatable));
    lua.set_raw_field(library, "setmetatable");
    open_string(lua);
    lua.set_raw_field(library, "string");
    lua.push_value(library);
    lua.raw_setp(REGISTRY, library_key());

    lua.create_table(0, 0); // the script's globals
    lua.push_value(-1);
    lua.set_raw_field(library, "_G");
    lua.create_table(0, 2);
    lua.push_value(library);
    lua.set_raw_field(-2, "__index");
    protect_metatable(lua);
    lua.set_metatable(-2);
    lua.raw_seti(REGISTRY, ffi::LUA_RIDX_GLOBALS);

    lua.create_table(0, 1);
    lua.push_function(lua_function!(demand));
    lua.set_raw_field(-2, "__index");
    lua.set_metatable(library);
}

/// Hides the metatable on top of the stack from scripts.
fn protect_metatable(lua: Lua) {
    lua.push_bool(false);
    lua.set_raw_field(-2, "__metatable");
}

/// `__index` of the library table: loads what is named, once.
fn demand(lua: Lua) -> c_int {
    let Some(name) = lua.bytes(2) else { return 0 };
    if let Some((_, open)) = LIBRARIES.iter().find(|(n, _)| n.as_bytes() == name) {
        open(lua);
    } else if name == b"unpack" {
        lua.push_value(1);
        lua.push_bytes(b"table");
        lua.get_table(-2);
        lua.raw_field(-1, "unpack");
    } else if let Some((_, f)) = FUNCTIONS.iter().find(|(n, _)| n.as_bytes() == name && exists_for(n, lua.host().config.family)) {
        lua.push_function(*f);
    } else {
        return 0;
    }
    lua.push_value(2);
    lua.push_value(-2);
    lua.raw_set(1);
    1
}

fn exists_for(name: &str, family: Family) -> bool {
    match name {
        "write_message" => matches!(family, Family::Decoder | Family::Transform | Family::Encoder),
        "inject_message" | "inject_payload" | "add_to_payload" => family != Family::Output,
        _ => true,
    }
}

/// `setmetatable` without finalisers: Lua runs those with hooks off.
fn set_metatable(lua: Lua) -> c_int {
    lua.check_type(1, ffi::LUA_TTABLE);
    let kind = lua.type_(2);
    if kind != ffi::LUA_TNIL && kind != ffi::LUA_TTABLE {
        lua.bad_argument(2, c"nil or table expected");
    }
    lua.set_top(2);
    if lua.get_metatable(1) != 0 && lua.raw_field(-1, "__metatable") != ffi::LUA_TNIL {
        lua.raise(format_args!("cannot change a protected metatable"));
    }
    lua.set_top(2);
    if kind == ffi::LUA_TTABLE {
        for name in ["__gc", "__close"] {
            if lua.raw_field(2, name) != ffi::LUA_TNIL {
                lua.raise(format_args!("setmetatable() refuses {name}: a sandbox has no finalisers"));
            }
        }
    }
    lua.set_top(2);
    lua.set_metatable(1);
    1
}

fn open(lua: Lua, opener: lua_CFunction) {
    lua.push_function(opener);
    lua.call(0, 1);
}

/// Stores a copy of the library's function `from` under `to`.
fn alias(lua: Lua, from: &str, to: &str) {
    lua.raw_field(-1, from);
    lua.set_raw_field(-2, to);
}

fn set_function(lua: Lua, name: &str, f: lua_CFunction) {
    lua.push_function(f);
    lua.set_raw_field(-2, name);
}

/// Puts `f`, with the library's own function as upvalue, in that one's place.
pub(crate) fn wrap(lua: Lua, name: &str, f: lua_CFunction) {
    lua.raw_field(-1, name);
    lua.push_closure(f, 1);
    lua.set_raw_field(-2, name);
}

fn open_string(lua: Lua) {
    open(lua, ffi::luaopen_string);
    lua.push_nil();
    lua.set_raw_field(-2, "dump");
    set_function(lua, "find", lua_function!(search::find));
    set_function(lua, "match", lua_function!(search::match_));
    set_function(lua, "gmatch", lua_function!(search::gmatch));
    set_function(lua, "gsub", lua_function!(search::gsub));
    alias(lua, "gmatch", "gfind");
    set_function(lua, "rep", lua_function!(string::rep));
    wrap(lua, "char", lua_function!(arguments::numbers));
    wrap(lua, "format", lua_function!(format::format));
    wrap(lua, "pack", lua_function!(string::pack));
    wrap(lua, "sub", lua_function!(string::sub));
    lua.push_bytes(b"");
    lua.get_metatable(-1);
    protect_metatable(lua);
    lua.pop(2);
}

fn open_math(lua: Lua) {
    open(lua, ffi::luaopen_math);
    alias(lua, "fmod", "mod");
    wrap(lua, "max", lua_function!(arguments::numbers));
    wrap(lua, "min", lua_function!(arguments::numbers));
    wrap(lua, "random", lua_function!(dialect::random));
}

fn open_table(lua: Lua) {
    open(lua, ffi::luaopen_table);
    set_function(lua, "concat", lua_function!(table::concat));
    wrap(lua, "insert", lua_function!(table::insert));
    set_function(lua, "move", lua_function!(table::move_));
    set_function(lua, "remove", lua_function!(table::remove));
    set_function(lua, "sort", lua_function!(sort::sort));
    set_function(lua, "unpack", lua_function!(table::unpack));
    set_function(lua, "getn", lua_function!(dialect::getn));
    set_function(lua, "maxn", lua_function!(dialect::maxn));
}

fn open_utf8(lua: Lua) {
    open(lua, ffi::luaopen_utf8);
    wrap(lua, "char", lua_function!(arguments::numbers));
}
