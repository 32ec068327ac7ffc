//! Matching: the machine of the crate `lpeg` over the Lua stack.

use lpeg::{Constant, Host, Key, Limits, ValueId, Verdict};
use sandbox::native::{Call, Error, Returned, Slot, Value};

use super::pattern::{LuaPattern, argument};
use super::state::State;
use super::values::{Values, raise};

/// Pending choices and calls that a script may allow itself.
const MOST_STACK: i64 = 100_000;

/// `lpeg.match(p, subject [, init, …])`
pub fn matches(call: &mut Call<'_>) -> Result<Returned, Error> {
    let pattern = match call.arg(1) {
        Value::Object(slot) if call.object_at::<LuaPattern>(slot).is_some() => slot,
        _ => {
            let mut values = Values::new(call)?;
            let pattern = argument(call, 1, &mut values)?;
            values.push(call, pattern)?
        }
    };
    match run(call, pattern, 2, 3, 4)? {
        Some(count) => Ok(Returned(count)),
        None => {
            call.push_nil()?;
            Ok(Returned(1))
        }
    }
}

/// `lpeg.setmaxstack(n)`
pub fn set_max_stack(call: &mut Call<'_>) -> Result<Returned, Error> {
    let n = call.integer(1)?;
    if !(1..=MOST_STACK).contains(&n) {
        return Err(Error::argument(1, format!("1 to {MOST_STACK} expected, got {n}")));
    }
    State::of(call)?.1.borrow_mut().stack = n as usize;
    Ok(Returned(0))
}

