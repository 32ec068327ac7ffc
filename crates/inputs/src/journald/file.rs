//! One journal file: its entries in order, from any of them on, also while it grows.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::entry::Entry;
use super::format::{self, Absent, DATA, ENTRY, ENTRY_ARRAY, Header, Object, damaged, id_at, u32_at, u64_at};

/// Most fields of an entry.
const MOST_FIELDS: usize = 1024;

/// Offsets of entries read at once.
const AHEAD: u64 = 512;

/// Bytes read of a data object at first: most are shorter.
const FIRST: usize = 384;

/// Values that are kept, as many entries share them, and their longest.
const KEPT: usize = 1024;
const KEPT_LENGTH: usize = 256;

pub(super) struct JournalFile {
    file: File,
    pub header: Header,
    /// The array where the next entry's offset is, and its place there; 0: at the first array.
    array: u64,
    slot: u64,
    /// How many entries come before the next.
    pub next: u64,
    /// Offsets of the next entry and some that follow, the last first.
    ahead: Vec<u64>,
    kept: HashMap<u64, Arc<[u8]>>,
}

/// What an entry begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    offset: u64,
    size: u64,
    pub sequence: u64,
    /// In microseconds since the epoch.
    pub realtime: u64,
    pub monotonic: u64,
    pub boot: format::Id,
    pub hash: u64,
}

/// Fields that could not be had.
#[derive(Default)]
pub(super) struct Missing {
    pub oversized: u64,
    pub unreadable: u64,
}

impl JournalFile {
    pub fn open(path: &Path) -> io::Result<JournalFile> {
        let file = File::open(path)?;
        let header = Header::read(&file)?;
        Ok(JournalFile { file, header, array: 0, slot: 0, next: 0, ahead: Vec::new(), kept: HashMap::new() })
    }

    /// Looks whether there is more.
    pub fn refresh(&mut self) -> io::Result<()> {
        if !self.header.archived {
            self.header = Header::read(&self.file)?;
        }
        Ok(())
    }

    /// Goes to an entry, by how many come before it, or to the end.
    pub fn seek(&mut self, entry: u64) -> io::Result<()> {
        (self.array, self.slot, self.next) = (0, 0, 0);
        self.ahead.clear();
        let wanted = entry.min(self.header.entries);
        while self.next < wanted {
            let Some(capacity) = self.enter()? else { break };
            let step = (wanted - self.next).min(capacity - self.slot);
            self.slot += step;
            self.next += step;
        }
        Ok(())
    }

    /// Goes behind the entry with this sequence number. `position` is where that most likely is.
    pub fn seek_behind(&mut self, sequence: u64, position: u64) -> io::Result<()> {
        self.seek(position.saturating_sub(1))?;
        if position > 0 && self.head()?.is_some_and(|head| head.sequence == sequence) {
            self.pass();
            return Ok(());
        }
        self.seek_until(|head| head.sequence > sequence)
    }

    /// Goes to the first entry of which it holds.
    pub fn seek_until(&mut self, holds: impl Fn(&Head) -> bool) -> io::Result<()> {
        self.seek(0)?;
        while self.head()?.is_some_and(|head| !holds(&head)) {
            self.pass();
        }
        Ok(())
    }

    /// Makes sure that the place is in an array, and returns how many entries that has room for.
    fn enter(&mut self) -> io::Result<Option<u64>> {
        loop {
            if self.array == 0 {
                self.array = self.header.first_array;
            }
            if self.array == 0 {
                return Ok(None);
            }
            let bytes = self.bytes::<24>(self.array)?;
            let object = Object::parse(&bytes, ENTRY_ARRAY, 24 + self.header.array_item(), self.array)?;
            let capacity = (object.size - 24) / self.header.array_item() as u64;
            if self.slot < capacity {
                return Ok(Some(capacity));
            }
            let next = u64_at(&bytes, 16);
            if next == 0 {
                return Ok(None);
            }
            // Arrays are appended as they are needed: going back would be going in circles.
            if next <= self.array {
                return Err(damaged(format!("the array of entries at {} is followed by one at {next}", self.array)));
            }
            (self.array, self.slot) = (next, 0);
        }
    }

