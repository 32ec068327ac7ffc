//! `nilo journal`.

use std::path::PathBuf;

use rustix::process::Signal;

use crate::nilo::{Dir, Running, wait_until};

/// Nobody listens at the discard port.
const DEAD: &str = "type = 'tcp'\naddress = '127.0.0.1:9'\nqueue = '1KiB'\nretry = '10s'\nretry_max = '10s'\n";
const ALIVE: &str = "type = 'file'\ndir = 'out'\nname = 'out.log'\nencoder = 'line'\n";
const WAVE: usize = 50;

fn config(output: &str) -> String {
    format!(
        "[nilo]\nstate = 'state'\ngrace = '10ms'\n[input.in]\ntype = 'tail'\npaths = 'in.log'\nfrom = 'start'\n\
         [output.relay]\nmatch = 'TRUE'\n{output}"
    )
}

/// What waits, as `list --json` tells: records and messages.
fn waiting(dir: &Dir) -> Option<(u64, u64)> {
    let outcome = dir.nilo(["journal", "list", "--state", "state", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).ok()?;
    let relay = json["consumers"].as_array()?.iter().find(|c| c["id"] == "output.relay")?;
    Some((relay["records"].as_u64()?, relay["messages"].as_u64()?))
}

/// An instance whose output reaches nobody, with three records in its journal.
fn stalled() -> (Dir, Running) {
    let dir = Dir::with(&[("in.log", ""), ("nilo.toml", &config(DEAD))]);
    let nilo = dir.spawn(["run", "nilo.toml"]);
    for wave in 1..=3 {
        let lines: String = (0..WAVE).map(|n| format!("wave {wave} line {n} {}\n", "x".repeat(100))).collect();
        dir.append("in.log", &lines);
        wait_until("the wave is in the journal", || waiting(&dir).is_some_and(|(_, messages)| messages == (wave * WAVE) as u64));
    }
    (dir, nilo)
}

fn stop(nilo: Running) {
    nilo.signal(Signal::TERM);
    nilo.end();
}

/// Runs until the output file has so many lines.
fn deliver(dir: &Dir, lines: usize) {
    dir.write("nilo.toml", config(ALIVE));
    let nilo = dir.spawn(["run", "nilo.toml"]);
    let there = || std::fs::read_to_string(dir.path("out/out.log")).unwrap_or_default().lines().count();
    wait_until("everything is delivered", || there() >= lines);
    nilo.signal(Signal::TERM);
    nilo.end().ok();
    assert_eq!(there(), lines);
}

fn segment(dir: &Dir) -> PathBuf {
    dir.path("state/journal/0000000000000001.log")
}

#[test]
fn what_waits_is_shown_while_nilo_runs_and_when_it_does_not() {
    let (dir, nilo) = stalled();
    let all = 3 * WAVE;
    for running in [Some(nilo), None] {
        let list = dir.nilo(["journal", "list", "nilo.toml"]).ok();
        let row: Vec<&str> = list.lines().find(|l| l.starts_with("output.relay")).unwrap().split_whitespace().collect();
        assert_eq!((row[1], row[3]), ("1", &*all.to_string()), "{list}");
        assert!(list.starts_with("segment") && list.contains("0000000000000001.log") && list.contains("the next record is"), "{list}");
        let check = dir.nilo(["journal", "check", "nilo.toml"]).ok();
        assert!(check.contains(&format!("output.relay from record 1 on: {all} messages in ")), "{check}");
        let count = |args: &[&str]| dir.nilo([&["journal", "cat", "nilo.toml", "-f", "count"], args].concat()).stdout;
        assert_eq!(count(&[]), format!("{all} of {all} messages\n"));
        assert_eq!(count(&["--for", "output.relay", "-m", "Payload =~ /^wave 2/"]), format!("{WAVE} of {all} messages\n"));
        let text = dir.nilo(["journal", "cat", "--state", "state", "-f", "text", "-m", "Payload =~ /^wave 3 line 7 /"]).ok();
        assert!(text.lines().count() == 1 && text.contains("wave 3 line 7"), "{text}");
        if let Some(nilo) = running {
            for command in [vec!["repair"], vec!["rewind", "output.relay", "--to-start"], vec!["forget", "output.relay", "--yes"]] {
                let said = dir.nilo([&["journal"], &command[..], &["--state", "state"]].concat()).failed(1);
                assert!(said.contains("a nilo runs with the state directory state: stop it first"), "{said}");
            }
            stop(nilo);
        }
    }
    let said = dir.nilo(["journal", "cat", "nilo.toml", "--for", "output.rely"]).failed(1);
    assert!(said.contains("did you mean `output.relay`?"), "{said}");
    assert!(dir.nilo(["journal", "list", "--state", "."]).failed(1).contains("has no journal in it"));
}

#[test]
fn what_was_accepted_is_delivered_again_from_where_the_cursor_is_put() {
    let (dir, nilo) = stalled();
    stop(nilo);
    let all = 3 * WAVE;
    let records = waiting(&dir).unwrap().0;
    assert!(records >= 3);
    deliver(&dir, all);
    assert_eq!(waiting(&dir), Some((0, 0)));
    // What was accepted is still there.
    let count = |from: &[&str]| dir.nilo([&["journal", "cat", "nilo.toml", "-f", "count"], from].concat()).ok();
    assert_eq!(count(&[]), "0 of 0 messages\n");
    assert_eq!(count(&["--from", "1"]), format!("{all} of {all} messages\n"));
    let rewind = |args: &[&str]| dir.nilo([&["journal", "rewind", "output.relay", "nilo.toml"], args].concat());

    assert_eq!(rewind(&["--by", "1"]).ok().split(": ").last().map(|s| s.starts_with("it gets ")), Some(true));
    assert_eq!(waiting(&dir).unwrap().0, 1);
    assert!(rewind(&["--to-start"]).ok().contains("goes on at record 1 instead of "));
    assert_eq!(waiting(&dir), Some((records, all as u64)));
    let end = records + 1;
    let said = rewind(&["--to", &end.to_string()]).failed(1);
    assert!(
        said.contains(&format!("{all} messages that wait for output.relay below record {end} would be given up; --yes does it")),
        "{said}"
    );
    assert_eq!(waiting(&dir), Some((records, all as u64)));
    let said = rewind(&["--to", "1000"]).failed(1);
    assert!(said.contains(&format!("record 1000 is not in the journal: expected --to 1 to {end}")), "{said}");
    deliver(&dir, 2 * all);

    assert!(rewind(&["--to", "1"]).ok().contains(&format!("it gets {all} messages again")));
    assert!(rewind(&["--to", &end.to_string(), "--yes"]).ok().contains(&format!("it gives up {all} messages")));
    assert_eq!(waiting(&dir), Some((0, 0)));
    assert_eq!(rewind(&[]).code, Some(2));
}

#[test]
fn damage_is_told_and_repaired_and_costs_what_it_hit() {
    let (dir, nilo) = stalled();
    stop(nilo);
    let all = 3 * WAVE;
    let mut bytes = std::fs::read(segment(&dir)).unwrap();
    // Within the messages of a record that is not the last.
    let at = bytes.windows(7).position(|w| w == b"wave 2 ").unwrap();
    bytes[at] ^= 0x55;
    std::fs::write(segment(&dir), bytes).unwrap();

    assert!(dir.nilo(["journal", "list", "nilo.toml"]).ok().contains("damaged in 1 place: see `nilo journal check`"));
    let check = dir.nilo(["journal", "check", "nilo.toml"]);
    assert!(check.stdout.contains("00000001.log at byte ") && check.stdout.contains("lost: record "), "{check:?}");
    assert!(check.failed(1).contains("the journal is damaged in 1 place"));
    let cat = dir.nilo(["journal", "cat", "nilo.toml", "-f", "count"]);
    let left: usize = cat.stdout.split(' ').next().unwrap().parse().unwrap();
    assert!((WAVE..all).contains(&left) && cat.stderr.contains("lost: record ") && cat.code == Some(1), "{cat:?}");

    let repair = dir.nilo(["journal", "repair", "nilo.toml"]).ok();
    assert!(repair.contains("kept as state/journal/") && repair.contains("1 record lost"), "{repair}");
    let copies = std::fs::read_dir(dir.path("state/journal")).unwrap();
    assert_eq!(copies.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().ends_with(".damaged")).count(), 1);
    // The lost ones can be read again, from the log; the others come out of the journal.
    dir.write("nilo.toml", config(ALIVE));
    let nilo = dir.spawn(["run", "nilo.toml"]);
    wait_until("the rest is delivered", || std::fs::read_to_string(dir.path("out/out.log")).unwrap_or_default().lines().count() >= left);
    stop(nilo);
}

