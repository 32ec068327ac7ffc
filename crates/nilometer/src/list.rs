//! `nilo list`: the reference, from what the plugins declare.

use std::fmt::Write;

use engine::{GLOBAL_OPTIONS, SANDBOX_OPTIONS};
use filters::library;
use options::{Opt, Type};
use plugin::{Family, Kind, Preset, Registry, Stability};
use serde_json::{Value, json};

use crate::names::{Names, plugins_and_families};
use crate::registry::{find, full_name, registry};
use crate::{Failure, print, quote};

/// List the plugins; with a name, everything about one: what it is for, its options, examples.
#[derive(clap::Args)]
pub struct Args {
    /// A family such as input, a plugin such as input.tail or just tail, or nilo or sandboxes for the options of these tables.
    #[arg(value_parser = Names(plugins_and_families), hide_possible_values = true)]
    name: Option<String>,
    /// For programs.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let registry = registry();
    let name = args.name.as_deref();
    let of_that_name: Vec<&Kind> = name.map(|n| named(&registry, n)).unwrap_or_default();
    let families: Vec<Family> = Family::ALL.into_iter().filter(|f| name.is_none_or(|n| n == f.name())).collect();
    if args.json {
        let value = match (&of_that_name[..], name) {
            ([kind], _) => kind_json(&registry, kind),
            ([_, ..], _) => of_that_name.iter().map(|k| kind_json(&registry, k)).collect(),
            ([], Some("nilo")) => options_json(GLOBAL_OPTIONS),
            ([], Some("sandboxes")) => options_json(SANDBOX_OPTIONS),
            _ => registry.kinds().iter().filter(|k| families.contains(&k.family())).map(|k| kind_json(&registry, k)).collect(),
        };
        return print(&format!("{value:#}\n"));
    }
    match (&of_that_name[..], name) {
        ([_, ..], _) => print(&of_that_name.iter().map(|k| describe(&registry, k)).collect::<Vec<_>>().join("\n")),
        ([], Some("nilo")) => print(&format!("[nilo]: options of the whole\n\n{}", describe_options(GLOBAL_OPTIONS))),
        ([], Some("sandboxes")) => {
            print(&format!("[sandboxes]: scripts that run because they lie in a directory\n\n{}", describe_options(SANDBOX_OPTIONS)))
        }
        _ => print(&overview(&registry, &families)),
    }
}

/// The kind of a full name such as `input.tail`, or all kinds of a bare one such as `tail`.
fn named(registry: &Registry, name: &str) -> Vec<&'static Kind> {
    match find(registry, name) {
        Some(kind) => vec![kind],
        None => registry.kinds().iter().filter(|k| k.name == name).copied().collect(),
    }
}

fn overview(registry: &Registry, families: &[Family]) -> String {
    let mut out = String::new();
    for family in families {
        let _ = writeln!(out, "{family}");
        for kind in registry.kinds().iter().filter(|k| k.family() == *family) {
            let _ = writeln!(out, "  {:<22} {}{}", kind.name, kind.summary, remark(kind));
        }
        for preset in registry.presets().iter().filter(|p| p.family == *family) {
            let _ = writeln!(out, "  {:<22} {}", preset.name, preset_summary(preset));
        }
        out.push('\n');
    }
    out.push_str("`nilo list FAMILY.NAME` tells everything about one, `nilo new FAMILY.NAME` writes a configuration for it.\n");
    out
}

fn remark(kind: &Kind) -> &'static str {
    match kind.stability {
        Stability::Experimental => " (experimental)",
        Stability::Stable if library::of(kind).is_some() => " (in Lua)",
        Stability::Stable => "",
    }
}

/// The configuration that a script of the library shows.
fn sample(kind: &Kind) -> Option<&'static str> {
    library::of(kind)?.declaration.sample.as_deref()
}

fn preset_summary(preset: &Preset) -> String {
    format!("{} (a well-known {})", preset.summary, preset.kind)
}

fn presets_of<'a>(registry: &'a Registry, kind: &'a Kind) -> impl Iterator<Item = &'a &'static Preset> {
    registry.presets().iter().filter(|p| p.family == kind.family() && p.kind == kind.name)
}

/// Its own options first: those of the family are the same everywhere.
fn own_and_common(kind: &Kind) -> (&'static [Opt], Vec<&'static Opt>) {
    let common = engine::options_of(kind).into_iter().filter(|list| !std::ptr::eq(*list, kind.options)).flatten();
    (kind.options, common.collect())
}

