//! All files of the journal, and what of each was read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use message::StreamId;
use plugin::{Checkpoint, InputCx, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Journald;
use super::file::{Head, JournalFile, Missing};
use super::format::hex;
use super::watch::Watch;

/// Entries read before the intake is asked what is due.
const AT_ONCE: usize = 512;

/// How often to look for new files when nobody tells of them.
const RESCAN: Duration = Duration::from_secs(5);

/// Most files that are looked at.
const MOST_FILES: usize = 10_000;

/// By which a file is told from others without opening it: device and inode.
type Inode = (u64, u64);

struct Open {
    path: PathBuf,
    key: String,
    file: JournalFile,
    stream: StreamId,
    /// The next entry, as far as it is known.
    head: Option<Head>,
    /// No name leads to it any more: it is let go once it is read.
    gone: bool,
}

pub(super) struct Followed<'a> {
    input: &'a Journald,
    watch: Watch,
    /// What earlier runs remembered, by file.
    known: BTreeMap<String, Checkpoint>,
    /// Microseconds since the epoch: earlier entries are not wanted of files that are not known.
    since: Option<u64>,
    open: Vec<Open>,
    /// Files that were looked at and their keys; empty for those that are not read.
    seen: BTreeMap<Inode, String>,
    /// Files that are gone, to be forgotten once what was read of them is accepted.
    leaving: BTreeSet<String>,
    rescan: Option<Duration>,
    complained: bool,
}

