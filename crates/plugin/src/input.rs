use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use message::{Messages, StreamId};

use crate::{BuildCx, Clock, Fatal, Meter, Scripted, Stop};

/// Reads the outside world. Owns a thread, and is the only family that may block.
pub trait Input: Send {
    /// Runs until stop is asked for or the input is exhausted. When it is called again after a
    /// failure, it starts over from the checkpoints.
    ///
    /// # Errors
    /// When it cannot go on; the supervisor calls `run` again with back-off.
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal>;

    /// Whether the sender can be made to wait without loss (a file, a pipe, a TCP peer). One that
    /// cannot (a datagram socket) loses what a full consumer does not take.
    fn can_wait(&self) -> bool;
}

/// What an input works with.
pub struct InputCx<'a> {
    pub build: &'a BuildCx,
    pub clock: &'a Clock,
    pub stop: &'a Stop,
    pub meter: &'a Meter,
    /// Where bytes and messages go.
    pub intake: &'a mut dyn Intake,
}

/// A stream (a file, a connection, a socket) as an input opens it.
#[derive(Clone, Default, Debug)]
pub struct StreamOptions {
    /// Name under which the position is remembered, unique within the input; empty: not remembered.
    pub key: String,
    /// What proves that the stream of this name is still the same one (device, inode and
    /// fingerprint of a file); kept with the position, opaque to the engine.
    pub identity: String,
    /// Position of the first byte that will be read.
    pub position: u64,
    /// Logger of the stream's messages unless the decoder sets one; empty: the input's name.
    pub logger: String,
    /// Hostname of the stream's messages unless the decoder sets one; empty: this host.
    pub hostname: String,
    /// Fields that each of the stream's messages gets, whatever its decoder adds.
    pub fields: Vec<(String, String)>,
    /// The input will ask for [`Intake::accepted`], because the sender waits for an answer.
    pub acknowledged: bool,
}

/// How far a stream was accepted by all who wanted it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Acceptance {
    /// Everything before this position of the stream was accepted.
    pub position: u64,
    /// A consumer let go of something behind it without a verdict: the position will not move any more, and
    /// the sender has to send again.
    pub lost: bool,
}

/// A remembered position: everything before it was accepted by all who wanted it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    pub key: String,
    pub identity: String,
    pub position: u64,
    /// What the input noted at this position, see [`Intake::make_at`]; opaque to the engine.
    pub note: String,
}

/// An input's way into the engine: splits, decodes and transforms on the caller's thread, groups
/// messages into batches and hands those on.
///
/// Any of the calls may wait while consumers that asked for it are full; a stop ends the wait.
pub trait Intake {
    /// What earlier runs remembered of streams, in no particular order.
    fn checkpoints(&self) -> Vec<Checkpoint>;

    /// Forgets a remembered stream that is no longer there.
    fn forget(&mut self, key: &str);

    fn open(&mut self, stream: StreamOptions) -> StreamId;

    /// Gives a stream another key or identity (a file that was renamed or has grown a fingerprint).
    fn identify(&mut self, stream: StreamId, key: &str, identity: &str);

    /// What comes now over the stream is of another origin, as are datagrams of many senders: Hostname and
    /// fields of its messages from here on, as in [`StreamOptions`]. What came before has to be at its end.
    fn attribute(&mut self, stream: StreamId, hostname: &str, fields: &[(String, String)]);

    /// Reads once from `from` into the stream, up to a block. Returns the bytes read; 0 at the end.
    ///
    /// # Errors
    /// Those of `from`.
    fn read(&mut self, stream: StreamId, from: &mut dyn Read) -> io::Result<usize>;

    /// Adds bytes that were read otherwise. With a splitter that keeps reads apart, this is one record.
    fn push(&mut self, stream: StreamId, bytes: &[u8]);

    /// The stream is at its end: what is left of it is its last record. The stream stays open.
    fn end_of_stream(&mut self, stream: StreamId);

    /// Drops what is left of the stream unread and continues at another position (a truncated file).
    fn seek(&mut self, stream: StreamId, position: u64);

    /// Closes the stream; bytes without a complete record are dropped, and read again next time
    /// where the stream can be replayed.
    fn close(&mut self, stream: StreamId);

    /// Adds messages the input made itself; `make` adds to the messages it is given. Transforms
    /// are applied and unset headers filled in as for decoded messages.
    fn make(&mut self, make: &mut dyn FnMut(&mut Messages));

    /// Adds messages the input made itself to a stream whose position counts such calls. The `note`
    /// comes back as [`Checkpoint::note`] once these messages, and all before them, were accepted by
    /// all who wanted them. Where the configuration names a decoder, the payloads are its records.
    fn make_at(&mut self, stream: StreamId, note: Option<&str>, make: &mut dyn FnMut(&mut Messages));

    /// Hands on what was made or read so far, for an input that cannot tell when it is here again.
    fn hand_on(&mut self);

    /// The input runs this script from now on: it is given what its predecessor saved.
    fn adopt(&mut self, _script: &mut dyn Scripted) {}

    /// Reports the script's limits, and saves its state when that is due, or when it is the `last` call.
    fn look_after(&mut self, _script: &mut dyn Scripted, _last: bool) {}

    /// Hands on what has waited long enough, saves checkpoints that are due, ends the patience of
    /// splitters. To be called whenever the input has nothing to read, and at least every
    /// [`Intake::wait`].
    fn poll(&mut self);

    /// How long the input may sleep before it must call [`Intake::poll`].
    fn wait(&self) -> Duration;

    /// True when everything read so far was accepted by all consumers.
    fn settled(&mut self) -> bool;

    /// True when everything read so far of the stream with this key was accepted by all consumers, be it open or closed:
    /// whatever others wait for, it may be forgotten. A key that is not known is settled.
    fn settled_stream(&mut self, key: &str) -> bool {
        let _ = key;
        self.settled()
    }

    /// How far a stream that was opened as `acknowledged` was accepted. What is still open counts as not accepted:
    /// [`Intake::hand_on`] before, when the answer is urgent.
    fn accepted(&mut self, stream: StreamId) -> Acceptance;

    /// Becomes readable when streams may have been accepted further since [`Intake::accepted`] was asked last, for
    /// `poll` beside sockets.
    fn progress(&self) -> BorrowedFd<'_>;
}
