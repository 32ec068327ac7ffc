use std::collections::VecDeque;
use std::io::{self, BufWriter, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use message::framing;

use super::letter::{Letter, Original};
use super::{Each, Send, Taken};
use crate::{Failure, print, terminal};

/// The first bytes of a receiver that acknowledges: see the input `tcp`.
const GREETING: [u8; 8] = *b"NILOACK1";
/// How long a connection may take to come about, and the receiver to greet.
const CONNECT: Duration = Duration::from_secs(10);
/// Counts of accepted bytes that are heard ahead: the last one says it all.
const COUNTS: usize = 64;

pub fn run(args: &Send) -> Result<(), Failure> {
    let timeout = options::unit::duration(&args.timeout).map_err(|e| format!("--timeout {}: {e}", args.timeout))?;
    let peer = Peer::open(&args.to, timeout, args.acknowledge).map_err(|e| failed(&args.to, &e))?;
    let mut sender = Sender { args, peer, framed: Vec::new(), longest: 0, broken: 0 };
    let done = args.which.each(&mut sender)?;
    let what = terminal::count(sender.peer.sent, if args.lines { "record" } else { "message" });
    let outcome = if args.acknowledge { "all of them accepted" } else { "whether they were accepted is not known without --acknowledge" };
    print(&format!("{what} sent to {}, {outcome}\n", terminal::printable(&args.to)))?;
    if sender.longest > framing::DEFAULT_MAX_MESSAGE_SIZE && !args.lines {
        terminal::complain(&format!(
            "nilo: the longest message has {} bytes: the receiver discards it unless `max_message_size` of its splitter heka is as much",
            sender.longest
        ));
    }
    if sender.broken > 0 {
        terminal::complain(&format!(
            "nilo: {} with line ends within: a receiver with the splitter line took them apart",
            terminal::count(sender.broken, "record")
        ));
    }
    done.end("sent")
}

fn failed(to: &str, e: &io::Error) -> Failure {
    let why = match e.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it did nothing for too long (--timeout)".to_string(),
        _ => e.to_string(),
    };
    Failure::Failed(format!("{to}: {why}"))
}

/// Sends originals.
struct Sender<'a> {
    args: &'a Send,
    peer: Peer,
    framed: Vec<u8>,
    /// Bytes of the longest message.
    longest: usize,
    /// Records with line ends within.
    broken: u64,
}

impl Sender<'_> {
    /// Why it ended, and how far it came.
    fn lost(&self, e: &io::Error) -> Failure {
        let Failure::Failed(why) = failed(&self.args.to, e) else { return Failure::Unread };
        let (sent, accepted) = (self.peer.sent, self.peer.accepted());
        let known = if self.args.acknowledge { format!("{accepted} were accepted, ") } else { String::new() };
        Failure::Failed(format!("{why}; {sent} were sent, {known}sent again, what has arrived arrives twice"))
    }
}

impl Each for Sender<'_> {
    fn letter(&mut self, letter: &Letter<'_>) -> Result<Taken, Failure> {
        self.framed.clear();
        match &letter.original {
            Original::Not(why) => return Ok(Taken::Not(why.clone())),
            Original::Message(wire) if !self.args.lines => {
                if let Err(e) = framing::write(wire, None, &mut self.framed) {
                    return Ok(Taken::Not(e.to_string()));
                }
                self.longest = self.longest.max(wire.len());
            }
            Original::Record(record) if self.args.lines => {
                self.framed.extend_from_slice(record);
                self.broken += u64::from(record.contains(&b'\n'));
                self.framed.push(b'\n');
            }
            _ => return Ok(Taken::OtherKind),
        }
        self.peer.send(&self.framed).map_err(|e| self.lost(&e))?;
        Ok(Taken::Done)
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.peer.end().map_err(|e| self.lost(&e))
    }
}

