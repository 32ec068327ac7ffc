//! Lines a decoder reads in a second of CPU time, beside the decoder `regex` with an expression for the
//! same values, as `cargo xtask bench decoders` shows it.
//!
//! Without arguments it lists what there is; with one of these it prints the figure, as `column value`.
//! `cargo run --release -p codecs --example decoders -- 'syslog, RFC 5424: syslog'`

use std::time::Duration;

use codecs::decoders;
use message::{BatchBuilder, Text};
use plugin::{Clock, DecodeCx, Kind};
use testkit::plugins;

/// Lines of a batch, about as many as are read at once.
const LINES: usize = 1000;

/// CPU time after which a figure is good.
const ENOUGH: Duration = Duration::from_secs(1);

/// Now, when lines are read: behind the times in them. 2023-11-14T22:13:20Z.
const NOW: i64 = 1_700_000_000_000_000_000;

/// A kind of line: its name, the decoder with its options, a line (`#` is a number that changes), and the options
/// with which the decoder `regex` finds the same.
struct Line {
    name: &'static str,
    decoder: (&'static Kind, &'static str),
    line: &'static str,
    regex: &'static str,
}

const ALL: &[Line] = &[
    Line {
        name: "nginx",
        decoder: (&decoders::log_format::KIND, decoders::log_format::NGINX.toml),
        line: "10.0.7.3 - - [10/Oct/2023:13:55:36 +0000] \"GET /products/#?page=7 HTTP/1.1\" 200 5316 \"https://www.example.com/search?q=lamps\" \
               \"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\"",
        regex: r#"
            pattern = '^(?<remote_addr>\S+) - (?<remote_user>\S+) \[(?<time>[^\]]+)\] "(?<request>(?<request_method>\S+) (?<request_uri>\S+) (?<server_protocol>[^"]*))" (?<status>\d+) (?<body_bytes_sent>\d+) "(?<http_referer>[^"]*)" "(?<http_user_agent>[^"]*)"$'
            timestamp = "time"
            layout = "clf"
            types = { status = "integer", body_bytes_sent = "integer" }"#,
    },
    Line {
        name: "syslog, RFC 5424",
        decoder: (&decoders::syslog::KIND, ""),
        line: "<165>1 2023-10-10T13:55:36.123456Z host7.example.com orders # ID47 [request@32473 route=\"/api/v2/orders\" ms=\"12\" cached=\"false\"] \
               order has been shipped by way of gate 7",
        regex: r#"
            pattern = '^<(?<facility>\d+)>1 (?<time>\S+) (?<host>\S+) (?<app>\S+) (?<pid>\d+) (?<msgid>\S+) \[request@32473 route="(?<route>[^"]*)" ms="(?<ms>[^"]*)" cached="(?<cached>[^"]*)"\] (?<text>.*)$'
            timestamp = "time"
            types = { facility = "integer" }
            headers = { Hostname = "host", Logger = "app", Pid = "pid", Payload = "text" }"#,
    },
    Line {
        name: "syslog, RFC 3164",
        decoder: (&decoders::syslog::KIND, "zone = \"UTC\""),
        line: "<38>Oct 10 13:55:36 host7.example.com postfix/smtpd[#]: connect from unknown of gate 7, 12 ms",
        regex: r#"
            pattern = '^<(?<facility>\d+)>(?<time>\w{3} [ \d]\d [\d:]+) (?<host>\S+) (?<app>[^:\[ ]+)\[(?<pid>\d+)\]: (?<text>.*)$'
            timestamp = "time"
            layout = "rfc3164"
            types = { facility = "integer" }
            headers = { Hostname = "host", Logger = "app", Pid = "pid", Payload = "text" }"#,
    },
    Line {
        name: "logfmt",
        decoder: (&decoders::logfmt::KIND, ""),
        line: r#"time=2023-10-10T13:55:36.123Z level=info logger=orders msg="order has been shipped" order=# route=/api/v2/orders ms=12.5 cached=false"#,
        regex: r#"
            pattern = '^time=(?<time>\S+) level=(?<level>\S+) logger=(?<app>\S+) msg="(?<text>[^"]*)" order=(?<order>\d+) route=(?<route>\S+) ms=(?<ms>[\d.]+) cached=(?<cached>\w+)$'
            timestamp = "time"
            severity = "level"
            types = { order = "integer", ms = "double", cached = "bool" }
            headers = { Logger = "app", Payload = "text" }"#,
    },
    Line {
        name: "json",
        decoder: (&decoders::json::KIND, ""),
        line: r#"{"time":"2023-10-10T13:55:36.123Z","level":"info","logger":"orders","msg":"order has been shipped","order":#,"route":"/api/v2/orders","ms":12.5,"cached":false}"#,
        regex: r#"
            pattern = '^\{"time":"(?<time>[^"]*)","level":"(?<level>[^"]*)","logger":"(?<app>[^"]*)","msg":"(?<text>[^"]*)","order":(?<order>\d+),"route":"(?<route>[^"]*)","ms":(?<ms>[\d.]+),"cached":(?<cached>\w+)\}$'
            timestamp = "time"
            severity = "level"
            types = { order = "integer", ms = "double", cached = "bool" }
            headers = { Logger = "app", Payload = "text" }"#,
    },
];

/// Thousands of lines a second of CPU time.
fn rate(kind: &Kind, options: &str, line: &str) -> f64 {
    let mut decoder = plugins::decoder(kind, options).unwrap_or_else(|problem| panic!("{problem}"));
    let (mut builder, mut places) = (BatchBuilder::default(), Vec::new());
    for n in 0..LINES {
        let (at, line) = (builder.raw().len(), line.replace('#', &(1000 + n).to_string()));
        builder.raw().extend_from_slice(line.as_bytes());
        places.push(Text::raw(at, line.len()));
    }
    let (mut lines, started) = (0, Clock::thread_cpu());
    loop {
        let (raw, messages) = builder.parts();
        messages.clear();
        decoder.decode_all(raw, &places, messages, &DecodeCx { now: NOW }, &mut |_, reject| panic!("{reject}: {line}"));
        lines += LINES;
        let took = Clock::thread_cpu() - started;
        if took >= ENOUGH {
            return lines as f64 / 1e3 / took.as_secs_f64();
        }
    }
}

fn main() {
    let Some(title) = std::env::args().nth(1) else {
        for Line { name, decoder: (kind, _), .. } in ALL {
            println!("{name}: regex\n{name}: {}", kind.name);
        }
        return;
    };
    let found = ALL.iter().find_map(|line| Some((line, title.strip_prefix(line.name)?.strip_prefix(": ")?)));
    let (line, decoder) = found.unwrap_or_else(|| panic!("there is no figure {title:?}"));
    let (kind, options) = if decoder == "regex" { (&decoders::regex::KIND, line.regex) } else { line.decoder };
    println!("k/CPU-s {:.1}", rate(kind, options, line.line));
}
