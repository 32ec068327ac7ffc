//! `circular_buffer` as scripts see it.

use crate::support::{call, error_of, load, passes, payload_of};

const NEW: &str = "local cb = require('circular_buffer').new(3, 2, 60)";

fn in_new(source: &str) -> String {
    format!("{NEW} {source}")
}

#[test]
fn cells_by_time_and_column() {
    passes(&in_new(
        "
        assert(cb:current_time() == 120e9)
        local rows, columns, seconds = cb:get_configuration()
        assert(rows == 3 and columns == 2 and seconds == 60)
        assert(cb:add(61e9, 1, 2) == 2 and cb:add(119e9, 1, 3) == 5)
        assert(cb:get(60e9, 1) == 5)
        assert(cb:set(0, 2, 7) == 7 and cb:set(0, 2, 6) == 6)
        local empty = cb:get(120e9, 1)
        assert(empty ~= empty)
        assert(cb:get(180e9, 1) == nil)
        cb:add(180e9, 1, 1)
        assert(cb:get(0, 2) == nil and cb:add(59e9, 1, 1) == nil)
        assert(cb:get(60e9, 1) == 5)
        local nan = cb:add(60e9, 1, 0/0)
        assert(nan ~= nan and cb:add(60e9, 1, 4) == 4)
        assert(cb:current_time() == 180e9)",
    ));
}

#[test]
fn headers() {
    passes(&in_new(
        "
        assert(cb:set_header(1, 'Requests / s (all)', 'requests', 'max') == 1)
        local name, unit, how = cb:get_header(1)
        assert(name == 'Requests___s__a' and unit == 'request' and how == 'max')
        name, unit, how = cb:get_header(2)
        assert(name == 'Column_2' and unit == 'count' and how == 'sum')
        cb:set(0, 1, 5) cb:set(0, 1, 3)
        assert(cb:get(0, 1) == 5)",
    ));
}

#[test]
fn statistics() {
    passes(&in_new(
        "
        cb:set(0, 1, -3) cb:set(120e9, 1, -1)
        local function is(value, n, ...) local v, c = cb:compute(...) assert(v == value and c == n, tostring(v) .. ' ' .. tostring(c)) end
        is(-4, 2, 'sum', 1) is(-2, 2, 'avg', 1) is(1, 2, 'sd', 1) is(1, 2, 'variance', 1) is(-3, 2, 'min', 1) is(-1, 2, 'max', 1)
        is(-3, 1, 'sum', 1, nil, 60e9) is(-1, 1, 'sum', 1, 60e9) is(0, 0, 'sum', 2)
        local nan = cb:compute('max', 2)
        assert(nan ~= nan)
        assert(cb:compute('sum', 1, 0, 180e9) == nil)",
    ));
}

#[test]
fn ranks() {
    passes(
        "local cb = require('circular_buffer').new(60, 2, 1)
        for i = 0, 59 do cb:set(i * 1e9, 1, i * 7919 % 101 / 3) end
        local u, p = cb:mannwhitneyu(1, 0, 19e9, 20e9, 39e9)
        assert(u == 177 and math.abs(p - 0.2713858507585) < 1e-12)
        u, p = cb:mannwhitneyu(1, 0, 19e9, 20e9, 39e9, false)
        assert(u == 177 and math.abs(p - 0.26692094675833) < 1e-12)
        assert(select('#', cb:mannwhitneyu(2, 0, 19e9, 20e9, 39e9)) == 0)
        assert(select('#', cb:mannwhitneyu(1, 0, 19e9, 20e9, 99e9)) == 0)",
    );
}

