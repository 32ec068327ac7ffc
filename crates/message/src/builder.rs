use crate::pool::Storage;
use crate::{Batch, MessageMut, MessageRef, Messages, Pool, Raw, Span, Ticket};

/// Fills a batch: raw bytes from an input, messages from a decoder.
#[derive(Default)]
pub struct BatchBuilder {
    storage: Storage,
    spans: Vec<Span>,
    pool: Pool,
}

impl BatchBuilder {
    /// A builder whose batches give their memory back to `pool`.
    pub fn new(pool: Pool) -> BatchBuilder {
        BatchBuilder { storage: pool.take(), spans: Vec::new(), pool }
    }

    pub fn len(&self) -> usize {
        self.storage.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        self.storage.raw.len() + self.storage.messages.bytes()
    }

    /// The raw block, to append what was read. Bytes a message already points at must stay.
    pub fn raw(&mut self) -> &mut Raw {
        &mut self.storage.raw
    }

    /// The messages, to read and write without the raw block.
    pub fn messages(&mut self) -> &mut Messages {
        &mut self.storage.messages
    }

    /// The raw block to read and the messages to write, at once: what a decoder works with.
    pub fn parts(&mut self) -> (&[u8], &mut Messages) {
        (&self.storage.raw, &mut self.storage.messages)
    }

    /// Starts a message.
    pub fn add(&mut self) -> MessageMut<'_> {
        self.storage.messages.add()
    }

    /// Adds a copy of a message of another batch.
    pub fn copy(&mut self, from: MessageRef<'_>) -> MessageMut<'_> {
        let mut m = self.storage.messages.add();
        m.copy_from(from);
        m
    }

    /// The message at `index`, for changes.
    pub fn message(&mut self, index: usize) -> MessageMut<'_> {
        self.storage.messages.message(index)
    }

    /// Reads a message back.
    pub fn get(&self, index: usize) -> MessageRef<'_> {
        self.storage.messages.view(&self.storage.raw, index)
    }

    /// Records that this batch covers the stream up to `to`; spans of one stream are joined.
    pub fn cover(&mut self, span: Span) {
        match self.spans.iter_mut().rev().find(|s| s.stream == span.stream) {
            Some(known) => known.to = span.to,
            None => self.spans.push(span),
        }
    }

    /// Stream positions covered so far.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Closes a batch that holds `loan` until its memory is free; the builder starts the next one.
    pub fn finish_with(&mut self, loan: Ticket) -> Batch {
        let storage = std::mem::replace(&mut self.storage, self.pool.take());
        Batch { storage, spans: std::mem::take(&mut self.spans), loan, pool: self.pool.clone() }
    }

    /// Closes a batch whose memory nobody waits for.
    pub fn finish(&mut self) -> Batch {
        self.finish_with(Ticket::none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Datum, Text, Value, ValueType};

    #[test]
    fn repeated_names_and_arrays_are_addressed_by_two_indices() {
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        m.add_string(b"a", b"first");
        let name = m.messages().store(b"a");
        m.add_field(name, Text::NONE, ValueType::Integer, &[Datum::Integer(1), Datum::Integer(2)]);
        let batch = b.finish();
        let m = batch.get(0);
        assert_eq!(m.value(b"a", 0, 0), Some(Value::String(b"first")));
        assert_eq!(m.value(b"a", 1, 1), Some(Value::Integer(2)));
        assert_eq!(m.value(b"a", 1, 2), None);
        assert_eq!(m.value(b"a", 2, 0), None);
    }

    #[test]
    fn changing_an_earlier_message_leaves_the_later_ones_alone() {
        let mut b = BatchBuilder::default();
        b.add().add_integer(b"x", 1);
        b.add().add_integer(b"x", 2);
        let mut first = b.message(0);
        first.add_integer(b"y", 3);
        first.remove_field(0);
        let batch = b.finish();
        assert_eq!(batch.get(0).value(b"x", 0, 0), None);
        assert_eq!(batch.get(0).value(b"y", 0, 0), Some(Value::Integer(3)));
        assert_eq!(batch.get(1).value(b"x", 0, 0), Some(Value::Integer(2)));
    }

    #[test]
    fn a_pool_reuses_memory() {
        let pool = Pool::new();
        let mut b = BatchBuilder::new(pool.clone());
        b.raw().extend_from_slice(&[0; 4096]);
        let at = b.raw().as_ptr();
        drop(b.finish());
        let mut again = BatchBuilder::new(pool);
        again.raw().extend_from_slice(b"x");
        assert_eq!(again.raw().as_ptr(), at);
    }
}
