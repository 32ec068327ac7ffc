//! Every line once, whatever happens to the files.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use plugin::Checkpoint;
use tempfile::TempDir;
use testkit::intake::{RecordingIntake, Running, run_until, start};

use super::*;

mod encoded;
mod packed;
mod streams;

/// A directory of logs.
struct Logs(TempDir);

impl Logs {
    fn new() -> Logs {
        Logs(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        self.writer(name).write_all(text.as_bytes()).unwrap();
    }

    fn writer(&self, name: &str) -> File {
        OpenOptions::new().append(true).create(true).open(self.at(name)).unwrap()
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.at(from), self.at(to)).unwrap();
    }

    fn key(&self, name: &str) -> String {
        identity::FileId::of(&fs::metadata(self.at(name)).unwrap()).key()
    }

    /// Follows `pattern`, with further options as TOML. The regular look is out of the way, so that
    /// the watcher has to notice everything.
    fn tail(&self, pattern: &str, options: &str) -> Box<dyn Input> {
        let poll = if options.contains("poll") { "" } else { "poll = '1h'" };
        let toml = format!("paths = '{}'\n{poll}\n{options}", self.at(pattern).display());
        testkit::plugins::input(&KIND, &toml).unwrap()
    }
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| format!("line {i}")).collect()
}

fn text(range: std::ops::Range<usize>) -> String {
    numbered(range).iter().map(|line| format!("{line}\n")).collect()
}

/// Waits for as many lines and checks that these are 0, 1, 2, … each once; in order if `ordered`.
fn expect(running: &Running, intake: &RecordingIntake, count: usize, ordered: bool) {
    running.wait_for(|seen| seen.bytes().iter().filter(|b| **b == b'\n').count() >= count);
    let seen = intake.seen();
    let text = String::from_utf8_lossy(seen.bytes()).into_owned();
    let mut lines: Vec<_> = text.lines().map(str::to_string).collect();
    if !ordered {
        lines.sort_by_key(|l| l[5..].parse::<usize>().unwrap());
    }
    assert!(lines == numbered(0..count), "lines are missing, doubled or out of order: {lines:?}");
}

#[test]
fn what_is_appended_is_read_and_an_incomplete_line_waits() {
    let logs = Logs::new();
    logs.append("a.log", "one\ntw");
    let intake = RecordingIntake::default();
    let running = start(logs.tail("a.log", ""), &intake);
    running.wait_for(|seen| seen.bytes() == b"one\ntw");
    logs.append("a.log", "o\nthree\n");
    running.wait_for(|seen| seen.bytes() == b"one\ntwo\nthree\n");
    running.stop().unwrap();
    let seen = intake.seen();
    assert!(seen.streams.len() == 1 && seen.streams[0].closed && seen.streams[0].ends.is_empty());
    assert_eq!(seen.streams[0].options.logger, logs.at("a.log").display().to_string());
    assert_eq!((seen.streams[0].options.key.clone(), seen.remembered()[0].position), (logs.key("a.log"), 14));
}

#[test]
fn files_and_directories_may_come_later() {
    let logs = Logs::new();
    fs::create_dir(logs.at("sub")).unwrap();
    let intake = RecordingIntake::default();
    let running = start(logs.tail("**/*.log", "from = 'end'"), &intake);
    running.wait_for(|seen| seen.polls > 0);
    logs.append("sub/a.log", &text(0..2));
    expect(&running, &intake, 2, true);
    fs::create_dir_all(logs.at("new/deep")).unwrap();
    logs.append("new/deep/b.log", &text(2..4));
    expect(&running, &intake, 4, true);
    logs.append("new/deep/b.txt", "of no interest");
    logs.append("new/deep/b.log", &text(4..5));
    expect(&running, &intake, 5, true);
}

