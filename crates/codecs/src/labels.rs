use message::{Label, Messages, Text};

/// Names that are looked for behind the expected one: fields that a record lacks.
const SKIPPED: usize = 3;
/// Names that are learnt, and the longest of them in bytes. Records with more or longer ones have them
/// stored one by one: what is learnt is stored in every batch from then on.
const MAX_LEARNT: usize = 64;
const MAX_NAME: usize = 64;

/// Names of fields, with their representations, that a decoder writes into every message: stored
/// once a batch, not once a message. Those that records bring along are learnt, see [`Labels::learnt`].
#[derive(Default, Debug)]
pub(crate) struct Labels {
    names: Vec<Name>,
    labels: Vec<Label>,
    /// The batch that holds `labels`; see [`Messages::generation`].
    generation: u64,
    /// Place of the name that comes next if this record is like the one before.
    expected: usize,
}

/// Name and representation.
type Name = (Box<[u8]>, Box<[u8]>);

impl Labels {
    /// The index in [`Labels::of`] of the label for fields of this name and representation (empty: none).
    pub fn add(&mut self, name: &str, representation: &str) -> usize {
        self.generation = 0;
        self.names.push((name.as_bytes().into(), representation.as_bytes().into()));
        self.names.len() - 1
    }

    /// The labels in this batch.
    #[inline]
    pub fn of(&mut self, messages: &mut Messages) -> &[Label] {
        if self.generation != messages.generation() {
            self.store(messages);
        }
        &self.labels
    }

    /// Begins a record whose names are to be learnt.
    #[inline]
    pub fn begin(&mut self, messages: &mut Messages) {
        self.of(messages);
        self.expected = 0;
    }

    /// The label in this batch, since [`Labels::begin`], for fields of this name without
    /// representation. Records of one stream mostly have the same names in the same order. `None`
    /// when too many names are known already, or it is too long.
    #[inline]
    pub fn learnt(&mut self, name: &[u8], messages: &mut Messages) -> Option<Label> {
        let next = self.names.get(self.expected..).unwrap_or_default();
        let place = match next.iter().take(1 + SKIPPED).position(|(known, _)| **known == *name) {
            Some(skipped) => self.expected + skipped,
            None => self.learn(name, messages)?,
        };
        self.expected = place + 1;
        Some(self.labels[place])
    }

    #[cold]
    fn learn(&mut self, name: &[u8], messages: &mut Messages) -> Option<usize> {
        if name.len() > MAX_NAME {
            return None;
        }
        let known = self.names.iter().position(|(known, _)| **known == *name);
        if known.is_some() || self.names.len() == MAX_LEARNT {
            return known;
        }
        let text = messages.store(name);
        self.names.push((name.into(), Box::default()));
        self.labels.push(messages.label(text, Text::NONE));
        Some(self.names.len() - 1)
    }

    #[cold]
    fn store(&mut self, messages: &mut Messages) {
        self.labels.clear();
        for (name, representation) in &self.names {
            let name = messages.store(name);
            let representation = if representation.is_empty() { Text::NONE } else { messages.store(representation) };
            self.labels.push(messages.label(name, representation));
        }
        self.generation = messages.generation();
    }
}

#[cfg(test)]
mod tests {
    use super::{Labels, MAX_LEARNT};
    use message::{BatchBuilder, Datum};

    #[test]
    fn names_are_learnt_up_to_a_number() {
        let mut labels = Labels::default();
        let mut builder = BatchBuilder::default();
        for round in 0..2 {
            let (_, messages) = builder.parts();
            labels.begin(messages);
            for n in (0..100).chain([5, 3, 99, 4]) {
                let label = labels.learnt(format!("name{n}").as_bytes(), messages);
                assert_eq!(label.is_some(), n < MAX_LEARNT, "{n} in round {round}");
                let Some(label) = label else { continue };
                messages.add().add_labelled(label, Datum::Integer(n as i64));
            }
            let batch = builder.finish();
            assert!(batch.iter().all(|m| m.fields().all(|f| f.value(0) == m.value(f.name(), 0, 0) && f.name().starts_with(b"name"))));
            let name = |index: usize| batch.get(index).fields().next().map(|f| f.name().to_vec());
            assert_eq!([name(0), name(63), name(64), name(66)].map(Option::unwrap), [&b"name0"[..], b"name63", b"name5", b"name4"]);
        }
    }

    #[test]
    fn labels_are_made_once_a_batch() {
        let mut labels = Labels::default();
        assert_eq!((labels.add("size", "B"), labels.add("status", "")), (0, 1));
        let mut builder = BatchBuilder::default();
        for _ in 0..2 {
            let (_, messages) = builder.parts();
            let these = labels.of(messages).to_vec();
            assert_eq!(labels.of(messages), these);
            let mut m = messages.add();
            m.add_labelled(these[0], Datum::Integer(7));
            m.add_labelled(these[1], Datum::Integer(200));
            let batch = builder.finish();
            let fields: Vec<_> = batch.get(0).fields().map(|f| (f.name(), f.representation())).collect();
            assert_eq!(fields, [(&b"size"[..], &b"B"[..]), (b"status", b"")]);
        }
    }
}
