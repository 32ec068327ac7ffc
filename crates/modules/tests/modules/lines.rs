//! The modules behind encoders: util, msg_interpolate, field_util, ts_line_protocol, elasticsearch, graphite.

use message::BatchBuilder;
use sandbox::Inject;

use crate::support::{NOW, load, passes};

/// What a body leaves in the payload, for a message with headers and fields.
fn on_message(source: &str) -> String {
    let source = format!("function process_message() {source} inject_payload() return 0 end");
    let mut incoming = BatchBuilder::default();
    let mut m = incoming.add();
    m.set_timestamp(1_434_932_024_500_000_000);
    m.set_type(b"stats.loadavg");
    m.set_hostname(b"my host");
    m.set_severity(6);
    m.set_pid(7);
    m.add_double(b"1MinAvg", 0.11);
    m.add_string(b"Env", b"dev,a=b");
    m.add_bool(b"up", true);
    m.add_string(b"text.part", b"a \"b\" \\");
    m.add_integer(b"n", -5);
    let incoming = incoming.finish();
    let mut out = BatchBuilder::default();
    let mut sandbox = load(&source, |_| {});
    sandbox.process_message(incoming.get(0), &mut Inject { builder: &mut out, now_ns: NOW }).unwrap_or_else(|f| panic!("{f}"));
    let out = out.finish();
    (0..out.len()).map(|i| String::from_utf8_lossy(out.get(i).payload()).into_owned()).collect()
}

