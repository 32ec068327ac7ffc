//! Splitters: every byte is accounted for, whatever it is and wherever reads end.

use plugin::{Kind, Split, Splitter};

use super::{Contract, try_on};
use crate::garbage;

/// Feeds a stream in pieces and holds every answer to the contract. Returns the records.
///
/// # Panics
/// When an answer breaks it.
pub fn feed(splitter: &mut dyn Splitter, stream: &[u8], step: usize) -> Vec<Vec<u8>> {
    let (mut records, mut from, mut to) = (Vec::new(), 0, 0);
    while to < stream.len() {
        to = stream.len().min(to + step);
        from += drain(splitter, &stream[from..to], false, &mut records);
    }
    from += drain(splitter, &stream[from..], true, &mut records);
    assert_eq!(from, stream.len(), "bytes are left at the end of a stream");
    splitter.counts(&mut |name, _| assert!(!name.is_empty()));
    records
}

/// Takes what is complete; returns how far.
fn drain(splitter: &mut dyn Splitter, buf: &[u8], end: bool, records: &mut Vec<Vec<u8>>) -> usize {
    let mut at = 0;
    while at < buf.len() {
        let left = buf.len() - at;
        match splitter.split(&buf[at..], end) {
            Split::Record { record, end } => {
                assert!(
                    record.start <= record.end && record.end <= end && 0 < end && end <= left,
                    "a record at {record:?}, the next at {end}, of {left}"
                );
                records.push(buf[at..][record].to_vec());
                at += end;
            }
            Split::Refused { record, end, why } => {
                assert!(record.start <= record.end && record.end <= end && 0 < end && end <= left && !why.is_empty(), "{record:?}, {end}");
                at += end;
            }
            Split::Garbage { end } => {
                assert!(0 < end && end <= left, "garbage of {end} bytes of {left}");
                at += end;
            }
            Split::More => {
                assert!(!end, "it wants more at the end of the stream; {left} bytes are left");
                break;
            }
        }
    }
    at
}

/// Garbage of any kind is split to its end, a record is never outside of the buffer.
///
/// # Panics
/// When it is not.
pub fn make_progress(contract: &Contract, kind: &'static Kind) {
    for toml in contract.configurations(kind) {
        try_on(60, &(garbage::stream(), 1usize..50), |(stream, step)| {
            feed(&mut *contract.splitter(kind, &toml), &stream, step);
        });
        for stream in garbage::hostile() {
            feed(&mut *contract.splitter(kind, &toml), &stream, 64 << 10);
        }
    }
}

/// Records do not depend on where reads end, and after the end of one stream the next is split as
/// if it were the first: that is how what is left of a record that grew too long is passed over.
///
/// # Panics
/// When they do.
pub fn depend_on_the_stream_only(contract: &Contract, kind: &'static Kind) {
    for toml in contract.configurations(kind) {
        if contract.splitter(kind, &toml).keeps_reads_apart() {
            continue;
        }
        try_on(60, &(garbage::stream(), garbage::stream(), 1usize..50), |(first, second, step)| {
            let mut splitter = contract.splitter(kind, &toml);
            let at_once = feed(&mut *contract.splitter(kind, &toml), &second, second.len().max(1));
            let taken = drain(&mut *splitter, &first, false, &mut Vec::new());
            if taken < first.len() {
                splitter.split(&first[taken..], true);
            }
            assert_eq!(feed(&mut *splitter, &second, step), at_once, "in {toml}");
        });
    }
}
