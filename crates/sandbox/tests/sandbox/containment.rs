//! Functions that could run for very long without coming back to the script, each called over and
//! over, errors swallowed: every such call has to end at its CPU limit, and leave the thread usable.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sandbox::{FailureKind, Limits, SandboxConfig};

use crate::support::*;

/// Far more than the CPU time allowed; who is not stopped by then is not stopped.
const DEADLINE: Duration = Duration::from_secs(20);

fn contained(prepare: &'static str, attack: &'static str) {
    let config = || SandboxConfig { limits: Limits { cpu: Duration::from_millis(50), ..Limits::default() }, ..config() };
    let source = format!(
        "first = true {prepare}
        function process_message()
            if first then first = false while true do pcall(function() {attack} end) end end
            return 0
        end"
    );
    let (sender, done) = mpsc::sync_channel(1);
    // A thread of its own, which the test can give up on.
    let thread = thread::spawn(move || {
        let mut sandbox = load_with(&config(), &source);
        let failure = fails(&mut sandbox);
        assert!(matches!(failure.kind, FailureKind::Cpu | FailureKind::Memory), "{failure}");
        call(&mut sandbox).unwrap_or_else(|e| panic!("the next call: {e}"));
        drop(sandbox);
        call(&mut load(&body("return 0"))).unwrap_or_else(|e| panic!("the next sandbox: {e}"));
        let _ = sender.send(());
    });
    match done.recv_timeout(DEADLINE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not stopped: {attack}"),
        _ => thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e)),
    }
}

