//! Messages reach those who want them, once, and the input hears of it.

use std::sync::atomic::Ordering::Relaxed;

use plugin::Counter;

use crate::board::{assert_conservation, board, start, until};

/// A board input `name` and an output to a board of the same name that takes everything of it.
fn pipe(name: &str, more: &str) -> String {
    format!(
        "[input.{name}]\ntype = 'board'\nboard = '{name}'\n[output.{name}]\ntype = 'board'\nboard = '{name}'\nretry = '1ms'\nretry_max = '5ms'\nfrom = ['input.{name}']\n{more}\n"
    )
}

#[test]
fn each_consumer_gets_what_it_matches_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let toml = pipe("order", "match = 'Payload =~ /even/'") + "[output.all]\ntype = 'board'\nboard = 'order_all'\nmatch = 'TRUE'";
    let engine = start(dir.path(), &toml);
    let lines: Vec<String> = (0..1000).map(|n| format!("{n} {}", if n % 2 == 0 { "even" } else { "odd" })).collect();
    board("order").feed(&(lines.join("\n") + "\n"));
    assert_eq!(board("order_all").wait_for(1000), lines);
    let even: Vec<String> = lines.iter().filter(|l| l.contains("even")).cloned().collect();
    assert_eq!(board("order").wait_for(500), even);
    assert_eq!(engine.stop().undelivered, 0);
}

#[test]
fn a_refusing_world_delays_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("down");
    b.down.store(true, Relaxed);
    let engine = start(dir.path(), &pipe("down", ""));
    b.feed("one\ntwo\n");
    until("a retry", || engine.status().plugins.iter().any(|p| p.counter(Counter::Retried) > 1));
    assert!(!b.settled.load(Relaxed));
    b.down.store(false, Relaxed);
    assert_eq!(b.wait_for(2), ["one", "two"]);
    until("acknowledgement", || b.settled.load(Relaxed));
    engine.stop();
}

#[test]
fn a_reject_becomes_a_message_for_those_who_name_it() {
    let dir = tempfile::tempdir().unwrap();
    let dead = "[output.dead]\ntype = 'board'\nboard = 'dead'\nmatch = 'Type == \"nilometer.reject\" && Fields[plugin] == \"output.letters\"'\nencoder = 'letter'\n\
        [encoder.letter]\ntype = 'line'\ntemplate = '{plugin}: {reason}: {Payload}'\n[output.every]\ntype = 'board'\nboard = 'every'\nmatch = 'TRUE'\n";
    let engine = start(dir.path(), &(pipe("letters", "") + dead));
    board("letters").feed("fine\nunwelcome\nfine too\n");
    assert_eq!(board("letters").wait_for(2), ["fine", "fine too"]);
    assert_eq!(board("dead").wait_for(1), ["output.letters: unwelcome here: unwelcome"]);
    until("acknowledgement", || board("letters").settled.load(Relaxed));
    engine.stop();
    assert!(!board("every").written.lock().unwrap().iter().any(|l| l.contains("here")), "TRUE does not match rejects");
}

#[test]
fn what_was_accepted_is_not_read_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let toml = format!("[nilo]\nstate = 'state'\n{}", pipe("again", ""));
    let engine = start(dir.path(), &toml);
    board("again").feed("one\ntwo\nhalf a li");
    board("again").wait_for(2);
    engine.stop();
    board("again").feed("ne\nthree\n");
    let engine = start(dir.path(), &toml);
    assert_eq!(board("again").wait_for(4), ["one", "two", "half a line", "three"]);
    engine.stop();
}

