//! Holds the files that are there against those that are followed.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plugin::StreamOptions;

use super::file::{Followed, locate, open, stamp};
use super::follow::{Follower, MAX_OPEN, Moved};
use super::identity::{FileId, Head, Remembered};

/// Where a file without a remembered position is read from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    Start,
    End,
}

/// How often files are pursued that are renamed while they are looked for.
const MAX_CHASE: usize = 100;

impl Follower<'_, '_> {
    /// The first look of a run also goes after files that were rotated away meanwhile.
    pub fn look_first(&mut self, from_end: bool) {
        let newest = self.serial;
        let seen: HashSet<PathBuf> = self.known.iter().map(|r| r.path.clone()).collect();
        let (here, new) = self.compare();
        let renamed = |r: &Remembered, (path, meta): &(PathBuf, Metadata)| r.id == FileId::of(meta) && r.path != *path;
        let (mut older, rest): (Vec<_>, Vec<_>) = new.into_iter().partition(|file| self.known.iter().any(|r| renamed(r, file)));
        older.extend(self.recover(&here));
        older.sort_by_key(|(_, meta)| (meta.mtime(), meta.mtime_nsec()));
        for (path, _) in older {
            match self.open_path(&path, Begin::Start) {
                Some(id) if !self.setup.patterns.matches(&path) => self.leaves(id),
                _ => {}
            }
        }
        for (path, _) in rest {
            // In the place of a file that was followed, there is no end to begin at.
            let begin = if from_end && !seen.contains(&path) { Begin::End } else { Begin::Start };
            self.open_path(&path, begin);
        }
        self.link(newest);
    }

    /// Finds new files, files that were renamed, and files that left.
    pub fn look(&mut self) {
        let newest = self.serial;
        let (here, new) = self.compare();
        self.depart(&here);
        for (path, _) in &new {
            self.open_path(path, Begin::Start);
        }
        self.chase(newest);
        self.link(newest);
    }

    /// Opens the files that were renamed, before or while this look was taken. A file may be renamed
    /// again while it is being opened, so this goes on until no name has changed meanwhile.
    fn chase(&mut self, newest: u64) {
        for _ in 0..MAX_CHASE {
            for i in 0..self.moved.len() {
                if self.moved[i].id.is_none() {
                    let path = self.moved[i].path.clone();
                    self.moved[i].id = self.open_path(&path, Begin::Start);
                }
            }
            if !self.heed() {
                break;
            }
            // There may be new files as well.
            self.next_look = Duration::ZERO;
        }
        let born: HashSet<FileId> = self.files.values().filter(|f| f.serial > newest).map(|f| f.id).collect();
        // Those that were renamed are older than the one that has the name now, in the order of renaming.
        let moved: Vec<_> = std::mem::take(&mut self.moved).into_iter().filter(|m| m.id.is_some_and(|id| born.contains(&id))).collect();
        let mut live: Vec<_> = born.iter().filter(|id| !moved.iter().any(|m| m.id == Some(**id))).collect();
        live.sort_by_key(|id| self.files[*id].serial);
        for Moved { origin, path, id } in &moved {
            let Some(id) = id else { continue };
            self.renumber(id);
            if let Some(file) = self.files.get_mut(id) {
                (file.origin, file.path) = (origin.clone(), path.clone());
                file.identify(self.cx);
            }
            if !self.setup.patterns.matches(path) {
                self.leaves(*id);
            }
        }
        for id in live {
            self.renumber(id);
        }
    }

    fn renumber(&mut self, id: &FileId) {
        self.serial += 1;
        if let Some(file) = self.files.get_mut(id) {
            file.serial = self.serial;
        }
    }

    /// The files that are there, and the paths of those that are not followed.
    fn compare(&mut self) -> (HashSet<FileId>, Vec<(PathBuf, Metadata)>) {
        self.next_look = self.cx.clock.steady() + self.setup.poll;
        let watch = &mut self.watch;
        let found = self.setup.patterns.find(&mut |dir| watch.directory(dir));
        let (mut here, mut new) = (HashSet::new(), Vec::new());
        for (path, meta) in found {
            let id = FileId::of(&meta);
            // The second name of a file does not make it another one.
            if !here.insert(id) {
                continue;
            }
            // Not even opened: that alone would tell the writer of a pipe that someone reads.
            if !meta.is_file() {
                self.complain(&path, "not a regular file; pipes and devices are not followed");
                continue;
            }
            match self.files.get_mut(&id) {
                None => new.push((path, meta)),
                Some(file) => {
                    let changed = file.found(&path, &meta, self.cx);
                    self.leaving.retain(|l| *l != id);
                    if changed {
                        self.queue(id);
                    }
                }
            }
        }
        (here, new)
    }

    /// Files to which no wanted name leads any more are read to their end and a while longer.
    fn depart(&mut self, here: &HashSet<FileId>) {
        let now = self.cx.clock.steady();
        for file in self.files.values_mut().filter(|f| f.left.is_none() && !here.contains(&f.id)) {
            file.left = Some(now);
            self.leaving.push(file.id);
            // Before the name is lost altogether.
            if file.handle.is_none() && file.reopen().is_ok() {
                self.open += 1;
            }
        }
        for id in self.leaving.clone() {
            self.queue(id);
        }
    }

