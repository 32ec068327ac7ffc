//! `string.find`, `match`, `gmatch` and `gsub`.

use std::ffi::c_int;
use std::mem;

use memchr::memmem;
use mlua::ffi::{self, lua_upvalueindex};
use pattern::{Captured, Fault, Matcher, is_plain};

use super::arguments::truncate;
use crate::buffer::{Buffer, Space};
use crate::failure::FailureKind;
use crate::stop;
use crate::vm::{Lua, lua_function};

/// The matcher of a call: it stops when the watchdog says so. It has no destructor, so that
/// errors may be raised while it is alive.
fn matcher<'a>(lua: Lua, subject: &'a [u8], pattern: &'a [u8]) -> Matcher<'a, impl FnMut() -> bool + use<'a>> {
    let host = lua.host();
    without_destructor(Matcher::new(subject, pattern, || host.tripped()))
}

fn without_destructor<T>(value: T) -> T {
    const { assert!(!mem::needs_drop::<T>()) };
    value
}

/// What came out, or raises.
fn settled<T>(lua: Lua, outcome: Result<T, Fault>) -> T {
    match outcome {
        Ok(value) => value,
        Err(Fault::Stopped) => stop::stop(lua, FailureKind::Cpu),
        Err(fault) => lua.raise(format_args!("{fault}")),
    }
}

pub(crate) fn find(lua: Lua) -> c_int {
    find_or_match(lua, true)
}

pub(crate) fn match_(lua: Lua) -> c_int {
    find_or_match(lua, false)
}

fn find_or_match(lua: Lua, positions: bool) -> c_int {
    let (subject, pattern) = (lua.check_bytes(1), lua.check_bytes(2));
    let Some(from) = start(lua, subject.len()) else {
        lua.push_nil();
        return 1;
    };
    if positions && (lua.boolean(4) || is_plain(pattern)) {
        return find_plain(lua, subject, pattern, from);
    }
    let (pattern, anchored) = pattern.strip_prefix(b"^").map_or((pattern, false), |p| (p, true));
    let mut m = matcher(lua, subject, pattern);
    let found = if anchored { m.match_at(from).map(|end| end.map(|end| (from, end))) } else { m.search(from, None) };
    let Some(span) = settled(lua, found) else {
        lua.push_nil();
        return 1;
    };
    if positions {
        push_span(lua, span);
        return push_captures(lua, &m, m.level(), span) + 2;
    }
    push_captures(lua, &m, m.count(), span)
}

