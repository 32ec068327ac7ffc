//! What captures make of a match.

use lpeg::{Capture, Constant, Key, Pattern, ValueId};

use crate::toy::{Function, Value, alt, any, error, grammar, p, run, seq, set, v, values};

fn cap(pattern: &Pattern, capture: Capture) -> Pattern {
    pattern.capture(capture).expect("small")
}

fn c(pattern: &Pattern) -> Pattern {
    cap(pattern, Capture::Simple)
}

fn position() -> Pattern {
    cap(&p(""), Capture::Position)
}

fn group(pattern: &Pattern, name: &str) -> Pattern {
    cap(pattern, Capture::Group(Some(name.into())))
}

fn back(name: &str) -> Pattern {
    cap(&p(""), Capture::Back(name.into()))
}

fn many(pattern: &Pattern, n: i64) -> Pattern {
    pattern.repeat(n).expect("not empty")
}

fn list<const N: usize>(list: [&str; N]) -> Vec<Value> {
    list.map(Value::from).to_vec()
}

fn digit() -> Pattern {
    set("0123456789")
}

/// Everything a function was called with, as one text.
fn show(args: &[Value]) -> Vec<Value> {
    vec![Value::Text(format!("{args:?}").replace("Text(", "").replace("Int(", "").replace([')', '"'], ""))]
}

fn sum(args: &[Value]) -> Vec<Value> {
    let number = |value: &Value| match value {
        Value::Int(n) => *n,
        Value::Text(text) => text.parse().unwrap_or(0),
        _ => 0,
    };
    vec![Value::Int(args.iter().map(number).sum())]
}

#[test]
fn without_captures_the_position() {
    assert_eq!(values(&p("ab"), "abc", &[]), [Value::Int(3)]);
    assert_eq!(run(&p("x"), "abc", &[]), Ok(None));
}

#[test]
fn simple_ones_come_outermost_first() {
    let word = c(&seq(&[c(&any(1)), p("-"), c(&any(1))]));
    assert_eq!(values(&word, "a-b", &[]), list(["a-b", "a", "b"]));
    assert_eq!(values(&seq(&[p("ab"), position(), c(&many(&digit(), 1))]), "ab12", &[]), [Value::Int(3), "12".into()]);
}

#[test]
fn constants_and_arguments() {
    let three = Pattern::constants(vec![Constant::Integer(1), Constant::Nil, Constant::Text(b"x"[..].into())]).unwrap();
    assert_eq!(values(&three, "", &[]), [Value::Int(1), Value::Nil, "x".into()]);
    assert_eq!(values(&Pattern::constants(vec![]).unwrap(), "", &[]), [Value::Int(1)]);
    assert_eq!(values(&cap(&p(""), Capture::Argument(1)), "", &[]), list(["first"]));
    assert_eq!(error(&cap(&p(""), Capture::Argument(3)), "", &[]), "absent extra argument #3");
}

#[test]
fn groups() {
    assert_eq!(values(&cap(&seq(&[c(&any(1)), c(&any(1))]), Capture::Group(None)), "ab", &[]), list(["a", "b"]));
    assert_eq!(values(&cap(&p("ab"), Capture::Group(None)), "ab", &[]), list(["ab"]));
    // Named ones give values to tables and back references only.
    assert_eq!(values(&group(&c(&any(1)), "n"), "ab", &[]), [Value::Int(2)]);
    let pair = cap(&seq(&[group(&any(1), "k"), c(&any(1)), group(&seq(&[c(&any(1)), c(&any(1))]), "l")]), Capture::Table);
    let expected = [("1", "b"), ("k", "a"), ("l", "c")].map(|(k, v)| (k.to_string(), Value::text(v)));
    assert_eq!(values(&pair, "abcd", &[]), [Value::Table(expected.to_vec())]);
    assert_eq!(values(&cap(&p("x"), Capture::Table), "x", &[]), [Value::Table(vec![])]);
}

#[test]
fn back_references() {
    let twice = seq(&[group(&c(&any(1)), "n"), any(1), back("n"), back("n")]);
    assert_eq!(values(&twice, "xy", &[]), list(["x", "x"]));
    let last = seq(&[group(&any(1), "n"), group(&any(1), "n"), back("n")]);
    assert_eq!(values(&last, "xy", &[]), list(["y"]));
    assert_eq!(error(&seq(&[c(&group(&any(1), "m")), back("n")]), "x", &[]), "back reference 'n' not found");
    // A group around the reference is not complete.
    assert_eq!(error(&group(&back("n"), "n").then(&back("n")).unwrap(), "x", &[]), "back reference 'n' not found");
}

