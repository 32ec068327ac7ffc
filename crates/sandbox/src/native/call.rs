//! A call of a native function: arguments, objects, called functions and a budget.

mod stack;

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use mlua::ffi;

use super::Error;
use super::object::{Object, handle, push_new};
use crate::allocator::Memory;
use crate::vm::Lua;

/// Memory that the smaller operations surely do not exceed.
const SLACK: usize = 4096;
/// Free slots of the stack that every operation finds, so that looking at a value needs no memory.
const FREE: c_int = 8;
/// What an object takes in Lua, about.
const HANDLE: usize = 96;

/// A running call. Arguments are numbered from 1; what is pushed gets a [`Slot`] above them.
pub struct Call<'a> {
    lua: Lua,
    /// Number of arguments. The slot above them is for the error of a called function.
    args: c_int,
    /// Counts what may have changed a table.
    changes: u64,
    arguments: PhantomData<&'a ()>,
}

/// A place on the stack. One that is no longer there reads as [`Value::None`] or as what took its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot(c_int);

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'v> {
    /// No argument was given.
    None,
    Nil,
    Bool(bool),
    Integer(i64),
    Number(f64),
    String(&'v [u8]),
    Table(Slot),
    Function(Slot),
    /// An [`Object`], or something else that only hosts know.
    Object(Slot),
}

impl Value<'_> {
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::None => "no value",
            Value::Nil => "nil",
            Value::Bool(_) => "boolean",
            Value::Integer(_) | Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Table(_) => "table",
            Value::Function(_) => "function",
            Value::Object(_) => "userdata",
        }
    }

    pub fn is_nil(&self) -> bool {
        matches!(self, Value::None | Value::Nil)
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a call with {} arguments", self.args)
    }
}

