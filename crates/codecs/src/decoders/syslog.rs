//! Messages of syslog: [RFC 5424](https://www.rfc-editor.org/rfc/rfc5424) with its structured data,
//! [RFC 3164](https://www.rfc-editor.org/rfc/rfc3164), and what devices make of the latter.
//!
//! RFC 5424 says where everything stands, so a message either fits or is refused. RFC 3164 describes
//! what was seen on the wire in 2001 and demands nothing; there, what is not recognised is text.
//! Header and values stay where they are in the record; only escaped values are copied.
//!
//! Not for framing: several messages in one stream are told apart by the splitter `syslog`.

mod elements;
mod header;
mod legacy;
mod moment;
pub(crate) mod zone;

use message::{Label, MessageMut, Messages};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use crate::constants::Constants;
use crate::labels::Labels;
use elements::Elements;
use moment::Moments;
use zone::Zone;

pub const KIND: Kind = Kind::decoder("syslog", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Syslog::new(o)?)))
    .summary("Reads syslog messages, of RFC 5424 and RFC 3164 and of devices that follow neither.")
    .doc(
        "The Type is `syslog`, Hostname and Severity are the message's, Logger is the name of the application (the tag), Pid its process, \
         Payload the text. Fields: `facility` (0 to 23), `msgid`, `procid` where the process is no number, and each parameter of \
         structured data as `id.name`; an element without parameters is a field `id` that is true.\n\n\
         Of RFC 3164 it knows what senders make of it: no hostname, a year or none (then the latest that is not ahead), fractions of a \
         second, times as in RFC 3339, tags with slashes and process ids, F5's level in front of the tag, and Cisco's sequence numbers \
         (field `sequence`), time zones and marks of clocks that are not set. What is not recognised is text. A record that cannot be a \
         syslog message is rejected, with the column and what was expected there.",
    )
    .options(&[
        Opt::choice("format", &["auto", "rfc5424", "rfc3164"])
            .default("auto")
            .doc("What is read; `auto` takes a message for RFC 5424 when its version, `1`, follows the priority."),
        Opt::bool("lenient").default("true").doc(
            "Whether to take what is against the RFC but clear: a missing priority, times without an offset or with more than six decimals, names \
             that are too long, structured data that is missing or is none (it is text then). Otherwise such records are rejected, \
             and of RFC 3164 only the form it describes is taken.",
        ),
        Opt::string("zone")
            .default("local")
            .sample("\"Europe/Berlin\"")
            .doc("Time zone of times that say none: \"local\" (of this host), \"UTC\", an offset such as \"+02:00\", or a name."),
        Opt::integer("max_fields").default("1024").doc("A record with more parameters than this is refused."),
    ])
    .examples(&[
        Example { title: "Devices that write their local time", toml: "format = \"rfc3164\"\nzone = \"America/New_York\"" },
        Example { title: "Nothing but well-formed messages", toml: "format = \"rfc5424\"\nlenient = false" },
    ]);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Auto,
    Rfc5424,
    Rfc3164,
}

#[derive(Debug)]
struct Syslog {
    format: Format,
    lenient: bool,
    /// The Type alone.
    constants: Constants,
    /// Those of [`Names`].
    labels: Labels,
    moments: Moments,
    elements: Elements,
}

/// Labels of fields in the current batch.
#[derive(Clone, Copy, Debug)]
struct Names {
    facility: Label,
    msgid: Label,
    procid: Label,
    sequence: Label,
    node: Label,
}

/// A record, how far it is read, and the message that is made of it.
struct Reading<'a, 'm> {
    record: Record<'a>,
    /// The record without what ends it.
    line: &'a [u8],
    at: usize,
    lenient: bool,
    names: Names,
    message: MessageMut<'m>,
}

/// A place in the record where something else was expected.
#[derive(Debug)]
struct Misfit {
    at: usize,
    expected: &'static str,
}

/// Longest excerpt of a record in an error, in bytes.
const EXCERPT: usize = 40;

impl Syslog {
    fn new(o: &Options) -> Result<Syslog, Problem> {
        let zone = Zone::parse(o.str("zone")).map_err(|e| o.problem("zone", "`zone` is not a time zone", e))?;
        let max_fields = usize::try_from(o.integer("max_fields")).ok().filter(|n| *n > 0);
        let max_fields = max_fields.ok_or_else(|| o.problem("max_fields", "`max_fields` is out of range", "expected 1 or more"))?;
        let mut constants = Constants::new();
        constants.add(b"syslog");
        let mut labels = Labels::default();
        for name in ["facility", "msgid", "procid", "sequence", "node"] {
            labels.add(name, "");
        }
        Ok(Syslog {
            format: match o.str("format") {
                "rfc5424" => Format::Rfc5424,
                "rfc3164" => Format::Rfc3164,
                _ => Format::Auto,
            },
            lenient: o.bool("lenient"),
            constants,
            labels,
            moments: Moments::new(zone),
            elements: Elements::new(max_fields),
        })
    }

