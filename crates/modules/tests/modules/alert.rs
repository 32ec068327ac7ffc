//! `alert`, `annotation`, `cbufd` and `graph` as scripts see them.

use sandbox::{ConfigValue, SandboxConfig};

use crate::support::{call, load, passes};

#[test]
fn alerts_are_throttled() {
    let source = "
        local alert = require 'alert'
        function process_message()
            assert(not alert.send(1e9, '') and not alert.send(1e9))
            assert(not alert.throttled(4000e9) and alert.throttled(3600e9) and not alert.throttled(0))
            assert(alert.send(4000e9, 'one'))
            assert(not alert.send(7600e9, 'too soon') and not alert.send(3999e9, 'before'))
            assert(alert.send(7601e9, 'two'))
            alert.set_throttle(10e9)
            assert(not alert.queue(7605e9, 'dropped') and not alert.send_queue(7605e9))
            assert(alert.queue(7612e9, 'three') and alert.queue(7612e9, 'four') and alert.send_queue(7612e9))
            assert(not alert.send_queue(7700e9))
            assert(alert.send(0, 'always') and alert.send(0, 'and again'))
            return 0
        end";
    let payloads = call(&mut load(source, |c| c.limits.process_inject = 10)).unwrap();
    assert_eq!(payloads, ["one", "two", "three\nfour", "always", "and again"]);
}

#[test]
fn the_last_alert_is_remembered() {
    let source = "
        local alert = require 'alert'
        function process_message() add_to_payload(alert.throttled(4001e9)) inject_payload() alert.send(4000e9, 'x') return 0 end";
    let change = |c: &mut SandboxConfig| c.limits.process_inject = 2;
    let mut before = load(source, change);
    assert_eq!(call(&mut before).unwrap(), ["false", "x"]);
    let state = before.save().unwrap();
    let mut after = load(source, change);
    after.restore(&state).unwrap();
    assert_eq!(call(&mut after).unwrap(), ["true"]);
}

#[test]
fn annotations_are_kept_until_they_are_old() {
    passes(
        r#"
        local annotation = require 'annotation'
        local a = annotation.create(1500000000, 2, 'A', 'text')
        assert(a.x == 1500 and a.col == 2 and a.shortText == 'A' and a.text == 'text')
        assert(annotation.prune('g', 0) == nil)
        annotation.add('g', a)
        annotation.concat('g', {annotation.create(9e9, 1, 'I', 'later')})
        annotation.set_prune('g', 5e9)
        local json = annotation.prune('g', 6e9)
        assert(json:find('^{"annotations":%[') and json:find('later') and json:find('"x":1500[,}]') and json:sub(-1) == '\n', json)
        json = annotation.prune('g', 6.5e9)
        assert(not json:find('"text":"text"') and json:find('later'), json)
        assert(annotation.prune('g', 99e9) == '{"annotations":{}}\n')
        annotation.remove('g')
        assert(annotation.prune('g', 0) == nil)"#,
    );
}

#[test]
fn annotations_are_remembered() {
    let source = "
        local annotation = require 'annotation'
        local n = 0
        annotation.set_prune('g', 1e18)
        function process_message()
            add_to_payload(annotation.prune('g', 1e9))
            annotation.add('g', annotation.create(1e9, 1, 'A', 'x'))
            inject_payload()
            return 0
        end";
    let mut before = load(source, |_| {});
    call(&mut before).unwrap();
    let state = before.save().unwrap();
    let mut after = load(source, |_| {});
    after.restore(&state).unwrap();
    assert!(call(&mut after).unwrap()[0].contains("\"text\":\"x\""));
}

#[test]
fn changes_are_read_back() {
    passes(
        r#"
        require 'circular_buffer'
        local cbufd = require 'cbufd'
        local cb = circular_buffer.new(3, 3, 60, true):format('cbufd')
        cb:add(60e9, 1, 1.5) cb:add(120e9, 3, -1/0)
        local t = cbufd.grammar:match(tostring(cb))
        assert(#t == 2 and t.header:find('^{"time":0,"rows":3.*}$'))
        assert(t[1].time == 60e9 and t[1][1] == 1.5 and t[1][2] ~= t[1][2] and #t[1] == 3)
        assert(t[2].time == 120e9 and t[2][3] == -1/0)
        for _, text in ipairs{'', 'x', '{}', '1\t2\n', '{}\n1\n', '{}\n1\tx\n', '{}\n99999999999\t1\n', '{}\n-1\t1\n'} do
            assert(cbufd.grammar:match(text) == nil, text)
        end
        assert(cbufd.grammar:match(nil) == nil and #cbufd.grammar:match('{}\n') == 0)"#,
    );
}

#[test]
fn graphs_with_checks_alert_and_are_annotated() {
    let source = r#"
        require 'circular_buffer'
        local graph = require 'graph'
        local cb = circular_buffer.new(60, 1, 1)
        for s = 0, 50 do cb:set(s * 1e9, 1, 1) end
        local show = graph.sender('G', 60)
        function process_message()
            show(50e9, cb)
            graph.finish(50e9)
            return 0
        end"#;
    let plain = call(&mut load(source, |c| c.limits.process_inject = 2)).unwrap();
    assert_eq!(plain.len(), 1);
    assert!(plain[0].starts_with("{\"time\":0,"), "{plain:?}");
    let change = |c: &mut SandboxConfig| {
        c.limits.process_inject = 2;
        let check = r#"roc("G", 1, 8, 0, 1, true, false)"#;
        c.config.push(("anomaly_config".into(), ConfigValue::String(check.into())));
        c.config.push(("alert_throttle".into(), ConfigValue::Integer(0)));
    };
    let checked = call(&mut load(source, change)).unwrap();
    assert_eq!(checked.len(), 2);
    assert!(checked[0].starts_with("{\"annotations\":[{") && checked[0].contains("\n{\"time\":"), "{checked:?}");
    assert_eq!(checked[1], "G - algorithm: roc col: 1 msg: no new data");
}
