use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use memchr::{memchr, memrchr};

/// Longest line; a longer one is discarded up to its end.
pub const MAX_LINE: usize = 64 << 10;

/// Connections accepted in one turn.
const ACCEPTS: usize = 64;

/// TCP connections that send lines.
pub struct Connections {
    listener: TcpListener,
    open: Vec<Connection>,
    max: usize,
    buffer: Vec<u8>,
}

struct Connection {
    socket: TcpStream,
    lines: Lines,
}

/// What is done with what arrives.
pub trait Take {
    /// Whole lines, the last one perhaps without its newline.
    fn lines(&mut self, lines: &[u8]);
    /// The beginning of a line that is longer than [`MAX_LINE`].
    fn too_long(&mut self, start: &[u8]);
}

impl Connections {
    /// # Errors
    /// When the listener cannot be made non-blocking.
    pub fn new(listener: TcpListener, max: usize) -> io::Result<Connections> {
        listener.set_nonblocking(true)?;
        Ok(Connections { listener, open: Vec::new(), max, buffer: vec![0; MAX_LINE] })
    }

    /// # Errors
    /// Those of the listener.
    #[cfg(test)]
    pub fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// What to poll: the listener, then each connection.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd()).chain(self.open.iter().map(|c| c.socket.as_fd()))
    }

    /// Accepts what is waiting. Returns how many were turned away, because there are `max`.
    ///
    /// # Errors
    /// Why nothing can be accepted at the moment.
    pub fn accept(&mut self) -> io::Result<u64> {
        let mut refused = 0;
        for _ in 0..ACCEPTS {
            match self.listener.accept() {
                Ok(_) if self.open.len() >= self.max => refused += 1,
                Ok((socket, _)) => {
                    if socket.set_nonblocking(true).is_ok() {
                        self.open.push(Connection { socket, lines: Lines::default() });
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(refused)
    }

    /// Reads once from each connection of these numbers (ascending, as in [`Connections::fds`]
    /// without the listener); a closed one is let go. Returns the bytes read.
    pub fn read(&mut self, ready: &[usize], take: &mut impl Take) -> u64 {
        let mut bytes = 0;
        // From the back, because a closed connection is replaced by the last one.
        for &i in ready.iter().rev() {
            let connection = &mut self.open[i];
            match connection.socket.read(&mut self.buffer) {
                Ok(n) if n > 0 => {
                    bytes += n as u64;
                    connection.lines.take(&self.buffer[..n], take);
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                _ => {
                    connection.lines.end(take);
                    self.open.swap_remove(i);
                }
            }
        }
        bytes
    }

    /// Reads what has arrived so far, a few rounds at most, and closes all connections.
    pub fn finish(&mut self, take: &mut impl Take) -> u64 {
        const ROUNDS: usize = 16;
        let mut bytes = 0;
        for _ in 0..ROUNDS {
            let all: Vec<usize> = (0..self.open.len()).collect();
            match self.read(&all, take) {
                0 => break,
                n => bytes += n,
            }
        }
        self.open.drain(..).for_each(|mut connection| connection.lines.end(take));
        bytes
    }
}

/// Puts lines together that come in pieces.
#[derive(Default)]
struct Lines {
    /// The line begun, at most [`MAX_LINE`] bytes.
    begun: Vec<u8>,
    /// Within a line that is too long.
    discarding: bool,
}

impl Lines {
    fn take(&mut self, mut bytes: &[u8], take: &mut impl Take) {
        if self.discarding || !self.begun.is_empty() {
            let Some(end) = memchr(b'\n', bytes) else { return self.begin(bytes, take) };
            if !std::mem::take(&mut self.discarding) {
                if self.begun.len() + end > MAX_LINE {
                    take.too_long(&self.begun);
                } else {
                    self.begun.extend_from_slice(&bytes[..end]);
                    take.lines(&self.begun);
                }
            }
            self.begun.clear();
            bytes = &bytes[end + 1..];
        }
        let whole = memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        if whole > 0 {
            take.lines(&bytes[..whole]);
        }
        if whole < bytes.len() {
            self.begin(&bytes[whole..], take);
        }
    }

    fn begin(&mut self, piece: &[u8], take: &mut impl Take) {
        if self.discarding {
            return;
        }
        if self.begun.len() + piece.len() > MAX_LINE {
            self.begun.extend_from_slice(&piece[..MAX_LINE - self.begun.len()]);
            take.too_long(&self.begun);
            self.begun = Vec::new();
            self.discarding = true;
        } else {
            self.begun.extend_from_slice(piece);
        }
    }

    /// The peer is gone: what it had begun is a line.
    fn end(&mut self, take: &mut impl Take) {
        if !self.begun.is_empty() {
            take.lines(&self.begun);
        }
        *self = Lines::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Taken(Vec<Vec<u8>>, usize);

    impl Take for Taken {
        fn lines(&mut self, lines: &[u8]) {
            self.0.extend(metrics::statsd::lines(lines).map(<[u8]>::to_vec));
        }

        fn too_long(&mut self, _: &[u8]) {
            self.1 += 1;
        }
    }

    #[test]
    fn lines_come_out_whole_however_they_were_cut() {
        let long = [vec![b'x'; MAX_LINE + 1], b"\nshort\nlast".to_vec()].concat();
        for (stream, expected, too_long) in
            [(&b"one\ntwo\r\n\nthree"[..], &[&b"one"[..], b"two", b"three"][..], 0), (&long, &[b"short", b"last"], 1)]
        {
            for step in [1, 2, 3, 7, MAX_LINE] {
                let (mut lines, mut taken) = (Lines::default(), Taken::default());
                stream.chunks(step).for_each(|piece| lines.take(piece, &mut taken));
                lines.end(&mut taken);
                assert_eq!(
                    (&taken.0[..], taken.1),
                    (&expected.iter().map(|l| l.to_vec()).collect::<Vec<_>>()[..], too_long),
                    "step {step}"
                );
            }
        }
    }
}
