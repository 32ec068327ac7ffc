//! Which labels of a batch are those of a name.

use message::{FieldRef, MessageRef, Value};

/// Names that are kept; a script that reads more of them looks some up again.
const NAMES: usize = 8;
/// Bytes of a name that is kept.
const LONGEST: usize = 46;
/// Labels of a batch that are kept; few batches have more.
const LABELS: u32 = 64;

/// For the names a script reads, which labels of the batch at hand have them: a label is compared with a name once.
#[derive(Default)]
pub(crate) struct Labels {
    /// Empty until the first look, so that an idle sandbox has none.
    names: Vec<Name>,
}

#[derive(Clone, Copy)]
struct Name {
    text: [u8; LONGEST],
    len: usize,
    /// By label: it has been compared; it is this name.
    known: u64,
    same: u64,
}

const EMPTY: Name = Name { text: [0; LONGEST], len: 0, known: 0, same: 0 };

impl Labels {
    /// From here on labels are those of another batch, or may be.
    pub fn forget(&mut self) {
        for name in &mut self.names {
            name.known = 0;
        }
    }

    /// The first value of the first field of this name. All messages since [`Labels::forget`] are of one batch, to which
    /// nothing is added.
    #[inline]
    pub fn first<'m>(&mut self, m: MessageRef<'m>, name: &[u8]) -> Option<Value<'m>> {
        if name.len() > LONGEST {
            return m.value(name, 0, 0);
        }
        if self.names.is_empty() {
            self.names = vec![EMPTY; NAMES];
        }
        // Lua keeps one copy of a short text, so its address tells names apart well; what it is called decides.
        let at = (name.as_ptr() as usize >> 4) % NAMES;
        let kept = &mut self.names[at];
        if kept.text.get(..kept.len) != Some(name) {
            *kept = EMPTY;
            kept.text[..name.len()].copy_from_slice(name);
            kept.len = name.len();
        }
        m.fields().find(|field| kept.is_of(field))?.value(0)
    }
}

impl Name {
    #[inline]
    fn is_of(&mut self, field: &FieldRef<'_>) -> bool {
        let label = field.label_number();
        if label < LABELS && self.known >> label & 1 != 0 { self.same >> label & 1 != 0 } else { self.look(*field, label) }
    }

    #[inline(never)]
    fn look(&mut self, field: FieldRef<'_>, label: u32) -> bool {
        let same = field.name() == &self.text[..self.len];
        if label < LABELS {
            let bit = 1 << label;
            self.known |= bit;
            self.same = if same { self.same | bit } else { self.same & !bit };
        }
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::{Batch, BatchBuilder};

    /// A message with these names, whose values are their places.
    fn batch(names: &[&[u8]]) -> Batch {
        let mut builder = BatchBuilder::default();
        let mut m = builder.add();
        for (at, name) in names.iter().enumerate() {
            m.add_integer(name, at as i64);
        }
        builder.finish()
    }

    #[test]
    fn what_is_kept_finds_what_a_search_finds() {
        let names: Vec<Vec<u8>> = (0..100).map(|n| format!("{}{n}", "x".repeat(n)).into_bytes()).collect();
        let forth: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let back: Vec<&[u8]> = forth.iter().rev().copied().collect();
        let mut labels = Labels::default();
        for names in [&forth[..], &back, &forth[..10], &back[..10], &[], &[b"", b"", b"a"]] {
            let batch = batch(names);
            labels.forget();
            for name in forth.iter().chain(&back).chain(&[&b""[..], b"a", b"b"]) {
                assert_eq!(labels.first(batch.get(0), name), batch.get(0).value(name, 0, 0), "{name:?}");
            }
        }
    }

    #[test]
    fn another_name_at_the_same_address_is_another_name() {
        let batch = batch(&[b"one", b"two"]);
        let (mut labels, mut name) = (Labels::default(), *b"one");
        assert_eq!(labels.first(batch.get(0), &name), Some(Value::Integer(0)));
        name.copy_from_slice(b"two");
        assert_eq!(labels.first(batch.get(0), &name), Some(Value::Integer(1)));
    }
}
