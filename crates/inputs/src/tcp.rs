//! The `tcp` input: accepts connections and reads a stream from each.
//!
//! Every connection is a stream of its own with its own splitter and decoder (`splitter = "heka"` for
//! another router's `tcp` output). The peer's address is the Hostname of messages that carry none.
//! A peer that is faster than the consumers is made to wait by TCP itself.
//!
//! One thread serves all connections in turns of one read each, so that a loud peer does not silence
//! the others. TCP has no way to tell a peer what was processed: when this host dies, what the
//! peer's kernel had handed over is gone.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use message::StreamId;
use options::unit::show_duration;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};

/// Connections accepted in one turn.
const ACCEPTS: usize = 64;

/// After a stop, so many reads of what has already arrived are made on each connection.
const LAST_READS: usize = 64;

/// After this long without traffic a peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long nothing is accepted after the system had no descriptor left, how often idle connections
/// are looked for, and how often refusals are logged.
const PAUSE: Duration = Duration::from_secs(1);

pub const KIND: Kind = Kind::input("tcp", Stability::Stable, |o, cx| Ok(Box::new(Tcp::new(o, cx)?)))
    .summary("Accepts TCP connections and reads a stream from each.")
    .doc(
        "Every connection has a splitter and decoder of its own; Hostname is the peer's address unless the message says otherwise. \
         Peers are made to wait while consumers are full. What is left when a peer closes is its last record.",
    )
    .options(&[
        Opt::address("listen")
            .required()
            .sample("\"127.0.0.1:5565\"")
            .doc("Address to accept at. Loopback unless others are meant to send."),
        Opt::integer("max_connections").default("1024").doc("Further connections are closed at once and counted as `refused_connections`."),
        Opt::duration("idle_timeout").default("10m").doc("A connection on which nothing arrives for this long is closed. `0s`: never."),
    ])
    .examples(&[
        Example { title: "Messages of another router", toml: "listen = \"127.0.0.1:5565\"\nsplitter = \"heka\"\ndecoder = \"heka\"" },
        Example { title: "Lines", toml: "listen = \"127.0.0.1:5170\"\nsplitter = \"line\"" },
    ]);

struct Tcp {
    listen: String,
    max_connections: usize,
    /// Zero: never.
    idle_timeout: Duration,
    /// Kept from one run to the next.
    listener: Option<TcpListener>,
}

struct Connection {
    socket: TcpStream,
    peer: SocketAddr,
    stream: StreamId,
    /// When something arrived last, by the steady clock.
    heard: Duration,
}

/// The connections of one run.
struct Served<'a> {
    tcp: &'a Tcp,
    connections: Vec<Connection>,
    /// No accepting before this, by the steady clock.
    accept_from: Duration,
    /// When idle connections were last looked for, and a refusal last logged.
    checked: Duration,
    refused: Option<Duration>,
}

impl Tcp {
    fn new(o: &Options, _: &BuildCx) -> Result<Tcp, Problem> {
        let max = o.integer("max_connections");
        if !(1..=1_000_000).contains(&max) {
            return Err(o.problem("max_connections", format!("`max_connections` is {max}"), "expected 1 to 1000000"));
        }
        let (listen, idle_timeout) = (o.str("listen").to_string(), o.duration("idle_timeout"));
        Ok(Tcp { listen, max_connections: max as usize, idle_timeout, listener: None })
    }

    fn bind(&self) -> Result<TcpListener, Fatal> {
        let listener = TcpListener::bind(&self.listen).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        listener.map_err(|e| Fatal::new(format!("cannot accept at {}: {e} (option `listen`)", self.listen)))
    }
}

impl Input for Tcp {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let listener = self.listener.take().map_or_else(|| self.bind(), Ok)?;
        let start = cx.clock.steady();
        let mut served = Served { tcp: self, connections: Vec::new(), accept_from: start, checked: start, refused: None };
        while !cx.stop.asked() {
            served.turn(&listener, cx)?;
        }
        served.finish(cx);
        Ok(())
    }

    fn can_wait(&self) -> bool {
        true
    }
}

