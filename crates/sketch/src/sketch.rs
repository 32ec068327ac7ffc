//! What all sketches have in common, for those who keep them for others.

/// A summary that can be kept: its memory is known, it is saved and restored.
pub trait Sketch: Sized {
    /// Bytes on the heap: the sum of what is allocated, used or not.
    fn bytes(&self) -> usize;

    /// Appends a versioned form.
    fn save(&self, into: &mut Vec<u8>);

    /// Reads it back; nothing when it is damaged.
    fn restore(saved: &[u8]) -> Option<Self>;
}

/// A sketch that would have had to grow was not allowed to, or the system has no memory left. What it
/// tells is what it told before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom;

/// Gives `vec` room for `len` items and some more, up to `most`: asks `room` for the bytes before it takes them.
pub(crate) fn grow<T>(vec: &mut Vec<T>, len: usize, most: usize, room: &mut dyn FnMut(usize) -> bool) -> Result<(), NoRoom> {
    let had = vec.capacity();
    if len <= had {
        return Ok(());
    }
    let wanted = (2 * had).clamp(4, most.max(4)).max(len);
    if !room((wanted - had) * size_of::<T>()) {
        return Err(NoRoom);
    }
    vec.try_reserve_exact(wanted - vec.len()).map_err(|_| NoRoom)
}
