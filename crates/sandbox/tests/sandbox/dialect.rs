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
        for _, name in ipairs{"load", "loadstring", "loadfile", "dofile", "collectgarbage", "coroutine", "xpcall", "debug", "io", "warn", "newproxy"} do
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
