//! The raw Lua state, and the few words in which the rest of the crate speaks to it.
//!
//! A Lua error is a `longjmp`: it leaves Rust frames without running destructors. So the one rule
//! of this crate: **no value with a destructor is alive across a call that can raise.** Methods of
//! [`Lua`] that can raise say so; whatever has to outlive an error is owned by the host.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::{self, Write};
use std::mem;

use mlua::ffi::{self, lua_CFunction, lua_State};

use crate::allocator::Memory;
use crate::host::Host;

/// A live Lua state. It is made by `unsafe` only, and its maker promises that the state lives as
/// long as the value is used, that stack indices are valid, and the rule above. A copy is free.
#[derive(Clone, Copy)]
pub(crate) struct Lua(*mut lua_State);

/// Turns a `fn(Lua) -> c_int` into a C function for Lua.
macro_rules! lua_function {
    ($f:path) => {{
        unsafe extern "C-unwind" fn call(state: *mut mlua::ffi::lua_State) -> std::ffi::c_int {
            // SAFETY: Lua calls its functions with a live state.
            $f(unsafe { $crate::vm::Lua::from_raw(state) })
        }
        call as mlua::ffi::lua_CFunction
    }};
}
pub(crate) use lua_function;

/// Methods that are one call of the C API.
macro_rules! thin {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? = $ffi:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(self, $($arg: $type),*) $(-> $ret)? {
            // SAFETY: the state is live and the arguments are valid, by the promise of its maker.
            unsafe { ffi::$ffi(self.0, $($arg),*) }
        }
    )*};
}

pub(crate) const REGISTRY: c_int = ffi::LUA_REGISTRYINDEX;

/// Why nothing is run in a state any more.
pub(crate) const BROKEN: &str = "the sandbox is broken: an earlier call panicked";

impl Lua {
    /// # Safety
    /// See [`Lua`].
    pub unsafe fn from_raw(state: *mut lua_State) -> Lua {
        Lua(state)
    }

    pub fn raw(self) -> *mut lua_State {
        self.0
    }

    thin! {
        fn top() -> c_int = lua_gettop;
        fn set_top(index: c_int) = lua_settop;
        fn absolute(index: c_int) -> c_int = lua_absindex;
        fn type_(index: c_int) -> c_int = lua_type;
        fn raw_len(index: c_int) -> usize = lua_rawlen;
        fn to_pointer(index: c_int) -> *const c_void = lua_topointer;
        fn push_value(index: c_int) = lua_pushvalue;
        fn push_nil() = lua_pushnil;
        fn push_integer(n: i64) = lua_pushinteger;
        fn push_number(n: f64) = lua_pushnumber;
        fn push_light(p: *mut c_void) = lua_pushlightuserdata;
        /// Raises when out of memory.
        fn push_closure(f: lua_CFunction, upvalues: c_int) = lua_pushcclosure;
        fn insert(index: c_int) = lua_insert;
        fn remove(index: c_int) = lua_remove;
        /// Moves the values from `index` to the top up by `n` places in a circle.
        fn rotate(index: c_int, n: c_int) = lua_rotate;
        fn replace(index: c_int) = lua_replace;
        fn raw_get(table: c_int) -> c_int = lua_rawget;
        fn raw_geti(table: c_int, n: i64) -> c_int = lua_rawgeti;
        fn raw_getp(table: c_int, key: *const c_void) -> c_int = lua_rawgetp;
        /// Raises when out of memory.
        fn raw_set(table: c_int) = lua_rawset;
        /// Raises when out of memory.
        fn raw_seti(table: c_int, n: i64) = lua_rawseti;
        /// Raises when out of memory.
        fn raw_setp(table: c_int, key: *const c_void) = lua_rawsetp;
        /// The next pair of a table; cannot raise for a key that came from it.
        fn next(table: c_int) -> c_int = lua_next;
        /// Raises when out of memory.
        fn create_table(array: c_int, hash: c_int) = lua_createtable;
        fn get_metatable(index: c_int) -> c_int = lua_getmetatable;
        fn set_metatable(index: c_int) -> c_int = lua_setmetatable;
        /// May run script code, hence raise.
        fn get_table(index: c_int) -> c_int = lua_gettable;
        /// `table[n]`. May run script code, hence raise.
        fn get_index(table: c_int, n: i64) -> c_int = lua_geti;
        /// Pops a value and stores it as `table[n]`. May run script code, hence raise.
        fn set_index(table: c_int, n: i64) = lua_seti;
        /// `#value`. May run script code, hence raise; raises if that is no whole number.
        fn len_of(index: c_int) -> i64 = luaL_len;
        /// 1 if the comparison holds. May run script code, hence raise.
        fn compare(a: c_int, b: c_int, operator: c_int) -> c_int = lua_compare;
        /// The function's `n`th argument, which must be a whole number. Raises otherwise.
        fn check_integer(n: c_int) -> i64 = luaL_checkinteger;
        /// The function's `n`th argument, if there is one: see `check_integer`.
        fn integer_or(n: c_int, default: i64) -> i64 = luaL_optinteger;
        /// Raises.
        fn concat(n: c_int) = lua_concat;
        /// Runs script code, hence raises.
        fn call(args: c_int, results: c_int) = lua_call;
        /// Raises when out of memory.
        fn make_ref(table: c_int) -> c_int = luaL_ref;
        /// Null for what is no userdata.
        fn to_userdata(index: c_int) -> *mut c_void = lua_touserdata;
        fn c_function(index: c_int) -> Option<lua_CFunction> = lua_tocfunction;
    }

