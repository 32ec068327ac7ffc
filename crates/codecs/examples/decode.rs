//! What decoding a line of an access log costs: `cargo run --release -p codecs --example decode`.

use message::{BatchBuilder, Pool, Text};
use plugin::{Build, BuildCx, Clock, DecodeCx, Decoder, Kind, Record};

const LINES_A_BATCH: usize = 1000;
const BATCHES: usize = 25;
const ROUNDS: usize = 40;

fn main() {
    let combined: Vec<String> = (0..LINES_A_BATCH).map(|i| line(i, "14/Nov/2023:22:13:20 +0000", i / 100 % 60)).collect();
    let preset = |name: &str| codecs::PRESETS.iter().find(|p| p.name == name).expect("a preset").toml;
    let regex = r#"
pattern = '^(?<remote_addr>\S+) - (?<remote_user>\S+) \[(?<time>[^\]]+)\] "(?<request>[^"]*)" (?<status>\d+) (?<bytes>\d+) "(?<referer>[^"]*)" "(?<agent>[^"]*)"$'
types = { status = "integer", bytes = "integer" }
timestamp = "time"
layout = "clf"
"#;
    report("log_format, nginx combined", "log_format", preset("nginx"), &combined);
    report("log_format, without the request's parts", "log_format", &format!("{}\nsplit_request = false", preset("nginx")), &combined);
    report("regex, the same fields", "regex", regex, &combined);
}

/// A line of nginx's combined format, about 200 bytes.
fn line(i: usize, time: &str, second: usize) -> String {
    format!(
        "203.0.113.{} - - [{}] \"GET /articles/{i}/index.html?page={} HTTP/1.1\" {} {} \"https://www.example.com/search?q={i}\" \
         \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36\"\n",
        i % 256,
        time.replace(":20 ", &format!(":{second:02} ")),
        i % 7,
        [200, 200, 304, 404, 500][i % 5],
        i * 37 % 100_000,
    )
}

fn report(what: &str, kind: &str, toml: &str, lines: &[String]) {
    let mut decoder = decoder(kind, toml);
    let mut builder = BatchBuilder::new(Pool::new());
    let round = |builder: &mut BatchBuilder, decoder: &mut dyn Decoder| {
        let mut spent = std::time::Duration::ZERO;
        for _ in 0..BATCHES {
            lines.iter().for_each(|line| builder.raw().extend_from_slice(line.as_bytes()));
            let start = Clock::thread_cpu();
            let (raw, messages) = builder.parts();
            let mut at = 0;
            for line in lines {
                let length = line.len() - 1;
                let record = Record::new(&raw[at..at + length], Text::raw(at, length));
                decoder.decode(record, messages, &DecodeCx { now: 0 }).expect("a line of this format");
                at += line.len();
            }
            spent += Clock::thread_cpu() - start;
            drop(builder.finish());
        }
        spent.as_nanos() as f64 / (BATCHES * lines.len()) as f64
    };
    let best = (0..ROUNDS).map(|_| round(&mut builder, &mut *decoder)).fold(f64::INFINITY, f64::min);
    let bytes = lines.iter().map(String::len).sum::<usize>() / lines.len();
    println!("{what}: {best:.0} ns a line of {bytes} bytes");
}

fn decoder(kind: &str, toml: &str) -> Box<dyn Decoder> {
    let kind: &Kind = codecs::kinds().find(|k| k.name == kind && matches!(k.build, Build::Decoder(_))).expect("a decoder");
    let tree = options::Tree::parse(options::Source::new("example.toml", toml)).expect("TOML");
    let mut problems = Vec::new();
    let options = options::Options::check(&[kind.options], &tree, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    let cx = BuildCx { name: "example".into(), hostname: "host".into(), clock: Clock::real(), module_path: None, check_only: false };
    match kind.build {
        Build::Decoder(build) => build(&options, &cx).expect("a decoder"),
        _ => unreachable!(),
    }
}
