use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;

use crate::prove::follow::Follow;
use crate::torture::ledger::Delivered;

/// Notes the lines of a file as they appear. Dropped, it stops soon.
#[derive(Debug)]
pub struct Reader(Arc<AtomicBool>);

/// Begins to read; the file may come later.
///
/// # Errors
/// When no thread can be started.
pub fn start(path: PathBuf, delivered: Arc<Delivered>) -> Result<Reader> {
    let stopped = Arc::new(AtomicBool::new(false));
    let seen = stopped.clone();
    std::thread::Builder::new().name("read".into()).spawn(move || {
        let mut follow = Follow::new(path);
        while !seen.load(Ordering::Acquire) {
            follow.lines(|line| delivered.note_line(line));
            std::thread::sleep(Duration::from_millis(1));
        }
    })?;
    Ok(Reader(stopped))
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
