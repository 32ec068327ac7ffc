//! `print`: to the host's log.

use std::ffi::c_int;

use crate::vm::Lua;

/// Lines kept until the host takes them, and bytes of a line; what is beyond is counted or cut.
const MAX_LINES: usize = 32;
const MAX_LINE: usize = 512;

/// `print(...)`: one line of the arguments, separated by tabs.
pub(crate) fn print(lua: Lua) -> c_int {
    let host = lua.host();
    if host.log.borrow().len() >= MAX_LINES {
        host.log_dropped.set(host.log_dropped.get() + 1);
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
    let line = String::from_utf8_lossy(&host.scratch.borrow()).into_owned();
    host.log.borrow_mut().push(line);
    0
}
