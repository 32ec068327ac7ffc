//! Which file is which, whatever it is called today.
//!
//! A name says little: logs are renamed, and inodes are given to new files as soon as the old one
//! is gone. A file is told by device and inode together with the bytes it begins with.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use plugin::Checkpoint;

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
    fn of_key(key: &str) -> Option<FileId> {
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

    /// What is kept with the position: `len:hash:path`, the hash covering the first `len` bytes.
    pub fn identity(&self, path: &Path) -> String {
        format!("{}:{:016x}:{}", self.0.len(), fnv(&self.0), path.display())
    }
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
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// A file that is not open, and how far it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remembered {
    pub key: String,
    pub id: FileId,
    /// The name under which it was known first.
    pub path: PathBuf,
    pub position: u64,
    len: usize,
    hash: u64,
}

impl Remembered {
    pub fn new(key: &str, id: FileId, path: &Path, position: u64, head: &Head) -> Remembered {
        Remembered { key: key.to_string(), id, path: path.to_path_buf(), position, len: head.0.len(), hash: fnv(&head.0) }
    }

    /// `None` when key or identity are not of this input's making.
    pub fn parse(checkpoint: &Checkpoint) -> Option<Remembered> {
        let id = FileId::of_key(&checkpoint.key)?;
        let mut parts = checkpoint.identity.splitn(3, ':');
        let len = parts.next()?.parse().ok().filter(|len| *len <= Head::FULL)?;
        let hash = u64::from_str_radix(parts.next()?, 16).ok()?;
        let path = PathBuf::from(parts.next()?);
        Some(Remembered { key: checkpoint.key.clone(), id, path, position: checkpoint.position, len, hash })
    }

    /// Whether a file that begins with `head` is this one. A device may get another number when
    /// the machine starts anew: then the directory has to be the same.
    pub fn is(&self, id: FileId, path: &Path, head: &Head) -> bool {
        let same = id == self.id || id.inode == self.id.inode && path.parent() == self.path.parent();
        same && head.0.len() >= self.len && fnv(&head.0[..self.len]) == self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(text, 0).unwrap();
        file
    }

    #[test]
    fn a_head_grows_with_its_file_and_knows_another_beginning() {
        let file = file(b"one\n");
        let mut head = Head::read(&file).unwrap();
        assert_eq!(head.check(&file).unwrap(), Check::Same);
        file.write_all_at(&[b'x'; 5000], 4).unwrap();
        assert_eq!((head.check(&file).unwrap(), head.check(&file).unwrap()), (Check::Grown, Check::Same));
        assert_eq!(head.0.len(), Head::FULL);
        file.set_len(10).unwrap();
        assert_eq!(head.check(&file).unwrap(), Check::Other);
    }

    #[test]
    fn a_remembered_file_is_known_again_by_id_and_beginning() {
        let (path, id) = (Path::new("/var/log/a:b.log"), FileId { dev: 0xfd01, inode: 42 });
        let head = Head::read(&file(b"first line\n")).unwrap();
        let checkpoint = Checkpoint { key: id.key(), identity: head.identity(path), position: 11, ..Checkpoint::default() };
        let remembered = Remembered::parse(&checkpoint).unwrap();
        assert_eq!(remembered, Remembered::new("fd01:2a", id, path, 11, &head));

        let grown = Head::read(&file(b"first line\nsecond\n")).unwrap();
        assert!(remembered.is(id, Path::new("/elsewhere"), &grown));
        assert!(remembered.is(FileId { dev: 7, ..id }, Path::new("/var/log/b"), &grown), "devices are numbered anew at boot");
        assert!(!remembered.is(FileId { dev: 7, ..id }, Path::new("/elsewhere"), &grown));
        assert!(!remembered.is(FileId { inode: 43, ..id }, path, &grown));
        assert!(!remembered.is(id, path, &Head::read(&file(b"first lime\nsecond\n")).unwrap()), "the inode was given to another file");
        assert!(!remembered.is(id, path, &Head::read(&file(b"first")).unwrap()), "shorter than it was");
    }

    #[test]
    fn keys_of_others_are_not_ours() {
        let parse = |key: &str, identity: &str| {
            Remembered::parse(&Checkpoint { key: key.into(), identity: identity.into(), ..Checkpoint::default() })
        };
        assert!(parse("1:2:3", "0:cbf29ce484222325:/a").is_some());
        for (key, identity) in [("topic/3", "0:0:/a"), ("1:2", ""), ("1:2", "2000:0:/a"), ("1:2", "0:0")] {
            assert_eq!(parse(key, identity), None, "{key} {identity}");
        }
    }
}
