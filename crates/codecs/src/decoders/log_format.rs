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

use std::ops::Range;

use memchr::memrchr;
use message::{Datum, Label, MessageMut, Messages, Text};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use crate::constants::Constants;
use crate::labels::Labels;
use crate::lanes::{Needle, Prefix};
use crate::number::{double, integer_within};
use crate::time::Layout;
use format::{FormatError, ValueKind, Var};
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
    labels: Labels,
    /// The Type alone.
    constants: Constants,
    request: RequestParts,
    keep_payload: bool,
    moment: Moment,
}

/// A value and where it ends.
#[derive(Debug)]
struct Step {
    field: Box<str>,
    read: Read,
    end: End,
    /// Bytes of the literal behind it.
    skip: usize,
}

/// How a value is read, with the labels of the fields it may become.
#[derive(Debug)]
enum Read {
    Text(usize),
    /// With the representations for the two versions and, for the name of a host or a socket, without.
    Address {
        v4: usize,
        v6: usize,
        other: usize,
    },
    Integer(usize),
    Double(usize),
    MaybeInteger {
        number: usize,
        text: usize,
    },
    MaybeDouble {
        number: usize,
        text: usize,
    },
    Time(Layout),
    Request(usize),
}

/// Labels of the parts of a request; none of a part that the format has by itself or if it is not split.
type RequestParts = Option<[Option<usize>; 3]>;

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

        let mut labels = Labels::default();
        let parts = ["request_method", "request_uri", "server_protocol"]
            .map(|part| (!scanner.steps.iter().any(|(var, _)| var.name == part)).then(|| labels.add(part, "")));
        let mut constants = Constants::new();
        let default_type = if nginx { "nginx.access" } else { "apache.access" };
        constants.add(o.get_str("message_type").unwrap_or(default_type).as_bytes());
        let step = |(var, end): (Var, End)| {
            let read = Read::new(&var.name, var.value, &mut labels);
            Step { field: var.name.into(), read, skip: end.literal().len(), end }
        };
        Ok(LogFormat {
            lead: scanner.lead,
            steps: scanner.steps.into_iter().map(step).collect(),
            labels,
            constants,
            request: o.bool("split_request").then_some(parts),
            keep_payload: o.bool("keep_payload"),
            moment: Moment::default(),
        })
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
    fn new(name: &str, value: ValueKind, labels: &mut Labels) -> Read {
        let mut label = |representation: &str| labels.add(name, representation);
        match value {
            ValueKind::Text | ValueKind::List => Read::Text(label("")),
            ValueKind::Address => Read::Address { v4: label("ipv4"), v6: label("ipv6"), other: label("") },
            ValueKind::Integer(unit) => Read::Integer(label(unit)),
            ValueKind::Seconds => Read::Double(label("s")),
            ValueKind::MaybeInteger(unit) => Read::MaybeInteger { number: label(unit), text: label("") },
            ValueKind::MaybeDouble(unit) => Read::MaybeDouble { number: label(unit), text: label("") },
            ValueKind::Time(layout) => Read::Time(layout),
            ValueKind::Request => Read::Request(label("")),
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
        if !line.starts_with(&self.lead) {
            return Err(misfit(line, 0, &literal(&self.lead)));
        }
        let type_ = self.constants.texts(out)[0];
        let labels = self.labels.of(out);
        let mut writer = Writer { line, at: record.at(), labels, message: out.add() };
        writer.message.set_type_text(type_);
        if self.keep_payload {
            writer.message.set_payload_text(writer.text(0, line.len()));
        }
        let mut at = self.lead.len();
        for step in &self.steps {
            if let Read::Time(layout) = &step.read {
                at = self.moment.read(step, layout, &mut writer, at, cx)?;
                continue;
            }
            let Some(end) = step.end.find(line, at) else { return Err(step.unended(line, at)) };
            if writer.write(&step.read, &self.request, at, end).is_none() {
                return Err(step.unread(line, at));
            }
            at = end + step.skip;
        }
        if at == line.len() { Ok(()) } else { Err(misfit(line, at, "the end of the line")) }
    }
}

/// The time that was read last, with the literal behind it: most lines have the same one. A line that
/// goes on with the same bytes has its value end at the same place.
#[derive(Default, Debug)]
struct Moment {
    prefix: Prefix,
    /// Bytes of the time and the literal.
    length: usize,
    ns: i64,
}

impl Moment {
    /// Sets the Timestamp to the time that begins at `at`; returns where the next value begins.
    #[inline(always)]
    fn read(&mut self, step: &Step, layout: &Layout, writer: &mut Writer<'_>, at: usize, cx: &DecodeCx) -> Result<usize, Reject> {
        if !self.prefix.begins(writer.line, at) {
            self.read_new(step, layout, writer.line, at, cx)?;
        }
        writer.message.set_timestamp(self.ns);
        Ok(at + self.length)
    }

    #[cold]
    fn read_new(&mut self, step: &Step, layout: &Layout, line: &[u8], at: usize, cx: &DecodeCx) -> Result<(), Reject> {
        let end = step.end.find(line, at).ok_or_else(|| step.unended(line, at))?;
        self.ns = layout.read(&line[at..end], cx.now).ok_or_else(|| step.unread(line, at))?;
        self.length = end + step.skip - at;
        // Some layouts depend on the time of day, and without a literal the value would go on.
        let fixed = matches!(layout, Layout::Clf | Layout::Rfc3339) && step.skip > 0;
        self.prefix = if fixed { Prefix::new(&line[at..at + self.length]) } else { Prefix::default() };
        Ok(())
    }
}

