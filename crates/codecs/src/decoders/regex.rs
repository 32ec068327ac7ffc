//! Records in a shape of their own, by a regular expression with named groups.
//!
//! For formats that no other decoder knows. A group becomes a field, a header, the Timestamp or the
//! Severity. Where a format is literals with values between them, `log_format` is several times
//! faster. A record that does not match is rejected.

use message::{Datum, Header, MessageMut, Messages};
use options::{Opt, Options, Problem, Scalar, nearest};
use plugin::{BuildCx, DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};
use regex::bytes::{CaptureLocations, Regex};

use crate::constants::Constants;
use crate::number::{boolean, double, integer};
use crate::pattern::compile;
use crate::severity::severity;
use crate::time::{Layout, Recent};

pub const KIND: Kind = Kind::decoder("regex", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Shape::new(o)?)))
    .summary("Reads records with a regular expression's named groups.")
    .doc(
        "Each named group `(?<name>…)` becomes a field of that name, unless an option uses it otherwise; one that takes no part \
         in the match, or is a number and is empty or `-`, is left out. Records are bytes: `.` is any byte, `\\w` and `\\d` are ASCII, \
         `(?u)` turns Unicode on. The expression may match anywhere: write `^…$` for the whole record. A record that does \
         not match, or whose numbers are none, is rejected.",
    )
    .options(&[
        Opt::regex("pattern")
            .required()
            .sample(r"'^(?<time>\S+) (?<level>\w+) (?<message>.*)$'")
            .doc("Expression with at least one named group."),
        Opt::table("types")
            .sample(r#"{ status = "integer", took = "double" }"#)
            .doc("Groups that are not strings: integer, double, bool or bytes."),
        Opt::string("timestamp").sample("\"time\"").doc("Group that is the Timestamp."),
        Opt::string("layout").default("rfc3339").doc(Layout::DOC),
        Opt::string("severity").sample("\"level\"").doc("Group that is the Severity, a digit or the usual name of a level."),
        Opt::table("severities").sample("{ oops = 3 }").doc("Further names of levels, with their Severity from 0 to 7."),
        Opt::table("headers")
            .sample(r#"{ Payload = "message", Hostname = "host" }"#)
            .doc("Headers that a group gives: Type, Logger, Payload, EnvVersion, Hostname and Pid."),
        Opt::string("message_type").doc("Type of the messages, unless a group gives it."),
        Opt::bool("keep_payload").default("true").doc("Keep the whole record as the Payload, unless a group gives that."),
    ])
    .examples(&[Example {
        title: "An application's log",
        toml: r#"pattern = '^(?<time>\S+ \S+) \[(?<level>\w+)\] (?<message>.*) took (?<took>[\d.]+)s$'
timestamp = "time"
layout = "%Y-%m-%d %H:%M:%S"
severity = "level"
types = { took = "double" }
headers = { Payload = "message" }"#,
    }]);

struct Shape {
    pattern: Regex,
    /// Reused, so that a record allocates nothing.
    found: CaptureLocations,
    groups: Vec<Group>,
    constants: Constants,
    type_: Option<usize>,
    keep_payload: bool,
    severities: Vec<(String, i32)>,
    layout: Layout,
    recent: Recent,
}

/// A named group and what it becomes.
struct Group {
    /// Its number in the expression.
    number: usize,
    name: String,
    becomes: Becomes,
}

enum Becomes {
    Timestamp,
    Severity,
    Pid,
    Text(Header),
    /// The number is the constant with the field's name.
    Field(usize, FieldType),
}

#[derive(Clone, Copy)]
enum FieldType {
    String,
    Bytes,
    Integer,
    Double,
    Bool,
}

const TYPES: [(&str, FieldType); 5] = [
    ("string", FieldType::String),
    ("bytes", FieldType::Bytes),
    ("integer", FieldType::Integer),
    ("double", FieldType::Double),
    ("bool", FieldType::Bool),
];

impl Shape {
    fn new(o: &Options) -> Result<Shape, Problem> {
        let pattern = compile("pattern", o.str("pattern"), o.location("pattern"))?;
        let mut constants = Constants::new();
        let mut groups: Vec<Group> = Vec::new();
        for (number, name) in pattern.capture_names().enumerate().filter_map(|(number, name)| Some((number, name?))) {
            let field = Becomes::Field(constants.add(name.as_bytes()), FieldType::String);
            groups.push(Group { number, name: name.to_string(), becomes: field });
        }
        if groups.is_empty() {
            return Err(o.problem("pattern", "`pattern` has no named group", "expected (?<name>…) around what becomes a field"));
        }
        assign(o, &mut groups)?;
        let layout = Layout::parse(o.str("layout")).map_err(|e| o.problem("layout", "`layout` is not a layout of timestamps", e))?;
        let type_ = o.get_str("message_type").map(|t| constants.add(t.as_bytes()));
        let (found, keep_payload, severities) = (pattern.capture_locations(), o.bool("keep_payload"), severities(o)?);
        Ok(Shape { pattern, found, groups, constants, type_, keep_payload, severities, layout, recent: Recent::default() })
    }
}

/// Tells groups what they become, by the options that name them.
fn assign(o: &Options, groups: &mut [Group]) -> Result<(), Problem> {
    for (name, type_) in o.table("types") {
        let group = named(o, "types", groups, name)?;
        let found = TYPES.iter().find(|(name, _)| *type_ == Scalar::String((*name).to_string()));
        let (Some((_, type_)), Becomes::Field(constant, _)) = (found, &group.becomes) else {
            let label = format!("`{name}` has the type \"{type_}\", expected string, bytes, integer, double or bool");
            return Err(o.problem("types", "`types` names an unknown type", label));
        };
        group.becomes = Becomes::Field(*constant, *type_);
    }
    for (header, group) in o.table("headers") {
        let becomes = match Header::from_name(header.as_bytes()) {
            Some(Header::Pid) => Becomes::Pid,
            Some(h @ (Header::Type | Header::Logger | Header::Payload | Header::EnvVersion | Header::Hostname)) => Becomes::Text(h),
            other => {
                let known = ["Type", "Logger", "Payload", "EnvVersion", "Hostname", "Pid"];
                let help = match (other, nearest(header, known)) {
                    (Some(Header::Timestamp | Header::Severity), _) => format!("use the option `{}`", header.to_lowercase()),
                    (_, Some(name)) => format!("did you mean `{name}`?"),
                    _ => format!("it takes: {}", known.join(", ")),
                };
                let title = format!("`{header}` is not a header that a group can give");
                return Err(o.problem("headers", title, format!("found `{header}`")).help(help));
            }
        };
        named(o, "headers", groups, &group.to_string())?.becomes = becomes;
    }
    if let Some(group) = o.get_str("timestamp") {
        named(o, "timestamp", groups, group)?.becomes = Becomes::Timestamp;
    }
    if let Some(group) = o.get_str("severity") {
        named(o, "severity", groups, group)?.becomes = Becomes::Severity;
    }
    Ok(())
}

/// The group of this name, which the option asks for.
fn named<'a>(o: &Options, option: &str, groups: &'a mut [Group], name: &str) -> Result<&'a mut Group, Problem> {
    match groups.iter().position(|g| g.name == name) {
        Some(at) => Ok(&mut groups[at]),
        None => {
            let names = || groups.iter().map(|g| g.name.as_str());
            let help = match nearest(name, names()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("its groups are: {}", names().collect::<Vec<_>>().join(", ")),
            };
            Err(o.problem(option, format!("`pattern` has no group `{name}`"), "named here").help(help))
        }
    }
}

