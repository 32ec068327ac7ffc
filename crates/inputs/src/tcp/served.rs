use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use message::StreamId;
use options::unit::show_duration;
use plugin::{Acceptance, Fatal, InputCx, Intake, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};

use super::Tcp;
use super::answer::Answer;

/// Connections accepted in one turn.
const ACCEPTS: usize = 64;

/// After a stop, so many reads of what has already arrived are made on each connection.
const LAST_READS: usize = 64;

/// After this long without traffic a peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long nothing is accepted after the system had no descriptor left, how often idle connections
/// are looked for, and how often refusals are logged.
const PAUSE: Duration = Duration::from_secs(1);

/// How long after a stop peers may still be told what is accepted meanwhile.
const FAREWELL: Duration = Duration::from_secs(2);

struct Connection {
    socket: TcpStream,
    peer: SocketAddr,
    stream: StreamId,
    /// When something arrived, or was accepted, last; by the steady clock.
    heard: Duration,
    /// Bytes read.
    received: u64,
    /// The peer will send no more.
    ended: bool,
    /// For a peer that is told what was accepted.
    answer: Option<Answer>,
}

/// The connections of one run.
pub(super) struct Served<'a> {
    tcp: &'a Tcp,
    connections: Vec<Connection>,
    /// No accepting before this, by the steady clock.
    accept_from: Duration,
    /// When idle connections were last looked for, and a refusal last logged.
    checked: Duration,
    refused: Option<Duration>,
    /// A peer has ended: what it sent may be accepted already, and nothing tells that again.
    ended: bool,
}

