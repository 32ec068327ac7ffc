//! Compressed files, as their bytes come: gzip (RFC 1952) and Zstandard (RFC 8878), several members or frames included.

use std::io::{self, ErrorKind};
use std::path::Path;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// How a file is packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packing {
    Gzip,
    Zstd,
}

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Largest window of Zstandard taken, as a power of two: 128 MiB, what its tools take without being asked.
const WINDOW: u32 = 27;

impl Packing {
    /// By the name, or by how the file begins.
    pub fn of(path: &Path, head: &[u8]) -> Option<Packing> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("gz") => Some(Packing::Gzip),
            Some("zst") => Some(Packing::Zstd),
            _ if head.starts_with(GZIP) => Some(Packing::Gzip),
            _ if head.starts_with(ZSTD) => Some(Packing::Zstd),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
        }
    }
}

/// Unpacks one file. Memory is bounded by the format's window, whatever the content.
pub struct Inflate {
    how: How,
    /// Everything so far is whole: no member or frame is open.
    pub whole: bool,
    /// What follows is no part of the content.
    trailer: bool,
    /// What follows is damaged, and how.
    damage: Option<String>,
}

enum How {
    Gzip(Box<Decompress>),
    Zstd(Box<Decoder<'static>>),
}

impl Inflate {
    pub fn new(packing: Packing) -> io::Result<Inflate> {
        let how = match packing {
            Packing::Gzip => How::Gzip(Box::new(Decompress::new_gzip(15))),
            Packing::Zstd => {
                let mut decoder = Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(WINDOW))?;
                How::Zstd(Box::new(decoder))
            }
        };
        Ok(Inflate { how, whole: false, trailer: false, damage: None })
    }

    /// Unpacks into `out`; returns the bytes taken and those made. Neither means that it needs more input.
    ///
    /// # Errors
    /// When the bytes are not of the format.
    pub fn inflate(&mut self, bytes: &[u8], out: &mut [u8]) -> io::Result<(usize, usize)> {
        if self.trailer {
            return Ok((bytes.len(), 0));
        }
        if let Some(damage) = &self.damage {
            return Err(io::Error::new(ErrorKind::InvalidData, damage.clone()));
        }
        match &mut self.how {
            How::Gzip(gzip) => {
                if self.whole && !bytes.is_empty() {
                    // Padding and other rubbish behind the last member is left out, as gzip itself does.
                    if !GZIP.starts_with(&bytes[..bytes.len().min(GZIP.len())]) {
                        self.trailer = true;
                        return Ok((bytes.len(), 0));
                    }
                    **gzip = Decompress::new_gzip(15);
                }
                let (before_in, before_out) = (gzip.total_in(), gzip.total_out());
                let status = gzip.decompress(bytes, out, FlushDecompress::None);
                let moved = ((gzip.total_in() - before_in) as usize, (gzip.total_out() - before_out) as usize);
                let status = match status {
                    Ok(status) => status,
                    Err(e) => {
                        self.damage = Some(format!("not valid gzip: {e}"));
                        // What came before the damage is good.
                        return if moved.1 > 0 { Ok(moved) } else { self.inflate(bytes, out) };
                    }
                };
                if moved != (0, 0) || status == Status::StreamEnd {
                    self.whole = status == Status::StreamEnd;
                }
                Ok(moved)
            }
            How::Zstd(zstd) => {
                let (mut input, mut output) = (InBuffer::around(bytes), OutBuffer::around(out));
                let hint = zstd.run(&mut input, &mut output);
                let hint = hint.map_err(|e| io::Error::new(ErrorKind::InvalidData, format!("not valid zstd: {e}")))?;
                let moved = (input.pos(), output.pos());
                if moved != (0, 0) {
                    self.whole = hint == 0;
                }
                Ok(moved)
            }
        }
    }
}

#[cfg(test)]
pub mod pack {
    //! Packed content, for tests.

    use std::io::Write;

    use super::Packing;

    pub fn pack(packing: Packing, content: &[u8]) -> Vec<u8> {
        match packing {
            Packing::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(content).unwrap();
                gzip.finish().unwrap()
            }
            Packing::Zstd => zstd::encode_all(content, 1).unwrap(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::pack::pack;
    use super::*;

    /// Unpacks in pieces; the content, and whether it was whole.
    fn unpack(packing: Packing, packed: &[u8], step: usize) -> io::Result<(Vec<u8>, bool)> {
        let mut inflate = Inflate::new(packing)?;
        let (mut content, mut rest, mut out) = (Vec::new(), Vec::new(), [0; 50]);
        for piece in packed.chunks(step) {
            rest.extend_from_slice(piece);
            loop {
                let (taken, made) = inflate.inflate(&rest, &mut out)?;
                rest.drain(..taken);
                content.extend_from_slice(&out[..made]);
                if (taken, made) == (0, 0) || rest.is_empty() && made < out.len() {
                    break;
                }
            }
        }
        Ok((content, inflate.whole))
    }

    #[test]
    fn members_and_frames_follow_one_another() {
        let content: Vec<u8> = (0..5000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        for packing in [Packing::Gzip, Packing::Zstd] {
            let mut packed = pack(packing, &content[..2000]);
            packed.extend(pack(packing, &content[2000..]));
            for step in [1, 7, 100, 1 << 20] {
                assert!(unpack(packing, &packed, step).unwrap() == (content.clone(), true), "{packing:?} in steps of {step}");
            }
            let (part, whole) = unpack(packing, &packed[..packed.len() - 5], 64).unwrap();
            assert!(!whole && content.starts_with(&part) && part.len() >= 2000);
        }
        let padded = [pack(Packing::Gzip, b"text"), vec![0; 512]].concat();
        assert_eq!(unpack(Packing::Gzip, &padded, 1 << 20).unwrap(), (b"text".to_vec(), true));
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        for packing in [Packing::Gzip, Packing::Zstd] {
            assert_eq!(unpack(packing, &[b'x'; 100], 100).unwrap_err().kind(), ErrorKind::InvalidData);
        }
    }
}
