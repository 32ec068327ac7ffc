//! `os`, as far as a sandbox has one: the host's time, in UTC.
//!
//! `os.time()` and `os.date()` follow the time the call brought, so that a replay is repeatable.

use std::ffi::c_int;

use mlua::ffi;

use crate::globals::wrap;
use crate::grants;
use crate::library::arguments::original;
use crate::vm::{Lua, lua_function};

pub(crate) fn open(lua: Lua) {
    lua.push_function(ffi::luaopen_os);
    lua.call(0, 1);
    let os = lua.top();
    lua.create_table(0, 4);
    for name in ["clock", "date", "difftime"] {
        lua.raw_field(os, name);
        lua.set_raw_field(-2, name);
    }
    wrap(lua, "date", lua_function!(date));
    lua.push_function(lua_function!(time));
    lua.set_raw_field(-2, "time");
    grants::extend_os(lua, os);
    lua.remove(os);
}

fn now(lua: Lua) -> i64 {
    lua.host().now().div_euclid(1_000_000_000)
}

/// Bytes of a format: each conversion takes time, and may leave little behind.
const LONGEST_FORMAT: usize = 4096;

/// `os.date([format [, time]])` with `!`, UTC, implied.
fn date(lua: Lua) -> c_int {
    lua.set_top(2);
    let format = if lua.type_(1) == ffi::LUA_TNIL { b"%c".as_slice() } else { lua.check_bytes(1) };
    if format.len() > LONGEST_FORMAT {
        lua.bad_argument(1, c"format too long");
    }
    if format.first() != Some(&b'!') {
        lua.push_bytes(b"!");
        lua.push_bytes(format);
        lua.concat(2);
        lua.replace(1);
    }
    match lua.integer(2) {
        Some(seconds) => lua.push_integer(seconds),
        None if lua.type_(2) == ffi::LUA_TNIL => lua.push_integer(now(lua)),
        None => lua.bad_argument(2, c"number expected"),
    }
    lua.replace(2);
    original(lua)
}

/// `os.time([table])`, the table read as UTC.
fn time(lua: Lua) -> c_int {
    if lua.type_(1) <= ffi::LUA_TNIL {
        lua.push_integer(now(lua));
        return 1;
    }
    lua.check_type(1, ffi::LUA_TTABLE);
    let year = part(lua, "year", None);
    let month = part(lua, "month", None);
    let day = part(lua, "day", None);
    let (hour, min, sec) = (part(lua, "hour", Some(12)), part(lua, "min", Some(0)), part(lua, "sec", Some(0)));
    lua.push_integer(days(year, month, day) * 86_400 + hour * 3600 + min * 60 + sec);
    1
}

fn part(lua: Lua, name: &str, default: Option<i64>) -> i64 {
    lua.raw_field(1, name);
    let value = match lua.bytes(-1) {
        Some(text) => std::str::from_utf8(text).ok().and_then(|t| t.trim().parse().ok()),
        None => lua.integer(-1),
    };
    match value.or(default) {
        Some(n) if n.unsigned_abs() <= 1 << 31 => n,
        Some(_) => lua.raise(format_args!("field '{name}' is out-of-bound")),
        None => lua.raise(format_args!("field '{name}' missing in date table")),
    }
}

/// Days from 1970-01-01 to this date of the proleptic Gregorian calendar; month and day may lie
/// outside of their ranges. (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".)
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year + (month - 1).div_euclid(12);
    let month = (month - 1).rem_euclid(12) + 1;
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_since_the_epoch() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 3, 1), 11_017);
        assert_eq!(days(1969, 12, 31), -1);
        assert_eq!(days(2023, 14, 1), days(2024, 2, 1));
        assert_eq!(days(2024, 2, 30), days(2024, 3, 1));
    }
}
