//! Samples of metrics on their way into messages: what decoders of metrics share.
//!
//! A sample is a message of Type `metric` with the fields `name`, `value` and `kind` and a field for each tag, one of a reserved
//! name with `tag_` before it.

use message::{Datum, Label, Messages, Text};
use plugin::Reject;

use crate::constants::Constants;
use crate::labels::Labels;

/// Fields that one record may make: each sample of a line is given all its tags, which would otherwise make gigabytes of a megabyte.
const MAX_FIELDS: usize = 1 << 18;
/// What names that are written anew may take in memory, for the same reason. Bytes, and bytes for each of the record.
const MIN_NAMES: usize = 64 << 10;
const NAMES_PER_BYTE: usize = 16;

/// The fields that every sample has, in the order they are stored.
const FIELDS: [&str; 3] = ["name", "value", "kind"];

/// What a sample's field `kind` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Measure {
    /// A number, as it was at that time.
    Gauge,
    /// A text.
    Text,
}

/// Writes samples.
#[derive(Debug)]
pub(super) struct Samples {
    constants: Constants,
    labels: Labels,
    /// Of the samples to come.
    tags: Vec<(Label, Datum)>,
    fields_left: usize,
    names_left: usize,
    scratch: Vec<u8>,
}

impl Samples {
    pub fn new() -> Samples {
        let (mut constants, mut labels) = (Constants::new(), Labels::default());
        for word in [&b"metric"[..], b"gauge", b"text"] {
            constants.add(word);
        }
        for name in FIELDS {
            labels.add(name, "");
        }
        Samples { constants, labels, tags: Vec::new(), fields_left: 0, names_left: 0, scratch: Vec::new() }
    }

    /// Begins a record of this many bytes.
    pub fn begin(&mut self, length: usize) {
        self.fields_left = MAX_FIELDS;
        self.names_left = MIN_NAMES + NAMES_PER_BYTE * length;
    }

    /// Begins a line: samples to come have no tags yet.
    pub fn line(&mut self, out: &mut Messages) {
        self.labels.begin(out);
        self.tags.clear();
    }

    /// Adds a tag to the samples to come.
    pub fn tag(&mut self, out: &mut Messages, name: &[u8], value: Text) {
        let name = if metrics::is_reserved(name) {
            self.scratch.clear();
            self.scratch.extend_from_slice(b"tag_");
            self.scratch.extend_from_slice(name);
            &self.scratch[..]
        } else {
            name
        };
        let label = self.labels.learnt(name, out).unwrap_or_else(|| {
            let name = out.store(name);
            out.label(name, Text::NONE)
        });
        self.tags.push((label, Datum::String(value)));
    }

    /// A name made of parts.
    ///
    /// # Errors
    /// When such names are far longer than the record.
    pub fn name(&mut self, out: &mut Messages, parts: &[&[u8]]) -> Result<Text, Reject> {
        let length = parts.iter().map(|part| part.len()).sum();
        let left = self.names_left.checked_sub(length);
        self.names_left = left.ok_or_else(|| Reject::new("not taken: the names of its samples are far longer than the record"))?;
        Ok(out.store_with(|arena| parts.iter().for_each(|part| arena.extend_from_slice(part))))
    }

    /// Adds a sample with the tags of its line.
    ///
    /// # Errors
    /// When the record's samples and tags are too many.
    pub fn add(&mut self, out: &mut Messages, name: Text, value: Datum, measure: Measure) -> Result<(), Reject> {
        let left = self.fields_left.checked_sub(FIELDS.len() + self.tags.len());
        let many = || Reject::new(format!("not taken: its samples and tags make more than {MAX_FIELDS} fields"));
        self.fields_left = left.ok_or_else(many)?;
        let [metric, gauge, text] = [0, 1, 2].map(|n| self.constants.texts(out)[n]);
        let [name_label, value_label, kind_label] = [0, 1, 2].map(|n| self.labels.of(out)[n]);
        let kind = if measure == Measure::Gauge { gauge } else { text };
        let mut m = out.add();
        m.set_type_text(metric);
        m.add_labelled(name_label, Datum::String(name));
        m.add_labelled(value_label, value);
        m.add_labelled(kind_label, Datum::String(kind));
        self.tags.iter().for_each(|(label, value)| m.add_labelled(*label, *value));
        Ok(())
    }
}
