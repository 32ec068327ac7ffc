//! `nilo replay`: recorded data through a script, by the data's own clock.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use matcher::Matcher;
use message::{Batch, BatchBuilder, MessageRef, Text};
use options::unit::show_size;
use plugin::{Build, DecodeCx, Decoder, Family, Record, Registry, Split, Splitter};

use crate::cat::{Format, MAX_RECORD, Sink, build, build_cx, parse};
use crate::lua::options::ScriptOptions;
use crate::lua::subject::{Setup, Subject, nanoseconds};
use crate::registry::registry;
use crate::{Failure, quote, terminal};

/// Feed recorded logs or messages through a Lua script; ticks come by the time of the messages.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nilo replay access.log --script errors.lua --decoder nginx
  nilo replay yesterday.heka --script errors.lua --match 'Type == \"nginx.access\"' --config threshold=400")]
pub struct Args {
    /// Files, or - for standard input. Without --decoder: framed messages or JSON lines.
    #[arg(required = true, value_name = "LOG")]
    files: Vec<String>,
    /// The script.
    #[arg(short, long)]
    script: PathBuf,
    /// How records are understood: a decoder such as json, a well-known format such as nginx, or the log_format itself.
    #[arg(short, long, value_name = "NAME")]
    decoder: Option<String>,
    /// How records are found. Default: line, and heka for framed messages.
    #[arg(long, value_name = "NAME")]
    splitter: Option<String>,
    /// Only messages that match. Default: as the script declares, else all.
    #[arg(short, long = "match", value_name = "EXPR")]
    matcher: Option<String>,
    #[command(flatten)]
    options: ScriptOptions,
    /// How to write what the script sends.
    #[arg(short, long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

/// Bytes read at once.
const BLOCK: usize = 256 << 10;
/// Failures that are told one by one.
const TOLD: u64 = 10;

pub fn run(args: &Args) -> Result<(), Failure> {
    let setup = args.options.apply(Setup::read(&args.script)?)?;
    let declared = setup.declaration.matcher.clone();
    let matcher = parse(args.matcher.as_deref().or(declared.as_deref()).unwrap_or("TRUE"))?;
    let registry = registry();
    let sink = Sink::new(&registry, parse("TRUE")?, args.format)?;
    let mut replay = Replay { subject: Subject::new(setup, 0)?, matcher, sink, due: None, counts: Counts::default() };
    for name in &args.files {
        let mut stream = Stream::open(name, args, &registry)?;
        while let Some(batch) = stream.next().map_err(|why| format!("{name}: {why}"))? {
            batch.iter().try_for_each(|m| replay.take(m))?;
        }
        replay.counts.rejected += stream.rejected;
    }
    replay.finish()
}

#[derive(Default)]
struct Counts {
    seen: u64,
    injected: u64,
    failures: u64,
    /// Negative answers of the script.
    refused: u64,
    /// Records that no message came of.
    rejected: u64,
}

struct Replay {
    subject: Subject,
    matcher: Matcher,
    sink: Sink,
    /// When the next tick is due, by the messages' time.
    due: Option<i64>,
    counts: Counts,
}

impl Replay {
    fn take(&mut self, m: MessageRef<'_>) -> Result<(), Failure> {
        self.counts.seen += 1;
        if !self.matcher.matches(m) {
            return Ok(());
        }
        let at = if m.timestamp() == 0 { self.subject.now() } else { m.timestamp() };
        if let Some(due) = self.due.filter(|due| at >= *due) {
            self.due = None;
            let outcome = self.subject.tick(due, false);
            self.heed(outcome.map_err(|e| e.message))?;
        }
        self.subject.set_now(at);
        if let (None, Some(every)) = (self.due, self.subject.ticks_every()) {
            let every = nanoseconds(every).max(1);
            self.due = Some((at.div_euclid(every) + 1).saturating_mul(every));
        }
        let outcome = self.subject.feed(m).map_err(|e| e.message);
        if let Ok(said) = &outcome {
            self.counts.refused += u64::from(said.status < 0);
            if let Some(bytes) = self.subject.encoded() {
                self.sink.out.write_all(bytes)?;
            }
        }
        self.heed(outcome.map(drop))
    }

