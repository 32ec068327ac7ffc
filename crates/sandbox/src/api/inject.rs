//! `inject_message`, and what every injected message gets.

use std::ffi::c_int;

use message::{Header, Messages, wire};
use mlua::ffi;

use super::stream;
use super::table::{self, Invalid};
use crate::failure::FailureKind;
use crate::host::Host;
use crate::native::Error;
use crate::vm::Lua;
use crate::{Api, Family, failure, input, stop};

/// Prefix of the `Type` of what filters inject.
const PREFIX: &[u8] = b"heka.sandbox.";
/// Bytes of arena that calls may use up in all, per message they may inject.
const WASTE: usize = 2;
/// The same where the number of messages has no limit, in multiples of the output limit.
const MOST_STORED: usize = 16;

/// `inject_message(table)`, `inject_message(protobuf)` or `inject_message(stream reader)`.
pub(crate) fn inject_message(lua: Lua) -> c_int {
    let host = lua.host();
    let input = host.config.family == Family::Input;
    let empty = if input { check_input(lua) } else { check(lua) };
    admit(lua, "inject_message");
    if !empty {
        add(lua, host);
        host.injected.set(host.injected.get() + 1);
    }
    if input && !input::send(lua, host, !empty) {
        stop::stop(lua, FailureKind::Stopped);
    }
    if host.config.family == Family::Encoder {
        encode(host);
    }
    0
}

/// Checks the arguments, and whether they are a checkpoint only.
fn check(lua: Lua) -> bool {
    if lua.top() != 1 || !is_message(lua) {
        lua.raise(format_args!("inject_message() takes a single string or table argument"));
    }
    false
}

/// As `check`, for an input: the message may be nil when there is a checkpoint.
fn check_input(lua: Lua) -> bool {
    let checkpoint = match lua.type_(2) {
        ffi::LUA_TNUMBER | ffi::LUA_TSTRING => true,
        ffi::LUA_TNONE | ffi::LUA_TNIL => false,
        _ => lua.bad_type(2, "number or string"),
    };
    let empty = lua.type_(1) <= ffi::LUA_TNIL;
    if lua.top() > 2 || (empty && !checkpoint) || (!empty && !is_message(lua)) {
        lua.raise(format_args!("inject_message() takes a string, table or stream reader, or nil and a checkpoint"));
    }
    let limit = lua.host().config.limits.output;
    if lua.bytes(2).is_some_and(|text| text.len() > limit) {
        too_much_output(lua, limit + 1, "inject_message");
    }
    empty
}

fn is_message(lua: Lua) -> bool {
    matches!(lua.type_(1), ffi::LUA_TTABLE | ffi::LUA_TSTRING) || stream::is_reader(lua, 1)
}

/// Adds the message that argument 1 describes. Raises when it does not.
fn add(lua: Lua, host: &Host) {
    let limit = host.config.limits.output;
    let outcome = match lua.bytes(1) {
        _ if lua.is_table(1) => add_table(lua, host, limit),
        Some(bytes) => add_encoded(host, bytes, limit),
        None => stream::with_bytes(lua, 1, |bytes| add_encoded(host, bytes, limit)).unwrap_or(Err(Invalid::Empty)),
    };
    match outcome {
        Ok(()) => {}
        Err(Invalid::Stopped) => stop::stop(lua, FailureKind::Cpu),
        Err(Invalid::TooLong(_)) => too_much_output(lua, limit + 1, "inject_message"),
        Err(invalid) => lua.raise(format_args!("inject_message() {invalid}")),
    }
}

/// Keeps the bytes of the message an encoder just added, as what it made of the one at hand.
fn encode(host: &Host) {
    let (mut own, mut encoded) = (host.own().borrow_mut(), host.encoded.borrow_mut());
    let Some(at) = own.len().checked_sub(1) else { return }; // on a tick it joins the others
    encoded.clear();
    wire::encode(own.view(b"", at), &mut encoded);
    host.has_encoded.set(true);
    if at == 0 { own.clear() } else { own.truncate(at) }
}

fn add_table(lua: Lua, host: &Host, limit: usize) -> Result<(), Invalid> {
    let outcome = host.with_target(|messages| {
        let (outcome, stored) = table::add_message(lua, 1, messages, limit);
        host.stored.set(host.stored.get() + stored);
        outcome
    });
    if let Some(Ok(())) = outcome {
        complete(host);
    }
    outcome.unwrap_or(Ok(()))
}

fn add_encoded(host: &Host, bytes: &[u8], limit: usize) -> Result<(), Invalid> {
    if bytes.len() > limit {
        return Err(Invalid::TooLong(limit));
    }
    host.stored.set(host.stored.get() + bytes.len());
    let added = host.with_target(|messages| {
        let at = messages.store(bytes);
        wire::decode(bytes, at, messages).is_ok()
    });
    if added != Some(true) {
        return Err(Invalid::Protobuf);
    }
    complete(host);
    Ok(())
}

