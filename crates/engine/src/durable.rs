use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender as Channel, bounded};
use journal::{AppendError, Cursors, Journal, Lost};
use message::frozen::Freezer;
use message::{Batch, Pool, Selection, Ticket};
use plugin::Clock;

use crate::activity;
use crate::backlog::{Goal, Reading};
use crate::journalled;
use crate::origin::{Had, Origin};
use crate::progress::Place;
use crate::queue::{Queue, Sender, Work};
use crate::sync::{Mutex, MutexGuard};

/// The journal of an instance: one log for all consumers, each with a cursor. It holds what did not fit in their
/// queues, and what is to outlive the process.
pub(crate) struct Durable {
    journal: Journal,
    cursors: Mutex<Cursors>,
    /// Where a consumer starts that has no cursor.
    beginning: u64,
    started: AtomicBool,
    /// Held while a record is written and given to its consumers, so that they get records in order.
    writing: Mutex<Scratch>,
    /// Tickets of senders that wait until their record outlives a loss of power.
    unsynced: Mutex<Vec<(u64, Ticket)>>,
    policy: SyncPolicy,
    max: u64,
    wake: Channel<()>,
    /// Why nothing can be written now.
    trouble: Mutex<Option<String>>,
    /// When that was said last.
    said: Mutex<Option<Duration>>,
    pool: Pool,
}

#[derive(Default)]
struct Scratch {
    freezer: Freezer,
    head: Vec<u8>,
}

/// When what was written is made to outlive a loss of power.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SyncPolicy {
    Always,
    Every(Duration),
    Never,
}

/// Ends the thread that synchronises when it is dropped.
pub(crate) struct Syncer {
    stop: Option<Channel<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Work read back from the journal.
pub(crate) struct Loaded {
    /// And whether it is of an earlier process.
    pub works: Vec<(Work, bool)>,
    /// Number behind the last record read.
    pub next: u64,
    /// Much of the journal was read: others want their turn.
    pub paused: bool,
    /// Why reading ended early.
    pub trouble: Option<String>,
}

/// Size of a segment, bytes.
const SEGMENT: u64 = 16 << 20;

/// What an output could not deliver for so long goes to the journal.
const OVERDUE: Duration = Duration::from_secs(1);

/// How often it is said that nothing can be written.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Most bytes read for a consumer at once, its own and others'.
const READ_AT_ONCE: usize = 64 << 20;

/// Most records that may wait to be synchronised: when that fails for long, nothing more is written.
const MOST_UNSYNCED: usize = 200_000;

/// How long a sender that can wait does so before the next attempt.
const PAUSE: Duration = Duration::from_millis(100);

impl Durable {
    /// Opens the journal below a state directory, and starts the thread that synchronises it. What is damaged is said
    /// and set aside.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(state: &Path, max: u64, policy: SyncPolicy) -> Result<(Arc<Durable>, Syncer), String> {
        let dir = state.join("journal");
        let failed = |e: &dyn std::fmt::Display| format!("journal {}: {e}", dir.display());
        std::fs::create_dir_all(&dir).map_err(|e| failed(&e))?;
        let (journal, mut findings) = Journal::open(&dir, journal::Settings { segment: SEGMENT, max }).map_err(|e| failed(&e))?;
        let (cursors, more) = Cursors::open(&dir);
        let whole = more.is_empty();
        findings.extend(more);
        findings.iter().for_each(|f| log::error!(target: "journal", "{f}"));
        let (wake, woken) = bounded(1);
        let durable = Arc::new(Durable::over(journal, cursors, whole, max, policy, wake));
        let syncer = Syncer::start(durable.clone(), woken)?;
        Ok((durable, syncer))
    }

    /// Over a journal and its cursors, `whole` unless some are lost. Whoever listens to `wake` calls [`Durable::sync`].
    pub fn over(journal: Journal, cursors: Cursors, whole: bool, max: u64, policy: SyncPolicy, wake: Channel<()>) -> Durable {
        // Of one that is new nothing is there; but when cursors are lost, everything may be somebody's.
        let beginning = if whole && cursors.iter().next().is_some() { journal.end() } else { journal.first() };
        let (cursors, writing, unsynced, trouble) = (Mutex::new(cursors), Mutex::default(), Mutex::default(), Mutex::default());
        Durable {
            journal,
            cursors,
            beginning,
            started: AtomicBool::new(false),
            writing,
            unsynced,
            policy,
            max,
            wake,
            trouble,
            said: Mutex::default(),
            pool: Pool::new(),
        }
    }

