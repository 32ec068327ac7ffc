use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crossbeam_channel::Sender;
use message::{Outcome, Span, StreamId, Ticket};
use plugin::{Checkpoint, Stop};

/// Follows an input's batches from hand-over to acceptance, and moves its checkpoints.
///
/// Two positions are kept for each stream: `sent`, where a new instance of the input in this
/// process goes on, and `accepted`, where the next process does. `accepted` moves only when every
/// earlier batch of the input is settled, so nothing before it can be missing.
pub(crate) struct Tracker {
    inner: Mutex<Inner>,
    progress: Condvar,
    /// Told when a stream appears: a restart must know of it even if it comes at once.
    news: Sender<()>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    /// Batches by number, from the first one that is not settled on.
    in_flight: BTreeMap<u64, Entry>,
    /// Of the batches that are not settled.
    bytes: usize,
    sent: BTreeMap<String, Checkpoint>,
    accepted: BTreeMap<String, Checkpoint>,
    /// Key of each open stream.
    keys: HashMap<StreamId, String>,
    /// A batch was abandoned: the accepted positions stand still from there on.
    halted: bool,
    dirty: bool,
}

struct Entry {
    /// How far it covers each stream.
    spans: BTreeMap<String, Reached>,
    bytes: usize,
    settled: Option<Outcome>,
}

/// A position, and the last note on the way there.
struct Reached {
    to: u64,
    note: Option<String>,
}

impl Reached {
    fn apply(self, checkpoint: &mut Checkpoint) {
        checkpoint.position = self.to;
        if let Some(note) = self.note {
            checkpoint.note = note;
        }
    }
}

