//! What waits on disk: spilled work, durable consumers, and filters whose state belongs to a place in the stream.

use std::sync::atomic::Ordering::Relaxed;

use plugin::Counter;

use crate::board::{assert_conservation, board, plan, start, until};

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

#[test]
fn an_output_that_comes_back_takes_over_from_the_one_that_still_drains() {
    let dir = tempfile::tempdir().unwrap();
    let dead = board("drains_dead");
    dead.down.store(true, Relaxed);
    let toml = pipe("drains", "board", "queue = '1KiB'").replace("'10ms'", "'60s'");
    let engine = start(dir.path(), &toml);
    board("drains").feed(&lines(0, 1000));
    board("drains").wait_for(1000);
    until("everything is accepted", || board("drains").settled.load(Relaxed));
    let without = toml.split("[output.dead]").next().unwrap();
    for _ in 0..2 {
        engine.reload(plan(dir.path(), without)).unwrap();
        engine.reload(plan(dir.path(), &toml)).unwrap();
    }
    board("drains").feed(&lines(1000, 1010));
    board("drains").wait_for(1010);
    dead.down.store(false, Relaxed);
    let (written, expected) = (dead.wait_for(1010), expected(0, 1010));
    let wrong = written.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!((written.len(), wrong), (1010, None), "{:?}", wrong.map(|at| &written[at..]));
    // None comes twice, and none is left: what it is given last is the last.
    engine.reload(plan(dir.path(), without)).unwrap();
    engine.reload(plan(dir.path(), &toml)).unwrap();
    board("drains").feed("end\n");
    let written = dead.wait_for(1011);
    assert_eq!((written.len(), written[1010].as_str()), (1011, "end"));
    engine.stop();
}

#[test]
fn several_dead_outputs_with_different_messages_hold_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let dead = ["a", "b", "c"].map(|name| board(&format!("several_dead_{name}")));
    dead.iter().for_each(|board| board.down.store(true, Relaxed));
    let outputs = ["a", "b", "c"].map(|name| {
        format!(
            "[output.dead_{name}]\ntype = 'board'\nboard = 'several_dead_{name}'\nmatch = 'Payload =~ /^{name}/'\nbatch_count = 10\n\
             retry = '1ms'\nretry_max = '2ms'\n"
        )
    });
    let input = "[input.several]\ntype = 'board'\nboard = 'several'\nin_flight = '1MiB'\n";
    let live = "[output.live]\ntype = 'board'\nboard = 'several'\nmatch = 'TRUE'\n";
    let engine = start(dir.path(), &format!("{STATE}{input}{live}{}", outputs.concat()));
    let part = |part: usize, name: &str| (0..1000).map(|n| format!("{name} {}\n", part * 1000 + n)).collect::<String>();
    for (number, name) in (0..60).zip(["a", "b", "c"].iter().cycle()) {
        board("several").feed(&part(number, name));
        board("several").wait_for(number * 1000 + 1000);
    }
    until("everything is accepted", || board("several").settled.load(Relaxed));
    for (first, (dead, name)) in dead.iter().zip(["a", "b", "c"]).enumerate() {
        dead.down.store(false, Relaxed);
        let expected: String = (first..60).step_by(3).map(|number| part(number, name)).collect();
        assert!(dead.wait_for(20_000) == expected.lines().collect::<Vec<_>>(), "{name}");
    }
    until("all is counted", || engine.status().plugins.iter().all(|p| p.waiting.0 == 0));
    assert_conservation(&engine.stop().status);
}
