//! `api = "hindsight"` where it differs.

use message::{BatchBuilder, Value};
use sandbox::{Api, ConfigValue, FailureKind, Family, Inject, Limits, SandboxConfig};

use crate::support::*;

fn hindsight() -> SandboxConfig {
    let list = ConfigValue::List(vec![ConfigValue::Integer(1), ConfigValue::String("two".into())]);
    let table = ConfigValue::Table(vec![("list".into(), list), ("on".into(), ConfigValue::Bool(false))]);
    SandboxConfig { api: Api::Hindsight, config: vec![("tree".into(), table), ("x".into(), ConfigValue::Number(0.5))], ..config() }
}

fn with_limits(process_inject: usize) -> SandboxConfig {
    let limits = Limits { process_inject, ..hindsight().limits };
    SandboxConfig { limits, ..hindsight() }
}

fn passes(source: &str) {
    if let Err(failure) = call(&mut load_with(&hindsight(), &body(&format!("{source} return 0")))) {
        panic!("{failure}");
    }
}

#[test]
fn what_is_unset_is_nil() {
    passes(
        r#"
        assert(read_message("Type") == "t" and read_message("Severity") == 3 and read_message("Timestamp") == 5)
        for _, name in ipairs{"Logger", "Hostname", "EnvVersion", "Pid", "Bogus", "Fields[none]"} do assert(read_message(name) == nil, name) end
        assert(#read_message("Uuid") == 16)
        assert(read_message("Fields[s]", 1, 1) == 2 and tostring(read_message("Fields[s]", 0, 0, true)) == "text")
        local raw = read_message("raw")
        assert(read_message("size") == #raw and read_message("framed"):sub(-#raw) == raw)
        "#,
    );
    let error = |source: &str| call(&mut load_with(&hindsight(), &body(source))).unwrap_err().message;
    assert!(error("read_message('Type', 0, 0, true, 1)").ends_with("read_message() incorrect number of arguments"));
    assert!(error("read_message('Type', -1)").contains("field index must be >= 0"));
    assert!(error("read_message(nil)").contains("string expected, got nil"));
}

#[test]
fn what_heka_took_along_is_gone() {
    passes("assert(read_next_field == nil and create_stream_reader and create_message_matcher and encode_message)");
}

#[test]
fn a_filter_injects_under_its_own_name_but_with_the_type_it_says() {
    let (_, batch) = call(&mut load_with(
        &with_limits(2),
        &body("inject_message{Type = 'x', Logger = 'no', Hostname = 'no', Pid = 1} inject_payload('txt', 'n', 'p') return 0"),
    ))
    .unwrap();
    let m = batch.get(0);
    assert_eq!((m.type_(), m.logger(), m.hostname(), m.pid()), (&b"x"[..], &b"test"[..], &b"host.example"[..], 42));
    let m = batch.get(1);
    assert_eq!((m.type_(), m.payload(), m.logger()), (&b"inject_payload"[..], &b"p"[..], &b"test"[..]));
    assert_eq!(m.value(b"payload_name", 0, 0), Some(Value::String(b"n")));
    assert_eq!(m.field(b"payload_type", 0).unwrap().representation(), b"file-extension");
}

#[test]
fn headers_are_free_where_the_configuration_says_so() {
    let free = SandboxConfig { restricted_headers: Some(false), ..with_limits(1) };
    let (_, batch) = call(&mut load_with(&free, &body("inject_message{Logger = 'l', Hostname = 'h', Pid = 1} return 0"))).unwrap();
    let m = batch.get(0);
    assert_eq!((m.logger(), m.hostname(), m.pid()), (&b"l"[..], &b"h"[..], 1));
}

#[test]
fn limits_have_other_defaults() {
    let limits = Limits::of(Api::Hindsight);
    assert_eq!((limits.process_inject, limits.timer_inject, limits.output, limits.memory), (0, 10, 64 << 10, 8 << 20));
    assert_eq!(Limits::of(Api::Heka), Limits::default());
    let failure = call(&mut load_with(&SandboxConfig { limits, ..hindsight() }, &body("inject_message{Type = 'x'}"))).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Injection);
    assert!(failure.message.contains("1 of 0 in process_message. Raise max_process_inject"), "{failure}");
}

#[test]
fn read_config_has_tables_and_what_the_sandbox_was_made_with() {
    passes(
        r#"
        assert(read_config("tree").list[2] == "two" and read_config("tree").on == false and read_config("x") == 0.5)
        assert(read_config("Logger") == "test" and read_config("Hostname") == "host.example" and read_config("Pid") == 42)
        assert(read_config("memory_limit") == 8388608 and read_config("nothing") == nil)
        local all = read_config()
        assert(all.x == 0.5 and all.tree.list[1] == 1 and all.output_limit == 64512 and all.Logger == "test")
        all.tree.list[1] = 9
        assert(read_config("tree").list[1] == 1)
        "#,
    );
    let heka = SandboxConfig { api: Api::Heka, ..hindsight() };
    let mut sandbox = load_with(&heka, &body("assert(read_config('tree').list[1] == 1 and read_config('Logger') == nil) return 0"));
    call(&mut sandbox).unwrap();
}

#[test]
fn a_tick_is_told_whether_it_is_the_last() {
    let mut sandbox = load_with(
        &hindsight(),
        "function process_message() return 0 end function timer_event(ns, shutdown) inject_payload('txt', '', tostring(shutdown)) end",
    );
    let mut builder = BatchBuilder::default();
    for last in [false, true] {
        sandbox.timer_event(NOW, last, &mut Inject { builder: &mut builder, now_ns: NOW }).unwrap();
    }
    assert_eq!((builder.get(0).payload(), builder.get(1).payload()), (&b"false"[..], &b"true"[..]));
}

#[test]
fn an_output_matches_what_it_reads() {
    let config = SandboxConfig { family: Family::Output, ..hindsight() };
    let source = "mm = create_message_matcher(\"Type == 't'\") function process_message() return mm:eval() and 0 or -2 end";
    assert_eq!(load_with(&config, source).deliver(message().get(0), 1, NOW), Ok(sandbox::Delivery::Done));
}

#[test]
fn what_is_read_without_a_copy_is_what_it_is_when_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let grants = sandbox::Grants { io: true, exec: false };
    let config = SandboxConfig { family: Family::Output, grants, ..hindsight() };
    let source = format!(
        "local file = assert(io.open({:?}, 'wb'))
        local payload, status, none = read_message('Payload', nil, nil, true), read_message('Fields[n]', 0, 0, true), read_message('Logger', 0, 0, true)
        assert(type(payload) == 'userdata' and tostring(payload) == '' and getmetatable(payload) == false)
        assert(not pcall(read_message, ('x'):rep(200), 0, 0, true))
        function process_message()
            assert(file:write(payload, ' ', status, none, '\\n') == file and tostring(status) == tostring(read_message('Fields[n]')))
            io.output(file)
            io.write(read_message('framed', nil, nil, true))
            return 0
        end
        function timer_event() file:close() end",
        path.display().to_string()
    );
    let mut sandbox = load_with(&config, &source);
    let mut incoming = BatchBuilder::default();
    let mut expected = Vec::new();
    for (text, n) in [("one", 1), ("two", 2)] {
        let mut m = incoming.add();
        m.set_payload(text.as_bytes());
        m.add_integer(b"n", n);
    }
    let incoming = incoming.finish();
    for m in [incoming.get(0), incoming.get(1)] {
        assert_eq!(sandbox.deliver(m, 1, NOW), Ok(sandbox::Delivery::Done));
        let n = m.value(b"n", 0, 0).map_or(0, |v| if let Value::Integer(n) = v { n } else { 0 });
        expected.extend_from_slice(format!("{} {n}\n", String::from_utf8_lossy(m.payload())).as_bytes());
        message::framing::encode_framed(m, None, u32::MAX as usize, &mut expected).unwrap();
    }
    sandbox.timer_event(NOW, true, &mut Inject { builder: &mut BatchBuilder::default(), now_ns: NOW }).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), expected);
}