#[test]
fn a_full_queue_holds_the_input_that_can_wait_and_drops_for_the_one_that_cannot() {
    let dir = tempfile::tempdir().unwrap();
    board("wait").stuck.store(true, Relaxed);
    board("flood").stuck.store(true, Relaxed);
    let flood = "[input.flood]\ntype = 'datagrams'\nboard = 'flood'\n[output.flood]\ntype = 'board'\nboard = 'flood'\nfrom = ['input.flood']\nqueue = '100KiB'\n";
    let engine = start(dir.path(), &(String::from("[nilo]\ngrace = '1ms'\n") + &pipe("wait", "queue = '100KiB'") + flood));
    let chunk = "0123456789\n".repeat(10_000);
    for _ in 0..40 {
        board("wait").feed(&chunk);
        board("flood").feed(&chunk);
    }
    let all = 40 * chunk.len();
    until("the flood is read to its end", || board("flood").read.load(Relaxed) == all);
    let counter = |id: &str, c| engine.status().plugins.iter().find(|p| p.id == id).unwrap().counter(c);
    until("something dropped", || counter("output.flood", Counter::Dropped) > 0);
    assert_eq!(counter("output.wait", Counter::Dropped), 0);
    assert!(board("wait").read.load(Relaxed) < all, "the waiting input has not read everything");
    board("wait").stuck.store(false, Relaxed);
    engine.stop();
}

#[test]
fn filters_in_a_ring_neither_deadlock_nor_run_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let script = "function process_message() inject_message{Type = 'x', Payload = read_message('Payload')} return 0 end";
    std::fs::write(dir.path().join("echo.lua"), script).unwrap();
    let ring = "[nilo]\nmax_hops = 3\n[filter.a]\ntype = 'lua'\nscript = 'echo.lua'\nmatch = 'TRUE'\nqueue = '2KiB'\nwhen_full = 'block'\n\
        [filter.b]\ntype = 'lua'\nscript = 'echo.lua'\nmatch = 'TRUE'\nqueue = '2KiB'\nwhen_full = 'block'\n\
        [output.ring]\ntype = 'board'\nboard = 'ring'\nmatch = 'TRUE'\n[input.ring]\ntype = 'board'\nboard = 'ring'\n";
    let engine = start(dir.path(), ring);
    let lines = 50;
    board("ring").feed(&"around\n".repeat(lines));
    // Each message, then what either filter makes of it, three times: none gets its own back.
    board("ring").wait_for(lines * (1 + 2 + 2 + 2));
    until("acknowledgement of the whole tree", || board("ring").settled.load(Relaxed));
    assert_eq!(engine.stop().undelivered, 0);
    assert_eq!(board("ring").written.lock().unwrap().len(), lines * 7);
}

#[test]
fn a_record_over_the_limit_is_cut_or_dropped_and_the_next_one_is_whole() {
    for (policy, expected) in [("cut", vec!["short", "xxxxxxxxxxxxxxxx", "next"]), ("drop", vec!["short", "next"])] {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("oversize_{policy}");
        let toml = pipe(&name, "").replacen("type", &format!("max_record = '16B'\noversize = '{policy}'\ntype"), 1);
        let engine = start(dir.path(), &toml);
        board(&name).feed("short\n");
        board(&name).wait_for(1);
        // Longer than what is fed at once, so that it comes in several reads.
        board(&name).feed(&("x".repeat(200_000) + "\nnext\n"));
        assert_eq!(board(&name).wait_for(expected.len()), expected, "{policy}");
        let status = engine.stop().status;
        let input = status.plugins.iter().find(|p| p.id.starts_with("input")).unwrap();
        assert!(input.counters.contains(&("oversized_records", 1)), "{input:?}");
    }
}

#[test]
fn a_record_over_the_limit_is_cut_or_dropped_also_when_it_is_read_at_once() {
    for (policy, expected) in [("cut", vec!["short", "xxxxxxxxxxxxxxxx", "next"]), ("drop", vec!["short", "next"])] {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("oversize_at_once_{policy}");
        let engine = start(dir.path(), &pipe(&name, "").replacen("type", &format!("max_record = '16B'\noversize = '{policy}'\ntype"), 1));
        board(&name).feed(&format!("short\n{}\nnext\n", "x".repeat(17)));
        assert_eq!(board(&name).wait_for(expected.len()), expected, "{policy}");
        let input = engine.stop().status.plugins.swap_remove(0);
        let [received, delivered, dropped] = [Counter::Received, Counter::Delivered, Counter::Dropped].map(|c| input.counter(c));
        assert_eq!((received, delivered + dropped), (3, 3), "{input:?}");
    }
}

