//! Compressed files are read once, and not when they are copies of what was read.

use super::super::inflate::Packing::{self, Gzip, Zstd};
use super::super::inflate::pack::pack;
use super::*;

/// Compresses a file as gzip and zstd do: the packed file beside it first, then the original goes.
fn compress(logs: &Logs, name: &str, packing: Packing) {
    copy(logs, name, packing);
    fs::remove_file(logs.at(name)).unwrap();
}

fn copy(logs: &Logs, name: &str, packing: Packing) {
    let content = fs::read(logs.at(name)).unwrap();
    fs::write(packed(logs, name, packing), pack(packing, &content)).unwrap();
}

fn packed(logs: &Logs, name: &str, packing: Packing) -> PathBuf {
    logs.at(&format!("{name}{}", if packing == Gzip { ".gz" } else { ".zst" }))
}

#[test]
fn siblings_are_read_in_order_packed_or_not_and_once() {
    let logs = Logs::new();
    for (n, packing) in [(3, Some(Zstd)), (2, Some(Gzip)), (1, None)] {
        let name = format!("a.log.{n}");
        logs.append(&name, &text((3 - n) * 1000..(4 - n) * 1000));
        packing.into_iter().for_each(|packing| compress(&logs, &name, packing));
    }
    logs.append("a.log", &text(3000..3100));
    let groups = r"groups = '/a\.log(\.(?<n>\d+))?(\.gz|\.zst)?$'
        priority = 'n descending'";
    let first = RecordingIntake::default().with_block(100);
    run_until(logs.tail("a.log*", groups), &first, |seen| seen.lines().len() >= 1500);
    let mut all = first.seen().complete_lines();
    let second = first.restarted();
    let running = start(logs.tail("a.log*", groups), &second);
    running.wait_for(|seen| all.len() + seen.complete_lines().len() >= 3100);
    all.extend(second.seen().complete_lines());
    assert!(all == numbered(0..3100), "{} lines", all.len());
    running.stop().unwrap();
    // What was read to its end is not even opened.
    let third = second.restarted();
    logs.append("a.log", &text(3100..3101));
    run_until(logs.tail("a.log*", groups), &third, |seen| !seen.bytes().is_empty());
    assert_eq!(third.seen().lines(), numbered(3100..3101));
    assert!(third.seen().streams.iter().all(|s| !s.options.logger.ends_with("gz")));
}

#[test]
fn what_is_compressed_after_rotation_is_not_read_again() {
    for packing in [Gzip, Zstd] {
        let logs = Logs::new();
        let intake = RecordingIntake::default();
        let running = start(logs.tail("a.log*", "rotate_wait = '10ms'\npoll = '10ms'"), &intake);
        let per_file = 300;
        for round in 0..6 {
            for i in (0..round).rev() {
                let ending = if i > 1 { if packing == Gzip { ".gz" } else { ".zst" } } else { "" };
                let from = if i == 0 { "a.log".to_string() } else { format!("a.log.{i}{ending}") };
                logs.rename(&from, &format!("a.log.{}{ending}", i + 1));
                if i == 1 {
                    compress(&logs, "a.log.2", packing);
                }
            }
            logs.append("a.log", &text(round * per_file..(round + 1) * per_file));
            expect(&running, &intake, (round + 1) * per_file, false);
        }
        // All four packed files were looked at and taken for what they are; those that became them are closed.
        running.wait_for(|seen| seen.streams.len() == 10 && seen.streams.iter().filter(|s| !s.closed).count() == 2);
        expect(&running, &intake, 6 * per_file, false);
        running.stop().unwrap();
        let next = intake.restarted();
        logs.append("a.log", "x\n");
        run_until(logs.tail("a.log*", ""), &next, |seen| seen.bytes() == b"x\n");
    }
}

#[test]
fn what_was_compressed_while_stopped_is_read_on_from_where_it_was() {
    for packing in [Gzip, Zstd] {
        let logs = Logs::new();
        logs.append("a.log", &text(0..2000));
        let first = RecordingIntake::default().with_block(1000);
        run_until(logs.tail("a.log*", ""), &first, |seen| seen.lines().len() > 300);
        let had = first.seen().complete_lines();
        logs.append("a.log", &text(2000..2500));
        logs.rename("a.log", "a.log.1");
        compress(&logs, "a.log.1", packing);
        logs.append("a.log", &text(2500..2600));
        let second = first.restarted();
        let rest = 2600 - had.len();
        let running = start(logs.tail("a.log*", ""), &second);
        running.wait_for(|seen| seen.lines().len() >= rest && !seen.forgotten.is_empty());
        assert!([had, second.seen().lines()].concat() == numbered(0..2600));
    }
}

