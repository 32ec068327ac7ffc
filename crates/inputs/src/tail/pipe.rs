//! From the bytes of a file to those that are read, where these are not the same: unpacked, and made UTF-8.
//!
//! Positions count what comes out of here. That is exact for what is packed, which cannot be read from its middle; and for
//! other encodings [`Marks`] tell where in the file a position is.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use super::identity::Head;
use super::inflate::{Inflate, Packing};
use super::transcode::{Encoding, Transcoder};

/// Bytes of the file taken in one step.
const STEP: usize = 32 << 10;

/// Bytes unpacked in one step.
const UNPACKED: usize = 64 << 10;

/// Most bytes passed over in one call, on the way to where reading goes on.
const PASS: u64 = 4 << 20;

/// How a file is to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Form {
    pub packing: Option<Packing>,
    pub encoding: Encoding,
    /// Bytes that may be unpacked of one file.
    pub most: u64,
}

impl Form {
    /// Whether a position is also one in the file.
    pub fn is_plain(self) -> bool {
        self.packing.is_none() && self.encoding == Encoding::Utf8
    }
}

pub struct Pipe {
    inflate: Option<Inflate>,
    transcoder: Option<Transcoder>,
    /// Where in the file the next bytes are read.
    offset: u64,
    /// Bytes of the file that are not used yet.
    raw: Vec<u8>,
    /// Unpacked, and not a whole character yet.
    unpacked: Vec<u8>,
    /// What is ready to be read, and how much of it was.
    text: Vec<u8>,
    at: usize,
    /// Bytes to pass over before the first that is read.
    skip: u64,
    /// Bytes that may still be unpacked.
    room: u64,
}

impl Pipe {
    /// Reads from `position` on.
    pub fn new(form: Form, head: &Head, position: u64, marks: &Marks) -> io::Result<Pipe> {
        let (out, offset) = if form.packing.is_some() { (0, 0) } else { marks.before(position) };
        let inflate = form.packing.map(Inflate::new).transpose()?;
        // Of a packed file the head says nothing; its text is always read from the start.
        let transcoder = Transcoder::new(form.encoding, offset == 0, head);
        let (raw, unpacked, text) = Default::default();
        Ok(Pipe { inflate, transcoder, offset, raw, unpacked, text, at: 0, skip: position - out, room: form.most })
    }

    /// Reads what there is; 0 at the end of the file, or when what comes next is not whole yet.
    ///
    /// # Errors
    /// `Interrupted` on the way to the first byte; those of the file and of its format.
    pub fn read(&mut self, file: &File, buf: &mut [u8]) -> io::Result<usize> {
        let mut passed = 0;
        loop {
            let ready = self.text.len() - self.at;
            let over = self.skip.min(ready as u64);
            self.skip -= over;
            passed += over;
            self.at += over as usize;
            let n = (ready - over as usize).min(buf.len());
            if n > 0 {
                buf[..n].copy_from_slice(&self.text[self.at..self.at + n]);
                self.at += n;
                return Ok(n);
            }
            if passed > PASS {
                return Err(ErrorKind::Interrupted.into());
            }
            self.text.clear();
            self.at = 0;
            if !self.fill(file)? {
                // Thousands of files wait like this one.
                self.text = Vec::new();
                return Ok(0);
            }
        }
    }

    /// Makes more text ready. False when there is nothing to make it of.
    fn fill(&mut self, file: &File) -> io::Result<bool> {
        let before = self.raw.len();
        if before < STEP {
            self.raw.resize(before + STEP, 0);
            let read = file.read_at(&mut self.raw[before..], self.offset);
            self.raw.truncate(before + *read.as_ref().unwrap_or(&0));
            self.offset += read? as u64;
        }
        let grown = self.raw.len() > before;
        let unpacked = self.unpack()?;
        let from = if self.inflate.is_some() { &mut self.unpacked } else { &mut self.raw };
        match &mut self.transcoder {
            Some(transcoder) => {
                let taken = transcoder.transcode(from, &mut self.text);
                from.drain(..taken);
            }
            None => std::mem::swap(from, &mut self.text),
        }
        if self.raw.is_empty() && !grown {
            self.raw = Vec::new();
        }
        Ok(grown || unpacked)
    }

