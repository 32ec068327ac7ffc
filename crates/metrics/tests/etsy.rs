//! The aggregation against hand-computed results of Etsy's statsd, and its laws.

use std::collections::BTreeMap;

use message::{Batch, BatchBuilder, Value};
use metrics::{AggregateOptions, Aggregator, Bin, Dialect, Histogram, Measure, Refused, Sample, statsd};
use proptest::prelude::*;

fn options() -> AggregateOptions {
    AggregateOptions::default()
}

fn feed(aggregator: &mut Aggregator, packet: &str) -> Vec<String> {
    let mut refused = Vec::new();
    aggregator.packet(packet.as_bytes(), Dialect::Etsy, &mut |_, why| refused.push(why.to_string()));
    refused
}

fn flush(aggregator: &mut Aggregator, at: i64) -> Batch {
    let mut out = BatchBuilder::default();
    aggregator.flush(at * 1_000_000_000).write_all(out.messages());
    out.finish()
}

/// Values by name, tags behind it as `;tag=value`; without the aggregation's own metrics.
fn values(batch: &Batch) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for m in batch.iter() {
        assert_eq!(m.type_(), b"metric");
        let text = |v: Option<Value<'_>>| String::from_utf8_lossy(v.unwrap().as_bytes().unwrap()).into_owned();
        let mut name = text(m.value(b"name", 0, 0));
        for field in m.fields().filter(|f| !matches!(f.name(), b"name" | b"value" | b"kind")) {
            name += &format!(";{}={}", String::from_utf8_lossy(field.name()), text(field.value(0)));
        }
        if !name.contains("statsd.") {
            let known = all.insert(name.clone(), m.value(b"value", 0, 0).unwrap().as_f64().unwrap());
            assert_eq!(known, None, "{name} twice");
        }
    }
    all
}

fn flushed(options: AggregateOptions, packet: &str) -> BTreeMap<String, f64> {
    let mut aggregator = Aggregator::new(options);
    assert_eq!(feed(&mut aggregator, packet), [""; 0]);
    values(&flush(&mut aggregator, 10))
}

fn expect(found: &BTreeMap<String, f64>, expected: &[(&str, f64)]) {
    for (name, value) in expected {
        assert_eq!(found.get(*name), Some(value), "{name} in {found:#?}");
    }
}

#[test]
fn counters_have_a_rate_and_a_count() {
    let found = flushed(options(), "a:3|c\na:2|c\r\nb:1|c|@0.1\nodd:4|zz\nhex:0x10|c");
    expect(
        &found,
        &[
            ("stats.counters.a.rate", 0.5),
            ("stats.counters.a.count", 5.0),
            ("stats.counters.b.count", 10.0),
            ("stats.counters.odd.count", 4.0),
            ("stats.counters.hex.count", 16.0),
        ],
    );
    assert_eq!(found.len(), 8);
}

#[test]
fn timers_have_every_statistic() {
    let tens: String = (1..=10).rev().map(|n| format!("t:{}|ms\n", n * 10)).collect();
    let found = flushed(options(), &tens);
    expect(
        &found,
        &[
            ("stats.timers.t.count_90", 9.0),
            ("stats.timers.t.mean_90", 50.0),
            ("stats.timers.t.upper_90", 90.0),
            ("stats.timers.t.sum_90", 450.0),
            ("stats.timers.t.sum_squares_90", 28500.0),
            ("stats.timers.t.std", 28.722813232690143),
            ("stats.timers.t.upper", 100.0),
            ("stats.timers.t.lower", 10.0),
            ("stats.timers.t.count", 10.0),
            ("stats.timers.t.count_ps", 1.0),
            ("stats.timers.t.sum", 550.0),
            ("stats.timers.t.sum_squares", 38500.0),
            ("stats.timers.t.mean", 55.0),
            ("stats.timers.t.median", 55.0),
        ],
    );
    assert_eq!(found.len(), 14);
}

