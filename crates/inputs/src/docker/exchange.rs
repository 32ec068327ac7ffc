//! One request to the engine and its answer, which may go on for days. Each has a connection of its own.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::body::Body;

/// Most bytes of the head of an answer.
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 64;

/// How long connecting over TCP, or sending a request, may take.
const CONNECT: Duration = Duration::from_secs(3);

/// Where the engine listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Address {
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl Address {
    pub fn parse(text: &str) -> Option<Address> {
        if let Some(path) = text.strip_prefix("unix://") {
            return path.starts_with('/').then(|| Address::Unix(path.into()));
        }
        let address = text.strip_prefix("tcp://").unwrap_or(text);
        let (host, port) = address.rsplit_once(':')?;
        (!host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()).then(|| Address::Tcp(address.into()))
    }
}

enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    fn connect(address: &Address) -> io::Result<Socket> {
        match address {
            Address::Unix(path) => {
                // Linux keeps to the deadline of writing while it connects, which an engine that hangs lets it need.
                let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
                socket.set_write_timeout(Some(CONNECT))?;
                socket.connect(&socket2::SockAddr::unix(path)?)?;
                Ok(Socket::Unix(socket.into()))
            }
            Address::Tcp(address) => {
                let first = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
                let socket = TcpStream::connect_timeout(&first, CONNECT)?;
                socket.set_write_timeout(Some(CONNECT))?;
                Ok(Socket::Tcp(socket))
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Socket::Unix(socket) => socket.write_all(bytes).and_then(|()| socket.set_nonblocking(true)),
            Socket::Tcp(socket) => socket.write_all(bytes).and_then(|()| socket.set_nonblocking(true)),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(socket) => socket.read(into),
            Socket::Tcp(socket) => socket.read(into),
        }
    }
}

/// What an answer begins with.
#[derive(Clone, Default, Debug)]
pub(super) struct Head {
    pub status: u16,
    pub content_type: String,
}

pub(super) struct Exchange {
    socket: Socket,
    /// The beginning of the answer, until its head is complete.
    begun: Vec<u8>,
    pub head: Option<Head>,
    body: Body,
}

/// What a read brought.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Progress {
    Nothing,
    /// More may come.
    Some,
    /// The answer is complete.
    End,
}

impl Exchange {
    /// # Errors
    /// When nobody listens, or the request cannot be sent.
    pub fn start(address: &Address, path: &str) -> io::Result<Exchange> {
        let mut socket = Socket::connect(address)?;
        socket.send(format!("GET {path} HTTP/1.1\r\nHost: docker\r\nUser-Agent: nilometer\r\nConnection: close\r\n\r\n").as_bytes())?;
        Ok(Exchange { socket, begun: Vec::new(), head: None, body: Body::UntilClose })
    }

    /// Reads once, without waiting; adds to `into` what came of the body.
    ///
    /// # Errors
    /// When the connection breaks, ends too soon, or what comes is no HTTP.
    pub fn read(&mut self, buffer: &mut [u8], into: &mut Vec<u8>) -> io::Result<Progress> {
        let n = match self.socket.read(buffer) {
            Ok(0) if self.head.is_some() && self.body.may_close() => return Ok(Progress::End),
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed before the end of the answer")),
            Ok(n) => n,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return Ok(Progress::Nothing),
            Err(e) => return Err(e),
        };
        let end = if self.head.is_some() { self.body.feed(&buffer[..n], into)? } else { self.begin(&buffer[..n], into)? };
        Ok(if end { Progress::End } else { Progress::Some })
    }

    fn begin(&mut self, bytes: &[u8], into: &mut Vec<u8>) -> io::Result<bool> {
        self.begun.extend_from_slice(bytes);
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let invalid = |e: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, format!("the answer is not HTTP: {e}"));
        let length = match response.parse(&self.begun).map_err(|e| invalid(&e))? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial if self.begun.len() > MAX_HEAD => {
                return Err(invalid(&format!("its head is longer than {MAX_HEAD} bytes")));
            }
            httparse::Status::Partial => return Ok(false),
        };
        let header = |name: &str| {
            response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| String::from_utf8_lossy(h.value).into_owned())
        };
        self.body = match (header("Transfer-Encoding"), header("Content-Length")) {
            (Some(coding), _) if coding.to_ascii_lowercase().contains("chunked") => Body::chunked(),
            (_, Some(length)) => Body::Length(length.trim().parse().map_err(|_| invalid(&"its length is no number"))?),
            _ => Body::UntilClose,
        };
        self.head = Some(Head { status: response.code.unwrap_or(0), content_type: header("Content-Type").unwrap_or_default() });
        let begun = std::mem::take(&mut self.begun);
        self.body.feed(&begun[length..], into)
    }
}

impl AsFd for Exchange {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Unix(socket) => socket.as_fd(),
            Socket::Tcp(socket) => socket.as_fd(),
        }
    }
}