#[test]
fn functions_queries_and_numbers() {
    let digits = cap(&seq(&[c(&digit()), p("+"), c(&digit())]), Capture::Function(ValueId(0)));
    assert_eq!(values(&digits, "1+2", &[sum]), [Value::Int(3)]);
    assert_eq!(values(&cap(&p("ab"), Capture::Function(ValueId(0))), "ab", &[show]), list(["[ab]"]));
    assert_eq!(values(&cap(&p("ab"), Capture::Function(ValueId(0))), "ab", &[|_| vec![]]), [Value::Int(3)]);
    assert_eq!(values(&cap(&p("a"), Capture::Query(ValueId(0))), "a", &[]), list(["alpha"]));
    assert_eq!(values(&cap(&p("z"), Capture::Query(ValueId(0))), "z", &[]), [Value::Int(2)]);
    let two = seq(&[c(&any(1)), c(&any(1))]);
    assert_eq!(values(&cap(&two, Capture::Select(2)), "ab", &[]), list(["b"]));
    assert_eq!(values(&cap(&two, Capture::Select(0)), "ab", &[]), [Value::Int(3)]);
    assert_eq!(error(&cap(&two, Capture::Select(3)), "ab", &[]), "no capture '3'");
}

#[test]
fn folds_and_accumulators() {
    let number = c(&many(&digit(), 1));
    let more = many(&seq(&[p(","), number.clone()]), 0);
    assert_eq!(values(&cap(&seq(&[number.clone(), more]), Capture::Fold(ValueId(0))), "1,20,300", &[sum]), [Value::Int(321)]);
    assert_eq!(error(&cap(&p("x"), Capture::Fold(ValueId(0))), "x", &[sum]), "no initial value for fold capture");
    let adding = seq(&[number.clone(), many(&seq(&[p(","), cap(&number, Capture::Accumulate(ValueId(0)))]), 0)]);
    assert_eq!(values(&adding, "1,20,300", &[sum]), [Value::Int(321)]);
    assert_eq!(error(&cap(&number, Capture::Accumulate(ValueId(0))), "1", &[sum]), "no previous value for accumulator capture");
}

#[test]
fn strings() {
    let format = |pattern: &Pattern, text: &str| cap(pattern, Capture::Format(text.as_bytes().into()));
    let two = seq(&[c(&any(1)), c(&any(1))]);
    assert_eq!(values(&format(&two, "%2%1 %0 %%!"), "ab", &[]), list(["ba ab %!"]));
    assert_eq!(values(&format(&c(&seq(&[any(1), position()])), "%1|%2"), "ab", &[]), list(["a|2"]));
    assert_eq!(error(&format(&two, "%3"), "ab", &[]), "invalid capture index (3)");
    assert_eq!(error(&format(&group(&any(1), "n"), "%1"), "ab", &[]), "no values in capture index 1");
    assert_eq!(error(&format(&cap(&any(1), Capture::Table), "%1"), "a", &[]), "invalid capture value (a table)");
}

#[test]
fn substitutions() {
    let subst = |pattern: &Pattern| cap(pattern, Capture::Substitute);
    let dash = cap(&set("ab"), Capture::Format(b"<%0>"[..].into()));
    let replace = subst(&many(&alt(&[dash.clone(), any(1)]), 0));
    assert_eq!(values(&replace, "xaby", &[]), list(["x<a><b>y"]));
    // Without a value the text stays.
    let keep = subst(&seq(&[any(1), cap(&any(1), Capture::Query(ValueId(0))), any(1)]));
    assert_eq!(values(&keep, "-a-", &[]), list(["-alpha-"]));
    assert_eq!(values(&keep, "-z-", &[]), list(["-z-"]));
    assert_eq!(values(&subst(&seq(&[p("a"), subst(&seq(&[p("-"), dash]))])), "a-b", &[]), list(["a-<b>"]));
    assert_eq!(error(&subst(&cap(&any(1), Capture::Table)), "a", &[]), "invalid replacement value (a table)");
}

