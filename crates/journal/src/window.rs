//! Reads ahead in large blocks.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::disk::DiskFile;

/// Bytes read ahead of one who reads on.
pub(crate) const BLOCK: u64 = 512 << 10;

/// Bytes read for one who has jumped, and the unit in which an unreadable place is narrowed down.
const PAGE: u64 = 4 << 10;

/// A piece of a file in memory.
#[derive(Debug)]
pub(crate) struct Window {
    file: Arc<dyn DiskFile>,
    start: u64,
    bytes: Vec<u8>,
    /// How many times the disk did not give back what it was asked for.
    pub unreadable: u64,
}

impl Window {
    pub fn new(file: Arc<dyn DiskFile>) -> Window {
        Window { file, start: 0, bytes: Vec::new(), unreadable: 0 }
    }

    /// Forgets what was read, to look again.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Exactly `need` bytes from `at`. The caller knows that the file reaches to `end`; what the disk
    /// does not give back is zero.
    pub fn get(&mut self, at: u64, need: u64, end: u64) -> io::Result<&[u8]> {
        let have = self.start + self.bytes.len() as u64;
        if at < self.start || at + need > have {
            let follows = at >= self.start && at <= have && !self.bytes.is_empty();
            let ahead = if follows { BLOCK } else { PAGE };
            let keep = if follows { have - at } else { 0 };
            let from = self.bytes.len() - keep as usize;
            self.bytes.drain(..from);
            self.start = at;
            let length = need.max(ahead).min(end - at).max(need);
            if self.bytes.capacity() as u64 > 2 * BLOCK && length <= BLOCK {
                self.bytes.shrink_to(BLOCK as usize);
            }
            let read = read_whole(&*self.file, &mut self.bytes, at + keep, length - keep.min(length), &mut self.unreadable);
            if read.is_err() {
                self.bytes.clear();
            }
            read?;
        }
        let from = (at - self.start) as usize;
        Ok(&self.bytes[from..from + need as usize])
    }
}

/// Appends `length` bytes of the file from `at`. Pages that cannot be read, or are beyond the end,
/// are zero and counted.
fn read_whole(file: &dyn DiskFile, into: &mut Vec<u8>, at: u64, length: u64, unreadable: &mut u64) -> io::Result<()> {
    let start = into.len();
    into.resize(start + length as usize, 0);
    let into = &mut into[start..];
    let mut done = 0;
    let mut by_page = false;
    while done < into.len() {
        let page = PAGE - (at + done as u64) % PAGE;
        let piece = if by_page { (into.len() - done).min(page as usize) } else { into.len() - done };
        match file.read_at(&mut into[done..done + piece], at + done as u64) {
            // Cut by somebody else.
            Ok(0) => {
                *unreadable += 1;
                return Ok(());
            }
            Ok(n) => done += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                if std::mem::replace(&mut by_page, true) {
                    into[done..done + piece].fill(0);
                    *unreadable += 1;
                    done += piece;
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
