//! The command, from outside: every test runs the binary in a directory of its own.

mod cat;
mod check;
mod list;
mod lua;
mod lua_everywhere;
mod nilo;
mod relay;
mod run;
mod sandboxes;
mod service;
mod tail;
