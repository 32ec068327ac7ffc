//! A string under construction, in the memory of the Lua state.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::ptr;

use mlua::ffi::{self, luaL_Buffer};

use crate::vm::Lua;

/// Where a [`Buffer`] keeps what is short. It has no destructor.
pub(crate) type Space = MaybeUninit<luaL_Buffer>;

/// While it is in use it has a value of its own on top of the Lua stack: whatever is pushed above
/// is to be popped before anything is added. All its methods raise when out of memory, and an error
/// leaves nothing behind.
pub(crate) struct Buffer<'a>(&'a mut luaL_Buffer);

impl<'a> Buffer<'a> {
    /// A buffer in this space, which stays where it is: that is what the reference is for.
    pub fn new(lua: Lua, space: &'a mut Space) -> Buffer<'a> {
        // SAFETY: live state. Initialising writes the head of the buffer; its tail is plain bytes,
        // which Lua writes before it reads them.
        unsafe {
            ffi::luaL_buffinit(lua.raw(), space.as_mut_ptr());
            Buffer(space.assume_init_mut())
        }
    }

    pub fn add(&mut self, bytes: &[u8]) {
        // SAFETY: an initialised buffer and a valid slice.
        unsafe { ffi::luaL_addlstring(self.0, bytes.as_ptr().cast::<c_char>(), bytes.len()) };
    }

    /// Pops a string or number and adds it.
    pub fn add_value(&mut self) {
        // SAFETY: an initialised buffer below the value on top of the stack.
        unsafe { ffi::luaL_addvalue(self.0) };
    }

    /// Adds the two texts, which are not both empty, over and over until `len` bytes have been added.
    pub fn add_repeated(&mut self, texts: [&[u8]; 2], len: usize) {
        let mut done = 0;
        // SAFETY: the buffer makes room for `len` bytes, of which the first `done` are written:
        // the two texts, then copies of what is there.
        unsafe {
            let room = ffi::luaL_prepbuffsize(self.0, len).cast::<u8>();
            for text in texts {
                let some = text.len().min(len - done);
                ptr::copy_nonoverlapping(text.as_ptr(), room.add(done), some);
                done += some;
            }
            while done < len {
                let some = done.min(len - done);
                ptr::copy_nonoverlapping(room, room.add(done), some);
                done += some;
            }
            ffi::luaL_addsize(self.0, len);
        }
    }

    /// Pushes the string, in place of the buffer's own value.
    pub fn push(self) {
        // SAFETY: an initialised buffer whose value is on top of the stack.
        unsafe { ffi::luaL_pushresult(self.0) };
    }
}
