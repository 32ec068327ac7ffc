//! The functions a script calls the host with.

pub(crate) mod config;
pub(crate) mod inject;
pub(crate) mod payload;
pub(crate) mod print;
pub(crate) mod read;
pub(crate) mod table;
pub(crate) mod write;
