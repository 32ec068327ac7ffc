//! `nilo journal`: what waits in the journal of a state directory, and putting it in order.

mod change;
mod place;
mod show;
mod survey;

use crate::Failure;
use crate::cat::Format;
use place::Place;

/// Look at the journal, in which messages wait for filters and outputs; move a cursor; mend it.
///
/// list, check and cat only read, also while nilo runs. The others need it stopped.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nilo journal list nilo.toml
  nilo journal check --state /var/lib/nilo
  nilo journal cat nilo.toml --for output.elastic --match 'Severity < 4'
  nilo journal rewind output.elastic nilo.toml --to-start
  nilo journal forget output.old nilo.toml --yes")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show the segments, and for every filter and output where it is and what waits for it.
    List(List),
    /// Read everything and tell of every damage; exit code 1 if there is any.
    Check(Look),
    /// Show the messages that wait.
    Cat(Cat),
    /// Bring a damaged journal into order: nilo does so itself when it starts, this keeps a copy of all damaged bytes.
    Repair(Look),
    /// Have a filter or output go on at another record.
    Rewind(Rewind),
    /// Give up what waits for a filter or output that is not configured any more.
    Forget(Forget),
}

#[derive(clap::Args)]
struct Look {
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    place: Place,
    /// For programs.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nilo journal cat nilo.toml --for output.elastic
  nilo journal cat --state /var/lib/nilo --format heka > waiting.heka")]
struct Cat {
    #[command(flatten)]
    place: Place,
    /// Only what waits for this filter or output, such as output.elastic. Default: what waits for any.
    #[arg(long = "for", value_name = "CONSUMER")]
    consumer: Option<String>,
    /// Everything that is there from this record on, whether it still waits or not.
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// Only messages that match, such as 'Type == "nginx.access"'.
    #[arg(short, long = "match", value_name = "EXPR", default_value = "TRUE")]
    matcher: String,
    /// How to write the messages; count: only how many there are.
    #[arg(short, long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(clap::Args)]
#[command(after_help = "\
Back: what is still there is delivered again. Forward: what is skipped is given up, which takes --yes.
A filter that saved its state has what it read in there; back, it takes that a second time, which takes --yes, too.

Examples:
  nilo journal rewind output.elastic nilo.toml --to-start
  nilo journal rewind output.elastic nilo.toml --to 4711 --yes")]
#[command(group = clap::ArgGroup::new("target").required(true))]
struct Rewind {
    /// Its name, such as output.elastic.
    consumer: String,
    #[command(flatten)]
    place: Place,
    /// To this record.
    #[arg(long, value_name = "N", group = "target")]
    to: Option<u64>,
    /// Back by so many records of its own.
    #[arg(long, value_name = "N", group = "target")]
    by: Option<u64>,
    /// Back to the first record that is still there.
    #[arg(long, group = "target")]
    to_start: bool,
    /// Though messages are given up, or become part of a filter's state twice.
    #[arg(long)]
    yes: bool,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nilo journal forget output.old nilo.toml --yes")]
struct Forget {
    /// Its name, such as output.old.
    consumer: String,
    #[command(flatten)]
    place: Place,
    /// Though messages wait for it.
    #[arg(long)]
    yes: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => show::list(args),
        Command::Check(args) => show::check(args),
        Command::Cat(args) => show::cat(args),
        Command::Repair(args) => change::repair(args),
        Command::Rewind(args) => change::rewind(args),
        Command::Forget(args) => change::forget(args),
    }
}
