use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use rustls::Connection;

use crate::error::explained;

/// Reads of the socket in one call that may bring nothing to show for it: a peer that sends without
/// saying anything must not keep us from the others.
const FRUITLESS: usize = 32;

/// An encrypted connection over a socket that does not block.
#[derive(Debug)]
pub struct Tls {
    socket: TcpStream,
    connection: Connection,
    /// Which option names whom we trust, for error texts.
    authorities: &'static str,
    /// Length of what was written last.
    last: usize,
    /// What was read last filled the room there was.
    full: bool,
    /// Why nothing more is read.
    broken: Option<rustls::Error>,
}

impl Tls {
    pub(crate) fn new(socket: TcpStream, connection: Connection, authorities: &'static str) -> Tls {
        Tls { socket, connection, authorities, last: 0, full: false, broken: None }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    pub(crate) fn pending(&self) -> bool {
        self.full
    }

    pub(crate) fn unsent(&self) -> usize {
        if self.connection.wants_write() { self.last } else { 0 }
    }

    pub(crate) fn handshake(&mut self) -> io::Result<bool> {
        for _ in 0..FRUITLESS {
            match self.put_out() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                // The peer may have said why it left.
                Err(e) => return Err(self.take_in().err().filter(|e| e.kind() == io::ErrorKind::InvalidData).unwrap_or(e)),
                Ok(()) if !self.connection.is_handshaking() => {
                    // The first data may have come with the end of the handshake.
                    self.full = true;
                    return Ok(true);
                }
                Ok(()) => {}
            }
            match self.take_in() {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed the connection during the handshake")),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
                Ok(_) => {}
            }
        }
        Ok(false)
    }

    /// Reads once from the socket and makes of it what it is. Returns the bytes read; 0 at the end.
    fn take_in(&mut self) -> io::Result<usize> {
        if let Some(e) = &self.broken {
            return Err(explained(e, self.authorities));
        }
        let n = self.connection.read_tls(&mut self.socket)?;
        let understood = self.connection.process_new_packets();
        // Answers, or an alert that says what was wrong; they may wait.
        let told = self.put_out();
        if let Err(e) = understood {
            self.broken = Some(e.clone());
            return Err(explained(&e, self.authorities));
        }
        match told {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock && n == 0 => Err(e),
            _ => Ok(n),
        }
    }

    /// Has the system take what is encrypted.
    fn put_out(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        self.connection.send_close_notify();
        self.put_out()?;
        self.socket.shutdown(Shutdown::Write)
    }
}

impl Read for Tls {
    /// Reads as much as there is room for, because each call costs its caller something.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.full = false;
        let (mut n, mut fruitless) = (0, 0);
        while n < buf.len() {
            let result = match self.connection.reader().read(&mut buf[n..]) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && fruitless < FRUITLESS => {
                    fruitless += 1;
                    self.take_in().map(|_| None)
                }
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    Err(io::Error::new(e.kind(), "the peer left without saying that it would (TLS close_notify)"))
                }
                other => other.map(Some),
            };
            match result {
                Ok(Some(0)) => return Ok(n),
                Ok(Some(more)) => (n, fruitless) = (n + more, 0),
                Ok(None) => {}
                // What is wrong shows again.
                Err(_) if n > 0 => return Ok(n),
                Err(e) => return Err(e),
            }
        }
        self.full = true;
        Ok(n)
    }
}

impl Write for Tls {
    /// Takes nothing before the system has everything of the last write, so that what is under way is
    /// never more than one, and known: [`Stream::unsent`](crate::Stream::unsent).
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.put_out()?;
        if self.connection.is_handshaking() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = self.connection.writer().write(buf)?;
        self.last = n;
        match self.put_out() {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
            _ => Ok(n),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.put_out()
    }
}

impl AsFd for Tls {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
