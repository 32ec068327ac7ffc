//! The books: what was issued and acknowledged of each stream, and what was delivered at each output.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::record::{self, Id};

/// What one sender issued. Numbers are issued and acknowledged in order.
#[derive(Debug)]
pub struct Stream {
    pub id: u32,
    pub name: &'static str,
    issued: AtomicU64,
    acknowledged: AtomicU64,
}

impl Stream {
    /// The last number that may have left.
    pub fn issued(&self) -> u64 {
        self.issued.load(Ordering::Acquire)
    }

    /// The last number the sender may forget.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Appends a record's text, which counts as issued from now on.
    pub fn issue(&self, number: u64, into: &mut Vec<u8>) {
        Id { stream: self.id, number }.write(into);
        self.issued.fetch_max(number, Ordering::AcqRel);
    }

    pub fn acknowledge(&self, number: u64) {
        self.acknowledged.fetch_max(number, Ordering::AcqRel);
    }
}

/// Of one stream at one output.
#[derive(Default, Debug)]
struct Seen {
    /// How often each number came; the first is number 1.
    times: Vec<u8>,
    /// Everything up to here came.
    whole: u64,
}

impl Seen {
    /// Whether it came before, and whether a later one did.
    fn note(&mut self, number: u64) -> (bool, bool) {
        let at = number as usize - 1;
        let later = at < self.times.len();
        if !later {
            self.times.resize(at + 1, 0);
        }
        let before = self.times[at] > 0;
        self.times[at] = self.times[at].saturating_add(1);
        while self.times.get(self.whole as usize).is_some_and(|n| *n > 0) {
            self.whole += 1;
        }
        (before, later && !before)
    }

    fn missing(&self, until: u64) -> u64 {
        (self.whole..until).filter(|at| self.times.get(*at as usize).is_none_or(|n| *n == 0)).count() as u64
    }
}

/// What went wrong at an output, in messages, and what came again.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// Different records.
    pub delivered: u64,
    pub repeated: u64,
    /// Texts that are no record, and records that were never issued; with the first of them.
    pub damaged: u64,
    pub foreign: u64,
    pub first_wrong: Option<String>,
    /// Records that came for the first time after a later one of their stream.
    pub misordered: u64,
    /// Beginnings of records before whole ones.
    pub torn: u64,
}

/// What one receiver got.
#[derive(Debug)]
pub struct Delivered {
    pub name: &'static str,
    streams: Arc<Streams>,
    seen: Mutex<(HashMap<u32, Seen>, Tally)>,
    count: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Delivered {
    /// Notes one message's text.
    pub fn note(&self, text: &[u8]) {
        let mut guard = lock(&self.seen);
        let (seen, tally) = &mut *guard;
        match Id::read(text) {
            Some(id) if self.streams.was_issued(id) => {
                let (before, misordered) = seen.entry(id.stream).or_default().note(id.number);
                tally.repeated += u64::from(before);
                tally.delivered += u64::from(!before);
                tally.misordered += u64::from(misordered);
                if misordered && tally.first_wrong.is_none() {
                    tally.first_wrong = Some(format!("stream {} number {} came after a later one", id.stream, id.number));
                }
            }
            id => {
                tally.foreign += u64::from(id.is_some());
                tally.damaged += u64::from(id.is_none());
                tally.first_wrong.get_or_insert_with(|| format!("{:.160?}", String::from_utf8_lossy(text)));
            }
        }
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// As [`Delivered::note`], for a line that may begin with what a killed writer left.
    pub fn note_line(&self, line: &[u8]) {
        match Id::read_after_torn(line) {
            Some(_) => {
                let at = line.iter().rposition(|b| *b == b'#').unwrap_or(0);
                self.note(&line[at..]);
                lock(&self.seen).1.torn += 1;
            }
            None if Id::read(line).is_none() && record::is_beginning(line) => lock(&self.seen).1.torn += 1,
            None => self.note(line),
        }
    }

    /// Messages that came, repeated or not. Rises with each.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    pub fn tally(&self) -> Tally {
        lock(&self.seen).1.clone()
    }

    /// Acknowledged records that did not come.
    pub fn missing(&self) -> u64 {
        let guard = lock(&self.seen);
        let of = |s: &Arc<Stream>| guard.0.get(&s.id).map_or(s.acknowledged(), |seen| seen.missing(s.acknowledged()));
        self.streams.all().iter().map(of).sum()
    }

    /// The acknowledged records that did not come, as runs of numbers by stream.
    pub fn gaps(&self) -> Vec<String> {
        let guard = lock(&self.seen);
        let mut gaps = Vec::new();
        for stream in self.streams.all() {
            let came = |n: u64| guard.0.get(&stream.id).is_some_and(|s| s.times.get(n as usize - 1).is_some_and(|t| *t > 0));
            let mut from = None;
            for n in 1..=stream.acknowledged() + 1 {
                let missing = n <= stream.acknowledged() && !came(n);
                match (from, missing) {
                    (None, true) => from = Some(n),
                    (Some(first), false) => {
                        gaps.push(format!("{} {first}..={} of {}", stream.name, n - 1, stream.acknowledged()));
                        from = None;
                    }
                    _ => {}
                }
            }
        }
        gaps
    }
}

#[derive(Default, Debug)]
struct Streams(RwLock<Vec<Arc<Stream>>>);

impl Streams {
    fn all(&self) -> Vec<Arc<Stream>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn was_issued(&self, id: Id) -> bool {
        let streams = self.0.read().unwrap_or_else(PoisonError::into_inner);
        streams.iter().any(|s| s.id == id.stream && (1..=s.issued()).contains(&id.number))
    }
}

/// All streams and all outputs. Every output is meant to get every record.
#[derive(Debug)]
pub struct Ledger {
    streams: Arc<Streams>,
    outputs: Mutex<Vec<Arc<Delivered>>>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger::new()
    }
}

