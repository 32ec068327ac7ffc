//! `write_message`: changes the message a decoder or transform works on, or an encoder's copy of it.

use std::ffi::c_int;

use message::{Datum, Header, MessageMut, Messages, Text, Uuid, Value, ValueType};
use mlua::ffi;

use super::read::{field_name, index};
use super::table::convert;
use crate::vm::{Lossy, Lua};

/// A value from the script.
#[derive(Clone, Copy)]
enum Given<'a> {
    Nil,
    Text(&'a [u8]),
    Integer(i64),
    Number(f64),
    Bool(bool),
}

/// Which field, and which of its values if one was named.
#[derive(Clone, Copy)]
struct Slot {
    field: usize,
    array: Option<usize>,
}

/// `write_message(name, value [, representation [, field_index [, array_index]]])`
pub(crate) fn write_message(lua: Lua) -> c_int {
    let arguments = lua.top();
    if !(2..=5).contains(&arguments) {
        lua.raise(format_args!("write_message() incorrect number of arguments"));
    }
    let name = lua.check_bytes(1);
    let given = match lua.type_(2) {
        ffi::LUA_TNIL => Given::Nil,
        ffi::LUA_TSTRING => Given::Text(lua.check_bytes(2)),
        ffi::LUA_TNUMBER if lua.is_integer(2) => Given::Integer(lua.integer(2).unwrap_or_default()),
        ffi::LUA_TNUMBER => Given::Number(lua.number(2).unwrap_or_default()),
        ffi::LUA_TBOOLEAN => Given::Bool(lua.boolean(2)),
        _ => lua.raise(format_args!("write_message() only accepts numeric, string, or boolean field values, or nil to delete")),
    };
    let representation = if lua.type_(3) <= ffi::LUA_TNIL { b"".as_slice() } else { lua.check_bytes(3) };
    let field = if lua.type_(4) <= ffi::LUA_TNIL { 0 } else { index(lua, 4) };
    let array = (lua.type_(5) > ffi::LUA_TNIL).then(|| index(lua, 5));
    let host = lua.host();
    let limit = host.config.limits.output;
    if let Given::Text(text) = given
        && text.len() > limit
    {
        super::inject::too_much_output(lua, text.len(), "write_message");
    }
    let Some((messages, raw, index)) = host.writable() else {
        lua.raise(format_args!("write_message() failed: there is no message to change here"));
    };
    // Each write takes room in the batch, replaced values included.
    let written = name.len() + representation.len() + if let Given::Text(text) = given { text.len() } else { 8 };
    let stored = host.stored.get().saturating_add(written);
    if stored > limit.saturating_mul(MAX_WRITTEN) {
        super::inject::too_much_output(lua, stored, "write_message");
    }
    let outcome = match (name, given) {
        (b"Timestamp", Given::Text(text)) => {
            let Some(ns) = super::time::parse(text, host.now()) else {
                lua.raise(format_args!(
                    "write_message() failed: Timestamp takes nanoseconds or a time, not '{}'",
                    Lossy(&text[..text.len().min(60)])
                ));
            };
            // SAFETY: as below.
            unsafe { (*messages).message(index).set_timestamp(ns) };
            Ok(0)
        }
        // SAFETY: `Sandbox::process_message_mut` or the host itself holds both for the length of the call, and no other
        // reference to them is alive while this pure Rust code runs.
        _ => unsafe { write(&mut *messages, &*raw, index, name, given, representation, Slot { field, array }) },
    };
    match outcome {
        Ok(copied) => host.stored.set(stored.saturating_add(copied)),
        Err(why) => lua.raise(format_args!("write_message() failed: {why}")),
    }
    0
}

/// All that one call may write, in multiples of the output limit.
pub(super) const MAX_WRITTEN: usize = 16;

/// Bytes of other values that had to be copied, or what is wrong.
type Outcome = Result<usize, &'static str>;

fn write(messages: &mut Messages, raw: &[u8], at: usize, name: &[u8], given: Given<'_>, representation: &[u8], slot: Slot) -> Outcome {
    if let Some(name) = field_name(name) {
        return write_field(messages, raw, at, name, given, representation, slot);
    }
    let header = Header::from_name(name).ok_or("unknown name")?;
    write_header(messages.message(at), header, given)
}

