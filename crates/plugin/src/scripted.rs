use std::path::PathBuf;

use crate::{Carried, Gauge};

/// The side of a plugin that is made of files and remembers something. The engine builds it anew when
/// one of its files changes, and carries its state over reloads and restarts.
///
/// Of a plugin that offers no such side nothing is asked, and it costs nothing.
pub trait Scripted {
    /// Script and modules.
    fn files(&self) -> Vec<PathBuf>;

    /// Its limits: what is used now, the most ever used, and the cap.
    fn gauges(&self) -> Vec<Gauge>;

    /// The state, for a successor after a reload or a restart; empty: it has none.
    ///
    /// # Errors
    /// Why the state cannot be saved (too large).
    fn save(&mut self) -> Result<Vec<u8>, String>;

    /// Takes over the state of a predecessor, as far as it fits.
    ///
    /// # Errors
    /// Why nothing could be taken over; it is then as new.
    fn restore(&mut self, saved: &[u8]) -> Result<Carried, String>;

    /// What the last [`crate::Reject`] it returned meant.
    fn refusal(&self) -> Refusal {
        Refusal::Refused
    }
}

/// What a [`crate::Reject`] means.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Refusal {
    /// The record is bad.
    #[default]
    Refused,
    /// The plugin itself failed at it (an error, a broken limit): it is replaced by a new instance,
    /// and the record is tried once more.
    Failed,
    /// An encoder has nothing to write for this message, which counts as delivered.
    Skipped,
}
