//! Wakes the input up when journal files change: journald tells of what it appended by setting the length of
//! the file to what it is.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

/// Without a watcher, as the system may have none to give, regular looks do all of it.
pub(super) struct Watch(Option<OwnedFd>);

impl Watch {
    pub fn new() -> Watch {
        Watch(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok())
    }

    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }

    /// A directory that is watched already stays so.
    pub fn directory(&self, path: &Path) {
        let names = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        if let Some(fd) = &self.0 {
            let _ = inotify::add_watch(fd, path, names | WatchFlags::MODIFY | WatchFlags::ONLYDIR);
        }
    }

    /// Takes what there is to hear; true when names came or went.
    pub fn names_changed(&self) -> bool {
        let Some(fd) = &self.0 else { return false };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let (mut reader, mut changed) = (Reader::new(fd, &mut buffer), false);
        while let Ok(event) = reader.next() {
            changed |= !event.events().difference(ReadFlags::MODIFY).is_empty();
        }
        changed
    }
}
