//! A thousand files at once, rotated in every way there is, while `nilo` is killed twice: no line may be missing, and memory
//! does not grow.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::follow::Follow;
use crate::daemon::Daemon;

/// How the files are rotated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `0.log` becomes `0.log.1`, which becomes `0.log.2.gz`, and so on.
    Numbered,
    /// `0.log` becomes `0.log-20260101`, and is packed the next time.
    Dated,
    /// Copied and truncated, when everything was read.
    CopyTruncate,
    /// Deleted and begun anew, when everything was read.
    Delete,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Numbered, Kind::Dated, Kind::CopyTruncate, Kind::Delete];

    /// Whether nothing may be left to read when it happens.
    fn waits(self) -> bool {
        matches!(self, Kind::CopyTruncate | Kind::Delete)
    }
}

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub files: usize,
    /// Lines a second, of all files together.
    pub rate: u64,
    pub time: Duration,
    /// Times each file is rotated.
    pub rotations: usize,
    pub limit: Duration,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    pub kind: Kind,
    pub files: usize,
    pub rotations: usize,
    pub kills: usize,
    pub written: u64,
    pub lost: u64,
    pub doubled: u64,
    pub strange: u64,
    /// Resident memory at intervals since the last kill, KiB.
    pub rss_kib: Vec<u64>,
}

impl Report {
    /// Whether memory does not grow: the second half of the time against the first.
    fn is_flat(&self) -> bool {
        let (first, second) = self.rss_kib.split_at(self.rss_kib.len() / 2);
        let most = |samples: &[u64]| samples.iter().copied().max().unwrap_or(0);
        first.is_empty() || most(second) <= most(first) + most(first) / 5 + 4096
    }
}

impl super::Report for Report {
    fn holds(&self) -> bool {
        self.lost == 0 && self.strange == 0 && self.is_flat()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { kind, files, rotations, kills, written, lost, doubled, strange, rss_kib } = self;
        let kind = format!("{kind:?}");
        write!(f, "{kind:<13} {files} files, {rotations} rotations, {kills} kills: {written} lines, {lost} lost, {doubled} doubled")?;
        write!(f, ", {strange} strange; resident KiB since the last kill: {rss_kib:?}")
    }
}

fn config(kind: Kind) -> String {
    let groups = match kind {
        Kind::Numbered => "groups = '/(?<file>\\d+)\\.log(\\.(?<n>\\d+))?(\\.gz)?$'\ndifferentiator = '{file}'\npriority = 'n descending'",
        Kind::Dated => "groups = '/(?<file>\\d+)\\.log(-(?<day>\\d+))?(\\.gz)?$'\ndifferentiator = '{file}'\npriority = 'day'",
        Kind::CopyTruncate | Kind::Delete => "exclude = '*.copy'",
    };
    format!(
        r#"
[nilo]
state = "{{dir}}/state"

[input.logs]
type = "tail"
paths = ["{{dir}}/logs/*"]
max_open = 256
rotate_wait = "500ms"
{groups}

[output.out]
type = "file"
dir = "{{dir}}/out"
name = "lines"
match = 'Type == "logs"'
encoder = "line"
"#
    )
}

/// What stands behind the numbers of each line.
const REST: &str = "192.0.2.17 GET /products/1729/reviews?page=4 200 5316 \"curl/8.5.0\"";

/// The files, how many lines each has had, and how many it had at each rotation.
struct Logs {
    dir: PathBuf,
    written: Vec<u64>,
    rotated: Vec<Vec<u64>>,
}

/// Packed files that are kept of each.
const KEPT: usize = 2;

impl Logs {
    fn path(&self, file: usize, suffix: &str) -> PathBuf {
        self.dir.join(format!("{file}.log{suffix}"))
    }

