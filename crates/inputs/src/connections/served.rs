use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use message::StreamId;
use options::unit::show_duration;
use plugin::{Acceptance, Fatal, InputCx, Intake, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use transport::{HANDSHAKE, Stream};

use super::answer::Answer;
use super::arriving::Arriving;
use super::listener::prepare;
use super::{Listener, Peer, Serving};

/// Connections accepted in one turn.
const ACCEPTS: usize = 64;

/// After a stop, so many reads of what has already arrived are made on each connection.
const LAST_READS: usize = 64;

/// How long nothing is accepted after the system had no descriptor left, how often idle connections
/// are looked for, and how often refusals are logged.
const PAUSE: Duration = Duration::from_secs(1);

/// How long after a stop peers may still be told what is accepted meanwhile.
const FAREWELL: Duration = Duration::from_secs(2);

struct Connection {
    socket: Stream,
    peer: Peer,
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
pub struct Served<'a> {
    serving: &'a Serving,
    connections: Vec<Connection>,
    /// Those that have something to say first.
    arriving: Vec<Arriving>,
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
    pub fn new(serving: &'a Serving, now: Duration) -> Served<'a> {
        Served { serving, connections: Vec::new(), arriving: Vec::new(), accept_from: now, checked: now, refused: None, ended: false }
    }

    /// Waits until something happens, then reads once from every connection that has something.
    pub fn turn(&mut self, listener: &Listener, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        cx.intake.poll();
        let accepting = cx.clock.steady() >= self.accept_from;
        let others = [Some(cx.stop.fd()), accepting.then(|| listener.as_fd())];
        let ready = self.wait(true, others, &*cx.intake, cx.intake.wait().min(PAUSE));
        let now = cx.clock.steady();
        // From the back, because a closed connection is replaced by the last one.
        for &(i, events) in ready.connections.iter().rev() {
            self.serve(i, events, now, cx);
        }
        for &i in ready.arriving.iter().rev() {
            self.welcome(i, now, cx);
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
            self.refuse_slow(now, cx);
        }
        Ok(())
    }

    /// Adds what there is to poll for, for an input that waits for more than these connections and does not
    /// acknowledge. True when something is to be read already.
    pub fn watch<'b>(&'b self, listener: &'b Listener, now: Duration, fds: &mut Vec<PollFd<'b>>) -> bool {
        fds.extend(self.connections.iter().map(|c| PollFd::new(&c.socket, c.awaits(true))));
        fds.extend(self.arriving.iter().map(|a| PollFd::new(a, a.awaits())));
        let accepts = if now >= self.accept_from { PollFlags::IN } else { PollFlags::empty() };
        fds.push(PollFd::from_borrowed_fd(listener.as_fd(), accepts));
        self.connections.iter().any(|c| c.socket.pending())
    }

    /// Deals with what happened to what [`Served::watch`] added, in that order.
    ///
    /// # Errors
    /// When nothing can be accepted any more.
    pub fn go_on(&mut self, listener: &Listener, events: &[PollFlags], cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let now = cx.clock.steady();
        let (n, arriving) = (self.connections.len(), self.arriving.len());
        for i in (0..n).rev() {
            let pending = if self.connections[i].socket.pending() { PollFlags::IN } else { PollFlags::empty() };
            let events = events[i] | pending;
            if !events.is_empty() {
                self.serve(i, events, now, cx);
            }
        }
        for i in (0..arriving).rev().filter(|i| !events[n + i].is_empty()) {
            self.welcome(i, now, cx);
        }
        if !events[n + arriving].is_empty() {
            self.accept(listener, now, cx)?;
        }
        if now.saturating_sub(self.checked) >= PAUSE {
            self.checked = now;
            self.close_idle(now, cx);
            self.refuse_slow(now, cx);
        }
        Ok(())
    }

    /// Waits for connections, the `others` (stop and listener), and progress in what is accepted.
    fn wait(&self, reading: bool, others: [Option<BorrowedFd<'_>>; 2], intake: &dyn Intake, timeout: Duration) -> Ready {
        let mut fds: Vec<_> = self.connections.iter().map(|c| PollFd::new(&c.socket, c.awaits(reading))).collect();
        let n = fds.len();
        fds.extend(self.arriving.iter().filter(|_| reading).map(|a| PollFd::new(a, a.awaits())));
        let arriving = n..fds.len();
        // Nobody asks for progress, which ends it, but for connections.
        let progress = Some(intake.progress()).filter(|_| self.serving.acknowledge && n > 0);
        let [stop, listener] = others;
        fds.extend([progress, listener, stop].into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let pending = |c: &Connection| reading && !c.ended && c.socket.pending();
        let timeout = if self.connections.iter().any(pending) { Duration::ZERO } else { timeout };
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        // Fails for a signal only, and then nothing is ready.
        if poll(&mut fds, Some(&timeout)).is_err() {
            return Ready::default();
        }
        let events = |i: usize| match self.connections.get(i) {
            Some(c) if pending(c) => fds[i].revents() | PollFlags::IN,
            _ => fds[i].revents(),
        };
        let is_ready = |there: bool, i: usize| there && !events(i).is_empty();
        Ready {
            connections: (0..n).map(|i| (i, events(i))).filter(|(_, events)| !events.is_empty()).collect(),
            arriving: arriving.clone().filter(|i| !events(*i).is_empty()).map(|i| i - n).collect(),
            progress: is_ready(progress.is_some(), arriving.end),
            listener: is_ready(listener.is_some(), arriving.end + usize::from(progress.is_some())),
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
                self.serving.name
            );
            self.discard(i, cx);
        }
    }

    /// Writes what the peer has not been told yet, as far as it takes it; false when the connection is
    /// closed now, because everything is said or because it broke.
    fn tell(&mut self, i: usize, cx: &mut InputCx<'_>) -> bool {
        let Connection { socket, received, ended, answer, .. } = &mut self.connections[i];
        let written = answer.as_mut().map_or(Ok(()), |answer| answer.write(&mut *socket));
        match written.and_then(|()| socket.flush()) {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => {
                self.broke(i, &e, cx);
                return false;
            }
            _ => {}
        }
        let Some(answer) = answer else { return true };
        let over = *ended && !answer.waits() && socket.unsent() == 0 && answer.accepted() >= *received;
        if over {
            self.discard(i, cx);
        }
        !over
    }

    fn accept(&mut self, listener: &Listener, now: Duration, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        for _ in 0..ACCEPTS {
            match listener.accept() {
                Ok((_, peer)) if self.connections.len() + self.arriving.len() >= self.serving.max_connections => self.refuse(peer, now, cx),
                Ok((socket, peer)) => match prepare(&socket) {
                    Ok(()) => self.arrive(socket, peer, now, cx),
                    Err(e) => log::warn!("{}: connection from {peer} cannot be used: {e}", self.serving.name),
                },
                Err(e) => return self.not_accepted(&e, now),
            }
        }
        Ok(())
    }

    fn arrive(&mut self, socket: Stream, peer: Peer, now: Duration, cx: &mut InputCx<'_>) {
        if !Arriving::is_needed(self.serving) {
            return self.open(socket, peer, now, cx);
        }
        match Arriving::new(socket, peer, self.serving, now) {
            Ok(arriving) => self.arriving.push(arriving),
            Err(e) => self.turn_away(peer, &e, now, cx),
        }
    }

    /// Hears what a connection has to say first.
    fn welcome(&mut self, i: usize, now: Duration, cx: &mut InputCx<'_>) {
        match self.arriving[i].go_on(self.serving, now) {
            Ok(false) => {}
            Ok(true) => {
                let Arriving { stream, peer, .. } = self.arriving.swap_remove(i);
                self.open(stream, peer, now, cx);
            }
            Err(e) => {
                let peer = self.arriving.swap_remove(i).peer;
                self.turn_away(peer, &e, now, cx);
            }
        }
    }

    fn turn_away(&mut self, peer: Peer, e: &io::Error, now: Duration, cx: &InputCx<'_>) {
        cx.meter.add_extra("failed_handshakes", 1);
        if self.may_warn(now) {
            log::warn!("{}: connection from {peer} refused: {e}", self.serving.name);
        }
    }

    /// Refuses those that have not said in time who they are.
    fn refuse_slow(&mut self, now: Duration, cx: &mut InputCx<'_>) {
        let idle = self.serving.idle_timeout;
        let patience = if idle.is_zero() { HANDSHAKE } else { HANDSHAKE.min(idle) };
        for i in (0..self.arriving.len()).rev() {
            if now.saturating_sub(self.arriving[i].since) >= patience {
                let peer = self.arriving.swap_remove(i).peer;
                let why = format!("it has not said within {} who it is", show_duration(patience));
                self.turn_away(peer, &io::Error::new(io::ErrorKind::TimedOut, why), now, cx);
            }
        }
    }

    fn open(&mut self, socket: Stream, peer: Peer, now: Duration, cx: &mut InputCx<'_>) {
        let (hostname, acknowledged) = (peer.host(), self.serving.acknowledge);
        let fields =
            self.serving.peer_field.iter().map(|name| (name.clone(), hostname.clone())).filter(|(_, host)| !host.is_empty()).collect();
        let stream = cx.intake.open(StreamOptions { hostname, fields, acknowledged, ..StreamOptions::default() });
        let answer = acknowledged.then(Answer::new);
        self.connections.push(Connection { socket, peer, stream, heard: now, received: 0, ended: false, answer });
        cx.meter.add_extra("connections", 1);
        self.tell(self.connections.len() - 1, cx);
    }

    /// What `accept` reports may be about the listener, about the system, or about a connection that
    /// is already gone again.
    fn not_accepted(&mut self, e: &io::Error, now: Duration) -> Result<(), Fatal> {
        match Errno::from_io_error(e) {
            Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => Err(Fatal::new(format!("accepting at {} failed: {e}", self.serving.name))),
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                log::warn!("{}: nothing is accepted for a moment: {e} (raise the limit of open files)", self.serving.name);
                self.accept_from = now + PAUSE;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn refuse(&mut self, peer: Peer, now: Duration, cx: &InputCx<'_>) {
        cx.meter.add_extra("refused_connections", 1);
        if self.may_warn(now) {
            let (name, max) = (&self.serving.name, self.serving.max_connections);
            log::warn!("{name}: connection from {peer} refused: there are {max} already (option `max_connections`)");
        }
    }

    /// Refusals are logged now and then: whoever causes them must not fill the disk.
    fn may_warn(&mut self, now: Duration) -> bool {
        let may = self.refused.is_none_or(|last| now.saturating_sub(last) >= PAUSE);
        if may {
            self.refused = Some(now);
        }
        may
    }

    fn close_idle(&mut self, now: Duration, cx: &mut InputCx<'_>) {
        let timeout = self.serving.idle_timeout;
        if timeout.is_zero() {
            return;
        }
        for i in (0..self.connections.len()).rev() {
            let Connection { peer, heard, .. } = &self.connections[i];
            if now.saturating_sub(*heard) >= timeout {
                let timeout = show_duration(timeout);
                log::info!("{}: connection from {peer} closed: nothing arrived for {timeout} (option `idle_timeout`)", self.serving.name);
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
        let mut connection = self.connections.swap_remove(i);
        // Whether or not the peer is still there to hear it.
        let _ = connection.socket.shutdown_write();
        cx.intake.close(connection.stream);
    }

    fn broke(&mut self, i: usize, e: &io::Error, cx: &mut InputCx<'_>) {
        log::info!("{}: connection from {} broke: {e}", self.serving.name, self.connections[i].peer);
        self.close(i, cx);
    }

    /// Takes what had arrived before the stop, because peers count it as sent, then closes. Peers that
    /// wait to be told what is accepted are told; what they have not been told of they send again.
    pub fn finish(&mut self, cx: &mut InputCx<'_>) {
        let now = cx.clock.steady();
        for i in (0..self.connections.len()).rev().filter(|_| !self.serving.acknowledge) {
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
        self.socket.awaits(reading && !self.ended, self.answer.as_ref().is_some_and(Answer::waits))
    }
}

#[derive(Default)]
struct Ready {
    /// Indices, ascending, and what they are ready for.
    connections: Vec<(usize, PollFlags)>,
    /// Indices, ascending.
    arriving: Vec<usize>,
    progress: bool,
    listener: bool,
}
