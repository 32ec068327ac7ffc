use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use options::unit::show_duration;
use plugin::{Fatal, InputCx};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use transport::{HANDSHAKE, Stream};

use super::Fluent;
use super::connection::{Closed, Connection};
use crate::connections::{Arriving, Listener, Peer, prepare};

/// Connections accepted in one turn.
const ACCEPTS: usize = 64;

/// After a stop, so many reads of what has already arrived are made on each connection.
const LAST_READS: usize = 64;

/// How long nothing is accepted after the system had no descriptor left, how often idle connections
/// are looked for, and how often what peers do wrong is logged.
const PAUSE: Duration = Duration::from_secs(1);

/// How long after a stop peers may still be told what is accepted meanwhile.
const FAREWELL: Duration = Duration::from_secs(2);

/// The connections of one run.
#[derive(Default)]
pub struct Served {
    connections: Vec<Connection>,
    /// Those that have a handshake of TLS or a proxy's header to come.
    arriving: Vec<Arriving>,
    /// No accepting before this, by the steady clock.
    accept_from: Duration,
    checked: Duration,
    warned: Option<Duration>,
}

impl Served {
    /// Waits until something happens, and deals with it.
    ///
    /// # Errors
    /// When nothing can be accepted any more.
    pub fn turn(&mut self, fluent: &mut Fluent, listener: &Listener, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        cx.intake.poll();
        let ready = self.wait(true, [Some(cx.stop.fd()), Some(listener.as_fd())], cx, cx.intake.wait().min(PAUSE));
        let now = cx.clock.steady();
        fluent.buffered = self.connections.iter().map(Connection::buffered).sum();
        for (i, events) in ready.connections.into_iter().rev() {
            self.serve(i, events, fluent, now, cx);
        }
        for i in ready.arriving.into_iter().rev() {
            self.welcome(i, fluent, now, cx);
        }
        self.answer_all(now, cx);
        if ready.listener {
            self.accept(fluent, listener, now, cx)?;
        }
        if now.saturating_sub(self.checked) >= PAUSE {
            self.checked = now;
            self.close_idle(fluent, now, cx);
        }
        Ok(())
    }

    fn wait(&self, reading: bool, others: [Option<BorrowedFd<'_>>; 2], cx: &InputCx<'_>, timeout: Duration) -> Ready {
        let mut fds: Vec<_> = self.connections.iter().map(|c| PollFd::new(&c.socket, c.awaits(reading))).collect();
        let n = fds.len();
        fds.extend(self.arriving.iter().filter(|_| reading).map(|a| PollFd::new(a, a.awaits())));
        let end = fds.len();
        let [stop, listener] = others;
        let listener = listener.filter(|_| cx.clock.steady() >= self.accept_from);
        let progress = self.connections.iter().any(Connection::waits).then(|| cx.intake.progress());
        fds.extend([listener, stop, progress].into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let pending = |c: &Connection| reading && c.may_read() && c.socket.pending();
        let timeout = if self.connections.iter().any(pending) { Duration::ZERO } else { timeout };
        // Fails for a signal only, and then nothing is ready.
        if poll(&mut fds, Some(&Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() })).is_err() {
            return Ready::default();
        }
        let events = |i: usize| fds[i].revents() | if pending(&self.connections[i]) { PollFlags::IN } else { PollFlags::empty() };
        Ready {
            connections: (0..n).map(|i| (i, events(i))).filter(|(_, events)| !events.is_empty()).collect(),
            arriving: (n..end).filter(|i| !fds[*i].revents().is_empty()).map(|i| i - n).collect(),
            listener: listener.is_some() && !fds[end].revents().is_empty(),
        }
    }

    fn serve(&mut self, i: usize, events: PollFlags, fluent: &mut Fluent, now: Duration, cx: &mut InputCx<'_>) {
        let connection = &mut self.connections[i];
        let mut result = if events.contains(PollFlags::OUT) { connection.write() } else { Ok(()) };
        if result.is_ok() && connection.may_read() && events.intersects(!PollFlags::OUT) {
            result = connection.read(fluent, now, cx).map(|_| ());
        } else if result.is_ok() && events.intersects(PollFlags::ERR | PollFlags::HUP) {
            result = Err(Closed::Broken(io::ErrorKind::ConnectionReset.into()));
        }
        if let Err(why) = result {
            self.close(i, why, now, cx);
        }
    }

    /// Tells peers what is accepted.
    fn answer_all(&mut self, now: Duration, cx: &mut InputCx<'_>) {
        for i in (0..self.connections.len()).rev() {
            if let Err(why) = self.connections[i].answer(now, cx) {
                self.close(i, why, now, cx);
            }
        }
    }

    fn accept(&mut self, fluent: &Fluent, listener: &Listener, now: Duration, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let serving = &fluent.serving;
        for _ in 0..ACCEPTS {
            match listener.accept() {
                Ok((_, peer)) if self.connections.len() + self.arriving.len() >= serving.max_connections => {
                    cx.meter.add_extra("refused_connections", 1);
                    let max = serving.max_connections;
                    self.warn(now, || {
                        format!("{}: connection from {peer} refused: there are {max} already (option `max_connections`)", serving.name)
                    });
                }
                Ok((socket, peer)) => self.arrive(socket, peer, fluent, now, cx),
                Err(e) => match Errno::from_io_error(&e) {
                    Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => {
                        return Err(Fatal::new(format!("accepting at {} failed: {e}", serving.name)));
                    }
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        log::warn!("{}: nothing is accepted for a moment: {e} (raise the limit of open files)", serving.name);
                        self.accept_from = now + PAUSE;
                        return Ok(());
                    }
                    // None is waiting, or one is gone again.
                    _ => return Ok(()),
                },
            }
        }
        Ok(())
    }

