//! Protobuf messages, by a descriptor set.
//!
//! One message a record, as Kafka and gRPC services send them; the schema is what `protoc --descriptor_set_out`
//! writes. Records are read in place: strings are not copied, and only the types that `message` refers to are held in
//! memory. Heka's own messages are for `heka`.

mod scalar;
mod schema;
#[cfg(test)]
mod tests;
mod walk;
mod wire;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use message::{Datum, Messages};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Carried, DecodeCx, Decoder, Example, Gauge, Kind, Record, Reject, Scripted, Stability};

use self::schema::Schema;
use self::walk::Walk;
use self::wire::Slice;
use super::fields::within;
use super::headers::{HeaderMap, header_options};
use super::types::excerpt;
use crate::labels::Labels;

pub const KIND: Kind = Kind::decoder("protobuf", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Protobuf::new(o)?)))
    .summary("Reads protobuf messages, by a descriptor set.")
    .doc(
        "A field of the message becomes a field of its name and type. Fields of nested messages are named by the path to them, entries of maps by \
         their keys; what lies deeper than `max_depth` becomes JSON text, in a field with the representation `json`. Repeated fields are fields of several \
         values, repeated messages JSON text. Enums are their names, or their numbers as text where they have none. Integers of 64 bits without sign \
         that are too large are their digits as text. Of the well-known types, Timestamp is its text in RFC 3339, Duration is seconds, and wrappers are \
         what they hold. Fields that are not on the wire are left out, whatever their defaults. Fields that the schema does not know are \
         passed over, but a record without any that it knows is refused. The descriptor set is what \
         `protoc --include_imports --descriptor_set_out=events.desc events.proto` writes; it is read again when it changes.",
    )
    .options(header_options![
        Opt::path("descriptor_set").required().sample("\"events.desc\"").doc("The file with the schema: a FileDescriptorSet, up to 16 MiB."),
        Opt::string("message").required().sample("\"example.Event\"").doc("Type of the records, with its package."),
        Opt::string("separator").default(".").doc("What joins the names on the path to a nested field."),
        Opt::integer("max_depth").default("8").doc("Depth to which nested messages are taken apart, 1 to 64; 1 takes none apart."),
        Opt::integer("max_fields").default("1024").doc("A record with more fields than this is refused."),
        Opt::string("count_field").sample("\"unknown_fields\"").doc("Field that tells how many fields of the record the schema does not know. Default: none."),
    ])
    .examples(&[
        Example { title: "Events out of Kafka", toml: "descriptor_set = \"events.desc\"\nmessage = \"example.Event\"" },
        Example {
            title: "Tell when the schema is out of date",
            toml: "descriptor_set = \"events.desc\"\nmessage = \"example.Event\"\ncount_field = \"unknown_fields\"",
        },
    ]);

/// The largest descriptor set. Changes of larger files would not be noticed.
const MAX_FILE: u64 = 16 << 20;

/// What joined names, and names in JSON text, may take in memory: they would otherwise make hundreds of times the record's
/// length. Bytes, and bytes for each of the record.
const MIN_NAMES: usize = 64 << 10;
const NAMES_PER_BYTE: usize = 16;

struct Protobuf {
    file: PathBuf,
    bytes: u64,
    schema: Schema,
    state: State,
    count_field: Option<Box<[u8]>>,
}

/// What outlives a record.
struct State {
    headers: HeaderMap,
    labels: Labels,
    separator: Box<[u8]>,
    max_depth: usize,
    max_fields: usize,
    /// Names on the way to the field being read, joined.
    path: Vec<u8>,
    /// Bytes that names may still take in this record.
    names_left: usize,
    /// Memory for one value as text, for the values of one field and for one JSON text.
    text: Vec<u8>,
    values: Vec<Datum>,
    json: Vec<u8>,
}

impl State {
    /// Takes from what names may take.
    fn spend(&mut self, bytes: usize) -> Result<(), Reject> {
        let left = self.names_left.checked_sub(bytes);
        self.names_left = left.ok_or_else(|| Reject::new("the names of its fields are far longer than the record"))?;
        Ok(())
    }
}

impl Protobuf {
    fn new(o: &Options) -> Result<Protobuf, Problem> {
        let file = o.path("descriptor_set").to_path_buf();
        let unusable = |why: String| o.problem("descriptor_set", "the descriptor set cannot be used", format!("{}: {why}", file.display()));
        let bytes = read(&file).map_err(unusable)?;
        let schema = Schema::parse(&bytes, o.str("message")).map_err(unusable)?;
        let state = State {
            headers: HeaderMap::new(o),
            labels: Labels::default(),
            separator: o.str("separator").as_bytes().into(),
            max_depth: within(o, "max_depth", 1, 64)?,
            max_fields: within(o, "max_fields", 1, 1_000_000)?,
            path: Vec::new(),
            names_left: 0,
            text: Vec::new(),
            values: Vec::new(),
            json: Vec::new(),
        };
        let count_field = o.get_str("count_field").filter(|name| !name.is_empty()).map(|name| name.as_bytes().into());
        Ok(Protobuf { file, bytes: bytes.len() as u64, schema, state, count_field })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let open = File::open(file).map_err(|e| e.to_string())?;
    if !open.metadata().map_err(|e| e.to_string())?.is_file() {
        return Err("it is not a file".to_string());
    }
    let mut bytes = Vec::new();
    open.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_FILE { Err(format!("it is larger than {} MiB", MAX_FILE >> 20)) } else { Ok(bytes) }
}

impl Decoder for Protobuf {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        let bytes = record.bytes();
        self.state.headers.begin();
        self.state.labels.begin(out);
        self.state.path.clear();
        self.state.names_left = MIN_NAMES + NAMES_PER_BYTE * bytes.len();
        let mut m = out.add();
        if self.state.headers.keep_payload {
            m.set_payload_text(record.at());
        }
        let mut walk = Walk { schema: &self.schema, state: &mut self.state, record, m, unknown: 0 };
        let any = walk.message(0, &[Slice::of(bytes)], 1)?;
        let (unknown, mut m) = (walk.unknown, walk.m);
        if !any && !bytes.is_empty() {
            let name = &self.schema.messages[0].name;
            return Err(Reject::new(format!("found no field of {name} in {}; is the option `message` right?", excerpt(bytes))));
        }
        if let Some(name) = &self.count_field {
            m.add_integer(name, i64::try_from(unknown).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    fn script(&mut self) -> Option<&mut dyn Scripted> {
        Some(self)
    }
}

/// It is made of a file, as a script is: the engine builds it anew when the file changes.
impl Scripted for Protobuf {
    fn files(&self) -> Vec<PathBuf> {
        vec![self.file.clone()]
    }

    fn gauges(&self) -> Vec<Gauge> {
        vec![Gauge { name: "descriptor_set", unit: "bytes", current: self.bytes, max: self.bytes, cap: MAX_FILE }]
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<Carried, String> {
        Ok(Carried::default())
    }
}
