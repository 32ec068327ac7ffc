//! Giving up what everybody has read.
//!
//! Two orders matter. What carries the numbers on has its name on disk before older segments go:
//! else a crash might leave an empty directory, and numbers would begin anew. And a file is a spare
//! on disk before it is written to again: else it might come back under its old name.

use std::io::{self, ErrorKind};

use crate::log::{Journal, Leftover, Log, Sealed, State};
use crate::record::HEADER;

impl Journal {
    /// Gives up all segments whose records are all below `below`. The last segment stays, unless it
    /// is all that keeps the log from taking more.
    ///
    /// # Errors
    /// When files cannot be removed; it is tried again by the next call.
    pub fn release(&self, below: u64) -> io::Result<()> {
        let _chore = self.log.chore();
        let found = {
            let mut state = self.log.lock();
            self.log.detach(&mut state, below);
            std::mem::take(&mut state.leftovers)
        };
        if found.is_empty() {
            return Ok(());
        }
        let (mut kept, mut spares, mut failed) = (Vec::new(), Vec::new(), None);
        // The segment that carries the numbers on must not be lost with those that go.
        if let Err(e) = self.log.sync_names() {
            self.log.lock().leftovers.extend(found);
            return Err(e);
        }
        let room = self.log.spares.saturating_sub(self.log.lock().spares.len());
        for file in found {
            let spare = file.reusable && spares.len() < room;
            let to = format!("{}.spare", file.name.trim_end_matches(".log"));
            let done = if spare { self.log.disk.rename(&file.name, &to) } else { self.log.disk.remove(&file.name) };
            self.log.lock().changes += 1;
            match done {
                Ok(()) if spare => spares.push(Leftover { name: to, ..file }),
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    failed = Some(e);
                    kept.push(Leftover { reusable: false, ..file });
                }
                _ => self.log.lock().bytes -= file.length,
            }
        }
        // Else a file could come back under its old name with what is written to it next.
        let named = if spares.is_empty() { Ok(()) } else { self.log.sync_names() };
        let mut state = self.log.lock();
        match named {
            Ok(()) => state.spares.extend(spares),
            Err(_) => state.leftovers.extend(spares.into_iter().map(|s| Leftover { reusable: false, ..s })),
        }
        state.leftovers.extend(kept);
        failed.map_or(named, Err)
    }
}

impl Log {
    /// Takes whole segments below `below` out of the log.
    fn detach(&self, state: &mut State, below: u64) {
        let stuck = state.active.as_ref().is_some_and(|a| {
            let end = a.segment.end();
            end > HEADER && (end >= self.settings.segment || state.starved)
        });
        if stuck && below >= state.next {
            // Failing that, it stays for now.
            let _ = self.roll(state);
        }
        loop {
            let Some(second) = state.segments().nth(1).map(|s| s.first) else { break };
            if second > below {
                break;
            }
            let Some(Sealed { segment, file, length }) = state.sealed.pop_front() else { break };
            drop(file);
            // One who reads it, and one who wrote a record of unusual size, would be in the way.
            let reusable = !segment.is_open() && length <= 2 * self.settings.segment;
            if segment.is_suspect() {
                let _ = self.disk.remove(&segment.mark());
            }
            state.leftovers.push(Leftover { name: segment.name(), length, reusable });
        }
        state.released = state.released.max(below.min(state.first()));
    }

    /// Makes what changed in the directory survive a crash.
    pub fn sync_names(&self) -> io::Result<()> {
        let changes = {
            let state = self.lock();
            if state.changes == state.changes_synced {
                return Ok(());
            }
            state.changes
        };
        self.disk.sync_dir()?;
        self.lock().changes_synced = changes;
        Ok(())
    }
}
