//! Scripts in every family: replaced while records flow, kept when the new version fails, their state
//! carried over; outputs that confirm later, and inputs with checkpoints.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use engine::{Change, Engine};
use plugin::Counter;

use crate::board::{Board, assert_conservation, board, start, until};

/// A board that is read through a script `x.lua` of this family, and written to.
fn through(family: &str, name: &str) -> String {
    let (input, output) = match family {
        "decoder" => ("decoder = 'x'", "encoder = 'payload'"),
        "transform" => ("transform = 'x'", "encoder = 'payload'"),
        _ => ("", "encoder = 'x'"),
    };
    format!(
        "[nilo]\nstate = 'state'\n[{family}.x]\ntype = 'lua'\nscript = 'x.lua'\n\
         [input.i]\ntype = 'board'\nboard = '{name}'\n{input}\n\
         [output.o]\ntype = 'board'\nboard = '{name}'\n{output}\nmatch = 'TRUE'\n"
    )
}

/// A script that tells its version and its count, and fails at `poison`.
fn script(dir: &Path, family: &str, version: u32, poison: &str) {
    let tell = if family == "encoder" { "inject_payload('', '', text)" } else { "write_message('Payload', text)" };
    let text = format!(
        "count = 0\nlocal version = {version}\nfunction process_message()\nlocal p = read_message('Payload')\n\
         write_message('Payload', 'spoilt')\nif p == '{poison}' then error('cannot take ' .. p) end\ncount = count + 1\n\
         local text = version .. ':' .. count .. ' ' .. p\n{tell}\nreturn 0\nend"
    );
    fs::write(dir.join("x.lua"), text).unwrap();
}

/// Version 1 runs, and has counted a first record.
fn begin(dir: &Path, family: &str, name: &str) -> (Arc<Board>, Engine) {
    let b = board(name);
    script(dir, family, 1, "");
    let engine = start(dir, &through(family, name));
    b.feed("a\n");
    assert_eq!(b.wait_for(1), ["1:1 a"], "{family}");
    (b, engine)
}

const CODECS: [&str; 3] = ["decoder", "transform", "encoder"];

#[test]
fn a_codec_is_replaced_with_its_state_and_goes_on_after_a_restart() {
    for family in CODECS {
        let (dir, name) = (tempfile::tempdir().unwrap(), format!("swap_{family}"));
        let (b, engine) = begin(dir.path(), family, &name);
        script(dir.path(), family, 2, "");
        let report = engine.reload_changed_scripts();
        assert!(matches!(&report.changes[..], [(_, Change::Reloaded(_))]), "{family}: {report}");
        b.feed("b\n");
        assert_eq!(b.wait_for(2)[1], "2:2 b", "{family}");
        fs::write(dir.path().join("x.lua"), "this is not Lua").unwrap();
        let report = engine.reload_changed_scripts();
        assert!(report.to_string().contains("the old version runs on") && report.to_string().contains("x.lua:1:"), "{report}");
        b.feed("c\n");
        assert_eq!(b.wait_for(3)[2], "2:3 c", "{family}");
        assert_eq!(engine.reload_changed_scripts().changes, []);
        until("acknowledgement", || b.settled.load(Relaxed));
        engine.stop();
        script(dir.path(), family, 3, "");
        let engine = start(dir.path(), &through(family, &name));
        b.feed("d\n");
        assert_eq!(b.wait_for(4)[3], "3:4 d", "{family}");
        let status = engine.status();
        let part = format!("{family}.x");
        assert!(status.plugins.iter().any(|p| p.gauges.iter().any(|(of, g)| *of == part && g.name == "memory_limit")), "{status:?}");
        assert_conservation(&engine.stop().status);
    }
}

#[test]
fn a_codec_that_fails_on_probation_is_rolled_back_and_the_record_is_not_lost() {
    for family in CODECS {
        let (dir, name) = (tempfile::tempdir().unwrap(), format!("roll_{family}"));
        let (b, engine) = begin(dir.path(), family, &name);
        script(dir.path(), family, 2, "bad");
        assert!(engine.reload_changed_scripts().succeeded());
        b.feed("b\nbad\nc\n");
        assert_eq!(b.wait_for(4), ["1:1 a", "2:2 b", "1:2 bad", "1:3 c"], "{family}");
        assert_conservation(&engine.stop().status);
    }
}

#[test]
fn a_record_at_which_a_codec_fails_twice_is_a_reject_and_the_next_goes_on() {
    for family in CODECS {
        let (dir, name) = (tempfile::tempdir().unwrap(), format!("twice_{family}"));
        let b = board(&name);
        script(dir.path(), family, 1, "bad");
        let dead = format!(
            "[output.dead]\ntype = 'board'\nboard = '{name}_dead'\nmatch = 'Type == \"nilometer.reject\"'\nencoder = 'why'\n[encoder.why]\ntype = 'line'\ntemplate = '{{reason}}'\n"
        );
        let engine = start(dir.path(), &(through(family, &name) + &dead));
        b.feed("a\nbad\nc\n");
        assert_eq!(b.wait_for(2), ["1:1 a", "1:2 c"], "{family}");
        assert!(board(&format!("{name}_dead")).wait_for(1)[0].contains("cannot take bad"), "{family}");
        until("acknowledgement", || b.settled.load(Relaxed));
        assert_conservation(&engine.stop().status);
    }
}

