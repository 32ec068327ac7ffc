//! Counts what Rust allocates: an error of Lua that jumps over a destructor leaves something behind.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// Bytes that this thread has allocated and not freed.
pub fn held() -> isize {
    HELD.get()
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: isize) {
    // After the thread's end nothing is counted.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: passes everything on to the system's allocator; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: by contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: by contract.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: by contract.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[test]
fn what_is_forgotten_is_held() {
    let before = held();
    let leaked = Box::into_raw(Box::new([0_u8; 100]));
    assert_eq!(held() - before, 100);
    // SAFETY: just made.
    drop(unsafe { Box::from_raw(leaked) });
    assert_eq!(held(), before);
}
