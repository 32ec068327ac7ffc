//! An output that refuses everything is tried with little.

use std::sync::atomic::Ordering::Relaxed;

use crate::board::{board, start, until};

const TOML: &str = "[input.breaker]\ntype = 'board'\nboard = 'breaker'\n\
    [output.breaker]\ntype = 'board'\nboard = 'breaker'\nfrom = ['input.breaker']\nretry = '1ms'\nretry_max = '2ms'\n";

#[test]
fn after_three_refusals_little_is_offered_until_some_of_it_is_taken() {
    let (dir, b) = (tempfile::tempdir().unwrap(), board("breaker"));
    b.down.store(true, Relaxed);
    let lines: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    b.feed(&(lines.join("\n") + "\n"));
    let engine = start(dir.path(), TOML);
    let output = || engine.status().plugins.into_iter().find(|p| p.id == "output.breaker").unwrap();
    let offers = || b.offers.lock().unwrap().clone();
    until("attempts", || offers().len() > 6);
    let first = offers();
    assert!(first[0] > 16 && first[1..3] == [first[0]; 2] && first[3..].iter().all(|n| *n == 16), "{first:?}");
    until("its state", || output().state.starts_with("open since 20") && output().state.ends_with("Z: the board is down"));
    assert_eq!(output().doing.unwrap().0, "open, trying a few messages at a time: the board is down");
    b.down.store(false, Relaxed);
    assert_eq!(b.wait_for(500), lines);
    until("its state", || output().state == "running" && output().doing.is_none());
    let all = offers();
    let opened = all.iter().rposition(|n| *n == 16).unwrap();
    assert!(all[opened + 1] == first[0] - 16, "{all:?}");
    engine.stop();
}
