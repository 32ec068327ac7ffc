//! Rust values that scripts hold.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

use mlua::ffi;

use super::{Function, push_function};
use crate::allocator::Memory;
use crate::vm::{Lua, REGISTRY, lua_function};

/// A Rust value that a script can hold, with methods.
pub trait Object: Sized + 'static {
    /// The type's name in errors and documentation.
    const NAME: &'static str;
    const METHODS: &'static [Function];

    /// Bytes it holds on the heap. Asked after every change: to be known at once.
    fn bytes(&self) -> usize {
        0
    }

    /// Whether objects of this type come back from snapshots.
    const SAVED: bool = false;

    /// Writes what [`Object::restore`] makes an equal value of.
    fn save(&self, _into: &mut Vec<u8>) {}

    /// A value from what `save` wrote; nothing when it is damaged. The bytes come from a file: what
    /// is allocated is in proportion to them.
    fn restore(_saved: &[u8]) -> Option<Self> {
        None
    }

    /// Its text in payloads; it may stop once `into` is longer than `limit` bytes, which is refused.
    /// False: it has none.
    fn write(&mut self, _into: &mut Vec<u8>, _limit: usize) -> bool {
        false
    }
}

/// A type of objects, for snapshots and documentation.
pub struct ObjectType {
    pub name: &'static str,
    pub methods: &'static [Function],
    restore: fn(&[u8]) -> Option<Rc<dyn Erased>>,
    push: fn(Lua, &mut Option<Rc<dyn Erased>>, usize),
}

impl ObjectType {
    pub const fn of<T: Object>() -> ObjectType {
        ObjectType {
            name: T::NAME,
            methods: T::METHODS,
            restore: |saved| Some(Rc::new(RefCell::new(T::restore(saved)?))),
            push: push_new::<T>,
        }
    }
}

impl std::fmt::Debug for ObjectType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// An object of whatever type.
pub(crate) trait Erased {
    fn name(&self) -> &'static str;
    fn bytes(&self) -> usize;
    fn is_saved(&self) -> bool;
    /// False: it is not saved.
    fn save(&self, into: &mut Vec<u8>) -> bool;
    fn write(&self, into: &mut Vec<u8>, limit: usize) -> bool;
    fn into_any(self: Rc<Self>) -> Rc<dyn Any>;
}

impl<T: Object> Erased for RefCell<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn bytes(&self) -> usize {
        size_of::<RefCell<T>>() + 2 * size_of::<usize>() + self.try_borrow().map_or(0, |o| o.bytes())
    }

    fn is_saved(&self) -> bool {
        T::SAVED
    }

    fn save(&self, into: &mut Vec<u8>) -> bool {
        match self.try_borrow() {
            Ok(object) if T::SAVED => object.save(into),
            _ => return false,
        }
        true
    }

    fn write(&self, into: &mut Vec<u8>, limit: usize) -> bool {
        self.try_borrow_mut().is_ok_and(|mut o| o.write(into, limit))
    }

    fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}

/// What lies in the userdata.
pub(crate) struct Handle {
    /// Nothing once it was collected.
    object: RefCell<Option<Rc<dyn Erased>>>,
    /// Bytes of memory charged for it.
    charged: Cell<usize>,
}

/// A look at a [`Handle`] in a slot that keeps it reachable.
pub(crate) struct Held(*const Handle, Rc<dyn Erased>);

impl Held {
    pub fn object(&self) -> Rc<dyn Erased> {
        self.1.clone()
    }

    /// Charges or gives back the difference to what was charged; the bytes it grew by.
    pub fn recharge(&self, memory: &Memory) -> usize {
        // SAFETY: `handle` took it from a userdata on the stack, which the caller leaves there.
        let charged = unsafe { &(*self.0).charged };
        let now = self.1.bytes();
        let before = charged.replace(now);
        memory.charge(before, now);
        now.saturating_sub(before)
    }
}

static OBJECT: u8 = 0;

fn object_key() -> *const c_void {
    ptr::from_ref(&OBJECT).cast()
}

/// The object at a stack index. Neither allocates in Lua nor raises.
pub(crate) fn handle(lua: Lua, index: i32) -> Option<Held> {
    if lua.type_(index) != ffi::LUA_TUSERDATA || !lua.reserve(2) || lua.get_metatable(index) == 0 {
        return None;
    }
    let ours = lua.raw_getp(-1, object_key()) == ffi::LUA_TBOOLEAN;
    lua.pop(2);
    if !ours {
        return None;
    }
    let handle = lua.to_userdata(index).cast::<Handle>().cast_const();
    // SAFETY: only `push_new` makes userdata with such a metatable, and scripts cannot set metatables
    // of userdata.
    let object = unsafe { (*handle).object.try_borrow().ok()?.clone()? };
    Some(Held(handle, object))
}

