//! `nilo`: the command. One file a subcommand; here is what they share: the command line, and what
//! becomes of a failure.

mod cat;
mod check;
mod completions;
mod control;
mod journal;
mod list;
mod logging;
mod lua;
mod names;
mod new;
mod quote;
mod registry;
mod rejects;
mod reload;
mod replay;
mod run;
mod service;
mod signals;
mod source;
mod status;
mod streams;
mod tail;
mod terminal;
mod watching;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use options::Problem;

use crate::logging::Tone;

const EXIT_CODES: &str = "\
Exit codes:
  0    done, or stopped in order
  1    failed while running
  2    the command line is wrong
  3    the configuration is wrong
  130  interrupted a second time: stopped without order";

/// Routes, filters and measures logs and metrics.
#[derive(Parser)]
#[command(name = "nilo", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    /// Say more; twice: say everything.
    #[arg(short, long, global = true, display_order = 100, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say less; twice: errors only.
    #[arg(short, long, global = true, display_order = 100, action = clap::ArgAction::Count)]
    quiet: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Tail(tail::Args),
    Cat(cat::Args),
    List(list::Args),
    New(new::Args),
    Reload(reload::Args),
    Status(status::Args),
    Streams(streams::Args),
    Journal(journal::Args),
    Rejects(rejects::Args),
    Lua(lua::Args),
    Replay(replay::Args),
    Completions(completions::Args),
}

/// Why a command did not do what it was to do.
pub enum Failure {
    /// While running; exit code 1.
    Failed(String),
    /// The configuration is wrong; exit code 3.
    Config(Vec<Problem>),
    /// As [`Failure::Config`], where everything was said already.
    Refused,
    /// Whoever read standard output is gone: nothing is wrong with that.
    Unread,
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Failure {
        match e.kind() {
            io::ErrorKind::BrokenPipe => Failure::Unread,
            _ => Failure::Failed(e.to_string()),
        }
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Failure {
        Failure::Config(problems)
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Failure {
        Failure::Failed(why)
    }
}

/// Writes to standard output.
///
/// # Errors
/// [`Failure::Unread`] when nobody reads it any more.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn main() -> ExitCode {
    sandbox::heap::give_back();
    let cli = Cli::parse();
    let tone = if matches!(cli.command, Command::Run(_)) { Tone::Daemon } else { Tone::Command };
    logging::start(tone, i16::from(cli.verbose) - i16::from(cli.quiet));
    let outcome = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Tail(args) => tail::run(&args),
        Command::Cat(args) => cat::run(&args),
        Command::List(args) => list::run(&args),
        Command::New(args) => new::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Streams(args) => streams::run(&args),
        Command::Journal(args) => journal::run(&args),
        Command::Rejects(args) => rejects::run(&args),
        Command::Lua(args) => lua::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match outcome {
        Ok(()) | Err(Failure::Unread) => ExitCode::SUCCESS,
        Err(Failure::Failed(why)) => {
            terminal::complain(&format!("nilo: {}", terminal::printable(&why)));
            ExitCode::from(1)
        }
        Err(Failure::Config(problems)) => {
            terminal::complain(options::render(&problems, terminal::style(&io::stderr())).trim_end());
            ExitCode::from(3)
        }
        Err(Failure::Refused) => ExitCode::from(3),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
