//! Nanoseconds a line that ways to parse an access log of nginx take: the decoder in Rust, the `regex` crate, and
//! from Lua `lpeg`, `regex`, the grammar that `common_log_format` builds, and `string.match`.
//! Run with `cargo xtask bench parsing`, or alone with an argument: one of [`WAYS`].

use std::time::Instant;

use message::{BatchBuilder, Text};
use plugin::{DecodeCx, Record};
use sandbox::{Inject, Sandbox, SandboxConfig, Script};

const LINES: usize = 1000;
const RUNS: usize = 60;

const EXPRESSION: &str = r#"^(\S+) - (\S+) \[([^\]]+)\] "([^"]*)" (\d+) (\d+) "([^"]*)" "([^"]*)"$"#;

/// Scripts whose function `parse` returns the status as text or number, by argument.
const WAYS: &[(&str, &str)] = &[
    (
        "lpeg",
        r#"local l = require "lpeg"
        local function to(stop) return l.C((1 - l.S(stop)) ^ 0) end
        local digits = l.C(l.R "09" ^ 1)
        local grammar = to " " * " - " * to " " * " [" * to "]" * '] "' * to '"' * '" ' * digits * " " * digits * ' "' * to '"' * '" "' * to '"' * '"' * -1
        function parse(line) local _, _, _, _, status = grammar:match(line) return status end"#,
    ),
    (
        "regex",
        r##"local e = require("regex").compile([=[^([^ ]+) - ([^ ]+) \[([^\]]+)\] "([^"]*)" ([0-9]+) ([0-9]+) "([^"]*)" "([^"]*)"$]=], "a")
        function parse(line) local _, _, _, _, status = e:match(line) return status end"##,
    ),
    (
        "string.match",
        r#"function parse(line)
            local _, _, _, _, status = string.match(line, '^(%S+) %- (%S+) %[([^%]]+)%] "([^"]*)" (%d+) (%d+) "([^"]*)" "([^"]*)"$') return status
        end"#,
    ),
    (
        "common_log_format",
        r#"local clf = require "common_log_format"
        local grammar = clf.build_nginx_grammar('$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"')
        function parse(line) return grammar:match(line).status end"#,
    ),
];

fn lines() -> Vec<Vec<u8>> {
    let line = |i: usize| {
        let (a, b, status) = (i % 250, i % 200, [200, 200, 304, 404, 500][i % 5]);
        format!(
            "10.0.{a}.{b} - - [10/Oct/2023:13:{:02}:{:02} +0000] \"GET /path/{i}?q={a} HTTP/1.1\" {status} {} \"https://example.com/{b}\" \
             \"Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/118.0\"",
            i / 60 % 60,
            i % 60,
            100 + i
        )
        .into_bytes()
    };
    (0..LINES).map(line).collect()
}

/// Nanoseconds a line of the quickest run.
fn best(mut run: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64() * 1e9 / LINES as f64
    };
    (0..RUNS).map(time).fold(f64::INFINITY, f64::min)
}

/// The decoder `log_format`, as the router runs it.
fn native() -> f64 {
    let options =
        "format = '$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"'";
    let mut decoder = testkit::plugins::decoder(&codecs::decoders::log_format::KIND, options).expect("builds");
    let lines = lines();
    let mut builder = BatchBuilder::default();
    let mut places = Vec::new();
    for line in &lines {
        places.push((builder.raw().len(), line.len()));
        builder.raw().extend_from_slice(line);
    }
    best(|| {
        let (raw, messages) = builder.parts();
        messages.truncate(0);
        for (at, len) in &places {
            let record = Record::new(&raw[*at..at + len], Text::raw(*at, *len));
            decoder.decode(record, messages, &DecodeCx { now: 0 }).expect("it fits");
        }
        assert_eq!(messages.len(), LINES);
    })
}

fn rust_regex() -> f64 {
    let expression = regex::bytes::Regex::new(EXPRESSION).expect("compiles");
    let lines = lines();
    let mut found = expression.capture_locations();
    best(|| assert!(lines.iter().all(|line| expression.captures_read(&mut found, line).is_some())))
}

fn lua(parse: &str) -> f64 {
    let script = format!(
        "{parse}\nseen = 0\nfunction process_message() if tonumber(parse(read_message('Payload'))) >= 500 then seen = seen + 1 end return 0 end"
    );
    let config = SandboxConfig { modules: modules::ALL, ..SandboxConfig::default() };
    let mut sandbox = Sandbox::new(&Script::new("parse.lua", script), &config).expect("loads");
    let mut builder = BatchBuilder::default();
    for line in lines() {
        builder.add().set_payload(&line);
    }
    let batch = builder.finish();
    let mut out = BatchBuilder::default();
    best(|| {
        let _awake = sandbox::active();
        let mut inject = Inject { builder: &mut out, now_ns: 0 };
        for i in 0..LINES {
            sandbox.process_message(batch.get(i), &mut inject).expect("it fits");
        }
    })
}

fn main() {
    let way = std::env::args().nth(1).unwrap_or_default();
    let ns = match way.as_str() {
        "native" => native(),
        "rust" => rust_regex(),
        _ => match WAYS.iter().find(|(name, _)| *name == way) {
            Some((_, parse)) => lua(parse),
            None => panic!("parsing native | rust | {}", WAYS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" | ")),
        },
    };
    println!("ns {ns:.1}");
    println!("of_Rust_regex {:.3}", ns / rust_regex());
}