#[test]
fn ranges_and_deltas() {
    passes(
        "local cb = require('circular_buffer').new(3, 1, 1, true)
        cb:set(1e9, 1, 5) cb:set(1e9, 1, 8)
        local all = cb:get_range(1)
        assert(#all == 3 and all[2] == 8 and all[1] ~= all[1])
        assert(#cb:get_range(1, 1e9, 1e9) == 1 and cb:get_range(1, 0, 9e9) == nil)
        assert(cb:get_delta(1e9, 1) == 8 and cb:get_range_delta(1)[2] == 8)
        cb:reset_delta()
        local nan = cb:get_delta(1e9, 1)
        assert(nan ~= nan and tostring(cb:format('cbufd')) == '')",
    );
}

#[test]
fn text_in_payloads() {
    let full = payload_of(&in_new("cb:set_header(1, 'a', 's', 'min') cb:add(0, 1, 1.5) cb:add(120e9, 2, 3) add_to_payload('x\\n', cb)"));
    let header = concat!(
        r#"{"time":0,"rows":3,"columns":2,"seconds_per_row":60,"column_info":["#,
        r#"{"name":"a","unit":"s","aggregation":"min"},{"name":"Column_2","unit":"count","aggregation":"sum"}]}"#
    );
    assert_eq!(full, format!("x\n{header}\n1.5\tnan\nnan\tnan\nnan\t3\n"));
    passes(&in_new("assert(tostring(cb):sub(1, 10) == '{\"time\":0,')"));
}

#[test]
fn changes_are_sent_once() {
    let mut sandbox = load(
        "require 'circular_buffer'
        cb = circular_buffer.new(3, 2, 60, true)
        n = 0
        function process_message()
            n = n + 1
            if n ~= 2 then cb:add(60e9, 1, n) end
            assert(#tostring(cb:format('cbufd')) > 0 or n == 2)
            inject_payload('cbufd', 'x', cb:format('cbufd'))
            return 0
        end",
        |_| {},
    );
    let mut rows = || call(&mut sandbox).unwrap().first().map(|p| p.lines().nth(1).unwrap().to_string());
    assert_eq!(rows().as_deref(), Some("60\t1\tnan"));
    assert_eq!(rows(), None);
    assert_eq!(rows().as_deref(), Some("60\t3\tnan"));
}

#[test]
fn changes_that_were_too_long_are_not_lost() {
    let source = "local cb = require('circular_buffer').new(100, 1, 1, true):format('cbufd')
        for i = 0, 99 do cb:add(i * 1e9, 1, 1) end
        local ok, why = pcall(add_to_payload, string.rep('x', 60 * 1024), string.rep('x', 3000), cb)
        assert(not ok and why:find('output_limit'), why)
        add_to_payload(cb)";
    assert_eq!(payload_of(source).lines().count(), 101);
}

#[test]
fn annotations() {
    let text = payload_of(&in_new(
        "assert(cb:annotate(60e9, 2, 'alert', 'so \"high\"')) assert(not cb:annotate(900e9, 1, 'info', 'x')) add_to_payload(cb)",
    ));
    let header = text.lines().next().unwrap();
    assert!(header.ends_with(r#"],"annotations":[{"x":60000,"col":2,"shortText":"A","text":"so \"high\""}]}"#), "{header}");
}

#[test]
fn values_from_heka_state() {
    passes(&in_new(
        "cb:fromstring('600 1 3 4 5 nan 1 2')
        assert(cb:current_time() == 600e9 and cb:get(480e9, 1) == 1 and cb:get(600e9, 1) == 5)",
    ));
    assert!(error_of(&in_new("cb:fromstring('600 1 3 4')")).contains("fromstring() too few values: 2, expected 6"));
    assert!(error_of(&in_new("cb:fromstring('600 1 1 2 3 4 5 6 7')")).contains("too many values, more than: 6"));
}

#[test]
fn errors_name_the_argument_and_its_range() {
    let new = |args: &str| error_of(&format!("require('circular_buffer').new({args})"));
    for (source, why) in [
        (new("2"), "bad argument #0 to 'new' (incorrect number of arguments)"),
        (new("nil, 1, 1"), "bad argument #1 to 'new' (number expected, got nil)"),
        (new("1, 1, 1"), "bad argument #1 to 'new' (rows must be > 1"),
        (new("2, 0, 1"), "bad argument #2 to 'new' (columns must be > 0"),
        (new("2, 1, 0"), "bad argument #3 to 'new' (seconds_per_row is out of range (1 to 86400))"),
        (new("2, 1, 86401"), "bad argument #3 to 'new' (seconds_per_row is out of range"),
        (new("2, 1, 1, 1"), "bad argument #4 to 'new' (boolean expected, got number)"),
        (error_of(&in_new("cb:add(0, 3, 1)")), "bad argument #2 to 'add' (column 3 out of range (1 to 2))"),
        (error_of(&in_new("cb:add(0, 0, 1)")), "bad argument #2 to 'add' (column 0 out of range (1 to 2))"),
        (error_of(&in_new("cb:set('x', 1, 1)")), "bad argument #1 to 'set' (number expected, got string)"),
        (error_of(&in_new("cb:set(0, 1)")), "(incorrect number of arguments)"),
        (error_of(&in_new("cb:compute('median', 1)")), "bad argument #1 to 'compute' (invalid option 'median')"),
        (error_of(&in_new("cb:compute('sum', 1, 60e9, 0)")), "(end must be >= start)"),
        (error_of(&in_new("cb:mannwhitneyu(1, 0, 60e9, 60e9, 120e9)")), "ranges must not overlap"),
        (error_of(&in_new("cb:format('csv')")), "bad argument #1 to 'format' (invalid option 'csv')"),
        (error_of(&in_new("cb:set_header(1, 'a', 'b', 'mean')")), "bad argument #4 to 'set_header' (invalid option 'mean')"),
        (error_of(&in_new("cb.add({}, 0, 1, 1)")), "circular_buffer expected, got table"),
    ] {
        assert!(source.contains(why), "{source} has not {why}");
    }
}

#[test]
fn size_is_refused_before_it_is_allocated() {
    for size in ["1e6, 2", "4294967295, 4294967295", "2, 4294967295"] {
        let error = error_of(&format!("require('circular_buffer').new({size}, 1)"));
        assert!(error.contains("not enough memory"), "{error}");
    }
    // Cells count as the script's memory, and are given back.
    let source = "require 'circular_buffer'
        function process_message()
            for i = 1, 100 do keep = circular_buffer.new(50000, 10, 1) end
            return 0
        end";
    let mut sandbox = load(source, |_| {});
    call(&mut sandbox).unwrap();
    assert!(sandbox.usage().memory.current > 4_000_000, "{:?}", sandbox.usage().memory);
}

#[test]
fn buffers_are_saved_with_the_globals() {
    let source = "require 'circular_buffer'
        cb = circular_buffer.new(3, 2, 60, true):format('cbufd')
        cb:set_header(1, 'a', 's', 'max')
        n = 0
        function process_message()
            n = n + 1
            if n == 1 then
                cb:add(240e9, 1, 1.25) cb:set(300e9, 2, -0.5) cb:annotate(240e9, 1, 'info', 'hm')
            else
                add_to_payload(tostring(cb:format('cbufd')), tostring(cb:format('cbuf')))
                inject_payload()
            end
            return 0
        end";
    let mut before = load(source, |_| {});
    call(&mut before).unwrap();
    let state = before.save().unwrap();
    let expected = call(&mut before).unwrap();
    let mut after = load(source, |_| {});
    after.restore(&state).unwrap();
    assert_eq!(call(&mut after).unwrap(), expected);
    assert!(expected[0].contains("240\t1.25\tnan\n") && expected[0].contains("\"hm\""), "{expected:?}");
}
