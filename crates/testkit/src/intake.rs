//! A double of the engine that records what an input under test reads.
//!
//! ```no_run
//! # use plugin::Kind;
//! # fn example(kind: &Kind) {
//! use testkit::intake::{RecordingIntake, start};
//!
//! let intake = RecordingIntake::default();
//! let running = start(testkit::plugins::input(kind, "paths = 'a.log'").unwrap(), &intake);
//! running.wait_for(|seen| seen.bytes() == b"one line\n");
//! running.stop().unwrap();
//! # }
//! ```

use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use message::{Batch, BatchBuilder, Messages, StreamId};
use plugin::{Acceptance, Checkpoint, Clock, Event, Fatal, Input, InputCx, Intake, Meter, Stop, StreamOptions};

use crate::plugins::build_cx;

/// How long a test waits for what it expects before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Implements [`Intake`] and remembers everything. Copies share what is remembered.
#[derive(Clone)]
pub struct RecordingIntake {
    shared: Arc<(Mutex<Seen>, Condvar)>,
    /// Set when more is accepted.
    progress: Arc<Event>,
    /// Most bytes one read takes.
    block: usize,
}

/// What an input has done so far.
#[derive(Default, Debug)]
pub struct Seen {
    /// What earlier runs remembered.
    checkpoints: Vec<Checkpoint>,
    /// In the order they were opened; the index is the [`StreamId`].
    pub streams: Vec<SeenStream>,
    /// Keys that were forgotten, in order.
    pub forgotten: Vec<String>,
    /// Messages the input made itself, one batch a call.
    pub made: Vec<Arc<Batch>>,
    /// Calls of [`Intake::poll`].
    pub polls: usize,
    /// Every byte read, of all streams, in the order it was read.
    order: Vec<u8>,
    /// Nothing more is accepted.
    withheld: bool,
    /// What is not accepted yet is lost.
    lost: bool,
}

/// One stream as the input used it.
#[derive(Default, Debug)]
pub struct SeenStream {
    /// As opened; key, identity, hostname and fields as changed since.
    pub options: StreamOptions,
    pub bytes: Vec<u8>,
    /// What was pushed, call by call. Also part of `bytes`.
    pub pushed: Vec<Vec<u8>>,
    /// The hostnames it was given since it was opened, in order.
    pub attributed: Vec<String>,
    /// Position of the next byte.
    pub position: u64,
    /// Position up to which lines are complete: where a restart would go on.
    pub complete: u64,
    /// Position up to which lines were accepted.
    pub accepted: u64,
    /// Lengths of `bytes` at which the stream was said to be at its end.
    pub ends: Vec<usize>,
    /// What the input noted last.
    pub note: String,
    /// Positions the stream was moved to.
    pub seeks: Vec<u64>,
    pub closed: bool,
}

impl Seen {
    /// Every byte read, of all streams, in the order it was read.
    pub fn bytes(&self) -> &[u8] {
        &self.order
    }

    /// All lines, of all streams in the order these were opened. Where a stream was at its end a line ends too.
    pub fn lines(&self) -> Vec<String> {
        self.streams.iter().flat_map(SeenStream::lines).collect()
    }

    /// What an engine would remember if every complete line was accepted.
    pub fn remembered(&self) -> Vec<Checkpoint> {
        let mut remembered = self.checkpoints.clone();
        for stream in &self.streams {
            remembered.retain(|c| c.key != stream.options.key);
            let StreamOptions { key, identity, .. } = &stream.options;
            remembered.push(Checkpoint {
                key: key.clone(),
                identity: identity.clone(),
                position: stream.complete,
                note: stream.note.clone(),
            });
        }
        remembered.retain(|c| !c.key.is_empty() && !self.forgotten.contains(&c.key));
        remembered
    }

    /// The lines that would not be read again after a restart, in the order their streams were opened.
    pub fn complete_lines(&self) -> Vec<String> {
        self.streams.iter().flat_map(SeenStream::complete_lines).collect()
    }

    fn accept(&mut self) {
        if !self.withheld && !self.lost {
            self.streams.iter_mut().for_each(|s| s.accepted = s.complete);
        }
    }

    fn stream(&mut self, stream: StreamId) -> &mut SeenStream {
        let stream = &mut self.streams[stream as usize];
        assert!(!stream.closed, "a closed stream is used: {:?}", stream.options);
        stream
    }

    fn take(&mut self, stream: StreamId, bytes: &[u8]) {
        self.order.extend_from_slice(bytes);
        let stream = self.stream(stream);
        stream.bytes.extend_from_slice(bytes);
        stream.position += bytes.len() as u64;
        if let Some(newline) = bytes.iter().rposition(|b| *b == b'\n') {
            stream.complete = stream.position - (bytes.len() - newline - 1) as u64;
        }
    }
}

