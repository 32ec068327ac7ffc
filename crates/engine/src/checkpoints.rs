use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use message::Ticket;
use plugin::Checkpoint;
use serde_json::{Value, json};

use crate::origin::Positions;
use crate::tracker::Remembered;

/// The state directory: what is remembered over restarts. One process at a time holds it.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    lock: File,
    /// Random, 48 bits: what it is in the identities of injected messages.
    instance: u64,
    /// States of plugins that are not on disk yet.
    pending: Mutex<BTreeMap<Arc<str>, Pending>>,
}

/// A plugin's state that is not on disk yet.
#[derive(Clone, Debug)]
struct Pending {
    state: Arc<[u8]>,
    /// Of the messages that are part of it: let go once it is on disk.
    tickets: Vec<Ticket>,
}

/// Version of the layout below the state directory.
const VERSION: &str = "nilometer state 1\n";

/// Most tickets that wait for a state to be on disk, so that memory does not grow while the disk fails for days.
const MOST_UNSAVED: usize = 200_000;

/// Largest file read back, in bytes.
const MAX_FILE: u64 = 256 << 20;

impl StateDir {
    /// Opens the directory, makes it if need be, and locks it.
    ///
    /// # Errors
    /// When another process holds it, when it has another version, or when it cannot be written.
    pub fn open(path: &Path) -> Result<StateDir, String> {
        let failed = |e: io::Error| format!("state directory {}: {e}", path.display());
        for sub in ["checkpoints", "filters", "outputs", "scripts"] {
            std::fs::create_dir_all(path.join(sub)).map_err(failed)?;
        }
        let lock = File::options().create(true).truncate(false).write(true).open(path.join("lock")).map_err(failed)?;
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(format!("state directory {} is in use by another nilo; give each its own `state` in [nilo]", path.display()));
        }
        let version = path.join("version");
        match std::fs::read_to_string(&version) {
            Ok(found) if found != VERSION => {
                return Err(format!("{} holds {found:?}, expected {VERSION:?}: it was written by another version", version.display()));
            }
            Ok(_) => {}
            Err(_) => write_atomically(&version, VERSION.as_bytes()).map_err(failed)?,
        }
        let instance = instance(&path.join("instance")).map_err(failed)?;
        Ok(StateDir { path: path.to_path_buf(), lock, instance, pending: Mutex::default() })
    }

    /// Number of this directory, see [`message::Uuid::injected`].
    pub fn instance(&self) -> u64 {
        self.instance
    }

    fn checkpoint_file(&self, input: &str) -> PathBuf {
        checkpoint_file(&self.path, input)
    }

    /// What an input's streams had accepted. A damaged file is set aside, said, and counts as none.
    pub fn checkpoints(&self, input: &str) -> Vec<Remembered> {
        let file = self.checkpoint_file(input);
        let Some(bytes) = read(&file) else { return Vec::new() };
        match parse(&bytes) {
            Some(list) => list,
            None => {
                let aside = file.with_extension("damaged");
                log::error!(target: input, "{} is damaged; it is kept as {} and reading starts anew", file.display(), aside.display());
                let _ = std::fs::rename(&file, aside);
                Vec::new()
            }
        }
    }

    pub fn save_checkpoints(&self, input: &str, list: &[Remembered]) -> io::Result<()> {
        let one = |r: &Remembered| {
            let c = &r.checkpoint;
            let mut value = json!({"key": c.key, "identity": c.identity, "position": c.position, "life": r.life});
            if let (false, Some(object)) = (c.note.is_empty(), value.as_object_mut()) {
                object.insert("note".to_string(), json!(c.note));
            }
            value
        };
        let streams: Vec<Value> = list.iter().map(one).collect();
        write_atomically(&self.checkpoint_file(input), json!({ "streams": streams }).to_string().as_bytes())
    }

    fn positions_file(&self, output: &str) -> PathBuf {
        self.path.join("outputs").join(format!("{}.json", file_name(output)))
    }

    /// What an output had of inputs that can be read again. Without it, some of that comes twice.
    pub fn positions(&self, output: &str) -> Positions {
        let read = read(&self.positions_file(output)).and_then(|bytes| Positions::parse(&serde_json::from_slice(&bytes).ok()?));
        read.unwrap_or_default()
    }

    /// Not synchronised: if it is lost with the system's power, some messages come twice.
    pub fn save_positions(&self, output: &str, positions: &Positions) -> io::Result<()> {
        let file = self.positions_file(output);
        std::fs::rename(write_beside(&file, positions.json().to_string().as_bytes(), false)?, file)
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Pending>> {
        self.pending.lock().unwrap_or_else(|p| p.into_inner())
    }

    /// The last saved state of a filter, or of the scripts behind an input or output.
    pub fn state(&self, name: &str) -> Option<Vec<u8>> {
        let pending = self.pending().get(name).map(|pending| pending.state.to_vec());
        pending.or_else(|| read(&self.state_file(name)))
    }

    fn state_file(&self, name: &str) -> PathBuf {
        state_file(&self.path, name)
    }

    /// Takes a plugin's state, to be written down by the next [`StateDir::flush`]: a worker does
    /// not wait for the disk. The tickets are let go then.
    pub fn save_state(&self, name: &Arc<str>, state: &[u8], tickets: Vec<Ticket>) {
        let mut pending = self.pending();
        let entry = pending.entry(name.clone()).or_insert_with(|| Pending { state: Arc::from([]), tickets: Vec::new() });
        entry.state = state.into();
        entry.tickets.extend(tickets);
        let beyond = entry.tickets.len().saturating_sub(MOST_UNSAVED);
        if beyond > 0 {
            log::error!(target: name, "its state cannot be saved for so long that {beyond} batches are no more waited for: after a kill it lacks them");
        }
        let let_go: Vec<Ticket> = entry.tickets.drain(..beyond).collect();
        drop(pending);
        drop(let_go);
    }

    /// The states that wait to be written down.
    pub fn waiting(&self) -> Vec<(Arc<str>, Arc<[u8]>)> {
        self.pending().iter().map(|(name, pending)| (name.clone(), pending.state.clone())).collect()
    }

    /// Writes down these states. False when that failed; they wait on.
    pub fn flush(&self, states: &[(Arc<str>, Arc<[u8]>)]) -> bool {
        // Thousands of files are synchronised in one go: that many waits for the disk take minutes.
        let each = states.len() <= FEW;
        let written: Vec<_> = states.iter().map(|(name, state)| write_beside(&self.state_file(name), state, each)).collect();
        let synchronised = if each { Ok(()) } else { rustix::fs::syncfs(&self.lock).map_err(io::Error::from) };
        if let Err(e) = synchronised {
            log::error!("the state of plugins is not saved in {}: {e}", self.path.display());
            return false;
        }
        let mut all = true;
        for ((name, state), new) in states.iter().zip(written) {
            if let Err(e) = new.and_then(|new| std::fs::rename(new, self.state_file(name))) {
                log::error!(target: name, "state not saved: {e}");
                all = false;
                continue;
            }
            let mut pending = self.pending();
            // A newer one may have come meanwhile.
            let done = if pending.get(name).is_some_and(|now| Arc::ptr_eq(&now.state, state)) { pending.remove(name) } else { None };
            drop(pending);
            drop(done);
        }
        all
    }
}

