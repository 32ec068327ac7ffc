use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawMode, ResolveFlags, fstat, mkdirat, open, openat, openat2, renameat, statat};
use rustix::io::Errno;

/// Mode of directories that are created.
const DIR_MODE: RawMode = 0o750;

/// A race with a rename elsewhere makes `openat2` ask for another try; so many are made.
const TRIES: usize = 16;

/// A directory whose files are opened and renamed by relative path, and nothing else: no
/// path leads out of it, be it by `..`, by being absolute, or through a symbolic link.
///
/// The kernel sees to that (`openat2(2)` with `RESOLVE_BENEATH`). Where it cannot (before Linux
/// 5.6, or under a filter of system calls), paths are walked and no symbolic link is followed at all.
pub struct Beneath {
    dir: OwnedFd,
    by_kernel: bool,
}

/// Tells two files apart: device and inode.
pub type FileId = (u64, u64);

impl Beneath {
    /// Opens `dir`, and creates it when it is missing.
    ///
    /// # Errors
    /// When it cannot be created or opened, or is no directory.
    pub fn open(dir: &Path) -> io::Result<Beneath> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)?;
        let dir = open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut beneath = Beneath { dir, by_kernel: true };
        beneath.by_kernel = beneath.open_by_kernel(".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).is_ok();
        Ok(beneath)
    }

    /// Opens a regular file for appending, and creates it, with its directories, when missing.
    ///
    /// # Errors
    /// Those of the system; `EXDEV` or `ELOOP` for a path that leads outside, and one that says so
    /// for what is not a regular file.
    pub fn append_to(&self, path: &str, mode: RawMode) -> io::Result<File> {
        // Without O_NONBLOCK, a pipe laid in the way would block until someone reads it.
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = match self.resolve(path, flags, Mode::from_raw_mode(mode)) {
            Err(Errno::NOENT) => {
                self.create_parents(path)?;
                self.resolve(path, flags, Mode::from_raw_mode(mode))?
            }
            other => other?,
        };
        match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
            FileType::RegularFile => Ok(fd.into()),
            other => Err(io::Error::other(format!("is not a regular file ({other:?})"))),
        }
    }

    /// Whether `dir` still is the directory that was opened.
    pub fn is(&self, dir: &Path) -> bool {
        rustix::fs::stat(dir).is_ok_and(|stat| id_of(&self.dir).is_ok_and(|id| id == (stat.st_dev, stat.st_ino)))
    }

    /// Which file lies at `path` now; none when there is none.
    pub fn id(&self, path: &str) -> Option<FileId> {
        let fd = self.resolve(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let stat = fstat(&fd).ok()?;
        // Walking without following ends at a link itself.
        (FileType::from_raw_mode(stat.st_mode) != FileType::Symlink).then_some((stat.st_dev, stat.st_ino))
    }

    /// Renames within one directory; false when there is nothing at `from`.
    ///
    /// # Errors
    /// Those of the system.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<bool> {
        let (dir, from) = self.parent(from)?;
        let to = to.rsplit_once('/').map_or(to, |(_, name)| name);
        match renameat(&dir, from, &dir, to) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    pub fn exists(&self, path: &str) -> bool {
        self.parent(path).is_ok_and(|(dir, name)| statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok())
    }

    /// Makes the entry of a new file last through a power failure.
    ///
    /// # Errors
    /// Those of the system.
    pub fn sync_parent(&self, path: &str) -> io::Result<()> {
        let (dir, _) = self.parent(path)?;
        let dir = openat(&dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(rustix::fs::fsync(dir)?)
    }

    /// The directory a path's last name is in.
    fn parent<'p>(&self, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
        let (dir, name) = path.rsplit_once('/').unwrap_or((".", path));
        Ok((self.resolve(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?, name))
    }

    fn create_parents(&self, path: &str) -> io::Result<()> {
        for (end, _) in path.match_indices('/') {
            let (dir, name) = self.parent(&path[..end])?;
            match mkdirat(&dir, name, Mode::from_raw_mode(DIR_MODE)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn resolve(&self, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        if self.by_kernel { self.open_by_kernel(path, flags, mode) } else { self.walk(path, flags, mode) }
    }

    fn open_by_kernel(&self, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut last = Err(Errno::AGAIN);
        for _ in 0..TRIES {
            last = openat2(&self.dir, path, flags, mode, how);
            if !matches!(last, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
        }
        last
    }

    fn walk(&self, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        if path.split('/').any(|name| name.is_empty() || name == "..") {
            return Err(Errno::XDEV);
        }
        let (dirs, name) = path.rsplit_once('/').unwrap_or((".", path));
        let mut dir = openat(&self.dir, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        for next in dirs.split('/') {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            dir = openat(&dir, next, flags, Mode::empty())?;
        }
        openat(&dir, name, flags | OFlags::NOFOLLOW, mode)
    }
}

/// Device and inode of an open file.
pub fn id_of(fd: impl AsFd) -> io::Result<FileId> {
    let stat = fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory `in` to stay in, beside a file `secret`; by the kernel and by walking.
    fn houses() -> [(tempfile::TempDir, Beneath); 2] {
        [true, false].map(|by_kernel| {
            let tmp = tempfile::tempdir().unwrap();
            std::fs::write(tmp.path().join("secret"), "untouched").unwrap();
            let mut beneath = Beneath::open(&tmp.path().join("in")).unwrap();
            beneath.by_kernel &= by_kernel;
            (tmp, beneath)
        })
    }

    #[test]
    fn files_are_created_with_their_directories() {
        for (tmp, beneath) in houses() {
            beneath.append_to("a/b/c.log", 0o640).unwrap().write_all(b"one").unwrap();
            beneath.append_to("a/b/c.log", 0o640).unwrap().write_all(b" two").unwrap();
            assert_eq!(std::fs::read_to_string(tmp.path().join("in/a/b/c.log")).unwrap(), "one two");
            beneath.sync_parent("a/b/c.log").unwrap();
        }
    }

    #[test]
    fn no_path_leads_outside() {
        for (tmp, beneath) in houses() {
            let inside = tmp.path().join("in");
            symlink(tmp.path(), inside.join("out")).unwrap();
            symlink("../secret", inside.join("link")).unwrap();
            symlink("/dev/null", inside.join("null")).unwrap();
            let absolute = tmp.path().join("secret");
            for path in ["../secret", "out/secret", "link", "null", "x/../../secret", absolute.to_str().unwrap(), "out/new/file"] {
                assert!(beneath.append_to(path, 0o640).is_err(), "{path}");
                assert_eq!(beneath.id(path), None, "{path}");
            }
            assert!(beneath.rename("out/secret", "out/moved").is_err());
            assert_eq!(std::fs::read_to_string(absolute).unwrap(), "untouched");
            assert!(!tmp.path().join("new").exists());
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_blocking() {
        for (tmp, beneath) in houses() {
            std::fs::create_dir(tmp.path().join("in/dir")).unwrap();
            rustix::fs::mknodat(rustix::fs::CWD, tmp.path().join("in/pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
            assert!(beneath.append_to("dir", 0o640).is_err());
            assert!(beneath.append_to("pipe", 0o640).is_err());
        }
    }

    #[test]
    fn renaming_tells_whether_there_was_something() {
        for (_tmp, beneath) in houses() {
            let file = beneath.append_to("d/a", 0o640).unwrap();
            assert!(beneath.rename("d/a", "d/b").unwrap());
            assert_eq!((beneath.id("d/a"), beneath.id("d/b")), (None, Some(id_of(&file).unwrap())));
            assert!(!beneath.rename("d/a", "d/c").unwrap());
            assert!(beneath.exists("d/b") && !beneath.exists("d/c"));
        }
    }
}
