//! What matching costs: nanoseconds per message, for indexes of many sizes and for single expressions.
//!
//! `cargo run --release -p matcher --example figures` prints medians of 30 rounds, and the least, which
//! a busy machine disturbs less. With a row's name as argument, and a number of rounds, only that row
//! runs, which suits an instruction counter: the difference between two numbers of rounds is free of
//! what building costs.

use matcher::{Index, Matcher, Selected};
use message::{Batch, BatchBuilder, Datum};
use std::hint::black_box;
use std::time::Instant;

/// Messages a batch, as the engine's intake makes them from lines of 190 bytes.
const MESSAGES: usize = 1400;
/// Batches in turn, so that no branch predictor learns one by heart.
const BATCHES: usize = 16;

const PATHS: [&str; 5] = ["/", "/index.html", "/api/v1/users", "/static/app.js", "/login"];
const AGENTS: [&str; 3] =
    ["Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "curl/8.5.0", "Mozilla/5.0 (compatible; robot/2.1)"];

/// The next number of a stream that looks random, below `n`.
fn random(state: &mut u64, n: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    ((*state >> 33) as usize) % n
}

/// Messages like those of an access log, each with one of `keys` values of `Fields[k]`.
fn batch(keys: usize, state: &mut u64) -> Batch {
    let mut builder = BatchBuilder::default();
    let (_, messages) = builder.parts();
    // As decoders do, names are stored once a batch.
    let [type_, addr, request, code, size, agent_name, k, n] =
        ["nginx.access", "remote_addr", "request", "status", "body_bytes_sent", "http_user_agent", "k", "n"]
            .map(|name| messages.store(name.as_bytes()));
    for _ in 0..MESSAGES {
        let (path, agent) = (PATHS[random(state, PATHS.len())], AGENTS[random(state, AGENTS.len())]);
        let status = if random(state, 100) < 3 { 502 } else { 200 + random(state, 3) as i64 };
        let key = random(state, keys);
        let mut m = builder.add();
        m.set_type_text(type_);
        m.set_timestamp(1_700_000_000_000_000_000);
        m.set_payload(format!("10.0.0.{} - - \"GET {path} HTTP/1.1\" {status} 5120 \"-\" \"{agent}\"", random(state, 250)).as_bytes());
        let mut text = |name, value: &str| {
            let value = m.messages().store(value.as_bytes());
            m.add(name, Datum::String(value));
        };
        text(addr, "10.0.0.1");
        text(request, path);
        text(agent_name, agent);
        text(k, &format!("v{key}"));
        m.add(code, Datum::Integer(status));
        m.add(size, Datum::Integer(5120));
        m.add(n, Datum::Integer(key as i64));
    }
    builder.finish()
}

/// Matchers of one shape: `{}` is the matcher's number, of which a message meets exactly one where
/// the shape asks for an equality.
const SHAPES: [(&str, &str); 5] = [
    ("text", "Fields[k] == 'v{}'"),
    ("type-text", "Type == 'nginx.access' && Fields[k] == 'v{}'"),
    ("number", "Fields[n] == {}"),
    ("no-type", "Type == 'other{}'"),
    ("type-status", "Type == 'other{}' && Fields[status] >= 500"),
];

const SINGLE: [(&str, &str); 11] = [
    ("status", "Fields[status] >= 500"),
    ("type-and-status", "Type == 'nginx.access' && Fields[status] >= 500"),
    ("other-type", "Type == 'other' && Fields[status] >= 500"),
    ("regex", "Payload =~ /G.*robot/"),
    ("literal", "Payload =~ /robot/"),
    ("literal-all", "Payload =~ /HTTP/"),
    ("field-text", "Fields[request] == '/login'"),
    ("missing", "Fields[nowhere] == NIL"),
    ("severity", "Severity <= 4"),
    ("either", "Fields[status] >= 500 || Fields[request] == '/login'"),
    ("not", "!(Type == 'other') && Fields[body_bytes_sent] < 100"),
];

fn round(index: &Index, batches: &[Batch], out: &mut Selected) -> f64 {
    let start = Instant::now();
    for batch in batches {
        index.select(batch, out);
        black_box(&*out);
    }
    start.elapsed().as_nanos() as f64 / (BATCHES * MESSAGES) as f64
}

fn row(name: &str, expressions: Vec<String>, keys: usize, only: Option<usize>) {
    let mut state = 1;
    let batches: Vec<Batch> = (0..BATCHES).map(|_| batch(keys, &mut state)).collect();
    let index =
        Index::new(expressions.iter().enumerate().map(|(i, e)| (i, Matcher::parse(e).expect("a shape is an expression"))).collect());
    let mut out = Selected::default();
    let rounds = only.unwrap_or(30);
    let mut ns: Vec<f64> = (0..rounds).map(|_| round(&index, &batches, &mut out)).collect();
    ns.sort_by(f64::total_cmp);
    println!("{name:24} {:8} {:10.1} {:10.1}", expressions.len(), ns[ns.len() / 2], ns[0]);
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (wanted, rounds) = (arguments.next(), arguments.next().and_then(|n| n.parse().ok()));
    println!("{:24} {:>8} {:>10} {:>10}", "", "matchers", "ns median", "ns least");
    for (name, shape) in SHAPES {
        for n in [1, 10, 1000, 10_000] {
            let name = format!("{name}-{n}");
            if wanted.as_ref().is_none_or(|w| *w == name) {
                row(&name, (0..n).map(|i| shape.replace("{}", &i.to_string())).collect(), n, rounds);
            }
        }
    }
    for (name, expression) in SINGLE {
        if wanted.as_ref().is_none_or(|w| w == name) {
            row(name, vec![expression.to_string()], 10, rounds);
        }
    }
}
