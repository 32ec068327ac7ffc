//! What the host calls, by family.

use std::time::Duration;

use message::{BatchBuilder, Messages, Value, wire};
use sandbox::{
    Api, Checkpoint, Confirmed, Delivery, Encoded, Failure, FailureKind, Family, Inject, InputSink, Limits, Sandbox, SandboxConfig, Status,
};

use crate::support::*;

// ---- encoders

fn encode(source: &str) -> (Result<Encoded, Failure>, Vec<u8>) {
    let mut sandbox = load_with(&as_family(Family::Encoder), &body(source));
    let mut into = Vec::new();
    let outcome = sandbox.encode(message().get(0), NOW, &mut into);
    (outcome, into)
}

fn decoded(bytes: &[u8]) -> message::Batch {
    let mut builder = BatchBuilder::default();
    builder.raw().extend_from_slice(bytes);
    let (raw, messages) = builder.parts();
    wire::decode(raw, message::Text::raw(0, raw.len()), messages).unwrap();
    builder.finish()
}

#[test]
fn an_encoder_that_injects_nothing_encodes_the_message() {
    let batch = message();
    let mut sandbox = load_with(&as_family(Family::Encoder), &body("return 0"));
    let (mut into, mut expected) = (Vec::new(), Vec::new());
    sandbox.encode(batch.get(0), NOW, &mut into).unwrap();
    wire::encode(batch.get(0), &mut expected);
    assert_eq!(into, expected);
}

#[test]
fn an_encoder_changes_a_copy() {
    let batch = message();
    let source = "write_message('Type', 'new') write_message('Fields[i]', nil) assert(read_message('Type') == 'new') return 0";
    let mut sandbox = load_with(&as_family(Family::Encoder), &body(source));
    let mut into = Vec::new();
    for _ in 0..2 {
        into.clear();
        sandbox.encode(batch.get(0), NOW, &mut into).unwrap();
        let encoded = decoded(&into);
        assert_eq!((encoded.get(0).type_(), encoded.get(0).payload()), (&b"new"[..], &b"line\xff"[..]));
        assert_eq!((encoded.get(0).uuid(), encoded.get(0).value(b"i", 0, 0)), (batch.get(0).uuid(), None));
    }
    assert_eq!((batch.get(0).type_(), batch.get(0).value(b"i", 0, 0)), (&b"t"[..], Some(Value::Integer(i64::MAX))));
}

#[test]
fn the_last_injection_of_an_encoder_counts() {
    let (outcome, bytes) = encode("inject_payload('txt', '', 'first') inject_message{Type = 'x', Fields = {a = 1}} return 0");
    assert_eq!(outcome, Ok(Encoded::Bytes));
    let m = decoded(&bytes);
    assert_eq!((m.get(0).type_(), m.get(0).timestamp(), m.get(0).value(b"a", 0, 0)), (&b"x"[..], NOW, Some(Value::Integer(1))));
    assert_eq!(m.get(0).logger(), b"", "an encoder's message is the script's alone");
    let (_, bytes) = encode("inject_message{Type = 'x'} inject_message{Type = 'y'} inject_payload('txt', '', 'last') return 0");
    assert_eq!(bytes, b"last");
    let (_, bytes) = encode("write_message('Type', 'new') inject_message(read_message('raw')) return 0");
    assert_eq!(decoded(&bytes).get(0).type_(), b"new");
    let (_, bytes) = encode("inject_payload() return 0");
    assert_eq!(decoded(&bytes).get(0).type_(), b"t", "an empty payload is no output");
}

#[test]
fn an_encoder_skips_fails_and_breaks() {
    let (outcome, bytes) = encode("inject_payload('txt', '', 'x') return -2");
    assert_eq!((outcome, bytes.len()), (Ok(Encoded::Skipped), 0));
    let (outcome, bytes) = encode("inject_payload('txt', '', 'x') return -1, 'why'");
    assert_eq!((outcome, bytes.len()), (Ok(Encoded::Failed(Some("why".into()))), 0));
    let (outcome, bytes) = encode("inject_payload('txt', '', 'x') error('oops')");
    assert_eq!((outcome.unwrap_err().message.as_str(), bytes.len()), ("t.lua:1: oops", 0));
    assert_eq!(encode("return 1, 'end'").0.unwrap_err().kind, FailureKind::Fatal);
    let (outcome, _) = encode("while true do inject_message{Payload = ('x'):rep(60000)} write_message('Payload', ('x'):rep(60000)) end");
    assert_eq!(outcome.unwrap_err().kind, FailureKind::Output);
}