#[test]
fn a_copy_beside_its_original_is_left_alone_while_that_is_there() {
    let logs = Logs::new();
    logs.append("a.log.1", &text(0..500));
    let intake = RecordingIntake::default();
    let running = start(logs.tail("a.log*", "rotate_wait = '10ms'\npoll = '10ms'"), &intake);
    expect(&running, &intake, 500, true);
    copy(&logs, "a.log.1", Gzip);
    let polls = intake.seen().polls;
    running.wait_for(|seen| seen.polls > polls + 3);
    logs.append("a.log.1", &text(500..600));
    expect(&running, &intake, 600, true);
    assert_eq!(intake.seen().streams.len(), 1);
}

#[test]
fn nothing_is_taken_over_before_it_has_arrived() {
    let logs = Logs::new();
    logs.append("a.log", &text(0..500));
    let intake = RecordingIntake::default();
    intake.withhold(true);
    let running = start(logs.tail("a.log*", "rotate_wait = '10ms'\npoll = '10ms'"), &intake);
    expect(&running, &intake, 500, true);
    compress(&logs, "a.log", Gzip);
    running.wait_for(|seen| seen.streams[0].closed);
    let polls = intake.seen().polls;
    running.wait_for(|seen| seen.polls > polls + 3);
    assert!(intake.seen().streams.len() == 1 && intake.seen().forgotten.is_empty(), "a crash now must find the old position");
    intake.withhold(false);
    running.wait_for(|seen| seen.forgotten.len() == 1 && seen.streams.len() == 2 && seen.streams[1].closed);
    expect(&running, &intake, 500, true);
}

#[test]
fn a_packed_file_is_read_as_it_is_written() {
    let logs = Logs::new();
    let lines = text(0..30_000);
    let bytes = pack(Gzip, lines.as_bytes());
    let mut file = logs.writer("a.log.gz");
    let intake = RecordingIntake::default();
    let running = start(logs.tail("*.gz", "poll = '10ms'"), &intake);
    for piece in bytes.chunks(bytes.len() / 5) {
        file.write_all(piece).unwrap();
        let polls = intake.seen().polls;
        running.wait_for(|seen| seen.polls > polls + 2);
    }
    expect(&running, &intake, 30_000, true);
    running.wait_for(|seen| seen.streams[0].closed);
}

#[test]
fn from_end_leaves_out_packed_files_that_were_there() {
    let logs = Logs::new();
    logs.append("a.log.1", "old\n");
    compress(&logs, "a.log.1", Zstd);
    let first = RecordingIntake::default();
    let running = start(logs.tail("a.log*", "from = 'end'"), &first);
    running.wait_for(|seen| seen.polls > 0);
    logs.append("a.log", &text(0..1));
    expect(&running, &first, 1, true);
    running.stop().unwrap();
    let second = first.restarted();
    logs.append("a.log", "x\n");
    run_until(logs.tail("a.log*", ""), &second, |seen| seen.bytes() == b"x\n");
}

#[test]
fn what_is_damaged_is_told_once_and_holds_up_nobody() {
    let logs = Logs::new();
    let mut bytes = pack(Gzip, text(0..50_000).as_bytes());
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2000].fill(0xff);
    fs::write(logs.at("a.log.1.gz"), bytes).unwrap();
    fs::write(logs.at("b.log.gz"), "not packed at all\n").unwrap();
    logs.append("a.log", "x\n");
    let intake = RecordingIntake::default();
    let running = start(logs.tail("*.log*", "poll = '10ms'"), &intake);
    running.wait_for(|seen| seen.streams.len() == 2 && seen.streams.iter().all(|s| !s.bytes.is_empty()));
    let read = intake.seen().bytes().len();
    let polls = intake.seen().polls;
    running.wait_for(|seen| seen.polls > polls + 3);
    assert_eq!(intake.seen().bytes().len(), read);
}

