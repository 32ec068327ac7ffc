//! Running a line in a script's sandbox, as a prompt does.

use std::ffi::{c_char, c_int};
use std::fmt::Write;

use message::MessageRef;
use mlua::ffi;

use super::{Inject, Sandbox, explain};
use crate::failure::Entry;
use crate::host::Current;
use crate::vm::{Lossy, Lua, Raised};
use crate::{Failure, FailureKind, source};

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evaluated {
    /// Its values as Lua would write them; none for a statement.
    Values(Vec<String>),
    /// It is the beginning of something: more lines have to follow.
    Incomplete,
}

/// How deep tables are shown, and how many entries of each.
const DEPTH: usize = 4;
const ENTRIES: usize = 64;
/// Bytes of one value shown.
const ROOM: usize = 8 << 10;

impl Sandbox {
    /// Runs an expression or statements among the script's globals, under the limits of a `timer_event`.
    /// `read_message` reads the message given.
    ///
    /// # Errors
    /// It does not compile, raises an error or breaks a limit.
    pub fn evaluate(&mut self, chunk: &str, message: Option<MessageRef<'_>>, inject: &mut Inject<'_>) -> Result<Evaluated, Failure> {
        let failure = |message| Failure { kind: FailureKind::Error, message };
        source::check(chunk.as_bytes()).map_err(|refused| failure(refused.why))?;
        let lua = self.state.lua;
        if let Err(as_expression) = compile(lua, &format!("return {chunk}"))
            && let Err(raised) = compile(lua, chunk)
        {
            let is_open = [&as_expression, &raised].iter().any(|e| e.message.ends_with("<eof>"));
            return if is_open { Ok(Evaluated::Incomplete) } else { Err(failure(explain(raised.message))) };
        }
        let current = match message {
            // SAFETY: only the lifetime changes; `call` forgets the message before it returns.
            Some(m) => Current::Read(unsafe { std::mem::transmute::<MessageRef<'_>, MessageRef<'static>>(m) }),
            None => Current::None,
        };
        let max = self.state.host.config.limits.timer_inject;
        self.call(current, inject.builder.messages(), inject.now_ns, max, |s| {
            s.state.run(Entry::Evaluate, 0, ffi::LUA_MULTRET)?;
            let values = (2..=lua.top()).map(|index| shown(lua, index)).collect();
            lua.set_top(1);
            Ok(Evaluated::Values(values))
        })
    }
}

/// Compiles and leaves the function on the stack.
fn compile(lua: Lua, text: &str) -> Result<(), Raised> {
    // SAFETY: live state, valid text and name. Loading reports errors, it does not raise.
    match unsafe { ffi::luaL_loadbufferx(lua.raw(), text.as_ptr().cast::<c_char>(), text.len(), c"=input".as_ptr(), c"t".as_ptr()) } {
        ffi::LUA_OK => Ok(()),
        status => Err(lua.take_error(status)),
    }
}

/// A value as Lua would write it. Reads past metamethods, so that nothing raises.
fn shown(lua: Lua, index: c_int) -> String {
    let mut out = String::new();
    show(lua, index, 0, &mut out);
    out
}

fn show(lua: Lua, index: c_int, depth: usize, out: &mut String) {
    // Writing to a string does not fail.
    let _ = match lua.type_(index) {
        ffi::LUA_TNIL => write!(out, "nil"),
        ffi::LUA_TBOOLEAN => write!(out, "{}", lua.boolean(index)),
        ffi::LUA_TNUMBER if lua.is_integer(index) => write!(out, "{}", lua.integer(index).unwrap_or_default()),
        ffi::LUA_TNUMBER => write!(out, "{:?}", lua.number(index).unwrap_or_default()),
        ffi::LUA_TSTRING => write!(out, "{}", quoted(lua.bytes(index).unwrap_or_default())),
        ffi::LUA_TTABLE if depth < DEPTH && lua.reserve(8) => {
            table(lua, index, depth, out);
            Ok(())
        }
        ffi::LUA_TTABLE => write!(out, "{{…}}"),
        _ => write!(out, "{}: {:p}", lua.type_name(index), lua.to_pointer(index)),
    };
}

fn table(lua: Lua, index: c_int, depth: usize, out: &mut String) {
    let index = lua.absolute(index);
    let listed = lua.raw_len(index) as i64;
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut list: Vec<String> = Vec::new();
    let mut more = false;
    for n in 1..=listed {
        more |= list.len() >= ENTRIES;
        if more || out.len() > ROOM {
            break;
        }
        lua.raw_geti(index, n);
        let mut value = String::new();
        show(lua, -1, depth + 1, &mut value);
        list.push(value);
        lua.pop(1);
    }
    lua.push_nil();
    while lua.next(index) != 0 {
        let in_list = lua.is_integer(-2) && lua.integer(-2).is_some_and(|n| (1..=listed).contains(&n));
        if !in_list && entries.len() >= ENTRIES {
            more = true;
            lua.pop(2);
            break;
        }
        if !in_list {
            let (mut key, mut value) = (String::new(), String::new());
            match lua.bytes(-2).filter(|k| is_name(k)) {
                Some(name) => key.push_str(&Lossy(name).to_string()),
                None => {
                    show(lua, -2, DEPTH, &mut key);
                    key = format!("[{key}]");
                }
            }
            show(lua, -1, depth + 1, &mut value);
            entries.push((key, value));
        }
        lua.pop(1);
    }
    entries.sort();
    list.extend(entries.into_iter().map(|(key, value)| format!("{key} = {value}")));
    list.extend(more.then(|| "…".to_string()));
    out.push('{');
    out.push_str(&list.join(", "));
    out.push('}');
    if out.len() > ROOM {
        out.truncate(out.floor_char_boundary(ROOM));
        out.push('…');
    }
}

fn is_name(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|b| !b.is_ascii_digit()) && bytes.iter().all(|b| *b == b'_' || b.is_ascii_alphanumeric())
}

fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if c.is_control() => {
                    let _ = write!(out, "\\u{{{:x}}}", c as u32);
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out + "\""
}
