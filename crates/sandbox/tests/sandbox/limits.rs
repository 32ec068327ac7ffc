use std::time::Duration;

use sandbox::{FailureKind, Limits, SandboxConfig, Script};

use crate::support::*;

fn limited(change: impl FnOnce(&mut Limits)) -> SandboxConfig {
    let mut config = config();
    change(&mut config.limits);
    config
}

/// Limits with little CPU time, for scripts that mean to use it up.
fn hurried() -> SandboxConfig {
    limited(|l| l.cpu = Duration::from_millis(20))
}

/// A script that misbehaves once and then behaves.
fn once(source: &str) -> String {
    format!("first = true function process_message() if first then first = false {source} end return 0 end")
}

#[test]
fn endless_calls_are_stopped_and_the_next_one_works() {
    let attacks = [
        "while true do end",
        "local function f() while true do end end while true do pcall(f) end",
        "local function f() while true do end end local function g() pcall(f) return g() end g()",
        "local function d(n) pcall(d, n) pcall(d, n) end while true do pcall(d) end",
        "local x = 0.0 for i = 1, 1e18 do x = x + i end",
        "local t = {} while true do t[1] = {} end",
        "return pcall(function() while true do end end)",
        "table.sort({3, 1, 2, 5, 4}, function() while true do end end)",
        "string.gsub('a', 'a', function() while true do end end)",
        "while true do pcall(error, setmetatable({}, {__tostring = function() while true do end end})) end",
    ];
    let mut sandboxes = attacks.map(|a| load_with(&hurried(), &once(a)));
    for (sandbox, attack) in sandboxes.iter_mut().zip(attacks) {
        let failure = fails(sandbox);
        assert_eq!(failure.kind, FailureKind::Cpu, "{attack}: {failure}");
        call(sandbox).unwrap_or_else(|e| panic!("{attack}: {e}"));
    }
}

#[test]
fn loading_is_limited_too() {
    let config = limited(|l| l.cpu = Duration::from_millis(2));
    let Err(error) = sandbox::Sandbox::new(&Script::new("t.lua", "\nwhile true do end"), &config) else { panic!("this loads") };
    assert_eq!(error.line, Some(2));
    assert!(error.message.contains("CPU budget used up"), "{error}");
}

#[test]
fn threads_are_watched_each_for_itself() {
    let stopped = |_| std::thread::spawn(|| fails(&mut load_with(&hurried(), &once("while true do end"))).kind);
    let all: Vec<_> = (0..4).map(stopped).collect();
    for thread in all {
        assert_eq!(thread.join().unwrap(), FailureKind::Cpu);
    }
}

#[test]
fn memory_is_capped() {
    let config = limited(|l| (l.memory, l.cpu) = (1 << 20, Duration::from_secs(20)));
    let attacks = [
        "local t = {} while true do t[#t + 1] = 'x' .. #t end",
        "local s = 'x' while true do s = s .. s end",
        "string.rep('x', 1e9)",
        "local function f() return 1 + f() end f()",
        "local t = {} while true do t = {t} end",
        "local s = ('x'):rep(500000) s:gsub('x', ('y'):rep(1000))",
        "local t = {} while true do local r = pcall(function() while true do t[#t + 1] = {} end end) if not r then error('not enough memory') end end",
    ];
    for attack in attacks {
        let mut sandbox = load_with(&config, &once(attack));
        let failure = fails(&mut sandbox);
        assert_eq!(failure.kind, FailureKind::Memory, "{attack}: {failure}");
        let memory = sandbox.usage().memory;
        assert!(memory.max <= memory.cap && memory.cap == 1 << 20, "{memory:?}");
        call(&mut sandbox).unwrap_or_else(|e| panic!("{attack}: {e}"));
    }
}

#[test]
fn a_memory_failure_says_where() {
    let config = limited(|l| l.memory = 1 << 20);
    for grow in ["t[#t + 1] = i", "t[i] = {}", "s = s .. s", "t['x' .. i] = i"] {
        let failure = fails(&mut load_with(
            &config,
            &format!("function process_message()\n local t, s = {{}}, 'xyz'\n for i = 1, 1e9 do\n  {grow}\n end\nend"),
        ));
        assert!(failure.message.starts_with("t.lua:4: not enough memory: "), "{grow}: {failure}");
    }
    let starved = limited(|l| l.memory = 3000);
    let Err(error) = sandbox::Sandbox::new(&Script::new("t.lua", body("return 0")), &starved) else { panic!("this loads") };
    assert!(error.message.contains("not enough memory. Raise memory_limit."), "{error}");
}

#[test]
fn running_out_of_memory_anywhere_while_loading_is_only_an_error() {
    let source = "t = {} for i = 1, 20 do t[i] = {('x'):rep(i)} end local m = math.floor(1) function process_message() return 0 end";
    let mut sizes = (500..40_000).step_by(37);
    let loads = sizes.find(|&size| sandbox::Sandbox::new(&Script::new("t.lua", source), &limited(|l| l.memory = size)).is_ok());
    assert!(loads.is_some_and(|size| size > 8_000), "{loads:?}");
}

