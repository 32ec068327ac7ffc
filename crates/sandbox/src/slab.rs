//! Small blocks of memory for the sandboxes of one thread.
//!
//! An idle sandbox is mostly strings, tables and closures of up to 64 bytes. `malloc` puts a header before
//! each and rounds the sum up to 16; here a chunk holds blocks of one size, a multiple of 8, and nothing
//! between them. The chunks are the thread's, not the sandbox's: with chunks of its own a sandbox
//! loses more at their ends than it wins. One without blocks in use is given back.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

/// Larger blocks are `malloc`'s.
const LARGEST: usize = 64;
/// Sizes are multiples of this; Lua wants no stricter alignment.
const STEP: usize = 8;
/// Bytes of a chunk, and what its address is a multiple of.
const CHUNK: usize = 16 << 10;
/// The rest is `malloc`'s own header, so that one chunk can follow another without a gap.
const LAYOUT: Layout = match Layout::from_size_align(CHUNK - 16, CHUNK) {
    Ok(layout) => layout,
    Err(_) => panic!("alignment is a power of two"),
};

/// What a chunk begins with.
struct Chunk {
    /// Neighbours in the list of those with room.
    next: *mut Chunk,
    previous: *mut Chunk,
    /// Blocks that were given back, each of which holds the address of the next.
    free: *mut *mut c_void,
    /// Bytes from here on were never in use.
    fresh: usize,
    /// Blocks in use, and the size of each.
    used: usize,
    size: usize,
}

impl Chunk {
    fn is_full(&self) -> bool {
        self.free.is_null() && self.fresh + self.size > LAYOUT.size()
    }
}

/// The chunks with room, by size of their blocks.
#[derive(Default)]
pub(crate) struct Slab {
    room: [Cell<*mut Chunk>; LARGEST / STEP],
}

impl Slab {
    /// The thread's.
    pub fn of_thread() -> Rc<Slab> {
        thread_local! {
            static SLAB: Rc<Slab> = Rc::default();
        }
        SLAB.try_with(Rc::clone).unwrap_or_default()
    }

    /// A block of `new` bytes with the content of `block`, which is gone then; null when there is no
    /// memory left, and then `block` stays. To make a block smaller never fails.
    ///
    /// # Safety
    /// `block` is null and `old` 0, or it is a block of `old` bytes from here; `new` is not 0.
    pub unsafe fn resize(&self, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
        if old > LARGEST && new > LARGEST {
            // SAFETY: larger blocks are `malloc`'s.
            return unsafe { libc::realloc(block, new) };
        }
        if !block.is_null() && old.div_ceil(STEP) == new.div_ceil(STEP) {
            return block;
        }
        // SAFETY: `malloc` takes any size; blocks do not overlap, and both have the bytes copied.
        unsafe {
            let at = if new > LARGEST { libc::malloc(new) } else { self.take(new) };
            if !at.is_null() && !block.is_null() {
                ptr::copy_nonoverlapping(block.cast::<u8>(), at.cast::<u8>(), old.min(new));
                self.give(block, old);
            }
            at
        }
    }

    /// Gives a block back.
    ///
    /// # Safety
    /// `block` is null, or a block of `old` bytes from here.
    pub unsafe fn give(&self, block: *mut c_void, old: usize) {
        if old > LARGEST || block.is_null() {
            // SAFETY: larger blocks are `malloc`'s.
            return unsafe { libc::free(block) };
        }
        let room = &self.room[old.div_ceil(STEP) - 1];
        let at = block.map_addr(|a| a & !(CHUNK - 1)).cast::<Chunk>();
        // SAFETY: the block lies in a chunk that begins there, and is large enough for an address.
        unsafe {
            let was_full = (*at).is_full();
            *block.cast::<*mut *mut c_void>() = (*at).free;
            (*at).free = block.cast();
            (*at).used -= 1;
            if was_full {
                link(room, at);
            } else if (*at).used == 0 && !((*at).next.is_null() && (*at).previous.is_null()) {
                unlink(room, at);
                dealloc(at.cast(), LAYOUT);
            }
        }
    }

