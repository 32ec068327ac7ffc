//! How fast the log takes records, with and without reuse of files, beside a loop that only writes.
//!
//! `cargo run --release -p journal --example speed [directory]`

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::disk::Dir;
use journal::{Journal, Settings};

const RECORD: usize = 256 << 10;
const TOTAL: usize = 2 << 30;

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn measure(what: &str, run: impl FnOnce()) {
    let (start, before) = (Instant::now(), cpu());
    run();
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu().saturating_sub(before).as_secs_f64());
    println!("{what:34} {:7.0} MB/s, {cpu:.2} s of CPU for {} GiB", TOTAL as f64 / wall / 1e6, TOTAL >> 30);
}

/// Appends and releases, so that some 48 MiB are held at a time.
fn journal(dir: &Path, spares: usize) {
    let disk = Arc::new(Dir::writable(dir).expect("a directory"));
    let (journal, _) = Journal::open_on(disk, Settings::default(), spares).expect("a journal");
    let record = vec![b'x'; RECORD];
    for n in 0..(TOTAL / RECORD) as u64 {
        journal.append(&[&record]).expect("room");
        if n % 64 == 63 {
            journal.release(n.saturating_sub(64)).expect("a release");
        }
    }
}

/// The same number of bytes in one write each, over the same 48 MiB again and again.
fn bare(dir: &Path) {
    let file = File::create(dir.join("bare")).expect("a file");
    let record = vec![b'x'; RECORD];
    for n in 0..TOTAL / RECORD {
        file.write_all_at(&record, (n % 192 * RECORD) as u64).expect("room");
    }
}

fn main() {
    let dir = match std::env::args().nth(1) {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .expect("a directory");
    measure("bare writes", || bare(dir.path()));
    measure("journal", || journal(&dir.path().join("reused"), 2));
    measure("journal, files not used again", || journal(&dir.path().join("new"), 0));
}
