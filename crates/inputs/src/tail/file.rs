//! One file that is followed, from its first byte to its last, under whatever name.

use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use message::StreamId;
use plugin::{InputCx, StreamOptions};

use super::identity::{Check, FileId, Head, Proof};
use super::naming::Place;
use super::pipe::{Form, Pipe};
use super::remembered::{Facts, Remembered, Whole};
use super::watch::Watched;

/// Bytes that are read of one file before it is the next one's turn.
const TURN: u64 = 1 << 20;

pub struct Followed {
    pub id: FileId,
    /// None when everything was read of a packed file: it needs no decoder then.
    pub stream: Option<StreamId>,
    pub key: String,
    /// Its name when it was last seen.
    pub path: PathBuf,
    /// The name under which it was known first.
    pub origin: PathBuf,
    /// Files of one stream are read one after the other, the older first.
    pub place: Place,
    pub form: Form,
    pub facts: Facts,
    /// Where reading is, in a file whose bytes are not those that are read.
    pub pipe: Option<Box<Pipe>>,
    /// It could not be unpacked, and has not changed since.
    pub failed: bool,
    /// None while there are too many files to keep all of them open.
    pub handle: Option<File>,
    /// Where reading goes on: bytes that were read.
    pub position: u64,
    pub head: Head,
    /// Whether everything was read when last looked at. Otherwise it waits for its turn.
    pub at_end: bool,
    /// A file that has to be read to its end before this one.
    pub after: Option<FileId>,
    /// Since when no wanted name leads to it any more.
    pub left: Option<Duration>,
    pub last_read: Duration,
    /// By age, among files of one stream.
    pub serial: u64,
    /// Counts its turns among those of all files.
    pub turn: u64,
    pub watched: Option<Watched>,
    /// The largest size seen: what is lost when it is truncated.
    pub size: u64,
    /// Size and time of change when last looked at.
    pub stamp: Stamp,
}

/// What tells that a file changed, without opening it: size, and time of the last write.
pub type Stamp = (u64, i64, i64);

