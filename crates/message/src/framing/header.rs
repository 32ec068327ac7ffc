use super::{MAX_HEADER_SIZE, RECORD_SEPARATOR, TooBig, UNIT_SEPARATOR};
use crate::signing::{Digest, Hash, Signer};
use crate::wire::reader::Reader;
use crate::wire::{CHUNK, DecodeError, Problem, VARINT, chunk, key, number};

const MESSAGE_LENGTH: u64 = key(1, VARINT);
const HASH: u64 = key(3, VARINT);
const SIGNER: u64 = key(4, CHUNK);
const KEY_VERSION: u64 = key(5, VARINT);
const HMAC: u64 = key(6, CHUNK);

/// What a record's header says. Strings are empty and numbers are 0 where it says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader<'a> {
    /// Bytes.
    pub message_length: usize,
    /// Who claims to have signed the message; [`crate::signing::Keyring`] knows whether it is so.
    pub signer: &'a [u8],
    /// Number of the hash function, see [`Hash`]; need not be one that exists.
    pub hash: u32,
    pub key_version: u32,
    pub hmac: &'a [u8],
}

impl<'a> FrameHeader<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<FrameHeader<'a>, DecodeError> {
        let mut r = Reader::new(bytes);
        let mut header = FrameHeader { message_length: 0, signer: b"", hash: 0, key_version: 0, hmac: b"" };
        let mut length = None;
        while let Some(key) = r.key()? {
            match key {
                MESSAGE_LENGTH => length = Some(r.varint()?),
                // Too large a number must not become one that exists.
                HASH => header.hash = u32::try_from(r.varint()?).unwrap_or(u32::MAX),
                SIGNER => header.signer = r.chunk().map(|range| r.bytes(range))?,
                KEY_VERSION => header.key_version = r.varint()? as u32,
                HMAC => header.hmac = r.chunk().map(|range| r.bytes(range))?,
                // The schema has no field 2.
                other => r.unknown(other, if other >> 3 == 2 { 0 } else { 6 })?,
            }
        }
        let length = length.ok_or_else(|| r.error(Problem::Missing("message_length (field 1) of the header")))?;
        header.message_length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(header)
    }
}

/// Appends everything of a record that comes before the message, of `length` bytes.
pub(super) fn append(length: usize, signed: Option<(&Signer, Digest)>, into: &mut Vec<u8>) -> Result<(), TooBig> {
    let Ok(wire_length) = u32::try_from(length) else {
        return Err(TooBig::Message { size: length, max: u32::MAX as usize });
    };
    let start = into.len();
    into.extend_from_slice(&[RECORD_SEPARATOR, 0]);
    number(MESSAGE_LENGTH, u64::from(wire_length), into);
    if let Some((signer, digest)) = signed {
        if signer.hash() != Hash::Md5 {
            number(HASH, signer.hash() as u64, into);
        }
        chunk(SIGNER, signer.name(), into);
        number(KEY_VERSION, u64::from(signer.key_version()), into);
        chunk(HMAC, &digest, into);
    }
    let size = into.len() - start - 2;
    if size > MAX_HEADER_SIZE {
        into.truncate(start);
        return Err(TooBig::Header { size });
    }
    into[start + 1] = size as u8;
    into.push(UNIT_SEPARATOR);
    Ok(())
}
