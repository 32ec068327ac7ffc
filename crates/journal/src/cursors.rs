//! Who has got how far.
//!
//! ```text
//! nilometer cursors 1
//! 4711 output.elastic
//! 4650 output.file%0a
//! checksum 1d6fa8c2
//! ```
//!
//! A line has a record number and a name, in which `%` and control characters are written as `%xx`.
//! The checksum is the CRC-32 of all lines before it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Dir, Disk, replace};
use crate::finding::{Finding, What};

const FILE: &str = "cursors";
const TITLE: &str = "nilometer cursors 1\n";

/// Largest file read back, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// For each consumer the number of the record below which it has accepted everything.
#[derive(Debug)]
pub struct Cursors {
    disk: Arc<dyn Disk>,
    seqs: BTreeMap<String, u64>,
    changed: bool,
}

impl Cursors {
    /// Reads the cursors in the directory of a log. A damaged file is set aside and told; all
    /// consumers are unknown then.
    pub fn open(dir: &Path) -> (Cursors, Vec<Finding>) {
        Cursors::open_on(Arc::new(Dir::read_only(dir)))
    }

    /// The same on any disk.
    pub fn open_on(disk: Arc<dyn Disk>) -> (Cursors, Vec<Finding>) {
        Cursors::read(disk, set_aside)
    }

    /// The same, but it only looks: a damaged file is told and left where it is. For others than the owner of the log.
    pub fn look(dir: &Path) -> (Cursors, Vec<Finding>) {
        Cursors::read(Arc::new(Dir::read_only(dir)), |disk, bytes| damaged(disk, bytes, None))
    }

    fn read(disk: Arc<dyn Disk>, damaged: impl Fn(&dyn Disk, u64) -> Finding) -> (Cursors, Vec<Finding>) {
        let (seqs, findings) = match read(&*disk) {
            Ok(None) => (BTreeMap::new(), Vec::new()),
            Ok(Some((text, bytes))) => match parse(&text) {
                Some(seqs) => (seqs, Vec::new()),
                None => (BTreeMap::new(), vec![damaged(&*disk, bytes)]),
            },
            Err(_) => (BTreeMap::new(), vec![damaged(&*disk, 0)]),
        };
        (Cursors { disk, seqs, changed: false }, findings)
    }

    pub fn get(&self, name: &str) -> Option<u64> {
        self.seqs.get(name).copied()
    }

    /// Everything below `seq` is accepted. A cursor may go back, if its owner says so.
    pub fn set(&mut self, name: &str, seq: u64) {
        if self.get(name) != Some(seq) {
            self.seqs.insert(name.to_string(), seq);
            self.changed = true;
        }
    }

    /// Forgets a consumer that is no more. False if it was not known.
    pub fn forget(&mut self, name: &str) -> bool {
        let known = self.seqs.remove(name).is_some();
        self.changed |= known;
        known
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.seqs.iter().map(|(name, seq)| (name.as_str(), *seq))
    }

    /// Writes them down, if any has changed since the last time; they survive a crash afterwards.
    ///
    /// # Errors
    /// When that fails. What was written down before is still there, and it is tried again.
    pub fn save(&mut self) -> io::Result<()> {
        if self.changed {
            replace(&*self.disk, FILE, print(&self.seqs).as_bytes())?;
            self.changed = false;
        }
        Ok(())
    }
}

/// The lowest and the highest of the cursors, if they can be read and there are any.
pub(crate) fn span(disk: &dyn Disk) -> Option<(u64, u64)> {
    let seqs = read(disk).ok()?.and_then(|(text, _)| parse(&text))?;
    Some((*seqs.values().min()?, *seqs.values().max()?))
}

/// The file and its length. None if there is none.
fn read(disk: &dyn Disk) -> io::Result<Option<(String, u64)>> {
    let file = match disk.open(FILE) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let length = file.length()?;
    if length > MAX_FILE {
        return Ok(Some((String::new(), length)));
    }
    let (mut bytes, mut at) = (vec![0; length as usize], 0);
    while at < bytes.len() {
        match file.read_at(&mut bytes[at..], at as u64)? {
            0 => break,
            n => at += n,
        }
    }
    bytes.truncate(at);
    Ok(Some((String::from_utf8(bytes).unwrap_or_default(), length)))
}

