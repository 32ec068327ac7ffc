//! The journal's disk is full, or the journal as large as it may be: the program waits and says so,
//! lives on, and resumes by itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::report::Report;
use super::stage::{Load, Sink, Source, Stage};

/// What is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// `journal_max` is reached.
    Journal,
    /// The file system has no space left. Takes leave to mount one.
    Disk,
}

/// A small file system in memory. Dropped, it is gone.
#[derive(Debug)]
pub struct Small {
    dir: TempDir,
}

/// Size of the file system, and of a file that takes its space until it is removed.
const SIZE: u64 = 96 << 20;
const BALLAST: u64 = 72 << 20;

impl Small {
    /// Mounts it below a temporary directory.
    ///
    /// # Errors
    /// When that is not allowed here.
    pub fn mount() -> Result<Small> {
        let dir = TempDir::with_prefix("nilo-disk-")?;
        let options = format!("size={SIZE}");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output()?;
        ensure!(status.status.success(), "cannot mount a tmpfs: {}", String::from_utf8_lossy(&status.stderr).trim());
        Ok(Small { dir })
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("ballast")
    }

    /// Takes most of its space.
    fn load(&self) -> Result<()> {
        let file = File::create(self.ballast())?;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, BALLAST).context("cannot allocate ballast")
    }

    fn unload(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("cannot remove ballast")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Whoever still has a file open there loses its name only.
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

fn free(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |s| s.f_bavail * s.f_frsize)
}

/// How it is filled.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    pub full: Full,
    /// How long it stays so.
    pub time: Duration,
    /// `kill -9` and start again in the middle of it.
    pub kill: bool,
}

/// Words of those who wait for space.
const WORDS: &[&str] = &["full", "space"];

/// Fills the journal while one of two outputs is dead.
///
/// # Errors
/// When `nilo` does not run or ends by itself; when no file system can be mounted.
pub fn torture(mut load: Load, Trial { full, time, kill }: Trial) -> Result<Report> {
    let title = format!("{full:?} full for {time:?}{}, seed {}", if kill { ", with kill -9" } else { "" }, load.seed);
    (load.sources, load.sinks) = (vec![Source::Tail, Source::Tcp, Source::Http], vec![Sink::File, Sink::Tcp]);
    let small = (full == Full::Disk).then(Small::mount).transpose()?;
    let mut stage = Stage::new(load)?;
    if let Some(small) = &small {
        stage.state = small.dir.path().join("state");
        small.load()?;
    }
    let globals = if small.is_some() { "" } else { "journal_max = \"8MiB\"" };
    stage.daemon.configure(&stage.config(globals))?;
    stage.feed()?;
    stage.start()?;
    stage.tcp.as_ref().context("no receiver")?.close();
    let deadline = Instant::now() + stage.load.limit;
    while stage.said(WORDS)?.is_empty() && Instant::now() < deadline {
        watch(&mut stage, Duration::from_millis(50))?;
    }
    let mut seen = watch(&mut stage, time / 2)?;
    if kill {
        stage.kill()?;
        stage.daemon.start()?;
    }
    seen = seen.worst(watch(&mut stage, time / 2)?);
    let said = stage.said(WORDS)?;
    if let Some(small) = &small {
        small.unload()?;
    }
    stage.tcp.as_ref().context("no receiver")?.reopen();
    let (mut report, _daemon) = stage.finish(title)?;
    report.notes.push(format!(
        "journal {} MiB at most, {} KiB of the disk left at least, resident {} MiB at most",
        seen.journal >> 20,
        seen.free >> 10,
        seen.rss_kib >> 10
    ));
    report.notes.extend(said.iter().take(6).map(|line| format!("said: {line}")));
    if said.is_empty() {
        report.broken.push("it did not say what it waits for".to_string());
    }
    Ok(report)
}

/// The extremes of a time.
#[derive(Clone, Copy, Debug)]
struct Seen {
    journal: u64,
    free: u64,
    rss_kib: u64,
}

impl Seen {
    fn worst(self, other: Seen) -> Seen {
        Seen { journal: self.journal.max(other.journal), free: self.free.min(other.free), rss_kib: self.rss_kib.max(other.rss_kib) }
    }
}

fn watch(stage: &mut Stage, time: Duration) -> Result<Seen> {
    let (start, mut seen) = (Instant::now(), Seen { journal: 0, free: u64::MAX, rss_kib: 0 });
    while start.elapsed() < time {
        let process = stage.daemon.process()?;
        let rss_kib = process.rss_kib();
        ensure!(!process.ended(), "nilo ended by itself\n{}", stage.daemon.log_end());
        seen = seen.worst(Seen { journal: stage.journal(), free: free(&stage.state), rss_kib });
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_is_full_until_the_ballast_goes() {
        // Only who may mount can try; others are told by the trial itself.
        let Ok(small) = Small::mount() else { return };
        let path = small.dir.path().to_path_buf();
        small.load().unwrap();
        assert!(free(&path) <= SIZE - BALLAST);
        small.unload().unwrap();
        assert!(free(&path) > SIZE - BALLAST && free(&path) <= SIZE);
        drop(small);
        assert!(!path.exists());
    }
}
