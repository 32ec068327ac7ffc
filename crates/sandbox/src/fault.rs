//! Memory that fails when it is told to, for tests of what happens then.
//!
//! A state made while a fault is set gets an allocator of its own for it, and no native operation
//! takes its memory for granted; no other state pays anything.

use std::cell::Cell;
use std::ffi::c_void;
use std::ops::RangeInclusive;
use std::ptr;

use crate::allocator::{Memory, allocate};

type Allocator = unsafe extern "C" fn(*mut c_void, *mut c_void, usize, usize) -> *mut c_void;

/// Which requests fail, counted from 1; and how many there were.
#[derive(Clone, Copy)]
struct Fault {
    first: u64,
    last: u64,
    seen: u64,
}

thread_local! {
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Lets these requests fail, of all that sandboxes made on this thread from now on make for more
/// memory, counted from 1: those of Lua, and those of native modules for their objects. Everything is
/// asked for twice: a single one that fails goes unnoticed.
pub fn set(requests: RangeInclusive<u64>) {
    FAULT.set(Some(Fault { first: *requests.start(), last: *requests.end(), seen: 0 }));
}

/// Ends it. Returns how many requests were made since [`set`].
pub fn clear() -> u64 {
    FAULT.take().map_or(0, |f| f.seen)
}

/// Whether states that are made now may be struck.
pub(crate) fn is_set() -> bool {
    FAULT.get().is_some()
}

/// What a new state allocates with.
pub(crate) fn allocator() -> Allocator {
    if is_set() { failing } else { allocate }
}

/// Whether one more request fails.
pub(crate) fn strikes() -> bool {
    let Some(mut fault) = FAULT.get() else { return false };
    fault.seen += 1;
    FAULT.set(Some(fault));
    (fault.first..=fault.last).contains(&fault.seen)
}

/// [`allocate`], at times.
///
/// # Safety
/// As there.
unsafe extern "C" fn failing(memory: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: by contract.
    let of_call = unsafe { &*memory.cast::<Memory>() };
    let old_size = if block.is_null() { 0 } else { old };
    if new > old_size && !of_call.is_promised() && strikes() {
        of_call.refuse(block, new - old_size);
        return ptr::null_mut();
    }
    // SAFETY: by contract.
    unsafe { allocate(memory, block, old, new) }
}