    fn append(&mut self, file: usize, lines: u64) -> Result<()> {
        let from = self.written[file];
        let text: String = (from..from + lines).map(|n| format!("{file} {n} {REST}\n")).collect();
        File::options().create(true).append(true).open(self.path(file, ""))?.write_all(text.as_bytes())?;
        self.written[file] += lines;
        Ok(())
    }

    /// `had`: how many of its lines have come, without a gap. What came whole need not be kept.
    fn rotate(&mut self, kind: Kind, file: usize, had: u64) -> Result<()> {
        let (current, n) = (self.path(file, ""), self.rotated[file].len());
        self.rotated[file].push(self.written[file]);
        let arrived = |n: usize| self.rotated[file][n] <= had;
        match kind {
            Kind::Numbered => {
                for i in (2..=n).rev() {
                    let packed = self.path(file, &format!(".{i}.gz"));
                    if i > KEPT && packed.exists() && arrived(n - i) {
                        fs::remove_file(packed)?;
                    } else if packed.exists() {
                        fs::rename(packed, self.path(file, &format!(".{}.gz", i + 1)))?;
                    }
                }
                if n > 0 {
                    pack(&self.path(file, ".1"), &self.path(file, ".2.gz"))?;
                }
                fs::rename(current, self.path(file, ".1"))?;
            }
            Kind::Dated => {
                let day = |n: usize, ending: &str| self.path(file, &format!("-{}{ending}", 20_260_101 + n));
                if n > 0 {
                    pack(&day(n - 1, ""), &day(n - 1, ".gz"))?;
                }
                for old in (0..n.saturating_sub(KEPT)).filter(|old| arrived(*old) && day(*old, ".gz").exists()) {
                    fs::remove_file(day(old, ".gz"))?;
                }
                fs::rename(current, day(n, ""))?;
            }
            Kind::CopyTruncate => {
                fs::copy(&current, self.path(file, ".copy"))?;
                File::options().write(true).open(&current)?.set_len(0)?;
            }
            Kind::Delete => fs::remove_file(&current)?,
        }
        Ok(())
    }
}

/// As gzip does: the packed file first, with the time of the original, which goes then.
fn pack(from: &Path, to: &Path) -> Result<()> {
    let mut gzip = GzEncoder::new(File::create(to)?, Compression::fast());
    gzip.write_all(&fs::read(from)?)?;
    gzip.finish()?.set_modified(fs::metadata(from)?.modified()?)?;
    Ok(fs::remove_file(from)?)
}

/// The numbers that came out, of each file.
struct Delivered {
    file: Follow,
    seen: Vec<Vec<u8>>,
    distinct: u64,
    strange: u64,
}

impl Delivered {
    fn read(&mut self) {
        let Delivered { file, seen, distinct, strange } = self;
        file.lines(|line| {
            let text = String::from_utf8_lossy(line);
            let mut parts = text.splitn(3, ' ');
            let mut number = || parts.next()?.parse::<usize>().ok();
            let place = number().zip(number());
            match place.filter(|(file, n)| *file < seen.len() && *n < 1 << 24) {
                Some((file, n)) if parts.next() == Some(REST) => {
                    if n >= seen[file].len() {
                        seen[file].resize(n + 1, 0);
                    }
                    *distinct += u64::from(seen[file][n] == 0);
                    seen[file][n] = seen[file][n].saturating_add(1);
                }
                // The half of a line that a kill left behind.
                _ if REST.starts_with(text.trim_end()) || !text.ends_with(REST) => {}
                _ => {
                    *strange += 1;
                    if *strange <= 3 {
                        eprintln!("not a line that was written: {text}");
                    }
                }
            }
        });
    }
}

