//! `add_to_payload` and `inject_payload`.

use std::ffi::c_int;

use detect::write_number;
use message::Text;
use mlua::ffi;

use super::inject::{admit, complete, too_much_output};
use crate::host::Host;
use crate::native::object_at;
use crate::vm::Lua;
use crate::{Api, Family};

/// `add_to_payload(...)`: appends strings, numbers, booleans, nil and objects that have a text.
pub(crate) fn add_to_payload(lua: Lua) -> c_int {
    if lua.top() == 0 {
        lua.bad_argument(0, c"must have at least one argument");
    }
    append(lua, 1, "add_to_payload");
    0
}

/// `inject_payload([type = "txt" [, name = "" [, ...]]])`: appends the rest, then injects the
/// payload. An empty payload injects nothing.
pub(crate) fn inject_payload(lua: Lua) -> c_int {
    let type_ = if lua.type_(1) <= ffi::LUA_TNIL { b"txt".as_slice() } else { lua.check_bytes(1) };
    let name = if lua.type_(2) <= ffi::LUA_TNIL { b"".as_slice() } else { lua.check_bytes(2) };
    append(lua, 3, "inject_payload");
    let host = lua.host();
    if host.payload.borrow().is_empty() {
        return 0;
    }
    if host.config.family == Family::Encoder {
        host.encoded.swap(&host.payload);
        host.has_encoded.set(true);
        host.payload.borrow_mut().clear();
        gauge(host);
        return 0;
    }
    admit(lua, "inject_payload");
    let limit = host.config.limits.output;
    if type_.len() + name.len() > limit {
        too_much_output(lua, type_.len() + name.len(), "inject_payload");
    }
    add_message(host, type_, name);
    gauge(host);
    host.injected.set(host.injected.get() + 1);
    0
}

fn add_message(host: &Host, type_: &[u8], name: &[u8]) {
    let mut payload = host.payload.borrow_mut();
    host.stored.set(host.stored.get() + payload.len() + type_.len() + name.len());
    host.with_target(|messages| {
        let mut m = messages.add();
        m.set_type(if host.config.api == Api::Heka { b"heka.sandbox-output" } else { b"inject_payload" });
        m.set_payload(&payload);
        let texts = m.messages();
        let key = texts.store(b"payload_type");
        let representation = texts.store(b"file-extension");
        let value = message::Datum::String(texts.store(type_));
        m.add_field(key, representation, value.type_(), &[value]);
        let key = m.messages().store(b"payload_name");
        let value = message::Datum::String(if name.is_empty() { Text::EMPTY } else { m.messages().store(name) });
        m.add_field(key, Text::NONE, value.type_(), &[value]);
    });
    payload.clear();
    drop(payload);
    complete(host);
}

/// Appends the arguments from `first` on; what does not fit leaves the payload as it was.
fn append(lua: Lua, first: c_int, function: &str) {
    let host = lua.host();
    let limit = host.config.limits.output;
    let before = host.payload.borrow().len();
    for n in first..=lua.top() {
        let len = append_one(lua, host, n, limit);
        match len {
            Some(len) if len <= limit => {}
            outcome => {
                host.payload.borrow_mut().truncate(before);
                match outcome {
                    Some(len) => too_much_output(lua, len, function),
                    None => lua.bad_argument(n, c"unsupported type"),
                }
            }
        }
    }
    gauge(host);
}

/// Appends one argument unless it is too long; the length the payload has or would have, or
/// nothing for a value without text. Does not raise.
fn append_one(lua: Lua, host: &Host, n: c_int, limit: usize) -> Option<usize> {
    let mut payload = host.payload.borrow_mut();
    match lua.type_(n) {
        ffi::LUA_TSTRING => {
            let text = lua.bytes(n).unwrap_or_default();
            let len = payload.len() + text.len();
            if len > limit {
                return Some(len);
            }
            payload.extend_from_slice(text);
        }
        ffi::LUA_TNUMBER if lua.is_integer(n) => write_integer(lua.integer(n).unwrap_or_default(), &mut payload),
        ffi::LUA_TNUMBER => write_number(lua.number(n).unwrap_or_default(), &mut payload),
        ffi::LUA_TBOOLEAN => payload.extend_from_slice(if lua.boolean(n) { b"true" } else { b"false" }),
        ffi::LUA_TNIL => payload.extend_from_slice(b"nil"),
        ffi::LUA_TUSERDATA => return object_at(lua, n)?.write(&mut payload, limit).then(|| payload.len()),
        _ => return None,
    }
    Some(payload.len())
}

fn gauge(host: &Host) {
    let mut output = host.output.get();
    output.set(host.payload.borrow().len() as u64);
    host.output.set(output);
}

pub(super) fn write_integer(n: i64, into: &mut Vec<u8>) {
    use std::io::Write;
    let _ = write!(into, "{n}"); // a vector takes everything
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_heka_does() {
        let text = |x| {
            let mut out = b">".to_vec();
            write_number(x, &mut out);
            String::from_utf8(out.split_off(1)).unwrap()
        };
        assert_eq!(text(0.1), "0.1");
        assert_eq!(text(1.0 / 3.0), "0.33333333");
        assert_eq!(text(2_147_483_648.0), "2147483648");
        assert_eq!(text(1e-9), "0");
        assert_eq!(text(-1e-9), "0");
        assert_eq!(text(123_456_789.123_456_79), "123456789.12345679");
        assert_eq!(text(10.0), "10");
        assert_eq!(text(-100.5), "-100.5");
        assert_eq!(text(1e20), "1e+20");
        assert_eq!(text(f64::NAN), "nan");
        assert_eq!(text(f64::NEG_INFINITY), "-inf");
    }
}
