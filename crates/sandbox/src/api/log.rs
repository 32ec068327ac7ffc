//! `log`: lines for the host's log, with a level.

use std::ffi::c_int;
use std::fmt;

use mlua::ffi;

use super::HOST;
use crate::globals::library_key;
use crate::host::Host;
use crate::vm::{Lua, REGISTRY};

/// Lines kept until the host takes them, and bytes of a line; what is beyond is counted or cut.
const MAX_LINES: usize = 32;
pub(super) const MAX_LINE: usize = 512;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// A line that a script logged, or printed: that is [`Level::Info`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    pub level: Level,
    pub text: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Pushes the table `log`, of the functions listed as `log.NAME`.
pub(crate) fn open(lua: Lua) {
    lua.create_table(0, 4);
    for function in HOST {
        if let Some(name) = function.name.strip_prefix("log.") {
            function.push(lua);
            lua.set_raw_field(-2, name);
        }
    }
}

pub(super) fn debug(lua: Lua) -> c_int {
    write(lua, Level::Debug)
}

pub(super) fn info(lua: Lua) -> c_int {
    write(lua, Level::Info)
}

pub(super) fn warn(lua: Lua) -> c_int {
    write(lua, Level::Warn)
}

pub(super) fn error(lua: Lua) -> c_int {
    write(lua, Level::Error)
}

/// `(value)`, or `(format, ...)` as `string.format` has it.
fn write(lua: Lua, level: Level) -> c_int {
    if lua.type_(1) == ffi::LUA_TNONE {
        lua.bad_argument(1, c"value expected");
    }
    let host = lua.host();
    if is_full(host) {
        return 0;
    }
    if lua.top() > 1 {
        lua.raw_getp(REGISTRY, library_key());
        lua.raw_field(-1, "string");
        lua.push_bytes(b"format");
        lua.get_table(-2);
        lua.insert(1);
        lua.pop(2);
        lua.call(lua.top() - 1, 1);
    }
    lua.push_text_of(-1);
    keep(host, level, lua.bytes(-1).unwrap_or_default());
    0
}

/// Whether no more lines are kept; then the one that comes counts as dropped.
pub(super) fn is_full(host: &Host) -> bool {
    let full = host.log.borrow().len() >= MAX_LINES;
    if full {
        host.log_dropped.set(host.log_dropped.get() + 1);
    }
    full
}

/// Keeps a line for the host; what is too long is cut. Does not raise.
pub(super) fn keep(host: &Host, level: Level, text: &[u8]) {
    let text = String::from_utf8_lossy(&text[..text.len().min(MAX_LINE)]).into_owned();
    host.log.borrow_mut().push(LogLine { level, text });
}
