//! Messages of syslog, after [RFC 5424](https://www.rfc-editor.org/rfc/rfc5424) or
//! [RFC 3164](https://www.rfc-editor.org/rfc/rfc3164).
//!
//! For rsyslog, syslog-ng and appliances, over the outputs `tcp` and `udp`. What a header cannot hold
//! is cut and replaced, so that a message is never one that its receiver cannot read; the text is
//! written as it is. Not for traffic between routers of this kind: `heka` loses nothing.

use message::{FieldRef, Header, MessageRef, Value};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Encoder, Example, Kind, Reject, Stability};

use super::json;
use super::number::{write_double, write_integer};
use crate::decoders::syslog::zone::Zone;
use crate::time::write_rfc3339;

pub const KIND: Kind = Kind::encoder("syslog", Stability::Stable, |o, cx| Ok(Box::new(Syslog::new(o, cx)?)))
    .summary("Writes syslog messages, of RFC 5424 or RFC 3164.")
    .doc(
        "The application is the Logger (or else the Type), the process the Pid or the field `procid`, the text the Payload. A field `facility` \
         from 0 to 23 is the facility. With RFC 5424 a field `msgid` is the message id, and all other fields become structured data: \
         `id@number.name` the parameter `name` of its own element, as the decoder `syslog` reads it, any other a parameter of the element \
         `sdid`. With RFC 3164 fields are left out; a message without a Payload is written as JSON there.\n\n\
         A message whose Severity is not set is a notice. With `framing = \"newline\"`, line ends and NUL within are written as `#012`, `#015` and `#000`.",
    )
    .options(&[
        Opt::choice("format", &["rfc5424", "rfc3164"]).default("rfc5424").doc("How messages are written."),
        Opt::choice("framing", &["newline", "octets", "none"])
            .default("newline")
            .doc("How a stream is cut into messages: a newline behind each, its length in front, or not at all (for datagrams)."),
        Opt::choice(
            "facility",
            &[
                "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
                "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
            ],
        )
        .default("user")
        .doc("Facility of messages without the field."),
        Opt::string("sdid")
            .default("fields@32473")
            .doc("Id of the structured data that fields become; your own has your enterprise number behind the `@`. Empty: such fields are left out."),
        Opt::string("zone")
            .default("local")
            .sample("\"Europe/Berlin\"")
            .doc("Time zone of RFC 3164's times: \"local\" (of this host), \"UTC\", an offset such as \"+02:00\", or a name. Those of RFC 5424 are UTC."),
    ])
    .examples(&[
        Example { title: "For rsyslog or syslog-ng, over the output tcp", toml: "framing = \"octets\"" },
        Example { title: "For an old appliance, over the output udp", toml: "format = \"rfc3164\"\nframing = \"none\"\nfacility = \"local0\"" },
    ]);

/// Names of facilities are in the order of their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Severity of messages that have none.
const NOTICE: i32 = 5;

/// Longest parts of the header, and names in structured data, in characters.
const MAX_HOSTNAME: usize = 255;
const MAX_APP_NAME: usize = 48;
const MAX_PROCID: usize = 128;
const MAX_MSGID: usize = 32;
const MAX_NAME: usize = 32;

/// Fields that have a place of their own.
const IN_HEADER: [&[u8]; 3] = [b"facility", b"msgid", b"procid"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Newline,
    Octets,
    None,
}

struct Syslog {
    legacy: bool,
    framing: Framing,
    facility: i32,
    sdid: Box<[u8]>,
    zone: Zone,
    /// For messages without a payload.
    json: Box<dyn Encoder>,
    /// Memory for a message whose length comes first, and for a time.
    message: Vec<u8>,
    scratch: Vec<u8>,
}

impl Syslog {
    fn new(o: &Options, cx: &BuildCx) -> Result<Syslog, Problem> {
        let plugin::Build::Encoder(json) = json::KIND.build else { return Err(Problem::new("the encoder `json` is missing")) };
        let mut problems = Vec::new();
        let defaults = Options::defaults(&[json::KIND.options], o.at(), &mut problems);
        let sdid = o.str("sdid").as_bytes();
        if sdid.len() > MAX_NAME || !sdid.iter().all(|b| is_name(*b)) {
            let label = "expected up to 32 printable ASCII characters without `=`, `]`, `\"` and space, such as `fields@32473`";
            return Err(o.problem("sdid", "`sdid` is not an id of structured data", label));
        }
        Ok(Syslog {
            legacy: o.str("format") == "rfc3164",
            framing: match o.str("framing") {
                "octets" => Framing::Octets,
                "none" => Framing::None,
                _ => Framing::Newline,
            },
            facility: FACILITIES.iter().position(|name| *name == o.str("facility")).unwrap_or(1) as i32,
            sdid: sdid.into(),
            zone: Zone::parse(o.str("zone")).map_err(|e| o.problem("zone", "`zone` is not a time zone", e))?,
            json: json(&defaults, cx)?,
            message: Vec::new(),
            scratch: Vec::new(),
        })
    }