#[test]
fn match_time_captures() {
    let runtime = |pattern: &Pattern| cap(pattern, Capture::Runtime(ValueId(0)));
    let yes: Function = |args| [vec![Value::Bool(true)], show(args)].concat();
    assert_eq!(values(&runtime(&p("ab")), "abc", &[yes]), list(["[abc, 3, ab]"]));
    assert_eq!(values(&Pattern::function(ValueId(0)).unwrap(), "abc", &[yes]), list(["[abc, 1, ]"]));
    assert_eq!(run(&runtime(&p("ab")), "abc", &[|_| vec![]]), Ok(None));
    assert_eq!(run(&runtime(&p("ab")), "abc", &[|_| vec![Value::Bool(false), Value::Nil]]), Ok(None));
    // A position moves on; extra values are captures.
    let jump = seq(&[runtime(&p("a")), c(&any(1))]);
    assert_eq!(values(&jump, "abcd", &[|_| vec![Value::Int(4), "x".into(), "y".into()]]), list(["x", "y", "d"]));
    for n in [1, 6] {
        let to: Function = if n == 1 { |_| vec![Value::Int(1)] } else { |_| vec![Value::Int(6)] };
        assert_eq!(error(&jump, "abcd", &[to]), "invalid position returned by match-time capture");
    }
    // Values of alternatives that failed are gone; those inside are handed on.
    let first = seq(&[runtime(&p("a")), p("x")]);
    assert_eq!(values(&alt(&[first, c(&p("ab"))]), "ab", &[yes]), list(["ab"]));
    assert_eq!(values(&runtime(&runtime(&p("a"))), "a", &[yes]), list(["[a, 2, [a, 2, a]]"]));
    assert_eq!(values(&seq(&[runtime(&p("a")), runtime(&p("b"))]), "ab", &[yes]), list(["[ab, 2, a]", "[ab, 3, b]"]));
    // In a substitution they replace what they matched.
    assert_eq!(
        values(&cap(&seq(&[any(1), runtime(&p("b")), any(1)]), Capture::Substitute), "abc", &[|_| { vec![Value::Bool(true), "X".into()] }]),
        list(["aXc"])
    );
}

#[test]
fn match_time_captures_see_earlier_groups() {
    // A long string: the closing mark must equal the opening one.
    let equal: Function = |args| vec![Value::Bool(args[2] == args[3])];
    let mark = many(&p("="), 0);
    let close = cap(&seq(&[p("]"), c(&mark), p("]"), back("mark")]), Capture::Runtime(ValueId(0)));
    let body = c(&many(&any(1).except(&close).unwrap(), 0));
    let long = cap(&seq(&[p("["), group(&mark, "mark"), p("["), body, close]), Capture::Select(1));
    assert_eq!(values(&long, "[==[a]=]b]==]", &[equal]), list(["a]=]b"]));
}

#[test]
fn captures_of_failed_alternatives_are_gone() {
    let either = alt(&[seq(&[c(&any(1)), c(&any(1)), p("!")]), seq(&[c(&any(1)), p("b")])]);
    assert_eq!(values(&either, "ab", &[]), list(["a"]));
    let nested = c(&seq(&[any(1), alt(&[seq(&[c(&c(&any(1)).then(&position()).unwrap()), p("!")]), c(&p("b"))])]));
    assert_eq!(values(&nested, "ab", &[]), list(["ab", "b"]));
    // A look ahead keeps its captures, a negative one has none.
    assert_eq!(values(&seq(&[c(&any(2)).and().unwrap(), c(&any(1))]), "ab", &[]), list(["ab", "a"]));
    assert_eq!(values(&seq(&[c(&p("x")).not().unwrap(), any(1)]), "ab", &[]), [Value::Int(2)]);
}

#[test]
fn recursive_tables() {
    let word = c(&many(&set("abc"), 1));
    let item = alt(&[word, v("list")]);
    let items = seq(&[item.clone(), many(&seq(&[p(" "), item]), 0)]);
    let tree = grammar(&[("list", cap(&seq(&[p("("), items, p(")")]), Capture::Table))]).unwrap();
    let table = |list: &[(&str, Value)]| Value::Table(list.iter().map(|(k, v)| (k.to_string(), v.clone())).collect());
    let inner = table(&[("1", "b".into()), ("2", "c".into())]);
    assert_eq!(values(&tree, "(a (b c))", &[]), [table(&[("1", "a".into()), ("2", inner)])]);
}

#[test]
fn names_may_be_numbers() {
    let pair = seq(&[cap(&any(1), Capture::Group(Some(Key::Integer(3)))), cap(&p(""), Capture::Back(Key::Integer(3)))]);
    assert_eq!(values(&pair, "x", &[]), list(["x"]));
}
