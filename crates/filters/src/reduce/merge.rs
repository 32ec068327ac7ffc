use matcher::{Part, number, write_text};
use message::{Datum, Header, MessageMut, MessageRef, Text, Value};

use crate::saved::{Loader, Saver};

/// How the values of one part of several messages become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Strategy {
    First,
    Last,
    Sum,
    Min,
    Max,
    Concat,
    Array,
    Count,
}

impl Strategy {
    pub const NAMES: [&str; 8] = ["first", "last", "sum", "min", "max", "concat", "array", "count"];

    pub fn named(name: &str) -> Option<Strategy> {
        use Strategy::*;
        let all = [First, Last, Sum, Min, Max, Concat, Array, Count];
        Strategy::NAMES.iter().position(|n| *n == name).map(|nth| all[nth])
    }
}

/// What bounds a merged value.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub separator: Vec<u8>,
    /// Most bytes of text, of a concatenation or of an array.
    pub max_value: usize,
}

/// A value that outlives its message.
#[derive(Clone, PartialEq, Debug)]
enum Kept {
    String(Vec<u8>),
    Integer(i64),
    Double(f64),
    Bool(bool),
}

impl Kept {
    fn new(value: Value<'_>, longest: usize) -> Kept {
        match value {
            Value::String(text) | Value::Bytes(text) => Kept::String(text[..text.len().min(longest)].to_vec()),
            Value::Integer(n) => Kept::Integer(n),
            Value::Double(n) => Kept::Double(n),
            Value::Bool(b) => Kept::Bool(b),
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Kept::String(text) => Value::String(text),
            Kept::Integer(n) => Value::Integer(*n),
            Kept::Double(n) => Value::Double(*n),
            Kept::Bool(b) => Value::Bool(*b),
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Kept>() + if let Kept::String(text) = self { text.len() } else { 0 }
    }

    fn save(&self, into: &mut Saver) {
        match self {
            Kept::String(text) => {
                into.byte(0);
                into.text(text);
            }
            Kept::Integer(n) => {
                into.byte(1);
                into.i64(*n);
            }
            Kept::Double(n) => {
                into.byte(2);
                into.f64(*n);
            }
            Kept::Bool(b) => into.byte(3 + u8::from(*b)),
        }
    }

    fn load(from: &mut Loader<'_>) -> Option<Kept> {
        Some(match from.byte()? {
            0 => Kept::String(from.text()?.to_vec()),
            1 => Kept::Integer(from.i64()?),
            2 => Kept::Double(from.f64()?),
            3 => Kept::Bool(false),
            4 => Kept::Bool(true),
            _ => return None,
        })
    }
}

/// The values of one part, merged so far.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct Merged {
    count: u64,
    /// One value, or all of an array.
    values: Vec<Kept>,
    bytes: usize,
    /// Something was left out: it would have been too long.
    pub cut: bool,
}

impl Merged {
    /// Adds the first value that a message has.
    pub fn add(&mut self, value: Value<'_>, strategy: Strategy, limits: &Limits) {
        self.count += 1;
        match strategy {
            Strategy::Count => {}
            Strategy::First if !self.values.is_empty() => {}
            Strategy::First | Strategy::Last => self.set(value, limits),
            Strategy::Sum | Strategy::Min | Strategy::Max => {
                if let Some(next) = self.number(value, strategy) {
                    self.values = vec![next];
                    self.bytes = size_of::<Kept>();
                }
            }
            Strategy::Concat => self.concat(value, limits),
            Strategy::Array => {
                let kept = Kept::new(value, limits.max_value);
                self.cut |= self.bytes + kept.bytes() > limits.max_value;
                if self.bytes + kept.bytes() <= limits.max_value {
                    self.bytes += kept.bytes();
                    self.values.push(kept);
                }
            }
        }
    }

    fn set(&mut self, value: Value<'_>, limits: &Limits) {
        let kept = Kept::new(value, limits.max_value);
        self.cut = value.as_bytes().is_some_and(|text| text.len() > limits.max_value);
        self.bytes = kept.bytes();
        self.values = vec![kept];
    }

    /// The sum, the least or the greatest of what there is and a value; nothing when that is no number. Integers stay integers
    /// as long as they fit.
    fn number(&self, value: Value<'_>, strategy: Strategy) -> Option<Kept> {
        let value = match value {
            Value::Integer(n) => Kept::Integer(n),
            other => Kept::Double(number(other)?),
        };
        let Some(before) = self.values.first() else { return Some(value) };
        let as_f64 = |kept: &Kept| kept.value().as_f64().unwrap_or_default();
        let (a, b) = (as_f64(before), as_f64(&value));
        let exact = match (before, &value) {
            (Kept::Integer(a), Kept::Integer(b)) => a.checked_add(*b),
            _ => None,
        };
        Some(match strategy {
            Strategy::Min if b < a => value,
            Strategy::Max if b > a => value,
            Strategy::Min | Strategy::Max => before.clone(),
            _ => exact.map_or(Kept::Double(a + b), Kept::Integer),
        })
    }

    fn concat(&mut self, value: Value<'_>, limits: &Limits) {
        let first = self.values.is_empty();
        if first {
            self.values.push(Kept::String(Vec::new()));
        }
        let [Kept::String(text)] = &mut self.values[..] else { return };
        let before = text.len();
        if !first {
            text.extend_from_slice(&limits.separator);
        }
        write_text(value, text);
        if text.len() > limits.max_value {
            self.cut = true;
            text.truncate(before.max(if first { limits.max_value } else { before }));
        }
        self.bytes = size_of::<Kept>() + text.len();
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        size_of::<Merged>() + self.bytes
    }