    fn write(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject> {
        self.write_priority(m, into);
        if self.legacy { self.write_legacy(m, into) } else { self.write_modern(m, into) }
    }

    fn write_priority(&self, m: MessageRef<'_>, into: &mut Vec<u8>) {
        let facility = match m.value(b"facility", 0, 0) {
            Some(Value::Integer(n @ 0..=23)) => n as i32,
            _ => self.facility,
        };
        let severity = if m.has(Header::Severity) { m.severity().clamp(0, 7) } else { NOTICE };
        into.push(b'<');
        write_integer((facility * 8 + severity).into(), into);
        into.push(b'>');
    }

    fn write_modern(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject> {
        into.extend_from_slice(b"1 ");
        write_rfc3339(m.timestamp(), 6, into);
        for (text, most) in [(m.hostname(), MAX_HOSTNAME), (application(m), MAX_APP_NAME)] {
            into.push(b' ');
            write_word(text, most, |b| b.is_ascii_graphic(), into);
        }
        into.push(b' ');
        if !write_process(m, into) {
            into.push(b'-');
        }
        into.push(b' ');
        let msgid = m.value(b"msgid", 0, 0).and_then(Value::as_bytes).unwrap_or_default();
        write_word(msgid, MAX_MSGID, |b| b.is_ascii_graphic(), into);
        into.push(b' ');
        self.write_elements(m, into);
        let text = without_end(m.payload());
        if !text.is_empty() {
            into.push(b' ');
            self.write_text(text, into);
        }
        Ok(())
    }

    fn write_legacy(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject> {
        self.write_legacy_time(m.timestamp(), into);
        into.push(b' ');
        write_word(m.hostname(), MAX_HOSTNAME, |b| b.is_ascii_graphic(), into);
        into.push(b' ');
        // What ends a tag is not part of one.
        write_word(application(m), MAX_APP_NAME, |b| b.is_ascii_graphic() && !matches!(b, b':' | b'[' | b']'), into);
        let before = into.len();
        into.push(b'[');
        if write_process(m, into) {
            into.push(b']');
        } else {
            into.truncate(before);
        }
        into.extend_from_slice(b": ");
        if m.payload().is_empty() {
            let mut json = std::mem::take(&mut self.scratch);
            json.clear();
            let encoded = self.json.encode(m, &mut json);
            self.write_text(without_end(&json), into);
            self.scratch = json;
            return encoded;
        }
        self.write_text(without_end(m.payload()), into);
        Ok(())
    }

    /// `Oct  1 22:14:15`.
    fn write_legacy_time(&mut self, ns: i64, into: &mut Vec<u8>) {
        self.scratch.clear();
        write_rfc3339(self.zone.local(ns), 0, &mut self.scratch);
        // 2003-10-01T22:14:15Z
        let Some((date, time)) = self.scratch.get(..19).and_then(|text| text.split_at_checked(11)) else { return };
        let month = usize::from(date[5] - b'0') * 10 + usize::from(date[6] - b'0');
        into.extend_from_slice(MONTHS[(month + 11) % 12].as_bytes());
        into.extend_from_slice(&[b' ', if date[8] == b'0' { b' ' } else { date[8] }, date[9], b' ']);
        into.extend_from_slice(time);
    }

    /// All fields that have no other place, each element once; `-` when there is none.
    fn write_elements(&self, m: MessageRef<'_>, into: &mut Vec<u8>) {
        let before = into.len();
        let fields = || m.fields().filter(|f| !IN_HEADER.contains(&f.name()));
        let mut written: Vec<&[u8]> = Vec::new();
        for field in fields() {
            let (id, _) = self.place(field);
            if id.is_empty() || written.last() == Some(&id) || written.contains(&id) {
                continue;
            }
            into.push(b'[');
            into.extend_from_slice(id);
            for field in fields() {
                let (its, name) = self.place(field);
                if its == id {
                    write_parameters(field, name, into);
                }
            }
            into.push(b']');
            written.push(id);
        }
        if into.len() == before {
            into.push(b'-');
        }
    }

    /// The element and the parameter that a field becomes.
    fn place<'a>(&'a self, field: FieldRef<'a>) -> (&'a [u8], &'a [u8]) {
        let name = field.name();
        let own = || {
            let at = memchr::memchr(b'@', name)?;
            let number = name[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            let dot = at + 1 + number;
            let (id, parameter) = (&name[..dot], name.get(dot + 1..)?);
            let valid = at > 0 && number > 0 && name[dot] == b'.' && !parameter.is_empty() && dot <= MAX_NAME;
            (valid && id.iter().all(|b| is_name(*b))).then_some((id, parameter))
        };
        own().unwrap_or((&self.sdid, name))
    }

    fn write_text(&self, text: &[u8], into: &mut Vec<u8>) {
        match self.framing {
            Framing::Newline => write_line(text, into),
            Framing::Octets | Framing::None => into.extend_from_slice(text),
        }
    }
}

impl Encoder for Syslog {
    fn encode(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject> {
        match self.framing {
            Framing::None => self.write(m, into),
            Framing::Newline => {
                let start = into.len();
                self.write(m, into)?;
                debug_assert!(memchr::memchr(b'\n', &into[start..]).is_none());
                into.push(b'\n');
                Ok(())
            }
            Framing::Octets => {
                let mut message = std::mem::take(&mut self.message);
                message.clear();
                let written = self.write(m, &mut message);
                write_integer(message.len() as i64, into);
                into.push(b' ');
                into.extend_from_slice(&message);
                self.message = message;
                written
            }
        }
    }
}

fn application<'a>(m: MessageRef<'a>) -> &'a [u8] {
    if m.logger().is_empty() { m.type_() } else { m.logger() }
}

/// False when there is none, and then nothing is written.
fn write_process(m: MessageRef<'_>, into: &mut Vec<u8>) -> bool {
    if m.has(Header::Pid) {
        write_integer(m.pid().into(), into);
        return true;
    }
    let process = m.value(b"procid", 0, 0).and_then(Value::as_bytes).unwrap_or_default();
    if !process.is_empty() {
        write_word(process, MAX_PROCID, |b| b.is_ascii_graphic() && !matches!(b, b'[' | b']'), into);
    }
    !process.is_empty()
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"')
}

/// Up to `most` bytes, `_` for those that do not fit; `-` for nothing.
fn write_word(text: &[u8], most: usize, fits: impl Fn(u8) -> bool, into: &mut Vec<u8>) {
    if text.is_empty() {
        into.push(b'-');
    }
    into.extend(text.iter().take(most).map(|b| if fits(*b) { *b } else { b'_' }));
}

/// A parameter for each value.
fn write_parameters(field: FieldRef<'_>, name: &[u8], into: &mut Vec<u8>) {
    for value in field.values() {
        into.push(b' ');
        write_word(name, MAX_NAME, is_name, into);
        into.extend_from_slice(b"=\"");
        match value {
            Value::String(text) | Value::Bytes(text) => write_value(text, into),
            Value::Integer(n) => write_integer(n, into),
            Value::Double(n) => write_double(n, into),
            Value::Bool(b) => into.extend_from_slice(if b { b"true" } else { b"false" }),
        }
        into.push(b'"');
    }
}

/// The text of a value: UTF-8 with `"`, `\` and `]` escaped, without line ends.
fn write_value(text: &[u8], into: &mut Vec<u8>) {
    if text.iter().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\' | b']')) {
        return into.extend_from_slice(text);
    }
    for chunk in text.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' | b']' => into.extend_from_slice(&[b'\\', byte]),
                b'\n' | b'\r' | 0 => write_octal(byte, into),
                byte => into.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            into.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Text without what would end a line.
