//! Coroutines and `xpcall`: what they do, and that nothing gets out of them.

use std::time::Duration;

use sandbox::{FailureKind, Limits, SandboxConfig};

use crate::containment::contained;
use crate::support::*;

#[test]
fn coroutines_yield_and_resume() {
    passes(
        r#"
        local co = coroutine.create(function(a, b)
            local c = coroutine.yield(a + b)
            local d, e = coroutine.yield(c * 2)
            return d .. e, true
        end)
        assert(coroutine.status(co) == 'suspended')
        local ok, v = coroutine.resume(co, 1, 2)
        assert(ok and v == 3)
        ok, v = coroutine.resume(co, 5)
        assert(ok and v == 10)
        local ok, s, t = coroutine.resume(co, 'x', 'y')
        assert(ok and s == 'xy' and t == true and coroutine.status(co) == 'dead')
        assert(select(2, coroutine.resume(co)) == 'cannot resume dead coroutine')
        local main, is_main = coroutine.running()
        assert(is_main and not coroutine.isyieldable())
        assert(not pcall(coroutine.yield))
        local words = {}
        for w in coroutine.wrap(function() for _, w in ipairs{'a', 'b', 'c'} do coroutine.yield(w) end end) do words[#words + 1] = w end
        assert(table.concat(words) == 'abc')
        "#,
    );
}

#[test]
fn errors_of_a_coroutine_reach_who_resumed_it() {
    passes(
        r#"
        local ok, e = coroutine.resume(coroutine.create(function() error('no', 0) end))
        assert(not ok and e == 'no')
        local ok, e = coroutine.resume(coroutine.create(function() error({code = 5}) end))
        assert(not ok and e.code == 5)
        local ok, e = pcall(coroutine.wrap(function() error('deep') end))
        assert(not ok and e:find('deep'), e)
        local co co = coroutine.create(function() return coroutine.resume(co) end)
        local _, ok, e = coroutine.resume(co)
        assert(ok == false and e == 'cannot resume non-suspended coroutine')
        local co = coroutine.wrap(function() local ok, v = pcall(coroutine.yield, 1) error(v, 0) end)
        assert(co() == 1)
        local ok, e = pcall(co, 'thrown')
        assert(e == 'thrown')
        "#,
    );
    assert!(error_of("coroutine.wrap(5)").contains("bad argument #1"));
    assert!(error_of("coroutine.resume({})").contains("coroutine expected, got table"));
    assert!(
        error_of("local co co = coroutine.create(function() coroutine.close(co) end) error(select(2, coroutine.resume(co)))")
            .contains("cannot close a running coroutine")
    );
}

#[test]
fn coroutines_live_from_call_to_call_and_can_be_closed() {
    let mut sandbox = load(
        "local co = coroutine.wrap(function() while true do local line = read_message('Payload') n = (n or 0) + #line coroutine.yield() end end)
        function process_message() co() return 0 end",
    );
    for _ in 0..3 {
        call(&mut sandbox).unwrap();
    }
    assert!(call(&mut sandbox).is_ok());
    passes(
        "local co = coroutine.create(coroutine.yield) coroutine.resume(co)
        assert(coroutine.close(co) and coroutine.status(co) == 'dead' and coroutine.close(co))
        local ok, e = coroutine.close(coroutine.create(print)) assert(ok)",
    );
}

#[test]
fn many_coroutines_are_memory() {
    let config = SandboxConfig { limits: Limits { memory: 1 << 20, ..Limits::default() }, ..config() };
    let mut sandbox = load_with(&config, &body("local t = {} while true do t[#t + 1] = coroutine.create(print) end"));
    assert_eq!(fails(&mut sandbox).kind, FailureKind::Memory);
    let mut sandbox = load_with(&config, &body("for _ = 1, 20000 do coroutine.wrap(coroutine.yield)() end return 0"));
    call(&mut sandbox).unwrap();
}

#[test]
fn nesting_ends_in_an_error() {
    passes(
        "local function nest() local ok, e = coroutine.resume(coroutine.create(nest)) if not ok then error(e, 0) end end
        local ok, e = pcall(nest) assert(not ok and e:find('C stack overflow'), e)",
    );
}

#[test]
fn instructions_of_coroutines_count() {
    let config = SandboxConfig { limits: Limits { instructions: Some(20_000), ..Limits::default() }, ..config() };
    for attack in [
        "coroutine.wrap(function() while true do end end)()",
        "while true do pcall(coroutine.wrap(function() for i = 1, 50 do end end)) end",
        "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
        "for i = 1, 10 do pcall(coroutine.wrap(function() for i = 1, 5000 do end end)) end",
    ] {
        let mut sandbox =
            load_with(&config, &format!("first = true function process_message() if first then first = false {attack} end return 0 end"));
        assert_eq!(fails(&mut sandbox).kind, FailureKind::Instructions, "{attack}");
        call(&mut sandbox).unwrap();
    }
    call(&mut load_with(&config, &body("for i = 1, 20 do coroutine.wrap(function() for i = 1, 50 do end end)() end return 0"))).unwrap();
}

#[test]
fn a_stopped_coroutine_can_be_used_no_more_and_others_can() {
    let config = SandboxConfig { limits: Limits { cpu: Duration::from_millis(30), ..Limits::default() }, ..config() };
    let mut sandbox = load_with(
        &config,
        "first = true
        counter = coroutine.wrap(function() local n = 0 while true do for i = 1, 1000 do n = n + 1 end coroutine.yield(n) end end)
        function process_message()
            counter()
            if first then first = false loop = coroutine.create(function() while true do counter() end end) coroutine.resume(loop) end
            return 0
        end",
    );
    assert_eq!(fails(&mut sandbox).kind, FailureKind::Cpu);
    // The thread that was running when the call was stopped is dead or not; none has a hook left that fires.
    for _ in 0..3 {
        let outcome = call(&mut sandbox);
        assert!(outcome.is_ok() || outcome.unwrap_err().message.contains("dead coroutine"));
    }
}

#[test]
fn xpcall_hands_the_error_to_its_handler() {
    passes(
        r#"
        assert(select('#', xpcall(function(...) return ... end, print, 1, nil, 3)) == 4)
        local ok, a, b = xpcall(function(...) return ... end, print, 'a', 'b')
        assert(ok and a == 'a' and b == 'b')
        local ok, e, more = xpcall(error, function(e) return 'seen ' .. e, 5 end, 'this', 0)
        assert(not ok and e == 'seen this' and more == nil)
        local ok, e = xpcall(error, function(e) error('handler: ' .. e, 0) end, 'this', 0)
        assert(not ok and e == 'handler: this')
        local ok, e = xpcall(nil, function(e) return e end)
        assert(not ok and e:find('attempt to call a nil value'))
        local co = coroutine.wrap(function() return xpcall(function() coroutine.yield(1) error('late', 0) end, function(e) coroutine.yield(2) return e end) end)
        assert(co() == 1 and co() == 2)
        local ok, e = co()
        assert(ok == false and e == 'late')
        "#,
    );
    assert!(error_of("xpcall(print)").contains("bad argument #2 to 'xpcall' (function expected, got no value)"));
}

macro_rules! attacks {
    ($($name:ident: $prepare:literal, $attack:literal;)*) => {
        $(#[test] fn $name() { contained($prepare, $attack) })*
    };
}

attacks! {
    a_coroutine_without_end: "", "coroutine.wrap(function() while true do end end)()";
    a_coroutine_that_catches: "", "coroutine.wrap(function() while true do pcall(function() while true do end end) end end)()";
    a_coroutine_made_at_load: "co = coroutine.create(function() while true do pcall(function() while true do end end) end end)", "coroutine.resume(co)";
    coroutines_in_coroutines: "function nest(n) while true do pcall(coroutine.wrap(n > 0 and function() nest(n - 1) end or function() while true do end end)) end end", "nest(20)";
    coroutines_one_after_another: "", "local co = coroutine.create(function() while true do end end) while true do coroutine.resume(co) end";
    a_coroutine_that_yields_for_ever: "co = coroutine.wrap(function() while true do coroutine.yield() end end)", "while true do co() end";
    two_coroutines_in_turn: "a = coroutine.wrap(function() while true do coroutine.yield() end end) b = coroutine.wrap(function() while true do a() coroutine.yield() end end)",
        "while true do b() end";
    a_pattern_in_a_coroutine: "s = ('a'):rep(20000)", "coroutine.wrap(function() while true do pcall(s.find, s, '.-.-.-.-b') end end)()";
    a_sort_in_a_coroutine: "t = {} for i = 1, 1e5 do t[i] = i end", "coroutine.wrap(function() table.sort(t, rawequal) end)()";
    a_handler_without_end: "", "xpcall(error, function() while true do end end)";
    a_handler_that_fails: "", "local function h() xpcall(error, h) end h()";
    a_handler_in_a_handler: "function h() while true do xpcall(error, function() xpcall(h, h) end) end end", "h()";
    a_body_of_xpcall: "", "while true do xpcall(function() while true do end end, function() end) end";
    a_handler_in_a_coroutine: "", "coroutine.wrap(function() xpcall(error, function() while true do pcall(coroutine.wrap(function() while true do end end)) end end) end)()";
    foreach_of_much: "t = {} for i = 1, 1e5 do t[i] = i end", "table.foreach(t, rawlen) table.foreach(t, math.abs) table.foreachi(t, function() while true do end end)";
    cases_of_much: "s = ('a'):rep(2e6)", "s:upper() s:lower() s:reverse()";
}

/// A `__close` that came in by the back door, as closing value of a loop.
#[test]
fn closing_a_coroutine_without_end() {
    contained(
        "",
        "local mt = {} local c = setmetatable({}, mt) mt.__close = function() while true do end end
        local co = coroutine.create(function() for _ in coroutine.yield, nil, nil, c do end end)
        coroutine.resume(co)
        while true do coroutine.close(co) end",
    );
}
