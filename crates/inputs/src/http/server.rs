use std::cell::Cell;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use plugin::Clock;
use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use transport::{HANDSHAKE, Stream};

use super::Settings;
use super::queue::{Count, Queue};
use super::request::handle;
use super::socket::Socket;

/// Bytes of the head of a request, and read at a time, at most.
const BUFFER: usize = 64 << 10;

/// After a stop, connections are closed after this long whatever is on them.
const GRACE: Duration = Duration::from_secs(2);

/// After this long without traffic a peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long nothing is accepted after the system had no descriptor left, and how often refusals are logged.
const PAUSE: Duration = Duration::from_secs(1);

/// Speaks HTTP on a thread of its own until it is stopped or dropped.
pub struct Server {
    thread: Option<JoinHandle<()>>,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn start(listener: TcpListener, settings: Arc<Settings>, queue: Arc<Queue>, clock: Clock) -> io::Result<Server> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stopping, stopped) = watch::channel(false);
        let serve = move || run(&runtime, listener, settings, &queue, clock, stopped);
        let thread = thread::Builder::new().name("http".into()).spawn(serve)?;
        Ok(Server { thread: Some(thread), stopping })
    }

    /// Accepts no more; what is being answered may be answered.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn run(
    runtime: &Runtime,
    listener: TcpListener,
    settings: Arc<Settings>,
    queue: &Arc<Queue>,
    clock: Clock,
    stopping: watch::Receiver<bool>,
) {
    /// Whoever waits for bodies hears of the end, even when it is a panic.
    struct Wake<'a>(&'a Queue);
    impl Drop for Wake<'_> {
        fn drop(&mut self) {
            self.0.wake();
        }
    }
    let _wake = Wake(queue);
    let result = runtime.block_on(serve(listener, &settings, queue, clock, stopping));
    if let Err(e) = result {
        log::error!("{}: accepting failed: {e}", settings.listen);
    }
}

async fn serve(
    listener: TcpListener,
    settings: &Arc<Settings>,
    queue: &Arc<Queue>,
    clock: Clock,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let permits = Arc::new(Semaphore::new(settings.max_connections));
    let acceptor = Acceptor { settings, queue, clock, permits: &permits, stopping: stopping.clone(), refused: Cell::default() };
    {
        let mut accepting = pin!(acceptor.accept(&listener));
        let mut stop = pin!(stopping.wait_for(|stopping| *stopping));
        poll_fn(|cx| match stop.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(Ok(())),
            Poll::Pending => accepting.as_mut().poll(cx),
        })
        .await?;
    }
    drop(listener);
    let _ = timeout(GRACE, permits.acquire_many(settings.max_connections as u32)).await;
    Ok(())
}

struct Acceptor<'a> {
    settings: &'a Arc<Settings>,
    queue: &'a Arc<Queue>,
    clock: Clock,
    /// One for each connection.
    permits: &'a Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
    /// When a refusal was last logged.
    refused: Cell<Option<Instant>>,
}

impl Acceptor<'_> {
    /// Returns when the listener itself is broken.
    async fn accept(&self, listener: &tokio::net::TcpListener) -> io::Result<()> {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => match self.permits.clone().try_acquire_owned() {
                    Ok(permit) => self.serve(socket, peer, permit),
                    Err(_) => self.refuse(peer),
                },
                Err(e) => match Errno::from_io_error(&e) {
                    Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => return Err(e),
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        let listen = &self.settings.listen;
                        log::warn!("{listen}: nothing is accepted for a moment: {e} (raise the limit of open files)");
                        sleep(PAUSE).await;
                    }
                    // About a connection that is already gone again.
                    _ => {}
                },
            }
        }
    }

    fn serve(&self, socket: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let socket = match self.prepare(socket) {
            Ok(socket) => socket,
            Err(e) => {
                log::warn!("{}: connection from {peer} cannot be used: {e}", self.settings.listen);
                return;
            }
        };
        self.queue.count(Count::Connections);
        let (settings, queue, stopping) = (self.settings.clone(), self.queue.clone(), self.stopping.clone());
        tokio::spawn(async move {
            if let Err(e) = converse(socket, &settings, &queue, stopping).await {
                log::debug!("{}: connection from {peer} ended: {e}", settings.listen);
            }
            drop(permit);
        });
    }

    /// A peer that reads none of its answers is given up as one that does not send is.
    fn prepare(&self, socket: TcpStream) -> io::Result<Socket> {
        let options = SockRef::from(&socket);
        options.set_tcp_nodelay(true)?;
        options.set_tcp_user_timeout(Some(self.settings.timeout))?;
        options.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
        let socket = socket.into_std()?;
        Socket::new(match &self.settings.tls {
            Some(tls) => tls.accept(socket, self.clock.steady())?,
            None => Stream::Plain(socket),
        })
    }

    fn refuse(&self, peer: SocketAddr) {
        self.queue.count(Count::RefusedConnections);
        if self.refused.get().is_none_or(|last| last.elapsed() >= PAUSE) {
            self.refused.set(Some(Instant::now()));
            let Settings { listen, max_connections, .. } = &**self.settings;
            log::warn!("{listen}: connection from {peer} refused: there are {max_connections} already (option `max_connections`)");
        }
    }
}

/// Serves the requests of one connection, one after the other.
async fn converse(
    mut socket: Socket,
    settings: &Arc<Settings>,
    queue: &Arc<Queue>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    if let Err(e) = shake_hands(&mut socket, &stopping).await {
        queue.count(Count::FailedHandshakes);
        return Err(e.into());
    }
    let service = service_fn(|request| handle(settings, queue, request));
    let mut builder = http1::Builder::new();
    // A sender may say that it has nothing more to send and still wait for its answer.
    builder.half_close(true).max_buf_size(BUFFER).timer(TokioTimer::new()).header_read_timeout(settings.timeout);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    let mut stop = pin!(stopping.wait_for(|stopping| *stopping));
    let mut told = false;
    poll_fn(|cx| {
        if !told && stop.as_mut().poll(cx).is_ready() {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    })
    .await?;
    Ok(())
}

/// Nobody waits for a handshake after a stop.
async fn shake_hands(socket: &mut Socket, stopping: &watch::Receiver<bool>) -> io::Result<()> {
    let mut stopping = stopping.clone();
    let mut stop = pin!(stopping.wait_for(|stopping| *stopping));
    let mut handshake = pin!(timeout(HANDSHAKE, socket.handshake()));
    poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Ready(Ok(result)) => Poll::Ready(result),
        Poll::Ready(Err(_)) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in time"))),
        Poll::Pending => stop.as_mut().poll(cx).map(|_| Err(io::ErrorKind::Interrupted.into())),
    })
    .await
}
