//! A double of Docker's engine: the part of its API that is used here, as `docs/api` of Moby describes it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::json;

struct Container {
    name: String,
    terminal: bool,
    labels: BTreeMap<String, String>,
    running: bool,
    finished: u32,
    /// Stream, time in nanoseconds, text.
    log: Vec<(u8, i64, String)>,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<String, Container>,
    /// Time and JSON.
    events: Vec<(i64, String)>,
    requests: Vec<String>,
    /// Answers that began before it changed break off.
    generation: u64,
    ended: bool,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

pub struct Engine {
    dir: tempfile::TempDir,
    shared: Shared,
}

impl Engine {
    pub fn start() -> Engine {
        let (dir, shared) = (tempfile::tempdir().unwrap(), Shared::default());
        let listener = UnixListener::bind(dir.path().join("docker.sock")).unwrap();
        let own = shared.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if own.0.lock().unwrap().ended {
                    return;
                }
                let own = own.clone();
                std::thread::spawn(move || drop(answer(connection, &own)));
            }
        });
        Engine { dir, shared }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.0.lock().unwrap());
        self.shared.1.notify_all();
    }

    pub fn requests(&self) -> Vec<String> {
        self.shared.0.lock().unwrap().requests.clone()
    }

    /// A container that runs.
    pub fn create(&self, id: &str, name: &str, terminal: bool, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let container = Container { name: name.into(), terminal, labels, running: true, finished: 0, log: Vec::new() };
        self.change(|state| drop(state.containers.insert(id.into(), container)));
        self.event(id, "start");
    }

    pub fn log(&self, id: &str, stream: u8, time: i64, text: &str) {
        self.change(|state| state.containers.get_mut(id).unwrap().log.push((stream, time, text.into())));
    }

    pub fn stop(&self, id: &str) {
        self.change(|state| {
            let container = state.containers.get_mut(id).unwrap();
            (container.running, container.finished) = (false, container.finished + 1);
        });
        self.event(id, "die");
    }

    pub fn start_again(&self, id: &str) {
        self.change(|state| state.containers.get_mut(id).unwrap().running = true);
        self.event(id, "start");
    }

    pub fn remove(&self, id: &str) {
        self.stop(id);
        self.event(id, "destroy");
        self.change(|state| drop(state.containers.remove(id)));
    }

    pub fn break_connections(&self) {
        self.change(|state| state.generation += 1);
    }

    fn event(&self, id: &str, action: &str) {
        self.change(|state| {
            let time = 1_461_943_101_000_000_000 + state.events.len() as i64;
            let name = &state.containers[id].name;
            let event = json!({
                "status": action, "id": id, "from": "nginx:1", "Type": "container", "Action": action, "scope": "local", "time": 1461943101, "timeNano": time,
                "Actor": {"ID": id, "Attributes": {"image": "nginx:1", "name": name}},
            });
            state.events.push((time, event.to_string()));
        });
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.change(|state| (state.ended, state.generation) = (true, u64::MAX));
        let _ = UnixStream::connect(self.path());
    }
}

/// An answer of unknown length.
struct Chunks<'a> {
    to: UnixStream,
    shared: &'a Shared,
    generation: u64,
}

