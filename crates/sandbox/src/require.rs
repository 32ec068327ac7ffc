//! `require`: text modules below the module path, and `module` for those written for 5.1.

use std::ffi::{CStr, c_int, c_void};
use std::fs::File;
use std::io::Read;
use std::ptr;

use mlua::ffi;

use crate::dialect::{push_running, set_environment};
use crate::globals::{library_key, push_globals};
use crate::grants;
use crate::hash::bytes_hash;
use crate::host::{Host, ModuleFile};
use crate::native::{Body, Function, push_module};
use crate::source::{self, MAX_SOURCE};
use crate::vm::{Lossy, Lua, REGISTRY, lua_function};

static LOADED: u8 = 0;
static LOADING: u8 = 0;

fn key(of: &'static u8) -> *const c_void {
    ptr::from_ref(of).cast()
}

/// Libraries `require` returns by name.
const BUILT_IN: [&str; 6] = ["coroutine", "math", "os", "string", "table", "utf8"];

/// Pushes the table of loaded modules, by name. Raises when out of memory.
pub(crate) fn push_loaded(lua: Lua) {
    if lua.raw_getp(REGISTRY, key(&LOADED)) == ffi::LUA_TNIL {
        lua.pop(1);
        lua.create_table(0, 0);
        lua.push_value(-1);
        lua.raw_setp(REGISTRY, key(&LOADED));
    }
}

/// `require(name)`
pub(crate) fn require(lua: Lua) -> c_int {
    let name = lua.check_bytes(1);
    lua.set_top(1);
    push_loaded(lua); // 2
    lua.push_value(1);
    match lua.raw_get(2) {
        ffi::LUA_TNIL => lua.pop(1),
        ffi::LUA_TLIGHTUSERDATA => lua.raise(format_args!("loop or previous error loading module '{}'", Lossy(name))),
        _ => return 1,
    }
    if BUILT_IN.iter().any(|n| n.as_bytes() == name) || (name == b"io" && grants::may_have_files(lua.host())) {
        lua.raw_getp(REGISTRY, library_key());
        lua.push_value(1);
        lua.get_table(-2);
        return 1;
    }
    let host = lua.host();
    if let Some(functions) = native(host, name) {
        open_native(lua, name, functions);
        return 1;
    }
    if !find(host, name) {
        // SAFETY: read only here and while nothing changes it; a borrow guard would outlive an error.
        lua.push_bytes(unsafe { &*host.module.as_ptr() });
        lua.throw();
    }
    lua.push_value(1);
    lua.push_light(key(&LOADING).cast_mut());
    lua.raw_set(2);
    compile(lua, host, name);
    lua.push_value(1);
    lua.call(1, 1);
    keep(lua);
    1
}

/// The functions of the native module of this name.
fn native(host: &Host, name: &[u8]) -> Option<&'static [Function]> {
    host.config.modules.iter().find(|m| m.name.as_bytes() == name).and_then(|m| match m.body {
        Body::Native(functions, _) => Some(functions),
        Body::Text(_) => None,
    })
}

/// Pushes a native module, which from now on is a global too, as in Heka; but not one of the
/// script's own, so that it is not saved.
fn open_native(lua: Lua, name: &[u8], functions: &'static [Function]) {
    push_module(lua, functions);
    lua.push_value(1);
    lua.push_value(-2);
    lua.raw_set(2);
    if !name.contains(&b'.') {
        lua.raw_getp(REGISTRY, library_key());
        lua.push_value(1);
        lua.push_value(-3);
        lua.raw_set(-3);
        lua.pop(1);
    }
}

/// Compiles what [`find`] found and pushes the function; raises what is wrong with it.
fn compile(lua: Lua, host: &Host, name: &[u8]) {
    let mut chunk = [0_u8; 80]; // "@name.lua\0"; Lua shows 60 bytes
    chunk[0] = b'@';
    let n = name.len().min(70);
    chunk[1..=n].copy_from_slice(&name[..n]);
    chunk[n + 1..n + 5].copy_from_slice(b".lua");
    let text = host.module.take();
    // Loading reports errors, it does not raise, so `text` is dropped.
    let status = source::load(lua, CStr::from_bytes_until_nul(&chunk).unwrap_or_default(), &text);
    drop(text);
    if status != ffi::LUA_OK {
        lua.throw();
    }
}

/// Remembers and pushes what a module returned, else what `module` made of its name, else true.
fn keep(lua: Lua) {
    if lua.type_(-1) == ffi::LUA_TNIL {
        lua.pop(1);
        lua.push_value(1);
        if lua.raw_get(2) == ffi::LUA_TLIGHTUSERDATA {
            lua.pop(1);
            lua.push_bool(true);
        }
    }
    lua.push_value(1);
    lua.push_value(-2);
    lua.raw_set(2);
}

/// Reads a module's text into `host.module`, or the reason why not. Does not touch Lua.
fn find(host: &Host, name: &[u8]) -> bool {
    let outcome = read(host, name);
    let found = outcome.is_ok();
    *host.module.borrow_mut() = outcome.unwrap_or_else(String::into_bytes);
    found
}

