//! What an input or output may be granted: files, the environment, and other programs.
//!
//! What is not granted is there in name only: to use it is an error that names the option.

use std::ffi::{c_int, c_void};
use std::ptr;

use mlua::ffi::{self, lua_upvalueindex};

use crate::api::reference::extend_write;
use crate::host::Host;
use crate::vm::{Lossy, Lua, REGISTRY, lua_function};
use crate::{Api, Family, Grants};

/// Functions of `os` that are to be granted: the first by `exec`, the others by `io`.
const OS: [&str; 5] = ["execute", "getenv", "remove", "rename", "tmpname"];

/// Whether a function is granted, and by which option; nothing for what no option grants.
fn granted(grants: Grants, library: &[u8], name: &[u8]) -> Option<(bool, &'static str)> {
    match (library, name) {
        (b"io", b"popen") => Some((grants.io && grants.exec, if grants.io { "exec" } else { "io" })),
        (b"io", _) => Some((grants.io, "io")),
        (_, b"execute") => Some((grants.exec, "exec")),
        _ => OS.iter().any(|n| n.as_bytes() == name).then_some((grants.io, "io")),
    }
}

/// Whether files may be granted to a sandbox of this family at all.
pub(crate) fn may_have_files(host: &Host) -> bool {
    matches!(host.config.family, Family::Input | Family::Output)
}

/// Pushes the `io` library as far as it is granted; nil for a family that is granted none. Raises when out of memory.
pub(crate) fn open_io(lua: Lua) {
    let host = lua.host();
    if !may_have_files(host) {
        return lua.push_nil();
    }
    if host.config.grants.io {
        lua.push_function(ffi::luaopen_io);
        lua.call(0, 1);
        protect_files(lua);
        if host.config.api == Api::Hindsight {
            extend_write(lua);
        }
        if !host.config.grants.exec {
            lua.push_nil();
            lua.set_raw_field(-2, "popen");
        }
    } else {
        lua.create_table(0, 0);
    }
    refuse_the_rest(lua, "io");
}

/// Adds what is granted of the whole `os` library at this index to the table on top of the stack. Raises when out of memory.
pub(crate) fn extend_os(lua: Lua, os: c_int) {
    let host = lua.host();
    if !may_have_files(host) {
        return;
    }
    for name in OS {
        if granted(host.config.grants, b"os", name.as_bytes()).is_some_and(|(yes, _)| yes) {
            lua.raw_field(os, name);
            lua.set_raw_field(-2, name);
        }
    }
    refuse_the_rest(lua, "os");
}

/// Scripts must not get at the metatable of files: it has their finaliser. Ours remembers it.
fn protect_files(lua: Lua) {
    lua.raw_field(REGISTRY, "FILE*");
    if lua.host().config.api == Api::Hindsight {
        lua.raw_field(-1, "__index");
        extend_write(lua);
        lua.pop(1);
    }
    lua.push_bool(false);
    lua.set_raw_field(-2, "__metatable");
    lua.raw_setp(REGISTRY, file_key());
}

static FILE: u8 = 0;

fn file_key() -> *const c_void {
    ptr::from_ref(&FILE).cast()
}

/// Makes the library on top of the stack say why a function is missing.
fn refuse_the_rest(lua: Lua, library: &str) {
    lua.create_table(0, 2);
    lua.push_bytes(library.as_bytes());
    lua.push_closure(lua_function!(refuse), 1);
    lua.set_raw_field(-2, "__index");
    lua.push_bool(false);
    lua.set_raw_field(-2, "__metatable");
    lua.set_metatable(-2);
}

/// `__index` of a library that is granted in part.
fn refuse(lua: Lua) -> c_int {
    let library = lua.bytes(lua_upvalueindex(1)).unwrap_or_default();
    let Some(name) = lua.bytes(2) else { return 0 };
    match granted(lua.host().config.grants, library, name) {
        Some((false, option)) => lua.raise(format_args!(
            "{}.{} is not granted to this script: allow = [\"{option}\"] grants it",
            Lossy(library),
            Lossy(&name[..name.len().min(60)])
        )),
        _ => 0,
    }
}

/// `luaL_Stream` of lauxlib.h
#[repr(C)]
struct LuaFile {
    file: *mut libc::FILE,
    close: Option<ffi::lua_CFunction>,
}

/// The C file of an open Lua file at this index. Neither allocates nor raises.
pub(crate) fn file(lua: Lua, index: c_int) -> Option<*mut libc::FILE> {
    if lua.type_(index) != ffi::LUA_TUSERDATA || !lua.reserve(2) || lua.get_metatable(index) == 0 {
        return None;
    }
    lua.raw_getp(REGISTRY, file_key());
    let same = lua.is_table(-1) && lua.to_pointer(-1) == lua.to_pointer(-2);
    lua.pop(2);
    if !same {
        return None;
    }
    // SAFETY: only `luaopen_io` gives userdata this metatable, and they are such. A file that was closed has no closing function.
    let stream = unsafe { lua.to_userdata(index).cast::<LuaFile>().as_ref()? };
    stream.close.map(|_| stream.file)
}
