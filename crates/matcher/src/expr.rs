use crate::number::Number;
use crate::search::Search;
use crate::subject::Subject;
use message::{Header, MessageRef, Value};
use std::cmp::Ordering;
use std::sync::Arc;

/// A parsed expression. Its depth is bounded by the parser, so that recursion over it is. Clones
/// share the tests.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Const(bool),
    Test(Arc<Test>),
    Not(Box<Expr>),
    /// `a && b && …`
    All(Vec<Expr>),
    /// `a || b || …`
    Any(Vec<Expr>),
}

#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) subject: Subject,
    pub(crate) check: Check,
}

#[derive(Debug)]
pub(crate) enum Check {
    Nil,
    NotNil,
    Text(Compare, Box<str>),
    Number(Compare, Number),
    /// `== TRUE` and `!= FALSE`, or the contrary.
    Bool(bool),
    Matches(Search),
    NotMatches(Search),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    /// Whether it holds between two things so ordered; NaN is unordered, and unequal to all.
    fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Compare::Equal => order == Some(Ordering::Equal),
            Compare::NotEqual => order != Some(Ordering::Equal),
            Compare::Less => order == Some(Ordering::Less),
            Compare::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Compare::Greater => order == Some(Ordering::Greater),
            Compare::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }

    fn holds_for_text(self, a: &[u8], b: &[u8]) -> bool {
        match self {
            // Texts of different length need not be ordered to be told apart.
            Compare::Equal => a == b,
            Compare::NotEqual => a != b,
            _ => self.holds(Some(a.cmp(b))),
        }
    }
}

impl Expr {
    pub(crate) fn holds(&self, m: MessageRef<'_>) -> bool {
        match self {
            Expr::Const(value) => *value,
            Expr::Test(test) => test.holds(m),
            Expr::Not(inner) => !inner.holds(m),
            Expr::All(list) => list.iter().all(|e| e.holds(m)),
            Expr::Any(list) => list.iter().any(|e| e.holds(m)),
        }
    }

    /// Removes constants, single-element lists and lists within lists of their kind.
    pub(crate) fn fold(self) -> Expr {
        match self {
            Expr::Not(inner) => match inner.fold() {
                Expr::Const(value) => Expr::Const(!value),
                Expr::Not(twice) => *twice,
                other => Expr::Not(Box::new(other)),
            },
            Expr::All(list) => fold_list(list, true),
            Expr::Any(list) => fold_list(list, false),
            other => other,
        }
    }

    /// See [`crate::Matcher::given_up`].
    pub(crate) fn given_up(&self) -> u64 {
        match self {
            Expr::Test(test) => test.search().map_or(0, Search::given_up),
            Expr::Const(_) => 0,
            Expr::Not(inner) => inner.given_up(),
            Expr::All(list) | Expr::Any(list) => list.iter().map(Expr::given_up).sum(),
        }
    }

    /// Whether evaluating it may count something, see [`crate::Matcher::given_up`].
    pub(crate) fn has_counter(&self) -> bool {
        match self {
            Expr::Test(test) => test.search().is_some_and(Search::has_counter),
            Expr::Const(_) => false,
            Expr::Not(inner) => inner.has_counter(),
            Expr::All(list) | Expr::Any(list) => list.iter().any(Expr::has_counter),
        }
    }

    /// See [`crate::Matcher::names_type`]; `positive` unless under an odd number of negations.
    pub(crate) fn names_type(&self, type_: &str, positive: bool) -> bool {
        match self {
            Expr::Const(_) => false,
            Expr::Test(test) => test.names_type(type_, positive),
            Expr::Not(inner) => inner.names_type(type_, !positive),
            Expr::All(list) | Expr::Any(list) => list.iter().any(|e| e.names_type(type_, positive)),
        }
    }
}

/// Folds a conjunction (`all`) or a disjunction: one constant is neutral, the other decides.
fn fold_list(list: Vec<Expr>, all: bool) -> Expr {
    let mut kept = Vec::with_capacity(list.len());
    for expr in list {
        match expr.fold() {
            Expr::Const(value) if value == all => {}
            Expr::Const(value) => return Expr::Const(value),
            Expr::All(inner) if all => kept.extend(inner),
            Expr::Any(inner) if !all => kept.extend(inner),
            other => kept.push(other),
        }
    }
    match kept.len() {
        0 => Expr::Const(all),
        1 => kept.remove(0),
        _ if all => Expr::All(kept),
        _ => Expr::Any(kept),
    }
}

impl Test {
    #[inline]
    pub(crate) fn holds(&self, m: MessageRef<'_>) -> bool {
        match &self.check {
            Check::Nil => !self.subject.is_set(m),
            Check::NotNil => self.subject.is_set(m),
            check => self.subject.with(m, |value| value.is_some_and(|value| check.holds(value))),
        }
    }

    fn search(&self) -> Option<&Search> {
        match &self.check {
            Check::Matches(search) | Check::NotMatches(search) => Some(search),
            _ => None,
        }
    }

    fn names_type(&self, type_: &str, positive: bool) -> bool {
        if !self.subject.is_header(Header::Type) {
            return false;
        }
        match (&self.check, positive) {
            (Check::Text(Compare::Equal, text), true) | (Check::Text(Compare::NotEqual, text), false) => &**text == type_,
            (Check::Matches(p), true) | (Check::NotMatches(p), false) => p.is_match(type_.as_bytes()) && !p.is_catch_all(),
            _ => false,
        }
    }
}

impl Check {
    /// Whether a value that is there passes. One of another type never does.
    #[inline]
    pub(crate) fn holds(&self, value: Value<'_>) -> bool {
        match self {
            Check::Nil => false,
            Check::NotNil => true,
            Check::Text(compare, text) => value.as_bytes().is_some_and(|v| compare.holds_for_text(v, text.as_bytes())),
            Check::Number(compare, number) => number.order(value).is_some_and(|order| compare.holds(order)),
            Check::Bool(wanted) => value == Value::Bool(*wanted),
            Check::Matches(pattern) => value.as_bytes().is_some_and(|v| pattern.is_match(v)),
            Check::NotMatches(pattern) => value.as_bytes().is_some_and(|v| !pattern.is_match(v)),
        }
    }
}
