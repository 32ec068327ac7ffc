//! Every single request for memory fails once, and every one from some point on: each time it is an
//! error like any other, nothing is left behind in Lua or in Rust, and the next sandbox works.

use std::time::Duration;

use message::BatchBuilder;
use sandbox::{Failure, FailureKind, Family, Inject, Limits, Sandbox, SandboxConfig, Script, Status, fault};

use crate::allocations::held;
use crate::support::*;

fn patient(family: Family) -> SandboxConfig {
    SandboxConfig {
        limits: Limits { cpu: Duration::from_secs(60), process_inject: 100, timer_inject: 100, ..Limits::default() },
        ..as_family(family)
    }
}

/// An outcome that is sound or says that memory ran out.
fn sound<T>(outcome: Result<T, Failure>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(failure) => {
            assert_eq!(failure.kind, FailureKind::Memory, "{failure}");
            None
        }
    }
}

fn process(sandbox: &mut Sandbox, config: &SandboxConfig) -> Option<Status> {
    let mut builder = BatchBuilder::default();
    let batch = message();
    sound(if matches!(config.family, Family::Decoder | Family::Transform) {
        builder.copy(batch.get(0));
        let (raw, messages) = builder.parts();
        sandbox.process_message_mut(messages, raw, 0, NOW)
    } else {
        sandbox.process_message(batch.get(0), &mut Inject { builder: &mut builder, now_ns: NOW })
    })
}

/// All that happens to a sandbox. Returns whether nothing of it failed.
fn live(source: &str, config: &SandboxConfig) -> bool {
    let script = Script::new("t.lua", source);
    let load = || match Sandbox::new(&script, config) {
        Ok(sandbox) => Some(sandbox),
        Err(error) => {
            assert!(error.message.contains("not enough memory"), "{error}");
            None
        }
    };
    let Some(mut sandbox) = load() else { return false };
    let mut whole = true;
    for _ in 0..2 {
        whole &= process(&mut sandbox, config) == Some(Status::Ok);
        whole &= sound(tick(&mut sandbox)).is_some();
    }
    sandbox.take_log();
    let Some(saved) = sound(sandbox.save()) else { return false };
    let Some(mut next) = load() else { return false };
    whole &= sound(next.restore(&saved)).is_some();
    whole & (process(&mut next, config) == Some(Status::Ok))
}

/// Lives once with each of these faults.
fn survived(source: &str, config: &SandboxConfig, step: usize, fault: impl Fn(u64) -> std::ops::RangeInclusive<u64>) {
    assert!(live(source, config), "it works with all the memory there is");
    let mut other = load(&body("return 0"));
    call(&mut other).unwrap();
    let mut struck = 0;
    for at in (1..).step_by(step) {
        let before = held();
        fault::set(fault(at));
        live(source, config);
        let requests = fault::clear();
        assert_eq!(held() - before, 0, "bytes left behind by the fault at request {at}");
        if requests < at {
            break;
        }
        struck += 1;
        if at % 64 == 1 {
            call(&mut other).unwrap();
            call(&mut load(&body("return 0"))).unwrap();
        }
    }
    assert!(struck > 40, "only {struck} faults");
}

/// Each request alone: refused, and refused again when Lua has collected its garbage.
fn each(source: &str, config: &SandboxConfig) {
    survived(source, config, 1, |at| at..=at + 1);
}

/// Memory is there up to some request, and then no more.
fn from_each(source: &str, config: &SandboxConfig) {
    survived(source, config, 3, |at| at..=u64::MAX);
}

macro_rules! faults {
    ($($name:ident, $family:ident: $source:literal;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn one_by_one() {
                each($source, &patient(Family::$family));
            }

            #[test]
            fn from_one_on() {
                from_each($source, &patient(Family::$family));
            }
        }
    )*};
}

faults! {
    filter, Filter: "
        count, seen, list = 0, {}, {1, 2.5, 'x', true, {}}
        local function grow() seen[read_message('Type') .. count] = {read_message('Payload'), list} end
        function process_message()
            count = count + 1
            pcall(grow)
            inject_message{Type = 'x', Payload = 'p', Fields = {a = {1, 2}, b = 'c' .. count, d = {value = 1.5, representation = 'ms'}}}
            add_to_payload('n ', count, nil, true, 0.5) inject_payload('txt', 'name', ' more')
            print(count, 'printed', {})
            return 0
        end
        function timer_event(ns) add_to_payload(ns) inject_payload() end";
    decoder, Decoder: "
        function process_message()
            write_message('Payload', 'was ' .. read_message('Payload'))
            write_message('Fields[new]', 1) write_message('Fields[s]', 'other', 'unit', 0, 0) write_message('Fields[i]', nil)
            inject_message{Type = 'second', Fields = {a = read_message('raw')}}
            return 0
        end";
    encoder, Encoder: "
        function process_message() inject_payload('txt', '', read_message('Type'), 1, read_config('text')) return 0 end";
    strings, Filter: "
        function process_message()
            local s = ('key=value; '):rep(20)
            local n = 0
            for k, v in s:gmatch('(%w+)=(%w+)') do n = n + #k + #v end
            local t = s:gsub('%w+', function(w) return w:upper() end):gsub('KEY', '%0%0'):gsub('VALUE', {VALUE = 'x'})
            local f = string.format('%5.2f %q %s %d %x', 1.5, t, s, 7, 255)
            local a, b = f:find('(%d+)', 1) local m = f:match('^(.-) ') local p = string.pack('>i4zs1', 7, 'x', f:sub(1, 9))
            local x, y, z = string.unpack('>i4zs1', p)
            text = table.concat({a, b, m, y, z, utf8.char(233, 8364), tostring(1.5), tonumber('12') .. ''}, ', ')
            return 0
        end";
    tables, Filter: "
        local function class() local c = {} c.__index = c return setmetatable({}, c) end
        function process_message()
            local t = {} for i = 1, 40 do t[i] = (i * 7919) % 101 end
            table.sort(t) table.sort(t, function(a, b) return a > b end)
            table.insert(t, 1, 'x') table.remove(t, 1) table.move(t, 1, 20, 30, {})
            kept = table.pack(table.unpack(t, 1, 10)) kept[1] = {deep = {er = {}}} kept[2] = kept
            local o = class() o.x = os.date('%Y-%m-%d', os.time{year = 2024, month = 2, day = 29})
            local m = math.floor(2.5) + math.max(1, 2, 3) + select('#', unpack({1, 2, 3}))
            local e = select(2, pcall(error, {code = 1})) assert(e.code == 1)
            return 0
        end";
    environments, Filter: "
        local M = setmetatable({}, {__index = _G}) setfenv(1, M)
        x = {}
        function _G.process_message() x[#x + 1] = 1 _G.shared = x return 0 end";
}

/// A module of a directory.
#[test]
fn modules() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("counting.lua"), "local M = {} function M.next(n) return (n or 0) + 1 end return M").unwrap();
    std::fs::write(dir.path().join("old.lua"), "module('old') function twice(n) return 2 * n end").unwrap();
    let config = SandboxConfig { module_path: Some(dir.path().to_path_buf()), ..patient(Family::Filter) };
    let source = "local counting = require 'counting' require 'old' require 'string'
        function process_message() n = counting.next(n) m = require('old').twice(n) return 0 end";
    each(source, &config);
    from_each(source, &config);
}
