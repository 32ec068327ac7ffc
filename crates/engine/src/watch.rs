use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, Sender, bounded};
use notify::event::{AccessKind, AccessMode, CreateKind, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

/// Hash of a file's content; one value for every file that cannot be read. What decides whether a
/// file changed: editors and deployments touch files without changing them. Of a large file, such as
/// a database, it is that of what the system knows of the file.
pub(crate) fn hash(file: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    content(file).ok().hash(&mut hasher);
    hasher.finish()
}

/// The largest file whose content is looked at, in bytes; no script is that large.
const MAX_FILE: u64 = 16 << 20;

fn content(file: &Path) -> io::Result<Vec<u8>> {
    let meta = std::fs::metadata(file)?;
    if !meta.is_file() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    if meta.len() > MAX_FILE {
        let known = [meta.dev(), meta.ino(), meta.len(), meta.mtime() as u64, meta.mtime_nsec() as u64];
        return Ok(known.iter().flat_map(|n| n.to_ne_bytes()).collect());
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Wakes whoever waits when a script or configuration file may have changed. It watches the
/// directories, because editors write a new file and rename it over the old one.
pub struct Watch {
    watcher: RecommendedWatcher,
    directories: BTreeSet<PathBuf>,
    files: Arc<Mutex<HashSet<PathBuf>>>,
    sender: Sender<()>,
    changed: Receiver<()>,
}

impl Watch {
    /// # Errors
    /// When the system offers no watching; the message says what to do.
    pub fn new() -> Result<Watch, String> {
        let (sender, changed) = bounded(1);
        let files: Arc<Mutex<HashSet<PathBuf>>> = Arc::default();
        let (known, told) = (files.clone(), sender.clone());
        let watcher = notify::recommended_watcher(move |event| notice(event, &known, &told)).map_err(|e| reason(&e))?;
        Ok(Watch { watcher, directories: BTreeSet::new(), files, sender, changed })
    }

    /// Fires when one of the files, or a `.toml` or `.lua` beside them, may have changed.
    pub fn changed(&self) -> &Receiver<()> {
        &self.changed
    }

    /// Watches these files and what happens in these directories from now on, and nothing else.
    ///
    /// # Errors
    /// The directories that cannot be watched, and why.
    pub fn set(&mut self, files: impl IntoIterator<Item = PathBuf>, whole: impl IntoIterator<Item = PathBuf>) -> Result<(), String> {
        let mut files: HashSet<PathBuf> = files.into_iter().collect();
        let whole: BTreeSet<PathBuf> = whole.into_iter().collect();
        // One that is not there yet is noticed when it comes.
        files.extend(whole.iter().cloned());
        let parent = |f: &PathBuf| f.parent().map(|p| if p.as_os_str().is_empty() { PathBuf::from(".") } else { p.to_path_buf() });
        let mut directories: BTreeSet<PathBuf> = files.iter().filter_map(parent).collect();
        directories.extend(whole.into_iter().filter(|d| d.is_dir()));
        *self.files.lock().unwrap_or_else(|p| p.into_inner()) = files;
        for gone in self.directories.difference(&directories) {
            let _ = self.watcher.unwatch(gone);
        }
        let mut failed = Vec::new();
        // One that cannot be watched now is tried again the next time.
        directories.retain(|directory| {
            let known = self.directories.contains(directory);
            let watched = if known { Ok(()) } else { self.watcher.watch(directory, RecursiveMode::NonRecursive) };
            watched.map_err(|e| failed.push(format!("{}: {}", directory.display(), reason(&e)))).is_ok()
        });
        if directories.iter().any(|d| !self.directories.contains(d)) {
            // Something may have changed in it before it was watched.
            let _ = self.sender.try_send(());
        }
        self.directories = directories;
        if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
    }
}

fn reason(e: &notify::Error) -> String {
    match e.kind {
        notify::ErrorKind::MaxFilesWatch => "no inotify watch left: raise fs.inotify.max_user_watches".to_string(),
        _ => e.to_string(),
    }
}

/// Acts on what completes a change: a file closed after writing, renamed, created whole or removed.
fn notice(event: notify::Result<Event>, known: &Mutex<HashSet<PathBuf>>, changed: &Sender<()>) {
    let Ok(event) = event else { return };
    let complete = matches!(
        event.kind,
        EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(notify::event::ModifyKind::Name(_))
            | EventKind::Create(CreateKind::Folder)
            | EventKind::Remove(_)
    );
    if !complete {
        return;
    }
    let interesting = |path: &PathBuf| {
        let ours = path.extension().is_some_and(|x| x == "lua" || x == "toml");
        ours || known.lock().map(|k| k.contains(path)).unwrap_or(true)
    };
    if event.paths.iter().any(interesting) {
        let _ = changed.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_FILE, hash};
    use std::fs::{self, File};

    #[test]
    fn a_large_file_has_changed_when_it_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let [file, next] = ["a", "b"].map(|name| dir.path().join(name));
        // Without content on the disk.
        [&file, &next].iter().for_each(|path| File::create(path).unwrap().set_len(MAX_FILE + 1).unwrap());
        let before = hash(&file);
        assert_eq!(hash(&file), before);
        fs::rename(&next, &file).unwrap();
        assert_ne!(hash(&file), before);
        assert_ne!(hash(&file), hash(&next));
    }
}
