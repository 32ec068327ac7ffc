//! `string.format`: whole-number conversions take any number.

use std::ffi::c_int;

use mlua::ffi::lua_upvalueindex;

use super::arguments::{original, total_len, truncate};
use crate::buffer::{Buffer, Space};
use crate::vm::Lua;

/// Bytes of arguments from which on conversions are made one by one: each may take time in
/// proportion to its argument and leave nothing behind, as `%.0s` does.
const LONG: usize = 64 << 10;

pub(crate) fn format(lua: Lua) -> c_int {
    let mut rest = lua.check_bytes(1);
    let mut argument = 1;
    while let Some(directive) = next(&mut rest) {
        argument += c_int::from(directive.takes_argument());
        if directive.is_whole() {
            truncate(lua, argument);
        }
    }
    if total_len(lua) < LONG { original(lua) } else { one_by_one(lua) }
}

/// Calls the original for each conversion, so that the hook gets in between.
fn one_by_one(lua: Lua) -> c_int {
    let mut rest = lua.check_bytes(1);
    let arguments = lua.top();
    let mut argument = 1;
    let mut space = Space::uninit();
    let mut out = Buffer::new(lua, &mut space);
    while let Some(directive) = next(&mut rest) {
        lua.push_value(lua_upvalueindex(1));
        lua.push_bytes(directive.text);
        let mut given = 1;
        if directive.takes_argument() {
            argument += 1;
            if argument > arguments {
                lua.bad_argument(argument, c"no value");
            }
            lua.push_value(argument);
            given = 2;
        }
        lua.call(given, 1);
        out.add_value();
    }
    out.add(rest);
    out.push();
    1
}

/// Text up to and with one conversion.
struct Directive<'a> {
    text: &'a [u8],
}

impl Directive<'_> {
    fn takes_argument(&self) -> bool {
        self.text.last() != Some(&b'%') || self.text.len() < 2
    }

    fn is_whole(&self) -> bool {
        matches!(self.text.last(), Some(b'd' | b'i' | b'u' | b'o' | b'x' | b'X' | b'c'))
    }
}

/// Takes the next conversion, with the text before it, off the format.
fn next<'a>(rest: &mut &'a [u8]) -> Option<Directive<'a>> {
    let percent = memchr::memchr(b'%', rest)?;
    let options = rest[percent + 1..].iter().take_while(|b| b"-+ #0123456789.".contains(b)).count();
    let (text, after) = rest.split_at(rest.len().min(percent + options + 2));
    *rest = after;
    Some(Directive { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_taken_apart() {
        let mut rest = b"a %5.1f%%b%d%".as_slice();
        let texts: Vec<_> = std::iter::from_fn(|| next(&mut rest)).map(|d| (d.text.to_vec(), d.takes_argument(), d.is_whole())).collect();
        let expected: [(&[u8], bool, bool); 4] =
            [(b"a %5.1f", true, false), (b"%%", false, false), (b"b%d", true, true), (b"%", true, false)];
        assert_eq!(texts, expected.map(|(text, a, b)| (text.to_vec(), a, b)));
        assert!(rest.is_empty());
    }
}