/// Where the third argument says to begin; nothing beyond the end.
fn start(lua: Lua, len: usize) -> Option<usize> {
    truncate(lua, 3);
    let from = match lua.integer_or(3, 1) {
        n @ 1.. => usize::try_from(n).unwrap_or(usize::MAX) - 1,
        0 => 0,
        n => len.saturating_sub(usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    (from <= len).then_some(from)
}

/// Bytes that are searched without much ado.
const SHORT: usize = 512;
/// Bytes searched between two questions whether to stop.
const STRETCH: usize = 1 << 20;

fn find_plain(lua: Lua, subject: &[u8], text: &[u8], from: usize) -> c_int {
    let rest = &subject[from..];
    let found = match rest.len() {
        len if len <= SHORT => find_near(rest, text),
        len if len <= STRETCH => memmem::find(rest, text),
        _ => find_far(lua, rest, text),
    };
    let Some(n) = found else {
        lua.push_nil();
        return 1;
    };
    push_span(lua, (from + n, from + n + text.len()));
    2
}

/// Without preparations, which take longer than the search in a short text.
fn find_near(subject: &[u8], text: &[u8]) -> Option<usize> {
    let [first, ..] = text else { return Some(0) };
    memchr::memchr_iter(*first, subject).find(|&n| subject[n..].starts_with(text))
}

fn find_far(lua: Lua, subject: &[u8], text: &[u8]) -> Option<usize> {
    // It borrows its text, so there is nothing to drop when an error passes.
    let finder = mem::ManuallyDrop::new(memmem::Finder::new(text));
    let stretch = STRETCH.max(text.len());
    let mut at = 0;
    while at < subject.len() {
        stop::check(lua);
        let end = subject.len().min(at + stretch + text.len());
        if let Some(n) = finder.find(&subject[at..end]) {
            return Some(at + n);
        }
        at += stretch;
    }
    None
}

fn push_span(lua: Lua, (start, end): (usize, usize)) {
    lua.push_integer(start as i64 + 1);
    lua.push_integer(end as i64);
}

/// Pushes the first `count` captures.
fn push_captures<S: FnMut() -> bool>(lua: Lua, m: &Matcher<'_, S>, count: usize, span: (usize, usize)) -> c_int {
    if !lua.reserve(count as c_int) {
        lua.raise(format_args!("stack overflow (too many captures)"));
    }
    for n in 0..count {
        push_capture(lua, m, n, span);
    }
    count as c_int
}

fn push_capture<S: FnMut() -> bool>(lua: Lua, m: &Matcher<'_, S>, n: usize, span: (usize, usize)) {
    match settled(lua, m.capture(n, span)) {
        Captured::Text(text) => lua.push_bytes(text),
        Captured::Position(at) => lua.push_integer(at as i64),
    }
}

/// What the function that `gmatch` returns goes by: its first upvalue. The texts belong to strings
/// that are its second and third.
struct Progress {
    subject: *const [u8],
    pattern: *const [u8],
    next: usize,
    /// The end of the last match, at which no empty match counts.
    last: Option<usize>,
}

pub(crate) fn gmatch(lua: Lua) -> c_int {
    let (subject, pattern) = (lua.check_bytes(1), lua.check_bytes(2));
    let next = start(lua, subject.len()).unwrap_or(subject.len() + 1);
    lua.set_top(2);
    lua.push_plain(Progress { subject, pattern, next, last: None });
    lua.insert(1);
    lua.push_closure(lua_function!(next_match), 3);
    1
}

fn next_match(lua: Lua) -> c_int {
    // SAFETY: `gmatch` made this upvalue, nobody else sees it, and it keeps the strings alive. This
    // function calls no script, so it does not run again while the reference is alive.
    let (progress, subject, pattern) = unsafe {
        let progress = &mut *lua.to_userdata(lua_upvalueindex(1)).cast::<Progress>();
        let (subject, pattern) = (&*progress.subject, &*progress.pattern);
        (progress, subject, pattern)
    };
    let mut m = matcher(lua, subject, pattern);
    let found = m.search(progress.next, progress.last);
    let Some(span) = settled(lua, found) else { return 0 };
    (progress.next, progress.last) = (span.1, Some(span.1));
    push_captures(lua, &m, m.count(), span)
}

pub(crate) fn gsub(lua: Lua) -> c_int {
    let (subject, pattern) = (lua.check_bytes(1), lua.check_bytes(2));
    let kind = lua.type_(3);
    truncate(lua, 4);
    let most = lua.integer_or(4, subject.len() as i64 + 1);
    if !matches!(kind, ffi::LUA_TNUMBER | ffi::LUA_TSTRING | ffi::LUA_TFUNCTION | ffi::LUA_TTABLE) {
        lua.bad_type(3, "string/function/table");
    }
    let text = if matches!(kind, ffi::LUA_TNUMBER | ffi::LUA_TSTRING) { Some(lua.check_bytes(3)) } else { None };
    lua.set_top(3);
    let (pattern, anchored) = pattern.strip_prefix(b"^").map_or((pattern, false), |p| (p, true));
    let mut m = matcher(lua, subject, pattern);
    let mut space = Space::uninit();
    let mut out = Buffer::new(lua, &mut space);
    // Matches so far, whether one was replaced, the end of the last, and of what was copied.
    let (mut count, mut changed, mut last, mut copied) = (0, false, None, 0);
    while count < most {
        let from = last.unwrap_or(0);
        let found = if anchored { m.match_at(0).map(|end| end.map(|end| (0, end))) } else { m.search(from, last) };
        let Some(span) = settled(lua, found) else { break };
        count += 1;
        out.add(&subject[copied..span.0]);
        copied = span.0;
        if let Some(text) = text {
            expand(lua, &mut m, &mut out, text, span);
            (changed, copied) = (true, span.1);
        } else if replacement(lua, &mut m, kind, span) {
            out.add_value();
            (changed, copied) = (true, span.1);
        }
        last = Some(span.1);
        if anchored {
            break;
        }
    }
    if changed {
        out.add(&subject[copied..]);
        out.push();
    } else {
        lua.push_value(1);
    }
    lua.push_integer(count);
    2
}

/// Adds the replacement text of a match, with captures filled in.
fn expand<S: FnMut() -> bool>(lua: Lua, m: &mut Matcher<'_, S>, out: &mut Buffer<'_>, mut text: &[u8], span: (usize, usize)) {
    while let Some(n) = memchr::memchr(b'%', text) {
        settled(lua, m.spend(1 + n / 8));
        out.add(&text[..n]);
        match text.get(n + 1) {
            Some(b'%') => out.add(b"%"),
            Some(b'0') => out.add(m.text(span)),
            Some(digit @ b'1'..=b'9') => add_capture(lua, out, settled(lua, m.capture(usize::from(digit - b'1'), span))),
            _ => lua.raise(format_args!("invalid use of '%' in replacement string")),
        }
        text = &text[n + 2..];
    }
    out.add(text);
}

fn add_capture(lua: Lua, out: &mut Buffer<'_>, captured: Captured<'_>) {
    match captured {
        Captured::Text(text) => out.add(text),
        Captured::Position(at) => {
            lua.push_integer(at as i64);
            out.add_value();
        }
    }
}

/// Asks the function or table for the replacement and pushes it, unless that is nil or false.
fn replacement<S: FnMut() -> bool>(lua: Lua, m: &mut Matcher<'_, S>, kind: c_int, span: (usize, usize)) -> bool {
    if kind == ffi::LUA_TFUNCTION {
        lua.push_value(3);
        let arguments = push_captures(lua, m, m.count(), span);
        lua.call(arguments, 1);
    } else {
        settled(lua, m.spend(LOOK_UP));
        push_capture(lua, m, 0, span);
        lua.get_table(3);
    }
    if !lua.boolean(-1) {
        lua.pop(1);
        return false;
    }
    if !matches!(lua.type_(-1), ffi::LUA_TSTRING | ffi::LUA_TNUMBER) {
        lua.raise(format_args!("invalid replacement value (a {})", lua.type_name(-1)));
    }
    true
}

/// Steps that looking a key up is worth: metatables may make it long.
const LOOK_UP: usize = 256;
