use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use transport::{Proxied, Stream, proxy_header};

use super::{Peer, Serving};

/// Bytes of a proxy's header looked at in one go.
const LOOK: usize = 4096;

/// A connection that has yet to say who it is: with the header of a proxy, a handshake, or both.
pub struct Arriving {
    pub stream: Stream,
    pub peer: Peer,
    /// When it was accepted, by the steady clock: what it has to say has to be said within a time.
    pub since: Duration,
    /// What there is of the header; `None`: it is through, or there is none.
    header: Option<Vec<u8>>,
}

impl Arriving {
    /// Whether connections have something to say first.
    pub fn is_needed(serving: &Serving) -> bool {
        serving.proxy_protocol || serving.tls.is_some()
    }

    /// # Errors
    /// When there is no certificate to show.
    pub fn new(stream: Stream, peer: Peer, serving: &Serving, now: Duration) -> io::Result<Arriving> {
        let header = serving.proxy_protocol.then(Vec::new);
        let stream = match (stream, &serving.tls) {
            (Stream::Plain(socket), Some(tls)) if header.is_none() => tls.accept(socket, now)?,
            (stream, _) => stream,
        };
        Ok(Arriving { stream, peer, since: now, header })
    }

    /// Goes on as far as it goes without waiting. True once all is said.
    ///
    /// # Errors
    /// Why it will not be.
    pub fn go_on(&mut self, serving: &Serving, now: Duration) -> io::Result<bool> {
        if let (Some(have), Stream::Plain(socket)) = (&mut self.header, &self.stream) {
            let Some(proxied) = take_header(socket, have)? else { return Ok(false) };
            self.peer = proxied.source.map_or(self.peer, Peer::Address);
            self.header = None;
            if let Some(tls) = &serving.tls {
                self.stream = tls.accept(socket.try_clone()?, now)?;
            }
        }
        self.stream.handshake()
    }

    /// What to poll for.
    pub fn awaits(&self) -> PollFlags {
        if self.header.is_some() { PollFlags::IN } else { self.stream.awaits(false, false) }
    }
}

impl AsFd for Arriving {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Takes what is there of a header, and nothing behind it; what it says, when it is whole.
fn take_header(mut socket: &TcpStream, have: &mut Vec<u8>) -> io::Result<Option<Proxied>> {
    let mut look = [0; LOOK];
    loop {
        let n = match socket.peek(&mut look) {
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the peer closed the connection before a header of the PROXY protocol",
                ));
            }
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let before = have.len();
        have.extend_from_slice(&look[..n]);
        let found =
            proxy_header(have).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, format!("{why} (option `proxy_protocol`)")))?;
        let mine = found.map_or(n, |proxied| proxied.length - before);
        // What was looked at is there.
        socket.read_exact(&mut look[..mine])?;
        if found.is_some() {
            return Ok(found);
        }
    }
}
