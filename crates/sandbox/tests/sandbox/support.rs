use std::time::Duration;

use message::{Batch, BatchBuilder};
use sandbox::{ConfigValue, Failure, Family, Inject, Limits, Sandbox, SandboxConfig, Script, Status};

pub const NOW: i64 = 1_700_000_000_000_000_000;

pub fn config() -> SandboxConfig {
    SandboxConfig {
        name: "test".into(),
        hostname: "host.example".into(),
        pid: 42,
        now_ns: NOW,
        limits: Limits { cpu: Duration::from_secs(2), ..Limits::default() },
        config: vec![
            ("text".into(), ConfigValue::String("a".into())),
            ("whole".into(), ConfigValue::Integer(7)),
            ("real".into(), ConfigValue::Number(0.5)),
            ("on".into(), ConfigValue::Bool(true)),
        ],
        ..SandboxConfig::default()
    }
}

pub fn load_with(config: &SandboxConfig, source: &str) -> Sandbox {
    Sandbox::new(&Script::new("dir/t.lua", source), config).unwrap_or_else(|e| panic!("{e}"))
}

pub fn load(source: &str) -> Sandbox {
    load_with(&config(), source)
}

pub fn load_error(source: &str) -> sandbox::LoadError {
    match Sandbox::new(&Script::new("dir/t.lua", source), &config()) {
        Ok(_) => panic!("this loads: {source}"),
        Err(e) => e,
    }
}

/// A script whose `process_message` is this body.
pub fn body(body: &str) -> String {
    format!("function process_message() {body} end")
}

pub fn message() -> Batch {
    let mut builder = BatchBuilder::default();
    let mut m = builder.add();
    m.set_type(b"t");
    m.set_timestamp(5);
    m.set_severity(3);
    m.set_payload(b"line\xff");
    m.add_string(b"s", b"text");
    m.add_integer(b"i", i64::MAX);
    m.add_double(b"d", 0.5);
    m.add_bool(b"b", true);
    let name = m.messages().store(b"s");
    let values = [1, 2].map(message::Datum::Integer);
    m.add_field(name, message::Text::NONE, message::ValueType::Integer, &values);
    builder.finish()
}

/// One call with a message; returns what was injected.
pub fn call(sandbox: &mut Sandbox) -> Result<(Status, Batch), Failure> {
    let mut builder = BatchBuilder::default();
    let batch = message();
    let outcome = sandbox.process_message(batch.get(0), &mut Inject { builder: &mut builder, now_ns: NOW });
    if outcome.is_err() {
        assert!(builder.is_empty(), "a failed call injects nothing");
    }
    outcome.map(|s| (s, builder.finish()))
}

pub fn tick(sandbox: &mut Sandbox) -> Result<Batch, Failure> {
    let mut builder = BatchBuilder::default();
    sandbox.timer_event(NOW, false, &mut Inject { builder: &mut builder, now_ns: NOW }).map(|()| builder.finish())
}

pub fn fails(sandbox: &mut Sandbox) -> Failure {
    match call(sandbox) {
        Ok((status, _)) => panic!("this does not fail: {status:?}"),
        Err(failure) => failure,
    }
}

/// Runs a body that asserts things in Lua.
pub fn passes(source: &str) {
    let mut sandbox = load(&body(&format!("{source} return 0")));
    if let Err(failure) = call(&mut sandbox) {
        panic!("{failure}");
    }
}

/// The message of the error that a body raises.
pub fn error_of(source: &str) -> String {
    fails(&mut load(&body(source))).message
}

/// What a body left in the payload of one message.
pub fn payload_of(source: &str) -> String {
    let (_, batch) = call(&mut load(&body(&format!("{source} inject_payload() return 0")))).unwrap();
    String::from_utf8(batch.get(0).payload().to_vec()).unwrap()
}

pub fn as_family(family: Family) -> SandboxConfig {
    SandboxConfig { family, ..config() }
}
