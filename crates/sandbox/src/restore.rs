//! Carries a snapshot over into a freshly loaded script.
//!
//! A global that comes back into a table the new script already made is filled into that very
//! table, and so are the tables below it: what the script calls by another name, and the functions
//! and objects it put there, stay.

use std::collections::{HashMap, HashSet};
use std::ffi::c_int;

use mlua::ffi;

use crate::globals::{STATE, push_globals, push_own_state};
use crate::hash::ABSENT;
use crate::native::push_erased;
use crate::snapshot::{MAGIC, VERSION, modules, savable, tag};
use crate::vm::Lua;
use crate::{Failure, FailureKind};

/// What became of the globals of a snapshot, by name, sorted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Carried {
    /// They go on with their old value.
    pub carried: Vec<String>,
    /// They had changed, but begin anew: their initial value was edited, or `_PRESERVATION_VERSION` was.
    pub reset: Vec<String>,
    /// They could not be saved: tables with a metatable, userdata.
    pub unsaved: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value<'a> {
    Nil,
    Bool(bool),
    Integer(i64),
    Number(f64),
    String(&'a [u8]),
    /// Index into the tables.
    Table(usize),
}

struct Entry<'a> {
    name: &'a [u8],
    initial: u64,
    value: Value<'a>,
}

#[derive(Default)]
struct Snapshot<'a> {
    version: i64,
    entries: Vec<Entry<'a>>,
    unsaved: Vec<&'a [u8]>,
    /// Number of the table `state`.
    state: Option<usize>,
    tables: Vec<Table<'a>>,
}

enum Table<'a> {
    Pairs(Vec<(Value<'a>, Value<'a>)>),
    Object { type_: &'a [u8], saved: &'a [u8] },
}

impl<'a> Table<'a> {
    fn pairs(&self) -> &[(Value<'a>, Value<'a>)] {
        match self {
            Table::Pairs(pairs) => pairs,
            Table::Object { .. } => &[],
        }
    }
}

pub(crate) fn restore(lua: Lua, initial: &HashMap<Vec<u8>, u64>, saved: &[u8]) -> Result<Carried, Failure> {
    let Some(snapshot) = parse(saved) else {
        let message = format!("the saved state ({} bytes) is damaged or of another version", saved.len());
        return Err(Failure { kind: FailureKind::State, message });
    };
    let mut task = Restore { snapshot, initial, carried: Carried::default(), modules: HashSet::new(), filled: HashSet::new(), list: 0 };
    lua.protected(&mut task, Restore::run).map_err(|raised| Failure {
        kind: if raised.out_of_memory { FailureKind::Memory } else { FailureKind::State },
        message: format!("the state cannot be restored: {}. Raise memory_limit.", raised.message),
    })?;
    let mut carried = task.carried;
    carried.unsaved = task.snapshot.unsaved.iter().map(|n| text(n)).collect();
    for names in [&mut carried.carried, &mut carried.reset, &mut carried.unsaved] {
        names.sort();
    }
    Ok(carried)
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Owned outside of the protected call, which an error may leave at any point.
struct Restore<'a> {
    snapshot: Snapshot<'a>,
    initial: &'a HashMap<Vec<u8>, u64>,
    carried: Carried,
    modules: HashSet<usize>,
    /// Tables of the new script that a saved one was filled into.
    filled: HashSet<usize>,
    /// Stack index of the list of tables, number n of the snapshot at n + 1.
    list: c_int,
}