fn describe(registry: &Registry, kind: &Kind) -> String {
    let mut out = format!("{}: {}{}\n\n", full_name(kind), kind.summary, remark(kind));
    for paragraph in kind.doc.split("\n\n") {
        out += &wrap(paragraph, 0);
        out.push('\n');
    }
    let (own, common) = own_and_common(kind);
    if !own.is_empty() {
        let _ = write!(out, "Options\n\n{}", describe_options(own));
    }
    let _ = write!(out, "Options of every {}\n\n{}", kind.family(), describe_options(common));
    for preset in presets_of(registry, kind) {
        let _ = writeln!(out, "Well-known as \"{}\": {}", preset.name, preset.summary);
        out.extend(preset.toml.lines().map(|line| format!("  {line}\n")));
        out.push('\n');
    }
    if let Some(sample) = sample(kind) {
        out.push_str("Sample\n\n");
        out.extend(sample.lines().map(|line| format!("  {line}\n")));
    }
    for example in kind.examples.iter().filter(|_| sample(kind).is_none()) {
        let _ = writeln!(out, "Example: {}\n\n  [{}.NAME]\n  type = \"{}\"", example.title, kind.family(), kind.name);
        out.extend(example.toml.lines().map(|line| format!("  {line}\n")));
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

fn describe_options(options: impl IntoIterator<Item = &'static Opt>) -> String {
    let mut out = String::new();
    for opt in options {
        let _ = writeln!(out, "  {} ({})\n{}", opt.name, nature(opt), wrap(opt.doc, 6));
    }
    out
}

/// Type and what is taken when it is not given.
pub fn nature(opt: &Opt) -> String {
    let type_ = match opt.type_ {
        Type::Choice(words) => words.join(" | "),
        other => other.name().to_string(),
    };
    match opt.default {
        _ if opt.required => format!("{type_}, required"),
        Some(_) => format!("{type_}, default {}", default(opt).unwrap_or_default()),
        None => type_,
    }
}

/// The default as it would be written in a configuration.
pub fn default(opt: &Opt) -> Option<String> {
    let text = opt.default?;
    Some(match opt.type_ {
        Type::Integer | Type::Float | Type::Bool => text.to_string(),
        Type::Strings | Type::Paths => quote::strings(Some(text).filter(|t| !t.is_empty())),
        Type::Table | Type::Tree => "{}".to_string(),
        _ => quote::string(text),
    })
}

/// Breaks a text into lines of at most 96 columns.
pub fn wrap(text: &str, indent: usize) -> String {
    const WIDTH: usize = 96;
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && indent + column + 1 + length > WIDTH {
            out.push('\n');
            column = 0;
        }
        match column {
            0 => out.extend(std::iter::repeat_n(' ', indent)),
            _ => out.push(' '),
        }
        column += length + usize::from(column > 0);
        out += word;
    }
    out + "\n"
}

fn kind_json(registry: &Registry, kind: &Kind) -> Value {
    let (own, common) = own_and_common(kind);
    let presets = presets_of(registry, kind).map(|p| json!({ "name": p.name, "summary": p.summary, "toml": p.toml }));
    json!({
        "family": kind.family().name(),
        "name": kind.name,
        "stability": if kind.stability == Stability::Stable { "stable" } else { "experimental" },
        "summary": kind.summary,
        "doc": kind.doc,
        "options": options_json(own),
        "common_options": options_json(common),
        "sample": sample(kind),
        "presets": presets.collect::<Vec<_>>(),
        "examples": kind.examples.iter().map(|e| json!({ "title": e.title, "toml": e.toml })).collect::<Vec<_>>(),
    })
}

fn options_json(options: impl IntoIterator<Item = &'static Opt>) -> Value {
    let option = |o: &Opt| {
        let words = match o.type_ {
            Type::Choice(words) => words,
            _ => &[],
        };
        json!({
            "name": o.name, "type": o.type_.name(), "choices": words, "required": o.required, "default": o.default,
            "sample": o.sample.unwrap_or(o.type_.sample()), "doc": o.doc,
        })
    };
    options.into_iter().map(option).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        let text = "word ".repeat(60);
        let wrapped = wrap(&text, 4);
        assert!(wrapped.lines().all(|l| l.len() <= 96 && l.starts_with("    word")));
        assert_eq!(wrapped.split_whitespace().count(), 60);
        assert_eq!(wrap("", 2), "\n");
    }

    #[test]
    fn defaults_are_written_as_configured() {
        let registry = registry();
        for opt in registry.kinds().iter().flat_map(|k| engine::options_of(k)).flatten() {
            let Some(default) = default(opt) else { continue };
            options::Tree::parse(options::Source::new("x", format!("a = {default}"))).unwrap_or_else(|_| panic!("{}: {default}", opt.name));
        }
    }
}
