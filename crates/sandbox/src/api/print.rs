//! `print`: to the host's log.

use std::ffi::c_int;

use super::log::{Level, MAX_LINE, is_full, keep};
use crate::vm::Lua;

/// `print(...)`: one line of the arguments, separated by tabs.
pub(crate) fn print(lua: Lua) -> c_int {
    let host = lua.host();
    if is_full(host) {
        return 0;
    }
    host.scratch.borrow_mut().clear();
    for n in 1..=lua.top() {
        lua.push_text_of(n); // may raise: nothing is borrowed
        let text = lua.bytes(-1).unwrap_or_default();
        let mut line = host.scratch.borrow_mut();
        if n > 1 {
            line.push(b'\t');
        }
        let room = MAX_LINE.saturating_sub(line.len());
        line.extend_from_slice(&text[..text.len().min(room)]);
        drop(line);
        lua.pop(1);
    }
    keep(host, Level::Info, &host.scratch.borrow());
    0
}
