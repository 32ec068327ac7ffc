//! What each room costs by itself: figures of the examples of their crates, one process each.

use std::path::Path;

use anyhow::{Context, Result};

use super::Settings;
use super::contender::{Contender, Values};
use super::example;

/// Figures of the matcher's example, by argument.
const MATCHER: &[(&str, &str)] = &[
    ("text-1", "1 matcher of a field"),
    ("text-10", "10 matchers of a field, one matches"),
    ("text-1000", "1,000 matchers of a field, one matches"),
    ("text-10000", "10,000 matchers of a field, one matches"),
    ("type-and-status", "Type and a number"),
    ("literal", "a search for text"),
    ("regex", "a search for an expression"),
];

/// What others of their group are compared with.
const FLOORS: &[&str] = &["memchr", "regex crate, as many captures", MATCHER[0].1];

/// The rooms' table.
pub fn rooms(_: &Settings) -> Result<Vec<Contender>> {
    let (matcher, codecs) = (example::build("matcher", "figures")?, example::build("codecs", "figures")?);
    let mut all = Vec::new();
    for (argument, name) in MATCHER {
        let matcher = matcher.clone();
        all.push(contender("matcher", name, move || matching(&matcher, argument)));
    }
    for title in example::output(&codecs, &[])?.lines() {
        let (group, name) = title.split_once(": ").with_context(|| format!("no group in {title:?}"))?;
        let (codecs, argument) = (codecs.clone(), title.to_string());
        all.push(contender(group, name, move || example::values(&codecs, &[&argument])));
    }
    Ok(all)
}

fn contender(group: &str, name: &str, run: impl FnMut() -> Result<Values> + 'static) -> Contender {
    match FLOORS.contains(&name) {
        true => Contender::machine(name, run).of(group).floor(),
        false => Contender::new(name, run).of(group),
    }
}

/// The last line: name, number of matchers, nanoseconds a message as median and as least.
fn matching(program: &Path, argument: &str) -> Result<Values> {
    let text = example::output(program, &[argument])?;
    let median = text.lines().last().and_then(|line| line.split_whitespace().nth(2)).with_context(|| format!("no figure in {text:?}"))?;
    Ok(vec![("ns", median.parse()?)])
}
