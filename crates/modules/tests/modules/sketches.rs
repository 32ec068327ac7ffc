//! hyperloglog, bloom_filter, cuckoo_filter, cuckoo_filter_expire, ddsketch, topk, sax and xxhash.

use crate::support::{call, error_of, load, passes};

#[test]
fn hyperloglog_counts_distinct_items() {
    passes(
        r#"
        local hll = require "hyperloglog".new()
        assert(hll:count() == 0 and hll:add("one") and hll:add(2) and not hll:add("one"))
        assert(hll:count() == 2)
        local other = hyperloglog.new()
        for i = 1, 50000 do other:add(string.format("%08d", i)) end
        assert(math.abs(other:count() - 50000) < 2500, other:count())
        hll:merge(other)
        hll:merge(hll)
        assert(hll:count() >= other:count())
        hll:clear()
        assert(hll:count() == 0)
        assert(not pcall(hll.add, hll, {}) and not pcall(hll.add, hll) and not pcall(hll.merge, hll, "x"))
    "#,
    );
}

#[test]
fn filters_know_what_was_added() {
    passes(
        r#"
        for _, filter in ipairs{ require "bloom_filter".new(1000, 0.01), require "cuckoo_filter".new(1000) } do
            assert(not filter:query("test") and filter:add("test") == true and filter:add("test") == false)
            assert(filter:query("test") and filter:count() == 1)
            assert(filter:add(5) and filter:query("5"))
            filter:clear()
            assert(filter:count() == 0 and not filter:query("test"))
        end
        local cuckoo = cuckoo_filter.new(4)
        assert(cuckoo:add("a") and cuckoo:delete("a") and not cuckoo:delete("a") and cuckoo:count() == 0)
        local held, why = 0
        for i = 1, 100 do
            local added, full = cuckoo:add(i)
            if added then held = held + 1 end
            why = why or full
        end
        assert(held >= 4 and held == cuckoo:count() and why == "the filter is full; it was made for 4 items")
    "#,
    );
}

#[test]
fn expiring_filters_forget() {
    passes(
        r#"
        local MINUTE = 60000000000
        local filter = require "cuckoo_filter_expire".new(100, 1)
        assert(filter:add("a", MINUTE * 10) == true)
        local added, ago = filter:add("a", MINUTE * 13 + 1)
        assert(added == false and ago == 180)
        local there, since = filter:query("a")
        assert(there and since == MINUTE * 13 and filter:count() == 1)
        assert(filter:add("b", MINUTE * 300) and not filter:query("a") and filter:count() == 1)
        local old, why = filter:add("c", 0)
        assert(old == nil and why == "older than 255 intervals")
        local begin, number = filter:current_interval()
        assert(begin == MINUTE * 300 and number == 300)
        assert(filter:delete("b") and filter:count() == 0)
    "#,
    );
}

#[test]
fn ddsketch_has_quantiles() {
    passes(
        r#"
        local s = require "ddsketch".new(0.01)
        assert(s:quantile(0.5) == nil and s:min() == nil and s:count() == 0)
        for i = 1, 1000 do assert(s:add(i)) end
        assert(not s:add(0/0) and s:count() == 1000 and s:sum() == 500500 and s:min() == 1 and s:max() == 1000)
        for _, q in ipairs{0, 0.5, 0.9, 0.99, 1} do
            local exact = 1 + math.floor(q * 999)
            assert(math.abs(s:quantile(q) - exact) <= exact * 0.01 + 1e-9, q)
        end
        local more = ddsketch.new(0.01)
        more:add(1e6, 1000)
        s:merge(more)
        assert(s:count() == 2000 and math.abs(s:quantile(1) - 1e6) <= 1e4 and not s:collapsed())
        assert(not pcall(s.merge, s, ddsketch.new(0.02)) and not pcall(s.quantile, s, 2))
        s:clear()
        assert(s:count() == 0)
    "#,
    );
}

