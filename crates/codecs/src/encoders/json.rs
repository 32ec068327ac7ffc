//! One flat JSON object a message, on a line of its own.
//!
//! For files and programs that read structured logs. The `json` decoder makes the same message of
//! it, but for what JSON does not tell apart (see the kind's description). Any text comes out as
//! valid JSON.

use std::collections::HashSet;

use message::{FieldRef, Header, MessageRef, Value};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Encoder, Example, Kind, Reject, Stability};

use super::names::{FIELDS, NAMES, header};
use super::number::{write_double, write_integer};
use crate::json::{is_value, write_string};
use crate::time::write_rfc3339;

pub const KIND: Kind = Kind::encoder("json", Stability::Stable, build)
    .summary("Writes messages as JSON objects, one a line.")
    .doc(
        "Headers that are set come first, as `timestamp` (RFC 3339 with nanoseconds, UTC), `type`, `logger`, `hostname`, `severity` (a \
         number), `pid`, `env_version` and `payload`; then the fields by their names, one with several values as an array. A field called \
         like one of these (or `uuid`) is written as `fields.NAME`, the second field of a name as `NAME[1]`, the third as `NAME[2]`. Fields \
         of JSON text (representation `json`) are written as that JSON. Bytes are written as text, what is not UTF-8 as U+FFFD, infinite \
         doubles and NaN as null; other representations are not written.",
    )
    .options(&[
        Opt::strings("fields").doc("Names of the only members to write, headers included. Default: all.").sample("[\"timestamp\", \"status\"]"),
        Opt::strings("omit").doc("Names of members, headers included, that are not written.").sample("[\"hostname\"]"),
        Opt::bool("uuid").default("false").doc("Whether the message's Uuid is written, as `uuid`; the decoder takes it with `uuid = \"uuid\"`."),
    ])
    .examples(&[Example { title: "Leave out what every message has in common", toml: "omit = [\"hostname\", \"pid\"]" }]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Encoder>, Problem> {
    let set = |name| -> HashSet<Box<[u8]>> { o.strings(name).iter().map(|s| s.as_bytes().into()).collect() };
    let members = Members { only: o.given("fields").then(|| set("fields")), omit: set("omit") };
    let headers = NAMES.into_iter().filter(|(header, name)| members.wants(name.as_bytes()) && (*header != Header::Uuid || o.bool("uuid")));
    let headers = headers.map(|(header, name)| (header, format!(",\"{name}\":").into_bytes())).collect();
    Ok(Box::new(Json { headers, members, name: Vec::new() }))
}

struct Json {
    /// Wanted headers, and what stands before their values.
    headers: Vec<(Header, Vec<u8>)>,
    members: Members,
    /// Memory for a name that is not the field's own.
    name: Vec<u8>,
}

/// Which members are wanted.
struct Members {
    only: Option<HashSet<Box<[u8]>>>,
    omit: HashSet<Box<[u8]>>,
}

impl Members {
    fn wants(&self, name: &[u8]) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(name)) && (self.omit.is_empty() || !self.omit.contains(name))
    }
}

impl Encoder for Json {
    fn encode(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject> {
        let start = into.len();
        for (header, prefix) in self.headers.iter().filter(|(header, _)| m.has(*header)) {
            into.extend_from_slice(prefix);
            write_header(m, *header, into);
        }
        let mut seen = Seen::default();
        for (index, field) in m.fields().enumerate() {
            if self.members.wants(field.name()) {
                self.write_name(field.name(), seen.nth(m, index, field.name()), into);
                write_field(field, into);
            }
        }
        // Every member begins with a comma; the first one's becomes the brace.
        match into.get_mut(start) {
            Some(comma) => *comma = b'{',
            None => into.push(b'{'),
        }
        into.extend_from_slice(b"}\n");
        Ok(())
    }
}

impl Json {
    /// Appends the member name of the `nth` field of this name.
    fn write_name(&mut self, name: &[u8], nth: usize, into: &mut Vec<u8>) {
        into.push(b',');
        let like_header = header(name).is_some();
        if like_header || nth > 0 {
            self.name.clear();
            self.name.extend_from_slice(if like_header { FIELDS.as_bytes() } else { b"" });
            self.name.extend_from_slice(name);
            if nth > 0 {
                self.name.push(b'[');
                write_integer(nth as i64, &mut self.name);
                self.name.push(b']');
            }
            write_string(&self.name, into);
        } else {
            write_string(name, into);
        }
        into.push(b':');
    }
}

/// Tells names that occurred from others, mostly without comparing them.
#[derive(Default)]
struct Seen([u64; 4]);

impl Seen {
    /// How many fields before the one at `index` have its name.
    fn nth(&mut self, m: MessageRef<'_>, index: usize, name: &[u8]) -> usize {
        let letter = |at: usize| name.get(at).map_or(0, |b| usize::from(*b));
        let hash = (name.len() + letter(0) * 7 + letter(name.len() / 2) * 31 + letter(name.len().wrapping_sub(1)) * 5) % 256;
        let (word, bit) = (hash / 64, 1 << (hash % 64));
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        if new { 0 } else { m.fields().take(index).filter(|f| f.name() == name).count() }
    }
}

fn write_header(m: MessageRef<'_>, header: Header, into: &mut Vec<u8>) {
    match header {
        Header::Timestamp => {
            into.push(b'"');
            write_rfc3339(m.timestamp(), 9, into);
            into.push(b'"');
        }
        Header::Uuid => write_string(&m.uuid().text(), into),
        Header::Severity => write_integer(m.severity().into(), into),
        Header::Pid => write_integer(m.pid().into(), into),
        _ => write_string(m.text_header(header), into),
    }
}

fn write_field(field: FieldRef<'_>, into: &mut Vec<u8>) {
    if field.len() == 1 {
        return match field.value(0) {
            Some(Value::String(json)) if field.representation() == b"json" && fits_line(json) => into.extend_from_slice(json),
            Some(value) => write_value(value, into),
            None => {}
        };
    }
    into.push(b'[');
    for (n, value) in field.values().enumerate() {
        if n > 0 {
            into.push(b',');
        }
        write_value(value, into);
    }
    into.push(b']');
}

/// Whether text is JSON that can stand in a line as it is.
fn fits_line(json: &[u8]) -> bool {
    memchr::memchr2(b'\n', b'\r', json).is_none() && simdutf8::basic::from_utf8(json).is_ok() && is_value(json)
}

fn write_value(value: Value<'_>, into: &mut Vec<u8>) {
    match value {
        Value::String(s) | Value::Bytes(s) => write_string(s, into),
        Value::Integer(n) => write_integer(n, into),
        Value::Double(n) if n.is_finite() => write_double(n, into),
        Value::Double(_) => into.extend_from_slice(b"null"),
        Value::Bool(b) => into.extend_from_slice(if b { b"true" } else { b"false" }),
    }
}

#[cfg(test)]
mod tests;
