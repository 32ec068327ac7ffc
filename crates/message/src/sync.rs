//! What tickets are made of. The models of the engine put something else in its place, whose schedules they explore.

pub(crate) use std::sync::atomic;
