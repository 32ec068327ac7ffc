//! `inject_message`, and what every injected message gets.

use std::ffi::c_int;

use message::{Header, Messages, wire};
use mlua::ffi;

use super::table::{self, Invalid};
use crate::failure::FailureKind;
use crate::host::Host;
use crate::vm::Lua;
use crate::{Family, failure, stop};

/// Prefix of the `Type` of what filters inject.
const PREFIX: &[u8] = b"heka.sandbox.";
/// Bytes of arena that calls may use up in all, per message they may inject.
const WASTE: usize = 2;

/// `inject_message(table)` or `inject_message(protobuf)`
pub(crate) fn inject_message(lua: Lua) -> c_int {
    let kind = lua.type_(1);
    if lua.top() != 1 || (kind != ffi::LUA_TTABLE && kind != ffi::LUA_TSTRING) {
        lua.raise(format_args!("inject_message() takes a single string or table argument"));
    }
    admit(lua, "inject_message");
    let host = lua.host();
    let limit = host.config.limits.output;
    let invalid = match lua.bytes(1) {
        Some(bytes) if bytes.len() > limit => Err(Invalid::TooLong(limit)),
        Some(bytes) => {
            if !add_encoded(host, bytes) {
                lua.raise(format_args!("inject_message() protobuf unmarshal failed"));
            }
            Ok(())
        }
        None => add_table(lua, host, limit),
    };
    match invalid {
        Ok(()) => {}
        Err(Invalid::Stopped) => stop::stop(lua, FailureKind::Cpu),
        Err(Invalid::TooLong(_)) => too_much_output(lua, limit + 1, "inject_message"),
        Err(invalid) => lua.raise(format_args!("inject_message() {invalid}")),
    }
    host.injected.set(host.injected.get() + 1);
    0
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

fn add_encoded(host: &Host, bytes: &[u8]) -> bool {
    host.stored.set(host.stored.get() + bytes.len());
    let added = host.with_target(|messages| {
        let at = messages.store(bytes);
        wire::decode(bytes, at, messages).is_ok()
    });
    if added == Some(true) {
        complete(host);
    }
    added == Some(true)
}

/// Raises unless one more message may be injected.
pub(super) fn admit(lua: Lua, function: &str) {
    let host = lua.host();
    if host.target.get().is_null() {
        lua.raise(format_args!("{function}() is not possible in {}", host.entry.get().name()));
    }
    let (used, max) = (host.injected.get() + 1, host.max_inject.get());
    let stored = host.stored.get();
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

/// Fills in what the script left out of the message it just added, and forces what it may not
/// choose. Pure Rust: nothing raises.
pub(super) fn complete(host: &Host) {
    let family = host.config.family;
    let filter = family == Family::Filter;
    let original = if filter { None } else { host.message().map(Original::of) };
    host.with_target(|messages| {
        let at = messages.len() - 1;
        let mut m = messages.message(at);
        if m.timestamp() == 0 {
            m.set_timestamp(original.as_ref().map_or(host.now_ns.get(), |o| o.timestamp));
        }
        if filter {
            prefix_type(m.messages(), at);
            let mut m = messages.message(at);
            m.set_logger(host.config.name.as_bytes());
            m.set_hostname(host.config.hostname.as_bytes());
        } else if let Some(original) = original {
            original.fill(messages, at);
        }
        let mut m = messages.message(at);
        for (header, own) in [(Header::Logger, &host.config.name), (Header::Hostname, &host.config.hostname)] {
            if !m.has(header) && !own.is_empty() {
                let own = m.messages().store(own.as_bytes());
                m.set_text_header(header, own);
            }
        }
        if !m.has(Header::Pid) && host.config.pid != 0 {
            m.set_pid(host.config.pid);
        }
    });
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