    /// Hands on what a call left behind; after a failure the script is begun anew, with its globals.
    fn heed(&mut self, outcome: Result<(), String>) -> Result<(), Failure> {
        for line in self.subject.take_printed() {
            terminal::complain(&terminal::printable(&line));
        }
        if let Err(why) = outcome {
            self.counts.failures += 1;
            if self.counts.failures <= TOLD {
                terminal::complain(&format!("nilo: message {}: {}", self.counts.seen, terminal::printable(&why)));
            }
            self.subject.reload()?;
        }
        if self.subject.injected() > 0 {
            let batch = self.subject.take_injected();
            self.counts.injected += batch.len() as u64;
            batch.iter().try_for_each(|m| self.sink.take(m))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Failure> {
        let due = self.due.unwrap_or(self.subject.now());
        let outcome = self.subject.tick(due, true).map_err(|e| e.message);
        self.heed(outcome)?;
        self.sink.out.flush()?;
        let (tally, c) = (self.subject.tally(), &self.counts);
        let mut summary = format!(
            "{} of {} messages, {} injected, {} failures, {} of memory at most, {} ns of CPU each",
            tally.messages,
            c.seen,
            c.injected,
            c.failures,
            show_size(tally.peak),
            tally.ns_per_message()
        );
        for (n, what) in [(c.refused, "refused by the script"), (c.rejected, "records rejected"), (self.sink.refused, "cannot be written")]
        {
            if n > 0 {
                summary += &format!(", {n} {what}");
            }
        }
        terminal::complain(&summary);
        match c.failures {
            0 => Ok(()),
            1 => Err(Failure::Failed("the script failed once".to_string())),
            n => Err(Failure::Failed(format!("the script failed {n} times"))),
        }
    }
}

/// A file on its way to messages.
struct Stream {
    input: Box<dyn Read>,
    splitter: Box<dyn Splitter>,
    decoder: Box<dyn Decoder>,
    bytes: Vec<u8>,
    end: bool,
    rejected: u64,
}

impl Stream {
    fn open(name: &str, args: &Args, registry: &Registry) -> Result<Stream, Failure> {
        let unreadable = |e: io::Error| Failure::Failed(format!("{name}: {e}"));
        let mut input: Box<dyn Read> =
            if name == "-" { Box::new(io::stdin().lock()) } else { Box::new(File::open(name).map_err(unreadable)?) };
        let mut bytes = Vec::new();
        input.by_ref().take(BLOCK as u64).read_to_end(&mut bytes).map_err(unreadable)?;
        let decoder = match (&args.decoder, bytes.iter().find(|b| !b.is_ascii_whitespace())) {
            (Some(decoder), _) => decoder.as_str(),
            (None, Some(b'{')) => "json",
            (None, _) if bytes.contains(&message::framing::RECORD_SEPARATOR) => "heka",
            (None, None) => "json",
            _ => return Err(Failure::Failed(format!("{name}: neither framed messages nor JSON lines: name a --decoder, such as nginx"))),
        };
        let splitter = args.splitter.as_deref().unwrap_or(if decoder == "heka" { "heka" } else { "line" });
        Ok(Stream {
            input,
            splitter: make_splitter(registry, splitter)?,
            decoder: make_decoder(registry, decoder)?,
            bytes,
            end: false,
            rejected: 0,
        })
    }

    /// The messages of the records that are there, or of those of the next piece; none at the end.
    fn next(&mut self) -> Result<Option<Batch>, String> {
        let mut builder = BatchBuilder::default();
        while builder.is_empty() {
            let mut at = 0;
            loop {
                match self.splitter.split(&self.bytes[at..], self.end) {
                    Split::Record { record, end } => {
                        let record = &self.bytes[at..][record];
                        self.rejected += u64::from(!decode(&mut *self.decoder, record, &mut builder));
                        at += end;
                    }
                    Split::Garbage { end } => {
                        self.rejected += u64::from(end > 0);
                        at += end;
                    }
                    Split::Refused { end, .. } => {
                        self.rejected += 1;
                        at += end;
                    }
                    Split::More => break,
                }
                if at >= self.bytes.len() {
                    break;
                }
            }
            self.bytes.drain(..at);
            if !builder.is_empty() {
                break;
            }
            if self.end {
                return Ok(None);
            }
            self.more()?;
        }
        Ok(Some(builder.finish()))
    }

    fn more(&mut self) -> Result<(), String> {
        if self.bytes.len() > MAX_RECORD {
            return Err(format!("a record is longer than {} MiB", MAX_RECORD >> 20));
        }
        let before = self.bytes.len();
        self.input.by_ref().take(BLOCK as u64).read_to_end(&mut self.bytes).map_err(|e| e.to_string())?;
        self.end = self.bytes.len() == before;
        Ok(())
    }
}

/// Adds a record's messages; false: it is rejected.
fn decode(decoder: &mut dyn Decoder, record: &[u8], builder: &mut BatchBuilder) -> bool {
    let at = builder.raw().len();
    builder.raw().extend_from_slice(record);
    let before = builder.len();
    let (raw, messages) = builder.parts();
    let text = Text::raw(at, record.len());
    if decoder.decode(Record::new(&raw[at..], text), messages, &DecodeCx { now: 0 }).is_err() {
        messages.truncate(before);
        return false;
    }
    // As the engine does: what says nothing else is at least its own text.
    for index in before..builder.len() {
        let m = builder.get(index);
        if m.payload().is_empty() && m.fields().next().is_none() {
            builder.message(index).set_payload_text(text);
        }
    }
    true
}

fn make_splitter(registry: &Registry, name: &str) -> Result<Box<dyn Splitter>, Failure> {
    match build(registry, Family::Splitter, name, "")? {
        (Build::Splitter(build), o) => Ok(build(&o, &build_cx()).map_err(|p| vec![p])?),
        _ => Err(Failure::Failed(format!("there is no splitter {name}"))),
    }
}

/// A decoder by its name, or by the log_format itself.
fn make_decoder(registry: &Registry, name: &str) -> Result<Box<dyn Decoder>, Failure> {
    let (kind, toml) = match name.contains(['$', '%']) {
        true => (codecs::decoders::log_format::KIND.name, format!("format = {}", quote::string(name))),
        false => (name, String::new()),
    };
    match build(registry, Family::Decoder, kind, &toml)? {
        (Build::Decoder(build), o) => Ok(build(&o, &build_cx()).map_err(|p| vec![p])?),
        _ => Err(Failure::Failed(format!("there is no decoder {name}"))),
    }
}
