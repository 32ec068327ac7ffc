//! Native objects ask before they grow: a script may fill its memory to the last byte, but never takes
//! one more, and what is charged for an object is what it holds.

use sandbox::{FailureKind, SandboxConfig};

use crate::allocations::held;
use crate::support::*;

/// Lets `step` run until the memory is full. `begin` makes the global `object` that grows.
fn grows(cap: usize, begin: &str, step: &str) -> (sandbox::Sandbox, usize) {
    let mut config = SandboxConfig { modules: ::modules::ALL, ..config() };
    config.limits.memory = cap;
    config.limits.cpu = std::time::Duration::from_secs(60);
    let release = format!("function timer_event() if n > 0 then object = nil end local s = ('x'):rep({cap}) end");
    let mut sandbox = load_with(&config, &format!("n = 0 {begin} function process_message() n = n + 1 {step} return 0 end {release}"));
    // What is made once for this is there from now on.
    assert_eq!(tick(&mut sandbox).unwrap_err().kind, FailureKind::Memory);
    for steps in 0..200_000 {
        let outcome = call(&mut sandbox);
        let memory = sandbox.usage().memory;
        assert!(memory.max <= cap as u64, "{} of {cap} bytes at step {steps}: {step}", memory.max);
        if let Err(failure) = outcome {
            assert_eq!(failure.kind, FailureKind::Memory, "{failure}");
            return (sandbox, steps);
        }
    }
    panic!("never full: {step}");
}

/// What is charged is what Rust holds: both are counted with the object, and without it.
fn charged_is_held(cap: usize, begin: &str, step: &str) {
    let (mut sandbox, steps) = grows(cap, begin, step);
    assert!(steps > 10, "{steps} steps");
    // A call that fails for want of memory leaves no garbage; and it fails again.
    assert_eq!(fails(&mut sandbox).kind, FailureKind::Memory);
    let (charged, real) = (sandbox.usage().memory.current as isize, held());
    assert_eq!(tick(&mut sandbox).unwrap_err().kind, FailureKind::Memory);
    let (charged, real) = (charged - sandbox.usage().memory.current as isize, real - held());
    assert!(real > cap as isize / 4, "it held only {real} bytes");
    // The rest is what the object takes in Lua, and text of the last failure.
    assert!((charged - real).abs() < 512, "{charged} charged, {real} held: {step}");
    assert!(sandbox.usage().memory.max <= cap as u64);
}

#[test]
fn topk() {
    charged_is_held(1 << 20, "object = require 'topk'.new(1000000)", "for i = 1, 20 do object:add('item ' .. n .. ' ' .. i) end");
    // Items that take the counters of shorter ones.
    charged_is_held(1 << 20, "object = require 'topk'.new(1000)", "for i = 1, 20 do object:add(('x'):rep(n) .. i) end");
}

#[test]
fn ddsketch() {
    let begin = "object = require 'ddsketch'.new(0.0001, 65536)";
    charged_is_held(1 << 19, begin, "for i = 1, 20 do object:add(1.002 ^ (n * 20 + i)) object:add(-1.001 ^ -(n * 20 + i)) end");
    charged_is_held(
        1 << 19,
        begin,
        "local other = ddsketch.new(0.0001, 65536) other:add(1.01 ^ n) other:add(-1.01 ^ n) object:merge(other)",
    );
}

#[test]
fn annotations() {
    let begin = "object = require 'circular_buffer'.new(10, 1, 1)";
    charged_is_held(1 << 20, begin, "for i = 1, 20 do object:annotate(0, 1, 'info', ('text'):rep(i)) end");
}

/// Objects whose size is fixed: each is asked for as a whole.
#[test]
fn lists_of_objects() {
    for make in [
        "require 'hyperloglog'.new()",
        "require 'bloom_filter'.new(5000, 0.01)",
        "require 'cuckoo_filter'.new(3000)",
        "require 'cuckoo_filter_expire'.new(3000, 1)",
        "require 'sax'.window.new(4096, 16, 4)",
        "require 'sax'.word.new(('ABC#'):rep(1000), 4)",
        "require 'circular_buffer'.new(500, 2, 1, true)",
        "require 'topk'.new(10)",
    ] {
        grows(1 << 20, "object = {}", &format!("object[n] = {make}"));
    }
}

#[test]
fn patterns() {
    for (begin, step) in [
        ("local l = require 'lpeg' object = l.P(false)", "object = object + l.P('word ' .. n) * l.C(l.R('az')^0) / ('text'):rep(9)"),
        (
            "local l = require 'lpeg' object = {}",
            "object[n] = l.P{'E', E = l.V(('name'):rep(n)) + '(', [('name'):rep(n)] = l.Cc(('x'):rep(n), n)}",
        ),
        ("local l = require 'lpeg' object = {}", "object[n] = l.P(('x'):rep(n * 100)) * l.S('abc') ^ n object[n]:match('x')"),
        (
            "local re = require 're' object = {}",
            "object[n] = re.compile(\"a <- {| 'long text' b* |} b <- [0-9]+ -> 'x' / .\") object[n]:match('long text 12')",
        ),
        (
            "require 'regex' object = {}",
            "object[n] = regex.compile('(a|b)*c[0-9]{' .. n .. '}x', 'a') object[n]:find(('ab'):rep(50) .. 'c0123456789')",
        ),
        (
            "require 'regex' object = {} re = regex.compile('[a-q][^u-z]{13}x')",
            "object[n] = ('abcdefghijklmnopqrstuvw' .. n):rep(50) re:find(object[n])",
        ),
        ("require 'regex' object = {} re = regex.compile('.')", "object[n] = re:gmatch(('text'):rep(1000)) object[n]()"),
    ] {
        grows(4 << 20, begin, step);
    }
}

#[test]
fn lua_beside_them() {
    for step in [
        "object[n] = require 'cjson'.decode('{\"key' .. n .. '\": [1, 2, {\"a\": \"text\"}]}')",
        "for i = 1, 50 do object[n * 50 + i] = require 'struct'.pack('>I4', n * 50 + i) end",
    ] {
        grows(1 << 20, "object = {}", step);
    }
}