    fn arrive(&mut self, socket: Stream, peer: Peer, fluent: &Fluent, now: Duration, cx: &mut InputCx<'_>) {
        let arriving = prepare(&socket).and_then(|()| Arriving::new(socket, peer, &fluent.serving, now));
        match arriving {
            Ok(arriving) if Arriving::is_needed(&fluent.serving) => self.arriving.push(arriving),
            Ok(Arriving { stream, peer, .. }) => self.open(stream, peer, fluent, now, cx),
            Err(e) => self.turn_away(peer, &e, fluent, now, cx),
        }
    }

    /// Hears what a connection has to say first.
    fn welcome(&mut self, i: usize, fluent: &Fluent, now: Duration, cx: &mut InputCx<'_>) {
        match self.arriving[i].go_on(&fluent.serving, now) {
            Ok(false) => {}
            Ok(true) => {
                let Arriving { stream, peer, .. } = self.arriving.swap_remove(i);
                self.open(stream, peer, fluent, now, cx);
            }
            Err(e) => {
                let peer = self.arriving.swap_remove(i).peer;
                self.turn_away(peer, &e, fluent, now, cx);
            }
        }
    }

    fn open(&mut self, socket: Stream, peer: Peer, fluent: &Fluent, now: Duration, cx: &mut InputCx<'_>) {
        match Connection::open(socket, peer, fluent, now, cx) {
            Ok(connection) => {
                cx.meter.add_extra("connections", 1);
                self.connections.push(connection);
            }
            Err(e) => self.turn_away(peer, &e, fluent, now, cx),
        }
    }

    fn turn_away(&mut self, peer: Peer, e: &io::Error, fluent: &Fluent, now: Duration, cx: &InputCx<'_>) {
        cx.meter.add_extra("failed_handshakes", 1);
        self.warn(now, || format!("{}: connection from {peer} refused: {e}", fluent.serving.name));
    }

    /// Whoever is wrong must not fill the disk with it.
    fn warn(&mut self, now: Duration, text: impl FnOnce() -> String) {
        if self.warned.is_none_or(|last| now.saturating_sub(last) >= PAUSE) {
            self.warned = Some(now);
            log::warn!("{}", text());
        }
    }

    fn close_idle(&mut self, fluent: &Fluent, now: Duration, cx: &mut InputCx<'_>) {
        let timeout = fluent.serving.idle_timeout;
        for i in (0..self.arriving.len()).rev() {
            if now.saturating_sub(self.arriving[i].since) >= HANDSHAKE {
                let peer = self.arriving.swap_remove(i).peer;
                let why = format!("it has not said within {} who it is", show_duration(HANDSHAKE));
                self.turn_away(peer, &io::Error::new(io::ErrorKind::TimedOut, why), fluent, now, cx);
            }
        }
        for i in (0..self.connections.len()).rev().filter(|_| !timeout.is_zero()) {
            if now.saturating_sub(self.connections[i].heard) >= timeout {
                cx.meter.add_extra("idle_connections", 1);
                self.close(i, Closed::Idle, now, cx);
            }
        }
    }

    fn close(&mut self, i: usize, why: Closed, now: Duration, cx: &mut InputCx<'_>) {
        let mut connection = self.connections.swap_remove(i);
        let peer = connection.peer;
        // Whether or not the peer is still there to hear it.
        let _ = connection.write();
        let _ = connection.socket.shutdown_write();
        cx.intake.close(connection.stream);
        match why {
            Closed::Done => {}
            Closed::Idle => log::info!("connection from {peer} closed: nothing arrived for long (option `idle_timeout`)"),
            Closed::Broken(e) => log::info!("connection from {peer} broke: {e}"),
            Closed::Lost => {
                log::warn!("connection from {peer} closed: a consumer gave up what came over it; the peer has to send it again")
            }
            Closed::Wrong(why) => {
                cx.meter.add_extra("refused_messages", 1);
                self.warn(now, || format!("connection from {peer} closed: {why}"));
            }
        }
    }

    /// Takes what had arrived before the stop, tells peers what is accepted of it, and closes.
    pub fn finish(&mut self, fluent: &mut Fluent, cx: &mut InputCx<'_>) {
        let now = cx.clock.steady();
        for i in (0..self.connections.len()).rev() {
            for _ in 0..LAST_READS {
                match self.connections[i].read(fluent, now, cx) {
                    Ok(true) if self.connections[i].may_read() => {}
                    Ok(_) => break,
                    Err(why) => {
                        self.close(i, why, now, cx);
                        break;
                    }
                }
            }
        }
        cx.intake.hand_on();
        let deadline = now + FAREWELL;
        while self.connections.iter().any(Connection::waits) {
            let left = if cx.intake.settled() { Duration::ZERO } else { deadline.saturating_sub(cx.clock.steady()) };
            self.answer_all(now, cx);
            if left.is_zero() {
                break;
            }
            let ready = self.wait(false, [None; 2], cx, left);
            for (i, _) in ready.connections.into_iter().rev() {
                if let Err(why) = self.connections[i].write() {
                    self.close(i, why, now, cx);
                }
            }
        }
        (0..self.connections.len()).rev().for_each(|i| self.close(i, Closed::Done, now, cx));
    }
}

#[derive(Default)]
struct Ready {
    /// Indices, ascending, and what they are ready for.
    connections: Vec<(usize, PollFlags)>,
    /// Indices, ascending.
    arriving: Vec<usize>,
    listener: bool,
}
