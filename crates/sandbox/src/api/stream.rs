//! `create_stream_reader`: finds the messages of a stream of framed records.

use std::cell::{RefCell, RefMut};
use std::ffi::c_int;
use std::ops::Range;

use message::framing::{Found as Search, Scanner};
use message::{MessageRef, Messages, Text, wire};

use super::decode;
use super::read::{Found, field_name};
use crate::grants;
use crate::native::{Call, Error, Function, Object, Returned, Slot, Value, object_at};
use crate::vm::Lua;

/// Bytes read from a file at a time at least.
const CHUNK: usize = 8192;
/// Bytes that a decoded message counts for, by each byte it has framed.
const DECODED: usize = 20;

/// The bytes of a stream that are not used up yet, and the message found last.
pub(super) struct StreamReader {
    scanner: Scanner,
    buffer: Vec<u8>,
    /// What of the buffer is used up.
    used: usize,
    message: Option<Range<usize>>,
    /// That message once it was looked at.
    decoded: Option<Messages>,
}

impl Object for StreamReader {
    const NAME: &'static str = "stream_reader";
    const METHODS: &'static [Function] = &[
        Function {
            name: "decode_message",
            signature: "(protobuf: string)",
            doc: "Makes this the message at hand. What was buffered of the stream is dropped.",
            call: decode_message,
        },
        Function {
            name: "find_message",
            signature: "(source: string|file*|nil, decode?: boolean) -> boolean, integer, integer",
            doc: "Adds a text, or what it reads from a file, to the stream and looks for the next message. Returns whether one was found, how \
                  many bytes of the stream are done with, and how many more are needed, or for a file how many were read.",
            call: find_message,
        },
        Function {
            name: "read_message",
            signature: "(name: string, field?: integer, array?: integer) -> any",
            doc: "As the function of this name, of the message found last.",
            call: read_message,
        },
    ];

    fn bytes(&self) -> usize {
        self.buffer.capacity() + if self.decoded.is_some() { DECODED * self.message.as_ref().map_or(0, Range::len) } else { 0 }
    }
}

impl StreamReader {
    /// The message at hand.
    pub fn protobuf(&self) -> Option<&[u8]> {
        self.message.clone().map(|at| &self.buffer[at])
    }

    fn view(&mut self) -> Option<MessageRef<'_>> {
        let bytes = &self.buffer[self.message.clone()?];
        if self.decoded.is_none() {
            let mut messages = Messages::default();
            wire::decode(bytes, Text::raw(0, bytes.len()), &mut messages).ok()?;
            self.decoded = Some(messages);
        }
        self.decoded.as_ref().map(|m| m.view(bytes, 0))
    }

    fn forget(&mut self) {
        self.message = None;
        self.decoded = None;
    }

    /// Whether a message was found, the bytes done with, and how many more are needed.
    fn search(&mut self) -> (bool, usize, usize) {
        self.forget();
        let from = self.used;
        match self.scanner.find(&self.buffer[from..], false) {
            Search::Record { message, end, .. } => {
                self.message = Some(from + message.start..from + message.end);
                self.used += end;
                (true, end, 0)
            }
            Search::More { skip, need, .. } => {
                self.used += skip;
                let left = self.buffer.len() - self.used;
                (false, skip, need.saturating_sub(left).max(1))
            }
        }
    }

    /// Moves what is left to the front.
    fn compact(&mut self) {
        self.forget();
        self.buffer.drain(..self.used);
        self.used = 0;
    }
}

/// Whether there is a stream reader at this index. Does not raise.
pub(super) fn is_reader(lua: Lua, index: c_int) -> bool {
    object_at(lua, index).is_some_and(|object| object.name() == StreamReader::NAME)
}

/// Gives `work` the message of the stream reader at this index, if it holds one. Does not raise.
pub(super) fn with_bytes<T>(lua: Lua, index: c_int, work: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let reader = object_at(lua, index)?.into_any().downcast::<RefCell<StreamReader>>().ok()?;
    let reader = reader.borrow();
    reader.protobuf().map(work)
}

/// `create_stream_reader(name)`; the name is for the script's own use.
pub(super) fn create_stream_reader(call: &mut Call<'_>) -> Result<Returned, Error> {
    if call.args() != 1 {
        return Err(Error::message("create_stream_reader() takes a single string argument"));
    }
    call.bytes(1)?;
    let scanner = Scanner::new(call.output_limit());
    call.push_object(StreamReader { scanner, buffer: Vec::new(), used: 0, message: None, decoded: None })?;
    Ok(Returned(1))
}