    fn names(&mut self, out: &mut Messages) -> Names {
        let labels = self.labels.of(out);
        Names { facility: labels[0], msgid: labels[1], procid: labels[2], sequence: labels[3], node: labels[4] }
    }
}

impl Decoder for Syslog {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, cx: &DecodeCx) -> Result<(), Reject> {
        let line = trimmed(record.bytes());
        if line.is_empty() {
            return Err(Reject::new("found an empty record, expected a syslog message"));
        }
        let (type_, names) = (self.constants.texts(out)[0], self.names(out));
        let mut reading = Reading { record, line, at: 0, lenient: self.lenient, names, message: out.add() };
        reading.message.set_type_text(type_);
        let done = reading.priority().and_then(|_| match self.format {
            Format::Rfc3164 => legacy::read(&mut reading, &mut self.moments, cx.now),
            _ if reading.at > 0 && line[reading.at..].starts_with(b"1 ") => {
                reading.at += b"1 ".len();
                header::read(&mut reading, &mut self.moments, &mut self.elements)
            }
            Format::Rfc5424 => Err(reading.misfit(if reading.at == 0 { "`<`" } else { "`1 `, the version" })),
            Format::Auto => legacy::read(&mut reading, &mut self.moments, cx.now),
        });
        done.map_err(|misfit| misfit.reject(line))
    }
}

/// A record without the newline or NUL that its transport left at the end.
#[inline]
fn trimmed(record: &[u8]) -> &[u8] {
    let mut line = record;
    while let [rest @ .., b'\n' | b'\r' | 0] = line {
        line = rest;
    }
    line
}

impl<'a> Reading<'a, '_> {
    /// Reads `<34>`, facility times 8 plus severity, if it is there.
    #[inline]
    fn priority(&mut self) -> Result<(), Misfit> {
        const EXPECTED: &str = "a priority from 0 to 191, then `>`";
        let [b'<', rest @ ..] = self.line else {
            return if self.lenient { Ok(()) } else { Err(self.misfit("`<`, then a priority")) };
        };
        let digits = rest.iter().take(4).take_while(|b| b.is_ascii_digit()).count();
        let number = rest[..digits].iter().fold(0, |n, b| n * 10 + i32::from(b - b'0'));
        let padded = digits > 1 && rest[0] == b'0' && !self.lenient;
        if !(1..=3).contains(&digits) || number > 191 || padded {
            return Err(Misfit { at: 1, expected: EXPECTED });
        }
        if rest.get(digits) != Some(&b'>') {
            return Err(Misfit { at: 1 + digits, expected: "`>` behind the priority" });
        }
        self.at = digits + 2;
        self.message.set_severity(number & 7);
        self.message.add_labelled(self.names.facility, message::Datum::Integer(i64::from(number >> 3)));
        Ok(())
    }

    fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    /// Here something else was expected.
    #[cold]
    fn misfit(&self, expected: &'static str) -> Misfit {
        Misfit { at: self.at, expected }
    }

    fn string(&self, part: &[u8]) -> message::Datum {
        message::Datum::String(self.record.text(part))
    }

    /// Adds a process id, as the header if it is a number.
    #[inline]
    fn process(&mut self, id: &[u8]) {
        match crate::number::integer(id).and_then(|n| i32::try_from(n).ok()) {
            Some(pid) => self.message.set_pid(pid),
            None => self.message.add_labelled(self.names.procid, self.string(id)),
        }
    }
}

impl Misfit {
    #[cold]
    fn reject(&self, line: &[u8]) -> Reject {
        let rest = line.get(self.at..).unwrap_or_default();
        let found = match rest.len() {
            0 => "the end".to_string(),
            n if n <= EXCERPT => format!("`{}`", rest.escape_ascii()),
            _ => format!("`{}…`", rest[..EXCERPT].escape_ascii()),
        };
        Reject::new(format!("at column {}: found {found}, expected {}", self.at + 1, self.expected))
    }
}

#[cfg(test)]
mod tests;
