//! What no argument may do: every function of every module and every method of its objects with arguments from the edges.

use std::fmt::Write;

use sandbox::FailureKind;
use sandbox::native::Body;

use crate::support::{call, error_of, load, passes};

/// Makes objects of all types, draws functions and arguments, and calls. One call of `process_message` draws a few.
const FUZZ: &str = r##"
local seed = SEED
local function random(n) -- 1 to n
    seed = (seed * 1103515245 + 12345) % 2147483648
    return math.floor(seed / 65536) % n + 1
end
local modules = {}
for i, name in ipairs(NAMES) do
    local ok, m = pcall(require, name)
    modules[i] = {name, m}
end
local lpeg, cb = require "lpeg", require "circular_buffer"
local function objects()
    local loud = setmetatable({}, {
        __index = function() error("no") end, __newindex = function() error("no") end, __len = function() return 1e15 end,
        __eq = function() error("eq") end, __tostring = function() error("text") end, __call = function() return 1e308 end,
    })
    local circle = {} circle.circle = circle
    local sparse = {[1] = 1, [2 ^ 53] = 2, [-1] = 3, x = 4, [.5] = 5}
    return {
        require "bloom_filter".new(100, 0.01), cb.new(5, 2, 1), cb.new(2, 1, 3600, true), require "cjson".null,
        require "cuckoo_filter".new(100), require "cuckoo_filter_expire".new(100, 10), require "ddsketch".new(), require "hyperloglog".new(),
        lpeg.P "a", lpeg.C(lpeg.R "az" ^ 1), lpeg.Ct(lpeg.Cg(lpeg.P(1), "x") ^ 0), lpeg.V "none", lpeg.S "xyz" / function(...) return ... end,
        lpeg.Cmt(1, function() return true, 1 end), lpeg.P(function(s, i) return i + 1 end), lpeg.Cb "x", lpeg.Carg(1), -lpeg.P(1), #lpeg.P "a",
        require "re".compile "{ %w+ }", require "regex".compile "(a)|(b*)", require "regex".compile "a*":gmatch "baaac",
        require "sax".window.new(8, 4, 4), require "sax".word.new("ABC", 4), require "sax".word.new({1, 2, 3, 4}, 2, 4), require "topk".new(3),
        loud, circle, sparse, {}, {1, 2, 3}, {"S", S = lpeg.P "x" * lpeg.V "S" + 1}, {{}, {}}, print, function() error "callback" end,
        function(...) return ... end, function() return nil, {}, 2 ^ 53 end, coroutine.wrap(function() while true do coroutine.yield(1) end end),
        function() coroutine.yield(1) end, coroutine.create(print), setmetatable({1}, {__index = {2, 3}, __len = function() return -1 end}),
        {text = "x", item = 1, algorithm = "mww", start_time = -1, window = 2 ^ 60, column = 1},
    }
