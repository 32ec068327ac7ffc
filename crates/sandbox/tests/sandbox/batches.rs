use std::time::Duration;

use message::{Batch, BatchBuilder};
use sandbox::{Failure, FailureKind, Inject, Limits, Sandbox, SandboxConfig, Status};

use crate::support::*;

/// Messages whose field `n` is 0, 1, 2, …
fn numbered(len: i64) -> Batch {
    let mut builder = BatchBuilder::default();
    for n in 0..len {
        builder.add().add_integer(b"n", n);
    }
    builder.finish()
}

/// What a script says of the messages of a batch, how it ends, and what it has injected by then.
type Ran = (Vec<Status>, Result<(), (usize, Failure)>, Vec<String>);

fn run(sandbox: &mut Sandbox, batch: &Batch) -> Ran {
    let (mut said, mut builder) = (Vec::new(), BatchBuilder::default());
    let mut inject = Inject { builder: &mut builder, now_ns: NOW };
    let outcome = sandbox.process_messages(batch, &batch.all(), &mut inject, &mut |status| said.push(status));
    let injected = (0..builder.len()).map(|n| String::from_utf8_lossy(builder.get(n).payload()).into_owned()).collect();
    (said, outcome, injected)
}

fn with(limits: Limits, source: &str) -> Sandbox {
    load_with(&SandboxConfig { limits, ..config() }, &body(&format!("local n = read_message('Fields[n]') {source}")))
}

#[test]
fn what_is_said_comes_in_order_and_nothing_is_said_of_what_went_well() {
    let source = "if n == 1 then return -1, 'one' elseif n == 3 then return -2 end return 0";
    let (said, outcome, _) = run(&mut with(Limits::default(), source), &numbered(5));
    assert_eq!((said, outcome), (vec![Status::Failed(Some("one".into())), Status::Skipped(None)], Ok(())));
}

#[test]
fn the_message_that_fails_ends_it_and_only_what_it_injected_is_taken_back() {
    let limits = || Limits { cpu: Duration::from_millis(20), ..Limits::default() };
    for (failing, kind) in [
        ("error('no')", FailureKind::Error),
        ("return 1, 'no'", FailureKind::Fatal),
        ("return 'no'", FailureKind::BadReturn),
        ("inject_payload('txt', 'x', 'again')", FailureKind::Injection),
        ("while true do end", FailureKind::Cpu),
        ("while true do pcall(function() while true do end end) end", FailureKind::Cpu),
        ("return pcall(function() while true do end end) and 0", FailureKind::Cpu),
        ("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end", FailureKind::Memory),
    ] {
        let mut sandbox = with(limits(), &format!("inject_payload('txt', 'x', n) if n == 2 then {failing} end return 0"));
        let (_, outcome, injected) = run(&mut sandbox, &numbered(5));
        let (at, failure) = outcome.unwrap_err();
        assert_eq!((at, failure.kind, injected.as_slice()), (2, kind, &["0".to_string(), "1".into()][..]), "{failing}: {failure}");
        let (_, outcome, injected) = run(&mut sandbox, &numbered(2));
        assert_eq!((outcome, injected.len()), (Ok(()), 2), "{failing}: it can be called again");
    }
}

#[test]
fn each_message_has_limits_of_its_own() {
    let limits = Limits { instructions: Some(10_000), process_inject: 1, ..Limits::default() };
    let mut sandbox =
        with(limits, "for i = 1, 5000 do end inject_payload('txt', 'x', n) if n == 20 then for i = 1, 1e9 do end end return 0");
    let (_, outcome, injected) = run(&mut sandbox, &numbered(30));
    let (at, failure) = outcome.unwrap_err();
    assert_eq!((at, failure.kind, injected.len()), (20, FailureKind::Instructions, 20), "{failure}");
    assert!(failure.message.contains("t.lua:1"), "{failure}");
    assert_eq!(sandbox.usage().inject.max, 1);
}

#[test]
fn threads_of_one_message_are_stopped_in_the_next_one_too() {
    let limits = Limits { cpu: Duration::from_millis(20), ..Limits::default() };
    let source = "co = co or coroutine.wrap(function() coroutine.yield() while true do end end) if n > 0 then co() end return 0";
    let (at, failure) = run(&mut with(limits, source), &numbered(5)).1.unwrap_err();
    assert_eq!((at, failure.kind), (2, FailureKind::Cpu), "{failure}");
}

#[test]
fn fields_are_found_whatever_the_batch_calls_its_labels() {
    let names: Vec<Vec<u8>> = (0..80).map(|n| format!("f{n}").into_bytes()).collect();
    let mut sandbox =
        load(&body("for i = 0, 79 do add_to_payload(tostring(read_message('Fields[f' .. i .. ']')), ' ') end inject_payload() return 0"));
    for step in [1, 3, 7, 79] {
        let mut builder = BatchBuilder::default();
        for shift in 0..3 {
            let mut m = builder.add();
            for k in (0..80).step_by(2) {
                let at = (k * step + shift) % 80;
                m.add_integer(&names[at], at as i64 * 1000);
            }
        }
        let batch = builder.finish();
        let expected = batch.iter().map(|m| {
            let value = |name: &Vec<u8>| m.value(name, 0, 0).and_then(|v| if let message::Value::Integer(n) = v { Some(n) } else { None });
            names.iter().map(|name| value(name).map_or("nil ".to_string(), |n| format!("{n} "))).collect::<String>()
        });
        let expected: Vec<String> = expected.collect();
        let (_, outcome, injected) = run(&mut sandbox, &batch);
        assert_eq!((outcome, injected), (Ok(()), expected));
    }
}
