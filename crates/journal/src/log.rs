//! The log: appending, and what is in it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Dir, Disk, DiskFile, write_all};
use crate::finding::{Finding, What};
use crate::reader::Reader;
use crate::record::{HEADER, MAX_RECORD, MAX_SEQ, RecordHeader, SegmentHeader};
use crate::recover;
use crate::scan::Damage;
use crate::segment::{self, Segment};
use crate::sync::Lost;

/// Sizes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// A segment that has reached this size is followed by another. At most an eighth of `max` is
    /// used, since space comes back by whole segments.
    pub segment: u64,
    /// Most bytes all files of the log may have together.
    pub max: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { segment: 16 << 20, max: 10 << 30 }
    }
}

/// Released files that are kept for reuse.
pub const SPARES: usize = 8;

/// Pieces of one vectored write: the system's limit, less the headers.
const MAX_PARTS: usize = 1022;

/// Sealed segments kept open for a sync to come: where nobody asks for one, they would be all.
const MAX_OPEN: usize = 32;

/// Why the log cannot be opened: the directory does not let itself be read or written.
#[derive(Debug, thiserror::Error)]
#[error("journal {path}: {error}; the directory has to be readable and writable")]
pub struct OpenError {
    pub path: String,
    #[source]
    pub error: io::Error,
}

/// Why a record was not appended. The log is as it was before, and takes the record when the
/// reason is gone.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("the journal is full: it has {bytes} bytes and may have {max}; raise `journal_max`, or see which consumer lags")]
    Full { max: u64, bytes: u64 },
    #[error("the journal's disk is full: {0}")]
    NoSpace(#[source] io::Error),
    #[error("a record of {bytes} bytes is longer than the {max} that one may have")]
    TooLong { max: usize, bytes: usize },
    #[error("cannot write to the journal: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for AppendError {
    fn from(e: io::Error) -> AppendError {
        match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => AppendError::NoSpace(e),
            _ => AppendError::Io(e),
        }
    }
}

/// A log of records in segment files. All methods may be called from many threads.
#[derive(Debug)]
pub struct Journal {
    pub(crate) log: Arc<Log>,
}

/// What the journal and its readers share.
#[derive(Debug)]
pub(crate) struct Log {
    pub disk: Arc<dyn Disk>,
    pub settings: Settings,
    pub spares: usize,
    pub state: Mutex<State>,
    /// Held while files are synchronised, renamed or removed: segments keep their names as long.
    pub chores: Mutex<()>,
}

/// The last segment, which takes appends.
#[derive(Debug)]
pub(crate) struct Active {
    pub segment: Arc<Segment>,
    pub file: Arc<dyn DiskFile>,
    /// Length of the file, which is more than what was appended if it is a reused one.
    pub length: u64,
}

/// A segment that takes no more appends.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub segment: Arc<Segment>,
    /// Kept open until it is synchronised.
    pub file: Option<Arc<dyn DiskFile>>,
    pub length: u64,
}

/// A file that is no segment any more.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub name: String,
    pub length: u64,
    pub reusable: bool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// In order of their numbers.
    pub sealed: VecDeque<Sealed>,
    /// Follows all that are sealed.
    pub active: Option<Active>,
    /// Number of the next record.
    pub next: u64,
    /// Everything below survives a crash.
    pub durable: u64,
    /// Everything below was released.
    pub released: u64,
    pub spares: Vec<Leftover>,
    /// To be removed or made spares.
    pub leftovers: Vec<Leftover>,
    /// Length of all files together.
    pub bytes: u64,
    /// Changes of the directory, and how many of them survive a crash.
    pub changes: u64,
    pub changes_synced: u64,
    /// The last append found no room.
    pub starved: bool,
    pub lost: Option<Lost>,
    /// Damage that the owner knows of; readers need not tell it again.
    pub told: Vec<Finding>,
}

impl State {
    pub fn first(&self) -> u64 {
        self.segments().next().map_or(self.next, |s| s.first)
    }

    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> {
        self.sealed.iter().map(|s| &s.segment).chain(self.active.iter().map(|a| &a.segment))
    }

    /// Whether the owner knows of this damage.
    pub fn knows(&self, finding: &Finding) -> bool {
        let same = |f: &Finding| (&f.file, f.offset, &f.what) == (&finding.file, finding.offset, &finding.what);
        let (mut at, end) = (finding.lost.start, finding.lost.end);
        while let Some(more) = self.told.iter().find(|f| at < end && f.lost.contains(&at)) {
            at = more.lost.end;
        }
        self.told.iter().any(same) || (finding.records() > 0 && at >= end)
    }

