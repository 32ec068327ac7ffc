//! `nilo completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{Cli, Failure, print};

/// Print a script that completes this command in a shell.
#[derive(clap::Args)]
pub struct Args {
    shell: Shell,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "nilo", &mut script);
    print(&String::from_utf8_lossy(&script))
}
