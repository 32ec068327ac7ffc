//! Several instances of an output deliver at once.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use engine::Engine;
use plugin::Counter;

use crate::board::{assert_conservation, board, plan, start, until};

/// An HTTP server that answers nobody before as many requests as it wants were there at once.
struct Server {
    address: SocketAddr,
    world: Arc<World>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct World {
    traffic: Mutex<Traffic>,
    changed: Condvar,
    wanted: usize,
    requests: AtomicUsize,
    /// Every so many requests are refused; 0: none is.
    refuse: AtomicUsize,
    /// Bodies with this text are refused.
    unwelcome: Mutex<String>,
    ended: AtomicBool,
}

#[derive(Default)]
struct Traffic {
    at_once: usize,
    most: usize,
    /// Lines of requests that were accepted.
    lines: Vec<String>,
}

impl Server {
    fn new(wanted: usize) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, world) = (listener.local_addr().unwrap(), Arc::new(World { wanted, ..World::default() }));
        let own = world.clone();
        let accept = move || {
            for socket in listener.incoming().flatten() {
                if own.ended.load(Relaxed) {
                    return;
                }
                let own = own.clone();
                thread::spawn(move || while own.serve(&socket).is_some() {});
            }
        };
        Server { address, world, thread: Some(thread::spawn(accept)) }
    }

    fn lines(&self) -> Vec<String> {
        self.world.traffic.lock().unwrap().lines.clone()
    }

    fn refuse_all(&self, all: bool) {
        self.world.refuse.store(usize::from(all), Relaxed);
    }

    /// A board input of lines `key=K n=N` and an output for it.
    fn toml(&self, name: &str, more: &str) -> String {
        let address = self.address;
        format!(
            "[input.{name}]\ntype = 'board'\nboard = '{name}'\ndecoder = 'logfmt'\n[output.{name}]\ntype = 'http'\nurl = 'http://{address}/'\n\
             from = ['input.{name}']\nencoder = 'pair'\nretry = '1ms'\nretry_max = '2ms'\n{more}\n[encoder.pair]\ntype = 'line'\ntemplate = '{{key}} {{n}}'\n"
        )
    }
}

impl World {
    fn serve(&self, mut socket: &TcpStream) -> Option<()> {
        let body = request(socket)?;
        let mut traffic = self.traffic.lock().unwrap();
        traffic.at_once += 1;
        traffic.most = traffic.most.max(traffic.at_once);
        self.changed.notify_all();
        traffic = self.changed.wait_timeout_while(traffic, Duration::from_secs(10), |t| t.most < self.wanted).unwrap().0;
        let (nth, refuse, unwelcome) = (self.requests.fetch_add(1, Relaxed), self.refuse.load(Relaxed), self.unwelcome.lock().unwrap());
        let refused = (refuse > 0 && nth.is_multiple_of(refuse)) || (!unwelcome.is_empty() && body.contains(&*unwelcome));
        if !refused {
            traffic.lines.extend(body.lines().map(str::to_string));
        }
        traffic.at_once -= 1;
        drop(traffic);
        let status = if refused { "503 Service Unavailable" } else { "200 OK" };
        write!(socket, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").ok()
    }
}

fn request(socket: &TcpStream) -> Option<String> {
    let (mut reader, mut length, mut line) = (BufReader::new(socket), 0, String::new());
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body).ok()?;
    Some(body)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.world.ended.store(true, Relaxed);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

const KEYS: usize = 40;

/// So many lines of each key, numbered, in turns.
fn feed(name: &str, from: usize, to: usize) {
    let lines: String = (from..to).flat_map(|n| (0..KEYS).map(move |key| format!("key=k{key}. n={n}\n"))).collect();
    board(name).feed(&lines);
}

/// Each line once, and those of a key in order.
fn assert_ordered(lines: &[String], each: usize) {
    let mut keys: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines {
        let (key, n) = line.split_once(' ').unwrap();
        let next = keys.entry(key).or_default();
        assert_eq!(n, next.to_string(), "of {key}");
        *next += 1;
    }
    assert!(keys.len() == KEYS && keys.values().all(|n| *n == each), "{keys:?}");
}

fn finish(engine: Engine, name: &str) {
    until("acknowledgement", || board(name).settled.load(Relaxed));
    let summary = engine.stop();
    assert_eq!(summary.undelivered, 0);
    assert_conservation(&summary.status);
}

#[test]
fn requests_are_under_way_at_once_and_the_order_of_each_key_is_kept() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new(8));
    server.world.refuse.store(3, Relaxed);
    let engine = start(dir.path(), &server.toml("lanes", "concurrency = 8\norder_by = ['key']\nbatch_count = 20"));
    for n in 0..50 {
        feed("lanes", n, n + 1);
    }
    until("everything arrived", || server.lines().len() >= 50 * KEYS);
    finish(engine, "lanes");
    assert_ordered(&server.lines(), 50);
    assert_eq!(server.world.traffic.lock().unwrap().most, 8);
}

