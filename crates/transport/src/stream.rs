use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::event::PollFlags;

use crate::tls::Tls;

/// A connection, encrypted or not. Its socket does not block.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Unix(UnixStream),
    Tls(Box<Tls>),
}

impl Stream {
    /// Goes on with the handshake as far as it goes without waiting. True when it is done, as it is
    /// at once without TLS; what has come with it already may be [pending](Stream::pending).
    ///
    /// # Errors
    /// Why there will be no connection.
    pub fn handshake(&mut self) -> io::Result<bool> {
        match self {
            Stream::Tls(tls) => tls.handshake(),
            Stream::Plain(_) | Stream::Unix(_) => Ok(true),
        }
    }

    /// The whole handshake; `wait` waits until the descriptor is ready for one of the events, and
    /// decides for how long.
    ///
    /// # Errors
    /// Those of `wait`, and why there will be no connection.
    pub fn complete(&mut self, mut wait: impl FnMut(BorrowedFd<'_>, PollFlags) -> io::Result<()>) -> io::Result<()> {
        while !self.handshake()? {
            wait(self.as_fd(), self.awaits(false, false))?;
        }
        Ok(())
    }

    /// What to poll for, for who wants to read or write, and to go on with the handshake. When it is
    /// ready for `OUT`, [`flush`](Write::flush) is to be called.
    pub fn awaits(&self, read: bool, write: bool) -> PollFlags {
        let flags =
            |read, write| if read { PollFlags::IN } else { PollFlags::empty() } | if write { PollFlags::OUT } else { PollFlags::empty() };
        match self {
            Stream::Tls(tls) => flags(read || tls.is_handshaking(), write || tls.unsent() > 0 || tls.wants_write()),
            Stream::Plain(_) | Stream::Unix(_) => flags(read, write),
        }
    }

    /// Whether there may be something to read that no poll tells of, because it was decrypted already.
    pub fn pending(&self) -> bool {
        matches!(self, Stream::Tls(tls) if tls.pending())
    }

    /// Bytes of the last write, counted from its end, of which the system may not have taken everything.
    pub fn unsent(&self) -> usize {
        match self {
            Stream::Tls(tls) => tls.unsent(),
            Stream::Plain(_) | Stream::Unix(_) => 0,
        }
    }

    /// Nothing more will be written, and the peer knows. What was written before has to be flushed.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.shutdown(Shutdown::Write),
            Stream::Unix(socket) => socket.shutdown(Shutdown::Write),
            Stream::Tls(tls) => tls.shutdown_write(),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(socket: TcpStream) -> Stream {
        Stream::Plain(socket)
    }
}

impl From<UnixStream> for Stream {
    fn from(socket: UnixStream) -> Stream {
        Stream::Unix(socket)
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buf),
            Stream::Unix(socket) => socket.read(buf),
            Stream::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(buf),
            Stream::Unix(socket) => socket.write(buf),
            Stream::Tls(tls) => tls.write(buf),
        }
    }

    /// Until the system has taken everything that was written.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) | Stream::Unix(_) => Ok(()),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Plain(socket) => socket.as_fd(),
            Stream::Unix(socket) => socket.as_fd(),
            Stream::Tls(tls) => tls.as_fd(),
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
