//! Follows all files at once: reads those that have something, in turn, and sleeps when none has.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plugin::InputCx;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Setup;
use super::file::Followed;
use super::identity::{FileId, Remembered};
use super::watch::{Event, Watch};

/// Files kept open while nothing happens to them.
pub(super) const MAX_OPEN: usize = 512;

/// Files remembered after they were rotated away for good.
const MAX_KNOWN: usize = 1024;

/// Someone who writes line by line wakes us once in this time, not once a line.
const GATHER: Duration = Duration::from_millis(1);

/// A file that had a wanted name and was given another one.
pub(super) struct Moved {
    pub origin: PathBuf,
    pub path: PathBuf,
    /// Which file it is, once it was opened under its present name.
    pub id: Option<FileId>,
}

pub(super) struct Follower<'a, 'b> {
    pub setup: &'a Setup,
    pub cx: &'a mut InputCx<'b>,
    pub watch: Watch,
    pub files: HashMap<FileId, Followed>,
    /// Those that are not at their end, in the order of their turns.
    pub ready: VecDeque<FileId>,
    /// Those no wanted name leads to any more.
    pub leaving: Vec<FileId>,
    /// How many have a descriptor.
    pub open: usize,
    /// Positions of files that are not followed now.
    pub known: Vec<Remembered>,
    /// Keys in use: of `files`, `known` and `forget`.
    pub keys: HashSet<String>,
    /// Keys of files that are gone, until all that was read of them is settled.
    pub forget: Vec<String>,
    /// Files renamed since the last look, in that order.
    pub moved: Vec<Moved>,
    /// Paths whose trouble was told.
    pub complained: HashSet<PathBuf>,
    pub next_look: Duration,
    pub serial: u64,
    woken: Duration,
}

impl<'a, 'b> Follower<'a, 'b> {
    pub fn new(setup: &'a Setup, cx: &'a mut InputCx<'b>) -> Follower<'a, 'b> {
        let checkpoints = cx.intake.checkpoints();
        Follower {
            watch: if setup.once { Watch::default() } else { Watch::new() },
            known: checkpoints.iter().filter_map(Remembered::parse).collect(),
            keys: checkpoints.into_iter().map(|c| c.key).collect(),
            files: HashMap::new(),
            ready: VecDeque::new(),
            leaving: Vec::new(),
            open: 0,
            forget: Vec::new(),
            moved: Vec::new(),
            complained: HashSet::new(),
            next_look: Duration::ZERO,
            serial: 0,
            woken: Duration::ZERO,
            setup,
            cx,
        }
    }

    /// Follows until stop is asked for. `from_end`: files never seen before are read from their end.
    pub fn follow(mut self, from_end: bool) {
        self.look_first(from_end);
        while !self.cx.stop.asked() {
            self.turns();
            self.retire();
            if self.cx.clock.steady() >= self.next_look {
                self.look();
            }
            if self.ready.is_empty() {
                self.cx.intake.poll();
                self.settle();
                self.sleep();
            }
            if self.heed() {
                self.look();
            }
        }
        self.close_all();
    }

    /// Reads what there is, one file after the other, to the end of the last.
    pub fn once(mut self, from_end: bool) {
        self.look_first(from_end);
        if self.files.is_empty() {
            log::warn!("input {}: no file matches `paths`", self.cx.build.name);
        }
        while let Some(id) = self.ready.pop_front() {
            if self.waits(id) {
                self.ready.push_back(id);
                continue;
            }
            while !self.cx.stop.asked() && !self.turn(id) {
                self.cx.intake.poll();
            }
            if self.cx.stop.asked() {
                break;
            }
            self.cx.intake.end_of_stream(self.files[&id].stream);
        }
        self.cx.intake.poll();
        self.settle();
        self.close_all();
    }

