//! Memory of one sandbox, counted to the byte.
//!
//! Lua asks for every byte through [`allocate`], which refuses what would pass the cap. Lua then
//! collects garbage and asks once more; a second refusal is the error "not enough memory".
//!
//! The blocks are those of the thread's [`Slab`].

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

use mlua::ffi::lua_State;

use crate::fault;
use crate::slab::Slab;
use crate::vm::{Lua, Place};

/// Bytes of the stack a new state begins with: 40 slots and 5 spare ones, 16 bytes each.
const FIRST_STACK: usize = 45 * 16;

/// A request for memory that was refused.
#[derive(Clone, Copy, Default)]
pub(crate) struct Refusal {
    pub place: Place,
    /// Bytes in use then, and how many more were asked for.
    pub held: usize,
    pub wanted: usize,
}

thread_local! {
    /// The last one of this thread. Only the sandbox that noted it asks for it, before another runs.
    static REFUSAL: Cell<Refusal> = const { Cell::new(Refusal { place: Place::UNKNOWN, held: 0, wanted: 0 }) };
}

pub(crate) struct Memory {
    slab: Rc<Slab>,
    current: Cell<usize>,
    max: Cell<usize>,
    cap: Cell<usize>,
    /// What stays below needs not be asked for: the cap, or nothing in a state that is made while a fault is set.
    granted: Cell<usize>,
    /// Set once the state is complete, so that a refusal can ask it where it is.
    state: Cell<*mut lua_State>,
    /// The block that holds the Lua stack, known as the second block of `lua_newstate`.
    stack: Cell<*mut c_void>,
    blocks: Cell<u64>,
    /// Whether the thread's refusal is of this sandbox and call.
    refused: Cell<bool>,
    /// No request may fail now: see [`Memory::promise`].
    promised: Cell<bool>,
    /// Bytes of native objects that were made since all garbage was collected.
    littered: Cell<usize>,
}

impl Memory {
    pub fn new(cap: usize) -> Memory {
        Memory {
            slab: Slab::of_thread(),
            current: Cell::new(0),
            max: Cell::new(0),
            cap: Cell::new(cap),
            granted: Cell::new(if fault::is_set() { 0 } else { cap }),
            state: Cell::new(ptr::null_mut()),
            stack: Cell::new(ptr::null_mut()),
            blocks: Cell::new(0),
            refused: Cell::new(false),
            promised: Cell::new(false),
            littered: Cell::new(0),
        }
    }

    pub fn current(&self) -> usize {
        self.current.get()
    }

    pub fn max(&self) -> usize {
        self.max.get()
    }

    pub fn cap(&self) -> usize {
        self.cap.get()
    }

    pub fn set_cap(&self, cap: usize) {
        self.cap.set(cap);
        if self.granted.get() > 0 {
            self.granted.set(cap);
        }
    }

    /// Whether there certainly is room for so many bytes more. If not: [`Memory::fits`].
    pub fn surely_fits(&self, bytes: usize) -> bool {
        self.current().saturating_add(bytes) <= self.granted.get()
    }

    /// Whether there is room for so many bytes of native objects: a request that a fault may refuse.
    pub fn fits(&self, bytes: usize) -> bool {
        let fits = self.current().saturating_add(bytes) <= self.cap();
        fits && (bytes == 0 || self.granted.get() > 0 || !fault::strikes())
    }

    /// Counts what a native object holds: so many bytes instead of so many.
    pub fn charge(&self, before: usize, now: usize) {
        let total = (self.current.get() + now).saturating_sub(before);
        self.current.set(total);
        self.max.set(self.max.get().max(total));
    }

    /// Counts an object of so many bytes. True when the collector is to be run: when Lua itself runs
    /// out of memory it leaves finalisers for later, hence whatever dead objects hold.
    pub fn is_littered(&self, bytes: usize) -> bool {
        let littered = self.littered.get().saturating_add(bytes);
        // So much of the memory pays for a look at all of it.
        let due = littered > self.cap() / 16 && self.current() > self.cap() / 4 * 3;
        self.littered.set(if due { 0 } else { littered });
        due
    }

    /// Notes that memory was refused here.
    pub fn note_refusal(&self, place: Place, wanted: usize) {
        REFUSAL.set(Refusal { place, held: self.current.get(), wanted });
        self.refused.set(true);
    }

