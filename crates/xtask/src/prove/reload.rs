//! A script is edited under load, some of the edits broken: its state must stay exact.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::audit::{Audit, Books, Script};
use super::feed::Feed;
use super::latency::Latencies;
use crate::daemon::Daemon;
use crate::moment;

/// How long a round is.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub edits: usize,
    /// Lines a second.
    pub rate: u64,
    /// Time between two edits.
    pub pause: Duration,
    /// How long to wait for anything before giving up.
    pub limit: Duration,
}

const CONFIG: &str = r#"
[nilo]
state = "{dir}/state"

[input.log]
type = "tail"
paths = ["{dir}/in.log"]

[filter.books]
type = "lua"
script = "{dir}/books.lua"
every = "20ms"
match = 'Type == "log"'

[output.out]
type = "file"
dir = "{dir}/out"
name = "books.json"
from = ["filter.books"]
encoder = "json"
"#;

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    pub edits: usize,
    pub broken: usize,
    /// Broken versions that processed a message all the same.
    pub broken_live: usize,
    /// Sound versions that never did.
    pub never_live: usize,
    pub written: u64,
    pub books: Books,
    /// From a save to the first message its version processed.
    pub to_live: Latencies,
    /// From a save to that version's first result in the output's file.
    pub to_result: Latencies,
}

impl super::Report for Report {
    fn holds(&self) -> bool {
        self.books.exact(self.written) && self.broken_live == 0 && self.never_live == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let books = &self.books;
        writeln!(f, "edits           {}, {} of them broken", self.edits, self.broken)?;
        writeln!(f, "lines           {} written, {} counted in the script's state", self.written, books.lines)?;
        writeln!(f, "lost            {}", books.lost(self.written))?;
        writeln!(f, "doubled         {}", books.repeated)?;
        writeln!(f, "never live      {} sound versions", self.never_live)?;
        writeln!(f, "wrongly live    {} broken versions", self.broken_live)?;
        writeln!(f, "save to live    {}", self.to_live)?;
        write!(f, "save to result  {}", self.to_result)
    }
}

/// Edits the script of a running filter, in place and by renaming in turns, every tenth edit broken.
///
/// # Errors
/// When `nilo` does not run, or something that has to happen does not within the limit.
pub fn prove(nilo: &std::path::Path, round: Round) -> Result<Report> {
    let mut daemon = Daemon::new(nilo)?;
    daemon.configure(CONFIG)?;
    daemon.write("books.lua", &Script::Sound.text("0"))?;
    let feed = Feed::start(&daemon.path("in.log"), round.rate)?;
    daemon.start()?;
    let mut audit = Audit::new(daemon.path("out/books.json"));
    daemon.wait_for("first version", round.limit, || {
        audit.read();
        audit.live.contains_key(&0).then_some(())
    })?;
    let saved = edit(&mut daemon, &mut audit, round)?;
    let written = feed.stop()?;
    // What is not counted in time shows in the report.
    let _ = daemon.wait_for("end of the lines", round.limit, || {
        audit.read();
        (audit.books.last >= written).then_some(())
    });
    daemon.stop()?;
    audit.read();
    Ok(report(&saved, &audit, written))
}

/// A version that was saved, and when.
struct Saved {
    version: u64,
    sound: bool,
    at: i64,
}

fn edit(daemon: &mut Daemon, audit: &mut Audit, round: Round) -> Result<Vec<Saved>> {
    let mut saved = Vec::new();
    for version in 1..=round.edits as u64 {
        let next = Instant::now() + round.pause;
        let sound = version % 10 != 0;
        let script = if sound { Script::Sound } else { Script::broken(version as usize / 10) };
        let text = script.text(&version.to_string());
        saved.push(Saved { version, sound, at: moment::now() });
        match version % 3 {
            0 => daemon.replace("books.lua", &text)?,
            _ => daemon.write("books.lua", &text)?,
        }
        if sound {
            daemon.wait_for("new version", round.limit, || {
                audit.read();
                audit.live.contains_key(&version).then_some(())
            })?;
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(saved)
}

fn report(saved: &[Saved], audit: &Audit, written: u64) -> Report {
    let mut report = Report {
        edits: saved.len(),
        broken: saved.iter().filter(|s| !s.sound).count(),
        broken_live: 0,
        never_live: 0,
        written,
        books: audit.books,
        to_live: Latencies::default(),
        to_result: Latencies::default(),
    };
    for version in saved {
        match (audit.live.get(&version.version), version.sound) {
            (Some((live, seen)), true) => {
                report.to_live.add(live - version.at);
                report.to_result.add(seen - version.at);
            }
            (None, true) => report.never_live += 1,
            (Some(_), false) => report.broken_live += 1,
            (None, false) => {}
        }
    }
    report
}