    pub fn skip_to(&mut self, seq: u64) {
        let seq = seq.min(MAX_SEQ);
        if seq > self.next {
            self.seal();
            self.next = seq;
        }
    }

    /// Goes on at `seq`. Records below it that are not there were given out once; without any segment,
    /// those from `owed` on, if that is known: what is below may have been released.
    pub fn missing_end(&mut self, disk: &dyn Disk, owed: Option<u64>, seq: u64) -> Option<Finding> {
        let last = self.segments().next_back().map(|s| (s.first, s.end()));
        let from = owed.filter(|_| last.is_none()).unwrap_or(self.next);
        self.skip_to(seq);
        let (first, offset) = last.unwrap_or((from, 0));
        (from < seq).then(|| Damage { offset, bytes: 0, what: What::End, lost: from..seq }.of(file_of(disk, first)))
    }

    /// The active segment takes no more. What an earlier life of its file left behind is cut off.
    pub fn seal(&mut self) {
        let Some(Active { segment, file, mut length }) = self.active.take() else { return };
        let end = segment.end();
        if length > end && file.truncate(end).is_ok() {
            self.bytes -= length - end;
            length = end;
        }
        self.sealed.push_back(Sealed { segment, file: Some(file), length });
        if let Some(old) = self.sealed.len().checked_sub(MAX_OPEN) {
            self.sealed[old].file = None;
        }
    }
}

impl Log {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One who is about to synchronise, rename or remove files.
    pub fn chore(&self) -> MutexGuard<'_, ()> {
        self.chores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a new segment, in a spare file if there is one.
    pub fn roll(&self, state: &mut State) -> io::Result<()> {
        let segment = Segment::fresh(state.next);
        let name = segment.name();
        let mut reused = None;
        while let Some(spare) = state.spares.pop() {
            state.changes += 1;
            if self.disk.rename(&spare.name, &name).is_ok() {
                match self.disk.open(&name) {
                    Ok(file) => {
                        reused = Some((file, spare.length));
                        break;
                    }
                    // It is created anew below, which empties it.
                    Err(_) => state.bytes -= spare.length,
                }
            } else {
                state.leftovers.push(Leftover { reusable: false, ..spare });
            }
        }
        let (file, length) = match reused {
            Some(reused) => reused,
            None => (self.disk.create(&name)?, 0),
        };
        state.changes += 1;
        state.seal();
        let file: Arc<dyn DiskFile> = Arc::from(file);
        segment.set_file(&file);
        let before = length;
        let length = segment.begin(&*file, before);
        state.bytes += length - before;
        state.active = Some(Active { segment: Arc::new(segment), file, length });
        Ok(())
    }

    /// Sees that the active segment is one that takes a record of `size` bytes with its header.
    fn make_room(&self, state: &mut State, size: u64) -> Result<(), AppendError> {
        loop {
            let end = state.active.as_ref().map(|a| a.segment.end());
            let new = end.is_none_or(|end| end > HEADER && end + size > self.settings.segment);
            let have = match &state.active {
                Some(active) if !new => active.length,
                _ => state.spares.last().map_or(0, |s| s.length),
            };
            let wanted = if new { HEADER + size } else { end.unwrap_or(0).max(HEADER) + size };
            if state.bytes + wanted.saturating_sub(have) > self.settings.max {
                self.drop_spare(state)?;
            } else if new {
                // The spare file may turn out to be of no use, so it is counted again.
                self.roll(state)?;
            } else {
                return Ok(());
            }
        }
    }

    /// A file kept for speed only is the first to go when there is no room.
    fn drop_spare(&self, state: &mut State) -> Result<(), AppendError> {
        let full = AppendError::Full { max: self.settings.max, bytes: state.bytes };
        let Some(spare) = state.spares.pop() else { return Err(full) };
        state.changes += 1;
        if self.disk.remove(&spare.name).is_err() {
            state.leftovers.push(Leftover { reusable: false, ..spare });
            return Err(full);
        }
        state.bytes -= spare.length;
        Ok(())
    }