#[test]
fn without_a_watcher_the_regular_look_does_it_all() {
    struct Unwatched(Setup);
    impl Input for Unwatched {
        fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
            let mut follower = Follower::new(&self.0, cx);
            follower.watch = watch::Watch::default();
            follower.follow(false);
            Ok(())
        }
        fn can_wait(&self) -> bool {
            true
        }
    }
    let logs = Logs::new();
    let toml = format!("paths = '{}'\npoll = '10ms'\nrotate_wait = '10ms'", logs.at("*.log").display());
    let input = Unwatched(Setup::new(&testkit::plugins::options(&KIND, &toml).unwrap()).unwrap());
    let intake = RecordingIntake::default();
    let running = start(Box::new(input), &intake);
    let mut old = logs.writer("a.log");
    for i in 0..10 {
        old.write_all(text(i..i + 1).as_bytes()).unwrap();
        expect(&running, &intake, i + 1, true);
    }
    logs.rename("a.log", "a.log.1");
    logs.append("a.log", &text(10..12));
    expect(&running, &intake, 12, true);
    running.wait_for(|seen| seen.streams[0].closed);
    fs::write(logs.at("a.log"), text(12..13)).unwrap();
    expect(&running, &intake, 13, true);
}

/// Writes numbered lines and has `rotate` do its worst 20 times; all at once, while it is read.
fn rotate_under_load(pattern: &str, rotate: impl Fn(&Logs, usize) -> File, ordered: bool) {
    let logs = Logs::new();
    let intake = RecordingIntake::default().with_block(1000);
    let running = start(logs.tail(pattern, ""), &intake);
    running.wait_for(|seen| seen.polls > 0);
    let per_file = 500;
    for round in 0..20 {
        let mut file = rotate(&logs, round);
        for i in 0..per_file {
            let n = round * per_file + i;
            file.write_all(text(n..n + 1).as_bytes()).unwrap();
        }
    }
    expect(&running, &intake, 20 * per_file, ordered);
    let truncations = running.meter().read().into_iter().find(|(name, _)| *name == "truncations");
    assert_eq!(truncations, None);
    running.stop().unwrap();
}

#[test]
fn rotation_by_rename_loses_nothing_under_load() {
    let rotate = |logs: &Logs, round: usize| {
        if round > 0 {
            logs.rename("a.log", &format!("a.log.{round}"));
        }
        logs.writer("a.log")
    };
    rotate_under_load("a.log", rotate, true);
    rotate_under_load("a.log*", rotate, true);
}

#[test]
fn rotation_that_shifts_all_names_loses_nothing_under_load() {
    let shift = |logs: &Logs, round: usize| {
        for i in (0..round).rev() {
            let from = if i == 0 { "a.log".to_string() } else { format!("a.log.{i}") };
            logs.rename(&from, &format!("a.log.{}", i + 1));
        }
        logs.writer("a.log")
    };
    rotate_under_load("a.log", shift, true);
    rotate_under_load("a.log*", shift, true);
}

#[test]
fn rotation_by_a_new_name_loses_nothing_under_load() {
    rotate_under_load("a-*.log", |logs, round| logs.writer(&format!("a-{round}.log")), false);
}

#[test]
fn copytruncate_loses_nothing_when_the_writer_pauses() {
    let logs = Logs::new();
    let intake = RecordingIntake::default();
    let running = start(logs.tail("a.log", ""), &intake);
    for round in 0..20 {
        // Each time longer than the last: it is beyond the old position when it is looked at.
        let (from, to) = (round * (round + 1) / 2, (round + 1) * (round + 2) / 2);
        logs.append("a.log", &text(from..to));
        expect(&running, &intake, to, true);
        fs::copy(logs.at("a.log"), logs.at("a.log.1")).unwrap();
        OpenOptions::new().write(true).open(logs.at("a.log")).unwrap().set_len(0).unwrap();
    }
    running.stop().unwrap();
    let seen = intake.seen();
    assert!(seen.streams.len() == 1 && seen.streams[0].seeks.iter().all(|p| *p == 0) && seen.streams[0].seeks.len() >= 19);
}

