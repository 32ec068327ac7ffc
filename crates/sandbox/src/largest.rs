//! What takes the room: the largest table or string that a script holds on to, by name.
//!
//! It is looked for once memory has run out, so the search allocates nothing in Lua and raises
//! nothing: it goes from the globals through tables, and through functions to the locals they keep.

use std::collections::HashSet;
use std::ffi::{CStr, c_int};
use std::fmt::Write;

use mlua::ffi;

use crate::explain::{escaped, grouped};
use crate::globals::push_globals;
use crate::vm::Lua;

/// Entries looked at, in all.
const MAX_STEPS: usize = 200_000;
/// Tables and functions below the globals; each level takes two places on a stack that has 20 for sure.
const MAX_DEPTH: usize = 6;
/// Bytes of an entry, about: 16 in an array, 40 in the rest at two thirds full.
const ENTRY: usize = 32;
/// What is smaller than this share of the memory explains nothing.
const SHARE: usize = 16;

/// ``The largest table is `seen` with 81,203 entries.`` Nothing when no table or string takes a good part of
/// these bytes.
pub(crate) fn largest(lua: Lua, memory: usize) -> Option<String> {
    let top = lua.top();
    push_globals(lua);
    let mut search = Search { lua, known: HashSet::new(), steps: MAX_STEPS, path: Vec::new(), best: None };
    search.known.insert(lua.to_pointer(-1).addr());
    search.children(Holder::Table(lua.top()), 0);
    lua.set_top(top);
    search.best.filter(|b| b.bytes >= memory / SHARE).map(|b| b.text)
}

struct Found {
    bytes: usize,
    text: String,
}

/// Something with values in it, at a place of the stack.
#[derive(Clone, Copy)]
enum Holder {
    Table(c_int),
    Function(c_int),
}

/// One step from the globals to a value.
enum Step {
    /// The key at this place of the stack.
    Key(c_int),
    Local(&'static CStr),
}

struct Search {
    lua: Lua,
    known: HashSet<usize>,
    steps: usize,
    path: Vec<Step>,
    best: Option<Found>,
}

impl Search {
    /// First how large each value is, then what is in it: a large one early does not hide a larger one late.
    fn children(&mut self, holder: Holder, depth: usize) {
        self.each(holder, Search::weigh);
        if depth < MAX_DEPTH {
            self.each(holder, |search| {
                let (at, lua) = (search.lua.top(), search.lua);
                let holder = match lua.type_(at) {
                    ffi::LUA_TTABLE => Holder::Table(at),
                    ffi::LUA_TFUNCTION if lua.c_function(at).is_none() => Holder::Function(at),
                    _ => return,
                };
                if search.known.insert(lua.to_pointer(at).addr()) {
                    search.children(holder, depth + 1);
                }
            });
        }
    }

    /// Calls with each value of a holder on top of the stack and the way to it in `path`.
    fn each(&mut self, holder: Holder, mut visit: impl FnMut(&mut Search)) {
        let lua = self.lua;
        match holder {
            Holder::Table(at) => {
                lua.push_nil();
                while self.step() && lua.next(at) != 0 {
                    self.path.push(Step::Key(lua.top() - 1));
                    visit(self);
                    self.path.pop();
                    lua.pop(1);
                }
                lua.set_top(at);
            }
            Holder::Function(at) => {
                for n in 1..=255 {
                    // SAFETY: live state, a function; neither allocates nor raises. The name lives as long as the function.
                    let name = unsafe { ffi::lua_getupvalue(lua.raw(), at, n) };
                    if name.is_null() || !self.step() {
                        break;
                    }
                    // SAFETY: Lua's names are strings, and of a function that is reachable during the search.
                    self.path.push(Step::Local(unsafe { CStr::from_ptr(name) }));
                    visit(self);
                    self.path.pop();
                    lua.set_top(at);
                }
                lua.set_top(at);
            }
        }
    }

    fn step(&mut self) -> bool {
        self.steps = self.steps.saturating_sub(1);
        self.steps > 0
    }

    /// Looks at the value on top of the stack.
    fn weigh(&mut self) {
        if let Some(text) = self.lua.bytes(-1) {
            let len = text.len();
            self.compare(len, |name| format!("The longest string is {name} with {} bytes.", grouped(len)));
        } else if self.lua.is_table(-1) {
            let at = self.lua.top();
            let mut entries = 0;
            self.each(Holder::Table(at), |_| entries += 1);
            let over = if self.steps == 0 { "over " } else { "" };
            self.compare(entries * ENTRY, |name| format!("The largest table is {name} with {over}{} entries.", grouped(entries)));
        }
    }

    fn compare(&mut self, bytes: usize, tell: impl Fn(&str) -> String) {
        if bytes > self.best.as_ref().map_or(0, |b| b.bytes) {
            let text = tell(&self.name());
            self.best = Some(Found { bytes, text });
        }
    }

    /// The path as it would be written: `` `state.seen[3]` ``. A local is named by itself.
    fn name(&self) -> String {
        let locals = self.path.iter().rposition(|s| matches!(s, Step::Local(_)));
        let mut name = String::from(if locals.is_some() { "the local `" } else { "`" });
        for (n, step) in self.path[locals.unwrap_or(0)..].iter().enumerate() {
            // Writing to memory does not fail.
            let _ = match step {
                Step::Local(text) => write!(name, "{}", text.to_string_lossy()),
                Step::Key(at) => match (self.lua.bytes(*at), self.lua.integer(*at)) {
                    (Some(text), _) if is_identifier(text) => {
                        write!(name, "{}{}", if n > 0 { "." } else { "" }, String::from_utf8_lossy(text))
                    }
                    (Some(text), _) => write!(name, "[{}]", escaped(text, 40)),
                    (None, Some(n)) => write!(name, "[{n}]"),
                    (None, None) => write!(name, "[…]"),
                },
            };
        }
        name.push('`');
        name
    }
}

fn is_identifier(text: &[u8]) -> bool {
    text.first().is_some_and(|b| !b.is_ascii_digit()) && text.len() <= 60 && text.iter().all(|b| *b == b'_' || b.is_ascii_alphanumeric())
}
