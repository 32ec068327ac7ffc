//! What the log does when nothing goes wrong, on real directories.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use journal::{AppendError, Cursors, Finding, Journal, MAX_RECORD, Settings, inspect};
use tempfile::TempDir;

/// Sixteen records of 1000 bytes fill a segment.
const SMALL: Settings = Settings { segment: 16 << 10, max: 1 << 20 };

fn open(dir: &Path) -> Journal {
    let (journal, findings) = Journal::open(dir, SMALL).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    journal
}

/// All payloads from a number on, and what was found on the way.
pub fn payloads(journal: &Journal, from: u64) -> (Vec<Vec<u8>>, Vec<Finding>) {
    let mut reader = journal.reader(from);
    let mut found = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        found.push(record.bytes);
    }
    (found, reader.take_findings())
}

fn fill(journal: &Journal, records: usize) {
    (0..records).for_each(|n| assert!(journal.append(&[&n.to_be_bytes(), &[7; 992]]).is_ok()));
}

fn files(dir: &TempDir, suffix: &str) -> usize {
    fs::read_dir(dir.path()).unwrap().filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().ends_with(suffix)).count()
}

#[test]
fn records_come_back_whole_and_in_order_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let parts = vec![&b"x"[..]; 3000];
    assert_eq!(journal.append(&[]).unwrap(), 1);
    assert_eq!(journal.append(&[b"a", b"", b"bc"]).unwrap(), 2);
    assert_eq!(journal.append(&parts).unwrap(), 3);
    fill(&journal, 50);
    let expected = payloads(&journal, 1);
    assert_eq!(expected.0[..3], [vec![], b"abc".to_vec(), vec![b'x'; 3000]]);
    assert_eq!((expected.0.len(), expected.1.len(), journal.first(), journal.end()), (53, 0, 1, 54));
    drop(journal);
    let journal = open(dir.path());
    assert_eq!((journal.first(), journal.end()), (1, 54));
    assert_eq!(payloads(&journal, 1), expected);
    assert_eq!(payloads(&journal, 30).0, expected.0[29..]);
    assert_eq!(journal.append(&[b"next"]).unwrap(), 54);
}

#[test]
fn a_reader_sees_what_is_appended_later_and_waits_for_what_is_not_yet() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let (mut reader, mut ahead) = (journal.reader(1), journal.reader(40));
    assert_eq!(reader.next().unwrap(), None);
    for n in 1..60u64 {
        assert_eq!(journal.append(&[&n.to_be_bytes(), &[0; 700]]).unwrap(), n);
        assert_eq!(reader.next().unwrap().unwrap().seq, n);
        assert_eq!(reader.next().unwrap(), None);
        assert_eq!(ahead.next().unwrap().map(|r| r.seq), (n >= 40).then_some(n));
    }
    assert!(reader.take_findings().is_empty() && ahead.take_findings().is_empty());
}

#[test]
fn a_long_record_has_a_segment_of_its_own_and_a_longer_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let long = vec![9; 100 << 10];
    journal.append(&[b"before"]).unwrap();
    journal.append(&[&long]).unwrap();
    journal.append(&[b"after"]).unwrap();
    assert_eq!(files(&dir, ".log"), 3);
    assert_eq!(payloads(&journal, 1).0, [b"before".to_vec(), long, b"after".to_vec()]);
    let too_long = vec![0; MAX_RECORD + 1];
    assert!(matches!(journal.append(&[&too_long]), Err(AppendError::TooLong { .. })));
}

#[test]
fn released_segments_go_and_their_files_are_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    fill(&journal, 100);
    let segments = files(&dir, ".log");
    journal.release(journal.first() + 1).unwrap();
    assert_eq!(files(&dir, ".log"), segments, "a segment goes as a whole");
    journal.release(81).unwrap();
    assert!(journal.first() <= 81 && journal.first() > 60);
    let gone = segments - files(&dir, ".log");
    assert_eq!(files(&dir, ".spare"), gone.min(journal::SPARES));
    let bytes: u64 = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(journal.bytes(), bytes);
    assert_eq!(payloads(&journal, 1).0.len() as u64, 101 - journal.first());
    fill(&journal, 40);
    assert!(files(&dir, ".spare") < gone.min(journal::SPARES));
    let first = journal.first();
    drop(journal);
    // Behind the last record there is what the file held before; nobody takes it for records.
    let journal = open(dir.path());
    assert_eq!(journal.end(), 141);
    let (found, findings) = payloads(&journal, 1);
    assert_eq!((found.len() as u64, findings), (141 - first, vec![]));
    assert_eq!(inspect::check(dir.path()).unwrap().findings().count(), 0);
}