pub fn stamp(meta: &Metadata) -> Stamp {
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
        let stream = self.stream(cx);
        let result = self.prepare().and_then(|()| self.read(stream, &file, cx));
        if result.is_err() {
            // As it is, nothing more can be unpacked of it.
            self.failed = self.pipe.take().is_some();
        }
        self.handle = Some(file);
        result
    }

    /// The stream it is read into.
    pub fn stream(&mut self, cx: &mut InputCx<'_>) -> StreamId {
        if let Some(stream) = self.stream {
            return stream;
        }
        let options = StreamOptions {
            key: self.key.clone(),
            identity: self.identity(),
            position: self.position,
            logger: self.place.logger.clone().unwrap_or_else(|| self.path.display().to_string()),
            ..StreamOptions::default()
        };
        *self.stream.insert(cx.intake.open(options))
    }

    fn prepare(&mut self) -> io::Result<()> {
        if self.pipe.is_none() && !self.form.is_plain() {
            let pipe = Pipe::new(self.form, &self.head, self.position, &self.facts.marks)?;
            self.pipe = Some(Box::new(pipe));
        }
        Ok(())
    }

    fn read(&mut self, stream: StreamId, file: &File, cx: &mut InputCx<'_>) -> io::Result<u64> {
        let mut total = 0;
        while total < TURN && !cx.stop.asked() {
            let pipe = self.pipe.as_deref_mut();
            let mut reader = Reader { file, position: self.position, pipe, head: &mut self.head, check: Check::Same };
            let n = match cx.intake.read(stream, &mut reader) {
                Ok(n) => n as u64,
                // A signal, or a long way to where reading goes on: that is a turn, too.
                Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(total),
                Err(e) => return Err(e),
            };
            let check = reader.check;
            (self.position, total) = (self.position + n, total + n);
            let place = self.pipe.as_ref().and_then(|pipe| pipe.place());
            let marked = place.is_some_and(|place| self.facts.marks.note(self.position, place));
            if check == Check::Grown || marked {
                // At once, so that no position is kept beside a proof that covers less than was read.
                self.identify(cx);
            }
            let short = self.pipe.as_ref().is_some_and(|pipe| pipe.is_short());
            if check == Check::Other || n == 0 && (short || file.metadata()?.len() < self.used()) {
                self.restart(file, cx)?;
            } else if n == 0 {
                self.at_end = true;
                self.complete(cx);
                break;
            }
        }
        if total > 0 {
            self.last_read = cx.clock.steady();
            self.size = self.size.max(self.used());
        }
        Ok(total)
    }

    /// How far the file itself was read.
    pub fn used(&self) -> u64 {
        match &self.pipe {
            Some(pipe) => pipe.used(),
            None if self.form.is_plain() => self.position,
            None => self.facts.whole.map_or(0, |whole| whole.size),
        }
    }

    /// Bytes of the file that were not read yet.
    pub fn lag(&self) -> u64 {
        let resting = self.pipe.is_none() && !self.form.is_plain() && self.at_end;
        if resting { 0 } else { self.size.saturating_sub(self.used()) }
    }

    /// A packed file that is at its end will not grow: its last record is complete, and nothing is kept for it.
    fn complete(&mut self, cx: &mut InputCx<'_>) {
        if !self.pipe.as_ref().is_some_and(|pipe| pipe.is_whole()) {
            return;
        }
        self.facts.whole = Some(Whole { size: self.used(), position: self.position });
        self.pipe = None;
        self.identify(cx);
        self.end(cx);
    }

    /// Nothing comes any more.
    pub fn end(&mut self, cx: &mut InputCx<'_>) {
        if let Some(stream) = self.stream.take() {
            cx.intake.end_of_stream(stream);
            cx.intake.close(stream);
        }
    }

    /// Whether it needs neither descriptor nor decoder.
    pub fn is_done(&self) -> bool {
        self.form.packing.is_some() && self.stream.is_none() && self.at_end
    }

    /// The file was truncated: from the start again. What was read and has no end yet is a record
    /// of its own, as nothing will ever complete it.
    fn restart(&mut self, file: &File, cx: &mut InputCx<'_>) -> io::Result<()> {
        let lost = self.size.saturating_sub(self.used());
        log::info!(
            "input {}: {} was truncated, it is read from the start ({lost} bytes were not read)",
            cx.build.name,
            self.path.display()
        );
        cx.meter.add_extra("truncations", 1);
        cx.meter.add_extra("abandoned_bytes", lost);
        self.head = Head::read(file)?;
        (self.position, self.size, self.pipe) = (0, 0, None);
        self.facts = Facts::default();
        self.prepare()?;
        let stream = self.stream(cx);
        cx.intake.end_of_stream(stream);
        // First the position: the old identity with a position of zero harms nothing.
        cx.intake.seek(stream, 0);
        self.identify(cx);
        Ok(())
    }

    fn identity(&self) -> String {
        self.facts.identity(self.head.proof(), &self.origin)
    }

    /// Tells what the file is to be known by after a restart.
    pub fn identify(&self, cx: &mut InputCx<'_>) {
        if let Some(stream) = self.stream {
            cx.intake.identify(stream, &self.key, &self.identity());
        }
    }

    /// As it is known when it is not followed any more.
    pub fn remember(&self) -> Remembered {
        let (key, path, facts) = (self.key.clone(), self.origin.clone(), self.facts.clone());
        Remembered { key, id: self.id, path, position: self.position, proof: self.head.proof(), facts }
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
        let changed = before != self.stamp;
        self.failed &= !changed;
        changed || !self.failed && !self.is_done() && meta.len() != self.used()
    }

    /// Whether this packed content begins as this file does: it is a copy then, as far as can be told now.
    pub fn is_copied_by(&self, content: &Head, has: impl Fn(Proof) -> bool) -> bool {
        match self.facts.content {
            Some(proof) => proof.len > 0 && has(proof),
            None => !self.head.bytes().is_empty() && content.bytes().starts_with(self.head.bytes()),
        }
    }

    /// Opens the file again, under the name at which the last look found it. One that begins otherwise is another one: while
    /// no descriptor held it, its inode may have been given away.
    ///
    /// # Errors
    /// `NotFound` when it is not there; those of the file system.
    pub fn reopen(&mut self) -> io::Result<()> {
        match open(&self.path)? {
            Some((file, meta)) if self.is(FileId::of(&meta), &file)? => self.handle = Some(file),
            _ => return Err(ErrorKind::NotFound.into()),
        }
        Ok(())
    }

    /// Opens the file again under whatever name it has beside the last one. That takes a search of the directory.
    ///
    /// # Errors
    /// As [`Followed::reopen`].
    pub fn pursue(&mut self) -> io::Result<()> {
        let is = |id, _: &Path, file: &File| self.is(id, file);
        self.handle = Some(locate(&self.path, self.id.inode, is)?.ok_or(ErrorKind::NotFound)?.1);
        Ok(())
    }

    fn is(&self, id: FileId, file: &File) -> io::Result<bool> {
        Ok(id == self.id && self.head.clone().check(file)? != Check::Other)
    }
}

/// Reads a block, and then looks whether that can have been the file's own.
struct Reader<'a> {
    file: &'a File,
    position: u64,
    pipe: Option<&'a mut Pipe>,
    head: &'a mut Head,
    check: Check,
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (n, used) = match &mut self.pipe {
            None => {
                let n = self.file.read_at(buf, self.position)?;
                (n, self.position + n as u64)
            }
            Some(pipe) => (pipe.read(self.file, buf)?, pipe.used()),
        };
        self.check = self.head.check(self.file)?;
        // A file that begins otherwise and is as long as what was read has grown beyond the
        // position again: these bytes are from its middle. In a shorter one they are not, so they were
        // read before it was truncated.
        let middle = self.check == Check::Other && n > 0 && self.file.metadata()?.len() >= used;
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

/// Inodes of what is in a directory; `None` when it cannot be read.
pub fn inodes(dir: &Path) -> Option<HashSet<u64>> {
    Some(fs::read_dir(dir).ok()?.flatten().map(|entry| entry.ino()).collect())
}