fn find_message(call: &mut Call<'_>) -> Result<Returned, Error> {
    let reader = call.object::<StreamReader>(1)?;
    let mut reader = reader.try_borrow_mut().map_err(|_| Error::argument(1, "the stream_reader is in use"))?;
    let mut read = None;
    match call.arg(2) {
        Value::None | Value::Nil => {}
        Value::String(text) => {
            call.room_for(reader.buffer.len() + 2 * text.len())?;
            reader.compact();
            reader.buffer.extend_from_slice(text);
        }
        Value::Object(_) => {
            // What is there first: reading may wait.
            let (found, done, need) = reader.search();
            if found {
                return answer(call, reader, (true, done, 0));
            }
            let file = grants::file(call.lua(), 2).ok_or_else(|| Error::argument(2, "string, open file or nil expected"))?;
            let need = need.max(CHUNK);
            call.room_for(reader.buffer.len() + 2 * need)?;
            reader.compact();
            let n = fill(file, &mut reader.buffer, need);
            let (found, more, _) = reader.search();
            read = Some((found, done + more, n));
        }
        other => return Err(Error::argument(2, format!("string, open file or nil expected, got {}", other.type_name()))),
    }
    let outcome = read.unwrap_or_else(|| reader.search());
    answer(call, reader, outcome)
}

fn answer(call: &mut Call<'_>, reader: RefMut<'_, StreamReader>, (found, done, need): (bool, usize, usize)) -> Result<Returned, Error> {
    drop(reader);
    call.charge(call.slot(1))?;
    call.push_bool(found)?;
    call.push_integer(done as i64)?;
    call.push_integer(need as i64)?;
    Ok(Returned(3))
}

/// Reads up to `most` bytes to the end of `into`; how many there were.
fn fill(file: *mut libc::FILE, into: &mut Vec<u8>, most: usize) -> usize {
    let before = into.len();
    into.resize(before + most, 0);
    // SAFETY: an open file, and room for as many bytes as asked for.
    let read = unsafe { libc::fread(into[before..].as_mut_ptr().cast(), 1, most, file) };
    into.truncate(before + read);
    read
}

fn decode_message(call: &mut Call<'_>) -> Result<Returned, Error> {
    let Value::String(bytes) = call.arg(2) else {
        return Err(Error::argument(2, "protobuf string expected"));
    };
    let messages = decode::decode(call, bytes, "decode_message")?;
    call.with(1, |reader: &mut StreamReader| {
        reader.buffer.clear();
        reader.buffer.extend_from_slice(bytes);
        reader.used = bytes.len();
        reader.message = Some(0..bytes.len());
        reader.decoded = Some(messages);
    })?;
    Ok(Returned(0))
}

fn read_message(call: &mut Call<'_>) -> Result<Returned, Error> {
    let reader = call.object::<StreamReader>(1)?;
    let name = call.bytes(2)?;
    let index = |n: usize, why: &'static str| -> Result<usize, Error> {
        let given = call.optional(n, Call::integer)?.unwrap_or(0);
        usize::try_from(given).map_err(|_| Error::argument(n, why))
    };
    let (field, array) = (index(3, "field index must be >= 0")?, index(4, "array index must be >= 0")?);
    let mut reader = reader.try_borrow_mut().map_err(|_| Error::argument(1, "the stream_reader is in use"))?;
    if reader.decoded.is_none() {
        call.room_for(DECODED * reader.message.as_ref().map_or(0, Range::len))?;
    }
    let api = call.lua().host().config.api;
    let found = match (reader.view(), field_name(&name)) {
        (None, _) => Found::Nothing,
        (Some(m), Some(name)) => Found::field(m, name, field, array),
        (Some(m), None) => Found::header(m, &name, api),
    };
    push(call, found)?;
    drop(reader);
    call.charge(call.slot(1))?;
    Ok(Returned(1))
}

fn push(call: &mut Call<'_>, found: Found<'_>) -> Result<Slot, Error> {
    let whole = |m, framed| {
        let mut bytes = Vec::new();
        Found::write(m, framed, &mut bytes);
        bytes
    };
    match found {
        Found::Nothing => call.push_nil(),
        Found::Text(text) => call.push_bytes(text),
        Found::Integer(n) => call.push_integer(n),
        Found::Number(x) => call.push_number(x),
        Found::Bool(b) => call.push_bool(b),
        Found::Uuid(text) => call.push_bytes(&text),
        Found::Uuid16(bytes) => call.push_bytes(&bytes),
        Found::Raw(m) => call.push_bytes(&whole(m, false)),
        Found::Framed(m) => call.push_bytes(&whole(m, true)),
        Found::Size(m) => call.push_integer(whole(m, false).len() as i64),
    }
}