    /// Gives every file that has something to read one turn.
    fn turns(&mut self) {
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front().filter(|id| self.files.contains_key(id)) else { continue };
            if self.waits(id) || !self.turn(id) {
                self.ready.push_back(id);
            }
            self.cx.intake.poll();
            if self.cx.stop.asked() {
                return;
            }
        }
    }

    /// Whether an older file has to be read first.
    fn waits(&mut self, id: FileId) -> bool {
        let unread = |older: &FileId| self.files.get(older).is_some_and(|f| !f.at_end);
        let waits = self.files[&id].after.as_ref().is_some_and(unread);
        if let (false, Some(file)) = (waits, self.files.get_mut(&id)) {
            file.after = None;
        }
        waits
    }

    /// One turn of one file. True when it is at its end, or cannot be read for now.
    fn turn(&mut self, id: FileId) -> bool {
        let Some(file) = self.files.get_mut(&id) else { return true };
        let reopened = if file.handle.is_none() { file.reopen().map(|()| self.open += 1) } else { Ok(()) };
        let result = reopened.and_then(|()| file.turn(self.cx));
        // Gone while it was not open: the next look will notice. Other trouble is met again then.
        file.at_end |= result.is_err();
        let at_end = file.at_end;
        if self.open > MAX_OPEN && file.left.is_none() && file.handle.take().is_some() {
            self.open -= 1;
        }
        if let Err(e) = result
            && e.kind() != ErrorKind::NotFound
        {
            let path = file.path.clone();
            self.complain(&path, &e.to_string());
        }
        at_end
    }

    /// The file may have something to read.
    pub fn queue(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id)
            && std::mem::replace(&mut file.at_end, false)
        {
            self.ready.push_back(id);
        }
    }

    /// When a file that left has been quiet for long enough.
    fn quiet(&self, file: &Followed) -> Option<Duration> {
        let left = file.left.filter(|_| file.at_end)?;
        Some(left.max(file.last_read) + self.setup.rotate_wait)
    }

    /// Lets go of files that left, were read to the end, and had their time for late writes.
    fn retire(&mut self) {
        let now = self.cx.clock.steady();
        for id in self.leaving.clone() {
            if self.files.get(&id).and_then(|f| self.quiet(f)).is_none_or(|at| now < at) {
                continue;
            }
            let before = self.files[&id].position;
            if self.turn(id) && self.files[&id].position == before {
                self.close(id);
            } else if !self.files[&id].at_end {
                self.ready.push_back(id);
            }
        }
    }

    /// The last of a file that left. Its incomplete last line is complete now.
    fn close(&mut self, id: FileId) {
        self.leaving.retain(|l| *l != id);
        let Some(file) = self.files.remove(&id) else { return };
        self.cx.intake.end_of_stream(file.stream);
        self.cx.intake.close(file.stream);
        if let Some(watched) = file.watched {
            self.watch.leave(watched);
        }
        let meta = file.handle.as_ref().and_then(|h| h.metadata().ok());
        self.open -= usize::from(file.handle.is_some());
        let size = meta.as_ref().map_or(file.size, |m| m.len());
        self.cx.meter.add_extra("abandoned_bytes", size.saturating_sub(file.position));
        match meta {
            // It may come back under a wanted name.
            Some(meta) if meta.nlink() > 0 => {
                self.known.push(Remembered::new(&file.key, id, &file.origin, file.position, &file.head));
                if self.known.len() > MAX_KNOWN {
                    self.forget.push(self.known.remove(0).key);
                }
            }
            _ => self.forget.push(file.key),
        }
    }

    /// Forgets what is gone, once nobody waits for anything any more.
    fn settle(&mut self) {
        if !self.forget.is_empty() && self.cx.intake.settled() {
            for key in self.forget.drain(..) {
                self.cx.intake.forget(&key);
                self.keys.remove(&key);
            }
        }
    }

    /// An incomplete last line stays unread, to be read when it is complete.
    fn close_all(&mut self) {
        for file in self.files.values() {
            self.cx.intake.close(file.stream);
        }
    }

    /// Waits for something to happen, for the next look, or for what the intake has to do.
    fn sleep(&mut self) {
        // Its pause gathers what is written; a batch need not wait for more on top of that.
        self.cx.intake.hand_on();
        let now = self.cx.clock.steady();
        let quiet = self.leaving.iter().filter_map(|id| self.quiet(self.files.get(id)?));
        let until = quiet.fold(self.next_look, Duration::min);
        let wait = until.saturating_sub(now).min(self.cx.intake.wait());
        let gather = (self.woken + GATHER).saturating_sub(now).min(wait);
        if !gather.is_zero() && self.cx.stop.wait(gather) {
            return;
        }
        let timeout = Timespec { tv_sec: wait.as_secs().min(3600) as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let stop = PollFd::from_borrowed_fd(self.cx.stop.fd(), PollFlags::IN);
        let happened = match self.watch.fd() {
            Some(fd) => poll(&mut [stop, PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&timeout)),
            None => poll(&mut [stop], Some(&timeout)),
        };
        if happened.is_ok_and(|n| n > 0) {
            self.woken = self.cx.clock.steady();
        }
    }

    /// Takes in what the watcher has seen. True when names have changed.
    pub fn heed(&mut self) -> bool {
        let mut changed = false;
        for event in self.watch.events() {
            match event {
                Event::Written(id) => self.queue(id),
                Event::Name { path, directory } => changed |= directory || self.setup.patterns.matches(&path),
                Event::Moved { from, to } => changed |= self.note_move(&from, to),
                Event::All => changed = true,
            }
        }
        changed
    }

    /// Remembers where a wanted file went, so that one that came and went between two looks is
    /// read all the same. True when it was one.
    fn note_move(&mut self, from: &Path, to: PathBuf) -> bool {
        // Whatever had that name is gone; it counts if it was opened before.
        self.moved.retain(|m| m.path != to || m.id.is_some());
        self.moved.iter_mut().filter(|m| m.path == to).for_each(|m| m.path.clear());
        if let Some(moved) = self.moved.iter_mut().find(|m| m.path == from) {
            (moved.path, moved.id) = (to, None);
        } else if self.setup.patterns.matches(from) {
            self.moved.push(Moved { origin: from.to_path_buf(), path: to, id: None });
        } else {
            return false;
        }
        true
    }

    /// Tells of a file's trouble, once until it is over.
    pub fn complain(&mut self, path: &Path, why: &str) {
        if self.complained.insert(path.to_path_buf()) {
            log::warn!("input {}: {}: {why}", self.cx.build.name, path.display());
        }
    }
}
