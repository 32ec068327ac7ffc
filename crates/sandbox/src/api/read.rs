//! `read_message`

use std::ffi::c_int;

use message::{Header, MessageRef, Value};

use crate::vm::Lua;

/// `read_message(name [, field_index [, array_index]])`, both counted from 0. Unset text headers
/// are `""`, missing fields nil, and so is everything when there is no message.
pub(crate) fn read_message(lua: Lua) -> c_int {
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
        Some(name) => push_field(lua, m, name, field, array),
        None => return push_header(lua, m, name),
    }
    1
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

fn push_field(lua: Lua, m: MessageRef<'_>, name: &[u8], field: usize, array: usize) {
    match m.value(name, field, array) {
        Some(Value::String(s) | Value::Bytes(s)) => lua.push_bytes(s),
        Some(Value::Integer(n)) => lua.push_integer(n),
        Some(Value::Double(n)) => lua.push_number(n),
        Some(Value::Bool(b)) => lua.push_bool(b),
        None => lua.push_nil(),
    }
}

fn push_header(lua: Lua, m: MessageRef<'_>, name: &[u8]) -> c_int {
    match name {
        b"Type" => lua.push_bytes(m.type_()),
        b"Payload" => lua.push_bytes(m.payload()),
        b"Timestamp" => lua.push_integer(m.timestamp()),
        b"Severity" => lua.push_integer(i64::from(m.severity())),
        b"Pid" => lua.push_integer(i64::from(m.pid())),
        b"Uuid" => lua.push_bytes(&m.uuid().text()),
        b"raw" => push_raw(lua, m),
        _ => match Header::from_name(name) {
            Some(header) => lua.push_bytes(m.text_header(header)),
            None => return 0,
        },
    }
    1
}

/// The message as protobuf, without framing.
fn push_raw(lua: Lua, m: MessageRef<'_>) {
    let scratch = &lua.host().scratch;
    {
        let mut bytes = scratch.borrow_mut();
        bytes.clear();
        message::wire::encode(m, &mut bytes);
    }
    // SAFETY: nothing changes the buffer during the push; a borrow guard would outlive an error.
    lua.push_bytes(unsafe { &*scratch.as_ptr() });
}
