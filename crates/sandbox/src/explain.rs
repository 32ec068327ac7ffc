//! A failed call in words: where, which limit, how much of what, what took it, which option to
//! change, and the message that was being processed.

use std::ffi::c_int;
use std::fmt::Write;
use std::time::Duration;

use message::MessageRef;

use crate::api::inject::{INJECTION, OUTPUT};
use crate::failure::{Entry, span};
use crate::largest::largest;
use crate::state::State;
use crate::stop;
use crate::vm::{Place, Raised};
use crate::{Failure, FailureKind, dialect};

/// Bytes shown of each text of the message.
const SHOWN: usize = 80;

/// What to say about a call that ended with an error, whose value is on top of the stack.
pub(crate) fn failure(state: &State, status: c_int, entry: Entry) -> Failure {
    let stopped = state.host.stopped.get();
    let (kind, mut message) = match stopped {
        Some(kind) => (kind, of_stop(state, kind, entry)),
        None => of_error(state, state.lua.take_error(status), entry),
    };
    let limit = !matches!(kind, FailureKind::Error | FailureKind::Stopped);
    if let (true, Some(about)) = (limit, state.host.message().and_then(subject)) {
        message.push(' ');
        message.push_str(&about);
    }
    Failure { kind, message }
}

fn of_stop(state: &State, kind: FailureKind, entry: Entry) -> String {
    let (place, struck) = (shown(state.host.place.get()), stop::struck());
    let (name, per) = (entry.name(), entry.per());
    match kind {
        FailureKind::Stopped => format!("{place}stopped"),
        FailureKind::Cpu => {
            let used = Duration::from_nanos(state.host.worker.used());
            let limit = Duration::from_nanos(state.budget(entry));
            format!("{place}CPU budget used up: {} of {} in {name}{struck}. Raise cpu_limit or do less {per}.", span(used), span(limit))
        }
        _ => {
            let limit = state.host.config.limits.instructions.unwrap_or_default();
            format!("{place}instruction_limit exceeded: {limit} of {limit} in {name}{struck}. Raise instruction_limit or do less {per}.")
        }
    }
}

fn of_error(state: &State, raised: Raised, entry: Entry) -> (FailureKind, String) {
    let host = &*state.host;
    let starved = raised.out_of_memory || raised.message.ends_with("not enough memory");
    if let (Some(refusal), true) = (state.memory.refused(), starved) {
        let (place, cap) = (shown(refusal.place), state.memory.cap());
        let (held, wanted, name) = (grouped(refusal.held), grouped(refusal.wanted), entry.name());
        let mut message = format!("{place}not enough memory: {held} of {} bytes used, {wanted} more asked for in {name}.", grouped(cap));
        if let Some(largest) = largest(state.lua, refusal.held) {
            message = message + " " + &largest;
        }
        return (FailureKind::Memory, message + " Raise memory_limit or keep less.");
    }
    let place = host.place.get();
    let located = raised.message.as_bytes().starts_with(place.source()) || raised.message.contains(".lua:");
    let message = if place.line > 0 && !located { format!("{place}: {}", raised.message) } else { raised.message };
    let message = match dialect::why_absent(&message) {
        Some(why) => format!("{message}: {why}"),
        None => message,
    };
    let kind = match host.refused.get() {
        Some(FailureKind::Output) if message.contains(OUTPUT) => FailureKind::Output,
        Some(FailureKind::Injection) if message.contains(INJECTION) => FailureKind::Injection,
        _ => FailureKind::Error,
    };
    (kind, message)
}

/// A place in front of a message, where it is known.
fn shown(place: Place) -> String {
    if place.line > 0 { format!("{place}: ") } else { String::new() }
}

/// `The message: Type "nginx.access", Logger "web", Payload "GET /…" (2,048 bytes).`
fn subject(m: MessageRef<'_>) -> Option<String> {
    let texts = [("Type", m.type_()), ("Logger", m.logger()), ("Payload", m.payload())];
    let told: Vec<String> = texts
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| {
            let cut = if text.len() > SHOWN { format!(" ({} bytes)", grouped(text.len())) } else { String::new() };
            format!("{name} {}{cut}", escaped(text, SHOWN))
        })
        .collect();
    (!told.is_empty()).then(|| format!("The message: {}.", told.join(", ")))
}

/// At most so many bytes, quoted, without anything that a terminal would act on.
pub(crate) fn escaped(bytes: &[u8], most: usize) -> String {
    let mut out = String::from("\"");
    let mut rest = &bytes[..bytes.len().min(most)];
    if let Err(e) = std::str::from_utf8(rest)
        && e.error_len().is_none()
        && rest.len() < bytes.len()
    {
        rest = &rest[..e.valid_up_to()]; // the cut is within a character
    }
    for chunk in rest.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                // Those that reorder or hide what is around them, too.
                c if c.is_control()
                    || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}') =>
                {
                    out.extend(c.escape_default());
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing to memory does not fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push_str(if rest.len() < bytes.len() { "…\"" } else { "\"" });
    out
}

/// Digits in groups of three: `81,203`.
pub(crate) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let all = [0, 999, 1000, 81_203, 1_048_576].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "81,203", "1,048,576"]);
    }

    #[test]
    fn texts_are_quoted_and_cut_between_characters() {
        assert_eq!(escaped(b"a\"\\\n\x1b[31m\xff\0", 80), r#""a\"\\\n\u{1b}[31m\xff\u{0}""#);
        assert_eq!(escaped("naïve".as_bytes(), 3), "\"na…\"");
        assert_eq!(escaped("naïve".as_bytes(), 4), "\"naï…\"");
        assert_eq!(escaped("\u{202e}x".as_bytes(), 9), r#""\u{202e}x""#);
        assert_eq!(escaped(b"\xc3", 9), r#""\xc3""#);
    }
}