fn severities(o: &Options) -> Result<Vec<(String, i32)>, Problem> {
    let severity = |(name, value): &(String, Scalar)| match value {
        Scalar::Integer(n @ 0..=7) => Ok((name.clone(), *n as i32)),
        other => Err(o.problem("severities", "a severity is a number from 0 to 7", format!("found {other} for `{name}`"))),
    };
    o.table("severities").iter().map(severity).collect()
}

impl Decoder for Shape {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, cx: &DecodeCx) -> Result<(), Reject> {
        let bytes = record.bytes();
        if self.pattern.captures_read(&mut self.found, bytes).is_none() {
            return Err(Reject::new(format!("the record does not match the pattern: {}", excerpt(bytes))));
        }
        let texts = self.constants.texts(out);
        let mut m = out.add();
        if let Some(type_) = self.type_ {
            m.set_type_text(texts[type_]);
        }
        if self.keep_payload {
            m.set_payload_text(record.at());
        }
        for group in &self.groups {
            let Some((start, end)) = self.found.get(group.number) else { continue };
            let value = &bytes[start..end];
            let written = match group.becomes {
                Becomes::Timestamp => self.recent.read(value, |t| self.layout.read(t, cx.now)).map(|ns| m.set_timestamp(ns)),
                Becomes::Severity => level(&self.severities, value).map(|n| m.set_severity(n)),
                Becomes::Pid => integer(value).and_then(|n| i32::try_from(n).ok()).map(|n| m.set_pid(n)),
                Becomes::Text(header) => m.set_text_header(header, record.text(value)).then_some(()),
                Becomes::Field(name, type_) => field(&mut m, texts[name], type_, record, value),
            };
            if written.is_none() {
                return Err(Reject::new(format!("`{}` is {}, expected {}", group.name, excerpt(value), group.becomes.expected())));
            }
        }
        Ok(())
    }
}

impl Becomes {
    fn expected(&self) -> &'static str {
        match self {
            Becomes::Timestamp => "a time in the `layout`",
            Becomes::Severity => "a severity (see the option `severities`)",
            Becomes::Field(_, FieldType::Double) => "a number",
            Becomes::Field(_, FieldType::Bool) => "true or false",
            _ => "a whole number",
        }
    }
}

fn level(more: &[(String, i32)], value: &[u8]) -> Option<i32> {
    let own = more.iter().find(|(name, _)| value.eq_ignore_ascii_case(name.as_bytes())).map(|(_, n)| *n);
    own.or_else(|| severity(value))
}

