//! `encode_message`: a table to protobuf.

use message::{Messages, framing, wire};

use super::stream::StreamReader;
use super::{inject, table};
use crate::native::{Call, Error, Returned, Value};

/// `encode_message(table | protobuf | stream reader [, framed])`: protobuf, in a frame if wanted.
pub(super) fn encode_message(call: &mut Call<'_>) -> Result<Returned, Error> {
    if !(1..=2).contains(&call.args()) {
        return Err(Error::message("encode_message() incorrect number of arguments"));
    }
    let framed = call.optional(2, Call::boolean)?.unwrap_or(false);
    let limit = call.output_limit();
    let bytes = match call.arg(1) {
        Value::Table(_) => encode_table(call, limit)?,
        Value::String(bytes) => {
            wire::validate(bytes).map_err(|e| Error::message(format!("encode_message() failed: {e}")))?;
            bytes.to_vec()
        }
        _ => match call.object_at::<StreamReader>(call.slot(1)) {
            Some(reader) => {
                reader.borrow().protobuf().ok_or_else(|| Error::message("encode_message() the stream reader holds no message"))?.to_vec()
            }
            None => return Err(Error::message("encode_message() takes a table, a protobuf string or a stream reader")),
        },
    };
    if bytes.len() > limit {
        return Err(inject::too_long(call.lua().host(), bytes.len(), "encode_message"));
    }
    if !framed {
        call.push_bytes(&bytes)?;
        return Ok(Returned(1));
    }
    let mut record = Vec::with_capacity(bytes.len() + 16);
    framing::write(&bytes, None, &mut record).map_err(|e| Error::message(format!("encode_message() failed: {e}")))?;
    call.push_bytes(&record)?;
    Ok(Returned(1))
}

fn encode_table(call: &mut Call<'_>, limit: usize) -> Result<Vec<u8>, Error> {
    call.room_for(limit)?;
    let (lua, host) = (call.lua(), call.lua().host());
    let mut messages = Messages::default();
    let top = call.top();
    let (outcome, _) = table::add_message(lua, 1, &mut messages, limit);
    call.truncate(top);
    match outcome {
        Ok(()) => {}
        Err(table::Invalid::Stopped) => return Err(Error::Stopped),
        Err(table::Invalid::TooLong(n)) => return Err(inject::too_long(host, n + 1, "encode_message")),
        Err(invalid) => return Err(Error::message(format!("encode_message() {invalid}"))),
    }
    inject::fill(host, &mut messages, 0);
    let mut bytes = Vec::new();
    wire::encode(messages.view(b"", 0), &mut bytes);
    Ok(bytes)
}
