//! Lines of web servers' access logs, by the server's own definition of the format.
//!
//! The option is what nginx's `log_format` or Apache's `LogFormat` says, so nothing has to be
//! described twice. It becomes a scanner of literals and the values between them; a line is read
//! once, values stay where they are, and nothing is allocated for it.
//!
//! Values are kept as the server wrote them: `\x22`, `\"` and `-` for "none" stay what they are.
//! Not for formats whose values touch each other or hold the text that ends them; `regex` reads those.

mod apache;
mod format;
mod nginx;
mod presets;
mod scan;

use memchr::{memchr, memrchr};
use message::{Datum, MessageMut, Messages, Text};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use crate::constants::Constants;
use crate::number::{double, integer};
use crate::time::{Layout, Recent};
use format::{FormatError, ValueKind};
use scan::{End, Scanner};

pub use presets::{APACHE, APACHE_COMMON, NGINX, NGINX_MSEC};

pub const KIND: Kind = Kind::decoder("log_format", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(LogFormat::new(o)?)))
    .summary("Reads access logs by the log_format of nginx or the LogFormat of Apache.")
    .doc(
        "Every variable becomes a field with nginx's name for it (Apache's `%h` is `remote_addr`), numbers as numbers with \
         their unit; `-` in the place of a number is no field. The first of `$time_local`, `$time_iso8601`, `$msec` or `%t` is the \
         Timestamp, further ones are fields of text. Values keep the escapes the server wrote. A line that does not fit the format \
         is rejected, with the place and what was expected there.",
    )
    .options(&[
        Opt::string("format")
            .required()
            .sample(r#"'$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'"#)
            .doc("The format as the web server's configuration has it."),
        Opt::choice("style", &["auto", "nginx", "apache"])
            .default("auto")
            .doc("Whose format it is; `auto`: nginx's if it has a `$name`, otherwise Apache's."),
        Opt::string("message_type").doc("Type of the messages. Default: `nginx.access` or `apache.access`."),
        Opt::bool("keep_payload").default("true").doc("Keep the whole line as the Payload. It costs nothing here, but is sent on."),
        Opt::bool("split_request")
            .default("true")
            .doc("Add `request_method`, `request_uri` and `server_protocol`, the parts of `request`."),
    ])
    .examples(&[Example {
        title: "A format with timings",
        toml: r#"format = '$remote_addr [$time_iso8601] "$request" $status $request_time $upstream_response_time'"#,
    }]);

/// Longest excerpt of a line in an error, in bytes.
const EXCERPT: usize = 80;

#[derive(Debug)]
struct LogFormat {
    lead: Box<[u8]>,
    steps: Vec<Step>,
    constants: Constants,
    common: Common,
    keep_payload: bool,
    recent: Recent,
}

/// A value and where it ends.
#[derive(Debug)]
struct Step {
    field: Box<str>,
    /// The field's name as a constant.
    name: usize,
    read: Read,
    end: End,
}

/// How a value is read; numbers are constants with the representation.
#[derive(Debug)]
enum Read {
    Text,
    Address,
    Integer(usize),
    Double(usize),
    MaybeInteger(usize),
    MaybeDouble(usize),
    Time(Layout),
    Request,
}

/// Constants that do not belong to one value.
#[derive(Debug)]
struct Common {
    type_: usize,
    ipv4: usize,
    ipv6: usize,
    /// Names of the request's parts; none of a part that the format has by itself.
    request: Option<[Option<usize>; 3]>,
}

impl LogFormat {
    fn new(o: &Options) -> Result<LogFormat, Problem> {
        let format = o.str("format");
        let nginx = match o.str("style") {
            "auto" => has_variable(format),
            style => style == "nginx",
        };
        let problem = |e: FormatError| {
            let at = o.location("format").within(e.at, format);
            Problem { help: e.help, ..Problem::new("`format` is not a valid log format").at(&at, e.label) }
        };
        let pieces = if nginx { nginx::parse(format) } else { apache::parse(format) }.map_err(problem)?;
        let mut scanner = Scanner::new(pieces).map_err(problem)?;
        only_one_time(&mut scanner);

        let mut constants = Constants::new();
        let default_type = if nginx { "nginx.access" } else { "apache.access" };
        let parts = ["request_method", "request_uri", "server_protocol"]
            .map(|part| (!scanner.steps.iter().any(|(var, _)| var.name == part)).then(|| constants.add(part.as_bytes())));
        let common = Common {
            type_: constants.add(o.get_str("message_type").unwrap_or(default_type).as_bytes()),
            ipv4: constants.add(b"ipv4"),
            ipv6: constants.add(b"ipv6"),
            request: o.bool("split_request").then_some(parts),
        };
        let mut steps = Vec::new();
        for (var, end) in scanner.steps {
            let name = constants.add(var.name.as_bytes());
            steps.push(Step { field: var.name.into(), name, read: Read::new(var.value, &mut constants), end });
        }
        Ok(LogFormat { lead: scanner.lead, steps, constants, common, keep_payload: o.bool("keep_payload"), recent: Recent::default() })
    }
}

fn has_variable(format: &str) -> bool {
    format.as_bytes().windows(2).any(|w| w[0] == b'$' && (w[1] == b'{' || w[1].is_ascii_alphabetic()))
}

/// The Timestamp is set once; further times are text.
fn only_one_time(scanner: &mut Scanner) {
    let times = scanner.steps.iter_mut().filter(|(var, _)| matches!(var.value, ValueKind::Time(_)));
    for (var, _) in times.skip(1) {
        var.value = ValueKind::Text;
    }
}

impl Read {
    fn new(value: ValueKind, constants: &mut Constants) -> Read {
        let mut unit = |name: &str| constants.add(name.as_bytes());
        match value {
            ValueKind::Text | ValueKind::List => Read::Text,
            ValueKind::Address => Read::Address,
            ValueKind::Integer(name) => Read::Integer(unit(name)),
            ValueKind::Seconds => Read::Double(unit("s")),
            ValueKind::MaybeInteger(name) => Read::MaybeInteger(unit(name)),
            ValueKind::MaybeDouble(name) => Read::MaybeDouble(unit(name)),
            ValueKind::Time(layout) => Read::Time(layout),
            ValueKind::Request => Read::Request,
        }
    }

    fn expected(&self) -> &'static str {
        match self {
            Read::Time(_) => "a time",
            Read::Integer(_) => "a whole number",
            _ => "a number",
        }
    }
}

