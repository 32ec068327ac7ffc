//! `anomaly` as scripts see it.

use crate::support::{error_of, passes};

const START: &str = "
    require 'circular_buffer'
    local anomaly = require 'anomaly'
    local function filled(rows, from, to, f)
        local cb = circular_buffer.new(rows, 1, 1)
        for s = from, to do cb:set(s * 1e9, 1, f(s)) end
        return cb
    end
    local function detect(ns, cb, config) return anomaly.detect(ns, 'Output1', cb, anomaly.parse_config(config)) end
";

fn with_start(source: &str) -> String {
    format!("{START} {source}")
}

#[test]
fn configuration_becomes_tables() {
    passes(&with_start(
        r#"
        local c = anomaly.parse_config('roc("a", 1, 15, 0, 1.5, true, false) mww("b", 2, 60, 10, 0.0001, any)mww_nonparametric("a", 3, 15, 10, 0.55)')
        assert(#c.a == 2 and #c.b == 1)
        local roc, mww, non = c.a[1], c.b[1], c.a[2]
        assert(roc.algorithm == 'roc' and roc.col == 1 and roc.win == 15 and roc.hwin == 0 and roc.sd == 1.5)
        assert(roc.loss_of_data == true and roc.start_of_data == false)
        assert(mww.algorithm == 'mww' and mww.col == 2 and mww.win == 60 and mww.nwin == 10 and mww.pvalue == 0.0001 and mww.trend == 'any')
        assert(non.algorithm == 'mww_nonparametric' and non.col == 3 and non.nwin == 10 and non.pstat == 0.55)
        assert(anomaly.parse_config(nil) == nil)"#,
    ));
}

#[test]
fn configuration_that_cannot_be_read() {
    let error = error_of(&with_start("anomaly.parse_config('bogus')"));
    assert!(error.contains("could not parse the anomaly_config: `roc(`"), "{error}");
    assert!(error_of(&with_start("anomaly.parse_config('')")).contains("could not parse the anomaly_config"));
}

#[test]
fn rate_of_change() {
    passes(&with_start(
        r#"
        local cb = filled(100, 100, 199, function(s) return s <= 150 and s - 99 or s <= 184 and s % 4 + 9 or 23 end)
        assert(not detect(200e9, cb, 'roc("Output1", 1, 15, 0, 1.5, true, false)'))
        local text, marks = detect(200e9, cb, 'roc("Output1", 1, 15, 15, 1.5, true, false)')
        assert(text == 'Output1 - algorithm: roc col: 1 msg: detected anomaly, standard deviation exceeds 1.5', text)
        assert(#marks == 1 and marks[1].x == 200e3 and marks[1].col == 1 and marks[1].shortText == 'A')
        assert(marks[1].text == 'detected anomaly, standard deviation exceeds 1.5')"#,
    ));
}

#[test]
fn data_that_stop_or_start() {
    passes(&with_start(
        r#"
        local cb = filled(100, 100, 150, function() return 2 end)
        cb:set(171e9, 1, 0/0)
        assert(detect(170e9, cb, 'roc("Output1", 1, 15, 0, 1.5, true, false)') == 'Output1 - algorithm: roc col: 1 msg: no new data')
        cb = filled(100, 170, 170, function() return 2 end)
        assert(detect(171e9, cb, 'roc("Output1", 1, 15, 0, 1.5, false, true)') == 'Output1 - algorithm: roc col: 1 msg: unexpected data')
        assert(cb:current_time() == 171e9)"#,
    ));
}

#[test]
fn trends() {
    passes(&with_start(
        r#"
        local falling = filled(220, 300, 520, function(s) return 1300 - s end)
        local rising = filled(220, 300, 520, function(s) return 700 + s end)
        local function is(cb, config, text) local found = detect(521e9, cb, config) assert(found == text, found) end
        is(falling, 'mww("Output1", 1, 20, 10, 0.0001, decreasing)', 'Output1 - algorithm: mww col: 1 msg: detected anomaly, decreasing values')
        is(rising, 'mww("Output1", 1, 20, 10, 0.0001, increasing)', 'Output1 - algorithm: mww col: 1 msg: detected anomaly, increasing values')
        is(falling, 'mww("Output1", 1, 20, 10, 0.0001, any)', 'Output1 - algorithm: mww col: 1 msg: detected anomaly')
        is(falling, 'mww("Output1", 1, 20, 10, 0.0001, increasing)', nil)
        is(rising, 'mww_nonparametric("Output1", 1, 20, 10, 0.6)', 'Output1 - algorithm: mww_nonparametric col: 1 msg: detected anomaly, pstat: 0.944444')"#,
    ));
}

#[test]
fn runs_once_a_row_and_joins_what_it_finds() {
    passes(&with_start(
        r#"
        local cb = filled(100, 100, 150, function() return 2 end)
        cb:set(171e9, 1, 0/0)
        local config = anomaly.parse_config('roc("Output1", 1, 15, 0, 1.5, true, false) roc("Output1", 1, 14, 0, 1.5, true, false)')
        local text, marks = anomaly.detect(171e9, 'Output1', cb, config)
        assert(select(2, text:gsub('\n', '')) == 1 and #marks == 2)
        assert(not anomaly.detect(171.5e9, 'Output1', cb, config))
        assert(anomaly.detect(172e9, 'Output1', cb, config))
        assert(select('#', anomaly.detect(999e9, 'Other', cb, config)) == 0)
        assert(cb:current_time() == 999e9)"#,
    ));
}

#[test]
fn arguments_out_of_range() {
    let error = |source: &str| error_of(&with_start(source));
    let roc = error(r#"detect(44e9, circular_buffer.new(45, 1, 1), 'roc("Output1", 1, 15, 0, 1.5, true, false)')"#);
    assert!(roc.contains("Output1 - algorithm: roc col: 1 msg: win=15 hwin=0 arguments out of range (rows=45)"), "{roc}");
    let column = error(r#"detect(44e9, circular_buffer.new(45, 1, 1), 'mww("Output1", 2, 5, 4, 0.1, any)')"#);
    assert!(column.contains("column 2 out of range (1 to 1)"), "{column}");
    let table = error("anomaly.detect(44e9, 'x', circular_buffer.new(45, 1, 1), {x = {{algorithm = 'roc', col = 1, win = 2}}})");
    assert!(table.contains("check 1 has no valid `hwin`"), "{table}");
    let buffer = error("anomaly.detect(44e9, 'x', {}, {})");
    assert!(buffer.contains("bad argument #3 to 'detect' (circular_buffer expected, got table)"), "{buffer}");
}