#[test]
fn a_payload_does_not_go_from_one_message_to_the_next() {
    let mut sandbox =
        load_with(&as_family(Family::Encoder), &body("n = (n or 0) + 1 if n == 1 then inject_payload('txt', '', 'x') end return 0"));
    let mut into = Vec::new();
    sandbox.encode(message().get(0), NOW, &mut into).unwrap();
    assert_eq!(into, b"x");
    into.clear();
    sandbox.encode(message().get(0), NOW, &mut into).unwrap();
    assert_eq!(decoded(&into).get(0).type_(), b"t");
}

// ---- inputs

/// A sink that takes what it is given until it has `room` for no more.
#[derive(Default)]
struct Sink {
    builder: BatchBuilder,
    checkpoints: Vec<Option<Checkpoint>>,
    room: Option<usize>,
    asked: std::cell::Cell<usize>,
    /// Says stop when it was asked so many times.
    patience: Option<usize>,
}

impl InputSink for Sink {
    fn inject(&mut self, make: Option<&mut dyn FnMut(&mut Messages)>, checkpoint: Option<Checkpoint>) -> bool {
        if let Some(make) = make {
            let before = self.builder.len();
            make(self.builder.messages());
            assert_eq!(self.builder.len(), before + 1);
        }
        self.checkpoints.push(checkpoint);
        self.room.is_none_or(|room| self.checkpoints.len() < room)
    }

    fn now(&self) -> i64 {
        NOW + self.checkpoints.len() as i64 * 1_000_000_000
    }

    fn stopped(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.patience.is_some_and(|patience| self.asked.get() >= patience)
    }
}

fn input(api: Api) -> SandboxConfig {
    let limits = Limits { cpu: Limits::ENDLESS, ..Limits::of(api) };
    SandboxConfig { api, limits, ..as_family(Family::Input) }
}

fn run_with(source: &str, checkpoint: Option<Checkpoint>, sink: &mut Sink) -> Result<Status, Failure> {
    load_with(&input(Api::Hindsight), source).run_input(checkpoint.as_ref(), sink)
}

#[test]
fn an_input_sends_messages_with_checkpoints() {
    let mut sink = Sink::default();
    let source = "function process_message(from)
        assert(from == nil)
        inject_message{Type = 'a', Fields = {n = 1}}
        inject_message({Type = 'b', Hostname = 'there'}, 7)
        inject_message(encode_message{Type = 'c'}, 'here')
        inject_message(nil, 1.5)
        return 0
    end";
    assert_eq!(run_with(source, None, &mut sink), Ok(Status::Ok));
    let (m, text) = (&sink.builder, |n: usize| sink.builder.get(n).type_().to_vec());
    assert_eq!((m.len(), text(0), text(1), text(2)), (3, b"a".to_vec(), b"b".to_vec(), b"c".to_vec()));
    assert_eq!(
        (m.get(0).logger(), m.get(0).hostname(), m.get(0).pid(), m.get(0).timestamp()),
        (&b"test"[..], &b"host.example"[..], 42, NOW)
    );
    assert_eq!((m.get(1).hostname(), m.get(1).timestamp()), (&b"there"[..], NOW + 1_000_000_000));
    assert_eq!(m.get(0).value(b"n", 0, 0), Some(Value::Integer(1)));
    assert_ne!(m.get(0).uuid(), m.get(1).uuid());
    let here = Checkpoint::Text(b"here".to_vec());
    assert_eq!(sink.checkpoints, [None, Some(Checkpoint::Integer(7)), Some(here), Some(Checkpoint::Number(1.5))]);
}

