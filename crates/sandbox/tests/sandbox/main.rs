//! The sandbox as its users see it.

mod allocations;
mod api;
mod batches;
mod codec;
mod containment;
mod dialect;
mod evaluate;
mod failures;
mod families;
mod faults;
mod grants;
mod growth;
mod hindsight;
mod library;
mod limits;
mod modules;
mod native;
mod ours;
mod review;
mod state;
mod support;
mod threads;