#[test]
fn percentiles_round_and_top_percentiles_count_from_above() {
    let packet = "t:100|ms:200|ms:300|ms";
    let found = flushed(AggregateOptions { percentiles: vec![80.0], ..options() }, packet);
    expect(&found, &[("stats.timers.t.count_80", 2.0), ("stats.timers.t.mean_80", 150.0), ("stats.timers.t.upper_80", 200.0)]);

    let found = flushed(AggregateOptions { percentiles: vec![-50.0, -100.0, 99.9, 10.0], ..options() }, packet);
    expect(
        &found,
        &[
            ("stats.timers.t.count_top50", 2.0),
            ("stats.timers.t.lower_top50", 200.0),
            ("stats.timers.t.sum_top50", 500.0),
            ("stats.timers.t.sum_squares_top50", 130000.0),
            ("stats.timers.t.sum_top100", 600.0),
            ("stats.timers.t.upper_99_9", 300.0),
        ],
    );
    assert!(!found.contains_key("stats.timers.t.count_10"), "a tenth of three rounds to none");
}

#[test]
fn a_single_sample_is_its_every_percentile_and_sampling_counts_only_in_count() {
    let found = flushed(AggregateOptions { percentiles: vec![10.0, -10.0], ..options() }, "t:7|ms|@0.1");
    expect(
        &found,
        &[
            ("stats.timers.t.upper_10", 7.0),
            ("stats.timers.t.lower_top10", 7.0),
            ("stats.timers.t.count_10", 1.0),
            ("stats.timers.t.count", 10.0),
            ("stats.timers.t.count_ps", 1.0),
            ("stats.timers.t.mean", 7.0),
            ("stats.timers.t.std", 0.0),
        ],
    );
}

#[test]
fn histograms_go_by_the_first_part_found() {
    let bins = |bounds: &[(&str, f64)]| bounds.iter().map(|(l, b)| Bin { label: l.to_string(), below: *b }).collect();
    let histograms = vec![
        Histogram { part: "api".into(), bins: bins(&[("0_5", 0.5), ("10", 10.0), ("inf", f64::INFINITY)]) },
        Histogram { part: String::new(), bins: bins(&[("5", 5.0)]) },
    ];
    let found = flushed(AggregateOptions { histograms, ..options() }, "api.x:0|ms:0.5|ms:9|ms:10|ms:99|ms\nother:1|ms:6|ms");
    expect(
        &found,
        &[
            ("stats.timers.api.x.histogram.bin_0_5", 1.0),
            ("stats.timers.api.x.histogram.bin_10", 2.0),
            ("stats.timers.api.x.histogram.bin_inf", 2.0),
            ("stats.timers.other.histogram.bin_5", 1.0),
        ],
    );
}

#[test]
fn gauges_persist_and_move_relatively_only_from_a_value() {
    let mut aggregator = Aggregator::new(options());
    feed(&mut aggregator, "a:10|g\na:-3|g\nb:+5|g\nc:0|g\nc:-4|g\nd:1|g\nd:+0.5|g");
    let first = values(&flush(&mut aggregator, 10));
    expect(&first, &[("stats.gauges.a", 7.0), ("stats.gauges.b", 5.0), ("stats.gauges.c", -4.0), ("stats.gauges.d", 1.5)]);
    assert_eq!(values(&flush(&mut aggregator, 20)), first);
}

#[test]
fn sets_count_distinct_members() {
    let found = flushed(options(), "s:a|s\ns:b|s\ns:a|s\ns:|s\ns:0|s");
    expect(&found, &[("stats.sets.s.count", 3.0)]);
}

#[test]
fn idle_series_send_zeros_unless_deleted() {
    let packet = "c:1|c\nt:1|ms\ns:1|s\ng:1|g";
    let mut aggregator = Aggregator::new(options());
    feed(&mut aggregator, packet);
    flush(&mut aggregator, 10);
    let found = values(&flush(&mut aggregator, 20));
    let idle = [
        ("stats.counters.c.count", 0.0),
        ("stats.counters.c.rate", 0.0),
        ("stats.gauges.g", 1.0),
        ("stats.sets.s.count", 0.0),
        ("stats.timers.t.count", 0.0),
        ("stats.timers.t.count_ps", 0.0),
    ];
    assert_eq!(found, idle.iter().map(|(n, v)| (n.to_string(), *v)).collect());

    let deleting =
        AggregateOptions { delete_counters: true, delete_timers: true, delete_sets: true, delete_gauges: true, gauge_ttl: 2, ..options() };
    let mut aggregator = Aggregator::new(deleting);
    feed(&mut aggregator, packet);
    flush(&mut aggregator, 10);
    assert_eq!(values(&flush(&mut aggregator, 20)).into_keys().collect::<Vec<_>>(), ["stats.gauges.g"]);
    assert_eq!(values(&flush(&mut aggregator, 30)).len(), 0);
    assert_eq!(aggregator.series(), 0);
}

