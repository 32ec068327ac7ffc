//! Records and what decoders make of them.

use message::{Batch, BatchBuilder, Text};
use options::{Key, Node, Options, Raw, Source, Tree};
use plugin::{Build, DecodeCx, Decoder, Encoder, Family, Record, Registry};

use crate::conformance::encoders::encode;
use crate::garbage;
use crate::plugins::{self, build_cx};

fn decoder(registry: &Registry, name: &str, toml: &str) -> Box<dyn Decoder> {
    plugins::decoder(registry.kind(Family::Decoder, name).expect("a decoder of this name"), toml).expect("a sound configuration")
}

fn encoder(registry: &Registry, name: &str) -> Box<dyn Encoder> {
    plugins::encoder(registry.kind(Family::Encoder, name).expect("an encoder of this name"), "").expect("no option is required")
}

/// Decodes one record; `None` when it is refused.
fn decode(decoder: &mut dyn Decoder, record: &[u8]) -> Option<Batch> {
    let mut builder = BatchBuilder::default();
    builder.raw().extend_from_slice(record);
    let (raw, messages) = builder.parts();
    let outcome = decoder.decode(Record::new(raw, Text::raw(0, raw.len())), messages, &DecodeCx { now: 1_700_000_000_000_000_000 });
    match outcome {
        Ok(()) => Some(builder.finish()),
        Err(why) => {
            assert!(!why.0.is_empty() && why.0.len() < 1_000, "{:.300}", why.0);
            None
        }
    }
}

/// How many messages a record makes, and whether it is refused (1) or not (0).
pub fn decoded(registry: &Registry, name: &str, toml: &str, record: &[u8]) -> (usize, usize) {
    let batch = decode(&mut *decoder(registry, name, toml), record);
    batch.map_or((0, 1), |batch| (readable(registry, &batch), 0))
}

/// Every encoder can write it. Returns the number of messages.
fn readable(registry: &Registry, batch: &Batch) -> usize {
    let (mut json, mut text) = (encoder(registry, "json"), encoder(registry, "text"));
    for m in batch.iter() {
        garbage::read(m);
        let line = encode(&mut *json, m).expect("JSON can say anything");
        serde_json::from_slice::<&serde_json::value::RawValue>(&line).unwrap_or_else(|e| panic!("{e}: {}", line.escape_ascii()));
        encode(&mut *text, m).expect("so can text");
    }
    batch.len()
}

/// What is taken for JSON is JSON.
pub fn json(registry: &Registry, data: &[u8]) {
    for toml in ["", "max_depth = 1", "max_depth = 64\nseparator = ''\nkeep_payload = true\nmax_fields = 20\nseverity = 'a'"] {
        let (messages, _) = decoded(registry, "json", toml, data);
        let shallow = data.iter().filter(|b| matches!(b, b'[' | b'{')).count() < 100;
        if messages > 0 && shallow && std::str::from_utf8(data).is_ok() {
            serde_json::from_slice::<&serde_json::value::RawValue>(data).unwrap_or_else(|e| panic!("{e}: {}", data.escape_ascii()));
        }
    }
}

pub fn logfmt(registry: &Registry, data: &[u8]) {
    for toml in ["", "max_fields = 3\nseverity = 'a'\ntimestamp = 't'"] {
        decoded(registry, "logfmt", toml, data);
    }
}

pub fn csv(registry: &Registry, data: &[u8]) {
    let columns = "columns = ['time', 'level', 'a', '_', 'b']\ntypes = { a = 'integer', b = 'bytes' }\nflexible = true\n";
    for more in ["", "trim = true\nheader = true\nescape = '\\'", "delimiter = ';'\nquote = ''"] {
        decoded(registry, "csv", &format!("{columns}{more}"), data);
    }
}

/// Limits of depth and number hold.
pub fn xml(registry: &Registry, data: &[u8]) {
    for toml in
        ["", "root = true\nattribute_prefix = '@'\nname_attributes = { a = 'b' }\nmax_fields = 20\nmax_depth = 4\nkeep_payload = true"]
    {
        decoded(registry, "xml", toml, data);
    }
}

pub fn key_value(registry: &Registry, data: &[u8]) {
    for toml in ["", "key_separator = ': '\npair_separator = ', '\nquotes = \"\\\"'\"\nstandalone = 'skip'\nmax_fields = 20"] {
        decoded(registry, "key_value", toml, data);
    }
}

/// The header's beginning is given: what is behind it is of interest.
pub fn cef(registry: &Registry, data: &[u8]) {
    for start in ["CEF:", "CEF:0|a|b|c|d|e|5|"] {
        decoded(registry, "cef", "timestamp = ['rt', 'end']", &[start.as_bytes(), data].concat());
    }
}

/// As [`cef`].
pub fn leef(registry: &Registry, data: &[u8]) {
    for start in ["LEEF:", "LEEF:2.0|a|b|c|d|", "LEEF:1.0|a|b|c|d|"] {
        decoded(registry, "leef", "", &[start.as_bytes(), data].concat());
    }
}

/// The first line is the pattern, the rest a record.
pub fn grok(registry: &Registry, data: &[u8]) {
    first_line(registry, "grok", "pattern", data);
}

/// The first line is the format, the rest a record.
pub fn log_format(registry: &Registry, data: &[u8]) {
    first_line(registry, "log_format", "format", data);
}

/// The first line is the option of a decoder, the rest a record.
fn first_line(registry: &Registry, decoder: &str, option: &str, data: &[u8]) {
    let split = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (value, record) = (&data[..split], data.get(split + 1..).unwrap_or_default());
    let Ok(value) = std::str::from_utf8(value) else { return };
    let kind = registry.kind(Family::Decoder, decoder).expect("the decoder");
    let at = Source::new("fuzz.toml", value).at(0..value.len());
    let node = Node { at: at.clone(), raw: Raw::String(value.to_string()) };
    let tree = Tree { at: at.clone(), entries: vec![(Key { name: option.to_string(), at }, node)] };
    let mut problems = Vec::new();
    let options = Options::check(&[kind.options], &tree, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    let Build::Decoder(build) = kind.build else { panic!("a decoder") };
    match build(&options, &build_cx()) {
        Ok(mut decoder) => {
            if let Some(batch) = decode(&mut *decoder, record) {
                readable(registry, &batch);
            }
        }
        Err(problem) => {
            options::render(&[problem], options::Style::Plain);
        }
    }
}
