//! `nilo lua`: the tools of those who write scripts.

mod check;
mod findings;
mod forbidden;
mod init;
mod lexer;
pub mod options;
mod outline;
mod plain;
mod reference;
mod repl;
mod signature;
mod stage;
pub mod subject;
mod test;

use clap::Subcommand;

use crate::Failure;

/// Write Lua scripts: set a directory up, check, test and try them.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Args),
    Check(check::Args),
    Repl(repl::Args),
    Test(test::Args),
    /// Write the reference of what scripts can call, in Markdown.
    #[command(hide = true)]
    Docs,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Init(args) => init::run(args),
        Command::Docs => crate::print(&reference::page()),
        Command::Check(args) => check::run(args),
        Command::Repl(args) => repl::run(args),
        Command::Test(args) => test::run(args),
    }
}
