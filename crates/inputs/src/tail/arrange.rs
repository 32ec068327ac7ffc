//! The order in which files are read: those of one stream one after the other, the oldest first.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::file::open;
use super::identity::{FileId, Head};
use super::known::Known;
use super::naming::{Naming, Place, Rank};

/// A file that is about to be read.
#[derive(Debug)]
pub struct Candidate {
    pub path: PathBuf,
    pub meta: Metadata,
    pub place: Place,
    /// It was followed under another name before: older than all that were not.
    pub renamed: bool,
}

/// Those that are wanted by their names.
pub fn candidates(files: Vec<(PathBuf, Metadata)>, naming: &Naming, known: &Known) -> Vec<Candidate> {
    let candidate = |(path, meta): (PathBuf, Metadata)| {
        let place = naming.place(&path)?;
        let id = FileId::of(&meta);
        let elsewhere = known.of_inode(id.inode).any(|r| r.id == id && r.path != path);
        // The inode alone may be that of a file that is gone.
        let head = if elsewhere { open(&path).ok().flatten().and_then(|(file, _)| Head::read(&file).ok()) } else { None };
        let renamed = head.and_then(|head| known.find(id, &path, &head)).is_some_and(|r| r.path != path);
        Some(Candidate { path, meta, place, renamed })
    };
    files.into_iter().filter_map(candidate).collect()
}

impl Candidate {
    fn time(&self) -> (i64, i64) {
        (self.meta.mtime(), self.meta.mtime_nsec())
    }
}

/// Puts files in order. Streams stay in the order of their first files. Within a stream, names tell where the
/// configuration says so; otherwise the time of the last write, and of files written at one time the number behind the name.
pub fn arrange(files: &mut [Candidate], naming: &Naming) {
    let mut streams: HashMap<String, usize> = HashMap::new();
    for file in &*files {
        let next = streams.len();
        streams.entry(file.place.stream.clone()).or_insert(next);
    }
    let stream = |file: &Candidate| streams.get(&file.place.stream).copied();
    files.sort_by(|a, b| stream(a).cmp(&stream(b)).then_with(|| within(a, b, naming)));
}

fn within(a: &Candidate, b: &Candidate, naming: &Naming) -> Ordering {
    // A file that has no rank any more was rotated away from a wanted name.
    let new = |file: &Candidate| if naming.ranks() { !file.place.rank.is_empty() } else { !file.renamed };
    let by_name = naming.compare(&a.place.rank, &b.place.rank);
    let tie = || number(b).cmp(&number(a)).then_with(|| a.path.cmp(&b.path));
    new(a).cmp(&new(b)).then(by_name).then_with(|| a.time().cmp(&b.time())).then_with(tie)
}

/// The number that rotation put behind the name: the higher, the older. The file without one is the newest.
fn number(file: &Candidate) -> Rank {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    name[name.len() - digits..].parse().map_or(Rank::Number(-1), Rank::Number)
}
