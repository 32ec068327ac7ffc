use message::{BatchBuilder, Header, Uuid, Value, ValueType};
use sandbox::{Encoded, FailureKind, Family, Inject, Sandbox, Script, Status};

use crate::support::*;

#[test]
fn headers_and_fields_are_read() {
    passes(
        r#"
        assert(read_message("Type") == "t")
        assert(read_message("Payload") == "line\xff")
        assert(read_message("Timestamp") == 5 and math.type(read_message("Timestamp")) == "integer")
        assert(read_message("Severity") == 3)
        assert(read_message("Pid") == 0)
        assert(read_message("Logger") == "" and read_message("Hostname") == "" and read_message("EnvVersion") == "")
        assert(#read_message("Uuid") == 36)
        assert(read_message("Bogus") == nil)
        assert(read_message("Fields[s]") == "text")
        assert(read_message("Fields[i]") == math.maxinteger)
        assert(read_message("Fields[d]") == 0.5)
        assert(read_message("Fields[b]") == true)
        assert(read_message("Fields[s]", 1) == 1 and read_message("Fields[s]", 1, 1) == 2)
        assert(read_message("Fields[s]", 1, 2) == nil and read_message("Fields[s]", 2) == nil)
        assert(read_message("Fields[none]") == nil)
        assert(read_message("raw"):find("text", 1, true))
        "#,
    );
}

#[test]
fn the_raw_message_is_its_protobuf() {
    let batch = message();
    let mut sandbox = load(&body("inject_message(read_message('raw')) return 0"));
    let mut builder = BatchBuilder::default();
    sandbox.process_message(batch.get(0), &mut Inject { builder: &mut builder, now_ns: NOW }).unwrap();
    let copy = builder.finish();
    assert_eq!(copy.get(0).uuid(), batch.get(0).uuid());
    assert_eq!(copy.get(0).type_(), b"heka.sandbox.t");
    assert_eq!(copy.get(0).value(b"s", 1, 1), Some(Value::Integer(2)));
}

#[test]
fn read_message_says_what_is_wrong() {
    assert_eq!(error_of("read_message()"), "t.lua:1: read_message() incorrect number of arguments");
    assert!(error_of("read_message(nil)").contains("bad argument #1 to 'read_message' (string expected, got nil)"));
    assert!(error_of("read_message('Fields[s]', -1)").contains("bad argument #2 to 'read_message' (field index must be >= 0)"));
    assert!(error_of("read_message('Fields[s]', 0, -1)").contains("bad argument #3 to 'read_message' (array index must be >= 0)"));
}

#[test]
fn there_is_no_message_in_a_tick() {
    let mut sandbox = load(
        "function process_message() return 0 end function timer_event(ns, last) seen = read_message('Type') assert(seen == nil and not last) inject_payload('txt', 'n', ns) end",
    );
    assert!(sandbox.has_timer_event());
    assert_eq!(tick(&mut sandbox).unwrap().get(0).payload(), NOW.to_string().as_bytes());
}

#[test]
fn read_config_returns_typed_options() {
    passes(
        "assert(read_config('text') == 'a' and read_config('whole') == 7 and read_config('real') == 0.5 and read_config('on') == true and read_config('x') == nil)",
    );
    assert!(error_of("read_config()").ends_with("read_config() must have a single argument"));
}

#[test]
fn status_codes() {
    let status = |text: &str| call(&mut load(&body(text))).map(|(s, _)| s);
    assert_eq!(status("return 0"), Ok(Status::Ok));
    assert_eq!(status("return -1"), Ok(Status::Failed(None)));
    assert_eq!(status("return -1, 'why'"), Ok(Status::Failed(Some("why".into()))));
    assert_eq!(status("return -2"), Ok(Status::Skipped(None)));
    let failure = status("return 1, 'the end'").unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Fatal, "the end"));
    let failure = status("return 'x'").unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::BadReturn, "process_message() must return a numeric status code"));
    assert_eq!(status("return 0, {}").unwrap_err().message, "process_message() must return a nil or string error message");
}

