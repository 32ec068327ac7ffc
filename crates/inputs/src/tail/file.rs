//! One file that is followed, from its first byte to its last, under whatever name.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use message::StreamId;
use plugin::InputCx;

use super::identity::{Check, FileId, Head};
use super::watch::Watched;

/// Bytes one file is read before it is the next one's turn.
const TURN: u64 = 1 << 20;

#[derive(Debug)]
pub struct Followed {
    pub id: FileId,
    pub stream: StreamId,
    pub key: String,
    /// Its name when it was last seen.
    pub path: PathBuf,
    /// The name under which it was known first: of files of one origin, the older is read first.
    pub origin: PathBuf,
    /// None while there are too many files to keep all of them open.
    pub handle: Option<File>,
    /// Where reading goes on.
    pub position: u64,
    pub head: Head,
    /// Whether everything was read when last looked at. Otherwise it waits for its turn.
    pub at_end: bool,
    /// A file that has to be read to its end before this one.
    pub after: Option<FileId>,
    /// Since when no wanted name leads to it any more.
    pub left: Option<Duration>,
    pub last_read: Duration,
    /// By age, among files of one origin.
    pub serial: u64,
    pub watched: Option<Watched>,
    /// The largest size seen: what is lost when it is truncated.
    pub size: u64,
    /// Size and time of change when last looked at.
    pub stamp: (u64, i64, i64),
}

/// What tells that a file changed, without opening it: size, and time of the last write.
pub fn stamp(meta: &Metadata) -> (u64, i64, i64) {
    (meta.len(), meta.mtime(), meta.mtime_nsec())
}

impl Followed {
    /// Reads until the end or for one turn; returns the bytes read.
    ///
    /// After each read it makes sure that the file still begins as it did. That notices a file that
    /// was truncated and has grown beyond the position since, unless it begins with the same bytes.
    pub fn turn(&mut self, cx: &mut InputCx<'_>) -> io::Result<u64> {
        let Some(file) = self.handle.take() else { return Err(ErrorKind::NotFound.into()) };
        self.at_end = false;
        let result = self.read(&file, cx);
        self.handle = Some(file);
        result
    }

    fn read(&mut self, file: &File, cx: &mut InputCx<'_>) -> io::Result<u64> {
        let mut total = 0;
        while total < TURN && !cx.stop.asked() {
            let mut reader = Reader { file, position: self.position, head: &mut self.head, check: Check::Same };
            let n = match cx.intake.read(self.stream, &mut reader) {
                Ok(n) => n as u64,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let check = reader.check;
            (self.position, total) = (self.position + n, total + n);
            if check == Check::Grown {
                // At once, so that no position is kept beside a proof that covers less than was read.
                self.identify(cx);
            }
            if check == Check::Other || n == 0 && file.metadata()?.len() < self.position {
                self.restart(file, cx)?;
            } else if n == 0 {
                self.at_end = true;
                break;
            }
        }
        if total > 0 {
            self.last_read = cx.clock.steady();
            self.size = self.size.max(self.position);
        }
        Ok(total)
    }

    /// The file was truncated: from the start again. What was read and has no end yet is a record
    /// of its own, as nothing will ever complete it.
    fn restart(&mut self, file: &File, cx: &mut InputCx<'_>) -> io::Result<()> {
        let lost = self.size.saturating_sub(self.position);
        log::info!(
            "input {}: {} was truncated, it is read from the start ({lost} bytes were not read)",
            cx.build.name,
            self.path.display()
        );
        cx.meter.add_extra("truncations", 1);
        cx.meter.add_extra("abandoned_bytes", lost);
        self.head = Head::read(file)?;
        (self.position, self.size) = (0, 0);
        cx.intake.end_of_stream(self.stream);
        // First the position: the old identity with a position of zero harms nothing.
        cx.intake.seek(self.stream, 0);
        self.identify(cx);
        Ok(())
    }

    /// Tells what the file is to be known by after a restart.
    pub fn identify(&self, cx: &mut InputCx<'_>) {
        cx.intake.identify(self.stream, &self.key, &self.head.identity(&self.origin));
    }

    /// It was found at `path`. True when there may be something to read.
    pub fn found(&mut self, path: &Path, meta: &Metadata, cx: &mut InputCx<'_>) -> bool {
        self.left = None;
        let elsewhere = self.origin.parent() != path.parent();
        self.path = path.to_path_buf();
        if elsewhere {
            // After a restart it is looked for in the directory of its origin.
            self.origin = path.to_path_buf();
            self.identify(cx);
        }
        self.size = self.size.max(meta.len());
        let before = std::mem::replace(&mut self.stamp, stamp(meta));
        before != self.stamp || meta.len() != self.position
    }

    /// Opens the file again, wherever it is now.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.handle = Some(match open(&self.path)? {
            // By its id alone: a file that was truncated meanwhile is still the same.
            Some((file, meta)) if FileId::of(&meta) == self.id => file,
            _ => {
                let is = |id, _: &Path, file: &File| Ok(id == self.id && self.head.clone().check(file)? != Check::Other);
                locate(&self.path, self.id.inode, is)?.ok_or(ErrorKind::NotFound)?.1
            }
        });
        Ok(())
    }
}

/// Reads a block, and then looks whether that can have been the file's own.
struct Reader<'a> {
    file: &'a File,
    position: u64,
    head: &'a mut Head,
    check: Check,
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buf, self.position)?;
        self.check = self.head.check(self.file)?;
        // A file that begins otherwise and is as long as what was read has grown beyond the
        // position again: these bytes are from its middle. In a shorter one they are not, so they were
        // read before it was truncated.
        let middle = self.check == Check::Other && n > 0 && self.file.metadata()?.len() >= self.position + n as u64;
        Ok(if middle { 0 } else { n })
    }
}

/// Opens a regular file; `None` when it does not exist.
pub fn open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    // NONBLOCK: something other than a file may have taken the name, and a FIFO would wait here.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = match OpenOptions::new().read(true).custom_flags(nonblock).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let meta = file.metadata()?;
    match meta.is_file() {
        true => Ok(Some((file, meta))),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// Looks for a file of this inode beside `path` (or there itself) that `is` the one: a log that was
/// rotated keeps to its directory. An error says that the directory could not be searched.
pub fn locate(path: &Path, inode: u64, is: impl Fn(FileId, &Path, &File) -> io::Result<bool>) -> io::Result<Option<(PathBuf, File)>> {
    for entry in fs::read_dir(path.parent().unwrap_or(Path::new("/")))?.flatten() {
        if entry.ino() != inode || !entry.file_type().is_ok_and(|t| t.is_file()) {
            continue;
        }
        if let Ok(Some((file, meta))) = open(&entry.path())
            && is(FileId::of(&meta), &entry.path(), &file)?
        {
            return Ok(Some((entry.path(), file)));
        }
    }
    Ok(None)
}
