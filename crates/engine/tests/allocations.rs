//! A message costs no allocation once buffers have their size: not to read, split, decode, match or hand
//! it to an output, nor to have a script look at it. Counted for the whole process, so this test has
//! one of its own, and one test in it.
//!
//! A batch does cost some; that is why the allocations of a run over a file are compared with those of a
//! run over the same lines and many more.

use std::alloc::System;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use engine::{Config, Engine, Plan, Settings, Ticks};
use options::Source;
use plugin::Registry;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Lines of the short and of the long run: many batches more.
const LINES: [usize; 2] = [20_000, 120_000];

/// Allocations a line that a batch and its way through the engine may cost: some thirty in a thousand
/// lines, and ten for each of ten filters that lag behind and get copies. One a message would be 1.
const SHARE: f64 = 0.25;

fn registry() -> Registry {
    let listed = [inputs::KINDS, filters::KINDS, outputs::KINDS].into_iter().flatten().copied();
    Registry::new(codecs::kinds().chain(listed), codecs::PRESETS.iter().copied())
}

fn access_log(lines: usize) -> String {
    let mut log = String::new();
    for i in 0..lines {
        let (status, route) = ([200, 304, 404, 503][i % 4], i % 10);
        let _ = writeln!(
            log,
            r#"203.0.113.{} - - [14/Nov/2023:22:13:20 +0000] "GET /route{route} HTTP/1.1" {status} {i} "-" "curl/8.5""#,
            i % 250
        );
    }
    log
}

/// Runs a configuration over as many lines to its end; what it allocated.
fn allocations(dir: &Path, toml: &str, lines: usize) -> usize {
    std::fs::write(dir.join("access.log"), access_log(lines)).unwrap();
    let config = Config::parse(vec![Source::new(dir.join("nilo.toml"), toml)]).unwrap_or_else(|p| panic!("{p:?}"));
    let plan = Plan::new(&config, &registry()).unwrap_or_else(|p| panic!("{}", p[0]));
    let region = Region::new(ALLOCATOR);
    let engine = Engine::start(plan, Settings { registry: registry(), ticks: Ticks::Clock }).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !engine.inputs_finished() {
        assert!(Instant::now() < deadline, "the input does not end");
        std::thread::yield_now();
    }
    assert_eq!(engine.stop().undelivered, 0);
    let change = region.change();
    change.allocations + change.reallocations
}

fn input(decoder: &str) -> String {
    format!("[input.log]\ntype = \"tail\"\npaths = [\"access.log\"]\nonce = true\ndecoder = \"{decoder}\"\n")
}

#[test]
fn a_message_allocates_nothing() {
    let many: String =
        (0..100).map(|i| format!("[filter.c{i}]\ntype = \"count\"\nmatch = 'Fields[request_uri] == \"/route{i}\"'\n")).collect();
    let script = "[filter.lua]\ntype = \"lua\"\nscript = \"count.lua\"\nmatch = 'TRUE'\n";
    let null = "[output.null]\ntype = \"null\"\nmatch = 'TRUE'\n";
    for (what, toml) in [
        ("file to nothing", input("none") + null),
        ("a script that reads a field", input("nginx") + script),
        ("a hundred filters, of which each line reaches one", input("nginx") + &many),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("count.lua"),
            "local n = {}\nfunction process_message()\n local s = read_message('Fields[status]')\n n[s] = (n[s] or 0) + 1\n return 0\nend\n",
        )
        .unwrap();
        let [short, long] = LINES.map(|lines| allocations(dir.path(), &toml, lines));
        let share = long.saturating_sub(short) as f64 / (LINES[1] - LINES[0]) as f64;
        println!("{what}: {short} allocations, {long} with more lines: {share:.4} a line");
        assert!(share < SHARE, "{what}: {share:.4} allocations a line ({short} for {} lines, {long} for {})", LINES[0], LINES[1]);
    }
}