#[test]
fn an_input_is_called_with_its_checkpoint() {
    let source =
        |is: &str| format!("function process_message(from) assert(from == {is} and math.type(from) == math.type({is})) return 0 end");
    for (checkpoint, is) in [
        (Checkpoint::Integer(i64::MAX), "math.maxinteger"),
        (Checkpoint::Number(0.5), "0.5"),
        (Checkpoint::Text(b"a\0b\xff".to_vec()), "'a\\0b\\xff'"),
    ] {
        assert_eq!(run_with(&source(is), Some(checkpoint), &mut Sink::default()), Ok(Status::Ok));
    }
    let mut small = input(Api::Heka);
    small.limits.memory = 64 << 10;
    let failure = load_with(&small, &body("return 0")).run_input(Some(&Checkpoint::Text(vec![b'x'; 1 << 20])), &mut Sink::default());
    assert_eq!(failure.unwrap_err().kind, FailureKind::Memory);
}

#[test]
fn an_input_that_is_asked_to_stop_while_injecting_ends() {
    let mut sink = Sink { room: Some(100), ..Sink::default() };
    let source = "function process_message() while true do pcall(inject_message, {Type = 'x'}, 1) end end";
    let failure = run_with(source, None, &mut sink).unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Stopped, "t.lua:1: stopped"));
    assert_eq!(sink.builder.len(), 100, "what was sent stays sent");
}

#[test]
fn an_input_that_loops_is_asked_now_and_then() {
    for source in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local t = {} for i = 1, 200 do t[i] = i % 7 end while true do table.sort(t) string.find(('a'):rep(999), '.-.-.-b') end",
    ] {
        let mut sink = Sink { patience: Some(3), ..Sink::default() };
        let failure = run_with(&body(source), None, &mut sink).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Stopped, "{source}: {failure}");
    }
}

#[test]
fn an_input_that_is_not_stopped_runs_on_past_the_question() {
    let mut sink = Sink::default();
    // Runs until it was asked some times: the clock is CPU time.
    let source = "local from = os.clock() repeat until os.clock() - from > 0.25 inject_message{Type = 'done'} return 0";
    assert_eq!(run_with(&body(source), None, &mut sink), Ok(Status::Ok));
    assert_eq!(sink.builder.len(), 1);
    assert!(sink.asked.get() > 0);
}

#[test]
fn an_input_has_a_cpu_budget_if_it_is_given_one() {
    let mut config = input(Api::Heka);
    config.limits.cpu = Duration::from_millis(120);
    let mut sink = Sink::default();
    let failure = load_with(&config, &body("while true do end")).run_input(None, &mut sink).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Cpu, "{failure}");
    let mut sandbox = load_with(&input(Api::Heka), "x = 1 function process_message() return 0 end");
    assert_eq!(sandbox.run_input(None, &mut sink), Ok(Status::Ok));
    assert!(Sandbox::new(&sandbox::Script::new("t.lua", "while true do end"), &input(Api::Heka)).is_err(), "loading is limited");
}

#[test]
fn an_input_injects_as_many_as_it_likes() {
    let mut sink = Sink::default();
    assert_eq!(
        run_with(&body("for i = 1, 5000 do inject_message{Payload = ('x'):rep(1000)} end return -1, 'later'"), None, &mut sink),
        Ok(Status::Failed(Some("later".into())))
    );
    assert_eq!(sink.builder.len(), 5000);
}

#[test]
fn an_input_is_told_what_is_wrong() {
    let error = |source: &str| run_with(&body(source), None, &mut Sink::default()).unwrap_err().message;
    let takes = "inject_message() takes a string, table or stream reader, or nil and a checkpoint";
    for call in ["", "nil", "1", "{}, 1, 2", "print"] {
        assert!(error(&format!("inject_message({call})")).ends_with(takes), "{call}");
    }
    assert!(error("inject_message({}, {})").contains("bad argument #2 to 'inject_message' (number or string expected, got table)"));
    assert!(error("inject_message({}, ('x'):rep(99999))").contains("output_limit exceeded"));
    assert!(error("inject_message('x', 1)").ends_with("inject_message() protobuf unmarshal failed"));
    assert_eq!(error("assert(not (read_message or write_message or inject_payload or add_to_payload)) error('none')"), "t.lua:1: none");
}

#[test]
fn what_an_input_was_refused_is_not_sent_later() {
    let mut sink = Sink::default();
    let source = "for i = 1, 100 do pcall(inject_message, {Type = 'bad', Payload = ('x'):rep(60000), Fields = {a = print}}) end inject_message{Type = 'good'} return 0";
    run_with(&body(source), None, &mut sink).unwrap();
    assert_eq!((sink.builder.len(), sink.builder.get(0).type_()), (1, &b"good"[..]));
}

