//! How the allocator of the process behaves. It stands here since it takes `unsafe` to say.

/// Two arenas, and what is large goes back to the system as soon as it is freed.
///
/// Batches are made on one thread and freed on another, and a burst makes many. By itself glibc gives every thread an arena
/// and, after the first large block, serves such blocks from there, between small ones that stay: what a burst took is then
/// never given back. Call this before any thread is started.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (option, value) in [(libc::M_ARENA_MAX, 2), (libc::M_MMAP_THRESHOLD, 128 << 10), (libc::M_TRIM_THRESHOLD, 256 << 10)] {
        // SAFETY: sets a number within the allocator, under its own lock; one that is refused stays as it was.
        unsafe { libc::mallopt(option, value) };
    }
}
