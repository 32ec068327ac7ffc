//! The machine against a plain recursive reading of the definition, on random patterns.

use lpeg::{Capture, Charset, Error, Pattern};
use proptest::prelude::*;

use crate::toy::{Stop, Value, grammar, run_within, v};

/// A pattern as it is written.
#[derive(Clone, Debug)]
enum Expr {
    Text(String),
    Any(i64),
    Set(String),
    Then(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Except(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    And(Box<Expr>),
    Behind(Box<Expr>),
    Repeat(Box<Expr>, i64),
    Capture(Box<Expr>),
    Position,
    Rule(usize),
}

use Expr::*;

const RULES: [&str; 3] = ["r0", "r1", "r2"];

fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        4 => "[abc]{0,3}".prop_map(Text),
        2 => (-2..3_i64).prop_map(Any),
        3 => "[abcd]{0,3}".prop_map(Set),
        1 => Just(Position),
        2 => (0..3_usize).prop_map(Rule),
    ];
    leaf.prop_recursive(5, 24, 2, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            4 => (boxed(), boxed()).prop_map(|(a, b)| Then(a, b)),
            4 => (boxed(), boxed()).prop_map(|(a, b)| Or(a, b)),
            1 => (boxed(), boxed()).prop_map(|(a, b)| Except(a, b)),
            1 => boxed().prop_map(Not),
            1 => boxed().prop_map(And),
            1 => boxed().prop_map(Behind),
            4 => (boxed(), -3..4_i64).prop_map(|(a, n)| Repeat(a, n)),
            2 => boxed().prop_map(Capture),
        ]
    })
}

fn build(expr: &Expr) -> Result<Pattern, Error> {
    Ok(match expr {
        Text(text) => Pattern::literal(text.as_bytes()),
        Any(n) => Pattern::any(*n)?,
        Set(set) => Pattern::set(&Charset::of(set.as_bytes())),
        Then(a, b) => build(a)?.then(&build(b)?)?,
        Or(a, b) => build(a)?.or(&build(b)?)?,
        Except(a, b) => build(a)?.except(&build(b)?)?,
        Not(a) => build(a)?.not()?,
        And(a) => build(a)?.and()?,
        Behind(a) => build(a)?.behind()?,
        Repeat(a, n) => build(a)?.repeat(*n)?,
        Expr::Capture(a) => build(a)?.capture(Capture::Simple)?,
        Position => Pattern::empty().capture(Capture::Position)?,
        Rule(n) => v(RULES[*n]),
    })
}

/// What a simple or position capture found, in order.
type Found = Vec<Value>;

struct Naive<'n> {
    rules: &'n [Expr],
    subject: &'n [u8],
    steps: usize,
}

impl Naive<'_> {
    /// The position behind the match, with the captures in front of it added. `Err`: too much work.
    fn go(&mut self, expr: &Expr, at: usize, found: &mut Found) -> Result<Option<usize>, ()> {
        self.steps = self.steps.checked_sub(1).ok_or(())?;
        let rest = &self.subject[at..];
        let mark = found.len();
        let end = match expr {
            Text(text) => rest.starts_with(text.as_bytes()).then_some(at + text.len()),
            Any(n @ 0..) => (rest.len() as i64 >= *n).then_some(at + *n as usize),
            Any(n) => ((rest.len() as i64) < -n).then_some(at),
            Set(set) => rest.first().is_some_and(|b| set.as_bytes().contains(b)).then_some(at + 1),
            Then(a, b) => match self.go(a, at, found)? {
                Some(middle) => self.go(b, middle, found)?,
                None => None,
            },
            Or(a, b) => match self.go(a, at, found)? {
                Some(end) => Some(end),
                None => self.go(b, at, found)?,
            },
            Except(a, b) => match self.go(b, at, &mut Vec::new())? {
                Some(_) => None,
                None => self.go(a, at, found)?,
            },
            Not(a) => match self.go(a, at, &mut Vec::new())? {
                Some(_) => None,
                None => Some(at),
            },
            And(a) => self.go(a, at, found)?.map(|_| at),
            Behind(a) => self.behind(a, at)?,
            Repeat(a, n) => self.repeat(a, *n, at, found)?,
            Expr::Capture(a) => {
                found.push(Value::Nil);
                let end = self.go(a, at, found)?;
                if let Some(end) = end {
                    found[mark] = Value::Text(String::from_utf8_lossy(&self.subject[at..end]).into());
                }
                end
            }
            Position => {
                found.push(Value::Int(at as i64 + 1));
                Some(at)
            }
            Rule(n) => self.go(&self.rules[*n].clone(), at, found)?,
        };
        if end.is_none() {
            found.truncate(mark);
        }
        Ok(end)
    }

    /// The pattern has a fixed length: the only beginning from which it can end here.
    fn behind(&mut self, expr: &Expr, at: usize) -> Result<Option<usize>, ()> {
        let length = build(expr).ok().and_then(|pattern| (0..12).find(|n| seems_fixed(&pattern, *n)));
        let Some(begin) = length.and_then(|n| at.checked_sub(n)) else { return Ok(None) };
        Ok(self.go(expr, begin, &mut Vec::new())?.map(|_| at))
    }

    fn repeat(&mut self, expr: &Expr, n: i64, at: usize, found: &mut Found) -> Result<Option<usize>, ()> {
        let (least, most) = if n >= 0 { (n, i64::MAX) } else { (0, -n) };
        let (mut end, mut times) = (at, 0);
        while times < most {
            match self.go(expr, end, found)? {
                Some(next) => end = next,
                None => break,
            }
            times += 1;
        }
        Ok((times >= least).then_some(end))
    }
}

/// Whether a pattern that may be looked behind has this length: then it fits before the end of a subject of that length
/// only from its beginning. Asked of the crate by the one thing it tells: `B(p * any^k)` is refused past 255.
fn seems_fixed(pattern: &Pattern, n: usize) -> bool {
    let fits = |k: i64| Pattern::any(k).and_then(|any| pattern.then(&any)).and_then(|all| all.behind()).is_ok();
    fits(255 - n as i64) && !fits(256 - n as i64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, max_global_rejects: 1_000_000, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_agrees_with_the_definition(rules in prop::array::uniform3(expr()), subject in "[abcd]{0,10}") {
        let built: Result<Vec<_>, _> = rules.iter().map(build).collect();
        let pattern = built.and_then(|list| grammar(&RULES.iter().copied().zip(list).collect::<Vec<_>>()));
        // Patterns that are refused are another matter.
        prop_assume!(pattern.is_ok());
        let pattern = pattern.unwrap();
        let mut found = Vec::new();
        let mut naive = Naive { rules: &rules, subject: subject.as_bytes(), steps: 20_000 };
        let expected = naive.go(&Rule(0), 0, &mut found);
        prop_assume!(expected.is_ok());
        let expected = expected.unwrap().map(|end| if found.is_empty() { vec![Value::Int(end as i64 + 1)] } else { found });
        let limits = lpeg::Limits { stack: 100_000, ..Default::default() };
        let got = run_within(&pattern, &subject, &[], &limits, 10_000);
        prop_assert_eq!(got, Ok::<_, Stop>(expected), "{:?}", pattern.program());
    }
}
