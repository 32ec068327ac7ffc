use crate::Matcher;
use crate::expr::Expr;
use crate::key::{Literal, Popularity, choice};
use crate::selected::Selected;
use crate::subject::Subject;
use crate::table::{Candidate, NO_REST, Table};
use message::Batch;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Many matchers, asked at once.
///
/// Most matchers can only match if some header or field equals a literal: `Type == 'nginx.access'`
/// in a chain of `&&`, or one such equality in each branch of a `||`. Those literals are keys of hash
/// tables, one a header or field. A message's value is looked up once, which names the few
/// matchers for which the rest of the expression is then evaluated, or that match for sure. Where a
/// matcher offers a choice of keys, the one it shares with the fewest others is taken. Matchers
/// without a key are evaluated for every message; constant ones never.
///
/// A batch is worked off by tables and expressions, not by messages: what an expression consists of
/// is looked at once for many messages, and what messages have in common once for all of them.
pub struct Index {
    /// Consumers, ascending; a *slot* is a place in this list.
    consumers: Arc<[usize]>,
    /// Consumers that get every message, ascending.
    all: Arc<[usize]>,
    tables: Vec<Table>,
    /// What must hold beside a key. Many matchers share one, such as `Type == 'nginx.access'`.
    rests: Vec<Expr>,
    /// Matchers without a key.
    always: Vec<Candidate>,
}

impl Index {
    /// Builds the index. A consumer may have several matchers: it gets what any of them matches.
    pub fn new(matchers: Vec<(usize, Matcher)>) -> Index {
        let mut all: Vec<usize> = matchers.iter().filter(|(_, m)| m.is_true()).map(|(consumer, _)| *consumer).collect();
        all.sort_unstable();
        all.dedup();
        let never = |m: &Matcher| matches!(m.expr(), Expr::Const(false));
        let matchers: Vec<_> = matchers.into_iter().filter(|(c, m)| all.binary_search(c).is_err() && !never(m)).collect();
        let mut consumers: Vec<usize> = matchers.iter().map(|(consumer, _)| *consumer).collect();
        consumers.sort_unstable();
        consumers.dedup();
        let slot = |consumer| consumers.partition_point(|c| *c < consumer) as u32;
        let matchers: Vec<(u32, Matcher)> = matchers.into_iter().map(|(c, matcher)| (slot(c), matcher)).collect();
        let (tables, rests, always) = build(&matchers);
        Index { consumers: consumers.into(), all: all.into(), tables, rests: rests.list, always }
    }

    /// Finds which messages of the batch each consumer gets. What `out` held is forgotten, its
    /// memory is reused; it need not be the same index each time.
    pub fn select(&self, batch: &Batch, out: &mut Selected) {
        out.reset(&self.consumers, &self.all, batch.len() as u32);
        for table in &self.tables {
            table.subject.each(batch, |messages, value| {
                for candidate in table.candidates(value) {
                    self.offer(*candidate, batch, messages.clone(), out);
                }
            });
        }
        for candidate in &self.always {
            self.offer(*candidate, batch, 0..batch.len(), out);
        }
        out.group();
    }

    #[inline]
    fn offer(&self, candidate: Candidate, batch: &Batch, messages: Range<usize>, out: &mut Selected) {
        match candidate.rest {
            NO_REST => out.add_range(candidate.slot, messages),
            rest => self.rests[rest as usize].within(batch, messages, |i| out.add(candidate.slot, i)),
        }
    }
}