impl Decoder for LogFormat {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, cx: &DecodeCx) -> Result<(), Reject> {
        let line = record.bytes();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let texts = self.constants.texts(out);
        let Some(mut rest) = line.strip_prefix(&*self.lead) else { return Err(misfit(line, 0, &literal(&self.lead))) };
        let mut writer = Writer { texts, common: &self.common, record, message: out.add() };
        writer.message.set_type_text(texts[self.common.type_]);
        if self.keep_payload {
            writer.message.set_payload_text(record.text(line));
        }
        for step in &self.steps {
            let at = line.len() - rest.len();
            let Some(length) = step.end.find(rest) else { return Err(step.unended(line, at)) };
            let (value, tail) = rest.split_at(length);
            if writer.write(step, value, &mut self.recent, cx).is_none() {
                return Err(misfit(line, at, &format!("{} for `{}`", step.read.expected(), step.field)));
            }
            rest = &tail[step.end.literal().len()..];
        }
        if rest.is_empty() { Ok(()) } else { Err(misfit(line, line.len() - rest.len(), "the end of the line")) }
    }
}

/// Writes the fields of one message.
struct Writer<'a> {
    texts: &'a [Text],
    common: &'a Common,
    record: Record<'a>,
    message: MessageMut<'a>,
}

impl Writer<'_> {
    /// `None` when the value is not what its place asks for.
    #[inline]
    fn write(&mut self, step: &Step, value: &[u8], recent: &mut Recent, cx: &DecodeCx) -> Option<()> {
        let none = matches!(value, b"-" | b"");
        match &step.read {
            Read::Text => self.text(step.name, value),
            Read::Request => self.request(step.name, value),
            Read::Address => self.add(step.name, self.address(value), Datum::String(self.record.text(value))),
            Read::Time(layout) => {
                let ns = match layout {
                    Layout::Clf | Layout::Rfc3339 => recent.read(value, |text| layout.read(text, cx.now))?,
                    _ => layout.read(value, cx.now)?,
                };
                self.message.set_timestamp(ns);
            }
            _ if none => {}
            Read::Integer(unit) => self.add(step.name, self.texts[*unit], Datum::Integer(integer(value)?)),
            Read::Double(unit) => self.add(step.name, self.texts[*unit], Datum::Double(double(value)?)),
            Read::MaybeInteger(unit) => match integer(value) {
                Some(n) => self.add(step.name, self.texts[*unit], Datum::Integer(n)),
                None => self.text(step.name, value),
            },
            Read::MaybeDouble(unit) => match double(value) {
                Some(n) => self.add(step.name, self.texts[*unit], Datum::Double(n)),
                None => self.text(step.name, value),
            },
        }
        Some(())
    }

    #[inline]
    fn text(&mut self, name: usize, value: &[u8]) {
        let value = self.record.text(value);
        self.message.add(self.texts[name], Datum::String(value));
    }

    #[inline]
    fn add(&mut self, name: usize, representation: Text, value: Datum) {
        self.message.add_in(self.texts[name], representation, value);
    }

    /// The representation of an address; none for the name of a host or a socket.
    #[inline]
    fn address(&self, value: &[u8]) -> Text {
        let constant = match value {
            [b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b':', rest @ ..] if rest.iter().take(4).any(|b| *b == b':') => self.common.ipv6,
            [b'0'..=b'9', .., b'0'..=b'9'] => self.common.ipv4,
            _ => return Text::NONE,
        };
        self.texts[constant]
    }

    /// `METHOD uri protocol`, or what else a client sent.
    #[inline]
    fn request(&mut self, name: usize, value: &[u8]) {
        self.text(name, value);
        let (Some(names), Some(parts)) = (self.common.request, split_request(value)) else { return };
        for (name, part) in names.into_iter().zip(parts) {
            if let (Some(name), false) = (name, part.is_empty()) {
                self.text(name, part);
            }
        }
    }
}