    /// No wanted name leads to the file any more.
    fn leaves(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id)
            && file.left.is_none()
        {
            file.left = Some(self.cx.clock.steady());
            self.leaving.push(id);
        }
    }

    /// Finds the files whose name leads elsewhere since the last run, to read what is left of them.
    fn recover(&mut self, here: &HashSet<FileId>) -> Vec<(PathBuf, Metadata)> {
        let mut found = Vec::new();
        for known in self.known.clone() {
            if here.contains(&known.id) {
                continue;
            }
            match locate(&known.path, known.id.inode, |id, path, file| Ok(known.is(id, path, &Head::read(file)?))) {
                // It has its name, which is wanted no more; or is opened with the others.
                Ok(Some((path, _))) if path == known.path || self.setup.patterns.matches(&path) => {}
                Ok(Some((path, file))) => found.extend(file.metadata().ok().map(|meta| (path, meta))),
                Ok(None) => {
                    self.known.retain(|r| r.key != known.key);
                    self.forget.push(known.key);
                }
                // The directory may be mounted later.
                Err(_) => {}
            }
        }
        found
    }

    /// Opens a file that is not followed yet. Tells which it is, followed before or not.
    fn open_path(&mut self, path: &Path, begin: Begin) -> Option<FileId> {
        match open(path) {
            Ok(Some((file, meta))) => match self.begin(path, file, &meta, begin) {
                Ok(id) => {
                    self.complained.remove(path);
                    return Some(id);
                }
                Err(e) => self.complain(path, &e.to_string()),
            },
            Ok(None) => {}
            Err(e) => self.complain(path, &e.to_string()),
        }
        None
    }

    fn begin(&mut self, path: &Path, file: File, meta: &Metadata, begin: Begin) -> io::Result<FileId> {
        let id = FileId::of(meta);
        if self.files.contains_key(&id) {
            return Ok(id);
        }
        let head = Head::read(&file)?;
        let remembered = self.remembered(id, path, &head);
        let position = match &remembered {
            Some(r) if r.position <= meta.len() => r.position,
            Some(r) => {
                log::info!(
                    "input {}: {} is shorter than what was read of it; it is read from the start",
                    self.cx.build.name,
                    r.path.display()
                );
                self.cx.meter.add_extra("truncations", 1);
                0
            }
            None if begin == Begin::End => meta.len(),
            None => 0,
        };
        let key = remembered.as_ref().map_or_else(|| self.fresh_key(id), |r| r.key.clone());
        let origin = remembered.map_or_else(|| path.to_path_buf(), |r| r.path);
        let options = StreamOptions {
            key: key.clone(),
            identity: head.identity(&origin),
            position,
            logger: path.display().to_string(),
            ..StreamOptions::default()
        };
        let stream = self.cx.intake.open(options);
        self.serial += 1;
        // Watched before it is read, so that nothing falls between.
        let watched = self.watch.file(&file, path, id);
        let followed = Followed {
            id,
            stream,
            key,
            path: path.to_path_buf(),
            origin,
            handle: (self.open < MAX_OPEN).then_some(file),
            position,
            head,
            at_end: false,
            after: None,
            left: None,
            last_read: self.cx.clock.steady(),
            serial: self.serial,
            watched,
            size: meta.len(),
            stamp: stamp(meta),
        };
        self.open += usize::from(followed.handle.is_some());
        self.files.insert(id, followed);
        self.ready.push_back(id);
        Ok(id)
    }

    /// What is known of the file. Other files that had this inode are gone.
    fn remembered(&mut self, id: FileId, path: &Path, head: &Head) -> Option<Remembered> {
        let known = self.known.iter().position(|r| r.is(id, path, head)).map(|i| self.known.remove(i));
        let (gone, known_still) = std::mem::take(&mut self.known).into_iter().partition(|r| r.id == id);
        self.known = known_still;
        self.forget.extend(Vec::into_iter(gone).map(|r: Remembered| r.key));
        known
    }

    /// Device and inode, and a number where the key is still in use for an earlier file of this inode.
    fn fresh_key(&mut self, id: FileId) -> String {
        let mut key = id.key();
        for n in 2.. {
            if !self.keys.contains(&key) {
                break;
            }
            key = format!("{}:{n}", id.key());
        }
        self.keys.insert(key.clone());
        key
    }

    /// Has new files, those since `newest`, wait for the older ones that had their name before. They
    /// only ever wait for older ones, so no two wait for each other.
    fn link(&mut self, newest: u64) {
        let older = |f: &Followed| {
            let before = |o: &&Followed| o.origin == f.origin && o.serial < f.serial && !o.at_end;
            self.files.values().filter(before).max_by_key(|o| o.serial).map(|o| o.id)
        };
        let new = self.files.values().filter(|f| f.serial > newest);
        let links: Vec<_> = new.filter_map(|f| Some((f.id, older(f)?))).collect();
        for (id, after) in links {
            if let Some(file) = self.files.get_mut(&id) {
                file.after = Some(after);
            }
        }
    }
}