impl SeenStream {
    /// All but a last one that is still incomplete.
    pub fn complete_lines(&self) -> Vec<String> {
        let mut lines = self.lines();
        if self.complete < self.position {
            lines.pop();
        }
        lines
    }

    pub fn lines(&self) -> Vec<String> {
        let (mut lines, mut from) = (Vec::new(), 0);
        for end in self.ends.iter().copied().chain([self.bytes.len()]) {
            let text = String::from_utf8_lossy(&self.bytes[from..end]);
            lines.extend(text.lines().map(str::to_string));
            from = end;
        }
        lines
    }
}

impl Default for RecordingIntake {
    fn default() -> Self {
        RecordingIntake::new(Vec::new())
    }
}

impl RecordingIntake {
    /// `checkpoints`: what earlier runs remembered.
    pub fn new(checkpoints: Vec<Checkpoint>) -> RecordingIntake {
        let seen = Seen { checkpoints, ..Seen::default() };
        RecordingIntake { shared: Arc::new((Mutex::new(seen), Condvar::new())), progress: Arc::default(), block: 64 << 10 }
    }

    /// Reads at most `block` bytes at a time.
    pub fn with_block(mut self, block: usize) -> RecordingIntake {
        self.block = block;
        self
    }

    /// From now on nothing more is accepted, or everything is again.
    pub fn withhold(&self, withhold: bool) {
        self.change(|seen| seen.withheld = withhold);
    }

    /// What is not accepted by now will not be: a consumer let go of it.
    pub fn lose(&self) {
        self.change(|seen| seen.lost = true);
    }

    /// What was done so far. The input waits while this is held.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A fresh intake for the next run: it has the checkpoints this one would have left.
    pub fn restarted(&self) -> RecordingIntake {
        RecordingIntake::new(self.seen().remembered()).with_block(self.block)
    }

    fn change<R>(&self, change: impl FnOnce(&mut Seen) -> R) -> R {
        let result = {
            let mut seen = self.seen();
            let result = change(&mut seen);
            seen.accept();
            result
        };
        self.progress.set();
        self.shared.1.notify_all();
        result
    }
}

impl Intake for RecordingIntake {
    fn checkpoints(&self) -> Vec<Checkpoint> {
        self.seen().checkpoints.clone()
    }

    fn forget(&mut self, key: &str) {
        self.change(|seen| {
            assert!(!seen.streams.iter().any(|s| !s.closed && s.options.key == key), "an open stream is forgotten: {key}");
            seen.forgotten.push(key.to_string());
        });
    }

    fn open(&mut self, options: StreamOptions) -> StreamId {
        self.change(|seen| {
            let taken = |s: &SeenStream| !s.closed && !options.key.is_empty() && s.options.key == options.key;
            assert!(!seen.streams.iter().any(taken), "two open streams have one key: {options:?}");
            seen.forgotten.retain(|key| *key != options.key);
            let position = options.position;
            seen.streams.push(SeenStream { options, position, complete: position, ..SeenStream::default() });
            (seen.streams.len() - 1) as StreamId
        })
    }

    fn identify(&mut self, stream: StreamId, key: &str, identity: &str) {
        self.change(|seen| {
            let stream = seen.stream(stream);
            (stream.options.key, stream.options.identity) = (key.to_string(), identity.to_string());
        });
    }

    fn attribute(&mut self, stream: StreamId, hostname: &str, fields: &[(String, String)]) {
        self.change(|seen| {
            let stream = seen.stream(stream);
            assert!(stream.complete == stream.position, "what came before is not at its end");
            (stream.options.hostname, stream.options.fields) = (hostname.to_string(), fields.to_vec());
            stream.attributed.push(hostname.to_string());
        });
    }

    fn read(&mut self, stream: StreamId, from: &mut dyn Read) -> io::Result<usize> {
        let mut block = vec![0; self.block];
        let n = from.read(&mut block)?;
        self.change(|seen| seen.take(stream, &block[..n]));
        Ok(n)
    }

    fn push(&mut self, stream: StreamId, bytes: &[u8]) {
        self.change(|seen| {
            seen.take(stream, bytes);
            seen.stream(stream).pushed.push(bytes.to_vec());
        });
    }

    fn end_of_stream(&mut self, stream: StreamId) {
        self.change(|seen| {
            let stream = seen.stream(stream);
            stream.ends.push(stream.bytes.len());
            stream.complete = stream.position;
        });
    }

    fn seek(&mut self, stream: StreamId, position: u64) {
        self.change(|seen| {
            let stream = seen.stream(stream);
            stream.seeks.push(position);
            (stream.position, stream.complete) = (position, position);
        });
    }