macro_rules! attacks {
    ($($name:ident: $prepare:literal, $attack:literal;)*) => {
        $(#[test] fn $name() { contained($prepare, $attack) })*
    };
}

attacks! {
    find_with_lazy_repeats: "s = ('a'):rep(20000)", "s:find('.-.-.-.-b')";
    find_with_greedy_repeats: "s = ('a'):rep(20000)", "s:find('.*.*.*.*b')";
    find_with_options: "s, p = ('a'):rep(24), ('a?'):rep(24) .. ('a'):rep(24) .. 'b'", "s:find(p)";
    find_with_many_repeats: "s, p = ('a'):rep(100000), ('.-'):rep(40) .. 'b'", "s:find(p)";
    find_with_an_anchor: "s = ('a'):rep(20000)", "s:find('^.-.-.-.-b')";
    find_with_captures: "s = ('a'):rep(20000)", "s:find('(.-)(.-)(.-)%3%2%1b')";
    find_with_repetition: "s = ('a'):rep(1e6)", "s:find('(a*)%1b')";
    find_balanced: "s = ('('):rep(1e6)", "s:find('%b()')";
    find_frontier: "s, p = ('a'):rep(1e5), '%f[' .. ('b'):rep(1e5) .. ']'", "s:find(p)";
    find_in_a_long_set: "s, p = ('a'):rep(1e5), '[' .. ('b'):rep(1e5) .. ']'", "s:find(p)";
    find_runs_of_a_long_set: "s, p = ('a'):rep(1e5), '[^' .. ('b'):rep(1e5) .. ']-c'", "s:find(p)";
    find_plain_text: "s, p = ('a'):rep(15e5), ('a'):rep(7e5) .. 'b'", "s:find(p, 1, true)";
    match_with_lazy_repeats: "s = ('a'):rep(20000)", "s:match('.-.-.-.-b')";
    gmatch_with_lazy_repeats: "s = ('a'):rep(20000)", "for _ in s:gmatch('.-.-.-.-b') do end";
    gfind_with_lazy_repeats: "s = ('a'):rep(20000)", "for _ in s:gfind('.-.-.-.-b') do end";
    gsub_with_lazy_repeats: "s = ('a'):rep(20000)", "s:gsub('.-.-.-.-b', '')";
    gsub_by_an_endless_function: "", "('a'):gsub('a', function() while true do end end)";
    gsub_by_a_function_of_lua: "s = ('a'):rep(1e6)", "s:gsub('', rawlen)";
    gsub_by_a_long_chain: "s, t = ('a'):rep(1e6), {} for i = 1, 1900 do t = setmetatable({}, {__index = t}) end", "s:gsub('a', t)";
    gsub_that_grows: "s, r = ('a'):rep(5e5), ('y'):rep(1000)", "s:gsub('a', r)";
    gsub_with_empty_captures: "s, r = ('a'):rep(1e5), ('%1'):rep(5e5)", "s:gsub('(b*)', r)";
    repetition_of_nothing: "", "string.rep('', 2^53 // 1)";
    repetition_of_nothing_between_nothing: "", "string.rep('', math.maxinteger, '')";
    repetition_of_much: "", "('x'):rep(1e6):rep(1e6)";
    concat_of_a_lying_length: "t = setmetatable({}, {__len = function() return 1e9 // 1 end, __index = function() return '' end})", "table.concat(t)";
    concat_of_an_empty_answer: "t = setmetatable({}, {__len = function() return 1e9 // 1 end, __index = string.lower}) s = ''", "table.concat(t)";
    concat_through_a_long_chain: "t = {} for i = 1, 5e4 do t[i] = '' end for i = 1, 1900 do t = setmetatable({}, {__index = t}) end", "table.concat(t, '', 1, 5e4 // 1)";
    insert_into_a_lying_length: "t = setmetatable({}, {__len = function() return math.maxinteger - 1 end})", "table.insert(t, 1, 'x')";
    remove_from_a_lying_length: "t = setmetatable({}, {__len = function() return math.maxinteger end})", "table.remove(t, 1)";
    move_of_nothing: "", "table.move({}, 1, math.maxinteger - 1, 2)";
    move_of_nothing_backwards: "", "table.move({}, 1, 1 << 60, 3, {})";
    unpack_of_a_lying_length: "t = setmetatable({}, {__len = function() return 1e9 // 1 end})", "table.unpack(t) unpack(t, 1, 1e5 // 1)";
    unpack_through_a_long_chain: "t = {} for i = 1, 1900 do t = setmetatable({}, {__index = t}) end", "table.unpack(t, 1, 2e5 // 1)";
    sort_by_a_lie: "t = {} for i = 1, 1e5 do t[i] = i end", "table.sort(t, function() return true end)";
    sort_by_a_function_of_lua: "t = {} for i = 1, 1e5 do t[i] = i end", "table.sort(t, rawequal)";
    sort_of_a_lying_length: "t = setmetatable({}, {__len = function() return 2^31 // 1 - 2 end})", "table.sort(t, rawequal)";
    sort_of_long_strings: "local s = ('a'):rep(2e6) t = {} for i = 1, 1e5 do t[i] = s end", "table.sort(t)";
    numbers_of_many_digits: "s = ('1'):rep(4e6)", "tonumber(s)";
    numbers_of_many_digits_to_a_base: "s = ('1'):rep(4e6)", "tonumber(s, 36)";
    sums_of_many_digits: "s = '0.' .. ('1'):rep(4e6)", "local _ = s + s";
    many_numbers_to_max: "s, t = ('1'):rep(2e6), {} for i = 1, 5e4 do t[i] = s end", "math.max(table.unpack(t))";
    many_numbers_to_char: "s, t = ('0'):rep(2e6), {} for i = 1, 5e4 do t[i] = s end", "string.char(table.unpack(t))";
    many_numbers_to_utf8: "s, t = ('0'):rep(2e6), {} for i = 1, 5e4 do t[i] = s end", "utf8.char(table.unpack(t))";
    many_numbers_to_pack: "s, t = ('0'):rep(2e6), {} for i = 1, 5e4 do t[i] = s end", "string.pack(('b'):rep(5e4), table.unpack(t))";
    many_numbers_to_format: "s, t = ('0'):rep(2e6), {} for i = 1, 5e4 do t[i] = s end", "string.format(('%d'):rep(5e4), table.unpack(t))";
    many_strings_to_format: "s, t = ('x'):rep(2e6), {} for i = 1, 5e4 do t[i] = s end", "string.format(('%.0s'):rep(5e4), table.unpack(t))";
    lengths_in_utf8: "s = ('é'):rep(2e6)", "utf8.len(s)";
    offsets_in_utf8: "s = ('é'):rep(2e6)", "utf8.offset(s, 19e5 // 1)";
    codes_in_utf8: "s = ('\\x80'):rep(4e6)", "for _ in utf8.codes(s) do end";
    code_points_in_utf8: "s = ('é'):rep(2e6)", "utf8.codepoint(s, 1, -1)";
    dates_of_a_long_format: "s = ('%e'):rep(1e6)", "os.date(s)";
    calls_of_itself: "t = {} setmetatable(t, {__call = t})", "t()";
    fields_of_junk: "local junk = {name = 'a', value = 1} for i = 1, 5e4 do junk[-i] = i end f = {} for i = 1, 4000 do f[i] = junk end",
        "inject_message{Fields = f}";
}

#[test]
fn an_error_that_comes_too_late_is_put_down_to_the_cpu_limit() {
    let config = SandboxConfig { limits: Limits { cpu: Duration::from_millis(20), ..Limits::default() }, ..config() };
    let failure = fails(&mut load_with(&config, &body("local t = {} setmetatable(t, {__call = t}) t()")));
    assert_eq!(failure.kind, FailureKind::Cpu, "{failure}");
    assert!(failure.message.starts_with("CPU budget used up: "), "{failure}");
}

#[test]
fn state_that_shares_much() {
    let config = SandboxConfig { limits: Limits { cpu: Duration::from_secs(5), ..Limits::default() }, ..config() };
    let mut sandbox = load_with(
        &config,
        "local s, t = ('x'):rep(2e6), {}
        for i = 1, 2e4 do t[i] = s end
        for i = 1, 1000 do _G['g' .. i] = t end
        function process_message() g1[1] = 5 return 0 end",
    );
    call(&mut sandbox).unwrap();
    assert_eq!(sandbox.save().unwrap_err().kind, FailureKind::State);
}
