//! A plugin that misbehaves beside a sound one: the sound one must keep its rate.

use std::fmt;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::audit::{Audit, Script};
use super::feed::Feed;
use crate::daemon::Daemon;

/// Who misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Neighbour {
    Nobody,
    /// Loops in Lua without end.
    Loops,
    /// Sends a host function on a search that does not end.
    Searches,
    /// Keeps all memory it gets.
    Eats,
    /// Injects as much as it can.
    Floods,
    /// Raises an error at every message.
    Fails,
    /// An output whose peer never reads.
    Stuck,
}

impl Neighbour {
    pub const ALL: [Neighbour; 6] =
        [Neighbour::Loops, Neighbour::Searches, Neighbour::Eats, Neighbour::Floods, Neighbour::Fails, Neighbour::Stuck];

    /// What its script does with every message.
    fn body(self) -> Option<&'static str> {
        Some(match self {
            Neighbour::Loops => "while true do end",
            Neighbour::Searches => "return string.find(('a'):rep(100000), ('.-'):rep(40) .. 'b') or 0",
            Neighbour::Eats => "kept = kept or {} while true do kept[#kept + 1] = ('x'):rep(1000) .. #kept end",
            Neighbour::Floods => "for i = 1, 100 do inject_message { Type = 'flood', Payload = ('x'):rep(10000) } end return 0",
            Neighbour::Fails => "error('on purpose')",
            Neighbour::Nobody | Neighbour::Stuck => return None,
        })
    }

    /// Its section. What it cannot take in time it loses; nobody waits for it.
    fn section(self, address: &str) -> String {
        let common = "match = 'Type == \"log\"'\nwhen_full = \"drop_oldest\"\nqueue = \"1MiB\"\n";
        match self {
            Neighbour::Nobody => String::new(),
            Neighbour::Stuck => format!("[output.neighbour]\ntype = \"tcp\"\naddress = \"{address}\"\n{common}"),
            _ => format!("[filter.neighbour]\ntype = \"lua\"\nscript = \"{{dir}}/neighbour.lua\"\n{common}"),
        }
    }
}

/// How long a round is.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Lines a second.
    pub rate: u64,
    /// How long each neighbour is watched.
    pub time: Duration,
    pub limit: Duration,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    pub neighbour: Neighbour,
    pub written: u64,
    /// Lines a second that the sound filter counted until the writer stopped.
    pub rate: f64,
    /// From the writer's last line until the sound filter had counted it.
    pub behind: Duration,
    /// Whether the sound filter counted every line once.
    pub exact: bool,
    /// Whether it stopped in time when it was told to.
    pub stopped: bool,
}

impl super::Report for Report {
    fn holds(&self) -> bool {
        self.exact && self.stopped
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let neighbour = format!("{:?}", self.neighbour);
        write!(f, "{neighbour:<9} {:>8.0} lines/s, {:>6.1} ms behind at the end", self.rate, self.behind.as_secs_f64() * 1e3)?;
        write!(f, ", {}", if self.exact { "every line once" } else { "NOT every line once" })?;
        f.write_str(if self.stopped { "" } else { ", did NOT stop" })
    }
}

const CONFIG: &str = r#"
[nilo]
state = "{dir}/state"
grace = "100ms"

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

/// Runs a sound pipeline beside this neighbour.
///
/// # Errors
/// When `nilo` does not run, or something that has to happen does not within the limit.
pub fn prove(nilo: &Path, neighbour: Neighbour, round: Round) -> Result<Report> {
    // Connections are made by the kernel; nobody takes or reads them.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut daemon = Daemon::new(nilo)?;
    daemon.configure(&format!("{CONFIG}\n{}", neighbour.section(&listener.local_addr()?.to_string())))?;
    daemon.write("books.lua", &Script::Sound.text("0"))?;
    if let Some(body) = neighbour.body() {
        daemon.write("neighbour.lua", &format!("function process_message()\n{body}\nend\n"))?;
    }
    daemon.write("in.log", "")?;
    daemon.start()?;
    let feed = Feed::start(&daemon.path("in.log"), round.rate)?;
    let mut audit = Audit::new(daemon.path("out/books.json"));
    daemon.wait_for("first lines", round.limit, || {
        audit.read();
        (audit.books.lines > 0).then_some(())
    })?;
    let (start, before) = (Instant::now(), audit.books.lines);
    std::thread::sleep(round.time);
    audit.read();
    let rate = (audit.books.lines - before) as f64 / start.elapsed().as_secs_f64();
    let written = feed.stop()?;
    let stopped = Instant::now();
    // What is not counted in time shows in the report.
    let _ = daemon.wait_for("end of the lines", round.limit, || {
        audit.read();
        (audit.books.last >= written).then_some(())
    });
    let behind = stopped.elapsed();
    // Its exit code tells of the neighbour.
    let stopped = daemon.take_process()?.terminate(round.limit).is_ok();
    audit.read();
    Ok(Report { neighbour, written, rate, behind, exact: audit.books.exact(written), stopped })
}
