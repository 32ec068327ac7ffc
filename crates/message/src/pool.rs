use std::sync::{Arc, Mutex};

use crate::{Messages, Raw};

/// Keeps the memory of finished batches for the next ones, so that steady traffic allocates
/// nothing and touches no fresh pages. One pool an input; cheap to clone.
#[derive(Clone, Default, Debug)]
pub struct Pool(Option<Arc<Mutex<Vec<Storage>>>>);

/// Spare sets of buffers kept, and the largest raw block and set of messages worth keeping. Bytes.
const KEEP: usize = 8;
const KEEP_RAW: usize = 4 << 20;
const KEEP_MESSAGES: usize = 8 << 20;

#[derive(Default, Debug)]
pub(crate) struct Storage {
    pub raw: Raw,
    pub messages: Messages,
}

impl Pool {
    pub fn new() -> Pool {
        Pool(Some(Arc::default()))
    }

    pub(crate) fn take(&self) -> Storage {
        let spare = self.0.as_ref().and_then(|p| p.lock().ok()?.pop());
        spare.unwrap_or_default()
    }

    pub(crate) fn give(&self, mut storage: Storage) {
        let Some(pool) = &self.0 else { return };
        if storage.raw.capacity() > KEEP_RAW || storage.messages.capacity() > KEEP_MESSAGES {
            return;
        }
        storage.raw.truncate(0);
        storage.messages.clear();
        if let Ok(mut spare) = pool.lock()
            && spare.len() < KEEP
        {
            spare.push(storage);
        }
    }
}