impl<'a> Call<'a> {
    pub(super) fn new(lua: Lua) -> Call<'a> {
        let args = lua.top();
        lua.push_nil(); // Lua guarantees 20 free slots
        Call { lua, args, changes: 0, arguments: PhantomData }
    }

    pub(super) fn error_slot(&self) -> c_int {
        self.args + 1
    }

    /// Number of results that are there, of so many that are claimed.
    pub(super) fn results(&self, claimed: usize) -> c_int {
        (claimed as c_int).clamp(0, self.lua.top() - self.error_slot())
    }

    pub(crate) fn lua(&self) -> Lua {
        self.lua
    }

    // ---- arguments

    pub fn args(&self) -> usize {
        self.args as usize
    }

    /// Argument `n`, from 1; its text lives as long as the call.
    pub fn arg(&self, n: usize) -> Value<'a> {
        if n == 0 || n > self.args() {
            return Value::None;
        }
        read(self.lua, n as c_int)
    }

    fn wrong<T>(&self, n: usize, expected: &str) -> Result<T, Error> {
        Err(Error::argument(n, format!("{expected} expected, got {}", self.arg(n).type_name())))
    }

    /// A string, or the text of a number.
    pub fn bytes(&self, n: usize) -> Result<Cow<'a, [u8]>, Error> {
        match self.arg(n) {
            Value::String(s) => Ok(Cow::Borrowed(s)),
            Value::Integer(i) => Ok(Cow::Owned(i.to_string().into_bytes())),
            Value::Number(x) => Ok(Cow::Owned(number_text(x).into_bytes())),
            _ => self.wrong(n, "string"),
        }
    }

    /// UTF-8 text.
    pub fn text(&self, n: usize) -> Result<Cow<'a, str>, Error> {
        match self.bytes(n)? {
            Cow::Borrowed(b) => std::str::from_utf8(b).map(Cow::Borrowed).map_err(|_| Error::argument(n, "UTF-8 text expected")),
            Cow::Owned(b) => String::from_utf8(b).map(Cow::Owned).map_err(|_| Error::argument(n, "UTF-8 text expected")),
        }
    }

    /// A number as a whole number. A fraction is cut off, as Lua 5.1 did; a string may be a numeral.
    pub fn integer(&self, n: usize) -> Result<i64, Error> {
        match self.arg(n) {
            Value::Integer(i) => Ok(i),
            Value::Number(x) if x.is_finite() => Ok(x as i64),
            Value::Number(_) => Err(Error::argument(n, "number has no integer representation")),
            Value::String(s) => numeral(s).map_or_else(|| self.wrong(n, "number"), |x| Ok(x as i64)),
            _ => self.wrong(n, "number"),
        }
    }

    /// A number; a string may be a numeral.
    pub fn number(&self, n: usize) -> Result<f64, Error> {
        match self.arg(n) {
            Value::Integer(i) => Ok(i as f64),
            Value::Number(x) => Ok(x),
            Value::String(s) => numeral(s).map_or_else(|| self.wrong(n, "number"), Ok),
            _ => self.wrong(n, "number"),
        }
    }

    /// A boolean and nothing else.
    pub fn boolean(&self, n: usize) -> Result<bool, Error> {
        match self.arg(n) {
            Value::Bool(b) => Ok(b),
            _ => self.wrong(n, "boolean"),
        }
    }

    /// Whether an argument counts as true: neither missing nor nil nor false.
    pub fn truthy(&self, n: usize) -> bool {
        !matches!(self.arg(n), Value::None | Value::Nil | Value::Bool(false))
    }

    /// `read(call, n)` unless the argument is missing or nil.
    pub fn optional<T>(&self, n: usize, read: impl FnOnce(&Self, usize) -> Result<T, Error>) -> Result<Option<T>, Error> {
        if self.arg(n).is_nil() { Ok(None) } else { read(self, n).map(Some) }
    }

    pub fn table(&self, n: usize) -> Result<Slot, Error> {
        match self.arg(n) {
            Value::Table(slot) => Ok(slot),
            _ => self.wrong(n, "table"),
        }
    }

    pub fn function(&self, n: usize) -> Result<Slot, Error> {
        match self.arg(n) {
            Value::Function(slot) => Ok(slot),
            _ => self.wrong(n, "function"),
        }
    }

    /// Pushes the table of the module whose function this is; nil in a method.
    pub fn module(&mut self) -> Result<Slot, Error> {
        self.reserve()?;
        self.lua.push_value(ffi::lua_upvalueindex(2));
        Ok(self.top())
    }

    /// The slot of argument `n`, or of what lies at that height.
    pub fn slot(&self, n: usize) -> Slot {
        Slot(n as c_int)
    }

    // ---- objects

    /// Works on the object that is argument `n`. What may grow asks for [`Call::room_for`] it before it
    /// does; it is charged afterwards.
    ///
    /// # Errors
    /// It is another type of value; or the script has no memory for what it grew by.
    pub fn with<T: Object, R>(&self, n: usize, work: impl FnOnce(&mut T) -> R) -> Result<R, Error> {
        // A script that catches the error of an object that grew too much, unasked, does not let it grow on.
        self.room_for(0)?;
        let object = self.object::<T>(n)?;
        let done = {
            let mut object = object.try_borrow_mut().map_err(|_| Error::argument(n, format!("the {} is in use", T::NAME)))?;
            work(&mut object)
        };
        self.charge(Slot(n as c_int))?;
        Ok(done)
    }

    /// The object that is argument `n`. After it has grown: [`Call::charge`].
    pub fn object<T: Object>(&self, n: usize) -> Result<Rc<RefCell<T>>, Error> {
        match self.object_at(Slot(n as c_int)) {
            Some(object) if n <= self.args() => Ok(object),
            _ => self.wrong(n, T::NAME),
        }
    }

    /// The object in a slot, if it is one of this type.
    pub fn object_at<T: Object>(&self, slot: Slot) -> Option<Rc<RefCell<T>>> {
        handle(self.lua, slot.0)?.object().into_any().downcast::<RefCell<T>>().ok()
    }

    /// Charges the script for what the object in the slot has grown by.
    pub fn charge(&self, slot: Slot) -> Result<(), Error> {
        let Some(handle) = handle(self.lua, slot.0) else { return Ok(()) };
        if handle.recharge(self.memory()) > 0 { self.room_for(0) } else { Ok(()) }
    }

    /// Gives the script a new object.
    pub fn push_object<T: Object>(&mut self, object: T) -> Result<Slot, Error> {
        let bytes = object.bytes() + size_of::<RefCell<T>>() + 16;
        self.room_for(bytes + SLACK)?;
        if self.memory().is_littered(bytes + HANDLE) {
            self.lua.collect();
        }
        self.reserve()?;
        let mut made = Some(Rc::new(RefCell::new(object)) as Rc<dyn super::Erased>);
        self.memory().charge(0, bytes);
        let pushed = self.guarded(SLACK, 0, 1, (&raw mut made, bytes), |lua, (made, bytes)| {
            // SAFETY: the value lives in this frame's caller, which waits; an error leaves it there.
            push_new::<T>(lua, unsafe { &mut *made }, bytes);
        });
        if pushed.is_err() {
            self.memory().charge(bytes, 0);
        }
        pushed.map(|()| self.top())
    }

    /// Pops a value and keeps it with the object: Lua values belong there. One value an object.
    pub fn set_companion(&mut self, object: Slot) {
        if self.lua.top() > self.error_slot() && self.lua.type_(object.0) == ffi::LUA_TUSERDATA {
            // SAFETY: live state, a userdata and a value; nothing is allocated.
            unsafe { ffi::lua_setiuservalue(self.lua.raw(), object.0, 1) };
        }
    }

    /// Pushes the value that is kept with the object, or nil.
    pub fn companion(&mut self, object: Slot) -> Result<Slot, Error> {
        self.reserve()?;
        if self.lua.type_(object.0) == ffi::LUA_TUSERDATA {
            // SAFETY: live state, a userdata.
            unsafe { ffi::lua_getiuservalue(self.lua.raw(), object.0, 1) };
        } else {
            self.lua.push_nil();
        }
        Ok(self.top())
    }

    // ---- calls

    /// Calls the function below `args` values on top of the stack, and replaces all of them by
    /// `results` values.
    ///
    /// # Errors
    /// [`Error::Raised`]: the function raised an error. It goes on to the script when passed on.
    pub fn call(&mut self, args: usize, results: usize) -> Result<(), Error> {
        self.call_for(args, (results as c_int).clamp(0, 1000))
    }

    /// As [`Call::call`], but leaves all results; their number.
    pub fn call_all(&mut self, args: usize) -> Result<usize, Error> {
        let below = self.lua.top() - args as c_int - 1;
        self.call_for(args, ffi::LUA_MULTRET)?;
        Ok((self.lua.top() - below).max(0) as usize)
    }

    fn call_for(&mut self, args: usize, results: c_int) -> Result<(), Error> {
        self.reserve_for(results.max(0) + FREE)?;
        let args = args as c_int;
        if args < 0 || self.lua.top() - args - 1 < self.error_slot() {
            return Err(Error::message("a function and its arguments were expected on the stack"));
        }
        self.changes += 1;
        // SAFETY: live state, function and arguments on the stack, room for the results.
        match unsafe { ffi::lua_pcall(self.lua.raw(), args, results, 0) } {
            // All results may be more than there was room for.
            ffi::LUA_OK => self.reserve(),
            ffi::LUA_ERRMEM => {
                self.lua.pop(1);
                Err(Error::Memory)
            }
            _ => {
                self.lua.replace(self.error_slot());
                Err(Error::Raised)
            }
        }
    }

    /// The text of the error that ended the last [`Call::call`].
    pub fn raised(&self) -> String {
        match read(self.lua, self.error_slot()) {
            Value::String(text) => super::shown(text),
            other => format!("(error object is a {} value)", other.type_name()),
        }
    }

    // ---- limits

    /// To be asked now and then in whatever may take long.
    ///
    /// # Errors
    /// [`Error::Stopped`]: the CPU budget is used up.
    pub fn budget(&self) -> Result<(), Error> {
        if self.lua.host().tripped() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// To be asked before Rust takes this much memory on behalf of the script, be it for a moment.
    ///
    /// # Errors
    /// [`Error::Memory`]: it has no room for so much.
    pub fn room_for(&self, bytes: usize) -> Result<(), Error> {
        if self.memory().surely_fits(bytes) { Ok(()) } else { self.make_room(bytes) }
    }

    #[cold]
    fn make_room(&self, bytes: usize) -> Result<(), Error> {
        let memory = self.memory();
        if memory.fits(bytes) {
            return Ok(());
        }
        self.lua.collect();
        if memory.fits(bytes) {
            return Ok(());
        }
        memory.note_refusal(self.lua.place(), 0);
        Err(Error::Memory)
    }

    /// Bytes of output a script may make in one piece (`output_limit`).
    pub fn output_limit(&self) -> usize {
        self.lua.host().config.limits.output
    }

    /// The time of the call, in nanoseconds since the UNIX epoch.
    pub fn now_ns(&self) -> i64 {
        self.lua.host().now()
    }

    fn memory(&self) -> &Memory {
        self.lua.memory()
    }

    fn reserve(&self) -> Result<(), Error> {
        self.reserve_for(FREE)
    }

    /// Room for `n` more values on the stack.
    fn reserve_for(&self, n: c_int) -> Result<(), Error> {
        if self.lua.reserve(n) { Ok(()) } else { self.no_stack(n) }
    }

    /// Asks once more, to tell whether the stack or the memory is at its end.
    #[cold]
    fn no_stack(&self, n: c_int) -> Result<(), Error> {
        self.memory().forget();
        match (self.lua.reserve(n), self.memory().refused()) {
            (true, _) => Ok(()),
            (false, Some(_)) => Err(Error::Memory),
            (false, None) => Err(Error::message("stack overflow")),
        }
    }

    /// Runs `op` on the `args` values on top of the stack, which it replaces by `results` values. It
    /// may raise for want of memory only: in a protected call, unless there surely is enough.
    fn guarded<D: Copy>(&mut self, need: usize, args: c_int, results: c_int, data: D, op: fn(Lua, D)) -> Result<(), Error> {
        let memory = self.memory();
        // Lua's table of strings may double: it has 8 bytes for each, beside the 24 and more of the string.
        if memory.surely_fits(need.saturating_add(memory.current() / 4)) {
            memory.promise(true);
            op(self.lua, data);
            memory.promise(false);
            return Ok(());
        }
        self.protected(args, results, data, op)
    }

    fn protected<D: Copy>(&mut self, args: c_int, results: c_int, data: D, op: fn(Lua, D)) -> Result<(), Error> {
        struct Task<D>(D, fn(Lua, D), c_int);
        unsafe extern "C-unwind" fn run<D: Copy>(state: *mut ffi::lua_State) -> c_int {
            // SAFETY: Lua calls this with a live state; the task is the first argument, and its owner
            // waits for this call.
            let (lua, Task(data, op, results)) = unsafe { (Lua::from_raw(state), ffi::lua_touserdata(state, 1).cast::<Task<D>>().read()) };
            lua.remove(1);
            op(lua, data);
            results
        }
        let task = Task(data, op, results);
        self.lua.push_function(run::<D>);
        self.lua.insert(-args - 1);
        self.lua.push_light((&raw const task).cast_mut().cast::<c_void>());
        self.lua.insert(-args - 1);
        // SAFETY: live state; function, task and arguments are on the stack.
        match unsafe { ffi::lua_pcall(self.lua.raw(), args + 1, results, 0) } {
            ffi::LUA_OK => Ok(()),
            ffi::LUA_ERRMEM => {
                self.lua.pop(1);
                Err(Error::Memory)
            }
            _ => {
                self.lua.replace(self.error_slot());
                Err(Error::Raised)
            }
        }
    }
}