    /// One step of unpacking. True when something came of it.
    fn unpack(&mut self) -> io::Result<bool> {
        let Some(inflate) = &mut self.inflate else { return Ok(false) };
        let before = self.unpacked.len();
        self.unpacked.resize(before + UNPACKED, 0);
        let moved = inflate.inflate(&self.raw, &mut self.unpacked[before..]);
        let (taken, made) = moved.as_ref().map_or((0, 0), |moved| *moved);
        self.unpacked.truncate(before + made);
        moved?;
        self.raw.drain(..taken);
        let Some(room) = self.room.checked_sub(made as u64) else {
            return Err(io::Error::other("unpacked it is larger than `max_unpacked`; the rest is left out"));
        };
        self.room = room;
        Ok(taken + made > 0)
    }

    /// How much of the file was used for what was read so far.
    pub fn used(&self) -> u64 {
        self.offset - self.raw.len() as u64
    }

    /// Where in a file of this encoding the next byte to be read is.
    pub fn place_in(&self, encoding: Encoding) -> u64 {
        self.used() - encoding.width(&self.text[self.at..])
    }

    /// The file ended before the place where reading was to go on, though it is not packed.
    pub fn is_short(&self) -> bool {
        self.inflate.is_none() && self.skip > 0
    }

    /// Everything that was begun is at its end: a packed file is whole.
    pub fn is_whole(&self) -> bool {
        self.inflate.as_ref().is_some_and(|i| i.whole) && self.raw.is_empty()
    }

    /// Where in the file the next byte to be read is, if that can be told now.
    pub fn place(&self) -> Option<u64> {
        (self.inflate.is_none() && self.skip == 0 && self.at == self.text.len()).then(|| self.used())
    }
}

/// How a packed file begins, unpacked, and whether that is all of it.
///
/// # Errors
/// Those of the file and its format.
pub fn content_head(file: &File, packing: Packing) -> io::Result<(Head, bool)> {
    let form = Form { packing: Some(packing), encoding: Encoding::Utf8, most: u64::MAX };
    let mut pipe = Pipe::new(form, &Head::default(), 0, &Marks::default())?;
    let (mut bytes, mut n) = (vec![0; Head::FULL], 0);
    while n < bytes.len() {
        match pipe.read(file, &mut bytes[n..])? {
            0 => break,
            read => n += read,
        }
    }
    bytes.truncate(n);
    Ok((Head::new(bytes), pipe.is_whole()))
}

/// Pairs of a position and the place in the file that it is at, evenly spread, so that reading can go on anywhere without
/// beginning at the start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Marks {
    spacing: u64,
    marks: Vec<(u64, u64)>,
}

impl Default for Marks {
    fn default() -> Marks {
        Marks { spacing: 1 << 20, marks: Vec::new() }
    }
}

impl Marks {
    /// More are thinned out.
    const MOST: usize = 16;

