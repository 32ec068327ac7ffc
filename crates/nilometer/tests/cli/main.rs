//! The command, from outside: every test runs the binary in a directory of its own.

mod cat;
mod check;
mod list;
mod nilo;
mod run;
mod tail;