#[test]
fn the_legacy_namespace_and_the_prefixes_name_everything() {
    let packet = "c:10|c\ng:1|g\nt:1|ms\ns:1|s";
    let found = flushed(AggregateOptions { legacy_namespace: true, ..options() }, packet);
    expect(
        &found,
        &[("stats.c", 1.0), ("stats_counts.c", 10.0), ("stats.gauges.g", 1.0), ("stats.timers.t.upper", 1.0), ("stats.sets.s.count", 1.0)],
    );
    let prefixed = AggregateOptions { global_prefix: String::new(), counter_prefix: "n".into(), global_suffix: "h1".into(), ..options() };
    expect(&flushed(prefixed, packet), &[("n.c.rate.h1", 1.0), ("n.c.count.h1", 10.0), ("gauges.g.h1", 1.0), ("timers.t.upper.h1", 1.0)]);
}

#[test]
fn it_tells_of_itself() {
    let mut aggregator = Aggregator::new(options());
    assert_eq!(
        feed(&mut aggregator, "a:1|c\nb:2|g\n\nnonsense\nx:y|c"),
        ["expected `:` and a value behind the name at byte 8", "expected a number at byte 2"]
    );
    feed(&mut aggregator, "a:1|c");
    flush(&mut aggregator, 10);
    aggregator.took(std::time::Duration::from_millis(3));
    feed(&mut aggregator, "a:1|c\nb:2|g\nbad");
    let batch = flush(&mut aggregator, 21);
    let own: BTreeMap<String, Value<'_>> = batch
        .iter()
        .map(|m| {
            (String::from_utf8_lossy(m.value(b"name", 0, 0).unwrap().as_bytes().unwrap()).into_owned(), m.value(b"value", 0, 0).unwrap())
        })
        .filter(|(name, _)| name.contains("statsd."))
        .collect();
    let expected = [
        ("stats.counters.statsd.bad_lines_seen.count", Value::Integer(1)),
        ("stats.counters.statsd.bad_lines_seen.rate", Value::Double(0.1)),
        ("stats.counters.statsd.metrics_received.count", Value::Integer(3)),
        ("stats.counters.statsd.metrics_received.rate", Value::Double(0.3)),
        ("stats.counters.statsd.packets_received.count", Value::Integer(1)),
        ("stats.counters.statsd.packets_received.rate", Value::Double(0.1)),
        ("stats.gauges.statsd.timestamp_lag", Value::Double(1.0)),
        // a, b, three counters and a gauge of its own.
        ("stats.statsd.numStats", Value::Integer(6)),
        ("stats.statsd.processing_time", Value::Double(3.0)),
    ];
    assert_eq!(own, expected.into_iter().map(|(n, v)| (n.to_string(), v)).collect());
}

#[test]
fn tags_make_series_and_become_fields() {
    let found = flushed(options(), "a:1|c|#host:h1,dc:x\na:2|c|#dc:x,host:h1\na:4|c\na:8|c|@0.5|#flag,name:n");
    expect(
        &found,
        &[
            ("stats.counters.a.count;dc=x;host=h1", 3.0),
            ("stats.counters.a.count", 4.0),
            ("stats.counters.a.count;flag=true;tag_name=n", 16.0),
        ],
    );
}

#[test]
fn limits_refuse_and_say_which_option_helps() {
    let mut aggregator = Aggregator::new(AggregateOptions { max_series: 2, max_values: 6, ..options() });
    let refused = feed(&mut aggregator, "a:1|ms\nb:u1|s\na:1|ms\nc:1|c\na:1|g\nb:u1|s\nb:u2|s");
    assert!(refused[0].contains("`max_values`") && refused[3].contains("`max_values`"), "{refused:?}");
    assert!(refused[1].contains("`max_series`") && refused[2].contains("`max_series`"), "{refused:?}");
    assert_eq!(refused.len(), 4);
    expect(&values(&flush(&mut aggregator, 10)), &[("stats.timers.a.count", 1.0), ("stats.sets.b.count", 1.0)]);
    assert_eq!(feed(&mut aggregator, "a:1|ms\nb:u9|s"), [""; 0], "a flush makes room");
    let nan = Sample { name: b"a", measure: Measure::Timer(f64::NAN), rate: 1.0, tags: b"" };
    assert_eq!(aggregator.add(&nan), Err(Refused::OutOfRange));
}