    /// The next entry, if there is one.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        if self.ahead.is_empty() {
            self.look_ahead()?;
        }
        let Some(&offset) = self.ahead.last() else { return Ok(None) };
        let bytes = self.bytes::<64>(offset)?;
        let object = Object::parse(&bytes, ENTRY, 64, offset)?;
        Ok(Some(Head {
            offset,
            size: object.size,
            sequence: u64_at(&bytes, 16),
            realtime: u64_at(&bytes, 24),
            monotonic: u64_at(&bytes, 32),
            boot: id_at(&bytes, 40),
            hash: u64_at(&bytes, 56),
        }))
    }

    fn look_ahead(&mut self) -> io::Result<()> {
        let left = self.header.entries.saturating_sub(self.next);
        if left == 0 {
            return Ok(());
        }
        let Some(capacity) = self.enter()? else { return Ok(()) };
        let width = self.header.array_item();
        let mut items = vec![0; (capacity - self.slot).min(left).min(AHEAD) as usize * width];
        self.file.read_exact_at(&mut items, self.array + 24 + self.slot * width as u64)?;
        let offset = |item: &[u8]| if width == 4 { u64::from(u32_at(item, 0)) } else { u64_at(item, 0) };
        // What is not written yet is 0.
        self.ahead.extend(items.chunks_exact(width).map(offset).take_while(|offset| *offset != 0));
        self.ahead.reverse();
        Ok(())
    }

    /// Leaves the next entry behind.
    pub fn pass(&mut self) {
        if self.ahead.pop().is_some() {
            self.slot += 1;
            self.next += 1;
        }
    }

    /// Reads an entry. Values longer than `max_value` are left out.
    pub fn entry(&mut self, head: Head, max_value: usize, missing: &mut Missing) -> io::Result<Entry> {
        let width = self.header.entry_item();
        let count = ((head.size - 64) / width as u64) as usize;
        if count > MOST_FIELDS {
            return Err(damaged(format!("the entry at {} has {count} fields", head.offset)));
        }
        let mut items = vec![0; count * width];
        self.file.read_exact_at(&mut items, head.offset + 64)?;
        let mut fields = Vec::with_capacity(count);
        for item in items.chunks_exact(width) {
            let offset = if width == 4 { u64::from(u32_at(item, 0)) } else { u64_at(item, 0) };
            match self.value(offset, max_value)? {
                Ok(value) => fields.push(value),
                Err(Absent::Oversized) => missing.oversized += 1,
                Err(Absent::Unreadable) => missing.unreadable += 1,
            }
        }
        Ok(Entry::new(head, fields))
    }

    /// `NAME=value` of the data object at an offset.
    fn value(&mut self, offset: u64, max: usize) -> io::Result<Result<Arc<[u8]>, Absent>> {
        if let Some(value) = self.kept.get(&offset) {
            return Ok(Ok(value.clone()));
        }
        let mut bytes = vec![0; FIRST];
        let read = read_up_to(&self.file, &mut bytes, offset)?;
        bytes.truncate(read);
        let start = self.header.payload();
        let object = Object::parse(&bytes, DATA, start, offset)?;
        // A name is of 64 bytes at most.
        let limit = max.saturating_add(65);
        if object.size > limit as u64 + start as u64 {
            return Ok(Err(Absent::Oversized));
        }
        let size = object.size as usize;
        if size > bytes.len() {
            let read = bytes.len();
            bytes.resize(size, 0);
            self.file.read_exact_at(&mut bytes[read..], offset + read as u64)?;
        }
        let value = format::unpack(object.flags, &bytes[start..size], limit).map(Arc::<[u8]>::from);
        if let Ok(value) = &value
            && value.len() <= KEPT_LENGTH
        {
            if self.kept.len() >= KEPT {
                self.kept.clear();
            }
            self.kept.insert(offset, value.clone());
        }
        Ok(value)
    }

    fn bytes<const N: usize>(&self, offset: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// Fills the buffer, or what there is of it before the end of the file.
fn read_up_to(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < into.len() {
        match file.read_at(&mut into[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(read)
}
