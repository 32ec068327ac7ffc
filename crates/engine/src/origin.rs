use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

/// What tells the content of a stream from other content that had its key before; unique within an input.
pub(crate) type Life = u64;

/// Where the messages of a batch come from, if they can be read again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    pub input: Arc<str>,
    /// Which part of each stream the batch covers.
    pub reached: Vec<Part>,
}

/// A part of a stream, bytes or whatever its positions count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub life: Life,
    pub from: u64,
    pub to: u64,
}

/// How far a consumer has what can be read again: for each input and life of a stream the position before
/// which everything it matched is part of it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Positions(BTreeMap<Arc<str>, BTreeMap<Life, u64>>);

/// Lives remembered of one input; beyond, the oldest are forgotten: those files were read long ago.
const MOST: usize = 20_000;

impl Positions {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The consumer has what this batch brought it.
    pub fn advance(&mut self, origin: &Origin) {
        if !self.0.contains_key(&origin.input) {
            self.0.insert(origin.input.clone(), BTreeMap::new());
        }
        let Some(lives) = self.0.get_mut(&origin.input) else { return };
        for part in &origin.reached {
            lives.insert(part.life, part.to);
        }
        while lives.len() > MOST {
            lives.pop_first();
        }
    }

    /// The consumer has what these say, too, which came later.
    pub fn absorb(&mut self, later: Positions) {
        for (input, lives) in later.0 {
            let own = self.0.entry(input).or_default();
            own.extend(lives);
            while own.len() > MOST {
                own.pop_first();
            }
        }
    }

    /// How far it has a stream.
    pub fn of(&self, input: &str, life: Life) -> Option<u64> {
        self.0.get(input)?.get(&life).copied()
    }

    pub fn json(&self) -> Value {
        let lives = |lives: &BTreeMap<Life, u64>| lives.iter().map(|(life, to)| json!([life, to])).collect::<Vec<_>>();
        Value::Object(self.0.iter().map(|(input, l)| (input.to_string(), json!(lives(l)))).collect())
    }

    /// As [`Positions::json`] made it.
    pub fn parse(value: &Value) -> Option<Positions> {
        let pair = |v: &Value| Some((v.get(0)?.as_u64()?, v.get(1)?.as_u64()?));
        let lives = |v: &Value| v.as_array()?.iter().map(pair).collect::<Option<BTreeMap<_, _>>>();
        value.as_object()?.iter().map(|(input, l)| Some((input.as_str().into(), lives(l)?))).collect::<Option<_>>().map(Positions)
    }
}

/// What a consumer has of earlier processes: it is not given it again when it is read again.
#[derive(Clone, Default, Debug)]
pub(crate) struct Had {
    pub positions: Positions,
    /// Behind these: what waits for it in the journal.
    waiting: BTreeMap<Arc<str>, Vec<Part>>,
}

impl Had {
    pub fn new(positions: Positions) -> Had {
        Had { positions, waiting: BTreeMap::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.waiting.is_empty()
    }

    /// This waits for it in the journal.
    pub fn add_waiting(&mut self, origin: &Origin) {
        let parts = self.waiting.entry(origin.input.clone()).or_default();
        for new in &origin.reached {
            match parts.iter_mut().rev().find(|p| p.life == new.life) {
                Some(last) if last.to == new.from => last.to = new.to,
                _ => parts.push(*new),
            }
        }
    }

    /// Whether it has all of the batch. Batches of what may have been read before begin and end at
    /// [`Had::cuts`], so that there is no half.
    pub fn covers(&self, origin: &Origin) -> bool {
        let waiting = self.waiting.get(&origin.input).map_or(&[][..], Vec::as_slice);
        let covered = |part: &Part| {
            self.positions.of(&origin.input, part.life).is_some_and(|position| position >= part.to)
                || waiting.iter().any(|w| w.life == part.life && w.from <= part.from && part.to <= w.to)
        };
        !self.is_empty() && origin.reached.iter().all(covered)
    }

    /// Positions of a stream where what it has begins or ends.
    pub fn cuts(&self, input: &str, life: Life) -> impl Iterator<Item = u64> {
        let waiting = self.waiting.get(input).into_iter().flatten().filter(move |w| w.life == life);
        self.positions.of(input, life).into_iter().chain(waiting.flat_map(|w| [w.from, w.to]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(reached: &[(Life, u64, u64)]) -> Origin {
        let part = |&(life, from, to)| Part { life, from, to };
        Origin { input: "input.a".into(), reached: reached.iter().map(part).collect() }
    }

    #[test]
    fn positions_cover_what_they_passed_and_come_back() {
        let mut p = Positions::default();
        p.advance(&origin(&[(1, 0, 10), (2, 0, 5)]));
        p.advance(&origin(&[(1, 10, 20)]));
        assert_eq!(Positions::parse(&p.json()), Some(p.clone()));
        assert_eq!(Positions::parse(&json!({"input.a": [[1]]})), None);
        let had = Had::new(p);
        assert!(had.covers(&origin(&[(1, 10, 20)])) && had.covers(&origin(&[(1, 0, 15), (2, 0, 5)])));
        assert!(!had.covers(&origin(&[(1, 20, 21)])) && !had.covers(&origin(&[(1, 0, 1), (3, 0, 1)])));
        assert!(!had.covers(&Origin { input: "input.b".into(), ..origin(&[(1, 0, 1)]) }));
        assert!(!Had::default().covers(&origin(&[])));
    }

    #[test]
    fn what_waits_in_the_journal_is_covered_and_what_is_before_it_is_not() {
        let mut had = Had::default();
        [(1, 100, 150), (1, 150, 200), (1, 300, 310), (2, 0, 9)].iter().for_each(|part| had.add_waiting(&origin(&[*part])));
        assert!(had.covers(&origin(&[(1, 120, 200)])) && had.covers(&origin(&[(1, 300, 310), (2, 0, 9)])));
        assert!(!had.covers(&origin(&[(1, 0, 100)])) && !had.covers(&origin(&[(1, 200, 300)])));
        assert_eq!(had.cuts("input.a", 1).collect::<Vec<_>>(), [100, 200, 300, 310]);
    }

    #[test]
    fn the_oldest_lives_are_forgotten() {
        let mut p = Positions::default();
        (0..MOST as u64 + 10).for_each(|life| p.advance(&origin(&[(life, 0, 1)])));
        assert_eq!((p.of("input.a", 9), p.of("input.a", 10)), (None, Some(1)));
    }
}
