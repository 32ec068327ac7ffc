//! `every`: timers that a script sets up while it loads.

use std::ffi::c_int;
use std::time::Duration;

use mlua::ffi;
use options::unit;

use crate::failure::Entry;
use crate::vm::{Lossy, Lua, REGISTRY};

const MAX_TIMERS: usize = 64;
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// `every(interval, f)`; the interval is a text such as `"10s"`, or a number of seconds.
pub(super) fn every(lua: Lua) -> c_int {
    let host = lua.host();
    if host.entry.get() != Entry::Load {
        lua.raise(format_args!(
            "every() sets timers up while the script loads: call it in the main part, not in {}",
            host.entry.get().name()
        ));
    }
    let Some(interval) = interval(lua) else {
        let shown = lua.bytes(1).unwrap_or_default();
        lua.raise(format_args!(
            "every('{}'): expected a duration from 10ms to 366d, such as \"500ms\", \"10s\", \"1m\" or \"1h\"",
            Lossy(&shown[..shown.len().min(40)])
        ));
    };
    lua.check_type(2, ffi::LUA_TFUNCTION);
    if host.timers.borrow().len() >= MAX_TIMERS {
        lua.raise(format_args!("every() sets up at most {MAX_TIMERS} timers"));
    }
    lua.set_top(2);
    let function = lua.make_ref(REGISTRY);
    host.timers.borrow_mut().push((interval, function));
    0
}

/// Argument 1, if it is an interval in range. Raises when it is no text and no number.
fn interval(lua: Lua) -> Option<Duration> {
    let interval = match lua.type_(1) {
        ffi::LUA_TNUMBER => Duration::try_from_secs_f64(lua.number(1)?).ok()?,
        ffi::LUA_TSTRING => unit::duration(std::str::from_utf8(lua.bytes(1)?).ok()?).ok()?,
        _ => lua.bad_type(1, "duration"),
    };
    (SHORTEST..=LONGEST).contains(&interval).then_some(interval)
}