#[test]
fn what_was_cut_off_is_counted() {
    let logs = Logs::new();
    logs.append("a.log", "one\ntw");
    let intake = RecordingIntake::default();
    let running = start(logs.tail("a.log", ""), &intake);
    running.wait_for(|seen| seen.bytes() == b"one\ntw");
    fs::write(logs.at("a.log"), "1\n").unwrap();
    running.wait_for(|seen| seen.bytes() == b"one\ntw1\n");
    assert_eq!(intake.seen().lines(), ["one", "tw", "1"], "what nothing will complete is a line of its own");
    assert!(running.meter().read().contains(&("truncations", 1)));
    let identity = intake.seen().streams[0].options.identity.clone();
    assert!(identity.starts_with("2:"), "the proof covers what is there now: {identity}");
}

#[test]
fn a_renamed_file_is_read_on_until_it_is_quiet_and_then_forgotten() {
    let logs = Logs::new();
    let intake = RecordingIntake::default();
    let mut old = logs.writer("a.log");
    let key = logs.key("a.log");
    let running = start(logs.tail("a.log", "rotate_wait = '100ms'"), &intake);
    old.write_all(text(0..1).as_bytes()).unwrap();
    expect(&running, &intake, 1, true);
    logs.rename("a.log", "elsewhere");
    logs.append("a.log", &text(1..2));
    expect(&running, &intake, 2, true);
    old.write_all(b"line 2\nthe end").unwrap();
    running.wait_for(|seen| seen.streams[0].closed);
    assert_eq!(intake.seen().streams[0].lines(), ["line 0", "line 2", "the end"]);
    assert_eq!(intake.seen().forgotten, [""; 0], "it is still there and may come back");

    fs::rename(logs.at("elsewhere"), logs.at("a.log")).unwrap();
    old.write_all(b" of it\nline 3\n").unwrap();
    running.wait_for(|seen| seen.streams.len() == 3 && seen.streams[2].bytes == b" of it\nline 3\n");
    assert_eq!(intake.seen().streams[2].options.key, key);
    fs::remove_file(logs.at("a.log")).unwrap();
    drop(old);
    running.wait_for(|seen| seen.forgotten.contains(&key));
    running.stop().unwrap();
}

#[test]
fn a_deleted_file_is_read_to_its_end() {
    let logs = Logs::new();
    logs.append("a.log", &text(0..10_000));
    let intake = RecordingIntake::default().with_block(100);
    let running = start(logs.tail("a.log", "rotate_wait = '20ms'"), &intake);
    running.wait_for(|seen| !seen.bytes().is_empty());
    fs::remove_file(logs.at("a.log")).unwrap();
    expect(&running, &intake, 10_000, true);
    running.wait_for(|seen| seen.forgotten.len() == 1);
    assert!(running.meter().read().iter().all(|(name, n)| *name != "abandoned_bytes" || *n == 0));
}

#[test]
fn another_name_does_not_make_another_file() {
    let logs = Logs::new();
    logs.append("a.log", &text(0..1));
    fs::hard_link(logs.at("a.log"), logs.at("b.log")).unwrap();
    std::os::unix::fs::symlink(logs.at("a.log"), logs.at("c.log")).unwrap();
    let intake = RecordingIntake::default();
    let running = start(logs.tail("*.log", "rotate_wait = '10ms'"), &intake);
    expect(&running, &intake, 1, true);
    logs.rename("a.log", "d.log");
    logs.append("b.log", &text(1..2));
    expect(&running, &intake, 2, true);
    fs::remove_file(logs.at("b.log")).unwrap();
    logs.append("d.log", &text(2..3));
    expect(&running, &intake, 3, true);
    assert_eq!(intake.seen().streams.len(), 1);
}