fn write_line(text: &[u8], into: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr3(b'\n', b'\r', 0, rest) {
        into.extend_from_slice(&rest[..at]);
        write_octal(rest[at], into);
        rest = &rest[at + 1..];
    }
    into.extend_from_slice(rest);
}

/// As receivers of syslog write control characters: `#012`.
fn write_octal(byte: u8, into: &mut Vec<u8>) {
    into.extend_from_slice(&[b'#', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]);
}

/// A payload without the line end behind it.
fn without_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use message::{Batch, BatchBuilder, MessageMut};
    use proptest::prelude::*;
    use testkit::plugins::{decode, decoder, encoder, split, splitter};

    use super::*;

    fn encode(toml: &str, fill: impl FnOnce(&mut MessageMut<'_>)) -> String {
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        m.set_timestamp(1_696_198_455_003_000_000);
        fill(&mut m);
        let mut out = b"before".to_vec();
        encoder(&KIND, toml).unwrap().encode(b.get(0), &mut out).unwrap();
        String::from_utf8(out.split_off(6)).unwrap()
    }

    fn sample(m: &mut MessageMut<'_>) {
        m.set_hostname(b"web 1");
        m.set_logger(b"postfix/smtpd");
        m.set_severity(3);
        m.set_pid(12);
        m.set_payload(b"one\ntwo\n");
        m.add_integer(b"facility", 2);
        m.add_string(b"msgid", b"ID47");
        m.add_string(b"status", b"a \"b\" ]\\\n");
        m.add_string(b"x@1.name", b"y");
        m.add_double(b"took time", 0.5);
        m.add_bool(b"x@1.ok", true);
    }

    #[test]
    fn messages_of_both_formats() {
        let head = "<19>1 2023-10-01T22:14:15.003000Z web_1 postfix/smtpd 12 ID47 ";
        let data = r#"[fields@32473 status="a \"b\" \]\\#012" took_time="0.5"][x@1 name="y" ok="true"]"#;
        assert_eq!(encode("", sample), format!("{head}{data} one#012two\n"));
        assert_eq!(encode("framing = 'none'\nsdid = ''", sample), format!("{head}[x@1 name=\"y\" ok=\"true\"] one\ntwo"));
        let message = format!("{head}{data} one\ntwo");
        assert_eq!(encode("framing = 'octets'", sample), format!("{} {message}", message.len()));
        assert_eq!(encode("format = 'rfc3164'\nzone = '+02:00'", sample), "<19>Oct  2 00:14:15 web_1 postfix/smtpd[12]: one#012two\n");
    }

    #[test]
    fn what_is_not_set_is_nil() {
        assert_eq!(encode("facility = 'local7'", |_| ()), "<189>1 2023-10-01T22:14:15.003000Z - - - - -\n");
        let legacy = |m: &mut MessageMut<'_>| {
            m.set_type(b"a: type");
            m.add_string(b"procid", b"w 1");
        };
        let json = r#"{"timestamp":"2023-10-01T22:14:15.003000000Z","type":"a: type","procid":"w 1"}"#;
        assert_eq!(encode("format = 'rfc3164'\nzone = 'UTC'", legacy), format!("<13>Oct  1 22:14:15 - a__type[w_1]: {json}\n"));
    }

    #[test]
    fn bad_options_are_refused() {
        let build = |toml: &str| encoder(&KIND, toml).err().unwrap();
        assert!(build("sdid = 'a b'").contains("expected up to 32 printable"));
        assert!(build("zone = 'Mars'").contains("found `Mars`"));
        let plugin::Kind { options, .. } = KIND;
        let names = options.iter().find(|o| o.name == "facility").map(|o| format!("{:?}", o.type_)).unwrap();
        assert!(FACILITIES.iter().all(|name| names.contains(name)));
    }

    /// Sends messages through encoder, splitter and decoder.
    fn returned(toml: &str, batch: &Batch, step: usize) -> (Batch, Vec<String>, usize) {
        let (mut encoder, mut stream) = (encoder(&KIND, toml).unwrap(), Vec::new());
        batch.iter().for_each(|m| encoder.encode(m, &mut stream).unwrap());
        let (records, discarded) = split(&mut *splitter(&crate::splitters::syslog::KIND, "").unwrap(), &stream, step);
        let mut decoder = decoder(&crate::decoders::syslog::KIND, "lenient = false\nformat = 'rfc5424'").unwrap();
        let (batch, rejects) = decode(&mut *decoder, &records.iter().map(|r| &r[..]).collect::<Vec<_>>());
        (batch, rejects, discarded)
    }

    proptest! {
        #[test]
        fn the_decoder_reads_it_strictly(
            texts in prop::collection::vec((".{0,12}", "\\PC{0,12}", "[a-z\\n]{0,12}[a-z]", ".{1,6}"), 1..6), bytes: Vec<u8>, severity in -2..10, step in 1..60usize,
        ) {
            let mut b = BatchBuilder::default();
            for (header, value, payload, name) in &texts {
                let mut m = b.add();
                m.set_timestamp(1_700_000_000_000_001_000);
                m.set_severity(severity);
                m.set_hostname(header.as_bytes());
                m.set_logger(&bytes);
                m.set_payload(payload.as_bytes());
                m.add_string(name.as_bytes(), &bytes);
                m.add_string(b"id@7.value", value.as_bytes());
            }
            let sent = b.finish();
            for framing in ["octets", "newline"] {
                let (read, rejects, discarded) = returned(&format!("framing = '{framing}'"), &sent, step);
                prop_assert_eq!((rejects, discarded, read.len()), (vec![], 0, sent.len()));
                for (read, sent) in read.iter().zip(sent.iter()) {
                    prop_assert_eq!((read.timestamp(), read.severity()), (sent.timestamp(), severity.clamp(0, 7)));
                    prop_assert_eq!(read.value(b"id@7.value", 0, 0), sent.value(b"id@7.value", 0, 0));
                    if framing == "octets" {
                        prop_assert_eq!(read.payload(), sent.payload());
                    }
                }
            }
        }
    }
}
