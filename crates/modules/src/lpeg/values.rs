//! The Lua values that a pattern refers to: a table kept with the pattern's object, from numbers of their own to the values.

use std::cell::Cell;

use lpeg::{Entered, Key, Pattern, ValueId};
use sandbox::native::{Call, Error, Returned, Slot, Value};

use super::pattern::LuaPattern;
use super::state::State;

thread_local! {
    /// Numbers are never used twice, so that tables can be merged.
    static NEXT: Cell<i64> = const { Cell::new(1) };
}

/// What there is room for before the next step: the nodes that one operator or capture makes, with a literal that is
/// joined of two.
const AHEAD: usize = 6 << 10;

/// The values of a pattern that is being made.
pub struct Values {
    table: Option<Slot>,
    /// The table is ours to change; others share theirs with the pattern they come from.
    own: bool,
    /// What is made meanwhile is on this script's account.
    _account: Entered,
}

impl Values {
    pub fn new(call: &mut Call<'_>) -> Result<Values, Error> {
        call.room_for(AHEAD)?;
        Ok(Values { table: None, own: false, _account: State::of(call)?.1.borrow().ledger.enter() })
    }

    /// To be asked before two patterns are put together: the new one lists the parts of both.
    pub fn room(&self, call: &Call<'_>, a: &Pattern, b: &Pattern) -> Result<(), Error> {
        call.room_for(AHEAD + (a.size() + b.size()) * size_of::<usize>())
    }

    /// Makes sure that there is a table of our own.
    pub fn own(&mut self, call: &mut Call<'_>) -> Result<Slot, Error> {
        if let (Some(table), true) = (self.table, self.own) {
            return Ok(table);
        }
        let table = call.push_table(0, 1)?;
        if let Some(shared) = self.table.replace(table) {
            copy(call, shared, table)?;
        }
        self.own = true;
        Ok(table)
    }

    /// Adds the values of the pattern object in a slot.
    pub fn take(&mut self, call: &mut Call<'_>, object: Slot) -> Result<(), Error> {
        let theirs = call.companion(object)?;
        if !matches!(call.value(theirs), Value::Table(_)) {
            call.pop(1);
        } else if self.table.is_none() {
            self.table = Some(theirs);
        } else {
            let table = self.own(call)?;
            copy(call, theirs, table)?;
        }
        Ok(())
    }

    /// Adds one value.
    pub fn keep(&mut self, call: &mut Call<'_>, value: Slot) -> Result<ValueId, Error> {
        let table = self.own(call)?;
        let id = NEXT.replace(NEXT.get() + 1);
        call.push_slot(value)?;
        call.set_index(table, id)?;
        Ok(ValueId(id as u64))
    }

    /// Charges the script for what was made so far, and asks whether it may go on.
    pub fn settle(&self, call: &mut Call<'_>) -> Result<(), Error> {
        State::settle(call)?;
        call.room_for(AHEAD)?;
        call.budget()
    }

    /// Pushes the object of the pattern that is made.
    pub fn push(self, call: &mut Call<'_>, pattern: Pattern) -> Result<Slot, Error> {
        State::settle(call)?;
        let object = call.push_object(LuaPattern(pattern))?;
        if let Some(table) = self.table {
            call.push_slot(table)?;
            call.set_companion(object);
        }
        Ok(object)
    }

    pub fn finish(self, call: &mut Call<'_>, pattern: Result<Pattern, lpeg::Error>) -> Result<Returned, Error> {
        self.push(call, pattern.map_err(raise)?)?;
        Ok(Returned(1))
    }
}

fn copy(call: &mut Call<'_>, from: Slot, to: Slot) -> Result<(), Error> {
    call.for_each(from, |call, key, value| {
        call.push_slot(key)?;
        call.push_slot(value)?;
        call.set_pair(to)
    })
}

pub fn raise(error: lpeg::Error) -> Error {
    Error::message(error.to_string())
}

/// The name of a rule or group.
pub fn key(call: &Call<'_>, slot: Slot) -> Result<Key, Error> {
    Ok(match call.value(slot) {
        Value::String(text) => {
            call.room_for(text.len())?;
            Key::Text(text.into())
        }
        Value::Integer(n) => Key::Integer(n),
        Value::Number(x) if x.fract() == 0.0 && x.abs() < 9e15 => Key::Integer(x as i64),
        Value::Number(x) => Key::Number(x.to_bits()),
        Value::Bool(b) => Key::Boolean(b),
        other => return Err(Error::message(format!("a name is a string, a number or a boolean, got {}", other.type_name()))),
    })
}
