//! A message from a Lua table.
//!
//! ```lua
//! { Type = "t", Severity = 3, Fields = {
//!     name = "scalar", list = {1, 2}, unit = {value = 5, value_type = 2, representation = "ms"} } }
//! { Fields = { {name = "a", value = {1}}, {name = "a", value = "again"} } }   -- order and repeats
//! ```
//!
//! Named fields are added in order of their names, so that the same table always makes the same
//! message. Whole numbers that Lua holds as integers become integers; an array of numbers that has
//! a fraction in it is of doubles. Nothing here raises a Lua error, so values may have destructors.

use std::ffi::c_int;
use std::fmt;

use detect::write_number;
use message::{Datum, Header, Messages, Text, Uuid, ValueType};
use mlua::ffi;

use super::payload::write_integer;
use crate::vm::Lua;

/// Why a table is not a message.
#[derive(Debug, PartialEq, Clone, Copy)]
pub(crate) enum Invalid {
    Mixed,
    Unsupported(&'static str),
    Header(Header, &'static str),
    NoName,
    TooDeep,
    TooLong(usize),
    /// Bytes that are no message.
    Protobuf,
    /// A stream reader without a message.
    Empty,
    Stopped,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Invalid::Mixed => f.write_str("could not encode protobuf - array has mixed types"),
            Invalid::Unsupported(type_) => write!(f, "could not encode protobuf - unsupported type: {type_}"),
            Invalid::Header(header, type_) => write!(f, "could not encode protobuf - {} cannot be a {type_}", header.name()),
            Invalid::NoName => f.write_str("could not encode protobuf - a field of the array form has no name"),
            Invalid::TooDeep => f.write_str("could not encode protobuf - too many fields"),
            Invalid::Protobuf => f.write_str("protobuf unmarshal failed"),
            Invalid::Empty => f.write_str("the stream reader holds no message"),
            Invalid::Stopped => f.write_str("stopped"),
            Invalid::TooLong(n) => write!(f, "message of more than {n} bytes"),
        }
    }
}

/// Adds the message that the table at `index` describes. On an error the messages are as before,
/// but for bytes in their arena; `stored` tells how many.
pub(crate) fn add_message(lua: Lua, index: c_int, messages: &mut Messages, limit: usize) -> (Result<(), Invalid>, usize) {
    let at = messages.add().index();
    let mut build = Build { lua, messages, at, left: limit, limit };
    let outcome = build.headers(lua.absolute(index));
    let stored = limit - build.left;
    if outcome.is_err() {
        messages.truncate(at);
    }
    (outcome, stored)
}

struct Build<'a> {
    lua: Lua,
    messages: &'a mut Messages,
    at: usize,
    /// Bytes the message may still take.
    left: usize,
    limit: usize,
}

/// What a field is to be made of.
#[derive(Clone, Copy)]
struct Spec {
    name: Text,
    representation: Text,
    type_: Option<ValueType>,
}

