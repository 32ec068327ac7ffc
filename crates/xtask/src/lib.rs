//! What is done to the project and to its program from outside.
//!
//! * [`validate`]: what continuous integration does.
//! * [`bench`]: the workloads of the speed table, beside their floor and whichever peers are there.
//! * [`package`]: real programs to measure and test against.
//! * [`prove`]: the promises (nothing lost, nothing doubled, nobody hurt) under load. Each prover is
//!   a function with parameters, so that the tests do a short round of what the command does at length.
//! * [`torture`]: the same under `kill -9`, full disks, damaged files and bad networks.
//!
//! Everything here runs `nilo` as a user would: a configuration in a directory, files, sockets,
//! signals. Nothing of the program is linked.

pub mod bench;
pub mod daemon;
pub mod moment;
pub mod package;
pub mod process;
pub mod prove;
pub mod torture;
pub mod validate;
pub mod workspace;