/// Files that are synchronised one by one.
const FEW: usize = 16;

/// The number in this file, 12 hexadecimal digits; a new one if there is none.
fn instance(file: &Path) -> io::Result<u64> {
    let known = read(file).and_then(|bytes| u64::from_str_radix(std::str::from_utf8(&bytes).ok()?.trim_end(), 16).ok());
    if let Some(known) = known.filter(|n| *n < 1 << 48) {
        return Ok(known);
    }
    let new = RandomState::new().hash_one(file) >> 16;
    write_atomically(file, format!("{new:012x}\n").as_bytes())?;
    Ok(new)
}

pub(crate) fn parse(bytes: &[u8]) -> Option<Vec<Remembered>> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let text = |v: &Value, name: &str| Some(v.get(name)?.as_str()?.to_string());
    let one = |v: &Value| {
        let note = text(v, "note").unwrap_or_default();
        let checkpoint = Checkpoint { key: text(v, "key")?, identity: text(v, "identity")?, position: v.get("position")?.as_u64()?, note };
        Some(Remembered { checkpoint, life: v.get("life").and_then(Value::as_u64).unwrap_or_default() })
    };
    value.get("streams")?.as_array()?.iter().map(one).collect()
}

/// Where the positions of an input are in a state directory.
pub(crate) fn checkpoint_file(dir: &Path, input: &str) -> PathBuf {
    dir.join("checkpoints").join(format!("{}.json", file_name(input)))
}