    /// Writes the merged value into a message, as the header or field that `part` names.
    pub fn write(&self, part: &Part, strategy: Strategy, m: &mut MessageMut<'_>) {
        let count = Kept::Integer(i64::try_from(self.count).unwrap_or(i64::MAX));
        let values = if strategy == Strategy::Count { std::slice::from_ref(&count) } else { &self.values[..] };
        let Some(first) = values.first() else { return };
        match part.header() {
            Some(Header::Severity | Header::Pid) => {
                let number = first.value().as_f64().unwrap_or_default() as i32;
                if part.header() == Some(Header::Pid) { m.set_pid(number) } else { m.set_severity(number) }
            }
            Some(header) => {
                let text = m.messages().store_with(|into| write_text(first.value(), into));
                m.set_text_header(header, text);
            }
            None => self.write_field(part.name(), values, m),
        }
    }

    /// Values of different types become text.
    fn write_field(&self, name: &str, values: &[Kept], m: &mut MessageMut<'_>) {
        let same = values.windows(2).all(|pair| std::mem::discriminant(&pair[0]) == std::mem::discriminant(&pair[1]));
        let datum = |kept: &Kept, m: &mut MessageMut<'_>| match same {
            true => m.messages().datum(kept.value()),
            false => Datum::String(m.messages().store_with(|into| write_text(kept.value(), into))),
        };
        let name = m.messages().store(name.as_bytes());
        let data: Vec<Datum> = values.iter().map(|kept| datum(kept, m)).collect();
        m.add_field(name, Text::NONE, data[0].type_(), &data);
    }

    pub fn save(&self, into: &mut Saver) {
        into.u64(self.count);
        into.byte(u8::from(self.cut));
        into.u64(self.values.len() as u64);
        self.values.iter().for_each(|kept| kept.save(into));
    }

    pub fn load(from: &mut Loader<'_>, strategy: Strategy) -> Option<Merged> {
        let (count, cut, len) = (from.u64()?, from.byte()? != 0, from.u64()?);
        let values = (0..len).map(|_| Kept::load(from)).collect::<Option<Vec<_>>>()?;
        let sound = match strategy {
            Strategy::Array => true,
            Strategy::Concat => matches!(values[..], [] | [Kept::String(_)]),
            _ => values.len() <= 1,
        };
        let bytes = values.iter().map(Kept::bytes).sum();
        sound.then_some(Merged { count, values, bytes, cut })
    }
}

/// Adds what a message has of the parts that are merged.
pub(super) fn add_all(merged: &mut [Merged], rules: &[(Part, Strategy)], m: MessageRef<'_>, limits: &Limits) {
    for ((part, strategy), merged) in rules.iter().zip(merged) {
        part.with(m, |value| {
            if let Some(value) = value {
                merged.add(value, *strategy, limits);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Strategy;
    use super::*;
    use message::BatchBuilder;
    use proptest::prelude::*;

    fn limits(max_value: usize) -> Limits {
        Limits { separator: b", ".to_vec(), max_value }
    }

    fn merge(strategy: &str, values: &[Value<'_>], max_value: usize) -> (Vec<String>, bool) {
        let (strategy, mut merged) = (Strategy::named(strategy).unwrap(), Merged::default());
        values.iter().for_each(|v| merged.add(*v, strategy, &limits(max_value)));
        let mut saver = Saver::new("");
        merged.save(&mut saver);
        let saved = saver.done();
        assert_eq!(Merged::load(&mut Loader::new(&saved, "").unwrap(), strategy), Some(merged.clone()));
        let mut b = BatchBuilder::default();
        merged.write(&Part::new("x"), strategy, &mut b.add());
        let batch = b.finish();
        let shown = batch.get(0).fields().flat_map(|f| f.values().map(|v| format!("{v:?}"))).collect();
        (shown, merged.cut)
    }

    #[test]
    fn values_are_merged_by_strategy() {
        use Value::{Bool, Double, Integer, String};
        let some = [Integer(2), String(b"x"), String(b"-1.5"), Integer(7)];
        let text = |all: &[Value<'_>]| (all.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>(), false);
        for (strategy, expected) in [
            ("first", vec![Integer(2)]),
            ("last", vec![Integer(7)]),
            ("sum", vec![Double(7.5)]),
            ("min", vec![Double(-1.5)]),
            ("max", vec![Integer(7)]),
            ("concat", vec![String(b"2, x, -1.5, 7")]),
            ("array", vec![String(b"2"), String(b"x"), String(b"-1.5"), String(b"7")]),
            ("count", vec![Integer(4)]),
        ] {
            assert_eq!(merge(strategy, &some, 1000), text(&expected), "{strategy}");
        }
        assert_eq!(merge("array", &[Bool(true), Bool(false)], 1000), text(&[Bool(true), Bool(false)]));
        assert_eq!(merge("sum", &[Integer(i64::MAX), Integer(1)], 1000), text(&[Double(i64::MAX as f64)]));
        assert_eq!(merge("sum", &[String(b"x")], 1000), text(&[]));
        assert_eq!(Strategy::named("median"), None);
    }

    proptest! {
        #[test]
        fn memory_is_bounded(texts in proptest::collection::vec("[a-z]{0,30}", 0..40), nth in 0_usize..8, max in 1_usize..200) {
            let (strategy, mut merged) = (Strategy::named(Strategy::NAMES[nth]).unwrap(), Merged::default());
            for text in &texts {
                merged.add(Value::String(text.as_bytes()), strategy, &limits(max));
                prop_assert!(merged.bytes() <= size_of::<Merged>() + size_of::<Kept>() + max);
            }
        }
    }
}