pub(crate) fn object_at(lua: Lua, index: i32) -> Option<Rc<dyn Erased>> {
    handle(lua, index).map(|h| h.object())
}

/// Pushes a userdata and moves the object there, for which so many bytes are charged already. Raises
/// when out of memory, and leaves the object then.
pub(super) fn push_new<T: Object>(lua: Lua, object: &mut Option<Rc<dyn Erased>>, charged: usize) {
    // SAFETY: live state; the block is as large as asked for and aligned for any pointer.
    let handle = unsafe { ffi::lua_newuserdatauv(lua.raw(), size_of::<Handle>(), 1).cast::<Handle>() };
    push_metatable::<T>(lua);
    // SAFETY: the block is ours and not yet initialised; nothing raises from here on. With the
    // metatable it gets its finaliser.
    unsafe { handle.write(Handle { object: RefCell::new(object.take()), charged: Cell::new(charged) }) };
    lua.set_metatable(-2);
}

fn push_metatable<T: Object>(lua: Lua) {
    let key = T::NAME.as_ptr().cast::<c_void>();
    if lua.raw_getp(REGISTRY, key) == ffi::LUA_TTABLE {
        return;
    }
    lua.pop(1);
    let methods = T::METHODS.iter().filter(|f| !f.name.starts_with("__")).count();
    lua.create_table(0, (T::METHODS.len() - methods) as i32 + 5);
    lua.create_table(0, methods as i32);
    for function in T::METHODS {
        push_function(lua, function.call);
        let meta = function.name.starts_with("__");
        lua.set_raw_field(if meta { -3 } else { -2 }, function.name);
    }
    if lua.raw_field(-2, "__index") == ffi::LUA_TNIL {
        lua.pop(1);
        lua.set_raw_field(-2, "__index");
    } else {
        lua.pop(2);
    }
    lua.push_function(lua_function!(collect));
    lua.set_raw_field(-2, "__gc");
    lua.push_bytes(T::NAME.as_bytes());
    lua.set_raw_field(-2, "__name");
    lua.push_bool(false);
    lua.set_raw_field(-2, "__metatable");
    lua.push_bool(true);
    lua.raw_setp(-2, object_key());
    lua.push_value(-1);
    lua.raw_setp(REGISTRY, key);
}

/// `__gc`: drops the object and gives its memory back. Scripts cannot get hold of it.
fn collect(lua: Lua) -> i32 {
    let handle = lua.to_userdata(1).cast::<Handle>();
    if !handle.is_null() {
        // SAFETY: Lua calls this with one of our userdata, for the last time.
        let handle = unsafe { &*handle };
        lua.memory().charge(handle.charged.replace(0), 0);
        drop(handle.object.take());
    }
    0
}

/// Pushes an object of this type as it was saved; pushes nothing and returns false when it cannot
/// be made. Raises when out of memory.
pub(crate) fn push_erased(lua: Lua, name: &[u8], saved: &[u8]) -> bool {
    let types = lua.host().config.modules.iter().flat_map(|m| match m.body {
        super::Body::Native(_, objects) => objects,
        super::Body::Text(_) => &[],
    });
    let Some(type_) = types.into_iter().find(|t| t.name.as_bytes() == name) else { return false };
    // The host keeps it, so that an error on the way leaks nothing.
    *lua.host().object.borrow_mut() = (type_.restore)(saved);
    let object = lua.host().object.as_ptr();
    // SAFETY: nobody else looks at it before the host's next restore.
    let object = unsafe { &mut *object };
    let Some(bytes) = object.as_ref().map(|object| object.bytes()) else { return false };
    (type_.push)(lua, object, 0);
    if !lua.memory().fits(bytes) {
        lua.collect();
        if !lua.memory().fits(bytes) {
            // More than there may be at all: Lua refuses, and says so by the status of the error.
            // SAFETY: live state; this raises.
            unsafe { ffi::lua_newuserdatauv(lua.raw(), lua.memory().cap().saturating_add(1), 0) };
        }
    }
    if let Some(held) = handle(lua, lua.top()) {
        held.recharge(lua.memory());
    }
    true
}
