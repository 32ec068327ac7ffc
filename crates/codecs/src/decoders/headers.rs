//! Which of a record's names become headers of the message: shared by the decoders whose records
//! name their values.
//!
//! The first name of a record that fits a header takes it; further ones, and values that do not fit
//! the header (an unknown word as severity), stay fields.

use message::{Datum, Header, MessageMut, Uuid};
use options::Options;

use crate::severity::severity;
use crate::time::{Recent, epoch, parse_rfc3339};

/// The options that [`HeaderMap::new`] reads, behind those of the decoder itself.
macro_rules! header_options {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            options::Opt::strings("timestamp").doc(
                "Names whose value is the Timestamp: RFC 3339, or seconds, milliseconds, microseconds or nanoseconds since 1970, told \
                 apart by their size. Default: `[\"timestamp\", \"time\", \"@timestamp\", \"ts\"]`.",
            ),
            options::Opt::strings("severity").doc(
                "Names whose value is the Severity: a word such as `error`, syslog's 0 to 7, or 10 to 60 as pino and bunyan number levels. \
                 Default: `[\"severity\", \"level\", \"lvl\"]`.",
            ),
            options::Opt::strings("payload").doc("Names whose value is the Payload. Default: `[\"payload\", \"message\", \"msg\"]`."),
            options::Opt::bool("keep_payload").default("false").doc(
                "Keep the whole record as the Payload; what `payload` names is a field then.",
            ),
            options::Opt::strings("hostname").doc("Names whose value is the Hostname. Default: `[\"hostname\", \"host\"]`."),
            options::Opt::strings("message_type").doc("Names whose value is the Type. Default: `[\"type\"]`."),
            options::Opt::strings("logger").doc("Names whose value is the Logger. Default: `[\"logger\"]`."),
            options::Opt::strings("pid").doc("Names whose value is the Pid. Default: `[\"pid\"]`."),
            options::Opt::strings("env_version").doc("Names whose value is the EnvVersion. Default: `[\"env_version\"]`."),
            options::Opt::strings("uuid").doc("Names whose value is the Uuid, in its text form. Default: none, for a `uuid` is often something else."),
        ]
    };
}
pub(super) use header_options;

/// Options and the names they stand for when not given.
const DEFAULTS: [(&str, Header, &[&str]); 9] = [
    ("timestamp", Header::Timestamp, &["timestamp", "time", "@timestamp", "ts"]),
    ("severity", Header::Severity, &["severity", "level", "lvl"]),
    ("payload", Header::Payload, &["payload", "message", "msg"]),
    ("hostname", Header::Hostname, &["hostname", "host"]),
    ("message_type", Header::Type, &["type"]),
    ("logger", Header::Logger, &["logger"]),
    ("pid", Header::Pid, &["pid"]),
    ("env_version", Header::EnvVersion, &["env_version"]),
    ("uuid", Header::Uuid, &[]),
];

pub(super) struct HeaderMap {
    names: Vec<(Box<[u8]>, Header)>,
    /// Bit n: some name has n bytes (63: or more). Tells most other names apart at once.
    lengths: u64,
    /// Whether the whole record is the Payload.
    pub keep_payload: bool,
    recent: Recent,
    /// Headers that the current record has set.
    taken: u16,
}

impl HeaderMap {
    pub fn new(o: &Options) -> HeaderMap {
        let keep_payload = o.bool("keep_payload");
        let wanted = DEFAULTS.iter().filter(|(_, header, _)| !(keep_payload && *header == Header::Payload));
        let names = wanted.flat_map(|(option, header, default)| {
            let given = o.strings(option).iter().map(String::as_str);
            let default = default.iter().copied().filter(|_| !o.given(option));
            given.chain(default).map(|name| (Box::from(name.as_bytes()), *header))
        });
        let names: Vec<(Box<[u8]>, Header)> = names.collect();
        let lengths = names.iter().fold(0, |bits, (name, _)| bits | length_bit(name));
        HeaderMap { names, lengths, keep_payload, recent: Recent::default(), taken: 0 }
    }

    /// Without any name: for decoders that know the headers themselves.
    pub fn none(keep_payload: bool) -> HeaderMap {
        HeaderMap { names: Vec::new(), lengths: 0, keep_payload, recent: Recent::default(), taken: 0 }
    }

    /// Begins a record.
    pub fn begin(&mut self) {
        self.taken = 0;
    }

    /// Sets the header that `name` stands for, if there is one, it is not taken yet and the value
    /// fits; otherwise the value is a field. `text` is the value as text: of a string its bytes, of a
    /// number its digits.
    #[inline]
    pub fn take(&mut self, m: &mut MessageMut<'_>, name: &[u8], value: Datum, text: &[u8]) -> bool {
        self.lengths & length_bit(name) != 0 && self.take_known(m, name, value, text)
    }