    /// Room for `n` more values on the stack.
    pub fn reserve(self, n: c_int) -> bool {
        // SAFETY: live state; `lua_checkstack` reports instead of raising.
        unsafe { ffi::lua_checkstack(self.0, n) != 0 }
    }

    /// Collects all garbage now.
    pub fn collect(self) {
        // SAFETY: live state. A collection allocates nothing, and no finaliser can exist that would raise.
        unsafe { ffi::lua_gc(self.0, ffi::LUA_GCCOLLECT) };
    }

    pub fn pop(self, n: c_int) {
        self.set_top(-n - 1);
    }

    pub fn push_function(self, f: lua_CFunction) {
        // Without upvalues a C function is a plain value and needs no memory.
        self.push_closure(f, 0);
    }

    /// Raises when out of memory.
    pub fn push_bytes(self, bytes: &[u8]) {
        // SAFETY: live state, a valid slice; Lua copies it.
        unsafe { ffi::lua_pushlstring(self.0, bytes.as_ptr().cast::<c_char>(), bytes.len()) };
    }

    /// Pushes a userdata that holds this value, which has no destructor. Raises when out of memory.
    pub fn push_plain<T>(self, value: T) {
        const { assert!(!mem::needs_drop::<T>() && align_of::<T>() <= align_of::<usize>()) };
        // SAFETY: live state; Lua gives out blocks of this size, aligned for any pointer.
        unsafe { ffi::lua_newuserdatauv(self.0, size_of::<T>(), 0).cast::<T>().write(value) };
    }

    pub fn push_bool(self, b: bool) {
        // SAFETY: live state.
        unsafe { ffi::lua_pushboolean(self.0, c_int::from(b)) };
    }

    /// The bytes of a string value; they live as long as Lua can reach that string.
    pub fn bytes<'a>(self, index: c_int) -> Option<&'a [u8]> {
        if self.type_(index) != ffi::LUA_TSTRING {
            return None;
        }
        let mut len = 0;
        // SAFETY: live state; for a string `lua_tolstring` neither converts nor raises, and returns
        // `len` bytes. Callers keep the string reachable while they use them.
        unsafe {
            let at = ffi::lua_tolstring(self.0, index, &mut len);
            Some(std::slice::from_raw_parts(at.cast::<u8>(), len))
        }
    }

    /// A number value; strings that look like numbers are not.
    pub fn number(self, index: c_int) -> Option<f64> {
        // SAFETY: live state; no conversion of strings takes place, so nothing is allocated.
        (self.type_(index) == ffi::LUA_TNUMBER).then(|| unsafe { ffi::lua_tonumber(self.0, index) })
    }

    /// A number value as an integer; a fraction is cut off.
    pub fn integer(self, index: c_int) -> Option<i64> {
        if self.is_integer(index) {
            // SAFETY: live state, an integer.
            return Some(unsafe { ffi::lua_tointeger(self.0, index) });
        }
        self.number(index).map(|n| n as i64)
    }

    pub fn is_integer(self, index: c_int) -> bool {
        // SAFETY: live state.
        unsafe { ffi::lua_isinteger(self.0, index) != 0 }
    }

    pub fn boolean(self, index: c_int) -> bool {
        // SAFETY: live state.
        unsafe { ffi::lua_toboolean(self.0, index) != 0 }
    }

    pub fn is_table(self, index: c_int) -> bool {
        self.type_(index) == ffi::LUA_TTABLE
    }

