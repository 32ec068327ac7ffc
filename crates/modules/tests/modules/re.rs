//! The module `re`: patterns as text, from Lua.

use crate::support::{error_of, passes};

fn ok(body: &str) {
    passes(&format!("local re, lpeg = require 're', require 'lpeg' {body}"));
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    let error = error_of(&format!("require('re').compile([==[{text}]==], {{f = print, n = {{}}}})"));
    assert!(error.contains(expected), "{error}");
}

#[test]
fn matching_finding_replacing() {
    ok("assert(re.match('hello', '[a-z]+') == 6)
        assert(re.match('xhello', '[a-z]+', 3) == 7 and re.match('1', '[a-z]+') == nil)
        assert(re.match('hello', re.compile('{.}.')) == 'h')
        local from, to = re.find('the number 423 is odd', '[0-9]+')
        assert(from == 12 and to == 14)
        assert(re.find('a1', '[0-9]', 3) == nil and select('#', re.find('x', '[y]')) == 1)
        assert(re.gsub('hello World', '[aeiou]', '.') == 'h.ll. W.rld')
        assert(re.gsub('hello', '{[aeiou]}', '<%1>') == 'h<e>ll<o>')
        assert(re.gsub('a b', '[ab]', {a = 'x'}) == 'x b' and re.gsub('ab', '.', string.upper) == 'AB')
        for i = 1, 500 do assert(re.match('a' .. i, '\"a' .. i .. '\"')) end
        assert(lpeg.type(re.compile('[x]')) == 'pattern' and re.updatelocale() == nil)");
}

#[test]
fn operators_and_classes() {
    ok("local function m(s, p) return re.match(s, p) end
        assert(m('aab', \"'a'* 'b'\") == 4 and m('b', \"'a'+ 'b'\") == nil and m('b', \"'a'? 'b'\") == 2)
        assert(m('aaaa', \"'a'^3\") == 4 and m('aaaa', \"'a'^-3\") == 4 and m('aaaa', \"'a'^+3\") == 5 and m('aa', \"'a'^+3\") == nil)
        assert(m('ab', \"&'a' .\") == 2 and m('ab', \"!'a' .\") == nil and m('x', \"!!'x' .\") == 2)
        assert(m('b', \"'a' / 'b'\") == 2 and m('', \"'a' /\") == 1)
        assert(m(']-^', '[]^-]+') == 4 and m('x]', '[^]]+') == 2 and m('a_9', '[_%w]+') == 4)
        assert(m(' \\t\\nx', '%s+') == 4 and m('ab1', '%a+ %d') == 4 and m('ab', '%A') == nil and m('\\n', '%nl') == 2)
        assert(m('a b', \"'a' -- a comment\\n ' b'\") == 4)");
}

#[test]
fn captures() {
    ok("local function m(s, p, d) return re.compile(p, d):match(s) end
        local a, b = m('ab', '{.} {.}') assert(a == 'a' and b == 'b')
        assert(m('ab', '. {}') == 2)
        local t = m('key=value', '{| {:k: %a+ :} \"=\" {:v: {%a+} :} {:[a-z]?:} |}')
        assert(t.k == 'key' and t.v == 'value' and t[1] == '')
        assert(m('hello', '{~ ([aeiou] -> \".\" / .)* ~}') == 'h.ll.')
        assert(m('ab', '({.} {.}) -> \"%2%1\"') == 'ba' and m('ab', '({.} {.}) -> 2') == 'b' and m('ab', '({.} {.}) -> 0') == 3)
        assert(#m('abc', '({.}*) -> {}') == 3)
        assert(m('12', '%d+ -> num', {num = tonumber}) == 12 and m('b', '. -> t', {t = {b = 'beta'}}) == 'beta')
        assert(m('1,2,3', '(%d -> num (\",\" %d -> num)*) ~> add', {num = tonumber, add = function(x, y) return x + y end}) == 6)
        assert(m('1,2,3', '%d -> num (\",\" %d -> num >> add)*', {num = tonumber, add = function(x, y) return x + y end}) == 6)
        assert(m('ab', '{.} => even .', {even = function(s, i, c) return c == 'a', c .. '!' end}) == 'a!')
        assert(m('x99', '%letter %digits', {letter = lpeg.R'az', digits = lpeg.R'09'^1}) == 4)");
}

#[test]
fn back_references() {
    ok("local p = re.compile[[ {:quote: [\"'] :} {~ (!=quote .)* ~} =quote ]]
        assert(p:match([[\"it's\" x]]) == [[it's]] and p:match([['a\"]]) == nil)");
}

#[test]
fn grammars() {
    ok("local balanced = re.compile[[ balanced <- '(' ([^()] / balanced)* ')' ]]
        assert(balanced:match('(a(b)c)d') == 8)
        local list = re.compile([[
            list  <- {| item (',' item)* |} !.   -- items
            item  <- <word> / list_
            list_ <- '[' {| item (',' item)* |} ']'
            word  <- {%w+}
        ]])
        local t = list:match('a,[b,[c]],d')
        assert(t[1] == 'a' and t[2][1] == 'b' and t[2][2][1] == 'c' and t[3] == 'd')
        assert(re.match('aabb', \"S <- 'a' S 'b' / ''\") == 5)
        assert(re.match('x1', \"'x' (D <- [0-9] D / '')\") == 3)");
}

#[test]
fn mistakes_are_told_with_their_place() {
    fails("'a' )", "pattern error in line 1, column 5, near ')': an operator or the end was expected");
    fails("'a'\n  ('b'", "line 2, column 7, at the end: ')' was expected, for what is opened at byte 7");
    fails("'a", "the string does not end");
    fails("[a", "']' was expected");
    fails("%nothing", "name 'nothing' undefined");
    fails("'a' -> nothing", "name 'nothing' undefined");
    fails("'a' => n", "the name must stand for a function, got table");
    fails("x", "rule 'x' used outside a grammar");
    fails("x <- y", "rule 'y' undefined in given grammar");
    fails("x <- x 'a'", "rule 'x' may be left recursive");
    fails("x <- 'a'  x <- 'b'", "'x' already defined as a rule");
    fails("('a'?)*", "loop body may accept empty string");
    fails("!", "a pattern was expected");
    fails("'a'^99999", "the number is too large");
    fails(&"(".repeat(5000), "nested too deep");
}