#[test]
fn damaged_cursors_are_told_and_left_alone_by_those_that_only_look() {
    let (dir, nilo) = stalled();
    stop(nilo);
    std::fs::write(dir.path("state/journal/cursors"), "nonsense").unwrap();
    let check = dir.nilo(["journal", "check", "--state", "state"]);
    // Everybody who is named gets what is there.
    assert!(
        check.stdout.contains("the file of cursors is damaged") && check.stdout.contains("output.relay from record 1 on: 150 messages"),
        "{check:?}"
    );
    check.failed(1);
    assert!(dir.path("state/journal/cursors").exists());
    let repair = dir.nilo(["journal", "repair", "--state", "state"]).ok();
    assert!(repair.contains("cursors.damaged") && dir.path("state/journal/cursors.damaged").exists(), "{repair}");
    dir.nilo(["journal", "check", "--state", "state"]).ok();
    assert_eq!(dir.nilo(["journal", "repair", "--state", "state"]).ok(), "nothing is damaged\n");
}

#[test]
fn what_waits_for_a_stranger_is_forgotten() {
    let (dir, nilo) = stalled();
    stop(nilo);
    assert!(dir.nilo(["journal", "forget", "output.relay", "nilo.toml", "--yes"]).failed(1).contains("output.relay is configured"));
    dir.write("nilo.toml", config(ALIVE).replace("output.relay", "output.other"));
    assert!(dir.nilo(["journal", "list", "nilo.toml"]).ok().contains("not configured any more"));
    let said = dir.nilo(["journal", "forget", "output.relay", "nilo.toml"]).failed(1);
    assert!(said.contains("150 messages that wait for output.relay would be given up; --yes does it"), "{said}");
    assert!(
        dir.nilo(["journal", "forget", "output.relay", "nilo.toml", "--yes"])
            .ok()
            .contains("output.relay is forgotten, and 150 messages with it")
    );
    assert!(
        dir.nilo(["journal", "forget", "output.other", "nilo.toml", "--yes"])
            .failed(1)
            .contains("output.other is not known to this journal")
    );
}

