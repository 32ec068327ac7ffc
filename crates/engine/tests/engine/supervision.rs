//! A plugin's failure is that plugin's failure only.

use std::sync::atomic::Ordering::Relaxed;

use plugin::Counter;

use crate::board::{assert_conservation, board, start, until};

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
    let engine = start(
        dir.path(),
        "[input.p]\ntype = 'board'\nboard = 'panic'\n[output.p]\ntype = 'board'\nboard = 'panic'\nmatch = 'TRUE'\n\
         [output.dead]\ntype = 'board'\nboard = 'panic_dead'\nmatch = 'Type == \"nilometer.reject\"'\nencoder = 'payload'\n",
    );
    let mut expected = Vec::new();
    // The second time, too, it is the poison that is set aside.
    for round in 0..2 {
        let (before, after) = (format!("before {round}"), format!("after {round}"));
        b.feed(&format!("{before}\npoison\n{after}\n"));
        expected.extend([before, after]);
        assert_eq!(b.wait_for(expected.len()), expected);
    }
    until("acknowledgement", || b.settled.load(Relaxed));
    assert_eq!(board("panic_dead").wait_for(2), ["poison", "poison"]);
    assert_conservation(&engine.stop().status);
}

#[test]
fn messages_that_fail_do_not_cost_a_filter_its_state() {
    let dir = tempfile::tempdir().unwrap();
    let script = "n = 0\nfunction process_message()\nlocal p = read_message('Payload')\nif p == 'bad' then error('bad') end\n\
        n = n + 1\ninject_payload('txt', '', p .. n)\nreturn 0\nend";
    std::fs::write(dir.path().join("f.lua"), script).unwrap();
    let engine = start(dir.path(), &pipe("state", "f.lua"));
    board("state").feed("a\nbad\na\nbad\na\nbad\na\n");
    assert_eq!(board("state").wait_for(4), ["a1", "a2", "a3", "a4"]);
    assert_conservation(&engine.stop().status);
}

#[test]
fn a_filter_that_is_down_at_the_stop_counts_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let script = "n = 0\nfunction process_message()\nif read_message('Payload') == 'bad' then error('bad') end\n\
        n = n + 1\ninject_payload('txt', '', n)\nreturn 0\nend";
    std::fs::write(dir.path().join("f.lua"), script).unwrap();
    let toml = "[nilo]\nstate = 'state'\nsnapshot = '1h'\n".to_string() + &pipe("down_state", "f.lua");
    let engine = start(dir.path(), &toml);
    board("down_state").feed("a\na\nbad\n");
    until("a failure", || engine.failure().is_some());
    engine.stop();
    // Whether it was down or up again at the stop, or had set the message aside by then: what it counted is read
    // again, or is part of its state.
    let engine = start(dir.path(), &toml);
    board("down_state").feed("a\n");
    until("the last one", || board("down_state").written.lock().unwrap().last().is_some_and(|n| n == "3"));
    engine.stop();
}

#[test]
fn a_panic_outside_of_a_filters_calls_breaks_that_filter_only() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(
        dir.path(),
        "[nilo]\nworkers = 1\n[input.fragile]\ntype = 'board'\nboard = 'fragile'\n\
         [filter.broken]\ntype = 'fragile'\nmatch = 'Payload == \"break\" || Payload == \"again\"'\nfrom = ['input.fragile']\n\
         [filter.sound]\ntype = 'fragile'\nmatch = 'Payload == \"sound\"'\nfrom = ['input.fragile']\n\
         [output.fragile]\ntype = 'board'\nboard = 'fragile'\nfrom = ['filter.broken', 'filter.sound']\nmatch = 'Type != \"nilometer.failed\"'\n",
    );
    let b = board("fragile");
    b.feed("break\n");
    until("a failure", || engine.failure().is_some());
    b.feed("sound\n");
    assert_eq!(b.wait_for(2)[1], "sound");
    b.feed("again\n");
    assert_eq!(b.wait_for(3)[2], "again");
    assert_conservation(&engine.stop().status);
}
