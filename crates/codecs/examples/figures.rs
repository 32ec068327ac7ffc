//! What splitters, decoders and encoders cost, as `cargo xtask bench rooms` shows it.
//!
//! Without arguments it lists its figures; with the name of one it prints it, as lines of `column value`.
//! `cargo run --release -p codecs --example figures -- 'decoder json'`

use std::time::Instant;

use codecs::{decoders, encoders, splitters};
use message::{Batch, BatchBuilder, Text};
use plugin::{DecodeCx, Decoder, Encoder, Kind, Record, Split, Splitter};
use regex::bytes::Regex;
use testkit::plugins;

const LINES: usize = 1000;
/// Short rounds: some of many are not disturbed by what else the machine does.
const ROUNDS: usize = 400;

/// Decoders: kind, options, a line of it (`#` is a number that changes), and an expression that finds the same values.
const DECODERS: &[(&str, &Kind, &str, &str, &str)] = &[
    (
        "log_format",
        &decoders::log_format::KIND,
        decoders::log_format::NGINX.toml,
        "10.0.7.3 - - [10/Oct/2023:13:55:36 +0000] \"GET /products/#?page=7 HTTP/1.1\" 200 5316 \"https://www.example.com/search?q=lamps\" \
         \"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\"",
        r#"^(\S+) - (\S+) \[([^\]]+)\] "(\S+) (\S+) ([^"]*)" (\d+) (\d+) "([^"]*)" "([^"]*)"$"#,
    ),
    (
        "json",
        &decoders::json::KIND,
        "",
        r#"{"time":"2023-10-10T13:55:36.123Z","level":"info","logger":"orders","msg":"order has been shipped","order":#,"route":"/api/v2/orders","ms":12.5,"cached":false}"#,
        r#"^\{"time":"([^"]*)","level":"([^"]*)","logger":"([^"]*)","msg":"([^"]*)","order":(\d+),"route":"([^"]*)","ms":([\d.]+),"cached":(\w+)\}$"#,
    ),
    (
        "logfmt",
        &decoders::logfmt::KIND,
        "",
        r#"time=2023-10-10T13:55:36.123Z level=info logger=orders msg="order has been shipped" order=# route=/api/v2/orders ms=12.5 cached=false"#,
        r#"^time=(\S+) level=(\S+) logger=(\S+) msg="([^"]*)" order=(\d+) route=(\S+) ms=([\d.]+) cached=(\w+)$"#,
    ),
    (
        "regex",
        &decoders::regex::KIND,
        r#"pattern = '^(?<time>\S+) \[(?<level>\w+)\] (?<logger>\w+): (?<message>.*) took (?<ms>[\d.]+) ms$'
timestamp = "time"
severity = "level"
types = { ms = "double" }
headers = { Payload = "message", Logger = "logger" }"#,
        "2023-10-10T13:55:36.123Z [info] orders: order # has been shipped took 12.5 ms",
        r"^(\S+) \[(\w+)\] (\w+): (.*) took ([\d.]+) ms$",
    ),
    ("statsd", &decoders::statsd::KIND, "", "service.endpoint#.requests:12|ms|@0.5", r"^([^:]+):([^|]+)\|(\w+)\|@([\d.]+)$"),
    ("none", &decoders::none::KIND, "", "Oct 10 13:55:36 host sshd[#]: session opened", "^(.*)$"),
];

/// Encoders: kind and options.
const ENCODERS: &[(&str, &Kind, &str)] = &[
    ("line", &encoders::line::KIND, ""),
    ("line, four fields", &encoders::line::KIND, "template = \"{timestamp} {hostname} {status|-} {request_uri|-}\""),
    ("payload", &encoders::payload::KIND, ""),
    ("json", &encoders::json::KIND, ""),
    ("text", &encoders::text::KIND, ""),
    ("heka", &encoders::heka::KIND, ""),
];

/// Splitters of lines: kind and options.
const SPLITTERS: &[(&str, &Kind, &str)] = &[
    ("line", &splitters::line::KIND, ""),
    ("token", &splitters::token::KIND, ""),
    ("regex", &splitters::regex::KIND, "delimiter = '\\n'"),
    ("group", &splitters::group::KIND, "start = '^[0-9]'"),
];

fn lines(line: &str) -> Vec<Vec<u8>> {
    (0..LINES).map(|i| line.replace('#', &(1000 + i).to_string()).into_bytes()).collect()
}

/// Nanoseconds of the quickest round.
fn best(mut round: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        round();
        start.elapsed().as_secs_f64() * 1e9
    };
    (0..ROUNDS).map(time).fold(f64::INFINITY, f64::min)
}

fn a_line(nanoseconds: f64) {
    println!("ns {:.1}", nanoseconds / LINES as f64);
}