/// Matches the pattern object in a slot with these arguments: subject, initial position, first extra one. The number of
/// values it leaves on the stack.
pub fn run(call: &mut Call<'_>, pattern: Slot, subject: usize, init: usize, extra: usize) -> Result<Option<usize>, Error> {
    let text = call.bytes(subject)?;
    let start = match call.optional(init, Call::integer)?.unwrap_or(1) {
        n @ 1.. => usize::try_from(n - 1).unwrap_or(usize::MAX).min(text.len()),
        n => text.len().saturating_sub(usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let Some(object) = call.object_at::<LuaPattern>(pattern) else { return Err(Error::message("pattern expected")) };
    let fresh = !object.borrow().0.is_compiled();
    if fresh {
        // An instruction or two for each node, sets and texts.
        call.room_for(object.borrow().0.size() * 48 + object.borrow().0.bytes() + 1024)?;
    }
    let program = object.borrow().0.program().map_err(raise)?;
    if fresh {
        call.charge(pattern)?;
    }
    let limits = Limits { stack: State::settle(call)?, ..Limits::default() };
    let values = call.companion(pattern)?;
    let mut host = LuaHost { base: call.height() + 1, len: 0, values, subject, extra, call };
    let matched = program.matches(&text, start, &limits, &mut host).map_err(|stop| stop.0)?;
    Ok(matched.then_some(host.len))
}

struct Stop(Error);

impl From<lpeg::Error> for Stop {
    fn from(error: lpeg::Error) -> Stop {
        Stop(raise(error))
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop(error)
    }
}

struct LuaHost<'h, 'c> {
    call: &'h mut Call<'c>,
    /// Height of our value 0.
    base: usize,
    len: usize,
    /// Table of the values that the pattern refers to.
    values: Slot,
    /// Argument that is the subject.
    subject: usize,
    /// The first extra argument.
    extra: usize,
}

impl LuaHost<'_, '_> {
    fn slot(&self, index: usize) -> Slot {
        self.call.slot(self.base + index)
    }

    fn pushed(&mut self, slot: Result<Slot, Error>) -> Result<(), Stop> {
        slot?;
        self.len += 1;
        Ok(())
    }
}

impl Host for LuaHost<'_, '_> {
    type Error = Stop;

    fn tick(&mut self) -> Result<(), Stop> {
        Ok(self.call.budget()?)
    }

    fn room(&mut self, bytes: usize) -> Result<(), Stop> {
        Ok(self.call.room_for(bytes)?)
    }

    fn len(&self) -> usize {
        self.len
    }

    fn truncate(&mut self, len: usize) {
        self.call.pop(self.len.saturating_sub(len));
        self.len = self.len.min(len);
    }

    fn remove(&mut self, from: usize, count: usize) {
        self.call.remove_range(self.slot(from), count);
        self.len -= count;
    }

    fn copy(&mut self, index: usize) -> Result<(), Stop> {
        let copy = self.call.push_slot(self.slot(index));
        self.pushed(copy)
    }

    fn replace(&mut self, index: usize) {
        self.call.replace(self.slot(index));
        self.len -= 1;
    }

    fn push_text(&mut self, text: &[u8]) -> Result<(), Stop> {
        let text = self.call.push_bytes(text);
        self.pushed(text)
    }

    fn push_subject(&mut self) -> Result<(), Stop> {
        let subject = match self.call.arg(self.subject) {
            Value::String(_) => self.call.push_slot(self.call.slot(self.subject)),
            _ => {
                let text = self.call.bytes(self.subject)?;
                self.call.push_bytes(&text)
            }
        };
        self.pushed(subject)
    }

    fn push_integer(&mut self, n: i64) -> Result<(), Stop> {
        let n = self.call.push_integer(n);
        self.pushed(n)
    }

    fn push_constant(&mut self, constant: &Constant) -> Result<(), Stop> {
        let slot = match constant {
            Constant::Nil => self.call.push_nil(),
            Constant::Boolean(b) => self.call.push_bool(*b),
            Constant::Integer(n) => self.call.push_integer(*n),
            Constant::Number(x) => self.call.push_number(*x),
            Constant::Text(text) => self.call.push_bytes(text),
            Constant::Value(id) => self.call.get_index(self.values, id.0 as i64),
        };
        self.pushed(slot)
    }

    fn push_argument(&mut self, n: u32) -> Result<bool, Stop> {
        let argument = self.extra.saturating_add(n as usize - 1);
        if argument > self.call.args() {
            return Ok(false);
        }
        let slot = self.call.push_slot(self.call.slot(argument));
        self.pushed(slot).map(|()| true)
    }

    fn call(&mut self, base: usize) -> Result<(), Stop> {
        let results = self.call.call_all(self.len - base - 1)?;
        self.len = base + results;
        Ok(())
    }

    fn query(&mut self, table: ValueId) -> Result<bool, Stop> {
        let key = self.slot(self.len - 1);
        let table = self.call.get_index(self.values, table.0 as i64)?;
        self.call.push_slot(key)?;
        let value = self.call.get_pair(table)?;
        let found = !self.call.value(value).is_nil();
        if found {
            self.call.replace(key);
            self.call.pop(1);
        } else {
            self.call.pop(3);
            self.len -= 1;
        }
        Ok(found)
    }

    fn push_table(&mut self) -> Result<(), Stop> {
        let table = self.call.push_table(0, 0);
        self.pushed(table)
    }

    fn set_item(&mut self, table: usize, n: i64) -> Result<(), Stop> {
        self.call.set_index(self.slot(table), n)?;
        self.len -= 1;
        Ok(())
    }

    fn set_field(&mut self, table: usize, key: &Key) -> Result<(), Stop> {
        let value = self.slot(self.len - 1);
        match key {
            Key::Text(text) => self.call.push_bytes(text)?,
            Key::Integer(n) => self.call.push_integer(*n)?,
            Key::Number(bits) => self.call.push_number(f64::from_bits(*bits))?,
            Key::Boolean(b) => self.call.push_bool(*b)?,
        };
        self.call.push_slot(value)?;
        self.call.set_pair(self.slot(table))?;
        self.truncate(self.len - 1);
        Ok(())
    }

    fn append_text(&mut self, index: usize, text: &mut Vec<u8>) -> Result<(), &'static str> {
        match self.call.value(self.slot(index)) {
            Value::String(more) => text.extend_from_slice(more),
            Value::Integer(n) => text.extend_from_slice(n.to_string().as_bytes()),
            Value::Number(x) => text.extend_from_slice(number(x).as_bytes()),
            other => return Err(other.type_name()),
        }
        Ok(())
    }

    fn verdict(&mut self, index: usize) -> Verdict {
        match self.call.value(self.slot(index)) {
            Value::None | Value::Nil | Value::Bool(false) => Verdict::Fail,
            Value::Bool(true) => Verdict::Stay,
            Value::Integer(n) => Verdict::Position(n),
            Value::Number(x) if x.fract() == 0.0 => Verdict::Position(x as i64),
            _ => Verdict::Position(0),
        }
    }
}

/// A float as text: whole ones with `.0`, as the interpreter writes them.
fn number(x: f64) -> String {
    if x.fract() == 0.0 && x.abs() < 1e15 { format!("{x:.1}") } else { x.to_string() }
}
