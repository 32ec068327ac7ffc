//! What would be read, in which order, and where it stands: for commands that look and start nothing.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use options::{Options, Problem};
use plugin::Checkpoint;

use super::Setup;
use super::arrange::{Candidate, arrange, candidates};
use super::file::open;
use super::identity::{FileId, Head, Proof};
use super::inflate::Packing;
use super::known::Known;
use super::look::recover;
use super::pipe::{Form, Pipe, content_head};
use super::remembered::Remembered;

/// A file that an input `tail` would read.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// Tells the files of one stream, which are read one after the other.
    pub stream: String,
    /// Logger of its messages.
    pub logger: String,
    pub path: PathBuf,
    /// Bytes of the file.
    pub size: u64,
    /// `gzip` or `zstd`.
    pub packing: Option<&'static str>,
    /// What was read and accepted so far: bytes of the file or, of a packed one, of its content. None: it was never read.
    pub position: Option<u64>,
    /// Bytes of the file that are left to be read; None: a part of a packed file, which only unpacking would tell.
    pub left: Option<u64>,
    /// What else there is to say.
    pub note: Option<String>,
}

/// The files that an input `tail` with these options would read, in the order in which it would begin to.
///
/// # Errors
/// What is wrong with the options.
pub fn survey(o: &Options, checkpoints: &[Checkpoint]) -> Result<Vec<Surveyed>, Problem> {
    let setup = Setup::new(o)?;
    let known = Known::new(checkpoints);
    let mut here = HashSet::new();
    let mut found = setup.patterns.find(&mut |_| {});
    found.retain(|(_, meta)| here.insert(FileId::of(meta)) && meta.is_file());
    let mut files = candidates(found, &setup.naming, &known);
    files.splice(0..0, recover(&known, &setup, &here).0);
    arrange(&mut files, &setup.naming);
    let mut look = Look { setup: &setup, known: &known, seen: Vec::new() };
    Ok(files.into_iter().map(|file| look.at(file)).collect())
}

struct Look<'a> {
    setup: &'a Setup,
    known: &'a Known,
    /// How the contents of the files so far begin.
    seen: Vec<(PathBuf, Proof)>,
}

/// Where one file stands.
#[derive(Default)]
struct Standing {
    packing: Option<Packing>,
    position: Option<u64>,
    left: Option<u64>,
    note: Option<String>,
}

impl Look<'_> {
    fn at(&mut self, file: Candidate) -> Surveyed {
        let standing = self.standing(&file).unwrap_or_else(|e| Standing { note: Some(e.to_string()), ..Standing::default() });
        let Standing { packing, position, left, mut note } = standing;
        if note.is_none() && !self.setup.patterns.matches(&file.path) {
            note = Some("rotated away, read to its end".to_string());
        }
        Surveyed {
            stream: file.place.stream,
            logger: file.place.logger.unwrap_or_else(|| file.path.display().to_string()),
            size: file.meta.len(),
            packing: packing.map(Packing::name),
            position,
            left,
            note,
            path: file.path,
        }
    }

    fn standing(&mut self, candidate: &Candidate) -> io::Result<Standing> {
        let (path, size) = (&candidate.path, candidate.meta.len());
        let (file, _) = open(path)?.ok_or(ErrorKind::NotFound)?;
        let head = Head::read(&file)?;
        let packing = Packing::of(path, head.bytes());
        let form = Form { packing, encoding: self.setup.encoding, most: self.setup.max_unpacked };
        let content = match packing {
            Some(packing) => content_head(&file, packing)?.0,
            None => head.clone(),
        };
        let beside = |other: &PathBuf| other.parent() == path.parent();
        let copy = |proof: Proof| packing.is_some() && proof.len > 0 && content.has(proof);
        let (known, from_end) = (self.known.find(FileId::of(&candidate.meta), path, &head), self.setup.from_end);
        let standing = if let Some(r) = known {
            remembered(r, form, &head, &file, size)?
        } else if let Some(r) = self.known.iter().find(|r| beside(&r.path) && copy(r.content())) {
            let note = Some(format!("copy of {}, which was read", r.path.display()));
            Standing { position: Some(r.position), left: None, note, packing }
        } else if let Some((other, _)) = self.seen.iter().find(|(other, proof)| beside(other) && copy(*proof)) {
            Standing { left: Some(0), note: Some(format!("copy of {}", other.display())), packing, position: None }
        } else if from_end {
            Standing { left: Some(0), note: Some("new: from its end on".to_string()), packing, position: None }
        } else {
            Standing { left: Some(size), packing, ..Standing::default() }
        };
        self.seen.push((path.clone(), content.proof()));
        Ok(standing)
    }
}

fn remembered(r: &Remembered, form: Form, head: &Head, file: &File, size: u64) -> io::Result<Standing> {
    let standing = Standing { packing: form.packing, position: Some(r.position), ..Standing::default() };
    if form.packing.is_some() {
        let left = if r.facts.is_read(size, r.position) { Some(0) } else { Some(size).filter(|_| r.position == 0) };
        return Ok(Standing { left, ..standing });
    }
    let place = if form.is_plain() { r.position } else { place(r, form, head, file)? };
    Ok(match size.checked_sub(place) {
        left @ Some(_) => Standing { position: Some(place), left, ..standing },
        None => Standing { position: Some(0), left: Some(size), note: Some("truncated since: from its start".to_string()), ..standing },
    })
}

/// Where in the file a position is.
fn place(r: &Remembered, form: Form, head: &Head, file: &File) -> io::Result<u64> {
    let (mut at, _) = r.facts.marks.before(r.position);
    let mut pipe = Pipe::new(form, head, at, &r.facts.marks)?;
    let mut block = [0; 4096];
    while at < r.position {
        let ask = usize::try_from(r.position - at).unwrap_or(usize::MAX).min(block.len());
        match pipe.read(file, &mut block[..ask])? {
            0 => break,
            n => at += n as u64,
        }
    }
    Ok(pipe.place_in(form.encoding))
}