/// One run: the files are written and rotated while `nilo` runs, and is killed after a third and after half of the time.
///
/// # Errors
/// When `nilo` does not run, or something that has to happen does not within the limit.
pub fn prove(nilo: &Path, kind: Kind, round: Round) -> Result<Report> {
    let mut daemon = Daemon::new(nilo)?;
    daemon.configure(&config(kind))?;
    fs::create_dir(daemon.path("logs"))?;
    let mut logs = Logs { dir: daemon.path("logs"), written: vec![0; round.files], rotated: vec![Vec::new(); round.files] };
    let mut out = Delivered { file: Follow::new(daemon.path("out/lines")), seen: vec![Vec::new(); round.files], distinct: 0, strange: 0 };
    daemon.start()?;
    let (mut began, batch) = (Instant::now(), 10);
    let (mut written, mut rotations, mut kills, mut next) = (0u64, 0, 0, 0);
    let mut rss_kib = Vec::new();
    let mut sampled = Instant::now();
    while began.elapsed() < round.time {
        let done = began.elapsed().as_secs_f64() / round.time.as_secs_f64();
        while (written as f64) < done * round.time.as_secs_f64() * round.rate as f64 {
            logs.append(next % round.files, batch)?;
            (written, next) = (written + batch, next + 1);
        }
        let due = (done * (round.rotations * round.files) as f64) as usize;
        // Those that have to wait do so together.
        if rotations < due && (!kind.waits() || due >= rotations + round.files / 4) {
            if kind.waits() {
                let waiting = Instant::now();
                arrived(&mut daemon, &mut out, written, round.limit)?;
                began += waiting.elapsed();
            }
            for turn in rotations..due {
                let file = turn % round.files;
                if logs.written[file] > 0 && logs.path(file, "").exists() {
                    let had = out.seen[file].iter().take_while(|n| **n > 0).count() as u64;
                    logs.rotate(kind, file, had)?;
                }
            }
            rotations = due;
        }
        if kills < 2 && done > [0.33, 0.5][kills] {
            daemon.kill()?;
            kills += 1;
            daemon.start()?;
            rss_kib.clear();
        }
        if sampled.elapsed() > round.time / 20 {
            sampled = Instant::now();
            rss_kib.push(daemon.process()?.rss_kib());
        }
        out.read();
        std::thread::sleep(Duration::from_millis(5));
    }
    // What is missing after that is told by the report.
    let _ = arrived(&mut daemon, &mut out, written, round.limit);
    rss_kib.push(daemon.process()?.rss_kib());
    daemon.stop()?;
    out.read();
    let missing = |(file, lines): (usize, &u64)| (0..*lines as usize).filter(|n| out.seen[file].get(*n).is_none_or(|c| *c == 0)).count();
    let lost = logs.written.iter().enumerate().map(missing).sum::<usize>() as u64;
    if lost > 0 {
        tell_missing(&logs, &out);
    }
    let doubled = out.seen.iter().flatten().map(|n| u64::from(n.saturating_sub(1))).sum();
    Ok(Report { kind, files: round.files, rotations, kills, written, lost, doubled, strange: out.strange, rss_kib })
}

/// Waits until all lines have come.
fn arrived(daemon: &mut Daemon, out: &mut Delivered, written: u64, limit: Duration) -> Result<()> {
    let all = || {
        out.read();
        (out.distinct >= written).then_some(())
    };
    daemon.wait_for("every line that was written", limit, all).with_context(|| format!("{written} lines were written"))
}

/// Says which lines are missing of the first few files, and what there is of these.
fn tell_missing(logs: &Logs, out: &Delivered) {
    let missing =
        |file: usize| (0..logs.written[file]).filter(|n| out.seen[file].get(*n as usize).is_none_or(|c| *c == 0)).collect::<Vec<_>>();
    let some = (0..logs.written.len()).map(|file| (file, missing(file))).filter(|(_, missing)| !missing.is_empty());
    for (file, missing) in some.take(5) {
        let (first, last) = (missing[0], missing[missing.len() - 1]);
        let (all, rotated) = (logs.written[file], &logs.rotated[file]);
        eprintln!("file {file}: {} of {all} lines are missing, from {first} to {last}; rotated at {rotated:?}", missing.len());
    }
}
