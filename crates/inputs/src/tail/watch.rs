//! Wakes the input up: inotify, read on the input's own thread.
//!
//! It only ever says "look": what there is to read is found by looking, and where watching is not
//! possible (limits, network file systems) the regular look of the `poll` option does all of it.
//!
//! Files are watched for writes one by one, so that the other files of a busy directory wake
//! nobody; directories are watched for names that come and go.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::identity::FileId;

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A watched file was written to or truncated.
    Written(FileId),
    /// A name appeared or vanished.
    Name { path: PathBuf, directory: bool },
    /// A file was renamed within the watched directories.
    Moved { from: PathBuf, to: PathBuf },
    /// Something was missed, or a watched directory itself went: look at everything.
    All,
}

/// A watched file, for [`Watch::leave`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watched(i32);

#[derive(Default)]
pub struct Watch {
    /// None when the system has no watcher to give.
    inotify: Option<OwnedFd>,
    files: HashMap<i32, FileId>,
    dirs: HashMap<i32, PathBuf>,
    watched_dirs: HashMap<PathBuf, i32>,
    complained: bool,
}

impl Watch {
    pub fn new() -> Watch {
        let mut watch = Watch::default();
        match inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) {
            Ok(fd) => watch.inotify = Some(fd),
            Err(e) => watch.complain(e),
        }
        watch
    }

    /// Becomes readable when something happened.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Watches a directory from now on. One that does not exist is found by the next look.
    pub fn directory(&mut self, path: &Path) {
        if self.watched_dirs.contains_key(path) {
            return;
        }
        let (names, itself) = (WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE, WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF);
        if let Some(wd) = self.add(path, names | itself | WatchFlags::ONLYDIR) {
            self.dirs.insert(wd, path.to_path_buf());
            self.watched_dirs.insert(path.to_path_buf(), wd);
        }
    }

    /// Watches an open file from now on, whatever becomes of its name.
    pub fn file(&mut self, file: &File, path: &Path, id: FileId) -> Option<Watched> {
        // By its descriptor, because another file may have the name by now.
        let open = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let path = if open.exists() { &open } else { path };
        let wd = self.add(path, WatchFlags::MODIFY | WatchFlags::MOVE_SELF)?;
        self.files.insert(wd, id);
        Some(Watched(wd))
    }

    /// Watches a file no longer.
    pub fn leave(&mut self, file: Watched) {
        self.files.remove(&file.0);
        self.remove(file.0);
    }

    fn add(&mut self, path: &Path, what: WatchFlags) -> Option<i32> {
        match inotify::add_watch(self.inotify.as_ref()?, path, what) {
            Ok(wd) => Some(wd),
            Err(e) => {
                self.complain(e);
                None
            }
        }
    }

    fn remove(&self, wd: i32) {
        if let Some(inotify) = &self.inotify {
            // A watch whose file is gone is gone already.
            let _ = inotify::remove_watch(inotify, wd);
        }
    }

    fn complain(&mut self, error: Errno) {
        let knob = match error {
            Errno::NOSPC => "fs.inotify.max_user_watches",
            Errno::MFILE => "fs.inotify.max_user_instances",
            Errno::NOENT | Errno::NOTDIR | Errno::ACCESS => return,
            _ => "fs.inotify.*",
        };
        if !std::mem::replace(&mut self.complained, true) {
            log::warn!("tail: some files cannot be watched ({error}); they are looked at every `poll`. Raise the sysctl {knob}");
        }
    }

    /// What happened since the last call. Never waits.
    pub fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(inotify) = self.inotify.take() else { return events };
        let mut buf = [const { MaybeUninit::uninit() }; 16 << 10];
        let mut reader = Reader::new(&inotify, &mut buf);
        // A rename is two events that follow one another.
        let mut moved: Option<(u32, PathBuf)> = None;
        while let Ok(event) = reader.next() {
            let (wd, what, cookie) = (event.wd(), event.events(), event.cookie());
            let name = event.file_name().map(|n| OsStr::from_bytes(n.to_bytes()));
            if let (Some(name), Some(dir)) = (name, self.dirs.get(&wd)) {
                let (path, directory) = (dir.join(name), what.contains(ReadFlags::ISDIR));
                match moved.take() {
                    Some((same, from)) if same == cookie && what.contains(ReadFlags::MOVED_TO) => {
                        events.push(Event::Moved { from, to: path.clone() });
                    }
                    _ if what.contains(ReadFlags::MOVED_FROM) => moved = Some((cookie, path.clone())),
                    _ => {}
                }
                events.push(Event::Name { path, directory });
            } else if let (Some(id), true) = (self.files.get(&wd), what.contains(ReadFlags::MODIFY)) {
                let written = Event::Written(*id);
                if events.last() != Some(&written) {
                    events.push(written);
                }
            } else if self.went(wd, what, &inotify) {
                events.push(Event::All);
            }
        }
        self.inotify = Some(inotify);
        events
    }

    /// Events about the watches themselves. True when everything has to be looked at.
    fn went(&mut self, wd: i32, what: ReadFlags, inotify: &OwnedFd) -> bool {
        let gone = ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::UNMOUNT;
        if what.intersects(ReadFlags::MOVE_SELF | gone)
            && let Some(path) = self.dirs.remove(&wd)
        {
            self.watched_dirs.remove(&path);
            let _ = inotify::remove_watch(inotify, wd);
            return true;
        }
        if what.contains(ReadFlags::IGNORED) {
            self.files.remove(&wd);
            return false;
        }
        what.intersects(ReadFlags::QUEUE_OVERFLOW | ReadFlags::MOVE_SELF)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn it_tells_what_happened_to_watched_things_only() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut one = File::create(at("one")).unwrap();
        let mut other = File::create(at("other")).unwrap();
        let mut watch = Watch::new();
        watch.directory(dir.path());
        watch.directory(&at("missing"));
        let id = FileId::of(&one.metadata().unwrap());
        let watched = watch.file(&one, &at("one"), id).unwrap();
        assert_eq!(watch.events(), []);

        one.write_all(b"x").unwrap();
        other.write_all(b"x").unwrap();
        assert_eq!(watch.events(), [Event::Written(id)]);

        fs::rename(at("one"), at("two")).unwrap();
        let events = watch.events();
        assert!(events.contains(&Event::Moved { from: at("one"), to: at("two") }), "{events:?}");
        one.set_len(0).unwrap();
        assert_eq!(watch.events(), [Event::Written(id)], "it is the file that is watched, not its name");

        fs::create_dir(at("sub")).unwrap();
        assert_eq!(watch.events(), [Event::Name { path: at("sub"), directory: true }]);
        watch.leave(watched);
        one.write_all(b"x").unwrap();
        assert_eq!(watch.events(), []);
    }

    #[test]
    fn a_directory_that_went_is_watched_anew_when_it_is_back() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("logs");
        let mut watch = Watch::new();
        for _ in 0..2 {
            fs::create_dir(&dir).unwrap();
            watch.directory(&dir);
            File::create(dir.join("a")).unwrap();
            assert_eq!(watch.events(), [Event::Name { path: dir.join("a"), directory: false }]);
            fs::remove_dir_all(&dir).unwrap();
            assert!(watch.events().contains(&Event::All));
        }
    }
}
