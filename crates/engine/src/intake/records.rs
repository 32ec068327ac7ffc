use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use message::{BatchBuilder, Span, StreamId, Text};
use plugin::{Clock, Counter, DecodeCx, Found, Record, Reject, Split, Transformed};

use super::EngineIntake;
use super::stream::Stream;
use crate::queue::Sender;
use crate::reject::{self, Original};
use crate::route::Parcel;

/// Most bytes asked for in one read, and the size at which a batch is handed on: small enough that
/// a block is still in cache when it is matched.
pub(super) const BLOCK: usize = 256 << 10;

/// Bytes asked for in the first read of a stream.
pub(super) const FIRST_READ: usize = 64 << 10;

/// The way of most bytes: a block is read, split into records, decoded, completed, transformed; and the batch handed on.
impl EngineIntake {
    /// Reads once, behind what is left of the stream, and takes the records that are complete.
    pub(super) fn read_block(&mut self, id: StreamId, from: &mut dyn Read) -> io::Result<usize> {
        self.renew();
        let apart = self.keep_apart(id);
        let cut = self.streams.get(id).and_then(Stream::before_cut).unwrap_or(usize::MAX);
        let start = self.load_carry(id);
        let ask = self.streams.get(id).map_or(FIRST_READ, |s| s.ask).min(cut);
        let raw = self.builder.raw();
        let result = from.read(raw.spare(ask));
        let n = *result.as_ref().unwrap_or(&0);
        raw.advance(n);
        if let Some(stream) = self.streams.get_mut(id) {
            stream.ask = if n == ask { (ask * 2).min(BLOCK) } else { (ask / 2).max(n).max(FIRST_READ) };
        }
        self.bytes += n as u64;
        if n > 0 {
            // At a cut a record ended when it was read the first time.
            self.take_records(id, start, n == cut);
        } else if let Some(stream) = self.streams.get_mut(id) {
            stream.carry.extend_from_slice(&self.builder.raw()[start..]);
            self.builder.raw().truncate(start);
        }
        if apart {
            self.streams.get_mut(id).into_iter().for_each(Stream::pass_cut);
            self.close_batch();
        }
        result
    }

    /// What some consumer may have already is not mixed with what none has: it goes in batches of its own.
    pub(super) fn keep_apart(&mut self, id: StreamId) -> bool {
        let apart = self.streams.get(id).is_some_and(|s| !s.cuts.is_empty());
        if apart {
            self.close_batch();
        }
        apart
    }

    pub(super) fn push_block(&mut self, id: StreamId, bytes: &[u8]) {
        self.renew();
        self.bytes += bytes.len() as u64;
        let start = self.load_carry(id);
        self.builder.raw().extend_from_slice(bytes);
        self.take_records(id, start, false);
    }

    /// Takes what is left of a stream for its last record.
    pub(super) fn end_block(&mut self, id: StreamId) {
        let start = self.load_carry(id);
        if start < self.builder.raw().len() {
            self.take_records(id, start, true);
        }
        // A record that was too long has ended with it.
        self.streams.get_mut(id).into_iter().for_each(|stream| stream.skipping = false);
    }

    /// Puts what is left of a stream back into the block; returns where it begins.
    fn load_carry(&mut self, id: StreamId) -> usize {
        let raw = self.builder.raw();
        let start = raw.len();
        if let Some(stream) = self.streams.get_mut(id) {
            raw.extend_from_slice(&stream.carry);
            stream.carry.clear();
        }
        start
    }

    /// Takes everything complete out of the raw block from `start` on; keeps the rest for later.
    fn take_records(&mut self, id: StreamId, start: usize, end: bool) {
        let Some(mut stream) = self.streams.take(id) else { return };
        let now = self.clock.now();
        let mut found = std::mem::take(&mut self.found);
        found.reset(self.limit, self.cut);
        let from = self.skip_rest(&mut stream, start, end);
        stream.splitter.split_all(self.builder.raw(), from, end, &mut found);
        self.count(&found);
        for (record, why) in &found.refused {
            self.refuse(*record, &Reject::new(*why), now);
        }
        self.decode_all(id, &mut stream, &found, now);
        let at = self.limit_record(id, &mut stream, found.end, now);
        self.found = found;
        stream.splitter.counts(&mut |name, n| self.standing.meter.add_extra(name, n));
        self.keep_rest(id, stream, start, at, end);
        if self.builder.bytes() >= BLOCK {
            self.close_batch();
        }
    }

    /// Skips what is left of a record that was too long; returns where the next one begins.
    fn skip_rest(&mut self, stream: &mut Stream, start: usize, end: bool) -> usize {
        let mut at = start;
        while stream.skipping {
            match stream.splitter.split(&self.builder.raw()[at..], end) {
                Split::More => break,
                Split::Garbage { end } => {
                    self.standing.meter.add_extra("discarded_bytes", end as u64);
                    at += end;
                }
                Split::Record { end, .. } | Split::Refused { end, .. } => {
                    self.standing.meter.add_extra("oversized_bytes", end as u64);
                    stream.skipping = false;
                    at += end;
                }
            }
        }
        at
    }

