use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use message::{Outcome, Span, StreamId, Ticket};
use options::unit::show_size;
use plugin::{Acceptance, Checkpoint, Clock, Event, Stop};

use crate::activity;
use crate::origin::{Life, Origin, Part};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Follows an input's batches from hand-over to acceptance, and moves its checkpoints.
///
/// Two positions are kept for each stream: `sent`, where a new instance of the input in this
/// process goes on, and `accepted`, where the next process does. `accepted` moves only when every
/// earlier batch of the input is settled, so nothing before it can be missing.
///
/// Streams whose senders wait for an answer are followed beside these, each by itself.
pub(crate) struct Tracker {
    id: Arc<str>,
    inner: Mutex<Inner>,
    /// Memory was given back.
    returned: Condvar,
    /// Set when acknowledged streams were accepted further.
    pub acknowledged: Event,
    /// Told when a stream appears: a restart must know of it even if it comes at once.
    news: Sender<()>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    /// Batches by number, from the first one that is not settled on.
    in_flight: BTreeMap<u64, Entry>,
    /// Of the batches whose memory is in use.
    bytes: usize,
    sent: BTreeMap<String, Checkpoint>,
    accepted: BTreeMap<String, Checkpoint>,
    /// Key of each open stream.
    keys: HashMap<StreamId, String>,
    /// By key: tells the content a position belongs to from other content of the same key.
    lives: BTreeMap<String, Life>,
    last_life: Life,
    /// Open streams whose senders wait, each with a number that no other has had.
    awaited: HashMap<StreamId, u64>,
    acceptances: HashMap<u64, Acceptance>,
    /// A batch was abandoned: the accepted positions stand still from there on.
    halted: bool,
    /// What is to be said of that.
    halt: Option<String>,
    dirty: bool,
}

struct Entry {
    /// How far it covers each stream.
    spans: BTreeMap<String, Reached>,
    /// The same for streams whose senders wait.
    awaited: Vec<(u64, u64)>,
    settled: Option<Outcome>,
}

/// A stream's checkpoint as it is written down.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Remembered {
    pub checkpoint: Checkpoint,
    pub life: Life,
}