impl<'a> Chunks<'a> {
    fn begin(mut to: UnixStream, content_type: &str, shared: &'a Shared) -> std::io::Result<Chunks<'a>> {
        let generation = shared.0.lock().unwrap().generation;
        write!(to, "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        Ok(Chunks { to, shared, generation })
    }

    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        // In two chunks, so that what belongs together comes apart.
        for part in bytes.chunks(bytes.len().div_ceil(2).max(1)) {
            write!(self.to, "{:x}\r\n", part.len())?;
            self.to.write_all(part)?;
            self.to.write_all(b"\r\n")?;
        }
        Ok(())
    }

    fn end(mut self) -> std::io::Result<()> {
        self.to.write_all(b"0\r\n\r\n")
    }

    /// Waits until something may have changed; none when the connection is to break.
    fn wait(&self, state: MutexGuard<'a, State>) -> Option<MutexGuard<'a, State>> {
        let state = self.shared.1.wait_timeout(state, Duration::from_millis(50)).unwrap().0;
        (state.generation == self.generation).then_some(state)
    }
}

fn answer(connection: UnixStream, shared: &Shared) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let Some(request) = lines.next().transpose()? else { return Ok(()) };
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let target = request.split(' ').nth(1).unwrap_or_default().to_string();
    shared.0.lock().unwrap().requests.push(target.clone());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let option = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let since = option("since").map_or(0, nanoseconds);
    match path.trim_matches('/').split('/').collect::<Vec<_>>()[..] {
        ["events"] => events(connection, shared, option("since").map(nanoseconds)),
        ["containers", "json"] => whole(connection, 200, &list(shared)),
        ["containers", id, "json"] => {
            let about = about(shared, id);
            whole(connection, if about.contains("\"message\"") { 404 } else { 200 }, &about)
        }
        ["containers", id, "logs"] => log(connection, shared, id, since, option("follow") == Some("1")),
        ["containers", _, "stats"] => whole(connection, 200, STATS),
        _ => whole(connection, 404, r#"{"message":"page not found"}"#),
    }
}

fn nanoseconds(text: &str) -> i64 {
    let (seconds, nanos) = text.split_once('.').unwrap();
    seconds.parse::<i64>().unwrap() * 1_000_000_000 + nanos.parse::<i64>().unwrap()
}

fn whole(mut to: UnixStream, status: u16, body: &str) -> std::io::Result<()> {
    write!(to, "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn list(shared: &Shared) -> String {
    let state = shared.0.lock().unwrap();
    let of = |(id, c): (&String, &Container)| json!({"Id": id, "Names": [format!("/{}", c.name)], "Image": "nginx:1", "Labels": c.labels, "State": if c.running { "running" } else { "exited" }});
    json!(state.containers.iter().map(of).collect::<Vec<_>>()).to_string()
}

fn about(shared: &Shared, id: &str) -> String {
    let state = shared.0.lock().unwrap();
    let Some(c) = state.containers.get(id) else { return json!({"message": format!("No such container: {id}")}).to_string() };
    let finished = if c.finished == 0 { "0001-01-01T00:00:00Z".to_string() } else { format!("2024-01-01T00:00:{:02}Z", c.finished) };
    json!({
        "Id": id, "Name": format!("/{}", c.name), "State": {"Status": "", "Running": c.running, "StartedAt": "2024-01-01T00:00:00Z", "FinishedAt": finished},
        "Config": {"Image": "nginx:1", "Tty": c.terminal, "Labels": c.labels, "Env": ["PATH=/bin", "RELEASE=7"]},
    })
    .to_string()
}

fn events(to: UnixStream, shared: &Shared, since: Option<i64>) -> std::io::Result<()> {
    let mut next = match since {
        Some(since) => shared.0.lock().unwrap().events.iter().take_while(|(time, _)| *time < since).count(),
        None => shared.0.lock().unwrap().events.len(),
    };
    let mut chunks = Chunks::begin(to, "application/json", shared)?;
    let mut state = shared.0.lock().unwrap();
    loop {
        if let Some((_, event)) = state.events.get(next) {
            let line = format!("{event}\n");
            drop(state);
            chunks.send(line.as_bytes())?;
            next += 1;
            state = shared.0.lock().unwrap();
            continue;
        }
        let Some(woken) = chunks.wait(state) else { return Ok(()) };
        state = woken;
    }
}

fn log(to: UnixStream, shared: &Shared, id: &str, since: i64, follow: bool) -> std::io::Result<()> {
    let terminal = shared.0.lock().unwrap().containers.get(id).is_some_and(|c| c.terminal);
    let kind = if terminal { "application/vnd.docker.raw-stream" } else { "application/vnd.docker.multiplexed-stream" };
    let mut chunks = Chunks::begin(to, kind, shared)?;
    let mut next = 0;
    let mut state = shared.0.lock().unwrap();
    while let Some(container) = state.containers.get(id) {
        if let Some((stream, time, text)) = container.log.get(next).cloned() {
            next += 1;
            if time >= since {
                drop(state);
                chunks.send(&frame(stream, time, &text))?;
                state = shared.0.lock().unwrap();
            }
            continue;
        }
        if !follow || !container.running {
            break;
        }
        let Some(woken) = chunks.wait(state) else { return Ok(()) };
        state = woken;
    }
    drop(state);
    chunks.end()
}

/// With a head that says how long it is, unless it is of a terminal.
fn frame(stream: u8, time: i64, text: &str) -> Vec<u8> {
    let seconds = time / 1_000_000_000;
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let (year, month, day) = date(days);
    let time =
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}Z", rest / 3600, rest / 60 % 60, rest % 60, time % 1_000_000_000);
    let record = format!("{time} {text}");
    match stream {
        0 => record.into_bytes(),
        _ => [&[stream, 0, 0, 0][..], &(record.len() as u32).to_be_bytes(), record.as_bytes()].concat(),
    }
}

fn date(mut days: i64) -> (i64, i64, i64) {
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut year = 1970;
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month as i64 + 1, days + 1)
}

const STATS: &str = r#"{"read":"2015-01-08T22:57:31.547920715Z","pids_stats":{"current":3},
"networks":{"eth0":{"rx_bytes":5338,"tx_bytes":648},"eth5":{"rx_bytes":641,"tx_bytes":508}},
"memory_stats":{"usage":6537216,"limit":67108864},
"blkio_stats":{"io_service_bytes_recursive":[{"major":8,"minor":0,"op":"read","value":4096},{"major":8,"minor":0,"op":"write","value":512}]},
"cpu_stats":{"cpu_usage":{"total_usage":200},"system_cpu_usage":2000,"online_cpus":4},
"precpu_stats":{"cpu_usage":{"total_usage":100},"system_cpu_usage":1000}}"#;
