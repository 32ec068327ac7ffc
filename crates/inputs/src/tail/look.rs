//! Holds the files that are there against those that are followed.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Setup;
use super::arrange::{Candidate, arrange, candidates};
use super::begin::Begin;
use super::file::{inodes, locate, open, stamp};
use super::follow::{Follower, Gone, Moved};
use super::identity::{Check, FileId, Head};
use super::known::Known;
use super::naming::Place;

/// How often files are pursued that are renamed while they are looked for.
const MAX_CHASE: usize = 100;

impl Follower<'_, '_> {
    /// The first look of a run also goes after files that were rotated away meanwhile.
    pub fn look_first(&mut self, from_end: bool) {
        let newest = self.serial;
        let seen: HashSet<PathBuf> = self.known.iter().map(|r| r.path.clone()).collect();
        let (here, new) = self.compare();
        let (recovered, gone) = recover(&self.known, self.setup, &here);
        self.gone = gone.into_iter().map(|(inode, key)| Gone { inode, key, rest: 0, stream: None }).collect();
        let settled = self.settled();
        let mut files = candidates(new, &self.setup.naming, &self.known);
        files.splice(0..0, recovered);
        self.unopened = files.iter().map(|file| (FileId::of(&file.meta), file.path.clone())).collect();
        arrange(&mut files, &self.setup.naming);
        for file in files {
            // In the place of a file that was followed, there is no end to begin at.
            let begin = if from_end && !file.renamed && !seen.contains(&file.path) { Begin::End } else { Begin::Start };
            let wanted = self.setup.patterns.matches(&file.path);
            match self.open_path(&file.path, Some(file.place), begin) {
                Some(id) if !wanted => self.leaves(id),
                _ => {}
            }
            self.unopened.remove(&FileId::of(&file.meta));
        }
        self.drop_gone(settled);
        if self.unfinished {
            self.next_look = Duration::ZERO;
        }
        self.link(newest);
        self.measure();
    }

    /// Finds new files, files that were renamed, and files that left.
    pub fn look(&mut self) {
        let newest = self.serial;
        // What goes from now on may have a copy that this look misses.
        let settled = self.settled();
        let (here, new) = self.compare();
        self.depart(&here);
        let mut files = candidates(new, &self.setup.naming, &self.known);
        arrange(&mut files, &self.setup.naming);
        for file in files {
            self.open_path(&file.path, Some(file.place), Begin::Start);
        }
        self.chase(newest);
        self.link(newest);
        self.drop_gone(settled);
        let files = &self.files;
        self.copies.retain(|_, copy| copy.holds(files));
        self.settle();
        self.measure();
    }

    /// Keys of those files that are gone, and of which nothing is under way.
    fn settled(&mut self) -> HashSet<String> {
        self.unfinished = false;
        let keys = self.gone.iter().map(|gone| gone.key.clone());
        keys.filter(|key| self.cx.intake.settled_stream(key)).collect()
    }

    /// Of files that were gone and settled before this look, which would have found a packed copy, nothing is kept.
    fn drop_gone(&mut self, settled: HashSet<String>) {
        if self.unfinished {
            return;
        }
        let (dropped, rest) = std::mem::take(&mut self.gone).into_iter().partition(|gone| settled.contains(&gone.key));
        self.gone = rest;
        for Gone { inode, key, rest, stream } in dropped {
            if let Some(stream) = stream {
                self.cx.intake.end_of_stream(stream);
                self.cx.intake.close(stream);
            }
            if rest > 0 {
                let path = self.known.of_inode(inode).find(|r| r.key == key).map(|r| r.path.clone());
                self.abandon(rest, &path.unwrap_or_default());
            }
            self.known.remove(inode, &key);
            self.forget.push(key);
        }
    }

    /// Tells how far behind it is.
    fn measure(&self) {
        self.cx.meter.set_extra("lag_bytes", self.files.values().map(|f| f.lag()).sum());
        self.cx.meter.set_extra("files", self.files.len() as u64);
        self.cx.meter.set_extra("files_open", self.open as u64);
    }