impl Build<'_> {
    /// Fails when the call is to be stopped: the same long table may describe many fields.
    fn attend(&self) -> Result<(), Invalid> {
        if self.lua.host().tripped() { Err(Invalid::Stopped) } else { Ok(()) }
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Invalid> {
        self.left = self.left.checked_sub(bytes).ok_or(Invalid::TooLong(self.limit))?;
        Ok(())
    }

    fn store(&mut self, bytes: &[u8]) -> Result<Text, Invalid> {
        self.charge(bytes.len())?;
        Ok(self.messages.store(bytes))
    }

    fn headers(&mut self, table: c_int) -> Result<(), Invalid> {
        let lua = self.lua;
        if !lua.reserve(8) {
            return Err(Invalid::TooDeep);
        }
        lua.push_nil();
        while lua.next(table) != 0 {
            let value = lua.top();
            match lua.bytes(value - 1) {
                Some(b"Fields") if lua.is_table(value) => self.fields(value)?,
                Some(name) => {
                    if let Some(header) = Header::from_name(name) {
                        self.header(header, value)?;
                    }
                }
                None => {}
            }
            lua.pop(1);
        }
        Ok(())
    }

    fn header(&mut self, header: Header, value: c_int) -> Result<(), Invalid> {
        let lua = self.lua;
        let wrong = Invalid::Header(header, lua.type_name(value));
        match header {
            Header::Timestamp | Header::Severity | Header::Pid => {
                let severity = || lua.bytes(value).filter(|_| header == Header::Severity).and_then(severity_number);
                let n = whole(lua, value).or_else(severity).ok_or(wrong)?;
                let mut m = self.messages.message(self.at);
                match header {
                    Header::Timestamp => m.set_timestamp(n),
                    Header::Severity => m.set_severity(i32::try_from(n).map_err(|_| wrong)?),
                    _ => m.set_pid(i32::try_from(n).map_err(|_| wrong)?),
                }
            }
            Header::Uuid => {
                let text = lua.bytes(value).ok_or(wrong)?;
                let uuid = <[u8; 16]>::try_from(text).map(Uuid).ok().or_else(|| Uuid::parse(text)).ok_or(wrong)?;
                self.messages.message(self.at).set_uuid(uuid);
            }
            _ => {
                let text = match (lua.bytes(value), lua.number(value)) {
                    (Some(text), _) => self.store(text)?,
                    (None, Some(n)) => self.store(&number_text(lua, value, n))?,
                    (None, None) => return Err(wrong),
                };
                self.messages.message(self.at).set_text_header(header, text);
            }
        }
        Ok(())
    }

    fn fields(&mut self, table: c_int) -> Result<(), Invalid> {
        let lua = self.lua;
        if lua.raw_geti(table, 1) == ffi::LUA_TTABLE {
            for n in 2.. {
                let spec = self.spec(lua.top())?;
                if spec.name.is_none() {
                    return Err(Invalid::NoName);
                }
                self.values(spec)?;
                lua.pop(2);
                if lua.raw_geti(table, n) != ffi::LUA_TTABLE {
                    break;
                }
            }
            lua.pop(1);
            return Ok(());
        }
        lua.pop(1);
        self.named_fields(table)
    }

    fn named_fields(&mut self, table: c_int) -> Result<(), Invalid> {
        let lua = self.lua;
        let base = lua.top();
        // The keys stay on the stack, to be sorted.
        lua.push_nil();
        while lua.next(table) != 0 {
            lua.pop(1);
            if lua.type_(-1) != ffi::LUA_TSTRING {
                continue;
            }
            if !lua.reserve(8) || lua.top() - base > 4000 {
                return Err(Invalid::TooDeep);
            }
            lua.push_value(-1);
        }
        let mut keys: Vec<c_int> = (base + 1..=lua.top()).collect();
        keys.sort_unstable_by_key(|&k| lua.bytes(k));
        for key in keys {
            let name = self.store(lua.bytes(key).unwrap_or_default())?;
            lua.push_value(key);
            lua.raw_get(table);
            self.field(name)?;
            lua.pop(1);
        }
        lua.set_top(base);
        Ok(())
    }

    /// Adds a field of the value on top of the stack.
    fn field(&mut self, name: Text) -> Result<(), Invalid> {
        let lua = self.lua;
        let plain = Spec { name, representation: Text::NONE, type_: None };
        if !lua.is_table(-1) {
            return self.values(plain);
        }
        let is_array = lua.raw_geti(-1, 1) != ffi::LUA_TNIL;
        lua.pop(1);
        if is_array {
            return self.values(plain);
        }
        let spec = self.spec(lua.top())?;
        self.values(Spec { name, ..spec })?;
        lua.pop(1);
        Ok(())
    }

    /// Reads `name`, `value_type`, `representation` of a description and pushes its `value`.
    fn spec(&mut self, table: c_int) -> Result<Spec, Invalid> {
        let lua = self.lua;
        let mut spec = Spec { name: Text::NONE, representation: Text::NONE, type_: None };
        if !lua.reserve(8) {
            return Err(Invalid::TooDeep);
        }
        lua.push_nil(); // the value, once found
        let slot = lua.top();
        lua.push_nil();
        while lua.next(table) != 0 {
            self.attend()?;
            match lua.bytes(-2) {
                Some(b"name") => spec.name = self.store(lua.bytes(-1).ok_or(Invalid::NoName)?)?,
                Some(b"representation") => spec.representation = self.store(lua.bytes(-1).unwrap_or_default())?,
                Some(b"value_type") => {
                    let number = whole(lua, -1).and_then(|n| u64::try_from(n).ok());
                    spec.type_ = Some(number.and_then(ValueType::from_number).ok_or(Invalid::Unsupported("value_type"))?);
                }
                Some(b"value") => {
                    lua.push_value(-1);
                    lua.replace(slot);
                }
                _ => {}
            }
            lua.pop(1);
        }
        Ok(spec)
    }

    /// Adds a field of the scalar or array on top of the stack.
    fn values(&mut self, spec: Spec) -> Result<(), Invalid> {
        let lua = self.lua;
        self.charge(16)?;
        if !lua.is_table(-1) {
            let datum = self.scalar(spec.type_)?;
            self.messages.message(self.at).add_field(spec.name, spec.representation, datum.type_(), &[datum]);
            return Ok(());
        }
        let mut values = Vec::new();
        let mut n = 1;
        while lua.raw_geti(-1, n) != ffi::LUA_TNIL {
            self.charge(8)?;
            values.push(self.scalar(spec.type_)?);
            lua.pop(1);
            n += 1;
        }
        lua.pop(1);
        let type_ = unify(&mut values)?;
        self.messages.message(self.at).add_field(spec.name, spec.representation, type_, &values);
        Ok(())
    }

    /// The scalar on top of the stack, of this type if one is wanted.
    fn scalar(&mut self, wanted: Option<ValueType>) -> Result<Datum, Invalid> {
        let lua = self.lua;
        let found = match lua.type_(-1) {
            ffi::LUA_TSTRING => Datum::String(self.store(lua.bytes(-1).unwrap_or_default())?),
            ffi::LUA_TNUMBER if lua.is_integer(-1) => Datum::Integer(lua.integer(-1).unwrap_or_default()),
            ffi::LUA_TNUMBER => Datum::Double(lua.number(-1).unwrap_or_default()),
            ffi::LUA_TBOOLEAN => Datum::Bool(lua.boolean(-1)),
            _ => return Err(Invalid::Unsupported(lua.type_name(-1))),
        };
        match wanted {
            Some(type_) => convert(found, type_).ok_or(Invalid::Mixed),
            None => Ok(found),
        }
    }
}

