//! `nilo cat`: files of messages, without the engine.

mod framed;
mod lines;

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use clap::ValueEnum;
use matcher::Matcher;
use message::{BatchBuilder, MessageRef, Text};
use options::{Options, Problem, Source, Style, Tree};
use plugin::{Build, BuildCx, Clock, DecodeCx, Decoder, Encoder, Family, Record, Registry};

use crate::registry::registry;
use crate::{Failure, print, terminal};

/// Read files of framed Heka messages or of JSON lines: show, select, count, convert them.
#[derive(clap::Args)]
pub struct Args {
    /// Files, or - for standard input. What is in them shows at their beginning.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Only messages that match, such as 'Type == "nginx.access"'.
    #[arg(short, long = "match", value_name = "EXPR", default_value = "TRUE")]
    matcher: String,
    /// How to write the messages; count: only how many there are.
    #[arg(short, long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Json,
    Text,
    Count,
    Heka,
}

/// Longest record, bytes.
pub const MAX_RECORD: usize = 16 << 20;
/// Bytes read at once, and after which messages are handed on.
const BLOCK: usize = 256 << 10;

pub fn run(args: &Args) -> Result<(), Failure> {
    let matcher = parse(&args.matcher)?;
    let registry = registry();
    let mut sink = Sink::new(&registry, matcher, args.format)?;
    let mut failed = false;
    for name in &args.files {
        failed |= !read(name, &registry, &mut sink)?;
    }
    failed |= !sink.end()?;
    if failed { Err(Failure::Failed("not everything was read or written".to_string())) } else { Ok(()) }
}

/// The matcher of `--match`.
pub fn parse(text: &str) -> Result<Matcher, Failure> {
    Matcher::parse(text).map_err(|e| {
        let at = Source::new("--match", text).at(e.at.clone());
        let problem = Problem::new("malformed matcher").at(&at, format!("found {}, expected {}", e.found, e.expected));
        Failure::Config(vec![Problem { help: e.help, ..problem }])
    })
}