#[test]
fn a_flush_in_portions_is_the_same_flush() {
    let packet: String = (0..50).map(|n| format!("a{n}:{n}|c\nb{n}:{n}|ms\nc{n}:{n}|s\nd{n}:{n}|g\n")).collect();
    let (mut whole, mut portioned) = (Aggregator::new(options()), Aggregator::new(options()));
    feed(&mut whole, &packet);
    feed(&mut portioned, &packet);
    let mut all = BTreeMap::new();
    let mut flushing = portioned.flush(10_000_000_000);
    loop {
        let mut out = BatchBuilder::default();
        let more = flushing.write(out.messages(), 7);
        assert!(out.len() < 7 + 20);
        all.extend(values(&out.finish()));
        if !more {
            break;
        }
    }
    assert_eq!(all, values(&flush(&mut whole, 10)));
}

fn parsed(line: &str, dialect: Dialect) -> Vec<Result<(&'static str, f64), String>> {
    let mut all = Vec::new();
    statsd::parse(line.as_bytes(), dialect, &mut |sample| {
        all.push(sample.map_err(|e| e.to_string()).map(|s| match s.measure {
            Measure::Set(member) => ("set", member.len() as f64),
            Measure::Counter(n) | Measure::Gauge(n) | Measure::GaugeDelta(n) | Measure::Timer(n) => (s.measure.kind(), n),
        }));
    });
    all
}

#[test]
fn a_line_may_hold_several_values() {
    let (timer, counter) = ("timer", "counter");
    assert_eq!(parsed("a:1:2:3|ms|@0.5|#x:y", Dialect::Etsy), [Ok((timer, 1.0)), Ok((timer, 2.0)), Ok((timer, 3.0))]);
    assert_eq!(parsed("a:1|c:2|ms|@0.1:3|c|#t:v,u:w", Dialect::Etsy), [Ok((counter, 1.0)), Ok((timer, 2.0)), Ok((counter, 3.0))]);
    assert_eq!(parsed("a:1|c:x|c:3|c", Dialect::Etsy)[1], Err("expected a number at byte 6".into()));
    assert_eq!(parsed("a:1|c:x|c:3|c", Dialect::Etsy)[2], Ok((counter, 3.0)));
    assert_eq!(parsed("u:10.0.0.1:80|s", Dialect::Etsy), [Ok(("set", 11.0))]);
    assert_eq!(parsed("a:1|c|@0.5|#t:v|c:ci-1", Dialect::DogStatsd), [Ok((counter, 1.0))]);
}

#[test]
fn types_depend_on_the_dialect() {
    assert_eq!(parsed("a:1|h", Dialect::Etsy), [Ok(("counter", 1.0))]);
    assert_eq!(parsed("a:1|h", Dialect::DogStatsd), [Ok(("timer", 1.0))]);
    assert_eq!(parsed("a:1|d", Dialect::DogStatsd), [Ok(("timer", 1.0))]);
    assert!(parsed("a:1|zz", Dialect::DogStatsd)[0].as_ref().unwrap_err().starts_with("unknown type"));
    assert_eq!(parsed("a:-1|g", Dialect::Etsy), [Ok(("gauge_delta", -1.0))]);
}

#[test]
fn what_is_malformed_is_told_with_its_place() {
    for (line, told) in [
        ("1", "expected `:` and a value behind the name at byte 1"),
        ("a|c", "expected `:` and a value behind the name at byte 3"),
        (":1|c", "expected a name before `:` at byte 0"),
        ("a:1", "expected `|` and a type behind the value at byte 3"),
        ("a:1|", "expected a type, such as `c`, `g`, `ms` or `s` at byte 4"),
        ("a:|c", "expected a number at byte 2"),
        ("a:one|ms", "expected a number at byte 2"),
        ("a:Infinity|g", "expected a number at byte 2"),
        ("a:-1|ms", "expected a time that is not negative at byte 2"),
        ("a:1|c|0.1", "expected `@` and a sample rate or `#` and tags at byte 6"),
        ("a:1|c|", "expected `@` and a sample rate or `#` and tags at byte 6"),
        ("a:1|c|@", "expected a sample rate above 0 behind `@` at byte 6"),
        ("a:1|c|@0", "expected a sample rate above 0 behind `@` at byte 6"),
        ("a:1|c|@-0.1", "expected a sample rate above 0 behind `@` at byte 6"),
        ("a:1|c|T1656581400", "samples with a time of their own are not supported yet at byte 6"),
        ("_e{1,1}:a|b", "events are not supported yet at byte 0"),
        ("_sc|db|2", "service checks are not supported yet at byte 0"),
    ] {
        assert_eq!(parsed(line, Dialect::Etsy), [Err(told.to_string())], "{line}");
    }
    assert_eq!(parsed("_etc:1|c", Dialect::Etsy), [Ok(("counter", 1.0))]);
}