/// A number, or a text that is one: grammars capture texts, which Lua takes for numbers.
fn whole(lua: Lua, index: c_int) -> Option<i64> {
    lua.integer(index).or_else(|| {
        let text = std::str::from_utf8(lua.bytes(index)?).ok()?.trim();
        text.parse().ok().or_else(|| text.parse().ok().filter(|n: &f64| n.is_finite()).map(|n| n as i64))
    })
}

/// The number of a severity of syslog (RFC 5424, section 6.2.1).
fn severity_number(name: &[u8]) -> Option<i64> {
    Some(match name {
        b"emerg" | b"panic" => 0,
        b"alert" => 1,
        b"crit" => 2,
        b"err" | b"error" => 3,
        b"warning" | b"warn" => 4,
        b"notice" => 5,
        b"info" => 6,
        b"debug" => 7,
        _ => return None,
    })
}

/// A number as the text of a header, as it would be in a payload.
fn number_text(lua: Lua, index: c_int, number: f64) -> Vec<u8> {
    let mut text = Vec::new();
    match lua.integer(index).filter(|_| lua.is_integer(index)) {
        Some(n) => write_integer(n, &mut text),
        None => write_number(number, &mut text),
    }
    text
}

/// A value as another type of its kind: text, number or truth.
pub(super) fn convert(value: Datum, to: ValueType) -> Option<Datum> {
    Some(match (value, to) {
        (Datum::String(t) | Datum::Bytes(t), ValueType::String) => Datum::String(t),
        (Datum::String(t) | Datum::Bytes(t), ValueType::Bytes) => Datum::Bytes(t),
        (Datum::Double(n), ValueType::Integer) => Datum::Integer(n as i64),
        (Datum::Integer(n), ValueType::Double) => Datum::Double(n as f64),
        (value, to) if value.type_() == to => value,
        _ => return None,
    })
}

/// Makes the values one type, a double where integers and doubles mix.
pub(super) fn unify(values: &mut [Datum]) -> Result<ValueType, Invalid> {
    let first = values.first().ok_or(Invalid::Unsupported("nil"))?.type_();
    let number = |v: &Datum| matches!(v, Datum::Integer(_) | Datum::Double(_));
    if values.iter().all(|v| v.type_() == first) {
        return Ok(first);
    }
    if !values.iter().all(number) {
        return Err(Invalid::Mixed);
    }
    for value in values {
        *value = convert(*value, ValueType::Double).ok_or(Invalid::Mixed)?;
    }
    Ok(ValueType::Double)
}
