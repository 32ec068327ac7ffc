//! Locks of queues, acknowledgements and the journal's user. The models in `tests/models` put others in their place,
//! whose schedules they explore.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
