//! Bytes of segment files are flipped, zeroed, cut out and inserted: only records that were hit are
//! lost, and it is said.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use journal::{Finding, Journal, Settings, What};
use proptest::prelude::*;

use crate::sim::SimDisk;

const SETTINGS: Settings = Settings { segment: 2048, max: 1 << 20 };
const HEADER: usize = 32;

#[derive(Clone, Copy, Debug)]
enum Hurt {
    Flip,
    Zero,
    Noise,
    Cut,
    Insert,
}

impl Hurt {
    fn apply(self, bytes: &mut Vec<u8>, range: Range<usize>) {
        match self {
            Hurt::Flip => bytes[range.start] ^= 0x10,
            Hurt::Zero => bytes[range].fill(0),
            Hurt::Noise => bytes[range].iter_mut().enumerate().for_each(|(i, b)| *b = (i * 37 + 11) as u8),
            Hurt::Cut => drop(bytes.drain(range)),
            Hurt::Insert => drop(bytes.splice(range.start..range.start, (0..range.len()).map(|i| i as u8))),
        }
    }

    /// Whether it hits the record at these bytes.
    fn hits(self, at: &Range<usize>, record: &Range<usize>) -> bool {
        match self {
            Hurt::Flip => record.contains(&at.start),
            Hurt::Insert => record.start < at.start && at.start < record.end,
            _ => at.start < record.end && record.start < at.end,
        }
    }
}

/// A log of 60 records, some in files that had an earlier life.
fn log(sizes: &[usize]) -> SimDisk {
    let disk = SimDisk::new(1);
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), SETTINGS, 2).unwrap();
    for (n, size) in sizes.iter().cycle().take(90).enumerate() {
        journal.append(&[&vec![n as u8; *size]]).unwrap();
        if n == 30 {
            journal.release(31).unwrap();
        }
    }
    disk
}

/// Where each record is: number, bytes in the file.
fn places(disk: &SimDisk, name: &str, sizes: &[usize]) -> Vec<(u64, Range<usize>)> {
    let mut seq = u64::from_str_radix(&name[..16], 16).unwrap();
    let (mut at, mut found) = (HEADER, Vec::new());
    let next = logs(disk).into_iter().find(|n| n.as_str() > name).map_or(91, |n| u64::from_str_radix(&n[..16], 16).unwrap());
    while seq < next {
        let size = HEADER + sizes[(seq as usize - 1) % sizes.len()];
        found.push((seq, at..at + size));
        (at, seq) = (at + size, seq + 1);
    }
    found
}

fn logs(disk: &SimDisk) -> Vec<String> {
    disk.names().into_iter().filter(|n| n.ends_with(".log")).collect()
}

/// Numbers that can be read, and all that is said.
fn read(disk: &SimDisk, sizes: &[usize]) -> (BTreeSet<u64>, Vec<Finding>) {
    let (journal, mut findings) = Journal::open_on(Arc::new(disk.clone()), SETTINGS, 2).unwrap();
    let mut reader = journal.reader(0);
    let mut found = BTreeSet::new();
    while let Some(record) = reader.next().unwrap() {
        let n = record.seq as usize - 1;
        assert!(record.bytes == vec![n as u8; sizes[n % sizes.len()]], "record {} is another", record.seq);
        assert!(found.insert(record.seq));
    }
    findings.extend(reader.take_findings());
    assert!(journal.append(&[b"on"]).unwrap() > found.last().copied().unwrap_or(0));
    (found, findings)
}

