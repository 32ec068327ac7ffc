//! The command, from outside: every test runs the binary in a directory of its own.

mod cat;
mod check;
mod journal;
mod list;
mod lua;
mod lua_everywhere;
mod nilo;
mod peers;
mod rejects;
mod relay;
mod run;
mod sandboxes;
mod service;
mod streams;
mod tail;
