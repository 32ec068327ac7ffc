//! What a kind says about itself: docs, names, defaults, samples, examples.

use std::collections::HashMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};

use options::Type;
use plugin::{Family, Kind};

use super::{Built, Contract, build};

fn is_snake_case(name: &str) -> bool {
    let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.split('_').all(word)
}

fn is_sentences(text: &str) -> bool {
    text.ends_with('.') && text == text.trim() && !text.contains("  ")
}

/// Everything is described, in sentences, and no option is both required and given a default.
///
/// # Panics
/// When it is not.
pub fn are_described(_: &Contract, kind: &'static Kind) {
    assert!(is_snake_case(kind.name), "the name `{}` is not in snake case", kind.name);
    assert!(is_sentences(kind.summary) && !kind.summary.contains('\n'), "the summary is no sentence: {}", kind.summary);
    assert!(is_sentences(kind.doc), "the description is not in sentences: {}", kind.doc);
    for opt in kind.options {
        assert!(is_sentences(opt.doc), "the description of `{}` is not in sentences: {}", opt.name, opt.doc);
        assert!(!(opt.required && opt.default.is_some()), "`{}` is required and has a default", opt.name);
        if opt.type_ == Type::Bool {
            assert!(matches!(opt.default, None | Some("true" | "false")), "default of `{}`: {:?}", opt.name, opt.default);
        }
    }
    for example in kind.examples {
        assert!(!example.title.is_empty() && !example.title.ends_with('.'), "title of an example: {:?}", example.title);
    }
}

/// Names mean the same everywhere: what to `listen` at, the `address` to connect to, times and
/// sizes with units instead of `_ms` and `_bytes`.
///
/// # Panics
/// When an option is called otherwise.
pub fn keep_to_naming_rules(contract: &Contract, kind: &'static Kind) {
    let mut seen = HashMap::new();
    for opt in (contract.options_of)(kind).into_iter().flatten() {
        assert!(is_snake_case(opt.name), "`{}` is not in snake case", opt.name);
        assert!(seen.insert(opt.name, ()).is_none(), "`{}` is there twice", opt.name);
        let is = opt.type_;
        let should = match opt.name {
            // Of several protocols at once, a list of URLs.
            "listen" if is == Type::Strings => kind.family() == Family::Input,
            // Of a service that may be at a socket in the file system, a URL.
            "address" if is == Type::String => kind.family() == Family::Input,
            "listen" | "address" => is == Type::Address,
            "match" => is == Type::Matcher,
            "path" | "dir" | "file" | "modules" => is == Type::Path,
            "script" => is == Type::Script,
            "paths" => is == Type::Paths,
            "every" | "interval" | "poll" | "sync" | "retry" => is == Type::Duration,
            name if name.ends_with("timeout") || name.ends_with("_wait") || name.ends_with("_every") => is == Type::Duration,
            name => {
                !["_ms", "_us", "_ns", "_s", "_sec", "_secs", "_seconds", "_bytes", "_kb", "_mb"].iter().any(|u| name.ends_with(u))
                    || is == Type::Size
            }
        };
        assert!(should, "`{}` is a {}", opt.name, is.name());
        match (is, kind.family()) {
            (Type::Address, Family::Input) => assert_eq!(opt.name, "listen", "where an input listens"),
            (Type::Address, Family::Output) => assert_eq!(opt.name, "address", "what an output connects to"),
            (Type::Matcher, _) => {
                assert!(["match", "keep"].contains(&opt.name) || opt.name.ends_with("_when"), "the matcher `{}`", opt.name)
            }
            _ => {}
        }
    }
}

/// A limit of one name has one type in all kinds.
///
/// # Panics
/// When it has two.
pub fn agree_on_limits(contract: &Contract) {
    let mut known: HashMap<&str, (Type, &Kind)> = HashMap::new();
    for kind in contract.registry.kinds() {
        for opt in kind.options.iter().filter(|o| o.name.starts_with("max_") || o.name.ends_with("_limit")) {
            let (type_, first) = known.entry(opt.name).or_insert((opt.type_, kind));
            assert_eq!(*type_, opt.type_, "`{}` of {first:?} and {kind:?}", opt.name);
        }
    }
    assert!(known.len() > 3, "{known:?}");
}

/// Defaults are values of their types, samples are valid.
///
/// # Panics
/// When they are not.
pub fn have_valid_defaults_and_samples(contract: &Contract, kind: &'static Kind) {
    let (_, problems) = contract.check(kind, &contract.tree(kind, "").expect("valid TOML"));
    let missing = |p: &options::Problem| p.title.ends_with("is missing");
    assert!(problems.iter().all(missing), "{problems:?}");
    // What a sample takes from the environment is not there.
    for opt in kind.options.iter().filter(|o| o.sample.is_some_and(|s| !s.contains("env ="))) {
        let toml = format!("{}{} = {}", contract.least(kind, opt.name), opt.name, opt.sample.unwrap_or_default());
        let tree = contract.tree(kind, &toml).unwrap_or_else(|p| panic!("the sample of `{}`: {}", opt.name, p[0]));
        let problems = contract.check(kind, &tree).1;
        assert!(problems.is_empty(), "the sample of `{}`: {}", opt.name, problems[0]);
    }
}

/// Examples, presets and the least configuration check and build, the latter without a trace: no
/// file is made, and no address taken.
///
/// # Panics
/// When they do not.
pub fn have_examples_that_build(contract: &Contract, kind: &'static Kind) {
    let (tcp, port) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = tcp.local_addr().expect("the port taken");
        if let Ok(udp) = UdpSocket::bind(address) {
            break ((tcp, udp), address);
        }
    };
    for toml in contract.configurations(kind) {
        let tree = contract.at_home(kind, &toml, &port.to_string());
        let (options, problems) = contract.check(kind, &tree);
        assert!(problems.is_empty(), "{}\nin\n{toml}", problems[0]);
        let before = files(contract);
        for check_only in [true, false] {
            let built = build(kind, &options, &contract.cx(kind, &options, check_only));
            let built = built.unwrap_or_else(|p| panic!("{p}\nin\n{toml}"));
            if let Built::Output(output) = &built {
                let encoder = output.default_encoder();
                let registry = &contract.registry;
                assert!(registry.kind(Family::Encoder, encoder).is_some(), "there is no encoder {encoder}");
            }
        }
        assert_eq!(files(contract), before, "building made files");
    }
    drop(tcp);
}

fn files(contract: &Contract) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut dirs = vec![contract.dir.path().to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("the contract's directory").flatten() {
            found.push(entry.path().display().to_string());
            if entry.path().is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Every preset configures a kind that exists.
///
/// # Panics
/// When one does not.
pub fn presets_have_kinds(contract: &Contract) {
    for preset in contract.registry.presets() {
        assert!(contract.registry.kind(preset.family, preset.kind).is_some(), "{preset:?}");
        assert!(is_snake_case(preset.name) && is_sentences(preset.summary), "{preset:?}");
        assert!(contract.registry.kind(preset.family, preset.name).is_none(), "a kind has this name too: {preset:?}");
    }
}
