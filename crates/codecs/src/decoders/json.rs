//! One JSON object a record.
//!
//! For structured logs, and for what the `json` encoder writes. Members become fields by their
//! names, except for the well-known ones that become headers (see [`super::headers`]). Nothing is
//! copied but strings with escapes and the names inside nested objects.

use message::{Datum, MessageMut, Messages, Text, ValueType};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use super::fields::within;
use super::headers::{HeaderMap, header_options};
use crate::json::{Number, Reader, Str, Wrong, unescape};
use crate::labels::Labels;

pub const KIND: Kind = Kind::decoder("json", Stability::Stable, build)
    .summary("Reads JSON objects.")
    .doc(
        "A member becomes a field of its name and type: integers of 64 bits exactly, other numbers as double. Members of nested objects \
         are named by the path to them; what lies deeper than `max_depth` stays JSON text, in a field with the representation `json`. An \
         array of strings, numbers or booleans becomes a field of several values, any other array stays JSON text. `null` and empty \
         objects are left out. Anything that is not exactly one JSON object is refused.",
    )
    .options(header_options![
        Opt::string("separator").default(".").doc("What joins the names on the path to a nested member."),
        Opt::integer("max_depth").default("8").doc("Depth to which nested objects are taken apart, 1 to 64; 1 takes none apart."),
        Opt::integer("max_fields").default("1024").doc("A record with more fields than this is refused."),
    ])
    .examples(&[
        Example { title: "Elastic Common Schema", toml: "severity = \"log.level\"\nlogger = \"log.logger\"\nhostname = \"host.name\"" },
        Example { title: "Keep nested objects as text", toml: "max_depth = 1" },
    ]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Decoder>, Problem> {
    Ok(Box::new(Json::new(HeaderMap::new(o), o)?))
}

/// What joined names may take in memory: a long name repeated for each of many members below it
/// would otherwise make hundreds of times the record's length.
const MIN_NAMES: usize = 64 << 10;
const NAMES_PER_BYTE: usize = 8;

pub(crate) struct Json {
    headers: HeaderMap,
    separator: Box<[u8]>,
    max_depth: usize,
    max_fields: usize,
    /// Whether the path begins with a name that is not of the record.
    prefixed: bool,
    /// Names on the way to the member being read, joined.
    path: Vec<u8>,
    /// Bytes that joined names may still take in this record.
    names_left: usize,
    labels: Labels,
    /// Memory for one string and for the values of one array.
    unescaped: Vec<u8>,
    values: Vec<Datum>,
}

impl Json {
    fn new(headers: HeaderMap, o: &Options) -> Result<Json, Problem> {
        Ok(Json {
            headers,
            separator: o.str("separator").as_bytes().into(),
            max_depth: within(o, "max_depth", 1, 64)?,
            max_fields: within(o, "max_fields", 1, 1_000_000)?,
            prefixed: false,
            path: Vec::new(),
            names_left: 0,
            labels: Labels::default(),
            unescaped: Vec::new(),
            values: Vec::new(),
        })
    }

    /// For [`Json::flatten`]: the options `separator`, `max_depth` and `max_fields`.
    ///
    /// # Errors
    /// A limit that is none.
    pub fn flattening(o: &Options) -> Result<Json, Problem> {
        Ok(Json { prefixed: true, ..Json::new(HeaderMap::none(false), o)? })
    }

    /// Adds the members of the object that `record` is to message `index`, below `name`.
    ///
    /// # Errors
    /// As [`Decoder::decode`]; fields that were added stay.
    pub fn flatten(&mut self, name: &[u8], record: Record<'_>, messages: &mut Messages, index: usize) -> Result<(), Reject> {
        self.begin(name, &record, messages);
        self.read(record, messages.message(index))
    }

    fn begin(&mut self, path: &[u8], record: &Record<'_>, messages: &mut Messages) {
        self.headers.begin();
        self.path.clear();
        self.path.extend_from_slice(path);
        self.labels.begin(messages);
        self.names_left = MIN_NAMES + NAMES_PER_BYTE * record.bytes().len();
    }

    fn read(&mut self, record: Record<'_>, m: MessageMut<'_>) -> Result<(), Reject> {
        let (max_fields, mut reader) = (self.max_fields, Reader::new(record.bytes()));
        let mut walk = Walk { json: self, record, m };
        let read = walk.object(&mut reader, 1).and_then(|()| Ok(reader.end()?));
        read.map_err(|stop| match stop {
            Stop::Wrong(wrong) => wrong.reject(record.bytes()),
            Stop::TooManyFields => Reject::new(format!("found more than {max_fields} fields; `max_fields` raises that")),
            Stop::LongNames => Reject::new("the paths to its nested members are far longer than the record; a lower `max_depth` helps"),
        })
    }
}

impl Decoder for Json {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        self.begin(b"", &record, out);
        let mut m = out.add();
        if self.headers.keep_payload {
            m.set_payload_text(record.at());
        }
        self.read(record, m)
    }
}

