//! The program with its senders and receivers around it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::address::listening;
use super::feed::{self, Feeder, tail::Tail};
use super::ledger::Ledger;
use super::random::Random;
use super::receive::{self, Door, file::Reader};
use super::report::{Outcome, Report};
use crate::daemon::Daemon;

/// What feeds the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Source {
    Tail,
    Tcp,
    Http,
}

/// Where it delivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Sink {
    File,
    Tcp,
    Http,
}

/// What every trial takes.
#[derive(Clone, Debug)]
pub struct Load {
    pub nilo: PathBuf,
    pub seed: u64,
    /// Records a second, of all senders together.
    pub rate: u64,
    pub sources: Vec<Source>,
    pub sinks: Vec<Sink>,
    /// `durable = true` on the outputs.
    pub durable: bool,
    /// Bytes of each output's queue.
    pub queue: &'static str,
    /// How long to wait for anything before it counts as not happening.
    pub limit: Duration,
    /// Where the program runs, and what it leaves stays. Default: a directory that is removed.
    pub dir: Option<PathBuf>,
}

impl Load {
    /// A directory with a program to run.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn daemon(&self, name: &str) -> Result<Daemon> {
        match &self.dir {
            Some(dir) => Daemon::within(&self.nilo, &dir.join(name)),
            None => Daemon::new(&self.nilo),
        }
    }
}

/// The addresses of inputs and of receivers, as the program's configuration names them.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    pub tcp_in: SocketAddr,
    pub http_in: SocketAddr,
    pub tcp_out: SocketAddr,
    pub http_out: SocketAddr,
}

/// The program with its senders and receivers around it. Dropped, all end.
pub struct Stage {
    pub daemon: Daemon,
    pub ledger: Arc<Ledger>,
    pub load: Load,
    pub places: Places,
    /// Where senders connect: the listening inputs, unless something stands before them.
    pub entrance: (SocketAddr, SocketAddr),
    pub state: PathBuf,
    pub random: Random,
    pub tail: Option<Tail>,
    pub feeders: Vec<Feeder>,
    pub tcp: Option<Door>,
    pub http: Option<Door>,
    _file: Option<Reader>,
    /// Repeated records at each output, at the end of each run.
    repeats: Vec<Vec<u64>>,
    pub restarts: Vec<Duration>,
    runs: usize,
    pub kills: u64,
}

impl Stage {
    /// Opens the receivers; nothing runs and nobody sends yet.
    ///
    /// # Errors
    /// When there is no directory, address or thread.
    pub fn new(load: Load) -> Result<Stage> {
        let daemon = load.daemon("nilo")?;
        let out = daemon.path("out/lines");
        Stage::around(load, daemon, out)
    }

    /// As [`Stage::new`], where another program of the trial writes the file.
    ///
    /// # Errors
    /// As there.
    pub fn around(load: Load, daemon: Daemon, file: PathBuf) -> Result<Stage> {
        let ledger = Arc::new(Ledger::new());
        let places = Places { tcp_in: listening()?, http_in: listening()?, tcp_out: listening()?, http_out: listening()? };
        let (mut reader, mut tcp, mut http) = (None, None, None);
        for sink in &load.sinks {
            match sink {
                Sink::File => reader = Some(receive::file::start(file.clone(), ledger.output("file"))?),
                Sink::Tcp => tcp = Some(receive::tcp::start(places.tcp_out, ledger.output("tcp"))?),
                Sink::Http => http = Some(receive::http::start(places.http_out, ledger.output("http"))?),
            }
        }
        let (entrance, state) = ((places.tcp_in, places.http_in), daemon.path("state"));
        let (random, repeats) = (Random::new(load.seed), vec![Vec::new(); load.sinks.len()]);
        Ok(Stage {
            daemon,
            ledger,
            load,
            places,
            entrance,
            state,
            random,
            tail: None,
            feeders: Vec::new(),
            tcp,
            http,
            _file: reader,
            repeats,
            restarts: Vec::new(),
            runs: 0,
            kills: 0,
        })
    }