    /// Where a consumer goes on: its cursor, which it has from now on.
    pub fn cursor(&self, consumer: &str) -> u64 {
        let mut cursors = lock(&self.cursors);
        let at = cursors.get(consumer).unwrap_or_else(|| {
            let new = if self.started.load(Ordering::Relaxed) { self.journal.end() } else { self.beginning };
            cursors.set(consumer, new);
            new
        });
        at.max(self.journal.first())
    }

    /// Everything configured has its cursor: for what comes from now on, nothing can be there yet.
    pub fn started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Writes cursors down that are new. Without this, what is written for a consumer before the next [`Durable::save`]
    /// would not be found again.
    pub fn remember(&self) {
        if let Err(why) = lock(&self.cursors).save() {
            log::error!(target: "journal", "cursors not saved: {why}");
        }
    }

    /// Number of the next record.
    pub fn end(&self) -> u64 {
        self.journal.end()
    }

    /// Why nothing can be written now.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// Writes one record for several consumers, and has `give` tell each of them its number. `ticket` is let go once the
    /// record is synchronised. What `spilling` consumers have in memory only goes before it. A sender that can wait does so
    /// while there is no room. False when it could not be written.
    pub fn write(&self, entry: &Entry<'_>, ticket: Ticket, spilling: &[&Queue], sender: Sender<'_>, mut give: impl FnMut(u64)) -> bool {
        let mut told = None;
        loop {
            let mut scratch = lock(&self.writing);
            let earlier = spilling.iter().try_for_each(|queue| self.write_unwritten(queue, Duration::MAX, &mut scratch));
            let why = match earlier.and_then(|()| self.append(entry, &mut scratch)) {
                Ok(record) => {
                    give(record);
                    self.await_sync(record, ticket);
                    drop(scratch);
                    self.untroubled();
                    return true;
                }
                Err(why) => why,
            };
            drop(scratch);
            self.troubled(&why);
            let (Sender::Input { can_wait: true, stop }, false) = (sender, matches!(why, AppendError::TooLong { .. })) else {
                return false;
            };
            told.get_or_insert_with(|| activity::waiting(|| format!("waiting for room in the journal: {why}")));
            if stop.wait(PAUSE) {
                return false;
            }
        }
    }

    fn append(&self, entry: &Entry<'_>, scratch: &mut Scratch) -> Result<u64, AppendError> {
        let waiting = lock(&self.unsynced).len();
        if waiting >= MOST_UNSYNCED {
            let why = format!("{waiting} records wait to be synchronised");
            return Err(AppendError::Io(std::io::Error::other(why)));
        }
        let Scratch { freezer, head } = scratch;
        head.clear();
        let wanted = union(entry.batch, entry.shares);
        let frozen = freezer.freeze(entry.batch, &wanted);
        journalled::encode(entry.shares, &frozen.mapping, entry.origin, head);
        let [tables, raw, arena] = frozen.parts;
        self.journal.append(&[head, tables, raw, arena])
    }

    /// Writes what a consumer was given before `until` and has in memory only: its senders need not wait for it any more.
    fn write_unwritten(&self, queue: &Queue, until: Duration, scratch: &mut Scratch) -> Result<(), AppendError> {
        let mut from = 0;
        loop {
            let items = queue.unwritten(until, from);
            from = match items.last() {
                Some(last) => last.key + 1,
                None => return Ok(()),
            };
            for item in items {
                let shares = [(queue.owner.clone(), item.selection)];
                let entry = Entry { batch: &item.batch, shares: &shares, origin: item.origin.as_deref() };
                let record = match self.append(&entry, scratch) {
                    // It waits in memory as it would without a journal.
                    Err(AppendError::TooLong { .. }) => continue,
                    appended => appended?,
                };
                if let Some(sender) = queue.written(item.key, record) {
                    self.await_sync(record, sender);
                }
            }
        }
    }

    /// Writes what consumers of `queues` could not deliver for a while, so that those who sent it hear that it is safe, and
    /// takes it out of memory, so that inputs are not held by what they may have there.
    pub fn write_overdue(&self, queues: &[Arc<Queue>]) {
        self.write_waiting(queues, Clock::real().steady().saturating_sub(OVERDUE));
    }

    /// The same with what was queued before `until`.
    pub fn write_waiting(&self, queues: &[Arc<Queue>], until: Duration) {
        let mut written = Ok(());
        for queue in queues.iter().filter(|q| q.spills()) {
            if written.is_ok() && queue.is_overdue(until) {
                written = self.write_unwritten(queue, until, &mut lock(&self.writing));
                match &written {
                    Ok(()) => self.untroubled(),
                    Err(why) => self.troubled(why),
                }
            }
            queue.park(until);
        }
    }

