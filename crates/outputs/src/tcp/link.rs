use std::io::{self, Read, Write};
use std::time::Duration;

use plugin::OutCx;
use rustix::event::PollFlags;
use socket2::SockRef;
use transport::Stream;

use crate::patience::Patience;
use crate::peer::Peer;

/// The first bytes of a receiver that acknowledges.
const GREETING: [u8; 8] = *b"NILOACK1";

/// Bytes of acknowledgements read at a time.
const HEARD: usize = 4096;

/// How a peer begins that expected a handshake of TLS.
const ALERT: [u8; 2] = [0x15, 0x03];

/// What to do about a peer that does not greet.
const HINT: &str = "set `acknowledge = true` at the receiver, too, or `false` here";

/// A connection to a receiver that counts what it accepted: after its greeting it sends, whenever that
/// has grown, the number of bytes of this connection that were accepted (8 bytes, big endian).
pub(super) struct Link {
    stream: Stream,
    /// Bytes written.
    pub sent: u64,
    /// Bytes of those that were accepted.
    pub counted: u64,
    /// The beginning of a count.
    partial: [u8; 8],
    have: usize,
}

impl Link {
    /// Connects and waits for the greeting. The connection is broken by the system when the peer takes
    /// nothing for `unacknowledged`.
    ///
    /// # Errors
    /// When nobody accepts, or there is another greeting, or none in time.
    pub fn open(peer: &Peer, unacknowledged: Duration, cx: &OutCx<'_>) -> io::Result<Link> {
        let mut stream = peer.connect(unacknowledged, cx)?;
        greeted(&mut stream, &mut Patience::new(cx, peer.timeout))?;
        Ok(Link { stream, sent: 0, counted: 0, partial: [0; 8], have: 0 })
    }

    /// Writes, and meanwhile reads acknowledgements: a peer that cannot be rid of them might not read
    /// either. Returns how much was taken, with the error that ended it.
    pub fn send(&mut self, bytes: &[u8], patience: &mut Patience<'_>) -> (usize, io::Result<()>) {
        let mut at = 0;
        while at < bytes.len() || self.stream.unsent() > 0 {
            let written = if at < bytes.len() { self.stream.write(&bytes[at..]) } else { self.stream.flush().map(|()| 0) };
            let result = match written {
                Ok(n) => {
                    at += n;
                    self.sent += n as u64;
                    patience.renew();
                    Ok(())
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => patience.wait(&self.stream, PollFlags::IN | PollFlags::OUT),
                Err(e) => Err(e),
            };
            let before = self.counted;
            // Also after an error: what is acknowledged by then need not be sent again.
            let heard = self.hear();
            if self.counted > before {
                patience.renew();
            }
            if let Err(e) = result.and(heard) {
                return (at, Err(e));
            }
        }
        (at, Ok(()))
    }

    /// Reads the acknowledgements that have arrived.
    ///
    /// # Errors
    /// When the peer closed the connection, or broke it, or acknowledged what cannot be.
    pub fn hear(&mut self) -> io::Result<()> {
        let mut block = [0; HEARD];
        loop {
            match self.stream.read(&mut block) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the peer closed the connection")),
                Ok(n) => block[..n].iter().try_for_each(|byte| self.byte(*byte))?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }

    fn byte(&mut self, byte: u8) -> io::Result<()> {
        self.partial[self.have] = byte;
        self.have = (self.have + 1) % self.partial.len();
        if self.have > 0 {
            return Ok(());
        }
        let (count, sent, counted) = (u64::from_be_bytes(self.partial), self.sent, self.counted);
        let wrong = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        if count > sent {
            return wrong(format!("the peer acknowledged {count} bytes, but only {sent} were sent over this connection"));
        }
        if count < counted {
            return wrong(format!("the peer acknowledged {count} bytes after it had acknowledged {counted}"));
        }
        self.counted = count;
        Ok(())
    }

    /// Waits until the peer says something.
    ///
    /// # Errors
    /// When the patience is over.
    pub fn wait(&self, patience: &mut Patience<'_>) -> io::Result<()> {
        patience.wait(&self.stream, PollFlags::IN)
    }

    /// Nothing more will be sent.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn say_goodbye(&mut self) -> io::Result<()> {
        self.stream.shutdown_write()
    }

    /// Closes the connection so that the peer does not take the beginning of a message for a whole one:
    /// for it, the connection breaks.
    pub fn break_off(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

fn greeted(stream: &mut Stream, patience: &mut Patience<'_>) -> io::Result<()> {
    let mut greeting = [0; GREETING.len()];
    let mut have = 0;
    while have < greeting.len() {
        match stream.read(&mut greeting[have..]) {
            Ok(0) => {
                let why = format!("the peer closed the connection without a greeting: {HINT}, unless it has too many connections");
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
            }
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => patience.wait(&*stream, PollFlags::IN).map_err(|e| match e.kind() {
                io::ErrorKind::TimedOut => io::Error::new(e.kind(), format!("no greeting, {e}: {HINT}")),
                _ => e,
            })?,
            Err(e) => return Err(e),
        }
        if !GREETING.starts_with(&greeting[..have]) {
            if have > 1 && greeting.starts_with(&ALERT) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer wants its connections encrypted: set `tls = true` here"));
            }
            let (expected, found) = (GREETING.escape_ascii(), greeting[..have].escape_ascii());
            let why = format!("expected the greeting \"{expected}\", found \"{found}\": {HINT}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
    }
    Ok(())
}