/// Writes the fields of one message.
struct Writer<'a> {
    line: &'a [u8],
    /// Where the record begins in the batch.
    at: Text,
    labels: &'a [Label],
    message: MessageMut<'a>,
}

impl Writer<'_> {
    /// Adds the value from `at` to `end`. `None` when it is not what its place asks for.
    #[inline(always)]
    fn write(&mut self, read: &Read, request: &RequestParts, at: usize, end: usize) -> Option<()> {
        match *read {
            Read::Text(label) => self.add_text(label, at, end),
            Read::Request(label) => {
                self.add_text(label, at, end);
                if let Some(labels) = request {
                    self.add_parts(labels, at, end);
                }
            }
            Read::Address { v4, v6, other } => {
                let label = match ip_version(&self.line[at..end]) {
                    Some(4) => v4,
                    Some(_) => v6,
                    None => other,
                };
                self.add_text(label, at, end);
            }
            _ if end == at || end - at == 1 && self.line[at] == b'-' => {}
            Read::Integer(label) => self.add(label, Datum::Integer(integer_within(self.line, at, end)?)),
            Read::Double(label) => self.add(label, Datum::Double(double(&self.line[at..end])?)),
            Read::MaybeInteger { number, text } => match integer_within(self.line, at, end) {
                Some(n) => self.add(number, Datum::Integer(n)),
                None => self.add_text(text, at, end),
            },
            Read::MaybeDouble { number, text } => match double(&self.line[at..end]) {
                Some(n) => self.add(number, Datum::Double(n)),
                None => self.add_text(text, at, end),
            },
            // Read before it gets here.
            Read::Time(_) => {}
        }
        Some(())
    }

    #[inline(always)]
    fn text(&self, at: usize, end: usize) -> Text {
        self.at.slice(at, end - at)
    }

    #[inline(always)]
    fn add_text(&mut self, label: usize, at: usize, end: usize) {
        self.add(label, Datum::String(self.text(at, end)));
    }

    #[inline(always)]
    fn add(&mut self, label: usize, value: Datum) {
        self.message.add_labelled(self.labels[label], value);
    }

    /// The parts of a request that are there.
    #[inline(always)]
    fn add_parts(&mut self, labels: &[Option<usize>; 3], at: usize, end: usize) {
        let Some(parts) = split_request(&self.line[..end], at) else { return };
        for (label, part) in labels.iter().zip(parts) {
            if let (Some(label), false) = (label, part.is_empty()) {
                self.add_text(*label, part.start, part.end);
            }
        }
    }
}

/// 4 or 6; `None` for the name of a host or a socket.
#[inline(always)]
fn ip_version(value: &[u8]) -> Option<u32> {
    let colon = match value {
        [_, a, b, c, d, ..] => [a, b, c, d].contains(&&b':'),
        _ => value.contains(&b':'),
    };
    match value {
        [b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b':', rest @ ..] if colon && rest.iter().take(4).any(|b| *b == b':') => Some(6),
        [b'0'..=b'9', .., b'0'..=b'9'] => Some(4),
        _ => None,
    }
}

/// Where method, URI and protocol (empty in HTTP/0.9) are in the request from `at` to the end of
/// `line`; `None` when it is none.
#[inline(always)]
fn split_request(line: &[u8], at: usize) -> Option<[Range<usize>; 3]> {
    let space = Needle::new(b' ').find(line, at)?;
    let method = &line[at..space];
    let shouted = !method.is_empty() && method.iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_'));
    let protocol = protocol(line, space + 1);
    // Without a protocol the URI ends where the request does, otherwise at the space between them.
    let uri = space + 1..if protocol == line.len() { protocol } else { protocol - 1 };
    shouted.then_some([at..space, uri, protocol..line.len()])
}

/// Where in `line`, behind `from`, the protocol begins: `HTTP/` behind the last space. Its length if there is none.
#[inline(always)]
fn protocol(line: &[u8], from: usize) -> usize {
    const LENGTH: usize = " HTTP/1.1".len();
    if let Some([b' ', b'H', b'T', b'T', b'P', b'/', version @ ..]) = line.last_chunk::<LENGTH>()
        && line.len() - from >= LENGTH
        && !version.contains(&b' ')
    {
        return line.len() - LENGTH + 1;
    }
    let last = memrchr(b' ', &line[from..]).map(|space| from + space + 1);
    last.filter(|at| line[*at..].starts_with(b"HTTP/")).unwrap_or(line.len())
}

impl Step {
    /// The value that begins at `at` does not end as the format says.
    #[cold]
    fn unended(&self, line: &[u8], at: usize) -> Reject {
        let end = self.end.literal();
        let (at, what) = match self.end.stop(line, at) {
            // It ends, but something else follows.
            Some(stop) => (stop, literal(end)),
            None => (at, format!("`{}`, then {}", self.field, literal(end))),
        };
        misfit(line, at, &what)
    }

    /// The value that begins at `at` is not what its place asks for.
    #[cold]
    fn unread(&self, line: &[u8], at: usize) -> Reject {
        misfit(line, at, &format!("{} for `{}`", self.read.expected(), self.field))
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
mod tests;
