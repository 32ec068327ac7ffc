//! Segment files that somebody copied, renamed, emptied or deleted.

use std::fs;
use std::path::{Path, PathBuf};

use journal::{Cursors, Finding, Journal, Settings, What, inspect};
use tempfile::TempDir;

/// Ten records of 100 bytes fill a segment.
const SETTINGS: Settings = Settings { segment: 1400, max: 1 << 20 };

fn open(dir: &TempDir) -> (Journal, Vec<Finding>) {
    Journal::open(dir.path(), SETTINGS).unwrap()
}

/// A log of 45 records in five segments.
fn log() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (journal, findings) = open(&dir);
    assert!(findings.is_empty());
    (1..=45u8).for_each(|n| assert_eq!(journal.append(&[&[n; 100]]).unwrap(), u64::from(n)));
    assert_eq!(numbers(&dir), [1, 11, 21, 31, 41]);
    dir
}

fn path(dir: &TempDir, first: u64) -> PathBuf {
    dir.path().join(format!("{first:016x}.log"))
}

fn numbers(dir: &TempDir) -> Vec<u64> {
    let name = |e: std::io::Result<fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
    let number = |name: String| u64::from_str_radix(name.strip_suffix(".log")?, 16).ok();
    let mut found: Vec<u64> = fs::read_dir(dir.path()).unwrap().map(name).filter_map(number).collect();
    found.sort_unstable();
    found
}

/// Numbers of all records, which have to be what they were.
fn read(journal: &Journal) -> (Vec<u64>, Vec<Finding>) {
    let mut reader = journal.reader(1);
    let mut seqs = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        assert_eq!(record.bytes, [record.seq as u8; 100]);
        seqs.push(record.seq);
    }
    (seqs, reader.take_findings())
}

fn cursors(dir: &Path, seqs: &[u64]) {
    let (mut cursors, _) = Cursors::open(dir);
    seqs.iter().enumerate().for_each(|(i, seq)| cursors.set(&i.to_string(), *seq));
    cursors.save().unwrap();
}

/// A copy is set aside and told, by looking and by opening; nothing is lost, and no number is skipped.
fn costs_nothing(from: u64, to: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let dir = log();
    let mut bytes = fs::read(path(&dir, from)).unwrap();
    change(&mut bytes);
    fs::write(path(&dir, to), &bytes).unwrap();

    let report = inspect::check(dir.path()).unwrap();
    let told: Vec<_> = report.findings().map(|f| (f.file.clone(), f.what.clone())).collect();
    assert_eq!(told, [(path(&dir, to), What::Copy)], "{from} as {to}");
    assert_eq!(inspect::records(dir.path(), 1).unwrap().count(), 45, "{from} as {to}");

    let (journal, findings) = open(&dir);
    let [finding] = &findings[..] else { panic!("{from} as {to}: {findings:?}") };
    assert_eq!((&finding.file, &finding.what, finding.records()), (&path(&dir, to), &What::Copy, 0));
    assert_eq!(fs::read(finding.aside.as_ref().unwrap()).unwrap(), bytes);
    assert_eq!(read(&journal), ((1..=45).collect(), vec![]), "{from} as {to}");
    drop(journal);
    let (journal, findings) = open(&dir);
    assert_eq!((journal.append(&[&[46; 100]]).unwrap(), findings), (46, vec![]), "{from} as {to}");
    assert_eq!(read(&journal).0.len(), 46);
    assert_eq!(inspect::check(dir.path()).unwrap().aside.first(), finding.aside.as_ref());
}

#[test]
fn a_copy_of_the_last_segment_under_the_next_name_is_set_aside() {
    costs_nothing(41, 42, |_| {});
}

#[test]
fn a_copy_of_any_segment_under_any_name_is_set_aside() {
    for from in [1, 21, 41] {
        for to in [2, 5, 12, 30, 44, 46, 47, 1000] {
            costs_nothing(from, to, |_| {});
        }
    }
    costs_nothing(11, 4, |_| {});
}

#[test]
fn a_copy_without_its_header_or_end_is_set_aside() {
    costs_nothing(41, 42, |bytes| bytes[..32].fill(0xAA));
    costs_nothing(21, 25, |bytes| bytes[5] ^= 1);
    costs_nothing(41, 43, |bytes| bytes.truncate(500));
}

#[test]
fn a_copy_does_not_replace_a_segment_whose_own_header_is_damaged() {
    let dir = log();
    fs::copy(path(&dir, 41), path(&dir, 42)).unwrap();
    let mut bytes = fs::read(path(&dir, 41)).unwrap();
    bytes[..32].fill(0);
    fs::write(path(&dir, 41), bytes).unwrap();
    let (journal, findings) = open(&dir);
    assert_eq!(findings.iter().map(|f| f.what.clone()).collect::<Vec<_>>(), [What::Copy, What::SegmentHeader]);
    assert_eq!(read(&journal), ((1..=45).collect(), vec![]));
}

#[test]
fn a_renamed_segment_is_set_aside_and_costs_its_own_records_only() {
    for to in [15, 23, 28, 43, 500] {
        let dir = log();
        fs::rename(path(&dir, 21), path(&dir, to)).unwrap();
        let looked: Vec<_> = inspect::check(dir.path()).unwrap().findings().map(|f| f.what.clone()).collect();
        assert!(looked.contains(&What::Misplaced) && looked.contains(&What::Missing), "{looked:?}");
        let (journal, findings) = open(&dir);
        let [finding] = &findings[..] else { panic!("{to}: {findings:?}") };
        assert_eq!((&finding.what, finding.aside.is_some()), (&What::Misplaced, true));
        let (seqs, findings) = read(&journal);
        assert_eq!(seqs, (1..=20).chain(31..=45).collect::<Vec<_>>(), "{to}");
        assert_eq!(findings.iter().map(|f| f.lost.clone()).next(), Some(21..31));
        assert!(journal.append(&[&[0; 100]]).unwrap() > 45);
    }
}

