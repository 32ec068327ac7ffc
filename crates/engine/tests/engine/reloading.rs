//! A reload touches what differs, loses nothing and doubles nothing.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use engine::Change;

use crate::board::{board, plan, start};

fn config(name: &str, more: &str) -> String {
    format!(
        "[input.{name}]\ntype = 'board'\nboard = '{name}'\n[output.{name}]\ntype = 'board'\nboard = '{name}'\nmatch = 'Logger == \"count\"'\n\
         [filter.count]\ntype = 'lua'\nscript = 'count.lua'\nfrom = ['input.{name}']\n{more}"
    )
}

/// A script that tells its version and its count for every message.
fn script(dir: &Path, version: u32, on_message: &str) {
    let text = format!(
        "count = 0\nlocal version = {version}\nfunction process_message()\n{on_message}\ncount = count + 1\n\
         inject_payload('txt', '', version .. ':' .. count)\nreturn 0\nend"
    );
    std::fs::write(dir.join("count.lua"), text).unwrap();
}

#[test]
fn a_changed_script_goes_on_counting() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), 1, "");
    let engine = start(dir.path(), &config("edit", ""));
    board("edit").feed("a\nb\n");
    assert_eq!(board("edit").wait_for(2), ["1:1", "1:2"]);
    script(dir.path(), 2, "");
    let report = engine.reload_changed_scripts();
    let [(id, Change::Reloaded(carried))] = &report.changes[..] else { panic!("{report}") };
    assert_eq!((id.as_str(), &carried.carried[..]), ("filter.count", &["count".to_string()][..]));
    board("edit").feed("c\n");
    assert_eq!(board("edit").wait_for(3)[2], "2:3");
    assert_eq!(engine.reload_changed_scripts().changes, []);
    engine.stop();
}

#[test]
fn a_broken_script_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), 1, "");
    let engine = start(dir.path(), &config("broken", ""));
    board("broken").feed("a\n");
    board("broken").wait_for(1);
    script(dir.path(), 2, "this is not Lua");
    let report = engine.reload_changed_scripts();
    assert!(!report.succeeded());
    assert!(
        report.to_string().contains("filter.count: the old version runs on") && report.to_string().contains("count.lua:4:"),
        "{report}"
    );
    board("broken").feed("b\n");
    assert_eq!(board("broken").wait_for(2), ["1:1", "1:2"]);
    engine.stop();
}

#[test]
fn a_version_that_fails_on_probation_is_rolled_back_without_loss() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), 1, "");
    let engine = start(dir.path(), &config("probation", ""));
    board("probation").feed("a\n");
    board("probation").wait_for(1);
    script(dir.path(), 2, "if read_message('Payload') == 'bad' then error('version 2 cannot take this') end");
    std::thread::scope(|s| {
        let reload = s.spawn(|| engine.reload_changed_scripts());
        board("probation").feed("b\nbad\nc\n");
        let report = reload.join().unwrap();
        // Whether the messages came while on probation is a matter of time; either is right.
        if !report.succeeded() {
            assert!(report.to_string().contains("version 2 cannot take this"), "{report}");
            assert_eq!(board("probation").wait_for(4), ["1:1", "1:2", "1:3", "1:4"]);
        }
    });
    board("probation").feed("d\n");
    board("probation").wait_for(4);
    engine.stop();
}

#[test]
fn plugins_come_and_go_while_messages_flow() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), 1, "");
    let engine = start(dir.path(), &config("come", ""));
    board("come").feed("a\n");
    board("come").wait_for(1);
    let more = "[output.more]\ntype = 'board'\nboard = 'come_more'\nfrom = ['input.come']\n";
    let report = engine.reload(plan(dir.path(), &config("come", more))).unwrap();
    assert_eq!(report.changes, [("output.more".to_string(), Change::Added)]);
    board("come").feed("b\n");
    assert_eq!(board("come_more").wait_for(1), ["b"]);
    let report = engine.reload(plan(dir.path(), &config("come", ""))).unwrap();
    assert_eq!(report.changes, [("output.more".to_string(), Change::Removed)]);
    board("come").feed("c\n");
    assert_eq!(board("come").wait_for(3), ["1:1", "1:2", "1:3"]);
    // A changed input goes on where its predecessor stopped.
    let changed = config("come", "").replacen("board = 'come'", "board = 'come'\nmax_record = '1KiB'", 1);
    let report = engine.reload(plan(dir.path(), &changed)).unwrap();
    assert_eq!(report.changes, [("input.come".to_string(), Change::Changed)]);
    board("come").feed("d\n");
    assert_eq!(board("come").wait_for(4)[3], "1:4");
    engine.stop();
}

#[test]
fn a_stuck_output_does_not_delay_the_reload_of_others() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), 1, "");
    let stuck = "[output.stuck]\ntype = 'board'\nboard = 'hang'\nfrom = ['input.hanging']\nwhen_full = 'drop_oldest'\n";
    board("hang").stuck.store(true, Relaxed);
    let engine = start(dir.path(), &("[nilo]\ngrace = '1ms'\n".to_string() + &config("hanging", stuck)));
    board("hanging").feed("a\n");
    board("hanging").wait_for(1);
    script(dir.path(), 2, "");
    assert!(engine.reload_changed_scripts().succeeded());
    board("hanging").feed("b\n");
    assert_eq!(board("hanging").wait_for(2)[1], "2:2");
    assert_eq!(engine.stop().undelivered, 2);
}

