use std::sync::Arc;

use super::*;
use crate::bench::{feed_at, tick};
use message::Value;
use proptest::prelude::*;
use testkit::plugins::filter;

const SECOND: i64 = 1_000_000_000;

/// Messages of requests, each with an event, at its second.
fn batch(messages: &[(i64, &str, i64)]) -> Arc<Batch> {
    let mut b = BatchBuilder::default();
    for (request, event, at) in messages {
        let mut m = b.add();
        m.set_type(b"line");
        m.set_hostname(b"h");
        m.set_severity(*at as i32 % 7);
        m.set_timestamp(*at * SECOND);
        m.set_payload(event.as_bytes());
        m.add_integer(b"request", *request);
        m.add_string(b"event", event.as_bytes());
        m.add_integer(b"n", *at);
    }
    Arc::new(b.finish())
}

fn feed(filter: &mut dyn Filter, messages: &[(i64, &str, i64)]) -> Batch {
    feed_at(filter, &batch(messages), 0).1
}

/// Request, merged payload, sum, number of messages and why it ended.
fn told(out: &Batch) -> Vec<String> {
    let one = |m: MessageRef<'_>| {
        let text = |name: &str| {
            let mut text = Vec::new();
            Part::new(name).write(m, &mut text);
            String::from_utf8(text).unwrap()
        };
        ["request", "Payload", "n", "reduced_messages", "reduced_end"].map(text).join(" ")
    };
    out.iter().map(one).collect()
}

const TOML: &str =
    "by = 'request'\nmerge = { Payload = 'concat', n = 'sum', Severity = 'min' }\nseparator = '+'\ntimeout = '10s'\nmax_age = '25s'\n";

#[test]
fn a_group_ends_with_the_message_that_says_so() {
    let mut reduce = filter(&KIND, &format!("{TOML}ends_when = 'Fields[event] == \"end\"'")).unwrap();
    let out = feed(&mut *reduce, &[(1, "a", 1), (2, "b", 2), (1, "c", 3), (1, "end", 5), (1, "again", 6)]);
    assert_eq!(told(&out), ["1 a+c+end 9 3 ends_when"]);
    let m = out.get(0);
    assert_eq!((m.type_(), m.hostname(), m.timestamp(), m.severity()), (&b"reduced"[..], &b"h"[..], SECOND, 1));
    assert_eq!((m.value(b"event", 0, 0), m.value(b"reduced_seconds", 0, 0)), (Some(Value::String(b"a")), Some(Value::Double(4.0))));
    assert_eq!(told(&tick(&mut *reduce, 9 * SECOND, false)), [""; 0]);
    assert_eq!(told(&tick(&mut *reduce, 10 * SECOND, false)), ["2 b 2 1 timeout", "1 again 6 1 timeout"]);
}

#[test]
fn a_group_ends_before_the_message_that_starts_another() {
    let mut reduce = filter(&KIND, &format!("{TOML}starts_when = 'Payload == \"start\"'\nothers = 'last'")).unwrap();
    let out = feed(&mut *reduce, &[(1, "start", 1), (1, "x", 2), (1, "start", 3)]);
    assert_eq!((told(&out), out.get(0).value(b"event", 0, 0)), (vec!["1 start+x 3 2 starts_when".to_string()], Some(Value::String(b"x"))));
    assert_eq!(told(&tick(&mut *reduce, 5 * SECOND, true)), ["1 start 3 1 stop"]);
}

#[test]
fn age_number_and_memory_end_groups_too() {
    let mut reduce = filter(&KIND, &format!("{TOML}others = 'none'")).unwrap();
    for at in [0, 9, 18] {
        assert!(feed_at(&mut *reduce, &batch(&[(1, "a", at)]), at * SECOND).1.is_empty());
        assert!(tick(&mut *reduce, at * SECOND, false).is_empty());
    }
    let out = tick(&mut *reduce, 25 * SECOND, false);
    assert_eq!((told(&out), out.get(0).value(b"event", 0, 0)), (vec![" a+a+a 27 3 max_age".to_string()], None));

    let mut reduce = filter(&KIND, &format!("{TOML}max_messages = 2\nmax_keys = 2")).unwrap();
    let out = feed(&mut *reduce, &[(1, "a", 1), (2, "b", 1), (3, "c", 1), (2, "d", 1)]);
    assert_eq!(told(&out), ["1 a 1 1 evicted", "2 b+d 2 2 max_messages"]);

    let mut reduce = filter(&KIND, &format!("{TOML}max_memory = '2KiB'\nmax_value = '10B'")).unwrap();
    let many: Vec<_> = (0..50).map(|n| (n % 10, "some text", 1)).collect();
    let (meter, out) = feed_at(&mut *reduce, &batch(&many), 0);
    assert!(out.iter().all(|m| m.value(b"reduced_end", 0, 0) == Some(Value::String(b"evicted"))) && out.len() > 10);
    let gauges = reduce.gauges();
    assert!(gauges[1].max <= gauges[1].cap && gauges[1].current > 0, "{gauges:?}");
    assert_eq!(meter.read().iter().find(|(name, _)| *name == "without_key"), None);
}

#[test]
fn messages_without_the_key_are_passed_over() {
    let mut reduce = filter(&KIND, "by = 'nothing'").unwrap();
    assert!(feed_at(&mut *reduce, &batch(&[(1, "a", 1)]), 0).0.read().contains(&("without_key", 1)));
    assert!(tick(&mut *reduce, SECOND, true).is_empty());
    let mut all = filter(&KIND, "max_messages = 3").unwrap();
    assert_eq!(told(&feed(&mut *all, &[(1, "a", 1), (2, "b", 1), (3, "c", 1)])), ["1 a 1 3 max_messages"]);
}

#[test]
fn bad_options_are_told() {
    let error = |toml: &str| filter(&KIND, toml).err().unwrap();
    assert!(error("merge = { n = 'smu' }").contains("did you mean \"sum\"?"));
    assert!(error("merge = { Uuid = 'first' }").contains("cannot be merged"));
    assert!(error("ends_when = 'Tpye == 1'").contains("malformed matcher"));
    assert!(error("timeout = '0s'").contains("no time at all"));
}

proptest! {
    /// Whenever it is replaced, by a successor with its state, the same comes out, and every message is in one group.
    #[test]
    fn a_successor_goes_on(messages in proptest::collection::vec((0_i64..3, prop_oneof![4 => Just("x"), 1 => Just("end")], 0_i64..9), 0..30), cut in 0_usize..30) {
        let toml = format!("{TOML}ends_when = 'Payload == \"end\"'\nmax_messages = 4");
        let mut whole = filter(&KIND, &toml).unwrap();
        let mut expected = told(&feed(&mut *whole, &messages));
        expected.extend(told(&tick(&mut *whole, SECOND, true)));
        let (before, after) = messages.split_at(cut.min(messages.len()));
        let (mut old, mut new) = (filter(&KIND, &toml).unwrap(), filter(&KIND, &toml).unwrap());
        let mut found = told(&feed(&mut *old, before));
        new.restore(&old.save().unwrap()).unwrap();
        prop_assert_eq!(new.gauges()[1].current, old.gauges()[1].current);
        found.extend(told(&feed(&mut *new, after)));
        found.extend(told(&tick(&mut *new, SECOND, true)));
        prop_assert_eq!(&found, &expected);
        let in_groups: i64 = found.iter().map(|line| line.split(' ').nth(3).unwrap().parse::<i64>().unwrap()).sum();
        prop_assert_eq!(in_groups, messages.len() as i64);
        prop_assert_eq!(new.gauges()[1].current, 0);
    }
}
