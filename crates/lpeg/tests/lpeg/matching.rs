//! What matches, and what is no pattern.

use lpeg::{Charset, Error, Pattern};

use crate::toy::{alt, any, grammar, p, seq, set, v};

#[track_caller]
fn check(pattern: &Pattern, subject: &str, end: Option<usize>) {
    let program = pattern.program().expect("a program");
    assert_eq!(program.find(subject.as_bytes(), 0), Ok(end), "{subject:?} {program:?}");
}

fn ok(pattern: Result<Pattern, Error>) -> Pattern {
    pattern.expect("a pattern")
}

#[test]
fn primitives() {
    check(&p("abc"), "abcd", Some(3));
    check(&p("abc"), "abd", None);
    check(&p(""), "", Some(0));
    check(&any(3), "abc", Some(3));
    check(&any(3), "ab", None);
    check(&any(0), "ab", Some(0));
    check(&any(-2), "a", Some(0));
    check(&any(-2), "ab", None);
    check(&Pattern::never(), "ab", None);
    check(&set("xyz"), "z", Some(1));
    check(&set("xyz"), "a", None);
    check(&set(""), "a", None);
    check(&set("x"), "x", Some(1));
}

#[test]
fn operators() {
    check(&seq(&[p("a"), p("b"), set("cd")]), "abd", Some(3));
    check(&alt(&[p("ab"), p("a"), p("xyz")]), "ac", Some(1));
    check(&alt(&[p("ab"), p("a"), p("xyz")]), "xyz", Some(3));
    check(&ok(set("abc").except(&p("b"))), "b", None);
    check(&ok(any(1).except(&p("ab"))), "ac", Some(1));
    check(&ok(any(1).except(&p("ab"))), "ab", None);
    check(&ok(p("a").not()), "b", Some(0));
    check(&ok(p("a").not()), "a", None);
    check(&ok(p("ab").not()), "ac", Some(0));
    check(&ok(p("ab").and()), "ab", Some(0));
    check(&ok(p("ab").and()), "ac", None);
    check(&ok(ok(p("a").repeat(0)).and()), "", Some(0));
}

#[test]
fn repetition() {
    check(&ok(p("ab").repeat(0)), "ababa", Some(4));
    check(&ok(p("ab").repeat(3)), "ababa", None);
    check(&ok(p("ab").repeat(2)), "ababababx", Some(8));
    check(&ok(set("ab").repeat(2)), "a", None);
    check(&ok(p("ab").repeat(-2)), "abababab", Some(4));
    check(&ok(p("ab").repeat(-2)), "aba", Some(2));
    check(&ok(set("ab").repeat(-3)), "abab", Some(3));
    check(&ok(any(1).repeat(0)), "abcd", Some(4));
    // No backtracking into a loop.
    check(&seq(&[ok(set("ab").repeat(0)), p("b")]), "aab", None);
    check(&seq(&[ok(p("ab").repeat(0)), p("a")]), "ababa", Some(5));
    check(&seq(&[ok(alt(&[p("ab"), p("ac")]).repeat(-4)), p("a")]), "abaca", Some(5));
}

#[test]
fn searching() {
    let until = ok(ok(any(1).except(&p("-->"))).repeat(0));
    check(&until, "a - b --> c", Some(6));
    check(&until, "nothing", Some(7));
    check(&ok(ok(any(1).except(&p("\""))).repeat(0)), "ab\"c", Some(2));
    check(&seq(&[until, p("-->")]), "-->", Some(3));
}

#[test]
fn looking_behind() {
    let word = ok(set("abc").behind());
    check(&seq(&[p("a"), word.clone(), p("x")]), "ax", Some(2));
    check(&seq(&[p("x"), word]), "x", None);
    assert_eq!(p("a").behind().and_then(|b| b.program()?.find(b"a", 0)), Ok(None));
    assert_eq!(p("a").behind().and_then(|b| b.program()?.find(b"a", 1)), Ok(Some(1)));
    assert_eq!(ok(p("a").repeat(0)).behind().unwrap_err(), Error::BehindNotFixed);
    assert_eq!(any(256).behind().unwrap_err(), Error::BehindTooLong);
    assert_eq!(ok(p("a").capture(lpeg::Capture::Simple)).behind().unwrap_err(), Error::BehindCaptures);
}