#[test]
fn an_output_that_is_down_and_may_drop_does_not_stop_its_input() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("down_drop");
    b.down.store(true, Relaxed);
    let toml = pipe("down_drop", "queue = '100KiB'\nwhen_full = 'drop_oldest'").replacen("type", "in_flight = '4MiB'\ntype", 1);
    let engine = start(dir.path(), &(String::from("[nilo]\ngrace = '1ms'\n") + &toml));
    let text = "0123456789\n".repeat(400_000);
    b.feed(&text);
    until("everything is read", || b.read.load(Relaxed) == text.len());
    assert!(!b.settled.load(Relaxed));
    let status = engine.stop().status;
    assert_conservation(&status);
}

#[test]
fn what_an_encoder_or_a_decoder_refuses_or_panics_at_is_a_dead_letter_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for (family, plugin) in [("encoder", "output.picky_encoder"), ("decoder", "input.picky_decoder")] {
        let name = format!("picky_{family}");
        let (encoder, decoder) = if family == "encoder" { ("encoder = 'picky'", "") } else { ("", "decoder = 'picky'\n") };
        let dead = format!(
            "[output.dead]\ntype = 'board'\nboard = 'dead_{name}'\nmatch = 'Type == \"nilometer.reject\"'\nencoder = 'letter'\n\
             [encoder.letter]\ntype = 'line'\ntemplate = '{{plugin}}: {{reason}}'\n"
        );
        let engine = start(dir.path(), &(pipe(&name, encoder).replacen("type", &format!("{decoder}type"), 1) + &dead));
        board(&name).feed("odd\nboom\n");
        let letters = board(&format!("dead_{name}")).wait_for(2);
        assert_eq!(letters, [format!("{plugin}: too odd"), format!("{plugin}: panicked: boom")]);
        board(&name).feed("fine\nodd\nfine too\n");
        assert_eq!(board(&name).wait_for(2).join(" ").replace('\n', ""), "fine fine too");
        until("acknowledgement", || board(&name).settled.load(Relaxed));
        let summary = engine.stop();
        assert_conservation(&summary.status);
        assert!(summary.status.plugins.iter().all(|p| p.counter(Counter::Failed) == 0));
    }
}

#[test]
fn what_is_refused_during_the_stop_still_becomes_a_dead_letter() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("late");
    b.down.store(true, Relaxed);
    let dead = "[output.a_dead]\ntype = 'board'\nboard = 'late_dead'\nmatch = 'Type == \"nilometer.reject\"'\nencoder = 'letter'\n\
        [encoder.letter]\ntype = 'line'\ntemplate = '{plugin}: {Payload}'\n";
    let engine = start(dir.path(), &(pipe("late", "") + dead));
    b.feed("unwelcome\n");
    until("a retry", || engine.status().plugins.iter().any(|p| p.counter(Counter::Retried) > 1));
    let summary = std::thread::scope(|s| {
        let stopped = s.spawn(|| engine.stop());
        std::thread::sleep(std::time::Duration::from_millis(20));
        b.down.store(false, Relaxed);
        stopped.join().unwrap()
    });
    assert_eq!(summary.undelivered, 0);
    assert_eq!(*board("late_dead").written.lock().unwrap(), ["output.late: unwelcome"]);
    assert_conservation(&summary.status);
}

#[test]
fn what_a_filter_refuses_itself_is_not_counted_twice() {
    let dir = tempfile::tempdir().unwrap();
    let samples = "[filter.samples]\ntype = 'statsd_aggregate'\nfrom = ['input.samples']\n";
    let engine = start(dir.path(), &(pipe("samples", "") + samples));
    board("samples").feed("no sample\nneither\n");
    board("samples").wait_for(2);
    let status = engine.stop().status;
    assert_eq!(status.plugins.iter().find(|p| p.id == "filter.samples").unwrap().counter(Counter::Rejected), 2);
    assert_conservation(&status);
}
