//! A journal in a directory that somebody else filled.

use std::path::Path;

use journal::{Journal, Record, Settings, What, inspect};

const SETTINGS: Settings = Settings { segment: 4096, max: 1 << 20 };
const HEADER: usize = 32;
const MARKER: [u8; 4] = [0xF5, b'N', b'J', 0xA9];

/// Any segment files: opening and reading them ends without an error, looking and owning find the same
/// records in order, the log takes another, and all that is as well so when it is opened again.
///
/// The first byte says: 1, a second file; 2, the first one's header is made right; 4, the second one's;
/// 8, the checksums of all records are. Two bytes are the numbers of the files, and one where the first
/// one ends, in sixteenths of a KiB or to the end.
pub fn directory(data: &[u8]) {
    let [flags, first, second, split, bytes @ ..] = data else { return };
    let split = if flags & 1 == 0 { bytes.len() } else { bytes.len().min(usize::from(*split) * 64) };
    let (mut one, mut two) = (bytes[..split].to_vec(), bytes[split..].to_vec());
    mend(&mut one, (flags & 2 > 0).then_some(*first), flags & 8 > 0);
    mend(&mut two, (flags & 4 > 0).then_some(*second), flags & 8 > 0);
    let dir = tempfile::tempdir().expect("a directory");
    let write = |number: u8, bytes: &[u8]| std::fs::write(dir.path().join(format!("{number:016x}.log")), bytes).expect("a file");
    write(*first, &one);
    if flags & 1 > 0 {
        write(*second, &two);
    }
    let (looked, unreadable) = looked(dir.path());
    let (held, next) = owned(dir.path(), b"another");
    // Once that is set aside, the segment before it may go on beyond where it began.
    assert!(unreadable || looked == held, "looked: {looked:?}, held: {held:?}");
    assert!(held.last().is_none_or(|r| r.seq < next));
    let (again, last) = owned(dir.path(), b"one more");
    assert_eq!(again[..held.len()], held);
    assert_eq!(again[held.len()..], [Record { seq: next, bytes: b"another".to_vec() }]);
    assert!(last > next);
}

/// What is found by looking only, and whether a segment is unreadable.
fn looked(dir: &Path) -> (Vec<Record>, bool) {
    let report = inspect::check(dir).expect("it can be read");
    report.findings().for_each(|f| assert!(!f.to_string().is_empty() && f.lost.start <= f.lost.end, "{f:?}"));
    let found: Vec<Record> = inspect::records(dir, 0).expect("it can be read").map(|r| r.expect("damage is no error")).collect();
    assert_eq!(report.segments.iter().map(|s| s.records).sum::<u64>(), found.len() as u64);
    assert!(found.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    (found, report.findings().any(|f| f.what == What::Segment))
}

/// What a reader of the owner finds, and the number that the next record got.
fn owned(dir: &Path, next: &[u8]) -> (Vec<Record>, u64) {
    let (journal, findings) = Journal::open(dir, SETTINGS).expect("it opens");
    findings.iter().for_each(|f| assert!(!f.to_string().is_empty() && f.lost.start <= f.lost.end, "{f:?}"));
    let mut reader = journal.reader(0);
    let mut found = Vec::new();
    while let Some(record) = reader.next().expect("damage is no error") {
        found.push(record);
    }
    assert!(found.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    let seq = journal.append(&[next]).expect("there is room");
    assert_eq!(journal.sync().expect("the disk works"), seq + 1);
    assert_eq!(reader.next().expect("it is there"), Some(Record { seq, bytes: next.to_vec() }));
    (found, seq)
}

/// Makes right what chance does not: the segment header, and the checksums of records.
fn mend(bytes: &mut [u8], number: Option<u8>, records: bool) {
    if let (Some(number), Some(header)) = (number, bytes.get_mut(..HEADER)) {
        header[..12].copy_from_slice(b"NILOJRNL\x01\x00\x00\x00");
        header[10] = u8::from(header[20] > 200);
        header[12..20].copy_from_slice(&u64::from(number).to_le_bytes());
        seal(header);
    }
    for at in 0..bytes.len().saturating_sub(HEADER - 1) {
        if !records || bytes[at..at + 4] != MARKER {
            continue;
        }
        let length = u32::from_le_bytes(std::array::from_fn(|i| bytes[at + 4 + i])) as usize;
        let payload = at.checked_add(HEADER + length).and_then(|stop| bytes.get(at + HEADER..stop)).map(crc32fast::hash);
        if let Some(sum) = payload {
            bytes[at + 24..at + 28].copy_from_slice(&sum.to_le_bytes());
        }
        seal(&mut bytes[at..at + HEADER]);
    }
}

fn seal(header: &mut [u8]) {
    let sum = crc32fast::hash(&header[..28]);
    header[28..32].copy_from_slice(&sum.to_le_bytes());
}
