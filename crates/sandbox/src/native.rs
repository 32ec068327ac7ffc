//! Modules written in Rust, without `unsafe`: what `require` finds besides Lua text.
//!
//! A [`Function`] gets a [`Call`]: its arguments, a stack to build results on, and nothing that can
//! raise a Lua error behind its back. Every operation that may fail (memory, a Lua function that
//! raises, the CPU budget) returns an [`Error`]; pass it on with `?`. So a native function may hold
//! any Rust value at any time.
//!
//! An [`Object`] is a Rust value that a script holds. The bytes it says it has count as the script's
//! memory, it is saved with the globals when it can be, and dropped when the script lets go.
//!
//! ```
//! use sandbox::native::{Body, Call, Error, Function, Module, Object, Returned};
//!
//! struct Tally(u64);
//!
//! impl Object for Tally {
//!     const NAME: &'static str = "tally";
//!     const METHODS: &'static [Function] = &[Function {
//!         name: "add",
//!         signature: "(n: integer) -> integer",
//!         doc: "Adds, and returns the sum.",
//!         call: |call| {
//!             let n = call.integer(2)?;
//!             let sum = call.with(1, |tally: &mut Tally| { tally.0 += n as u64; tally.0 })?;
//!             call.push_integer(sum as i64)?;
//!             Ok(Returned(1))
//!         },
//!     }];
//! }
//!
//! fn new(call: &mut Call<'_>) -> Result<Returned, Error> {
//!     call.push_object(Tally(0))?;
//!     Ok(Returned(1))
//! }
//!
//! static TALLY: Module = Module {
//!     name: "tally",
//!     doc: "Counts.",
//!     body: Body::Native(&[Function { name: "new", signature: "() -> tally", doc: "A tally at 0.", call: new }], &[]),
//! };
//! # let _ = &TALLY;
//! ```

mod call;
mod object;

use std::borrow::Cow;
use std::ffi::c_int;

use mlua::ffi;

pub use call::{Call, Slot, Value};
pub use object::{Object, ObjectType};

pub(crate) use object::{Erased, object_at, push_erased};

use crate::vm::{Lossy, Lua, lua_function};

/// A module by the name that `require` gets.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    pub body: Body,
}