fn write_header(mut m: MessageMut<'_>, header: Header, given: Given<'_>) -> Outcome {
    let number = || match given {
        Given::Integer(n) => Some(n),
        Given::Number(x) => Some(x as i64),
        Given::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
        Given::Nil | Given::Bool(_) => None,
    };
    match header {
        Header::Timestamp => m.set_timestamp(number().ok_or("Timestamp takes nanoseconds")?),
        Header::Severity => m.set_severity(number().and_then(|n| i32::try_from(n).ok()).ok_or("Severity takes a small integer")?),
        Header::Pid => m.set_pid(number().and_then(|n| i32::try_from(n).ok()).ok_or("Pid takes a small integer")?),
        Header::Uuid => {
            let Given::Text(text) = given else { return Err("Uuid takes a string") };
            let raw = <[u8; 16]>::try_from(text).map(Uuid).ok();
            m.set_uuid(raw.or_else(|| Uuid::parse(text)).ok_or("not a UUID")?);
        }
        _ => {
            let Given::Text(text) = given else { return Err("this header takes a string") };
            let text = m.messages().store(text);
            m.set_text_header(header, text);
        }
    }
    Ok(0)
}

fn write_field(
    messages: &mut Messages,
    raw: &[u8],
    at: usize,
    name: &[u8],
    given: Given<'_>,
    representation: &[u8],
    slot: Slot,
) -> Outcome {
    let view = messages.view(raw, at);
    let places = view.fields().enumerate().filter(|(_, f)| f.name() == name);
    let (count, nth) = places.fold((0, None), |(n, found), (at, _)| (n + 1, if n == slot.field { Some(at) } else { found }));
    let Some(nth) = nth else {
        return match given {
            Given::Nil => Ok(0), // nothing to delete
            _ if slot.field == count && slot.array.unwrap_or(0) == 0 => {
                add_field(messages.message(at), name, given, representation);
                Ok(0)
            }
            _ => Err("field index out of range"),
        };
    };
    if let (Given::Nil, None) = (given, slot.array) {
        messages.message(at).remove_field(nth);
        return Ok(0);
    }
    let Some(field) = view.fields().nth(nth) else { return Err("field index out of range") };
    let type_ = field.type_();
    let values: Vec<Kept> = field.values().map(Kept::from).collect();
    let copied = values.iter().map(Kept::len).sum();
    let mut values: Vec<Datum> = values.into_iter().map(|v| v.store(messages)).collect();
    let array = slot.array.unwrap_or(0);
    match given {
        Given::Nil if array < values.len() => drop(values.remove(array)),
        Given::Nil => return Err("array index out of range"),
        _ if array > values.len() => return Err("array index out of range"),
        _ => {
            let datum = convert(store(messages, given), type_).ok_or("the field is of another type")?;
            if array == values.len() { values.push(datum) } else { values[array] = datum }
        }
    }
    let mut m = messages.message(at);
    m.set_field_values(nth, type_, &values);
    if !representation.is_empty() {
        let representation = m.messages().store(representation);
        m.set_field_representation(nth, representation);
    }
    Ok(copied)
}

fn add_field(mut m: MessageMut<'_>, name: &[u8], given: Given<'_>, representation: &[u8]) {
    let name = m.messages().store(name);
    let representation = if representation.is_empty() { Text::NONE } else { m.messages().store(representation) };
    let datum = store(m.messages(), given);
    m.add_field(name, representation, datum.type_(), &[datum]);
}

fn store(messages: &mut Messages, given: Given<'_>) -> Datum {
    match given {
        Given::Text(text) => Datum::String(messages.store(text)),
        Given::Integer(n) => Datum::Integer(n),
        Given::Number(x) => Datum::Double(x),
        Given::Bool(b) => Datum::Bool(b),
        Given::Nil => Datum::Bool(false), // never asked for
    }
}

/// A value taken out of a message that is about to change.
enum Kept {
    Text(ValueType, Vec<u8>),
    Scalar(Datum),
}

impl From<Value<'_>> for Kept {
    fn from(value: Value<'_>) -> Kept {
        match value {
            Value::String(s) | Value::Bytes(s) => Kept::Text(value.type_(), s.to_vec()),
            Value::Integer(n) => Kept::Scalar(Datum::Integer(n)),
            Value::Double(n) => Kept::Scalar(Datum::Double(n)),
            Value::Bool(b) => Kept::Scalar(Datum::Bool(b)),
        }
    }
}

impl Kept {
    fn len(&self) -> usize {
        match self {
            Kept::Text(_, bytes) => bytes.len(),
            Kept::Scalar(_) => 8,
        }
    }

    fn store(self, messages: &mut Messages) -> Datum {
        match self {
            Kept::Text(ValueType::Bytes, bytes) => Datum::Bytes(messages.store(&bytes)),
            Kept::Text(_, bytes) => Datum::String(messages.store(&bytes)),
            Kept::Scalar(datum) => datum,
        }
    }
}
