//! What a kind makes of the values it is given: wrong ones are reported where they stand, odd ones
//! do no harm.

use std::sync::Arc;

use options::{Opt, Problem, Type};
use plugin::Kind;

use super::{Built, Contract, build, decoders, encoders, filters, splitters, transforms};
use crate::garbage;

/// TOML values and what they are.
const VALUES: &[(&str, &str)] = &[
    ("1", "integer"),
    ("-9223372036854775808", "integer"),
    ("1.5", "float"),
    ("nan", "float"),
    ("true", "bool"),
    ("'text'", "string"),
    ("1979-05-27", "date"),
    ("[]", "strings"),
    ("['a', 'b']", "strings"),
    ("[1]", "list"),
    ("[['a']]", "list"),
    ("{ a = 1 }", "table"),
    ("{ a = [] }", "odd table"),
    ("{ env = 'NILO_THERE_IS_NO_SUCH_VARIABLE' }", "reference"),
    ("{ file = '/nowhere/at/all' }", "reference"),
];

fn fits(type_: Type, value: &str) -> bool {
    match type_ {
        Type::Integer => value == "integer",
        Type::Float => value == "integer" || value == "float",
        Type::Bool => value == "bool",
        Type::Strings | Type::Paths => value == "string" || value == "strings",
        Type::Table => value == "table" || value == "reference",
        Type::Tree => value.ends_with("table") || value == "reference",
        Type::Duration | Type::Size | Type::Address | Type::Choice(_) => false,
        Type::String | Type::Path | Type::Script | Type::Matcher | Type::Regex | Type::Secret => value == "string",
    }
}

/// A value of another type than the option's is reported with file, line and column, once.
///
/// # Panics
/// When it is not.
pub fn of_the_wrong_type_are_reported_where_they_stand(contract: &Contract, kind: &'static Kind) {
    for opt in kind.options {
        for (value, _) in VALUES.iter().filter(|(_, is)| !fits(opt.type_, is)) {
            let least = contract.least(kind, opt.name);
            let toml = format!("{least}{} = {value}", opt.name);
            let (_, problems) = contract.check(kind, &contract.tree(kind, &toml).expect("valid TOML"));
            assert_eq!(problems.len(), 1, "{toml}: {problems:?}");
            let place = problems[0].at.as_ref().map(|at| at.line_column());
            // Behind `type` and what is required; at the value, or in it.
            let line = least.lines().count() + 2;
            assert!(place.is_some_and(|(l, column)| l == line && column > opt.name.len() + 3), "{toml}: {}", problems[0]);
            let text = problems[0].to_string();
            assert!(text.contains(&format!("nilo.toml:{line}:")), "{text}");
            assert!(!problems[0].label.is_empty() || problems[0].help.is_some(), "what was expected? {text}");
        }
    }
}

/// A misspelt option is reported with the name that was meant.
///
/// # Panics
/// When it is not.
pub fn of_misspelt_options_are_reported_with_a_suggestion(contract: &Contract, kind: &'static Kind) {
    for opt in kind.options.iter().filter(|o| o.name.len() > 3) {
        let least = contract.least(kind, "");
        let toml = format!("{least}{}x = 1", opt.name);
        let (_, problems) = contract.check(kind, &contract.tree(kind, &toml).expect("valid TOML"));
        let [problem] = &problems[..] else { panic!("{toml}: {problems:?}") };
        assert_eq!(problem.help.as_deref(), Some(&*format!("did you mean `{}`?", opt.name)), "{problem}");
        assert_eq!(problem.at.as_ref().map(|at| at.line_column()), Some((least.lines().count() + 2, 1)), "{problem}");
    }
}

