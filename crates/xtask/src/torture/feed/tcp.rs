use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Feeder, Task};
use crate::moment;
use crate::torture::ledger::Stream;
use crate::torture::{GREETING, frame};

/// Records that may be unacknowledged on a connection.
const WINDOW: usize = 4096;

/// Bytes made ready at a time.
const BLOCK: usize = 64 << 10;

/// Sends framed messages to an input that acknowledges, on one connection after the other.
///
/// # Errors
/// When no thread can be started.
pub fn start(stream: Arc<Stream>, address: SocketAddr, rate: u64) -> Result<Feeder> {
    Feeder::start(stream, rate, move |task| {
        while !task.over() {
            // Nobody listens while it is killed; that is what is tried here.
            if let Ok(socket) = connect(address) {
                let _ = Session { socket, task, pending: Vec::new(), made: 0, open: VecDeque::new(), answer: Vec::new() }.run();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    })
}

/// Connects and waits for the greeting.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut greeting = [0; 8];
    socket.read_exact(&mut greeting)?;
    if &greeting != GREETING {
        return Err(io::Error::other("no greeting"));
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// One connection.
struct Session<'a> {
    socket: TcpStream,
    task: &'a Task,
    /// Bytes not written yet.
    pending: Vec<u8>,
    /// Bytes of all frames of this connection so far.
    made: u64,
    /// Where each unacknowledged record ends, and its number.
    open: VecDeque<(u64, u64)>,
    /// Of a count that has not come whole.
    answer: Vec<u8>,
}

impl Session<'_> {
    fn run(mut self) -> io::Result<()> {
        let mut next = self.task.stream.acknowledged() + 1;
        while !self.task.over() {
            self.fill(&mut next);
            let out = if self.pending.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            let timeout = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            poll(&mut [PollFd::new(&self.socket, PollFlags::IN | out)], Some(&timeout))?;
            self.write()?;
            self.read()?;
        }
        Ok(())
    }

    fn fill(&mut self, next: &mut u64) {
        let (due, mut text) = (self.task.due(), Vec::new());
        while *next <= due && self.open.len() < WINDOW && self.pending.len() < BLOCK {
            text.clear();
            self.task.stream.issue(*next, &mut text);
            let uuid = u128::from(self.task.stream.id) << 64 | u128::from(*next);
            let before = self.pending.len();
            frame::append(uuid, moment::now(), "torture", &text, &mut self.pending);
            self.made += (self.pending.len() - before) as u64;
            self.open.push_back((self.made, *next));
            *next += 1;
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.socket.write(&self.pending) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        let mut block = [0; 4096];
        loop {
            match self.socket.read(&mut block) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.answer.extend_from_slice(&block[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
            let whole = self.answer.len() / 8 * 8;
            for count in self.answer.drain(..whole).collect::<Vec<_>>().as_chunks::<8>().0 {
                self.accepted(u64::from_be_bytes(*count));
            }
        }
    }

    fn accepted(&mut self, count: u64) {
        if count > self.made {
            self.task.wrong(format!("{count} bytes are acknowledged of {} that were sent", self.made));
        }
        while let Some((_, number)) = self.open.pop_front_if(|(end, _)| *end <= count) {
            self.task.stream.acknowledge(number);
        }
    }
}