#[test]
fn topk_lists_the_most_frequent() {
    passes(
        r#"
        local top = require "topk".new(10)
        for i = 1, 1000 do top:add("rare" .. i) top:add("often") if i % 2 == 0 then top:add("half", 1) end end
        local list = top:list(2)
        assert(#list == 2 and list[1].item == "often" and list[2].item == "half")
        assert(list[1].count >= 1000 and list[1].count - list[1].error <= 1000 and top:total() == 2500)
        assert(top:len() == 10 and #top:list() == 10 and top:get("often") == list[1].count and top:get("never") == nil)
        assert(not pcall(top.add, top, "x", -1))
        top:clear()
        assert(top:len() == 0)
    "#,
    );
}

#[test]
fn sax_words_and_windows() {
    passes(
        r##"
        require "sax"
        assert(sax.word.new({10.3, 7, 1, -5, -5, 7.2}, 2, 8) == sax.word.new("FC", 8))
        local window = sax.window.new(4, 2, 4)
        assert(tostring(window) == '##' and window:add(23) == false and tostring(window) == '#C')
        assert(window:add({1, 2, 3, 10.1}) == true and tostring(window) == "AD")
        assert(window == sax.word.new({1, 2, 3, 10.1}, 2, 4) and sax.word.new("AD", 4) == window)
        assert(window:get_word():copy() == window and window ~= sax.word.new("AD", 5))
        window:add({})
        assert(tostring(window) == "AD")
        local d, up, down = sax.mindist(sax.word.new("ABDD", 4), sax.word.new("DBAA", 4))
        assert(math.abs(d - 2.3365) < 1e-3 and math.abs(up - 1.9078) < 1e-3 and math.abs(down - 1.349) < 1e-3)
        for i, wrong in ipairs{
            function() sax.window.new() end, function() sax.window.new(9, 1, 3) end, function() sax.window.new(5000, 5, 5) end,
            function() sax.word.new("AAABF", 5) end, function() sax.word.new({1, 2, 3}, 1, 5) end, function() sax.word.new({1, "x"}, 2, 5) end,
            function() sax.mindist(1, 1) end, function() window:add("a") end, function() window.clear(sax.word.new("A", 4)) end,
        } do
            assert(not pcall(wrong), i)
        end
    "##,
    );
}

#[test]
fn xxhash_has_the_published_values() {
    passes(
        r#"
        require "xxhash"
        assert(xxhash.h32("") == 0x02CC5D05 and xxhash.h32("a") == 0x550D7456 and xxhash.h32("abc", 0) == 0x32D153FF)
        assert(xxhash.h64("") == 0xEF46DB3751D8E999 and xxhash.h64("abc") == 0x44BC2CF5AD770999)
        assert(xxhash.h3("") == 0x2D06800538D394C2 and xxhash.h3("x", 1) ~= xxhash.h3("x", 2))
        assert(xxhash.h32(12) == xxhash.h32("12"))
        assert(not pcall(xxhash.h32, "a", -1) and not pcall(xxhash.h32) and not pcall(xxhash.h64, "a", "seed"))
    "#,
    );
}

#[test]
fn constructors_name_the_range() {
    for (source, why) in [
        ("require 'bloom_filter' bloom_filter.new(1, 0.1)", "bad argument #1 to 'new' (items must be > 1)"),
        ("require 'bloom_filter' bloom_filter.new(10, 1)", "bad argument #2 to 'new' (probability must be between 0 and 1)"),
        ("require 'cuckoo_filter' cuckoo_filter.new(-1)", "items must be 4 to 2^32"),
        ("require 'cuckoo_filter_expire' cuckoo_filter_expire.new(10, 0)", "minutes of an interval must be 1 to 1440"),
        ("require 'ddsketch' ddsketch.new(0)", "accuracy must be 0.0001 to 0.5"),
        ("require 'ddsketch' ddsketch.new(0.1, 1)", "max_buckets must be 16 to 65536"),
        ("require 'topk' topk.new(0)", "counters must be 1 to 2^20"),
        ("require 'sax' sax.window.new(10, 3, 3)", "the number of frames is at least 2 and divides the number of values"),
    ] {
        let error = error_of(source);
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn sketches_beyond_the_memory_limit_are_refused() {
    for source in [
        "require 'bloom_filter' bloom_filter.new(1e9, 0.001)",
        "require 'cuckoo_filter' cuckoo_filter.new(1e8)",
        "require 'cuckoo_filter_expire' cuckoo_filter_expire.new(1e8, 1)",
        "require 'hyperloglog' kept = {} while true do kept[#kept + 1] = hyperloglog.new() end",
        "local top = require 'topk'.new(1e6) for i = 1, 1e6 do top:add(('x'):rep(100) .. i) end",
    ] {
        let error = error_of(source);
        assert!(error.contains("not enough memory"), "{error}");
    }
}

#[test]
fn sketches_are_saved_with_the_globals() {
    let source = r#"
        require "hyperloglog" require "bloom_filter" require "cuckoo_filter" require "cuckoo_filter_expire"
        require "ddsketch" require "topk" require "sax" require "cjson"
        hll, bloom, cuckoo, expire = hyperloglog.new(), bloom_filter.new(10, 0.1), cuckoo_filter.new(10), cuckoo_filter_expire.new(10, 1)
        dd, top, window, word, null = ddsketch.new(0.02), topk.new(3), sax.window.new(4, 2, 4), false, false
        function process_message()
            add_to_payload(hll:count(), " ", bloom:query("x"), " ", cuckoo:query("x"), " ", expire:query("x"), " ", dd:max(), " ", top:total(), " ",
                tostring(window), " ", tostring(word), " ", null == cjson.null)
            inject_payload()
            hll:add("x") bloom:add("x") cuckoo:add("x") expire:add("x", 60000000000) dd:add(4) top:add("x", 7)
            window:add({1, 2, 3, 4}) word = window:get_word() null = cjson.null
            return 0
        end
    "#;
    let mut before = load(source, |_| {});
    assert_eq!(call(&mut before).unwrap(), ["0 false false false nil 0 ## false false"]);
    let state = before.save().unwrap();
    let mut after = load(source, |_| {});
    after.restore(&state).unwrap();
    assert_eq!(call(&mut after).unwrap(), ["1 true true true 4 7 AD AD true"]);
}
