use message::{Messages, Text};

use crate::{Reject, Scripted};

/// One record of a stream, still lying in the block it was read into.
#[derive(Clone, Copy, Debug)]
pub struct Record<'b> {
    bytes: &'b [u8],
    at: Text,
}

impl<'b> Record<'b> {
    /// `bytes` are the bytes of `at`.
    pub fn new(bytes: &'b [u8], at: Text) -> Record<'b> {
        debug_assert_eq!(bytes.len(), at.len());
        Record { bytes, at }
    }

    pub fn bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// The whole record as a text of the batch.
    pub fn at(&self) -> Text {
        self.at
    }

    /// A part of the record as a text of the batch, without copying. `part` must be a slice of
    /// [`Record::bytes`].
    #[inline]
    pub fn text(&self, part: &[u8]) -> Text {
        if part.is_empty() {
            return Text::EMPTY;
        }
        let start = part.as_ptr() as usize - self.bytes.as_ptr() as usize;
        self.at.slice(start, part.len())
    }

    /// The record without its first `n` bytes, or all of it when shorter.
    pub fn skip(&self, n: usize) -> Record<'b> {
        let n = n.min(self.bytes.len());
        Record { bytes: &self.bytes[n..], at: self.at.slice(n, self.bytes.len() - n) }
    }
}

/// What a decoder may know beside the record.
#[derive(Clone, Copy, Debug)]
pub struct DecodeCx {
    /// When the record was read, nanoseconds since the UNIX epoch.
    pub now: i64,
}

/// Makes messages of records. Built on its input's thread; one instance a stream.
///
/// A decoder sets what the record says. What it leaves unset (Timestamp 0, Type, Logger,
/// Hostname, and the Payload when it set neither payload nor fields) the engine fills in from the
/// input.
pub trait Decoder {
    /// Adds the record's messages to `out`; usually one.
    ///
    /// # Errors
    /// A record that does not decode is a Reject. What was added for it is taken back by the caller.
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, cx: &DecodeCx) -> Result<(), Reject>;

    /// Decodes the records of one block, which lie in `raw`; `refused` hears of those that do not
    /// decode, by their places. It need not be written anew: here it is compiled for each decoder,
    /// so that a record costs no call through a table. When it panics, what it made is taken back and
    /// `decode` is called for each of these records.
    fn decode_all(&mut self, raw: &[u8], records: &[Text], out: &mut Messages, cx: &DecodeCx, refused: &mut dyn FnMut(usize, Reject)) {
        for (place, at) in records.iter().enumerate() {
            let before = out.len();
            if let Err(reject) = self.decode(Record::new(at.in_raw(raw), *at), out, cx) {
                out.truncate(before);
                refused(place, reject);
            }
        }
    }

    /// Its script, if it is made of one.
    fn script(&mut self) -> Option<&mut dyn Scripted> {
        None
    }
}
