//! What tries to take more than its share.

use lpeg::{Capture, Error, Limits, Pattern, ValueId};

use crate::toy::{Stop, alt, any, grammar, p, run_within, seq, set, v};

#[test]
fn exponential_backtracking_ends_with_the_budget() {
    // S <- 'a' S 'x' / 'a' S 'y' / 'a'
    let hopeless = grammar(&[("S", alt(&[seq(&[p("a"), v("S"), p("x")]), seq(&[p("a"), v("S"), p("y")]), p("a")]))]).unwrap();
    assert_eq!(run_within(&hopeless, &"a".repeat(60), &[], &Limits::default(), 20), Err(Stop::Budget));
}

#[test]
fn scanning_again_and_again_ends_with_the_budget() {
    let rest = set("ab").repeat(0).unwrap().then(&p("!")).unwrap();
    let scan = any(1).except(&rest).unwrap().repeat(0).unwrap();
    assert_eq!(run_within(&scan, &"a".repeat(100_000), &[], &Limits::default(), 100), Err(Stop::Budget));
}

#[test]
fn the_stack_has_a_limit() {
    let deep = grammar(&[("S", alt(&[seq(&[p("a"), v("S"), p("b")]), p("c")]))]).unwrap();
    let subject = "a".repeat(1000) + "c" + &"b".repeat(1000);
    let limits = |stack| Limits { stack, ..Limits::default() };
    let Err(Stop::Error(error)) = run_within(&deep, &subject, &[], &limits(400), 100) else { panic!("an error was expected") };
    assert_eq!(error, Error::StackOverflow(400));
    assert!(error.to_string().contains("stack overflow (current limit is 400)"));
    assert!(run_within(&deep, &subject, &[], &limits(4000), 100).unwrap().is_some());
}

#[test]
fn calls_at_the_end_of_a_rule_need_no_stack() {
    let list = grammar(&[("S", alt(&[any(-1), seq(&[p("a"), v("S")])]))]).unwrap();
    assert!(run_within(&list, &"a".repeat(100_000), &[], &Limits::default(), 1000).unwrap().is_some());
}

#[test]
fn captures_are_bounded_in_number_and_depth() {
    let each = any(1).capture(Capture::Simple).unwrap().repeat(0).unwrap();
    let limits = Limits { captures: 100, ..Limits::default() };
    assert_eq!(run_within(&each, &"a".repeat(101), &[], &limits, 100), Err(Stop::Error(Error::TooManyCaptures(100))));
    let nest = seq(&[p("("), alt(&[v("S"), p("")]), p(")")]).capture(Capture::Table).unwrap();
    let nest = grammar(&[("S", nest)]).unwrap();
    let subject = "(".repeat(2000) + &")".repeat(2000);
    let limits = Limits { stack: 10_000, ..Limits::default() };
    assert_eq!(run_within(&nest, &subject, &[], &limits, 100), Err(Stop::Error(Error::CapturesTooDeep(400))));
}

#[test]
fn references_that_double_end_with_the_budget() {
    let back = |name: String| p("").capture(Capture::Back(name.as_str().into())).unwrap();
    let group = |p: &Pattern, name: String| p.capture(Capture::Group(Some(name.as_str().into()))).unwrap();
    let doubling = (1..60).fold(group(&any(1), "0".into()), |all, i| {
        let twice = seq(&[back((i - 1).to_string()), back((i - 1).to_string())]);
        all.then(&group(&twice, i.to_string())).unwrap()
    });
    let all = doubling.then(&back("59".into())).unwrap();
    assert_eq!(run_within(&all, "x", &[], &Limits::default(), 50), Err(Stop::Budget));
}

type Wrap = fn(&Pattern) -> Result<Pattern, Error>;

#[test]
fn nesting_is_refused_before_it_hurts() {
    let wraps: [Wrap; 6] = [
        |p| p.not(),
        |p| p.and(),
        |p| p.capture(Capture::Table),
        |p| p.capture(Capture::Runtime(ValueId(0))),
        |p| any(1).then(p)?.repeat(0)?.then(&set("ab")),
        |p| set("ab").then(p)?.or(&self::p("xyz")),
    ];
    for wrap in wraps {
        let mut pattern = p("ab");
        let mut last = None;
        for _ in 0..100_000 {
            match wrap(&pattern) {
                Ok(deeper) => pattern = deeper,
                Err(error) => {
                    last = Some(error);
                    break;
                }
            }
        }
        assert_eq!(last, Some(Error::TooDeep));
        // As deep as it may be: this thread's stack must hold it, with a rule that calls it too.
        assert!(pattern.program().is_ok());
        let _ = run_within(&pattern, &"ab".repeat(600), &[|_| vec![]], &Limits::default(), 20);
        drop(pattern);
    }
}

#[test]
fn deep_rules_are_refused_or_work() {
    let mut open = v("S");
    while let Ok(deeper) = alt(&[p("x"), open.clone()]).and() {
        open = deeper;
    }
    assert!(matches!(grammar(&[("S", open)]), Err(Error::LeftRecursive(_) | Error::TooDeep)));
    // A long chain of rules, each calling the next.
    let names: Vec<String> = (0..900).map(|i| format!("r{i}")).collect();
    let rules: Vec<(&str, Pattern)> = names
        .iter()
        .enumerate()
        .map(|(i, name)| (name.as_str(), names.get(i + 1).map_or(p("end"), |next| alt(&[seq(&[v(next), p("x")]), v(next)]))))
        .collect();
    let chain = grammar(&rules).unwrap();
    let limits = Limits { stack: 10_000, ..Limits::default() };
    assert_eq!(run_within(&chain, "end", &[], &limits, 5), Err(Stop::Budget));
}

#[test]
fn doubling_is_refused_before_it_hurts() {
    let mut pattern = set("ab").capture(Capture::Simple).unwrap();
    let error = (0..100).find_map(|_| match pattern.then(&pattern) {
        Ok(twice) => {
            pattern = twice;
            None
        }
        Err(error) => Some(error),
    });
    assert_eq!(error, Some(Error::TooBig));
    assert!(pattern.program().is_ok());
    assert_eq!(p("ab").repeat(1_000_000).unwrap_err(), Error::TooBig);
    assert_eq!(p("ab").repeat(i64::MIN).unwrap_err(), Error::TooBig);
    assert_eq!(Pattern::any(i64::MIN).unwrap_err(), Error::TooBig);
}

#[test]
fn long_lists_are_not_deep() {
    let words = (0..3000).fold(Pattern::never(), |all, i| all.or(&p(&format!("word{i};"))).unwrap());
    assert_eq!(words.program().unwrap().find(b"word2999;", 0), Ok(Some(9)));
    let long = (0..3000).fold(p(""), |all, _| all.then(&p("a").repeat(-1).unwrap()).unwrap());
    assert_eq!(long.program().unwrap().find(&b"a".repeat(4000), 0), Ok(Some(3000)));
}
