//! Follows all files at once: reads those that have something, in turn, and sleeps when none has.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use message::StreamId;
use plugin::InputCx;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Setup;
use super::begin::Copied;
use super::descriptors;
use super::file::Followed;
use super::identity::FileId;
use super::known::Known;
use super::watch::{Event, Watch};

/// Packed files that are unpacked at the same time: each takes the memory of its format's window.
const MAX_UNPACKING: usize = 4;

/// Someone who writes line by line wakes us once in this time, not once a line.
const GATHER: Duration = Duration::from_millis(1);

/// How soon a packed copy is looked for when its original is gone: many files go at one time.
const GONE: Duration = Duration::from_millis(20);

/// A file that had a wanted name and was given another one.
pub(super) struct Moved {
    pub origin: PathBuf,
    pub path: PathBuf,
    /// Which file it is, once it was opened under its present name.
    pub id: Option<FileId>,
}

/// A file that is there no more, and is remembered for the sake of its packed copy.
pub(super) struct Gone {
    pub inode: u64,
    pub key: String,
    /// Bytes of it that were not read, as far as is known: lost without a copy.
    pub rest: u64,
    /// Its stream, where its end could not be read: in the middle of a record, maybe, that the copy completes.
    pub stream: Option<StreamId>,
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
    /// Those that have one and nothing to read, each with its turn at which that was so.
    resting: VecDeque<(FileId, u64)>,
    /// Turns of all files so far.
    turn: u64,
    /// Packed files in the middle of being read.
    unpacking: HashSet<FileId>,
    /// Positions of files that are not followed now.
    pub known: Known,
    /// Packed files that are not followed because they are copies of others that are.
    pub copies: HashMap<FileId, Copied>,
    /// Files that are gone but for a packed copy, if there is one: the next look finds it.
    pub gone: Vec<Gone>,
    /// The look met a packed copy that cannot be read yet: what is gone is kept for it.
    pub unfinished: bool,
    /// Files that are there and that the first look did not come to yet.
    pub unopened: HashMap<FileId, PathBuf>,
    /// Descriptors kept while nothing happens to the files.
    pub most_open: usize,
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
            known: Known::new(&checkpoints),
            resting: VecDeque::new(),
            turn: 0,
            unpacking: HashSet::new(),
            copies: HashMap::new(),
            gone: Vec::new(),
            unfinished: false,
            unopened: HashMap::new(),
            most_open: descriptors::allowed(setup.max_open),
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
            if let Some(stream) = self.files[&id].stream {
                self.cx.intake.end_of_stream(stream);
            }
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
            let full = self.unpacking.len() >= MAX_UNPACKING && !self.unpacking.contains(&id);
            return full && file.form.packing.is_some();
        }
        waits
    }

    /// One turn of one file. True when it is at its end, or cannot be read for now.
    fn turn(&mut self, id: FileId) -> bool {
        let Some(file) = self.files.get_mut(&id) else { return true };
        let reopened = if file.handle.is_none() { file.reopen().map(|()| self.open += 1) } else { Ok(()) };
        let result = reopened.and_then(|()| file.turn(self.cx));
        // Gone while it was not open: the next look finds out. Other trouble is met again then.
        file.at_end |= result.is_err();
        if file.handle.is_none() && file.left.is_none() {
            self.next_look = Duration::ZERO;
        }
        let at_end = file.at_end;
        self.turn += 1;
        file.turn = self.turn;
        if file.form.packing.is_some() && !at_end {
            self.unpacking.insert(id);
        } else {
            self.unpacking.remove(&id);
        }
        if file.is_done() && file.left.is_none() && file.handle.take().is_some() {
            self.open -= 1;
        } else if at_end {
            self.resting.push_back((id, self.turn));
        }
        if let Err(e) = result
            && e.kind() != ErrorKind::NotFound
        {
            let path = file.path.clone();
            self.complain(&path, &e.to_string());
        }
        self.spare(id);
        at_end
    }

    /// Closes files that have nothing to read, the one that rested longest first, as far as there are too many open; and
    /// for want of such the one that was just read. Never one that no name leads to any more.
    fn spare(&mut self, last: FileId) {
        while self.open > self.most_open {
            let id = match self.resting.pop_front() {
                Some((id, turn)) if self.files.get(&id).is_none_or(|f| f.turn != turn || !f.at_end) => continue,
                Some((id, _)) => id,
                None => last,
            };
            let Some(file) = self.files.get_mut(&id).filter(|f| f.left.is_none()) else {
                if id == last {
                    return;
                }
                continue;
            };
            if file.handle.take().is_some() {
                self.open -= 1;
            } else if id == last {
                return;
            }
        }
        if self.resting.len() > 2 * self.files.len() + 64 {
            let files = &self.files;
            self.resting.retain(|(id, turn)| files.get(id).is_some_and(|f| f.turn == *turn && f.handle.is_some()));
        }
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
    pub fn close(&mut self, id: FileId) {
        self.leaving.retain(|l| *l != id);
        let Some(mut file) = self.files.remove(&id) else { return };
        self.unpacking.remove(&id);
        if file.handle.is_some() {
            file.end(self.cx);
        }
        if let Some(watched) = file.watched {
            self.watch.leave(watched);
        }
        let meta = file.handle.as_ref().and_then(|h| h.metadata().ok());
        self.open -= usize::from(file.handle.is_some());
        file.size = meta.as_ref().map_or(file.size, |m| m.len());
        // Whatever has the inode next is another file.
        self.files.values_mut().filter(|f| f.after == Some(id)).for_each(|f| f.after = None);
        if meta.is_some_and(|meta| meta.nlink() > 0) {
            // It may come back under a wanted name.
            self.abandon(file.lag(), &file.path);
            self.forget.extend(self.known.closed(file.remember()));
        } else {
            // What was read of it need not be read of its copy.
            self.known.put(file.remember());
            self.is_gone(Gone { inode: id.inode, rest: file.lag(), stream: file.stream, key: file.key });
        }
    }

    /// It is kept until a look has found nothing that is a copy of it.
    pub fn is_gone(&mut self, gone: Gone) {
        if self.gone.iter().all(|other| other.key != gone.key) {
            self.gone.push(gone);
        }
        self.next_look = self.next_look.min(self.cx.clock.steady() + GONE);
    }

    /// Bytes that nobody will ever read are counted and said.
    pub fn abandon(&mut self, rest: u64, path: &Path) {
        self.cx.meter.add_extra("abandoned_bytes", rest);
        if rest > 0 {
            log::warn!("input {}: {} is gone, and {rest} bytes of it were not read", self.cx.build.name, path.display());
        }
    }

    /// Forgets what is gone, once nobody waits for anything of it any more.
    pub fn settle(&mut self) {
        for key in std::mem::take(&mut self.forget) {
            if self.cx.intake.settled_stream(&key) {
                self.cx.intake.forget(&key);
                self.known.free(&key);
            } else {
                self.forget.push(key);
            }
        }
    }

    /// An incomplete last line stays unread, to be read when it is complete.
    fn close_all(&mut self) {
        let gone = self.gone.iter().filter_map(|gone| gone.stream);
        for stream in self.files.values().filter_map(|file| file.stream).chain(gone) {
            self.cx.intake.close(stream);
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