    pub fn type_name(self, index: c_int) -> &'static str {
        // SAFETY: live state; type names are static ASCII.
        unsafe { CStr::from_ptr(ffi::lua_typename(self.0, self.type_(index))).to_str().unwrap_or("value") }
    }

    /// Pushes the number that a string is the numeral of; pushes nothing if it is none.
    pub fn push_number_of(self, index: c_int) -> bool {
        let Some(text) = self.bytes(index) else { return false };
        // SAFETY: live state; Lua ends its strings with a zero, which `bytes` leaves out.
        let read = unsafe { ffi::lua_stringtonumber(self.0, text.as_ptr().cast::<c_char>()) };
        if read != 0 && read != text.len() + 1 {
            self.pop(1); // there is a zero in the string, and a numeral before it
        }
        read == text.len() + 1
    }

    /// Pushes `tostring(value)`. May run script code, hence raise.
    pub fn push_text_of(self, index: c_int) {
        // SAFETY: live state.
        unsafe { ffi::luaL_tolstring(self.0, index, std::ptr::null_mut()) };
    }

    /// Pushes `table[key]`, past metamethods. Raises when out of memory.
    pub fn raw_field(self, table: c_int, key: &str) -> c_int {
        let table = self.absolute(table);
        self.push_bytes(key.as_bytes());
        self.raw_get(table)
    }

    /// Pops a value and stores it as `table[key]`, past metamethods. Raises when out of memory.
    pub fn set_raw_field(self, table: c_int, key: &str) {
        let table = self.absolute(table);
        self.push_bytes(key.as_bytes());
        self.insert(-2);
        self.raw_set(table);
    }

    /// The function's `n`th argument, which must be a string. Raises otherwise.
    pub fn check_bytes<'a>(self, n: c_int) -> &'a [u8] {
        let mut len = 0;
        // SAFETY: live state; the argument stays on the stack while the function runs.
        unsafe {
            let at = ffi::luaL_checklstring(self.0, n, &mut len);
            std::slice::from_raw_parts(at.cast::<u8>(), len)
        }
    }

    /// The function's `n`th argument, which must be of this type. Raises otherwise.
    pub fn check_type(self, n: c_int, type_: c_int) {
        // SAFETY: live state.
        unsafe { ffi::luaL_checktype(self.0, n, type_) };
    }

    /// Raises `bad argument #n to 'function' (why)`.
    pub fn bad_argument(self, n: c_int, why: &CStr) -> ! {
        // SAFETY: live state; this does not return.
        unsafe { ffi::luaL_argerror(self.0, n, why.as_ptr()) };
        unreachable!("luaL_argerror raises")
    }

    /// Raises as `check_type` does, for an argument that may be of several types.
    pub fn bad_type(self, n: c_int, expected: &str) -> ! {
        let mut text = Line::default();
        let found = if self.type_(n) == ffi::LUA_TNONE { "no value" } else { self.type_name(n) };
        let _ = write!(text, "{expected} expected, got {found}");
        self.bad_argument(n, CStr::from_bytes_until_nul(&text.bytes).unwrap_or_default())
    }

    /// Raises an error with the place of the calling script line in front.
    pub fn raise(self, message: fmt::Arguments<'_>) -> ! {
        let mut text = Line::default();
        let _ = text.write_fmt(message);
        // SAFETY: live state.
        unsafe { ffi::luaL_where(self.0, 1) };
        self.push_bytes(text.bytes());
        self.concat(2);
        self.throw()
    }

    /// Raises the value on top of the stack.
    pub fn throw(self) -> ! {
        // SAFETY: live state with at least one value.
        unsafe { ffi::lua_error(self.0) }
    }

    /// The host this state belongs to.
    pub fn host<'h>(self) -> &'h Host {
        // SAFETY: the extra space holds a pointer to the host from the state's creation on, the
        // host outlives the state, and it is only ever reached through shared references.
        unsafe { &**ffi::lua_getextraspace(self.0).cast::<*const Host>() }
    }

    /// The memory this state allocates from.
    pub fn memory<'m>(self) -> &'m Memory {
        let mut memory = std::ptr::null_mut();
        // SAFETY: the state was made with `allocate` and a `Memory` that outlives it and is only ever
        // reached through shared references.
        unsafe {
            ffi::lua_getallocf(self.0, &mut memory);
            &*memory.cast::<Memory>()
        }
    }

    /// Raises Lua's own error; needs no memory.
    pub fn out_of_memory(self) -> ! {
        self.push_bytes(b"not enough memory"); // Lua keeps this string from the start
        self.throw()
    }

    /// Where the script is: the innermost function that has a line. Neither allocates nor raises.
    pub fn place(self) -> Place {
        // SAFETY: a zeroed lua_Debug is valid (integers and nullable pointers); the state is live.
        unsafe {
            let mut at: ffi::lua_Debug = std::mem::zeroed();
            for level in 0..32 {
                if ffi::lua_getstack(self.0, level, &mut at) == 0 {
                    break;
                }
                ffi::lua_getinfo(self.0, c"Sl".as_ptr(), &mut at);
                if at.currentline > 0 {
                    return Place { source: at.short_src.map(|c| c as u8), line: at.currentline };
                }
            }
        }
        Place::default()
    }

    /// Runs `body` so that an error it raises ends here. `data` outlives the error; `body` itself
    /// keeps to the rule. A panic goes on to the caller, and nothing is run in this state any more.
    pub fn protected<T>(self, data: &mut T, body: fn(Lua, &mut T)) -> Result<(), Raised> {
        /// Dropped only when a panic passes through.
        struct Panicked<'a>(&'a Cell<bool>);
        impl Drop for Panicked<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let broken = &self.host().broken;
        if broken.get() {
            return Err(Raised { out_of_memory: false, message: BROKEN.into() });
        }
        let panicked = Panicked(broken);
        let status = self.call_body(0, data, body);
        mem::forget(panicked);
        if status == ffi::LUA_OK { Ok(()) } else { Err(self.take_error(status)) }
    }

    /// Runs `body` in a call of its own, on an empty stack. Returns Lua's status, with the error on the stack if it is one,
    /// after the message handler at that index (0: none) has seen it. `data` outlives the error; `body` keeps to the rule.
    pub fn call_body<T>(self, handler: c_int, data: &mut T, body: fn(Lua, &mut T)) -> c_int {
        struct Task<'a, T>(&'a mut T, fn(Lua, &mut T));
        unsafe extern "C-unwind" fn run<T>(state: *mut lua_State) -> c_int {
            // SAFETY: called by the `lua_pcall` below with the task as only argument, while the
            // task is alive and nobody else looks at it.
            unsafe {
                let task = &mut *ffi::lua_touserdata(state, 1).cast::<Task<'_, T>>();
                ffi::lua_settop(state, 0);
                (task.1)(Lua(state), task.0);
            }
            0
        }
        let mut task = Task(data, body);
        self.push_function(run::<T>);
        self.push_light((&raw mut task).cast::<c_void>());
        // SAFETY: live state; function and argument were pushed.
        unsafe { ffi::lua_pcall(self.0, 1, 0, handler) }
    }

    /// Pops an error value.
    pub fn take_error(self, status: c_int) -> Raised {
        let message = match self.bytes(-1) {
            Some(text) => String::from_utf8_lossy(text).into_owned(),
            None => format!("(error object is a {} value)", self.type_name(-1)),
        };
        self.pop(1);
        Raised { out_of_memory: status == ffi::LUA_ERRMEM, message }
    }
}

