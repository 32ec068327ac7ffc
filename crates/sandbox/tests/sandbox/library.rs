//! The library functions that are the sandbox's own, against those of a plain Lua.

use std::cell::RefCell;
use std::time::Duration;

use message::BatchBuilder;
use mlua::Lua;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sandbox::{Inject, Limits, Sandbox, SandboxConfig};

use crate::support::*;

/// Makes one text of everything that was returned.
const SHOW: &str = "
    function show(...)
        local out = ''
        for i = 1, select('#', ...) do
            local v = select(i, ...)
            if type(v) == 'table' then
                out = out .. '{'
                for n = -8, 20 do if v[n] ~= nil then out = out .. n .. '=' .. show(v[n]) end end
                out = out .. '}'
            else
                out = out .. (math.type(v) or type(v)) .. ':' .. tostring(v) .. ';'
            end
        end
        return out
    end
";

/// A script whose `answer` function is run by a sandbox and by a plain Lua.
struct Pair {
    sandbox: RefCell<Sandbox>,
    plain: mlua::Function,
    lua: Lua,
}

impl Pair {
    fn new(script: &str) -> Pair {
        let script = format!("{SHOW}{script}");
        let limits = Limits { cpu: Duration::from_secs(20), output: 1 << 20, ..Limits::default() };
        let entry = "function process_message() local a = {} for i = 1, 5 do a[i] = read_message('Fields[a]', 0, i - 1) end
            inject_message{Payload = answer(unpack(a, 1, 5))} return 0 end";
        let sandbox = load_with(&SandboxConfig { limits, ..config() }, &format!("{script} {entry}"));
        let lua = Lua::new();
        // Without these, errors name functions by what they are called as, as in the sandbox.
        lua.load("for name in pairs(package.loaded) do package.loaded[name] = nil end").exec().unwrap();
        lua.load(&script).set_name("@t.lua").exec().unwrap();
        Pair { sandbox: RefCell::new(sandbox), plain: lua.globals().get("answer").unwrap(), lua }
    }

    /// Both answers.
    fn ask(&self, arguments: &[&[u8]]) -> (String, String) {
        let mut message = BatchBuilder::default();
        let mut m = message.add();
        let name = m.messages().store(b"a");
        let values: Vec<_> = arguments.iter().map(|a| message::Datum::String(m.messages().store(a))).collect();
        m.add_field(name, message::Text::NONE, message::ValueType::String, &values);
        let message = message.finish();
        let mut out = BatchBuilder::default();
        let outcome = self.sandbox.borrow_mut().process_message(message.get(0), &mut Inject { builder: &mut out, now_ns: NOW });
        outcome.unwrap_or_else(|e| panic!("{e}"));
        let arguments: mlua::Variadic<mlua::LuaString> = arguments.iter().map(|a| self.lua.create_string(a).unwrap()).collect();
        let plain: mlua::LuaString = self.plain.call(arguments).unwrap();
        (out.finish().get(0).payload().escape_ascii().to_string(), plain.as_bytes().escape_ascii().to_string())
    }
}

fn cases(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

fn text(parts: &'static [&'static [u8]], most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(parts), 0..=most).prop_map(|parts| parts.concat())
}

const SUBJECT: &[&[u8]] = &[b"a", b"b", b"ab", b"c", b" ", b"(", b")", b"1", b"_", b"-", b"]", b"%", b"^", b"\0", b"\xff"];
const PATTERN: &[&[u8]] = &[
    b"a", b"b", b"c", b".", b"%a", b"%d", b"%s", b"%w", b"%p", b"%W", b"%A", b"%z", b"%%", b"%-", b"[ab]", b"[^a]", b"[a-c]", b"[%a_]",
    b"[]]", b"[^]]", b"[a-]", b"[%a-z]", b"[-a]", b"(", b")", b"()", b"(a", b"b)", b"(.-)", b"%1", b"%2", b"%0", b"%b()", b"%bab", b"%baa",
    b"%f[a]", b"%f[%W]", b"%f[^a]", b"%f", b"$", b"^", b"*", b"+", b"-", b"?", b".*", b".-", b"a*", b"%", b"[", b"]", b"[^", b"[%", b"\0",
    b"\xff",
];
const REPLACEMENT: &[&[u8]] = &[b"x", b"%0", b"%1", b"%2", b"%%", b"%", b"%x", b"\0"];

