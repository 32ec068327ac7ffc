use message::{Datum, Label, Messages, StreamId, Text};

use super::EngineIntake;
use super::stream::Stream;

/// Headers that decoders leave open, and the fields of a stream, stored once a batch.
#[derive(Default)]
pub(super) struct Defaults {
    generation: u64,
    type_: Text,
    logger: Text,
    hostname: Text,
    fields: Vec<(Label, Datum)>,
    stream: Option<StreamId>,
}

impl Defaults {
    /// A number that is used again means another stream from here on.
    pub(super) fn forget_stream(&mut self) {
        self.generation = 0;
    }

    /// Fills in what the messages from `first` on, begun at `mark`, leave open.
    pub(super) fn fill(&self, messages: &mut Messages, mark: u32, first: usize, now: i64) {
        messages.fill(mark, self.type_, self.logger, self.hostname);
        messages.stamp(first, now);
        if !self.fields.is_empty() {
            for index in first..messages.len() {
                let mut message = messages.message(index);
                self.fields.iter().for_each(|(label, value)| message.add_labelled(*label, *value));
            }
        }
    }
}

impl EngineIntake {
    pub(super) fn store_defaults(&mut self, stream: Option<(StreamId, &Stream)>) {
        let messages = self.builder.messages();
        let d = &mut self.defaults;
        let id = stream.map(|(id, _)| id);
        if d.generation == messages.generation() && d.stream == id {
            return;
        }
        d.generation = messages.generation();
        d.stream = id;
        let or = |given: &str, other: &str| if given.is_empty() { other.to_string() } else { given.to_string() };
        let (logger, hostname) = stream.map_or(("", ""), |(_, s)| (s.logger.as_str(), s.hostname.as_str()));
        let type_ = self.input.spec.options.get_str("message_type").unwrap_or(&self.input.spec.name);
        d.type_ = messages.store(type_.as_bytes());
        d.logger = messages.store(or(logger, &self.input.spec.name).as_bytes());
        d.hostname = messages.store(or(hostname, &self.plan.globals.hostname).as_bytes());
        d.fields.clear();
        for (name, value) in stream.map_or(&[][..], |(_, s)| &s.fields) {
            let (name, value) = (messages.store(name.as_bytes()), messages.store(value.as_bytes()));
            d.fields.push((messages.label(name, Text::NONE), Datum::String(value)));
        }
    }
}
