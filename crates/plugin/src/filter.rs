use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use message::{Batch, BatchBuilder, Selection};

use crate::{Clock, Meter};

/// What a filter works with during a call.
pub struct FilterCx<'a> {
    pub clock: &'a Clock,
    pub meter: &'a Meter,
}

/// Computes over messages and may inject new ones. Built on the worker that runs it, and always
/// called there.
///
/// A filter never changes what others receive and never blocks.
pub trait Filter {
    /// Takes the selected messages of a batch, in order. What it adds to `out` goes to the router
    /// after the call, one hop on.
    ///
    /// # Errors
    /// The failure names the message it happened at; those before it count as taken. The
    /// supervisor restarts the filter, and a message that fails twice is set aside.
    fn messages(
        &mut self,
        batch: &Arc<Batch>,
        selection: &Selection,
        out: &mut BatchBuilder,
        cx: &FilterCx<'_>,
    ) -> Result<(), FilterFailure>;

    /// How often [`Filter::tick`] is wanted; `None`: never.
    fn every(&self) -> Option<Duration> {
        None
    }

    /// A tick that was due at `due` (ns since the UNIX epoch). `last` is true for the final tick
    /// before an orderly stop.
    ///
    /// # Errors
    /// As [`Filter::messages`], without a message.
    fn tick(&mut self, _due: i64, _last: bool, _out: &mut BatchBuilder, _cx: &FilterCx<'_>) -> Result<(), FilterFailure> {
        Ok(())
    }

    /// The filter's state, for its successor after a reload or a restart; empty: it has none.
    ///
    /// # Errors
    /// Why the state cannot be saved (too large).
    fn save(&mut self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    /// Takes over the state of a predecessor, as far as it fits.
    ///
    /// # Errors
    /// Why nothing could be taken over; the filter is then as new.
    fn restore(&mut self, _saved: &[u8]) -> Result<Carried, String> {
        Ok(Carried::default())
    }

    /// Files the filter was made of (script, modules): when one changes, the filter is reloaded.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Its limits: what is used now, the most ever used, and the cap.
    fn gauges(&self) -> Vec<Gauge> {
        Vec::new()
    }
}

/// Why a filter's call failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterFailure {
    /// Position in the selection (not in the batch) of the message it failed at; 0 in a tick.
    pub at: usize,
    /// What happened, where, which limit, and the option to change.
    pub why: String,
}

/// What a successor took over, by name.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Carried {
    pub carried: Vec<String>,
    /// Started afresh, because its initial value is another now.
    pub reset: Vec<String>,
    /// Could not be saved.
    pub unsaved: Vec<String>,
}

/// A bounded quantity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gauge {
    /// The option that caps it, such as `memory_limit`.
    pub name: &'static str,
    pub unit: &'static str,
    pub current: u64,
    pub max: u64,
    pub cap: u64,
}
