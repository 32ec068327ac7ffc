//! `read_message`

use std::ffi::c_int;

use message::{Header, MessageRef, Value};

use super::reference::push_reference;
use crate::Api;
use crate::vm::Lua;

/// `read_message(name [, field_index [, array_index]])`, both counted from 0. Unset text headers
/// are `""`, missing fields nil, and so is everything when there is no message.
pub(crate) fn heka(lua: Lua) -> c_int {
    let arguments = lua.top();
    if !(1..=3).contains(&arguments) {
        lua.raise(format_args!("read_message() incorrect number of arguments"));
    }
    let name = lua.check_bytes(1);
    let (mut field, mut array) = (0, 0);
    if arguments > 1 {
        field = index(lua, 2);
        if arguments > 2 {
            array = index(lua, 3);
        }
    }
    let Some(m) = lua.host().message() else { return 0 };
    match field_name(name) {
        Some(name) => push(lua, Found::at_hand(lua, name, field, array)),
        None => push(lua, Found::header(m, name, Api::Heka)),
    }
}

/// As [`heka`], but for unset headers, which are nil, `Uuid`, which is 16 bytes, and two more names:
/// `framed` and `size`. With a true fourth argument it returns a reference, which is read later.
pub(crate) fn hindsight(lua: Lua) -> c_int {
    let arguments = lua.top();
    if !(1..=4).contains(&arguments) {
        lua.raise(format_args!("read_message() incorrect number of arguments"));
    }
    let name = lua.check_bytes(1);
    let field = if lua.type_(2) <= 0 { 0 } else { index(lua, 2) };
    let array = if lua.type_(3) <= 0 { 0 } else { index(lua, 3) };
    if lua.boolean(4) {
        push_reference(lua, name, field, array);
        return 1;
    }
    let Some(m) = lua.host().message() else { return 0 };
    match field_name(name) {
        Some(name) => push(lua, Found::at_hand(lua, name, field, array)),
        None => push(lua, Found::header(m, name, Api::Hindsight)),
    }
}

/// Argument `n`, an index from 0. Raises otherwise.
pub(super) fn index(lua: Lua, n: c_int) -> usize {
    match lua.integer(n) {
        Some(i) => usize::try_from(i)
            .unwrap_or_else(|_| lua.bad_argument(n, if n == 2 { c"field index must be >= 0" } else { c"array index must be >= 0" })),
        None => lua.bad_argument(n, c"number expected"),
    }
}

/// `x` of `Fields[x]`.
pub(super) fn field_name(name: &[u8]) -> Option<&[u8]> {
    name.strip_prefix(b"Fields[")?.strip_suffix(b"]")
}

/// What a name leads to.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    Nothing,
    Text(&'a [u8]),
    Integer(i64),
    Number(f64),
    Bool(bool),
    /// The text of a UUID.
    Uuid([u8; 36]),
    Uuid16([u8; 16]),
    /// The bytes of the whole message: without framing, with it, or their number.
    Raw(MessageRef<'a>),
    Framed(MessageRef<'a>),
    Size(MessageRef<'a>),
}

impl<'a> Found<'a> {
    #[inline]
    pub fn field(m: MessageRef<'a>, name: &[u8], field: usize, array: usize) -> Found<'a> {
        m.value(name, field, array).map_or(Found::Nothing, Found::from)
    }

    /// As [`Found::field`], of the message at hand.
    #[inline]
    pub fn at_hand(lua: Lua, name: &[u8], field: usize, array: usize) -> Found<'a> {
        lua.host().value(name, field, array).map_or(Found::Nothing, Found::from)
    }

    #[inline]
    pub fn header(m: MessageRef<'a>, name: &[u8], api: Api) -> Found<'a> {
        let hindsight = api == Api::Hindsight;
        let text = |header| if hindsight && !m.has(header) { Found::Nothing } else { Found::Text(m.text_header(header)) };
        match name {
            b"Type" => text(Header::Type),
            b"Payload" => text(Header::Payload),
            b"Timestamp" => Found::Integer(m.timestamp()),
            b"Severity" => Found::Integer(i64::from(m.severity())),
            b"Pid" if hindsight && !m.has(Header::Pid) => Found::Nothing,
            b"Pid" => Found::Integer(i64::from(m.pid())),
            b"Uuid" if hindsight => Found::Uuid16(m.uuid().0),
            b"Uuid" => Found::Uuid(m.uuid().text()),
            b"Logger" => text(Header::Logger),
            b"Hostname" => text(Header::Hostname),
            b"EnvVersion" => text(Header::EnvVersion),
            b"raw" => Found::Raw(m),
            b"framed" if hindsight => Found::Framed(m),
            b"size" if hindsight => Found::Size(m),
            _ => Found::Nothing,
        }
    }

    /// Writes the bytes of a whole message. What does not fit a frame is left out.
    pub fn write(m: MessageRef<'_>, framed: bool, into: &mut Vec<u8>) {
        into.clear();
        if framed {
            let _ = message::framing::encode_framed(m, None, u32::MAX as usize, into);
        } else {
            message::wire::encode(m, into);
        }
    }
}

impl<'a> From<Value<'a>> for Found<'a> {
    #[inline]
    fn from(value: Value<'a>) -> Found<'a> {
        match value {
            Value::String(s) | Value::Bytes(s) => Found::Text(s),
            Value::Integer(n) => Found::Integer(n),
            Value::Double(n) => Found::Number(n),
            Value::Bool(b) => Found::Bool(b),
        }
    }
}

/// Pushes it. Raises when out of memory.
#[inline]
pub(super) fn push(lua: Lua, found: Found<'_>) -> c_int {
    match found {
        Found::Nothing => lua.push_nil(),
        Found::Text(text) => lua.push_bytes(text),
        Found::Integer(n) => lua.push_integer(n),
        Found::Number(n) => lua.push_number(n),
        Found::Bool(b) => lua.push_bool(b),
        Found::Uuid(text) => lua.push_bytes(&text),
        Found::Uuid16(bytes) => lua.push_bytes(&bytes),
        Found::Raw(m) => push_whole(lua, m, false),
        Found::Framed(m) => push_whole(lua, m, true),
        Found::Size(m) => {
            Found::write(m, false, &mut lua.host().scratch.borrow_mut());
            lua.push_integer(lua.host().scratch.borrow().len() as i64);
        }
    }
    1
}

/// The message as protobuf.
fn push_whole(lua: Lua, m: MessageRef<'_>, framed: bool) {
    let scratch = &lua.host().scratch;
    Found::write(m, framed, &mut scratch.borrow_mut());
    // SAFETY: nothing changes the buffer during the push; a borrow guard would outlive an error.
    lua.push_bytes(unsafe { &*scratch.as_ptr() });
}
