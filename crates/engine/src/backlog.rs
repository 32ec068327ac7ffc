use std::collections::VecDeque;
use std::time::Duration;

use message::Ticket;

use crate::progress::Unwritten;
use crate::queue::Work;

/// What waits for a consumer, in order: work in memory, and runs of records in the journal.
#[derive(Default)]
pub(crate) struct Line {
    items: VecDeque<Item>,
    /// Pieces of work in memory, and their bytes.
    works: usize,
    bytes: usize,
    runs: usize,
    /// Key of the next item. Keys ascend along the line, so that work can be found by its own.
    next: u64,
    /// Number behind the last record that was written for this consumer.
    last: u64,
    /// Where reading is; away while somebody reads.
    pub reading: Reading,
}

enum Item {
    Work(Work),
    Run(Run),
}

/// Records of the journal: every one of the consumer's own from `next` to before `end` waits here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    key: u64,
    /// Number behind the last record of its own before this run.
    follows: u64,
    /// Number of the first record that was not read yet.
    next: u64,
    end: u64,
    /// Messages that were written in this process and not read yet.
    messages: usize,
    /// Records below are of an earlier process; how many messages they hold is not known.
    inherited: u64,
}

/// A reader of the journal, made when it is needed.
#[derive(Default)]
pub(crate) struct Reading(pub Option<journal::Reader>);

/// What is to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Goal {
    pub next: u64,
    pub end: u64,
    /// Below, records are of an earlier process.
    pub inherited: u64,
}

/// Most pieces of work that are listed at once to be written.
const MOST_AT_ONCE: usize = 64;