    /// Those that were kept: each is behind the one before.
    pub fn new(marks: Vec<(u64, u64)>) -> Option<Marks> {
        let rising = marks.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 < w[1].1);
        let spacing = marks.windows(2).map(|w| w[1].1.saturating_sub(w[0].1)).min().unwrap_or_default().max(1 << 20);
        (rising && marks.len() <= Self::MOST).then_some(Marks { spacing, marks })
    }

    /// Of a file that is read from this place on.
    pub fn from_place(place: u64) -> Marks {
        Marks { marks: if place > 0 { vec![(place, place)] } else { Vec::new() }, ..Marks::default() }
    }

    /// Takes note of a position. True when it is kept.
    pub fn note(&mut self, position: u64, place: u64) -> bool {
        if place < self.marks.last().map_or(0, |last| last.1) + self.spacing {
            return false;
        }
        self.marks.push((position, place));
        if self.marks.len() > Self::MOST {
            // The first one stays: nothing was read before it.
            let mut n = 0;
            self.marks.retain(|_| {
                n += 1;
                n % 2 == 1
            });
            self.spacing *= 2;
        }
        true
    }

    /// The last mark that is not behind the position.
    pub fn before(&self, position: u64) -> (u64, u64) {
        self.marks.iter().rev().find(|m| m.0 <= position).copied().unwrap_or((0, 0))
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.marks.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::inflate::pack::pack;
    use super::*;

    fn file(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    fn read(pipe: &mut Pipe, file: &File, step: usize) -> Vec<u8> {
        let (mut all, mut buf) = (Vec::new(), vec![0; step]);
        loop {
            match pipe.read(file, &mut buf) {
                Ok(0) => return all,
                Ok(n) => all.extend_from_slice(&buf[..n]),
                Err(e) => assert_eq!(e.kind(), ErrorKind::Interrupted),
            }
        }
    }

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn a_packed_text_of_another_encoding_is_read_from_any_position() {
        let text: String = (0..20_000).map(|n| format!("Zeile {n} ü🦀\n")).collect();
        for packing in [None, Some(Packing::Gzip), Some(Packing::Zstd)] {
            let raw = utf16(&format!("\u{feff}{text}"));
            let file = file(&packing.map_or(raw.clone(), |p| pack(p, &raw)));
            let form = Form { packing, encoding: Encoding::Utf16, most: u64::MAX };
            let head = Head::read(&file).unwrap();
            for position in [0, 1, 77_777, text.len() - 1, text.len()] {
                let mut pipe = Pipe::new(form, &head, position as u64, &Marks::default()).unwrap();
                assert!(read(&mut pipe, &file, 3) == text.as_bytes()[position..], "{packing:?} from {position}");
                assert_eq!((pipe.is_whole(), pipe.used()), (packing.is_some(), file.metadata().unwrap().len()));
            }
        }
    }

    #[test]
    fn marks_tell_where_a_position_is_and_stay_few() {
        let text: String = (0..40_000).map(|n| format!("Zeile {n} ü🦀\n")).collect();
        let file = file(&utf16(&text));
        let (form, head) = (Form { packing: None, encoding: Encoding::Utf16Le, most: 0 }, Head::read(&file).unwrap());
        let mut marks = Marks { spacing: 1000, ..Marks::default() };
        let mut pipe = Pipe::new(form, &head, 0, &marks).unwrap();
        let (mut position, mut buf) = (0, [0; 501]);
        while let n @ 1.. = pipe.read(&file, &mut buf).unwrap() {
            position += n as u64;
            pipe.place().map(|place| marks.note(position, place));
        }
        assert!((8..=Marks::MOST).contains(&marks.iter().count()), "{marks:?}");
        assert_eq!(Marks::new(marks.iter().collect()).unwrap().iter().collect::<Vec<_>>(), marks.iter().collect::<Vec<_>>());
        for position in [0, 1, 500_000, text.len() - 7] {
            let mut pipe = Pipe::new(form, &head, position as u64, &marks).unwrap();
            assert!(pipe.offset > 0 || position < 400_000, "it begins at a mark");
            assert!(read(&mut pipe, &file, 64 << 10) == text.as_bytes()[position..]);
        }
        assert_eq!(Marks::new(vec![(5, 5), (3, 9)]), None);
    }

    #[test]
    fn what_is_written_piece_by_piece_is_read_on() {
        let text: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        for packing in [Packing::Gzip, Packing::Zstd] {
            let packed = pack(packing, text.as_bytes());
            let file = file(&[]);
            let form = Form { packing: Some(packing), encoding: Encoding::Utf8, most: u64::MAX };
            let mut pipe = Pipe::new(form, &Head::default(), 0, &Marks::default()).unwrap();
            let mut all = Vec::new();
            for (n, piece) in packed.chunks(1000).enumerate() {
                file.write_all_at(piece, n as u64 * 1000).unwrap();
                assert!(!pipe.is_whole());
                all.extend(read(&mut pipe, &file, 100));
            }
            assert!(all == text.as_bytes() && pipe.is_whole());
        }
    }

    #[test]
    fn what_is_unpacked_is_bounded() {
        let file = file(&pack(Packing::Gzip, &vec![0; 1 << 20]));
        let form = Form { packing: Some(Packing::Gzip), encoding: Encoding::Utf8, most: 100_000 };
        let mut pipe = Pipe::new(form, &Head::default(), 0, &Marks::default()).unwrap();
        let (mut buf, mut total) = ([0; 1000], 0);
        let refused = loop {
            match pipe.read(&file, &mut buf) {
                Ok(n) => total += n,
                Err(e) => break e,
            }
        };
        assert!(refused.to_string().contains("max_unpacked") && total <= 100_000);
    }

    #[test]
    fn the_head_of_the_content_is_the_head_of_the_copied_file() {
        let text = "x".repeat(5000);
        for packing in [Packing::Gzip, Packing::Zstd] {
            let head = |content: &[u8]| content_head(&file(&pack(packing, content)), packing).unwrap();
            assert_eq!(head(text.as_bytes()).0, Head::read(&file(text.as_bytes())).unwrap());
            assert_eq!(head(b"short\n"), (Head::new(b"short\n".to_vec()), true));
        }
    }
}