impl Restore<'_> {
    fn run(lua: Lua, r: &mut Self) {
        r.modules = modules(lua);
        lua.create_table(0, 0);
        r.list = lua.top();
        push_globals(lua);
        let globals = lua.top();
        lua.raw_field(globals, VERSION);
        let same_version = lua.integer(-1).unwrap_or(0) == r.snapshot.version;
        lua.pop(1);
        let entries = std::mem::take(&mut r.snapshot.entries);
        let (kept, reset): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|e| same_version && r.initial.get(e.name).copied().unwrap_or(ABSENT) == e.initial);
        r.carried.reset = reset.iter().map(|e| text(e.name)).collect();
        drop(reset);
        // From here on Lua may raise, so the entries live in `r`.
        r.snapshot.entries = kept;
        r.state(lua, same_version);
        r.adopt(lua, globals);
        r.fill(lua);
        for n in 0..r.snapshot.entries.len() {
            let (name, value) = (r.snapshot.entries[n].name, r.snapshot.entries[n].value);
            lua.push_bytes(name);
            r.push(lua, value);
            if lua.type_(-1) == ffi::LUA_TNIL && matches!(value, Value::Table(_)) {
                lua.pop(2); // the object that the new script made stays
                r.carried.reset.push(text(name));
                continue;
            }
            lua.raw_set(globals);
            r.carried.carried.push(text(name));
        }
    }

    /// Lets the saved `state` be filled into that of the new script, over what is there.
    fn state(&mut self, lua: Lua, same_version: bool) {
        let Some(n) = self.snapshot.state else { return };
        push_own_state(lua);
        let adopted = same_version && self.adopt_one(lua, n);
        lua.pop(1);
        if !adopted {
            self.snapshot.state = None;
        }
        let names = if adopted { &mut self.carried.carried } else { &mut self.carried.reset };
        names.push(STATE.to_owned());
    }

    /// Finds for each table that is carried the one of the new script it is filled into, if any.
    fn adopt(&mut self, lua: Lua, globals: c_int) {
        for n in 0..self.snapshot.entries.len() {
            if let Value::Table(table) = self.snapshot.entries[n].value {
                lua.push_bytes(self.snapshot.entries[n].name);
                lua.raw_get(globals);
                self.adopt_one(lua, table);
                lua.pop(1);
            }
        }
        // In order of their numbers every table comes after one that refers to it, unless
        // references go in circles; those beyond are made anew.
        for n in 0..self.snapshot.tables.len() {
            if lua.raw_geti(self.list, n as i64 + 1) == ffi::LUA_TTABLE {
                for pair in 0..self.snapshot.tables[n].pairs().len() {
                    if let (key, Value::Table(child)) = self.snapshot.tables[n].pairs()[pair]
                        && !matches!(key, Value::Table(_))
                    {
                        self.push(lua, key);
                        lua.raw_get(-2);
                        self.adopt_one(lua, child);
                        lua.pop(1);
                    }
                }
                if self.snapshot.state != Some(n) {
                    self.clear(lua);
                }
            }
            lua.pop(1);
        }
    }

    /// Lets the saved table `n` be filled into the value on top of the stack, if that is a plain
    /// table and neither is taken.
    fn adopt_one(&mut self, lua: Lua, n: usize) -> bool {
        if matches!(self.snapshot.tables[n], Table::Object { .. })
            || !lua.is_table(-1)
            || !savable(lua, lua.top(), &self.modules)
            || self.filled.contains(&(lua.to_pointer(-1) as usize))
        {
            return false;
        }
        let taken = lua.raw_geti(self.list, n as i64 + 1) != ffi::LUA_TNIL;
        lua.pop(1);
        if !taken {
            self.filled.insert(lua.to_pointer(-1) as usize);
            lua.push_value(-1);
            lua.raw_seti(self.list, n as i64 + 1);
        }
        !taken
    }

    /// Removes from the table on top of the stack what a snapshot would hold of it.
    fn clear(&self, lua: Lua) {
        let table = lua.top();
        lua.push_nil();
        while lua.next(table) != 0 {
            let keep = !savable(lua, lua.top(), &self.modules);
            lua.pop(1);
            if !keep {
                lua.push_value(-1);
                lua.push_nil();
                lua.raw_set(table);
            }
        }
    }

    fn fill(&mut self, lua: Lua) {
        for n in 0..self.snapshot.tables.len() as i64 {
            if lua.raw_geti(self.list, n + 1) == ffi::LUA_TNIL {
                match self.snapshot.tables[n as usize] {
                    Table::Pairs(_) => lua.create_table(0, 0),
                    // What cannot be made any more is false in the list, and nil where it was.
                    Table::Object { type_, saved } if push_erased(lua, type_, saved) => {}
                    Table::Object { .. } => lua.push_bool(false),
                }
                lua.raw_seti(self.list, n + 1);
            }
            lua.pop(1);
        }
        for n in 0..self.snapshot.tables.len() {
            lua.raw_geti(self.list, n as i64 + 1);
            for pair in 0..self.snapshot.tables[n].pairs().len() {
                let (key, value) = self.snapshot.tables[n].pairs()[pair];
                self.push(lua, key);
                self.push(lua, value);
                if lua.type_(-2) == ffi::LUA_TNIL {
                    lua.pop(2);
                } else {
                    lua.raw_set(-3);
                }
            }
            lua.pop(1);
        }
    }

    fn push(&self, lua: Lua, value: Value<'_>) {
        match value {
            Value::Nil => lua.push_nil(),
            Value::Bool(b) => lua.push_bool(b),
            Value::Integer(n) => lua.push_integer(n),
            Value::Number(x) => lua.push_number(x),
            Value::String(s) => lua.push_bytes(s),
            Value::Table(n) => {
                if lua.raw_geti(self.list, n as i64 + 1) == ffi::LUA_TBOOLEAN {
                    lua.pop(1);
                    lua.push_nil();
                }
            }
        }
    }
}