/// Method, URI and protocol (empty in HTTP/0.9) of a request line; `None` when it is none.
#[inline]
fn split_request(line: &[u8]) -> Option<[&[u8]; 3]> {
    let space = memchr(b' ', line)?;
    let (method, rest) = (&line[..space], &line[space + 1..]);
    let shouted = !method.is_empty() && method.iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_'));
    let (uri, protocol) = match memrchr(b' ', rest) {
        Some(at) if rest[at + 1..].starts_with(b"HTTP/") => (&rest[..at], &rest[at + 1..]),
        _ => (rest, &b""[..]),
    };
    shouted.then_some([method, uri, protocol])
}

impl Step {
    /// The value that begins at `at` does not end as the format says.
    #[cold]
    fn unended(&self, line: &[u8], at: usize) -> Reject {
        let end = self.end.literal();
        let (at, what) = match self.end.stop(&line[at..]) {
            // It ends, but something else follows.
            Some(length) => (at + length, literal(end)),
            None => (at, format!("`{}`, then {}", self.field, literal(end))),
        };
        misfit(line, at, &what)
    }
}

/// A literal of the format as text.
fn literal(bytes: &[u8]) -> String {
    format!("`{}`", bytes.escape_ascii())
}

#[cold]
fn misfit(line: &[u8], at: usize, expected: &str) -> Reject {
    let rest = &line[at..];
    let found = match rest.len() {
        0 => "the end of the line".to_string(),
        n if n <= EXCERPT => format!("`{}`", rest.escape_ascii()),
        _ => format!("`{}…`", rest[..EXCERPT].escape_ascii()),
    };
    Reject::new(format!("the line does not fit the format: at byte {at} expected {expected}, found {found}"))
}

#[cfg(test)]
mod tests {
    use message::{Batch, MessageRef, Value};
    use proptest::prelude::*;
    use testkit::plugins::{decode, decoder};

    use super::*;
    use crate::decoders::PRESETS;
    use crate::time::write_rfc3339;

    const LINE: &str =
        r#"203.0.113.9 - jane doe [14/Nov/2023:22:13:20 +0000] "GET /a?b=c HTTP/1.1" 200 512 "https://x.test/" "Mozilla/5.0 \"q\"""#;

