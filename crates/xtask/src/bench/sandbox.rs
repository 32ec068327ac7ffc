//! What a sandbox costs, how soon one that goes on for ever is ended, and what parsing costs from Lua. The
//! figures are the examples `figures` of the sandbox and `parsing` of its modules, one process each; their
//! ratios are to something of the same run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Settings;
use super::contender::{Contender, Values};
use crate::workspace;

/// Figures by argument, with the name of their row.
const ROWS: &[(&str, &str)] = &[
    ("pcall", "empty lua_pcall of a bare Lua"),
    ("call", "empty process_message"),
    ("read", "read_message"),
    ("load", "create and load, 200 lines"),
    ("idle", "idle, each of 1,000"),
];

/// Columns the example may print.
const COLUMNS: &[&str] =
    &["ns", "of_Rust_regex", "of_pcall", "us", "of_bare_Lua", "KiB_resident", "KiB_Lua", "ms_over", "ms_over_max", "max_of_budget"];

/// Ways to parse a line, with the names of their rows.
const PARSERS: &[(&str, &str)] = &[
    ("native", "decoder `log_format`"),
    ("rust", "`regex` in Rust, positions only"),
    ("lpeg", "Lua: `lpeg`"),
    ("regex", "Lua: `regex`"),
    ("string.match", "Lua: `string.match`"),
    ("common_log_format", "Lua: `common_log_format`, times and units too"),
];

/// The table of ways to parse an access log.
pub fn parsing(_: &Settings) -> Result<Vec<Contender>> {
    let program = build("modules", "parsing")?;
    let row = |(argument, name): &(&'static str, &str)| {
        let (program, argument) = (program.clone(), *argument);
        Contender::new(*name, move || values(&program, &[argument]))
    };
    Ok(PARSERS.iter().map(row).collect())
}

/// The sandbox's table.
pub fn sandbox(_: &Settings) -> Result<Vec<Contender>> {
    let program = build("sandbox", "figures")?;
    let attacks = output(&program, &["attacks"])?;
    let row = |name: String, arguments: Vec<String>| {
        let program = program.clone();
        Contender::new(name, move || values(&program, &arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    let figures = ROWS.iter().map(|(argument, name)| row(name.to_string(), vec![argument.to_string()]));
    let attacks = attacks.lines().map(|name| row(format!("beyond 100 ms of CPU: {name}"), vec!["attack".into(), name.into()]));
    Ok(figures.chain(attacks).collect())
}

fn build(package: &str, example: &str) -> Result<PathBuf> {
    let arguments = ["build", "--release", "--package", package, "--example", example];
    if !workspace::cargo(&arguments).status().context("cannot run cargo")?.success() {
        bail!("the example {example} of {package} does not build");
    }
    Ok(workspace::target().join("release/examples").join(example))
}

fn output(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!("{} {}: {}", program.display(), arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Lines of `name value`.
fn values(program: &Path, arguments: &[&str]) -> Result<Values> {
    parse(&output(program, arguments)?)
}

fn parse(text: &str) -> Result<Values> {
    text.lines()
        .map(|line| {
            let (name, value) = line.split_once(' ').with_context(|| format!("no value in {line:?}"))?;
            let column = COLUMNS.iter().find(|c| **c == name).with_context(|| format!("no column {name:?}"))?;
            Ok((*column, value.parse()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_values() {
        assert_eq!(parse("ns 35.5\nof_bare_Lua 1.2\n").unwrap(), [("ns", 35.5), ("of_bare_Lua", 1.2)]);
        assert!(parse("ns").is_err() && parse("new 1").is_err() && parse("ns x").is_err());
    }
}