fn set_aside(disk: &dyn Disk, bytes: u64) -> Finding {
    let aside = format!("{FILE}.damaged");
    let kept = disk.rename(FILE, &aside).is_ok();
    damaged(disk, bytes, kept.then_some(&*aside))
}

fn damaged(disk: &dyn Disk, bytes: u64, aside: Option<&str>) -> Finding {
    let (file, aside) = (disk.path().join(FILE), aside.map(|aside| disk.path().join(aside)));
    Finding { file, offset: 0, bytes, what: What::Cursors, lost: 0..0, aside }
}

fn print(seqs: &BTreeMap<String, u64>) -> String {
    let mut text = TITLE.to_string();
    for (name, seq) in seqs {
        let _ = write!(text, "{seq} ");
        for c in name.chars() {
            match c {
                '%' | '\0'..='\x1f' | '\x7f' => {
                    let _ = write!(text, "%{:02x}", c as u32);
                }
                c => text.push(c),
            }
        }
        text.push('\n');
    }
    let sum = crc32fast::hash(text.as_bytes());
    let _ = writeln!(text, "checksum {sum:08x}");
    text
}

fn parse(text: &str) -> Option<BTreeMap<String, u64>> {
    let split = text.len().checked_sub("checksum 01234567\n".len())?;
    let (body, last) = (text.get(..split)?, text.get(split..)?);
    let sum = u32::from_str_radix(last.strip_prefix("checksum ")?.strip_suffix('\n')?, 16).ok()?;
    if sum != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    let line = |line: &str| {
        let (seq, name) = line.split_once(' ')?;
        Some((unescape(name)?, seq.parse().ok()?))
    };
    body.strip_prefix(TITLE)?.lines().map(line).collect()
}

fn unescape(name: &str) -> Option<String> {
    let mut pieces = name.split('%');
    let mut plain = pieces.next()?.to_string();
    for piece in pieces {
        plain.push(char::from(u8::from_str_radix(piece.get(..2)?, 16).ok()?));
        plain.push_str(&piece[2..]);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn cursors_come_back_whatever_their_names() {
        let dir = dir();
        let (mut cursors, findings) = Cursors::open(dir.path());
        assert!(findings.is_empty());
        for (seq, name) in ["output.a", "with space", "100 %", "new\nline", "ümlaut", ""].into_iter().enumerate() {
            cursors.set(name, seq as u64);
        }
        cursors.save().unwrap();
        let (mut again, findings) = Cursors::open(dir.path());
        assert!(findings.is_empty());
        assert!(again.iter().eq(cursors.iter()));
        assert!(again.forget("100 %") && !again.forget("100 %"));
        again.save().unwrap();
        assert_eq!(Cursors::open(dir.path()).0.get("100 %"), None);
        assert_eq!(Cursors::open(dir.path()).0.get("new\nline"), Some(3));
    }

    #[test]
    fn only_what_has_changed_is_written() {
        let dir = dir();
        let (mut cursors, _) = Cursors::open(dir.path());
        cursors.save().unwrap();
        assert!(!dir.path().join(FILE).exists());
        cursors.set("a", 1);
        cursors.save().unwrap();
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        cursors.set("a", 1);
        cursors.save().unwrap();
        assert!(!dir.path().join(FILE).exists());
    }

    #[test]
    fn any_damage_sets_the_file_aside() {
        let dir = dir();
        let path = dir.path().join(FILE);
        let good = print(&BTreeMap::from([("a".to_string(), 4711), ("b".to_string(), 12)])).into_bytes();
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 4;
            for bad in [&flipped[..], &good[..at]] {
                std::fs::write(&path, bad).unwrap();
                assert!(Cursors::look(dir.path()).1[0].aside.is_none() && path.exists());
                let (cursors, findings) = Cursors::open(dir.path());
                assert_eq!(cursors.iter().count(), 0, "byte {at}");
                assert_eq!(findings[0].what, What::Cursors);
                assert!(!path.exists() && dir.path().join("cursors.damaged").exists());
            }
        }
    }
}