/// Values that are of the right type and yet nothing anyone would think of.
fn odd(opt: &Opt) -> Vec<String> {
    let texts = |all: &[&str]| all.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>();
    let long = "x".repeat(100_000);
    match opt.type_ {
        Type::Integer => [0, 1, -1, 2, 64, 65, 255, 65_536, i64::from(i32::MAX), i64::from(u32::MAX) + 1, i64::MAX, i64::MIN]
            .map(|n| n.to_string())
            .to_vec(),
        Type::Float => ["0", "-1", "-0.0", "1e308", "5e-324", "nan", "inf", "-inf"].map(String::from).to_vec(),
        Type::Bool => ["true", "false"].map(String::from).to_vec(),
        Type::Duration => texts(&["0s", "1ns", "9ms", "1ms", "100000d", "10000000000000d", "1h30m"]),
        Type::Size => texts(&["0B", "1B", "2B", "7B", "64KiB", "1GiB", "4GiB", "8000000GB"]),
        Type::Address => texts(&["127.0.0.1:0", "[::1]:0", "a b:1", "999.999.999.999:1", "\u{0}:1", ":::1"]),
        Type::Choice(words) => texts(words),
        Type::Matcher => texts(&["", "TRUE", "FALSE", "Type == ", "Payload =~ /(a|b)*c/", &"!(".repeat(5000), &long]),
        Type::Regex => texts(&[
            "",
            "^",
            "$",
            "(",
            "a*",
            "()",
            "(?<x>a*)",
            "\\b",
            "(?s).*",
            "(a{1000}){1000}",
            &"(".repeat(5000),
            "\u{e9}+",
            "(\u{e9}",
            "x{\u{e9}",
            "\\\u{e9}",
            "*\u{e9}",
        ]),
        Type::Strings | Type::Paths => {
            let mut lists = texts(&["", "a", "email", "50", "*", "[", "/", "\u{0}", "Payload", ".*", "\\"]);
            lists.push("[]".to_string());
            lists.push("['', '', 'a', 'a']".to_string());
            lists.push(format!("[{}]", "'name', ".repeat(3000)));
            lists
        }
        Type::Table | Type::Tree => [
            "{}",
            "{ '' = '' }",
            "{ a = 'b', b = 'a' }",
            "{ Type = 'Payload', Payload = 'Type', Severity = 'x' }",
            "{ Severity = 99999999999, Pid = -1, Uuid = 'x' }",
            "{ a = nan, b = true, c = -1 }",
            "{ 'api.' = '10, inf, x' }",
            "{ ops_1 = '' }",
            "{ ops_99999999999 = 'k' }",
        ]
        .map(String::from)
        .to_vec(),
        Type::String | Type::Path | Type::Script | Type::Secret => {
            let mut all = texts(&[
                "",
                " ",
                "/",
                "..",
                "a",
                "{",
                "{}",
                "{a",
                "%",
                "%Y",
                "\\",
                "\\x",
                "\\xff",
                "$",
                "$a$b",
                "%{",
                "%{x}i",
                "0",
                "\n",
                "\u{e9}",
                "\u{10ffff}",
                "%%\u{e9}",
                "%\u{e9}",
                "{\u{e9}",
                "}\u{e9}",
                "\\\u{e9}",
                "$\u{e9}",
            ]);
            // `\0` as TOML writes it.
            all.push(r#""\u0000""#.to_string());
            all.push(format!("{long:?}"));
            all
        }
    }
}

/// An odd value is refused where some option stands, or works: what is built of it survives a few
/// records or messages.
///
/// # Panics
/// When it does neither.
pub fn that_are_odd_are_refused_or_work(contract: &Contract, kind: &'static Kind) {
    for opt in kind.options {
        for value in odd(opt) {
            let value = value.replace("\\0", "\\u0000").replace("\\u{0}", "\\u0000");
            let least = contract.least(kind, opt.name);
            let toml = format!("{least}{} = {value}", opt.name);
            let Ok(given) = contract.tree(kind, &toml) else { continue };
            // The option under test keeps its value; everything else is turned inwards.
            let (mut tree, home) = (given, contract.at_home(kind, &least, "127.0.0.1:0"));
            for (key, node) in tree.entries.iter_mut().filter(|(key, _)| key.name != opt.name) {
                if let Some(inwards) = home.get(&key.name) {
                    node.raw = inwards.raw.clone();
                }
            }
            let (options, problems) = contract.check(kind, &tree);
            let short: String = toml.chars().take(300).collect();
            problems.iter().for_each(|p| points_into_the_file(p, &short));
            if problems.is_empty() {
                match build(kind, &options, &contract.cx(kind, &options, true)) {
                    Err(problem) => points_into_the_file(&problem, &short),
                    Ok(built) => exercise(built),
                }
            }
        }
    }
}

fn points_into_the_file(problem: &Problem, toml: &str) {
    let text = problem.to_string();
    let at = problem.at.as_ref().unwrap_or_else(|| panic!("{toml}: no place in {text}"));
    assert!(at.source.path().ends_with("nilo.toml") && at.span.end <= at.source.text().len(), "{toml}: {text}");
    assert!(!problem.title.is_empty() && text.len() < 2_000 + 2 * at.source.text().len(), "{toml}: {} bytes", text.len());
    // What people see is made of it.
    options::render(std::slice::from_ref(problem), options::Style::Plain);
}

/// Runs what needs no world.
fn exercise(built: Built) {
    let stream = garbage::RECORDS.join(&b"\n"[..]);
    let batch = garbage::samples();
    match built {
        Built::Splitter(mut splitter) => {
            splitters::feed(&mut *splitter, &stream, 7);
        }
        Built::Decoder(mut decoder) => garbage::RECORDS.iter().for_each(|r| {
            decoders::decode(&mut *decoder, r);
        }),
        Built::Transform(mut transform) => transforms::apply(&mut *transform, &batch),
        Built::Encoder(mut encoder) => batch.iter().for_each(|m| {
            let _ = encoders::encode(&mut *encoder, m);
        }),
        // Where limits are that low it may well fail.
        Built::Filter(mut filter) => {
            let _ = filters::run(&mut *filter, &Arc::new(batch));
        }
        Built::Input(_) | Built::Output(_) => {}
    }
}
