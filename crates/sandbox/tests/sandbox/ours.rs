//! `msg`, `metric`, `log`, `state` and `every`.

use message::{BatchBuilder, Header, Value};
use sandbox::{Family, Inject, Level, Limits, Sandbox, SandboxConfig};

use crate::support::*;

/// A call that may change the message; what came of it is message 0.
fn transform(source: &str) -> (Result<sandbox::Status, sandbox::Failure>, BatchBuilder) {
    let mut sandbox = load_with(&as_family(Family::Transform), &body(&format!("{source} return 0")));
    let mut builder = BatchBuilder::default();
    builder.copy(message().get(0));
    let (raw, messages) = builder.parts();
    let raw = raw.to_vec();
    let outcome = sandbox.process_message_mut(messages, &raw, 0, NOW);
    (outcome, builder)
}

#[track_caller]
fn transformed(source: &str) -> BatchBuilder {
    let (outcome, builder) = transform(source);
    outcome.unwrap_or_else(|e| panic!("{e}"));
    builder
}

mod msg {
    use super::*;

    #[test]
    fn headers_and_fields_are_read_where_they_stand() {
        passes(
            r#"
            assert(msg.Type == 't' and msg.Timestamp == 5 and msg.Severity == 3 and msg.Payload == 'line\xff' and msg.Logger == '')
            assert(msg.Uuid == read_message('Uuid') and #msg.Uuid == 36 and #msg.raw > 10 and msg.Pid == 0)
            assert(msg.Fields.s == 'text' and msg.Fields['i'] == math.maxinteger and msg.Fields.d == 0.5 and msg.Fields.b == true)
            assert(msg.Fields.missing == nil and msg.Fields[1] == nil and msg.Fields == msg.Fields)
            local all = msg.values('s')
            assert(#all == 3 and all[1] == 'text' and all[2] == 1 and all[3] == 2 and #msg.values('missing') == 0)
            local seen = {}
            for name, value in pairs(msg.Fields) do seen[#seen + 1] = name .. '=' .. tostring(value) end
            assert(table.concat(seen, ' ') == 's=text i=9223372036854775807 d=0.5 b=true s=1', table.concat(seen, ' '))
            "#,
        );
    }

    #[test]
    fn there_is_no_message_between_messages() {
        let mut sandbox = load(
            "assert(msg.Type == nil and msg.Fields.x == nil)
            function process_message() return 0 end
            function timer_event()
                assert(msg.Type == nil and msg.Timestamp == nil and msg.Fields.s == nil and #msg.values('s') == 0)
                for _ in pairs(msg.Fields) do error('there is none') end
            end",
        );
        tick(&mut sandbox).unwrap();
    }

    #[test]
    fn what_is_no_header_is_an_error_that_helps() {
        assert!(error_of("return msg.status").contains("msg has no 'status'"));
        assert!(error_of("return msg.status").contains("msg.Fields['status']"));
        assert!(error_of("msg.Type = 'x'").contains("msg cannot be changed here"), "{}", error_of("msg.Type = 'x'"));
        assert!(error_of("msg.Fields.s = 'x'").contains("msg cannot be changed here"));
        assert!(!error_of("setmetatable(msg, {})").is_empty() && !error_of("setmetatable(msg.Fields, {})").is_empty());
    }

    #[test]
    fn assignments_change_the_message() {
        let out = transformed(
            "msg.Payload = 'new' msg.Severity = 1 msg.Fields.s = 5 msg.Fields.fresh = 'x' msg.Fields.d = nil msg.Fields.b = 'yes'
            msg.Fields.list = {1, 2.5} msg.Fields.i = tostring(msg.Fields.i)
            assert(msg.Payload == 'new' and msg.Fields.s == 5 and msg.Fields.d == nil and msg.Fields.b == 'yes')",
        );
        let m = out.get(0);
        assert_eq!((m.payload(), m.severity()), (&b"new"[..], 1));
        assert_eq!(m.field(b"s", 0).unwrap().values().collect::<Vec<_>>(), [Value::Integer(5)]);
        assert_eq!(m.field(b"s", 1).unwrap().values().count(), 2, "only the first field of the name is changed");
        assert_eq!(m.value(b"fresh", 0, 0), Some(Value::String(b"x")));
        assert_eq!(m.value(b"b", 0, 0), Some(Value::String(b"yes")), "a field may change its type");
        assert_eq!(m.field(b"list", 0).unwrap().values().collect::<Vec<_>>(), [Value::Double(1.0), Value::Double(2.5)]);
        assert_eq!(m.value(b"i", 0, 0), Some(Value::String(b"9223372036854775807")));
        assert!(m.field(b"d", 0).is_none());
        let out = transformed("msg.Fields.s = nil msg.Fields.never = nil assert(msg.Fields.s == nil) msg.Fields.i = {}");
        assert!(out.get(0).field(b"s", 0).is_none() && out.get(0).field(b"i", 0).is_none(), "nil removes every field of the name");
    }

    #[test]
    fn assignments_that_make_no_sense_say_so() {
        for (source, why) in [
            ("msg.Fields = {}", "msg.Fields cannot be assigned to"),
            ("msg.status = 5", "msg has no 'status'"),
            ("msg.Fields.x = print", "found a function for 'x'"),
            ("msg.Fields.x = {1, 'a'}", "found a table for 'x'"),
            ("msg.Fields.x = {{}}", "found a table for 'x'"),
            ("msg.Severity = 'high'", "Severity takes a small integer"),
            ("msg.Fields.x = ('x'):rep(1e6)", "output_limit exceeded"),
            ("local t = {} for i = 1, 1e5 do t[i] = 1 end msg.Fields.x = t", "output_limit exceeded"),
            ("for i = 1, 1e6 do msg.Fields.x = 'some text of a little length' end", "output_limit exceeded"),
        ] {
            let message = transform(source).0.unwrap_err().message;
            assert!(message.contains(why), "{source}: {message}");
        }
    }

    #[test]
    fn a_global_of_that_name_is_the_scripts_own() {
        let mut sandbox = load(
            "msg = 'mine' state = {n = 1} log = 5 function process_message() assert(msg == 'mine' and log == 5 and state.n == 1) return 0 end",
        );
        call(&mut sandbox).unwrap();
        let mut sandbox = load(
            "msg.x, first = pcall(print) or true, true function process_message() return 0 end"
                .replace("msg.x, first", "local x, first")
                .as_str(),
        );
        call(&mut sandbox).unwrap();
    }
}

mod metric {
    use super::*;

    #[test]
    fn has_the_form_that_aggregation_emits() {
        let (_, batch) = call(&mut load(&body(
            "metric('requests', 5, {status = 503, host = 'a', name = 'n', slow = true, ratio = 0.5, two = 2.0}, 'counter') return 0",
        )))
        .unwrap();
        let m = batch.get(0);
        assert_eq!((m.type_(), m.timestamp(), m.logger(), m.hostname()), (&b"metric"[..], NOW, &b"test"[..], &b"host.example"[..]));
        let fields: Vec<_> = m.fields().map(|f| (String::from_utf8_lossy(f.name()).into_owned(), f.value(0).unwrap())).collect();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let text = |t: &'static str| Value::String(t.as_bytes());
        assert_eq!(
            fields,
            [
                ("name", text("requests")),
                ("value", Value::Integer(5)),
                ("kind", text("counter")),
                ("host", text("a")),
                ("tag_name", text("n")),
                ("ratio", text("0.5")),
                ("slow", text("true")),
                ("status", text("503")),
                ("two", text("2")),
            ]
        );
        let (_, batch) = call(&mut load(&body("metric('load', 0.25) return 0"))).unwrap();
        assert_eq!(batch.get(0).value(b"value", 0, 0), Some(Value::Double(0.25)));
        assert_eq!(batch.get(0).value(b"kind", 0, 0), Some(Value::String(b"gauge")));
        assert_eq!(batch.get(0).fields().count(), 3);
    }

    #[test]
    fn other_families_have_it_too() {
        let out = transformed("metric('lines', #msg.Payload)");
        assert_eq!((out.len(), out.get(1).type_(), out.get(1).timestamp()), (2, &b"metric"[..], 5));
        assert!(load_error_of(Family::Output).contains("global 'metric'"));
    }

    fn load_error_of(family: Family) -> String {
        let source = "metric('a', 1) function process_message() return 0 end";
        match Sandbox::new(&sandbox::Script::new("t.lua", source), &as_family(family)) {
            Ok(_) => panic!("this loads"),
            Err(e) => e.message,
        }
    }

    #[test]
    fn counts_among_what_is_injected_and_says_what_is_wrong() {
        for (source, why) in [
            ("metric('a', 1) metric('b', 2)", "metric() exceeded InjectMessage count: 2 of 1"),
            ("metric()", "bad argument #1 to 'metric'"),
            ("metric('', 1)", "a metric needs a name"),
            ("metric('a')", "number expected, got no value"),
            ("metric('a', '5')", "number expected, got string"),
            ("metric('a', 1, 'counter')", "bad argument #3 to 'metric' (table expected, got string)"),
            ("metric('a', 1, nil, 'guage')", "metric() kind 'guage': expected counter, gauge"),
            ("metric('a', 1, {'b'})", "tags are named: found a number"),
            ("metric('a', 1, {b = {}})", "tag 'b' is a table"),
            ("metric('a', 1, {b = ('x'):rep(1e5)})", "output_limit exceeded"),
            ("local t = {} for i = 1, 65 do t['t' .. i] = i end metric('a', 1, t)", "at most 64 tags"),
        ] {
            let message = error_of(source);
            assert!(message.contains(why), "{source}: {message}");
        }
        passes("local t = {} for i = 1, 64 do t['t' .. i] = i end metric('a', 1, t)");
        let mut sandbox = load("function process_message() return 0 end function timer_event() for i = 1, 10 do metric('n', i) end end");
        assert_eq!(tick(&mut sandbox).unwrap().len(), 10);
    }
}

#[test]
fn log_lines_have_levels() {
    let mut sandbox = load(&body(
        "log.debug('100%') log.info('%s has %d', 'a', 3.9) log.warn(nil) log.error({} ~= nil) print('plain', 1)
        log.info(('x'):rep(1000)) for i = 1, 40 do log.info(i) end return 0",
    ));
    call(&mut sandbox).unwrap();
    let (lines, dropped) = sandbox.take_log();
    let shown: Vec<_> = lines.iter().map(|l| (l.level, l.text.as_str())).take(5).collect();
    assert_eq!(
        shown,
        [(Level::Debug, "100%"), (Level::Info, "a has 3"), (Level::Warn, "nil"), (Level::Error, "true"), (Level::Info, "plain\t1")]
    );
    assert_eq!((lines[5].text.len(), lines.len(), dropped), (512, 32, 14));
    assert!(error_of("log.info()").contains("value expected"));
    assert!(error_of("log.info('%d', 'x')").contains("number expected"));
}

mod state {
    use super::*;

    fn count_of(sandbox: &mut Sandbox) -> String {
        let (_, batch) = call(sandbox).unwrap();
        String::from_utf8_lossy(batch.get(0).payload()).into_owned()
    }

    const COUNT: &str = "function process_message() state.count = (state.count or 0) + 1 add_to_payload(state.count, ' ', state.extra) inject_payload() return 0 end";

    #[test]
    fn survives_whatever_it_held_after_loading() {
        let mut old = load(&format!("state.count = 10 state.list = {{1}} {COUNT}"));
        assert_eq!(count_of(&mut old), "11 nil");
        let saved = old.save().unwrap();
        let mut new = load(&format!(
            "state.count = state.count or 500 state.extra = 'e' local list = state.list {COUNT} function timer_event() assert(state.list[1] == 1) end"
        ));
        let carried = new.restore(&saved).unwrap();
        assert_eq!(carried.carried, ["state"]);
        assert_eq!(count_of(&mut new), "12 e");
        tick(&mut new).unwrap();
        let mut again = load(COUNT);
        again.restore(&new.save().unwrap()).unwrap();
        assert_eq!(count_of(&mut again), "13 e");
    }

    #[test]
    fn another_preservation_version_begins_anew() {
        let mut old = load(COUNT);
        count_of(&mut old);
        let saved = old.save().unwrap();
        let mut new = load(&format!("_PRESERVATION_VERSION = 2 {COUNT}"));
        let carried = new.restore(&saved).unwrap();
        assert_eq!((carried.carried.len(), carried.reset), (0, vec!["state".to_owned()]));
        assert_eq!(count_of(&mut new), "1 nil");
    }

    #[test]
    fn shares_tables_with_globals_and_is_not_among_them() {
        let mut old = load("list = nil function process_message() list = {1, 2} state.list = list state.self = state return 0 end");
        call(&mut old).unwrap();
        let saved = old.save().unwrap();
        let mut new = load(
            "function process_message() assert(list == state.list and #list == 2 and state.self == state and rawget(_G, 'state') == nil) return 0 end",
        );
        new.restore(&saved).unwrap();
        call(&mut new).unwrap();
        assert!(load("function process_message() return 0 end").save().unwrap().len() < 20);
    }

    #[test]
    fn what_cannot_be_saved_is_reported() {
        let mut old = load("setmetatable(state, {}) function process_message() return 0 end");
        let saved = old.save().unwrap();
        assert_eq!(load("function process_message() return 0 end").restore(&saved).unwrap().unsaved, ["state"]);
        let config = SandboxConfig { limits: Limits { state: 1000, ..Limits::default() }, ..config() };
        let mut large = load_with(&config, "state.x = ('x'):rep(2000) function process_message() return 0 end");
        assert!(large.save().unwrap_err().message.contains("state_limit"));
    }
}

mod every {
    use super::*;
    use std::time::Duration;

    const S: i64 = 1_000_000_000;

    fn fire(sandbox: &mut Sandbox, ns: i64, last: bool) -> Result<Vec<String>, sandbox::Failure> {
        let mut builder = BatchBuilder::default();
        let tick = sandbox.timers().unwrap();
        sandbox.fire_timers(ns, tick, last, &mut Inject { builder: &mut builder, now_ns: ns })?;
        Ok((0..builder.len()).map(|n| String::from_utf8_lossy(builder.get(n).payload()).into_owned()).collect())
    }

    #[test]
    fn timers_fire_when_they_are_due() {
        let mut sandbox = load(
            "every('10s', function(ns, last) inject_payload('', '', 'ten ', ns // 1000000000, ' ', last) end)
            every('4s', function(ns, last) inject_payload('', '', 'four ', ns // 1000000000, ' ', last) end)
            every(60, function() inject_payload('', '', 'minute') end)
            function process_message() return 0 end
            function timer_event() inject_payload('', '', 'not me') end",
        );
        assert_eq!(sandbox.timers(), Some(Duration::from_secs(2)));
        let mut fired = Vec::new();
        for n in (2..=20).step_by(2) {
            fired.extend(fire(&mut sandbox, 1000 * S + n * S, false).unwrap());
        }
        assert_eq!(
            fired,
            [
                "four 1004 false",
                "four 1008 false",
                "ten 1010 false",
                "four 1012 false",
                "four 1016 false",
                "ten 1020 false",
                "four 1020 false"
            ]
        );
        assert_eq!(fire(&mut sandbox, 1021 * S, true).unwrap(), ["ten 1021 true", "four 1021 true", "minute"]);
    }

    #[test]
    fn a_timer_that_fails_is_a_failed_call() {
        let mut sandbox = load("every('1s', function() error('tick') end) function process_message() return 0 end");
        let failure = fire(&mut sandbox, S, false).unwrap_err();
        assert!(failure.message.contains("t.lua:1: tick"), "{failure}");
        let mut sandbox = load("every('1s', function() for _ = 1, 11 do metric('a', 1) end end) function process_message() return 0 end");
        assert!(fire(&mut sandbox, S, false).unwrap_err().message.contains("max_timer_inject"));
    }

    #[test]
    fn none_are_wanted_when_none_are_set_up() {
        assert_eq!(load("function process_message() return 0 end").timers(), None);
    }

    #[test]
    fn what_is_no_timer_is_refused_at_load() {
        let error = |source: &str| load_error(&format!("{source} function process_message() return 0 end")).message;
        for wrong in ["'10'", "'soon'", "''", "'-5s'", "'1ms'", "'400d'", "0", "-1", "0/0", "1e300"] {
            let message = error(&format!("every({wrong}, print)"));
            assert!(message.contains("expected a duration from 10ms to 366d"), "{wrong}: {message}");
        }
        assert!(error("every(nil, print)").contains("duration expected, got nil"));
        assert!(error("every('1s')").contains("bad argument #2 to 'every' (function expected, got no value)"));
        assert!(error("for _ = 1, 65 do every('1s', print) end").contains("at most 64 timers"));
        assert!(error_of("every('1s', print)").contains("every() sets timers up while the script loads"));
    }
}

#[test]
fn headers_of_a_message_are_all_there() {
    for header in Header::ALL {
        passes(&format!("local _ = msg.{}", header.name()));
    }
}
