//! One figure of the sandbox, as lines of `name value`: what `cargo xtask bench sandbox` runs.
//!
//! `figures idle | load | pcall | call | read | attacks | attack NAME`

use std::time::{Duration, Instant};

use message::{Batch, BatchBuilder, Datum, Text};
use mlua::ffi;
use sandbox::{Inject, Limits, Sandbox, SandboxConfig, Script};

/// Short runs: some of many are not disturbed by what else the machine does.
const CALLS: u32 = 10_000;
/// Messages a filter is given at a time.
const BATCH: u32 = 500;
const RUNS: usize = 200;
/// Idle sandboxes.
const MANY: usize = 1000;

const IDLE: &str = "lines = 0
function process_message()
    lines = lines + 1
    return 0
end
function timer_event(ns)
    inject_payload('txt', 'lines', lines)
end
";

/// Each goes on for ever but for its budget.
const ATTACKS: &[(&str, &str)] = &[
    ("loop", "while true do end"),
    ("tail-calls", "local function f() return f() end f()"),
    ("recursion", "local function f() return 1 + f() end while true do pcall(f) end"),
    ("float-loop", "local x = 0.0 for i = 1, 1e18 do x = x + i end"),
    ("pcall", "while true do pcall(function() while true do end end) end"),
    ("nested-pcall", "local function d(n) pcall(d, n) pcall(d, n) end while true do pcall(d) end"),
    ("xpcall", "while true do xpcall(error, function() while true do end end) end"),
    ("coroutine", "while true do pcall(coroutine.wrap(function() while true do pcall(error) end end)) end"),
    ("close", "local m = {} local c = setmetatable({}, m) m.__close = function() while true do end end for _ in next, {1}, nil, c do end"),
    ("find", "local s, p = ('a'):rep(24), ('a?'):rep(24) .. ('a'):rep(24) .. 'b' while true do s:find(p) end"),
    ("lazy-find", "local s = ('a'):rep(20000) while true do s:find('.-.-.-.-b') end"),
    ("plain-find", "local s, p = ('a'):rep(15e5), ('a'):rep(7e5) .. 'b' while true do s:find(p, 1, true) end"),
    ("gsub", "local s, r = ('a'):rep(1e5), ('%1'):rep(5e5) while true do pcall(string.gsub, s, '(b*)', r) end"),
    (
        "concat",
        "local t = setmetatable({}, {__len = function() return 1e9 // 1 end, __index = string.lower}) while true do pcall(table.concat, t) end",
    ),
    ("move", "table.move({}, 1, math.maxinteger - 1, 2)"),
    ("sort", "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.sort(t, function() return true end) end"),
    ("sort-strings", "local s, t = ('a'):rep(2e6), {} for i = 1, 1e5 do t[i] = s end while true do table.sort(t) end"),
    ("digits", "local s = ('1'):rep(4e6) while true do tonumber(s) end"),
    ("format", "while true do string.format('%.99f', 1e308) end"),
    ("memory", "while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end"),
    ("injections", "while true do pcall(inject_message, {Payload = 'x'}) end"),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["idle"] => idle(),
        ["load"] => load(),
        ["pcall"] => nanoseconds(pcall()),
        ["call"] => nanoseconds(call("")),
        ["read"] => nanoseconds((call("r('Type') r('Fields[status]') r('Payload') r('Fields[remote_addr]')") - call("")) / 4.0),
        ["attacks"] => ATTACKS.iter().for_each(|(name, _)| println!("{name}")),
        ["attack", name] => attack(name),
        _ => panic!("figures idle | load | pcall | call | read | attacks | attack NAME"),
    }
}

fn nanoseconds(value: f64) {
    println!("ns {value:.2}");
    println!("of_pcall {:.3}", value / pcall());
}

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: f64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096.0
}

fn idle() {
    let script = Script::new("idle.lua", IDLE);
    let make = || {
        Sandbox::new(&script, &SandboxConfig { name: "idle".into(), hostname: "host".into(), ..SandboxConfig::default() }).expect("loads")
    };
    let first: Vec<_> = (0..10).map(|_| make()).collect();
    let before = resident();
    let all: Vec<_> = (0..MANY).map(|_| make()).collect();
    let bytes = (resident() - before) / MANY as f64;
    let lua: u64 = all.iter().map(|s| s.usage().memory.current).sum();
    println!("KiB_resident {:.3}", bytes / 1024.0);
    println!("KiB_Lua {:.3}", lua as f64 / MANY as f64 / 1024.0);
    drop((first, all));
}

/// 200 lines as people write them.
fn script() -> String {
    let mut text =
        String::from("local threshold = read_config('threshold') or 500\nlocal names = {'a', 'b', 'c'}\nseen = {}\ntotal = 0\n\n");
    for i in 0..19 {
        text += &format!(
            "-- What is counted of kind {i}.\nlocal function handle_{i}(status, host)\n    local key = string.format('%s:%d', host, status)\n    if status >= threshold then\n        seen[key] = (seen[key] or 0) + {i}\n    elseif status == {i} then\n        total = total + 1\n    end\n    return key\nend\n"
        );
    }
    text + "function process_message()\n    local status = read_message('Fields[status]')\n    handle_0(status, read_message('Hostname'))\n    return 0\nend\n"
}

