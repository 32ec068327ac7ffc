use message::{Messages, Text};

/// Names and other texts that a plugin writes into every message: stored once a batch, not once a
/// message.
#[derive(Debug)]
pub(crate) struct Constants {
    bytes: Vec<Box<[u8]>>,
    texts: Vec<Text>,
    /// The batch that holds `texts`; see [`Messages::generation`].
    generation: u64,
}

impl Constants {
    pub fn new() -> Constants {
        Constants { bytes: Vec::new(), texts: Vec::new(), generation: 0 }
    }

    /// The index of this constant in [`Constants::texts`]; equal ones share it.
    pub fn add(&mut self, bytes: &[u8]) -> usize {
        self.generation = 0;
        self.bytes.iter().position(|b| **b == *bytes).unwrap_or_else(|| {
            self.bytes.push(bytes.into());
            self.bytes.len() - 1
        })
    }

    /// The constants as texts of this batch.
    #[inline]
    pub fn texts(&mut self, messages: &mut Messages) -> &[Text] {
        if self.generation != messages.generation() {
            self.store(messages);
        }
        &self.texts
    }

    #[cold]
    fn store(&mut self, messages: &mut Messages) {
        self.texts.clear();
        self.texts.extend(self.bytes.iter().map(|b| messages.store(b)));
        self.generation = messages.generation();
    }
}

#[cfg(test)]
mod tests {
    use super::Constants;
    use message::BatchBuilder;

    #[test]
    fn constants_are_stored_once_a_batch() {
        let mut constants = Constants::new();
        assert_eq!((constants.add(b"a"), constants.add(b"b"), constants.add(b"a")), (0, 1, 0));
        let mut builder = BatchBuilder::default();
        for expected in [[b"a", b"b"], [b"a", b"b"]] {
            let (_, messages) = builder.parts();
            let texts = constants.texts(messages).to_vec();
            assert_eq!(constants.texts(messages), texts);
            let mut m = messages.add();
            m.set_type_text(texts[0]);
            m.set_logger_text(texts[1]);
            let batch = builder.finish();
            assert_eq!([batch.get(0).type_(), batch.get(0).logger()], expected.map(|e| &e[..]));
        }
    }
}
