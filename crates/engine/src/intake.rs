mod defaults;
mod made;
mod records;
mod scripts;
mod stream;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use message::{BatchBuilder, Messages, Pool, StreamId};
use plugin::{Acceptance, Checkpoint, Clock, Found, Intake, Reject, Scripted, Stop, StreamOptions, Transform};

use self::defaults::Defaults;
use self::records::FIRST_READ;
pub(crate) use self::scripts::OWN;
use self::scripts::{Scripts, part_of};
use self::stream::{Stream, Streams};
use crate::codec::{Codec, Place};
use crate::keeper::Keeper;
use crate::plan::{InputPlan, Plan, Spec};
use crate::route::Port;
use crate::status::Standing;
use crate::supervise::contained;
use crate::tracker::Tracker;

/// How long a batch may wait for more when its input is idle.
const MAX_AGE: Duration = Duration::from_millis(1);

/// How long an input may sleep when nothing is pending.
const IDLE: Duration = Duration::from_secs(1);

/// An input's way into the engine: splits, decodes, transforms, batches and routes on the input's
/// own thread.
pub(crate) struct EngineIntake {
    plan: Arc<Plan>,
    input: InputPlan,
    standing: Standing,
    tracker: Arc<Tracker>,
    port: Port,
    stop: Stop,
    clock: Clock,
    can_wait: bool,
    window: usize,
    builder: BatchBuilder,
    rejects: BatchBuilder,
    /// Messages of the open batch whose bytes it covers: all, but in the middle of a block.
    whole: usize,
    /// Longest record taken.
    limit: usize,
    /// Whether the beginning of a longer one is taken.
    cut: bool,
    /// When the first message of the open batch came.
    opened: Option<Duration>,
    /// Scratch memory.
    found: Found,
    refused: Vec<(usize, Reject)>,
    streams: Streams,
    decoder: Arc<Place>,
    transforms: Vec<Codec<dyn Transform>>,
    scripts: Scripts,
    /// What the input noted of streams in the open batch.
    notes: BTreeMap<StreamId, String>,
    /// Messages the input makes itself are records of the decoder, too.
    decodes: bool,
    defaults: Defaults,
    /// Counted here and told once a batch.
    bytes: u64,
    received: u64,
    /// CPU time of this thread that is accounted for already.
    cpu: Duration,
    said_reject: Option<Duration>,
}

/// What an intake is made of.
pub(crate) struct IntakeParts {
    pub plan: Arc<Plan>,
    pub input: InputPlan,
    pub standing: Standing,
    pub tracker: Arc<Tracker>,
    pub port: Port,
    pub stop: Stop,
    pub can_wait: bool,
    /// Counts requests to look for changed scripts.
    pub renew: Arc<AtomicU64>,
    pub keeper: Keeper,
}

impl EngineIntake {
    /// # Errors
    /// When a codec cannot be built.
    pub fn new(parts: IntakeParts) -> Result<EngineIntake, String> {
        let IntakeParts { plan, input, standing, tracker, port, stop, can_wait, renew, keeper } = parts;
        let clock = Clock::real();
        let place = |spec: &Spec| {
            let (owner, standing, clock) = (input.id.clone(), standing.clone(), clock.clone());
            Arc::new(Place { plan: plan.clone(), spec: spec.clone(), owner, standing, clock, stop: stop.clone(), renew: renew.clone() })
        };
        let transform = |spec: &Spec| Codec::new(place(spec), keeper.part(&part_of("transform", &spec.name)));
        let transforms = input.transforms.iter().map(transform).collect::<Result<Vec<_>, _>>()?;
        let decoder = place(&input.decoder);
        let mut intake = EngineIntake {
            window: input.spec.options.size("in_flight"),
            builder: BatchBuilder::new(Pool::new()),
            rejects: BatchBuilder::default(),
            whole: 0,
            limit: input.spec.options.size("max_record"),
            cut: input.spec.options.str("oversize") == "cut",
            opened: None,
            found: Found::default(),
            refused: Vec::new(),
            streams: Streams::default(),
            decoder,
            transforms,
            scripts: Scripts::new(keeper, renew),
            notes: BTreeMap::new(),
            decodes: input.spec.options.given("decoder"),
            defaults: Defaults::default(),
            bytes: 0,
            received: 0,
            cpu: Clock::thread_cpu(),
            said_reject: None,
            clock,
            plan,
            input,
            standing,
            tracker,
            port,
            stop,
            can_wait,
        };
        // One that no stream has yet: what it is made of is watched all the same.
        let (_, decoder) = intake.codecs("")?;
        intake.list_files(&[&decoder]);
        drop(decoder);
        intake.look(None, false);
        Ok(intake)
    }

    /// The input has ended in order.
    pub fn finish(&mut self) {
        if self.scripts.any {
            self.look(None, true);
        }
    }
}

impl Intake for EngineIntake {
    fn checkpoints(&self) -> Vec<Checkpoint> {
        self.tracker.sent()
    }

