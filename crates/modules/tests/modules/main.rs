//! Modules as scripts see them. One file a module; `support` runs Lua.

mod support;

// one line a module
mod alert;
mod anomaly;
mod circular_buffer;
mod cjson;
mod grammars;
mod lines;
mod lpeg;
mod re;
mod regex;
mod review;
mod sketches;
mod structs;
