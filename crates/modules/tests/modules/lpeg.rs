//! The module `lpeg`: the well-known uses, from Lua.

use crate::support::{call, error_of, load, passes};

/// A body with the module and what most of them use.
fn lua(body: &str) -> String {
    format!("local lpeg = require 'lpeg' local P, R, S, V, C, Ct = lpeg.P, lpeg.R, lpeg.S, lpeg.V, lpeg.C, lpeg.Ct; {body}")
}

fn ok(body: &str) {
    passes(&lua(body));
}

#[track_caller]
fn fails(body: &str, expected: &str) {
    let error = error_of(&lua(body));
    assert!(error.contains(expected), "{error}");
}

#[test]
fn matching_and_positions() {
    ok("assert(lpeg.match('a', 'ab') == 2)
        assert(P('abc'):match('abd') == nil)
        assert(P(3):match('abc') == 4 and P(-1):match('') == 1 and P(true):match('') == 1 and P(false):match('') == nil)
        assert(P('c'):match('abc', 3) == 4)
        assert(P('c'):match('abc', -1) == 4)
        assert(P('a'):match('abc', -10) == 2)
        assert(P(''):match('abc', 100) == 4)
        assert(lpeg.match(R('az', '09')^1, 'ab12-') == 5)
        assert(((P'a' + S'bc')^0):match('abcd') == 4)");
    ok("assert(lpeg.type(P'a') == 'pattern' and lpeg.type('a') == nil and lpeg.type() == nil)
        assert(type(lpeg.version()) == 'string')
        assert(P(12):match(string.rep('a', 12)) == 13)
        assert(P('1'):match(12) == 2)");
}

#[test]
fn operators_convert_their_operands() {
    ok("local p = 'a' * P'b' * 1 + 'x'
        assert(p:match('abc') == 4 and p:match('x') == 2 and p:match('ab') == nil)
        assert((P(1) - 'b'):match('b') == nil and (1 - P'ab'):match('ac') == 2)
        assert((#P'a' * 'ab'):match('ab') == 3 and (-P'a' * 1):match('a') == nil)
        assert((P'a'^-2):match('aaa') == 3 and (P'a'^2):match('a') == nil)
        assert((P'a' * lpeg.B'a'):match('a') == 2)
        assert((lpeg.utfR(0x370, 0x3ff)^1):match('αβγ') == 7)
        assert((P'a' * function(s, i) return i end):match('a') == 2)");
}

#[test]
fn captures_give_lua_values() {
    ok("local t, f = {}, function() end
        local a, b, c, d, e, g = lpeg.Cc(1, 2.5, nil, 'x', t, f):match('')
        assert(a == 1 and b == 2.5 and c == nil and d == 'x' and e == t and g == f)
        assert((lpeg.Carg(1) * lpeg.Carg(2)):match('', 1, 'p', t) == 'p')
        assert(select(2, (lpeg.Carg(1) * lpeg.Carg(2)):match('', 1, 'p', t)) == t)
        local u = Ct(lpeg.Cg(C(1), 'k') * C(1) * lpeg.Cg(C(1) * C(1)) * lpeg.Cg(lpeg.Cp(), 7)):match('abcd')
        assert(u.k == 'a' and u[1] == 'b' and u[2] == 'c' and u[3] == 'd' and u[7] == 5)
        assert((C(1) / {a = 'alpha'}):match('a') == 'alpha' and (C(1) / {}):match('a') == 2)
        assert((C(1) * C(1) / '%2%1'):match('ab') == 'ba' and (C(1) * C(1) / 2):match('ab') == 'b')
        assert(select('#', (P(1) / function() return 1, nil, nil end):match('a')) == 3)
        assert((lpeg.Cg(C(1), 'n') * lpeg.Cb('n')):match('a') == 'a')
        assert(lpeg.Cs((P'.' / ',' + 1)^0):match('1.2.3') == '1,2,3')
        assert(lpeg.Cs((C(1) / function() return 1.5 end)^1):match('ab') == '1.51.5')");
}

#[test]
fn sums_folded_and_accumulated() {
    ok("local number = R'09'^1 / tonumber
        local function add(a, b) return a + b end
        assert(lpeg.Cf(number * (',' * number)^0, add):match('10,30,43') == 83)
        assert((number * (',' * number % add)^0):match('10,30,43') == 83)");
}

#[test]
fn match_time_captures_decide() {
    ok("local p = lpeg.Cmt(C(R'09'^1), function(s, i, n) if tonumber(n) < 256 then return true, tonumber(n) end end)
        assert(p:match('12') == 12 and p:match('256') == nil)
        local skip = lpeg.Cmt('', function(s, i) return i + 2 end) * C(1)
        assert(skip:match('abc') == 'c')");
    // Lua's long strings: the closing mark must equal the opening one.
    ok("local equals = P'='^0
        local open = '[' * lpeg.Cg(equals, 'init') * '[' * P'\\n'^-1
        local close = ']' * C(equals) * ']'
        local closeeq = lpeg.Cmt(close * lpeg.Cb('init'), function(s, i, a, b) return a == b end)
        local string = open * C((P(1) - closeeq)^0) * close / 1
        assert(string:match('[==[a]=]b]==]') == 'a]=]b')");
    fails("lpeg.Cmt('a', function() return 'x' end):match('a')", "invalid position returned by match-time capture");
}

#[test]
fn csv() {
    ok("local field = '\"' * lpeg.Cs(((P(1) - '\"') + P'\"\"' / '\"')^0) * '\"' + C((1 - S',\\n\"')^0)
        local record = Ct(field * (',' * field)^0) * (P'\\n' + -1)
        local t = record:match('a,\"b \"\"c\"\", d\",,e\\n')
        assert(#t == 4 and t[1] == 'a' and t[2] == 'b \"c\", d' and t[3] == '' and t[4] == 'e')");
}

#[test]
fn balanced_parentheses_and_arithmetic() {
    ok("local b = P{ '(' * ((1 - S'()') + V(1))^0 * ')' }
        assert(b:match('(al(go)rithm)!') == 14 and b:match('(()') == nil)");
    ok("local space = S' \\n\\t'^0
        local number = C(P'-'^-1 * R'09'^1) * space
        local term, factor = C(S'+-') * space, C(S'*/') * space
        local function eval(v1, op, v2)
            if op == '+' then return v1 + v2 elseif op == '-' then return v1 - v2
            elseif op == '*' then return v1 * v2 else return v1 / v2 end
        end
        local G = P{ 'Exp',
            Exp = lpeg.Cf(V'Term' * lpeg.Cg(term * V'Term')^0, eval),
            Term = lpeg.Cf(V'Factor' * lpeg.Cg(factor * V'Factor')^0, eval),
            Factor = number / tonumber + '(' * space * V'Exp' * ')' * space,
        }
        assert((space * G * -1):match(' 3 + 5*9 / (1+1) - 2') == 23.5)");
}

#[test]
fn name_value_lists_splitting_and_searching() {
    ok("local space = lpeg.locale().space^0
        local name = C(lpeg.locale().alpha^1) * space
        local pair = lpeg.Cg(name * '=' * space * name) * S',;'^-1 * space
        local list = lpeg.Cf(Ct'' * pair^0, rawset)
        local t = list:match('a=b, c = hi; next = pi')
        assert(t.a == 'b' and t.c == 'hi' and t.next == 'pi')");
    ok("local function split(s, sep)
            sep = P(sep)
            local elem = C((1 - sep)^0)
            return Ct(elem * (sep * elem)^0):match(s)
        end
        assert(table.concat(split('a--b----c', '--'), '|') == 'a|b||c')
        local function anywhere(p) return P{ lpeg.Cp() * p * lpeg.Cp() + 1 * V(1) } end
        local from, to = anywhere('world'):match('hello world!')
        assert(from == 7 and to == 12)");
}

#[test]
fn locale_fills_a_table() {
    ok("local t = {}
        assert(lpeg.locale(t) == t)
        assert((t.alnum^1):match('aZ9_') == 4 and t.space:match(' ') == 2 and (t.xdigit^1):match('fF0g') == 4 and t.punct:match('a') == nil)");
}

#[test]
fn mistakes_are_told() {
    fails("local p = P''^0", "loop body may accept empty string");
    fails("P{ 'a', a = V'a' * 'x' }", "rule 'a' may be left recursive");
    fails("P{ 'a', a = P'x' * V'b' }", "rule 'b' undefined in given grammar");
    fails("P{}", "grammar has no initial rule");
    fails("V'x':match('')", "rule 'x' used outside a grammar");
    fails("lpeg.Cb('x'):match('')", "back reference 'x' not found");
    fails("(C(1) / '%2'):match('a')", "invalid capture index (2)");
    fails("(C(1) / 2):match('a')", "no capture '2'");
    fails("lpeg.Carg(1):match('a')", "absent extra argument #1");
    fails("lpeg.Cs(Ct(1)):match('a')", "invalid replacement value (a table)");
    fails("lpeg.P(nil)", "pattern expected, got nil");
    fails("lpeg.R('abc')", "range must have two characters");
    fails("lpeg.B(P'a'^0)", "pattern may not have fixed length");
    fails("(P(1) / function() error('mine') end):match('a')", "mine");
    fails("local t = {} t[1] = t P(t)", "nested too deep");
}

#[test]
fn the_backtrack_stack_is_the_scripts_own() {
    let deep = "local p = P{ 'a' * V(1) * 'b' + 'c' } local s = string.rep('a', 1000) .. 'c' .. string.rep('b', 1000)";
    fails(&format!("{deep} p:match(s)"), "stack overflow (current limit is 400)");
    ok(&format!("{deep} lpeg.setmaxstack(5000) assert(p:match(s) == 2002)"));
    // Not another script's.
    fails(&format!("{deep} p:match(s)"), "stack overflow (current limit is 400)");
    fails("lpeg.setmaxstack(1e9)", "1 to 100000 expected");
}

#[test]
fn values_live_as_long_as_the_patterns_that_use_them() {
    ok("local p
        do
            local t = {a = {}}
            p = C(1) / t * (C(1) / function(x) return x .. x end)
        end
        local q = P{ V'x' + V'x' * 'y', x = p * lpeg.Cc({7}) }
        p = nil
        for i = 1, 2000 do local garbage = {i} end
        local a, b, c = q:match('ab')
        assert(type(a) == 'table' and b == 'bb' and c[1] == 7)");
}

#[test]
fn matches_may_nest() {
    ok("local inner = C(R'az'^1)
        local outer = (C(R'az'^1) / function(w) return inner:match(w) .. '!' end) * (P' '^0 * lpeg.Cmt(C(1), function(s, i, c)
            return inner:match(c) == c
        end))
        assert(outer:match('abc d') == 'abc!')
        local p = P(1)
        local function again(x, n) if n and n > 150 then return x end return (C(1) / function(c) return again(c, (n or 0) + 1) end):match('x') end
        assert(again('a') == 'x')");
}

#[test]
fn a_hopeless_match_ends_with_the_cpu_limit() {
    let source = format!(
        "function process_message() {} return 0 end",
        lua("local S = P{ 'a' * V(1) * 'x' + 'a' * V(1) * 'y' + 'a' } S:match(string.rep('a', 100))")
    );
    let mut sandbox = load(&source, |config| config.limits.cpu = std::time::Duration::from_millis(50));
    let failure = call(&mut sandbox).expect_err("the limit");
    assert_eq!(failure.kind, sandbox::FailureKind::Cpu, "{failure}");
}

#[test]
fn too_many_captures_end_at_the_memory_limit() {
    let source = format!("function process_message() {} return 0 end", lua("local s = string.rep('a', 900000) Ct(C(1)^0):match(s)"));
    let failure = call(&mut load(&source, |config| config.limits.memory = 4 << 20)).expect_err("the limit");
    assert_eq!(failure.kind, sandbox::FailureKind::Memory, "{failure}");
}