#[test]
fn it_goes_on_where_it_stopped_whatever_was_rotated_meanwhile() {
    for (pattern, seed) in [("a.log", 1), ("a.log*", 2)] {
        let logs = Logs::new();
        let mut intake = RecordingIntake::default().with_block(7);
        let (mut written, mut all) = (0, Vec::new());
        for round in 0..12 {
            logs.append("a.log", &text(written..written + 20 + round));
            written += 20 + round;
            if round > 0 && round % 3 != seed {
                logs.rename("a.log", &format!("a.log.{round}"));
                logs.append("a.log", &text(written..written + 5));
                written += 5;
            }
            let enough = if round == 11 { written } else { written - 17 };
            let had = all.len();
            run_until(logs.tail(pattern, ""), &intake, |seen| had + seen.complete_lines().len() >= enough);
            // Whatever else was read is read again, as it was not complete.
            all.extend(intake.seen().complete_lines());
            intake = intake.restarted();
        }
        assert!(all == numbered(0..written), "{pattern}: lines are missing, doubled or out of order: {all:?}");
    }
}

#[test]
fn a_new_file_in_the_inode_of_an_old_one_is_read_from_its_start() {
    let logs = Logs::new();
    logs.append("a.log", &text(0..3));
    let first = RecordingIntake::default();
    run_until(logs.tail("a.log", ""), &first, |seen| seen.bytes().len() == 21);
    // Same inode, other beginning, and longer than what was read.
    fs::write(logs.at("a.log"), format!("another {}", text(0..9))).unwrap();
    let second = first.restarted();
    run_until(logs.tail("a.log", "from = 'end'"), &second, |seen| seen.bytes().len() == 71 && !seen.forgotten.is_empty());
    let seen = second.seen();
    assert_eq!((seen.streams[0].options.position, &seen.forgotten), (0, &vec![logs.key("a.log")]));
    assert_eq!(seen.streams[0].options.key, format!("{}:2", logs.key("a.log")), "no two share a key, not even for a moment");
    drop(seen);
    // And the same content at the same place is the same file.
    let third = second.restarted();
    logs.append("a.log", "x\n");
    run_until(logs.tail("a.log", ""), &third, |seen| seen.bytes() == b"x\n");
}

#[test]
fn a_file_that_became_shorter_while_stopped_is_read_from_its_start() {
    let logs = Logs::new();
    logs.append("a.log", &text(0..300));
    let first = RecordingIntake::default();
    run_until(logs.tail("a.log", ""), &first, |seen| seen.lines().len() == 300);
    OpenOptions::new().write(true).open(logs.at("a.log")).unwrap().set_len(1500).unwrap();
    let second = first.restarted();
    run_until(logs.tail("a.log", ""), &second, |seen| seen.bytes().len() == 1500);
    assert_eq!(second.seen().streams[0].options.position, 0);
}

#[test]
fn checkpoints_of_files_that_are_gone_are_forgotten() {
    let logs = Logs::new();
    let remember = |path: PathBuf, key: &str| {
        let identity = format!("0:cbf29ce484222325:{}", path.display());
        Checkpoint { key: key.into(), identity, ..Checkpoint::default() }
    };
    let gone = remember(logs.at("gone.log"), "1:1");
    let unmounted = remember("/surely/not/mounted/a.log".into(), "1:2");
    let intake = RecordingIntake::new(vec![gone, unmounted]);
    run_until(logs.tail("a.log", ""), &intake, |seen| seen.forgotten == ["1:1"]);
}

#[test]
fn from_end_skips_what_was_there_and_nothing_else() {
    let logs = Logs::new();
    logs.append("a.log", "old\n");
    let first = RecordingIntake::default();
    let running = start(logs.tail("*.log", "from = 'end'"), &first);
    running.wait_for(|seen| seen.polls > 0);
    logs.append("b.log", &text(0..1));
    expect(&running, &first, 1, true);
    logs.append("a.log", &text(1..2));
    expect(&running, &first, 2, true);
    running.stop().unwrap();

    logs.rename("a.log", "a.old");
    logs.append("a.log", "in the place of a known one\n");
    logs.append("c.log", "never seen\n");
    let second = first.restarted();
    run_until(logs.tail("*.log", "from = 'end'"), &second, |seen| seen.streams.len() == 4 && !seen.bytes().is_empty());
    assert_eq!(second.seen().bytes(), b"in the place of a known one\n");
}