impl<'a> Served<'a> {
    /// None yet. `now` is of the steady clock.
    pub fn new(tcp: &'a Tcp, now: Duration) -> Served<'a> {
        Served { tcp, connections: Vec::new(), accept_from: now, checked: now, refused: None, ended: false }
    }

    /// Waits until something happens, then reads once from every connection that has something.
    pub fn turn(&mut self, listener: &TcpListener, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        cx.intake.poll();
        let accepting = cx.clock.steady() >= self.accept_from;
        let others = [Some(cx.stop.fd()), accepting.then(|| listener.as_fd())];
        let ready = self.wait(true, others, &*cx.intake, cx.intake.wait().min(PAUSE));
        let now = cx.clock.steady();
        // From the back, because a closed connection is replaced by the last one.
        for &(i, events) in ready.connections.iter().rev() {
            self.serve(i, events, now, cx);
        }
        if std::mem::take(&mut self.ended) || ready.progress {
            self.answer_all(now, cx);
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

    /// Waits for connections, the `others` (stop and listener), and progress in what is accepted.
    fn wait(&self, reading: bool, others: [Option<BorrowedFd<'_>>; 2], intake: &dyn Intake, timeout: Duration) -> Ready {
        let mut fds: Vec<_> = self.connections.iter().map(|c| PollFd::new(&c.socket, c.awaits(reading))).collect();
        let n = fds.len();
        // Nobody asks for progress, which ends it, but for connections.
        let progress = Some(intake.progress()).filter(|_| self.tcp.acknowledge && n > 0);
        let [stop, listener] = others;
        fds.extend([progress, listener, stop].into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        // Fails for a signal only, and then nothing is ready.
        if poll(&mut fds, Some(&timeout)).is_err() {
            return Ready::default();
        }
        let events = |i: usize| Some((i, fds[i].revents())).filter(|(_, events)| !events.is_empty());
        let is_ready = |there: bool, i: usize| there && events(i).is_some();
        Ready {
            connections: (0..n).filter_map(events).collect(),
            progress: is_ready(progress.is_some(), n),
            listener: is_ready(listener.is_some(), n + usize::from(progress.is_some())),
        }
    }

    fn serve(&mut self, i: usize, events: PollFlags, now: Duration, cx: &mut InputCx<'_>) {
        if events.contains(PollFlags::OUT) && !self.tell(i, cx) {
            return;
        }
        if !self.connections[i].ended && events.intersects(!PollFlags::OUT) {
            self.read(i, now, cx);
        } else if events.intersects(PollFlags::ERR | PollFlags::HUP) {
            self.broke(i, &io::ErrorKind::ConnectionReset.into(), cx);
        }
    }

    /// Reads once; false when there is nothing more for now, or for ever.
    fn read(&mut self, i: usize, now: Duration, cx: &mut InputCx<'_>) -> bool {
        let connection = &mut self.connections[i];
        match cx.intake.read(connection.stream, &mut connection.socket) {
            Ok(0) if connection.answer.is_some() => {
                connection.ended = true;
                cx.intake.end_of_stream(connection.stream);
                cx.intake.hand_on();
                self.ended = true;
            }
            Ok(0) => self.close(i, cx),
            Ok(n) => {
                connection.heard = now;
                connection.received += n as u64;
                return true;
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => self.broke(i, &e, cx),
        }
        false
    }

    /// Tells every peer how much of what it sent is accepted.
    fn answer_all(&mut self, now: Duration, cx: &mut InputCx<'_>) {
        (0..self.connections.len()).rev().for_each(|i| self.answer(i, now, cx));
    }

    fn answer(&mut self, i: usize, now: Duration, cx: &mut InputCx<'_>) {
        let Connection { peer, stream, heard, answer: Some(answer), .. } = &mut self.connections[i] else { return };
        let (peer, Acceptance { position, lost }) = (*peer, cx.intake.accepted(*stream));
        if answer.accept(position) {
            *heard = now;
        }
        if self.tell(i, cx) && lost {
            log::warn!(
                "{}: connection from {peer} closed: a consumer gave up what came over it; the peer has to send it again",
                self.tcp.listen
            );
            self.discard(i, cx);
        }
    }

    /// Writes what the peer has not been told yet, as far as it takes it; false when the connection is
    /// closed now, because everything is said or because it broke.
    fn tell(&mut self, i: usize, cx: &mut InputCx<'_>) -> bool {
        let Connection { socket, received, ended, answer: Some(answer), .. } = &mut self.connections[i] else { return true };
        if let Err(e) = answer.write(&*socket) {
            self.broke(i, &e, cx);
            return false;
        }
        let over = *ended && !answer.waits() && answer.accepted() >= *received;
        if over {
            self.discard(i, cx);
        }
        !over
    }

    fn accept(&mut self, listener: &TcpListener, now: Duration, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        for _ in 0..ACCEPTS {
            match listener.accept() {
                Ok((_, peer)) if self.connections.len() >= self.tcp.max_connections => self.refuse(peer, now, cx),
                Ok((socket, peer)) => match prepare(&socket) {
                    Ok(()) => self.open(socket, peer, now, cx),
                    Err(e) => log::warn!("{}: connection from {peer} cannot be used: {e}", self.tcp.listen),
                },
                Err(e) => return self.not_accepted(&e, now),
            }
        }
        Ok(())
    }

    fn open(&mut self, socket: TcpStream, peer: SocketAddr, now: Duration, cx: &mut InputCx<'_>) {
        let (hostname, acknowledged) = (peer.ip().to_canonical().to_string(), self.tcp.acknowledge);
        let stream = cx.intake.open(StreamOptions { hostname, acknowledged, ..StreamOptions::default() });
        let answer = acknowledged.then(Answer::new);
        self.connections.push(Connection { socket, peer, stream, heard: now, received: 0, ended: false, answer });
        cx.meter.add_extra("connections", 1);
        self.tell(self.connections.len() - 1, cx);
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

    /// What is left of the stream is its last record, even when the connection broke: the peer does not
    /// know and will not send it again, unless it was told what is accepted.
    fn close(&mut self, i: usize, cx: &mut InputCx<'_>) {
        if self.connections[i].answer.is_none() {
            cx.intake.end_of_stream(self.connections[i].stream);
        }
        self.discard(i, cx);
    }

    /// Closes without regard for what is left of the stream.
    fn discard(&mut self, i: usize, cx: &mut InputCx<'_>) {
        cx.intake.close(self.connections.swap_remove(i).stream);
    }

    fn broke(&mut self, i: usize, e: &io::Error, cx: &mut InputCx<'_>) {
        log::info!("{}: connection from {} broke: {e}", self.tcp.listen, self.connections[i].peer);
        self.close(i, cx);
    }

    /// Takes what had arrived before the stop, because peers count it as sent, then closes. Peers that
    /// wait to be told what is accepted are told; what they have not been told of they send again.
    pub fn finish(&mut self, cx: &mut InputCx<'_>) {
        let now = cx.clock.steady();
        for i in (0..self.connections.len()).rev().filter(|_| !self.tcp.acknowledge) {
            let stream = self.connections[i].stream;
            let mut reads = 0;
            while reads < LAST_READS && self.read(i, now, cx) {
                reads += 1;
            }
            // The peer was not at its end: half a record is none.
            if self.connections.get(i).is_some_and(|c| c.stream == stream) {
                self.discard(i, cx);
            }
        }
        let deadline = now + FAREWELL;
        while !self.connections.is_empty() {
            // Asked before the answers are written: these are the last then.
            let left = if cx.intake.settled() { Duration::ZERO } else { deadline.saturating_sub(cx.clock.steady()) };
            self.answer_all(now, cx);
            if left.is_zero() {
                break;
            }
            let ready = self.wait(false, [None; 2], &*cx.intake, left);
            ready.connections.iter().rev().for_each(|&(i, events)| self.serve(i, events, now, cx));
        }
        (0..self.connections.len()).rev().for_each(|i| self.discard(i, cx));
    }
}

impl Connection {
    /// What to wait for.
    fn awaits(&self, reading: bool) -> PollFlags {
        let arrives = if reading && !self.ended { PollFlags::IN } else { PollFlags::empty() };
        let takes = if self.answer.as_ref().is_some_and(Answer::waits) { PollFlags::OUT } else { PollFlags::empty() };
        arrives | takes
    }
}

#[derive(Default)]
struct Ready {
    /// Indices, ascending, and what they are ready for.
    connections: Vec<(usize, PollFlags)>,
    progress: bool,
    listener: bool,
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    // Counts go out at once.
    socket.set_nodelay(true)?;
    SockRef::from(socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;

    use plugin::Clock;
    use testkit::intake::{RecordingIntake, Running};

    use super::*;
    use crate::tcp::tests::running;

    /// A running input that acknowledges, and a peer that it has greeted.
    fn greeted(more: &str, clock: Clock) -> (RecordingIntake, Running, TcpStream) {
        let (intake, address, running) = running(&format!("acknowledge = true\n{more}"), clock);
        let mut peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(&next(&mut peer), b"NILOACK1");
        (intake, running, peer)
    }

    fn next(peer: &mut TcpStream) -> [u8; 8] {
        let mut frame = [0; 8];
        peer.read_exact(&mut frame).unwrap();
        frame
    }

    /// Reads counts until there is this one.
    #[track_caller]
    fn wait_for_count(peer: &mut TcpStream, expected: u64) {
        let mut count = 0;
        while count < expected {
            let before = std::mem::replace(&mut count, u64::from_be_bytes(next(peer)));
            assert!(before < count && count <= expected, "{before}, {count}, {expected}");
        }
    }

    #[track_caller]
    fn says_nothing(peer: &TcpStream) {
        peer.set_nonblocking(true).unwrap();
        assert_eq!(peer.peek(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        peer.set_nonblocking(false).unwrap();
    }

    #[track_caller]
    fn is_closed(peer: &mut TcpStream) {
        assert!(matches!(peer.read(&mut [0]), Ok(0)));
    }

    #[test]
    fn a_peer_is_told_what_is_accepted_and_of_half_a_record_nothing() {
        let (intake, running, mut peer) = greeted("", Clock::real());
        peer.write_all(&b"line\n".repeat(1000)).unwrap();
        wait_for_count(&mut peer, 5000);
        intake.withhold(true);
        peer.write_all(b"another\nhalf").unwrap();
        running.wait_for(|seen| seen.bytes().len() == 5012);
        says_nothing(&peer);
        intake.withhold(false);
        wait_for_count(&mut peer, 5008);
        peer.write_all(b" and half\n").unwrap();
        wait_for_count(&mut peer, 5022);
        assert!(intake.seen().streams[0].options.acknowledged);
    }

    #[test]
    fn a_peer_that_has_sent_everything_is_answered_until_all_is_accepted() {
        let (intake, running, mut peer) = greeted("max_connections = 1", Clock::real());
        intake.withhold(true);
        peer.write_all(b"line\nthe last").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        running.wait_for(|seen| seen.streams[0].ends == [13]);
        says_nothing(&peer);
        // It still is one of those that may be there.
        let mut second = TcpStream::connect(peer.peer_addr().unwrap()).unwrap();
        assert!(matches!(second.read(&mut [0]), Ok(0) | Err(_)));
        assert!(!intake.seen().streams[0].closed);
        intake.withhold(false);
        wait_for_count(&mut peer, 13);
        is_closed(&mut peer);
        running.wait_for(|seen| seen.streams[0].closed);
    }

    #[test]
    fn a_peer_that_is_not_answered_is_idle_in_the_end() {
        let clock = Clock::standing(0);
        let (intake, running, mut peer) = greeted("idle_timeout = '30s'", clock.clone());
        intake.withhold(true);
        peer.write_all(b"line\n").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        running.wait_for(|seen| seen.streams[0].ends == [5]);
        clock.set(31_000_000_000);
        is_closed(&mut peer);
    }

    #[test]
    fn half_a_record_of_a_connection_that_broke_is_none() {
        let (_, running, mut peer) = greeted("", Clock::real());
        peer.write_all(b"line\nhalf").unwrap();
        wait_for_count(&mut peer, 5);
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        running.wait_for(|seen| seen.streams[0].closed && seen.streams[0].ends.is_empty());
    }

    #[test]
    fn a_peer_that_breaks_off_while_it_waits_is_let_go() {
        let (intake, running, mut peer) = greeted("", Clock::real());
        intake.withhold(true);
        peer.write_all(b"line\n").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        running.wait_for(|seen| seen.streams[0].ends == [5]);
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        running.wait_for(|seen| seen.streams[0].closed);
    }

    #[test]
    fn a_connection_whose_records_were_given_up_is_closed() {
        let (intake, running, mut peer) = greeted("", Clock::real());
        peer.write_all(b"line\n").unwrap();
        wait_for_count(&mut peer, 5);
        intake.lose();
        is_closed(&mut peer);
        running.wait_for(|seen| seen.streams[0].closed && seen.streams[0].ends.is_empty());
    }

    #[test]
    fn after_a_stop_peers_hear_of_what_is_accepted_meanwhile() {
        let (intake, running, mut peer) = greeted("", Clock::standing(0));
        intake.withhold(true);
        peer.write_all(b"line\nhalf").unwrap();
        running.wait_for(|seen| seen.bytes().len() == 9);
        std::thread::scope(|s| {
            let stopping = s.spawn(|| running.stop().unwrap());
            // An input that did not wait would have closed by the end of this.
            peer.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            assert!(matches!(peer.read(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock));
            peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            intake.withhold(false);
            wait_for_count(&mut peer, 5);
            is_closed(&mut peer);
            stopping.join().unwrap();
        });
    }
}