#[test]
fn a_damaged_state_is_refused_whole() {
    let mut aggregator = Aggregator::new(options());
    feed(&mut aggregator, "a:1|c\nb:2|g\nt:3|ms|@0.5\ns:x|s");
    let saved = aggregator.save();
    for end in 0..saved.len() {
        assert!(Aggregator::new(options()).restore(&saved[..end]).is_err(), "{end}");
    }
    let mut small = Aggregator::new(AggregateOptions { max_series: 2, max_values: 1, ..options() });
    small.restore(&saved).unwrap();
    assert_eq!(small.series(), 2, "today's limits hold");
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        ("[ab]", -50i64..50).prop_map(|(k, n)| format!("{k}:{n}|c")),
        ("[ab]", 0i64..50, 1..9).prop_map(|(k, n, t)| format!("{k}:{n}|ms|#t:{t}")),
        ("[ab]", "[+-]?[0-9]{1,3}").prop_map(|(k, n)| format!("{k}:{n}|g")),
        ("[ab]", "[xyz]{1,2}").prop_map(|(k, m)| format!("{k}:{m}|s")),
    ]
}

proptest! {
    #[test]
    fn how_samples_are_packed_does_not_matter(lines in prop::collection::vec((line(), any::<bool>()), 0..60)) {
        let mut single = Aggregator::new(options());
        let mut packed = Aggregator::new(options());
        let mut packet = String::new();
        for (line, cut) in &lines {
            feed(&mut single, line);
            packet += line;
            packet.push('\n');
            if *cut {
                feed(&mut packed, &std::mem::take(&mut packet));
            }
        }
        feed(&mut packed, &packet);
        prop_assert_eq!(values(&flush(&mut single, 10)), values(&flush(&mut packed, 10)));
    }

    #[test]
    fn sums_of_integers_are_exact(counts in prop::collection::vec(-1_000_000_000i64..1_000_000_000, 1..200)) {
        let packet: String = counts.iter().map(|n| format!("k:{n}|c\n")).collect();
        let found = flushed(options(), &packet);
        prop_assert_eq!(found["stats.counters.k.count"], counts.iter().sum::<i64>() as f64);
    }

    #[test]
    fn a_successor_goes_on_where_its_predecessor_stopped(before in prop::collection::vec(line(), 0..40), after in prop::collection::vec(line(), 0..40)) {
        let mut one = Aggregator::new(options());
        feed(&mut one, &before.join("\n"));
        let mut two = Aggregator::new(options());
        two.restore(&one.save()).unwrap();
        feed(&mut one, &after.join("\n"));
        feed(&mut two, &after.join("\n"));
        prop_assert_eq!(values(&flush(&mut one, 10)), values(&flush(&mut two, 10)));
        prop_assert_eq!(values(&flush(&mut one, 20)), values(&flush(&mut two, 20)));
    }

    #[test]
    fn no_bytes_panic_and_every_line_is_taken_or_refused(
        packet in prop::collection::vec(prop_oneof![Just(b':'), Just(b'|'), Just(b'#'), Just(b'@'), Just(b'\n'), Just(b'1'), Just(b'c'), Just(b','), any::<u8>()], 0..200),
        dogstatsd in any::<bool>(),
    ) {
        let dialect = if dogstatsd { Dialect::DogStatsd } else { Dialect::Etsy };
        let mut aggregator = Aggregator::new(options());
        let mut refused = 0;
        let taken = aggregator.packet(&packet, dialect, &mut |_, _| refused += 1);
        prop_assert!(taken + refused >= statsd::lines(&packet).count() as u64);
        flush(&mut aggregator, 10);
    }
}
