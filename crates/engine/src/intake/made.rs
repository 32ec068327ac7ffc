use message::{Messages, Span, StreamId, Text};
use plugin::{DecodeCx, Record};

use super::EngineIntake;
use super::records::BLOCK;

/// Messages that the input makes itself.
impl EngineIntake {
    /// Takes what `make` makes, whose payloads are records when they are of a stream and there is a decoder.
    pub(super) fn take_made(&mut self, stream: Option<StreamId>, make: &mut dyn FnMut(&mut Messages)) {
        self.renew();
        let (mark, first) = (self.builder.messages().begin(), self.builder.len());
        make(self.builder.messages());
        self.received += (self.builder.len() - first) as u64;
        if let Some(id) = stream.filter(|_| self.decodes) {
            self.decode_made(id, first);
        }
        self.complete(None, mark, first, self.clock.now());
        self.opened.get_or_insert_with(|| self.clock.steady());
    }

    /// Covers one position of a stream, which the messages just made are of.
    pub(super) fn cover_made(&mut self, id: StreamId, note: Option<&str>) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        self.builder.cover(Span { stream: id, from: stream.position, to: stream.position + 1 });
        stream.position += 1;
        stream.pass_cut();
        if let Some(note) = note {
            self.notes.insert(id, note.to_string());
        }
    }

    /// They are whole: they may go.
    pub(super) fn end_made(&mut self) {
        self.whole = self.builder.len();
        if self.builder.bytes() >= BLOCK {
            self.close_batch();
        }
    }

    /// Makes records of the payloads of messages from `first` on, and has them decoded in their place.
    /// What the decoder leaves open is the message's.
    fn decode_made(&mut self, id: StreamId, first: usize) {
        let Some(mut stream) = self.streams.take(id) else { return };
        let now = self.clock.now();
        for _ in first..self.builder.len() {
            let at = self.builder.raw().len();
            let payload = self.builder.get(first).payload().to_vec();
            self.builder.raw().extend_from_slice(&payload);
            let (raw, messages) = self.builder.parts();
            let (record, before) = (Record::new(&raw[at..], Text::raw(at, payload.len())), messages.len());
            let decoded = stream.decoder.call(|decoder| {
                messages.truncate(before);
                decoder.decode(record, messages, &DecodeCx { now })
            });
            if let Err(reject) = decoded {
                messages.truncate(before);
                self.refuse(Text::raw(at, payload.len()), &reject, now);
            }
            let messages = self.builder.messages();
            (before..messages.len()).for_each(|made| messages.inherit(made, first));
            messages.remove(first);
        }
        self.streams.put(id, stream);
    }
}