impl<'a> Followed<'a> {
    pub fn new(input: &'a Journald, cx: &InputCx<'_>) -> Followed<'a> {
        let known: BTreeMap<_, _> = cx.intake.checkpoints().into_iter().map(|c| (c.key.clone(), c)).collect();
        let first = known.is_empty();
        let since = input.since.filter(|_| first).map(|since| u64::try_from(cx.clock.now().saturating_sub(since) / 1000).unwrap_or(0));
        Followed {
            input,
            watch: Watch::new(),
            known,
            since,
            open: Vec::new(),
            seen: BTreeMap::new(),
            leaving: BTreeSet::new(),
            rescan: None,
            complained: false,
        }
    }

    /// Reads some of what there is; false when that is all.
    pub fn read(&mut self, cx: &mut InputCx<'_>) -> bool {
        if self.watch.names_changed() || self.rescan.is_none_or(|due| cx.clock.steady() >= due) {
            self.rescan = Some(cx.clock.steady() + RESCAN);
            self.scan(cx);
        }
        let mut broken = Vec::new();
        for (n, open) in self.open.iter_mut().enumerate() {
            let looked = open.file.refresh().and_then(|()| open.look(cx));
            if let Err(e) = looked {
                broken.push((n, e));
            }
        }
        for (n, e) in broken.into_iter().rev() {
            let open = self.open.remove(n);
            log::error!(target: &cx.build.name, "{} is left out from entry {} on: {e}", open.path.display(), open.file.next);
            cx.meter.add_extra("damaged_files", 1);
            cx.intake.close(open.stream);
        }
        let mut taken = 0;
        while taken < AT_ONCE && !cx.stop.asked() && self.next(cx) {
            taken += 1;
        }
        self.let_go(cx);
        taken == AT_ONCE
    }

    /// Takes the oldest of the entries that come next in their files.
    fn next(&mut self, cx: &mut InputCx<'_>) -> bool {
        let heads = self.open.iter_mut().filter_map(|open| open.head.map(|head| ((head.realtime, head.sequence), head, open)));
        let Some((_, head, open)) = heads.min_by_key(|(order, ..)| *order) else { return false };
        let mut missing = Missing::default();
        let entry = open.file.entry(head, self.input.max_value, &mut missing);
        cx.meter.add_extra("oversized_fields", missing.oversized);
        cx.meter.add_extra("unreadable_fields", missing.unreadable);
        match entry {
            Ok(entry) => {
                let note = entry.cursor(&open.file.header.seqnum);
                let wanted = self.input.filter.takes(&entry);
                // One that is not wanted counts, too: the position is that in the file.
                cx.intake.make_at(open.stream, Some(&note), &mut |messages| {
                    if wanted {
                        entry.make(messages);
                    }
                });
            }
            Err(_) => {
                cx.meter.add_extra("damaged_entries", 1);
                cx.intake.make_at(open.stream, None, &mut |_| {});
            }
        }
        open.file.pass();
        open.head = None;
        if let Err(e) = open.look(cx) {
            // The next look says so, too.
            log::debug!(target: &cx.build.name, "{}: {e}", open.path.display());
        }
        true
    }

    /// Looks which files there are.
    fn scan(&mut self, cx: &mut InputCx<'_>) {
        let found = self.discover(cx);
        self.seen.retain(|inode, _| found.contains_key(inode));
        for (inode, path) in &found {
            if !self.seen.contains_key(inode) {
                match self.begin(path, cx) {
                    Ok(key) => drop(self.seen.insert(*inode, key)),
                    Err(e) => {
                        // It may only just have been made.
                        self.rescan = Some(cx.clock.steady() + self.input.poll);
                        self.complain(path, &e, cx);
                    }
                }
            }
        }
        let present: BTreeSet<&String> = self.seen.values().collect();
        for open in &mut self.open {
            open.gone = !present.contains(&open.key);
        }
        // What cannot be looked at now may be there again later: without any file, nothing is forgotten.
        if !found.is_empty() {
            let gone: Vec<_> = self.known.keys().filter(|key| !present.contains(key)).cloned().collect();
            for key in gone {
                self.known.remove(&key);
                self.leaving.insert(key);
            }
        }
    }

    /// Journal files in the directories, and in those in them that are named after a machine.
    fn discover(&mut self, cx: &InputCx<'_>) -> BTreeMap<Inode, PathBuf> {
        let (mut found, mut directories) = (BTreeMap::new(), Vec::new());
        for root in &self.input.roots {
            directories.push(root.clone());
            let entries = fs::read_dir(root).into_iter().flatten().flatten();
            directories.extend(entries.map(|e| e.path()).filter(|p| p.file_name().is_some_and(is_machine) && p.is_dir()));
        }
        for directory in directories {
            self.watch.directory(&directory);
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => {
                    self.complain(&directory, &e, cx);
                    continue;
                }
            };
            for path in entries.flatten().map(|e| e.path()).filter(|p| is_journal(p)) {
                if let Ok(m) = fs::symlink_metadata(&path)
                    && m.is_file()
                    && found.len() < MOST_FILES
                {
                    found.insert((m.dev(), m.ino()), path);
                }
            }
        }
        found
    }

    /// Opens a file where it is to be read on; returns its key.
    fn begin(&mut self, path: &Path, cx: &mut InputCx<'_>) -> io::Result<String> {
        let mut file = JournalFile::open(path)?;
        let key = hex(&file.header.file);
        if let Some(open) = self.open.iter_mut().find(|open| open.key == key) {
            // It was copied, or its inode changed otherwise.
            open.path = path.to_path_buf();
            return Ok(key);
        }
        self.leaving.remove(&key);
        match (self.known.get(&key), self.since) {
            (Some(known), _) => match sequence(&known.note) {
                Some(sequence) => file.seek_behind(sequence, known.position)?,
                None => file.seek(known.position)?,
            },
            (None, Some(since)) if file.header.archived && file.header.last_realtime < since => file.seek(u64::MAX)?,
            (None, Some(since)) => file.seek_until(|head| head.realtime >= since)?,
            (None, None) => {}
        }
        let options = StreamOptions { key: key.clone(), identity: key.clone(), position: file.next, ..StreamOptions::default() };
        let stream = cx.intake.open(options);
        self.known.entry(key.clone()).or_default();
        self.open.push(Open { path: path.to_path_buf(), key: key.clone(), file, stream, head: None, gone: false });
        Ok(key)
    }

    /// Lets go of files that are read and will not grow.
    fn let_go(&mut self, cx: &mut InputCx<'_>) {
        let mut n = 0;
        while n < self.open.len() {
            let open = &self.open[n];
            if open.head.is_none() && (open.gone || open.file.header.archived && open.file.next >= open.file.header.entries) {
                let open = self.open.swap_remove(n);
                cx.intake.close(open.stream);
                if let Some(known) = self.known.get_mut(&open.key) {
                    // Should it be opened again, it is at its end.
                    (known.position, known.note) = (open.file.next, String::new());
                }
            } else {
                n += 1;
            }
        }
        let open: BTreeSet<&String> = self.open.iter().map(|open| &open.key).collect();
        self.leaving.retain(|key| {
            let stays = open.contains(key) || !cx.intake.settled_stream(key);
            if !stays {
                cx.intake.forget(key);
            }
            stays
        });
    }

    /// Says once that something cannot be read, unless it is a file that is being made.
    fn complain(&mut self, path: &Path, e: &io::Error, cx: &InputCx<'_>) {
        if e.kind() != io::ErrorKind::UnexpectedEof && !std::mem::replace(&mut self.complained, true) {
            let hint = if e.kind() == io::ErrorKind::PermissionDenied { "; is the user in the group systemd-journal?" } else { "" };
            log::warn!(target: &cx.build.name, "{} cannot be read: {e}{hint}", path.display());
        }
    }

    /// Sleeps until something may have changed, or as long as the intake permits.
    pub fn wait(&self, cx: &InputCx<'_>) {
        let wait = cx.intake.wait().min(self.input.poll);
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let stop = PollFd::from_borrowed_fd(cx.stop.fd(), PollFlags::IN);
        let mut fds: Vec<_> = self.watch.fd().into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        fds.push(stop);
        let _ = poll(&mut fds, Some(&wait));
    }

    pub fn close(&mut self, cx: &mut InputCx<'_>) {
        self.open.drain(..).for_each(|open| cx.intake.close(open.stream));
    }
}

impl Open {
    /// Finds the next entry. Those that cannot be read are left behind.
    fn look(&mut self, cx: &mut InputCx<'_>) -> io::Result<()> {
        let mut damaged = 0;
        while self.head.is_none() {
            let at = self.file.next;
            match self.file.head() {
                Ok(None) => break,
                Ok(head) => self.head = head,
                Err(e) => {
                    self.file.pass();
                    // It is not the entry, but the way to it.
                    if self.file.next == at {
                        return Err(e);
                    }
                    damaged += 1;
                    cx.intake.make_at(self.stream, None, &mut |_| {});
                }
            }
        }
        cx.meter.add_extra("damaged_entries", damaged);
        Ok(())
    }
}

/// The number of an entry in its cursor.
fn sequence(cursor: &str) -> Option<u64> {
    cursor.split(';').find_map(|part| u64::from_str_radix(part.strip_prefix("i=")?, 16).ok())
}

fn is_machine(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Also files that were set aside because they were not closed in order.
fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "journal" || e == "journal~")
}