#[test]
fn patterns_match_as_lua_does() {
    let pair = Pair::new(
        "
        local function all(s, p, init)
            local out = ''
            for a, b, c in s:gmatch(p, init) do out = out .. show(a, b, c) .. '/' end
            return out
        end
        function answer(s, p, r, init, most)
            init, most = tonumber(init), tonumber(most)
            return show(pcall(string.find, s, p, init)) .. show(pcall(string.match, s, p, init)) .. show(pcall(string.find, s, p, init, true))
                .. show(pcall(all, s, p, init))
                .. show(pcall(string.gsub, s, p, r)) .. show(pcall(string.gsub, s, p, r, most))
                .. show(pcall(string.gsub, s, p, {a = 'A', b = 1, ab = false, [''] = 'e', [1] = '!', c = {}}))
                .. show(pcall(string.gsub, s, p, function(...) local t = show(...) if #t % 3 == 0 then return t end end))
        end",
    );
    let strategy = (text(SUBJECT, 14), text(PATTERN, 7), text(REPLACEMENT, 3), -20..20_i32, -1..4_i32);
    let outcome = cases(6000).run(&strategy, |(s, p, r, init, most)| {
        let (ours, plain) = pair.ask(&[&s, &p, &r, init.to_string().as_bytes(), most.to_string().as_bytes()]);
        prop_assert_eq!(ours, plain, "s={} p={} r={}", s.escape_ascii(), p.escape_ascii(), r.escape_ascii());
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn tables_change_as_lua_changes_them() {
    let pair = Pair::new(
        "
        local function call(f, n, ...)
            local t = {}
            for i = 1, n do t[i] = i * 10 end
            return show(pcall(f, t, ...)) .. show(t)
        end
        function answer(n, a, b, c)
            n, a, b, c = tonumber(n), tonumber(a), tonumber(b), tonumber(c)
            local lying = function(...) return setmetatable(..., {__len = function() return a end}) end
            return call(table.insert, n, 'x') .. call(table.insert, n, a, 'x') .. call(table.insert, n, a, b, c)
                .. call(table.remove, n) .. call(table.remove, n, a) .. call(table.remove, n, b)
                .. call(table.move, n, a, b, c) .. call(function(t) return table.move(t, a, b, c, {7, 8}) end, n)
                .. call(table.concat, n) .. call(table.concat, n, ', ') .. call(table.concat, n, '-', a, b)
                .. call(table.unpack, n) .. call(table.unpack, n, a) .. call(table.unpack, n, a, b)
                .. call(function(t) return table.remove(lying(t)) end, n) .. call(function(t) return table.remove(lying(t), b) end, n)
                .. call(function(t) return table.insert(lying(t), 'y') end, n)
                .. show(pcall(string.rep, 'ab', a)) .. show(pcall(string.rep, 'ab', b, ','))
        end",
    );
    let near = || -7..9_i64;
    let outcome = cases(1000).run(&(0..6_i64, near(), near(), near()), |(n, a, b, c)| {
        let [n, a, b, c] = [n, a, b, c].map(|n| n.to_string());
        let (ours, plain) = pair.ask(&[n.as_bytes(), a.as_bytes(), b.as_bytes(), c.as_bytes()]);
        prop_assert_eq!(ours, plain, "n={} a={} b={} c={}", n, a, b, c);
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn sorting_sorts() {
    let pair = Pair::new(
        "
        function answer(s)
            local words, bytes = {}, {s:byte(1, -1)}
            for w in s:gmatch('[^a]+') do words[#words + 1] = w end
            table.sort(words)
            table.sort(bytes, function(a, b) return a > b end)
            return table.concat(words, '|') .. table.concat(bytes, ',')
        end",
    );
    let outcome = cases(500).run(&text(SUBJECT, 200), |s| {
        let (ours, plain) = pair.ask(&[&s]);
        prop_assert_eq!(ours, plain);
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}

/// Expressions and statements, one a line.
const CASES: &str = r#"
string.find('hello', 'l', -2)
string.find('hello', '', 6)
string.find('hello', '', 7)
string.find('hello', 'xyz', -100, true)
string.find('a.b', '.', 1, true)
string.find('a\0b', '\0')
string.find('', '')
string.find('', '^$')
string.find(12345, 34)
string.find('abc', 'b', math.mininteger)
string.find('abc', 'b', math.maxinteger)
string.find('abc', 'b', '2')
string.find(('a'):rep(2000) .. 'ab', 'ab', 1, true)
string.find(('a'):rep(2500000) .. 'bcd', 'bcd', 1, true)
string.find(('a'):rep(1048570) .. 'bcdefghijkl' .. ('a'):rep(100000), 'bcdefghijkl')
string.find(('a'):rep(1400000) .. ('b'):rep(1200000), ('b'):rep(1150000), 7, true)
string.find(('a'):rep(1500000), ('b'):rep(1500001), 1, true)
string.find()
string.find('a')
string.find({}, 'a')
string.find('a', true)
string.find('a', 'a', {})
string.match('key = value', '^(%w+)%s*=%s*(%w+)$')
string.match('2024-05-06', '(%d+)-(%d+)-(%d+)')
string.match('  trim  ', '^%s*(.-)%s*$')
string.match('abc', '()b()')
string.match('abc', ('()'):rep(32))
string.match('abc', ('()'):rep(33))
string.match('abc', ('('):rep(33))
string.match(('a'):rep(300), ('a?'):rep(300))
string.match(('a'):rep(300), ('a?'):rep(199))
string.match(('a'):rep(300), ('a?'):rep(200))
string.match(('a'):rep(300), ('a?'):rep(201))
string.match(('a'):rep(300), ('a*'):rep(198) .. '$')
string.match(('a'):rep(300), ('a-'):rep(199))
string.match(('a'):rep(300), ('a-'):rep(200))
string.match('x', '%g%G')
string.match('\127', '%c')
string.match('a', nil)
string.match('\255', '[\128-\255]')
string.match('a-z', '[a%-z]+')
string.match('0x1F', '0[xX](%x+)')
string.match('THE (quick) fox', '%f[%a]%a+%f[%A]')
string.match('f(a(b)c)d', '%b()')
string.match('f(a', '%b()')
string.match('x', '%b')
string.match('x', '%bx')
string.match('hello hello', '(%w+) %1')
string.match('a', '(a)%2')
string.match('a', '%9')
string.match('a', '(a%1)')
string.match('a', '(()a%2)')
string.match('a', '(a))')
string.match('a', 'a)')
string.match('a', '(a')
string.match('a', '[a')
string.match('a', '[]')
string.match('a', '[^]')
string.match('a', '[a-%]')
string.match('a', '[a-%]]')
string.match('a', 'a%')
string.match('a', '%f')
string.match('a', '%fa')
string.match('b', 'a[')
string.match('^a', '^^a')
string.match('a$', 'a$$')
string.match('a$b', 'a$b')
string.match('a*', '*')
string.match('a', '+')
string.gsub('hello world', '%w+', '%0 %0', 1)
string.gsub('hello', '', '-')
string.gsub('abc', '%w', '%%%0')
string.gsub('abc', '%w', '%1')
string.gsub('abc', '(%w)', '%2')
string.gsub('abc', '%w', '%2')
string.gsub('abc', '%w', '%')
string.gsub('abc', '%w', '%a')
string.gsub('abc', '()', '%1')
string.gsub('abc', '^a', 'x')
string.gsub('aaa', '^a', 'x')
string.gsub('$name is $age', '%$(%w+)', {name = 'Lua', age = 5.5})
string.gsub('abc', 'b', {b = {}})
string.gsub('abc', 'b', {b = true})
string.gsub('abc', 'b', {b = false})
string.gsub('abc', 'b', function() return {} end)
string.gsub('abc', 'b', function() error('own', 0) end)
string.gsub('abc', 'b', function() end)
string.gsub('abc', '(a)(b)(c)', function(...) return select('#', ...) end)
string.gsub('abc', 'b')
string.gsub('abc', 'b', nil)
string.gsub('abc', 'b', true)
string.gsub('abc', 'b', 7)
string.gsub('abc', 'b', 7.5)
string.gsub('abc', 'b', 'x', 0)
string.gsub('abc', 'b', 'x', -1)
string.gsub('abc', 'b', 'x', 'y')
string.gsub('abc', 'd', {})
string.gsub(('x'):rep(5000), 'x', 'yz')
string.gsub('a(b', '(', 'x')
string.gmatch('a')
string.gmatch('a', {})
(function() local f = string.gmatch('ab', '%w') return f(), f(), f(), f() end)()
(function() local t = {} for k, v in string.gmatch('a=1, b=2', '(%w+)=(%w+)') do t[#t + 1] = k .. v end return t end)()
(function() local t = {} for w in string.gmatch('abcabc', 'a', 2) do t[#t + 1] = w end return t end)()
(function() local t = {} for w in string.gmatch('abc', '', -1) do t[#t + 1] = w end return t end)()
(function() local t = {} for w in string.gmatch('^a^a', '^a') do t[#t + 1] = w end return t end)()
(function() local t = {} for p in string.gmatch('abc', '()%w*') do t[#t + 1] = p end return t end)()
(function() for w in string.gmatch('a', '(a') do end end)()
string.rep('ab', 3)
string.rep('ab', 3, ', ')
string.rep('', 3, 'x')
string.rep('x', 0)
string.rep('x', -1)
string.rep('x', 1, 'yy')
string.rep(5, 3)
string.rep('ab', math.maxinteger)
string.rep('ab', math.maxinteger, 'c')
string.rep('x')
string.rep('x', 'y')
string.rep('x', 2, {})
string.format('%5.2f|%d|%s|%q|%x|%%|%i|%c', 1.5, '7', nil, 'a\nb', 255, 3, 65)
string.format('%s %s', ('x'):rep(70000), 5)
string.format('%d%%%.3s|', ('0'):rep(70000) .. '7', 'abcdef')
string.format('%s %s', ('x'):rep(70000))
string.format('100%')
string.char('65', ('0'):rep(300) .. '66')
string.char(('0'):rep(300) .. 'x')
string.char(('1'):rep(300))
math.max(1, '2', ('0'):rep(300) .. '3')
math.max('1\0' .. (' '):rep(300), 1)
utf8.char(72, ('0'):rep(300) .. '228')
string.pack('s1zI2', 'ab', 'c', 7)
table.concat({1, 2.5, 'x'}, '-')
table.concat({1, {}, 3})
table.concat({1, nil, 3}, '', 1, 3)
table.concat({}, 'x')
table.concat({1, 2, 3}, ',', 2)
table.concat({1, 2, 3}, ',', 2, 2)
table.concat({1, 2, 3}, ',', 3, 2)
table.concat({1, 2, 3}, {})
table.concat(5)
table.concat(setmetatable({}, {__len = function() return 3 end, __index = function(_, n) return n * 2 end}), ' ')
table.concat(setmetatable({}, {__len = function() return 'x' end}))
table.concat({[math.maxinteger] = 'end'}, ',', math.maxinteger, math.maxinteger)
table.insert({}, 5, 5)
table.insert({}, 0, 5)
table.insert({}, 1, 2, 3)
table.insert({})
table.insert({}, 'x', 5)
table.insert(nil, 1, 5)
table.insert('x', 1, 5)
table.remove({}, 0)
table.remove({}, 1)
table.remove({}, 2)
table.remove({1, 2, 3}, 4)
table.remove({1, 2, 3}, 5)
table.remove({1, 2, 3}, nil)
table.remove({1, 2, 3}, 'x')
table.remove('x')
table.move({1, 2, 3}, 1, 3, 2)
table.move({1, 2, 3}, 2, 3, 1)
table.move({1, 2, 3}, 1, 0, 5)
table.move({1, 2, 3}, 1, 3, 1, {9, 9, 9, 9})
table.move({1, 2, 3}, math.mininteger, math.maxinteger, 1)
table.move({1, 2, 3}, 1, 3, math.maxinteger)
table.move({1, 2, 3}, 1, 3)
table.move('abc', 1, 3, 1, {5, 6, 7})
table.move({1}, 1, 1, 1, 'x')
table.unpack({1, 2, 3})
table.unpack({1, 2, 3}, 2)
table.unpack({1, nil, 3}, 1, 3)
table.unpack({}, 1, 1e8 // 1 | 0)
table.unpack({}, math.mininteger, math.maxinteger)
table.unpack({[math.maxinteger] = 1}, math.maxinteger, math.maxinteger)
table.unpack('abc', 1, 2)
table.unpack({1, 2}, 'x')
table.unpack()
table.sort({3, 'x'})
table.sort({3, 2, 1}, 5)
table.sort(5)
table.sort({1, 2, 3}, function() error('own', 0) end)
(function() local t = {5, 2, 9, 1, 7, 3} table.sort(t) return t end)()
(function() local t = {'b', 'a', 'c'} table.sort(t, function(a, b) return a > b end) return t end)()
(function() local t = setmetatable({}, {__len = function() return 3 end, __index = function(_, n) return -n end}) table.sort(t) return t end)()
"#;

#[test]
fn cases_by_hand() {
    let list: String = CASES.lines().map(|l| if l.is_empty() { String::new() } else { format!("function() return {l} end,") }).collect();
    let pair = Pair::new(&format!("local cases = {{{list}}} function answer(n) return show(pcall(cases[tonumber(n)])) end"));
    let mut wrong = String::new();
    for (n, case) in CASES.lines().filter(|l| !l.is_empty()).enumerate() {
        let (ours, plain) = pair.ask(&[(n + 1).to_string().as_bytes()]);
        if ours != plain {
            wrong += &format!("{case}\n  ours  {ours}\n  plain {plain}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn an_error_in_a_comparison_loses_no_element() {
    passes(
        "
        for stop = 1, 60 do
            local t, n, seen = {}, 0, {}
            for i = 1, 20 do t[i] = i * 7 % 20 end
            pcall(table.sort, t, function(a, b) n = n + 1 if n == stop then error('x') end return a < b end)
            for i = 1, 20 do seen[t[i]] = true end
            for i = 0, 19 do assert(seen[i], stop) end
        end",
    );
}
