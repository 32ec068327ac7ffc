//! The configuration is changed under load: plugins come, go and change, and some changes are
//! broken. What the stream carries must stay exact.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::audit::{Audit, Books, Script};
use super::feed::Feed;
use super::latency::Latencies;
pub use super::reload::Round;
use crate::daemon::Daemon;
use crate::moment;

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    pub changes: usize,
    pub broken: usize,
    /// Broken configurations that took effect all the same.
    pub broken_live: usize,
    pub written: u64,
    pub books: Books,
    /// From a save to the first message that a filter changed by it processed.
    pub to_live: Latencies,
}

impl super::Report for Report {
    fn holds(&self) -> bool {
        self.books.exact(self.written) && self.broken_live == 0 && self.to_live.count() == self.changes - self.broken
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let books = &self.books;
        writeln!(f, "changes         {}, {} of them broken", self.changes, self.broken)?;
        writeln!(f, "lines           {} written, {} counted in a script's state", self.written, books.lines)?;
        writeln!(f, "lost            {}", books.lost(self.written))?;
        writeln!(f, "doubled         {}", books.repeated)?;
        writeln!(f, "wrongly live    {} broken configurations", self.broken_live)?;
        write!(f, "save to live    {}", self.to_live)
    }
}

/// The configuration of a version. Every option that varies does so in a rhythm of its own, so that
/// all kinds of changes meet in all combinations.
fn text(version: usize) -> String {
    let turn = |every: usize| (version / every).is_multiple_of(2);
    let poll = if turn(7) { "1s" } else { "900ms" };
    let tick = if turn(3) { "20ms" } else { "30ms" };
    let matcher = if turn(6) { "Type == \"log\"" } else { "Type == \"log\" || Type == \"none\"" };
    let batch = if turn(5) { 10_000 } else { 9_000 };
    let mut text = format!(
        r#"
[nilo]
state = "{{dir}}/state"

[input.log]
type = "tail"
paths = ["{{dir}}/in.log"]
poll = "{poll}"

[filter.books]
type = "lua"
script = "{{dir}}/books.lua"
every = "{tick}"
match = '{matcher}'

[output.out]
type = "file"
dir = "{{dir}}/out"
name = "books.json"
from = ["filter.books"]
encoder = "json"
batch_count = {batch}

[filter.probe]
type = "lua"
script = "{{dir}}/probe.lua"
match = 'Type == "log"'
config = {{ version = {version} }}

[output.probe]
type = "file"
dir = "{{dir}}/out"
name = "probe.json"
from = ["filter.probe"]
encoder = "json"
"#
    );
    if !turn(1) {
        text += "[filter.extra]\ntype = \"count\"\nevery = \"1s\"\nmatch = 'TRUE'\n";
    }
    if !turn(2) {
        let name = if turn(4) { "a" } else { "b" };
        text += &format!(
            "[output.extra]\ntype = \"file\"\ndir = \"{{dir}}/extra\"\nname = \"{name}\"\nmatch = 'Type == \"nilometer.count\"'\n"
        );
    }
    text
}

/// The `n`th way of breaking it.
fn broken(version: usize, n: usize) -> String {
    let text = text(version);
    match n % 4 {
        0 => text + "[filter.unheard]\ntype = \"of\"\nmatch = 'TRUE'\n",
        1 => text.replace("batch_count", "batch_cuont"),
        2 => text.replace("match = 'Type ==", "match = 'Type ="),
        _ => text.replace("probe.lua", "missing.lua"),
    }
}

/// Changes the configuration of a running `nilo`, every tenth change broken.
///
/// # Errors
/// When `nilo` does not run, or something that has to happen does not within the limit.
pub fn prove(nilo: &Path, round: Round) -> Result<Report> {
    let mut daemon = Daemon::new(nilo)?;
    daemon.configure(&text(0))?;
    daemon.write("books.lua", &Script::Sound.text("0"))?;
    daemon.write("probe.lua", &Script::Sound.text("read_config('version')"))?;
    let feed = Feed::start(&daemon.path("in.log"), round.rate)?;
    daemon.start()?;
    let mut probe = Audit::new(daemon.path("out/probe.json"));
    wait_for(&mut daemon, &mut probe, 0, round.limit)?;
    let mut report =
        Report { changes: round.edits, broken: 0, broken_live: 0, written: 0, books: Books::default(), to_live: Latencies::default() };
    for version in 1..=round.edits {
        let next = Instant::now() + round.pause;
        let sound = version % 10 != 0;
        let saved = moment::now();
        daemon.configure(&if sound { text(version) } else { broken(version, version / 10) })?;
        if sound {
            let live = wait_for(&mut daemon, &mut probe, version as u64, round.limit)?;
            report.to_live.add(live - saved);
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    report.written = feed.stop()?;
    let mut audit = Audit::new(daemon.path("out/books.json"));
    // What is not counted in time shows in the report.
    let _ = daemon.wait_for("end of the lines", round.limit, || {
        audit.read();
        (audit.books.last >= report.written).then_some(())
    });
    daemon.stop()?;
    audit.read();
    probe.read();
    report.books = audit.books;
    report.broken = round.edits / 10;
    report.broken_live = probe.live.keys().filter(|v| **v > 0 && **v % 10 == 0).count();
    Ok(report)
}

/// When the configuration of this version had processed a message.
fn wait_for(daemon: &mut Daemon, probe: &mut Audit, version: u64, limit: Duration) -> Result<i64> {
    daemon.wait_for("new configuration", limit, || {
        probe.read();
        probe.live.get(&version).map(|(at, _)| *at)
    })
}
