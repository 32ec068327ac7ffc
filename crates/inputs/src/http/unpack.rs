use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use zstd::stream::read::Decoder;

/// How a body is compressed: its `Content-Encoding`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

/// Names of all encodings, for headers and texts.
pub const KNOWN: &str = "gzip, zstd";

/// Largest window of Zstandard, as a power of two: 8 MiB, what RFC 9659 has senders of this encoding keep to.
const WINDOW: u32 = 23;

impl Encoding {
    /// By the value of the header.
    pub fn of(name: &[u8]) -> Option<Encoding> {
        match name.to_ascii_lowercase().as_slice() {
            b"" | b"identity" => Some(Encoding::Plain),
            b"gzip" | b"x-gzip" => Some(Encoding::Gzip),
            b"zstd" => Some(Encoding::Zstd),
            _ => None,
        }
    }
}

/// Why a body was not unpacked.
pub enum Failure<E> {
    /// It is not what its encoding says.
    Damaged(String),
    /// `take` would not have more.
    Refused(E),
}

/// Unpacks a body and hands it to `take`, piece by piece. Members and frames may follow one another.
///
/// # Errors
/// When it is damaged or cut, and what `take` fails with.
pub fn unpack<E>(encoding: Encoding, packed: &[u8], take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), Failure<E>> {
    let zstd = || {
        let mut decoder = Decoder::with_buffer(packed)?;
        decoder.window_log_max(WINDOW)?;
        Ok(decoder)
    };
    match encoding {
        Encoding::Plain => pump("plain", packed, take),
        Encoding::Gzip => pump("gzip", MultiGzDecoder::new(packed), take),
        Encoding::Zstd => match zstd() {
            Ok(decoder) => pump("zstd", decoder, take),
            Err(e) => Err(damaged("zstd", &e)),
        },
    }
}

fn pump<E>(name: &str, mut from: impl Read, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), Failure<E>> {
    let mut block = vec![0; 64 << 10];
    loop {
        match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(n) => take(&block[..n]).map_err(Failure::Refused)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(damaged(name, &e)),
        }
    }
}

fn damaged<E>(name: &str, e: &io::Error) -> Failure<E> {
    Failure::Damaged(format!("the body is not {name}: {e}"))
}
