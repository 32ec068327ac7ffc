//! Receivers: each notes what it got before it says that it has it.

mod door;
pub mod file;
pub mod http;
pub mod tcp;

pub use door::Door;