impl Line {
    /// What an earlier process left in the journal, comes first.
    pub fn left(next: u64, end: u64) -> Line {
        let mut line = Line { last: end, next: 1, ..Line::default() };
        line.add_run(Run { key: 0, follows: next, next, end, messages: 0, inherited: end });
        line
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether something of it is in the journal only.
    pub fn has_runs(&self) -> bool {
        self.runs > 0
    }

    /// Whether the next of it has to be read in the journal.
    pub fn starts_with_run(&self) -> bool {
        matches!(self.items.front(), Some(Item::Run(_)))
    }

    /// Pieces of work in memory.
    pub fn works(&self) -> usize {
        self.works
    }

    /// Bytes of these.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages known to wait, in memory and in the journal.
    pub fn messages(&self) -> (usize, usize) {
        self.items.iter().fold((0, 0), |(here, away), item| match item {
            Item::Work(work) => (here + work.selection.len(), away),
            Item::Run(run) => (here, away + run.messages),
        })
    }

    /// Since when the first waits that is in memory.
    pub fn since(&self) -> Option<Duration> {
        self.items.iter().find_map(|item| if let Item::Work(work) = item { Some(work.queued) } else { None })
    }

    /// The least number of the journal that waits.
    pub fn least(&self) -> Option<u64> {
        let record = |item: &Item| match item {
            Item::Work(work) => work.place.record,
            Item::Run(run) => Some(run.next),
        };
        self.items.iter().filter_map(record).min()
    }

    /// Adds work at the end.
    pub fn push(&mut self, mut work: Work) {
        work.place.key = self.key();
        self.count(&work);
        self.items.push_back(Item::Work(work));
    }

    /// Adds work at the end that is in the journal, too.
    pub fn push_written(&mut self, mut work: Work, record: u64) {
        (work.place.record, work.place.follows) = (Some(record), Some(self.wrote(record)));
        self.push(work);
    }

    /// Adds a record at the end that so many messages of are its own.
    pub fn append(&mut self, record: u64, messages: usize) {
        let (key, follows) = (self.key(), self.wrote(record));
        self.add_run(Run { key, follows, next: record, end: record + 1, messages, inherited: 0 });
    }

    fn key(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn count(&mut self, work: &Work) {
        self.works += 1;
        self.bytes += work.bytes;
    }

    fn discount(&mut self, work: &Work) {
        self.works -= 1;
        self.bytes -= work.bytes;
    }

    /// A record of its own was written; the number behind the one before.
    pub fn wrote(&mut self, record: u64) -> u64 {
        std::mem::replace(&mut self.last, record + 1)
    }

    /// What goes on where the last run ends belongs to it: of its own is nothing in between.
    fn add_run(&mut self, run: Run) {
        match self.items.back_mut() {
            _ if run.next >= run.end => {}
            Some(Item::Run(last)) if last.end == run.follows => {
                last.end = run.end;
                last.messages += run.messages;
            }
            _ => {
                self.runs += 1;
                self.items.push_back(Item::Run(run));
            }
        }
    }

    /// Takes the first, if it is in memory.
    pub fn pop(&mut self) -> Option<Work> {
        match self.items.pop_front()? {
            Item::Work(work) => {
                self.discount(&work);
                Some(work)
            }
            run => {
                self.items.push_front(run);
                None
            }
        }
    }

    /// Puts work in front.
    pub fn unpop(&mut self, work: Work) {
        self.count(&work);
        self.items.push_front(Item::Work(work));
    }

    /// Takes the oldest out of memory; what is in the journal stays in the line by its number, or in memory where it was
    /// read from there or given back: it may have been accepted long ago.
    pub fn oldest(&mut self) -> Option<Oldest> {
        let can_go = |w: &Work| Run::of(w).is_some() || (w.place.number.is_none() && w.place.record.is_none());
        let at = self.items.iter().position(|item| matches!(item, Item::Work(work) if can_go(work)))?;
        let mut behind = self.items.split_off(at);
        let Some(Item::Work(work)) = behind.pop_front() else { return None };
        self.discount(&work);
        let oldest = match Run::of(&work) {
            Some(run) => {
                self.add_run(run);
                Oldest::Written
            }
            None => Oldest::Only(work),
        };
        self.join(behind);
        Some(oldest)
    }

    /// Takes everything out of memory that is in the journal, was added before `until`, and takes of what an input may have
    /// in memory. To be let go of outside of locks.
    pub fn park(&mut self, until: Duration) -> Vec<Work> {
        let parks = |work: &Work| work.queued < until && work.batch.loan().is_awaited() && Run::of(work).is_some();
        let Some(first) = self.items.iter().position(|item| matches!(item, Item::Work(work) if parks(work))) else { return Vec::new() };
        let (mut parked, mut rest) = (Vec::new(), self.items.split_off(first));
        for item in &mut rest {
            if let Item::Work(work) = item
                && parks(work)
                && let Some(run) = Run::of(work)
            {
                self.discount(work);
                self.runs += 1;
                if let Item::Work(work) = std::mem::replace(item, Item::Run(run)) {
                    parked.push(work);
                }
            }
        }
        self.join(rest);
        parked
    }

    /// Adds what stood behind.
    fn join(&mut self, behind: VecDeque<Item>) {
        for item in behind {
            match item {
                Item::Run(run) => {
                    self.runs -= 1;
                    self.add_run(run);
                }
                work => self.items.push_back(work),
            }
        }
    }

    /// Everything in memory, out of it.
    pub fn drain(&mut self) -> Vec<Work> {
        let (works, runs): (VecDeque<Item>, VecDeque<Item>) =
            std::mem::take(&mut self.items).into_iter().partition(|item| matches!(item, Item::Work(_)));
        (self.works, self.bytes) = (0, 0);
        self.join(runs);
        works.into_iter().filter_map(|item| if let Item::Work(work) = item { Some(work) } else { None }).collect()
    }

    /// Work that is in memory only, was added before `until`, and whose sender waits: some of it, from a key on, in order.
    pub fn unwritten(&self, until: Duration, from: u64) -> impl Iterator<Item = Unwritten> {
        let works = self.items.range(self.find(from)..).filter_map(|item| if let Item::Work(work) = item { Some(work) } else { None });
        works
            .filter(move |work| {
                work.place.number.is_none() && work.place.record.is_none() && work.ticket.is_awaited() && work.queued < until
            })
            .take(MOST_AT_ONCE)
            .map(|w| Unwritten { key: w.place.key, batch: w.batch.clone(), selection: w.selection.clone(), origin: w.place.origin.clone() })
    }

    /// Work has this number in the journal now; its sender, if it is in the line and was never taken from it.
    pub fn written(&mut self, key: u64, record: u64) -> Option<Ticket> {
        let (at, follows) = (self.find(key), self.wrote(record));
        let Some(Item::Work(work)) = self.items.get_mut(at) else { return None };
        if work.place.key != key || work.place.number.is_some() || work.place.record.is_some() {
            return None;
        }
        (work.place.record, work.place.follows) = (Some(record), Some(follows));
        Some(std::mem::take(&mut work.ticket))
    }

    /// Where items from a key on begin. What was put back stands in front and has keys from before.
    fn find(&self, key: u64) -> usize {
        self.items.partition_point(|item| match item {
            Item::Work(work) => work.place.number.is_some() || work.place.key < key,
            Item::Run(run) => run.key < key,
        })
    }

    /// What is to be read next.
    pub fn goal(&self) -> Option<Goal> {
        match self.items.front() {
            Some(Item::Run(run)) => Some(Goal { next: run.next, end: run.end, inherited: run.inherited }),
            _ => None,
        }
    }

    /// Of the first run, everything below `next` was read, and this is what was there. How many messages are missing.
    pub fn read(&mut self, next: u64, works: Vec<Work>, known: usize) -> usize {
        let Some(Item::Run(run)) = self.items.front_mut() else { return 0 };
        run.next = run.next.max(next);
        run.messages = run.messages.saturating_sub(known);
        let (key, done, missing) = (run.key, run.next >= run.end, run.messages);
        if done {
            // What is written next may be far behind: it is looked up anew.
            self.reading = Reading::default();
            self.runs -= 1;
            self.items.pop_front();
        }
        for mut work in works.into_iter().rev() {
            work.place.key = key;
            self.unpop(work);
        }
        if done { missing } else { 0 }
    }
}

/// What [`Line::oldest`] took out of memory.
pub(crate) enum Oldest {
    /// It was nowhere else.
    Only(Work),
    /// It still waits, in the journal.
    Written,
}

impl Run {
    /// Of work that was never taken and is in the journal.
    fn of(work: &Work) -> Option<Run> {
        let place = &work.place;
        let (None, Some(record), Some(follows)) = (place.number, place.record, place.follows) else { return None };
        Some(Run { key: place.key, follows, next: record, end: record + 1, messages: work.selection.len(), inherited: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Place;
    use message::BatchBuilder;
    use std::sync::Arc;

    fn work(messages: usize) -> Work {
        let mut b = BatchBuilder::default();
        for _ in 0..messages {
            b.add();
        }
        let batch = Arc::new(b.finish_with(Ticket::new(|_| {})));
        let (selection, ticket) = (batch.all(), Ticket::new(|_| {}));
        Work { selection, batch, bytes: 10, queued: Duration::ZERO, ticket, place: Place::default() }
    }

    fn goals(mut line: Line) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| {
            while line.pop().is_some() {}
            let goal = line.goal()?;
            line.read(goal.end, Vec::new(), 0);
            Some((goal.next, goal.end))
        })
        .collect()
    }

    #[test]
    fn runs_grow_and_shrink_and_tell_what_is_missing() {
        let mut line = Line::left(3, 7);
        line.append(9, 5);
        line.append(12, 2);
        assert_eq!((line.messages(), line.goal()), ((0, 7), Some(Goal { next: 3, end: 13, inherited: 7 })));
        assert_eq!((line.read(10, vec![work(5)], 5), line.messages(), line.least()), (0, (5, 2), Some(10)));
        assert!(line.pop().is_some());
        assert_eq!((line.read(13, Vec::new(), 0), line.is_empty()), (2, true));
        line.append(20, 1);
        assert_eq!(goals(line), [(20, 21)]);
    }

    #[test]
    fn what_is_written_leaves_memory_and_keeps_its_place() {
        let mut line = Line::default();
        (1..=3).for_each(|n| line.push(work(n)));
        line.append(4, 9);
        line.push(work(4));
        let keys: Vec<u64> = line.unwritten(Duration::MAX, 0).map(|u| u.key).collect();
        // The one of the middle last.
        for (key, record) in [(keys[0], 5), (keys[2], 7), (keys[1], 8)] {
            assert!(line.written(key, record).is_some());
            assert!(line.written(key, record).is_none());
        }
        assert_eq!(line.unwritten(Duration::MAX, 0).map(|u| u.key).collect::<Vec<_>>(), [keys[3]]);
        assert_eq!((line.park(Duration::ZERO).len(), line.park(Duration::MAX).len()), (0, 3));
        assert_eq!((line.works(), line.bytes(), line.messages(), line.least()), (1, 10, (4, 15), Some(4)));
        assert_eq!(goals(line), [(5, 6), (8, 9), (7, 8), (4, 5)]);
    }

    #[test]
    fn what_was_read_from_the_journal_is_not_dropped() {
        let mut line = Line::left(3, 7);
        let read = Work { place: Place { record: Some(3), ..Place::default() }, ..work(7) };
        line.read(4, vec![read], 7);
        assert!(line.oldest().is_none());
        line.push(work(2));
        assert!(matches!(line.oldest(), Some(Oldest::Only(work)) if work.selection.len() == 2));
        assert_eq!((line.works(), line.messages()), (1, (7, 0)));
    }

    #[test]
    fn neighbours_are_one_run_however_often_the_disk_fails() {
        let (mut line, mut record) = (Line::left(0, 1), 1);
        for _ in 0..100 {
            line.append(record + 2, 1);
            (0..3).for_each(|n| line.push(work(n)));
            let unwritten: Vec<u64> = line.unwritten(Duration::MAX, 0).map(|u| u.key).collect();
            for (key, number) in unwritten.iter().zip(record + 5..) {
                line.written(*key, number);
            }
            record += 10;
            assert!(matches!(line.oldest(), Some(Oldest::Written)));
            assert_eq!(line.park(Duration::MAX).len(), 2);
        }
        assert_eq!((line.items.len(), line.runs, line.works), (1, 1, 0));
    }
}