#[derive(Clone, Copy)]
pub enum Body {
    /// Functions of the module's table, and the types of its objects: those that are to come back
    /// from a snapshot or to be documented.
    Native(&'static [Function], &'static [&'static ObjectType]),
    /// A Lua text that is run as if it lay in the module path.
    Text(&'static str),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Body::Native(functions, _) => write!(f, "{} functions", functions.len()),
            Body::Text(text) => write!(f, "{} bytes of Lua", text.len()),
        }
    }
}

/// A function of a module or a method of an object. A method's argument 1 is the object, which its
/// signature leaves out; methods whose name begins with `__` are metamethods. A function of a module
/// may be named `a.b`. With a type for a signature it is a value of the module, made by calling it.
#[derive(Clone, Copy)]
pub struct Function {
    pub name: &'static str,
    /// Types in the notation of the Lua language server: `(rows: integer, title?: string, ...: any) -> boolean, string?`
    pub signature: &'static str,
    pub doc: &'static str,
    pub call: NativeFn,
}

impl Function {
    /// Whether it is a value of the module, not a function.
    pub const fn is_value(&self) -> bool {
        !matches!(self.signature.as_bytes().first(), Some(b'('))
    }
}

pub type NativeFn = fn(&mut Call<'_>) -> Result<Returned, Error>;

/// How many values on top of the stack are the results.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Returned(pub usize);

/// Why a native function ends without a result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// Raised with the script's line in front.
    Message(Cow<'static, str>),
    /// `bad argument #n to 'function' (why)`
    Argument(usize, Cow<'static, str>),
    /// The memory limit is reached.
    Memory,
    /// The CPU or instruction budget is used up.
    Stopped,
    /// A Lua function that was called has raised; its error goes on.
    Raised,
}

impl Error {
    pub fn message(text: impl Into<Cow<'static, str>>) -> Error {
        Error::Message(text.into())
    }

    pub fn argument(n: usize, why: impl Into<Cow<'static, str>>) -> Error {
        Error::Argument(n, why.into())
    }
}

/// Pushes a native function. Raises when out of memory.
pub(crate) fn push_function(lua: Lua, f: NativeFn) {
    lua.push_light(f as *mut std::ffi::c_void);
    lua.push_closure(lua_function!(enter), 1);
}

/// Pushes the table of a module. A function `a.b` lies in the table `a`; one whose signature has no
/// `(` is made a value by calling it. All of them know the table: [`Call::module`]. Raises when out
/// of memory.
pub(crate) fn push_module(lua: Lua, functions: &'static [Function]) {
    lua.create_table(0, functions.len() as c_int);
    let module = lua.top();
    for function in functions {
        lua.push_light(function.call as *mut std::ffi::c_void);
        lua.push_value(module);
        lua.push_closure(lua_function!(enter), 2);
        if function.is_value() {
            lua.call(0, 1);
        }
        let Some((part, name)) = function.name.split_once('.') else {
            lua.set_raw_field(module, function.name);
            continue;
        };
        if lua.raw_field(module, part) != ffi::LUA_TTABLE {
            lua.pop(1);
            lua.create_table(0, 1);
            lua.push_value(-1);
            lua.set_raw_field(module, part);
        }
        lua.insert(-2);
        lua.set_raw_field(-2, name);
        lua.pop(1);
    }
}

enum Outcome {
    Returned(c_int),
    /// The text is in `host.error`.
    Message,
    Argument(c_int),
    Memory,
    Stopped,
    /// The error value is in this slot.
    Raised(c_int),
}

/// What Lua calls: runs the native function, then raises its error when nothing of it is left.
fn enter(lua: Lua) -> c_int {
    match run(lua) {
        Outcome::Returned(n) => n,
        Outcome::Message => {
            // SAFETY: live state. Nobody changes the text before Lua has copied it.
            unsafe {
                ffi::luaL_where(lua.raw(), 1);
                lua.push_bytes(&*lua.host().error.as_ptr());
            }
            lua.concat(2);
            lua.throw()
        }
        Outcome::Argument(n) => {
            // SAFETY: as above; the text ends with a zero.
            let why = unsafe { &*lua.host().error.as_ptr() };
            lua.bad_argument(n, std::ffi::CStr::from_bytes_until_nul(why).unwrap_or(c"bad value"))
        }
        Outcome::Memory => lua.out_of_memory(),
        Outcome::Stopped => {
            crate::stop::check(lua);
            crate::stop::stop(lua, crate::FailureKind::Cpu)
        }
        Outcome::Raised(slot) => {
            lua.push_value(slot);
            lua.throw()
        }
    }
}

#[inline(never)]
fn run(lua: Lua) -> Outcome {
    // SAFETY: `push_function` made the upvalue from a `NativeFn`.
    let f = unsafe { std::mem::transmute::<*mut std::ffi::c_void, NativeFn>(ffi::lua_touserdata(lua.raw(), ffi::lua_upvalueindex(1))) };
    let mut call = Call::new(lua);
    let text = match f(&mut call) {
        Ok(Returned(n)) => return Outcome::Returned(call.results(n)),
        Err(Error::Memory) => return Outcome::Memory,
        Err(Error::Stopped) => return Outcome::Stopped,
        Err(Error::Raised) => return Outcome::Raised(call.error_slot()),
        Err(Error::Message(text)) => (None, text),
        Err(Error::Argument(n, text)) => (Some(n as c_int), text),
    };
    let mut error = lua.host().error.borrow_mut();
    error.clear();
    error.extend_from_slice(&text.1.as_bytes()[..text.1.floor_char_boundary(2000)]);
    match text.0 {
        None => Outcome::Message,
        Some(n) => {
            error.push(0);
            Outcome::Argument(n)
        }
    }
}

/// The text of an error that a called Lua function raised, for those who report it.
pub(crate) fn shown(bytes: &[u8]) -> String {
    Lossy(bytes).to_string()
}
