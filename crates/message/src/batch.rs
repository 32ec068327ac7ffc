use crate::pool::Storage;
use crate::{MessageRef, Pool, Selection, Ticket};

/// Number of a stream (a file, a connection) within one input.
pub type StreamId = u32;

/// The part of one stream that a batch covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub stream: StreamId,
    /// Position in the stream before the first byte covered.
    pub from: u64,
    /// Position after the last byte covered: where reading resumes once the batch is settled.
    pub to: u64,
}

/// Messages that travel together. Built by [`crate::BatchBuilder`], then never changed.
#[derive(Debug)]
pub struct Batch {
    pub(crate) storage: Storage,
    pub(crate) spans: Vec<Span>,
    /// Let go with the last copy: who lent the memory learns that it is free.
    pub(crate) loan: Ticket,
    pub(crate) pool: Pool,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.storage.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message at `index`, which must be below [`Batch::len`].
    pub fn get(&self, index: usize) -> MessageRef<'_> {
        self.storage.messages.view(&self.storage.raw, index)
    }

    pub fn iter(&self) -> impl Iterator<Item = MessageRef<'_>> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// A selection of every message.
    pub fn all(&self) -> Selection {
        Selection::All(self.len() as u32)
    }

    /// The selected messages in order.
    pub fn selected<'a>(&'a self, selection: &'a Selection) -> impl Iterator<Item = MessageRef<'a>> {
        selection.iter().map(|i| self.get(i))
    }

    /// Bytes of memory the batch holds, near enough to budget queues with.
    pub fn bytes(&self) -> usize {
        self.storage.raw.len() + self.storage.messages.bytes()
    }

    /// Stream positions this batch covers.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Held for as long as the batch's memory is in use.
    pub fn loan(&self) -> &Ticket {
        &self.loan
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.storage));
    }
}
