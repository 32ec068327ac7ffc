//! `nilo lua check`: what is wrong with a script, without running it.

use std::path::{Path, PathBuf};

use options::{Problem, Source};
use serde_json::{Value, json};

use super::findings::{Checker, Findings};
use super::subject::{self, modules_beside};
use crate::{Failure, check, print};

/// Check scripts without running them: names, options, entry points, what Lua 5.1 did otherwise.
#[derive(clap::Args)]
pub struct Args {
    /// Scripts, or directories: every *.lua below.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// For editors.
    #[arg(long)]
    json: bool,
    /// Directory in which require() finds modules. Default: modules, beside the script or its directory.
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let mut files = Vec::new();
    for path in &args.paths {
        find(path, &mut files).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    files.sort();
    files.dedup();
    let checker = Checker::new()?;
    let mut problems = Vec::new();
    for file in &files {
        let source = Source::new(file, String::from_utf8_lossy(&subject::read(file)?));
        let modules = args.modules.clone().or_else(|| modules_beside(file));
        let mut found = Findings::new(&source);
        checker.check(&source, modules.as_deref(), &mut found);
        problems.extend(found.sorted());
    }
    let errors = problems.iter().filter(|p| !p.warning).count();
    if args.json {
        print(&format!("{:#}\n", problems.iter().map(as_json).collect::<Value>()))?;
    } else {
        check::report(&problems);
        if errors == 0 {
            let s = if files.len() == 1 { "" } else { "s" };
            print(&format!("ok: {} file{s}, {} warning{}\n", files.len(), problems.len(), if problems.len() == 1 { "" } else { "s" }))?;
        }
    }
    match errors {
        0 => Ok(()),
        1 => Err(Failure::Failed("1 error in the scripts".to_string())),
        n => Err(Failure::Failed(format!("{n} errors in the scripts"))),
    }
}

fn find(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // Links are not followed: they may lead round in circles.
        if entry.file_type()?.is_dir() {
            find(&entry.path(), files)?;
        } else if entry.path().extension().is_some_and(|x| x == "lua") && !entry.file_name().to_string_lossy().ends_with(".d.lua") {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Lines and columns count from 1; columns count characters, and the end is behind the last one.
fn as_json(problem: &Problem) -> Value {
    let place = problem.at.as_ref().map(|at| {
        let (line, column) = at.line_column();
        let end = at.source.at(at.span.end..at.span.end).line_column();
        (at.source.path().display().to_string(), line, column, end)
    });
    let (file, line, column, end) = place.unwrap_or_default();
    json!({
        "file": file, "line": line, "column": column, "end_line": end.0, "end_column": end.1,
        "severity": if problem.warning { "warning" } else { "error" },
        "what": problem.title, "why": problem.label, "fix": problem.help,
    })
}
