//! Records by the groups of regular expressions: what `regex` and `grok` share.

use message::{Header, Messages};
use options::{Options, Problem, Scalar, nearest};
use plugin::{DecodeCx, Decoder, Record, Reject};
use regex::bytes::{CaptureLocations, Regex};

use super::types::{FieldType, Typed, excerpt};
use crate::constants::Constants;
use crate::number::integer;
use crate::severity::severity;
use crate::time::{Layout, Recent};

/// The options that [`Shape::new`] reads, behind those of the decoder itself.
macro_rules! shape_options {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            options::Opt::table("types")
                .sample(r#"{ status = "integer", took = "double" }"#)
                .doc("Groups that are not strings: integer, double, bool or bytes."),
            options::Opt::string("timestamp").sample("\"time\"").doc("Group that is the Timestamp."),
            options::Opt::string("layout").default("rfc3339").doc($crate::time::Layout::DOC),
            options::Opt::string("severity").sample("\"level\"").doc("Group that is the Severity, a digit or the usual name of a level."),
            options::Opt::table("severities").sample("{ oops = 3 }").doc("Further names of levels, with their Severity from 0 to 7."),
            options::Opt::table("headers")
                .sample(r#"{ Payload = "message", Hostname = "host" }"#)
                .doc("Headers that a group gives: Type, Logger, Payload, EnvVersion, Hostname and Pid."),
            options::Opt::string("message_type").doc("Type of the messages, unless a group gives it."),
            options::Opt::bool("keep_payload").default("true").doc("Keep the whole record as the Payload, unless a group gives that."),
        ]
    };
}
pub(super) use shape_options;

/// An expression, and what its groups are called.
pub(super) struct Expression {
    pub regex: Regex,
    /// Number in the expression, name and type. Several may have one name.
    pub groups: Vec<(usize, String, FieldType)>,
}

/// Decodes by the first expression that matches.
pub(super) struct Shape {
    alternatives: Vec<Alternative>,
    constants: Constants,
    type_: Option<usize>,
    keep_payload: bool,
    severities: Vec<(String, i32)>,
    layout: Layout,
    recent: Recent,
}

struct Alternative {
    pattern: Regex,
    /// Reused, so that a record allocates nothing.
    found: CaptureLocations,
    groups: Vec<Group>,
}

/// A named group and what it becomes.
struct Group {
    /// Its number in the expression.
    number: usize,
    name: String,
    becomes: Becomes,
}

#[derive(Clone, Copy)]
enum Becomes {
    Timestamp,
    Severity,
    Pid,
    Text(Header),
    /// The number is the constant with the field's name.
    Field(usize, FieldType),
}

impl Shape {
    /// # Errors
    /// Options that do not fit each other or the expressions.
    pub fn new(o: &Options, expressions: Vec<Expression>) -> Result<Shape, Problem> {
        let mut constants = Constants::new();
        let mut alternatives = Vec::new();
        for Expression { regex, groups } in expressions {
            let group = |(number, name, type_): (usize, String, FieldType)| {
                let becomes = Becomes::Field(constants.add(name.as_bytes()), type_);
                Group { number, name, becomes }
            };
            let groups = groups.into_iter().map(group).collect();
            alternatives.push(Alternative { found: regex.capture_locations(), pattern: regex, groups });
        }
        assign(o, &mut alternatives)?;
        let layout = Layout::parse(o.str("layout")).map_err(|e| o.problem("layout", "`layout` is not a layout of timestamps", e))?;
        let type_ = o.get_str("message_type").map(|t| constants.add(t.as_bytes()));
        let (keep_payload, severities) = (o.bool("keep_payload"), severities(o)?);
        Ok(Shape { alternatives, constants, type_, keep_payload, severities, layout, recent: Recent::default() })
    }
}

/// Tells groups what they become, by the options that name them.
fn assign(o: &Options, all: &mut [Alternative]) -> Result<(), Problem> {
    for (name, type_) in o.table("types") {
        let type_ = FieldType::given(o, name, type_)?;
        named(o, "types", all, name, |becomes| {
            if let Becomes::Field(_, known) = becomes {
                *known = type_;
            }
        })?;
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
        named(o, "headers", all, &group.to_string(), |known| *known = becomes)?;
    }
    for (option, becomes) in [("timestamp", Becomes::Timestamp), ("severity", Becomes::Severity)] {
        if let Some(group) = o.get_str(option) {
            named(o, option, all, group, |known| *known = becomes)?;
        }
    }
    Ok(())
}

/// Changes the groups of this name, which the option asks for.
fn named(o: &Options, option: &str, all: &mut [Alternative], name: &str, change: impl Fn(&mut Becomes)) -> Result<(), Problem> {
    let mut found = false;
    for group in all.iter_mut().flat_map(|a| &mut a.groups).filter(|g| g.name == name) {
        change(&mut group.becomes);
        found = true;
    }
    if found {
        return Ok(());
    }
    let names = || all.iter().flat_map(|a| &a.groups).map(|g| g.name.as_str());
    let help = match nearest(name, names()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("its groups are: {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(o.problem(option, format!("`pattern` has no group `{name}`"), "named here").help(help))
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
        let matches = |a: &mut &mut Alternative| a.pattern.captures_read(&mut a.found, bytes).is_some();
        let several = self.alternatives.len() > 1;
        let Some(Alternative { found, groups, .. }) = self.alternatives.iter_mut().find_map(|mut a| matches(&mut a).then_some(a)) else {
            let what = if several { "any of the patterns" } else { "the pattern" };
            return Err(Reject::new(format!("the record does not match {what}: {}", excerpt(bytes))));
        };
        let texts = self.constants.texts(out);
        let mut m = out.add();
        if let Some(type_) = self.type_ {
            m.set_type_text(texts[type_]);
        }
        if self.keep_payload {
            m.set_payload_text(record.at());
        }
        for group in groups {
            let Some((start, end)) = found.get(group.number) else { continue };
            let value = &bytes[start..end];
            let written = match group.becomes {
                Becomes::Timestamp => self.recent.read(value, |t| self.layout.read(t, cx.now)).map(|ns| m.set_timestamp(ns)),
                Becomes::Severity => level(&self.severities, value).map(|n| m.set_severity(n)),
                Becomes::Pid => integer(value).and_then(|n| i32::try_from(n).ok()).map(|n| m.set_pid(n)),
                Becomes::Text(header) => m.set_text_header(header, record.text(value)).then_some(()),
                Becomes::Field(name, type_) => match type_.read(&record, value) {
                    Typed::Value(datum) => {
                        m.add(texts[name], datum);
                        Some(())
                    }
                    Typed::Nothing => Some(()),
                    Typed::Unfit => None,
                },
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
            Becomes::Field(_, type_) => type_.expected(),
            Becomes::Pid | Becomes::Text(_) => "a whole number",
        }
    }
}

fn level(more: &[(String, i32)], value: &[u8]) -> Option<i32> {
    let own = more.iter().find(|(name, _)| value.eq_ignore_ascii_case(name.as_bytes())).map(|(_, n)| *n);
    own.or_else(|| severity(value))
}