fn read<'v>(lua: Lua, index: c_int) -> Value<'v> {
    match lua.type_(index) {
        ffi::LUA_TNONE => Value::None,
        ffi::LUA_TNIL => Value::Nil,
        ffi::LUA_TBOOLEAN => Value::Bool(lua.boolean(index)),
        ffi::LUA_TNUMBER if lua.is_integer(index) => Value::Integer(lua.integer(index).unwrap_or_default()),
        ffi::LUA_TNUMBER => Value::Number(lua.number(index).unwrap_or_default()),
        ffi::LUA_TSTRING => Value::String(lua.bytes(index).unwrap_or_default()),
        ffi::LUA_TTABLE => Value::Table(Slot(index)),
        ffi::LUA_TFUNCTION => Value::Function(Slot(index)),
        _ => Value::Object(Slot(index)),
    }
}

/// The number a text is the decimal numeral of.
fn numeral(text: &[u8]) -> Option<f64> {
    if text.len() > 200 {
        return None;
    }
    std::str::from_utf8(text).ok()?.trim().parse().ok().filter(|x: &f64| x.is_finite())
}

/// A number as `tostring` of Lua 5.1 writes it: `%.14g`.
fn number_text(x: f64) -> String {
    let mut text = [0_u8; 40];
    // SAFETY: at most 40 bytes are written.
    let len = unsafe { libc::snprintf(text.as_mut_ptr().cast(), text.len(), c"%.14g".as_ptr(), x) };
    String::from_utf8_lossy(&text[..usize::try_from(len).unwrap_or(0).min(39)]).into_owned()
}
