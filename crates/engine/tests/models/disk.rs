use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use journal::disk::{Disk, DiskFile};

type File = Arc<Mutex<Content>>;

#[derive(Clone, Default, Debug)]
struct Content {
    bytes: Vec<u8>,
    /// What a loss of power leaves.
    synced: Vec<u8>,
}

/// What ends a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    Killed,
    PowerLost,
}

/// A directory in memory. Its locks are none that are explored: what it does is one step.
#[derive(Default, Debug)]
pub struct Ram {
    files: Mutex<BTreeMap<String, File>>,
    /// Nothing can be written for now.
    pub full: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Open {
    file: File,
    full: Arc<AtomicBool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Ram {
    /// What is on it after a crash.
    pub fn after(&self, crash: Crash) -> Arc<Ram> {
        let left = |file: &File| {
            let Content { bytes, synced } = lock(file).clone();
            let bytes = if crash == Crash::Killed { bytes } else { synced };
            Arc::new(Mutex::new(Content { synced: bytes.clone(), bytes }))
        };
        let files = lock(&self.files).iter().map(|(name, file)| (name.clone(), left(file))).collect();
        Arc::new(Ram { files: Mutex::new(files), full: Arc::default() })
    }

    fn opened(&self, file: File) -> Box<dyn DiskFile> {
        Box::new(Open { file, full: self.full.clone() })
    }
}

impl Disk for Ram {
    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(lock(&self.files).iter().map(|(name, file)| (name.clone(), lock(file).bytes.len() as u64)).collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = lock(&self.files).get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(self.opened(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = File::default();
        lock(&self.files).insert(name.to_string(), file.clone());
        Ok(self.opened(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = lock(&self.files).remove(from).ok_or(io::ErrorKind::NotFound)?;
        lock(&self.files).insert(to.to_string(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        lock(&self.files).remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Open {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let (file, bytes) = (&mut lock(&self.file).bytes, parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<_>>());
        let end = offset as usize + bytes.len();
        let length = file.len().max(end);
        file.resize(length, 0);
        file[offset as usize..end].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = lock(&self.file);
        let from = file.bytes.get(offset as usize..).unwrap_or_default();
        let n = from.len().min(into.len());
        into[..n].copy_from_slice(&from[..n]);
        Ok(n)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        lock(&self.file).bytes.resize(length as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut file = lock(&self.file);
        file.synced = file.bytes.clone();
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(lock(&self.file).bytes.len() as u64)
    }
}