/// The tables, the rests they refer to, and the matchers that are in none.
fn build(matchers: &[(u32, Matcher)]) -> (Vec<Table>, Rests, Vec<Candidate>) {
    let popularity = Popularity::new(matchers.iter().map(|(_, matcher)| matcher.expr()));
    let mut places: HashMap<&Subject, usize> = HashMap::new();
    let mut tables: Vec<(&Subject, HashMap<Literal<'_>, Vec<Candidate>>)> = Vec::new();
    let mut rests = Rests::default();
    let mut always = Vec::new();
    for (slot, matcher) in matchers {
        let Some((_, keys)) = choice(matcher.expr(), &popularity) else {
            always.push(Candidate { slot: *slot, rest: rests.place(matcher.expr().clone()) });
            continue;
        };
        for (key, rest) in keys {
            let place = *places.entry(key.subject).or_insert_with(|| {
                tables.push((key.subject, HashMap::new()));
                tables.len() - 1
            });
            tables[place].1.entry(key.literal).or_default().push(Candidate { slot: *slot, rest: rests.place(rest) });
        }
    }
    (tables.into_iter().map(|(subject, literals)| Table::new(subject.clone(), literals)).collect(), rests, always)
}

/// Expressions, each one once.
#[derive(Default)]
struct Rests {
    list: Vec<Expr>,
    /// By what is written for them.
    places: HashMap<String, u32>,
}

impl Rests {
    fn place(&mut self, rest: Expr) -> u32 {
        if let Expr::Const(true) = rest {
            return NO_REST;
        }
        // One that counts is each matcher's own.
        let shared = (!rest.has_counter()).then(|| rest.to_string());
        if let Some(place) = shared.as_ref().and_then(|text| self.places.get(text)) {
            return *place;
        }
        let place = self.list.len() as u32;
        self.list.push(rest);
        self.places.extend(shared.map(|text| (text, place)));
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::MAX_TABLES;
    use message::{BatchBuilder, Selection};

    fn index(expressions: &[&str]) -> Index {
        Index::new(expressions.iter().enumerate().map(|(i, e)| (i, Matcher::parse(e).unwrap())).collect())
    }

    fn candidates(index: &Index, batch: &Batch) -> usize {
        let of = |m| index.tables.iter().map(move |t| t.subject.with(m, |v| t.candidates(v).len())).sum::<usize>();
        batch.iter().map(of).sum()
    }

    #[test]
    fn ten_thousand_matchers_make_one_candidate() {
        for shape in [
            "Type == 't{}'",
            "Fields[n] == {}",
            "Severity == 7 && Logger == '' && (Type =~ /^t{}$/ || Fields[n] == 'no{}')",
            "Type != 'x' && Type =~ /^t/ && Fields[s] == 's{}'",
        ] {
            let matcher = |i: usize| Matcher::parse(&shape.replace("{}", &i.to_string())).unwrap();
            let index = Index::new((0..10_000).map(|i| (i, matcher(i))).collect());
            let mut builder = BatchBuilder::default();
            let mut m = builder.add();
            m.set_type(b"t4711");
            m.add_integer(b"n", 4711);
            m.add_string(b"s", b"s4711");
            let batch = builder.finish();
            assert_eq!((candidates(&index, &batch), index.always.len()), (1, 0), "{shape}");
            let mut out = Selected::default();
            index.select(&batch, &mut out);
            assert_eq!(out.some().collect::<Vec<_>>(), [(4711, &[0][..])], "{shape}");
        }
    }

    #[test]
    fn what_must_hold_beside_a_key_is_kept_once() {
        let of = |shape: &str| index(&["1", "2", "3"].map(|n| shape.replace("{}", n)).each_ref().map(String::as_str)).rests.len();
        assert_eq!(of("Type == 'a' && Fields[n] == {}"), 1);
        assert_eq!(of("Fields[n] == {} || Fields[n] == 'v{}'"), 0);
        assert_eq!(of("Fields[n] == {} && (Type == 'a' || Pid > {})"), 3);
        assert_eq!(of("Fields[n] == {} && Payload =~ '^a-b'"), 3, "a pattern that may be given up is counted where it stands");
    }

    #[test]
    fn constants_cost_nothing() {
        let index = index(&["TRUE", "FALSE", "Type == 'a' || TRUE", "Type == 'a' && FALSE"]);
        assert!(index.consumers.is_empty());
        let mut builder = BatchBuilder::default();
        builder.add();
        let mut out = Selected::default();
        index.select(&builder.finish(), &mut out);
        assert_eq!(out.selections().collect::<Vec<_>>(), [(0, Selection::All(1)), (2, Selection::All(1))]);
        index.select(&builder.finish(), &mut out);
        assert_eq!(out.selections().count(), 0);
    }

    #[test]
    fn too_many_subjects_are_evaluated_one_by_one() {
        let expressions: Vec<String> = (0..MAX_TABLES + 5).map(|i| format!("Fields[f{i}] == 1")).collect();
        let index = index(&expressions.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((index.tables.len(), index.always.len()), (MAX_TABLES, 5));
    }

    #[test]
    fn a_result_serves_one_index_after_another() {
        let mut builder = BatchBuilder::default();
        builder.add().set_type(b"a");
        builder.add().set_type(b"b");
        let batch = builder.finish();
        let mut out = Selected::default();
        index(&["Type == 'a'", "Type == 'b'", "Type =~ /./"]).select(&batch, &mut out);
        assert_eq!(out.selections().nth(1), Some((1, Selection::Some([1].into()))));
        Index::new(vec![(usize::MAX, Matcher::parse("Type == 'b'").unwrap())]).select(&batch, &mut out);
        assert_eq!(out.some().collect::<Vec<_>>(), [(usize::MAX, &[1][..])]);
    }
}
