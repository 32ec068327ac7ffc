use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use message::{Datum, Messages, StreamId};
use msgpack::{Flatten, Reader, Wrong};
use options::unit::show_size;
use plugin::Intake;

use super::connection::Origin;
use super::frame::{Entries, Entry, Frame, entry, parts};

/// Bytes of records that are handed over at a time.
const PORTION: usize = 256 << 10;

/// Longest tag. Bytes.
const LONGEST_TAG: usize = 4096;

/// Makes messages of events.
pub struct Events {
    pub flatten: Flatten,
    /// Names whose value is the Payload.
    pub payload: Vec<Box<[u8]>>,
    /// Most bytes that compressed events become.
    pub max_message: usize,
    unpacked: Vec<u8>,
}

/// What became of the events of a message.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Made {
    /// Positions of the stream that they took.
    pub positions: u64,
    /// Events that were left out, because their records are none or too large.
    pub refused: u64,
}

impl Events {
    pub fn new(flatten: Flatten, payload: &[String], max_message: usize) -> Events {
        let payload = payload.iter().map(|name| name.as_bytes().into()).collect();
        Events { flatten, payload, max_message, unpacked: Vec::new() }
    }

    /// Adds the events of a message to the stream: all, or none when something is wrong.
    ///
    /// # Errors
    /// Why it is not a message.
    pub fn make(&mut self, frame: &Frame<'_>, origin: &Origin, stream: StreamId, intake: &mut dyn Intake) -> Result<Made, String> {
        let mut unpacked = std::mem::take(&mut self.unpacked);
        let made = match frame.entries {
            Entries::Packed { bytes, gzip: true } => match gunzip(bytes, self.max_message, &mut unpacked) {
                Ok(()) => self.make_all((frame.tag, origin), &unpacked, Layout::Rows, stream, intake),
                Err(e) => Err(format!("compressed events: {e}")),
            },
            Entries::Packed { bytes, gzip: false } => self.make_all((frame.tag, origin), bytes, Layout::Rows, stream, intake),
            Entries::List(bytes) => self.make_all((frame.tag, origin), bytes, Layout::List, stream, intake),
            Entries::One(bytes) => self.make_all((frame.tag, origin), bytes, Layout::One, stream, intake),
        };
        unpacked.clear();
        // What one large message took is given back.
        unpacked.shrink_to(PORTION);
        self.unpacked = unpacked;
        made
    }

    fn make_all(
        &mut self,
        of: (&[u8], &Origin),
        bytes: &[u8],
        layout: Layout,
        stream: StreamId,
        intake: &mut dyn Intake,
    ) -> Result<Made, String> {
        if of.0.len() > LONGEST_TAG {
            return Err(format!("expected a tag of at most {LONGEST_TAG} bytes"));
        }
        let all = Walk::new(bytes, layout).map_err(|e| e.to_string())?;
        all.clone().try_for_each(|entry| entry.map(|_| ())).map_err(|e| e.to_string())?;
        let (mut entries, mut made) = (all.flatten().peekable(), Made::default());
        while entries.peek().is_some() {
            intake.make_at(stream, None, &mut |out| {
                let mut bytes = 0;
                while let Some(entry) = (bytes < PORTION).then(|| entries.next()).flatten() {
                    // Each message has the tag twice.
                    bytes += 128 + 2 * of.0.len() + entry.record.len();
                    made.refused += u64::from(!self.add(of, entry, out));
                }
            });
            made.positions += 1;
        }
        Ok(made)
    }

    /// Adds a message; false when its record is none.
    fn add(&mut self, (tag, origin): (&[u8], &Origin), entry: Entry<'_>, out: &mut Messages) -> bool {
        let before = out.len();
        let mut m = out.add();
        m.set_type(b"fluent");
        m.set_logger(tag);
        m.set_timestamp(entry.time);
        if !origin.hostname.is_empty() {
            m.set_hostname(origin.hostname.as_bytes());
        }
        m.add_string(b"tag", tag);
        if let Some(field) = &origin.field {
            m.add_string(field.as_bytes(), origin.hostname.as_bytes());
        }
        let (names, mut told) = (&self.payload, false);
        let added = self.flatten.flatten(&mut Reader::new(entry.record), &mut m, &mut |m, name, value, _| match value {
            Datum::String(text) if !told && names.iter().any(|n| **n == *name) => {
                told = true;
                m.set_payload_text(text);
                true
            }
            _ => false,
        });
        if added.is_err() {
            out.truncate(before);
        }
        added.is_ok()
    }
}

/// How events lie in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layout {
    One,
    List,
    Rows,
}

/// Events one after the other, up to the first that is none.
#[derive(Clone)]
struct Walk<'a> {
    reader: Reader<'a>,
    layout: Layout,
    left: u64,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], layout: Layout) -> Result<Walk<'a>, Wrong> {
        let mut reader = Reader::new(bytes);
        let left = match layout {
            Layout::One => 1,
            Layout::List => reader.array("events: an array")?,
            Layout::Rows => u64::MAX,
        };
        Ok(Walk { reader, layout, left })
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Entry<'a>, Wrong>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 || (self.layout == Layout::Rows && self.reader.is_done()) {
            return None;
        }
        self.left -= 1;
        let next = if self.layout == Layout::One { parts(&mut self.reader) } else { entry(&mut self.reader) };
        if next.is_err() {
            self.left = 0;
        }
        Some(next)
    }
}

/// Decompresses up to `max` bytes.
fn gunzip(bytes: &[u8], max: usize, into: &mut Vec<u8>) -> io::Result<()> {
    let mut decoder = MultiGzDecoder::new(bytes).take(max as u64 + 1);
    decoder.read_to_end(into)?;
    if into.len() > max {
        let why = format!("expected them to become at most {} (option `max_message`)", show_size(max as u64));
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(())
}