    fn forget(&mut self, key: &str) {
        self.scripts.keeper.forget(&self.decoder_key(key));
        self.tracker.forget(key);
    }

    fn open(&mut self, o: StreamOptions) -> StreamId {
        let id = self.streams.free();
        let (splitter, decoder) = match self.codecs(&o.key) {
            Ok(codecs) => codecs,
            // A script that is broken by now. Nothing of this stream may be lost: the input fails, and starts again later.
            Err(why) => std::panic::resume_unwind(Box::new(why)),
        };
        self.watch_decoder(&decoder);
        let (touched, carry, key) = (self.clock.steady(), Vec::new(), o.key.clone());
        let (position, ask, logger, hostname, fields) = (o.position, FIRST_READ, o.logger, o.hostname, o.fields);
        self.tracker.open(id, Checkpoint { key: o.key, identity: o.identity, position, note: String::new() });
        if o.acknowledged {
            self.tracker.await_acceptance(id, position);
        }
        let mut cuts = if key.is_empty() { Vec::new() } else { self.port.cuts(&self.input.id, self.tracker.life(id)) };
        cuts.retain(|cut| *cut > position);
        self.streams
            .put(id, Stream { splitter, decoder, key, carry, position, touched, skipping: false, ask, logger, hostname, fields, cuts });
        self.look_at_first();
        self.defaults.forget_stream();
        id
    }

    fn identify(&mut self, stream: StreamId, key: &str, identity: &str) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.key = key.to_string();
        }
        self.tracker.identify(stream, key, identity);
    }

    fn attribute(&mut self, stream: StreamId, hostname: &str, fields: &[(String, String)]) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.hostname = hostname.to_string();
            stream.fields = fields.to_vec();
        }
        self.defaults.forget_stream();
    }

    fn read(&mut self, id: StreamId, from: &mut dyn Read) -> io::Result<usize> {
        self.read_block(id, from)
    }

    fn push(&mut self, id: StreamId, bytes: &[u8]) {
        self.push_block(id, bytes);
    }

    fn end_of_stream(&mut self, id: StreamId) {
        self.end_block(id);
    }

    fn seek(&mut self, id: StreamId, position: u64) {
        self.close_batch();
        if let Some(stream) = self.streams.get_mut(id) {
            stream.seek(position);
        }
        self.tracker.seek(id, position);
    }

    fn close(&mut self, id: StreamId) {
        self.close_batch();
        if let Some(mut stream) = self.streams.take(id) {
            self.part_with(&mut stream);
        }
        self.tracker.close(id);
    }

    fn make(&mut self, make: &mut dyn FnMut(&mut Messages)) {
        self.take_made(None, make);
        self.end_made();
    }

    fn make_at(&mut self, id: StreamId, note: Option<&str>, make: &mut dyn FnMut(&mut Messages)) {
        let apart = self.keep_apart(id);
        self.take_made(Some(id), make);
        self.cover_made(id, note);
        self.end_made();
        if apart {
            self.close_batch();
        }
    }

    fn hand_on(&mut self) {
        self.close_batch();
    }

    fn adopt(&mut self, script: &mut dyn Scripted) {
        self.adopt_own(script);
    }

    fn look_after(&mut self, script: &mut dyn Scripted, last: bool) {
        if last || self.clock.steady() >= self.scripts.keeper.next() {
            self.look(Some(script), last);
        }
    }

    fn poll(&mut self) {
        self.renew();
        self.tell_halt();
        self.look_if_due();
        for id in self.streams.overdue(self.clock.steady()) {
            self.end_block(id);
        }
        if self.opened.is_some_and(|opened| self.clock.steady() >= opened + MAX_AGE) || self.stop.asked() {
            self.close_batch();
        }
    }

    fn wait(&self) -> Duration {
        let batch = self.opened.map(|opened| opened + MAX_AGE);
        let due = self.streams.next_due().into_iter().chain(batch).min();
        due.map_or(IDLE, |due| due.saturating_sub(self.clock.steady()))
    }

    fn settled(&mut self) -> bool {
        self.close_batch();
        self.tracker.settled()
    }

    fn settled_stream(&mut self, key: &str) -> bool {
        if self.builder.spans().iter().any(|span| self.streams.get(span.stream).is_some_and(|s| s.key == key)) {
            self.close_batch();
        }
        self.tracker.settled_stream(key)
    }

    fn accepted(&mut self, stream: StreamId) -> Acceptance {
        self.tracker.acceptance(stream)
    }

    fn progress(&self) -> BorrowedFd<'_> {
        self.tracker.acknowledged.fd()
    }
}

/// What is still open when the input ends goes on its way. When a panic ended it in the middle of a
/// block, the messages of that block stay behind: it is read again.
impl Drop for EngineIntake {
    fn drop(&mut self) {
        self.builder.messages().truncate(self.whole);
        if let Err(panic) = contained(|| self.close_batch()) {
            log::error!(target: &self.input.id, "the last batch is lost: {panic}");
        }
    }
}