#[test]
fn errors_name_script_and_line() {
    assert_eq!(error_of("\n\nerror('oops')"), "t.lua:3: oops");
    assert_eq!(error_of("\n\nerror('oops', 0)"), "t.lua:3: oops");
    assert_eq!(error_of("\nerror({})"), "t.lua:2: (error object is a table value)");
    assert_eq!(error_of("\nlocal x = nil + 1"), "t.lua:2: attempt to perform arithmetic on a nil value");
    let error = load_error("\n\nx = = 1");
    assert_eq!(error.line, Some(3));
    assert!(error.message.starts_with("t.lua:3: unexpected symbol near '='"), "{error}");
    assert_eq!(load_error("\nerror('no')").message, "t.lua:2: no");
    assert_eq!(load_error("x = 1").message, "t.lua: process_message() function was not found");
    assert!(load_error("x = '\\d'").message.contains("Lua 5.1 read"));
    assert!(load_error("\x1bLua").message.contains("bytecode"));
    assert_eq!(load_error("\nlocal x <close> = nil").line, Some(2));
    assert!(load_error(&" ".repeat(300_000)).message.contains("at most 262144"));
}

#[test]
fn a_table_becomes_a_message() {
    let mut sandbox = load(&body(
        r#"inject_message{Type = "x", Payload = "p", Severity = 2, Timestamp = 9, EnvVersion = "1", Logger = "no", Hostname = "no",
            Uuid = "00112233-4455-4677-8899-aabbccddeeff",
            Fields = {b = "s", a = 1, c = {1, 2.5}, d = {value = 5.0, value_type = 2, representation = "ms"}, e = false, f = {value = {"x", "y"}, value_type = 1}}}
        return 0"#,
    ));
    let (_, batch) = call(&mut sandbox).unwrap();
    let m = batch.get(0);
    assert_eq!((m.type_(), m.payload(), m.env_version()), (&b"heka.sandbox.x"[..], &b"p"[..], &b"1"[..]));
    assert_eq!((m.severity(), m.timestamp(), m.pid()), (2, 9, 42));
    assert_eq!((m.logger(), m.hostname()), (&b"test"[..], &b"host.example"[..]));
    assert_eq!(m.uuid(), Uuid::parse(b"00112233-4455-4677-8899-aabbccddeeff").unwrap());
    let names: Vec<_> = m.fields().map(|f| f.name()).collect();
    assert_eq!(names, [b"a", b"b", b"c", b"d", b"e", b"f"]);
    assert_eq!(m.value(b"a", 0, 0), Some(Value::Integer(1)));
    assert_eq!(m.value(b"b", 0, 0), Some(Value::String(b"s")));
    assert_eq!(m.value(b"c", 0, 0), Some(Value::Double(1.0)));
    let d = m.field(b"d", 0).unwrap();
    assert_eq!((d.value(0), d.representation()), (Some(Value::Integer(5)), &b"ms"[..]));
    assert_eq!(m.value(b"e", 0, 0), Some(Value::Bool(false)));
    let f = m.field(b"f", 0).unwrap();
    assert_eq!((f.type_(), f.value(1)), (ValueType::Bytes, Some(Value::Bytes(b"y"))));
}

#[test]
fn the_array_form_keeps_order_and_repeats() {
    let mut sandbox = load(&body(
        "inject_message{Fields = {{name = 'z', value = {1}}, {name = 'a', value = 'v', representation = 'r'}, {name = 'z', value = {2, 3}, value_type = 3}}} return 0",
    ));
    let (_, batch) = call(&mut sandbox).unwrap();
    let m = batch.get(0);
    assert_eq!(m.timestamp(), NOW);
    assert_eq!(m.fields().map(|f| f.name()).collect::<Vec<_>>(), [b"z", b"a", b"z"]);
    assert_eq!(m.value(b"z", 1, 1), Some(Value::Double(3.0)));
    assert_eq!(m.field(b"a", 0).unwrap().representation(), b"r");
}

