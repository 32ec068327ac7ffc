use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use plugin::Clock;
use rustix::fs::RawMode;
use rustix::io::Errno;

use crate::file::beneath::Beneath;
use crate::file::log::Log;
use crate::file::rotation::Rotation;

/// How often the files on disk are looked at.
pub const CHECK: Duration = Duration::from_secs(1);

/// A file that was not written for so long is closed: yesterday's, mostly.
const IDLE: Duration = Duration::from_secs(60);

/// The files of one directory that are open for appending.
pub struct Files {
    pub dir: PathBuf,
    pub mode: RawMode,
    pub rotation: Rotation,
    /// Every append reaches the disk before it returns.
    pub durable: bool,
    /// How often what was appended is made to reach the disk; none: the system decides.
    pub sync: Option<Duration>,
    pub max_open: usize,
    state: State,
}

#[derive(Default)]
struct State {
    beneath: Option<Beneath>,
    open: HashMap<String, Log>,
    /// When the files were last looked at, and synced, by the steady clock.
    checked: Duration,
    synced: Duration,
}

/// Why an append failed.
#[derive(Debug)]
pub enum Trouble {
    /// No file can have this path: too long, leads outside, is a directory.
    Path(io::Error),
    /// Anything else.
    World(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Trouble {
        Trouble::World(e)
    }
}

impl Files {
    pub fn new(dir: PathBuf, mode: RawMode, rotation: Rotation) -> Files {
        Files { dir, mode, rotation, durable: false, sync: None, max_open: 64, state: State::default() }
    }

    /// Appends all bytes to the file at `path`, or none.
    ///
    /// # Errors
    /// See [`Trouble`]; with `durable`, the bytes may have been written all the same.
    pub fn append(&mut self, path: &str, bytes: &[u8], clock: &Clock) -> Result<(), Trouble> {
        let (len, since) = self.log(path, clock).map(|log| (log.len, log.since))?;
        if self.rotation.due(len, since, bytes.len(), clock.now()) {
            self.rotate(path)?;
        }
        let durable = self.durable;
        let log = self.log(path, clock)?;
        log.used = clock.steady();
        let result = log.append(bytes).and_then(|()| if durable { log.sync() } else { Ok(()) });
        if result.is_err() {
            self.state.open.remove(path);
        }
        Ok(result?)
    }

    /// Looks after the open files now and then: lets go of those that were renamed, removed or not
    /// written for long, rotates and syncs those whose time has come.
    pub fn look_after(&mut self, clock: &Clock) {
        let now = clock.steady();
        if now.saturating_sub(self.state.checked) >= CHECK {
            self.state.checked = now;
            self.check(clock);
        }
        if self.sync.is_some_and(|every| now.saturating_sub(self.state.synced) >= every) {
            self.state.synced = now;
            self.sync_all();
        }
    }

    /// Closes all files, after a sync where one was asked for.
    pub fn close(&mut self) {
        if self.durable || self.sync.is_some() {
            self.sync_all();
        }
        self.state.open.clear();
    }

    fn check(&mut self, clock: &Clock) {
        let Some(beneath) = &self.state.beneath else { return };
        if !beneath.is(&self.dir) {
            self.close();
            self.state.beneath = None;
            return;
        }
        let mut due = Vec::new();
        for (path, log) in &mut self.state.open {
            log.measure();
            let idle = clock.steady().saturating_sub(log.used) >= IDLE;
            if idle || beneath.id(path) != Some(log.id) {
                due.push((path.clone(), false));
            } else if self.rotation.due(log.len, log.since, 0, clock.now()) {
                due.push((path.clone(), true));
            }
        }
        for (path, rotate) in due {
            if rotate && let Err(e) = self.rotate(&path) {
                log::warn!("cannot rotate {}: {e}", self.dir.join(&path).display());
            }
            self.forget(&path);
        }
    }

    fn sync_all(&mut self) {
        for (path, log) in &mut self.state.open {
            if let Err(e) = log.sync() {
                log::error!("{}: what was written last may not have reached the disk: {e}", self.dir.join(path).display());
            }
        }
    }

    fn rotate(&mut self, path: &str) -> io::Result<()> {
        if let Some(beneath) = &self.state.beneath {
            self.rotation.shift(beneath, path)?;
        }
        self.forget(path);
        Ok(())
    }

    fn forget(&mut self, path: &str) {
        if let Some(mut log) = self.state.open.remove(path)
            && self.sync.is_some()
            && let Err(e) = log.sync()
        {
            log::error!("{}: what was written last may not have reached the disk: {e}", self.dir.join(path).display());
        }
    }

    /// The file at `path`, opened when it is not.
    fn log(&mut self, path: &str, clock: &Clock) -> Result<&mut Log, Trouble> {
        if !self.state.open.contains_key(path) {
            while self.state.open.len() >= self.max_open {
                let Some(oldest) = self.state.open.iter().min_by_key(|(_, log)| log.used).map(|(path, _)| path.clone()) else { break };
                self.forget(&oldest);
            }
            let log = self.open(path, clock)?;
            self.state.open.insert(path.to_string(), log);
        }
        self.state.open.get_mut(path).ok_or_else(|| Trouble::World(io::ErrorKind::NotFound.into()))
    }

    fn open(&mut self, path: &str, clock: &Clock) -> Result<Log, Trouble> {
        let beneath = match self.state.beneath.take() {
            Some(beneath) if beneath.is(&self.dir) => beneath,
            _ => Beneath::open(&self.dir)?,
        };
        let beneath = self.state.beneath.insert(beneath);
        let file =
            beneath.append_to(path, self.mode).map_err(|e| if is_about_the_path(&e) { Trouble::Path(e) } else { Trouble::World(e) })?;
        if self.durable {
            beneath.sync_parent(path)?;
        }
        Ok(Log::new(file, clock)?)
    }
}

fn is_about_the_path(e: &io::Error) -> bool {
    match Errno::from_io_error(e) {
        Some(errno) => matches!(errno, Errno::NAMETOOLONG | Errno::XDEV | Errno::LOOP | Errno::ISDIR | Errno::NOTDIR | Errno::NXIO),
        // `Beneath` says so itself when there is something else than a file.
        None => true,
    }
}