    fn troubled(&self, why: &AppendError) {
        let now = Clock::real().steady();
        let mut said = lock(&self.said);
        if said.is_none_or(|said| now.saturating_sub(said) > SAY_EVERY) {
            *said = Some(now);
            log::error!(target: "journal", "{why}; inputs that can wait do, until there is room");
        }
        *lock(&self.trouble) = Some(why.to_string());
    }

    fn untroubled(&self) {
        lock(&self.trouble).take();
    }

    fn await_sync(&self, record: u64, ticket: Ticket) {
        if self.policy != SyncPolicy::Never {
            lock(&self.unsynced).push((record, ticket));
            let _ = self.wake.try_send(());
        }
    }

    /// Synchronises what was written, and lets go of the tickets that waited for it.
    pub fn sync(&self) {
        let end = match self.journal.sync() {
            Ok(end) => end,
            Err(why) => return self.not_synced(&why),
        };
        let done: Vec<_> = {
            let mut unsynced = lock(&self.unsynced);
            let (done, rest) = std::mem::take(&mut *unsynced).into_iter().partition(|(record, _)| *record < end);
            *unsynced = rest;
            done
        };
        // Outside of the lock: whoever hears of it may write.
        drop(done);
    }

    /// What is lost counts as not accepted; the rest waits for the next attempt.
    fn not_synced(&self, why: &std::io::Error) {
        log::error!(target: "journal", "cannot be synchronised: {why}");
        if let Some(lost) = why.get_ref().and_then(|e| e.downcast_ref::<Lost>()) {
            let gone = lock(&self.unsynced).extract_if(.., |(record, _)| lost.seqs.contains(record)).collect::<Vec<_>>();
            gone.iter().for_each(|(_, ticket)| ticket.abandon());
            self.journal.accept_loss(lost);
        }
        thread::sleep(PAUSE);
        let _ = self.wake.try_send(());
    }

    /// Numbers below are known to somebody and are not given again.
    pub fn skip_to(&self, record: u64) {
        if let Some(finding) = self.journal.skip_to(record) {
            log::error!(target: "journal", "{finding}");
        }
    }

    /// Reads on for a consumer, up to so many bytes of messages.
    pub fn load(&self, consumer: &str, reading: &mut Reading, goal: Goal, bytes: usize) -> Loaded {
        let reader = reading.0.get_or_insert_with(|| self.journal.reader(goal.next));
        let mut loaded = Loaded { works: Vec::new(), next: goal.next, paused: false, trouble: None };
        let (mut taken, mut read_bytes, now, mut passed) = (0, 0, Clock::real().steady(), false);
        while taken <= bytes && read_bytes < READ_AT_ONCE && loaded.next < goal.end {
            let record = match reader.next() {
                Ok(Some(record)) if record.seq < goal.end => record,
                // Damaged up to here: what is missing is counted by whoever knows how much there was.
                Ok(later) => {
                    (loaded.next, passed) = (goal.end, later.is_some());
                    break;
                }
                Err(why) => {
                    log::error!(target: consumer, "the journal cannot be read at record {}: {why}", loaded.next);
                    loaded.trouble = Some(why.to_string());
                    break;
                }
            };
            loaded.next = record.seq + 1;
            read_bytes += record.bytes.len();
            let read = journalled::decode(&record.bytes, consumer).and_then(|(share, frozen)| {
                share.map(|share| journalled::batch(frozen, &share, &self.pool).map(|batch| (share, batch))).transpose()
            });
            match read {
                Ok(None) => {}
                Ok(Some((share, batch))) => {
                    let (bytes, place) = (batch.bytes(), Place { origin: share.origin, record: Some(record.seq), ..Place::default() });
                    taken += bytes;
                    let (batch, selection) = (Arc::new(batch), share.selection);
                    let work = Work { batch, selection, bytes, queued: now, ticket: Ticket::none(), place };
                    loaded.works.push((work, record.seq < goal.inherited));
                }
                Err(why) => log::error!(target: consumer, "record {} of the journal is left out: {why}", record.seq),
            }
        }
        loaded.paused = read_bytes >= READ_AT_ONCE;
        reader.take_findings().iter().for_each(|f| log::error!(target: "journal", "{f}"));
        if passed {
            // What it has read in passing may be wanted the next time.
            *reading = Reading::default();
        }
        loaded
    }

