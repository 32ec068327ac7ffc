use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::mem;
use std::time::Duration;

use message::StreamId;
use msgpack::Scan;
use options::unit::show_size;
use plugin::{Acceptance, InputCx, StreamOptions};
use rustix::event::PollFlags;
use transport::Stream;

use super::Fluent;
use super::frame::Frame;
use super::handshake::{Handshake, ack, is_ping};
use crate::connections::Peer;

/// Bytes read at a time.
const BLOCK: usize = 64 << 10;

/// Messages of a peer that may wait for acceptance, and bytes of answers that it may leave unread; beyond, nothing more
/// is read of it.
const MAX_WAITING: usize = 1024;
const MAX_UNREAD: usize = 64 << 10;

/// Room for the message by which a peer shows that it knows the key. Bytes.
const HANDSHAKE_BYTES: usize = 4096;

/// Why a connection ends.
#[derive(Debug)]
pub enum Closed {
    /// Its peer has nothing more to send and knows all it wanted to.
    Done,
    Idle,
    Broken(io::Error),
    /// A consumer gave up what came over it.
    Lost,
    /// The peer does not speak the protocol.
    Wrong(String),
}

/// Whom messages are of.
#[derive(Debug)]
pub struct Origin {
    /// The peer's address, or nothing.
    pub hostname: String,
    /// Name of the field that has it too.
    pub field: Option<String>,
}

/// A peer and what there is of its next message.
pub struct Connection {
    pub socket: Stream,
    pub peer: Peer,
    pub stream: StreamId,
    origin: Origin,
    /// When something arrived, or was accepted, last; by the steady clock.
    pub heard: Duration,
    buffer: Vec<u8>,
    scan: Scan,
    /// Of the stream.
    position: u64,
    /// Positions behind events, and the chunks to be told once they are accepted.
    waiting: VecDeque<(u64, Vec<u8>)>,
    out: Vec<u8>,
    /// The peer has to say first that it knows the key.
    handshake: Option<Handshake>,
    /// The peer will send no more.
    ended: bool,
}

impl Connection {
    /// # Errors
    /// When it is gone already, or the system has no random numbers.
    pub fn open(socket: Stream, peer: Peer, fluent: &Fluent, now: Duration, cx: &mut InputCx<'_>) -> io::Result<Connection> {
        let (handshake, out) = match &fluent.shared_key {
            Some(_) => Handshake::begin().map(|(handshake, helo)| (Some(handshake), helo))?,
            None => (None, Vec::new()),
        };
        let hostname = peer.host();
        let field = fluent.serving.peer_field.clone().filter(|_| !hostname.is_empty());
        let origin = Origin { hostname, field };
        let stream = cx.intake.open(StreamOptions { acknowledged: true, ..StreamOptions::default() });
        let (buffer, scan, waiting) = Default::default();
        Ok(Connection { socket, peer, stream, origin, heard: now, buffer, scan, position: 0, waiting, out, handshake, ended: false })
    }

