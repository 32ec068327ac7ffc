//! `nilo check`: everything that is wrong with a configuration.

use std::path::PathBuf;

use options::Problem;

use crate::registry::registry;
use crate::run::summary;
use crate::source::Source;
use crate::{Failure, print, terminal};

/// Check a configuration without touching anything outside; says everything that is wrong at once.
#[derive(clap::Args)]
pub struct Args {
    /// A file, or a directory of *.toml files.
    path: PathBuf,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let source = Source { path: args.path.clone(), state: None, registry: registry() };
    let plan = source.plan().and_then(|plan| plan.check().map(|()| plan));
    let (mut problems, plan): (Vec<Problem>, _) = match plan {
        Ok(plan) => {
            let troubles = plan.troubles.iter().map(|t| t.problem.clone());
            (troubles.chain(plan.warnings.iter().cloned()).collect(), Some(plan).filter(|plan| plan.troubles.is_empty()))
        }
        Err(problems) => (problems, None),
    };
    // In the order of the file: people go through it from top to bottom.
    problems.sort_by_key(|p| p.at.as_ref().map(|at| (at.source.path().to_path_buf(), at.span.start)));
    report(&problems);
    match plan {
        Some(plan) => print(&format!("ok: {}\n", summary(&plan))),
        None => Err(Failure::Refused),
    }
}

/// Renders problems to standard error, with their number when there are several.
pub fn report(problems: &[Problem]) {
    if problems.is_empty() {
        return;
    }
    terminal::complain(options::render(problems, terminal::style(&std::io::stderr())).trim_end());
    let errors = problems.iter().filter(|p| !p.warning).count();
    if errors > 1 {
        terminal::complain(&format!("\n{errors} errors"));
    }
}
