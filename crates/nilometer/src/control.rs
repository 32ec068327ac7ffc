//! The control socket of a running instance: a request is a JSON object on a line, so is its answer.
//!
//! ```text
//! {"request":"status"}   the answer's `status` is [`engine::Status::json`]
//! {"request":"reload"}   waits for the outcome; `ok` tells whether all of it went live, `text` what happened
//! {"request":"live"}     `live` tells whether it is worth going on, `reasons` why not: see [`engine::Health::live`]
//! {"request":"ready"}    `ready` tells whether every plugin works, `reasons` why not: see [`engine::Health::ready`]
//! ```
//!
//! An answer has `ok`, and `error` where the request itself was not understood. Whoever may write
//! to the socket may do this: its file is open to the owner and group only.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use engine::{Config, Engine, Health};
use plugin::Stop;
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};

use crate::Failure;

/// Name of the socket in the state directory.
pub const SOCKET: &str = "nilo.sock";

/// Longest request, bytes.
const MAX_REQUEST: u64 = 64 << 10;
/// Longest answer a client reads, bytes.
const MAX_ANSWER: u64 = 256 << 20;
/// How long one side waits for the other to read or write.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client waits for a reload: probations take their time.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Clients served at once.
const MAX_CLIENTS: usize = 16;

/// The engine while it runs; `None` once it is being stopped.
pub type Shared = Arc<RwLock<Option<Engine>>>;

/// Somebody asks for a reload; the outcome goes back as an answer.
pub type ReloadRequest = Sender<Value>;

/// The listening side.
pub struct Server {
    path: PathBuf,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Service {
    engine: Shared,
    /// Asked without waiting for anything the engine may be about.
    health: Arc<Health>,
    reloads: Sender<ReloadRequest>,
    clients: Arc<AtomicUsize>,
}

impl Server {
    /// Listens on a socket at `path`. One that a killed instance left behind is replaced.
    ///
    /// # Errors
    /// When there is something else at the path, another instance listens there, or the system refuses.
    pub fn start(path: &Path, engine: Shared, health: Arc<Health>, reloads: Sender<ReloadRequest>) -> Result<Server, String> {
        let listener = listen(path).map_err(|why| format!("control socket {}: {why}", path.display()))?;
        let service = Service { engine, health, reloads, clients: Arc::default() };
        let stop = Stop::new();
        let mine = stop.clone();
        let thread = std::thread::Builder::new().name("control".into()).spawn(move || accept(&listener, &service, &mine));
        let thread = thread.map_err(|e| format!("no thread for the control socket: {e}"))?;
        Ok(Server { path: path.to_path_buf(), stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        self.stop.ask();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(path: &Path) -> Result<UnixListener, String> {
    let text = |e: io::Error| match e.kind() {
        io::ErrorKind::InvalidInput => "the path is too long for a socket; choose a shorter one with --socket".to_string(),
        _ => e.to_string(),
    };
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err("something that is not a socket is there".to_string()),
        Ok(_) if UnixStream::connect(path).is_ok() => return Err("another nilo listens there".to_string()),
        _ => {}
    }
    // Nobody can connect under the final name before it has its permissions.
    let new = path.with_extension(format!("{}", std::process::id()));
    let _ = std::fs::remove_file(&new);
    let listener = UnixListener::bind(&new).map_err(text)?;
    let ready = std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o660)).and_then(|()| std::fs::rename(&new, path));
    ready.inspect_err(|_| drop(std::fs::remove_file(&new))).map_err(text)?;
    listener.set_nonblocking(true).map_err(text)?;
    Ok(listener)
}

fn accept(listener: &UnixListener, service: &Service, stop: &Stop) {
    while !stop.asked() {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::from_borrowed_fd(stop.fd(), PollFlags::IN)];
        let _ = poll(&mut fds, None);
        let Ok((stream, _)) = listener.accept() else { continue };
        if service.clients.fetch_add(1, Ordering::AcqRel) >= MAX_CLIENTS {
            service.clients.fetch_sub(1, Ordering::AcqRel);
            log::warn!("the control socket serves {MAX_CLIENTS} clients already");
            continue;
        }
        let mine = service.clone();
        let body = move || {
            if let Err(e) = mine.serve(&stream) {
                log::debug!("control socket: {e}");
            }
            mine.clients.fetch_sub(1, Ordering::AcqRel);
        };
        if let Err(e) = std::thread::Builder::new().name("client".into()).spawn(body) {
            service.clients.fetch_sub(1, Ordering::AcqRel);
            log::error!("no thread for a client of the control socket: {e}");
        }
    }
}

impl Service {
    fn serve(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            if reader.by_ref().take(MAX_REQUEST).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let whole = line.ends_with(b"\n");
            let answer = if whole { self.answer(&line) } else { refused("a request is one line of at most 64 KiB") };
            writeln!(&mut &*stream, "{answer}")?;
            if !whole {
                return Ok(());
            }
        }
    }