#[test]
fn code_points() {
    let greek = ok(Pattern::utf8(0x370, 0x3ff));
    check(&ok(greek.repeat(0)), "αβγd", Some(6));
    check(&ok(Pattern::utf8(0, 0x10_ffff)).repeat(0).unwrap(), "aα€😀", Some(10));
    assert_eq!(ok(Pattern::utf8(0, 0x10_ffff)).program().unwrap().find(b"\xc0\x80", 0), Ok(None));
    assert_eq!(Pattern::utf8(5, 4).unwrap_err(), Error::CodePoints);
}

#[test]
fn grammars() {
    // S <- '(' ([^()] / S)* ')'
    let inner = ok(alt(&[Pattern::set(&Charset::of(b"()").complement()), v("S")]).repeat(0));
    let balanced = grammar(&[("S", seq(&[p("("), inner, p(")")]))]).unwrap();
    check(&balanced, "(a(b)c)d", Some(7));
    check(&balanced, "(a(b)c", None);
    // As many a as b: S <- 'a' B / 'b' A / ''; A <- 'a' S / 'b' A A; B <- 'b' S / 'a' B B
    let equal = grammar(&[
        ("S", alt(&[seq(&[p("a"), v("B")]), seq(&[p("b"), v("A")]), p("")])),
        ("A", alt(&[seq(&[p("a"), v("S")]), seq(&[p("b"), v("A"), v("A")])])),
        ("B", alt(&[seq(&[p("b"), v("S")]), seq(&[p("a"), v("B"), v("B")])])),
    ])
    .unwrap();
    check(&seq(&[equal.clone(), any(-1)]), "aabbabba", Some(8));
    check(&seq(&[equal, any(-1)]), "aabbb", None);
}

#[test]
fn grammars_in_grammars_have_rules_of_their_own() {
    let digits = grammar(&[("S", seq(&[set("0123456789"), alt(&[v("S"), p("")])]))]).unwrap();
    let list = grammar(&[("S", seq(&[digits, alt(&[seq(&[p(","), v("S")]), p("")])]))]).unwrap();
    check(&list, "12,3,456;", Some(8));
}

#[test]
fn what_is_no_pattern() {
    let error = |result: Result<Pattern, Error>| result.unwrap_err().to_string();
    assert_eq!(error(p("").repeat(0)), "loop body may accept empty string");
    assert_eq!(error(ok(p("a").repeat(-1)).repeat(2)), "loop body may accept empty string");
    assert_eq!(error(grammar(&[])), "grammar has no initial rule");
    assert_eq!(error(grammar(&[("a", v("b"))])), "rule 'b' undefined in given grammar");
    assert_eq!(error(grammar(&[("a", seq(&[ok(p("x").repeat(0)), v("a")]))])), "rule 'a' may be left recursive");
    assert_eq!(error(grammar(&[("a", ok(v("a").not()))])), "rule 'a' may be left recursive");
    assert_eq!(error(grammar(&[("a", ok(v("b").repeat(0))), ("b", p(""))])), "empty loop in rule 'a'");
    let mutual = grammar(&[("a", seq(&[p("x"), v("b")])), ("b", alt(&[p("y"), v("c")])), ("c", seq(&[ok(p("z").and()), v("b")]))]);
    assert!(matches!(mutual, Err(Error::LeftRecursive(_))));
    assert_eq!(v("x").program().unwrap_err().to_string(), "rule 'x' used outside a grammar");
    // What is called only after something was read is fine.
    assert!(grammar(&[("a", seq(&[ok(p("x").repeat(1)), v("a")]))]).is_ok());
}

#[test]
fn equal_parts_merge() {
    assert_eq!(seq(&[p("a"), p("b"), p("c")]).size(), 1);
    assert_eq!(alt(&[p("a"), set("bc"), p("d")]).size(), 1);
    assert_eq!(seq(&[any(2), any(3)]).size(), 1);
}
