//! Figures that an example of a room prints.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::contender::{RATE, Values};
use crate::workspace;

/// Columns an example may print.
const COLUMNS: &[&str] = &[
    RATE,
    "ns",
    "GB/s",
    "of_Rust_regex",
    "of_pcall",
    "us",
    "of_bare_Lua",
    "KiB_resident",
    "KiB_Lua",
    "ms_over",
    "ms_over_max",
    "max_of_budget",
];

/// Builds one with --release.
///
/// # Errors
/// When it does not build.
pub fn build(package: &str, example: &str) -> Result<PathBuf> {
    let arguments = ["build", "--release", "--package", package, "--example", example];
    if !workspace::cargo(&arguments).status().context("cannot run cargo")?.success() {
        bail!("the example {example} of {package} does not build");
    }
    // Examples of one name replace each other: a copy stays.
    let examples = workspace::target().join("release/examples");
    let copy = examples.join(format!("{package}-{example}"));
    std::fs::copy(examples.join(example), &copy).with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(copy)
}

/// What it prints.
///
/// # Errors
/// When it fails.
pub fn output(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!("{} {}: {}", program.display(), arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// What it prints, as lines of `column value`.
///
/// # Errors
/// When it fails, or prints something else.
pub fn values(program: &Path, arguments: &[&str]) -> Result<Values> {
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