/// Raises unless one more message may be injected.
pub(super) fn admit(lua: Lua, function: &str) {
    let host = lua.host();
    if host.target.get().is_null() {
        lua.raise(format_args!("{function}() is not possible in {}", host.entry.get().name()));
    }
    let hops = host.message().map_or(0, |m| m.hops());
    if host.config.family == Family::Filter && host.config.max_hops > 0 && hops >= host.config.max_hops {
        lua.raise(format_args!("{function}() exceeded MaxMsgLoops"));
    }
    let (used, max) = (host.injected.get() + 1, host.max_inject.get());
    if host.config.family == Family::Input {
        host.own().borrow_mut().clear(); // of what was refused before
        host.stored.set(0);
    }
    let stored = host.stored.get();
    if max == usize::MAX && stored > host.config.limits.output.saturating_mul(MOST_STORED) {
        too_much_output(lua, stored, function);
    }
    if used > max || stored > max.saturating_add(1).saturating_mul(host.config.limits.output).saturating_mul(WASTE) {
        host.refused.set(Some(FailureKind::Injection));
        let entry = host.entry.get();
        let option = if entry == failure::Entry::TimerEvent { "max_timer_inject" } else { "max_process_inject" };
        lua.raise(format_args!(
            "{function}() {INJECTION}: {used} of {max} in {}. Raise {option} or inject less {}.",
            entry.name(),
            entry.per()
        ));
    }
}

/// What errors about broken limits can be told by.
pub(crate) const INJECTION: &str = "exceeded InjectMessage count";
pub(crate) const OUTPUT: &str = "output_limit exceeded";

/// Raises because so many bytes are more than a payload or message may have.
pub(super) fn too_much_output(lua: Lua, used: usize, function: &str) -> ! {
    let host = lua.host();
    host.refused.set(Some(FailureKind::Output));
    let limit = host.config.limits.output;
    lua.raise(format_args!("{OUTPUT}: {used} of {limit} bytes in {function}. Raise output_limit or write less at once."))
}

/// The same for a native function, which hands the error on.
pub(super) fn too_long(host: &Host, used: usize, function: &str) -> Error {
    host.refused.set(Some(FailureKind::Output));
    let limit = host.config.limits.output;
    Error::message(format!("{OUTPUT}: {used} of {limit} bytes in {function}. Raise output_limit or write less at once."))
}

/// Fills in what the script left out of the message it just added, and forces what it may not
/// choose. Pure Rust: nothing raises.
pub(super) fn complete(host: &Host) {
    let family = host.config.family;
    let original = match family {
        Family::Decoder | Family::Transform => host.message().map(Original::of),
        _ => None,
    };
    host.with_target(|messages| {
        let at = messages.len() - 1;
        if family == Family::Filter && host.config.api == Api::Heka {
            prefix_type(messages, at);
        }
        if let Some(original) = original {
            original.fill(messages, at);
        }
        if host.config.restricted_headers.unwrap_or(family == Family::Filter) {
            let mut m = messages.message(at);
            m.set_logger(host.config.name.as_bytes());
            m.set_hostname(host.config.hostname.as_bytes());
            if host.config.api == Api::Hindsight && host.config.pid != 0 {
                m.set_pid(host.config.pid);
            }
        }
        if family == Family::Encoder {
            let mut m = messages.message(at);
            if m.timestamp() == 0 {
                m.set_timestamp(host.now());
            }
        } else {
            fill(host, messages, at);
        }
    });
}

/// Sets headers that are unset to the host's own: the time of the call, and who and where we are.
pub(super) fn fill(host: &Host, messages: &mut Messages, at: usize) {
    let mut m = messages.message(at);
    if m.timestamp() == 0 {
        m.set_timestamp(host.now());
    }
    for (header, own) in [(Header::Logger, &host.config.name), (Header::Hostname, &host.config.hostname)] {
        if !m.has(header) && !own.is_empty() {
            let own = m.messages().store(own.as_bytes());
            m.set_text_header(header, own);
        }
    }
    if !m.has(Header::Pid) && host.config.pid != 0 {
        m.set_pid(host.config.pid);
    }
}

fn prefix_type(messages: &mut Messages, at: usize) {
    // What was just added has all its texts in the arena.
    let given = messages.view(b"", at).type_();
    if given == b"heka.sandbox-output" || given.starts_with(PREFIX) {
        return;
    }
    let type_ = [PREFIX, given].concat();
    messages.message(at).set_type(&type_);
}

/// Headers that messages injected by a decoder or transform take over from the one it works on.
struct Original {
    timestamp: i64,
    texts: [(Header, Option<Vec<u8>>); 3],
    severity: Option<i32>,
    pid: Option<i32>,
}

impl Original {
    fn of(m: message::MessageRef<'_>) -> Original {
        let text = |h| (h, m.has(h).then(|| m.text_header(h).to_vec()));
        Original {
            timestamp: m.timestamp(),
            texts: [text(Header::Type), text(Header::Logger), text(Header::Hostname)],
            severity: m.has(Header::Severity).then(|| m.severity()),
            pid: m.has(Header::Pid).then(|| m.pid()),
        }
    }

    fn fill(self, messages: &mut Messages, at: usize) {
        let mut m = messages.message(at);
        if m.timestamp() == 0 {
            m.set_timestamp(self.timestamp);
        }
        for (header, text) in self.texts {
            if let (false, Some(text)) = (m.has(header), text) {
                let text = m.messages().store(&text);
                m.set_text_header(header, text);
            }
        }
        if let (false, Some(severity)) = (m.has(Header::Severity), self.severity) {
            m.set_severity(severity);
        }
        if let (false, Some(pid)) = (m.has(Header::Pid), self.pid) {
            m.set_pid(pid);
        }
    }
}