impl Served<'_> {
    /// Waits until something happens, then reads once from every connection that has something.
    fn turn(&mut self, listener: &TcpListener, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        cx.intake.poll();
        let accepting = cx.clock.steady() >= self.accept_from;
        let ready = self.wait(accepting.then_some(listener), cx.stop.fd(), cx.intake.wait().min(PAUSE));
        let now = cx.clock.steady();
        // From the back, because a closed connection is replaced by the last one.
        for &i in ready.connections.iter().rev() {
            self.read(i, now, cx);
        }
        if ready.listener {
            self.accept(listener, now, cx)?;
        }
        if now.saturating_sub(self.checked) >= PAUSE {
            self.checked = now;
            self.close_idle(now, cx);
        }
        Ok(())
    }

    fn wait(&self, listener: Option<&TcpListener>, stop: BorrowedFd<'_>, timeout: Duration) -> Ready {
        let mut fds: Vec<_> = self.connections.iter().map(|c| PollFd::new(&c.socket, PollFlags::IN)).collect();
        fds.push(PollFd::from_borrowed_fd(stop, PollFlags::IN));
        fds.extend(listener.map(|l| PollFd::new(l, PollFlags::IN)));
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        // Fails for a signal only, and then nothing is ready.
        if poll(&mut fds, Some(&timeout)).is_err() {
            return Ready { connections: Vec::new(), listener: false };
        }
        let is_ready = |i: &usize| !fds[*i].revents().is_empty();
        let n = self.connections.len();
        Ready { connections: (0..n).filter(is_ready).collect(), listener: listener.is_some() && is_ready(&(n + 1)) }
    }

    /// Reads once; false when there is nothing more for now, or for ever.
    fn read(&mut self, i: usize, now: Duration, cx: &mut InputCx<'_>) -> bool {
        let Connection { socket, peer, stream, heard } = &mut self.connections[i];
        match cx.intake.read(*stream, socket) {
            Ok(0) => self.close(i, cx),
            Ok(_) => {
                *heard = now;
                return true;
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => {
                log::info!("{}: connection from {peer} broke: {e}", self.tcp.listen);
                self.close(i, cx);
            }
        }
        false
    }

    fn accept(&mut self, listener: &TcpListener, now: Duration, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        for _ in 0..ACCEPTS {
            match listener.accept() {
                Ok((_, peer)) if self.connections.len() >= self.tcp.max_connections => self.refuse(peer, now, cx),
                Ok((socket, peer)) => match prepare(&socket) {
                    Ok(()) => {
                        let hostname = peer.ip().to_canonical().to_string();
                        let stream = cx.intake.open(StreamOptions { hostname, ..StreamOptions::default() });
                        self.connections.push(Connection { socket, peer, stream, heard: now });
                        cx.meter.add_extra("connections", 1);
                    }
                    Err(e) => log::warn!("{}: connection from {peer} cannot be used: {e}", self.tcp.listen),
                },
                Err(e) => return self.not_accepted(&e, now),
            }
        }
        Ok(())
    }

    /// What `accept` reports may be about the listener, about the system, or about a connection that
    /// is already gone again.
    fn not_accepted(&mut self, e: &io::Error, now: Duration) -> Result<(), Fatal> {
        match Errno::from_io_error(e) {
            Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => Err(Fatal::new(format!("accepting at {} failed: {e}", self.tcp.listen))),
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                log::warn!("{}: nothing is accepted for a moment: {e} (raise the limit of open files)", self.tcp.listen);
                self.accept_from = now + PAUSE;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn refuse(&mut self, peer: SocketAddr, now: Duration, cx: &InputCx<'_>) {
        cx.meter.add_extra("refused_connections", 1);
        if self.refused.is_none_or(|last| now.saturating_sub(last) >= PAUSE) {
            self.refused = Some(now);
            let (listen, max) = (&self.tcp.listen, self.tcp.max_connections);
            log::warn!("{listen}: connection from {peer} refused: there are {max} already (option `max_connections`)");
        }
    }

    fn close_idle(&mut self, now: Duration, cx: &mut InputCx<'_>) {
        let timeout = self.tcp.idle_timeout;
        if timeout.is_zero() {
            return;
        }
        for i in (0..self.connections.len()).rev() {
            let Connection { peer, heard, .. } = &self.connections[i];
            if now.saturating_sub(*heard) >= timeout {
                let timeout = show_duration(timeout);
                log::info!("{}: connection from {peer} closed: nothing arrived for {timeout} (option `idle_timeout`)", self.tcp.listen);
                cx.meter.add_extra("idle_connections", 1);
                self.close(i, cx);
            }
        }
    }

    /// What is left of the stream is its last record, even when the connection broke.
    fn close(&mut self, i: usize, cx: &mut InputCx<'_>) {
        let connection = self.connections.swap_remove(i);
        cx.intake.end_of_stream(connection.stream);
        cx.intake.close(connection.stream);
    }

    /// Takes what had arrived before the stop, because peers count it as sent, then closes.
    fn finish(&mut self, cx: &mut InputCx<'_>) {
        let now = cx.clock.steady();
        for i in (0..self.connections.len()).rev() {
            let stream = self.connections[i].stream;
            let mut reads = 0;
            while reads < LAST_READS && self.read(i, now, cx) {
                reads += 1;
            }
            // The peer was not at its end: half a record is none.
            if self.connections.get(i).is_some_and(|c| c.stream == stream) {
                cx.intake.close(self.connections.swap_remove(i).stream);
            }
        }
    }
}

struct Ready {
    /// Indices, ascending.
    connections: Vec<usize>,
    listener: bool,
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    SockRef::from(socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use plugin::Clock;
    use testkit::intake::{RecordingIntake, Running, Seen, start_at};

    use super::*;

    fn tcp(toml: &str) -> Tcp {
        Tcp::new(&testkit::plugins::options(&KIND, toml).unwrap(), &testkit::plugins::build_cx()).unwrap()
    }

    fn running(more: &str, clock: Clock) -> (RecordingIntake, SocketAddr, Running) {
        let mut tcp = tcp(&format!("listen = '127.0.0.1:0'\n{more}"));
        let listener = tcp.bind().unwrap();
        let address = listener.local_addr().unwrap();
        tcp.listener = Some(listener);
        let intake = RecordingIntake::default().with_block(1000);
        let running = start_at(Box::new(tcp), &intake, clock);
        (intake, address, running)
    }

    fn all_closed(seen: &Seen, n: usize) -> bool {
        seen.streams.len() == n && seen.streams.iter().all(|s| s.closed)
    }

    #[test]
    fn many_connections_are_streams_of_their_own() {
        let (intake, address, running) = running("", Clock::real());
        let senders: Vec<_> = (0..20)
            .map(|i| {
                std::thread::spawn(move || {
                    let mut socket = TcpStream::connect(address).unwrap();
                    (0..500).for_each(|n| writeln!(socket, "{i} line {n}").unwrap());
                    write!(socket, "{i} end").unwrap();
                })
            })
            .collect();
        senders.into_iter().for_each(|s| s.join().unwrap());
        running.wait_for(|seen| all_closed(seen, 20));
        running.stop().unwrap();
        for stream in &intake.seen().streams {
            let lines = stream.lines();
            let sender = lines[0].split_once(' ').unwrap().0.to_string();
            let expected = (0..500).map(|n| format!("{sender} line {n}")).chain([format!("{sender} end")]);
            assert_eq!(lines, expected.collect::<Vec<_>>());
            assert_eq!((stream.options.hostname.as_str(), &stream.ends[..]), ("127.0.0.1", &[stream.bytes.len()][..]));
        }
    }

    #[test]
    fn a_connection_beyond_the_limit_is_closed_and_counted() {
        let (_, address, running) = running("max_connections = 1", Clock::real());
        let mut first = TcpStream::connect(address).unwrap();
        running.wait_for(|seen| seen.streams.len() == 1);
        let mut second = TcpStream::connect(address).unwrap();
        assert!(matches!(second.read(&mut [0]), Ok(0) | Err(_)));
        running.wait_for(|_| running.meter().read().contains(&("refused_connections", 1)));

        first.write_all(b"still served\n").unwrap();
        running.wait_for(|seen| seen.bytes() == b"still served\n");
        drop(first);
        running.wait_for(|seen| all_closed(seen, 1));
        TcpStream::connect(address).unwrap().write_all(b"the next\n").unwrap();
        running.wait_for(|seen| all_closed(seen, 2));
    }

    #[test]
    fn an_idle_connection_is_closed() {
        let clock = Clock::standing(0);
        let (_, address, running) = running("idle_timeout = '30s'", clock.clone());
        let mut quiet = TcpStream::connect(address).unwrap();
        running.wait_for(|seen| seen.streams.len() == 1);
        clock.set(20_000_000_000);
        let mut busy = TcpStream::connect(address).unwrap();
        busy.write_all(b"x\n").unwrap();
        running.wait_for(|seen| seen.bytes() == b"x\n");
        clock.set(35_000_000_000);
        running.wait_for(|seen| seen.streams[0].closed && !seen.streams[1].closed);
        assert_eq!(quiet.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn what_had_arrived_before_the_stop_is_taken() {
        let (intake, address, running) = running("", Clock::real());
        let mut peer = TcpStream::connect(address).unwrap();
        running.wait_for(|seen| seen.streams.len() == 1);
        {
            let seen = intake.seen();
            // The input waits for the intake while this is held.
            peer.write_all(&b"line\n".repeat(2000)).unwrap();
            peer.write_all(b"half").unwrap();
            drop(seen);
        }
        running.stop().unwrap();
        let seen = intake.seen();
        assert_eq!((seen.bytes().len(), seen.streams[0].closed, seen.streams[0].ends.len()), (10_004, true, 0));
    }

    #[test]
    fn an_address_in_use_is_fatal_and_names_the_option() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let fatal = tcp(&format!("listen = '{}'", taken.local_addr().unwrap())).bind().unwrap_err();
        assert!(fatal.to_string().contains("option `listen`"), "{fatal}");
    }
}
