//! What waits on disk: spilled work, durable consumers, and filters whose state belongs to a place in the stream.

use std::sync::atomic::Ordering::Relaxed;

use plugin::Counter;

use crate::board::{assert_conservation, board, start, until};

const STATE: &str = "[nilo]\nstate = 'state'\ngrace = '10ms'\njournal_sync = '1ms'\n";

fn lines(from: usize, to: usize) -> String {
    (from..to).map(|n| format!("line {n}\n")).collect()
}

fn expected(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("line {n}")).collect()
}

/// An input of the board `name` and two outputs of it: one to the board, one to the board `name_dead`.
fn pipe(name: &str, kind: &str, dead: &str) -> String {
    format!(
        "{STATE}[input.{name}]\ntype = '{kind}'\nboard = '{name}'\n[output.live]\ntype = 'board'\nboard = '{name}'\nmatch = 'TRUE'\n\
         [output.dead]\ntype = 'board'\nboard = '{name}_dead'\nmatch = 'TRUE'\nretry = '1ms'\nretry_max = '2ms'\n{dead}\n"
    )
}

#[test]
fn a_dead_output_lags_and_holds_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let dead = board("spill_dead");
    dead.down.store(true, Relaxed);
    let engine = start(dir.path(), &pipe("spill", "board", "queue = '10KiB'"));
    for part in 0..50 {
        board("spill").feed(&lines(part * 1000, part * 1000 + 1000));
        board("spill").wait_for(part * 1000 + 1000);
    }
    until("everything is accepted", || board("spill").settled.load(Relaxed));
    assert!(dead.written.lock().unwrap().is_empty());
    dead.down.store(false, Relaxed);
    assert_eq!(dead.wait_for(50_000), expected(0, 50_000));
    // Caught up, it takes from memory again.
    board("spill").feed(&lines(50_000, 50_010));
    assert_eq!(dead.wait_for(50_010)[50_000..], expected(50_000, 50_010));
    until("all is counted", || {
        engine.status().plugins.iter().filter(|p| p.id.starts_with("output")).all(|p| p.counter(Counter::Delivered) == 50_010)
    });
    assert_conservation(&engine.stop().status);
}

#[test]
fn what_waits_in_the_journal_comes_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let dead = board("restarted_dead");
    dead.down.store(true, Relaxed);
    let toml = pipe("restarted", "board", "queue = '10KiB'");
    let engine = start(dir.path(), &toml);
    board("restarted").feed(&lines(0, 20_000));
    board("restarted").wait_for(20_000);
    until("everything is accepted", || board("restarted").settled.load(Relaxed));
    engine.stop();
    let engine = start(dir.path(), &toml);
    board("restarted").feed(&lines(20_000, 20_100));
    board("restarted").wait_for(20_100);
    dead.down.store(false, Relaxed);
    assert_eq!(dead.wait_for(20_100), expected(0, 20_100));
    engine.stop();
    // What is delivered by now does not come again.
    let engine = start(dir.path(), &toml);
    board("restarted").feed("end\n");
    assert_eq!(dead.wait_for(20_101).last().unwrap(), "end");
    assert_eq!(board("restarted").wait_for(20_101).len(), 20_101);
    engine.stop();
}

#[test]
fn what_cannot_be_read_again_is_durable_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let dead = board("durable_dead");
    dead.down.store(true, Relaxed);
    let toml = pipe("durable", "datagrams", "durable = true");
    let engine = start(dir.path(), &toml);
    board("durable").feed(&lines(0, 100));
    board("durable").wait_for(100);
    until("everything is accepted", || board("durable").settled.load(Relaxed));
    engine.stop();
    dead.down.store(false, Relaxed);
    let engine = start(dir.path(), &toml);
    assert_eq!(dead.wait_for(100), expected(0, 100));
    engine.stop();
}

#[test]
fn a_removed_output_finds_what_waited_when_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let dead = board("back_dead");
    dead.down.store(true, Relaxed);
    let toml = pipe("back", "board", "queue = '1KiB'");
    let engine = start(dir.path(), &toml);
    board("back").feed(&lines(0, 1000));
    board("back").wait_for(1000);
    until("everything is accepted", || board("back").settled.load(Relaxed));
    engine.stop();
    // Started without it.
    let without = toml.split("[output.dead]").next().unwrap();
    let engine = start(dir.path(), without);
    board("back").feed(&lines(1000, 1100));
    board("back").wait_for(1100);
    engine.stop();
    dead.down.store(false, Relaxed);
    let engine = start(dir.path(), &toml);
    board("back").feed(&lines(1100, 1200));
    let seen = dead.wait_for(1100);
    assert_eq!(seen, [expected(0, 1000), expected(1100, 1200)].concat());
    engine.stop();
}