    /// Writes a record behind the last one; afterwards it is there whole or not at all.
    fn write(&self, state: &mut State, header: RecordHeader, parts: &[&[u8]]) -> io::Result<()> {
        let next = state.next;
        let Some(active) = &mut state.active else { return Err(ErrorKind::NotFound.into()) };
        let segment = active.segment.clone();
        let end = segment.end();
        let opening = SegmentHeader { first: segment.first, salt: segment.salt, reused: active.length > HEADER }.encode();
        let header = RecordHeader { seq: next, salt: segment.salt, ..header };
        let encoded = header.encode();
        let mut slices = Vec::with_capacity(parts.len() + 2);
        if end == 0 {
            slices.push(IoSlice::new(&opening));
        }
        slices.push(IoSlice::new(&encoded));
        slices.extend(parts.iter().map(|p| IoSlice::new(p)));
        let stop = end.max(HEADER) + header.size();
        if let Err(e) = write_all(&*active.file, &mut slices, end) {
            let before = active.length;
            if active.file.truncate(end).is_ok() {
                active.length = segment.begin(&*active.file, end);
                state.bytes = state.bytes + active.length - before;
            } else {
                // Whatever is behind the end now, it does not count: the next segment begins there.
                active.length = active.file.length().unwrap_or(before).max(before);
                state.bytes = state.bytes + active.length - before;
                if end > HEADER {
                    state.seal();
                }
            }
            return Err(e);
        }
        state.bytes += stop.saturating_sub(active.length);
        active.length = active.length.max(stop);
        segment.set_end(stop);
        state.next += 1;
        Ok(())
    }
}

impl Journal {
    /// Opens the log of a directory, or makes one. No damage keeps it from opening; what was found
    /// is told. One process at a time: the caller sees to that.
    ///
    /// The last segment is read whole, of others the first bytes only; damage in those is found
    /// when they are read.
    ///
    /// # Errors
    /// When the directory cannot be made, read or written.
    pub fn open(dir: &Path, settings: Settings) -> Result<(Journal, Vec<Finding>), OpenError> {
        let failed = |error| OpenError { path: dir.display().to_string(), error };
        Journal::open_on(Arc::new(Dir::writable(dir).map_err(failed)?), settings, SPARES)
    }

    /// The same on any disk, with `spares` released files kept for reuse.
    ///
    /// # Errors
    /// When the directory cannot be read or written.
    pub fn open_on(disk: Arc<dyn Disk>, settings: Settings, spares: usize) -> Result<(Journal, Vec<Finding>), OpenError> {
        let segment = settings.segment.min(settings.max / 8).max(HEADER);
        let path = disk.path().display().to_string();
        let (mut state, findings) = recover::open(&*disk).map_err(|error| OpenError { path, error })?;
        state.told.clone_from(&findings);
        let surplus = spares.min(state.spares.len());
        state.leftovers.extend(state.spares.drain(surplus..).map(|s| Leftover { reusable: false, ..s }));
        let settings = Settings { segment, ..settings };
        let log = Log { disk, settings, spares, state: Mutex::new(state), chores: Mutex::default() };
        Ok((Journal { log: Arc::new(log) }, findings))
    }

    /// Appends one record, made of the parts laid end to end; returns its number. It survives the
    /// end of the process from here on, and a crash of the machine from the next [`Journal::sync`].
    ///
    /// # Errors
    /// See [`AppendError`]; the log is then as it was before.
    pub fn append(&self, parts: &[&[u8]]) -> Result<u64, AppendError> {
        if parts.len() > MAX_PARTS {
            return self.append(&[&parts.concat()]);
        }
        let bytes = parts.iter().map(|p| p.len()).sum();
        if bytes > MAX_RECORD {
            return Err(AppendError::TooLong { max: MAX_RECORD, bytes });
        }
        let mut sum = crc32fast::Hasher::new();
        parts.iter().for_each(|p| sum.update(p));
        let header = RecordHeader { length: bytes as u32, seq: 0, salt: 0, payload: sum.finalize() };
        let mut state = self.log.lock();
        let seq = state.next;
        let done = self.log.make_room(&mut state, header.size());
        let done = done.and_then(|()| Ok(self.log.write(&mut state, header, parts)?));
        state.starved = matches!(done, Err(AppendError::Full { .. } | AppendError::NoSpace(_)));
        done.map(|()| seq)
    }

    /// Number of the oldest record that is kept, or of the next one if there is none.
    pub fn first(&self) -> u64 {
        self.log.lock().first()
    }

    /// Number the next record will have.
    pub fn end(&self) -> u64 {
        self.log.lock().next
    }

    /// Length of all files of the log together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.log.lock().bytes
    }

    /// Numbers below `seq` are not given out any more. For one who remembers numbers durably that
    /// the log may have lost in a crash: new records must not be taken for those. Records that were
    /// given out and are not there are told.
    pub fn skip_to(&self, seq: u64) -> Option<Finding> {
        let mut state = self.log.lock();
        let finding = state.missing_end(&*self.log.disk, None, seq)?;
        state.told.push(finding.clone());
        Some(finding)
    }

    /// Reads from record `from` on, or from the oldest that is kept.
    pub fn reader(&self, from: u64) -> Reader {
        Reader::new(self.log.clone(), from)
    }
}

/// Name of the file of a segment, for messages.
pub(crate) fn file_of(disk: &dyn Disk, first: u64) -> std::path::PathBuf {
    disk.path().join(segment::name(first))
}