    /// Opens the files that were renamed, before or while this look was taken. A file may be renamed
    /// again while it is being opened, so this goes on until no name has changed meanwhile.
    fn chase(&mut self, newest: u64) {
        for _ in 0..MAX_CHASE {
            for i in 0..self.moved.len() {
                if self.moved[i].id.is_none() {
                    let place = self.setup.naming.place(&self.moved[i].origin);
                    let path = self.moved[i].path.clone();
                    self.moved[i].id = self.open_path(&path, place, Begin::Start);
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
            if self.replaced(id, &path, &meta) {
                self.close(id);
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

    /// Whether a file that was not open is gone, and its inode was given to another one.
    fn replaced(&self, id: FileId, path: &Path, meta: &Metadata) -> bool {
        let Some(file) = self.files.get(&id).filter(|f| f.handle.is_none() && f.stamp != stamp(meta)) else { return false };
        let Ok(Some((now, _))) = open(path) else { return false };
        matches!(file.head.clone().check(&now), Ok(Check::Other))
    }

    /// Files to which no wanted name leads any more are read to their end and a while longer.
    fn depart(&mut self, here: &HashSet<FileId>) {
        let now = self.cx.clock.steady();
        let mut gone = Vec::new();
        // A search for each of many files that went at one time takes long.
        let mut present: HashMap<PathBuf, Option<HashSet<u64>>> = HashMap::new();
        for file in self.files.values_mut().filter(|f| f.left.is_none() && !here.contains(&f.id)) {
            if file.handle.is_none() {
                // Before the name is lost altogether.
                let dir = file.path.parent().unwrap_or(Path::new("/"));
                let present = present.entry(dir.to_path_buf()).or_insert_with(|| inodes(dir));
                let there = present.as_ref().is_none_or(|inodes| inodes.contains(&file.id.inode));
                match if there { file.pursue() } else { Err(ErrorKind::NotFound.into()) } {
                    Ok(()) => self.open += 1,
                    Err(e) if e.kind() == ErrorKind::NotFound => {
                        gone.push(file.id);
                        continue;
                    }
                    Err(_) => {}
                }
            }
            file.left = Some(now);
            self.leaving.push(file.id);
        }
        gone.into_iter().for_each(|id| self.close(id));
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

    /// Has new files, those since `newest`, wait for the older ones of their stream. They
    /// only ever wait for older ones, so no two wait for each other.
    fn link(&mut self, newest: u64) {
        let mut new: HashMap<&str, Vec<(u64, FileId)>> = HashMap::new();
        for file in self.files.values().filter(|f| f.serial > newest) {
            new.entry(&file.place.stream).or_default();
        }
        if new.is_empty() {
            return;
        }
        for file in self.files.values().filter(|f| !f.at_end) {
            if let Some(unread) = new.get_mut(file.place.stream.as_str()) {
                unread.push((file.serial, file.id));
            }
        }
        let mut links = Vec::new();
        for mut unread in new.into_values() {
            unread.sort_unstable_by_key(|(serial, _)| *serial);
            links.extend(unread.windows(2).filter(|w| w[1].0 > newest).map(|w| (w[1].1, w[0].1)));
        }
        for (id, after) in links {
            if let Some(file) = self.files.get_mut(&id) {
                file.after = Some(after);
            }
        }
    }
}

/// Finds the files whose name leads elsewhere since the last run, to read what is left of them; and inode and key of those
/// that are gone.
pub fn recover(known: &Known, setup: &Setup, here: &HashSet<FileId>) -> (Vec<Candidate>, Vec<(u64, String)>) {
    let (mut found, mut gone) = (Vec::new(), Vec::new());
    for known in known.iter().filter(|known| !here.contains(&known.id)) {
        match locate(&known.path, known.id.inode, |id, path, file| Ok(known.is(id, path, &Head::read(file)?))) {
            // It has its name, which is wanted no more; or is opened with the others.
            Ok(Some((path, _))) if path == known.path || setup.patterns.matches(&path) => {}
            Ok(Some((path, file))) => {
                let place = setup.naming.place(&known.path).unwrap_or_else(|| Place::alone(&known.path));
                let place = Place { rank: Vec::new(), ..place };
                found.extend(file.metadata().ok().map(|meta| Candidate { path, meta, place, renamed: true }));
            }
            Ok(None) => gone.push((known.id.inode, known.key.clone())),
            // The directory may be mounted later.
            Err(_) => {}
        }
    }
    (found, gone)
}
