//! Who injected a message, and whether it was injected before, can be told by its Uuid.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use crate::board::{board, start, until};

/// An input, a script that injects, an output that writes Uuid and Payload, and a state that is written only at a stop.
fn config(dir: &Path, name: &str, kind: &str, payload: &str) -> String {
    let script = format!(
        "count = 0\nfunction process_message()\ncount = count + 1\n\
         inject_message{{Type = 'n', Payload = {payload}, Fields = {{a = 'x', b = 2, c = true, d = {{1, 2}}}}}}\nreturn 0\nend"
    );
    fs::write(dir.join("count.lua"), script).unwrap();
    format!(
        "[nilo]\nstate = 'state'\nsnapshot = '1h'\n[input.{name}]\ntype = '{kind}'\nboard = '{name}'\n\
         [filter.count]\ntype = 'lua'\nscript = 'count.lua'\nfrom = ['input.{name}']\n\
         [encoder.both]\ntype = 'line'\ntemplate = '{{uuid}} {{payload}}'\n\
         [output.{name}]\ntype = 'board'\nboard = '{name}'\nencoder = 'both'\nwhen_full = 'hold'\nfrom = ['filter.count']\n"
    )
}

/// What a kill at this moment leaves of the state.
fn killed(dir: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            match entry.path() {
                sub if sub.is_dir() => copy(&sub, &to),
                // What is written beside its place is gone a moment later.
                file => drop(fs::copy(file, to)),
            }
        }
    }
    let image = tempfile::tempdir().unwrap();
    copy(&dir.join("state"), &image.path().join("state"));
    image
}

fn lines(from: usize, to: usize) -> String {
    (from..to).map(|n| format!("line {n}\n")).collect()
}

/// Their Uuids, none of which comes twice, of this version.
fn uuids(written: &[String], version: char) -> HashSet<&str> {
    let uuids: HashSet<&str> = written.iter().map(|w| &w[..36]).collect();
    assert_eq!(uuids.len(), written.len());
    assert!(uuids.iter().all(|u| u.as_bytes()[14] == version as u8), "{uuids:?}");
    uuids
}

#[test]
fn what_is_injected_again_after_a_kill_has_the_same_identity() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("identity");
    let payload = "count .. ' ' .. read_message('Payload')";
    let toml = config(dir.path(), "identity", "board", payload);
    let engine = start(dir.path(), &toml);
    b.feed(&lines(0, 100));
    b.wait_for(100);
    engine.stop();
    let engine = start(dir.path(), &toml);
    b.feed(&lines(100, 200));
    let before = b.wait_for(200);
    let image = killed(dir.path());
    engine.stop();
    config(image.path(), "identity", "board", payload);
    let engine = start(image.path(), &toml);
    assert_eq!(b.wait_for(300)[200..], before[100..]);
    b.feed(&lines(200, 210));
    let all = b.wait_for(310);
    engine.stop();
    uuids(&[&all[..200], &all[300..]].concat(), '8');
}

#[test]
fn what_a_tick_injects_is_never_taken_for_a_repetition_and_counts_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("identity_tick");
    let toml = config(dir.path(), "identity_tick", "board", "'line'").replace("count.lua'\n", "count.lua'\nevery = '1ms'\n");
    let script = dir.path().join("count.lua");
    let with_tick = fs::read_to_string(&script).unwrap() + "\nfunction timer_event() inject_message{Type = 'n', Payload = 'tick'} end\n";
    fs::write(&script, &with_tick).unwrap();
    let engine = start(dir.path(), &toml);
    let of = |payload: &str| b.written.lock().unwrap().iter().filter(|w| w.ends_with(payload)).cloned().collect::<Vec<_>>();
    until("ticks", || of("tick").len() >= 3);
    b.feed(&lines(0, 10));
    until("lines", || of("line").len() == 10);
    let image = killed(dir.path());
    engine.stop();
    fs::write(image.path().join("count.lua"), with_tick).unwrap();
    let ticks = of("tick").len();
    let engine = start(image.path(), &toml);
    until("both again", || of("tick").len() >= ticks + 3 && of("line").len() == 20);
    engine.stop();
    uuids(&of("tick"), '4');
    let lines = of("line");
    assert_eq!(uuids(&lines[..10], '8'), uuids(&lines[10..], '8'));
}

#[test]
fn what_cannot_be_read_again_is_never_taken_for_a_repetition() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("identity_lost");
    let toml = config(dir.path(), "identity_lost", "datagrams", "'the same'");
    let engine = start(dir.path(), &toml);
    b.feed(&lines(0, 10));
    b.wait_for(10);
    until("acknowledgement", || b.settled.load(Relaxed));
    let image = killed(dir.path());
    engine.stop();
    config(image.path(), "identity_lost", "datagrams", "'the same'");
    let engine = start(image.path(), &toml);
    b.feed(&lines(10, 20));
    let all = b.wait_for(20);
    engine.stop();
    uuids(&all, '4');
}
