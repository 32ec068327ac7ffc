//! Who is stuck is named, and the rest goes on.

use std::sync::atomic::Ordering::Relaxed;

use engine::{Engine, PluginStatus, Watchdog};

use crate::board::{assert_conservation, board, start, until};

fn plugin(engine: &Engine, id: &str) -> PluginStatus {
    engine.status().plugins.into_iter().find(|p| p.id == id).unwrap()
}

fn doing(engine: &Engine, id: &str) -> String {
    plugin(engine, id).doing.map(|(what, _)| what).unwrap_or_default()
}

fn counter(engine: &Engine, id: &str, name: &str) -> u64 {
    plugin(engine, id).counters.iter().find(|(n, _)| *n == name).map_or(0, |(_, n)| *n)
}

#[test]
fn a_stuck_output_is_named_and_so_is_who_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("wedge");
    b.stuck.store(true, Relaxed);
    let engine = start(
        dir.path(),
        "[nilo]\ngrace = '0s'\nstuck_after = '20ms'\n[input.in]\ntype = 'board'\nboard = 'wedge'\n\
         [output.out]\ntype = 'board'\nboard = 'wedge'\nmatch = \"Type == 'in'\"\nqueue = '1KiB'\nwhen_full = 'hold'\n\
         [output.told]\ntype = 'board'\nboard = 'wedge_told'\nmatch = \"Type == 'nilometer.stuck'\"\nencoder = 'payload'\n",
    );
    until("the input waits for room", || {
        b.feed(&format!("{}\n", "x".repeat(2000)));
        doing(&engine, "input.in") == "waiting for room in the queue of output.out (1 KiB)"
    });
    until("the output is at it", || doing(&engine, "output.out") == "writing" && plugin(&engine, "output.out").waiting.0 > 0);
    let mut watchdog = Watchdog::new(engine.health());
    until("it counts as stuck", || {
        watchdog.look();
        counter(&engine, "output.out", "stuck") == 1
    });
    let told = &board("wedge_told").wait_for(1)[0];
    assert!(told.starts_with("stuck writing for ") && told.contains("in its queue"), "{told}");
    let stuck = |id: &str| plugin(&engine, id).stuck;
    assert!(stuck("output.out") && !stuck("input.in") && !stuck("output.told"));
    // An output that hangs is no reason to start everything anew.
    let health = engine.health();
    assert_eq!((health.live(), health.ready()), (Ok(()), Ok(())));
    assert!(health.line().contains("output.out: writing"), "{}", health.line());
    watchdog.look();
    assert_eq!(counter(&engine, "output.out", "stuck"), 1);
    engine.stop();
}

const HELD: &str = "[nilo]\nworkers = 1\nstuck_after = '20ms'\n[input.in]\ntype = 'board'\nboard = 'BOARD'\n\
    [filter.held]\ntype = 'held'\nboard = 'BOARD'\nmatch = \"Type == 'in' && Payload == 'hold'\"\n\
    [filter.other]\ntype = 'held'\nboard = 'BOARD_other'\nmatch = \"Type == 'in'\"\n\
    [output.out]\ntype = 'board'\nboard = 'BOARD'\nfrom = ['filter.held', 'filter.other']\nmatch = \"Type != 'nilometer.stuck'\"\n";

#[test]
fn a_filter_that_does_not_come_back_is_named_until_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("held");
    b.stuck.store(true, Relaxed);
    let engine = start(dir.path(), &HELD.replace("BOARD", "held"));
    let health = engine.health();
    until("everything runs", || health.ready() == Ok(()));
    assert_eq!(health.line(), "4 plugins running");
    b.feed("hold\n");
    let mut watchdog = Watchdog::new(health.clone());
    until("it is not live", || health.live().is_err());
    let why = health.live().unwrap_err();
    assert!(why.starts_with("worker-0 is stuck running filter.held for "), "{why}");
    assert!(health.ready().unwrap_err().contains(&why));
    until("it counts as stuck", || {
        watchdog.look();
        counter(&engine, "filter.held", "stuck") == 1
    });
    b.feed("other\n");
    until("the other filter waits", || plugin(&engine, "filter.other").waiting.0 > 0);
    assert_eq!(doing(&engine, "filter.held"), "running on worker-0");
    assert!(plugin(&engine, "filter.held").stuck);
    assert_eq!(doing(&engine, "filter.other"), "waiting for worker-0, which is running filter.held");
    b.stuck.store(false, Relaxed);
    until("it is live", || health.live().is_ok());
    assert_eq!(b.wait_for(3).len(), 3);
    assert_conservation(&engine.stop().status);
    assert_eq!(health.ready(), Err(vec!["stopping".to_string()]));
}

#[test]
fn a_stop_leaves_a_stuck_worker_behind() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("left");
    b.stuck.store(true, Relaxed);
    let engine = start(dir.path(), &HELD.replace("BOARD", "left"));
    let health = engine.health();
    b.feed("hold\n");
    until("it is not live", || health.live().is_err());
    engine.stop();
    b.stuck.store(false, Relaxed);
}

#[test]
fn readiness_follows_failures_which_are_told_in_the_stream() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("ready");
    *b.poison.lock().unwrap() = Some("poison".to_string());
    let engine = start(
        dir.path(),
        "[input.in]\ntype = 'board'\nboard = 'ready'\n[output.out]\ntype = 'board'\nboard = 'ready'\nmatch = 'TRUE'\n\
         [output.told]\ntype = 'board'\nboard = 'ready_told'\nmatch = \"Type == 'nilometer.failed'\"\nencoder = 'payload'\n",
    );
    let health = engine.health();
    until("everything runs", || health.ready() == Ok(()));
    b.feed("poison\nsound\n");
    let mut why = Vec::new();
    until("it is not ready", || health.ready().map_err(|reasons| why = reasons).is_err());
    assert!(why[0].starts_with("output.out backs off") && why[0].ends_with("poisoned by poison"), "{why:?}");
    // The failed one is not told of its own failure.
    assert_eq!(b.wait_for(1), ["sound"]);
    assert_eq!(board("ready_told").wait_for(2), ["panicked: poisoned by poison"; 2]);
    until("it is ready again", || health.ready() == Ok(()));
    let disk = board("ready_disk");
    let looked_at = disk.clone();
    health.watch("the disk", move || looked_at.down.load(Relaxed).then(|| "cannot be written".to_string()));
    assert_eq!(health.ready(), Ok(()));
    disk.down.store(true, Relaxed);
    assert_eq!(health.ready(), Err(vec!["the disk: cannot be written".to_string()]));
    engine.stop();
}
