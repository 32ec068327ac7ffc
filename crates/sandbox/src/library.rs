//! Functions of Lua's own libraries whose C versions may run longer than anyone can wait without
//! coming back to the script, where the hook stops it: these ask on their way.
//!
//! The rest of the libraries is Lua's own. What those functions do takes time in proportion to the
//! strings and tables they are given, which the memory limit bounds.

pub(crate) mod arguments;
pub(crate) mod coroutine;
pub(crate) mod format;
pub(crate) mod protect;
pub(crate) mod search;
pub(crate) mod sort;
pub(crate) mod string;
pub(crate) mod table;
pub(crate) mod text;
