use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use message::{BatchBuilder, Messages, Pool, Span, StreamId, Text};
use plugin::{
    Build, Checkpoint, Clock, Counter, DecodeCx, Decoder, Intake, Record, Reject, Scripted, Split, Splitter, Stop, StreamOptions,
    Transform, Transformed,
};

use crate::codec::{Codec, Place};
use crate::keeper::Keeper;
use crate::plan::{InputPlan, Plan, Spec};
use crate::queue::Sender;
use crate::reject::{self, Original};
use crate::route::Port;
use crate::status::{Made, Standing};
use crate::supervise::contained;
use crate::tracker::Tracker;
use crate::watch;

/// Most bytes asked for in one read, and the size at which a batch is handed on: small enough that
/// a block is still in cache when it is matched.
const BLOCK: usize = 256 << 10;

/// Bytes asked for in the first read of a stream. Memory to read into is cleared first, which would
/// cost a stream of small reads more than the reading.
const FIRST_READ: usize = 64 << 10;

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
    /// When the first message of the open batch came.
    opened: Option<Duration>,
    streams: Vec<Option<Stream>>,
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

struct Stream {
    splitter: Box<dyn Splitter>,
    decoder: Codec<dyn Decoder>,
    /// Under which the decoder's state is kept; empty: it is not.
    key: String,
    /// Bytes read that belong to no complete record yet.
    carry: Vec<u8>,
    /// Stream position of the first byte of `carry`.
    position: u64,
    /// When `carry` last grew.
    touched: Duration,
    /// In the middle of a record that is too long.
    skipping: bool,
    /// Bytes to ask for: more while reads are full, less when they are not.
    ask: usize,
    logger: String,
    hostname: String,
}

/// One stream's splitter and decoder.
type Codecs = (Box<dyn Splitter>, Codec<dyn Decoder>);

/// The scripts among the input's codecs.
struct Scripts {
    keeper: Keeper,
    /// There are any.
    any: bool,
    /// What they were made of.
    files: BTreeMap<PathBuf, u64>,
    /// Requests to look for changed ones, and how many of them were followed.
    renew: Arc<AtomicU64>,
    renewed: u64,
}