    fn take_known(&mut self, m: &mut MessageMut<'_>, name: &[u8], value: Datum, text: &[u8]) -> bool {
        let Some((_, header)) = self.names.iter().find(|(known, _)| **known == *name) else { return false };
        let (header, bit) = (*header, 1 << *header as u16);
        let taken = self.taken & bit == 0 && self.set(m, header, value, text).is_some();
        self.taken |= if taken { bit } else { 0 };
        taken
    }

    fn set(&mut self, m: &mut MessageMut<'_>, header: Header, value: Datum, text: &[u8]) -> Option<()> {
        match (header, value) {
            (Header::Timestamp, Datum::String(_)) => {
                m.set_timestamp(self.recent.read(text, |text| parse_rfc3339(text).or_else(|| epoch(text)))?);
            }
            (Header::Timestamp, Datum::Integer(_) | Datum::Double(_)) => m.set_timestamp(epoch(text)?),
            (Header::Severity, Datum::String(_)) => m.set_severity(severity_of_text(text)?),
            (Header::Severity, Datum::Integer(n)) => m.set_severity(severity_of_number(n)?),
            (Header::Pid, Datum::String(_)) => m.set_pid(std::str::from_utf8(text).ok()?.parse().ok()?),
            (Header::Pid, Datum::Integer(n)) => m.set_pid(i32::try_from(n).ok()?),
            (Header::Uuid, Datum::String(_)) => m.set_uuid(Uuid::parse(text)?),
            (_, Datum::String(stored)) => return m.set_text_header(header, stored).then_some(()),
            _ => return None,
        }
        Some(())
    }
}

fn length_bit(name: &[u8]) -> u64 {
    1 << name.len().min(63)
}

/// Syslog's own numbers, and the levels of pino and bunyan (10 trace, 20 debug, 30 info, 40 warn,
/// 50 error, 60 fatal).
fn severity_of_number(n: i64) -> Option<i32> {
    match n {
        0..=7 => Some(n as i32),
        10 | 20 => Some(7),
        30 => Some(6),
        40 => Some(4),
        50 => Some(3),
        60 => Some(2),
        _ => None,
    }
}

/// Syslog severity of a level's name, or of a number in text.
fn severity_of_text(text: &[u8]) -> Option<i32> {
    severity(text).or_else(|| severity_of_number(std::str::from_utf8(text).ok()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use message::{BatchBuilder, Text};
    use options::Opt;

    use super::*;

    const OPTIONS: &[Opt] = header_options![];

    fn map(toml: &str) -> HeaderMap {
        let kind = plugin::Kind { options: OPTIONS, ..super::super::json::KIND };
        HeaderMap::new(&testkit::plugins::options(&kind, toml).unwrap())
    }

    #[test]
    fn words_and_numbers_become_severities() {
        for (text, severity) in
            [("ERROR", Some(3)), ("Warning", Some(4)), ("fatal", Some(2)), ("6", Some(6)), ("30", Some(6)), ("loud", None), ("9", None)]
        {
            assert_eq!(severity_of_text(text.as_bytes()), severity, "{text}");
        }
    }

    #[test]
    fn the_first_fitting_value_takes_the_header() {
        let mut headers = map("");
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        headers.begin();
        let string = Datum::String(Text::EMPTY);
        assert!(!headers.take(&mut m, b"time", string, b"yesterday"));
        assert!(headers.take(&mut m, b"ts", Datum::Double(1.5), b"1.5"));
        assert!(!headers.take(&mut m, b"timestamp", Datum::Integer(9), b"9"));
        assert!(!headers.take(&mut m, b"host", Datum::Integer(9), b"9"));
        assert!(headers.take(&mut m, b"pid", string, b"17"));
        assert!(!headers.take(&mut m, b"level", Datum::Integer(99), b"99"));
        assert!(headers.take(&mut m, b"level", Datum::Integer(40), b"40"));
        assert!(!headers.take(&mut m, b"user", string, b"ann"));
        let m = b.get(0);
        assert_eq!((m.timestamp(), m.pid(), m.severity()), (1_500_000_000, 17, 4));
    }

    #[test]
    fn names_are_configured() {
        let mut headers = map("timestamp = 'at'\npayload = []");
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        assert!(headers.take(&mut m, b"at", Datum::Integer(1_700_000_000), b"1700000000"));
        assert!(!headers.take(&mut m, b"timestamp", Datum::Integer(1), b"1"));
        assert!(!headers.take(&mut m, b"message", Datum::String(Text::EMPTY), b""));
        assert!(headers.take(&mut m, b"hostname", Datum::String(Text::EMPTY), b""));
    }
}
