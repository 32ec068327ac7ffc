//! Nanoseconds per call of `process_message`. Run with `cargo run --release -p sandbox --example calls`.

use std::time::Instant;

use message::{Batch, BatchBuilder};
use sandbox::{Inject, Sandbox, SandboxConfig, Script};

/// Short runs: some of many are not disturbed by what else the machine does.
const CALLS: u32 = 10_000;
const RUNS: usize = 400;

fn main() {
    let mut builder = BatchBuilder::default();
    let mut m = builder.add();
    m.set_type(b"nginx.access");
    m.set_payload(b"GET / HTTP/1.1");
    m.add_string(b"remote_addr", b"192.0.2.1");
    m.add_integer(b"status", 200);
    m.add_double(b"request_time", 0.25);
    let batch = builder.finish();

    let body = |body: &str| format!("n = 0 function process_message() {body} return 0 end");
    let empty = measure(&batch, &body(""), true);
    println!("empty call                 {empty:6.1} ns");
    println!("empty call, no guard       {:6.1} ns", measure(&batch, &body(""), false));
    let count = measure(&batch, &body("n = n + 1"), true);
    println!("count in a global          {count:6.1} ns");
    let two = measure(&batch, &body("local a, b = read_message('Type'), read_message('Fields[status]')"), true);
    println!("2 reads                    {two:6.1} ns  ({:.1} ns a read)", (two - empty) / 2.0);
    let local = "local r = read_message function process_message() local a, b = r('Type'), r('Fields[status]') return 0 end";
    let two = measure(&batch, local, true);
    println!("2 reads, function local    {two:6.1} ns  ({:.1} ns a read)", (two - empty) / 2.0);

    for (name, read) in [
        ("2 headers, read_message", "local a, b = read_message('Type'), read_message('Timestamp')"),
        ("2 headers, msg", "local a, b = msg.Type, msg.Timestamp"),
        ("2 fields, read_message", "local a, b = read_message('Fields[status]'), read_message('Fields[request_time]')"),
        ("2 fields, msg", "local a, b = msg.Fields.status, msg.Fields.request_time"),
        ("2 fields, msg.Fields local", "local f = msg.Fields local a, b = f.status, f.request_time"),
    ] {
        let two = measure(&batch, &body(read), true);
        println!("{name:<26} {two:6.1} ns  ({:.1} ns a read)", (two - empty) / 2.0);
    }

    let start = Instant::now();
    let script = Script::new("empty.lua", body(""));
    let all: Vec<Sandbox> = (0..1000).map(|_| Sandbox::new(&script, &SandboxConfig::default()).expect("loads")).collect();
    println!("create and load            {:6.1} µs", start.elapsed().as_secs_f64() * 1e6 / all.len() as f64);
    let bytes: u64 = all.iter().map(|s| s.usage().memory.current).sum();
    println!("Lua memory of an idle one  {:6} B", bytes / all.len() as u64);
}

fn measure(batch: &Batch, script: &str, guard: bool) -> f64 {
    let mut sandbox = Sandbox::new(&Script::new("bench.lua", script), &SandboxConfig::default()).expect("loads");
    let mut builder = BatchBuilder::default();
    let mut inject = Inject { builder: &mut builder, now_ns: 0 };
    let run = |_| {
        let _guard = guard.then(sandbox::active);
        let start = Instant::now();
        for _ in 0..CALLS {
            sandbox.process_message(batch.get(0), &mut inject).expect("runs");
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    (0..RUNS).map(run).fold(f64::INFINITY, f64::min)
}