/// Takes messages as they are read.
pub trait Take {
    fn take(&mut self, m: MessageRef<'_>) -> Result<(), Failure>;

    /// The next may be long in coming.
    fn pause(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Reads one file to its end, and says what is wrong with it. False when it cannot be read.
pub fn read(name: &str, registry: &Registry, taker: &mut dyn Take) -> Result<bool, Failure> {
    let say = |what: &str| terminal::complain(&format!("nilo: {}: {}", terminal::printable(name), terminal::printable(what)));
    match messages(name, registry, taker) {
        Ok(notes) => {
            notes.iter().for_each(|note| say(note));
            Ok(true)
        }
        Err(Failure::Failed(why)) => {
            say(&why);
            Ok(false)
        }
        Err(other) => Err(other),
    }
}

/// What comes back is what was wrong.
fn messages(name: &str, registry: &Registry, taker: &mut dyn Take) -> Result<Vec<String>, Failure> {
    let input: Box<dyn Read> = if name == "-" { Box::new(io::stdin().lock()) } else { Box::new(File::open(name)?) };
    let mut buffer = Buffer { input, bytes: Vec::new(), end: false };
    buffer.more()?;
    let begins = buffer.bytes.iter().find(|b| !b.is_ascii_whitespace());
    let is_framed = begins != Some(&b'{') && buffer.bytes.contains(&message::framing::RECORD_SEPARATOR);
    match begins {
        None => Ok(Vec::new()),
        _ if is_framed => framed::read(&mut buffer, &mut Messages::new(registry, "heka", taker)?),
        Some(b'{') => lines::read(&mut buffer, &mut Messages::new(registry, "json", taker)?),
        Some(other) => Err(Failure::Failed(format!(
            "it begins with {}, expected framed messages (0x1e) or JSON lines ({{); for other logs use `nilo tail --once`",
            terminal::printable(&char::from(*other).to_string())
        ))),
    }
}

/// A file's bytes that are not used up yet; bounded by whoever uses them.
struct Buffer {
    input: Box<dyn Read>,
    bytes: Vec<u8>,
    end: bool,
}

impl Buffer {
    /// Reads once more; `end` tells when there is nothing.
    fn more(&mut self) -> io::Result<()> {
        let before = self.bytes.len();
        self.bytes.resize(before + BLOCK, 0);
        let read = loop {
            match self.input.read(&mut self.bytes[before..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.bytes.truncate(before + *read.as_ref().unwrap_or(&0));
        self.end = read? == 0;
        Ok(())
    }
}

/// Makes messages of records and hands them on.
struct Messages<'a> {
    decoder: Box<dyn Decoder>,
    builder: BatchBuilder,
    taker: &'a mut dyn Take,
}

impl<'a> Messages<'a> {
    fn new(registry: &Registry, decoder: &str, taker: &'a mut dyn Take) -> Result<Messages<'a>, Failure> {
        let decoder = match build(registry, Family::Decoder, decoder, "")? {
            (Build::Decoder(build), o) => build(&o, &build_cx()).map_err(|p| vec![p])?,
            _ => return Err(Failure::Failed(format!("no decoder {decoder}"))),
        };
        Ok(Messages { decoder, builder: BatchBuilder::default(), taker })
    }

    /// Adds a record's messages, or says why there are none.
    fn add(&mut self, record: &[u8]) -> Result<(), String> {
        let at = self.builder.raw().len();
        self.builder.raw().extend_from_slice(record);
        let (raw, messages) = self.builder.parts();
        let before = messages.len();
        let record = Record::new(&raw[at..], Text::raw(at, record.len()));
        self.decoder.decode(record, messages, &DecodeCx { now: 0 }).map_err(|reject| {
            messages.truncate(before);
            reject.to_string()
        })
    }

    /// Hands on what there is once that is worth while, or at the `end` of what can be had now.
    fn hand_on(&mut self, end: bool) -> Result<(), Failure> {
        if end || self.builder.raw().len() >= BLOCK {
            let batch = self.builder.finish();
            batch.iter().try_for_each(|m| self.taker.take(m))?;
            self.taker.pause()?;
        }
        Ok(())
    }
}

/// Selects, counts and writes messages.
pub struct Sink {
    matcher: Matcher,
    /// None: only count.
    encoder: Option<Box<dyn Encoder>>,
    pub out: BufWriter<io::Stdout>,
    encoded: Vec<u8>,
    seen: u64,
    matched: u64,
    pub refused: u64,
}

impl Sink {
    pub fn new(registry: &Registry, matcher: Matcher, format: Format) -> Result<Sink, Failure> {
        let colour = terminal::style(&io::stdout()) == Style::Coloured;
        let encoder = match format {
            Format::Count => None,
            Format::Json => Some(build(registry, Family::Encoder, "json", "")?),
            Format::Heka => Some(build(registry, Family::Encoder, "heka", "max_message_size = '16MiB'")?),
            Format::Text => Some(build(registry, Family::Encoder, "text", &format!("colour = {colour}"))?),
        };
        let encoder = match encoder {
            Some((Build::Encoder(build), o)) => Some(build(&o, &build_cx()).map_err(|p| vec![p])?),
            _ => None,
        };
        let out = BufWriter::with_capacity(64 << 10, io::stdout());
        Ok(Sink { matcher, encoder, out, encoded: Vec::new(), seen: 0, matched: 0, refused: 0 })
    }

    pub fn take(&mut self, m: MessageRef<'_>) -> Result<(), Failure> {
        self.seen += 1;
        if !self.matcher.matches(m) {
            return Ok(());
        }
        self.matched += 1;
        if let Some(encoder) = &mut self.encoder {
            self.encoded.clear();
            match encoder.encode(m, &mut self.encoded) {
                Ok(()) => self.out.write_all(&self.encoded)?,
                Err(_) => self.refused += 1,
            }
        }
        Ok(())
    }

    /// Writes what is left, and how many there were, if that was asked for. False when some could not be written, which is
    /// said.
    pub fn end(&mut self) -> Result<bool, Failure> {
        self.out.flush()?;
        if self.refused > 0 {
            terminal::complain(&format!("nilo: {} messages cannot be written in this format", self.refused));
        }
        if self.encoder.is_none() {
            print(&format!("{} of {} messages\n", self.matched, self.seen))?;
        }
        Ok(self.refused == 0)
    }
}

impl Take for Sink {
    fn take(&mut self, m: MessageRef<'_>) -> Result<(), Failure> {
        Sink::take(self, m)
    }

    /// Whoever reads a pipe sees what came in so far.
    fn pause(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}

/// A codec, or a well-known configuration of one, with checked options.
pub fn build(registry: &Registry, family: Family, name: &str, toml: &str) -> Result<(Build, Options), Failure> {
    let (known, toml) = match registry.preset(family, name) {
        Some(preset) => (registry.kind(family, preset.kind), preset.toml),
        None => (registry.kind(family, name), toml),
    };
    let Some(kind) = known else {
        let names = registry.preset_names(family).chain(registry.names(family));
        let near = options::nearest(name, names).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        return Err(Failure::Failed(format!("there is no {family} {name}{near}")));
    };
    let tree = Tree::parse(Source::new(name, toml))?;
    let mut problems = Vec::new();
    let options = Options::check(&[kind.options], &tree, &mut problems);
    if problems.is_empty() { Ok((kind.build, options)) } else { Err(Failure::Config(problems)) }
}

pub fn build_cx() -> BuildCx {
    BuildCx {
        name: "cat".to_string(),
        hostname: String::new(),
        clock: Clock::real(),
        module_path: None,
        check_only: false,
        nested: Vec::new(),
    }
}
