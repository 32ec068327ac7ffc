//! `nilo lua`: the tools of those who write scripts.

mod check;
mod copy;
mod findings;
mod forbidden;
mod init;
mod lexer;
mod library;
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
    Copy(copy::Args),
    Repl(repl::Args),
    Test(test::Args),
    /// Write the reference of what scripts can call, or of the library, in Markdown.
    #[command(hide = true)]
    Docs {
        #[arg(default_value = "api", value_parser = ["api", "library"])]
        page: String,
    },
}

pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Init(args) => init::run(args),
        Command::Docs { page } if page == "library" => crate::print(&library::page()),
        Command::Docs { .. } => crate::print(&reference::page()),
        Command::Check(args) => check::run(args),
        Command::Copy(args) => copy::run(args),
        Command::Repl(args) => repl::run(args),
        Command::Test(args) => test::run(args),
    }
}