    /// Adds what waits for a consumer from record `from` on to what it has.
    pub fn add_waiting(&self, consumer: &str, from: u64, had: &mut Had) {
        let mut reader = self.journal.reader(from);
        while let Ok(Some(record)) = reader.next() {
            if let Ok((Some(share), _)) = journalled::decode(&record.bytes, consumer)
                && let Some(origin) = share.origin
            {
                had.add_waiting(&origin);
            }
        }
    }

    /// Writes down how far consumers are, and gives room back that nobody needs any more. False when that failed.
    pub fn save(&self, queues: &[Arc<Queue>]) -> bool {
        let end = {
            let _writing = lock(&self.writing);
            self.journal.end()
        };
        let mut cursors = lock(&self.cursors);
        // Of one that is removed it was decided; locked as above, so that it is not decided after this.
        for queue in queues.iter().filter(|q| !q.is_removed()) {
            queue.pass(end);
            cursors.set(&queue.owner, queue.cursor());
        }
        let saved = cursors.save().and_then(|()| match cursors.iter().map(|(_, at)| at).min() {
            Some(least) => self.journal.release(least),
            None => Ok(()),
        });
        if self.journal.bytes() < self.max {
            // Whether the disk has room again, the next attempt tells.
            lock(&self.trouble).take();
        }
        saved.map_err(|why| log::error!(target: "journal", "cursors not saved: {why}")).is_ok()
    }

    /// A consumer is gone: unless something waits for it, nothing is kept for it.
    pub fn part_with(&self, queue: &Queue) {
        let mut cursors = lock(&self.cursors);
        match queue.holds_records() {
            true => cursors.set(&queue.owner, queue.cursor()),
            false => drop(cursors.forget(&queue.owner)),
        }
    }

    /// Consumers with a cursor that are not among these: what waits for them is kept.
    pub fn strangers(&self, known: impl Fn(&str) -> bool) -> Vec<String> {
        lock(&self.cursors).iter().filter(|(name, _)| !known(name)).map(|(name, _)| name.to_string()).collect()
    }
}

/// A record to be written.
pub(crate) struct Entry<'a> {
    pub batch: &'a Batch,
    /// Whom it is for, and which messages each gets.
    pub shares: &'a [(Arc<str>, Selection)],
    pub origin: Option<&'a Origin>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|p| p.into_inner())
}

/// Messages that any of the consumers wants.
fn union(batch: &Batch, shares: &[(Arc<str>, Selection)]) -> Selection {
    match shares {
        [(_, only)] => only.clone(),
        _ if shares.iter().any(|(_, s)| s.len() == batch.len()) => batch.all(),
        _ => {
            let mut indices: Vec<u32> = shares.iter().flat_map(|(_, s)| s.iter().map(|i| i as u32)).collect();
            indices.sort_unstable();
            indices.dedup();
            Selection::of(&indices)
        }
    }
}

impl Syncer {
    fn start(durable: Arc<Durable>, woken: Receiver<()>) -> Result<Syncer, String> {
        let (stop, stopped) = bounded::<()>(0);
        let body = move || {
            let every = if let SyncPolicy::Every(pause) = durable.policy { pause } else { Duration::ZERO };
            loop {
                let ended = crossbeam_channel::select! {
                    recv(stopped) -> _ => true,
                    recv(woken) -> _ => stopped.recv_timeout(every) == Err(crossbeam_channel::RecvTimeoutError::Disconnected),
                };
                durable.sync();
                if ended {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("journal".into()).spawn(body).map_err(|e| format!("no thread for the journal: {e}"))?;
        Ok(Syncer { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::BatchBuilder;

    #[test]
    fn nothing_more_is_written_while_too_much_waits_to_be_synchronised() {
        let dir = tempfile::tempdir().unwrap();
        let (durable, _syncer) = Durable::open(dir.path(), 1 << 30, SyncPolicy::Every(Duration::from_secs(3600))).unwrap();
        let mut builder = BatchBuilder::default();
        builder.add();
        let batch = builder.finish();
        let shares = [("output.a".into(), batch.all())];
        let entry = Entry { batch: &batch, shares: &shares, origin: None };
        let write = || durable.write(&entry, Ticket::none(), &[], Sender::Filter { bounded: false }, |_| {});
        assert!((0..MOST_UNSYNCED).all(|_| write()));
        assert!(!write() && durable.trouble().is_some());
        durable.sync();
        assert!(write() && durable.trouble().is_none());
    }
}