#[test]
fn without_an_order_work_goes_to_whoever_has_least() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new(4));
    server.world.refuse.store(5, Relaxed);
    let engine = start(dir.path(), &server.toml("unordered", "concurrency = 4\nbatch_count = 7"));
    feed("unordered", 0, 30);
    until("everything arrived", || server.lines().len() >= 30 * KEYS);
    finish(engine, "unordered");
    let (mut lines, mut all) = (server.lines(), (0..30).flat_map(|n| (0..KEYS).map(move |k| format!("k{k}. {n}"))).collect::<Vec<_>>());
    lines.sort();
    all.sort();
    assert_eq!(lines, all);
    assert_eq!(server.world.traffic.lock().unwrap().most, 4);
}

#[test]
fn a_lane_that_is_refused_does_not_stop_the_others() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new(1));
    *server.world.unwelcome.lock().unwrap() = "k7. ".to_string();
    let engine = start(dir.path(), &server.toml("stuck_lane", "concurrency = 4\norder_by = ['Fields[key]']"));
    feed("stuck_lane", 0, 20);
    until("half of it arrived", || server.lines().len() >= 10 * KEYS);
    let output = || engine.status().plugins.into_iter().find(|p| p.id == "output.stuck_lane").unwrap();
    until("it is said", || output().state.starts_with("1 of 4 lanes: open since 20"));
    assert!(!server.lines().iter().any(|l| l.starts_with("k7. ")) && !board("stuck_lane").settled.load(Relaxed));
    server.world.unwelcome.lock().unwrap().clear();
    until("everything arrived", || server.lines().len() >= 20 * KEYS);
    until("it is said", || output().state == "running");
    finish(engine, "stuck_lane");
    assert_ordered(&server.lines(), 20);
}

#[test]
fn lanes_hold_no_more_than_one_instance_and_give_back_in_order() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new(1));
    server.refuse_all(true);
    let toml = |n| server.toml("held", &format!("concurrency = {n}\norder_by = ['key']\nunconfirmed = 100"));
    let engine = start(dir.path(), &toml(5));
    for n in 0..25 {
        feed("held", n, n + 1);
        until("it was read", || {
            engine.status().plugins.iter().any(|p| p.id == "output.held" && p.counter(Counter::Received) >= ((n + 1) * KEYS) as u64)
        });
    }
    let output = engine.status().plugins.into_iter().find(|p| p.id == "output.held").unwrap();
    let held = 25 * KEYS - output.waiting.0;
    assert!((1..100 + 2 * KEYS).contains(&held), "{held} held");
    for n in [3, 1, 8] {
        engine.reload(plan(dir.path(), &toml(n))).unwrap();
        until("it tries again", || engine.status().plugins.iter().any(|p| p.id == "output.held" && p.state.contains("open since")));
    }
    server.refuse_all(false);
    until("everything arrived", || server.lines().len() >= 25 * KEYS);
    finish(engine, "held");
    assert_ordered(&server.lines(), 25);
}

#[test]
fn what_cannot_be_delivered_at_once_says_so() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("e.lua"), "function process_message() inject_payload('txt', '', read_message('Payload')) return 0 end")
        .unwrap();
    let objection = |toml: &str| problems(dir.path(), &format!("[output.x]\nmatch = 'TRUE'\n{toml}"));
    let file = objection("type = 'file'\ndir = 'x'\nconcurrency = 2\n");
    assert!(file.contains("nilo.toml:5:15: an output of type `file` cannot deliver several batches at once"), "{file}");
    let http = "type = 'http'\nurl = 'http://127.0.0.1:1/'\n";
    assert!(objection(&format!("{http}concurrency = 0\n")).contains("`concurrency` is out of range: expected 1 to 256"));
    let lua = objection(&format!("{http}concurrency = 2\nencoder = 'e'\n[encoder.e]\ntype = 'lua'\nscript = 'e.lua'\n"));
    assert!(lua.contains("an encoder that is a script has one state only"), "{lua}");
    assert_eq!(objection(&format!("{http}concurrency = 256\norder_by = ['Hostname', 'user']\n")), "");
    assert_eq!(objection("type = 'file'\ndir = 'x'\nconcurrency = 1\n"), "");
}

fn problems(dir: &Path, toml: &str) -> String {
    plan(dir, toml).check().err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
