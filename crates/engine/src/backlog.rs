use std::collections::VecDeque;

/// What waits for a consumer in the journal, behind what it has in memory.
#[derive(Default, Debug)]
pub(crate) struct Backlog {
    /// Number of the first record that was not read yet.
    next: u64,
    /// Number behind the last record of its own.
    end: u64,
    /// Messages that were written in this process and not read yet.
    messages: usize,
    /// Records below are of an earlier process; how many messages they hold is not known.
    inherited: u64,
    /// Records of its own among these that it has in memory, or had: in order.
    had: VecDeque<u64>,
    /// Where reading is; away while somebody reads.
    pub reading: Reading,
}

/// A reader of the journal, made when it is needed.
#[derive(Default)]
pub(crate) struct Reading(pub Option<journal::Reader>);

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reading")
    }
}

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub next: u64,
    pub end: u64,
    /// Below, records are of an earlier process.
    pub inherited: u64,
}

impl Backlog {
    /// Of an earlier process.
    pub fn left(next: u64, end: u64) -> Backlog {
        Backlog { next, end, inherited: end, ..Backlog::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.next >= self.end
    }

    /// Messages known to wait.
    pub fn messages(&self) -> usize {
        self.messages
    }

    pub fn goal(&self) -> Goal {
        Goal { next: self.next, end: self.end, inherited: self.inherited }
    }

    /// Another record is written.
    pub fn extend(&mut self, record: u64, messages: usize) {
        if self.is_empty() {
            self.next = record;
        }
        self.end = record + 1;
        self.messages += messages;
    }

    /// What it has in memory is written as this record: should that stand behind what waits, it is not to be read back.
    pub fn has(&mut self, record: u64) {
        if !self.is_empty() {
            self.had.push_back(record);
        }
    }

    /// Whether it had a record that was read, asked in order.
    pub fn had(&mut self, record: u64) -> bool {
        while self.had.front().is_some_and(|had| *had < record) {
            self.had.pop_front();
        }
        self.had.front() == Some(&record)
    }

    /// So many messages were read.
    pub fn loaded(&mut self, messages: usize, inherited: bool) {
        if !inherited {
            self.messages = self.messages.saturating_sub(messages);
        }
    }

    /// Everything below `next` was read. When nothing is left: messages that should have been there.
    pub fn reached(&mut self, next: u64) -> Option<usize> {
        self.next = self.next.max(next);
        self.is_empty().then(|| {
            // What is written next may be far behind: it is looked up anew.
            self.reading = Reading::default();
            self.had.clear();
            std::mem::take(&mut self.messages)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_shrinks_and_tells_what_is_missing() {
        let mut b = Backlog::left(3, 7);
        assert!(!b.is_empty());
        b.extend(9, 5);
        b.extend(12, 2);
        b.loaded(100, true);
        assert_eq!((b.messages(), b.reached(7), b.goal().next), (7, None, 7));
        b.loaded(5, false);
        assert_eq!((b.reached(13), b.is_empty(), b.messages()), (Some(2), true, 0));
        b.extend(20, 1);
        assert_eq!((b.goal().next, b.goal().end), (20, 21));
    }
}
