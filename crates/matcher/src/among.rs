//! Evaluation over the messages of a batch, 64 at a time: what an expression consists of is looked
//! at once for all of them, and what they share is compared once.

use crate::expr::{Check, Compare, Expr, Test};
use crate::number::Number;
use crate::subject::{Named, Subject};
use message::{Batch, Value};
use std::ops::{Range, RangeInclusive};

/// Messages that are asked at once.
const CHUNK: usize = 64;

impl Expr {
    /// Calls `hit` with each of the messages for which it holds, in order.
    pub(crate) fn within(&self, batch: &Batch, messages: Range<usize>, mut hit: impl FnMut(usize)) {
        for base in messages.clone().step_by(CHUNK) {
            let asked = u64::MAX >> (CHUNK - (messages.end - base).min(CHUNK));
            each_bit(self.among(batch, base, asked), |i| hit(base + i));
        }
    }

    /// Those of the messages `base + i`, with bit `i` set in `asked`, for which it holds.
    fn among(&self, batch: &Batch, base: usize, asked: u64) -> u64 {
        if asked == 0 {
            return 0;
        }
        match self {
            Expr::Const(true) => asked,
            Expr::Const(false) => 0,
            Expr::Test(test) => test.among(batch, base, asked),
            Expr::Not(inner) => asked & !inner.among(batch, base, asked),
            Expr::All(list) => list.iter().fold(asked, |left, e| e.among(batch, base, left)),
            Expr::Any(list) => list.iter().fold(0, |found, e| found | e.among(batch, base, asked & !found)),
        }
    }
}

impl Test {
    fn among(&self, batch: &Batch, base: usize, asked: u64) -> u64 {
        let Subject::Field { name, field: 0, array: 0 } = &self.subject else {
            return if self.subject.is_shared() {
                self.among_envelopes(batch, base, asked)
            } else {
                filter(asked, |i| self.holds(batch.get(base + i)))
            };
        };
        let mut named = Named::new(name);
        let mut value = |i| named.first(batch.get(base + i));
        match &self.check {
            Check::Nil => filter(asked, |i| value(i).is_none()),
            Check::Number(compare, Number::Int(n)) => {
                let (range, inside) = compare.range(*n);
                filter(asked, |i| match value(i) {
                    Some(Value::Integer(v)) => range.contains(&v) == inside,
                    Some(other) => self.check.holds(other),
                    None => false,
                })
            }
            check => filter(asked, |i| value(i).is_some_and(|v| check.holds(v))),
        }
    }

    /// Asks once for neighbours that share the header.
    fn among_envelopes(&self, batch: &Batch, base: usize, asked: u64) -> u64 {
        let mut last = None;
        filter(asked, |i| {
            let m = batch.get(base + i);
            match last {
                Some((envelope, held)) if envelope == m.envelope() => held,
                _ => last.insert((m.envelope(), self.holds(m))).1,
            }
        })
    }
}

impl Compare {
    /// Whole numbers that compare so with `n`: those in the range, or those outside.
    fn range(self, n: i64) -> (RangeInclusive<i64>, bool) {
        match self {
            Compare::Equal => (n..=n, true),
            Compare::NotEqual => (n..=n, false),
            Compare::LessOrEqual => (i64::MIN..=n, true),
            Compare::Greater => (i64::MIN..=n, false),
            Compare::GreaterOrEqual => (n..=i64::MAX, true),
            Compare::Less => (n..=i64::MAX, false),
        }
    }
}

fn each_bit(mut bits: u64, mut call: impl FnMut(usize)) {
    while bits != 0 {
        call(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

/// The bits whose numbers pass.
#[inline]
fn filter(bits: u64, mut passes: impl FnMut(usize) -> bool) -> u64 {
    let mut passed = 0;
    each_bit(bits, |i| passed |= u64::from(passes(i)) << i);
    passed
}