#[test]
fn a_segment_of_another_log_among_the_numbers_of_ours_is_told() {
    let (dir, other) = (log(), log());
    let (journal, _) = Journal::open(other.path(), Settings { segment: 4000, max: 1 << 20 }).unwrap();
    (46..=60u8).for_each(|n| assert!(journal.append(&[&[n; 100]]).is_ok()));
    // 41 to 60, where another one begins at 51.
    fs::copy(path(&other, 41), path(&dir, 41)).unwrap();
    let third = log();
    let (journal, _) = open(&third);
    journal.skip_to(51);
    (51..=55u8).for_each(|n| assert!(journal.append(&[&[n; 100]]).is_ok()));
    fs::copy(path(&third, 51), path(&dir, 51)).unwrap();
    let told = |findings: &[Finding]| findings.iter().map(|f| (f.file.clone(), f.what.clone())).collect::<Vec<_>>();
    let (journal, findings) = open(&dir);
    assert!(findings.is_empty());
    let (seqs, findings) = read(&journal);
    assert_eq!((seqs, told(&findings)), ((1..=55).collect(), vec![(path(&dir, 41), What::Overlap)]));
    let report = inspect::check(dir.path()).unwrap();
    assert_eq!(report.findings().map(|f| f.what.clone()).collect::<Vec<_>>(), [What::Overlap]);
}

#[test]
fn a_deleted_last_segment_is_told_as_far_as_cursors_know() {
    let dir = log();
    cursors(dir.path(), &[12, 44]);
    fs::remove_file(path(&dir, 41)).unwrap();
    let told = |f: &Finding| (f.file.clone(), f.what.clone(), f.lost.clone());
    let expected = vec![(path(&dir, 31), What::End, 41..44)];
    assert_eq!(inspect::check(dir.path()).unwrap().findings().map(told).collect::<Vec<_>>(), expected);
    let (journal, findings) = open(&dir);
    assert_eq!(findings.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!(journal.skip_to(44), None);
    assert_eq!(journal.skip_to(46).unwrap().lost, 44..46);
    assert_eq!(journal.append(&[&[46; 100]]).unwrap(), 46);
    // All of that is known, and not told again.
    assert_eq!(read(&journal), ((1..=40).chain([46]).collect(), vec![]));
}

#[test]
fn when_all_segments_are_gone_what_somebody_still_wanted_is_told() {
    let dir = log();
    cursors(dir.path(), &[12, 44]);
    numbers(&dir).into_iter().for_each(|first| fs::remove_file(path(&dir, first)).unwrap());
    assert_eq!(inspect::check(dir.path()).unwrap().findings().map(|f| (f.lost.start, f.lost.end)).collect::<Vec<_>>(), [(12, 44)]);
    let (journal, findings) = open(&dir);
    assert_eq!(findings.iter().map(|f| (f.what.clone(), f.lost.clone())).collect::<Vec<_>>(), [(What::End, 12..44)]);
    assert_eq!(journal.end(), 44);
}

#[test]
fn an_emptied_segment_is_told_wherever_it_is() {
    for first in [1, 21, 41] {
        let dir = log();
        cursors(dir.path(), &[46]);
        fs::write(path(&dir, first), "").unwrap();
        let told = |f: &Finding| (f.file.clone(), f.what.clone(), f.lost.clone());
        let mut expected = vec![(path(&dir, first), What::Emptied, first..first + 10)];
        if first == 41 {
            expected = vec![(path(&dir, 41), What::Emptied, 0..0), (path(&dir, 41), What::End, 41..46)];
        }
        let plain = |mut f: Vec<(PathBuf, What, std::ops::Range<u64>)>| {
            f.iter_mut().filter(|f| f.2.is_empty()).for_each(|f| f.2 = 0..0);
            f
        };
        assert_eq!(plain(inspect::check(dir.path()).unwrap().findings().map(told).collect()), expected);
        let (journal, findings) = open(&dir);
        assert_eq!(plain(findings.iter().map(told).collect()), expected);
        assert_eq!(journal.append(&[&[46; 100]]).unwrap(), 46);
        let (seqs, findings) = read(&journal);
        assert_eq!((seqs.len(), findings), (if first == 41 { 41 } else { 36 }, vec![]), "told by opening already");
    }
}

#[test]
fn a_segment_that_nothing_was_written_to_yet_was_not_emptied() {
    for settings in [SETTINGS, Settings { segment: 1, max: 1 << 20 }] {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..5u64 {
            let (journal, findings) = Journal::open(dir.path(), settings).unwrap();
            assert!(findings.is_empty(), "round {round}: {findings:?}");
            (0..25).for_each(|_| assert!(journal.append(&[&[1; 100]]).is_ok()));
            journal.release(journal.end()).unwrap();
            assert_eq!(inspect::check(dir.path()).unwrap().findings().count(), 0);
        }
    }
}

#[test]
fn damage_that_opening_told_is_counted_by_readers_and_not_told_again() {
    let dir = log();
    let mut bytes = fs::read(path(&dir, 41)).unwrap();
    bytes[100] ^= 1;
    fs::write(path(&dir, 41), bytes).unwrap();
    let (journal, findings) = open(&dir);
    assert_eq!(findings.iter().map(|f| (f.lost.start, f.lost.end)).collect::<Vec<_>>(), [(41, 42)]);
    let mut reader = journal.reader(1);
    while reader.next().unwrap().is_some() {}
    assert_eq!((reader.lost(), reader.take_findings()), (1, vec![]));
}
