//! What survives a crash, and what is done when the disk says that something may not.
//!
//! After a failed `fdatasync` the system takes the pages in question for written, whether they are
//! or not: a second call succeeds and means nothing. So the segment is sealed, and written anew from
//! what can still be read of it, to a file that then takes its name. Until that has succeeded
//! nothing in it counts as durable. Records that can no longer be read are told as [`Lost`], over and
//! over, until the owner has acknowledged that.
//!
//! A file `*.suspect` beside the segment tells the next process the same, should this one be killed
//! before that. It need not be synchronised: after a crash of the machine nothing is in memory that
//! is not on the disk, and what is read is true.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

use crate::disk::{DiskFile, write_all};
use crate::log::{Journal, Log, Sealed};
use crate::record::SegmentHeader;
use crate::scan::{Scan, Step};
use crate::segment::Segment;

/// Bytes copied at once.
const PIECE: usize = 1 << 20;

/// Records that were appended, not durable yet, and cannot be read any more after the disk failed;
/// with those between them, and with those that older damage in the same segments has cost.
///
/// It is within the [`io::Error`] that [`Journal::sync`] answers from then on, until
/// [`Journal::accept_loss`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("records {} to {} were lost before they were durable: the disk failed and does not give them back", seqs.start, seqs.end - 1)]
pub struct Lost {
    pub seqs: Range<u64>,
}

impl Journal {
    /// Makes what was appended survive a crash; returns the number below which everything does.
    /// Appends go on meanwhile.
    ///
    /// # Errors
    /// When the disk does not do it; nothing more is durable than before. An error that holds
    /// [`Lost`] comes again until [`Journal::accept_loss`]; others are worth another try.
    pub fn sync(&self) -> io::Result<u64> {
        let log = &self.log;
        let _chore = log.chore();
        let (work, target) = {
            let state = log.lock();
            if let Some(lost) = &state.lost {
                return Err(io::Error::other(lost.clone()));
            }
            let sealed = state.sealed.iter().map(|s| (s.segment.clone(), s.file.clone()));
            let active = state.active.iter().map(|a| (a.segment.clone(), Some(a.file.clone())));
            let work: Vec<_> =
                sealed.chain(active).map(|(s, file)| (s.end(), s, file)).filter(|(end, s, _)| !s.is_synced_to(*end)).collect();
            (work, state.next)
        };
        for (end, segment, file) in work {
            log.sync_segment(&segment, file, end)?;
        }
        log.sync_names()?;
        let mut state = log.lock();
        for sealed in state.sealed.iter_mut().filter(|s| s.segment.is_synced_to(s.segment.end())) {
            sealed.file = None;
        }
        if let Some(lost) = &state.lost {
            return Err(io::Error::other(lost.clone()));
        }
        state.durable = state.durable.max(target);
        Ok(state.durable)
    }

    /// Takes note of the loss that [`Journal::sync`] told: from now on it answers for the others
    /// again. Whoever waits for one of these records has to be told first.
    pub fn accept_loss(&self, lost: &Lost) {
        let mut state = self.log.lock();
        if state.lost.as_ref() == Some(lost) {
            state.lost = None;
        }
    }
}

impl Log {
    fn sync_segment(&self, segment: &Arc<Segment>, file: Option<Arc<dyn DiskFile>>, end: u64) -> io::Result<()> {
        if segment.is_suspect() {
            self.seal(segment);
            return self.write_anew(segment);
        }
        let file = file.map_or_else(|| segment.open(&*self.disk), Ok)?;
        if let Err(e) = file.sync() {
            segment.set_suspect();
            // Nothing more can be done if that fails too.
            let _ = self.disk.create(&segment.mark());
            self.seal(segment);
            // What failed here may work elsewhere on the disk.
            return self.write_anew(segment).map_err(|_| e);
        }
        segment.set_synced(end);
        Ok(())
    }

    fn seal(&self, segment: &Arc<Segment>) {
        let mut state = self.lock();
        if state.active.as_ref().is_some_and(|a| Arc::ptr_eq(&a.segment, segment)) {
            state.seal();
        }
    }

    /// Copies a sealed segment into a file of its own, which then takes its name. Readers of the old
    /// one go on with that.
    fn write_anew(&self, segment: &Arc<Segment>) -> io::Result<()> {
        let (end, wanted) = {
            let state = self.lock();
            let after = state.segments().find(|s| s.first > segment.first).map_or(state.next, |s| s.first);
            (segment.end(), state.durable.max(segment.first)..after)
        };
        let name = format!("{}.new", segment.name());
        let copy: Arc<dyn DiskFile> = Arc::from(self.disk.create(&name)?);
        let made = segment.open(&*self.disk).and_then(|old| copy_bytes(&*old, &*copy, end));
        // The header may be lost too, and be that of an earlier life of the file.
        let header = SegmentHeader { first: segment.first, salt: segment.salt, reused: false }.encode();
        let made = made.and_then(|()| write_all(&*copy, &mut [IoSlice::new(&header)], 0)).and_then(|()| copy.sync());
        let missing = made.and_then(|()| missing(&copy, segment, end, wanted));
        let missing = match missing {
            Ok(missing) => missing,
            Err(e) => {
                let _ = self.disk.remove(&name);
                return Err(e);
            }
        };
        self.disk.rename(&name, &segment.name())?;
        let _ = self.disk.remove(&segment.mark());
        let mut state = self.lock();
        state.changes += 1;
        segment.set_file(&copy);
        segment.set_synced(end);
        if let Some(Sealed { file, length, .. }) = state.sealed.iter_mut().find(|s| Arc::ptr_eq(&s.segment, segment)) {
            *file = None;
            let before = std::mem::replace(length, end);
            state.bytes = state.bytes + end - before;
        }
        if let Some(seqs) = missing {
            let known = state.lost.take().map_or(seqs.clone(), |l| l.seqs);
            state.lost = Some(Lost { seqs: known.start.min(seqs.start)..known.end.max(seqs.end) });
        }
        Ok(())
    }
}

fn copy_bytes(from: &dyn DiskFile, to: &dyn DiskFile, end: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE.min(end as usize)];
    let mut at = 0;
    while at < end {
        let wanted = piece.len().min((end - at) as usize);
        let n = from.read_at(&mut piece[..wanted], at)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write_all(to, &mut [IoSlice::new(&piece[..n])], at)?;
        at += n as u64;
    }
    Ok(())
}

/// The wanted records that are not in the copy, with all between them.
fn missing(copy: &Arc<dyn DiskFile>, segment: &Segment, end: u64, wanted: Range<u64>) -> io::Result<Option<Range<u64>>> {
    let mut scan = Scan::new(copy.clone(), segment.salt, segment.first, wanted.start, u64::MAX);
    let mut found: Option<Range<u64>> = None;
    let mut add = |lost: Range<u64>| {
        if !lost.is_empty() {
            let start = found.as_ref().map_or(lost.start, |f| f.start);
            found = Some(start..lost.end);
        }
    };
    loop {
        match scan.step(end)? {
            Step::Record(_) => {}
            Step::Damage(damage) => add(damage.lost),
            Step::End => break,
        }
    }
    add(scan.expect().max(wanted.start)..wanted.end);
    Ok(found)
}