#[test]
fn instructions_are_counted() {
    let config = limited(|l| l.instructions = Some(10_000));
    let mut sandbox = load_with(&config, &once("while true do pcall(function() while true do end end) end"));
    let failure = fails(&mut sandbox);
    assert_eq!(failure.kind, FailureKind::Instructions);
    call(&mut sandbox).unwrap();
    let mut few = load_with(&config, &body("for i = 1, 1000 do end return 0"));
    for _ in 0..20 {
        call(&mut few).unwrap();
    }
}

#[test]
fn output_is_capped() {
    let config = limited(|l| l.output = 100);
    let failure = fails(&mut load_with(&config, &body("while true do add_to_payload('0123456789') end")));
    assert_eq!(failure.kind, FailureKind::Output);
    for source in [
        "inject_message{Payload = ('x'):rep(101)}",
        "inject_message{Fields = {a = ('x'):rep(60), b = ('x'):rep(60)}}",
        "inject_payload('txt', 'n', ('x'):rep(101))",
    ] {
        assert_eq!(fails(&mut load_with(&config, &body(source))).kind, FailureKind::Output, "{source}");
    }
    let mut kept = load_with(&config, &body("add_to_payload('a') pcall(add_to_payload, ('x'):rep(100)) inject_payload() return 0"));
    assert_eq!(call(&mut kept).unwrap().1.get(0).payload(), b"a");
}

#[test]
fn injections_are_counted() {
    let failure = fails(&mut load(&body("inject_message{} inject_message{}")));
    assert_eq!(failure.kind, FailureKind::Injection);
    let mut sandbox =
        load("function process_message() return 0 end function timer_event() for i = 1, 11 do inject_payload('txt', '', i) end end");
    let failure = tick(&mut sandbox).unwrap_err();
    assert!(
        failure.message.contains("inject_payload() exceeded InjectMessage count: 11 of 10 in timer_event. Raise max_timer_inject"),
        "{failure}"
    );
    let failure = match sandbox::Sandbox::new(&Script::new("t.lua", "inject_message{}"), &config()) {
        Ok(_) => panic!("this loads"),
        Err(e) => e,
    };
    assert!(failure.message.contains("inject_message() is not possible in loading"), "{failure}");
}

#[test]
fn refused_injections_cannot_fill_the_batch() {
    let mut builder = message::BatchBuilder::default();
    let mut sandbox = load(&body(
        "local bad = {Payload = ('x'):rep(60000), Fields = {x = print}} for i = 1, 1e4 do pcall(inject_message, bad) end return 0",
    ));
    let batch = message();
    sandbox.process_message(batch.get(0), &mut sandbox::Inject { builder: &mut builder, now_ns: NOW }).unwrap();
    assert!(builder.bytes() < 512 << 10, "{}", builder.bytes());
    assert!(builder.is_empty());
}

#[test]
fn a_thousand_idle_sandboxes_take_less_than_8_kib_of_lua_each() {
    let script =
        "count = 0 function process_message() count = count + 1 return 0 end function timer_event(ns) inject_payload('txt', '', count) end";
    let all: Vec<_> = (0..1000).map(|_| load(script)).collect();
    let bytes: u64 = all.iter().map(|s| s.usage().memory.current).sum();
    assert!(bytes / 1000 < 8 << 10, "{}", bytes / 1000);
    assert!(bytes > 0);
}

#[test]
fn a_guard_may_span_calls() {
    let _active = sandbox::active();
    let mut sandbox = load_with(&hurried(), &once("while true do end"));
    assert_eq!(fails(&mut sandbox).kind, FailureKind::Cpu);
    for _ in 0..300 {
        call(&mut sandbox).unwrap();
    }
    assert!(sandbox.usage().cpu.current < sandbox.usage().cpu.cap);
}

#[test]
fn running_out_of_memory_anywhere_in_a_call_is_only_an_error() {
    let script = "t = {} local function grow() t[#t + 1] = read_message('Type') .. #t inject_message{Type = 'x', Fields = {a = {1, 2}, b = 'c' .. #t}} end
        function process_message() pcall(grow) local g = {} for i = 1, 60 do g[i] = {i .. read_message('Type')} end add_to_payload(string.format('%d', #t)) print(#t) return 0 end";
    let smallest =
        (8_000..).step_by(16).find(|&m| sandbox::Sandbox::new(&Script::new("t.lua", script), &limited(|l| l.memory = m)).is_ok()).unwrap();
    let (mut failed, mut worked) = (0, 0);
    for memory in (smallest..smallest + 16_000).step_by(32) {
        let mut sandbox = load_with(&limited(|l| l.memory = memory), script);
        for _ in 0..3 {
            match call(&mut sandbox) {
                Ok(_) => worked += 1,
                Err(failure) => {
                    assert_eq!(failure.kind, FailureKind::Memory, "{failure}");
                    failed += 1;
                }
            }
        }
        if let Ok(saved) = sandbox.save() {
            let _ = load_with(&limited(|l| l.memory = memory), script).restore(&saved);
        }
    }
    assert!(failed > 0 && worked > 0, "{failed} failed, {worked} worked");
}