    /// The configuration: `[nilo]` with `globals` in it, the inputs, the outputs.
    pub fn config(&self, globals: &str) -> String {
        let mut config = format!("[nilo]\nstate = \"{}\"\n{globals}\n", self.state.display());
        self.load.sources.iter().for_each(|s| config += &input(*s, &self.places));
        self.load.sinks.iter().for_each(|s| config += &output(*s, &self.places, &self.load));
        config
    }

    /// Lets everybody send.
    ///
    /// # Errors
    /// When there is no file or thread.
    pub fn feed(&mut self) -> Result<()> {
        let rates = self.load.sources.iter().map(|s| if *s == Source::Http { 1 } else { 4 }).collect::<Vec<u64>>();
        let share = |weight: u64| (self.load.rate * weight / rates.iter().sum::<u64>()).max(1);
        for (source, weight) in self.load.sources.iter().zip(&rates) {
            let (rate, ledger) = (share(*weight), &self.ledger);
            match source {
                Source::Tail => self.tail = Some(Tail::start(ledger, self.daemon.path("in.log"), rate)?),
                Source::Tcp => self.feeders.push(feed::tcp::start(ledger.stream("tcp"), self.entrance.0, rate)?),
                Source::Http => self.feeders.push(feed::http::start(ledger.stream("http"), self.entrance.1, rate)?),
            }
        }
        Ok(())
    }