/// Reads a snapshot; nothing when it is none. What it holds is in proportion to its bytes.
fn parse(saved: &[u8]) -> Option<Snapshot<'_>> {
    let mut r = Reader(saved.strip_prefix(MAGIC)?);
    let mut snapshot = Snapshot { version: r.signed()?, ..Snapshot::default() };
    loop {
        match r.byte()? {
            tag::END => break,
            tag::CARRY => {
                let name = r.bytes()?;
                let initial = u64::from_le_bytes(r.take(8)?.try_into().ok()?);
                snapshot.entries.push(Entry { name, initial, value: r.value()? });
            }
            tag::UNSAVED => snapshot.unsaved.push(r.bytes()?),
            tag::STATE => {
                let Value::Table(n) = r.value()? else { return None };
                snapshot.state = Some(n);
            }
            _ => return None,
        }
    }
    while !r.0.is_empty() {
        if r.0.first() == Some(&tag::OBJECT) {
            r.byte()?;
            snapshot.tables.push(Table::Object { type_: r.bytes()?, saved: r.bytes()? });
            continue;
        }
        let mut pairs = Vec::new();
        while *r.0.first()? != tag::LAST_PAIR {
            let (key, value) = (r.value()?, r.value()?);
            let bad_key = matches!(key, Value::Nil) || matches!(key, Value::Number(x) if x.is_nan());
            if bad_key {
                return None;
            }
            pairs.push((key, value));
        }
        r.byte()?;
        snapshot.tables.push(Table::Pairs(pairs));
    }
    let known = |v: &Value<'_>| !matches!(v, Value::Table(n) if *n >= snapshot.tables.len());
    let whole = snapshot.entries.iter().all(|e| known(&e.value))
        && snapshot.tables.iter().flat_map(Table::pairs).all(|(k, v)| known(k) && known(v));
    let whole = whole && snapshot.state.is_none_or(|n| n < snapshot.tables.len());
    whole.then_some(snapshot)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            n |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Some(n);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let n = self.unsigned()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.unsigned()?).ok()?;
        self.take(len)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        Some(match self.byte()? {
            tag::NIL => Value::Nil,
            tag::FALSE => Value::Bool(false),
            tag::TRUE => Value::Bool(true),
            tag::INTEGER => Value::Integer(self.signed()?),
            tag::NUMBER => Value::Number(f64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            tag::STRING => Value::String(self.bytes()?),
            tag::TABLE => Value::Table(usize::try_from(self.unsigned()?.checked_sub(1)?).ok()?),
            _ => return None,
        })
    }
}
