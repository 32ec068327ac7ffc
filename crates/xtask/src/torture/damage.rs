//! The journal is damaged while nobody runs: the program starts, says what it lost, delivers all the
//! rest and resumes.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::feed;
use super::ledger::{Ledger, Stream};
use super::report::Report;
use super::stage::{Load, Sink, Source, Stage};
use crate::daemon::Daemon;

/// A way of damaging a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    Payload,
    RecordHeader,
    SegmentHeader,
    Sector,
    TailCut,
    Emptied,
    Deleted,
    Duplicated,
    Garbage,
    Cursors,
}

impl Damage {
    pub const ALL: [Damage; 10] = [
        Damage::Payload,
        Damage::RecordHeader,
        Damage::SegmentHeader,
        Damage::Sector,
        Damage::TailCut,
        Damage::Emptied,
        Damage::Deleted,
        Damage::Duplicated,
        Damage::Garbage,
        Damage::Cursors,
    ];

    /// Bytes of journal, headers and all, that may be gone with it.
    fn destroys(self, journal: &Path) -> Result<u64> {
        let segments = segments(journal)?;
        Ok(match self {
            Damage::Payload | Damage::RecordHeader | Damage::TailCut => longest_record(&segments)?,
            // It may lie across two.
            Damage::Sector => 2 * longest_record(&segments)?,
            Damage::Emptied | Damage::Deleted => fs::metadata(&segments[MIDDLE])?.len(),
            Damage::SegmentHeader | Damage::Duplicated | Damage::Garbage | Damage::Cursors => 0,
        })
    }

    /// Does it; the path of what was damaged.
    fn inflict(self, journal: &Path) -> Result<PathBuf> {
        let segments = segments(journal)?;
        let (middle, last) = (&segments[MIDDLE.min(segments.len() - 1)], segments.last().context("no segment")?);
        let length = fs::metadata(middle)?.len();
        let hurt = match self {
            Damage::TailCut | Damage::Garbage => last.clone(),
            Damage::Cursors => journal.join("cursors"),
            _ => middle.clone(),
        };
        match self {
            Damage::Payload => flip(middle, length / 2)?,
            Damage::RecordHeader => flip(middle, FIRST_RECORD)?,
            Damage::SegmentHeader => flip(middle, 2)?,
            Damage::Sector => overwrite(middle, length / 2 / 512 * 512, &[0; 512])?,
            Damage::TailCut => File::options().write(true).open(last)?.set_len(fs::metadata(last)?.len().saturating_sub(7))?,
            Damage::Emptied => File::options().write(true).open(middle)?.set_len(0)?,
            Damage::Deleted => fs::remove_file(middle)?,
            Damage::Duplicated => drop(fs::copy(middle, beside(last)?)?),
            Damage::Garbage => File::options().append(true).open(last)?.write_all(&[0x5a; 3001])?,
            Damage::Cursors => fs::write(&hurt, b"\x00\xff{ these are no cursors")?,
        }
        Ok(hurt)
    }
}

/// The segment that is damaged: neither the first, which the program may have let go, nor the last, of
/// which nobody else knows.
const MIDDLE: usize = 1;

/// Where the first record's header begins in a segment.
const FIRST_RECORD: u64 = 32;

/// What each record begins with, and the bytes of its header.
const MARKER: [u8; 4] = [0xf5, b'N', b'J', 0xa9];
const HEADER: u64 = 32;

/// Header and payload of the longest record, in bytes.
fn longest_record(segments: &[PathBuf]) -> Result<u64> {
    let mut longest = 0;
    for segment in segments {
        let (bytes, mut at) = (fs::read(segment)?, FIRST_RECORD as usize);
        while let Some([m0, m1, m2, m3, l0, l1, l2, l3]) = bytes.get(at..at + 8).and_then(|b| <[u8; 8]>::try_from(b).ok()) {
            if [m0, m1, m2, m3] != MARKER {
                break;
            }
            let size = HEADER + u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
            longest = longest.max(size);
            at += size as usize;
        }
    }
    ensure!(longest > 0, "no record in {} segments", segments.len());
    Ok(longest)
}

