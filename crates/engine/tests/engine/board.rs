//! Plugins for tests: an input that reads from a board, an output that writes to one and can be
//! told to refuse, and a filter that fails on command. A board is found by its name in the options.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use engine::{Config, Engine, Plan, Settings, Status, Ticks};
use message::{Batch, BatchBuilder, MessageRef, Messages, Selection};
use options::{Opt, Options, Problem, Source};
use plugin::{
    BuildCx, Counter, DecodeCx, Decoder, Encoder, Fatal, Filter, FilterCx, FilterFailure, Gauge, Input, InputCx, Kind, OutBatch, OutCx,
    Output, Record, Registry, Reject, Stability, StreamOptions,
};

#[derive(Default)]
pub struct Board {
    to_read: Mutex<Vec<u8>>,
    pub written: Mutex<Vec<String>>,
    pub progress: Condvar,
    /// The output refuses for now.
    pub down: AtomicBool,
    /// How many messages the output was offered each time.
    pub offers: Mutex<Vec<usize>>,
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
        // What came by datagrams is gone once it is handed over.
        let gone = self.0.read.load(Ordering::Relaxed) as u64;
        let (key, from) = if self.1 { ("board", cx.intake.checkpoints().first().map_or(0, |c| c.position)) } else { ("", gone) };
        let stream = cx.intake.open(StreamOptions { key: key.into(), position: from, ..Default::default() });
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
                self.0.settled.store(false, Ordering::Relaxed);
                cx.intake.push(stream, &bytes);
                at += bytes.len();
                self.0.read.store(at, Ordering::Relaxed);
            }
            self.0.settled.store(cx.intake.settled(), Ordering::Relaxed);
        }
        // As with files: what is incomplete when it is asked to stop is read again by its successor.
        if !cx.stop.asked() {
            cx.intake.end_of_stream(stream);
        }
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
        self.0.offers.lock().unwrap().push(batch.len());
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

/// Decodes nothing, and encodes the payload and a newline; refuses `odd…` and panics at `boom…`.
struct Picky;

impl Picky {
    fn check(bytes: &[u8]) -> Result<(), Reject> {
        assert!(!bytes.starts_with(b"boom"), "boom");
        if bytes.starts_with(b"odd") { Err(Reject::new("too odd")) } else { Ok(()) }
    }
}

impl Decoder for Picky {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        out.add().set_payload_text(record.at());
        Picky::check(record.bytes())
    }
}

impl Encoder for Picky {
    fn encode(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject> {
        into.extend_from_slice(m.payload());
        Picky::check(m.payload())
    }
}

const PICKY_DECODER: Kind = Kind::decoder("picky", Stability::Stable, |_, _| Ok(Box::new(Picky)));
const PICKY_ENCODER: Kind = Kind::encoder("picky", Stability::Stable, |_, _| Ok(Box::new(Picky)));

/// Passes payloads on, and panics where no plugin's code is expected to: when its limits are read.
struct Fragile(bool);

impl Filter for Fragile {
    fn messages(&mut self, batch: &Arc<Batch>, s: &Selection, out: &mut BatchBuilder, _: &FilterCx<'_>) -> Result<(), FilterFailure> {
        for m in batch.selected(s) {
            self.0 |= m.payload() == b"break";
            out.add().set_payload(m.payload());
        }
        Ok(())
    }

    fn every(&self) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }

    fn gauges(&self) -> Vec<Gauge> {
        assert!(!self.0, "broken gauges");
        Vec::new()
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!self.0, "broken to the end");
    }
}

const FRAGILE: Kind = Kind::filter("fragile", Stability::Stable, |_, _| Ok(Box::new(Fragile(false))));

/// Passes payloads on, but does not come back while its board is stuck.
struct Held(Arc<Board>);

impl Filter for Held {
    fn messages(&mut self, batch: &Arc<Batch>, s: &Selection, out: &mut BatchBuilder, _: &FilterCx<'_>) -> Result<(), FilterFailure> {
        while self.0.stuck.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        batch.selected(s).for_each(|m| out.add().set_payload(m.payload()));
        Ok(())
    }
}

const HELD: Kind = Kind::filter("held", Stability::Stable, |o, _| Ok(Box::new(Held(board(o.str("board")))))).options(BOARD);

/// Of each consumer what it received must be accounted for.
pub fn assert_conservation(status: &Status) {
    for p in status.plugins.iter().filter(|p| !p.id.starts_with("input.")) {
        let n = |c| p.counter(c);
        let accounted = n(Counter::Delivered) + n(Counter::Rejected) + n(Counter::Dropped) + p.waiting.0 as u64;
        assert_eq!(n(Counter::Received), accounted, "{p:?}");
    }
}

pub fn registry() -> Registry {
    let kinds = [&READER, &DATAGRAMS, &WRITER, &PICKY_DECODER, &PICKY_ENCODER, &FRAGILE, &HELD, &crate::origins::SENDERS]
        .into_iter()
        .chain(codecs::kinds())
        .chain(filters::KINDS.iter().copied())
        .chain(outputs::KINDS.iter().copied());
    Registry::new(kinds, codecs::PRESETS.iter().copied())
}

pub fn plan(dir: &std::path::Path, toml: &str) -> Plan {
    let config = Config::parse(vec![Source::new(dir.join("nilo.toml"), toml)]).unwrap_or_else(|p| panic!("{p:?}"));
    Plan::new(&config, &registry()).unwrap_or_else(|p| panic!("{}", p.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

pub fn start(dir: &std::path::Path, toml: &str) -> Engine {
    Engine::start(plan(dir, toml), Settings { registry: registry(), ticks: Ticks::Clock }).unwrap()
}