/// A position, and the last note on the way there.
struct Reached {
    from: u64,
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
    /// `id` is the input's, such as `input.access`.
    pub fn new(id: Arc<str>, remembered: Vec<Remembered>, news: Sender<()>) -> Tracker {
        // Without a life of its own a stream could be taken for another one.
        let own = remembered.iter().filter(|r| r.life > 0);
        let lives: BTreeMap<String, Life> = own.map(|r| (r.checkpoint.key.clone(), r.life)).collect();
        let map: BTreeMap<String, Checkpoint> = remembered.into_iter().map(|r| (r.checkpoint.key.clone(), r.checkpoint)).collect();
        let last_life = lives.values().copied().max().unwrap_or_default();
        let inner = Inner { sent: map.clone(), accepted: map, lives, last_life, ..Inner::default() };
        Tracker { id, inner: Mutex::new(inner), returned: Condvar::new(), acknowledged: Event::new(), news }
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
    pub fn accepted_if_changed(&self) -> Option<Vec<Remembered>> {
        let mut t = self.lock();
        if !std::mem::take(&mut t.dirty) {
            return None;
        }
        let remembered = |c: &Checkpoint| Remembered { checkpoint: c.clone(), life: t.life(&c.key) };
        Some(t.accepted.values().map(remembered).collect())
    }

    pub fn open(&self, stream: StreamId, mut checkpoint: Checkpoint) {
        let mut t = self.lock();
        t.keys.insert(stream, checkpoint.key.clone());
        if checkpoint.key.is_empty() {
            return;
        }
        // The input knows its own content: it goes on where it was told, or from elsewhere with other content.
        let known = t.sent.get(&checkpoint.key).is_some_and(|sent| sent.position == checkpoint.position);
        if !known || !t.lives.contains_key(&checkpoint.key) {
            t.live_anew(&checkpoint.key);
            t.dirty = true;
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

    /// The stream's sender waits to be told how far it was accepted.
    pub fn await_acceptance(&self, stream: StreamId, position: u64) {
        let mut t = self.lock();
        t.next += 1;
        let number = t.next;
        t.awaited.insert(stream, number);
        t.acceptances.insert(number, Acceptance { position, lost: false });
    }

    /// How far a stream was accepted whose sender waits.
    pub fn acceptance(&self, stream: StreamId) -> Acceptance {
        self.acknowledged.clear();
        let t = self.lock();
        t.awaited.get(&stream).and_then(|number| t.acceptances.get(number)).copied().unwrap_or_default()
    }

    /// What tells the stream's content from other content of the same key.
    pub fn life(&self, stream: StreamId) -> Life {
        let t = self.lock();
        t.keys.get(&stream).map_or(0, |key| t.life(key))
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
        if let Some(life) = t.lives.remove(&old) {
            t.lives.insert(key.to_string(), life);
        }
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
        t.lives.remove(key);
        t.strip(key);
    }

    /// The stream goes on at another position; what was accepted of it before has no meaning now.
    pub fn seek(&self, stream: StreamId, position: u64) {
        let mut t = self.lock();
        let Some(key) = t.keys.get(&stream).cloned() else { return };
        t.strip(&key);
        t.live_anew(&key);
        let t = &mut *t;
        for map in [&mut t.sent, &mut t.accepted] {
            map.entry(key.clone()).and_modify(|c| c.position = position);
        }
        t.dirty = true;
    }

    pub fn close(&self, stream: StreamId) {
        let mut t = self.lock();
        t.keys.remove(&stream);
        if let Some(number) = t.awaited.remove(&stream) {
            t.acceptances.remove(&number);
        }
    }

    /// A ticket for a batch that covers these spans, with what was noted of streams; and where the batch comes from, if
    /// that can be read again.
    pub fn ticket(self: &Arc<Tracker>, spans: &[Span], notes: &mut BTreeMap<StreamId, String>) -> (Ticket, Option<Arc<Origin>>) {
        let mut guard = self.lock();
        let t = &mut *guard;
        let mut reached: BTreeMap<String, Reached> = BTreeMap::new();
        for span in spans {
            let Some(key) = t.keys.get(&span.stream).filter(|k| !k.is_empty()) else { continue };
            let before = reached.remove(key);
            let from = before.as_ref().map_or(span.from, |r| r.from);
            let note = notes.remove(&span.stream).or_else(|| before.and_then(|r| r.note));
            if let Some(sent) = t.sent.get_mut(key) {
                Reached { from, to: span.to, note: note.clone() }.apply(sent);
            }
            reached.insert(key.clone(), Reached { from, to: span.to, note });
        }
        notes.clear();
        let parts = reached.iter().map(|(key, r)| Part { life: t.life(key), from: r.from, to: r.to }).collect();
        let origin = (!reached.is_empty()).then(|| Arc::new(Origin { input: self.id.clone(), reached: parts }));
        let awaited = spans.iter().filter_map(|span| Some((*t.awaited.get(&span.stream)?, span.to))).collect();
        let sequence = t.next;
        t.next += 1;
        t.in_flight.insert(sequence, Entry { spans: reached, awaited, settled: None });
        drop(guard);
        let tracker = self.clone();
        (Ticket::new(move |outcome| tracker.settle(sequence, outcome)), origin)
    }

    /// So many bytes of memory are in use until the last copy of the answer is dropped.
    pub fn lend(self: &Arc<Tracker>, bytes: usize) -> Ticket {
        self.lock().bytes += bytes;
        let tracker = self.clone();
        Ticket::new(move |_| {
            tracker.lock().bytes -= bytes;
            tracker.returned.notify_all();
        })
    }

    fn settle(&self, sequence: u64, outcome: Outcome) {
        let mut t = self.lock();
        t.settle(sequence, outcome);
        let waited_for = !t.awaited.is_empty();
        drop(t);
        if waited_for {
            self.acknowledged.set();
        }
    }

    pub fn settled(&self) -> bool {
        self.lock().in_flight.is_empty()
    }

    /// Whether everything of a stream was accepted that was handed over.
    pub fn settled_stream(&self, key: &str) -> bool {
        let t = self.lock();
        let position = |map: &BTreeMap<String, Checkpoint>| map.get(key).map(|c| c.position);
        position(&t.sent) == position(&t.accepted)
    }

    /// Why positions stand still, once.
    pub fn take_halt(&self) -> Option<String> {
        self.lock().halt.take()
    }

    /// Waits until less than `window` bytes of memory are in use, or a stop.
    pub fn wait_below(&self, window: usize, stop: &Stop) {
        let mut t = self.lock();
        let mut waiting = None;
        while t.bytes > window && !stop.asked() {
            waiting.get_or_insert_with(|| {
                activity::waiting(|| {
                    format!("waiting until less than {} of what it read are under way (in_flight)", show_size(window as u64))
                })
            });
            t = self.returned.wait_timeout(t, Duration::from_millis(100)).unwrap_or_else(|p| p.into_inner()).0;
        }
    }
}

impl Inner {
    fn life(&self, key: &str) -> Life {
        self.lives.get(key).copied().unwrap_or_default()
    }

    /// What comes under this key now is other content than before.
    fn live_anew(&mut self, key: &str) {
        // Of the clock, so that no life of an earlier process comes again.
        self.last_life = (self.last_life + 1).max(Clock::real().now().max(0) as u64);
        self.lives.insert(key.to_string(), self.last_life);
    }

    fn settle(&mut self, sequence: u64, outcome: Outcome) {
        let Some(entry) = self.in_flight.get_mut(&sequence) else { return };
        entry.settled = Some(outcome);
        while let Some(first) = self.in_flight.first_entry().filter(|e| e.get().settled.is_some()) {
            let entry = first.remove();
            let abandoned = entry.settled == Some(Outcome::Abandoned);
            for (number, to) in entry.awaited {
                if let Some(acceptance) = self.acceptances.get_mut(&number).filter(|a| !a.lost) {
                    *acceptance =
                        if abandoned { Acceptance { lost: true, ..*acceptance } } else { Acceptance { position: to, lost: false } };
                }
            }
            if abandoned && !self.halted && !entry.spans.is_empty() {
                self.halted = true;
                self.halt = Some(told(&entry.spans));
            }
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
                // Nobody waits for those that were closed: in days there are many of them.
                entry.awaited.retain(|(number, _)| self.acceptances.contains_key(number));
                for (number, to) in later.awaited {
                    match entry.awaited.iter_mut().find(|(known, _)| *known == number) {
                        Some(known) => known.1 = to,
                        None => entry.awaited.push((number, to)),
                    }
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

/// Of streams a batch of which was let go without a verdict.
fn told(spans: &BTreeMap<String, Reached>) -> String {
    let (first, more) = (spans.iter().next(), spans.len().saturating_sub(1));
    let first = first.map_or_else(String::new, |(key, r)| format!("{key} from {} to {}", r.from, r.to));
    let others = if more > 0 { format!(" (and of {more} others)") } else { String::new() };
    format!(
        "a consumer let go of {first}{others} without a verdict, see what it says: the positions of this input stay before that, \
         and the next start reads from there again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker() -> Arc<Tracker> {
        let t = Arc::new(Tracker::new("input.a".into(), Vec::new(), crossbeam_channel::bounded(1).0));
        t.open(1, Checkpoint { key: "a".into(), identity: "x".into(), ..Checkpoint::default() });
        t.accepted_if_changed();
        t
    }

    fn span(to: u64) -> [Span; 1] {
        [Span { stream: 1, from: 0, to }]
    }

    fn ticket(t: &Arc<Tracker>, spans: &[Span]) -> Ticket {
        t.ticket(spans, &mut BTreeMap::new()).0
    }

    fn noted(t: &Arc<Tracker>, to: u64, note: &str) -> Ticket {
        t.ticket(&span(to), &mut BTreeMap::from([(1, note.to_string())])).0
    }

    fn position(t: &Tracker) -> Option<u64> {
        t.accepted_if_changed().map(|all| all[0].checkpoint.position)
    }

    #[test]
    fn a_checkpoint_waits_for_every_earlier_batch() {
        let t = tracker();
        let (first, second) = (ticket(&t, &span(10)), ticket(&t, &span(20)));
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
        let (first, second) = (ticket(&t, &span(10)), ticket(&t, &span(20)));
        first.abandon();
        drop(first);
        drop(second);
        assert_eq!(position(&t), None);
        let told = t.take_halt().unwrap();
        assert!(told.contains("a from 0 to 10 "), "{told}");
        ticket(&t, &span(30)).abandon();
        assert_eq!(t.take_halt(), None);
    }

    #[test]
    fn a_stream_is_settled_whatever_others_wait_for() {
        let t = tracker();
        t.open(2, Checkpoint { key: "b".into(), ..Checkpoint::default() });
        let span = |stream, to| [Span { stream, from: 0, to }];
        let [first, steady] = [span(1, 10), span(2, 10)].map(|s| ticket(&t, &s));
        let settled = || (t.settled_stream("a"), t.settled_stream("b"), t.settled());
        assert_eq!((settled(), t.settled_stream("unknown")), ((false, false, false), true));
        t.close(1);
        drop(first);
        assert_eq!(settled(), (true, false, false));
        drop(steady);
        assert_eq!(settled(), (true, true, true));
    }

    #[test]
    fn connections_that_ended_leave_nothing_behind_one_that_is_stuck() {
        let t = tracker();
        let stuck = ticket(&t, &span(1));
        for stream in 10..1000 {
            t.open(stream, Checkpoint::default());
            t.await_acceptance(stream, 0);
            drop(ticket(&t, &[Span { stream, from: 0, to: 9 }]));
            t.close(stream);
        }
        assert!(t.lock().in_flight.values().all(|e| e.awaited.len() < 3));
        drop(stuck);
        assert!(t.settled());
    }

    #[test]
    fn a_truncated_stream_does_not_take_old_positions_for_new_ones() {
        let t = tracker();
        let old = ticket(&t, &span(1000));
        t.seek(1, 0);
        drop(old);
        assert_eq!(position(&t), Some(0));
    }

    #[test]
    fn a_new_stream_of_the_same_name_does_not_inherit_what_is_on_its_way() {
        let fresh = Checkpoint { key: "a".into(), identity: "y".into(), ..Checkpoint::default() };
        for forget in [false, true] {
            let t = tracker();
            let old = ticket(&t, &span(1000));
            if forget {
                t.forget("a");
            }
            t.open(2, fresh.clone());
            drop(old);
            assert_eq!(t.accepted_if_changed().unwrap()[0].checkpoint, fresh, "{forget}");
        }
    }

    #[test]
    fn a_stuck_batch_holds_the_checkpoint_but_no_memory() {
        let t = tracker();
        let stuck = ticket(&t, &span(1));
        let later: Vec<_> = (2..100).map(|to| ticket(&t, &span(to))).collect();
        for ticket in later.into_iter().rev().step_by(2).chain([ticket(&t, &span(100))]) {
            drop(ticket);
        }
        assert_eq!(t.lock().in_flight.len(), 2);
        assert_eq!(position(&t), None);
        drop(stuck);
        assert_eq!((position(&t), t.settled()), (Some(100), true));
    }

    #[test]
    fn a_note_goes_with_its_position_and_no_further() {
        let t = tracker();
        let (first, second, third) = (noted(&t, 1, "one"), noted(&t, 2, "two"), ticket(&t, &span(3)));
        assert_eq!(t.sent()[0].note, "two");
        drop(second);
        drop(third);
        assert_eq!(t.accepted_if_changed(), None);
        drop(first);
        let accepted = t.accepted_if_changed().unwrap().remove(0).checkpoint;
        assert_eq!((accepted.position, accepted.note.as_str()), (3, "two"));
        // The stream is opened again by the input's next instance.
        t.open(2, Checkpoint { note: String::new(), ..accepted });
        assert_eq!(t.sent()[0].note, "two");
        assert_eq!(t.accepted_if_changed(), None);
    }

    #[test]
    fn a_sender_hears_how_far_its_own_stream_was_accepted() {
        let t = tracker();
        for stream in [7, 8] {
            t.open(stream, Checkpoint::default());
            t.await_acceptance(stream, 100);
        }
        let span = |stream, to| [Span { stream, from: 0, to }];
        let [first, second, third] = [span(7, 150), span(8, 120), span(7, 170)].map(|s| ticket(&t, &s));
        drop(second);
        assert_eq!(t.acceptance(8), Acceptance { position: 100, lost: false });
        first.abandon();
        drop(first);
        assert_eq!([7, 8].map(|s| t.acceptance(s)), [Acceptance { position: 100, lost: true }, Acceptance { position: 120, lost: false }]);
        drop(third);
        assert_eq!(t.acceptance(7), Acceptance { position: 100, lost: true });
        // The number of the stream is given again: nothing of its predecessor is left.
        let late = ticket(&t, &span(8, 130));
        t.close(8);
        t.open(8, Checkpoint::default());
        t.await_acceptance(8, 0);
        drop(late);
        assert_eq!(t.acceptance(8), Acceptance { position: 0, lost: false });
    }

    #[test]
    fn a_life_lasts_as_long_as_the_content() {
        let t = tracker();
        let life = t.life(1);
        assert!(life > 0);
        drop(ticket(&t, &span(10)));
        t.identify(1, "b", "grown");
        assert_eq!(t.life(1), life);
        let remembered = t.accepted_if_changed().unwrap();
        let again = Arc::new(Tracker::new("input.a".into(), remembered, crossbeam_channel::bounded(1).0));
        let reopened = |position| Checkpoint { key: "b".into(), identity: "grown more".into(), position, ..Checkpoint::default() };
        again.open(4, reopened(10));
        assert_eq!(again.life(4), life);
        again.seek(4, 0);
        assert!(again.life(4) > life, "truncated");
        again.open(5, reopened(3));
        assert!(again.life(5) > again.life(1), "other content of the same name");
    }
}
