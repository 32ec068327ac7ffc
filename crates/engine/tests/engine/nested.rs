//! Plugins that are made of others, by their names.

use std::fs;

use engine::{Change, Config, Plan};
use options::Source;

use crate::board::{board, plan, registry, start};

/// A board whose records are decoded by a chain of two sections, and whose messages are parsed by a third.
fn config(name: &str, payload: &str) -> String {
    format!(
        "[input.i]\ntype = 'board'\nboard = '{name}'\ndecoder = 'mixed'\ntransform = 'parsed'\n\
         [decoder.mixed]\ntype = 'chain'\ndecoders = ['outer', 'inner']\nmode = 'all'\n\
         [decoder.outer]\ntype = 'regex'\npattern = '^(?<app>\\w+): (?<text>.*)$'\nheaders = {{ Payload = 'text' }}\n\
         [decoder.inner]\ntype = 'json'\npayload = '{payload}'\n\
         [decoder.pairs]\ntype = 'logfmt'\npayload = 'b'\n\
         [transform.parsed]\ntype = 'parse'\ndecoder = 'pairs'\n\
         [output.o]\ntype = 'board'\nboard = '{name}'\nmatch = 'Fields[app] == \"web\"'\n"
    )
}

#[test]
fn sections_are_found_and_a_change_in_one_is_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let b = board("nested");
    let first = plan(dir.path(), &config("nested", "one"));
    assert_eq!(first.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
    let engine = start(dir.path(), &config("nested", "one"));
    b.feed("web: {\"one\":\"a=1 b=x\",\"two\":\"b=y\"}\n");
    assert_eq!(b.wait_for(1), ["x"]);
    assert_eq!(engine.reload(plan(dir.path(), &config("nested", "one"))).unwrap().changes, []);
    let report = engine.reload(plan(dir.path(), &config("nested", "two"))).unwrap();
    assert_eq!(report.changes, [("input.i".to_string(), Change::Changed)]);
    b.feed("web: {\"one\":\"b=x\",\"two\":\"b=y\"}\n");
    assert_eq!(b.wait_for(2)[1], "y");
    engine.stop();
}

#[test]
fn names_that_lead_nowhere_or_back_are_problems() {
    let problems = |decoders: &str| {
        let toml = format!("[input.i]\ntype = 'board'\nboard = 'x'\ndecoder = 'a'\n{decoders}");
        let config = Config::parse(vec![Source::new("nilo.toml", toml)]).unwrap();
        Plan::new(&config, &registry()).and_then(|plan| plan.check()).err().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let found = problems("[decoder.a]\ntype = 'chain'\ndecoders = ['b']\n[decoder.b]\ntype = 'chain'\ndecoders = ['json', 'a']\n");
    assert!(found.iter().any(|p| p.starts_with("nilo.toml:10:12: decoder `a` is made of itself")), "{found:?}");
    let found = problems("[decoder.a]\ntype = 'chain'\ndecoders = ['jsn']\n");
    assert!(
        found.iter().any(|p| p.starts_with("nilo.toml:7:12: there is no decoder `jsn`") && p.contains("did you mean \"json\"?")),
        "{found:?}"
    );
    let found = problems("[decoder.a]\ntype = 'chain'\ndecoders = ['b']\n[decoder.b]\ntype = 'json'\nmax_depth = 0\n");
    assert!(found.iter().any(|p| p.starts_with("nilo.toml:10:13: `max_depth` is out of range")), "{found:?}");
}

/// A script that counts, and leaves records to others that do not begin with `n`.
fn script(dir: &std::path::Path, version: u32) {
    let text = format!(
        "count = 0\nfunction process_message()\nlocal p = read_message('Payload')\nif p:sub(1, 1) ~= 'n' then return -1, 'not mine' end\n\
         count = count + 1\nwrite_message('Payload', '{version}:' .. count)\nreturn 0\nend"
    );
    fs::write(dir.join("n.lua"), text).unwrap();
}

#[test]
fn a_script_within_a_chain_is_replaced_with_its_state() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), 1);
    let b = board("nested_script");
    let toml = "[input.i]\ntype = 'board'\nboard = 'nested_script'\ndecoder = 'c'\n\
                [decoder.c]\ntype = 'chain'\ndecoders = ['n', 'none']\n[decoder.n]\ntype = 'lua'\nscript = 'n.lua'\n\
                [output.o]\ntype = 'board'\nboard = 'nested_script'\nmatch = 'TRUE'\n";
    let engine = start(dir.path(), toml);
    b.feed("n\nx\nn\n");
    assert_eq!(b.wait_for(3), ["1:1", "x", "1:2"]);
    script(dir.path(), 2);
    let report = engine.reload_changed_scripts();
    assert!(matches!(&report.changes[..], [(_, Change::Reloaded(_))]), "{report}");
    b.feed("n\nx\n");
    assert_eq!(b.wait_for(5)[3..], ["2:3", "x"]);
    engine.stop();
}
