use crate::support::*;

#[test]
fn functions_of_5_1_are_there() {
    passes(
        r#"
        local a, b = unpack({1, 2})
        assert(a == 1 and b == 2)
        assert(table.getn({1, 2, 3}) == 3 and table.maxn({[5] = 1, [2] = 1}) == 5)
        assert(math.pow(2, 3) == 8 and math.mod(7, 4) == 3 and math.log10(100) == 2)
        local n = 0
        for w in string.gfind("a b c", "%a") do n = n + 1 end
        assert(n == 3)
        "#,
    );
}

#[test]
fn fractions_are_accepted_as_counts() {
    passes(
        r#"
        assert(string.format("%d %s %5.1f %x %%", 3.7, "a", 2.25, 255.9) == "3 a   2.2 ff %")
        assert(string.rep("x", 2.9) == "xx" and ("abc"):sub(1.5, 2.5) == "ab")
        local r = math.random(1.5, 3.9)
        assert(r >= 1 and r <= 3)
        assert(math.random() < 1 and math.random(5) <= 5)
        "#,
    );
    assert!(error_of("string.format('%d', 'x')").contains("bad argument #2 to 'format' (number expected, got string)"));
}

#[test]
fn more_functions_of_5_1_are_there() {
    passes(
        r#"
        assert(math.ldexp(0.5, 3) == 4 and select(2, math.frexp(8)) == 4 and math.cosh(0) == 1 and math.tanh(0) == 0 and math.sinh(0) == 0)
        local seen = {}
        assert(table.foreachi({'a', 'b', 'c'}, function(i, v) seen[#seen + 1] = i .. v if v == 'b' then return 'found' end end) == 'found')
        assert(table.concat(seen, ' ') == '1a 2b')
        assert(table.foreach({x = 1}, function(k, v) return k .. v end) == 'x1' and table.foreach({1}, print) == nil)
        assert(require('coroutine').wrap(function() return 5 end)() == 5)
        "#,
    );
    assert!(error_of("table.foreach({}, 5)").contains("bad argument #2 to 'foreach'"));
}

#[test]
fn long_strings_are_treated_as_short_ones_are() {
    passes(
        r#"
        local word = 'Äb cÖ'
        local long = word:rep(200000)
        assert(long:upper() == word:upper():rep(200000) and long:lower() == word:lower():rep(200000))
        assert(long:reverse() == word:reverse():rep(200000))
        assert(utf8.len(long) == 1000000 and utf8.len(long, 1, 7) == 5 and utf8.len(long, -7) == 5 and utf8.len(long, #long + 1) == 0)
        assert(utf8.len(long, 8, 1400000 - 7) == 999990)
        local bad = long .. '\x80' .. long
        local n, at = utf8.len(bad)
        assert(n == nil and at == #long + 1)
        assert(not pcall(utf8.len, long, 2e9 // 1) and utf8.len(long, 1, 0) == 0)
        assert(utf8.offset(long, 999999) == 1400000 - 2 and utf8.offset(long, 1000001) == 1400001 and utf8.offset(long, 1000002) == nil)
        assert(utf8.offset(long, -999999) == 3 and utf8.offset(long, -1000001) == nil and utf8.offset(long, 500000, 8) == 700000 + 6)
        assert(utf8.offset(long, 0, 2) == 1 and not pcall(utf8.offset, long, 900000, 2))
        assert(tonumber(('1'):rep(300)) and tonumber(('1'):rep(70000)) == nil and tonumber('ff', 16) == 255 and tonumber(' 5 ') == 5)
        "#,
    );
}

#[test]
fn an_error_says_why_something_is_absent() {
    for (source, why) in [
        ("loadstring('return 1')", "(global 'loadstring'): a sandbox compiles code only when it loads"),
        ("string.dump(print)", "(field 'dump'): a sandbox takes no compiled code"),
        ("io.open('x')", "(global 'io'): files are for inputs and outputs"),
        ("print(debug.traceback())", "(global 'debug'): a sandbox shows nothing"),
    ] {
        let message = error_of(source);
        assert!(message.contains(why), "{source}: {message}");
    }
    assert!(error_of("nothing()").ends_with("(global 'nothing')"));
}

#[test]
fn environments() {
    passes(
        r#"
        local function outer()
            local before = function() return marker end
            setfenv(1, {marker = "new", before = before})
            local after = function() return marker end
            return before() == nil and after() == "new" and marker == "new"
        end
        assert(outer())
        assert(marker == nil and getfenv(0) == _G and getfenv(outer) ~= _G and getfenv(1) == _G)
        local f = function() return y end
        setfenv(f, {y = 5})
        assert(f() == 5 and y == nil)
        "#,
    );
}

#[test]
fn what_can_do_harm_is_missing() {
    passes(
        r#"
        for _, name in ipairs{"load", "loadstring", "loadfile", "dofile", "collectgarbage", "debug", "io", "warn", "newproxy"} do
            assert(_G[name] == nil, name)
        end
        assert(string.dump == nil and getmetatable("") == false and getmetatable(_G) == false)
        assert(not pcall(setmetatable, _G, {}))
        assert(not pcall(setmetatable, {}, {__gc = function() end}))
        assert(not pcall(setmetatable, {}, {__close = function() end}))
        assert(not pcall(setmetatable, setmetatable({}, {__metatable = 1}), {}))
        local t = setmetatable({}, {__index = {x = 1}})
        assert(t.x == 1 and getmetatable(setmetatable(t, nil)) == nil)
        "#,
    );
    assert!(error_of("setmetatable({}, {__gc = 1})").contains("setmetatable() refuses __gc"));
}

#[test]
fn globals_are_the_scripts_own() {
    let mut sandbox = load(
        "x = 1 local y = math.pi function process_message() local n = {} for k in pairs(_G) do n[#n + 1] = k end table.sort(n) assert(table.concat(n, ' ') == 'process_message x') return 0 end",
    );
    call(&mut sandbox).unwrap();
}
