//! Plugins built from TOML, as the engine would build them.

use message::{Batch, BatchBuilder, Text};
use options::{Opt, Options, Problem, Source, Tree};
use plugin::{Build, BuildCx, Clock, DecodeCx, Decoder, Encoder, Filter, Input, Kind, Output, Record, Split, Splitter, Transform};

/// Checked options of a kind, from the lines below its section header.
///
/// # Errors
/// Every problem on a line of its own, as `file:line:column: …`.
pub fn options(kind: &Kind, toml: &str) -> Result<Options, String> {
    options_of(kind.options, toml)
}

/// Checked options of a list.
///
/// # Errors
/// As [`options`].
pub fn options_of(list: &'static [Opt], toml: &str) -> Result<Options, String> {
    let lines = |p: Vec<Problem>| p.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let tree = Tree::parse(Source::new("test.toml", toml)).map_err(lines)?;
    let mut problems = Vec::new();
    let options = Options::check(&[list], &tree, &mut problems);
    if problems.is_empty() { Ok(options) } else { Err(lines(problems)) }
}

/// What a plugin is told while it is built in a test.
pub fn build_cx() -> BuildCx {
    let clock = Clock::standing(1_000_000_000);
    BuildCx { name: "test".into(), hostname: "host".into(), clock, module_path: None, check_only: false, nested: Vec::new() }
}

macro_rules! builders {
    ($($name:ident $variant:ident $trait:ident,)*) => {$(
        /// Builds one.
        ///
        /// # Errors
        /// The problems, as text.
        pub fn $name(kind: &Kind, toml: &str) -> Result<Box<dyn $trait>, String> {
            let Build::$variant(build) = kind.build else { panic!("{kind:?} is of another family") };
            build(&options(kind, toml)?, &build_cx()).map_err(|p| p.to_string())
        }
    )*};
}

builders! {
    input Input Input,
    splitter Splitter Splitter,
    decoder Decoder Decoder,
    transform Transform Transform,
    filter Filter Filter,
    encoder Encoder Encoder,
    output Output Output,
}

/// Decodes records, one after the other, into one batch; refused records come back with the reason.
pub fn decode(decoder: &mut dyn Decoder, records: &[&[u8]]) -> (Batch, Vec<String>) {
    let mut builder = BatchBuilder::default();
    let mut rejects = Vec::new();
    for record in records {
        let at = builder.raw().len();
        builder.raw().extend_from_slice(record);
        let (raw, messages) = builder.parts();
        let (before, record) = (messages.len(), Record::new(&raw[at..], Text::raw(at, record.len())));
        if let Err(reject) = decoder.decode(record, messages, &DecodeCx { now: 1_700_000_000_000_000_000 }) {
            messages.truncate(before);
            rejects.push(reject.to_string());
        }
    }
    (builder.finish(), rejects)
}

/// Feeds a stream to a splitter in pieces of `step` bytes and returns its records and the number
/// of bytes it discarded, as the engine would see them.
pub fn split(splitter: &mut dyn Splitter, stream: &[u8], step: usize) -> (Vec<Vec<u8>>, usize) {
    let (mut records, mut discarded, mut buf) = (Vec::new(), 0, Vec::new());
    let mut chunks = stream.chunks(step.max(1)).peekable();
    loop {
        let chunk = chunks.next();
        buf.extend_from_slice(chunk.unwrap_or_default());
        let mut at = 0;
        while at < buf.len() {
            match splitter.split(&buf[at..], chunk.is_none()) {
                Split::Record { record, end } => {
                    records.push(buf[at..][record].to_vec());
                    assert!(end > 0, "a record must consume bytes");
                    at += end;
                }
                Split::Garbage { end } | Split::Refused { end, .. } => {
                    assert!(end > 0, "garbage must consume bytes");
                    (discarded, at) = (discarded + end, at + end);
                }
                Split::More => break,
            }
        }
        buf.drain(..at);
        if chunk.is_none() {
            return (records, discarded);
        }
    }
}