    fn close(&mut self, stream: StreamId) {
        self.change(|seen| seen.stream(stream).closed = true);
    }

    fn make(&mut self, make: &mut dyn FnMut(&mut Messages)) {
        let mut builder = BatchBuilder::default();
        make(builder.messages());
        self.change(|seen| seen.made.push(Arc::new(builder.finish())));
    }

    fn make_at(&mut self, stream: StreamId, note: Option<&str>, make: &mut dyn FnMut(&mut Messages)) {
        let mut builder = BatchBuilder::default();
        make(builder.messages());
        self.change(|seen| {
            seen.made.push(Arc::new(builder.finish()));
            let stream = seen.stream(stream);
            stream.position += 1;
            stream.complete = stream.position;
            if let Some(note) = note {
                stream.note = note.to_string();
            }
        });
    }

    fn hand_on(&mut self) {}

    fn poll(&mut self) {
        self.change(|seen| seen.polls += 1);
    }

    fn wait(&self) -> Duration {
        Duration::from_millis(50)
    }

    fn settled(&mut self) -> bool {
        self.seen().streams.iter().all(|s| s.closed || s.accepted == s.complete)
    }

    fn settled_stream(&mut self, key: &str) -> bool {
        self.seen().streams.iter().filter(|s| s.options.key == key).all(|s| s.accepted == s.complete)
    }

    fn accepted(&mut self, stream: StreamId) -> Acceptance {
        self.progress.clear();
        let mut seen = self.seen();
        let lost = seen.lost;
        let stream = seen.stream(stream);
        assert!(stream.options.acknowledged, "a stream that was not opened as acknowledged: {:?}", stream.options);
        Acceptance { position: stream.accepted, lost }
    }

    fn progress(&self) -> BorrowedFd<'_> {
        self.progress.fd()
    }
}

/// An input that runs on a thread of its own. Dropping it stops it.
pub struct Running {
    intake: RecordingIntake,
    meter: Arc<Meter>,
    stop: Stop,
    thread: Option<JoinHandle<Result<(), Fatal>>>,
}

/// Runs an input with the machine's clock.
pub fn start(input: Box<dyn Input>, intake: &RecordingIntake) -> Running {
    start_at(input, intake, Clock::real())
}

/// Runs an input by a clock of the test's.
pub fn start_at(mut input: Box<dyn Input>, intake: &RecordingIntake, clock: Clock) -> Running {
    let (stop, meter) = (Stop::new(), Arc::new(Meter::default()));
    let mut own = intake.clone();
    let (own_stop, own_meter) = (stop.clone(), meter.clone());
    let thread = std::thread::spawn(move || {
        let build = build_cx();
        let mut cx = InputCx { build: &build, clock: &clock, stop: &own_stop, meter: &own_meter, intake: &mut own };
        let result = input.run(&mut cx);
        own.shared.1.notify_all();
        result
    });
    Running { intake: intake.clone(), meter, stop, thread: Some(thread) }
}

/// Runs an input until `condition` holds, then stops it.
///
/// # Panics
/// When the condition does not come to hold, or the input fails.
pub fn run_until(input: Box<dyn Input>, intake: &RecordingIntake, condition: impl Fn(&Seen) -> bool) {
    let running = start(input, intake);
    running.wait_for(condition);
    running.stop().unwrap_or_else(|fatal| panic!("the input failed: {fatal}"));
}

impl Running {
    /// The input's counters.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Waits until `condition` holds of what the input has done.
    ///
    /// # Panics
    /// When that takes too long; says what there is instead.
    pub fn wait_for(&self, condition: impl Fn(&Seen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.intake.seen();
        while !condition(&seen) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                let text = format!("{:?}", *seen);
                drop(seen);
                panic!("it did not come to hold; there is: {}", text.chars().take(4000).collect::<String>());
            };
            // Woken by every change; the short limit is for conditions about something else.
            let wait = left.min(Duration::from_millis(20));
            seen = self.intake.shared.1.wait_timeout(seen, wait).unwrap_or_else(|e| e.into_inner()).0;
        }
    }

    /// Waits until the input ends by itself.
    ///
    /// # Errors
    /// Why it failed.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn finish(mut self) -> Result<(), Fatal> {
        self.wait_for(|_| self.thread.as_ref().is_none_or(JoinHandle::is_finished));
        self.join()
    }

    /// Asks the input to stop and waits until it did.
    ///
    /// # Errors
    /// Why it failed.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(self) -> Result<(), Fatal> {
        self.stop.ask();
        self.finish()
    }

    fn join(&mut self) -> Result<(), Fatal> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.ask();
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            let _ = thread.join();
        }
    }
}
