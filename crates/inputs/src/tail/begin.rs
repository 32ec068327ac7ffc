//! Begins to follow a file: where it is read from, and as what.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use message::StreamId;

use super::file::{Followed, Stamp, open, stamp};
use super::follow::{Follower, Gone};
use super::identity::{FileId, Head};
use super::inflate::Packing;
use super::naming::Place;
use super::pipe::{Form, Marks, content_head};
use super::remembered::{Facts, Remembered, Whole};
use super::transcode::Encoding;

/// Where a file without a remembered position is read from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    Start,
    End,
}

/// A packed copy of a file that is still followed: of no interest before that one is gone.
pub struct Copied {
    of: FileId,
    /// How its content begins. Held against the other file each time: that may have begun as many do, and its inode may be
    /// another file's by now.
    content: Head,
    stamp: Stamp,
}

impl Copied {
    /// Whether that file is still followed.
    pub fn holds(&self, files: &HashMap<FileId, Followed>) -> bool {
        files.get(&self.of).is_some_and(|file| file.is_copied_by(&self.content, |proof| self.content.has(proof)))
    }
}

/// What a file is to be read from.
struct Start {
    key: String,
    position: u64,
    facts: Facts,
    /// Under which name it was known first, if it was known.
    origin: Option<PathBuf>,
    known: bool,
    /// The stream that it goes on with.
    stream: Option<StreamId>,
}

impl Follower<'_, '_> {
    /// Opens a file that is not followed yet. Tells which it is, followed before or not.
    pub fn open_path(&mut self, path: &Path, place: Option<Place>, begin: Begin) -> Option<FileId> {
        match open(path) {
            Ok(Some((file, meta))) => match self.begin(path, place, file, &meta, begin) {
                Ok(id) => {
                    self.complained.remove(path);
                    return id;
                }
                Err(e) => self.complain(path, &e.to_string()),
            },
            Ok(None) => {}
            Err(e) => self.complain(path, &e.to_string()),
        }
        None
    }

    /// None when it is not to be read now.
    fn begin(&mut self, path: &Path, place: Option<Place>, file: File, meta: &Metadata, begin: Begin) -> io::Result<Option<FileId>> {
        let id = FileId::of(meta);
        if self.files.contains_key(&id) {
            return Ok(Some(id));
        }
        if self.copies.get(&id).is_some_and(|copy| copy.stamp == stamp(meta) && copy.holds(&self.files)) {
            return Ok(None);
        }
        let head = Head::read(&file)?;
        let packing = Packing::of(path, head.bytes());
        let Some(start) = self.start(id, path, &file, meta, &head, packing, begin)? else { return Ok(None) };
        let origin = start.origin.unwrap_or_else(|| path.to_path_buf());
        let place = place.or_else(|| self.setup.naming.place(&origin)).unwrap_or_else(|| Place::alone(&origin));
        self.serial += 1;
        // Watched before it is read, so that nothing falls between.
        let watched = self.watch.file(&file, path, id);
        let mut followed = Followed {
            id,
            stream: start.stream,
            key: start.key,
            path: path.to_path_buf(),
            origin,
            place,
            form: Form { packing, encoding: self.setup.encoding, most: self.setup.max_unpacked },
            at_end: start.facts.is_read(meta.len(), start.position),
            facts: start.facts,
            pipe: None,
            failed: false,
            handle: None,
            position: start.position,
            head,
            after: None,
            left: None,
            last_read: self.cx.clock.steady(),
            serial: self.serial,
            turn: 0,
            watched,
            size: meta.len(),
            stamp: stamp(meta),
        };
        // Of a stream that is taken over, key and identity are new.
        followed.identify(self.cx);
        // From the first byte on it is remembered; a packed file that was read already is.
        if !followed.at_end || !start.known {
            followed.stream(self.cx);
        }
        if followed.at_end {
            followed.end(self.cx);
        } else {
            followed.handle = (self.open < self.most_open).then_some(file);
            self.open += usize::from(followed.handle.is_some());
            self.ready.push_back(id);
        }
        self.files.insert(id, followed);
        Ok(Some(id))
    }

