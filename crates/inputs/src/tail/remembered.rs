//! What is kept of a file with its position, and how it is known again.
//!
//! The key of a position is `device:inode`. Its identity is `len:hash:path`, the hash covering the first `len` bytes of the
//! file; behind the hash there may stand, each after a semicolon: `c=len/hash` of the content of a packed file, `z=size/content`
//! of one that was read to its end (its size, and where its content ended), and `m=position/place,…`, see [`Marks`].

use std::path::{Path, PathBuf};

use plugin::Checkpoint;

use super::identity::{FileId, Head, Proof};
use super::pipe::Marks;

/// A file that is not followed, and how far it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remembered {
    pub key: String,
    pub id: FileId,
    /// The name under which it was known first.
    pub path: PathBuf,
    pub position: u64,
    pub proof: Proof,
    pub facts: Facts,
}

/// What is known of a file whose positions are not those of its bytes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Facts {
    /// How the content of a packed file begins.
    pub content: Option<Proof>,
    pub whole: Option<Whole>,
    pub marks: Marks,
}

/// A packed file that was read to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whole {
    /// Its size then.
    pub size: u64,
    /// The position at its end.
    pub position: u64,
}

impl Facts {
    /// Whether nothing more can come of a file of this size that was read so far.
    pub fn is_read(&self, size: u64, position: u64) -> bool {
        self.whole.is_some_and(|whole| whole.size == size && position >= whole.position)
    }

    pub fn identity(&self, proof: Proof, path: &Path) -> String {
        let mut text = format!("{}:{:016x}", proof.len, proof.hash);
        if let Some(Proof { len, hash }) = self.content {
            text += &format!(";c={len}/{hash:016x}");
        }
        if let Some(Whole { size, position }) = self.whole {
            text += &format!(";z={size}/{position}");
        }
        let marks: Vec<String> = self.marks.iter().map(|(position, place)| format!("{position}/{place}")).collect();
        if !marks.is_empty() {
            text += &format!(";m={}", marks.join(","));
        }
        format!("{text}:{}", path.display())
    }

    fn parse<'a>(parts: impl Iterator<Item = &'a str>) -> Option<Facts> {
        let mut facts = Facts::default();
        let pair = |text: &str| text.split_once('/').map(|(a, b)| (a.to_string(), b.to_string()));
        let numbers = |text: &str| pair(text).and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)));
        for part in parts {
            match part.split_once('=')? {
                ("c", text) => {
                    let (len, hash) = pair(text)?;
                    facts.content = Some(proof(&len, &hash)?);
                }
                ("z", text) => facts.whole = numbers(text).map(|(size, position)| Whole { size, position }),
                ("m", text) => facts.marks = Marks::new(text.split(',').map(numbers).collect::<Option<_>>()?)?,
                _ => {}
            }
        }
        Some(facts)
    }
}

fn proof(len: &str, hash: &str) -> Option<Proof> {
    let len = len.parse().ok().filter(|len| *len <= Head::FULL)?;
    Some(Proof { len, hash: u64::from_str_radix(hash, 16).ok()? })
}

impl Remembered {
    /// `None` when key or identity are not of this input's making.
    pub fn parse(checkpoint: &Checkpoint) -> Option<Remembered> {
        let id = FileId::of_key(&checkpoint.key)?;
        let mut parts = checkpoint.identity.splitn(3, ':');
        let len = parts.next()?;
        let mut facts = parts.next()?.split(';');
        let proof = proof(len, facts.next()?)?;
        let facts = Facts::parse(facts)?;
        let path = PathBuf::from(parts.next()?);
        Some(Remembered { key: checkpoint.key.clone(), id, path, position: checkpoint.position, proof, facts })
    }

    /// Whether a file that begins with `head` is this one. A device may get another number when
    /// the machine starts anew: then the directory has to be the same.
    pub fn is(&self, id: FileId, path: &Path, head: &Head) -> bool {
        let same = id == self.id || id.inode == self.id.inode && path.parent() == self.path.parent();
        same && head.has(self.proof)
    }

    /// How its content begins, packed or not.
    pub fn content(&self) -> Proof {
        self.facts.content.unwrap_or(self.proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_file_is_known_again_by_id_and_beginning() {
        let (path, id) = (Path::new("/var/log/a:b.log"), FileId { dev: 0xfd01, inode: 42 });
        let head = |text: &[u8]| Head::new(text.to_vec());
        let identity = Facts::default().identity(head(b"first line\n").proof(), path);
        let checkpoint = Checkpoint { key: id.key(), identity, position: 11, ..Checkpoint::default() };
        let remembered = Remembered::parse(&checkpoint).unwrap();
        assert_eq!((remembered.key.as_str(), remembered.path.as_path(), remembered.position), ("fd01:2a", path, 11));

        let grown = head(b"first line\nsecond\n");
        assert!(remembered.is(id, Path::new("/elsewhere"), &grown));
        assert!(remembered.is(FileId { dev: 7, ..id }, Path::new("/var/log/b"), &grown), "devices are numbered anew at boot");
        assert!(!remembered.is(FileId { dev: 7, ..id }, Path::new("/elsewhere"), &grown));
        assert!(!remembered.is(FileId { inode: 43, ..id }, path, &grown));
        assert!(!remembered.is(id, path, &head(b"first lime\nsecond\n")), "the inode was given to another file");
        assert!(!remembered.is(id, path, &head(b"first")), "shorter than it was");
    }

    #[test]
    fn what_is_known_of_packed_and_other_files_is_kept() {
        let mut marks = Marks::default();
        assert!(marks.note(700_000, 1 << 20) && marks.note(1_500_000, 3 << 20));
        let content = Head::new(b"content".to_vec()).proof();
        let facts = Facts { content: Some(content), whole: Some(Whole { size: 99, position: 1000 }), marks };
        let identity = facts.identity(Head::new(b"\x1f\x8b".to_vec()).proof(), Path::new("/a;b:c.gz"));
        let checkpoint = Checkpoint { key: "1:2".into(), identity, ..Checkpoint::default() };
        let remembered = Remembered::parse(&checkpoint).unwrap();
        assert_eq!((remembered.facts.marks.before(1_500_000), remembered.content()), ((1_500_000, 3 << 20), content));
        assert_eq!(remembered.facts.whole, facts.whole);
        assert_eq!(remembered.path, Path::new("/a;b:c.gz"));
        assert!(facts.is_read(99, 1000) && !facts.is_read(99, 999) && !facts.is_read(100, 1000));
    }

    #[test]
    fn keys_of_others_are_not_ours() {
        let parse = |key: &str, identity: &str| {
            Remembered::parse(&Checkpoint { key: key.into(), identity: identity.into(), ..Checkpoint::default() })
        };
        assert!(parse("1:2:3", "0:cbf29ce484222325:/a").is_some());
        for (key, identity) in [("topic/3", "0:0:/a"), ("1:2", ""), ("1:2", "2000:0:/a"), ("1:2", "0:0"), ("1:2", "0:0;m=x:/a")] {
            assert_eq!(parse(key, identity), None, "{key} {identity}");
        }
    }
}
