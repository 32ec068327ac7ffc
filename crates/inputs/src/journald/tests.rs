//! Every entry once, whatever happens to the files.

mod written;

use std::fs;
use std::path::PathBuf;

use message::Value;
use testkit::intake::{RecordingIntake, Running, Seen, start};
use testkit::plugins::input;

use self::written::{Packing, Written};
use super::*;

/// A directory of journal files.
struct Journal(tempfile::TempDir);

impl Journal {
    fn new() -> Journal {
        Journal(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn create(&self, name: &str, id: u8) -> Written {
        Written::create(&self.at(name), id, false, Packing::None)
    }

    fn start(&self, more: &str, intake: &RecordingIntake) -> Running {
        start(input(&KIND, &format!("path = '{}'\npoll = '20ms'\n{more}", self.0.path().display())).unwrap(), intake)
    }
}

/// Adds entries with their number for a message.
fn add(file: &mut Written, numbers: std::ops::Range<u64>) {
    numbers.for_each(|n| file.entry(n, 1_700_000_000_000_000 + n, &[&format!("MESSAGE={n}")]));
}

fn payloads(seen: &Seen) -> Vec<String> {
    let made = seen.made.iter().flat_map(|b| (0..b.len()).map(|i| b.get(i)));
    made.map(|m| String::from_utf8_lossy(m.payload()).into_owned()).collect()
}

fn numbers(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

#[test]
fn an_entry_becomes_a_message() {
    for (n, (compact, packing)) in [(false, Packing::None), (true, Packing::Zstd), (true, Packing::Lz4)].into_iter().enumerate() {
        let (journal, intake) = (Journal::new(), RecordingIntake::default());
        let mut file = Written::create(&journal.at("system.journal"), 7, compact, packing);
        file.entry(
            1,
            1_700_000_000_123_456,
            &[
                "MESSAGE=disk on fire",
                "PRIORITY=3",
                "_HOSTNAME=web1",
                "SYSLOG_IDENTIFIER=smartd",
                "_PID=42",
                "SYSLOG_FACILITY=3",
                "UNIT=spoofed",
                "SYSTEMD_UNIT=spoofed",
                "_SYSTEMD_UNIT=smartd.service",
                "_UID=0",
                "CODE_LINE=none",
            ],
        );
        let running = journal.start("", &intake);
        running.wait_for(|seen| seen.made.len() == 1);
        running.stop().unwrap();
        let seen = intake.seen();
        let m = seen.made[0].get(0);
        assert_eq!((m.type_(), m.payload(), m.severity(), m.hostname()), (&b"journald"[..], &b"disk on fire"[..], 3, &b"web1"[..]), "{n}");
        assert_eq!((m.logger(), m.pid(), m.timestamp()), (&b"smartd"[..], 42, 1_700_000_000_123_456_000), "{n}");
        let field = |name: &str| m.value(name.as_bytes(), 0, 0);
        assert_eq!(
            (field("facility"), field("uid"), field("code_line")),
            (Some(Value::Integer(3)), Some(Value::Integer(0)), Some(Value::String(b"none")))
        );
        assert_eq!((field("systemd_unit"), field("unit")), (Some(Value::String(b"smartd.service")), Some(Value::String(b"spoofed"))));
        assert_eq!((field("message"), field("hostname")), (None, None));
        let ids = ("ab".repeat(16), "cd".repeat(16));
        assert_eq!(seen.remembered()[0].note, format!("s={};i=1;b={};m=4d;t=60a2418202240;x=63", ids.0, ids.1));
    }
}

#[test]
fn a_file_is_followed_and_a_restart_goes_on() {
    let (journal, mut intake) = (Journal::new(), RecordingIntake::default());
    let mut file = journal.create("system.journal", 1);
    let mut all = Vec::new();
    for round in 0..4 {
        add(&mut file, round * 30..round * 30 + 10);
        let running = journal.start("", &intake);
        running.wait_for(|seen| seen.made.len() == 10);
        add(&mut file, round * 30 + 10..round * 30 + 30);
        running.wait_for(|seen| seen.made.len() == 30);
        running.stop().unwrap();
        all.extend(payloads(&intake.seen()));
        intake = intake.restarted();
    }
    assert_eq!(all, numbers(0..120));
}

#[test]
fn rotated_files_are_read_to_their_end_and_forgotten_when_they_are_deleted() {
    let (journal, intake) = (Journal::new(), RecordingIntake::default());
    let mut old = journal.create("system.journal", 1);
    add(&mut old, 0..5);
    let running = journal.start("", &intake);
    running.wait_for(|seen| seen.made.len() == 5);
    running.stop().unwrap();
    // While nobody looks, it goes on, is rotated, and so is the next.
    add(&mut old, 5..10);
    old.archive();
    fs::rename(journal.at("system.journal"), journal.at("system@1.journal")).unwrap();
    let mut new = journal.create("system.journal", 2);
    add(&mut new, 10..15);
    let intake = intake.restarted();
    let running = journal.start("", &intake);
    running.wait_for(|seen| seen.made.len() == 10);
    add(&mut new, 15..20);
    new.archive();
    fs::rename(journal.at("system.journal"), journal.at("system@2.journal")).unwrap();
    add(&mut journal.create("system.journal", 3), 20..25);
    running.wait_for(|seen| seen.made.len() == 20);
    fs::remove_file(journal.at("system@1.journal")).unwrap();
    running.wait_for(|seen| seen.forgotten == ["01".repeat(16)]);
    running.stop().unwrap();
    assert_eq!(payloads(&intake.seen()), numbers(5..25));
    let again = intake.restarted();
    let running = journal.start("", &again);
    running.wait_for(|seen| seen.polls > 2);
    running.stop().unwrap();
    assert_eq!(payloads(&again.seen()), Vec::<String>::new());
}

#[test]
fn files_are_merged_by_time_and_late_entries_are_read() {
    let (journal, intake) = (Journal::new(), RecordingIntake::default());
    let machine = "0123456789abcdef0123456789abcdef";
    fs::create_dir(journal.at(machine)).unwrap();
    let (mut one, mut two) = (journal.create("one.journal", 1), journal.create(&format!("{machine}/two.journal"), 2));
    for n in 0..10 {
        add(if n % 2 == 0 { &mut one } else { &mut two }, n..n + 1);
    }
    let running = journal.start("", &intake);
    running.wait_for(|seen| seen.made.len() == 10);
    assert_eq!(payloads(&intake.seen()), numbers(0..10));
    // The clock was set back.
    one.entry(11, 5, &["MESSAGE=late"]);
    running.wait_for(|seen| seen.made.len() == 11);
    running.stop().unwrap();
}

#[test]
fn only_what_matches_is_taken_and_the_rest_is_not_read_again() {
    let (journal, intake) = (Journal::new(), RecordingIntake::default());
    let mut file = journal.create("system.journal", 1);
    let entries: [&[&str]; 7] = [
        &["MESSAGE=1", "_SYSTEMD_UNIT=nginx.service", "PRIORITY=3"],
        &["MESSAGE=2", "_SYSTEMD_UNIT=nginx.service", "PRIORITY=6"],
        &["MESSAGE=3", "_SYSTEMD_UNIT=other.service", "PRIORITY=3"],
        &["MESSAGE=4", "UNIT=nginx.service", "_PID=1", "PRIORITY=4"],
        &["MESSAGE=5", "UNIT=nginx.service", "_PID=2", "PRIORITY=4"],
        &["MESSAGE=6", "_SYSTEMD_UNIT=nginx.socket", "PRIORITY=4"],
        &["MESSAGE=7", "PRIORITY=4"],
    ];
    for (n, fields) in entries.iter().enumerate() {
        file.entry(n as u64 + 1, 1000 + n as u64, fields);
    }
    let options = "units = ['nginx', 'nginx.socket']\nmatches = ['PRIORITY=3', 'PRIORITY=4']";
    let running = journal.start(options, &intake);
    running.wait_for(|seen| seen.made.len() == 7);
    running.stop().unwrap();
    assert_eq!(payloads(&intake.seen()), ["1", "4", "6"]);
    assert_eq!(intake.seen().remembered()[0].position, 7);
    for bad in ["PRIORITY", "priority=3", "=3"] {
        let problem = input(&KIND, &format!("matches = '{bad}'")).err().unwrap();
        assert!(problem.contains("FIELD=value"), "{problem}");
    }
}

#[test]
fn since_holds_at_the_first_start_only() {
    let (journal, intake) = (Journal::new(), RecordingIntake::default());
    let now = plugin::Clock::real().now() as u64 / 1000;
    let (mut old, mut current) = (journal.create("old.journal", 1), journal.create("system.journal", 2));
    old.entry(1, now - 7_200_000_000, &["MESSAGE=long ago"]);
    old.archive();
    current.entry(2, now - 7_100_000_000, &["MESSAGE=ago"]);
    current.entry(3, now - 60_000_000, &["MESSAGE=lately"]);
    let running = journal.start("since = '1h'", &intake);
    running.wait_for(|seen| seen.made.len() == 1);
    running.stop().unwrap();
    assert_eq!(payloads(&intake.seen()), ["lately"]);
    let intake = intake.restarted();
    let mut late = journal.create("late.journal", 3);
    late.entry(4, now - 7_000_000_000, &["MESSAGE=of another host"]);
    let running = journal.start("since = '1h'", &intake);
    running.wait_for(|seen| seen.made.len() == 1);
    running.stop().unwrap();
    assert_eq!(payloads(&intake.seen()), ["of another host"]);
}

#[test]
fn what_is_damaged_is_left_out_and_counted() {
    let (journal, intake) = (Journal::new(), RecordingIntake::default());
    fs::write(journal.at("no.journal"), "no journal").unwrap();
    let mut file = journal.create("system.journal", 1);
    add(&mut file, 0..8);
    file.spoil(file.offsets[3]);
    file.spoil(file.offsets[5] + 64);
    file.entry(9, 1_700_000_000_000_100, &["MESSAGE=long", &format!("CORE={}", "x".repeat(5000))]);
    let mut xz = Written::create(&journal.at("xz.journal"), 2, false, Packing::Xz);
    xz.entry(1, 1_700_000_000_000_200, &["MESSAGE=packed"]);
    let running = journal.start("max_value = '4KiB'", &intake);
    running.wait_for(|seen| payloads(seen).len() == 8);
    let counted = running.meter().read();
    running.stop().unwrap();
    assert_eq!(payloads(&intake.seen()), ["0", "1", "2", "4", "6", "7", "long", ""]);
    for counter in [("damaged_entries", 2), ("oversized_fields", 1), ("unreadable_fields", 1)] {
        assert!(counted.contains(&counter), "{counter:?} in {counted:?}");
    }
}

#[test]
fn garbage_of_any_kind_ends() {
    // Each byte of a small file wrong in turn: whatever that does, the rest is read or left out.
    let template = Journal::new();
    let mut file = template.create("system.journal", 1);
    add(&mut file, 0..6);
    let bytes = fs::read(template.at("system.journal")).unwrap();
    let path = template.at("broken.journal");
    for at in (8..bytes.len()).step_by(3) {
        let mut broken = bytes.clone();
        broken[at] ^= 0x5a;
        fs::write(&path, &broken[..bytes.len() - at % 7]).unwrap();
        let Ok(mut file) = file::JournalFile::open(&path) else { continue };
        let mut steps = 0;
        while let Ok(Some(head)) = file.head() {
            let _ = file.entry(head, 1000, &mut file::Missing::default());
            file.pass();
            steps += 1;
            assert!(steps < 1000, "at {at}");
        }
        let _ = file.seek(u64::MAX);
    }
}
