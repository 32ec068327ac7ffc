use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use transport::Stream;

/// After this long without traffic a peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Where peers connect. It does not block.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Who has connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    Address(SocketAddr),
    /// A program of this host, or a proxy that speaks for nobody.
    Unnamed,
}

impl Peer {
    /// Its address without the port, or nothing.
    pub fn host(self) -> String {
        match self {
            Peer::Address(address) => address.ip().to_canonical().to_string(),
            Peer::Unnamed => String::new(),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Address(address) => address.fmt(f),
            Peer::Unnamed => f.write_str("a local peer"),
        }
    }
}

impl Listener {
    /// # Errors
    /// Those of the system; none is waiting (`WouldBlock`) is one.
    pub fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Listener::Tcp(listener) => listener.accept().map(|(socket, peer)| (socket.into(), Peer::Address(peer))),
            Listener::Unix(listener) => listener.accept().map(|(socket, _)| (socket.into(), Peer::Unnamed)),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Makes a socket that was accepted one to be served in turns.
///
/// # Errors
/// When it is gone already.
pub fn prepare(stream: &Stream) -> io::Result<()> {
    match stream {
        Stream::Unix(socket) => socket.set_nonblocking(true),
        Stream::Plain(socket) => prepare_tcp(socket),
        Stream::Tls(_) => Ok(()),
    }
}

fn prepare_tcp(socket: &TcpStream) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    // Counts go out at once.
    socket.set_nodelay(true)?;
    SockRef::from(socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}
