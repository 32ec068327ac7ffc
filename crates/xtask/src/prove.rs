//! Provers: each runs `nilo` under load, does something to it, and counts what came out.
//!
//! Their reports say what was found; [`Report::holds`] says whether that is what was promised. No
//! verdict depends on how fast the machine is.

mod audit;
pub mod config;
pub mod contain;
mod feed;
pub(crate) mod follow;
mod latency;
pub mod many;
pub mod reload;
pub mod rotate;

/// What a prover found.
pub trait Report: std::fmt::Display {
    /// Whether the promise was kept.
    fn holds(&self) -> bool;
}
