//! Watching the files a running engine was made of.

use std::path::PathBuf;

use crossbeam_channel::{Receiver, never};
use engine::{Engine, Watch};

/// Watches files, or nothing where that is not wanted or not possible.
pub struct Watching {
    watch: Option<Watch>,
}

impl Watching {
    pub fn start(wanted: bool) -> Watching {
        let watch = if wanted { Watch::new().map_err(|e| log::warn!("changed files are not noticed: {e}")).ok() } else { None };
        Watching { watch }
    }

    /// Fires when a file may have changed.
    pub fn changed(&self) -> Receiver<()> {
        self.watch.as_ref().map_or_else(never, |w| w.changed().clone())
    }

    /// Watches what the engine is made of now.
    pub fn renew(&mut self, engine: &Engine) {
        let Some(watch) = &mut self.watch else { return };
        // The system reports whole paths.
        let whole = |f: PathBuf| std::path::absolute(&f).unwrap_or(f);
        let files = engine.config_files().into_iter().chain(engine.script_files()).map(whole);
        let directories = engine.watched_directories().into_iter().map(whole);
        if let Err(why) = watch.set(files, directories) {
            log::warn!("changes are not noticed in {why}");
        }
    }
}
