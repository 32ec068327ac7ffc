//! Regular expressions.

use crate::support::{call, error_of, load, passes};

#[test]
fn finds_and_captures() {
    passes(
        r#"
        local re = require "regex".compile([[(\w+)=(\d+)]])
        local k, v = re:match("a=1 bc=22")
        assert(k == "a" and v == "1")
        assert(re:match("a=1 bc=22", 3) == "bc" and re:match("none") == nil and re:match("a=1", -1) == nil and re:match("a=1", 9) == nil)
        local s, e, key = re:find("xx a=1")
        assert(s == 4 and e == 6 and key == "a" and re:find("") == nil)
        assert(regex.compile("b+"):match("abbbc") == "bbb")
        local t = regex.compile([[(?<method>GET|PUT) (?<path>\S+)( x)?]]):captures("GET /a")
        assert(t[0] == "GET /a" and t.method == "GET" and t.path == "/a" and t[1] == "GET" and t[3] == false)
        assert(regex.compile("(a)|(b)"):match("b") == false)
        assert(regex.compile("^a", "m"):find("b\na", 2) == 3 and regex.compile("^a"):find("ba", 2) == nil)
        assert(regex.compile("É", "i"):match("é") == "é" and regex.compile([[\w]], "a"):match("é") == nil)
        assert(regex.compile("a b # comment", "x"):match("ab") == "ab" and regex.compile("a.b", "s"):match("a\nb") == "a\nb")
        assert(regex.compile([[(?-u:\xff)]]):find("a\255") == 2)
    "#,
    );
}

#[test]
fn goes_over_all_matches() {
    passes(
        r#"
        require "regex"
        local words = {}
        for word in regex.compile([[\w+]]):gmatch("one two  three") do words[#words + 1] = word end
        assert(table.concat(words, ",") == "one,two,three")
        local pairs_ = {}
        for k, v in regex.compile([[(\w)(\d)]]):gmatch("a1b2") do pairs_[k] = v end
        assert(pairs_.a == "1" and pairs_.b == "2")
        local n = 0
        for _ in regex.compile("x*"):gmatch("axxb") do n = n + 1 end
        assert(n == 3, n)
        local next_word = regex.compile([[\w+]]):gmatch("a b")
        assert(next_word() == "a" and next_word() == "b" and next_word() == nil and next_word() == nil)
    "#,
    );
}

#[test]
fn replaces() {
    passes(
        r#"
        require "regex"
        local re = regex.compile([[(?<key>\w+)=(\d+)]])
        local s, n = re:gsub("a=1, b=2", "$2:${key}$$")
        assert(s == "1:a$, 2:b$" and n == 2)
        assert(re:gsub("a=1, b=2", "x", 1) == "x, b=2" and re:gsub("a=1", "$0$0") == "a=1a=1" and re:gsub("none", "x") == "none")
        assert(re:gsub("a=1 b=2", function(k, v) if k == "a" then return v + 1 end end) == "2 b=2")
        assert(re:gsub("a=1 b=2", { a = "yes", b = false }) == "yes b=2")
        assert(regex.compile("x*"):gsub("abc", "-") == "-a-b-c-")
        local ok, why = pcall(re.gsub, re, "a=1", function() error("inside") end)
        assert(not ok and tostring(why):find("inside"))
        assert(re:gsub("a=1", function(k) return re:gsub("b=2", k) end) == "a")
        assert(not pcall(re.gsub, re, "a=1", function() return {} end))
    "#,
    );
}

#[test]
fn says_what_is_wrong() {
    for (call, why) in [
        ("regex.compile('a(')", "unclosed group"),
        ("regex.compile('a', 'q')", "bad argument #2 to 'compile' (unknown flag 'q': i, m, s, x and a are known)"),
        ("regex.compile([[(\\w{50}){50}]])", "the expression compiles to more than 1048576 bytes"),
        ("regex.compile('(a)'):gsub('a', '$2')", "the expression has no group '2'; a $ is written $$"),
        ("regex.compile('a'):gsub('a', '${x')", "'${' without '}' in the replacement"),
        ("regex.compile('a'):match()", "bad argument #1 to 'match' (string expected, got no value)"),
        ("regex.compile([[\\w{20}]]):match(('x'):rep(1000000))", "too long for this expression"),
    ] {
        let error = error_of(&format!("require 'regex' {call}"));
        assert!(error.contains(why), "{call}: {error}");
    }
}

#[test]
fn compiled_ones_are_kept_and_count_as_memory() {
    passes(
        r#"
        require "regex"
        local first = regex.compile("a+")
        assert(rawequal(first, regex.compile("a+")) and not rawequal(first, regex.compile("a+", "i")))
        for i = 1, 100 do regex.compile("a" .. i) end
        assert(first:match("caat") == "aa")
    "#,
    );
    let error = error_of("require 'regex' kept = {} for i = 1, 10000 do kept[i] = regex.compile(i .. [[\\w{8}]]) end");
    assert!(error.contains("not enough memory"), "{error}");
}

#[test]
fn the_budget_ends_many_matches() {
    let source = "function process_message() require 'regex' local re = regex.compile('a') local s = ('a'):rep(60000) while true do re:gsub(s, 'b') end end";
    let failure = call(&mut load(source, |c| c.limits.cpu = std::time::Duration::from_millis(100))).unwrap_err();
    assert_eq!(failure.kind, sandbox::FailureKind::Cpu, "{failure}");
}