#[test]
fn inject_message_says_what_is_wrong() {
    let error = |table: &str| error_of(&format!("inject_message({table})"));
    assert_eq!(error("1"), "t.lua:1: inject_message() takes a single string or table argument");
    assert_eq!(error("{}, 1"), "t.lua:1: inject_message() takes a single string or table argument");
    assert!(error("{Fields = {x = {1, 'a'}}}").ends_with("could not encode protobuf - array has mixed types"));
    assert!(error("{Fields = {x = {}}}").ends_with("could not encode protobuf - unsupported type: nil"));
    assert!(error("{Fields = {x = print}}").ends_with("could not encode protobuf - unsupported type: function"));
    assert!(error("{Fields = {x = {{}}}}").ends_with("could not encode protobuf - unsupported type: table"));
    assert!(error("{Fields = {x = {value = 'a', value_type = 2}}}").ends_with("array has mixed types"));
    assert!(error("{Fields = {{value = 1}}}").contains("has no name"));
    assert!(error("{Severity = 'x'}").contains("Severity cannot be a string"));
    assert!(error("'garbage'").ends_with("inject_message() protobuf unmarshal failed"));
}

#[test]
fn what_a_grammar_captures_as_text_is_taken_as_a_number_where_one_is_due() {
    let mut sandbox = load(&body(
        "inject_message{Timestamp = '1399500744000000000', Severity = 'info', Pid = '42', EnvVersion = 1.5, Logger = 7, Hostname = 2.0, \
         Fields = {n = {value = 3.0, value_type = '2'}}} return 0",
    ));
    let (_, batch) = call(&mut sandbox).unwrap();
    let m = batch.get(0);
    assert_eq!((m.timestamp(), m.severity(), m.pid()), (1_399_500_744_000_000_000, 6, 42));
    assert_eq!(m.env_version(), b"1.5");
    assert_eq!(m.value(b"n", 0, 0), Some(Value::Integer(3)));
    let error = |table: &str| error_of(&format!("inject_message({table})"));
    assert!(error("{Pid = 'info'}").contains("Pid cannot be a string"));
    assert!(error("{Timestamp = 'inf'}").contains("Timestamp cannot be a string"));
    assert!(error("{Fields = {n = {value = 3, value_type = 'x'}}}").ends_with("unsupported type: value_type"));
    assert!(error("{Payload = {}}").contains("Payload cannot be a table"));
}

#[test]
fn a_refused_message_leaves_no_trace() {
    let mut sandbox = load(&body(
        "assert(not pcall(inject_message, {Type = 'x', Fields = {a = 1, b = print}})) inject_message{Fields = {c = 1}} return 0",
    ));
    let (_, batch) = call(&mut sandbox).unwrap();
    assert_eq!(batch.len(), 1);
    assert_eq!(batch.get(0).fields().map(|f| f.name()).collect::<Vec<_>>(), [b"c"]);
}

#[test]
fn payloads() {
    assert_eq!(payload_of("add_to_payload('a', 1, 1.5, 10/2, true, nil, 2^31)"), "a11.55truenil2147483648");
    assert!(error_of("add_to_payload()").contains("bad argument #0 to 'add_to_payload' (must have at least one argument)"));
    assert!(error_of("add_to_payload('x', {})").contains("bad argument #2 to 'add_to_payload' (unsupported type)"));
    let mut sandbox = load(&body("inject_payload('json', 'n', 'a', 1) return 0"));
    let (_, batch) = call(&mut sandbox).unwrap();
    let m = batch.get(0);
    assert_eq!((m.type_(), m.payload(), m.logger()), (&b"heka.sandbox-output"[..], &b"a1"[..], &b"test"[..]));
    let type_ = m.field(b"payload_type", 0).unwrap();
    assert_eq!((type_.value(0), type_.representation()), (Some(Value::String(b"json")), &b"file-extension"[..]));
    assert_eq!(m.value(b"payload_name", 0, 0), Some(Value::String(b"n")));
    let (_, batch) = call(&mut load(&body("inject_payload() return 0"))).unwrap();
    assert!(batch.is_empty());
}

#[test]
fn a_payload_grows_over_calls_until_injected() {
    let mut sandbox =
        load("n = 0 function process_message() n = n + 1 add_to_payload(n) return 0 end function timer_event() inject_payload() end");
    call(&mut sandbox).unwrap();
    call(&mut sandbox).unwrap();
    assert_eq!(sandbox.usage().output.current, 2);
    assert_eq!(tick(&mut sandbox).unwrap().get(0).payload(), b"12");
    assert_eq!(sandbox.usage().output.current, 0);
}