#[test]
fn once_reads_everything_in_order_and_finishes() {
    let logs = Logs::new();
    for (name, text) in [("b.log", "b1\nb2"), ("a.log", "a1\n"), ("c.log", "")] {
        logs.append(name, text);
    }
    let toml = format!("paths = ['{}', '{}', 'missing']\nonce = true", logs.at("c.log").display(), logs.at("*.log").display());
    let input = || testkit::plugins::input(&KIND, &toml).unwrap();
    let intake = RecordingIntake::default().with_block(2);
    start(input(), &intake).finish().unwrap();
    assert_eq!(intake.seen().bytes(), b"a1\nb1\nb2");
    assert!(intake.seen().streams.iter().all(|s| s.closed && s.ends == [s.bytes.len()]));

    logs.append("b.log", "\nb3\n");
    logs.append("a.log", "a2\n");
    let next = intake.restarted();
    start(input(), &next).finish().unwrap();
    assert_eq!(next.seen().bytes(), b"a2\n\nb3\n");
    start(logs.tail("nothing*", "once = true"), &intake).finish().unwrap();
}

#[test]
fn more_files_than_are_kept_open() {
    let logs = Logs::new();
    let count = 60;
    for i in 0..count {
        logs.append(&format!("{i}.log"), &text(i..i + 1));
    }
    let intake = RecordingIntake::default();
    let running = start(logs.tail("*.log", "max_open = 8"), &intake);
    expect(&running, &intake, count, false);
    for i in 0..count {
        logs.append(&format!("{i}.log"), &text(count + i..count + i + 1));
    }
    expect(&running, &intake, 2 * count, false);
    // One that is not open is rotated: it is found under its new name.
    let last = intake.seen().streams.last().unwrap().options.logger.clone();
    fs::rename(&last, logs.at("moved")).unwrap();
    logs.append("moved", &text(2 * count..2 * count + 1));
    expect(&running, &intake, 2 * count + 1, false);
}

#[test]
fn only_regular_files_are_followed() {
    let logs = Logs::new();
    let socket = std::os::unix::net::UnixListener::bind(logs.at("socket.log")).unwrap();
    fs::create_dir(logs.at("dir.log")).unwrap();
    logs.append("a.log", &text(0..1));
    let intake = RecordingIntake::default();
    let running = start(logs.tail("*.log", ""), &intake);
    expect(&running, &intake, 1, true);
    running.stop().unwrap();
    assert_eq!(intake.seen().streams.len(), 1);
    drop(socket);
}

#[test]
fn bad_patterns_are_refused_with_their_place() {
    let refused = testkit::plugins::input(&KIND, "paths = ['/a[.log']").err().unwrap();
    assert!(refused.contains("test.toml:1:9: `paths` is not a valid pattern") && refused.contains("`a[.log`, character 2"), "{refused}");
    let refused = testkit::plugins::input(&KIND, "paths = 'a'\nexclude = '[z'").err().unwrap();
    assert!(refused.contains("test.toml:2:11"), "{refused}");
}

#[test]
fn the_identity_grows_with_the_file() {
    let logs = Logs::new();
    logs.append("a.log", "");
    let intake = RecordingIntake::default();
    let running = start(logs.tail("a.log", ""), &intake);
    running.wait_for(|seen| seen.streams.iter().any(|s| s.options.identity.starts_with("0:")));
    logs.append("a.log", &"x".repeat(100));
    running.wait_for(|seen| seen.streams[0].options.identity.starts_with("100:"));
    logs.append("a.log", &"x".repeat(5000));
    running.wait_for(|seen| seen.streams[0].options.identity.starts_with("1024:") && seen.streams[0].bytes.len() == 5100);
    running.stop().unwrap();
    assert!(fs::metadata(logs.at("a.log")).unwrap().size() == intake.seen().streams[0].position);
}