/// Records of one batch, decoded in place over and over.
fn decode(decoder: &mut dyn Decoder, records: &[Vec<u8>]) -> (f64, Batch) {
    let mut builder = BatchBuilder::default();
    let mut places = Vec::new();
    for record in records {
        places.push((builder.raw().len(), record.len()));
        builder.raw().extend_from_slice(record);
    }
    let time = best(|| {
        let (raw, messages) = builder.parts();
        messages.truncate(0);
        for (at, len) in &places {
            let record = Record::new(&raw[*at..at + len], Text::raw(*at, *len));
            decoder.decode(record, messages, &DecodeCx { now: 0 }).expect("a record of this format");
        }
        assert_eq!(messages.len(), records.len());
    });
    (time, builder.finish())
}

/// Messages of an access log.
fn messages() -> Batch {
    let (_, kind, options, line, _) = DECODERS[0];
    decode(&mut *plugins::decoder(kind, options).expect("builds"), &lines(line)).1
}

fn encode(encoder: &mut dyn Encoder, batch: &Batch) -> (f64, Vec<Vec<u8>>) {
    let mut out = Vec::new();
    let time = best(|| {
        out.clear();
        batch.iter().for_each(|m| encoder.encode(m, &mut out).expect("a message of an access log"));
    });
    let each = batch.iter().map(|m| {
        let mut out = Vec::new();
        encoder.encode(m, &mut out).map(|()| out).expect("a message of an access log")
    });
    (time, each.collect())
}

fn framed() -> Vec<Vec<u8>> {
    encode(&mut *plugins::encoder(&encoders::heka::KIND, "").expect("builds"), &messages()).1
}

/// A splitter over a stream, as the intake calls it.
fn split(splitter: &mut dyn Splitter, stream: &[u8]) {
    let time = best(|| {
        let (mut at, mut records) = (0, 0);
        while at < stream.len() {
            at += match splitter.split(&stream[at..], true) {
                Split::Record { end, .. } => {
                    records += 1;
                    end
                }
                other => panic!("{other:?} at {at}"),
            };
        }
        assert_eq!(records, LINES);
    });
    rate(time, stream);
}

fn rate(time: f64, stream: &[u8]) {
    a_line(time);
    println!("GB/s {:.2}", stream.len() as f64 / time);
}

fn access_stream() -> Vec<u8> {
    lines(DECODERS[0].3).iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect()
}

fn list() {
    println!("splitter: memchr");
    SPLITTERS.iter().for_each(|(name, ..)| println!("splitter: {name}"));
    println!("splitter: heka");
    for (name, ..) in DECODERS {
        println!("decoder {name}: regex crate, as many captures\ndecoder {name}: nilo");
    }
    println!("decoder heka: nilo");
    ENCODERS.iter().for_each(|(name, ..)| println!("encoder: {name}"));
}

fn figure(name: &str) -> Option<()> {
    let (group, row) = name.split_once(": ")?;
    match (group.split_once(' ').unwrap_or((group, "")), row) {
        (("splitter", _), "memchr") => {
            let stream = access_stream();
            rate(best(|| assert_eq!(memchr::memchr_iter(b'\n', &stream).count(), LINES)), &stream);
        }
        (("splitter", _), "heka") => split(&mut *plugins::splitter(&splitters::heka::KIND, "").ok()?, &framed().concat()),
        (("splitter", _), row) => {
            let (_, kind, options) = SPLITTERS.iter().find(|(name, ..)| *name == row)?;
            split(&mut *plugins::splitter(kind, options).ok()?, &access_stream());
        }
        (("decoder", "heka"), _) => {
            // What the splitter hands on: without the framing.
            let frames = framed();
            let mut splitter = plugins::splitter(&splitters::heka::KIND, "").ok()?;
            let records = frames.iter().map(|frame| match splitter.split(frame, true) {
                Split::Record { record, .. } => frame[record].to_vec(),
                other => panic!("{other:?}"),
            });
            a_line(decode(&mut *plugins::decoder(&decoders::heka::KIND, "").ok()?, &records.collect::<Vec<_>>()).0);
        }
        (("decoder", decoder), row) => {
            let (_, kind, options, line, expression) = DECODERS.iter().find(|(name, ..)| *name == decoder)?;
            let lines = lines(line);
            a_line(match row {
                "nilo" => decode(&mut *plugins::decoder(kind, options).ok()?, &lines).0,
                _ => {
                    let expression = Regex::new(expression).ok()?;
                    let mut found = expression.capture_locations();
                    best(|| assert!(lines.iter().all(|line| expression.captures_read(&mut found, line).is_some())))
                }
            });
        }
        (("encoder", _), row) => {
            let (_, kind, options) = ENCODERS.iter().find(|(name, ..)| *name == row)?;
            a_line(encode(&mut *plugins::encoder(kind, options).ok()?, &messages()).0);
        }
        _ => return None,
    }
    Some(())
}

fn main() {
    match std::env::args().nth(1) {
        None => list(),
        Some(name) => figure(&name).unwrap_or_else(|| panic!("there is no figure {name:?}, or it cannot be built")),
    }
}