    /// A block of at most [`LARGEST`] bytes.
    fn take(&self, size: usize) -> *mut c_void {
        let room = &self.room[size.div_ceil(STEP) - 1];
        if room.get().is_null() {
            link(room, chunk(size.next_multiple_of(STEP)));
        }
        let at = room.get();
        // SAFETY: chunks in the list are live and have room: a block given back, or fresh bytes at the end.
        unsafe {
            let block = (*at).free;
            let block = if block.is_null() {
                (*at).fresh += (*at).size;
                at.cast::<u8>().add((*at).fresh - (*at).size).cast()
            } else {
                (*at).free = (*block).cast();
                block.cast::<c_void>()
            };
            (*at).used += 1;
            if (*at).is_full() {
                unlink(room, at);
            }
            block
        }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        for room in &self.room {
            let at = room.get();
            if !at.is_null() {
                // SAFETY: every sandbox is gone, hence every block, and of chunks without blocks one is kept.
                unsafe {
                    debug_assert_eq!((*at).used, 0);
                    dealloc(at.cast(), LAYOUT);
                }
            }
        }
    }
}

/// A chunk for blocks of this size.
fn chunk(size: usize) -> *mut Chunk {
    // SAFETY: the layout is not empty; the chunk has room for its beginning.
    unsafe {
        let at = alloc(LAYOUT).cast::<Chunk>();
        if at.is_null() {
            handle_alloc_error(LAYOUT);
        }
        let fresh = size_of::<Chunk>();
        at.write(Chunk { next: ptr::null_mut(), previous: ptr::null_mut(), free: ptr::null_mut(), fresh, used: 0, size });
        at
    }
}

fn link(room: &Cell<*mut Chunk>, at: *mut Chunk) {
    let next = room.replace(at);
    // SAFETY: `at` is live and in no list; the list holds live chunks.
    unsafe {
        ((*at).next, (*at).previous) = (next, ptr::null_mut());
        if let Some(next) = next.as_mut() {
            next.previous = at;
        }
    }
}

fn unlink(room: &Cell<*mut Chunk>, at: *mut Chunk) {
    // SAFETY: `at` is in the list, which holds live chunks.
    unsafe {
        let (next, previous) = ((*at).next, (*at).previous);
        if let Some(next) = next.as_mut() {
            next.previous = previous;
        }
        match previous.as_mut() {
            Some(previous) => previous.next = next,
            None => room.set(next),
        }
        ((*at).next, (*at).previous) = (ptr::null_mut(), ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block filled with a byte of its own.
    struct Block {
        at: *mut c_void,
        size: usize,
        byte: u8,
    }

    impl Block {
        fn fill(&self) {
            // SAFETY: the block is as large.
            unsafe { ptr::write_bytes(self.at.cast::<u8>(), self.byte, self.size) };
        }

        fn holds(&self, bytes: usize) -> bool {
            // SAFETY: as above.
            unsafe { std::slice::from_raw_parts(self.at.cast::<u8>(), bytes.min(self.size)) }.iter().all(|b| *b == self.byte)
        }
    }

    fn chunks(slab: &Slab) -> usize {
        let list = |room: &Cell<*mut Chunk>| {
            std::iter::successors(ptr::NonNull::new(room.get()), |at| {
                // SAFETY: the list holds live chunks.
                ptr::NonNull::new(unsafe { at.as_ref() }.next)
            })
            .count()
        };
        slab.room.iter().map(list).sum()
    }

    #[test]
    fn blocks_keep_what_they_hold_and_chunks_are_given_back() {
        let slab = Slab::default();
        let mut blocks: Vec<Block> = Vec::new();
        let mut random = 1_u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        for round in 0..60_000 {
            let grows = next(10) < if round < 30_000 { 7 } else { 4 };
            match (grows, blocks.is_empty()) {
                (true, _) | (_, true) => {
                    let (size, byte) = (1 + next(90), next(256) as u8);
                    // SAFETY: a new block.
                    let at = unsafe { slab.resize(ptr::null_mut(), 0, size) };
                    let block = Block { at, size, byte };
                    assert_eq!(block.at.addr() % STEP, 0);
                    block.fill();
                    blocks.push(block);
                }
                (_, false) if next(2) == 0 => {
                    let nth = next(blocks.len());
                    let block = &mut blocks[nth];
                    let (old, new) = (block.size, 1 + next(90));
                    // SAFETY: it has the size it was asked for with.
                    block.at = unsafe { slab.resize(block.at, old, new) };
                    block.size = new;
                    assert!(block.holds(old));
                    block.fill();
                }
                _ => {
                    let block = blocks.swap_remove(next(blocks.len()));
                    assert!(block.holds(block.size));
                    // SAFETY: as above.
                    unsafe { slab.give(block.at, block.size) };
                }
            }
        }
        assert!(blocks.iter().all(|block| block.holds(block.size)));
        for block in blocks {
            // SAFETY: as above.
            unsafe { slab.give(block.at, block.size) };
        }
        assert_eq!(chunks(&slab), LARGEST / STEP, "one is kept of each size");
    }
}
