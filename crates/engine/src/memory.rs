use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::checkpoints::StateDir;
use crate::durable::Durable;
use crate::route::Router;
use crate::tracker::Tracker;

/// What an instance remembers over restarts.
pub(crate) struct Memory {
    pub state: Arc<StateDir>,
    pub durable: Arc<Durable>,
    pub trackers: Arc<Mutex<BTreeMap<Arc<str>, Arc<Tracker>>>>,
    pub router: Arc<Router>,
}

impl Memory {
    /// Writes down what has changed. False when some of it could not be written; it is tried again the next time.
    ///
    /// A filter's snapshot names streams by what the positions of inputs say of them, so these are written first; and as an
    /// input's position moves only once the snapshots that contain what is before it are on disk, neither is ever ahead.
    pub fn save(&self) -> bool {
        let states = self.state.waiting();
        let mut all = self.save_checkpoints();
        // A snapshot that names a stream nobody knows would be of no use.
        all = all && self.state.flush(&states);
        let queues = self.router.queues();
        for queue in queues.iter().filter(|q| q.owner.starts_with("output.")) {
            if let Some(positions) = queue.progress.positions_if_changed()
                && let Err(e) = self.state.save_positions(&queue.owner, &positions)
            {
                log::error!(target: &queue.owner, "its position is not saved: {e}");
                queue.progress.not_saved();
                all = false;
            }
        }
        self.durable.write_overdue(&queues);
        all &= self.durable.save(&queues);
        self.router.nudge();
        all
    }

    fn save_checkpoints(&self) -> bool {
        let mut all = true;
        let trackers: Vec<_> =
            self.trackers.lock().unwrap_or_else(|p| p.into_inner()).iter().map(|(id, t)| (id.clone(), t.clone())).collect();
        for (id, tracker) in trackers {
            if let Some(list) = tracker.accepted_if_changed()
                && let Err(e) = self.state.save_checkpoints(&id, &list)
            {
                log::error!(target: &id, "checkpoints not saved: {e}");
                tracker.not_saved();
                all = false;
            }
        }
        all
    }
}
