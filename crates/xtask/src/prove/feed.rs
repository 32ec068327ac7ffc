use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

/// What stands behind the number of each line, so that it has the length of a log line.
const REST: &str = " 192.0.2.17 GET /products/1729/reviews?page=4 200 5316 \"curl/8.5.0\"\n";

/// A thread that appends numbered lines, 1, 2, 3 and so on, at a steady rate to a file.
#[derive(Debug)]
pub struct Feed {
    file: Arc<Mutex<File>>,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Feed {
    /// Begins to write, `rate` lines a second.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn start(path: &Path, rate: u64) -> Result<Feed> {
        let file = Arc::new(Mutex::new(open(path)?));
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (f, s, w) = (file.clone(), stop.clone(), written.clone());
        let thread = std::thread::Builder::new().name("feed".into()).spawn(move || write(&f, rate, &s, &w))?;
        Ok(Feed { file, stop, written, thread: Some(thread) })
    }

    /// The last number written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Holds the writer while the guard lives; every line begun is whole.
    pub fn pause(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(|p| p.into_inner())
    }

    /// Writes to a new file of this name from now on, as a server told to reopen its log.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn reopen(&self, path: &Path) -> Result<()> {
        *self.pause() = open(path)?;
        Ok(())
    }

    /// Stops writing; the number of lines written.
    ///
    /// # Errors
    /// When a write had failed.
    pub fn stop(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow!("the writer failed"))?.context("writing lines")?;
        }
        Ok(self.written())
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn open(path: &Path) -> Result<File> {
    File::options().create(true).append(true).open(path).with_context(|| format!("cannot open {}", path.display()))
}

fn write(file: &Mutex<File>, rate: u64, stop: &AtomicBool, written: &AtomicU64) -> std::io::Result<()> {
    let (start, mut next, mut block) = (Instant::now(), 1u64, Vec::new());
    while !stop.load(Ordering::Acquire) {
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        block.clear();
        // After a pause the rest follows in portions, so that the file is never held for long.
        while next <= due && block.len() < 256 << 10 {
            write!(block, "{next}{REST}")?;
            next += 1;
        }
        file.lock().unwrap_or_else(|p| p.into_inner()).write_all(&block)?;
        written.store(next - 1, Ordering::Release);
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
