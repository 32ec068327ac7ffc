//! `nilo rejects`: dead letters, read back.

mod letter;
mod list;
mod send;

use std::io::{self, BufWriter, IsTerminal, Write};

use matcher::Matcher;
use message::{BatchBuilder, MessageRef, Text};

use crate::cat::{Format, Sink, Take, parse, read};
use crate::registry::registry;
use crate::{Failure, terminal};
use letter::{Letter, Original};

/// Dead letters: count them, look at what was refused, and send it again.
///
/// What a plugin refuses becomes a message of Type nilometer.reject. An output with
/// `match = "Type == 'nilometer.reject'"` keeps them: best of type `file`, with an encoder of type heka and a
/// `max_message_size` of 4MiB. In JSON lines records are kept, but original messages are not.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nilo rejects list dead/letters.heka
  nilo rejects cat dead/letters.heka --plugin output.elastic --reason 'too long'
  nilo rejects send dead/letters.heka --to 127.0.0.1:5565 --acknowledge")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Count them by plugin and reason.
    List(List),
    /// Show the original messages, or records.
    Cat(Cat),
    /// Send the original messages, or records, to an input `tcp` of a running nilo.
    Send(Send),
}

#[derive(clap::Args)]
struct Which {
    /// Files of framed messages or JSON lines, or - for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Only what this plugin refused, such as output.elastic.
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Only what was refused with this in the reason.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only dead letters that match, such as 'Fields[original_type] == "nginx.access"'.
    #[arg(short, long = "match", value_name = "EXPR", default_value = "TRUE")]
    matcher: String,
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    which: Which,
}

#[derive(clap::Args)]
struct Cat {
    #[command(flatten)]
    which: Which,
    /// How to write the messages; count: only how many there are.
    #[arg(short, long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// The records that inputs refused, one a line, instead of the messages that others did.
    #[arg(long, conflicts_with = "format")]
    lines: bool,
}

#[derive(clap::Args)]
#[command(after_help = "\
The receiver: an input of type tcp with splitter and decoder heka; with `acknowledge = true` for --acknowledge.
For --lines: an input as the one that refused the records, with the splitter line.

Examples:
  nilo rejects send dead/letters.heka --to 127.0.0.1:5565 --acknowledge
  nilo rejects send dead/letters.heka --plugin input.app --lines --to 127.0.0.1:5514")]
struct Send {
    #[command(flatten)]
    which: Which,
    /// Whom to send to.
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    /// Wait until everything is accepted; exit code 0 says that it is.
    #[arg(long)]
    acknowledge: bool,
    /// The records that inputs refused, one a line, instead of the messages that others did.
    #[arg(long)]
    lines: bool,
    /// How long the receiver may do nothing, neither take nor accept.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    timeout: String,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => args.which.each(&mut list::Groups::default())?.end("read"),
        Command::Cat(args) if args.lines => args.which.each(&mut Lines::new())?.end("shown"),
        Command::Cat(args) => {
            let sink = Sink::new(&registry(), parse("TRUE")?, args.format)?;
            let mut messages = Messages { sink, builder: BatchBuilder::default() };
            let done = args.which.each(&mut messages)?;
            let written = messages.sink.end()?;
            done.end("shown")?;
            if written { Ok(()) } else { Err(Failure::Failed("not everything was written".to_string())) }
        }
        Command::Send(args) => send::run(args),
    }
}