impl Tracker {
    pub fn new(remembered: Vec<Checkpoint>, news: Sender<()>) -> Tracker {
        let map: BTreeMap<String, Checkpoint> = remembered.into_iter().map(|c| (c.key.clone(), c)).collect();
        Tracker { inner: Mutex::new(Inner { sent: map.clone(), accepted: map, ..Inner::default() }), progress: Condvar::new(), news }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Where reading goes on within this process.
    pub fn sent(&self) -> Vec<Checkpoint> {
        self.lock().sent.values().cloned().collect()
    }

    /// What was to be written down could not be: it is wanted again.
    pub fn not_saved(&self) {
        self.lock().dirty = true;
    }

    /// What to write down, if it changed since the last call.
    pub fn accepted_if_changed(&self) -> Option<Vec<Checkpoint>> {
        let mut t = self.lock();
        std::mem::take(&mut t.dirty).then(|| t.accepted.values().cloned().collect())
    }

    pub fn open(&self, stream: StreamId, mut checkpoint: Checkpoint) {
        let mut t = self.lock();
        t.keys.insert(stream, checkpoint.key.clone());
        if checkpoint.key.is_empty() {
            return;
        }
        let same = |known: &&Checkpoint| known.identity == checkpoint.identity;
        let goes_on = t.sent.get(&checkpoint.key).filter(same).is_some_and(|sent| sent.position <= checkpoint.position);
        if !goes_on {
            // Known from the first byte on, so that a restart does not take the stream for a new one.
            let before = t.accepted.get(&checkpoint.key).filter(same);
            let position = before.map_or(checkpoint.position, |a| a.position.min(checkpoint.position));
            let note = before.map(|a| a.note.clone()).unwrap_or_default();
            t.strip(&checkpoint.key);
            t.accepted.insert(checkpoint.key.clone(), Checkpoint { position, note, ..checkpoint.clone() });
            t.dirty = true;
            let _ = self.news.try_send(());
        }
        if let Some(sent) = t.sent.get(&checkpoint.key).filter(same) {
            checkpoint.note = sent.note.clone();
        }
        t.sent.insert(checkpoint.key.clone(), checkpoint);
    }

    pub fn identify(&self, stream: StreamId, key: &str, identity: &str) {
        let mut t = self.lock();
        let Some(old) = t.keys.insert(stream, key.to_string()) else { return };
        let rename = |map: &mut BTreeMap<String, Checkpoint>| {
            if let Some(known) = map.remove(&old) {
                map.insert(key.to_string(), Checkpoint { key: key.to_string(), identity: identity.to_string(), ..known });
            }
        };
        rename(&mut t.sent);
        rename(&mut t.accepted);
        for entry in t.in_flight.values_mut() {
            if let Some(to) = entry.spans.remove(&old) {
                entry.spans.insert(key.to_string(), to);
            }
        }
        t.dirty = true;
    }

    pub fn forget(&self, key: &str) {
        let mut t = self.lock();
        t.dirty |= t.accepted.remove(key).is_some();
        t.sent.remove(key);
        t.strip(key);
    }

    /// The stream goes on at another position; what was accepted of it before has no meaning now.
    pub fn seek(&self, stream: StreamId, position: u64) {
        let mut t = self.lock();
        let Some(key) = t.keys.get(&stream).cloned() else { return };
        t.strip(&key);
        let t = &mut *t;
        for map in [&mut t.sent, &mut t.accepted] {
            map.entry(key.clone()).and_modify(|c| c.position = position);
        }
        t.dirty = true;
    }

    pub fn close(&self, stream: StreamId) {
        self.lock().keys.remove(&stream);
    }

    /// A ticket for a batch that covers these spans, with what was noted of streams.
    pub fn ticket(self: &Arc<Tracker>, spans: &[Span], notes: &mut BTreeMap<StreamId, String>, bytes: usize) -> Ticket {
        let mut guard = self.lock();
        let t = &mut *guard;
        let mut reached: BTreeMap<String, Reached> = BTreeMap::new();
        for span in spans {
            let Some(key) = t.keys.get(&span.stream).filter(|k| !k.is_empty()) else { continue };
            let note = notes.remove(&span.stream).or_else(|| reached.remove(key).and_then(|r| r.note));
            if let Some(sent) = t.sent.get_mut(key) {
                Reached { to: span.to, note: note.clone() }.apply(sent);
            }
            reached.insert(key.clone(), Reached { to: span.to, note });
        }
        notes.clear();
        let spans = reached;
        let sequence = t.next;
        t.next += 1;
        t.in_flight.insert(sequence, Entry { spans, bytes, settled: None });
        t.bytes += bytes;
        drop(guard);
        let tracker = self.clone();
        Ticket::new(move |outcome| tracker.settle(sequence, outcome))
    }

    fn settle(&self, sequence: u64, outcome: Outcome) {
        let mut t = self.lock();
        t.settle(sequence, outcome);
        drop(t);
        self.progress.notify_all();
    }

    pub fn settled(&self) -> bool {
        self.lock().in_flight.is_empty()
    }

    /// Waits until less than `window` bytes are in flight, or a stop.
    pub fn wait_below(&self, window: usize, stop: &Stop) {
        let mut t = self.lock();
        while t.bytes > window && !stop.asked() {
            t = self.progress.wait_timeout(t, Duration::from_millis(100)).unwrap_or_else(|p| p.into_inner()).0;
        }
    }
}

impl Inner {
    fn settle(&mut self, sequence: u64, outcome: Outcome) {
        let Some(entry) = self.in_flight.get_mut(&sequence) else { return };
        entry.settled = Some(outcome);
        self.bytes -= entry.bytes;
        while let Some(first) = self.in_flight.first_entry().filter(|e| e.get().settled.is_some()) {
            let entry = first.remove();
            self.halted |= entry.settled == Some(Outcome::Abandoned);
            if !self.halted {
                for (key, reached) in entry.spans {
                    self.accepted.entry(key).and_modify(|c| reached.apply(c));
                    self.dirty = true;
                }
            }
        }
        self.join(sequence);
    }

    /// Joins a batch with its neighbours where both are accepted: while one batch is stuck for days,
    /// the list of those behind it does not grow.
    fn join(&mut self, sequence: u64) {
        let accepted = |(n, e): (&u64, &Entry)| (e.settled == Some(Outcome::Accepted)).then_some(*n);
        if self.in_flight.get_key_value(&sequence).and_then(accepted).is_none() {
            return;
        }
        let before = self.in_flight.range(..sequence).next_back().and_then(accepted);
        let after = self.in_flight.range(sequence + 1..).next().and_then(accepted);
        let (first, rest) = (before.unwrap_or(sequence), [before.map(|_| sequence), after]);
        for later in rest.into_iter().flatten().filter_map(|n| self.in_flight.remove(&n)).collect::<Vec<_>>() {
            if let Some(entry) = self.in_flight.get_mut(&first) {
                for (key, mut reached) in later.spans {
                    reached.note = reached.note.or_else(|| entry.spans.remove(&key).and_then(|r| r.note));
                    entry.spans.insert(key, reached);
                }
            }
        }
    }