#[test]
fn readers_survive_the_release_of_what_they_read() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    fill(&journal, 100);
    let mut reader = journal.reader(1);
    assert_eq!(reader.next().unwrap().unwrap().seq, 1);
    journal.release(101).unwrap();
    fill(&journal, 100);
    let mut last = 1;
    while let Some(record) = reader.next().unwrap() {
        assert!(record.seq > last && record.bytes[8..] == [7; 992]);
        last = record.seq;
    }
    assert_eq!((last, reader.take_findings(), reader.lost()), (200, vec![], 0));
}

#[test]
fn a_full_log_says_so_and_takes_more_after_a_release() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), Settings { segment: 16 << 10, max: 100 << 10 }).unwrap();
    for round in 0..5 {
        let full = loop {
            if let Err(e) = journal.append(&[&[1; 3000]]) {
                break e;
            }
        };
        assert!(matches!(full, AppendError::Full { max: 102_400, bytes } if bytes <= 102_400), "round {round}: {full}");
        journal.release(journal.end()).unwrap();
        journal.append(&[&[2; 3000]]).unwrap();
    }
    // One record that fills the log by itself is no dead end either.
    journal.release(journal.end()).unwrap();
    journal.append(&[&vec![3; 70 << 10]]).unwrap();
    assert!(journal.append(&[&vec![3; 70 << 10]]).is_err());
    journal.release(journal.end()).unwrap();
    journal.append(&[&vec![3; 70 << 10]]).unwrap();
}

#[test]
fn numbers_that_a_cursor_has_seen_are_not_given_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut cursors, _) = Cursors::open(dir.path());
    cursors.set("a", 500);
    cursors.save().unwrap();
    let journal = open(dir.path());
    assert_eq!(journal.append(&[b"x"]).unwrap(), 500);
    assert_eq!(journal.skip_to(400), None);
    assert_eq!(journal.skip_to(600).unwrap().lost, 501..600);
    assert_eq!(journal.append(&[b"y"]).unwrap(), 600);
    let (found, findings) = payloads(&journal, 500);
    assert_eq!(found, [b"x", b"y"]);
    assert_eq!(findings, [], "that one was told");
}

#[test]
fn many_threads_append_while_others_read_sync_and_release() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::open(dir.path(), Settings { segment: 16 << 10, max: 8 << 20 }).unwrap().0);
    let (threads, each) = (4u64, 400u64);
    thread::scope(|scope| {
        for t in 0..threads {
            let journal = journal.clone();
            scope.spawn(move || (0..each).for_each(|n| assert!(journal.append(&[&t.to_be_bytes(), &n.to_be_bytes(), &[1; 500]]).is_ok())));
        }
        let mut reader = journal.reader(1);
        let (mut next, mut counts) = (1, vec![0; threads as usize]);
        while next <= threads * each {
            let Some(record) = reader.next().unwrap() else {
                thread::yield_now();
                continue;
            };
            assert_eq!(record.seq, next);
            let number = |at: usize| u64::from_be_bytes(record.bytes[at..at + 8].try_into().unwrap());
            assert_eq!(number(8), counts[number(0) as usize]);
            counts[number(0) as usize] += 1;
            next += 1;
            if next % 200 == 0 {
                assert!(journal.sync().unwrap() >= next);
                journal.release(next).unwrap();
            }
            if next % 333 == 0 {
                assert_eq!(inspect::check(dir.path()).unwrap().findings().map(Finding::records).sum::<u64>(), 0);
            }
        }
        assert!(reader.take_findings().is_empty());
    });
}

#[test]
fn a_directory_that_cannot_be_made_is_said() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = Journal::open(&dir.path().join("file/journal"), SMALL).unwrap_err();
    assert!(error.to_string().contains("file/journal"), "{error}");
}

#[test]
fn inspection_lists_segments_records_and_damage() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    fill(&journal, 40);
    let report = inspect::check(dir.path()).unwrap();
    assert_eq!(report.segments.iter().map(|s| s.records).sum::<u64>(), 40);
    assert_eq!((report.segments[0].first, report.segments.last().unwrap().last), (1, Some(40)));
    assert_eq!(inspect::records(dir.path(), 35).unwrap().map(|r| r.unwrap().seq).collect::<Vec<_>>(), [35, 36, 37, 38, 39, 40]);
    drop(journal);
    let file = &report.segments[0].file;
    let mut bytes = fs::read(file).unwrap();
    bytes[2000] ^= 1;
    fs::write(file, &bytes).unwrap();
    let report = inspect::check(dir.path()).unwrap();
    assert!(report.findings().map(|f| f.lost.clone()).eq(std::iter::once(2..3)));
    let mut records = inspect::records(dir.path(), 1).unwrap();
    assert_eq!(records.by_ref().count(), 39);
    assert_eq!(records.take_findings().len(), 1);
    let findings = inspect::repair(dir.path()).unwrap();
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(fs::read(finding.aside.as_ref().unwrap()).unwrap(), bytes[1064..2096]);
    assert_eq!(payloads(&open(dir.path()), 1).0.len(), 39);
}
