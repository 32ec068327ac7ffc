//! `nilo lua test`: test scripts, each beside the script it is about.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use options::unit::show_size;
use sandbox::{Coverage, Limits, Sandbox, SandboxConfig, Script};

use super::stage::{self, Case, Stage, on_stage};
use super::subject::{self, START, Setup, Tally, modules_beside};
use crate::{Failure, print};

/// Run the tests of scripts: x_test.lua is about the x.lua beside it.
#[derive(clap::Args)]
#[command(after_help = "\
A test script:
  test(\"counts errors\", function()
      script{ config = { threshold = 400 } }
      feed{ Type = \"nginx.access\", Fields = { status = 503 } }
      advance(\"60s\")
      equal(injected()[1].Payload, \"1\")
  end)")]
pub struct Args {
    /// Scripts, test scripts, or directories: every *_test.lua below.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Tell which lines of the scripts no test reaches.
    #[arg(long)]
    coverage: bool,
    /// Only tests with this in their name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Directory in which require() finds modules. Default: modules, beside the script or its directory.
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
}

const SUFFIX: &str = "_test.lua";

pub fn run(args: &Args) -> Result<(), Failure> {
    let mut files = Vec::new();
    for path in &args.paths {
        find(path, &mut files)?;
    }
    files.sort();
    files.dedup();
    let reports = run_all(&files, args);
    let (mut tests, mut failed) = (0, 0);
    for report in &reports {
        tests += report.cases.len();
        failed += report.failures();
    }
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    print(&format!("{} in {}, {failed} failed\n", plural(tests, "test"), plural(files.len(), "file")))?;
    if failed > 0 { Err(Failure::Failed(format!("{} failed", plural(failed, "test")))) } else { Ok(()) }
}

/// The test scripts a path stands for.
fn find(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if path.is_dir() {
        let before = files.len();
        below(path, files).map_err(|e| format!("{}: {e}", path.display()))?;
        if files.len() == before {
            return Err(Failure::Failed(format!("{}: there is no file *{SUFFIX} in it or below", path.display())));
        }
        return Ok(());
    }
    let test = match name.strip_suffix(".lua") {
        Some(_) if name.ends_with(SUFFIX) => path.to_path_buf(),
        Some(stem) => path.with_file_name(format!("{stem}{SUFFIX}")),
        None => return Err(Failure::Failed(format!("{}: expected a .lua file or a directory", path.display()))),
    };
    if !test.is_file() {
        return Err(Failure::Failed(format!("{}: there is no such file", test.display())));
    }
    files.push(test);
    Ok(())
}

fn below(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // Links are not followed: they may lead round in circles.
        if entry.file_type()?.is_dir() {
            below(&entry.path(), files)?;
        } else if entry.file_name().to_string_lossy().ends_with(SUFFIX) {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Runs files side by side; what they say is printed in order, as soon as it is known.
fn run_all(files: &[PathBuf], args: &Args) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let done: Mutex<(Vec<Option<Report>>, usize)> = Mutex::new((files.iter().map(|_| None).collect(), 0));
    let work = || {
        while let Some((n, file)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, files.get(n)?))) {
            let report = run_file(file, args);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.0[n] = Some(report);
            while let Some(Some(report)) = done.0.get(done.1) {
                // Nobody left to read it: the exit code tells.
                let _ = print(&report.shown(args.coverage));
                done.1 += 1;
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(files.len());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    done.into_inner().unwrap_or_else(PoisonError::into_inner).0.into_iter().flatten().collect()
}

/// What came of a test script.
struct Report {
    file: PathBuf,
    cases: Vec<Case>,
    /// Why the test script itself ended early.
    broken: Option<String>,
    tally: Tally,
    coverage: Coverage,
    source: Vec<u8>,
}

fn run_file(file: &Path, args: &Args) -> Report {
    let mut report = Report {
        file: file.to_path_buf(),
        cases: Vec::new(),
        broken: None,
        tally: Tally::default(),
        coverage: Coverage::default(),
        source: Vec::new(),
    };
    if let Err(why) = run_into(file, args, &mut report) {
        report.broken = Some(why);
    }
    report
}

fn run_into(file: &Path, args: &Args, report: &mut Report) -> Result<(), String> {
    let test = subject::read(file)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let script = file.with_file_name(format!("{}.lua", name.trim_end_matches(SUFFIX)));
    let modules = args.modules.clone().or_else(|| modules_beside(file));
    let base = Setup::read(&script).map(|setup| Setup { modules: modules.clone(), coverage: args.coverage, ..setup });
    if let Ok(base) = &base {
        report.source.clone_from(&base.script.source);
    }
    let mut stage = Stage::new(base)?;
    stage.only.clone_from(&args.only);
    let limits = Limits { memory: 256 << 20, cpu: Duration::from_secs(30), output: 16 << 20, ..Limits::default() };
    let config = SandboxConfig {
        name: "test".to_string(),
        limits,
        module_path: modules,
        modules: stage::modules(),
        now_ns: START,
        ..SandboxConfig::default()
    };
    let source = [stage::PRELUDE.as_bytes(), &test].concat();
    let (stage, loaded) = on_stage(stage, || Sandbox::new(&Script::new(file, source), &config).map(drop));
    let mut stage = stage.ok_or("the stage is gone")?;
    (report.tally, report.coverage) = stage.sum();
    report.cases = std::mem::take(&mut stage.cases);
    loaded.map_err(|e| e.message)?;
    if report.cases.is_empty() && args.only.is_none() { Err("it has no test".to_string()) } else { Ok(()) }
}

impl Report {
    fn failures(&self) -> usize {
        self.cases.iter().filter(|c| c.failure.is_some()).count() + usize::from(self.broken.is_some())
    }

    fn shown(&self, with_coverage: bool) -> String {
        let mut out = format!("{}\n", self.file.display());
        for case in &self.cases {
            match &case.failure {
                None => {
                    let _ = writeln!(out, "  ok      {}", case.name);
                }
                Some(why) => {
                    let _ = writeln!(out, "  FAILED  {}\n{}", case.name, indented(why));
                }
            }
        }
        if let Some(why) = &self.broken {
            let _ = writeln!(out, "  FAILED  the test script itself\n{}", indented(why));
        }
        if self.tally.messages > 0 {
            let (n, ns) = (self.tally.messages, self.tally.ns_per_message());
            let _ = writeln!(out, "  {n} messages, {ns} ns of CPU each, {} of memory at most", show_size(self.tally.peak));
        }
        if with_coverage && !self.coverage.lines.is_empty() {
            out += &covered(&self.coverage, &self.source);
        }
        out
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("          {line}")).collect::<Vec<_>>().join("\n")
}

/// How much of a script ran, and the lines that did not.
fn covered(coverage: &Coverage, source: &[u8]) -> String {
    let text = String::from_utf8_lossy(source);
    let lines: Vec<&str> = text.lines().collect();
    let counts = |line: u32| lines.get(line as usize - 1).is_none_or(|text| !is_closing(text));
    let lines: Vec<(u32, bool)> =
        coverage.lines.iter().map(|(line, ran)| (*line, *ran)).filter(|(line, _)| *line > 0 && counts(*line)).collect();
    let ran = lines.iter().filter(|(_, ran)| *ran).count();
    let mut out = format!("  {}% of {} lines covered", ran * 100 / lines.len().max(1), lines.len());
    // Neighbours among the lines that count, not in the file.
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    let mut adjacent = false;
    for (line, ran) in &lines {
        match ranges.last_mut() {
            Some(last) if adjacent && !ran => last.1 = *line,
            _ if !ran => ranges.push((*line, *line)),
            _ => {}
        }
        adjacent = !ran;
    }
    let ranges: Vec<String> = ranges.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") }).collect();
    if !ranges.is_empty() {
        let _ = write!(out, "; not covered: {}", ranges.join(", "));
    }
    out + "\n"
}

/// A line that only closes what others opened has code, but nothing to test.
fn is_closing(line: &str) -> bool {
    let code = line.split("--").next().unwrap_or_default();
    code.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).all(|word| ["end", "else"].contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_did_not_run_are_told_in_ranges() {
        let source = b"a\nb\nend\nc\nd -- end\ne\n})\n";
        let lines = [(1, true), (2, false), (3, false), (4, false), (5, true), (6, false), (7, false)].into();
        assert_eq!(covered(&Coverage { lines }, source), "  40% of 5 lines covered; not covered: 2-4, 6\n");
        assert_eq!(covered(&Coverage { lines: [(1, true)].into() }, source), "  100% of 1 lines covered\n");
    }
}
