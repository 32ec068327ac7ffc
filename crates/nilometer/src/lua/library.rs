//! `docs/reference/library.md`: the scripts that come with the program, from what they declare.

use std::fmt::Write;

use filters::library::{self, Library};
use options::Opt;

use super::reference::cell;
use crate::list::nature;

const PAGE: &str = "\
# The library of Lua scripts

Written by `nilo lua docs library` from what the scripts in [sandboxes](../../sandboxes) declare: changes here are lost.

These scripts are built in. One is used like a native plugin, by its type, and its options stand in the section:

```toml
[filter.web]
type = \"http_status\"
match = 'Type == \"nginx.access\"'
rows = 60
```

A codec that needs no option needs no section: `decoder = \"nginx_error\"`. The options of every Lua script (`memory_limit`,
`cpu_limit`, `max_timer_inject` and so on: `nilo list filter.lua`) stand there, too; `every` and limits have
defaults of their own where a script says so. A type cannot be mistaken for a path, as it names no file. Where only a path can be given, `script =
\"nilo:filters/http_status.lua\"` is the same text; a file of that name would be `\"./nilo:…\"`.

To change one, `nilo lua copy filter.http_status filters` writes it to `filters/http_status.lua`, and `script =
\"filters/http_status.lua\"` in the section runs that instead, reloaded whenever it is saved. Options that the copy adds are given in
`config = { … }`.
";

pub fn page() -> String {
    let mut out = PAGE.to_string();
    for family in ["decoder", "transform", "filter", "encoder"] {
        let scripts = || library::all().filter(|found| found.script.family.name() == family);
        let _ = write!(out, "\n## {}{}s\n\n| | |\n| --- | --- |\n", family[..1].to_uppercase(), &family[1..]);
        for found in scripts() {
            let name = found.full_name();
            let _ = writeln!(out, "| [{}](#{}) | {} |", found.script.name, name.replace('.', ""), cell(&found.declaration.summary));
        }
        scripts().for_each(|found| section(&mut out, found));
    }
    out
}

fn section(out: &mut String, found: &Library) {
    let declaration = &found.declaration;
    let _ = write!(out, "\n### {}\n\n{}\n", found.full_name(), declaration.summary);
    if !declaration.doc.is_empty() {
        let _ = write!(out, "\n{}\n", declaration.doc);
    }
    let declared = |opt: &&Opt| found.takes(opt.name) || found.sets(opt.name);
    let rows: Vec<(String, &Opt)> = found.kind.options.iter().filter(declared).map(|opt| (opt.name.to_string(), opt)).collect();
    let hidden = declaration.options.iter().find(|option| !found.takes(&option.name));
    if !rows.is_empty() || hidden.is_some() {
        out.push_str("\n| Option | | |\n| --- | --- | --- |\n");
    }
    for (name, opt) in rows {
        let _ = writeln!(out, "| `{name}` | {} | {} |", cell(&nature(opt)), cell(opt.doc));
    }
    if let Some(option) = hidden {
        let _ = writeln!(out, "| `config.{}` | {} | {} |", option.name, option.type_.name(), cell(&option.doc));
    }
    if let Some(sample) = &declaration.sample {
        let _ = write!(out, "\n```toml\n{}\n```\n", sample.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use engine::{Config, Plan};
    use options::{Problem, Source};

    use super::*;
    use crate::registry::registry;

    /// `UPDATE_GOLDEN=1 cargo test -p nilometer library` writes it anew.
    #[test]
    fn the_page_is_what_the_scripts_declare() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/library.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page(), "docs/reference/library.md is out of date: UPDATE_GOLDEN=1 writes it anew");
    }

    /// What samples leave out: something comes in, and codecs are referred to.
    fn rest(found: &Library, sample: &str) -> String {
        let mut rest = String::new();
        if !sample.contains("[input.") {
            rest += "[input.rest]\ntype = \"stdin\"\n";
        }
        if !sample.contains("[output.") {
            rest += "[output.rest]\ntype = \"stdout\"\nmatch = 'TRUE'\n";
        }
        let section = sample.lines().find_map(|l| l.strip_prefix("[decoder.")?.strip_suffix(']'));
        if let Some(name) = section.filter(|_| !sample.contains("[input.") && found.script.family.name() == "decoder") {
            rest = rest.replace("\"stdin\"\n", &format!("\"stdin\"\ndecoder = \"{name}\"\n"));
        }
        rest
    }

    fn check(found: &Library, sample: &str) -> Result<Vec<Problem>, Vec<Problem>> {
        let config = Config::parse(vec![Source::new("sample", sample), Source::new("rest", rest(found, sample).as_str())])?;
        let plan = Plan::new(&config, &registry())?;
        plan.check().map(|()| plan.warnings)
    }

    #[test]
    fn samples_are_true() {
        for found in library::all() {
            let sample = found.declaration.sample.as_deref().unwrap_or_default();
            let said = |problems: &[Problem]| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            match check(found, sample) {
                Ok(warnings) => assert!(warnings.is_empty(), "{}: {}\n{sample}", found.full_name(), said(&warnings)),
                Err(problems) => panic!("{}: {}\n{sample}", found.full_name(), said(&problems)),
            }
        }
    }

    #[test]
    fn kinds_are_described_in_sentences() {
        for found in library::all() {
            assert!(
                !found.declaration.options.iter().any(|o| !o.doc.ends_with('.')),
                "{}: {:?}",
                found.full_name(),
                found.declaration.options
            );
            let mut names: Vec<_> = engine::options_of(&found.kind).into_iter().flatten().map(|opt| opt.name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|two| two[0] != two[1]), "{} has an option of its family's: {names:?}", found.full_name());
        }
    }
}