fn load() {
    let text = script();
    let create = || {
        let start = Instant::now();
        let sandbox = Sandbox::new(&Script::new("load.lua", text.as_str()), &SandboxConfig::default()).expect("loads");
        (start.elapsed(), sandbox).0
    };
    let bare = || {
        let start = Instant::now();
        // SAFETY: a state of its own, closed again; the text and name are valid.
        unsafe {
            let state = ffi::luaL_newstate();
            ffi::luaL_openlibs(state);
            ffi::luaL_loadbufferx(state, text.as_ptr().cast(), text.len(), c"=x".as_ptr(), std::ptr::null());
            let time = start.elapsed();
            ffi::lua_close(state);
            time
        }
    };
    let best = |f: &dyn Fn() -> Duration| (0..RUNS * 5).map(|_| f()).min().unwrap_or_default().as_secs_f64() * 1e6;
    let (ours, theirs) = (best(&create), best(&bare));
    println!("us {ours:.1}");
    println!("of_bare_Lua {:.3}", ours / theirs);
}

/// The floor: a protected call of an empty function.
fn pcall() -> f64 {
    // SAFETY: a state of its own; the stack is used as Lua's manual says.
    unsafe {
        let state = ffi::luaL_newstate();
        ffi::luaL_loadbufferx(state, c"return 0".as_ptr(), 8, c"=x".as_ptr(), std::ptr::null());
        let run = |_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                ffi::lua_pushvalue(state, 1);
                assert_eq!(ffi::lua_pcall(state, 0, 1, 0), ffi::LUA_OK);
                ffi::lua_settop(state, 1);
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        };
        let best = (0..RUNS).map(run).fold(f64::INFINITY, f64::min);
        ffi::lua_close(state);
        best
    }
}

fn batch(len: u32) -> Batch {
    let mut builder = BatchBuilder::default();
    let names = [&b"remote_addr"[..], b"status"].map(|name| {
        let name = builder.messages().store(name);
        builder.messages().label(name, Text::NONE)
    });
    for _ in 0..len {
        let mut m = builder.add();
        m.set_type(b"nginx.access");
        m.set_payload(b"GET / HTTP/1.1");
        let address = m.messages().store(b"192.0.2.1");
        m.add_labelled(names[0], Datum::String(address));
        m.add_labelled(names[1], Datum::Integer(200));
    }
    builder.finish()
}

/// Nanoseconds of a call with this body.
fn call(body: &str) -> f64 {
    let script = format!("local r = read_message function process_message() {body} return 0 end");
    let mut sandbox = Sandbox::new(&Script::new("call.lua", script), &SandboxConfig::default()).expect("loads");
    let (batch, mut builder) = (batch(BATCH), BatchBuilder::default());
    let mut inject = Inject { builder: &mut builder, now_ns: 0 };
    let run = |_| {
        let _active = sandbox::active();
        let start = Instant::now();
        for _ in 0..CALLS / BATCH {
            sandbox.process_messages(&batch, &batch.all(), &mut inject, &mut |_| {}).expect("runs");
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    (0..RUNS).map(run).fold(f64::INFINITY, f64::min)
}

fn cpu() -> Duration {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the timespec given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut at) };
    Duration::new(at.tv_sec as u64, at.tv_nsec as u32)
}

/// Milliseconds of CPU beyond the budget.
fn attack(name: &str) {
    let (_, source) = ATTACKS.iter().find(|(n, _)| *n == name).expect("an attack of this name");
    let limits = Limits { cpu: Duration::from_millis(100), ..Limits::default() };
    let script = Script::new("attack.lua", format!("function process_message() {source} return 0 end"));
    let (batch, mut builder) = (batch(1), BatchBuilder::default());
    let config = SandboxConfig { limits: limits.clone(), ..SandboxConfig::default() };
    let mut over: Vec<f64> = (0..9)
        .map(|_| {
            let mut sandbox = Sandbox::new(&script, &config).expect("loads");
            let start = cpu();
            let outcome = sandbox.process_message(batch.get(0), &mut Inject { builder: &mut builder, now_ns: 0 });
            let used = cpu() - start;
            assert!(outcome.is_err(), "{name} ended by itself: {outcome:?}");
            (used.as_secs_f64() - limits.cpu.as_secs_f64()) * 1e3
        })
        .collect();
    over.sort_by(f64::total_cmp);
    println!("ms_over {:.2}", over[over.len() / 2]);
    println!("ms_over_max {:.2}", over[over.len() - 1]);
    println!("max_of_budget {:.3}", over[over.len() - 1] / limits.cpu.as_secs_f64() / 1e3);
}
