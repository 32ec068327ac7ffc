//! Which file is which, whatever it is called today.
//!
//! A name says little: logs are renamed, and inodes are given to new files as soon as the old one
//! is gone. A file is told by device and inode together with the bytes it begins with.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// Device and inode: unique among the files that exist at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    pub dev: u64,
    pub inode: u64,
}

impl FileId {
    pub fn of(meta: &Metadata) -> FileId {
        FileId { dev: meta.dev(), inode: meta.ino() }
    }

    /// The key of its position: both numbers in hexadecimal, `fd01:2a`.
    pub fn key(self) -> String {
        format!("{:x}:{:x}", self.dev, self.inode)
    }

    /// What follows a second colon only keeps keys apart, see [`super::follow`].
    pub fn of_key(key: &str) -> Option<FileId> {
        let mut parts = key.split(':');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        Some(FileId { dev: number()?, inode: number()? })
    }
}

/// The first bytes of a file, as far as it has them: up to 1 KiB. Kept whole, because comparing
/// them is cheaper than hashing and done each time a file is looked at.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Head(Vec<u8>);

impl Head {
    /// Bytes by which files are told apart.
    pub const FULL: usize = 1024;

    /// Of content that was read otherwise.
    pub fn new(mut bytes: Vec<u8>) -> Head {
        bytes.truncate(Head::FULL);
        Head(bytes)
    }

    pub fn read(file: &File) -> io::Result<Head> {
        let mut bytes = [0; Head::FULL];
        let n = read_at_most(file, &mut bytes)?;
        Ok(Head(bytes[..n].to_vec()))
    }

    /// Holds the file's present beginning against these bytes, and takes in what they have grown by.
    pub fn check(&mut self, file: &File) -> io::Result<Check> {
        let mut bytes = [0; Head::FULL];
        let n = read_at_most(file, &mut bytes)?;
        if !bytes[..n].starts_with(&self.0) {
            return Ok(Check::Other);
        }
        if n == self.0.len() {
            return Ok(Check::Same);
        }
        self.0.extend_from_slice(&bytes[self.0.len()..n]);
        Ok(Check::Grown)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Hashes of all beginnings of this, by length: to hold it against many proofs.
    pub fn beginnings(&self) -> Beginnings {
        let next = |hash: &mut u64, byte: &u8| {
            *hash = fnv_step(*hash, *byte);
            Some(*hash)
        };
        Beginnings(std::iter::once(FNV_START).chain(self.0.iter().scan(FNV_START, next)).collect())
    }

    /// What proves later on that a file begins so.
    pub fn proof(&self) -> Proof {
        Proof { len: self.0.len(), hash: fnv(&self.0) }
    }

    /// Whether it begins as was proved, with what it may have grown by since.
    pub fn has(&self, proof: Proof) -> bool {
        self.0.get(..proof.len).is_some_and(|bytes| fnv(bytes) == proof.hash)
    }
}

/// Hashes of all the beginnings of one content.
pub struct Beginnings(Vec<u64>);

impl Beginnings {
    /// Whether the content begins as was proved.
    pub fn has(&self, proof: Proof) -> bool {
        self.0.get(proof.len) == Some(&proof.hash)
    }
}

/// Length and hash of the first bytes of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proof {
    pub len: usize,
    pub hash: u64,
}

/// How a file begins now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    Same,
    /// As before, with more behind it.
    Grown,
    /// Otherwise: it was truncated.
    Other,
}

fn read_at_most(file: &File, into: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < into.len() {
        match file.read_at(&mut into[n..], n as u64) {
            Ok(0) => break,
            Ok(read) => n += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): small, and the same in every version of this program.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(FNV_START, |hash, byte| fnv_step(hash, *byte))
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv_step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_grows_with_its_file_and_knows_another_beginning() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"one\n", 0).unwrap();
        let mut head = Head::read(&file).unwrap();
        let proof = head.proof();
        assert_eq!(head.check(&file).unwrap(), Check::Same);
        file.write_all_at(&[b'x'; 5000], 4).unwrap();
        assert_eq!((head.check(&file).unwrap(), head.check(&file).unwrap()), (Check::Grown, Check::Same));
        assert_eq!(head.0.len(), Head::FULL);
        let beginnings = head.beginnings();
        assert!(beginnings.has(proof) && beginnings.has(head.proof()) && !beginnings.has(Head::new(b"One\n".to_vec()).proof()));
        assert!(head.has(proof) && !Head::new(b"one".to_vec()).has(proof) && !Head::new(b"One\n".to_vec()).has(proof));
        file.set_len(10).unwrap();
        assert_eq!(head.check(&file).unwrap(), Check::Other);
    }
}
