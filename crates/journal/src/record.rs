//! The bytes on disk. All numbers are little-endian; checksums are CRC-32 (IEEE).
//!
//! ```text
//! segment header, 32 bytes                  record header, 32 bytes, then the payload
//!  0  8  magic "NILOJRNL"                    0  4  marker F5 4E 4A A9
//!  8  2  version, 1                          4  4  length of the payload
//! 10  2  1 if the file had an earlier life
//! 12  8  number of the first record          8  8  number of the record
//! 20  8  salt                               16  8  salt of the segment
//! 28  4  checksum of the 28 bytes before    24  4  checksum of the payload
//!                                           28  4  checksum of the 28 bytes before
//! ```
//!
//! The salt is drawn anew for each life of a segment file. It tells records from what an earlier
//! life left behind in a reused file, and from bytes within payloads that look like a record:
//! whoever sends messages cannot know it. That each record has it makes records readable when the
//! segment header is not.

use std::hash::{BuildHasher, RandomState};

/// Length of a segment header, and of a record header.
pub(crate) const HEADER: u64 = 32;

/// Largest payload of one record, in bytes.
pub const MAX_RECORD: usize = 64 << 20;

/// Numbers of records are below this one, so that adding to one is safe.
pub(crate) const MAX_SEQ: u64 = 1 << 62;

/// Numbers of the records in the first `length` bytes of a segment are below this one, even if a GiB
/// was cut out there: what is not is no record of it, whatever its checksum.
pub(crate) fn plausible_below(first: u64, length: u64) -> u64 {
    first.saturating_add(length.saturating_add(1 << 30) / HEADER)
}

/// 0xF5 is no byte of UTF-8 text, so that a search seldom stops for nothing.
pub(crate) const MARKER: [u8; 4] = [0xF5, b'N', b'J', 0xA9];

const MAGIC: [u8; 8] = *b"NILOJRNL";
const VERSION: [u8; 2] = 1u16.to_le_bytes();

/// A number that nobody else can guess, another one each time.
pub(crate) fn salt(first: u64) -> u64 {
    RandomState::new().hash_one(first)
}

fn u32_at(bytes: &[u8; 32], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn u64_at(bytes: &[u8; 32], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

/// Puts the checksum of the first 28 bytes behind them.
fn sealed(mut bytes: [u8; 32]) -> [u8; 32] {
    let sum = crc32fast::hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn intact(bytes: &[u8; 32]) -> bool {
    crc32fast::hash(&bytes[..28]) == u32_at(bytes, 28)
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SegmentHeader {
    pub first: u64,
    pub salt: u64,
    /// Behind the last record there may be bytes of an earlier life of the file.
    pub reused: bool,
}

impl SegmentHeader {
    pub fn encode(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION);
        bytes[10] = self.reused.into();
        bytes[12..20].copy_from_slice(&self.first.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.salt.to_le_bytes());
        sealed(bytes)
    }

    /// None unless it is whole and of this version.
    pub fn decode(bytes: &[u8; 32]) -> Option<SegmentHeader> {
        let ours = bytes[..8] == MAGIC && bytes[8..10] == VERSION && intact(bytes);
        ours.then(|| SegmentHeader { first: u64_at(bytes, 12), salt: u64_at(bytes, 20), reused: bytes[10] == 1 })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RecordHeader {
    /// Bytes of payload, at most [`MAX_RECORD`].
    pub length: u32,
    pub seq: u64,
    pub salt: u64,
    pub payload: u32,
}

impl RecordHeader {
    pub fn encode(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&MARKER);
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.salt.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.payload.to_le_bytes());
        sealed(bytes)
    }

    /// None unless it is whole and within limits.
    pub fn decode(bytes: &[u8; 32]) -> Option<RecordHeader> {
        if bytes[..4] != MARKER || !intact(bytes) {
            return None;
        }
        let header = RecordHeader { length: u32_at(bytes, 4), seq: u64_at(bytes, 8), salt: u64_at(bytes, 16), payload: u32_at(bytes, 24) };
        (header.length as usize <= MAX_RECORD && header.seq < MAX_SEQ).then_some(header)
    }

    /// Bytes of header and payload.
    pub fn size(&self) -> u64 {
        HEADER + u64::from(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back() {
        let segment = SegmentHeader { first: 7, salt: 99, reused: true };
        assert_eq!(SegmentHeader::decode(&segment.encode()), Some(segment));
        let record = RecordHeader { length: 5, seq: 7, salt: 99, payload: 1 };
        assert_eq!(RecordHeader::decode(&record.encode()), Some(record));
        assert_eq!(record.size(), 37);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let segment = SegmentHeader { first: 7, salt: 99, reused: true }.encode();
        let record = RecordHeader { length: 5, seq: 7, salt: 99, payload: 1 }.encode();
        for bit in 0..256 {
            let flip = |bytes: &[u8; 32]| {
                let mut bytes = *bytes;
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            };
            assert_eq!(SegmentHeader::decode(&flip(&segment)), None, "bit {bit}");
            assert_eq!(RecordHeader::decode(&flip(&record)), None, "bit {bit}");
        }
    }

    #[test]
    fn a_length_above_the_limit_is_no_header() {
        let header = RecordHeader { length: MAX_RECORD as u32 + 1, seq: 1, salt: 1, payload: 1 };
        assert_eq!(RecordHeader::decode(&header.encode()), None);
    }

    #[test]
    fn no_salt_comes_twice() {
        assert_ne!(salt(1), salt(1));
    }
}