#[test]
fn an_encoder_returns_bytes() {
    let mut sandbox = load_with(&as_family(Family::Encoder), &body("inject_payload('txt', '', read_message('Type'), 1.0) return 0"));
    let mut bytes = b"before ".to_vec();
    assert_eq!(sandbox.encode(message().get(0), NOW, &mut bytes), Ok(Encoded::Bytes));
    assert_eq!(bytes, b"before t1");
}

#[test]
fn families_have_their_functions() {
    passes("assert(write_message == nil)");
    let mut output =
        load_with(&as_family(Family::Output), &body("assert(not inject_message and not add_to_payload and read_message) return 0"));
    call(&mut output).unwrap();
    let mut decoder = load_with(&as_family(Family::Decoder), &body("write_message('Type', 'x')"));
    assert!(fails(&mut decoder).message.contains("write_message() failed: there is no message to change here"));
}

/// Runs a transform on a message and gives it back with what it injected behind it.
fn transform(source: &str) -> (Result<Status, sandbox::Failure>, message::Batch) {
    let mut sandbox = Sandbox::new(&Script::new("t.lua", body(source)), &as_family(Family::Transform)).unwrap();
    let mut builder = BatchBuilder::default();
    builder.copy(message().get(0)).set_hostname(b"origin");
    let (raw, messages) = builder.parts();
    let outcome = sandbox.process_message_mut(messages, raw, 0, NOW);
    (outcome, builder.finish())
}

#[test]
fn a_transform_changes_its_message() {
    let (outcome, batch) = transform(
        r#"write_message("Type", "new") write_message("Severity", 1) write_message("Pid", "12") write_message("Timestamp", 1e9)
        write_message("Uuid", "00112233-4455-4677-8899-aabbccddeeff")
        write_message("Fields[n]", 1.5, "s") write_message("Fields[s]", "changed")
        write_message("Fields[s]", 3, nil, 1, 2) write_message("Fields[s]", nil, nil, 1, 0)
        write_message("Fields[i]", nil) write_message("Fields[none]", nil) write_message("Fields[n]", "second", nil, 1)
        assert(read_message("Type") == "new" and read_message("Fields[n]") == 1.5 and read_message("Fields[i]") == nil)
        return 0"#,
    );
    assert_eq!(outcome, Ok(Status::Ok));
    let m = batch.get(0);
    assert_eq!((m.type_(), m.severity(), m.pid(), m.timestamp()), (&b"new"[..], 1, 12, 1_000_000_000));
    assert_eq!(m.uuid(), Uuid::parse(b"00112233-4455-4677-8899-aabbccddeeff").unwrap());
    assert_eq!((m.value(b"n", 0, 0), m.field(b"n", 0).unwrap().representation()), (Some(Value::Double(1.5)), &b"s"[..]));
    assert_eq!(m.value(b"n", 1, 0), Some(Value::String(b"second")));
    assert_eq!(m.value(b"s", 0, 0), Some(Value::String(b"changed")));
    assert_eq!(m.field(b"s", 1).unwrap().values().collect::<Vec<_>>(), [Value::Integer(2), Value::Integer(3)]);
    assert_eq!(m.value(b"i", 0, 0), None);
}

#[test]
fn a_timestamp_may_be_a_text() {
    for text in ["2023-11-14T22:13:20Z", "Tue, 14 Nov 2023 22:13:20 GMT", "Nov 14 22:13:20", "1700000000", "1700000000000000000"] {
        let (outcome, batch) = transform(&format!("write_message('Timestamp', '{text}') return 0"));
        assert_eq!((outcome, batch.get(0).timestamp()), (Ok(Status::Ok), NOW), "{text}");
    }
    let error = transform("write_message('Timestamp', 'soon')").0.unwrap_err().message;
    assert!(error.ends_with("write_message() failed: Timestamp takes nanoseconds or a time, not 'soon'"), "{error}");
}

