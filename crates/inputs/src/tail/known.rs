//! Files that are not followed now, of which a position is remembered.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;

use plugin::Checkpoint;

use super::identity::{FileId, Head};
use super::remembered::Remembered;

/// Files remembered after they were rotated away for good.
const MAX_CLOSED: usize = 1024;

#[derive(Default)]
pub struct Known {
    /// Thousands of files are looked up each time the program starts.
    by_inode: HashMap<u64, Vec<Remembered>>,
    /// Those that were closed and may come back, in that order.
    closed: VecDeque<(u64, String)>,
    /// Keys in use: of what is known here, followed, or not forgotten yet.
    keys: HashSet<String>,
}

impl Known {
    pub fn new(checkpoints: &[Checkpoint]) -> Known {
        let mut known = Known { keys: checkpoints.iter().map(|c| c.key.clone()).collect(), ..Known::default() };
        for remembered in checkpoints.iter().filter_map(Remembered::parse) {
            known.put(remembered);
        }
        known
    }

    pub fn put(&mut self, remembered: Remembered) {
        self.by_inode.entry(remembered.id.inode).or_default().push(remembered);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Remembered> {
        self.by_inode.values().flatten()
    }

    pub fn of_inode(&self, inode: u64) -> impl Iterator<Item = &Remembered> {
        self.by_inode.get(&inode).into_iter().flatten()
    }

    /// What is known of a file.
    pub fn find(&self, id: FileId, path: &Path, head: &Head) -> Option<&Remembered> {
        self.of_inode(id.inode).find(|r| r.is(id, path, head))
    }

    /// Takes out what is known of a file. The keys are those of other files that had its inode: they are gone, and stay
    /// known until [`Known::remove`].
    pub fn take(&mut self, id: FileId, path: &Path, head: &Head) -> (Option<Remembered>, Vec<String>) {
        let Some(same) = self.by_inode.get_mut(&id.inode) else { return (None, Vec::new()) };
        let found = same.iter().position(|r| r.is(id, path, head)).map(|at| same.remove(at));
        let gone = same.iter().filter(|r| r.id == id).map(|r| r.key.clone()).collect();
        if let Some(found) = &found {
            self.left(id.inode, &found.key);
        }
        (found, gone)
    }

    pub fn remove(&mut self, inode: u64, key: &str) {
        if let Some(same) = self.by_inode.get_mut(&inode) {
            same.retain(|r| r.key != key);
        }
        self.left(inode, key);
    }

    /// Nothing stays behind of what is known no more.
    fn left(&mut self, inode: u64, key: &str) {
        self.closed.retain(|(_, closed)| closed != key);
        if self.by_inode.get(&inode).is_some_and(Vec::is_empty) {
            self.by_inode.remove(&inode);
        }
    }

    /// A file that was closed may come back. Returns the key of one that has to be forgotten in its place.
    pub fn closed(&mut self, remembered: Remembered) -> Option<String> {
        self.closed.push_back((remembered.id.inode, remembered.key.clone()));
        self.put(remembered);
        if self.closed.len() <= MAX_CLOSED {
            return None;
        }
        let (inode, key) = self.closed.pop_front()?;
        self.remove(inode, &key);
        Some(key)
    }

    /// Device and inode, and a number where the key is still in use for an earlier file of this inode.
    pub fn fresh_key(&mut self, id: FileId) -> String {
        let mut key = id.key();
        for n in 2.. {
            if !self.keys.contains(&key) {
                break;
            }
            key = format!("{}:{n}", id.key());
        }
        self.keys.insert(key.clone());
        key
    }

    /// The key is free again.
    pub fn free(&mut self, key: &str) {
        self.keys.remove(key);
    }
}