#[test]
fn a_message_that_a_transform_drops_takes_no_fields_of_others_along() {
    let (dir, name) = (tempfile::tempdir().unwrap(), "drop_and_add");
    let text = "local n = 0\nfunction process_message()\nn = n + 1\nif n % 2 == 0 then return -2 end\n\
                write_message('Fields[line]', read_message('Payload'))\nwrite_message('Payload', 'kept')\nreturn 0\nend";
    fs::write(dir.path().join("x.lua"), text).unwrap();
    let toml = through("transform", name).replace("encoder = 'payload'", "encoder = 'e'");
    let engine = start(dir.path(), &format!("{toml}[encoder.e]\ntype = 'line'\ntemplate = '{{payload}} {{line}}'\n"));
    let b = board(name);
    // Two blocks in one batch, if they come soon enough after each other.
    b.feed("1\n2\n3\n4\n");
    b.feed("5\n6\n7\n8\n");
    assert_eq!(b.wait_for(4), ["kept 1", "kept 3", "kept 5", "kept 7"]);
    assert_conservation(&engine.stop().status);
}

#[test]
fn what_an_encoder_skips_counts_as_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("skip");
    let text = "function process_message()\nlocal p = read_message('Payload')\nif p == 'skip' then return -2 end\ninject_payload('', '', p)\nreturn 0\nend";
    fs::write(dir.path().join("x.lua"), text).unwrap();
    let engine = start(dir.path(), &through("encoder", "skip"));
    b.feed("a\nskip\nb\n");
    assert_eq!(b.wait_for(2), ["a", "b"]);
    until("acknowledgement", || b.settled.load(Relaxed));
    let status = engine.stop().status;
    let output = status.plugins.iter().find(|p| p.id == "output.o").unwrap();
    assert_eq!((output.counter(Counter::Delivered), output.counter(Counter::Rejected)), (3, 0));
}

/// A board that is read and handed to a script; what it does not confirm is offered again.
fn to_script(name: &str, more: &str) -> String {
    format!(
        "[nilo]\nstate = 'state'\ngrace = '100ms'\n[input.i]\ntype = 'board'\nboard = '{name}'\n\
         [output.o]\ntype = 'lua'\napi = 'hindsight'\nscript = 'o.lua'\nallow = ['io']\nconfig = {{ file = {{ name = '{name}.out' }} }}\nmatch = 'TRUE'\n{more}"
    )
}

const WRITE: &str = "local path = read_config('dir') .. '/out'\n\
    local function write(list) local f = assert(io.open(path, 'a')) for _, p in ipairs(list) do f:write(p, '\\n') end f:close() end\n";

/// The script has been given so many messages, and no more wait.
fn has_taken(engine: &Engine, messages: u64) -> bool {
    let status = engine.status();
    status.plugins.iter().any(|p| p.id == "output.o" && p.waiting.0 == 0 && p.counter(Counter::Received) == messages)
}

/// What such a script has written.
fn written(dir: &Path) -> Vec<String> {
    fs::read_to_string(dir.join("out")).unwrap_or_default().lines().map(str::to_string).collect()
}

fn output(dir: &Path, name: &str, body: &str, more: &str) -> String {
    fs::write(dir.join("o.lua"), format!("{WRITE}{body}")).unwrap();
    to_script(name, more).replace(&format!("file = {{ name = '{name}.out' }}"), &format!("dir = {dir:?}"))
}

#[test]
fn a_batch_that_is_not_confirmed_holds_the_checkpoint_and_is_offered_again() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("later");
    // Batches of three; what is left in the end is given up.
    let body = "batch = nil\nlocal held = {}\nfunction process_message()\nheld[#held + 1] = read_message('Payload')\n\
        if #held == 3 then write(held) held = {} return 0 end\nreturn -4\nend\nfunction timer_event() end\n";
    let toml = output(dir.path(), "later", body, "");
    let engine = start(dir.path(), &toml);
    b.feed("1\n2\n");
    until("both are taken", || has_taken(&engine, 2));
    assert!(!b.settled.load(Relaxed));
    b.feed("3\n");
    until("the batch is out", || written(dir.path()).len() == 3);
    until("acknowledgement", || b.settled.load(Relaxed));
    b.feed("4\n");
    until("the fourth is read", || b.read.load(Relaxed) == 8);
    let summary = engine.stop();
    assert_eq!(summary.undelivered, 1, "{summary:?}");
    assert_conservation(&summary.status);
    // The next process reads it again.
    let engine = start(dir.path(), &toml);
    b.feed("5\n6\n");
    until("the next batch is out", || written(dir.path()).len() == 6);
    assert_eq!(written(dir.path()), ["1", "2", "3", "4", "5", "6"]);
    engine.stop();
}

