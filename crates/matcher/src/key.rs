use crate::expr::{Check, Compare, Expr, Test};
use crate::subject::Subject;
use message::Header;
use std::collections::{HashMap, HashSet};

/// Subjects that are read from every message; matchers that need others are evaluated one by one.
pub(crate) const MAX_TABLES: usize = 64;

/// `subject == literal`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) literal: Literal<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Literal<'a> {
    Text(&'a str),
    /// Bits of a double, as both types of numbers are looked up.
    Number(u64),
    Bool(bool),
}

/// The same for both zeros.
pub(crate) fn number_bits(n: f64) -> u64 {
    (n + 0.0).to_bits()
}

impl Test {
    /// The key of a test for equality, and what must hold beside it.
    fn key(&self) -> Option<(Key<'_>, bool)> {
        let (literal, sure) = match &self.check {
            Check::Text(Compare::Equal, text) => (Literal::Text(text), true),
            Check::Matches(pattern) => (Literal::Text(pattern.only_match()?), true),
            Check::Number(Compare::Equal, n) => (Literal::Number(number_bits(n.as_f64())), n.is_exact_as_f64()),
            Check::Bool(value) => (Literal::Bool(*value), true),
            _ => return None,
        };
        Some((Key { subject: &self.subject, literal }, sure))
    }
}

/// How often each key is asked for, and by which subjects messages are looked up.
pub(crate) struct Popularity<'a> {
    keys: HashMap<Key<'a>, usize>,
    subjects: HashSet<&'a Subject>,
}

impl<'a> Popularity<'a> {
    pub(crate) fn new(expressions: impl Iterator<Item = &'a Expr>) -> Popularity<'a> {
        let mut keys = HashMap::new();
        let mut subjects: HashMap<&Subject, usize> = HashMap::new();
        for expr in expressions {
            each_key(expr, &mut |key| {
                *keys.entry(key).or_default() += 1;
                *subjects.entry(key.subject).or_default() += 1;
            });
        }
        let mut subjects: Vec<_> = subjects.into_iter().collect();
        subjects.sort_by_key(|(_, uses)| std::cmp::Reverse(*uses));
        Popularity { keys, subjects: subjects.into_iter().take(MAX_TABLES).map(|(subject, _)| subject).collect() }
    }

    /// How many evaluations this key is expected to cause, in arbitrary units: what shares the key,
    /// times how common such values are in messages.
    fn cost(&self, key: &Key<'_>) -> Option<usize> {
        if !self.subjects.contains(key.subject) {
            return None;
        }
        let common = match (key.subject, key.literal) {
            (_, Literal::Text("") | Literal::Bool(_)) | (Subject::Header(Header::Severity), _) => 64,
            (Subject::Header(Header::Logger | Header::Hostname | Header::EnvVersion | Header::Payload), _) => 4,
            _ => 1,
        };
        Some(common * self.keys.get(key).copied().unwrap_or(1))
    }
}

fn each_key<'a>(expr: &'a Expr, visit: &mut impl FnMut(Key<'a>)) {
    match expr {
        Expr::Test(test) => test.key().into_iter().for_each(|(key, _)| visit(key)),
        Expr::All(list) | Expr::Any(list) => list.iter().for_each(|e| each_key(e, visit)),
        Expr::Const(_) | Expr::Not(_) => {}
    }
}

/// An expression as a choice of keys, each with the rest: it holds if and only if one of the keys
/// does and so does its rest.
pub(crate) type Choice<'a> = Vec<(Key<'a>, Expr)>;

/// The cheapest such choice with its cost; `None` if there is none.
pub(crate) fn choice<'a>(expr: &'a Expr, popularity: &Popularity<'_>) -> Option<(usize, Choice<'a>)> {
    match expr {
        Expr::Test(test) => {
            let (key, sure) = test.key()?;
            let rest = if sure { Expr::Const(true) } else { expr.clone() };
            Some((popularity.cost(&key)?, vec![(key, rest)]))
        }
        Expr::All(list) => {
            let choices = list.iter().enumerate().filter_map(|(i, e)| Some((i, choice(e, popularity)?)));
            let (chosen, (cost, mut keys)) = choices.min_by_key(|(_, (cost, _))| *cost)?;
            for (_, rest) in &mut keys {
                let others = list.iter().enumerate().filter(|(i, _)| *i != chosen).map(|(_, e)| e);
                let own = std::mem::replace(rest, Expr::Const(true));
                *rest = Expr::All(std::iter::once(own).chain(others.cloned()).collect()).fold();
            }
            Some((cost, keys))
        }
        Expr::Any(list) => list.iter().try_fold((0, Vec::new()), |(sum, mut keys), e| {
            let (cost, more) = choice(e, popularity)?;
            keys.extend(more);
            Some((sum + cost, keys))
        }),
        Expr::Const(_) | Expr::Not(_) => None,
    }
}
