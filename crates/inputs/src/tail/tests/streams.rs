//! Files of one stream are read in order, whatever they are called.

use std::time::{Duration, SystemTime};

use super::*;

/// What was written at so many seconds after the epoch.
fn written(logs: &Logs, name: &str, text: &str, at: u64) {
    fs::create_dir_all(logs.at(name).parent().unwrap()).unwrap();
    fs::write(logs.at(name), text).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
    File::options().write(true).open(logs.at(name)).unwrap().set_modified(time).unwrap();
}

const DATED: &str = r"
    groups = '/(?<app>\w+)-(?<day>\d\d)-(?<month>[A-Z][a-z]+)-(?<shift>\w+)\.log$'
    differentiator = 'shop.{app}'
    priority = ['month', 'day', 'shift']
    translation.shift = { early = 1, late = 2, night = 3 }
";

#[test]
fn dated_siblings_are_read_by_their_dates_and_each_stream_has_its_name() {
    let logs = Logs::new();
    // The times of the last write say otherwise.
    for (n, name) in ["a-02-Feb-early", "a-01-Feb-night", "a-30-Jan-late", "a-30-Jan-early"].iter().enumerate() {
        written(&logs, &format!("{name}.log"), &text(3 - n..4 - n), 1000 + n as u64);
    }
    written(&logs, "a-unlike.log", "of no interest\n", 1);
    let intake = RecordingIntake::default();
    let running = start(logs.tail("*", DATED), &intake);
    expect(&running, &intake, 4, true);
    // A new day begins, and b has its own.
    logs.append("a-02-Feb-late.log", &text(4..6));
    expect(&running, &intake, 6, true);
    logs.append("b-02-Feb-late.log", &text(6..7));
    expect(&running, &intake, 7, true);
    running.stop().unwrap();
    let seen = intake.seen();
    let loggers: Vec<_> = seen.streams.iter().map(|s| s.options.logger.as_str()).collect();
    assert_eq!(loggers, ["shop.a", "shop.a", "shop.a", "shop.a", "shop.a", "shop.b"]);
}

#[test]
fn numbered_siblings_are_read_the_oldest_first_after_a_restart_too() {
    let logs = Logs::new();
    let groups = r"groups = '/(?<site>\w+)/access\.log(\.(?<n>\d+))?$'
        priority = 'n descending'";
    let name = |n: usize| if n == 0 { "a/access.log".to_string() } else { format!("a/access.log.{n}") };
    for n in (0..12).rev() {
        written(&logs, &name(n), &text((11 - n) * 10..(12 - n) * 10), 1000 - n as u64 % 3);
    }
    let mut intake = RecordingIntake::default().with_block(7);
    let mut all = Vec::new();
    for round in 1..=4 {
        let had = all.len();
        run_until(logs.tail("*/access.log*", groups), &intake, |seen| had + seen.complete_lines().len() >= round * 35 - 20);
        all.extend(intake.seen().complete_lines());
        intake = intake.restarted();
        // Rotated while nobody looks.
        for n in (0..12 + round - 1).rev() {
            logs.rename(&name(n), &name(n + 1));
        }
        logs.append(&name(0), &text(120 + (round - 1) * 5..120 + round * 5));
    }
    run_until(logs.tail("*/access.log*", groups), &intake, |seen| all.len() + seen.complete_lines().len() >= 140);
    all.extend(intake.seen().complete_lines());
    assert!(all == numbered(0..140), "{all:?}");
}

#[test]
fn without_groups_rotated_siblings_are_read_by_their_age() {
    let logs = Logs::new();
    for (name, lines, at) in
        [("x.log", 4..5, 90), ("x.log.1", 3..4, 80), ("x.log.10", 0..1, 10), ("x.log.2", 2..3, 70), ("x.log-20260101", 1..2, 60)]
    {
        written(&logs, name, &text(lines), at);
    }
    let intake = RecordingIntake::default();
    expect(&start(logs.tail("x.log*", ""), &intake), &intake, 5, true);
    // Written at one time, as after a copy: the number tells.
    let logs = Logs::new();
    for (name, lines) in [("x.log", 3..4), ("x.log.1", 2..3), ("x.log.10", 0..1), ("x.log.2", 1..2)] {
        written(&logs, name, &text(lines), 10);
    }
    let intake = RecordingIntake::default();
    expect(&start(logs.tail("x.log*", ""), &intake), &intake, 4, true);
}

#[test]
fn files_that_are_gone_are_forgotten_though_others_wait() {
    let logs = Logs::new();
    logs.append("a.log", &text(0..2));
    logs.append("b.log", &text(2..3));
    let intake = RecordingIntake::default();
    let running = start(logs.tail("*.log", "rotate_wait = '10ms'\npoll = '10ms'"), &intake);
    expect(&running, &intake, 3, false);
    intake.withhold(true);
    logs.append("b.log", &text(3..4));
    expect(&running, &intake, 4, false);
    fs::remove_file(logs.at("a.log")).unwrap();
    // Of b something is under way; nothing is of a.
    running.wait_for(|seen| seen.forgotten.len() == 1);
    fs::remove_file(logs.at("b.log")).unwrap();
    running.wait_for(|seen| seen.streams[1].closed);
    assert_eq!(intake.seen().forgotten.len(), 1);
    intake.withhold(false);
    running.wait_for(|seen| seen.forgotten.len() == 2);
}

#[test]
fn how_far_it_is_behind_is_measured() {
    let logs = Logs::new();
    logs.append("a.log", &text(0..10_000));
    let intake = RecordingIntake::default();
    let running = start(logs.tail("a.log", "poll = '10ms'"), &intake);
    let meter = |name: &str| running.meter().read().into_iter().find(|(n, _)| *n == name).map(|(_, n)| n);
    expect(&running, &intake, 10_000, true);
    running.wait_for(|_| meter("lag_bytes") == Some(0));
    assert_eq!((meter("files"), meter("files_open")), (Some(1), Some(1)));
}

#[test]
fn a_thousand_files_on_few_descriptors_each_have_their_turn() {
    let logs = Logs::new();
    let count = 1000;
    for i in 0..count {
        logs.append(&format!("{i}.log"), &text(i..i + 1));
    }
    // One that has much more than the others does not hold them up.
    logs.append("0.log", &"x\n".repeat(4 << 20));
    let intake = RecordingIntake::default();
    let running = start(logs.tail("*.log", "max_open = 16"), &intake);
    running.wait_for(|seen| seen.streams.len() == count && seen.streams.iter().all(|s| !s.bytes.is_empty()));
    assert!(intake.seen().bytes().len() < 8 << 20, "the others came while it was read");
    let meter = running.meter().read();
    let open = meter.iter().find(|(name, _)| *name == "files_open").unwrap().1;
    assert!(open <= 16, "{open}");
}
