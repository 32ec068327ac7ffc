use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use message::{Outcome, Span, StreamId, Ticket};
use plugin::{Checkpoint, Stop};

/// Follows an input's batches from hand-over to acceptance, and moves its checkpoints.
///
/// Two positions are kept for each stream: `sent`, where a new instance of the input in this
/// process goes on, and `accepted`, where the next process does. `accepted` moves only when every
/// earlier batch of the input is settled, so nothing before it can be missing.
#[derive(Default)]
pub(crate) struct Tracker {
    inner: Mutex<Inner>,
    progress: Condvar,
}

#[derive(Default)]
struct Inner {
    next: u64,
    in_flight: VecDeque<Entry>,
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
    spans: Vec<(String, u64)>,
    bytes: usize,
    settled: Option<Outcome>,
}

impl Tracker {
    pub fn new(remembered: Vec<Checkpoint>) -> Tracker {
        let map: BTreeMap<String, Checkpoint> = remembered.into_iter().map(|c| (c.key.clone(), c)).collect();
        Tracker { inner: Mutex::new(Inner { sent: map.clone(), accepted: map, ..Inner::default() }), progress: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Where reading goes on within this process.
    pub fn sent(&self) -> Vec<Checkpoint> {
        self.lock().sent.values().cloned().collect()
    }

    /// What to write down, if it changed since the last call.
    pub fn accepted_if_changed(&self) -> Option<Vec<Checkpoint>> {
        let mut t = self.lock();
        std::mem::take(&mut t.dirty).then(|| t.accepted.values().cloned().collect())
    }

    pub fn open(&self, stream: StreamId, checkpoint: Checkpoint) {
        let mut t = self.lock();
        t.keys.insert(stream, checkpoint.key.clone());
        if checkpoint.key.is_empty() {
            return;
        }
        // Known from the first byte on, so that a restart does not take the stream for a new one.
        t.dirty |= t.accepted.get(&checkpoint.key) != Some(&checkpoint);
        let fresh = t.accepted.get(&checkpoint.key).is_none_or(|a| a.identity != checkpoint.identity || a.position > checkpoint.position);
        if fresh {
            t.accepted.insert(checkpoint.key.clone(), checkpoint.clone());
        }
        t.sent.insert(checkpoint.key.clone(), checkpoint);
    }

    pub fn identify(&self, stream: StreamId, key: &str, identity: &str) {
        let mut t = self.lock();
        let Some(old) = t.keys.insert(stream, key.to_string()) else { return };
        let rename = |map: &mut BTreeMap<String, Checkpoint>| {
            if let Some(known) = map.remove(&old) {
                map.insert(key.to_string(), Checkpoint { key: key.to_string(), identity: identity.to_string(), position: known.position });
            }
        };
        rename(&mut t.sent);
        rename(&mut t.accepted);
        for entry in &mut t.in_flight {
            entry.spans.iter_mut().filter(|(k, _)| *k == old).for_each(|(k, _)| *k = key.to_string());
        }
        t.dirty = true;
    }

    pub fn forget(&self, key: &str) {
        let mut t = self.lock();
        t.dirty |= t.accepted.remove(key).is_some();
        t.sent.remove(key);
    }

    /// The stream goes on at another position; what was accepted of it before has no meaning now.
    pub fn seek(&self, stream: StreamId, position: u64) {
        let mut t = self.lock();
        let Some(key) = t.keys.get(&stream).cloned() else { return };
        for entry in &mut t.in_flight {
            entry.spans.retain(|(k, _)| *k != key);
        }
        let t = &mut *t;
        for map in [&mut t.sent, &mut t.accepted] {
            map.entry(key.clone()).and_modify(|c| c.position = position);
        }
        t.dirty = true;
    }

    pub fn close(&self, stream: StreamId) {
        self.lock().keys.remove(&stream);
    }

    /// A ticket for a batch that covers these spans.
    pub fn ticket(self: &Arc<Tracker>, spans: &[Span], bytes: usize) -> Ticket {
        let mut guard = self.lock();
        let t = &mut *guard;
        let spans: Vec<(String, u64)> =
            spans.iter().filter_map(|s| Some((t.keys.get(&s.stream).filter(|k| !k.is_empty())?.clone(), s.to))).collect();
        for (key, to) in &spans {
            t.sent.entry(key.clone()).and_modify(|c| c.position = *to);
        }
        t.in_flight.push_back(Entry { spans, bytes, settled: None });
        t.bytes += bytes;
        let sequence = t.next;
        t.next += 1;
        drop(guard);
        let tracker = self.clone();
        Ticket::new(move |outcome| tracker.settle(sequence, outcome))
    }

    fn settle(&self, sequence: u64, outcome: Outcome) {
        let mut guard = self.lock();
        let t = &mut *guard;
        let first = t.next - t.in_flight.len() as u64;
        let Some(entry) = sequence.checked_sub(first).and_then(|i| t.in_flight.get_mut(i as usize)) else { return };
        entry.settled = Some(outcome);
        while t.in_flight.front().is_some_and(|e| e.settled.is_some()) {
            let Some(entry) = t.in_flight.pop_front() else { break };
            t.bytes -= entry.bytes;
            t.halted |= entry.settled == Some(Outcome::Abandoned);
            if !t.halted {
                for (key, to) in entry.spans {
                    t.accepted.entry(key).and_modify(|c| c.position = to);
                    t.dirty = true;
                }
            }
        }
        drop(guard);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker() -> Arc<Tracker> {
        let t = Arc::new(Tracker::new(Vec::new()));
        t.open(1, Checkpoint { key: "a".into(), identity: "x".into(), position: 0 });
        t.accepted_if_changed();
        t
    }

    fn span(to: u64) -> [Span; 1] {
        [Span { stream: 1, from: 0, to }]
    }

    fn position(t: &Tracker) -> Option<u64> {
        t.accepted_if_changed().map(|all| all[0].position)
    }

    #[test]
    fn a_checkpoint_waits_for_every_earlier_batch() {
        let t = tracker();
        let (first, second) = (t.ticket(&span(10), 1), t.ticket(&span(20), 1));
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
        let (first, second) = (t.ticket(&span(10), 1), t.ticket(&span(20), 1));
        first.abandon();
        drop(first);
        drop(second);
        assert_eq!(position(&t), None);
    }

    #[test]
    fn a_truncated_stream_does_not_take_old_positions_for_new_ones() {
        let t = tracker();
        let old = t.ticket(&span(1000), 1);
        t.seek(1, 0);
        drop(old);
        assert_eq!(position(&t), Some(0));
    }
}