/// An error that ended a protected call.
#[derive(Debug)]
pub(crate) struct Raised {
    pub out_of_memory: bool,
    pub message: String,
}

/// A line of a script.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    source: [u8; 60],
    /// 0 when not known.
    pub line: c_int,
}

impl Default for Place {
    fn default() -> Self {
        Place::UNKNOWN
    }
}

impl Place {
    pub const UNKNOWN: Place = Place { source: [0; 60], line: 0 };

    /// The file as Lua's own messages name it.
    pub fn source(&self) -> &[u8] {
        self.source.split(|&b| b == 0).next().unwrap_or_default()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Lossy(self.source()), self.line)
    }
}

/// Text of an error, without a destructor. What does not fit is cut.
struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Line { bytes: [0; 512], len: 0 }
    }
}

impl Line {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let n = s.floor_char_boundary(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

/// Bytes as text, without a destructor; what is not UTF-8 shows as U+FFFD.
pub(crate) struct Lossy<'a>(pub &'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_is_cut_at_a_character() {
        let mut line = Line::default();
        for _ in 0..600 {
            line.write_str("é").unwrap();
        }
        assert_eq!(line.bytes().len(), 512);
        assert!(std::str::from_utf8(line.bytes()).is_ok());
        assert_eq!(Lossy(b"a\xffb").to_string(), "a\u{fffd}b");
    }
}
