//! Records in a stream of bytes, as Heka frames them:
//!
//! ```text
//! 0x1E | length of header (1 byte) | header | 0x1F | message
//! ```
//!
//! The header is protobuf: 1 `message_length`, 3 `hmac_hash_function`, 4 `hmac_signer`,
//! 5 `hmac_key_version`, 6 `hmac`. [`write`] and [`encode_framed`] frame a message, a [`Scanner`]
//! finds the records of a stream again, whatever is between them.

mod header;
mod scanner;

use std::fmt;

use crate::signing::Signer;
use crate::{MessageRef, wire};

pub use header::FrameHeader;
pub use scanner::{CREDIT, Fault, Found, Scanner};

/// First byte of a record.
pub const RECORD_SEPARATOR: u8 = 0x1E;

/// The byte between header and message.
pub const UNIT_SEPARATOR: u8 = 0x1F;

/// What a record has besides header and message: the two separators and the header's length.
pub const FRAMING_SIZE: usize = 3;

/// Longest header: its length has one byte.
pub const MAX_HEADER_SIZE: usize = 255;

/// Longest message that Heka takes unless configured otherwise.
pub const DEFAULT_MAX_MESSAGE_SIZE: usize = 64 << 10;

/// A record that cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TooBig {
    /// The header, because of a long signer name. Bytes.
    Header { size: usize },
    /// The message. Bytes.
    Message { size: usize, max: usize },
}

impl fmt::Display for TooBig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TooBig::Header { size } => {
                write!(f, "the record's header takes {size} bytes, expected at most {MAX_HEADER_SIZE}; use a shorter signer name")
            }
            TooBig::Message { size, max } => {
                write!(f, "the message takes {size} bytes, expected at most {max}; `max_message_size` raises that")
            }
        }
    }
}

impl std::error::Error for TooBig {}

/// Appends a record that holds `message`, signed if there is a signer.
///
/// # Errors
/// The header does not fit, or the message's length does not fit 32 bits. Nothing is appended.
pub fn write(message: &[u8], signer: Option<&Signer>, into: &mut Vec<u8>) -> Result<(), TooBig> {
    header::append(message.len(), signer.map(|s| (s, s.digest(message))), into)?;
    into.extend_from_slice(message);
    Ok(())
}

/// Appends a record that holds `m`, signed if there is a signer.
///
/// # Errors
/// The message takes more than `max_message` bytes, or the header does not fit. Nothing is appended.
pub fn encode_framed(m: MessageRef<'_>, signer: Option<&Signer>, max_message: usize, into: &mut Vec<u8>) -> Result<(), TooBig> {
    let start = into.len();
    wire::encode(m, into);
    let framed = append_header(start, signer, max_message, into);
    if framed.is_err() {
        into.truncate(start);
    }
    framed
}

/// Puts a header before the message at `into[start..]`, whose length it had to know.
fn append_header(start: usize, signer: Option<&Signer>, max: usize, into: &mut Vec<u8>) -> Result<(), TooBig> {
    let size = into.len() - start;
    if size > max {
        return Err(TooBig::Message { size, max });
    }
    header::append(size, signer.map(|s| (s, s.digest(&into[start..]))), into)?;
    let header = into.len() - start - size;
    into[start..].rotate_right(header);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchBuilder;
    use crate::signing::{Hash, Keyring, Verdict};

    /// The records that Heka's own tests expect; the message has no uuid.
    const MESSAGE: &[u8] = b"\x10\x80\xc4\x8c\x94\x91\xa9\xe8\xd4\x13\x1a\x04TEST";
    const UNSIGNED: &[u8] = b"\x1e\x02\x08\x10\x1f";
    const SIGNED: &[u8] =
        b"\x1e\x1c\x08\x10\x22\x04test\x28\x00\x32\x10\x78\x35\x7e\x36\x35\x38\x3f\x9f\xbc\x75\x98\x46\x1b\x05\xef\x2d\x1f";

    fn scan(bytes: &[u8]) -> Found<'_> {
        Scanner::new(DEFAULT_MAX_MESSAGE_SIZE).find(bytes, true)
    }

    #[test]
    fn records_are_hekas_byte_for_byte() {
        let mut bytes = Vec::new();
        write(MESSAGE, None, &mut bytes).unwrap();
        assert_eq!(bytes, [UNSIGNED, MESSAGE].concat());

        bytes.clear();
        write(MESSAGE, Some(&Signer::new(b"test", 0, Hash::Md5, b"")), &mut bytes).unwrap();
        assert_eq!(bytes, [SIGNED, MESSAGE].concat());

        bytes.clear();
        write(MESSAGE, Some(&Signer::new(b"test", 0, Hash::Sha1, b"")), &mut bytes).unwrap();
        assert_eq!(&bytes[..12], b"\x1e\x22\x08\x10\x18\x01\x22\x04test");
    }

    #[test]
    fn hekas_signed_record_verifies() {
        let bytes = [SIGNED, MESSAGE].concat();
        let Found::Record { header, message, end, skip: 0, fault: None } = scan(&bytes) else { panic!("no record") };
        assert_eq!((&bytes[message], end), (MESSAGE, bytes.len()));
        let mut ring = Keyring::new(true);
        ring.insert(b"test", 0, b"");
        assert_eq!(ring.verify(&header, MESSAGE), Verdict::Signed(b"test"));
    }

    #[test]
    fn encoding_in_place_is_encoding_and_writing() {
        let mut b = BatchBuilder::default();
        b.add().set_payload(&[b'x'; 300]);
        let m = b.get(0);
        let mut message = Vec::new();
        wire::encode(m, &mut message);
        let signer = Signer::new(b"ops", 300, Hash::Sha256, b"key");
        for signer in [None, Some(&signer)] {
            let (mut one, mut two) = (b"before".to_vec(), b"before".to_vec());
            write(&message, signer, &mut one).unwrap();
            encode_framed(m, signer, message.len(), &mut two).unwrap();
            assert_eq!(one, two);
            let Found::Record { skip: 6, message: found, .. } = scan(&one) else { panic!("no record") };
            assert_eq!(one[found], message);
        }
    }

    #[test]
    fn what_does_not_fit_leaves_nothing_behind() {
        let mut b = BatchBuilder::default();
        b.add().set_payload(b"payload");
        let mut into = b"before".to_vec();
        let size = encode_framed(b.get(0), None, 1, &mut into).unwrap_err();
        assert_eq!(size, TooBig::Message { size: 29, max: 1 });
        let signer = Signer::new(&[b'n'; 230], 0, Hash::Sha256, b"key");
        // Length 2, hash 2, signer 3 + 230, version 2, digest 2 + 32.
        assert_eq!(encode_framed(b.get(0), Some(&signer), 100, &mut into), Err(TooBig::Header { size: 273 }));
        assert_eq!(write(MESSAGE, Some(&signer), &mut into), Err(TooBig::Header { size: 273 }));
        assert_eq!(into, b"before");
    }
}