impl Ledger {
    pub fn new() -> Ledger {
        Ledger { streams: Arc::default(), outputs: Mutex::default() }
    }

    /// A stream with a number of its own, also among those of other processes of this kind at work.
    pub fn stream(&self, name: &'static str) -> Arc<Stream> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = (std::process::id() % 40_000) * 100_000 + (NEXT.fetch_add(1, Ordering::Relaxed) % 100_000) as u32;
        let stream = Arc::new(Stream { id, name, issued: AtomicU64::new(0), acknowledged: AtomicU64::new(0) });
        self.adopt(stream.clone());
        stream
    }

    /// Expects a stream of other books here too.
    pub fn adopt(&self, stream: Arc<Stream>) {
        self.streams.0.write().unwrap_or_else(PoisonError::into_inner).push(stream);
    }

    pub fn output(&self, name: &'static str) -> Arc<Delivered> {
        let output = Arc::new(Delivered { name, streams: self.streams.clone(), seen: Mutex::default(), count: AtomicU64::new(0) });
        lock(&self.outputs).push(output.clone());
        output
    }

    pub fn outputs(&self) -> Vec<Arc<Delivered>> {
        lock(&self.outputs).clone()
    }

    pub fn issued(&self) -> u64 {
        self.streams.all().iter().map(|s| s.issued()).sum()
    }

    pub fn acknowledged(&self) -> u64 {
        self.streams.all().iter().map(|s| s.acknowledged()).sum()
    }

    /// Messages that came anywhere.
    pub fn count(&self) -> u64 {
        lock(&self.outputs).iter().map(|o| o.count()).sum()
    }

    /// Acknowledged records that did not come, over all outputs.
    pub fn missing(&self) -> u64 {
        self.outputs().iter().map(|o| o.missing()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(stream: &Stream, number: u64) -> Vec<u8> {
        let mut text = Vec::new();
        stream.issue(number, &mut text);
        text
    }

    #[test]
    fn what_was_acknowledged_and_did_not_come_is_missing() {
        let ledger = Ledger::new();
        let (stream, output) = (ledger.stream("tail"), ledger.output("file"));
        let texts: Vec<_> = (1..=5).map(|n| issue(&stream, n)).collect();
        stream.acknowledge(4);
        [0, 1, 0, 3].iter().for_each(|i| output.note(&texts[*i]));
        assert_eq!((ledger.issued(), ledger.acknowledged(), ledger.missing()), (5, 4, 1));
        assert_eq!(output.gaps(), ["tail 3..=3 of 4"]);
        output.note(&texts[2]);
        let tally = output.tally();
        assert_eq!((ledger.missing(), tally.delivered, tally.repeated, tally.misordered), (0, 4, 1, 1));
    }

    #[test]
    fn what_was_not_issued_is_foreign_and_what_is_no_record_is_damaged() {
        let (ledger, other) = (Ledger::new(), Ledger::new());
        let (stream, output) = (ledger.stream("tcp"), ledger.output("tcp"));
        output.note(&issue(&other.stream("tcp"), 1));
        let text = issue(&stream, 1);
        output.note(&text[1..]);
        output.note_line(&[&text[..20], &text].concat());
        let tally = output.tally();
        assert_eq!((tally.foreign, tally.damaged, tally.torn, tally.delivered), (1, 1, 1, 1));
    }
}