/// `None` when the value is not of the type.
fn field(m: &mut MessageMut<'_>, name: message::Text, type_: FieldType, record: Record<'_>, value: &[u8]) -> Option<()> {
    let datum = match type_ {
        FieldType::String => Datum::String(record.text(value)),
        FieldType::Bytes => Datum::Bytes(record.text(value)),
        _ if matches!(value, b"" | b"-") => return Some(()),
        FieldType::Integer => Datum::Integer(integer(value)?),
        FieldType::Double => Datum::Double(double(value)?),
        FieldType::Bool => Datum::Bool(boolean(value)?),
    };
    m.add(name, datum);
    Some(())
}

/// The beginning of a text for an error, 80 bytes at most.
fn excerpt(bytes: &[u8]) -> String {
    match bytes.len() {
        0..=80 => format!("`{}`", bytes.escape_ascii()),
        _ => format!("`{}…`", bytes[..80].escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use message::{Batch, Value};
    use proptest::prelude::*;
    use testkit::plugins::{decode, decoder};

    use super::*;

    fn read(toml: &str, records: &[&str]) -> (Batch, Vec<String>) {
        let mut decoder = decoder(&KIND, toml).unwrap();
        decode(&mut *decoder, &records.iter().map(|r| r.as_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn groups_become_fields_and_headers() {
        let toml = KIND.examples[0].toml.to_string() + "\nmessage_type = 'app'\nseverities = { oops = 3 }";
        let records = [
            "2023-11-14 22:13:20 [OOPS] late took 1.5s",
            "2023-11-14 22:13:20 [warn] slow took 2s",
            "2023-11-14 22:13:20 [odd] x took 2s",
            "no",
        ];
        let (batch, rejects) = read(&toml, &records);
        assert_eq!(batch.len(), 2);
        let (a, b) = (batch.get(0), batch.get(1));
        assert_eq!((a.timestamp(), a.severity(), a.payload(), a.type_()), (1_700_000_000_000_000_000, 3, &b"late"[..], &b"app"[..]));
        assert_eq!((a.value(b"took", 0, 0), a.fields().count(), b.severity()), (Some(Value::Double(1.5)), 1, 4));
        assert_eq!(
            rejects,
            ["`level` is `odd`, expected a severity (see the option `severities`)", "the record does not match the pattern: `no`"]
        );
    }

    #[test]
    fn groups_that_take_no_part_are_left_out() {
        let toml = "pattern = '^(?<a>x)?(?<n>\\d*|-|z),(?<ok>\\w*)$'\ntypes = { n = 'integer', ok = 'bool' }";
        let (batch, rejects) = read(toml, &[",yes", "x7,no", "-,", "z,"]);
        assert_eq!(rejects, ["`n` is `z`, expected a whole number"]);
        let fields = |at| batch.get(at).fields().map(|f| f.value(0).unwrap()).collect::<Vec<_>>();
        assert_eq!(fields(0), [Value::Bool(true)]);
        assert_eq!(fields(1), [Value::String(b"x"), Value::Integer(7), Value::Bool(false)]);
        assert_eq!((fields(2).len(), batch.get(0).payload()), (0, &b",yes"[..]));
    }

    #[test]
    fn names_that_do_not_exist_get_a_suggestion() {
        let error = |more: &str| decoder(&KIND, &format!("pattern = '(?<status>\\d+)'\n{more}")).err().unwrap();
        assert_eq!(
            error("types = { statsu = 'integer' }"),
            "test.toml:2:9: `pattern` has no group `statsu`: named here (did you mean `status`?)"
        );
        assert!(error("types = { status = 'int' }").contains("expected string, bytes, integer, double or bool"));
        assert!(error("headers = { Paylaod = 'status' }").ends_with("(did you mean `Payload`?)"));
        assert!(error("headers = { Timestamp = 'status' }").ends_with("(use the option `timestamp`)"));
        assert!(error("severities = { a = 9 }").contains("found 9 for `a`"));
        assert!(error("layout = 'clv'").contains("did you mean \"clf\"?"));
        let error = |pattern: &str| decoder(&KIND, &format!("pattern = '{pattern}'")).err().unwrap();
        assert!(error("a(b").starts_with("test.toml:1:13: `pattern` is not a regular expression: unclosed group"));
        assert!(error("a(b)").contains("no named group"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_rejected(records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..10)) {
            let mut decoder = decoder(&KIND, "pattern = '(?<a>[0-9]+)(?<b>.*)'\ntypes = { a = 'integer' }").unwrap();
            let (batch, rejects) = decode(&mut *decoder, &records.iter().map(|r| &r[..]).collect::<Vec<_>>());
            prop_assert_eq!(batch.len() + rejects.len(), records.len());
            for (m, record) in batch.iter().zip(records.iter().filter(|r| r.iter().any(u8::is_ascii_digit))) {
                prop_assert_eq!(m.payload(), &record[..]);
            }
        }
    }
}