/// Where a plugin's state is in a state directory.
pub(crate) fn state_file(dir: &Path, name: &str) -> PathBuf {
    let family = if name.starts_with("filter.") { "filters" } else { "scripts" };
    dir.join(family).join(file_name(name))
}

pub(crate) fn read(file: &Path) -> Option<Vec<u8>> {
    let meta = std::fs::metadata(file).ok()?;
    if meta.len() > MAX_FILE {
        log::error!("{} is larger than 256 MiB and is not read", file.display());
        return None;
    }
    std::fs::read(file).ok()
}

/// Plugin names are free text in the configuration.
fn file_name(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c.to_string() } else { format!("%{:x}", c as u32) })
        .collect()
}

/// Replaces a file so that a crash at any instant leaves the old or the new one.
fn write_atomically(file: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::rename(write_beside(file, bytes, true)?, file)
}

/// Writes what is to replace the file, under a name that no plugin's file has.
fn write_beside(file: &Path, bytes: &[u8], sync: bool) -> io::Result<PathBuf> {
    let mut new = OsString::from(file);
    new.push("~");
    let mut f = File::create(&new)?;
    f.write_all(bytes)?;
    if sync {
        f.sync_data()?;
    }
    Ok(new.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_and_locks() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let checkpoint = Checkpoint { key: "k".into(), identity: "i".into(), position: 7, note: "at 7".into() };
        let list = vec![Remembered { checkpoint, life: 3 }];
        state.save_checkpoints("input.a/b", &list).unwrap();
        assert_eq!(state.checkpoints("input.a/b"), list);
        assert!(StateDir::open(dir.path()).unwrap_err().contains("in use by another nilo"));
        let instance = state.instance();
        drop(state);
        let state = StateDir::open(dir.path()).unwrap();
        assert_eq!(state.instance(), instance);
        std::fs::write(state.checkpoint_file("input.a/b"), "{").unwrap();
        assert_eq!(state.checkpoints("input.a/b"), []);
        assert!(dir.path().join("checkpoints/input.a%2fb.damaged").exists());
    }

    #[test]
    fn filters_states_are_kept_apart() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let names: Vec<Arc<str>> = (0..FEW + 1).map(|n| format!("filter.{n}").into()).collect();
        // Several threads write, as a filter may be read back while states are flushed.
        std::thread::scope(|s| {
            for name in &names {
                s.spawn(|| {
                    for _ in 0..20 {
                        state.save_state(name, name.as_bytes(), Vec::new());
                        assert_eq!(state.state(name).as_deref(), Some(name.as_bytes()));
                    }
                    write_atomically(&state.state_file(name), name.as_bytes()).unwrap();
                });
            }
        });
        assert!(state.flush(&state.waiting()) && state.pending().is_empty());
        for name in &names {
            assert_eq!(state.state(name).as_deref(), Some(name.as_bytes()));
        }
    }

    #[test]
    fn a_state_that_is_never_on_disk_holds_no_more_tickets_than_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let heard = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let ticket = || {
            let heard = heard.clone();
            Ticket::new(move |_| {
                heard.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            })
        };
        for _ in 0..2 {
            state.save_state(&"filter.a".into(), b"s", (0..MOST_UNSAVED - 10).map(|_| ticket()).collect());
        }
        assert_eq!(heard.load(std::sync::atomic::Ordering::Relaxed), MOST_UNSAVED - 20);
    }
}