    #[allow(clippy::too_many_arguments)]
    fn start(
        &mut self,
        id: FileId,
        path: &Path,
        file: &File,
        meta: &Metadata,
        head: &Head,
        packing: Option<Packing>,
        begin: Begin,
    ) -> io::Result<Option<Start>> {
        let (remembered, gone) = self.known.take(id, path, head);
        // They had this inode before. There may be packed copies of them.
        gone.into_iter().for_each(|key| self.is_gone(Gone { inode: id.inode, key, rest: 0, stream: None }));
        if let Some(r) = remembered {
            return Ok(Some(self.go_on(r, meta)));
        }
        let mut facts = Facts::default();
        let (mut position, mut stream) = (0, None);
        if let Some(packing) = packing {
            let (content, whole) = content_head(file, packing)?;
            // It is still being written: what it is a copy of shows later.
            if !whole && content.bytes().len() < Head::FULL && self.is_recent(meta) {
                self.unfinished = true;
                return Ok(None);
            }
            facts.content = Some(content.proof());
            let beginnings = content.beginnings();
            let beside = |other: &Path| other.parent() == path.parent();
            let copied = |f: &&Followed| f.is_copied_by(&content, |proof| beginnings.has(proof)) && (beside(&f.path) || beside(&f.origin));
            if let Some(of) = self.files.values().find(copied).map(|f| f.id) {
                self.copies.insert(id, Copied { of, content, stamp: stamp(meta) });
                return Ok(None);
            }
            let known = self.known.iter().filter(|r| beginnings.has(r.content()) && beside(&r.path));
            if let Some(r) = known.max_by_key(|r| (r.content().len, r.position)) {
                let gone = self.gone.iter_mut().find(|gone| gone.key == r.key);
                // Beside its original, which this first look is still to open; or what is under way of that would be lost
                // with a crash: its copy is read when it has arrived.
                if is_there(r, &self.unopened) || !self.cx.intake.settled_stream(&r.key) {
                    self.unfinished = true;
                    return Ok(None);
                }
                log::info!("input {}: {} is what was read as {}", self.cx.build.name, path.display(), r.path.display());
                position = r.position;
                if let Some(gone) = gone {
                    // Its rest is not lost.
                    (gone.rest, stream) = (0, gone.stream.take());
                }
            }
        }
        self.copies.remove(&id);
        if begin == Begin::End && position == 0 {
            match packing {
                Some(_) => facts.whole = Some(Whole { size: meta.len(), position: 0 }),
                None if self.setup.encoding == Encoding::Utf8 => position = meta.len(),
                None => {
                    // Between two characters. What a position is called does not matter as long as it rises.
                    position = meta.len() & !1;
                    facts.marks = Marks::from_place(position);
                }
            }
        }
        Ok(Some(Start { key: self.known.fresh_key(id), position, facts, origin: None, known: false, stream }))
    }

    fn go_on(&self, r: Remembered, meta: &Metadata) -> Start {
        let packed = r.facts.content.is_some();
        let shorter = !packed && self.setup.encoding == Encoding::Utf8 && r.position > meta.len();
        if shorter {
            log::info!("input {}: {} is shorter than what was read of it; it is read from the start", self.cx.build.name, r.path.display());
            self.cx.meter.add_extra("truncations", 1);
        }
        let position = if shorter { 0 } else { r.position };
        Start { key: r.key, position, facts: r.facts, origin: Some(r.path), known: true, stream: None }
    }

    fn is_recent(&self, meta: &Metadata) -> bool {
        let written = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
        let now = Duration::from_nanos(self.cx.clock.now().max(0) as u64);
        now < written + self.setup.rotate_wait
    }
}

/// Whether one of these files is that one. Its inode may be another's by now.
fn is_there(r: &Remembered, files: &HashMap<FileId, PathBuf>) -> bool {
    let path = files.get(&r.id);
    let head = path.and_then(|path| open(path).ok().flatten()).and_then(|(file, _)| Head::read(&file).ok());
    head.is_some_and(|head| head.has(r.proof))
}