/// Headers that decoders leave open, stored once a batch.
#[derive(Default)]
struct Defaults {
    generation: u64,
    type_: Text,
    logger: Text,
    hostname: Text,
    stream: Option<StreamId>,
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
        let renewed = renew.load(Ordering::Acquire);
        let transform = |spec: &Spec| Codec::new(place(spec), keeper.part(&part_of("transform", &spec.name)));
        let transforms = input.transforms.iter().map(transform).collect::<Result<Vec<_>, _>>()?;
        let decoder = place(&input.decoder);
        let mut intake = EngineIntake {
            window: input.spec.options.size("in_flight"),
            builder: BatchBuilder::new(Pool::new()),
            rejects: BatchBuilder::default(),
            whole: 0,
            limit: input.spec.options.size("max_record"),
            opened: None,
            streams: Vec::new(),
            decoder,
            transforms,
            scripts: Scripts { keeper, any: false, files: BTreeMap::new(), renew, renewed },
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

    fn codecs(&self, key: &str) -> Result<Codecs, String> {
        let splitter = &self.input.splitter;
        let Build::Splitter(split) = splitter.kind.build else { return Err(format!("{} is not a splitter", splitter.name)) };
        let split = split(&splitter.options, &self.plan.build_cx(splitter, &self.clock)).map_err(|p| p.to_string())?;
        let saved = if key.is_empty() { None } else { self.scripts.keeper.part(&self.decoder_key(key)) };
        Ok((split, Codec::new(self.decoder.clone(), saved)?))
    }

    /// Name under which the state of a stream's decoder is kept.
    fn decoder_key(&self, key: &str) -> String {
        format!("{} {key}", part_of("decoder", &self.input.decoder.name))
    }

    /// Tells what scripts were made of, as far as it is not known; with those of a decoder at hand.
    fn list_files(&mut self, decoders: &[&Codec<dyn Decoder>]) {
        let mut files: BTreeMap<PathBuf, u64> = std::mem::take(&mut self.scripts.files);
        let transforms = self.transforms.iter().flat_map(|t| t.files());
        files.extend(decoders.iter().flat_map(|d| d.files()).chain(transforms).cloned());
        self.scripts.any |= decoders.iter().any(|d| d.is_scripted()) || self.transforms.iter().any(Codec::is_scripted);
        self.standing.shared.set_files(Made::Codecs, files.iter().map(|(f, h)| (f.clone(), *h)).collect());
        self.scripts.files = files;
    }

    /// Takes changed scripts into service when a reload asked for it.
    fn renew(&mut self) {
        let wanted = self.scripts.renew.load(Ordering::Acquire);
        if wanted != self.scripts.renewed {
            self.scripts.renewed = wanted;
            self.renew_all();
        }
    }

    #[cold]
    fn renew_all(&mut self) {
        let mut hashes = HashMap::new();
        self.transforms.iter_mut().for_each(|t| t.renew(&mut hashes));
        for stream in self.streams.iter_mut().flatten() {
            stream.decoder.renew(&mut hashes);
        }
        let mut files: BTreeMap<PathBuf, u64> = BTreeMap::new();
        for (file, hash) in self.streams.iter().flatten().flat_map(|s| s.decoder.files()) {
            files.insert(file.clone(), *hash);
        }
        // Without a stream, the decoder's files are those that were known, with what they hold now.
        for file in std::mem::take(&mut self.scripts.files).into_keys() {
            files.entry(file.clone()).or_insert_with(|| *hashes.entry(file.clone()).or_insert_with(|| watch::hash(&file)));
        }
        self.scripts.files = files;
        self.list_files(&[]);
    }

    /// Reports limits of scripts and saves their states, as far as that is due.
    fn look(&mut self, own: Option<&mut dyn Scripted>, last: bool) {
        let keeper = &mut self.scripts.keeper;
        keeper.begin(self.clock.steady(), last);
        if let Some(script) = own {
            keeper.visit("", OWN, script);
        }
        for transform in &mut self.transforms {
            let part = part_of("transform", transform.name());
            if let Some(script) = transform.script() {
                keeper.visit(&part, &part, script);
            }
        }
        let part = part_of("decoder", &self.input.decoder.name);
        for stream in self.streams.iter_mut().flatten() {
            let key = if stream.key.is_empty() { String::new() } else { format!("{part} {}", stream.key) };
            if let Some(script) = stream.decoder.script() {
                keeper.visit(&part, &key, script);
            }
        }
        keeper.done();
    }

    fn look_if_due(&mut self) {
        if self.scripts.any && self.clock.steady() >= self.scripts.keeper.next() {
            self.look(None, false);
        }
    }

    /// The input has ended in order.
    pub fn finish(&mut self) {
        if self.scripts.any {
            self.look(None, true);
        }
    }

    /// Takes everything complete out of the raw block from `start` on; keeps the rest for later.
    fn take_records(&mut self, id: StreamId, start: usize, end: bool) {
        let Some(mut stream) = self.streams.get_mut(id as usize).and_then(Option::take) else { return };
        let now = self.clock.now();
        let mut at = start;
        loop {
            let raw = &self.builder.raw()[at..];
            if raw.is_empty() {
                break;
            }
            match stream.splitter.split(raw, end) {
                // The end of a record that was too long.
                Split::Record { end, .. } if stream.skipping => {
                    self.standing.meter.add_extra("oversized_bytes", end as u64);
                    stream.skipping = false;
                    at += end;
                }
                Split::Record { record, end } => {
                    if record.len() <= self.limit {
                        self.decode(id, &mut stream, at + record.start, record.len(), now);
                    } else {
                        self.oversize(id, &mut stream, at + record.start, now);
                        self.standing.meter.add_extra("oversized_bytes", record.len() as u64);
                    }
                    at += end;
                }
                Split::Garbage { end } => {
                    self.standing.meter.add_extra("discarded_bytes", end as u64);
                    at += end;
                }
                Split::Refused { record, end, why } => {
                    self.received += 1;
                    self.refuse(at + record.start, record.len(), &Reject::new(why), now);
                    at += end;
                }
                Split::More => break,
            }
        }
        at = self.limit_record(id, &mut stream, at, now);
        stream.splitter.counts(&mut |name, n| self.standing.meter.add_extra(name, n));
        self.keep_rest(id, stream, start, at, end);
        if self.builder.bytes() >= BLOCK {
            self.hand_on();
        }
    }

    /// Deals with a record that grew beyond the limit before its end was read: the rest is skipped
    /// until the splitter finds its end.
    fn limit_record(&mut self, id: StreamId, stream: &mut Stream, at: usize, now: i64) -> usize {
        let rest = self.builder.raw().len() - at;
        if rest <= self.limit {
            return at;
        }
        if !stream.skipping {
            stream.skipping = true;
            self.oversize(id, stream, at, now);
        }
        // The splitter forgets what it has seen of these bytes.
        let _ = stream.splitter.split(&self.builder.raw()[at..], true);
        self.standing.meter.add_extra("oversized_bytes", rest as u64);
        at + rest
    }

    /// Takes the beginning of a record that is too long, or none of it.
    fn oversize(&mut self, id: StreamId, stream: &mut Stream, at: usize, now: i64) {
        self.standing.meter.add_extra("oversized_records", 1);
        if self.input.spec.options.str("oversize") == "cut" {
            return self.decode(id, stream, at, self.limit, now);
        }
        self.received += 1;
        self.standing.meter.add(Counter::Dropped, 1);
    }

    fn keep_rest(&mut self, id: StreamId, mut stream: Stream, start: usize, at: usize, end: bool) {
        let rest = &self.builder.raw()[at..];
        let rest = if end { &[][..] } else { rest };
        stream.carry.clear();
        stream.carry.extend_from_slice(rest);
        let consumed = (if end { self.builder.raw().len() } else { at } - start) as u64;
        // A read that completes no record leaves nothing in the block.
        self.builder.raw().truncate(at);
        if consumed > 0 {
            self.builder.cover(Span { stream: id, from: stream.position, to: stream.position + consumed });
            stream.position += consumed;
            self.opened.get_or_insert_with(|| self.clock.steady());
        }
        stream.touched = self.clock.steady();
        self.streams[id as usize] = Some(stream);
        self.whole = self.builder.len();
    }

    fn decode(&mut self, id: StreamId, stream: &mut Stream, at: usize, len: usize, now: i64) {
        let (raw, messages) = self.builder.parts();
        let before = messages.len();
        let record = Record::new(&raw[at..at + len], Text::raw(at, len));
        self.received += 1;
        let decoded = stream.decoder.call(|decoder| {
            messages.truncate(before);
            decoder.decode(record, messages, &DecodeCx { now })
        });
        if let Err(reject) = decoded {
            messages.truncate(before);
            return self.refuse(at, len, &reject, now);
        }
        let signer = stream.splitter.signer().map(|s| messages.store(s));
        self.complete(Some((id, &*stream)), before, signer, now);
    }

    /// Fills in what decoders leave open and applies the transforms to the messages from `first` on.
    fn complete(&mut self, stream: Option<(StreamId, &Stream)>, first: usize, signer: Option<Text>, now: i64) {
        self.store_defaults(stream);
        let mut index = first;
        while index < self.builder.len() {
            self.defaults.fill(self.builder.messages(), index, signer, now);
            if self.transforms.is_empty() || self.transform(index, now) {
                index += 1;
            } else {
                self.builder.messages().remove(index);
            }
        }
    }

    /// True when the message stays.
    fn transform(&mut self, index: usize, now: i64) -> bool {
        for transform in &mut self.transforms {
            let (raw, messages) = self.builder.parts();
            // What a failed new version changed is taken back for the old one; a redaction that fails
            // otherwise is not tried again.
            let copy = transform.on_probation().then(|| {
                let mut copy = BatchBuilder::default();
                copy.copy(messages.view(raw, index));
                copy
            });
            let mut first = None;
            let outcome = transform.call(|transform| {
                if let Some(reject) = first.take() {
                    let Some(copy) = &copy else { return Err(reject) };
                    messages.message(index).copy_from(copy.get(0));
                }
                let outcome = transform.transform(raw, messages, index);
                first = outcome.as_ref().err().cloned();
                outcome
            });
            match outcome {
                Ok(Transformed::Keep) => {}
                Ok(Transformed::Drop) => {
                    self.standing.meter.add(Counter::Dropped, 1);
                    return false;
                }
                Err(reject) => {
                    // The payload may be what a redaction was to hide: only the reason is kept.
                    self.add_reject(&reject, Original::Record(b""), now);
                    return false;
                }
            }
        }
        true
    }

    fn store_defaults(&mut self, stream: Option<(StreamId, &Stream)>) {
        let messages = self.builder.messages();
        let d = &mut self.defaults;
        let id = stream.map(|(id, _)| id);
        if d.generation == messages.generation() && d.stream == id {
            return;
        }
        d.generation = messages.generation();
        d.stream = id;
        let or = |given: &str, other: &str| if given.is_empty() { other.to_string() } else { given.to_string() };
        let (logger, hostname) = stream.map_or(("", ""), |(_, s)| (s.logger.as_str(), s.hostname.as_str()));
        let type_ = self.input.spec.options.get_str("message_type").unwrap_or(&self.input.spec.name);
        d.type_ = messages.store(type_.as_bytes());
        d.logger = messages.store(or(logger, &self.input.spec.name).as_bytes());
        d.hostname = messages.store(or(hostname, &self.plan.globals.hostname).as_bytes());
    }

    /// A record is set aside: counted, kept for whoever wants rejects, said now and then.
    fn refuse(&mut self, at: usize, len: usize, reject: &Reject, now: i64) {
        let record = self.builder.raw()[at..at + len].to_vec();
        self.add_reject(reject, Original::Record(&record), now);
    }

    fn add_reject(&mut self, reject: &Reject, original: Original<'_>, now: i64) {
        self.standing.meter.add(Counter::Rejected, 1);
        let steady = self.clock.steady();
        if self.said_reject.is_none_or(|said| steady - said > Duration::from_secs(10)) {
            self.said_reject = Some(steady);
            self.standing.shared.set_error(format!("record refused: {reject}"));
            log::warn!(target: &self.input.id, "record refused: {reject}");
        }
        if self.port.wants_rejects() {
            reject::add(&mut self.rejects, &self.input.id, &reject.0, original, now, &self.plan.globals.hostname);
        }
    }

    /// Closes the batch and routes it.
    fn hand_on(&mut self) {
        self.opened = None;
        self.whole = 0;
        self.account();
        if self.builder.is_empty() && self.builder.spans().is_empty() && self.rejects.is_empty() {
            return;
        }
        let ticket = self.tracker.ticket(self.builder.spans(), &mut self.notes, self.builder.bytes());
        let sender = Sender::Input { can_wait: self.can_wait, stop: &self.stop };
        if !self.rejects.is_empty() {
            self.port.send_rejects(self.rejects.finish_with(ticket.clone()), sender);
        }
        let batch = self.builder.finish_with(ticket);
        self.standing.meter.add(Counter::Delivered, batch.len() as u64);
        self.port.send(batch, sender);
        if self.can_wait {
            self.tracker.wait_below(self.window, &self.stop);
        }
        self.look_if_due();
    }

    /// Makes records of the payloads of messages from `first` on, and has them decoded in their place.
    /// What the decoder leaves open is the message's.
    fn decode_made(&mut self, id: StreamId, first: usize) {
        let Some(mut stream) = self.streams.get_mut(id as usize).and_then(Option::take) else { return };
        let now = self.clock.now();
        for _ in first..self.builder.len() {
            let at = self.builder.raw().len();
            let payload = self.builder.get(first).payload().to_vec();
            self.builder.raw().extend_from_slice(&payload);
            let (raw, messages) = self.builder.parts();
            let (record, before) = (Record::new(&raw[at..], Text::raw(at, payload.len())), messages.len());
            let decoded = stream.decoder.call(|decoder| {
                messages.truncate(before);
                decoder.decode(record, messages, &DecodeCx { now })
            });
            if let Err(reject) = decoded {
                messages.truncate(before);
                self.refuse(at, payload.len(), &reject, now);
            }
            let messages = self.builder.messages();
            (before..messages.len()).for_each(|made| messages.inherit(made, first));
            messages.remove(first);
        }
        self.streams[id as usize] = Some(stream);
    }

    /// Takes messages that the input made itself.
    fn take_made(&mut self, stream: Option<StreamId>, make: &mut dyn FnMut(&mut Messages)) {
        self.renew();
        let first = self.builder.len();
        make(self.builder.messages());
        self.received += (self.builder.len() - first) as u64;
        if let Some(id) = stream.filter(|_| self.decodes) {
            self.decode_made(id, first);
        }
        self.complete(None, first, None, self.clock.now());
        self.opened.get_or_insert_with(|| self.clock.steady());
    }

    fn account(&mut self) {
        let meter = &self.standing.meter;
        meter.add(Counter::Bytes, std::mem::take(&mut self.bytes));
        meter.add(Counter::Received, std::mem::take(&mut self.received));
        let cpu = Clock::thread_cpu();
        meter.add(Counter::CpuNs, (cpu - self.cpu).as_nanos() as u64);
        self.cpu = cpu;
    }

    fn add(&mut self, id: StreamId, bytes: &[u8]) -> usize {
        self.bytes += bytes.len() as u64;
        let start = self.load_carry(id);
        self.builder.raw().extend_from_slice(bytes);
        start
    }

    /// Puts what is left of a stream back into the block; returns where it begins.
    fn load_carry(&mut self, id: StreamId) -> usize {
        let raw = self.builder.raw();
        let start = raw.len();
        if let Some(stream) = self.streams.get_mut(id as usize).and_then(Option::as_mut) {
            raw.append(&mut stream.carry);
        }
        start
    }

    /// Streams whose splitter will wait no longer.
    fn end_patience(&mut self) {
        let now = self.clock.steady();
        for id in 0..self.streams.len() {
            let Some(stream) = &self.streams[id] else { continue };
            let over = !stream.carry.is_empty() && stream.splitter.patience().is_some_and(|p| now >= stream.touched + p);
            if over {
                let start = self.load_carry(id as StreamId);
                self.take_records(id as StreamId, start, true);
            }
        }
    }
}

/// The input's own part of what is kept.
pub(crate) const OWN: &str = "input";

/// A codec's part, such as `decoder.nginx`.
fn part_of(family: &str, name: &str) -> String {
    format!("{family}.{name}")
}

impl Defaults {
    fn fill(&self, messages: &mut Messages, index: usize, signer: Option<Text>, now: i64) {
        use message::Header;
        let mut m = messages.message(index);
        if m.timestamp() == 0 {
            m.set_timestamp(now);
        }
        if !m.has(Header::Type) {
            m.set_type_text(self.type_);
        }
        if !m.has(Header::Logger) {
            m.set_logger_text(self.logger);
        }
        if !m.has(Header::Hostname) {
            m.set_hostname_text(self.hostname);
        }
        if let Some(signer) = signer {
            m.set_signer_text(signer);
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
        let id = self.streams.iter().position(Option::is_none).unwrap_or_else(|| {
            self.streams.push(None);
            self.streams.len() - 1
        });
        match self.codecs(&o.key) {
            Ok((splitter, decoder)) => {
                if decoder.files().iter().any(|(f, h)| self.scripts.files.get(f) != Some(h)) {
                    self.list_files(&[&decoder]);
                }
                let touched = self.clock.steady();
                let (logger, hostname) = (o.logger, o.hostname);
                let (carry, position, ask) = (Vec::new(), o.position, FIRST_READ);
                let key = o.key.clone();
                self.streams[id] =
                    Some(Stream { splitter, decoder, key, carry, position, touched, skipping: false, ask, logger, hostname });
            }
            // A script that is broken by now. Nothing of this stream may be lost: the input fails, and starts again later.
            Err(why) => std::panic::resume_unwind(Box::new(why)),
        }
        if self.scripts.any && !self.scripts.keeper.knows(&part_of("decoder", &self.input.decoder.name)) {
            self.look(None, false);
        }
        // A number that is used again means another stream from here on.
        self.defaults.stream = None;
        self.tracker.open(id as StreamId, Checkpoint { key: o.key, identity: o.identity, position: o.position, note: String::new() });
        id as StreamId
    }

    fn identify(&mut self, stream: StreamId, key: &str, identity: &str) {
        if let Some(stream) = self.streams.get_mut(stream as usize).and_then(Option::as_mut) {
            stream.key = key.to_string();
        }
        self.tracker.identify(stream, key, identity);
    }

    fn read(&mut self, id: StreamId, from: &mut dyn Read) -> io::Result<usize> {
        self.renew();
        let start = self.load_carry(id);
        let ask = self.streams.get(id as usize).and_then(Option::as_ref).map_or(FIRST_READ, |s| s.ask);
        let raw = self.builder.raw();
        let read_at = raw.len();
        raw.resize(read_at + ask, 0);
        let result = from.read(&mut raw[read_at..]);
        let n = *result.as_ref().unwrap_or(&0);
        raw.truncate(read_at + n);
        if let Some(stream) = self.streams.get_mut(id as usize).and_then(Option::as_mut) {
            stream.ask = if n == ask { (ask * 2).min(BLOCK) } else { (ask / 2).max(n).max(FIRST_READ) };
        }
        self.bytes += n as u64;
        if n > 0 {
            self.take_records(id, start, false);
        } else if let Some(stream) = self.streams.get_mut(id as usize).and_then(Option::as_mut) {
            stream.carry.extend_from_slice(&self.builder.raw()[start..]);
            self.builder.raw().truncate(start);
        }
        result
    }

    fn push(&mut self, id: StreamId, bytes: &[u8]) {
        self.renew();
        let start = self.add(id, bytes);
        self.take_records(id, start, false);
    }

    fn end_of_stream(&mut self, id: StreamId) {
        let start = self.load_carry(id);
        if start < self.builder.raw().len() {
            self.take_records(id, start, true);
        }
    }

    fn seek(&mut self, id: StreamId, position: u64) {
        // What was read before belongs to the old content.
        EngineIntake::hand_on(self);
        if let Some(stream) = self.streams.get_mut(id as usize).and_then(Option::as_mut) {
            // The splitter forgets what it has seen of these bytes.
            let _ = stream.splitter.split(&stream.carry, true);
            stream.carry.clear();
            stream.position = position;
            stream.skipping = false;
        }
        self.tracker.seek(id, position);
    }

    fn close(&mut self, id: StreamId) {
        EngineIntake::hand_on(self);
        if let Some(mut stream) = self.streams.get_mut(id as usize).and_then(Option::take)
            && let (Some(script), false) = (stream.decoder.script(), stream.key.is_empty())
        {
            let (part, keeper) = (part_of("decoder", &self.input.decoder.name), &mut self.scripts.keeper);
            keeper.begin(self.clock.steady(), true);
            keeper.visit(&part, &format!("{part} {}", stream.key), script);
            keeper.done();
        }
        self.tracker.close(id);
    }

    fn make(&mut self, make: &mut dyn FnMut(&mut Messages)) {
        self.take_made(None, make);
        self.whole = self.builder.len();
        if self.builder.bytes() >= BLOCK {
            EngineIntake::hand_on(self);
        }
    }

    fn make_at(&mut self, id: StreamId, note: Option<&str>, make: &mut dyn FnMut(&mut Messages)) {
        self.take_made(Some(id), make);
        if let Some(stream) = self.streams.get_mut(id as usize).and_then(Option::as_mut) {
            self.builder.cover(Span { stream: id, from: stream.position, to: stream.position + 1 });
            stream.position += 1;
            if let Some(note) = note {
                self.notes.insert(id, note.to_string());
            }
        }
        self.whole = self.builder.len();
        if self.builder.bytes() >= BLOCK {
            EngineIntake::hand_on(self);
        }
    }

    fn hand_on(&mut self) {
        EngineIntake::hand_on(self);
    }

    fn adopt(&mut self, script: &mut dyn Scripted) {
        let files = script.files().into_iter().map(|f| (f.clone(), watch::hash(&f))).collect();
        self.standing.shared.set_files(Made::Own, files);
        let keeper = &self.scripts.keeper;
        if let Some(saved) = keeper.part(OWN).filter(|s| !s.is_empty()) {
            match contained(|| script.restore(saved)).and_then(|r| r) {
                Ok(carried) => log::info!(target: &self.input.id, "goes on{}", crate::reload::carried(&carried)),
                Err(why) => log::warn!(target: &self.input.id, "starts without its saved state: {why}"),
            }
        }
        self.look(Some(script), false);
    }

    fn look_after(&mut self, script: &mut dyn Scripted, last: bool) {
        if last || self.clock.steady() >= self.scripts.keeper.next() {
            self.look(Some(script), last);
        }
    }

    fn poll(&mut self) {
        self.renew();
        self.look_if_due();
        self.end_patience();
        if self.opened.is_some_and(|opened| self.clock.steady() >= opened + MAX_AGE) || self.stop.asked() {
            EngineIntake::hand_on(self);
        }
    }

    fn wait(&self) -> Duration {
        let now = self.clock.steady();
        let batch = self.opened.map(|opened| (opened + MAX_AGE).saturating_sub(now));
        let patience = self
            .streams
            .iter()
            .flatten()
            .filter(|s| !s.carry.is_empty())
            .filter_map(|s| Some((s.touched + s.splitter.patience()?).saturating_sub(now)));
        patience.chain(batch).min().unwrap_or(IDLE)
    }

    fn settled(&mut self) -> bool {
        EngineIntake::hand_on(self);
        self.tracker.settled()
    }
}

/// What is still open when the input ends goes on its way. When a panic ended it in the middle of a
/// block, the messages of that block stay behind: it is read again.
impl Drop for EngineIntake {
    fn drop(&mut self) {
        self.builder.messages().truncate(self.whole);
        if let Err(panic) = contained(|| EngineIntake::hand_on(self)) {
            log::error!(target: &self.input.id, "the last batch is lost: {panic}");
        }
    }
}