#[test]
fn util_functions() {
    passes(
        r#"
        local util = require "util"
        local list = {1, 2, 3, 4}
        util.behead_array(3, list) assert(#list == 2 and list[1] == 3 and list[2] == 4)
        util.behead_array(9, list) assert(#list == 0)
        local keys = {}
        for k in util.pairs_by_key{b = 1, a = 2, [3] = 3, [1] = 1} do keys[#keys + 1] = k end
        assert(table.concat(keys, ",") == "1,3,a,b")
        local merged = util.merge_objects({a = {x = 1}, b = 1}, {a = {y = 2}, b = 2, c = {z = 3}})
        assert(merged.a.x == 1 and merged.a.y == 2 and merged.b == 2 and merged.c.z == 3)
        local fields = util.table_to_fields({a = {b = {c = 1}}, d = 2}, {})
        assert(fields["a.b.c"] == 1 and fields.d == 2)
        fields = util.table_to_fields({a = {b = {c = 1}}, d = 2}, {}, "top", "_", 1)
        assert(fields.top_d == 2 and next(fields, "top_d") == nil)
    "#,
    );
}

#[test]
fn interpolates() {
    let source = |text: &str| format!("add_to_payload(require 'msg_interpolate'.interpolate_from_msg('{text}', 1434932024))");
    for (text, expected) in [
        ("plain", "plain"),
        ("%{Type}-%{Hostname}", "stats.loadavg-my host"),
        ("%{Pid}/%{1MinAvg}/%{up}/%{n}", "7/0.11/true/-5"),
        ("%{missing|none}.%{Env|none}", "none.dev,a=b"),
        ("%{missing}", "%{missing}"),
        ("logs-%{%Y.%m.%d}", "logs-2015.06.22"),
        ("%{%Q}", "%{%Q}"),
    ] {
        assert_eq!(on_message(&source(text)), expected, "{text}");
    }
}

#[test]
fn field_sets() {
    passes(
        r#"
        local fu = require "field_util"
        local set, base, all = fu.field_map("a  b **all_base**")
        assert(set.a and set.b and set.Type and base and not all)
        set, base, all = fu.field_map(nil)
        assert(set.Hostname and base and not all)
        set, base, all = fu.field_map("**all** x")
        assert(set.Type and set.x and all and not base)
        set, base, all = fu.field_map("**none**")
        assert(next(set) == nil and not base and not all)
        set = fu.used_base_fields({Type = true})
        assert(set.Type == nil and set.Pid == true)
    "#,
    );
}

#[test]
fn influx_lines() {
    let lines = |options: &str| {
        on_message(&format!(
            "local ts = require 'ts_line_protocol' add_to_payload(table.concat(ts.influxdb_line_msg(ts.set_config({options})), '\\n'))"
        ))
    };
    assert_eq!(
        lines(
            "{skip_fields_str = '**all_base** Env text.part', tag_fields_str = 'Hostname Env', timestamp_precision = 's', decimal_precision = '2'}"
        ),
        "1MinAvg,Hostname=my\\ host,Env=dev\\,a\\=b value=0.11 1434932024\n\
         up,Hostname=my\\ host,Env=dev\\,a\\=b value=true 1434932024\n\
         n,Hostname=my\\ host,Env=dev\\,a\\=b value=-5.00 1434932024"
    );
    assert_eq!(
        lines("{name_prefix = '%{Type}', multi_fields = true, tag_fields_str = '**none**', skip_fields_str = '1MinAvg up n'}"),
        "stats.loadavg Env=\"dev,a=b\",text.part=\"a \\\"b\\\" \\\\\" 1434932024500"
    );
    assert_eq!(
        lines("{name_prefix = 'load', source_value_field = '1MinAvg', value_field_key = 'v'}"),
        "load,Hostname=my\\ host,Severity=6,Type=stats.loadavg v=0.110000 1434932024500"
    );
    assert_eq!(
        lines(
            "{name_prefix = 'x', name_prefix_delimiter = '.', tag_fields_str = '**none**', skip_fields_str = '1MinAvg Env up text.part'}"
        ),
        "x.n value=-5.000000 1434932024500"
    );
    assert_eq!(lines("{source_value_field = 'missing', name_prefix = 'x'}"), "");
}

#[test]
fn carbon_lines() {
    let source = "local ts = require 'ts_line_protocol' local config = ts.set_config{carbon_format = true, timestamp_precision = 's', name_prefix = '%{Type}', name_prefix_delimiter = '.'}
        add_to_payload(table.concat(ts.carbon_line_msg(config), '\\n'))";
    assert_eq!(on_message(source), "stats.loadavg.1MinAvg 0.11 1434932024\nstats.loadavg.n -5 1434932024");
}

#[test]
fn line_options_are_checked() {
    passes(
        r#"
        local ts = require "ts_line_protocol"
        for _, options in ipairs{{multi_fields = true}, {source_value_field = "x"}, {decimal_precision = "x"}, {decimal_precision = 99}} do
            assert(not pcall(ts.set_config, options))
        end
    "#,
    );
}

#[test]
fn elasticsearch_lines() {
    let line = |arguments: &str| on_message(&format!("add_to_payload(require 'elasticsearch'.bulkapi_index_json({arguments}))"));
    assert_eq!(
        line("'a-%{%Y.%m.%d}', '%{Type}', nil, read_message('Timestamp')"),
        r#"{"index":{"_index":"a-2015.06.22","_type":"stats.loadavg"}}"#
    );
    assert_eq!(line("nil, nil, '%{text.part}'"), r#"{"index":{"_id":"a \"b\" \\"}}"#);
    assert_eq!(line(""), r#"{"index":{}}"#);
    assert_eq!(
        on_message(
            r#"local es = require 'elasticsearch' add_to_payload(es.payload_line('[1,\n2]\n'), es.payload_line('a\nb') == nil, es.payload_line('x\n'))"#
        ),
        "[1,2]truex"
    );
    let document: serde_json::Value = serde_json::from_str(&on_message("add_to_payload(require 'elasticsearch'.message_json())")).unwrap();
    assert_eq!(document["Timestamp"], "2015-06-22T00:13:44Z");
    assert_eq!((&document["n"], &document["up"], &document["Type"]), (&(-5).into(), &true.into(), &"stats.loadavg".into()));
}

#[test]
fn graphite_lines() {
    let out = on_message(
        "local g = require 'graphite'
        add_to_payload(g.multi_counts_rates({b = 5, a = 1.5}, 10, 100.7))
        add_to_payload(g.timeseries_metrics('t', {220, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100}, 10, 90, 5), g.timeseries_metrics('e', {}, 10, 90, 5), g.ns_to_sec(1500000000))",
    );
    assert!(
        out.starts_with("stats.counters.a.count 1.500000 100\nstats.counters.a.rate 0.150000 100\nstats.counters.b.count 5 100\n"),
        "{out}"
    );
    for line in [
        "t.count 11 5",
        "t.count_ps 1.100000 5",
        "t.lower 10.000000 5",
        "t.upper 220.000000 5",
        "t.mean 70.000000 5",
        "t.mean_90 55.000000 5",
        "t.upper_90 100.000000 5",
        "e.count 0 5",
        "e.upper_90 0.000000 5",
    ] {
        assert!(out.contains(&format!("stats.timers.{line}\n")), "{line} in {out}");
    }
    assert!(out.ends_with("\n1"), "{out}");
}
