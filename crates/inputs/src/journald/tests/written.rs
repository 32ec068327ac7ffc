//! Writes journal files as journald does, as far as they are read here.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How values are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    None,
    Zstd,
    Lz4,
    /// Says so, but is not.
    Xz,
}

pub struct Written {
    file: File,
    compact: bool,
    packing: Packing,
    end: u64,
    entries: u64,
    /// The last array: where, room, used.
    array: (u64, u64, u64),
    pub offsets: Vec<u64>,
}

impl Written {
    pub fn create(path: &Path, id: u8, compact: bool, packing: Packing) -> Written {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
        let mut header = vec![0; 256];
        header[..8].copy_from_slice(b"LPKSHHRH");
        let flags = 4u32 | if compact { 16 } else { 0 } | [0, 8, 2, 1][packing as usize];
        header[12..16].copy_from_slice(&flags.to_le_bytes());
        header[16] = 1;
        header[24..40].fill(id);
        header[72..88].fill(0xab);
        file.write_all_at(&header, 0).unwrap();
        Written { file, compact, packing, end: 256, entries: 0, array: (0, 0, 0), offsets: Vec::new() }
    }

    fn put(&self, at: u64, n: u64) {
        self.file.write_all_at(&n.to_le_bytes(), at).unwrap();
    }

    fn object(&mut self, type_: u8, flags: u8, content: &[u8]) -> u64 {
        let at = self.end;
        let size = 16 + content.len() as u64;
        let bytes = [&[type_, flags, 0, 0, 0, 0, 0, 0][..], &size.to_le_bytes(), content].concat();
        self.file.write_all_at(&bytes, at).unwrap();
        self.end = (at + size).next_multiple_of(8);
        at
    }

    fn data(&mut self, field: &str) -> u64 {
        let (flags, payload) = match self.packing {
            Packing::None => (0, field.as_bytes().to_vec()),
            Packing::Zstd => (4, zstd::bulk::compress(field.as_bytes(), 3).unwrap()),
            Packing::Xz => (1, field.as_bytes().to_vec()),
            // One run of literals.
            Packing::Lz4 => {
                let length = field.len();
                let more = if length < 15 { vec![(length as u8) << 4] } else { vec![0xf0, (length - 15) as u8] };
                (2, [&(length as u64).to_le_bytes()[..], &more, field.as_bytes()].concat())
            }
        };
        let head = vec![0; if self.compact { 56 } else { 48 }];
        self.object(1, flags, &[head, payload].concat())
    }

    /// Appends an entry; `time` is in microseconds.
    pub fn entry(&mut self, sequence: u64, time: u64, fields: &[&str]) {
        let data: Vec<u64> = fields.iter().map(|field| self.data(field)).collect();
        let mut content: Vec<u8> = [sequence, time, 77].iter().flat_map(|n| n.to_le_bytes()).collect();
        content.extend([0xcd; 16]);
        content.extend(99u64.to_le_bytes());
        for offset in data {
            match self.compact {
                true => content.extend((offset as u32).to_le_bytes()),
                false => content.extend([offset.to_le_bytes(), [0; 8]].concat()),
            }
        }
        let entry = self.object(3, 0, &content);
        self.offsets.push(entry);
        let width = if self.compact { 4 } else { 8 };
        if self.array.1 == self.array.2 {
            let room = (self.array.1 * 2).max(4);
            let next = self.object(6, 0, &vec![0; 8 + (room * width) as usize]);
            let link = if self.array.0 == 0 { 176 } else { self.array.0 + 16 };
            self.put(link, next);
            self.array = (next, room, 0);
        }
        let slot = self.array.0 + 24 + self.array.2 * width;
        self.file.write_all_at(&entry.to_le_bytes()[..width as usize], slot).unwrap();
        self.array.2 += 1;
        self.entries += 1;
        self.put(192, time);
        self.put(152, self.entries);
    }

    /// No entry will follow.
    pub fn archive(&self) {
        self.file.write_all_at(&[2], 16).unwrap();
    }

    pub fn spoil(&self, at: u64) {
        self.file.write_all_at(&[0xff; 16], at).unwrap();
    }
}