#[test]
fn once_reads_packed_files_to_their_end() {
    let logs = Logs::new();
    for i in 0..10 {
        logs.append(&format!("{i}.log"), &text(i * 100..(i + 1) * 100));
        compress(&logs, &format!("{i}.log"), if i % 2 == 0 { Gzip } else { Zstd });
    }
    let intake = RecordingIntake::default();
    start(logs.tail("*", "once = true"), &intake).finish().unwrap();
    assert!(intake.seen().lines() == numbered(0..1000));
}

/// Two files on one descriptor, of which `a.log` was read and is closed.
fn one_closed(logs: &Logs, intake: &RecordingIntake, a: &str) -> Running {
    logs.append("a.log", a);
    let running = start(logs.tail("*.log*", "max_open = 1\nrotate_wait = '10ms'"), intake);
    running.wait_for(|seen| seen.bytes() == a.as_bytes());
    logs.append("b.log", "b\n");
    running.wait_for(|seen| seen.bytes().ends_with(b"b\n"));
    running
}

#[test]
fn what_came_to_a_closed_file_before_it_was_packed_and_deleted_is_read_of_its_copy() {
    let logs = Logs::new();
    let intake = RecordingIntake::default();
    let running = one_closed(&logs, &intake, "line 0\nli");
    fs::write(logs.at("a.log.gz"), pack(Gzip, text(0..500).as_bytes())).unwrap();
    fs::remove_file(logs.at("a.log")).unwrap();
    running.wait_for(|seen| seen.lines().len() > 500 && !seen.forgotten.is_empty());
    let lines = intake.seen().lines();
    let lines: Vec<_> = lines.into_iter().filter(|line| line != "b").collect();
    assert!(lines == numbered(0..500), "no line is cut: {lines:?}");
    let meter = running.meter().read();
    assert!(meter.iter().all(|(name, n)| *name != "abandoned_bytes" || *n == 0), "{meter:?}");
}

#[test]
fn the_inode_of_a_closed_file_may_be_given_to_another_while_its_copy_waits() {
    let logs = Logs::new();
    let intake = RecordingIntake::default();
    let running = one_closed(&logs, &intake, &text(0..10));
    fs::write(logs.at("a.log.gz"), pack(Gzip, text(0..500).as_bytes())).unwrap();
    // The copy was looked at when what was made after it is read.
    logs.append("c.log", "c\n");
    running.wait_for(|seen| seen.bytes().ends_with(b"c\n"));
    logs.rename("a.log", "d.log");
    fs::write(logs.at("d.log"), "d\n").unwrap();
    running.wait_for(|seen| seen.lines().len() >= 503);
    let mut lines = intake.seen().lines();
    lines.retain(|line| line.len() > 1);
    assert!(lines == numbered(0..500), "{lines:?}");
}

#[test]
fn the_half_line_of_a_closed_file_that_is_gone_without_a_copy_is_a_line() {
    let logs = Logs::new();
    let intake = RecordingIntake::default();
    let running = one_closed(&logs, &intake, "line 0\nli");
    fs::remove_file(logs.at("a.log")).unwrap();
    running.wait_for(|seen| seen.forgotten.len() == 1 && seen.streams[0].closed);
    assert_eq!(intake.seen().streams[0].lines(), ["line 0", "li"], "nothing will complete it");
}

#[test]
fn a_copy_beside_its_original_is_left_alone_after_a_restart_too() {
    let logs = Logs::new();
    logs.append("a.log", &text(0..50));
    let first = RecordingIntake::default();
    run_until(logs.tail("a.log*", ""), &first, |seen| seen.lines().len() == 50);
    logs.append("a.log", &text(50..100));
    logs.rename("a.log", "a.log.1");
    copy(&logs, "a.log.1", Gzip);
    logs.rename("a.log.1.gz", "a.log.01.gz");
    let second = first.restarted();
    let running = start(logs.tail("a.log*", "poll = '10ms'"), &second);
    running.wait_for(|seen| seen.lines().len() >= 50);
    let polls = second.seen().polls;
    running.wait_for(|seen| seen.polls > polls + 3);
    assert!(second.seen().lines() == numbered(50..100), "{:?}", second.seen().lines());
}