#[test]
fn edits_do_not_put_off_ticks() {
    let dir = tempfile::tempdir().unwrap();
    let tick = "function process_message() return 0 end\nfunction timer_event(ns) inject_payload('txt', '', 'tick') end\n";
    let edit = |n: u32| std::fs::write(dir.path().join("count.lua"), format!("{tick}local edit = {n}\n")).unwrap();
    edit(0);
    let engine = start(dir.path(), &config("ticks", "every = '600ms'\n"));
    let mut edits = 1;
    crate::board::until("a tick", || {
        edit(edits);
        edits += 1;
        assert!(engine.reload_changed_scripts().succeeded());
        !board("ticks").written.lock().unwrap().is_empty()
    });
    engine.stop();
}

#[test]
fn after_a_roll_back_everything_is_in_order_even_if_the_old_version_fails() {
    let dir = tempfile::tempdir().unwrap();
    let script = |version: u32, fails_at: &str| {
        let text = format!(
            "local version = {version}\nfunction process_message()\nlocal p = read_message('Payload')\n\
             if p == '{fails_at}' then error('not this') end\ninject_payload('txt', '', p)\nreturn 0\nend"
        );
        std::fs::write(dir.path().join("count.lua"), text).unwrap();
    };
    script(1, "first");
    let engine = start(dir.path(), &config("order_back", ""));
    let b = board("order_back");
    script(2, "last");
    std::thread::scope(|s| {
        let reload = s.spawn(|| engine.reload_changed_scripts());
        let mut fed = 0;
        for line in ["zero", "first", "a", "b", "c", "last"] {
            b.feed(&format!("{line}\n"));
            fed += line.len() + 1;
            // Each in a batch of its own, as well as may be.
            crate::board::until("read", || b.read.load(Relaxed) == fed);
            std::thread::sleep(std::time::Duration::from_millis(4));
        }
        reload.join().unwrap();
    });
    crate::board::until("acknowledgement", || b.settled.load(Relaxed));
    let written = b.wait_for(4);
    // The messages came on probation or around it; whichever version failed at its message.
    let expected = ["zero", "first", "a", "b", "c", "last"].map(String::from).to_vec();
    let places: Vec<_> = written.iter().map(|w| expected.iter().position(|e| e == w).unwrap()).collect();
    assert!(places.is_sorted_by(|a, b| a < b), "{written:?}");
    crate::board::assert_conservation(&engine.stop().status);
}

#[test]
fn the_end_of_the_inputs_is_told() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), 1, "");
    let engine = start(dir.path(), &config("ending", ""));
    board("ending").end.store(true, Relaxed);
    while !engine.inputs_finished() {
        engine.input_ended().recv_timeout(std::time::Duration::from_secs(10)).expect("to be told");
    }
    engine.stop();
}

#[test]
fn a_filter_that_comes_back_waits_for_the_one_that_still_works() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), 1, "");
    // In this order: the one that counts and the one that is held share a worker, and the other would be free.
    let nilo = "[nilo]\nworkers = 2\n".to_string();
    let held = |name: &str| format!("[filter.{name}]\ntype = 'held'\nboard = 'returning_{name}'\nfrom = ['input.returning']\n");
    let with = nilo.clone() + &config("returning", "") + &held("free") + &held("held");
    let without = nilo + config("returning", "").split("[filter.count]").next().unwrap() + &held("held");
    let engine = start(dir.path(), &with);
    let b = board("returning");
    b.feed("a\nb\n");
    assert_eq!(b.wait_for(2), ["1:1", "1:2"]);
    board("returning_held").stuck.store(true, Relaxed);
    let waits = |id: &str| engine.status().plugins.iter().any(|p| p.id == id && p.waiting.0 > 0);
    let mut fed = 2;
    crate::board::until("the worker is held", || {
        b.feed("c\n");
        fed += 1;
        waits("filter.count") && waits("filter.held")
    });
    let received = |p: &engine::PluginStatus| p.id == "filter.count" && p.counter(plugin::Counter::Received) == fed as u64;
    crate::board::until("all is received", || engine.status().plugins.iter().any(received));
    std::thread::scope(|s| {
        let remove = s.spawn(|| engine.reload(plan(dir.path(), &without)).unwrap());
        crate::board::until("removed", || !engine.status().plugins.iter().any(|p| p.id == "filter.count"));
        let back = s.spawn(|| engine.reload(plan(dir.path(), &with)).unwrap());
        // Time enough to start beside the one that was removed.
        std::thread::sleep(std::time::Duration::from_millis(30));
        board("returning_held").stuck.store(false, Relaxed);
        assert!(remove.join().unwrap().succeeded() && back.join().unwrap().succeeded());
    });
    b.feed("d\n");
    let counts: Vec<String> = (1..fed + 2).map(|n| format!("1:{n}")).collect();
    assert_eq!(b.wait_for(fed + 1), counts);
    engine.stop();
}
