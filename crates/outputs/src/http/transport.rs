//! Connections that hear a stop.
//!
//! The HTTP client waits in its transport only, so that is where the time and the stop are looked at:
//! sockets do not block, and each wait is one for the socket and for the stop, as in all outputs.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use plugin::{Clock, OutCx, Stop};
use rustix::event::PollFlags;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector, Transport};
use ureq::{Agent, Error};

use crate::connect::connect;
use crate::patience::Patience;

/// Bytes of the buffers of a connection, one each way; an answer's head must fit into it.
const BUFFER: usize = 64 << 10;

/// What an output and its connections know of each other.
#[derive(Default, Debug)]
pub struct Line {
    /// When the patience that is left after a stop ends, in nanoseconds by the steady clock; zero before a stop.
    end: AtomicU64,
    /// The server did not read the request to its end.
    cut: AtomicBool,
}

impl Line {
    /// A batch begins: after a stop it has its own grace.
    pub fn begin(&self) {
        self.end.store(0, Ordering::Relaxed);
    }

    /// A request begins.
    pub fn next(&self) {
        self.cut.store(false, Ordering::Relaxed);
    }

    pub fn was_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

/// A client that does as it is told: it follows no redirect, asks no proxy, and judges no status.
pub fn agent(line: &Arc<Line>, connect_timeout: Duration, timeout: Duration, cx: &OutCx<'_>) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("nilometer/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(connect_timeout))
        .timeout_global(Some(timeout))
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .build();
    let tcp = Tcp { waiting: Waiting { line: line.clone(), clock: cx.clock.clone(), stop: cx.stop.clone() }, unacknowledged: timeout };
    Agent::with_parts(config, tcp.chain(RustlsConnector::default()), Unresolved)
}

/// Waits for sockets, as long as a timeout and a stop allow.
#[derive(Clone, Debug)]
struct Waiting {
    line: Arc<Line>,
    clock: Clock,
    stop: Stop,
}

impl Waiting {
    /// Does something that needs patience.
    fn with<R>(&self, timeout: NextTimeout, wait: impl FnOnce(&mut Patience<'_>) -> io::Result<R>) -> Result<R, Error> {
        let end = self.line.end.load(Ordering::Relaxed);
        let end = (end > 0).then_some(Duration::from_nanos(end));
        let mut patience = Patience::until(&self.clock, &self.stop, *timeout.after, end);
        let result = wait(&mut patience);
        if let Some(end) = patience.end() {
            self.line.end.store(u64::try_from(end.as_nanos()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
        }
        result.map_err(|e| if e.kind() == ErrorKind::TimedOut { Error::Timeout(timeout.reason) } else { Error::Io(e) })
    }
}

/// Leaves names to [`Tcp`]: a connection that is there needs no address.
#[derive(Debug)]
struct Unresolved;

impl Resolver for Unresolved {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

#[derive(Debug)]
struct Tcp {
    waiting: Waiting,
    unacknowledged: Duration,
}

impl Connector for Tcp {
    type Out = Connection;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Connection>, Error> {
        let (host, tls) = (details.uri.host().unwrap_or_default(), details.needs_tls());
        let port = details.uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let address = format!("{host}:{port}");
        let socket = self.waiting.with(details.timeout, |patience| connect(&address, self.unacknowledged, patience))?;
        Ok(Some(Connection { socket, tls, buffers: LazyBuffers::new(BUFFER, BUFFER), waiting: self.waiting.clone(), broken: None }))
    }
}

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    /// What comes may be part of the encryption and no answer.
    tls: bool,
    buffers: LazyBuffers,
    waiting: Waiting,
    /// Why no more is written.
    broken: Option<io::Error>,
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    /// A server may answer and close before it has read everything, because the body is too long for it.
    /// Then the rest is left out, so that the answer is read.
    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let Connection { socket, tls, buffers, waiting, broken } = self;
        let output = &buffers.output()[..amount];
        let flags = if *tls { PollFlags::OUT } else { PollFlags::OUT | PollFlags::IN };
        waiting.with(timeout, |patience| {
            let mut sent = 0;
            while sent < output.len() && broken.is_none() {
                match socket.write(&output[sent..]) {
                    Ok(n) => sent += n,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock && !*tls && heard(socket) => {
                        *broken = Some(io::Error::new(ErrorKind::BrokenPipe, "the server did not read the request to its end"));
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => patience.wait(&*socket, flags)?,
                    Err(e) => *broken = Some(e),
                }
            }
            Ok(())
        })?;
        if self.broken.is_some() {
            self.waiting.line.cut.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let Connection { socket, buffers, waiting, broken, .. } = self;
        let input = buffers.input_append_buf();
        let n = waiting.with(timeout, |patience| {
            loop {
                match socket.read(input) {
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => patience.wait(&*socket, PollFlags::IN)?,
                    // There is no answer that says more than this.
                    Err(e) => return Err(broken.take().unwrap_or(e)),
                    Ok(n) => return Ok(n),
                }
            }
        })?;
        buffers.input_appended(n);
        Ok(n > 0)
    }

    /// Nothing is to be heard from a server that waits for a request.
    fn is_open(&mut self) -> bool {
        self.broken.is_none() && !heard(&self.socket)
    }
}

/// Whether the server sent something, closed the connection, or broke it.
fn heard(socket: &TcpStream) -> bool {
    !matches!(socket.peek(&mut [0]), Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted))
}
