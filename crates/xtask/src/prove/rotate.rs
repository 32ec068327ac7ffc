//! Files are rotated under load, and `nilo` is killed and started again: no line may be missing.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::feed::Feed;
use super::follow::Follow;
use crate::daemon::Daemon;

/// How a file is rotated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Renamed to a name that is not followed; the writer goes on in it until it opens a new one.
    Create,
    /// Renamed to a name that is followed too.
    Sibling,
    /// Copied and truncated while the writer pauses and everything is read: `tail` cannot do better
    /// without that, since nobody else can.
    CopyTruncate,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Create, Kind::Sibling, Kind::CopyTruncate];
}

/// How long a round is.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub rotations: usize,
    /// Lines a second.
    pub rate: u64,
    /// Time between two rotations.
    pub pause: Duration,
    /// `kill -9` and start again at every so many rotations. 0: never.
    pub kill_every: usize,
    pub limit: Duration,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    pub kind: Kind,
    pub rotations: usize,
    pub kills: usize,
    pub written: u64,
    pub lost: u64,
    /// Lines that came again after a kill. Without one there must be none.
    pub doubled: u64,
    /// Lines that are none of those written: halves left by a kill.
    pub torn: u64,
}

impl super::Report for Report {
    fn holds(&self) -> bool {
        self.lost == 0 && (self.kills > 0 || (self.doubled == 0 && self.torn == 0))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = format!("{:?}", self.kind);
        write!(f, "{kind:<13} {} rotations, {} kills: {} lines", self.rotations, self.kills, self.written)?;
        write!(f, ", {} lost, {} doubled, {} torn", self.lost, self.doubled, self.torn)
    }
}

fn config(kind: Kind) -> String {
    let paths = if kind == Kind::Sibling { "in.log*" } else { "in.log" };
    format!(
        r#"
[nilo]
state = "{{dir}}/state"

[input.log]
type = "tail"
paths = ["{{dir}}/{paths}"]

[output.out]
type = "file"
dir = "{{dir}}/out"
name = "lines"
match = 'Type == "log"'
encoder = "line"
"#
    )
}

/// The numbers that came out.
struct Delivered {
    file: Follow,
    /// How often each was seen, by number.
    seen: Vec<u8>,
    torn: u64,
}

impl Delivered {
    fn read(&mut self) {
        let (seen, torn) = (&mut self.seen, &mut self.torn);
        self.file.lines(|line| {
            let digits = line.iter().take_while(|b| b.is_ascii_digit()).count();
            let number = std::str::from_utf8(&line[..digits]).ok().and_then(|n| n.parse::<usize>().ok());
            match number {
                // A number that is far off is half of one, or two run together.
                Some(n) if line.ends_with(b"\"") && n < seen.len() + (64 << 20) => {
                    if n >= seen.len() {
                        seen.resize(n + 1, 0);
                    }
                    seen[n] = seen[n].saturating_add(1);
                }
                _ => *torn += 1,
            }
        });
    }

    fn has(&self, number: u64) -> bool {
        number == 0 || self.seen.get(number as usize).is_some_and(|n| *n > 0)
    }

    fn missing(&self, written: u64) -> u64 {
        (1..=written).filter(|n| !self.has(*n)).count() as u64
    }
}

/// Rotates a file that is written and followed.
///
/// # Errors
/// When `nilo` does not run, or something that has to happen does not within the limit.
pub fn prove(nilo: &Path, kind: Kind, round: Round) -> Result<Report> {
    let mut daemon = Daemon::new(nilo)?;
    daemon.configure(&config(kind))?;
    let feed = Feed::start(&daemon.path("in.log"), round.rate)?;
    daemon.start()?;
    let mut out = Delivered { file: Follow::new(daemon.path("out/lines")), seen: Vec::new(), torn: 0 };
    let mut kills = 0;
    for n in 1..=round.rotations {
        std::thread::sleep(round.pause);
        let kill = round.kill_every > 0 && n % round.kill_every == 0;
        if kill {
            if kind == Kind::Create {
                remembered(&mut daemon, round.limit)?;
            }
            daemon.kill()?;
            kills += 1;
        }
        // A truncated file cannot be read by someone who does not run.
        if kill && kind == Kind::CopyTruncate {
            daemon.start()?;
        }
        rotate(kind, n, &mut daemon, &feed, &mut out, round)?;
        if kill && kind != Kind::CopyTruncate {
            daemon.start()?;
        }
    }
    std::thread::sleep(round.pause);
    let written = feed.stop()?;
    settle(&mut daemon, &mut out, written, round.limit);
    daemon.stop()?;
    out.read();
    let lost = out.missing(written);
    let doubled = out.seen.iter().map(|n| u64::from(n.saturating_sub(1))).sum();
    let torn = out.torn + u64::from(out.file.torn() > 0);
    Ok(Report { kind, rotations: round.rotations, kills, written, lost, doubled, torn })
}

fn rotate(kind: Kind, n: usize, daemon: &mut Daemon, feed: &Feed, out: &mut Delivered, round: Round) -> Result<()> {
    let (current, old) = (daemon.path("in.log"), daemon.path(&format!("{}.{n}", if kind == Kind::Sibling { "in.log" } else { "old" })));
    match kind {
        Kind::Create | Kind::Sibling => {
            fs::rename(&current, old)?;
            // The writer has not noticed yet.
            std::thread::sleep(Duration::from_millis(5));
            feed.reopen(&current)
        }
        Kind::CopyTruncate => {
            let writer = feed.pause();
            // Every line before the pause, of which `written` may not know the last yet, is on its way.
            let last = last_number(&current)?;
            daemon.wait_for("the lines before the truncation", round.limit, || {
                out.read();
                out.has(last).then_some(())
            })?;
            fs::copy(&current, old)?;
            File::options().write(true).open(&current)?.set_len(0)?;
            drop(writer);
            Ok(())
        }
    }
}

/// Waits until a checkpoint names the current file. Under a name that is not followed it is found
/// again by that alone; where a kill may come sooner, `paths` has to match rotated names too.
fn remembered(daemon: &mut Daemon, limit: Duration) -> Result<()> {
    let inode = format!(":{:x}\"", fs::metadata(daemon.path("in.log"))?.ino());
    let checkpoints = daemon.path("state/checkpoints/input.log.json");
    daemon.wait_for("checkpoint of the current file", limit, || fs::read_to_string(&checkpoints).ok()?.contains(&inode).then_some(()))
}

/// The number of the last line of a file; 0 when it is empty.
fn last_number(path: &Path) -> Result<u64> {
    let mut last = 0;
    Follow::new(path.to_path_buf()).lines(|line| {
        let text = String::from_utf8_lossy(line);
        last = text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(last);
    });
    Ok(last)
}

/// Waits until nothing is missing, or nothing more comes. What is missing shows in the report.
fn settle(daemon: &mut Daemon, out: &mut Delivered, written: u64, limit: Duration) {
    let (mut deadline, mut missing) = (Instant::now() + limit, u64::MAX);
    let _ = daemon.wait_for("the last lines", limit * 10, || {
        out.read();
        let now = if out.has(written) { out.missing(written) } else { u64::MAX };
        if now < missing {
            (missing, deadline) = (now, Instant::now() + limit);
        }
        (now == 0 || Instant::now() > deadline).then_some(())
    });
}