    /// What is on its way of this stream says nothing about it any more.
    fn strip(&mut self, key: &str) {
        for entry in self.in_flight.values_mut() {
            entry.spans.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker() -> Arc<Tracker> {
        let t = Arc::new(Tracker::new(Vec::new(), crossbeam_channel::bounded(1).0));
        t.open(1, Checkpoint { key: "a".into(), identity: "x".into(), ..Checkpoint::default() });
        t.accepted_if_changed();
        t
    }

    fn span(to: u64) -> [Span; 1] {
        [Span { stream: 1, from: 0, to }]
    }

    fn ticket(t: &Arc<Tracker>, spans: &[Span], bytes: usize) -> Ticket {
        t.ticket(spans, &mut BTreeMap::new(), bytes)
    }

    fn noted(t: &Arc<Tracker>, to: u64, note: &str) -> Ticket {
        t.ticket(&span(to), &mut BTreeMap::from([(1, note.to_string())]), 1)
    }

    fn position(t: &Tracker) -> Option<u64> {
        t.accepted_if_changed().map(|all| all[0].position)
    }

    #[test]
    fn a_checkpoint_waits_for_every_earlier_batch() {
        let t = tracker();
        let (first, second) = (ticket(&t, &span(10), 1), ticket(&t, &span(20), 1));
        drop(second);
        assert_eq!(position(&t), None);
        assert_eq!(t.sent()[0].position, 20);
        drop(first);
        assert_eq!(position(&t), Some(20));
        assert!(t.settled());
    }

    #[test]
    fn an_abandoned_batch_halts_the_checkpoint() {
        let t = tracker();
        let (first, second) = (ticket(&t, &span(10), 1), ticket(&t, &span(20), 1));
        first.abandon();
        drop(first);
        drop(second);
        assert_eq!(position(&t), None);
    }

    #[test]
    fn a_truncated_stream_does_not_take_old_positions_for_new_ones() {
        let t = tracker();
        let old = ticket(&t, &span(1000), 1);
        t.seek(1, 0);
        drop(old);
        assert_eq!(position(&t), Some(0));
    }

    #[test]
    fn a_new_stream_of_the_same_name_does_not_inherit_what_is_on_its_way() {
        let fresh = Checkpoint { key: "a".into(), identity: "y".into(), ..Checkpoint::default() };
        for forget in [false, true] {
            let t = tracker();
            let old = ticket(&t, &span(1000), 1);
            if forget {
                t.forget("a");
            }
            t.open(2, fresh.clone());
            drop(old);
            assert_eq!(t.accepted_if_changed().unwrap()[0], fresh, "{forget}");
        }
    }

    #[test]
    fn a_stuck_batch_holds_the_checkpoint_but_neither_memory_nor_the_window() {
        let t = tracker();
        let stuck = ticket(&t, &span(1), 10);
        let later: Vec<_> = (2..100).map(|to| ticket(&t, &span(to), 1000)).collect();
        for ticket in later.into_iter().rev().step_by(2).chain([ticket(&t, &span(100), 1000)]) {
            drop(ticket);
        }
        assert_eq!(t.lock().in_flight.len(), 2);
        t.wait_below(10, &Stop::new());
        assert_eq!(position(&t), None);
        drop(stuck);
        assert_eq!((position(&t), t.settled()), (Some(100), true));
    }

    #[test]
    fn a_note_goes_with_its_position_and_no_further() {
        let t = tracker();
        let (first, second, third) = (noted(&t, 1, "one"), noted(&t, 2, "two"), ticket(&t, &span(3), 1));
        assert_eq!(t.sent()[0].note, "two");
        drop(second);
        drop(third);
        assert_eq!(t.accepted_if_changed(), None);
        drop(first);
        let accepted = t.accepted_if_changed().unwrap().remove(0);
        assert_eq!((accepted.position, accepted.note.as_str()), (3, "two"));
        // The stream is opened again by the input's next instance.
        t.open(2, Checkpoint { note: String::new(), ..accepted });
        assert_eq!(t.sent()[0].note, "two");
        assert_eq!(t.accepted_if_changed(), None);
    }
}