fn check(sizes: &[usize], file: usize, hurt: Hurt, at: usize, length: usize) {
    let disk = log(sizes);
    let names = logs(&disk);
    let name = &names[file % names.len()];
    let places = places(&disk, name, sizes);
    let whole = read(&log(sizes), sizes).0;
    let before = disk.bytes(name);
    let mut bytes = before.clone();
    let start = at % bytes.len();
    let range = start..bytes.len().min(start + length);
    hurt.apply(&mut bytes, range.clone());
    disk.set_bytes(name, &bytes);

    let (found, findings) = read(&disk, sizes);
    let hit: BTreeSet<u64> = places.iter().filter(|(_, place)| hurt.hits(&range, place)).map(|p| p.0).collect();
    let lost: BTreeSet<u64> = whole.difference(&found).copied().collect();
    assert!(lost.is_subset(&hit), "{hurt:?} of {name} at {range:?} hit {hit:?}, but lost are {lost:?}: {findings:?}");
    let last = name == names.last().unwrap();
    // In a reused file no one can tell whether bytes behind the last record ever were one, nor in any
    // whether it was longer.
    let reused = before[10] == 1;
    let cut_off = matches!(hurt, Hurt::Cut) && range.end == before.len();
    let unseen = last && lost.contains(&90) && (reused || cut_off);
    for seq in lost {
        let said = findings.iter().any(|f| f.lost.contains(&seq) || (last && matches!(f.what, What::TornTail | What::Segment)));
        assert!(said || unseen, "{hurt:?} of {name} at {range:?} lost {seq}: {findings:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_costs_what_it_hits_and_is_told(
        sizes in proptest::collection::vec(prop_oneof![0usize..40, 40usize..600, Just(3000usize)], 1..6),
        file: usize,
        hurt in prop_oneof![Just(Hurt::Flip), Just(Hurt::Zero), Just(Hurt::Noise), Just(Hurt::Cut), Just(Hurt::Insert)],
        at: usize,
        length in prop_oneof![1usize..4, 1usize..100, 1usize..3000],
    ) {
        check(&sizes, file, hurt, at, length);
    }

    #[test]
    fn noise_instead_of_a_file_is_set_aside(noise in proptest::collection::vec(any::<u8>(), 0..5000), file: usize) {
        let sizes = [100];
        let disk = log(&sizes);
        let names = logs(&disk);
        let name = &names[file % names.len()];
        let gone: BTreeSet<u64> = places(&disk, name, &sizes).into_iter().map(|p| p.0).collect();
        let whole = read(&log(&sizes), &sizes).0;
        disk.set_bytes(name, &noise);
        let (found, _) = read(&disk, &sizes);
        prop_assert_eq!(whole.difference(&gone).copied().collect::<BTreeSet<_>>(), found);
    }
}

/// What follows then is where the one after it should be.
#[test]
fn a_cut_as_long_as_the_next_record_does_not_cost_that_one() {
    check(&[20, 127], 2016344908251670436, Hurt::Cut, 9511828318473169821, 52);
}

#[test]
fn a_cut_of_most_records_leaves_those_behind_it() {
    check(&[35], 0, Hurt::Cut, 1358457330087672082, 1371);
}

#[test]
fn a_segment_whose_header_is_gone_is_read_by_its_records() {
    let sizes = [100];
    let disk = log(&sizes);
    let name = logs(&disk)[0].clone();
    let whole = read(&log(&sizes), &sizes).0;
    let mut bytes = disk.bytes(&name);
    bytes[..HEADER].fill(0xFF);
    disk.set_bytes(&name, &bytes);
    let (found, findings) = read(&disk, &sizes);
    assert_eq!(found, whole);
    assert_eq!(findings[0].what, What::SegmentHeader);
}

/// The log would go on behind it, and the segment would not be known by its records any more.
#[test]
fn a_record_with_a_number_that_no_segment_can_reach_is_none() {
    let sizes = [100];
    let disk = log(&sizes);
    let name = logs(&disk).pop().unwrap();
    let whole = read(&log(&sizes), &sizes).0;
    let mut bytes = disk.bytes(&name);
    bytes[..HEADER].fill(0xAA);
    let mut header = bytes[HEADER..2 * HEADER].to_vec();
    header[8..16].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let sum = crc32fast::hash(&header[..28]);
    header[28..].copy_from_slice(&sum.to_le_bytes());
    bytes.splice(HEADER..HEADER, header.into_iter().chain([0; 100]));
    disk.set_bytes(&name, &bytes);
    let (found, findings) = read(&disk, &sizes);
    assert_eq!(found, whole);
    assert!(findings.iter().all(|f| f.records() == 0), "{findings:?}");
}

#[test]
fn an_unreadable_last_segment_does_not_bring_its_numbers_back() {
    let sizes = [100];
    let disk = log(&sizes);
    let name = logs(&disk).pop().unwrap();
    disk.set_bytes(&name, &[0xAA; 2000]);
    let open = || Journal::open_on(Arc::new(disk.clone()), SETTINGS, 2).unwrap();
    let (journal, findings) = open();
    assert_eq!(findings[0].what, What::Segment);
    assert!(findings[0].to_string().contains(".damaged") && disk.names().iter().any(|n| n.ends_with(".log.damaged")));
    assert!(journal.end() > 90);
    let end = journal.end();
    drop(journal);
    assert_eq!(open().0.end(), end);
}
