//! What holds for all expressions and messages.

use matcher::{Index, Matcher, Selected};
use message::{Batch, BatchBuilder, Datum, MessageRef, Selection, Text, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

/// An expression with its meaning computed by the simplest means.
#[derive(Clone, Debug)]
enum Tree {
    Const(bool),
    Type(&'static str, &'static str),
    Severity(&'static str, i32),
    Field(&'static str, &'static str, Literal),
    Missing(&'static str),
    Not(Box<Tree>),
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
}

#[derive(Clone, Copy, Debug)]
enum Literal {
    Text(&'static str),
    Number(f64),
    Bool(bool),
}

const TEXTS: [&str; 4] = ["", "a", "b", "ab"];
const NAMES: [&str; 3] = ["x", "y", "z"];

fn compare<T: PartialOrd + ?Sized>(op: &str, a: &T, b: &T) -> bool {
    match op {
        "==" => a == b,
        "!=" => a != b,
        "<" => a < b,
        _ => a >= b,
    }
}

impl Tree {
    fn text(&self) -> String {
        match self {
            Tree::Const(value) => value.to_string().to_uppercase(),
            Tree::Type("=~", text) => format!("Type =~ /^{text}$/"),
            Tree::Type("=~'", text) => format!("Type =~ '^{text}$'"),
            Tree::Type("=~.", text) => format!("Type =~ '^{text}.'"),
            Tree::Type(op, text) => format!("Type {op} '{text}'"),
            Tree::Severity(op, n) => format!("Severity{op}{n}"),
            Tree::Field(name, op, Literal::Text(text)) => format!("Fields[{name}] {op} \"{text}\""),
            Tree::Field(name, op, Literal::Number(n)) => format!("Fields[{name}] {op} {n:e}"),
            Tree::Field(name, op, Literal::Bool(b)) => format!("Fields[{name}] {op} {}", Tree::Const(*b).text()),
            Tree::Missing(name) => format!("Fields[{name}] == NIL"),
            Tree::Not(a) => format!("!({})", a.text()),
            Tree::And(a, b) => format!("({}) && ({})", a.text(), b.text()),
            Tree::Or(a, b) => format!("({}\n||{})", a.text(), b.text()),
        }
    }

    fn holds(&self, m: MessageRef<'_>) -> bool {
        match self {
            Tree::Const(value) => *value,
            Tree::Type("=~" | "=~'", text) => m.type_() == text.as_bytes(),
            Tree::Type("=~.", text) => m.type_().strip_prefix(text.as_bytes()).is_some_and(|rest| !rest.is_empty()),
            Tree::Type(op, text) => compare(op, m.type_(), text.as_bytes()),
            Tree::Severity(op, n) => compare(op, &m.severity(), n),
            Tree::Field(name, op, literal) => match (m.value(name.as_bytes(), 0, 0), literal) {
                (Some(Value::String(v) | Value::Bytes(v)), Literal::Text(t)) => compare(op, v, t.as_bytes()),
                (Some(Value::Integer(v)), Literal::Number(n)) => compare(op, &(v as f64), n),
                (Some(Value::Double(v)), Literal::Number(n)) => compare(op, &v, n),
                (Some(Value::Bool(v)), Literal::Bool(b)) => compare(op, &v, b),
                _ => false,
            },
            Tree::Missing(name) => m.value(name.as_bytes(), 0, 0).is_none(),
            Tree::Not(a) => !a.holds(m),
            Tree::And(a, b) => a.holds(m) && b.holds(m),
            Tree::Or(a, b) => a.holds(m) || b.holds(m),
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    // Equality is what the index is about, so it comes often.
    let op = || select(vec!["==", "==", "==", "!=", "<", ">="]);
    let number = select(vec![-1.5, -1.0, 0.0, 1.0, 2.0, 1e300]);
    let leaf = prop_oneof![
        1 => any::<bool>().prop_map(Tree::Const),
        4 => (select(vec!["==", "==", "=~", "=~'", "=~.", "!=", "<"]), select(TEXTS.to_vec())).prop_map(|(op, text)| Tree::Type(op, text)),
        2 => (op(), 5..8).prop_map(|(op, n)| Tree::Severity(op, n)),
        3 => (select(NAMES.to_vec()), op(), select(TEXTS.to_vec())).prop_map(|(name, op, t)| Tree::Field(name, op, Literal::Text(t))),
        3 => (select(NAMES.to_vec()), op(), number).prop_map(|(name, op, n)| Tree::Field(name, op, Literal::Number(n))),
        1 => (select(NAMES.to_vec()), select(vec!["==", "!="]), any::<bool>()).prop_map(|(n, op, b)| Tree::Field(n, op, Literal::Bool(b))),
        1 => select(NAMES.to_vec()).prop_map(Tree::Missing),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            1 => inner.clone().prop_map(|a| Tree::Not(Box::new(a))),
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| Tree::And(Box::new(a), Box::new(b))),
            3 => (inner.clone(), inner).prop_map(|(a, b)| Tree::Or(Box::new(a), Box::new(b))),
        ]
    })
}

#[derive(Clone, Debug)]
struct Draft {
    type_: Option<&'static str>,
    severity: Option<i32>,
    fields: Vec<(&'static str, Content)>,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    Text(&'static str),
    Integer(i64),
    Double(f64),
    Bool(bool),
}

fn drafts() -> impl Strategy<Value = Draft> {
    let content = prop_oneof![
        select(TEXTS.to_vec()).prop_map(Content::Text),
        (-2_i64..3).prop_map(Content::Integer),
        select(vec![-1.5, -0.0, 1.0, f64::NAN, 1e300]).prop_map(Content::Double),
        any::<bool>().prop_map(Content::Bool),
    ];
    (proptest::option::of(select(TEXTS.to_vec())), proptest::option::of(5..8), vec((select(NAMES.to_vec()), content), 0..4))
        .prop_map(|(type_, severity, fields)| Draft { type_, severity, fields })
}

fn batches() -> impl Strategy<Value = Batch> {
    vec(drafts(), 0..8).prop_map(|drafts| {
        let mut builder = BatchBuilder::default();
        for draft in drafts {
            let mut m = builder.add();
            draft.type_.into_iter().for_each(|t| m.set_type(t.as_bytes()));
            draft.severity.into_iter().for_each(|s| m.set_severity(s));
            for (name, content) in draft.fields {
                match content {
                    Content::Text(t) => m.add_string(name.as_bytes(), t.as_bytes()),
                    Content::Integer(n) => m.add_integer(name.as_bytes(), n),
                    Content::Double(n) => m.add_double(name.as_bytes(), n),
                    Content::Bool(b) => m.add_bool(name.as_bytes(), b),
                }
            }
        }
        builder.finish()
    })
}

/// Runs of messages that share their Type and the names of their fields as those of a decoder do, longer than
/// what is evaluated at once.
fn long_batches() -> impl Strategy<Value = Batch> {
    vec((drafts(), 1_usize..90), 1..6).prop_map(|runs| {
        let mut builder = BatchBuilder::default();
        let names = NAMES.map(|name| (name, builder.parts().1.store(name.as_bytes())));
        for (draft, length) in runs {
            let type_ = draft.type_.map_or(Text::NONE, |t| builder.parts().1.store(t.as_bytes()));
            for nth in 0..length {
                let mut m = builder.add();
                m.set_type_text(type_);
                draft.severity.into_iter().for_each(|s| m.set_severity(s));
                // The first message has all fields, those behind it lack one in turn.
                for (i, (name, content)) in draft.fields.iter().enumerate().filter(|(i, _)| nth == 0 || *i != nth % 4) {
                    let name = names.iter().find(|(n, _)| n == name).map_or(Text::NONE, |(_, text)| *text);
                    let datum = match content {
                        Content::Text(t) => Datum::String(m.messages().store(t.as_bytes())),
                        Content::Integer(n) => Datum::Integer(n + (nth * i) as i64 % 2),
                        Content::Double(n) => Datum::Double(*n),
                        Content::Bool(b) => Datum::Bool(*b),
                    };
                    m.add(name, datum);
                }
            }
        }
        builder.finish()
    })
}

/// What each consumer should get, by asking every expression about every message.
fn one_by_one(consumers: &[(usize, Tree)], batch: &Batch) -> BTreeMap<usize, Vec<usize>> {
    let mut expected: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (consumer, _) in consumers {
        let mine = || consumers.iter().filter(|(c, _)| c == consumer);
        let list: Vec<usize> = (0..batch.len()).filter(|i| mine().any(|(_, tree)| tree.holds(batch.get(*i)))).collect();
        if !list.is_empty() {
            expected.insert(*consumer, list);
        }
    }
    expected
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_expression_means_what_it_says_and_shows(tree in trees(), batch in batches()) {
        let text = tree.text();
        let matcher = Matcher::parse(&text).unwrap();
        let again = Matcher::parse(&matcher.to_string()).unwrap();
        prop_assert_eq!(matcher.to_string(), again.to_string());
        for m in batch.iter() {
            prop_assert_eq!(matcher.matches(m), tree.holds(m), "{} on {:?}", text, m);
            prop_assert_eq!(again.matches(m), tree.holds(m), "{} on {:?}", again, m);
        }
    }

    #[test]
    fn an_index_selects_what_its_matchers_match(
        consumers in vec((0_usize..12, trees()), 0..20),
        others in vec((0_usize..30, trees()), 0..5),
        batches in vec(batches(), 1..3),
    ) {
        let index = |list: &[(usize, Tree)]| Index::new(list.iter().map(|(c, tree)| (*c, Matcher::parse(&tree.text()).unwrap())).collect());
        let indexes = [(index(&consumers), &consumers), (index(&others), &others)];
        let mut out = Selected::default();
        for batch in &batches {
            for (index, consumers) in &indexes {
                index.select(batch, &mut out);
                let all: Vec<(usize, Selection)> = out.selections().collect();
                let found: BTreeMap<usize, Vec<usize>> = all.iter().map(|(c, s)| (*c, s.iter().collect())).collect();
                prop_assert_eq!(all.len(), found.len(), "no consumer twice");
                prop_assert_eq!(found, one_by_one(consumers, batch));
            }
        }
    }

    #[test]
    fn long_batches_are_selected_as_message_by_message(consumers in vec((0_usize..6, trees()), 1..8), batch in long_batches()) {
        let index = Index::new(consumers.iter().map(|(c, tree)| (*c, Matcher::parse(&tree.text()).unwrap())).collect());
        let mut out = Selected::default();
        index.select(&batch, &mut out);
        let found: BTreeMap<usize, Vec<usize>> = out.selections().map(|(c, s)| (c, s.iter().collect())).collect();
        prop_assert_eq!(found, one_by_one(&consumers, &batch));
    }

    #[test]
    fn nothing_makes_the_parser_panic(text in ".{0,60}") {
        let _ = Matcher::parse(&text);
    }

    #[test]
    fn no_heap_of_tokens_makes_the_parser_panic(tokens in vec(select(vec![
        "Type", "Timestamp", "Pid", "Fields[a]", "Fields[", "Fields[ü][1]", "[", "==", "!=", "=~", "!~", "<", "!", "(", ")", "&&", "||", "'a'", "'", "\"",
        "\\", "%", "/a/", "/", "/(/", "1", "-1.5e3", ".", "TRUE", "NIL", "x", "'2015-04-11T17:30:26Z'", " ", "\n", "é",
    ]), 0..24)) {
        let text = tokens.concat();
        match Matcher::parse(&text) {
            Ok(matcher) => prop_assert!(Matcher::parse(&matcher.to_string()).is_ok(), "{} shown as {}", text, matcher),
            Err(error) => prop_assert!(text.get(error.at.clone()).is_some() && !error.to_string().is_empty()),
        }
    }

    #[test]
    fn strings_and_patterns_are_shown_as_they_can_be_read(quote in select(vec!['\'', '"', '/']), body in r#"([^\\/'"]|\\.){0,12}"#, pattern: bool, literal: bool) {
        let op = if quote == '/' || pattern { "=~" } else { "==" };
        let percent = if quote != '/' && literal && pattern { "%" } else { "" };
        let text = format!("Type {op} {quote}{body}{quote}{percent}");
        if let Ok(matcher) = Matcher::parse(&text) {
            let again = Matcher::parse(&matcher.to_string()).unwrap();
            prop_assert_eq!(matcher.to_string(), again.to_string());
        } else {
            prop_assert!(op == "=~" && percent.is_empty(), "{}", text);
        }
    }
}
