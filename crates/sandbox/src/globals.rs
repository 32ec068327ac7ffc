//! What a script finds without having defined it.
//!
//! The globals table holds the script's own names only, because that is what is saved. Behind it,
//! as `__index` of its metatable, stands the *library table*. Behind that stands [`demand`], which
//! loads a library or function when its name is first touched and stores it in the library table, so
//! that an idle sandbox stays small. The functions of `string` come in the same way.

use std::ffi::{c_int, c_void};
use std::ptr;

use mlua::ffi::{self, lua_CFunction};

use crate::api::{log, msg};
use crate::library::{arguments, coroutine, format, protect, search, sort, string, table, text};
use crate::vm::{Lua, REGISTRY, lua_function};
use crate::{api, clock, dialect, grants, require, stock};

/// Base functions no script gets: they compile code, run handlers with hooks off, or steer the collector; `print` is the host's.
const REMOVED: [&str; 8] = ["collectgarbage", "dofile", "load", "loadfile", "loadstring", "print", "warn", "xpcall"];

/// Pushes a library, or a function of the base.
type Opener = fn(Lua);

/// Libraries that load on first use.
const LIBRARIES: &[(&str, Opener)] = &[
    ("coroutine", coroutine::open),
    ("io", grants::open_io),
    ("log", log::open),
    ("math", open_math),
    ("msg", msg::open),
    ("os", clock::open),
    ("package", require::open_package),
    (STATE, |lua| lua.create_table(0, 0)),
    ("table", open_table),
    ("utf8", open_utf8),
    ("xpcall", |lua| lua.push_function(lua_function!(protect::xpcall))),
];

/// Pushes the table of the script's globals.
pub(crate) fn push_globals(lua: Lua) {
    lua.raw_geti(REGISTRY, ffi::LUA_RIDX_GLOBALS);
}

/// The table whose content survives; it stands with the libraries, so that it is not among the script's own globals.
pub(crate) const STATE: &str = "state";

/// Pushes the table `state`, if the script has ever asked for it. Raises when out of memory.
pub(crate) fn push_state(lua: Lua) -> bool {
    lua.raw_getp(REGISTRY, library_key());
    let found = lua.raw_field(-1, STATE) == ffi::LUA_TTABLE;
    lua.remove(-2);
    if !found {
        lua.pop(1);
    }
    found
}

/// The same; makes it if need be.
pub(crate) fn push_own_state(lua: Lua) {
    if !push_state(lua) {
        lua.create_table(0, 0);
        lua.raw_getp(REGISTRY, library_key());
        lua.push_value(-2);
        lua.set_raw_field(-2, STATE);
        lua.pop(1);
    }
}

static LIBRARY: u8 = 0;

/// Key of the library table in the registry.
pub(crate) fn library_key() -> *const c_void {
    ptr::from_ref(&LIBRARY).cast()
}

/// Sets a new state up. Raises when out of memory.
pub(crate) fn install(lua: Lua) {
    lua.create_table(0, 4);
    let library = lua.top();
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
pub(crate) fn protect_metatable(lua: Lua) {
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
    } else if let Some(function) = api::find(name, lua.host().config.family, lua.host().config.api) {
        function.push(lua);
    } else if name == b"setmetatable" {
        lua.push_function(lua_function!(set_metatable));
    } else if let (b"tonumber", Some(own)) = (name, stock::base(name)) {
        lua.push_function(own);
        lua.push_closure(lua_function!(arguments::to_number), 1);
    } else if name == b"_VERSION" {
        lua.push_bytes(b"Lua 5.4");
    } else if let (Some(function), false) = (stock::base(name), REMOVED.iter().any(|r| r.as_bytes() == name)) {
        lua.push_function(function);
    } else {
        return 0;
    }
    store(lua)
}

/// Stores the value on top of the stack in table 1 under key 2, for the next time, and returns it.
fn store(lua: Lua) -> c_int {
    lua.push_value(2);
    lua.push_value(-2);
    lua.raw_set(1);
    1
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

pub(crate) fn set_function(lua: Lua, name: &str, f: lua_CFunction) {
    lua.push_function(f);
    lua.set_raw_field(-2, name);
}

/// Puts `f`, with the library's own function as upvalue, in that one's place.
pub(crate) fn wrap(lua: Lua, name: &str, f: lua_CFunction) {
    lua.raw_field(-1, name);
    lua.push_closure(f, 1);
    lua.set_raw_field(-2, name);
}

/// The functions of `string` that are ours, and whether they get Lua's own as upvalue.
const STRING: &[(&str, lua_CFunction, bool)] = &[
    ("char", lua_function!(arguments::numbers), true),
    ("find", lua_function!(search::find), false),
    ("format", lua_function!(format::format), true),
    ("gfind", lua_function!(search::gmatch), false),
    ("gmatch", lua_function!(search::gmatch), false),
    ("gsub", lua_function!(search::gsub), false),
    ("lower", lua_function!(text::lower), true),
    ("match", lua_function!(search::match_), false),
    ("pack", lua_function!(string::pack), true),
    ("rep", lua_function!(string::rep), false),
    ("reverse", lua_function!(text::reverse), true),
    ("sub", lua_function!(string::sub), true),
    ("upper", lua_function!(text::upper), true),
];

/// Pushes `string`, whose functions come when they are first touched, and gives it to all strings.
fn open_string(lua: Lua) {
    lua.create_table(0, 0);
    lua.create_table(0, 2);
    set_function(lua, "__index", lua_function!(demand_of_string));
    protect_metatable(lua);
    lua.set_metatable(-2);
    lua.push_bytes(b"");
    lua.create_table(0, 10);
    for (name, function) in stock::string_metamethods() {
        set_function(lua, name, function);
    }
    lua.push_value(-3);
    lua.set_raw_field(-2, "__index");
    protect_metatable(lua);
    lua.set_metatable(-2);
    lua.pop(1);
}

/// `__index` of `string`.
fn demand_of_string(lua: Lua) -> c_int {
    let Some(name) = lua.bytes(2) else { return 0 };
    let own = stock::string(name).filter(|_| name != b"dump");
    match (STRING.iter().find(|(n, ..)| n.as_bytes() == name), own) {
        (Some((_, function, true)), Some(own)) => {
            lua.push_function(own);
            lua.push_closure(*function, 1);
        }
        (Some((_, function, _)), _) => lua.push_function(*function),
        (None, Some(own)) => lua.push_function(own),
        (None, None) => return 0,
    }
    store(lua)
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
    set_function(lua, "foreach", lua_function!(dialect::foreach));
    set_function(lua, "foreachi", lua_function!(dialect::foreachi));
    set_function(lua, "getn", lua_function!(dialect::getn));
    set_function(lua, "maxn", lua_function!(dialect::maxn));
}

fn open_utf8(lua: Lua) {
    open(lua, ffi::luaopen_utf8);
    wrap(lua, "char", lua_function!(arguments::numbers));
    wrap(lua, "len", lua_function!(text::utf8_len));
    wrap(lua, "offset", lua_function!(text::utf8_offset));
}
