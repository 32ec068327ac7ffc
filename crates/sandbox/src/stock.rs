//! Lua's own functions, by name, without the tables they come in.
//!
//! A library of Lua's opens all at once, and what a script never touches is a quarter of an idle
//! sandbox. None of these functions has upvalues, so each is a plain pointer that is good in any
//! state: they are looked up once a process, in a state made for that, and a sandbox takes the ones
//! it uses.

use std::ffi::c_int;
use std::sync::OnceLock;

use mlua::ffi::{self, lua_CFunction, lua_State};

/// Sorted by name.
type Functions = Vec<(Box<[u8]>, lua_CFunction)>;

#[derive(Default)]
struct Stock {
    base: Functions,
    string: Functions,
    /// Of strings: arithmetic with numerals.
    metamethods: Functions,
}

/// A base function such as `pairs`.
pub(crate) fn base(name: &[u8]) -> Option<lua_CFunction> {
    find(&stock().base, name)
}

/// A function of `string`.
pub(crate) fn string(name: &[u8]) -> Option<lua_CFunction> {
    find(&stock().string, name)
}

/// The metamethods of strings, but for `__index`.
pub(crate) fn string_metamethods() -> impl Iterator<Item = (&'static str, lua_CFunction)> {
    stock().metamethods.iter().filter_map(|(name, f)| Some((std::str::from_utf8(name).ok()?, *f)))
}

fn find(functions: &Functions, name: &[u8]) -> Option<lua_CFunction> {
    functions.binary_search_by(|(n, _)| (**n).cmp(name)).ok().map(|at| functions[at].1)
}

fn stock() -> &'static Stock {
    static STOCK: OnceLock<Stock> = OnceLock::new();
    STOCK.get_or_init(|| {
        let mut stock = Stock::default();
        // SAFETY: a state of its own, which is closed again. `take` gets the stock, which outlives the call.
        let status = unsafe {
            let state = ffi::luaL_newstate();
            if state.is_null() {
                std::process::abort(); // as Rust's own allocations do when the system has no memory left
            }
            ffi::lua_pushcfunction(state, take);
            ffi::lua_pushlightuserdata(state, (&raw mut stock).cast());
            let status = ffi::lua_pcall(state, 1, 0, 0);
            ffi::lua_close(state);
            status
        };
        if status != ffi::LUA_OK {
            std::process::abort(); // likewise: nothing else can go wrong
        }
        stock
    })
}

/// Fills the stock, its argument.
unsafe extern "C-unwind" fn take(state: *mut lua_State) -> c_int {
    // SAFETY: called by `stock` with a live state and the stock. What is pushed is popped; while the
    // lists grow nothing is called that raises.
    unsafe {
        let stock = &mut *ffi::lua_touserdata(state, 1).cast::<Stock>();
        ffi::lua_pushcfunction(state, ffi::luaopen_base);
        ffi::lua_call(state, 0, 1);
        functions(state, &mut stock.base);
        ffi::lua_pushcfunction(state, ffi::luaopen_string);
        ffi::lua_call(state, 0, 1);
        functions(state, &mut stock.string);
        ffi::lua_pushstring(state, c"".as_ptr());
        ffi::lua_getmetatable(state, -1);
        functions(state, &mut stock.metamethods);
    }
    0
}

/// The C functions of the table on top of the stack.
///
/// # Safety
/// A live state with a table on top.
unsafe fn functions(state: *mut lua_State, found: &mut Functions) {
    // SAFETY: by contract; keys are strings, and `lua_next` raises nothing for keys of the table.
    unsafe {
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, -2) != 0 {
            let without_upvalues = ffi::lua_getupvalue(state, -1, 1).is_null();
            if let (Some(function), true) = (ffi::lua_tocfunction(state, -1), without_upvalues) {
                let mut len = 0;
                let name = ffi::lua_tolstring(state, -2, &mut len);
                found.push((std::slice::from_raw_parts(name.cast::<u8>(), len).into(), function));
            }
            ffi::lua_pop(state, 1);
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_lua_is_there() {
        let names = |f: &Functions| f.iter().map(|(n, _)| String::from_utf8_lossy(n).into_owned()).collect::<Vec<_>>().join(" ");
        assert_eq!(
            names(&stock().base),
            "assert collectgarbage dofile error getmetatable ipairs load loadfile next pairs pcall print rawequal rawget rawlen rawset select setmetatable tonumber tostring type warn xpcall"
        );
        assert_eq!(
            names(&stock().string),
            "byte char dump find format gmatch gsub len lower match pack packsize rep reverse sub unpack upper"
        );
        assert_eq!(string_metamethods().count(), 8);
        assert!(base(b"pairs").is_some() && base(b"pair").is_none() && string(b"byte").is_some());
    }
}
