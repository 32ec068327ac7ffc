//! A snapshot of what the script's globals hold.
//!
//! Kept are booleans, numbers, strings and plain tables, with shared and circular references.
//! Also kept are the objects of native modules that can be saved. Functions are the script's and come
//! back with it. Tables with a metatable, other userdata and loaded modules are left out; where such
//! a value is a global its name is reported as unsaved.
//!
//! Format, integers as LEB128 and signed ones zigzag first:
//!
//! ```text
//! "NLST" 0x01, value of _PRESERVATION_VERSION (signed)
//! entries: 1 name, hash of the initial value (8 bytes, little endian), value
//!          2 name                                 a global that cannot be saved
//!          3 value                                the table `state`
//!          0                                      end
//! tables:  in order of their numbers from 1: pairs of values, each list ended by 0xff; or, of an
//!          object, 7, length and bytes of its type's name, length and bytes of what it saved
//! value:   0 nil | 1 false | 2 true | 3 signed | 4 IEEE double, little endian | 5 length, bytes
//!          6 number of a table or object
//! ```

use std::collections::{HashMap, HashSet};
use std::ffi::c_int;

use mlua::ffi;

use crate::globals::{STATE, push_globals, push_state};
use crate::hash::{ABSENT, ValueHash};
use crate::native::object_at;
use crate::require::push_loaded;
use crate::vm::Lua;
use crate::{Failure, FailureKind};

pub(crate) const MAGIC: &[u8] = b"NLST\x01";
pub(crate) const VERSION: &str = "_PRESERVATION_VERSION";

pub(crate) mod tag {
    pub const END: u8 = 0;
    pub const CARRY: u8 = 1;
    pub const UNSAVED: u8 = 2;
    pub const STATE: u8 = 3;
    pub const NIL: u8 = 0;
    pub const FALSE: u8 = 1;
    pub const TRUE: u8 = 2;
    pub const INTEGER: u8 = 3;
    pub const NUMBER: u8 = 4;
    pub const STRING: u8 = 5;
    pub const TABLE: u8 = 6;
    pub const OBJECT: u8 = 7;
    pub const LAST_PAIR: u8 = 0xff;
}

/// Saves the globals that have changed since `initial` was taken.
pub(crate) fn save(lua: Lua, initial: &HashMap<Vec<u8>, u64>, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut saver = Saver {
        out: MAGIC.to_vec(),
        numbers: HashMap::new(),
        modules: HashSet::new(),
        initial,
        hasher: ValueHash::default(),
        limit,
        over: false,
        list: 0,
    };
    let fail = |kind, message| Err(Failure { kind, message });
    match lua.protected(&mut saver, Saver::run) {
        Err(raised) if raised.out_of_memory => {
            fail(FailureKind::Memory, "not enough memory to save the state. Raise memory_limit or keep less.".into())
        }
        Err(raised) => fail(FailureKind::State, format!("the state cannot be saved: {}", raised.message)),
        Ok(()) if saver.over => fail(
            FailureKind::State,
            format!("the state takes more than the {limit} bytes allowed. Raise state_limit or keep less in globals."),
        ),
        Ok(()) => Ok(saver.out),
    }
}

/// Owned outside of the protected call, which an error may leave at any point.
struct Saver<'a> {
    out: Vec<u8>,
    /// Number of each table seen, by address.
    numbers: HashMap<usize, i64>,
    modules: HashSet<usize>,
    initial: &'a HashMap<Vec<u8>, u64>,
    hasher: ValueHash,
    limit: usize,
    over: bool,
    /// Stack index of the list of tables by number.
    list: c_int,
}

