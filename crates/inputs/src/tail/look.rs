//! Holds the files that are there against those that are followed.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use plugin::StreamOptions;

use super::file::{Followed, locate, open, stamp};
use super::follow::{Follower, MAX_OPEN};
use super::identity::{FileId, Head, Remembered};

/// Where a file without a remembered position is read from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    Start,
    End,
}

impl Follower<'_, '_> {
    /// The first look of a run also goes after files that were rotated away meanwhile.
    pub fn look_first(&mut self, from_end: bool) {
        let seen: HashSet<PathBuf> = self.known.iter().map(|r| r.path.clone()).collect();
        let newest = self.serial;
        let (here, new) = self.compare();
        self.recover(&here);
        for path in &new {
            // In the place of a file that was followed, there is no end to begin at.
            let begin = if from_end && !seen.contains(path) { Begin::End } else { Begin::Start };
            self.open_path(path, begin);
        }
        self.link(newest);
    }

    /// Finds new files, files that were renamed, and files that left.
    pub fn look(&mut self) {
        let newest = self.serial;
        let (here, new) = self.compare();
        self.depart(&here);
        for (origin, path) in std::mem::take(&mut self.moved) {
            if !self.setup.patterns.matches(&path) {
                self.open_moved(&origin, &path);
            }
        }
        for path in &new {
            self.open_path(path, Begin::Start);
        }
        self.link(newest);
    }

    /// The files that are there, and the paths of those that are not followed.
    fn compare(&mut self) -> (HashSet<FileId>, Vec<PathBuf>) {
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
                None => new.push(path),
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

    /// Finds the files whose name leads elsewhere since the last run, to read what is left of them.
    fn recover(&mut self, here: &HashSet<FileId>) {
        for known in self.known.clone() {
            if here.contains(&known.id) {
                continue;
            }
            match locate(&known.path, known.id.inode, |id, path, file| Ok(known.is(id, path, &Head::read(file)?))) {
                // It has its name, which is wanted no more; or is opened with the others.
                Ok(Some((path, _))) if path == known.path || self.setup.patterns.matches(&path) => {}
                Ok(Some((path, _))) => self.open_moved(&known.path, &path),
                Ok(None) => {
                    self.known.retain(|r| r.key != known.key);
                    self.forget.push(known.key);
                }
                // The directory may be mounted later.
                Err(_) => {}
            }
        }
    }

    /// Follows a file to its end that has lost the name it was wanted for.
    fn open_moved(&mut self, origin: &Path, path: &Path) {
        if let Some(id) = self.open_path(path, Begin::Start)
            && let Some(file) = self.files.get_mut(&id)
        {
            file.origin = origin.to_path_buf();
            file.left = Some(self.cx.clock.steady());
            self.leaving.push(id);
        }
    }

    /// Opens a file that is not followed yet.
    fn open_path(&mut self, path: &Path, begin: Begin) -> Option<FileId> {
        match open(path) {
            Ok(Some((file, meta))) => match self.begin(path, file, &meta, begin) {
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

    fn begin(&mut self, path: &Path, mut file: File, meta: &Metadata, begin: Begin) -> io::Result<Option<FileId>> {
        let id = FileId::of(meta);
        if self.files.contains_key(&id) {
            return Ok(None);
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
        file.seek(SeekFrom::Start(position))?;
        let key = remembered.as_ref().map_or_else(|| self.fresh_key(id), |r| r.key.clone());
        let options = StreamOptions {
            key: key.clone(),
            identity: head.identity(path),
            position,
            logger: path.display().to_string(),
            hostname: String::new(),
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
            origin: remembered.map_or_else(|| path.to_path_buf(), |r| r.path),
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
        Ok(Some(id))
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

    /// Has new files, those since `newest`, wait for the older ones that had their name before. A
    /// file is linked once, when it is new: so no two ever wait for each other.
    fn link(&mut self, newest: u64) {
        let live = |f: &Followed| f.left.is_none() && f.path == f.origin;
        let older = |f: &Followed| {
            let before = |o: &&Followed| o.id != f.id && o.origin == f.origin && !o.at_end && !live(o) && (live(f) || o.serial < f.serial);
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
