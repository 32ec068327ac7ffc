//! What a state directory holds for filters and outputs: for commands that look at it, or put it in order while no
//! instance runs.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use message::{Batch, Pool, Selection};
use plugin::Checkpoint;

use crate::checkpoints::{StateDir, checkpoint_file, parse, read, state_file};
use crate::journalled;
use crate::snapshot::Snapshot;

/// One record of the journal.
#[derive(Debug)]
pub struct Stored<'a> {
    /// Names, such as `output.elastic`, and which messages of the batch each gets.
    pub consumers: Vec<(String, Selection)>,
    frozen: &'a [u8],
}

impl<'a> Stored<'a> {
    /// Reads what stands before the messages.
    ///
    /// # Errors
    /// What is wrong with the record.
    pub fn parse(record: &'a [u8]) -> Result<Stored<'a>, String> {
        let (mut head, mut consumers) = (record, Vec::new());
        journalled::consumers(&mut head, |name, selection| {
            consumers.push((String::from_utf8_lossy(name).into_owned(), selection));
        })?;
        let (_, frozen) = journalled::decode(record, "")?;
        Ok(Stored { consumers, frozen })
    }

    /// The messages; what the consumers select is among them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn batch(&self) -> Result<Batch, String> {
        let batch = message::frozen::thaw(self.frozen, &Pool::default()).map_err(|e| e.to_string())?;
        match self.consumers.iter().map(|(_, s)| s.end()).max().filter(|end| *end > batch.len()) {
            None => Ok(batch),
            Some(end) => Err(format!("a record of {} messages of which number {end} is wanted", batch.len())),
        }
    }
}

/// What is written down of an input's streams, such as `input.access`; nothing when that is damaged.
pub fn checkpoints(state: &Path, input: &str) -> Vec<Checkpoint> {
    let list = read(&checkpoint_file(state, input)).and_then(|bytes| parse(&bytes));
    list.unwrap_or_default().into_iter().map(|remembered| remembered.checkpoint).collect()
}

/// Number of the journal below which everything is part of a filter's saved state; None if nothing is saved of it. The
/// filter goes on there or at its cursor, whichever is later.
pub fn place(state: &Path, filter: &str) -> Option<u64> {
    snapshot(state, filter).map(|snapshot| snapshot.journal)
}

fn snapshot(state: &Path, filter: &str) -> Option<Snapshot> {
    if filter.starts_with("filter.") { Snapshot::decode(&read(&state_file(state, filter))?) } else { None }
}

/// A state directory that no instance uses, nor will as long as this is there.
#[derive(Debug)]
pub struct Stopped(StateDir);

impl Stopped {
    /// Takes the directory, which has to be one.
    ///
    /// # Errors
    /// When an instance runs with it, when another version wrote it, or when it cannot be written.
    pub fn open(state: &Path) -> Result<Stopped, String> {
        let lock = state.join("lock");
        let failed = |e: std::io::Error| format!("{} is no state directory of nilo: {}: {e}", state.display(), lock.display());
        let file = File::options().write(true).open(&lock).map_err(failed)?;
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(format!("a nilo runs with the state directory {}: stop it first, since it writes there itself", state.display()));
        }
        drop(file);
        StateDir::open(state).map(Stopped)
    }

    /// Has a filter take everything from record `at` of the journal on, though it may be part of its state already.
    /// Nothing happens when it has no saved state.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn set_place(&self, filter: &str, at: u64) -> Result<(), String> {
        let Some(bytes) = self.0.state(filter) else { return Ok(()) };
        let snapshot = Snapshot::decode(&bytes).ok_or_else(|| format!("the saved state of {filter} is damaged"))?;
        self.0.save_state(&Arc::from(filter), &Snapshot { journal: at, ..snapshot }.encode(), Vec::new());
        if self.0.flush(&self.0.waiting()) { Ok(()) } else { Err(format!("the state of {filter} cannot be written")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_a_directory_and_moves_the_place_of_a_filter() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Stopped::open(dir.path()).unwrap_err().contains("is no state directory of nilo"));
        let running = StateDir::open(dir.path()).unwrap();
        running.save_state(&"filter.a".into(), &Snapshot { journal: 9, state: b"s".to_vec(), ..Snapshot::default() }.encode(), Vec::new());
        assert!(running.flush(&running.waiting()));
        assert!(Stopped::open(dir.path()).unwrap_err().contains("stop it first"));
        drop(running);
        let stopped = Stopped::open(dir.path()).unwrap();
        assert!(StateDir::open(dir.path()).is_err());
        assert_eq!((place(dir.path(), "filter.a"), place(dir.path(), "filter.b"), place(dir.path(), "output.a")), (Some(9), None, None));
        stopped.set_place("filter.a", 4).unwrap();
        stopped.set_place("filter.b", 4).unwrap();
        assert_eq!((place(dir.path(), "filter.a"), place(dir.path(), "filter.b")), (Some(4), None));
        assert_eq!(snapshot(dir.path(), "filter.a").unwrap().state, b"s");
    }
}
