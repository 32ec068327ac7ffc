//! One file of the log.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::disk::{Disk, DiskFile, write_all};
use crate::record::{self, HEADER, MAX_SEQ, SegmentHeader};

/// Sixteen hexadecimal digits, so that names sort as numbers do.
pub(crate) fn name(first: u64) -> String {
    format!("{first:016x}.log")
}

/// The number in the name of a segment, or of what became of it.
pub(crate) fn number(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let plain = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten().filter(|n| *n < MAX_SEQ)
}

/// What writers, readers and the one who synchronises know about a segment in common.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Number of its first record.
    pub first: u64,
    pub salt: u64,
    /// Bytes up to the end of the last whole record; 0 while there is not even a header.
    end: AtomicU64,
    /// Bytes that are known to survive a crash.
    synced: AtomicU64,
    /// A sync failed: pages may be gone that the system now takes for written.
    suspect: AtomicBool,
    /// Open as long as anybody uses it.
    file: Mutex<Weak<dyn DiskFile>>,
}

/// A place for a file that is not open.
fn closed() -> Weak<dyn DiskFile> {
    Weak::<std::fs::File>::new()
}

impl Segment {
    /// A segment nothing was written to yet.
    pub fn fresh(first: u64) -> Segment {
        Segment::found(first, record::salt(first), 0)
    }

    /// A segment that holds records up to byte `end`.
    pub fn found(first: u64, salt: u64, end: u64) -> Segment {
        let (end, synced) = (AtomicU64::new(end), AtomicU64::new(0));
        Segment { first, salt, end, synced, suspect: AtomicBool::new(false), file: Mutex::new(closed()) }
    }

    /// Writes the header to its file, whose length is given, if that has none; returns the new length.
    /// Empty files would look as if somebody had emptied them. That is all it is for: the header is
    /// written again with the first record, and it does no harm if it is not there.
    pub fn begin(&self, file: &dyn DiskFile, length: u64) -> u64 {
        if length >= HEADER {
            return length;
        }
        let header = SegmentHeader { first: self.first, salt: self.salt, reused: false }.encode();
        match write_all(file, &mut [io::IoSlice::new(&header)], 0) {
            Ok(()) => HEADER,
            Err(_) => file.length().unwrap_or(length).max(length),
        }
    }

    pub fn name(&self) -> String {
        name(self.first)
    }

    /// Name of the file that says that a sync of this segment failed.
    pub fn mark(&self) -> String {
        format!("{}.suspect", self.name())
    }

    pub fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Readers may go up to here.
    pub fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    pub fn is_synced_to(&self, end: u64) -> bool {
        !self.is_suspect() && self.synced.load(Ordering::Acquire) >= end
    }

    pub fn set_synced(&self, end: u64) {
        self.synced.store(end, Ordering::Release);
        self.suspect.store(false, Ordering::Release);
    }

    pub fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Acquire)
    }

    pub fn set_suspect(&self) {
        self.suspect.store(true, Ordering::Release);
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Weak<dyn DiskFile>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open file. It is opened by name if nobody has it open, so the name has to be good still.
    pub fn open(&self, disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
        let mut slot = self.slot();
        if let Some(file) = slot.upgrade() {
            return Ok(file);
        }
        let file: Arc<dyn DiskFile> = Arc::from(disk.open(&self.name())?);
        *slot = Arc::downgrade(&file);
        Ok(file)
    }

    /// Another file has its name from now on.
    pub fn set_file(&self, file: &Arc<dyn DiskFile>) {
        *self.slot() = Arc::downgrade(file);
    }

    pub fn is_open(&self) -> bool {
        self.slot().strong_count() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_numbers_do() {
        assert_eq!(name(255), "00000000000000ff.log");
        assert_eq!(number(&name(255), ".log"), Some(255));
        assert!(name(9) < name(10) && name(u64::MAX - 1) < name(u64::MAX));
        assert_eq!(number(&name(MAX_SEQ), ".log"), None);
        for strange in ["ff.log", "00000000000000FF.log", "00000000000000ff.log.damaged", "+0000000000000ff.log", ".log"] {
            assert_eq!(number(strange, ".log"), None, "{strange}");
        }
    }
}