    /// Whether there is anything to be told once it is accepted.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty() || !self.out.is_empty()
    }

    pub fn may_read(&self) -> bool {
        !self.ended && self.waiting.len() < MAX_WAITING && self.out.len() < MAX_UNREAD
    }

    /// What to wait for.
    pub fn awaits(&self, reading: bool) -> PollFlags {
        self.socket.awaits(reading && self.may_read(), !self.out.is_empty())
    }

    /// Reads once, and takes the messages that are there now. False when there is nothing more for now, or for ever.
    pub fn read(&mut self, fluent: &mut Fluent, now: Duration, cx: &mut InputCx<'_>) -> Result<bool, Closed> {
        match self.socket.read(&mut fluent.block) {
            Ok(0) => {
                self.ended = true;
                self.buffer = Vec::new();
                cx.intake.hand_on();
                if self.waits() { Ok(false) } else { Err(Closed::Done) }
            }
            Ok(n) => {
                self.heard = now;
                cx.meter.add(plugin::Counter::Bytes, n as u64);
                let mut buffer = mem::take(&mut self.buffer);
                let before = buffer.len();
                buffer.extend_from_slice(&fluent.block[..n]);
                let taken = self.take(&buffer, fluent, cx)?;
                buffer.drain(..taken);
                if buffer.is_empty() {
                    // What one large message took is given back.
                    buffer.shrink_to(BLOCK);
                }
                fluent.buffered = (fluent.buffered + buffer.len()).saturating_sub(before);
                self.buffer = buffer;
                if fluent.buffered > fluent.max_buffered {
                    let max = show_size(fluent.max_buffered as u64);
                    return Err(Closed::Wrong(format!("beginnings of messages take more than {max} together (option `max_buffered`)")));
                }
                Ok(true)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(e) => Err(Closed::Broken(e)),
        }
    }

    /// Bytes of a message that has not arrived in full.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Takes the messages that are whole. Returns how many bytes these are.
    fn take(&mut self, buffer: &[u8], fluent: &mut Fluent, cx: &mut InputCx<'_>) -> Result<usize, Closed> {
        let mut at = 0;
        while let Some(length) = self.scan.find(&buffer[at..]).map_err(|e| Closed::Wrong(e.to_string()))? {
            self.message(&buffer[at..at + length], fluent, cx)?;
            at += length;
        }
        // A stranger has no more room than a handshake takes.
        let max = if self.handshake.is_some() { HANDSHAKE_BYTES } else { fluent.events.max_message };
        if buffer.len() - at > max {
            let max = show_size(max as u64);
            return Err(Closed::Wrong(format!("expected a message of at most {max} (option `max_message`)")));
        }
        Ok(at)
    }

    fn message(&mut self, bytes: &[u8], fluent: &mut Fluent, cx: &mut InputCx<'_>) -> Result<(), Closed> {
        let wrong = |e: msgpack::Wrong| Closed::Wrong(format!("not a message of the forward protocol: {e}"));
        if let (Some(handshake), Some(key)) = (self.handshake.take(), &fluent.shared_key) {
            let (pong, known) = handshake.answer(bytes, key, &cx.build.hostname).map_err(wrong)?;
            self.out.extend_from_slice(&pong);
            let why = "it does not know the key (option `shared_key`)";
            return if known { Ok(()) } else { Err(Closed::Wrong(why.to_string())) };
        }
        if is_ping(bytes) {
            return Err(Closed::Wrong("it is configured with a shared key, and this input is not (option `shared_key`)".to_string()));
        }
        // Some say nil to see whether somebody is there.
        if bytes == b"\xc0" {
            return Ok(());
        }
        let frame = Frame::read(bytes).map_err(wrong)?;
        let made = fluent.events.make(&frame, &self.origin, self.stream, cx.intake).map_err(Closed::Wrong)?;
        cx.meter.add_extra("refused_events", made.refused);
        self.position += made.positions;
        if let Some(chunk) = frame.chunk {
            self.waiting.push_back((self.position, chunk.to_vec()));
            cx.intake.hand_on();
        }
        Ok(())
    }

    /// Tells the peer which of its chunks are accepted.
    pub fn answer(&mut self, now: Duration, cx: &mut InputCx<'_>) -> Result<(), Closed> {
        if !self.waiting.is_empty() {
            let Acceptance { position, lost } = cx.intake.accepted(self.stream);
            while let Some((_, chunk)) = self.waiting.pop_front_if(|(end, _)| *end <= position) {
                ack(&chunk, &mut self.out);
                self.heard = now;
            }
            if lost {
                return Err(Closed::Lost);
            }
        }
        if self.out.is_empty() { Ok(()) } else { self.write() }
    }

    /// Writes what the peer takes of what there is to be told.
    pub fn write(&mut self) -> Result<(), Closed> {
        let mut written = 0;
        let result = loop {
            if written == self.out.len() {
                break self.socket.flush();
            }
            match self.socket.write(&self.out[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Err(e),
            }
        };
        self.out.drain(..written);
        match result {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(Closed::Broken(e)),
            _ if self.ended && !self.waits() && self.socket.unsent() == 0 => Err(Closed::Done),
            _ => Ok(()),
        }
    }
}