impl Saver<'_> {
    fn run(lua: Lua, s: &mut Self) {
        s.modules = modules(lua);
        lua.create_table(0, 0);
        s.list = lua.top();
        push_globals(lua);
        let globals = lua.top();
        lua.raw_field(globals, VERSION);
        let version = lua.integer(-1).unwrap_or(0);
        lua.pop(1);
        signed(version, &mut s.out);
        lua.push_nil();
        while lua.next(globals) != 0 {
            s.global(lua);
            lua.pop(1);
        }
        s.deleted(lua, globals);
        s.state(lua);
        s.out.push(tag::END);
        s.tables(lua);
    }

    /// Writes the entry of the global whose name and value are on top of the stack.
    fn global(&mut self, lua: Lua) {
        let Some(name) = lua.bytes(-2) else { return };
        if name == VERSION.as_bytes() || self.over {
            return;
        }
        let value = lua.top();
        if !savable(lua, value, &self.modules) {
            let is_module = self.modules.contains(&(lua.to_pointer(value) as usize));
            if lua.type_(value) != ffi::LUA_TFUNCTION && !is_module {
                self.out.push(tag::UNSAVED);
                bytes(name, &mut self.out);
            }
            return;
        }
        let initial = self.initial.get(name).copied().unwrap_or(ABSENT);
        if unchanged(&mut self.hasher, lua, value, initial) {
            return;
        }
        self.entry(name, initial);
        self.value(lua, value);
    }

    /// Writes the table `state`, if the script has put anything there.
    fn state(&mut self, lua: Lua) {
        if !push_state(lua) {
            return;
        }
        let state = lua.top();
        if !savable(lua, state, &self.modules) {
            self.out.push(tag::UNSAVED);
            bytes(STATE.as_bytes(), &mut self.out);
        } else {
            lua.push_nil();
            if lua.next(state) != 0 {
                self.out.push(tag::STATE);
                self.value(lua, state);
            }
        }
        lua.set_top(state - 1);
    }

    fn entry(&mut self, name: &[u8], initial: u64) {
        self.out.push(tag::CARRY);
        bytes(name, &mut self.out);
        self.out.extend_from_slice(&initial.to_le_bytes());
    }

    /// Globals that were there after loading and are no more have changed, too.
    fn deleted(&mut self, lua: Lua, globals: c_int) {
        let initial = self.initial;
        for (name, hash) in initial {
            lua.push_bytes(name);
            if lua.raw_get(globals) == ffi::LUA_TNIL && name != VERSION.as_bytes() {
                self.entry(name, *hash);
                self.out.push(tag::NIL);
            }
            lua.pop(1);
        }
    }

    fn tables(&mut self, lua: Lua) {
        let mut n = 1;
        while n <= self.numbers.len() as i64 && !self.over {
            lua.raw_geti(self.list, n);
            n += 1;
            let table = lua.top();
            if self.object(lua, table) {
                lua.pop(1);
                continue;
            }
            lua.push_nil();
            while lua.next(table) != 0 {
                let (key, value) = (lua.top() - 1, lua.top());
                if savable(lua, key, &self.modules) && savable(lua, value, &self.modules) {
                    self.value(lua, key);
                    self.value(lua, value);
                }
                lua.pop(1);
                if self.over {
                    return;
                }
            }
            self.out.push(tag::LAST_PAIR);
            lua.pop(1);
        }
    }

    /// Writes an object, if that is what the value is. Does not raise.
    fn object(&mut self, lua: Lua, index: c_int) -> bool {
        let Some(object) = object_at(lua, index) else { return false };
        let mut saved = Vec::new();
        object.save(&mut saved);
        self.out.push(tag::OBJECT);
        bytes(object.name().as_bytes(), &mut self.out);
        bytes(&saved, &mut self.out);
        self.over |= self.out.len() > self.limit;
        true
    }

    /// Writes a savable value; of a table its number, for the first time also noting the table.
    fn value(&mut self, lua: Lua, index: c_int) {
        match lua.type_(index) {
            ffi::LUA_TBOOLEAN => self.out.push(if lua.boolean(index) { tag::TRUE } else { tag::FALSE }),
            ffi::LUA_TNUMBER if lua.is_integer(index) => {
                self.out.push(tag::INTEGER);
                signed(lua.integer(index).unwrap_or_default(), &mut self.out);
            }
            ffi::LUA_TNUMBER => {
                self.out.push(tag::NUMBER);
                self.out.extend_from_slice(&lua.number(index).unwrap_or_default().to_le_bytes());
            }
            ffi::LUA_TSTRING => {
                let text = lua.bytes(index).unwrap_or_default();
                if self.out.len() + text.len() <= self.limit {
                    self.out.push(tag::STRING);
                    bytes(text, &mut self.out);
                } else {
                    self.over = true;
                }
            }
            _ => {
                let next = self.numbers.len() as i64 + 1;
                let number = *self.numbers.entry(lua.to_pointer(index) as usize).or_insert(next);
                if number == next {
                    lua.push_value(index);
                    lua.raw_seti(self.list, number);
                }
                self.out.push(tag::TABLE);
                unsigned(number as u64, &mut self.out);
            }
        }
        self.over |= self.out.len() > self.limit;
    }
}

/// Whether a value surely is what it was. Does not raise.
fn unchanged(hasher: &mut ValueHash, lua: Lua, index: c_int, initial: u64) -> bool {
    hasher.of(lua, index) == initial && !hasher.vague
}

/// The addresses of the tables of loaded modules. Raises when out of memory.
pub(crate) fn modules(lua: Lua) -> HashSet<usize> {
    push_loaded(lua);
    let mut found = HashSet::new(); // nothing below raises
    lua.push_nil();
    while lua.next(-2) != 0 {
        if lua.is_table(-1) {
            found.insert(lua.to_pointer(-1) as usize);
        }
        lua.pop(1);
    }
    lua.pop(1);
    found
}

/// Whether a value can be saved. Does not raise.
pub(crate) fn savable(lua: Lua, index: c_int, modules: &HashSet<usize>) -> bool {
    match lua.type_(index) {
        ffi::LUA_TBOOLEAN | ffi::LUA_TNUMBER | ffi::LUA_TSTRING => true,
        ffi::LUA_TTABLE => {
            let plain = lua.get_metatable(index) == 0;
            if !plain {
                lua.pop(1);
            }
            plain && !modules.contains(&(lua.to_pointer(index) as usize))
        }
        ffi::LUA_TUSERDATA => object_at(lua, index).is_some_and(|o| o.is_saved()),
        _ => false,
    }
}

fn unsigned(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn signed(n: i64, out: &mut Vec<u8>) {
    unsigned(((n << 1) ^ (n >> 63)) as u64, out);
}

fn bytes(b: &[u8], out: &mut Vec<u8>) {
    unsigned(b.len() as u64, out);
    out.extend_from_slice(b);
}
