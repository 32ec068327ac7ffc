//! Plugins for tests: an input that reads from a board, an output that writes to one and can be
//! told to refuse, and a filter that fails on command. A board is found by its name in the options.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use engine::{Config, Engine, Plan, Settings, Ticks};
use options::{Opt, Options, Problem, Source};
use plugin::{BuildCx, Fatal, Input, InputCx, Kind, OutBatch, OutCx, Output, Registry, Stability, StreamOptions};

#[derive(Default)]
pub struct Board {
    to_read: Mutex<Vec<u8>>,
    pub written: Mutex<Vec<String>>,
    pub progress: Condvar,
    /// The output refuses for now.
    pub down: AtomicBool,
    /// The output hangs until it is asked to stop.
    pub stuck: AtomicBool,
    /// The output panics when it sees this text.
    pub poison: Mutex<Option<String>>,
    /// The input has handed over this many bytes, and ends when told to.
    pub read: AtomicUsize,
    pub end: AtomicBool,
    pub settled: AtomicBool,
}

fn boards() -> &'static Mutex<HashMap<String, Arc<Board>>> {
    static BOARDS: OnceLock<Mutex<HashMap<String, Arc<Board>>>> = OnceLock::new();
    BOARDS.get_or_init(Mutex::default)
}

pub fn board(name: &str) -> Arc<Board> {
    boards().lock().unwrap().entry(name.to_string()).or_default().clone()
}

impl Board {
    pub fn feed(&self, text: &str) {
        self.to_read.lock().unwrap().extend_from_slice(text.as_bytes());
    }

    /// Waits until the output has written `n` messages and returns them.
    pub fn wait_for(&self, n: usize) -> Vec<String> {
        let written = self.written.lock().unwrap();
        let (written, timeout) = self.progress.wait_timeout_while(written, Duration::from_secs(10), |w| w.len() < n).unwrap();
        assert!(!timeout.timed_out(), "only {} of {n} messages were written: {:?}", written.len(), *written);
        written.clone()
    }
}

/// Polls until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "did not happen: {what}");
        std::thread::yield_now();
    }
}

const BOARD: &[Opt] = &[Opt::string("board").required().doc("Name of the board.")];

struct Reader(Arc<Board>, bool);

impl Input for Reader {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let from = cx.intake.checkpoints().first().map_or(0, |c| c.position);
        let stream = cx.intake.open(StreamOptions { key: "board".into(), position: from, ..Default::default() });
        let mut at = from as usize;
        while !cx.stop.asked() {
            let bytes: Vec<u8> = self.0.to_read.lock().unwrap()[at..].iter().take(64 << 10).copied().collect();
            if bytes.is_empty() {
                if self.0.end.load(Ordering::Relaxed) {
                    break;
                }
                cx.intake.poll();
                cx.stop.wait(cx.intake.wait().min(Duration::from_millis(1)));
            } else {
                cx.intake.push(stream, &bytes);
                at += bytes.len();
                self.0.read.store(at, Ordering::Relaxed);
            }
            self.0.settled.store(cx.intake.settled(), Ordering::Relaxed);
        }
        cx.intake.end_of_stream(stream);
        Ok(())
    }

    fn can_wait(&self) -> bool {
        self.1
    }
}

const READER: Kind = Kind::input("board", Stability::Stable, |o, _| Ok(Box::new(Reader(board(o.str("board")), true)))).options(BOARD);
const DATAGRAMS: Kind =
    Kind::input("datagrams", Stability::Stable, |o, _| Ok(Box::new(Reader(board(o.str("board")), false)))).options(BOARD);

struct Writer(Arc<Board>);

impl Output for Writer {
    fn write(&mut self, batch: &OutBatch<'_>, cx: &mut OutCx<'_>) {
        if self.0.stuck.load(Ordering::Relaxed) {
            while !cx.stop.wait(Duration::from_secs(1)) {}
            return;
        }
        if self.0.down.load(Ordering::Relaxed) {
            return cx.retry(0..batch.len(), None, "the board is down");
        }
        for (i, item) in batch.iter().enumerate() {
            let text = String::from_utf8_lossy(item.bytes).trim_end().to_string();
            if Some(&text) == self.0.poison.lock().unwrap().as_ref() {
                panic!("poisoned by {text}");
            }
            if text.starts_with("unwelcome") {
                cx.reject(i, "unwelcome here");
                continue;
            }
            self.0.written.lock().unwrap().push(text);
            cx.done(i..i + 1);
        }
        self.0.progress.notify_all();
    }

    fn default_encoder(&self) -> &'static str {
        "line"
    }
}

fn writer(o: &Options, _: &BuildCx) -> Result<Box<dyn Output>, Problem> {
    Ok(Box::new(Writer(board(o.str("board")))))
}

const WRITER: Kind = Kind::output("board", Stability::Stable, writer).options(BOARD);

pub fn registry() -> Registry {
    let kinds = [&READER, &DATAGRAMS, &WRITER].into_iter().chain(codecs::kinds()).chain(filters::KINDS.iter().copied());
    Registry::new(kinds, codecs::PRESETS.iter().copied())
}

pub fn plan(dir: &std::path::Path, toml: &str) -> Plan {
    let config = Config::parse(vec![Source::new(dir.join("nilo.toml"), toml)]).unwrap_or_else(|p| panic!("{p:?}"));
    Plan::new(&config, &registry()).unwrap_or_else(|p| panic!("{}", p.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

pub fn start(dir: &std::path::Path, toml: &str) -> Engine {
    Engine::start(plan(dir, toml), Settings { registry: registry(), ticks: Ticks::Clock }).unwrap()
}
