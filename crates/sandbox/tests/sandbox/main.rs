//! The sandbox as its users see it.

mod api;
mod containment;
mod dialect;
mod library;
mod limits;
mod modules;
mod state;
mod support;
