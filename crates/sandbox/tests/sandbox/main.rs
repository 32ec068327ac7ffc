//! The sandbox as its users see it.

mod api;
mod dialect;
mod limits;
mod modules;
mod state;
mod support;