    /// Between `true` and `false` Lua is called from Rust frames that an error would skip; what is
    /// asked for is known to stay below the cap, so nothing is refused then.
    pub fn promise(&self, on: bool) {
        self.promised.set(on);
    }

    pub fn is_promised(&self) -> bool {
        self.promised.get()
    }

    pub fn watch(&self, state: *mut lua_State) {
        self.state.set(state);
    }

    /// The last refusal since [`Memory::forget`].
    pub fn refused(&self) -> Option<Refusal> {
        self.refused.get().then(|| REFUSAL.get())
    }

    pub fn forget(&self) {
        self.refused.set(false);
    }

    /// Whether this block, of so many bytes, may be a Lua stack of a call that is to be stopped. A
    /// value that is called and whose `__call` leads back to it grows the stack within one instruction,
    /// ever more slowly; the hook would wait for its end. The stacks of coroutines are not known, so
    /// that nothing of their size grows any more.
    fn is_stopped_stack(&self, block: *mut c_void, size: usize) -> bool {
        let may_be_stack = !block.is_null() && size >= FIRST_STACK && !self.state.get().is_null();
        // SAFETY: a state that is complete is live while it asks for memory.
        may_be_stack && unsafe { Lua::from_raw(self.state.get()) }.host().tripped()
    }

    /// Notes a refusal of so many bytes, for this block if not null.
    #[cold]
    pub fn refuse(&self, block: *mut c_void, wanted: usize) {
        let known = !self.state.get().is_null() && !self.stack.get().is_null();
        // While the stack moves the state cannot be asked anything.
        let place = if known && block != self.stack.get() {
            // SAFETY: the state is live (it is asking for memory), and outside of moving its stack
            // its call chain is whole. Asking for the place allocates and raises nothing.
            unsafe { Lua::from_raw(self.state.get()) }.place()
        } else {
            Place::default()
        };
        self.note_refusal(place, wanted);
    }

    fn count(&self, old: *mut c_void, new: *mut c_void, size: usize, total: usize) {
        self.current.set(total);
        self.max.set(self.max.get().max(total));
        if old.is_null() {
            self.blocks.set(self.blocks.get() + 1);
            if self.blocks.get() == 2 && size == FIRST_STACK {
                self.stack.set(new);
            }
        } else if old == self.stack.get() {
            self.stack.set(new);
        }
    }
}

/// The `lua_Alloc` of every sandbox; `memory` is its [`Memory`].
///
/// # Safety
/// To be called by Lua only: `memory` points at a live [`Memory`], and `block` is null or a block
/// of `old` bytes that came from here.
pub(crate) unsafe extern "C" fn allocate(memory: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: by contract; only shared references to it exist.
    let memory = unsafe { &*memory.cast::<Memory>() };
    let old = if block.is_null() { 0 } else { old }; // for a new block `old` tells its type
    let rest = memory.current.get() - old;
    if new == 0 {
        // SAFETY: null or from below, of so many bytes.
        unsafe { memory.slab.give(block, old) };
        memory.current.set(rest);
        return ptr::null_mut();
    }
    let refused = || new > memory.cap.get().saturating_sub(rest) || memory.is_stopped_stack(block, old);
    if new > old && !memory.promised.get() && refused() {
        memory.refuse(block, new - old);
        return ptr::null_mut();
    }
    // SAFETY: null or from an earlier call here, of so many bytes.
    let at = unsafe { memory.slab.resize(block, old, new) };
    if at.is_null() && memory.promised.get() {
        // As Rust's own allocations do when the system has no memory left.
        std::process::abort();
    }
    if !at.is_null() {
        memory.count(block, at, new, rest + new);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_is_exact_and_every_byte_is_given_back() {
        let memory = Memory::new(100);
        let ud = ptr::from_ref(&memory).cast_mut().cast::<c_void>();
        // SAFETY: blocks are passed back with the sizes they were asked for.
        unsafe {
            let a = allocate(ud, ptr::null_mut(), 5, 60);
            assert!(!a.is_null());
            assert!(allocate(ud, ptr::null_mut(), 5, 41).is_null());
            assert!(memory.refused().is_some());
            let b = allocate(ud, ptr::null_mut(), 5, 40);
            assert!(!b.is_null());
            assert_eq!(memory.current(), 100);
            let a = allocate(ud, a, 60, 10);
            assert_eq!((memory.current(), memory.max()), (50, 100));
            allocate(ud, a, 10, 0);
            allocate(ud, b, 40, 0);
        }
        assert_eq!(memory.current(), 0);
    }
}