#[test]
fn values_are_appended_and_deleted() {
    let (outcome, batch) = transform(
        "write_message('Fields[list]', 'a') write_message('Fields[list]', 'b', nil, 0, 1) write_message('Fields[list]', 'c', 'B', 0, 2)
        write_message('Fields[list]', 'second', nil, 1, 0)
        write_message('Fields[list]', nil, nil, 0, 1)
        write_message('Fields[none]', nil, nil, 0, 3)
        write_message('Fields[d]', nil)
        assert(not pcall(write_message, 'Fields[list]', 'x', nil, 0, 9))
        assert(not pcall(write_message, 'Fields[new]', 'x', nil, 0, 1))
        assert(not pcall(write_message, 'Type', nil))
        return 0",
    );
    assert_eq!(outcome, Ok(Status::Ok));
    let m = batch.get(0);
    let list = m.field(b"list", 0).unwrap();
    assert_eq!((list.values().collect::<Vec<_>>(), list.representation()), (vec![Value::String(b"a"), Value::String(b"c")], &b"B"[..]));
    assert_eq!(m.value(b"list", 1, 0), Some(Value::String(b"second")));
    assert_eq!((m.field(b"d", 0).is_none(), m.field(b"new", 0).is_none(), m.type_()), (true, true, &b"t"[..]));
}

#[test]
fn write_message_says_what_is_wrong() {
    let error = |source: &str| transform(source).0.unwrap_err().message;
    assert!(error("write_message('Type')").ends_with("write_message() incorrect number of arguments"));
    assert!(error("write_message('Type', {})").contains("only accepts numeric, string, or boolean field values, or nil to delete"));
    assert!(error("write_message('Type', 1)").contains("write_message() failed: this header takes a string"));
    assert!(error("write_message('Bogus', 1)").contains("write_message() failed: unknown name"));
    assert!(error("write_message('Fields[s]', 1)").contains("the field is of another type"));
    assert!(error("write_message('Fields[s]', 1, nil, 3)").contains("field index out of range"));
    assert!(error("write_message('Fields[s]', nil, nil, 1, 9)").contains("array index out of range"));
    assert!(error("write_message('Uuid', 'x')").contains("not a UUID"));
    assert!(error("for i = 1, 1000 do write_message('Type', ('x'):rep(60000)) end").contains("output_limit exceeded"));
}

#[test]
fn what_a_decoder_injects_takes_over_headers() {
    let (outcome, batch) = transform("inject_message{Payload = 'p'} return 0");
    assert_eq!(outcome, Ok(Status::Ok));
    let m = batch.get(1);
    assert_eq!((m.type_(), m.payload(), m.hostname(), m.timestamp(), m.severity()), (&b"t"[..], &b"p"[..], &b"origin"[..], 5, 3));
    assert_eq!(m.logger(), b"test");
    assert!(m.has(Header::Pid));
    let (outcome, batch) = transform("inject_message{Payload = 'p'} error('late')");
    assert!(outcome.is_err());
    assert_eq!(batch.len(), 1);
}

#[test]
fn print_goes_to_the_log() {
    let mut sandbox = load(&body("print('a', 1, nil, {} ~= nil) print(('x'):rep(9999)) for i = 1, 40 do print(i) end return 0"));
    call(&mut sandbox).unwrap();
    let (lines, dropped) = sandbox.take_log();
    assert_eq!(lines[0].text, "a\t1\tnil\ttrue");
    assert_eq!(lines[1].text.len(), 512);
    assert_eq!((lines.len(), dropped), (32, 10));
    assert_eq!(sandbox.take_log(), (vec![], 0));
}

#[test]
fn time_is_the_hosts_and_utc() {
    passes(
        "assert(os.time() == 1700000000)
        assert(os.date('%Y-%m-%d %H:%M:%S') == '2023-11-14 22:13:20')
        assert(os.date('!%H', 3600) == '01' and os.date('*t', 0).year == 1970)
        assert(os.time{year = 2023, month = 11, day = 14, hour = 22, min = 13, sec = 20} == 1700000000)
        assert(os.time{year = 1970, month = 1, day = 1} == 43200 and os.clock() >= 0)
        assert(not pcall(os.time, {year = 1}))
        assert(not (os.getenv or os.execute or os.exit or os.remove or os.rename or os.setlocale or os.tmpname))",
    );
}
