use std::fs::OpenOptions;
use std::io::Write;

use message::Value;
use plugin::Counter;
use testkit::intake::{RecordingIntake, Seen, start};
use testkit::plugins::input;

use super::*;

const RECORDED: &str = "6,339,5140900,-;NET: Registered protocol family 10\n\
    30,340,5690716,-;udevd[80]: starting version 181\n\
    3,341,6001000,-,caller=T17;sd 0:0:0:0: [sda] caf\\xc3\\xa9 failed\n SUBSYSTEM=scsi\n DEVICE=+scsi:0:0:0:0\n\
    4,344,6001001,c;, again\n";

struct Recorded(tempfile::TempDir);

impl Recorded {
    fn new() -> Recorded {
        let recorded = Recorded(tempfile::tempdir().unwrap());
        recorded.append(RECORDED);
        recorded
    }

    fn append(&self, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.0.path().join("kmsg")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn input(&self, more: &str) -> Box<dyn Input> {
        input(&KIND, &format!("path = '{}'\n{more}", self.0.path().join("kmsg").display())).unwrap()
    }
}

fn texts(seen: &Seen) -> Vec<String> {
    seen.made.iter().map(|b| String::from_utf8_lossy(b.get(0).payload()).into_owned()).collect()
}

#[test]
fn records_become_messages() {
    let (recorded, intake) = (Recorded::new(), RecordingIntake::default());
    let running = start(recorded.input(""), &intake);
    running.wait_for(|seen| seen.made.len() == 4);
    assert!(running.meter().read().contains(&("lost", 2)), "{:?}", running.meter().read());
    running.stop().unwrap();
    let seen = intake.seen();
    assert_eq!(
        texts(&seen),
        ["NET: Registered protocol family 10", "udevd[80]: starting version 181", "sd 0:0:0:0: [sda] café failed", ", again"]
    );
    let m = seen.made[2].get(0);
    assert_eq!((m.type_(), m.logger(), m.severity()), (&b"kmsg"[..], &b"kernel"[..], 3));
    assert_eq!((m.value(b"sequence", 0, 0), m.value(b"boot_us", 0, 0)), (Some(Value::Integer(341)), Some(Value::Integer(6_001_000))));
    assert_eq!((m.value(b"subsystem", 0, 0), m.value(b"facility", 0, 0)), (Some(Value::String(b"scsi")), Some(Value::Integer(0))));
    assert_eq!(m.timestamp() - seen.made[1].get(0).timestamp(), 310_284_000);
    assert_eq!(seen.made[1].get(0).value(b"facility", 0, 0), Some(Value::Integer(3)));
    assert_eq!(seen.made[3].get(0).value(b"continuation", 0, 0), Some(Value::Bool(true)));
}

#[test]
fn a_restart_goes_on_behind_the_last_record() {
    let (recorded, intake) = (Recorded::new(), RecordingIntake::default());
    let running = start(recorded.input(""), &intake);
    running.wait_for(|seen| seen.made.len() == 4);
    running.stop().unwrap();
    recorded.append("6,345,7000000,-;new\n");
    let intake = intake.restarted();
    let running = start(recorded.input(""), &intake);
    running.wait_for(|seen| !seen.made.is_empty());
    recorded.append("6,346,7000001,-;newer\n");
    running.wait_for(|seen| seen.made.len() == 2);
    running.stop().unwrap();
    assert_eq!(texts(&intake.seen()), ["new", "newer"]);
    assert_eq!(intake.seen().remembered()[0].note, "346");
}

#[test]
fn from_the_end_only_what_comes_is_read_and_garbage_is_counted() {
    let (recorded, intake) = (Recorded::new(), RecordingIntake::default());
    let running = start(recorded.input("from = 'end'"), &intake);
    running.wait_for(|seen| seen.polls > 1);
    recorded.append("no record\n-1,2,3,-;no\n6,1\n6,350,1,-;yes\n");
    running.wait_for(|seen| !seen.made.is_empty());
    assert!(running.meter().read().contains(&("malformed", 3)));
    assert_eq!(running.meter().get(Counter::Failed), 0);
    running.stop().unwrap();
    assert_eq!(texts(&intake.seen()), ["yes"]);
}

#[test]
fn what_is_not_there_is_waited_for() {
    let intake = RecordingIntake::default();
    let running = start(input(&KIND, "path = '/nonexistent/kmsg'").unwrap(), &intake);
    running.wait_for(|seen| seen.polls > 1);
    running.stop().unwrap();
}

#[test]
fn escapes_are_taken_back() {
    let of = |text: &str| {
        let mut into = Vec::new();
        record::unescape(text.as_bytes(), &mut into);
        into
    };
    assert_eq!(of(r"a\x0ab\\x5c\"), b"a\nb\\\\\\");
    assert_eq!(of(r"\x4"), br"\x4");
}

#[test]
fn a_record_read_in_pieces_is_one() {
    for step in 1..RECORDED.len() {
        let (mut records, mut found) = (record::Records::default(), Vec::new());
        for piece in RECORDED.as_bytes().chunks(step) {
            records.add(piece, |record| found.push(record.to_vec()));
        }
        records.end(|record| found.push(record.to_vec()));
        assert_eq!(found.len(), 4, "{step}");
        assert_eq!(Record::parse(&found[2]).unwrap().properties().count(), 2, "{step}");
    }
}