/// A connection, and what the peer says of it.
struct Peer {
    out: BufWriter<TcpStream>,
    timeout: Duration,
    /// Pieces and bytes sent.
    sent: u64,
    bytes: u64,
    /// Where each piece ends that is not accepted yet.
    ends: VecDeque<u64>,
    counts: Option<Receiver<io::Result<u64>>>,
    counted: u64,
}

impl Peer {
    fn open(address: &str, timeout: Duration, acknowledge: bool) -> io::Result<Peer> {
        let mut last = io::Error::other("the name has no address");
        let mut found = None;
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    found = Some(stream);
                    break;
                }
                Err(e) => last = e,
            }
        }
        let stream = found.ok_or(last)?;
        // Zero would be no timeout at all.
        let timeout = timeout.max(Duration::from_millis(1));
        stream.set_write_timeout(Some(timeout))?;
        let counts = if acknowledge { Some(listen(stream.try_clone()?, timeout)?) } else { None };
        Ok(Peer { out: BufWriter::new(stream), timeout, sent: 0, bytes: 0, ends: VecDeque::new(), counts, counted: 0 })
    }

    fn accepted(&self) -> u64 {
        self.sent - self.ends.len() as u64
    }

    fn send(&mut self, piece: &[u8]) -> io::Result<()> {
        self.out.write_all(piece)?;
        self.sent += 1;
        self.bytes += piece.len() as u64;
        if let Some(counts) = &self.counts {
            self.ends.push_back(self.bytes);
            for count in counts.try_iter().collect::<Vec<_>>() {
                self.count(count?)?;
            }
        }
        Ok(())
    }

    /// So many bytes are accepted by now.
    fn count(&mut self, count: u64) -> io::Result<()> {
        if count > self.bytes || count < self.counted {
            return Err(io::Error::other(format!("it acknowledges {count} bytes of {} that were sent", self.bytes)));
        }
        self.counted = count;
        let done = self.ends.partition_point(|end| *end <= count);
        self.ends.drain(..done);
        Ok(())
    }

    /// Waits until everything is accepted; without acknowledgements, until the peer has read to the end.
    fn end(&mut self) -> io::Result<()> {
        self.out.flush()?;
        while let (Some(counts), false) = (&self.counts, self.ends.is_empty()) {
            match counts.recv_timeout(self.timeout) {
                Ok(count) => self.count(count?)?,
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
        let stream = self.out.get_mut();
        stream.shutdown(Shutdown::Write)?;
        if self.counts.is_none() {
            stream.set_read_timeout(Some(self.timeout))?;
            let mut unasked = [0; 4096];
            while stream.read(&mut unasked)? > 0 {}
        }
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "it closed the connection")
}

/// Waits for the greeting; afterwards counts come as they are read.
fn listen(mut stream: TcpStream, timeout: Duration) -> io::Result<Receiver<io::Result<u64>>> {
    let hint = "set `acknowledge = true` at the receiver's input tcp, or leave --acknowledge out";
    stream.set_read_timeout(Some(timeout.min(CONNECT)))?;
    let mut greeting = [0; 8];
    stream.read_exact(&mut greeting).map_err(|e| io::Error::other(format!("it does not greet as one that acknowledges ({e}); {hint}")))?;
    if greeting != GREETING {
        return Err(io::Error::other(format!("it greets otherwise than one that acknowledges; {hint}")));
    }
    stream.set_read_timeout(None)?;
    let (told, counts) = bounded(COUNTS);
    let body = move || {
        loop {
            let mut count = [0; 8];
            let read = stream.read_exact(&mut count);
            let end = read.is_err();
            let read = read.map_err(|e| if e.kind() == io::ErrorKind::UnexpectedEof { gone() } else { e });
            if told.send(read.map(|()| u64::from_be_bytes(count))).is_err() || end {
                return;
            }
        }
    };
    thread::Builder::new().name("counts".into()).spawn(body)?;
    Ok(counts)
}