end
local plain = {
    0, -1, 1, 2, 3, 4, 8, 16, 0.5, 0.01, -0.0, 1e9, 1e15, 1e18, 2 ^ 31, 2 ^ 32, 2 ^ 53, 2 ^ 63, -2 ^ 63, 1e308, -1e308, 5e-324, 1 / 0, -1 / 0, 0 / 0,
    math.maxinteger or 2 ^ 63, math.mininteger or -2 ^ 63, 1700000000000000000, true, false, "", "a", "abc", "x=1", "0", "-1", "1e400", "nan", "\0", "\255\254", "sum", "avg", "sd", "min",
    "max", "cbuf", "cbufd", "info", "alert", "i8 h !4 d c0", "<I32c0s", "c2147483647", "!32i16", "[1,{\"a\":null}]", "{\"a\":[[[", "[^%w]*", "(((((", "(a*)*b", "\\pL{100}",
    "$0${1}$$$x", "roc('x', 1, 15, 0, 1.5, true, false)", "mww('x', 1, 15, 2, 0.0001, decreasing)", "%Y-%m-%dT%H:%M:%S%z", "$remote_addr - $time_local", "%TIMESTAMP% %HOSTNAME%", "S <- 'a' S / %nl {}",
    ("x"):rep(70000), ("("):rep(3000), ("["):rep(3000), ("0"):rep(400), ("a?"):rep(500), "1 2 3 nan -1 0 0",
}
local pool = {}
local worked = 0
local function argument()
    if random(3) == 1 then return pool[random(#pool)] end
    return plain[random(#plain)]
end
local function arguments()
    local t, n = {}, random(7) - 1
    for i = 1, n do t[i] = argument() end
    return t, n
end
local binary = {
    function(a, b) return a + b end, function(a, b) return a - b end, function(a, b) return a * b end, function(a, b) return a / b end,
    function(a, b) return a ^ b end, function(a) return -a end, function(a) return #a end, function(a, b) return a == b end,
    function(a, b) return a .. b end, function(a, b) return a < b end, function(a) return tostring(a) end, function(a, b) return a(b) end,
    function(a, b) return a[b] end, function(a, b) a[b] = b end, function(a) add_to_payload(a) end,
}
local function keep(ok, ...)
    if not ok then return end
    worked = worked + 1
    for i = 1, math.min(select("#", ...), 3) do
        local v = select(i, ...)
        if type(v) == "userdata" or rawequal(type(v), "table") and not rawequal(v, _G) then pool[random(60)] = v end
    end
end
local function step()
    local what = random(10)
    local t, n = arguments()
    if what <= 4 then
        local m = modules[random(#modules)]
        local f = m[2]
        if type(f) == "table" then
            local names = FUNCTIONS[m[1]]
            if names then
                local a, b = names[random(#names)]:match "^([^.]*)%.?(.*)$"
                f = f[a]
                if b ~= "" then f = f[b] end
            end
        end
        if type(f) == "function" then keep(pcall(f, unpack(t, 1, n))) end
    elseif what <= 8 then
        local o = pool[random(#pool)]
        local name = METHODS[random(#METHODS)]
        if random(2) == 1 and type(o) == "userdata" then -- one of its own
            for i = 1, 40 do
                local ok, f = pcall(function() return o[name] end)
                if ok and type(f) == "function" then break end
                name = METHODS[random(#METHODS)]
            end
        end
        local ok, f = pcall(function() return o[name] end)
        if ok and type(f) == "function" then
            local self = random(10) == 1 and argument() or o
            keep(pcall(f, self, unpack(t, 1, n)))
        end
    else
        keep(pcall(binary[random(#binary)], argument(), argument()))
    end
end
function process_message()
    pool = objects()
    for i = 1, 60 do step() end
    assert(worked > 0)
    return 0
end
"##;

/// Many calls with the native modules, or with those written in Lua.
fn fuzz(seed: u32, native: bool) {
    let (mut names, mut functions, mut methods) = (String::new(), String::new(), String::new());
    for module in modules::ALL {
        match module.body {
            Body::Native(all, objects) if native => {
                let all: Vec<String> = all.iter().filter(|f| !f.is_value()).map(|f| format!("{:?}", f.name)).collect();
                write!(names, "{:?},", module.name).unwrap();
                write!(functions, "{} = {{{}}},", module.name, all.join(",")).unwrap();
                for method in objects.iter().flat_map(|o| o.methods) {
                    write!(methods, "{:?},", method.name).unwrap();
                }
            }
            Body::Text(_) if !native => write!(names, "{:?},", module.name).unwrap(),
            _ => {}
        }
    }
    methods.push_str("'captures','find','gmatch','gsub','match',");
    let source = format!("local SEED, NAMES, FUNCTIONS, METHODS = {seed}, {{{names}}}, {{{functions}}}, {{{methods}}}\n{FUZZ}");
    let mut sandbox = load(&source, |c| {
        c.limits.memory = 4 << 20;
        c.limits.cpu = std::time::Duration::from_secs(1);
    });
    for _ in 0..10 {
        if let Err(failure) = call(&mut sandbox) {
            // What a function raises the script has caught.
            assert!(matches!(failure.kind, FailureKind::Cpu | FailureKind::Memory), "seed {seed}: {failure}");
        }
    }
    // The end of a sandbox checks that its memory is back at 0.
}

#[test]
fn no_argument_breaks_a_sandbox() {
    for seed in 1..=40 {
        fuzz(seed, true);
    }
    fuzz(7, false);
}

#[test]
fn hostile_bodies_end_in_time_and_leave_nothing() {
    for source in [
        r#"local r = require "regex".compile "a" assert(r:gsub("aaa", function() return r:gsub("aa", "b") end) == "bbbbbb")"#,
        r#"local r = require "regex".compile "a" local it = r:gmatch("aaa") assert(r:gsub("aaa", function() return it() end) == "aaa")"#,
        r#"local l = require "lpeg" local p p = l.P("a") / function() if p:match("b") then end return p:match("") end * l.Cc(1) assert(p:match("a"))"#,
        r#"local l = require "lpeg" local n, p = 0 p = l.Cmt("a", function() n = n + 1 return p:match("a") end) local ok, e = pcall(p.match, p, "a") assert(not ok, n)"#,
        r#"local l = require "lpeg" local p = l.Cmt("a", function() coroutine.yield(1) end) local co = coroutine.create(function() return p:match "a" end) local ok, e = coroutine.resume(co) assert(not ok and e:find "yield", e)"#,
        r#"local r = require "regex".compile "a" local co = coroutine.create(function() return r:gsub("a", coroutine.yield) end) local ok, e = coroutine.resume(co) assert(not ok and e:find "yield", e)"#,
        r#"local l = require "lpeg" local f = coroutine.wrap(l.match) assert(f(l.P "a", "a") == 2) assert(not pcall(f))"#,
        r#"local w = coroutine.wrap(require "topk".new) local t = w(3) t:add "x" assert(t:len() == 1)"#,
        r#"local l = require "lpeg" for i = 1, 300 do local co = coroutine.wrap(function() local p = l.C(l.P(i % 9)) coroutine.yield(p) end) co() end"#,
        r#"local l = require "lpeg" local p = l.P "a" for i = 1, 20000 do p = p * "a" end p:match "aaa""#,
        r#"local l = require "lpeg" local p = l.P "a" for i = 1, 20000 do p = "a" + p end p:match "aaa""#,
        r#"local l = require "lpeg" local p = l.P "a" for i = 1, 20000 do p = l.C(p) end p:match "aaa""#,
        r#"local l = require "lpeg" local p = l.P "a" for i = 1, 20000 do p = l.P{p} end p:match "aaa""#,
        r#"local l = require "lpeg" local p = l.P "a" for i = 1, 20000 do p = -p end p:match "aaa""#,
        r#"local l = require "lpeg" local p = l.P "a" for i = 1, 40 do p = p * p end p:match "aaa""#,
        r#"local l = require "lpeg" local p = l.P "a" for i = 1, 40 do p = (p + p) end p:match "b""#,
        r#"local l = require "lpeg" local p = l.P "a" for i = 1, 60 do p = (p + p) * (p + "b") end p:match "b""#,
        r#"local l = require "lpeg" local p = l.P(2^31) p:match "b""#,
        r#"local l = require "lpeg" local p = l.P(-2^53) p:match "b""#,
        r#"local l = require "lpeg" local p = l.P "ab" ^ 100000 p:match "b""#,
        r#"local l = require "lpeg" local p = l.P "ab" ^ -1000000 p:match "b""#,
        r#"local l = require "lpeg" local p = l.P "ab" ^ -2 ^ 53 p:match "b""#,
        r#"local l = require "lpeg" local p = l.P "ab" ^ math.mininteger p:match "b""#,
        r#"local l = require "lpeg" l.setmaxstack(100000) local p = l.P{l.P "a" * l.V(1) + l.C(l.V(1))} p:match(("a"):rep(1e5))"#,
        r#"local l = require "lpeg" local p = l.P(1) ^ 0 local q = l.B(l.P "x") for i = 1, 8 do q = (l.P(1) * -l.P "z" + q) ^ 0 end q:match(("y"):rep(1e5))"#,
        r#"local l = require "lpeg" local p = (l.C(1)) ^ 0 p:match(("y"):rep(2e6))"#,
        r#"local l = require "lpeg" local p = l.Cg(1, "x") ^ 0 * (l.Cb "x") ^ -1000 p:match(("y"):rep(1e5))"#,
        r#"local l = require "lpeg" local p = l.P{(l.Cg(l.P "y", "n") * l.V(1) + true) * l.Cb "n"} l.setmaxstack(1e5) p:match(("y"):rep(5e4))"#,
        r#"local l = require "lpeg" local p = l.Cs((l.P(1) / "%0%0%0%0%0%0%0%0%0") ^ 0) p:match(p:match(p:match(p:match(p:match(p:match(("y"):rep(100)))))))"#,
        r#"local l = require "lpeg" local p = l.C(1) / ("%1"):rep(1e5) for i = 1, 100 do p:match "a" end"#,
        r#"local l = require "lpeg" local t = {} for i = 1, 5000 do t[i] = l.V(i % 5000 + 1) end l.P(t)"#,
        r#"local l = require "lpeg" local t = {"x"} for i = 1, 240 do t["r" .. i] = l.V("r" .. i % 240 + 1) + l.V("r" .. (i * 7) % 240 + 1) end t.x = l.P(1) * l.V "r1" l.P(t)"#,
        r#"local l = require "lpeg" local t = {"r1"} for i = 1, 240 do t["r" .. i] = (l.V("r" .. i + 1) + true) * (l.V("r" .. i + 1) + true) * "a" end t.r241 = l.P(1) l.P(t):match "aa""#,
        r#"local re = require "re" re.compile(("("):rep(1e5))"#,
        r#"local re = require "re" re.compile(("{"):rep(1e5))"#,
        r#"local re = require "re" re.compile(("!"):rep(1e5) .. "'a'")"#,
        r#"local re = require "re" re.compile(("'a' / "):rep(1e5) .. "'a'")"#,
        r#"local re = require "re" re.compile("'a'" .. ("*"):rep(1e5))"#,
        r#"local re = require "re" re.compile("'a'^99999999999999999999")"#,
        r#"local re = require "re" re.compile("'a'^-9223372036854775808")"#,
        r#"local re = require "re" re.compile("{'a'} -> 99999999999")"#,
        r#"local re = require "re" re.gsub(("a"):rep(1e6), "'a'*", "bb")"#,
        r#"require "struct".pack("c1000000000", "")"#,
        r#"require "struct".pack("c2147483647", "")"#,
        r#"require "struct".pack("!32" .. ("bi32"):rep(2e5), unpack({}, 1, 2e5))"#,
        r#"require "struct".pack("!32" .. ("x"):rep(4e6))"#,
        r#"require "struct".size(("c2147483647"):rep(3e5))"#,
        r#"require "struct".unpack(("b"):rep(1e6), ("x"):rep(1e6))"#,
        r#"require "struct".unpack("!8 i8", "x", 9223372036854775807)"#,
        r#"require "struct".unpack("Lc0", ("\255"):rep(20))"#,
        r#"local c = require "cjson" c.decode_max_depth(1e6) c.decode(("["):rep(1e5) .. ("]"):rep(1e5))"#,
        r#"local c = require "cjson" c.encode_max_depth(1e9) local t = {} t[1] = t c.encode(t)"#,
        r#"local c = require "cjson" c.encode_max_depth(1e9) local t = {} t.x = t c.encode(t)"#,
        r#"local c = require "cjson" c.encode_sparse_array(true, 0, 0) c.encode{[2^53] = 1}"#,
        r#"local c = require "cjson" c.encode_sparse_array(false, 0, 0) c.encode{[math.maxinteger] = 1}"#,
        r#"local c = require "cjson" c.encode_number_precision(17) c.encode{1e308, 5e-324, -0.0, 2^63, -2^63}"#,
        r#"local t = require "topk".new(2 ^ 20) for i = 1, 1e6 do t:add(i, math.maxinteger) end"#,
        r#"local t = require "topk".new(2 ^ 20) for i = 1, 5000 do t:add(i) end for i = 1, 1e5 do t:list(1) end"#,
        r#"require "sax".window.new(2 ^ 31, 2, 4)"#,
        r#"require "sax".window.new(4096, 4096, 16)"#,
        r#"local w = require "sax".window.new(4096, 2, 16) for i = 1, 1e6 do w:add(i) w:get_word() end"#,
        r#"require "bloom_filter".new(1e15, 1e-300)"#,
        r#"require "bloom_filter".new(math.maxinteger, 5e-324)"#,
        r#"require "bloom_filter".new(2, 1 - 2^-53):add(1)"#,
        r#"local h = require "hyperloglog".new() for i = 1, 1e6 do h:merge(h) h:count() end"#,
        r#"local d = require "ddsketch".new(0.0001, 65536) for i = -300, 300 do d:add(10 ^ i, math.maxinteger) d:add(-10 ^ i, math.maxinteger) end d:merge(d) for i = 1, 1e6 do d:quantile(0.5) end"#,
        r#"require "cuckoo_filter".new(math.maxinteger)"#,
        r#"require "cuckoo_filter".new(2 ^ 62)"#,
        r#"require "cuckoo_filter_expire".new(math.maxinteger, 10)"#,
        r#"local c = require "cuckoo_filter_expire".new(1000, 1000) for i = 1, 1e6 do c:add(i, i % 2 == 0 and math.maxinteger or math.mininteger) end"#,
        r#"require "circular_buffer".new(math.maxinteger, math.maxinteger, 1)"#,
        r#"require "circular_buffer".new(2 ^ 32, 2 ^ 32, 1)"#,
        r#"local c = require "circular_buffer".new(1e5, 1, 1) for i = 1, 1e5 do c:compute("variance", 1) c:mannwhitneyu(1, 0, 5e13, 5e13, 9e13) end"#,
        r#"local c = require "circular_buffer".new(2e5, 1, 1) for i = 1, 2e5 do c:set(i * 1e9, 1, i) end for i = 1, 1e4 do c:mannwhitneyu(1, 0, 1e14, 1e14 + 1e9, 2e14) end"#,
        r#"local c = require "circular_buffer".new(1000, 10, 1) for i = 1, 1e5 do c:add(i % 2 == 0 and math.maxinteger or math.mininteger, 1, 1) end"#,
        r#"local c = require "circular_buffer".new(2, 1, 3600) for i = 1, 1e6 do c:annotate(0, 1, "info", ("x"):rep(1e4)) end"#,
        r#"require "regex".compile("(?:a{1000}){1000}")"#,
        r#"require "regex".compile("(?:(?:(?:){1000}){1000}){1000}")"#,
        r#"require "regex".compile(("("):rep(1e5) .. (")"):rep(1e5))"#,
        r#"require "regex".compile(("a|"):rep(1e5))"#,
        r#"require "regex".compile(("[a-z]"):rep(1e5))"#,
        r#"require "regex".compile(("(?i)[[a-z]&&[b-y]]"):rep(2e4))"#,
        r#"require "regex".compile(("\\pL"):rep(1e5))"#,
        r#"require "regex".compile(("(?i:\\PN)"):rep(3e4))"#,
        r#"for i = 1, 1e4 do pcall(require "regex".compile, "\\w{90}" .. i) end"#,
        r#"require "regex".compile("(.*)(.*)(.*)x"):match(("y"):rep(2e6))"#,
        r#"require "regex".compile("x*"):gsub(("y"):rep(2e6), "")"#,
        r#"require "regex".compile(".*?x|y"):gsub(("y"):rep(1e6), "")"#,
        r#"require "regex".compile("a"):gsub(("a"):rep(1e5), ("$0"):rep(1e4))"#,
        r#"require "xxhash".h64(("x"):rep(1e6), math.mininteger)"#,
        r#"require "anomaly".parse_config(("roc('x', 1, 15, 0, 1.5, true, false)"):rep(1e5))"#,
        r#"require "anomaly".detect(math.maxinteger, "x", require "circular_buffer".new(1e4, 1, 1), require "anomaly".parse_config("roc('x', 1, 9999, 99999, 1.5, true, false) mww('x', 1, 5000, 2, 0.001, any)"))"#,
    ] {
        let mut sandbox = load(&format!("function process_message() {source} return 0 end"), |c| {
            c.limits.memory = 4 << 20;
            c.limits.cpu = std::time::Duration::from_millis(20);
        });
        if let Err(failure) = call(&mut sandbox) {
            assert!(!failure.message.contains("broken") && !failure.message.contains("assertion"), "{source}: {failure}");
        }
    }
}

#[test]
fn an_expression_takes_the_memory_it_is_compiled_in() {
    let compile = |pattern: &str| format!(r#"local ok, e = pcall(require "regex".compile, {pattern}) assert(ok, e)"#);
    assert!(error_of(&compile(r#"("\\pL"):rep(1e5)"#)).contains("32768 are allowed"));
    let full = |source: &str| call(&mut load(&format!("function process_message() {source} return 0 end"), |_| {})).unwrap_err().message;
    assert!(full(&compile(r#"("\\pL"):rep(1e4)"#)).contains("not enough memory"));
    passes(&compile(r#"("\\d{1,3}\\."):rep(50) .. ("abc"):rep(1000)"#));
}

/// How a body ends that may take this many milliseconds.
fn ends(source: &str, ms: u64) -> Result<(), FailureKind> {
    let mut sandbox = load(&format!("function process_message() {source} return 0 end"), |c| {
        c.limits.memory = 32 << 20;
        c.limits.cpu = std::time::Duration::from_millis(ms);
    });
    call(&mut sandbox).map(drop).map_err(|failure| failure.kind)
}

#[test]
fn reading_a_long_pattern_is_stopped() {
    for text in [r#"("[a-z] "):rep(1e5)"#, r#"("'x' "):rep(1e6)"#, r#""%a^60000 (" .. ("[b-y] "):rep(1e5) .. ")""#] {
        assert_eq!(ends(&format!(r#"require "re".compile({text})"#), 20), Err(FailureKind::Cpu), "{text}");
    }
}

#[test]
fn powers_are_no_bombs() {
    // 4 GB, were it written out.
    assert!(error_of(r#"require "re".compile "'x'^65535^65535""#).contains("too big"));
    assert_eq!(ends(r#"assert(require "re".compile "('ab' [c-d])^7":match(("abc"):rep(7)) == 22)"#, 5000), Ok(()));
    assert_eq!(
        ends(r#"local re = require "re" assert(re.compile "'a'^0":match "b" == 1 and not re.compile "%d^3":match "12")"#, 5000),
        Ok(())
    );
    passes(
        r#"local l, a = require "lpeg", ("ab"):rep(1500) local p = l.P(a) * l.P(a) * "c"
        assert(p:match(a .. a .. "c") == 6002 and not p:match(a .. a) and not p:match(a .. "x" .. a .. "c"))"#,
    );
}

#[test]
fn a_text_that_is_shared_is_compiled_once() {
    // 32768 times a megabyte.
    let source =
        r#"local l = require "lpeg" local p = l.P(("x"):rep(1e6)) * l.S "ab" for i = 1, 15 do p = p * p end assert(not p:match "a")"#;
    assert_eq!(ends(source, 2000), Ok(()));
}

#[test]
fn many_values_of_match_time_are_moved_at_once() {
    let source =
        r#"local p = require "lpeg".Cmt(1, function() return true, 1 end) ^ 0 assert(select('#', p:match(("a"):rep(1e5))) == 1e5)"#;
    assert_eq!(ends(source, 2000), Ok(()));
    passes(
        r#"local l = require "lpeg"
        local p = l.Cmt(l.Cmt(1, function() return true, 1, 2 end) * l.Cmt(1, function() return true, 3 end), function(s, i, ...) return true, 4, ... end)
        local t = {(l.Cc(0) * p * l.C(1)):match "abc"} assert(table.concat(t, " ") == "0 4 1 2 3 c", table.concat(t, " "))"#,
    );
}

#[test]
fn a_function_says_where_to_go_on_within_the_text() {
    for position in ["math.mininteger", "math.maxinteger", "0", "-1", "4", "0/0", "1e300"] {
        let source = format!(r#"require "lpeg".Cmt(1, function() return {position} end):match "ab""#);
        assert!(error_of(&source).contains("position"), "{position}");
    }
}