    fn preset(name: &str) -> &'static str {
        PRESETS.iter().find(|p| p.name == name).unwrap().toml
    }

    fn read(toml: &str, lines: &[&str]) -> (Batch, Vec<String>) {
        let mut decoder = decoder(&KIND, toml).unwrap();
        decode(&mut *decoder, &lines.iter().map(|l| l.as_bytes()).collect::<Vec<_>>())
    }

    fn text<'a>(m: MessageRef<'a>, name: &str) -> &'a str {
        m.value(name.as_bytes(), 0, 0).and_then(Value::as_bytes).map_or("(none)", |b| std::str::from_utf8(b).unwrap())
    }

    #[test]
    fn the_combined_format_becomes_typed_fields() {
        for (name, type_) in [("nginx", "nginx.access"), ("apache", "apache.access")] {
            let (batch, rejects) = read(preset(name), &[LINE]);
            assert_eq!(rejects, [""; 0]);
            let m = batch.get(0);
            assert_eq!((m.type_(), m.payload(), m.timestamp()), (type_.as_bytes(), LINE.as_bytes(), 1_700_000_000_000_000_000));
            assert_eq!((text(m, "remote_user"), text(m, "http_user_agent")), ("jane doe", r#"Mozilla/5.0 \"q\""#));
            assert_eq!((text(m, "request_method"), text(m, "request_uri"), text(m, "server_protocol")), ("GET", "/a?b=c", "HTTP/1.1"));
            assert_eq!(m.value(b"status", 0, 0), Some(Value::Integer(200)));
            let bytes = m.field(b"body_bytes_sent", 0).unwrap();
            assert_eq!((bytes.value(0), bytes.representation()), (Some(Value::Integer(512)), &b"B"[..]));
            assert_eq!(m.field(b"remote_addr", 0).unwrap().representation(), b"ipv4");
            assert!(m.field(b"time_local", 0).is_none());
        }
    }

    #[test]
    fn a_line_that_does_not_fit_says_where_and_why() {
        let reject = |line: &str| read(preset("nginx"), &[line]).1.remove(0);
        let said = |line: &str| reject(line).replace("the line does not fit the format: ", "");
        assert_eq!(said("hello\u{1b}"), r"at byte 0 expected `remote_addr`, then ` - `, found `hello\x1b`");
        assert_eq!(
            said(&LINE.replace(" 200 ", " ok ")),
            format!(
                "at byte {} expected a whole number for `status`, found `{}`",
                74, r#"ok 512 \"https://x.test/\" \"Mozilla/5.0 \\\"q\\\"\""#
            )
        );
        assert_eq!(said(&LINE.replace("14/Nov", "14/Nix")).split(", found").next(), Some("at byte 24 expected a time for `time_local`"));
        assert_eq!(said(&LINE.replace("1.1\" ", "1.1\"-")).split(", found").next(), Some(r#"at byte 72 expected `\" `"#));
        assert_eq!(said(&(LINE.to_string() + " extra")), format!("at byte {} expected the end of the line, found ` extra`", LINE.len()));
        assert!(said(&"x".repeat(1000)).len() < 200);
    }

    #[test]
    fn numbers_that_are_not_there_are_no_fields() {
        let toml = "format = '$remote_addr $msec $status $upstream_response_time $request_time \"$request\"'";
        let lines = ["::1 1700000000.250 304 - 0.5 \"\\x16\\x03\"", "unix: 1.5 - 0.1, 0.2 : 3 - \"GET /\"", "h 0 1 0.125 1 \"-\"\r\n"];
        let (batch, rejects) = read(toml, &lines);
        assert_eq!(rejects, [""; 0]);
        let (a, b, c) = (batch.get(0), batch.get(1), batch.get(2));
        assert_eq!((a.timestamp(), a.field(b"remote_addr", 0).unwrap().representation()), (1_700_000_000_250_000_000, &b"ipv6"[..]));
        assert!(a.field(b"upstream_response_time", 0).is_none() && a.field(b"request_method", 0).is_none());
        assert_eq!((b.value(b"status", 0, 0), text(b, "upstream_response_time")), (None, "0.1, 0.2 : 3"));
        assert_eq!((text(b, "request_uri"), text(b, "server_protocol")), ("/", "(none)"));
        let took = c.field(b"upstream_response_time", 0).unwrap();
        assert_eq!((took.value(0), took.representation(), text(c, "request")), (Some(Value::Double(0.125)), &b"s"[..], "-"));
    }

    #[test]
    fn options_change_what_is_kept() {
        let toml = "format = '$time_iso8601 $msec $request_uri \"$request\"'\nkeep_payload = false\nmessage_type = 'web'";
        let (batch, _) = read(toml, &["2023-11-14T22:13:20+00:00 7.5 /b \"GET /a HTTP/2.0\""]);
        let m = batch.get(0);
        assert_eq!((m.type_(), m.payload(), m.timestamp(), text(m, "msec")), (&b"web"[..], &b""[..], 1_700_000_000_000_000_000, "7.5"));
        assert_eq!((text(m, "request_uri"), m.field(b"request_uri", 1).is_none(), text(m, "request_method")), ("/b", true, "GET"));
    }

    #[test]
    fn a_bad_format_is_pointed_at() {
        let error = |format: &str| decoder(&KIND, &format!("format = '{format}'")).err().unwrap();
        assert_eq!(
            error("$remote_addr $request$status"),
            "test.toml:1:24: `format` is not a valid log format: nothing stands between `request` and `status`, so that no one can tell \
             where the one ends (the decoder `regex` can tell by their shape)"
        );
        assert!(error("%h %Z").starts_with("test.toml:1:14: `format` is not a valid log format: no such directive"));
        assert!(error("hello").contains("it has no variable"));
        for preset in PRESETS.iter().filter(|p| p.kind == KIND.name) {
            assert!(decoder(&KIND, preset.toml).is_ok(), "{}", preset.name);
        }
    }

    proptest! {
        #[test]
        fn what_a_server_writes_is_read_back(
            address in "[0-9]{1,3}(\\.[0-9]{1,3}){3}",
            user in "[a-z]{1,9}",
            seconds in 0_i64..4_000_000_000,
            (status, bytes) in (100_i64..600, 0_i64..i64::MAX),
            quoted in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 3),
        ) {
            // As both servers escape what a client sent.
            let escape = |bytes: &Vec<u8>| bytes.iter().map(|b| match b {
                b'"' => "\\\"".to_string(),
                b'\\' => "\\\\".to_string(),
                b' '..=b'~' => char::from(*b).to_string(),
                other => format!("\\x{other:02X}"),
            }).collect::<String>();
            let quoted: Vec<String> = quoted.iter().map(escape).collect();
            let mut time = Vec::new();
            write_rfc3339(seconds * 1_000_000_000, 0, &mut time);
            let line = format!(
                "{address} - {user} {} \"{}\" {status} {bytes} \"{}\" \"{}\"",
                String::from_utf8(time).unwrap(), quoted[0], quoted[1], quoted[2]
            );
            let toml = "format = '$remote_addr - $remote_user $time_iso8601 \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"'";
            let (batch, rejects) = read(toml, &[&line]);
            prop_assert_eq!(rejects, [""; 0]);
            let m = batch.get(0);
            prop_assert_eq!(m.timestamp(), seconds * 1_000_000_000);
            prop_assert_eq!((m.value(b"status", 0, 0), m.value(b"body_bytes_sent", 0, 0)), (Some(Value::Integer(status)), Some(Value::Integer(bytes))));
            prop_assert_eq!([text(m, "remote_addr"), text(m, "remote_user")], [&*address, &*user]);
            prop_assert_eq!([text(m, "request"), text(m, "http_referer"), text(m, "http_user_agent")], [&*quoted[0], &*quoted[1], &*quoted[2]]);
        }

        #[test]
        fn no_line_makes_it_panic(cut in 0..LINE.len(), byte: u8, at in 0..LINE.len()) {
            let mut line = LINE.as_bytes()[..cut].to_vec();
            if let Some(b) = line.get_mut(at) { *b = byte; }
            let mut decoder = decoder(&KIND, preset("nginx")).unwrap();
            let (batch, rejects) = decode(&mut *decoder, &[&line]);
            prop_assert_eq!(batch.len() + rejects.len(), 1);
        }
    }
}
