use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use maxminddb::Reader;

/// A database in memory, shared by all who use the same file.
pub(super) struct Database {
    pub reader: Reader<Vec<u8>>,
    pub bytes: u64,
}

/// What tells a file and its content from others: device, inode, length, and when it was changed.
type Stamp = (u64, u64, u64, i64, i64);

fn stamp(meta: &Metadata) -> Stamp {
    (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())
}

/// The databases in use: one that several inputs use is in memory once.
static OPEN: Mutex<Vec<(Stamp, Weak<Database>)>> = Mutex::new(Vec::new());

impl Database {
    /// # Errors
    /// Why it cannot be read, or is none.
    pub fn open(path: &Path, max_size: u64) -> Result<Arc<Database>, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let meta = file.metadata().map_err(|e| e.to_string())?;
        if !meta.is_file() {
            return Err("it is not a file".to_string());
        }
        if meta.len() > max_size {
            return Err(format!("it is larger than `max_size`, {max_size} bytes"));
        }
        // Held while it is read, so that inputs that start together read it once.
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, database)| database.strong_count() > 0);
        if let Some(database) = open.iter().find(|(known, _)| *known == stamp(&meta)).and_then(|(_, database)| database.upgrade()) {
            return Ok(database);
        }
        let database = Arc::new(Database::read(file, meta.len())?);
        open.push((stamp(&meta), Arc::downgrade(&database)));
        Ok(database)
    }

    fn read(file: File, length: u64) -> Result<Database, String> {
        let mut content = Vec::with_capacity(length as usize);
        file.take(length).read_to_end(&mut content).map_err(|e| e.to_string())?;
        let bytes = content.len() as u64;
        let reader = Reader::from_source(content).map_err(|e| format!("it is no MaxMind DB file: {e}"))?;
        Ok(Database { reader, bytes })
    }
}