fn read(host: &Host, name: &[u8]) -> Result<Vec<u8>, String> {
    let shown = String::from_utf8_lossy(&name[..name.len().min(100)]).into_owned(); // a valid name is shown whole
    let valid = |part: &[u8]| !part.is_empty() && part.iter().all(|b| *b == b'_' || b.is_ascii_alphanumeric());
    if name.len() > 100 || !name.split(|&b| b == b'.').all(valid) {
        return Err(format!("module '{shown}' not found: a module name is made of letters, digits and _, with . between directories"));
    }
    // Hindsight keeps the grammars that Heka called `date_time` and so on below `lpeg`.
    let bare = shown.strip_prefix("lpeg.").unwrap_or(&shown);
    let embedded = host.config.modules.iter().find_map(|m| match m.body {
        Body::Text(text) if m.name == bare => Some(text),
        _ => None,
    });
    let Some(base) = &host.config.module_path else {
        let why = || format!("module '{shown}' not found: this sandbox has no module_path");
        return embedded.map(|text| text.as_bytes().to_vec()).ok_or_else(why);
    };
    let relative = format!("{}.lua", shown.replace('.', "/"));
    let path = base.join(&relative);
    let mut text = Vec::new();
    match File::open(&path) {
        Ok(file) => {
            file.take(MAX_SOURCE as u64 + 1).read_to_end(&mut text).map_err(|e| format!("module '{shown}': {}: {e}", path.display()))?
        }
        // A file of the user's comes before a module that is built in.
        Err(_) if embedded.is_some() => return Ok(embedded.unwrap_or_default().as_bytes().to_vec()),
        Err(_) => return Err(format!("module '{shown}' not found:\n\tno file '{}'", path.display())),
    };
    source::check(&text).map_err(|r| match r.line {
        Some(line) => format!("{relative}:{line}: {}", r.why),
        None => format!("{relative}: {}", r.why),
    })?;
    let (hash, mut files) = (bytes_hash(&text), host.files.borrow_mut());
    // A script may have forgotten that it loaded the module, any number of times.
    match files.iter_mut().find(|file| file.path == path) {
        Some(known) => known.hash = hash,
        None => files.push(ModuleFile { path, hash }),
    }
    drop(files);
    Ok(text)
}

/// `module(name, ...)` of 5.1: makes a table, a global of that name and the caller's environment.
pub(crate) fn module(lua: Lua) -> c_int {
    let name = lua.check_bytes(1);
    let options = lua.top();
    push_loaded(lua);
    let loaded = lua.top();
    lua.push_value(1);
    if lua.raw_get(loaded) != ffi::LUA_TTABLE {
        lua.pop(1);
        lua.create_table(0, 4);
    }
    let table = lua.top();
    lua.push_value(1);
    lua.push_value(table);
    lua.raw_set(loaded);
    publish(lua, name, table);
    lua.push_value(table);
    lua.set_raw_field(table, "_M");
    lua.push_value(1);
    lua.set_raw_field(table, "_NAME");
    let package = name.len() - name.rsplit(|&b| b == b'.').next().unwrap_or_default().len();
    lua.push_bytes(&name[..package]);
    lua.set_raw_field(table, "_PACKAGE");
    for option in 2..=options {
        lua.push_value(option);
        lua.push_value(table);
        lua.call(1, 0);
    }
    lua.push_value(table);
    if push_running(lua, 1) {
        set_environment(lua);
    }
    0
}

/// Stores the module as a global, one table a part of its name.
fn publish(lua: Lua, name: &[u8], table: c_int) {
    push_globals(lua);
    let mut parts = name.split(|&b| b == b'.').peekable();
    while let Some(part) = parts.next() {
        lua.push_bytes(part);
        if parts.peek().is_none() {
            lua.push_value(table);
            lua.raw_set(-3);
        } else {
            lua.push_value(-1);
            if lua.raw_get(-3) != ffi::LUA_TTABLE {
                lua.pop(1);
                lua.create_table(0, 1);
                lua.push_value(-2);
                lua.push_value(-2);
                lua.raw_set(-5);
            }
            lua.remove(-2);
            lua.remove(-2);
        }
    }
    lua.pop(1);
}

/// The `package` table: `loaded` and `seeall`.
pub(crate) fn open_package(lua: Lua) {
    lua.create_table(0, 2);
    push_loaded(lua);
    lua.set_raw_field(-2, "loaded");
    lua.push_function(lua_function!(see_all));
    lua.set_raw_field(-2, "seeall");
}

fn see_all(lua: Lua) -> c_int {
    lua.check_type(1, ffi::LUA_TTABLE);
    if lua.get_metatable(1) == 0 {
        lua.create_table(0, 1);
        lua.push_value(-1);
        lua.set_metatable(1);
    }
    push_globals(lua);
    lua.set_raw_field(-2, "__index");
    0
}
