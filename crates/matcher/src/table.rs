use crate::key::{Literal, number_bits};
use crate::subject::Subject;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use message::Value;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;

/// A consumer that gets a message, if `rest` holds too.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) slot: u32,
    /// Place in the index's list of expressions; [`NO_REST`] if nothing else must hold.
    pub(crate) rest: u32,
}

pub(crate) const NO_REST: u32 = u32::MAX;

/// The candidates of one subject, by the literal it must equal.
///
/// The hash is a fast one, not one that withstands an enemy: keys are from the operator's
/// configuration and the table never changes, so that what comes from the network can only look
/// up, and no look-up takes longer than the keys make it.
pub(crate) struct Table {
    pub(crate) subject: Subject,
    hasher: RandomState,
    texts: HashTable<TextEntry>,
    numbers: HashTable<(u64, Span)>,
    bools: [Span; 2],
    /// The keys of `texts`, one after the other.
    keys: Vec<u8>,
    /// Length of the longest text: longer values need not be hashed.
    longest: usize,
    candidates: Vec<Candidate>,
}

/// Part of `keys` or `candidates`.
#[derive(Clone, Copy, Default)]
struct Span {
    at: u32,
    len: u32,
}

struct TextEntry {
    key: Span,
    candidates: Span,
}

impl Span {
    fn append<T>(to: &mut Vec<T>, from: impl IntoIterator<Item = T>) -> Span {
        let at = to.len();
        to.extend(from);
        Span { at: at as u32, len: (to.len() - at) as u32 }
    }

    #[inline]
    fn range(self) -> Range<usize> {
        self.at as usize..self.at as usize + self.len as usize
    }
}

impl Table {
    pub(crate) fn new(subject: Subject, literals: HashMap<Literal<'_>, Vec<Candidate>>) -> Table {
        let mut table = Table {
            subject,
            hasher: RandomState::default(),
            texts: HashTable::new(),
            numbers: HashTable::new(),
            bools: Default::default(),
            keys: Vec::new(),
            longest: 0,
            candidates: Vec::new(),
        };
        for (literal, candidates) in literals {
            let candidates = Span::append(&mut table.candidates, candidates);
            match literal {
                Literal::Text(text) => table.insert_text(text.as_bytes(), candidates),
                Literal::Number(bits) => {
                    let Table { hasher, numbers, .. } = &mut table;
                    numbers.insert_unique(hasher.hash_one(bits), (bits, candidates), |(bits, _)| hasher.hash_one(bits));
                }
                Literal::Bool(value) => table.bools[usize::from(value)] = candidates,
            }
        }
        table
    }

    fn insert_text(&mut self, text: &[u8], candidates: Span) {
        let Table { hasher, texts, keys, longest, .. } = self;
        *longest = text.len().max(*longest);
        let key = Span::append(keys, text.iter().copied());
        texts.insert_unique(hasher.hash_one(text), TextEntry { key, candidates }, |e| hasher.hash_one(&keys[e.key.range()]));
    }

    /// Those for which the subject's value is right.
    #[inline]
    pub(crate) fn candidates(&self, value: Option<Value<'_>>) -> &[Candidate] {
        let found = match value {
            None => None,
            Some(Value::String(text) | Value::Bytes(text)) => self.text(text),
            Some(Value::Integer(n)) => self.number(n as f64),
            Some(Value::Double(n)) => self.number(n),
            Some(Value::Bool(value)) => Some(self.bools[usize::from(value)]),
        };
        found.map_or(&[], |span| &self.candidates[span.range()])
    }

    fn text(&self, text: &[u8]) -> Option<Span> {
        if text.len() > self.longest || self.texts.is_empty() {
            return None;
        }
        let entry = self.texts.find(self.hasher.hash_one(text), |e| self.keys[e.key.range()] == *text)?;
        Some(entry.candidates)
    }

    fn number(&self, n: f64) -> Option<Span> {
        if self.numbers.is_empty() {
            return None;
        }
        let wanted = number_bits(n);
        self.numbers.find(self.hasher.hash_one(wanted), |(bits, _)| *bits == wanted).map(|(_, candidates)| *candidates)
    }
}