/// Why reading ends early.
enum Stop {
    Wrong(Wrong),
    TooManyFields,
    LongNames,
}

impl From<Wrong> for Stop {
    fn from(wrong: Wrong) -> Stop {
        Stop::Wrong(wrong)
    }
}

/// The name of a member.
#[derive(Clone, Copy)]
enum Name<'b> {
    /// As it stands in the record.
    Plain(&'b [u8]),
    /// What [`Json::path`] holds.
    Path,
}

/// One record on its way into a message.
struct Walk<'b, 'm> {
    json: &'m mut Json,
    record: Record<'b>,
    m: MessageMut<'m>,
}

impl<'b> Walk<'b, '_> {
    /// Members of the object that is next, the `depth`-th around them.
    fn object(&mut self, r: &mut Reader<'b>, depth: usize) -> Result<(), Stop> {
        let mut more = r.enter(b'{', b'}', "`{`")?;
        while more {
            let key = r.key()?;
            let outer = self.json.path.len();
            let nested = r.peek() == Some(b'{') && depth < self.json.max_depth;
            let plain = depth == 1 && !self.json.prefixed && !key.escaped && !nested;
            let name = if plain { Name::Plain(key.raw) } else { self.push(key, depth) };
            if nested {
                self.object(r, depth + 1)?
            } else {
                self.member(r, name, depth)?
            }
            self.json.path.truncate(outer);
            more = r.another(b'}', "`,` or `}`")?;
        }
        Ok(())
    }

    fn push(&mut self, key: Str<'_>, depth: usize) -> Name<'b> {
        let path = &mut self.json.path;
        if depth > 1 || self.json.prefixed {
            path.extend_from_slice(&self.json.separator);
        }
        if key.escaped {
            unescape(key.raw, path)
        } else {
            path.extend_from_slice(key.raw)
        }
        Name::Path
    }

    fn member(&mut self, r: &mut Reader<'b>, name: Name<'b>, depth: usize) -> Result<(), Stop> {
        match r.peek() {
            Some(b'n') => Ok(r.literal("null")?),
            Some(b'[') => self.array(r, name, depth),
            Some(b'{') => self.text(r, name, depth),
            _ => {
                let start = r.at();
                let value = self.scalar(r)?;
                let name_bytes = match name {
                    Name::Plain(name) => name,
                    Name::Path => &self.json.path,
                };
                let text = match value {
                    Datum::String(t) if t.is_empty() => &b""[..],
                    Datum::String(_) if self.json.unescaped.is_empty() => &r.since(start)[1..r.at() - start - 1],
                    Datum::String(_) => &self.json.unescaped[..],
                    _ => r.since(start),
                };
                if self.json.headers.take(&mut self.m, name_bytes, value, text) {
                    return Ok(());
                }
                match self.json.labels.learnt(name_bytes, self.m.messages()) {
                    Some(label) if self.m.field_count() < self.json.max_fields => self.m.add_labelled(label, value),
                    _ => {
                        let name = self.name(name)?;
                        self.m.add(name, value);
                    }
                }
                Ok(())
            }
        }
    }

    /// A string, number or boolean. [`Json::unescaped`] is left with the string if it had escapes.
    fn scalar(&mut self, r: &mut Reader<'b>) -> Result<Datum, Wrong> {
        self.json.unescaped.clear();
        Ok(match r.peek() {
            Some(b'"') => {
                let string = r.string()?;
                if string.escaped {
                    unescape(string.raw, &mut self.json.unescaped);
                    Datum::String(self.m.messages().store(&self.json.unescaped))
                } else {
                    Datum::String(self.record.text(string.raw))
                }
            }
            Some(b't') => r.literal("true").map(|()| Datum::Bool(true))?,
            Some(b'f') => r.literal("false").map(|()| Datum::Bool(false))?,
            _ => match r.number()? {
                Number::Integer(n) => Datum::Integer(n),
                Number::Double(n) => Datum::Double(n),
            },
        })
    }

    /// A field of several values if they are of one type, otherwise of the array's text.
    fn array(&mut self, r: &mut Reader<'b>, name: Name<'b>, depth: usize) -> Result<(), Stop> {
        let start = r.at();
        self.json.values.clear();
        let (mut simple, mut more) = (true, r.enter(b'[', b']', "`[`")?);
        while more {
            simple &= !matches!(r.peek(), Some(b'[' | b'{' | b'n'));
            if simple {
                let value = self.scalar(r)?;
                self.json.values.push(value);
            } else {
                r.skip(depth + 1)?;
            }
            more = r.another(b']', "`,` or `]`")?;
        }
        let type_ = if simple { one_type(&mut self.json.values) } else { None };
        let name = self.name(name)?;
        match type_ {
            Some(type_) => self.m.add_field(name, Text::NONE, type_, &self.json.values),
            None => self.json_text(name, r.since(start)),
        }
        Ok(())
    }

    /// A field of the text of the value that is next.
    fn text(&mut self, r: &mut Reader<'b>, name: Name<'b>, depth: usize) -> Result<(), Stop> {
        let start = r.at();
        r.skip(depth)?;
        let name = self.name(name)?;
        self.json_text(name, r.since(start));
        Ok(())
    }

    fn json_text(&mut self, name: Text, text: &'b [u8]) {
        let representation = self.m.messages().store(b"json");
        let text = Datum::String(self.record.text(text));
        self.m.add_field(name, representation, ValueType::String, &[text]);
    }

    /// The name of a field that is about to be added.
    fn name(&mut self, name: Name<'b>) -> Result<Text, Stop> {
        if self.m.field_count() == self.json.max_fields {
            return Err(Stop::TooManyFields);
        }
        Ok(match name {
            Name::Plain(name) => self.record.text(name),
            Name::Path => {
                self.json.names_left = self.json.names_left.checked_sub(self.json.path.len()).ok_or(Stop::LongNames)?;
                self.m.messages().store(&self.json.path)
            }
        })
    }
}

/// The type that all values have or, being numbers, take without loss; string when there are none.
fn one_type(values: &mut [Datum]) -> Option<ValueType> {
    const EXACT: u64 = 1 << 53;
    let type_ = values.first().map_or(ValueType::String, |v| v.type_());
    if values.iter().all(|v| v.type_() == type_) {
        return Some(type_);
    }
    for value in values {
        match value {
            Datum::Integer(n) if n.unsigned_abs() <= EXACT => *value = Datum::Double(*n as f64),
            Datum::Double(_) => {}
            _ => return None,
        }
    }
    Some(ValueType::Double)
}

#[cfg(test)]
mod tests;
