use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Feeder, Task};
use crate::torture::ledger::{Ledger, Stream};

/// The file that is written, and the stream of its lines.
#[derive(Debug)]
struct Current {
    file: File,
    stream: Arc<Stream>,
    /// Lines written to files before this one.
    before: u64,
}

/// Appends lines to a file that may be rotated. A line written is acknowledged: it can be read again.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    current: Arc<Mutex<Current>>,
    feeder: Feeder,
}

impl Tail {
    /// Begins to write.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn start(ledger: &Ledger, path: PathBuf, rate: u64) -> Result<Tail> {
        let stream = ledger.stream("tail");
        let current = Arc::new(Mutex::new(Current { file: open(&path)?, stream: stream.clone(), before: 0 }));
        let shared = current.clone();
        let feeder = Feeder::start(stream, rate, move |task| {
            if let Err(e) = write(&shared, task) {
                task.wrong(format!("cannot write: {e}"));
            }
        })?;
        Ok(Tail { path, current, feeder })
    }

    /// Renames the file; the writer goes on in it for a moment, then in a new one. Each file is a
    /// stream of its own: of two files nobody says which is read first.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn rotate(&self, ledger: &Ledger, to: &Path) -> Result<()> {
        fs::rename(&self.path, to)?;
        std::thread::sleep(Duration::from_millis(3));
        let mut current = lock(&self.current);
        let before = current.before + current.stream.issued();
        *current = Current { file: open(&self.path)?, stream: ledger.stream("tail"), before };
        Ok(())
    }

    /// Lines written so far.
    pub fn written(&self) -> u64 {
        let current = lock(&self.current);
        current.before + current.stream.issued()
    }

    /// Stops writing.
    ///
    /// # Errors
    /// When a write had failed.
    pub fn finish(self, limit: Duration) -> Result<()> {
        self.feeder.finish(limit)
    }
}

fn lock(current: &Mutex<Current>) -> MutexGuard<'_, Current> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(path: &Path) -> Result<File> {
    File::options().create(true).append(true).open(path).with_context(|| format!("cannot open {}", path.display()))
}

fn write(current: &Mutex<Current>, task: &Task) -> std::io::Result<()> {
    let mut block = Vec::new();
    while !task.draining() {
        {
            let mut current = lock(current);
            let first = current.stream.issued() + 1;
            let mut next = first;
            block.clear();
            while next + current.before <= task.due() && block.len() < 256 << 10 {
                current.stream.issue(next, &mut block);
                block.push(b'\n');
                next += 1;
            }
            current.file.write_all(&block)?;
            current.stream.acknowledge(next - 1);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