    fn count(&mut self, found: &Found) {
        self.received += (found.records.len() + found.refused.len()) as u64;
        if found.garbage > 0 {
            self.standing.meter.add_extra("discarded_bytes", found.garbage);
        }
        if found.oversized > 0 {
            self.standing.meter.add_extra("oversized_records", found.oversized);
            self.standing.meter.add_extra("oversized_bytes", found.oversized_bytes);
            if !self.cut {
                self.received += found.oversized;
                self.standing.meter.add(Counter::Dropped, found.oversized);
            }
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
        self.received += 1;
        if self.cut {
            let mark = self.builder.messages().begin();
            let first = self.builder.len();
            self.decode(stream, Text::raw(at, self.limit), None, now);
            return self.complete(Some((id, &*stream)), mark, first, now);
        }
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
        self.streams.put(id, stream);
        self.whole = self.builder.len();
    }

    /// Decodes what was found.
    fn decode_all(&mut self, id: StreamId, stream: &mut Stream, found: &Found, now: i64) {
        if found.records.is_empty() {
            return;
        }
        let mark = self.builder.messages().begin();
        let first = self.builder.len();
        if !found.signers.is_empty() || !self.decode_at_once(stream, &found.records, now) {
            let mut signers = found.signers.iter().peekable();
            for (place, record) in found.records.iter().enumerate() {
                let signer = signers.next_if(|(at, _)| *at == place).map(|(_, name)| &**name);
                self.decode(stream, *record, signer, now);
            }
        }
        self.complete(Some((id, &*stream)), mark, first, now);
    }

    /// Decodes records in one call. False when that is not possible, or a panic ended it.
    fn decode_at_once(&mut self, stream: &mut Stream, records: &[Text], now: i64) -> bool {
        let mut refused = std::mem::take(&mut self.refused);
        let (raw, messages) = self.builder.parts();
        let first = messages.len();
        let whole = stream.decoder.call_at_once(|decoder| {
            decoder.decode_all(raw, records, messages, &DecodeCx { now }, &mut |place, reject| refused.push((place, reject)))
        });
        if !whole {
            messages.truncate(first);
            refused.clear();
        }
        for (place, reject) in refused.drain(..) {
            self.refuse(records[place], &reject, now);
        }
        self.refused = refused;
        whole
    }

    /// Decodes one record.
    fn decode(&mut self, stream: &mut Stream, record: Text, signer: Option<&[u8]>, now: i64) {
        let (raw, messages) = self.builder.parts();
        let before = messages.len();
        let decoded = stream.decoder.call(|decoder| {
            messages.truncate(before);
            decoder.decode(Record::new(record.in_raw(raw), record), messages, &DecodeCx { now })
        });
        match (decoded, signer) {
            (Ok(()), None) => {}
            (Ok(()), Some(name)) => {
                let signer = messages.store(name);
                (before..messages.len()).for_each(|index| messages.message(index).set_signer_text(signer));
            }
            (Err(reject), _) => {
                messages.truncate(before);
                self.refuse(record, &reject, now);
            }
        }
    }

    /// Fills in what decoders left open and applies the transforms to the messages from `first` on,
    /// which were begun at `mark`.
    pub(super) fn complete(&mut self, stream: Option<(StreamId, &Stream)>, mark: u32, first: usize, now: i64) {
        self.store_defaults(stream);
        self.defaults.fill(self.builder.messages(), mark, first, now);
        if self.transforms.is_empty() {
            return;
        }
        let (mut kept, mut index) = (first, first);
        while index < self.builder.len() {
            if self.transform(index, now) {
                self.builder.messages().put(kept, index);
                kept += 1;
            }
            index += 1;
        }
        self.builder.messages().forget(kept);
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

    /// A record is set aside: counted, kept for whoever wants rejects, said now and then.
    pub(super) fn refuse(&mut self, record: Text, reject: &Reject, now: i64) {
        let record = record.in_raw(self.builder.raw()).to_vec();
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
    pub(super) fn close_batch(&mut self) {
        self.opened = None;
        self.whole = 0;
        self.account();
        if self.builder.is_empty() && self.builder.spans().is_empty() && self.rejects.is_empty() {
            return;
        }
        let (ticket, origin) = self.tracker.ticket(self.builder.spans(), &mut self.notes);
        let sender = Sender::Input { can_wait: self.can_wait, stop: &self.stop };
        if !self.rejects.is_empty() {
            let batch = Arc::new(self.rejects.finish());
            self.port.send_rejects(Parcel { batch, ticket: ticket.clone(), origin: None }, sender);
        }
        let loan = self.tracker.lend(self.builder.bytes());
        let batch = Arc::new(self.builder.finish_with(loan));
        self.standing.meter.add(Counter::Delivered, batch.len() as u64);
        self.port.send(Parcel { batch, ticket, origin }, sender);
        if self.can_wait {
            self.tracker.wait_below(self.window, &self.stop);
        }
        self.tell_halt();
        self.look_if_due();
    }

    /// Says once that positions stand still.
    pub(super) fn tell_halt(&mut self) {
        if let Some(why) = self.tracker.take_halt() {
            log::warn!(target: &self.input.id, "{why}");
            self.standing.shared.set_error(why);
        }
    }

    fn account(&mut self) {
        let meter = &self.standing.meter;
        meter.add(Counter::Bytes, std::mem::take(&mut self.bytes));
        meter.add(Counter::Received, std::mem::take(&mut self.received));
        let cpu = Clock::thread_cpu();
        meter.add(Counter::CpuNs, (cpu - self.cpu).as_nanos() as u64);
        self.cpu = cpu;
    }
}
