//! The objects of a journal file, after systemd's [JOURNAL_FILE_FORMAT](https://systemd.io/JOURNAL_FILE_FORMAT/).
//! All numbers are little-endian; objects lie at multiples of eight.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

const SIGNATURE: &[u8] = b"LPKSHHRH";

/// Bytes of the header that are looked at; every version of it has them.
const HEADER: usize = 208;

/// Incompatible flags.
const XZ: u32 = 1;
const LZ4: u32 = 2;
const KEYED_HASH: u32 = 4;
const ZSTD: u32 = 8;
const COMPACT: u32 = 16;

/// Types of objects.
pub(super) const DATA: u8 = 1;
pub(super) const ENTRY: u8 = 3;
pub(super) const ENTRY_ARRAY: u8 = 6;

pub(super) type Id = [u8; 16];

#[derive(Clone, Debug)]
pub(super) struct Header {
    pub file: Id,
    pub seqnum: Id,
    /// Offsets and items of arrays are of 32 bits.
    pub compact: bool,
    /// No entry will be added.
    pub archived: bool,
    pub entries: u64,
    /// The first array of entries, if there is one yet.
    pub first_array: u64,
    /// Of the last entry, in microseconds since the epoch.
    pub last_realtime: u64,
}

pub(super) fn damaged(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes(b.try_into().unwrap_or_default()))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap_or_default()))
}

pub(super) fn id_at(bytes: &[u8], at: usize) -> Id {
    bytes.get(at..at + 16).and_then(|b| b.try_into().ok()).unwrap_or_default()
}

pub(super) fn hex(id: &Id) -> String {
    id.iter().map(|b| format!("{b:02x}")).collect()
}

impl Header {
    pub fn read(file: &File) -> io::Result<Header> {
        let mut bytes = [0; HEADER];
        file.read_exact_at(&mut bytes, 0)?;
        if !bytes.starts_with(SIGNATURE) {
            return Err(damaged("it does not begin as a journal file does"));
        }
        let flags = u32_at(&bytes, 12);
        let unknown = flags & !(XZ | LZ4 | KEYED_HASH | ZSTD | COMPACT);
        if unknown != 0 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, format!("it is of a newer format (flags {unknown:#x})")));
        }
        Ok(Header {
            file: id_at(&bytes, 24),
            seqnum: id_at(&bytes, 72),
            compact: flags & COMPACT != 0,
            archived: bytes[16] == 2,
            entries: u64_at(&bytes, 152),
            first_array: u64_at(&bytes, 176),
            last_realtime: u64_at(&bytes, 192),
        })
    }

    /// Bytes of an item of an array of entries.
    pub fn array_item(&self) -> usize {
        if self.compact { 4 } else { 8 }
    }

    /// Bytes of an item of an entry.
    pub fn entry_item(&self) -> usize {
        if self.compact { 4 } else { 16 }
    }

    /// Where the payload of a data object begins.
    pub fn payload(&self) -> usize {
        if self.compact { 72 } else { 64 }
    }
}

/// The head of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object {
    pub type_: u8,
    pub flags: u8,
    /// With the head.
    pub size: u64,
}

impl Object {
    /// # Errors
    /// When it is of another type, or smaller than such a one.
    pub fn parse(bytes: &[u8], type_: u8, least: usize, offset: u64) -> io::Result<Object> {
        let object =
            Object { type_: bytes.first().copied().unwrap_or(0), flags: bytes.get(1).copied().unwrap_or(0), size: u64_at(bytes, 8) };
        if object.type_ != type_ || object.size < least as u64 {
            return Err(damaged(format!(
                "at {offset} is an object of type {} and {} bytes, not one of type {type_}",
                object.type_, object.size
            )));
        }
        Ok(object)
    }
}

/// Why a value is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Absent {
    /// Longer than what is asked for.
    Oversized,
    /// Packed in a way that is not known.
    Unreadable,
}

/// What a payload was before it was packed, up to `limit` bytes. `flags` are those of its object.
pub(super) fn unpack(flags: u8, payload: &[u8], limit: usize) -> Result<Vec<u8>, Absent> {
    match u32::from(flags) & 7 {
        0 => Ok(payload.to_vec()),
        // In objects, unlike in the header, the flag for Zstandard is 4.
        4 => {
            let mut unpacked = Vec::new();
            let decoder = zstd::stream::read::Decoder::with_buffer(payload).map_err(|_| Absent::Unreadable)?;
            decoder.take(limit as u64 + 1).read_to_end(&mut unpacked).map_err(|_| Absent::Unreadable)?;
            if unpacked.len() > limit { Err(Absent::Oversized) } else { Ok(unpacked) }
        }
        LZ4 => {
            let size = usize::try_from(u64_at(payload, 0)).unwrap_or(usize::MAX);
            if size > limit {
                return Err(Absent::Oversized);
            }
            lz4_flex::block::decompress(payload.get(8..).unwrap_or_default(), size).map_err(|_| Absent::Unreadable)
        }
        _ => Err(Absent::Unreadable),
    }
}
