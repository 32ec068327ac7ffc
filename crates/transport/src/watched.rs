use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::files::{PemFile, Stamp};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Something that is made of files, and made again when one of them has changed.
#[derive(Debug)]
pub struct Watched<T> {
    files: Vec<PemFile>,
    state: Mutex<Option<State<T>>>,
}

#[derive(Debug)]
struct State<T> {
    made: Arc<T>,
    /// What the files looked like just before they were read, whether or not that was of use.
    stamps: Vec<Option<Stamp>>,
    /// By a steady clock.
    looked: Duration,
}

impl<T> Watched<T> {
    pub fn new(files: Vec<PemFile>) -> Watched<T> {
        Watched { files, state: Mutex::new(None) }
    }

    /// What the files hold by now. When they have changed to something of no use, the log says so
    /// and what was made before stays.
    ///
    /// # Errors
    /// Those of `make`, as long as nothing could be made.
    pub fn get(&self, now: Duration, make: impl Fn() -> io::Result<T>) -> io::Result<Arc<T>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = &mut *state else {
            let stamps = self.stamps();
            let made = Arc::new(make()?);
            *state = Some(State { made: made.clone(), stamps, looked: now });
            return Ok(made);
        };
        if now.saturating_sub(state.looked) >= LOOK {
            state.looked = now;
            let stamps = self.stamps();
            if stamps != state.stamps {
                state.stamps = stamps;
                match make() {
                    Ok(made) => state.made = Arc::new(made),
                    Err(e) => log::warn!("{e}; what was read before stays in use"),
                }
            }
        }
        Ok(state.made.clone())
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.files.iter().map(PemFile::stamp).collect()
    }
}