/// The segments in the order of their names, which is that of their records.
fn segments(journal: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(journal).with_context(|| format!("no journal at {}", journal.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
    files.retain(|f| f.is_file() && f.extension().is_some_and(|x| x == "log"));
    files.sort();
    ensure!(!files.is_empty(), "no segment in {}", journal.display());
    Ok(files)
}

/// A name of a segment that is not there: that of one which begins with another record.
fn beside(segment: &Path) -> Result<PathBuf> {
    let name = segment.file_stem().and_then(|n| n.to_str()).context("no name")?;
    let first = u64::from_str_radix(name, 16).with_context(|| format!("{name} is no number"))?;
    Ok(segment.with_file_name(format!("{:016x}.log", first + 1)))
}

fn flip(path: &Path, at: u64) -> Result<()> {
    let mut byte = [0];
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut byte).with_context(|| format!("{} is shorter than {at} bytes", path.display()))?;
    overwrite(path, at, &[byte[0] ^ 0x10])
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) -> Result<()> {
    let mut file = File::options().write(true).open(path)?;
    file.seek(SeekFrom::Start(at))?;
    Ok(file.write_all(bytes)?)
}

/// A journal full of acknowledged records, and the configuration that wrote it.
struct Built {
    stage: Stage,
    stream: Arc<Stream>,
}

/// Fills a journal from `tcp` while the only output is dead.
fn build(load: &Load, bytes: u64) -> Result<Built> {
    let load = Load { sources: vec![Source::Tcp], sinks: vec![Sink::Tcp], durable: true, queue: "1MiB", ..load.clone() };
    let mut stage = Stage::new(load)?;
    stage.daemon.configure(&stage.config("journal_sync = \"10ms\""))?;
    stage.tcp = None;
    stage.feed()?;
    stage.daemon.start()?;
    let (state, limit) = (stage.state.join("journal"), stage.load.limit);
    let full = || (segments(&state).ok()?.iter().filter_map(|s| fs::metadata(s).ok()).map(|m| m.len()).sum::<u64>() >= bytes).then_some(());
    stage.daemon.wait_for("full journal", limit, full)?;
    let feeder = stage.feeders.pop().context("no sender")?;
    let stream = feeder.stream().clone();
    feeder.finish(limit)?;
    stage.kill()?;
    Ok(Built { stage, stream })
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Damages copies of one journal, each in one way, and sees what comes of it.
///
/// # Errors
/// When `nilo` does not run.
pub fn torture(load: &Load, bytes: u64, ways: &[Damage]) -> Result<Vec<Report>> {
    let built = build(load, bytes)?;
    ways.iter().map(|damage| one(&built, *damage).with_context(|| format!("{damage:?}"))).collect()
}

fn one(built: &Built, damage: Damage) -> Result<Report> {
    let (load, limit) = (&built.stage.load, built.stage.load.limit);
    let daemon = load.daemon(&format!("{damage:?}"))?;
    copy(&built.stage.state, &daemon.path("state"))?;
    daemon.configure(&built.stage.config("journal_sync = \"10ms\"").replace(&built.stage.state.display().to_string(), "{dir}/state"))?;
    let journal = daemon.path("state/journal");
    let all = segments(&journal)?;
    let whole = matches!(damage, Damage::Emptied | Damage::Deleted | Damage::Duplicated);
    ensure!(all.len() > MIDDLE + 1 || !whole, "the journal has {} segments, expected 3 or more: make it larger", all.len());
    let bytes: u64 = all.iter().filter_map(|s| fs::metadata(s).ok()).map(|m| m.len()).sum();
    let may_lose = built.stream.acknowledged() as f64 * damage.destroys(&journal)? as f64 / bytes as f64;
    let hurt = damage.inflict(&journal)?;
    let mut stage = Stage::around(load.clone(), daemon, PathBuf::new())?;
    // The configuration names the receiver of the journal that was built.
    (stage.tcp, stage.ledger) = (None, Arc::new(Ledger::new()));
    stage.ledger.adopt(built.stream.clone());
    stage.tcp = Some(super::receive::tcp::start(built.stage.places.tcp_out, stage.ledger.output("tcp"))?);
    stage.places = built.stage.places;
    stage.start()?;
    resume(&mut stage)?;
    settled(&mut stage.daemon, &stage.ledger, limit)?;
    let said = stage.said(&["journal"])?;
    // What is missing now is lost; the last wait is for the stop only.
    stage.load.limit = stage.load.limit.min(Duration::from_secs(5));
    let mut report =
        stage.finish(format!("journal of {} segments, {damage:?}: {}", all.len(), hurt.file_name().unwrap_or_default().display()))?.0;
    // A little more than the share of the bytes: records of messages differ in length.
    report.may_lose = (may_lose * 1.2) as u64;
    report.notes.push(format!("{} lost of {} that such damage may cost", report.lost(), report.may_lose));
    report.notes.extend(said.iter().take(4).map(|line| format!("said: {line}")));
    if said.is_empty() && (report.lost() > 0 || damage != Damage::Duplicated) {
        report.broken.push("it did not say that the journal is damaged".to_string());
    }
    Ok(report)
}

/// What is sent from now on is acknowledged and delivered.
fn resume(stage: &mut Stage) -> Result<()> {
    let feeder = feed::tcp::start(stage.ledger.stream("resumed"), stage.places.tcp_in, 5000)?;
    std::thread::sleep(Duration::from_millis(100));
    feeder.drain();
    stage.feeders.push(feeder);
    Ok(())
}

/// Waits until nothing more comes.
fn settled(daemon: &mut Daemon, ledger: &Ledger, limit: Duration) -> Result<()> {
    let (mut count, mut since) = (ledger.count(), Instant::now());
    daemon.wait_for("end of deliveries", limit * 4, || {
        if ledger.count() != count {
            (count, since) = (ledger.count(), Instant::now());
        }
        (ledger.missing() == 0 || since.elapsed() > Duration::from_secs(2)).then_some(())
    })
}