    /// Starts the program and waits for the first delivery.
    ///
    /// # Errors
    /// When it does not run, or delivers nothing.
    pub fn start(&mut self) -> Result<()> {
        let (before, start) = (self.ledger.count(), Instant::now());
        self.daemon.start()?;
        let ledger = &self.ledger;
        self.daemon.wait_for("delivery", self.load.limit, || (ledger.count() > before).then_some(()))?;
        if self.runs > 0 {
            self.restarts.push(start.elapsed());
        }
        self.runs += 1;
        Ok(())
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it does not run any more.
    pub fn kill(&mut self) -> Result<()> {
        if self.daemon.process()?.ended() {
            bail!("nilo ended by itself\n{}", self.daemon.log_end());
        }
        self.daemon.kill()?;
        self.kills += 1;
        self.quiet();
        self.end_run();
        Ok(())
    }

    /// Waits until receivers have noted what was on its way to them.
    fn quiet(&self) {
        let mut count = self.ledger.count();
        loop {
            std::thread::sleep(Duration::from_millis(4));
            let now = self.ledger.count();
            if now == count {
                return;
            }
            count = now;
        }
    }

    fn end_run(&mut self) {
        for (output, repeats) in self.ledger.outputs().iter().zip(&mut self.repeats) {
            let before: u64 = repeats.iter().sum();
            repeats.push(output.tally().repeated - before);
        }
    }

    /// A random time.
    pub fn pause(&mut self, millis: std::ops::Range<u64>) {
        std::thread::sleep(Duration::from_millis(self.random.within(millis)));
    }

    /// Waits until nothing acknowledged is missing, or nothing more comes.
    ///
    /// # Errors
    /// When the program ends by itself.
    pub fn settle(&mut self) -> Result<bool> {
        let (ledger, limit) = (self.ledger.clone(), self.load.limit);
        let (mut missing, mut count, mut deadline) = (u64::MAX, 0, Instant::now() + limit);
        loop {
            let (now, came) = (ledger.missing(), ledger.count());
            if now < missing || came != count {
                deadline = Instant::now() + limit;
            }
            (missing, count) = (now, came);
            if now == 0 || Instant::now() > deadline {
                return Ok(now == 0);
            }
            if self.daemon.process()?.ended() {
                bail!("nilo ended by itself\n{}", self.daemon.log_end());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets everybody finish, waits for what was acknowledged, stops the program in order.
    ///
    /// # Errors
    /// When the program ends by itself, or does not stop.
    pub fn finish(mut self, title: String) -> Result<(Report, Daemon)> {
        let mut broken = Vec::new();
        // All stop issuing before the first is waited for.
        self.feeders.iter().for_each(Feeder::drain);
        if let Some(Err(e)) = self.tail.take().map(|t| t.finish(self.load.limit)) {
            broken.push(e.to_string());
        }
        for feeder in self.feeders.drain(..) {
            broken.extend(feeder.finish(self.load.limit).err().map(|e| e.to_string()));
        }
        self.settle()?;
        if let Err(e) = self.daemon.stop() {
            broken.push(e.to_string());
        }
        self.quiet();
        self.end_run();
        let outputs = self.ledger.outputs();
        let torn = |name: &str| if name == "file" { self.kills } else { 0 };
        let outcomes = outputs.iter().zip(&self.repeats).map(|(o, r)| Outcome::of(o, r.clone(), torn(o.name))).collect();
        let mut report = Report::new(title, &self.ledger, outcomes);
        (report.runs, report.restarts, report.broken) = (self.runs, self.restarts, broken);
        if report.lost() > 0 {
            report.notes.push(format!("the log ends with:\n{}", self.daemon.log_end()));
        }
        Ok((report, self.daemon))
    }

    /// Bytes of the journal.
    pub fn journal(&self) -> u64 {
        size(&self.state.join("journal"))
    }

    /// The lines the program said so far that hold one of these words.
    ///
    /// # Errors
    /// When there is no log.
    pub fn said(&self, words: &[&str]) -> Result<Vec<String>> {
        let log = std::fs::read(self.daemon.path("log")).context("cannot read the log")?;
        let log = String::from_utf8_lossy(&log);
        Ok(log.lines().filter(|l| words.iter().any(|w| l.to_lowercase().contains(w))).map(String::from).collect())
    }
}

fn size(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| e.metadata().ok()).filter(std::fs::Metadata::is_file).map(|m| m.len()).sum()
}

/// The section of an input.
pub fn input(source: Source, places: &Places) -> String {
    match source {
        Source::Tail => "[input.tail]\ntype = \"tail\"\npaths = [\"{dir}/in.log*\"]\n".to_string(),
        Source::Tcp => format!(
            "[input.tcp]\ntype = \"tcp\"\nlisten = \"{}\"\nsplitter = \"heka\"\ndecoder = \"heka\"\nacknowledge = true\n",
            places.tcp_in
        ),
        Source::Http => format!("[input.http]\ntype = \"http\"\nlisten = \"{}\"\n", places.http_in),
    }
}

/// What outputs want: everything that was sent, nothing that filters say of it.
const MATCH: &str = r#"Type != "nilometer.count""#;

/// The section of an output.
pub fn output(sink: Sink, places: &Places, load: &Load) -> String {
    let mut section = match sink {
        Sink::File => "[output.file]\ntype = \"file\"\ndir = \"{dir}/out\"\nname = \"lines\"\nencoder = \"line\"\n".to_string(),
        Sink::Tcp => format!(
            "[output.tcp]\ntype = \"tcp\"\naddress = \"{}\"\nacknowledge = true\ntimeout = \"3s\"\nack_timeout = \"10s\"\n",
            places.tcp_out
        ),
        Sink::Http => {
            format!("[output.http]\ntype = \"http\"\nurl = \"http://{}/\"\nencoder = \"line\"\ntimeout = \"3s\"\n", places.http_out)
        }
    };
    // Writing to memory does not fail.
    let _ = writeln!(section, "match = '{MATCH}'\nqueue = \"{}\"\nretry = \"50ms\"\nretry_max = \"500ms\"", load.queue);
    if load.durable {
        section += "durable = true\n";
    }
    section
}