// ---- outputs

fn output() -> SandboxConfig {
    as_family(Family::Output)
}

#[test]
fn an_output_says_what_became_of_a_message() {
    let deliver = |source: &str| load_with(&output(), &body(source)).deliver(message().get(0), 1, NOW);
    assert_eq!(deliver("return 0"), Ok(Delivery::Done));
    assert_eq!(deliver("return -1, 'why'"), Ok(Delivery::Failed(Some("why".into()))));
    assert_eq!(deliver("return -2"), Ok(Delivery::Skipped));
    assert_eq!(deliver("return -3, 'busy'"), Ok(Delivery::Retry(Some("busy".into()))));
    assert_eq!(deliver("return -4"), Ok(Delivery::Batching));
    assert_eq!(deliver("return -5"), Ok(Delivery::Later));
    assert_eq!(deliver("return -6"), Ok(Delivery::Failed(None)));
    let fatal = deliver("return 2, 'gone'").unwrap_err();
    assert_eq!((fatal.kind, fatal.message.as_str()), (FailureKind::Fatal, "gone"));
    assert_eq!(deliver("return nil").unwrap_err().kind, FailureKind::BadReturn);
}

#[test]
fn an_output_is_given_the_sequence_and_confirms_it() {
    let source = "function process_message(n)
        assert(math.type(n) == 'integer' and read_message('Type') == 't')
        if n == 3 then update_checkpoint(2) elseif n == 4 then update_checkpoint(1, 5) end
        return -5
    end
    function timer_event() update_checkpoint(nil, 1) end";
    let mut sandbox = load_with(&output(), source);
    assert_eq!(sandbox.take_confirmed(), None);
    for n in 1..=4 {
        assert_eq!(sandbox.deliver(message().get(0), n, NOW), Ok(Delivery::Later));
    }
    assert_eq!(sandbox.take_confirmed(), Some(Confirmed { sequence: Some(2), failures: 5 }));
    assert_eq!(sandbox.take_confirmed(), None);
    tick(&mut sandbox).unwrap();
    assert_eq!(sandbox.take_confirmed(), Some(Confirmed { sequence: Some(4), failures: 1 }));
    let error = |source: &str| load_with(&output(), &body(source)).deliver(message().get(0), 1, NOW).unwrap_err().message;
    assert!(error("update_checkpoint('x')").contains("bad argument #1 to 'update_checkpoint' (number expected, got string)"));
    assert!(error("update_checkpoint(1, -1)").contains("bad argument #2 to 'update_checkpoint' (failures must be >= 0)"));
    assert!(error("update_checkpoint(-1)").contains("bad argument #1 to 'update_checkpoint' (sequence must be >= 0)"));
}

// ---- all

#[test]
fn each_family_has_the_functions_of_the_table() {
    use Family::*;
    for family in [Input, Decoder, Transform, Filter, Encoder, Output] {
        for api in [Api::Heka, Api::Hindsight] {
            let config = SandboxConfig { api, ..as_family(family) };
            let mut source = String::from("function process_message() return 0 end\n");
            let has = |name: &str| sandbox::HOST.iter().any(|f| f.name == name && f.exists_for(family, api));
            for function in sandbox::HOST.iter().filter(|f| !f.name.contains('.')) {
                let expected = if has(function.name) { "function" } else { "nil" };
                source += &format!("assert(type({}) == '{expected}', '{}')\n", function.name, function.name);
            }
            load_with(&config, &source);
        }
    }
}

#[test]
fn a_message_that_went_through_too_many_filters_begets_none() {
    let config = SandboxConfig { max_hops: 4, ..config() };
    let inject = |hops: u8| {
        let mut builder = BatchBuilder::default();
        builder.add().set_hops(hops);
        let batch = builder.finish();
        let mut sandbox = load_with(&config, &body("inject_message{Type = 'x'} return 0"));
        sandbox.process_message(batch.get(0), &mut Inject { builder: &mut BatchBuilder::default(), now_ns: NOW })
    };
    assert_eq!(inject(3), Ok(Status::Ok));
    assert_eq!(inject(4).unwrap_err().message, "t.lua:1: inject_message() exceeded MaxMsgLoops");
}
