//! Nanoseconds of string and table functions, in a sandbox and in a plain Lua. Run with
//! `cargo run --release -p sandbox --example patterns`.

use std::time::{Duration, Instant};

use message::BatchBuilder;
use sandbox::{Inject, Limits, Sandbox, SandboxConfig, Script};

const RUNS: usize = 7;

const WORK: [(&str, &str, u32); 12] = [
    ("match, nginx line", "line:match('^(%S+) %S+ (%S+) %[([^%]]+)%] \"(%u+) ([^ ]+) ([^\"]*)\" (%d+) (%d+)')", 50_000),
    ("match, key = value", "('key = value'):match('^(%w+)%s*=%s*(%w+)$')", 100_000),
    ("match, lazy", "line:match('\"(.-)\"')", 100_000),
    ("match, none", "line:match('%d+x%d+y')", 50_000),
    ("find, plain", "line:find('HTTP/1.1', 1, true)", 200_000),
    ("find, word", "line:find('POST')", 200_000),
    ("gmatch, words", "for w in line:gmatch('%S+') do end", 30_000),
    ("gsub, text", "line:gsub('%d', '#')", 20_000),
    ("gsub, function", "line:gsub('%w+', function(w) return w end)", 10_000),
    ("rep", "('ab'):rep(50)", 200_000),
    ("concat, 100", "table.concat(words, ',')", 20_000),
    ("sort, 200 numbers", "local t = {} for i = 1, 200 do t[i] = i * 7919 % 211 end table.sort(t)", 2_000),
];

fn main() {
    for (name, work, times) in WORK {
        let script = format!(
            "line = '192.0.2.7 - alice [12/Mar/2024:10:11:12 +0000] \"GET /index.html?q=1 HTTP/1.1\" 200 5316 \"-\" \"curl/8.5\"'
            words = {{}} for i = 1, 100 do words[i] = 'w' .. i end
            function process_message() for _ = 1, {times} do {work} end return 0 end"
        );
        let (ours, plain) = (in_sandbox(&script, times), in_plain(&script, times));
        println!("{name:<20} {ours:8.1} ns, plain Lua {plain:8.1} ns, {:+4.0} %", (ours / plain - 1.0) * 100.0);
    }
}

fn best(times: u32, mut call: impl FnMut()) -> f64 {
    let run = |_| {
        let start = Instant::now();
        call();
        start.elapsed().as_secs_f64() * 1e9 / f64::from(times)
    };
    (0..RUNS).map(run).fold(f64::INFINITY, f64::min)
}

fn in_sandbox(script: &str, times: u32) -> f64 {
    let limits = Limits { cpu: Duration::from_secs(60), ..Limits::default() };
    let config = SandboxConfig { limits, ..SandboxConfig::default() };
    let mut sandbox = Sandbox::new(&Script::new("bench.lua", script), &config).expect("loads");
    let mut message = BatchBuilder::default();
    message.add();
    let message = message.finish();
    let mut builder = BatchBuilder::default();
    best(times, || drop(sandbox.process_message(message.get(0), &mut Inject { builder: &mut builder, now_ns: 0 }).expect("runs")))
}

fn in_plain(script: &str, times: u32) -> f64 {
    let lua = mlua::Lua::new();
    lua.load(script).exec().expect("loads");
    let f: mlua::Function = lua.globals().get("process_message").expect("is there");
    best(times, || f.call::<()>(()).expect("runs"))
}
