//! `decode_message`: protobuf to a table, and `read_next_field`.

use message::{FieldRef, Header, MessageRef, Messages, Value, wire};

use crate::native::{Call, Error, Returned, Slot};

/// `decode_message(protobuf)`: a table whose `Fields` are a list of `{name, value_type, representation, value = {…}}`.
pub(super) fn decode_message(call: &mut Call<'_>) -> Result<Returned, Error> {
    let crate::native::Value::String(bytes) = call.arg(1) else {
        return Err(Error::message("decode_message() takes a single string argument"));
    };
    if call.args() != 1 {
        return Err(Error::message("decode_message() takes a single string argument"));
    }
    let messages = decode(call, bytes, "decode_message")?;
    push_message(call, messages.view(bytes, 0))?;
    Ok(Returned(1))
}

/// The message of these bytes, which its texts point into.
pub(super) fn decode(call: &Call<'_>, bytes: &[u8], function: &str) -> Result<Messages, Error> {
    // What is decoded takes at most 20 bytes for each that it takes on the wire.
    call.room_for(bytes.len().saturating_mul(20).min(1 << 22))?;
    let mut messages = Messages::default();
    let raw = message::Text::raw(0, bytes.len().min(i32::MAX as usize - 1));
    if raw.len() != bytes.len() {
        return Err(Error::message(format!("{function}() failed: the message is too long")));
    }
    wire::decode(bytes, raw, &mut messages).map_err(|e| Error::message(format!("{function}() failed: {e}")))?;
    Ok(messages)
}

/// Pushes the table that describes a message: headers that are set, and all fields.
fn push_message(call: &mut Call<'_>, m: MessageRef<'_>) -> Result<Slot, Error> {
    let table = call.push_table(0, 10)?;
    call.push_bytes(&m.uuid().0)?;
    call.set(table, "Uuid")?;
    call.push_integer(m.timestamp())?;
    call.set(table, "Timestamp")?;
    for header in [Header::Type, Header::Logger, Header::Payload, Header::EnvVersion, Header::Hostname] {
        if m.has(header) {
            call.push_bytes(m.text_header(header))?;
            call.set(table, header.name())?;
        }
    }
    for (header, n) in [(Header::Severity, m.severity()), (Header::Pid, m.pid())] {
        if m.has(header) {
            call.push_integer(i64::from(n))?;
            call.set(table, header.name())?;
        }
    }
    let fields = call.push_table(m.fields().count(), 0)?;
    for (field, nth) in m.fields().zip(1..) {
        call.budget()?;
        push_field(call, field)?;
        call.set_index(fields, nth)?;
    }
    call.set(table, "Fields")?;
    Ok(table)
}

fn push_field(call: &mut Call<'_>, field: FieldRef<'_>) -> Result<(), Error> {
    let table = call.push_table(0, 4)?;
    call.push_bytes(field.name())?;
    call.set(table, "name")?;
    call.push_integer(field.type_() as i64)?;
    call.set(table, "value_type")?;
    if !field.representation().is_empty() {
        call.push_bytes(field.representation())?;
        call.set(table, "representation")?;
    }
    let values = call.push_table(field.len(), 0)?;
    for (value, nth) in field.values().zip(1..) {
        push_value(call, value)?;
        call.set_index(values, nth)?;
    }
    call.set(table, "value")
}

pub(super) fn push_value(call: &mut Call<'_>, value: Value<'_>) -> Result<Slot, Error> {
    match value {
        Value::String(text) | Value::Bytes(text) => call.push_bytes(text),
        Value::Integer(n) => call.push_integer(n),
        Value::Double(x) => call.push_number(x),
        Value::Bool(b) => call.push_bool(b),
    }
}

/// `read_next_field()`: type, name, first value, representation and number of values of each field in turn; nil at the end.
pub(super) fn read_next_field(call: &mut Call<'_>) -> Result<Returned, Error> {
    if call.args() != 0 {
        return Err(Error::message("read_next_field() takes no arguments"));
    }
    let host = call.lua().host();
    let nth = host.next_field.get();
    let Some(field) = host.message().and_then(|m| m.fields().nth(nth)) else {
        call.push_nil()?;
        return Ok(Returned(1));
    };
    host.next_field.set(nth + 1);
    call.push_integer(field.type_() as i64)?;
    call.push_bytes(field.name())?;
    match field.value(0) {
        Some(value) => push_value(call, value)?,
        None => call.push_nil()?,
    };
    call.push_bytes(field.representation())?;
    call.push_integer(field.len() as i64)?;
    Ok(Returned(5))
}