#[test]
fn a_filter_is_not_made_to_count_twice_unasked() {
    let config = "[nilo]\nstate = 'state'\n[input.in]\ntype = 'stdin'\n[filter.count]\ntype = 'lua'\nscript = 'count.lua'\nmatch = 'TRUE'\n\
                  durable = true\n[output.out]\ntype = 'null'\nmatch = 'TRUE'\n";
    let script = "n = 0\nfunction process_message() n = n + 1 return 0 end\n";
    let dir = Dir::with(&[("nilo.toml", config), ("count.lua", script)]);
    dir.nilo_with_input(["run", "nilo.toml"], b"a\nb\nc\n").ok();
    let list = dir.nilo(["journal", "list", "nilo.toml"]).ok();
    assert!(list.contains("its saved state has all below 2"), "{list}");
    let rewind = |args: &[&str]| dir.nilo([&["journal", "rewind", "filter.count", "nilo.toml", "--to-start"], args].concat());
    let said = rewind(&[]).failed(1);
    assert!(said.contains("3 messages from record 1 on are part of the saved state of filter.count already"), "{said}");
    assert!(rewind(&["--yes"]).ok().contains("it takes 3 messages again, on top of its saved state"));
    let list = dir.nilo(["journal", "check", "nilo.toml"]).ok();
    assert!(list.contains("filter.count from record 1 on: 3 messages in 1 record"), "{list}");
}
