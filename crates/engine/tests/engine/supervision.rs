//! A plugin's failure is that plugin's failure only.

use std::sync::atomic::Ordering::Relaxed;

use plugin::Counter;

use crate::board::{board, start, until};

fn pipe(name: &str, script: &str) -> String {
    format!(
        "[input.{name}]\ntype = 'board'\nboard = '{name}'\n[output.{name}]\ntype = 'board'\nboard = '{name}'\nmatch = 'Logger == \"bad\"'\n\
         [filter.bad]\ntype = 'lua'\nscript = '{script}'\nfrom = ['input.{name}']\nmemory_limit = '1MiB'\ncpu_limit = '20ms'\n\
         [output.sound]\ntype = 'board'\nboard = '{name}_sound'\nfrom = ['input.{name}']\n"
    )
}

/// Runs a script that fails at the line `bad` and checks that all others get through it.
fn survives(name: &str, on_bad: &str, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "n = 0\nfunction process_message()\nlocal p = read_message('Payload')\nif p == 'bad' then {on_bad} end\nn = n + 1\ninject_payload('txt', '', p)\nreturn 0\nend"
    );
    std::fs::write(dir.path().join("f.lua"), script).unwrap();
    let engine = start(dir.path(), &pipe(name, "f.lua"));
    board(name).feed("one\nbad\ntwo\n");
    assert_eq!(board(&format!("{name}_sound")).wait_for(3), ["one", "bad", "two"]);
    assert_eq!(board(name).wait_for(2), ["one", "two"]);
    until("acknowledgement", || board(name).settled.load(Relaxed));
    let status = engine.status();
    let filter = status.plugins.iter().find(|p| p.id == "filter.bad").unwrap();
    assert_eq!((filter.counter(Counter::Failed), filter.counter(Counter::Rejected)), (2, 1));
    assert!(filter.last_error.as_ref().unwrap().contains(expected), "{filter:?}");
    engine.stop();
}

#[test]
fn an_error_is_tried_again_and_then_set_aside() {
    survives("error", "error('boom')", "boom");
}

#[test]
fn an_endless_loop_ends_at_the_cpu_limit() {
    survives("loop", "while true do pcall(function() while true do end end) end", "cpu_limit");
}

#[test]
fn a_memory_eater_ends_at_the_memory_limit() {
    survives("eater", "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end", "memory_limit");
}

#[test]
fn a_panicking_output_sets_the_message_aside_and_delivers_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("panic");
    *b.poison.lock().unwrap() = Some("poison".to_string());
    let engine =
        start(dir.path(), "[input.p]\ntype = 'board'\nboard = 'panic'\n[output.p]\ntype = 'board'\nboard = 'panic'\nmatch = 'TRUE'\n");
    b.feed("one\npoison\ntwo\n");
    until("the last message", || b.written.lock().unwrap().contains(&"two".to_string()));
    until("acknowledgement", || b.settled.load(Relaxed));
    engine.stop();
}