/// Somebody who does something with dead letters.
trait Each {
    fn letter(&mut self, letter: &Letter<'_>) -> Result<Taken, Failure>;
    /// All were read.
    fn end(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// What became of one.
enum Taken {
    Done,
    /// It is a message where records are wanted, or the other way round.
    OtherKind,
    /// The original is not there whole, and why.
    Not(String),
}

impl Which {
    fn each(&self, each: &mut dyn Each) -> Result<Done, Failure> {
        let matcher = parse(&self.matcher)?;
        let mut reading = Reading { which: self, matcher, each, done: Done::default() };
        let registry = registry();
        for file in &self.files {
            let read = read(file, &registry, &mut reading)?;
            reading.done.unread |= !read;
        }
        reading.each.end()?;
        Ok(reading.done)
    }
}

struct Reading<'a> {
    which: &'a Which,
    matcher: Matcher,
    each: &'a mut dyn Each,
    done: Done,
}

/// What was found.
#[derive(Default)]
struct Done {
    letters: u64,
    /// Messages that are no dead letters.
    others: u64,
    other_kind: u64,
    /// Originals that are not there whole, and the first reason.
    not: u64,
    why: Option<String>,
    /// A file could not be read.
    unread: bool,
}

impl Take for Reading<'_> {
    fn take(&mut self, m: MessageRef<'_>) -> Result<(), Failure> {
        let done = &mut self.done;
        let Some(letter) = Letter::of(m) else {
            done.others += 1;
            return Ok(());
        };
        let which = self.which;
        let wanted = which.plugin.as_ref().is_none_or(|p| *p == letter.plugin)
            && which.reason.as_ref().is_none_or(|r| letter.reason.contains(r.as_str()))
            && self.matcher.matches(m);
        if !wanted {
            return Ok(());
        }
        done.letters += 1;
        match self.each.letter(&letter)? {
            Taken::Done => {}
            Taken::OtherKind => done.other_kind += 1,
            Taken::Not(why) => {
                done.not += 1;
                done.why.get_or_insert(why);
            }
        }
        Ok(())
    }
}

impl Done {
    /// Says what was left out.
    ///
    /// # Errors
    /// When an original is not whole, or a file could not be read.
    fn end(&self, what: &str) -> Result<(), Failure> {
        let say = |text: String| terminal::complain(&format!("nilo: {text}"));
        if self.others > 0 {
            say(format!("{} left out: no dead letters (Type {})", terminal::count(self.others, "message"), engine::REJECT_TYPE));
        }
        if self.other_kind > 0 {
            let these = terminal::count(self.other_kind, "dead letter");
            say(format!("{these} of the other kind not {what}: --lines is for records, without it for messages"));
        }
        match (self.not, &self.why) {
            (1.., Some(why)) => Err(Failure::Failed(format!("{} of {} dead letters cannot be {what}: {why}", self.not, self.letters))),
            _ if self.unread => Err(Failure::Failed("not everything was read".to_string())),
            _ => Ok(()),
        }
    }
}

/// Writes original messages.
struct Messages {
    sink: Sink,
    builder: BatchBuilder,
}

impl Each for Messages {
    fn letter(&mut self, letter: &Letter<'_>) -> Result<Taken, Failure> {
        let wire = match &letter.original {
            Original::Message(wire) => wire,
            Original::Record(_) => return Ok(Taken::OtherKind),
            Original::Not(why) => return Ok(Taken::Not(why.clone())),
        };
        self.builder.raw().extend_from_slice(wire);
        let (raw, messages) = self.builder.parts();
        let decoded = message::wire::decode(raw, Text::raw(0, raw.len()), messages);
        let batch = self.builder.finish();
        match decoded {
            Ok(()) => batch.iter().try_for_each(|m| self.sink.take(m)).map(|()| Taken::Done),
            Err(e) => Ok(Taken::Not(e.to_string())),
        }
    }
}

/// Writes original records.
struct Lines {
    out: BufWriter<io::Stdout>,
    /// For people: nothing may command their terminal.
    escaped: bool,
}

impl Lines {
    fn new() -> Lines {
        Lines { out: BufWriter::new(io::stdout()), escaped: io::stdout().is_terminal() }
    }
}

impl Each for Lines {
    fn letter(&mut self, letter: &Letter<'_>) -> Result<Taken, Failure> {
        match &letter.original {
            Original::Record(record) if self.escaped => writeln!(self.out, "{}", terminal::printable(&String::from_utf8_lossy(record)))?,
            Original::Record(record) => {
                self.out.write_all(record)?;
                self.out.write_all(b"\n")?;
            }
            Original::Message(_) => return Ok(Taken::OtherKind),
            Original::Not(why) => return Ok(Taken::Not(why.clone())),
        }
        Ok(Taken::Done)
    }

    fn end(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}