    fn answer(&self, line: &[u8]) -> Value {
        let request: Value = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(e) => return refused(&format!("not JSON: {e}")),
        };
        match request["request"].as_str() {
            Some("status") => match &*self.engine.read().unwrap_or_else(|p| p.into_inner()) {
                Some(engine) => json!({ "ok": true, "status": engine.status().json() }),
                None => refused("nilo is stopping"),
            },
            Some("reload") => {
                let (asked, outcome) = bounded(1);
                let waited = self.reloads.send_timeout(asked, TIMEOUT).ok().and_then(|()| outcome.recv_timeout(RELOAD_TIMEOUT).ok());
                waited.unwrap_or_else(|| refused("no outcome within a minute, or nilo is stopping"))
            }
            Some("live") => verdict("live", self.health.live().map_err(|why| vec![why])),
            Some("ready") => verdict("ready", self.health.ready()),
            _ => refused("expected {\"request\":\"status\"}, or \"reload\", \"live\" or \"ready\" in its place"),
        }
    }
}

fn verdict(what: &str, outcome: Result<(), Vec<String>>) -> Value {
    let reasons = outcome.err().unwrap_or_default();
    json!({ "ok": true, what: reasons.is_empty(), "reasons": reasons })
}

fn refused(why: &str) -> Value {
    json!({ "ok": false, "error": why })
}

/// Which running instance is meant.
#[derive(clap::Args)]
pub struct Instance {
    /// The configuration it runs; its `state` in [nilo] tells where the socket is.
    #[arg(required_unless_present_any = ["state", "socket"])]
    path: Option<PathBuf>,
    /// Its state directory.
    #[arg(long, value_name = "DIR", conflicts_with = "path")]
    state: Option<PathBuf>,
    /// Its control socket.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["path", "state"])]
    socket: Option<PathBuf>,
}

impl Instance {
    fn socket(&self) -> Result<PathBuf, Failure> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        if let Some(state) = &self.state {
            return Ok(state.join(SOCKET));
        }
        let path = self.path.clone().unwrap_or_default();
        // Only [nilo] is wanted: plugins may be as wrong as they like.
        let config = Config::load(&path)?;
        let state = config.globals.get_path("state").map(|dir| dir.join(SOCKET));
        state.ok_or_else(|| {
            Failure::Failed(format!("{} sets no `state` in [nilo]: say --state DIR or --socket PATH as for `nilo run`", path.display()))
        })
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// When nobody listens, or the answer is an error.
    pub fn ask(&self, request: &str) -> Result<Value, Failure> {
        let socket = self.socket()?;
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                format!("no nilo runs with the control socket {}; start it with `nilo run --state DIR`", socket.display())
            }
            _ => format!("control socket {}: {e}", socket.display()),
        };
        let answer = exchange(&socket, request).map_err(failed)?;
        match answer["error"].as_str() {
            Some(why) => Err(Failure::Failed(why.to_string())),
            None => Ok(answer),
        }
    }
}

fn exchange(socket: &Path, request: &str) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(RELOAD_TIMEOUT + TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    writeln!(stream, "{}", json!({ "request": request }))?;
    let mut line = Vec::new();
    BufReader::new(stream).take(MAX_ANSWER).read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(|e| io::Error::other(format!("the answer is not understood: {e}")))
}
