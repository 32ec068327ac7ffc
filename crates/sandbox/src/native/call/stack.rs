//! The stack of a call: what results are built on, tables among them.

use std::ffi::c_int;

use mlua::ffi;

use super::super::{Error, NativeFn, push_function};
use super::{Call, SLACK, Slot, Value, read};
use crate::vm::Lua;

impl Call<'_> {
    // ---- stack

    /// The value in a slot; its text lives until the stack changes.
    pub fn value(&self, slot: Slot) -> Value<'_> {
        read(self.lua, slot.0)
    }

    /// How high the stack is: `slot(height())` is the top.
    pub fn height(&self) -> usize {
        self.lua.top() as usize
    }

    pub fn top(&self) -> Slot {
        Slot(self.lua.top())
    }

    /// Drops values off the stack, down to the arguments at most.
    pub fn pop(&mut self, n: usize) {
        let top = self.lua.top() - (n as c_int).max(0);
        self.lua.set_top(top.max(self.error_slot()));
    }

    /// Drops what lies above a slot.
    pub fn truncate(&mut self, slot: Slot) {
        self.lua.set_top(slot.0.clamp(self.error_slot(), self.lua.top()));
    }

    /// Pops a value and puts it into a slot above the arguments.
    pub fn replace(&mut self, slot: Slot) {
        if slot.0 > self.error_slot() && slot.0 < self.lua.top() {
            self.lua.replace(slot.0);
        }
    }

    /// Takes a value out of the stack above the arguments; those above it move down.
    pub fn remove(&mut self, slot: Slot) {
        if slot.0 > self.error_slot() && slot.0 <= self.lua.top() {
            self.lua.remove(slot.0);
        }
    }

    /// Takes so many values from a slot above the arguments on out of the stack, in one go.
    pub fn remove_range(&mut self, slot: Slot, n: usize) {
        let top = self.lua.top();
        if let Ok(n @ 1..) = c_int::try_from(n)
            && slot.0 > self.error_slot()
            && n <= top - slot.0 + 1
        {
            self.lua.rotate(slot.0, -n);
            self.lua.pop(n);
        }
    }

    /// Pops a value and keeps it for this script under a name of the module's own.
    pub fn keep(&mut self, name: &'static str) -> Result<(), Error> {
        if self.lua.top() <= self.error_slot() {
            return Err(Error::message("a value was expected on the stack"));
        }
        self.reserve()?;
        let need = 2 * self.memory().current() + SLACK;
        self.guarded(need, 1, 0, name, |lua, name| lua.raw_setp(crate::vm::REGISTRY, name.as_ptr().cast()))
    }

    /// Pushes what is kept under a name, or nil.
    pub fn kept(&mut self, name: &'static str) -> Result<Slot, Error> {
        self.reserve()?;
        self.lua.raw_getp(crate::vm::REGISTRY, name.as_ptr().cast());
        Ok(self.top())
    }

    pub fn push_nil(&mut self) -> Result<Slot, Error> {
        self.reserve()?;
        self.lua.push_nil();
        Ok(self.top())
    }

    pub fn push_bool(&mut self, b: bool) -> Result<Slot, Error> {
        self.reserve()?;
        self.lua.push_bool(b);
        Ok(self.top())
    }

    pub fn push_integer(&mut self, n: i64) -> Result<Slot, Error> {
        self.reserve()?;
        self.lua.push_integer(n);
        Ok(self.top())
    }

    pub fn push_number(&mut self, x: f64) -> Result<Slot, Error> {
        self.reserve()?;
        self.lua.push_number(x);
        Ok(self.top())
    }

    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<Slot, Error> {
        self.reserve()?;
        let text: *const [u8] = bytes;
        self.guarded(bytes.len() + SLACK, 0, 1, text, |lua, text| {
            // SAFETY: the slice outlives this call.
            lua.push_bytes(unsafe { &*text });
        })?;
        Ok(self.top())
    }

    /// Pushes what is in a slot once more.
    pub fn push_slot(&mut self, slot: Slot) -> Result<Slot, Error> {
        self.reserve()?;
        if slot.0 > self.lua.top() {
            self.lua.push_nil();
        } else {
            self.lua.push_value(slot.0);
        }
        Ok(self.top())
    }

    pub fn push_function(&mut self, f: NativeFn) -> Result<Slot, Error> {
        self.reserve()?;
        self.guarded(SLACK, 0, 1, f, push_function)?;
        Ok(self.top())
    }

    // ---- tables

    /// Pushes a new table with room for so many list items and other entries.
    pub fn push_table(&mut self, list: usize, entries: usize) -> Result<Slot, Error> {
        self.reserve()?;
        let (list, entries) = (list.min(1 << 24) as c_int, entries.min(1 << 24) as c_int);
        let need = SLACK + list as usize * 16 + entries as usize * 96;
        self.guarded(need, 0, 1, (list, entries), |lua, (list, entries)| lua.create_table(list, entries))?;
        Ok(self.top())
    }

    /// Pops a value and stores it as `table[key]`, past metamethods.
    pub fn set(&mut self, table: Slot, key: &str) -> Result<(), Error> {
        let key: *const [u8] = key.as_bytes();
        self.store(table, 1, key, |lua, key| {
            // SAFETY: the slice outlives this call.
            lua.push_bytes(unsafe { &*key });
            lua.insert(-2);
            lua.raw_set(-3);
        })
    }

    /// Pops a value and stores it as `table[n]`, past metamethods.
    pub fn set_index(&mut self, table: Slot, n: i64) -> Result<(), Error> {
        self.store(table, 1, n, |lua, n| lua.raw_seti(-2, n))
    }

    /// Pops a key and, above it, a value, and stores the pair, past metamethods.
    pub fn set_pair(&mut self, table: Slot) -> Result<(), Error> {
        match self.value(Slot(self.lua.top() - 1)) {
            Value::Nil => Err(Error::message("table index is nil")),
            Value::Number(x) if x.is_nan() => Err(Error::message("table index is NaN")),
            _ => self.store(table, 2, (), |lua, ()| lua.raw_set(-3)),
        }
    }

    /// Runs `op` with the table below the `values` on top of the stack, all of which it replaces.
    fn store<D: Copy>(&mut self, table: Slot, values: c_int, data: D, op: fn(Lua, D)) -> Result<(), Error> {
        self.reserve()?;
        let top = self.lua.top();
        if self.lua.type_(table.0) != ffi::LUA_TTABLE || top - values < self.error_slot() || table.0 > top - values {
            return Err(Error::message("a table and values for it were expected on the stack"));
        }
        self.changes += 1;
        self.lua.push_value(table.0);
        self.lua.insert(-values - 1);
        // A table that grows takes at most twice what it had; that is part of what there is.
        let need = 2 * self.memory().current() + SLACK;
        self.guarded(need, values + 1, 1, data, op)?;
        self.lua.pop(1);
        Ok(())
    }

    /// Pushes `table[key]`, past metamethods; nil when there is none, or no table.
    pub fn get(&mut self, table: Slot, key: &str) -> Result<Slot, Error> {
        self.push_bytes(key.as_bytes())?;
        self.get_pair(table)
    }

    /// Pushes `table[n]`, past metamethods.
    pub fn get_index(&mut self, table: Slot, n: i64) -> Result<Slot, Error> {
        self.reserve()?;
        if self.lua.is_table(table.0) {
            self.lua.raw_geti(table.0, n);
        } else {
            self.lua.push_nil();
        }
        Ok(self.top())
    }

    /// Replaces the key on top of the stack by `table[key]`, past metamethods.
    pub fn get_pair(&mut self, table: Slot) -> Result<Slot, Error> {
        if self.lua.top() <= self.error_slot() {
            return Err(Error::message("a key was expected on the stack"));
        }
        if self.lua.is_table(table.0) && table.0 != self.lua.top() {
            self.lua.raw_get(table.0);
        } else {
            self.lua.pop(1);
            self.lua.push_nil();
        }
        Ok(self.top())
    }

    /// `#table`, past metamethods; the length of a string; 0 for others.
    pub fn len(&self, slot: Slot) -> usize {
        match self.value(slot) {
            Value::Table(_) | Value::String(_) => self.lua.raw_len(slot.0),
            _ => 0,
        }
    }

    /// Whether a value has a metatable.
    pub fn has_metatable(&self, slot: Slot) -> bool {
        let has = self.lua.reserve(1) && self.lua.get_metatable(slot.0) != 0;
        if has {
            self.lua.pop(1);
        }
        has
    }

    /// Calls `each(call, key, value)` for the entries of a table, in no order. What it leaves on the
    /// stack is dropped.
    pub fn for_each(&mut self, table: Slot, mut each: impl FnMut(&mut Self, Slot, Slot) -> Result<(), Error>) -> Result<(), Error> {
        if !self.lua.is_table(table.0) {
            return Err(Error::message("a table was expected on the stack"));
        }
        self.reserve()?;
        self.lua.push_nil();
        let key = self.top();
        let before = self.changes;
        loop {
            self.budget()?;
            self.reserve()?;
            let more = if before == self.changes {
                self.lua.next(table.0) != 0
            } else {
                // The table may have changed; then `next` may not know the key.
                self.lua.push_value(table.0);
                self.lua.insert(-2);
                self.protected(2, 2, (), |lua, ()| {
                    if lua.next(-2) == 0 {
                        lua.push_nil();
                        lua.push_nil();
                    }
                    lua.remove(-3);
                })?;
                let more = self.lua.type_(-2) != ffi::LUA_TNIL;
                if !more {
                    self.lua.pop(2);
                }
                more
            };
            if !more {
                return Ok(());
            }
            each(self, key, Slot(key.0 + 1))?;
            self.truncate(key);
        }
    }
}
