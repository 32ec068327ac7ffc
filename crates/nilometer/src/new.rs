//! `nilo new`: a configuration to start from, from what the plugins declare.

use std::fmt::Write;

use engine::{Config, GLOBAL_OPTIONS, Plan};
use options::{Opt, Source, Tree, Type};
use plugin::{Family, Kind, Registry};

use crate::list::{default, nature, wrap};
use crate::names::{Names, plugins};
use crate::registry::{find, full_name, registry};
use crate::{Failure, print};

/// Print a commented configuration for a plugin, to start from.
#[derive(clap::Args)]
pub struct Args {
    /// A plugin such as input.tail, or nilo for the global options.
    #[arg(value_parser = Names(plugins), hide_possible_values = true)]
    plugin: String,
    /// What to call it. Default: as its kind.
    name: Option<String>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let registry = registry();
    let Some(kind) = find(&registry, &args.plugin) else {
        let options: String = GLOBAL_OPTIONS.iter().map(|o| entry(o, None)).collect();
        return print(&format!("[nilo]\n\n{options}"));
    };
    let name = args.name.as_deref().unwrap_or(kind.name);
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        return Err(Failure::Failed(format!("the name {name:?} has characters other than a-z, A-Z, 0-9, - and _")));
    }
    print(&skeleton(&registry, kind, name))
}

/// With what is required alone if that is enough, else with the first example that is.
fn skeleton(registry: &Registry, kind: &Kind, name: &str) -> String {
    let bare = write(kind, name, None);
    let enough = |text: &String| {
        let config = Config::parse(vec![Source::new("skeleton", text.as_str())]);
        config.and_then(|c| Plan::new(&c, registry)).and_then(|p| p.check()).is_ok()
    };
    let examples = || kind.examples.iter().filter_map(|e| Tree::parse(Source::new("example", e.toml)).ok());
    match enough(&bare) {
        true => bare,
        false => examples().map(|e| write(kind, name, Some(&e))).find(enough).unwrap_or(bare),
    }
}

fn write(kind: &Kind, name: &str, example: Option<&Tree>) -> String {
    let mut out = comment(&format!("{} `nilo list {}` tells more.", kind.summary, full_name(kind)));
    let _ = writeln!(out, "[{}.{name}]\ntype = \"{}\"\n", kind.family(), kind.name);
    let common = engine::options_of(kind).into_iter().filter(|list| !std::ptr::eq(*list, kind.options)).flatten();
    let consumer = matches!(kind.family(), Family::Filter | Family::Output);
    // What has to be given comes first.
    let all = || kind.options.iter().chain(common.clone()).filter(|o| o.name != "type");
    let given = |o: &Opt| o.required || consumer && o.name == "match" || example.is_some_and(|e| e.get(o.name).is_some());
    for opt in all().filter(|o| given(o)) {
        let value = example.and_then(|e| e.get(opt.name)).map(|n| n.at.source.text()[n.at.span.clone()].to_string());
        out += &entry(opt, Some(value.unwrap_or_else(|| sample(opt))));
    }
    for opt in all().filter(|o| !given(o)) {
        out += &entry(opt, None);
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// An option with its description; commented out unless there is a value to give.
fn entry(opt: &Opt, value: Option<String>) -> String {
    let mut out = comment(&format!("{} ({})", opt.doc, nature(opt)));
    let _ = match value {
        Some(value) => writeln!(out, "{} = {value}\n", opt.name),
        None => writeln!(out, "# {} = {}\n", opt.name, default(opt).unwrap_or_else(|| sample(opt))),
    };
    out
}

fn sample(opt: &Opt) -> String {
    match (opt.sample, opt.type_) {
        (Some(sample), _) => sample.to_string(),
        (None, Type::Choice(words)) => format!("\"{}\"", words.first().copied().unwrap_or_default()),
        (None, type_) => type_.sample().to_string(),
    }
}

fn comment(text: &str) -> String {
    wrap(text, 0).lines().map(|line| format!("# {line}\n")).collect()
}
