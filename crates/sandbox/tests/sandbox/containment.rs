//! Functions that could run for very long without coming back to the script, each called over and
//! over, errors swallowed: every such call has to end at its CPU limit, and leave the thread usable.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sandbox::{FailureKind, Limits, Sandbox, SandboxConfig, Script};

use crate::support::*;

/// Far more than the CPU time allowed; who is not stopped by then is not stopped.
const DEADLINE: Duration = Duration::from_secs(20);

pub fn contained(prepare: &'static str, attack: &'static str) {
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
    endless_loop: "", "while true do end";
    endless_tail_calls: "", "local function f() return f() end f()";
    endless_tail_calls_of_two: "", "local f, g function f() return g() end function g() return f() end f()";
    deep_recursion: "", "local function f() return 1 + f() end f()";
    hot_float_loop: "", "local x = 0.0 for i = 1, 1e18 do x = x + i * 0.5 end";
    errors_swallowed: "", "while true do pcall(function() while true do end end) end";
    errors_swallowed_at_every_level: "", "local function d(n) pcall(d, n) pcall(d, n) end while true do pcall(d) end";
    errors_that_ask_for_their_text: "", "error(setmetatable({}, {__tostring = function() while true do end end, __name = 'x'}))";
    comparisons_without_end: "", "local t = setmetatable({}, {__eq = function() while true do end end}) local _ = t == setmetatable({}, getmetatable(t))";
    lookups_in_a_circle: "a, b = {}, {} setmetatable(a, {__index = b}) setmetatable(b, {__index = a})", "local _ = a.x";
    stores_in_a_circle: "a, b = {}, {} setmetatable(a, {__newindex = b}) setmetatable(b, {__newindex = a})", "a.x = 1";
    lookups_by_an_endless_function: "t = setmetatable({}, {__index = function() while true do end end})", "local _ = t.x";
    iteration_without_end: "", "for _ in function() return 1 end do end";
    next_over_growing_keys: "t = {} for i = 1, 2e5 do t[i] = i end for i = 1, 2e5 do t[i] = nil end t[1] = 1", "while true do next(t) end";
    close_of_a_generic_for: "m = {} closer = setmetatable({}, m) m.__close = function() while true do end end",
        "for _ in next, {1}, nil, closer do end";
    close_of_many_generic_fors: "m = {} closer = setmetatable({}, m) m.__close = function() while true do end end",
        "local function f(n) for _ in next, {1}, nil, closer do if n > 0 then f(n - 1) end error('x') end end f(150)";
    close_that_calls_for_itself: "m = {} closer = setmetatable({}, m) m.__close = function() for _ in next, {1}, nil, closer do end end",
        "for _ in next, {1}, nil, closer do end";
    collection_given_to_finalisers: "m = {} t = setmetatable({}, m) m.__gc = function() while true do end end",
        "for i = 1, 1000 do setmetatable({}, m) end while true do local _ = {} end";
    sort_with_a_median_of_three_killer: "
        -- M. D. McIlroy, A Killer Adversary for Quicksort: values are decided while they are compared.
        function killer()
            local n, solid, candidate, val, t = 20000, 0, 0, {}, {}
            local gas = n
            for i = 1, n do t[i] = i val[i] = gas end
            table.sort(t, function(x, y)
                if val[x] == gas and val[y] == gas then
                    if x == candidate then val[x] = solid else val[y] = solid end
                    solid = solid + 1
                end
                if val[x] == gas then candidate = x elseif val[y] == gas then candidate = y end
                return val[x] < val[y]
            end)
        end", "killer()";
    sort_by_numbers_at_random: "t = {} for i = 1, 1e5 do t[i] = i end", "table.sort(t, function() return math.random() < 0.5 end)";
    format_of_wide_numbers: "f = ('%99d%99.99f'):rep(1000) t = {} for i = 1, 2000 do t[i] = i end", "string.format(f, table.unpack(t))";
    format_of_exact_numbers: "", "for i = 1, 1e18 do string.format('%.99f', 1e308) end";
    format_of_quoted_strings: "s = ('\\0'):rep(1e6)", "string.format('%q', s)";
    format_of_many_strings: "s = ('x'):rep(1e5) f = ('%s'):rep(100)", "local t = {} for i = 1, 100 do t[i] = s end string.format(f, table.unpack(t))";
    gsub_bomb_by_captures: "s = ('ab'):rep(1e5)", "s:gsub('(.)(.)', '%1%2%0%1%2%0%1%2%0%1%2%0%1%2%0%1%2%0%1%2%0%1%2%0')";
    gsub_bomb_of_itself: "", "local s = 'xx' while true do s = s:gsub('x', s) end";
    strings_that_double: "", "local s = 'x' while true do s = s .. s end";
    strings_that_repeat: "", "string.rep('x', 1e9)";
    concat_that_doubles: "", "local s = 'x' while true do s = table.concat({s, s}) end";
    tables_that_grow: "", "local t = {} while true do t[#t + 1] = {t} end";
    tables_with_long_keys: "", "local t = {} while true do t[('k'):rep(1000) .. #t] = 1 t[#t + 1] = 1 end";
    closures_that_grow: "", "local t = {} while true do local n = #t t[n + 1] = function() return n, t end end";
    varargs_that_grow: "", "local function f(...) return f(..., 1, ...) end f(1)";
    unpacked_again_and_again: "t = {} for i = 1, 1e5 do t[i] = i end", "while true do select('#', table.unpack(t)) end";
    payload_without_end: "", "while true do pcall(add_to_payload, 'x') end";
    injections_without_end: "", "while true do pcall(inject_message, {Payload = 'x'}) end";
    lines_without_end: "", "while true do print('x') end";
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

/// What must not be there at all.
#[test]
fn nothing_compiles_dumps_collects_or_looks_into_functions() {
    for name in ["load", "loadstring", "loadfile", "dofile", "collectgarbage", "debug", "warn", "string.dump"] {
        passes(&format!("assert({name} == nil, '{name} is there')"));
    }
    for name in [
        "io",
        "os.execute",
        "os.exit",
        "os.getenv",
        "os.remove",
        "os.rename",
        "os.tmpname",
        "os.setlocale",
        "package.loadlib",
        "package.cpath",
    ] {
        passes(&format!("local ok, value = pcall(function() return {name} end) assert(not ok or value == nil, '{name} is there')"));
    }
    passes("for name in pairs(string) do assert(name ~= 'dump') end");
    passes("for _, name in ipairs{'io', 'debug', 'ffi', 'jit'} do assert(not pcall(require, name), name) end");
}

#[test]
fn bytecode_is_refused() {
    assert!(load_error("\x1bLuaT\0").message.contains("bytecode"));
    // Behind a first line as of a shell script, too: a text is read as text.
    assert!(load_error("#!lua\n\x1bLua").message.starts_with("t.lua:"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("code.lua"), b"\x1bLua\x54\x00").unwrap();
    let config = SandboxConfig { module_path: Some(dir.path().to_path_buf()), ..config() };
    let failure = fails(&mut load_with(&config, &body("require 'code'")));
    assert!(failure.message.contains("bytecode"), "{failure}");
}

#[test]
fn finalisers_are_refused_and_never_run() {
    passes(
        "for _, event in ipairs{'__gc', '__close'} do
        local ok, why = pcall(setmetatable, {}, {[event] = function() end})
        assert(not ok and why:find('setmetatable() refuses ' .. event, 1, true), why)
        assert(not pcall(setmetatable, {}, {[event] = false}))
    end",
    );
    // One that is put there later does not run either, nor at the state's end.
    let mut sandbox = load(
        "ran = false local m = {} kept = setmetatable({}, m) m.__gc = function() ran = true while true do end end
        for i = 1, 100 do pcall(setmetatable, {}, m) end
        function process_message() for i = 1, 1e5 do local _ = {} end assert(not ran) return 0 end",
    );
    call(&mut sandbox).unwrap();
    drop(sandbox);
    assert!(load_error("\nlocal x <close> = nil").message.starts_with("t.lua:2: <close> variables are not available"));
}

#[test]
fn the_metatable_of_strings_cannot_be_had() {
    passes("assert(getmetatable('') == false and getmetatable(('x'):rep(3)) == false)");
    passes("assert(not pcall(setmetatable, '', {}))");
    passes("assert(not pcall(rawset, getmetatable(''), '__index', {}))");
    // The library is the script's own: it spoils it for nobody else.
    let mut spoiler = load("string.upper = nil string.rep = error table = nil function process_message() return 0 end");
    call(&mut spoiler).unwrap();
    passes("assert(('a'):upper() == 'A' and ('a'):rep(2) == 'aa' and table.concat)");
}

#[test]
fn the_api_cannot_be_taken_away() {
    passes("assert(getmetatable(_G) == false and not pcall(setmetatable, _G, {}))");
    passes(
        "for _, name in ipairs{'read_message', 'inject_message', 'pcall', 'setmetatable', 'string'} do
        local own = _G[name]
        rawset(_G, name, function() return 'fake' end)
        assert(_G[name]() == 'fake')
        rawset(_G, name, nil)
        assert(_G[name] == own, name)
    end",
    );
    // Nor the functions that the host calls: it keeps those the script had when it was loaded.
    let mut sandbox =
        load("n = 0 function process_message() n = n + 1 process_message = error rawset(_G, 'timer_event', error) return 0 end");
    call(&mut sandbox).unwrap();
    call(&mut sandbox).unwrap();
    // What is hidden behind the globals is not to be reached by way of its functions.
    passes("for name in pairs(_G) do assert(name ~= 'read_message') end");
    passes("assert(rawget(_G, 'read_message') == nil and next(getmetatable('') or {}) == nil)");
}

/// Texts that take a compiler long: each is compiled or refused within its budget, and never more.
#[test]
fn compilers_are_limited_too() {
    let filled = |head: &str, piece: &str, tail: &str| {
        let room = (256 << 10) - head.len() - tail.len();
        format!("{head}{}{tail}", piece.repeat(room / piece.len()))
    };
    let tight = SandboxConfig { limits: Limits { cpu: Duration::from_millis(5), memory: 64 << 20, ..Limits::default() }, ..config() };
    let outcome = |config: &SandboxConfig, text: &str| match Sandbox::new(&Script::new("t.lua", text), config) {
        Ok(_) => panic!("there is no process_message in it"),
        Err(error) => error.message,
    };
    // Time by the square of its length.
    let slow = filled("a=a", " and a", "");
    let message = outcome(&tight, &slow);
    assert!(
        message.contains("CPU budget used up") && message.contains("in compiling. Raise cpu_limit or do less in one script."),
        "{message}"
    );
    let patient = SandboxConfig { limits: Limits { cpu: Duration::from_secs(20), memory: 64 << 20, ..Limits::default() }, ..config() };
    let texts = [
        filled("local a if a then ", "elseif a then ", " end"),
        filled("", "do goto x ", ""),
        filled("do ", "goto a;", " end ::a::"),
        filled("while true do ", "break;", " end"),
        filled("", "::a::", ""),
        filled("", "local a ", ""),
        filled("", "(", ""),
        filled("a=", "{", ""),
        filled("a=", "-", "1"),
        filled("a=", "not ", "1"),
        filled("", "f=function()", ""),
        filled("", "if a then ", ""),
        filled("", "do ", ""),
        filled("a=a", "..a", ""),
        filled("a=a", "^a", ""),
        filled("a=a", "()", ""),
        filled("a=[[", "a", "]]"),
        filled("a=", "1", ""),
        filled("a='", "\\u{7FFFFFFF}", "'"),
        filled("--[", "=", ""),
        filled("function a", ".a", "() end"),
        filled("local function f(a", ",a", ") end"),
        filled("return f{", "f=f;", "}"),
    ];
    for text in &texts {
        let message = outcome(&patient, text);
        assert!(!message.contains("CPU budget"), "{message}: {:.40}", text);
        outcome(&tight, text);
    }
    call(&mut load(&body("return 0"))).unwrap();
    let failure = load_error(&filled("", "x", "yz"));
    assert!(failure.message.starts_with("t.lua:1: syntax error") || failure.message.contains("near <eof>"), "{failure}");
    assert!(load_error(&format!("{}y", filled("", "x", ""))).message.contains("at most 262144 are allowed"));
}

/// A module is compiled within the budget of the call that requires it.
#[test]
fn modules_are_compiled_within_the_budget() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("a=a{}", " and a".repeat(43_000));
    std::fs::write(dir.path().join("slow.lua"), text).unwrap();
    let limits = Limits { cpu: Duration::from_millis(30), memory: 64 << 20, ..Limits::default() };
    let config = SandboxConfig { module_path: Some(dir.path().to_path_buf()), limits, ..config() };
    let mut sandbox =
        load_with(&config, "first = true function process_message() if first then first = false pcall(require, 'slow') end return 0 end");
    assert_eq!(fails(&mut sandbox).kind, FailureKind::Cpu);
    call(&mut sandbox).unwrap();
}

#[test]
fn state_is_capped_as_a_whole() {
    let limited = |state| SandboxConfig { limits: Limits { state, ..Limits::default() }, ..config() };
    let source = "a, b, c = '', '', {} function process_message() a, b = ('x'):rep(600), ('y'):rep(600) c = {a .. 'z'} return 0 end";
    let mut sandbox = load_with(&limited(1500), source);
    call(&mut sandbox).unwrap();
    let failure = sandbox.save().unwrap_err();
    assert_eq!(failure.kind, FailureKind::State);
    let golden = "the state takes more than the 1500 bytes allowed. Raise state_limit or keep less in globals. The longest string is `c[1]` with 601 bytes.";
    assert!(failure.message.ends_with(golden), "{failure}");
    call(&mut sandbox).unwrap();
    let mut roomy = load_with(&limited(2500), source);
    call(&mut roomy).unwrap();
    assert!((1800..=2500).contains(&roomy.save().unwrap().len()));
}

#[test]
fn injected_messages_are_capped_in_number_and_bytes() {
    let limits = Limits { output: 1000, process_inject: 5, ..Limits::default() };
    let config = SandboxConfig { limits, ..config() };
    let mut greedy = load_with(&config, &body("for i = 1, 100 do pcall(inject_message, {Payload = ('x'):rep(900)}) end return 0"));
    let (_, batch) = call(&mut greedy).unwrap();
    assert_eq!(batch.len(), 5);
    assert_eq!(greedy.usage().inject.max, 5);
    let failure = fails(&mut load_with(&config, &body("for i = 1, 6 do inject_message{Payload = 'x'} end return 0")));
    assert_eq!(failure.kind, FailureKind::Injection, "{failure}");
    for big in ["{Payload = ('x'):rep(1001)}", "{Type = ('x'):rep(1001)}", "{Fields = {[('x'):rep(1001)] = 1}}", "{Fields = {a = t}}"] {
        let failure =
            fails(&mut load_with(&config, &body(&format!("local t = {{}} for i = 1, 1000 do t[i] = i end inject_message{big} return 0"))));
        assert_eq!(failure.kind, FailureKind::Output, "{big}: {failure}");
    }
}

#[test]
fn an_encoder_may_inject_on_a_tick() {
    let source = "function process_message() return 0 end function timer_event() inject_message{Payload = 'x'} end";
    let batch = tick(&mut load_with(&as_family(sandbox::Family::Encoder), source)).unwrap();
    assert_eq!(batch.get(0).payload(), b"x");
}