#[test]
fn what_was_taken_and_not_confirmed_goes_to_the_next_version() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("handover");
    let toml = output(dir.path(), "handover", "function process_message() return -5 end\n", "");
    let engine = start(dir.path(), &toml);
    b.feed("1\n2\n3\n");
    until("all are taken", || has_taken(&engine, 3));
    output(dir.path(), "handover", "function process_message() write{read_message('Payload')} return 0 end\n", "");
    let report = engine.reload_changed_scripts();
    assert!(report.succeeded() && report.changes.len() == 1, "{report}");
    until("the new version has delivered them", || written(dir.path()).len() == 3);
    assert_eq!(written(dir.path()), ["1", "2", "3"]);
    until("acknowledgement", || b.settled.load(Relaxed));
    assert_conservation(&engine.stop().status);
}

#[test]
fn no_more_is_taken_than_may_be_unconfirmed_and_the_last_call_may_confirm() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("bounded");
    let body = "local held = {}\nfunction process_message() held[#held + 1] = read_message('Payload') return -4 end\n\
        function timer_event(ns, last) if last then write(held) held = {} update_checkpoint() end end\n";
    let engine = start(dir.path(), &output(dir.path(), "bounded", body, "unconfirmed = 2\nbatch_count = 1\n"));
    let state = || engine.status().plugins.into_iter().find(|p| p.id == "output.o").unwrap();
    for n in 1..=2 {
        // Each in a batch of its own.
        b.feed(&format!("{n}\n"));
        until("it is there", || state().counter(Counter::Received) == n);
    }
    until("it waits", || state().state.contains("waiting until 2 messages are confirmed"));
    b.feed("3\n");
    until("the third has to wait", || state().waiting.0 == 1);
    let summary = engine.stop();
    assert_eq!((written(dir.path()), summary.undelivered), (vec!["1".to_string(), "2".to_string()], 1));
    assert_conservation(&summary.status);
}

#[test]
fn an_output_that_fails_at_a_message_twice_sets_it_aside() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("failing");
    let body =
        "function process_message()\nlocal p = read_message('Payload')\nif p == 'bad' then error('broken') end\nwrite{p}\nreturn 0\nend\n";
    let engine = start(dir.path(), &output(dir.path(), "failing", body, ""));
    b.feed("1\nbad\n2\n");
    until("the others are written", || written(dir.path()) == ["1", "2"]);
    until("acknowledgement", || b.settled.load(Relaxed));
    let status = engine.stop().status;
    assert_eq!(status.plugins.iter().find(|p| p.id == "output.o").unwrap().counter(Counter::Rejected), 1);
    assert_conservation(&status);
}

/// An input that counts on from its checkpoint, through a decoder.
fn counting(name: &str) -> String {
    format!(
        "[nilo]\nstate = 'state'\n[input.n]\ntype = 'lua'\nscript = 'n.lua'\nevery = '1ms'\ndecoder = 'd'\n[decoder.d]\ntype = 'lua'\nscript = 'd.lua'\n\
         [output.o]\ntype = 'board'\nboard = '{name}'\nmatch = 'Type == \"number\"'\nencoder = 'payload'\n"
    )
}

fn numbers(dir: &Path, version: &str) {
    let text = format!(
        "rounds = 0\nfunction process_message(at)\nrounds = rounds + 1\nfor n = (at or 0) + 1, (at or 0) + 5 do\n\
         inject_message({{Payload = '{version}' .. n, Hostname = 'h' .. rounds}}, n)\nend\nreturn 0\nend"
    );
    fs::write(dir.join("n.lua"), text).unwrap();
    let decode =
        "function process_message() write_message('Type', 'number') write_message('Payload', read_message('Payload'):sub(2)) return 0 end";
    fs::write(dir.join("d.lua"), decode).unwrap();
}

#[test]
fn a_scripted_input_goes_on_at_its_checkpoint_over_reloads_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("numbers");
    numbers(dir.path(), "a");
    let engine = start(dir.path(), &counting("numbers"));
    b.wait_for(20);
    numbers(dir.path(), "b");
    let report = engine.reload_changed_scripts();
    assert!(report.succeeded() && report.to_string().contains("input.n: reloaded"), "{report}");
    let seen = b.written.lock().unwrap().len();
    b.wait_for(seen + 20);
    fs::write(dir.path().join("n.lua"), "not Lua").unwrap();
    assert!(engine.reload_changed_scripts().to_string().contains("the old version runs on"));
    engine.stop();
    numbers(dir.path(), "c");
    let before = b.written.lock().unwrap().len();
    let engine = start(dir.path(), &counting("numbers"));
    let all = b.wait_for(before + 20);
    engine.stop();
    let expected: Vec<String> = (1..=all.len()).map(|n| n.to_string()).collect();
    assert_eq!(all, expected, "lost or doubled");
}
