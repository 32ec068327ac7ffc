//! `decode_message`, `encode_message`, stream readers and matchers.

use message::{BatchBuilder, Datum, Text, ValueType, framing, wire};
use proptest::prelude::*;
use sandbox::{Api, Family, Inject, SandboxConfig, Status};

use crate::support::*;

#[test]
fn a_message_is_decoded_to_the_array_form() {
    passes(
        r#"
        local m = decode_message(read_message("raw"))
        assert(#m.Uuid == 16 and m.Type == "t" and m.Timestamp == 5 and m.Severity == 3 and m.Payload == "line\xff")
        assert(m.Logger == nil and m.Hostname == nil and m.Pid == nil and m.EnvVersion == nil)
        assert(#m.Fields == 5)
        local s, i, d, b, more = table.unpack(m.Fields)
        assert(s.name == "s" and s.value_type == 0 and s.representation == nil and #s.value == 1 and s.value[1] == "text")
        assert(i.name == "i" and i.value_type == 2 and i.value[1] == math.maxinteger)
        assert(d.value_type == 3 and d.value[1] == 0.5 and b.value_type == 4 and b.value[1] == true)
        assert(more.name == "s" and #more.value == 2 and more.value[2] == 2)
        assert(#decode_message(encode_message{}).Fields == 0)
        "#,
    );
}

#[test]
fn decode_message_says_what_is_wrong() {
    assert_eq!(error_of("decode_message()"), "t.lua:1: decode_message() takes a single string argument");
    assert_eq!(error_of("decode_message({})"), "t.lua:1: decode_message() takes a single string argument");
    assert_eq!(error_of("decode_message('', 1)"), "t.lua:1: decode_message() takes a single string argument");
    assert!(
        error_of("decode_message('')").contains("decode_message() failed: offset 0: the message ends, expected the required timestamp")
    );
}

#[test]
fn encode_message_takes_tables_and_protobuf() {
    passes(
        r#"
        local m = decode_message(encode_message{Type = "x", Fields = {a = {value = 1, representation = "B"}}})
        assert(m.Type == "x" and m.Timestamp == 1700000000000000000 and #m.Uuid == 16)
        assert(m.Logger == "test" and m.Hostname == "host.example" and m.Pid == 42)
        assert(m.Fields[1].representation == "B" and m.Fields[1].value[1] == 1)
        local raw = read_message("raw")
        assert(encode_message(raw) == raw and encode_message(raw, false) == raw)
        local framed = encode_message(raw, true)
        assert(framed:byte(1) == 0x1e and framed:sub(-#raw) == raw)
        local copy = decode_message(encode_message(decode_message(raw)))
        assert(copy.Uuid == decode_message(raw).Uuid and copy.Fields[5].value[2] == 2)
        "#,
    );
    assert!(error_of("encode_message(1)").ends_with("encode_message() takes a table, a protobuf string or a stream reader"));
    assert!(error_of("encode_message()").ends_with("encode_message() incorrect number of arguments"));
    assert!(error_of("encode_message({}, 1)").contains("bad argument #2 to 'encode_message' (boolean expected, got number)"));
    assert!(error_of("encode_message('x')").contains("encode_message() failed: offset"));
    assert!(
        error_of("encode_message{Fields = {x = {1, 'a'}}}").ends_with("encode_message() could not encode protobuf - array has mixed types")
    );
    assert!(error_of("encode_message(create_stream_reader('x'))").ends_with("the stream reader holds no message"));
    let long = call(&mut load(&body("encode_message{Payload = ('x'):rep(70000)}"))).unwrap_err();
    assert_eq!(long.kind, sandbox::FailureKind::Output, "{long}");
}

#[test]
fn read_next_field_goes_through_all_and_starts_anew() {
    let mut sandbox = load(&body(
        r#"
        local seen = {}
        while true do
            local type, name, value, representation, count = read_next_field()
            if not type then break end
            seen[#seen + 1] = ("%d %s %s %s %d"):format(type, name, tostring(value), representation, count)
        end
        assert(read_next_field() == nil)
        assert(table.concat(seen, ",") == "0 s text  1,2 i 9223372036854775807  1,3 d 0.5  1,4 b true  1,2 s 1  2", table.concat(seen, ","))
        return 0"#,
    ));
    call(&mut sandbox).unwrap();
    call(&mut sandbox).unwrap();
    assert!(error_of("read_next_field(1)").ends_with("read_next_field() takes no arguments"));
}

#[test]
fn a_matcher_asks_the_message_at_hand() {
    let mut sandbox = load(
        "local mm, other = create_message_matcher(\"Type == 't' && Fields[d] > 0.4\"), create_message_matcher('Severity == 7')
        function process_message() assert(mm:eval() == true and other:eval() == false) return 0 end
        function timer_event() assert(mm:eval() == false) end",
    );
    call(&mut sandbox).unwrap();
    tick(&mut sandbox).unwrap();
    let error = error_of("create_message_matcher('Type = 1')");
    assert!(error.contains("invalid message_matcher: position 6: found"), "{error}");
    assert!(error_of("create_message_matcher()").contains("bad argument #1 to 'create_message_matcher'"));
    assert!(error_of("create_message_matcher(('TRUE && '):rep(9999) .. 'TRUE')").contains("at most 4096 bytes"));
    assert!(
        error_of("local t = {} for i = 1, 1e6 do t[i] = create_message_matcher('Type =~ /' .. i .. '+/') end")
            .contains("not enough memory")
    );
}

fn stream(source: &str) {
    let mut sandbox = load_with(&SandboxConfig { api: Api::Hindsight, ..config() }, &body(&format!("{source} return 0")));
    let mut builder = BatchBuilder::default();
    let batch = message();
    if let Err(failure) = sandbox.process_message(batch.get(0), &mut Inject { builder: &mut builder, now_ns: NOW }) {
        panic!("{failure}");
    }
}

#[test]
fn a_stream_reader_finds_messages_between_garbage() {
    stream(
        r#"
        local one, two = encode_message({Type = "one"}, true), encode_message({Type = "two", Fields = {a = "v"}}, true)
        local r = create_stream_reader("test")
        assert(r:read_message("Type") == nil)
        local found, consumed, need = r:find_message("junk" .. one .. two:sub(1, 10))
        assert(found == true and consumed == 4 + #one and need == 0)
        assert(r:read_message("Type") == "one" and r:read_message("Fields[a]") == nil and #r:read_message("Uuid") == 16)
        found, consumed, need = r:find_message(nil)
        assert(found == false and consumed == 0 and need == #two - 10, need)
        assert(r:read_message("Type") == nil)
        found, consumed, need = r:find_message(two:sub(11), false)
        assert(found and consumed == #two and need == 0)
        assert(r:read_message("Fields[a]", 0, 0) == "v" and r:read_message("framed") == two and r:read_message("size") == #r:read_message("raw"))
        assert(encode_message(r, true) == two)
        found, consumed, need = r:find_message(nil)
        assert(not found and consumed == 0 and need > 0)
        "#,
    );
}

#[test]
fn a_stream_reader_takes_a_message_apart_and_passes_it_on() {
    let source = body(
        "local r = create_stream_reader('x') r:decode_message(read_message('raw')) assert(r:read_message('Type') == 't')
        inject_message(r) return 0",
    );
    let (status, batch) = call(&mut load(&source)).unwrap();
    assert_eq!(status, Status::Ok);
    assert_eq!((batch.get(0).type_(), batch.get(0).uuid()), (&b"heka.sandbox.t"[..], message_uuid(&batch)));
    assert!(error_of("inject_message(create_stream_reader('x'))").ends_with("inject_message() the stream reader holds no message"));
    assert!(error_of("create_stream_reader()").ends_with("create_stream_reader() takes a single string argument"));
    assert!(error_of("create_stream_reader('x'):find_message({})").contains("string, open file or nil expected, got table"));
    assert!(error_of("create_stream_reader('x'):decode_message('y')").contains("decode_message() failed: offset"));
    assert!(error_of("create_stream_reader('x'):read_message('Fields[a]', -1)").contains("field index must be >= 0"));
    assert!(
        error_of("create_stream_reader('x').find_message('y')")
            .contains("bad argument #1 to 'find_message' (stream_reader expected, got string)")
    );
}

fn message_uuid(batch: &message::Batch) -> message::Uuid {
    batch.get(0).uuid()
}

#[test]
fn what_a_stream_reader_holds_counts_as_memory() {
    // The header of a message of 60,000 bytes, most of which come.
    let half = "('\\x1e\\x04\\x08\\xe0\\xd4\\x03\\x1f' .. ('x'):rep(50000))";
    let error =
        error_of(&format!("local half, t = {half}, {{}} for i = 1, 1000 do t[i] = create_stream_reader('x') t[i]:find_message(half) end"));
    assert!(error.contains("not enough memory"), "{error}");
    passes(&format!("local half = {half} for i = 1, 1000 do create_stream_reader('x'):find_message(half) end"));
}

// ---- round trips

#[derive(Clone, Debug)]
struct Model {
    texts: [Option<Vec<u8>>; 5],
    timestamp: i64,
    severity: Option<i32>,
    pid: Option<i32>,
    fields: Vec<(Vec<u8>, Option<Vec<u8>>, Values)>,
}

#[derive(Clone, Debug)]
enum Values {
    Text(bool, Vec<Vec<u8>>),
    Integer(Vec<i64>),
    Double(Vec<f64>),
    Bool(Vec<bool>),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..8)
}

fn values() -> impl Strategy<Value = Values> {
    prop_oneof![
        (any::<bool>(), prop::collection::vec(bytes(), 1..4)).prop_map(|(b, v)| Values::Text(b, v)),
        prop::collection::vec(any::<i64>(), 1..4).prop_map(Values::Integer),
        prop::collection::vec(any::<f64>().prop_filter("comparable", |x| !x.is_nan()), 1..4).prop_map(Values::Double),
        prop::collection::vec(any::<bool>(), 1..4).prop_map(Values::Bool),
    ]
}

fn model() -> impl Strategy<Value = Model> {
    let field = (prop::collection::vec(any::<u8>(), 1..6), prop::option::of(prop::collection::vec(any::<u8>(), 1..4)), values());
    let texts = prop::array::uniform5(prop::option::of(bytes()));
    let numbers = (1..i64::MAX, prop::option::of(any::<i32>()), prop::option::of(any::<i32>()));
    (texts, numbers, prop::collection::vec(field, 0..6)).prop_map(|(texts, (timestamp, severity, pid), fields)| Model {
        texts,
        timestamp,
        severity,
        pid,
        fields,
    })
}

fn build(model: &Model) -> Vec<u8> {
    let mut b = BatchBuilder::default();
    let mut m = b.add();
    m.set_timestamp(model.timestamp);
    let headers =
        [message::Header::Type, message::Header::Logger, message::Header::Payload, message::Header::EnvVersion, message::Header::Hostname];
    for (header, text) in headers.into_iter().zip(&model.texts) {
        if let Some(text) = text {
            let text = m.messages().store(text);
            m.set_text_header(header, text);
        }
    }
    model.severity.into_iter().for_each(|n| m.set_severity(n));
    model.pid.into_iter().for_each(|n| m.set_pid(n));
    for (name, representation, values) in &model.fields {
        let name = m.messages().store(name);
        let representation = representation.as_ref().map_or(Text::NONE, |r| m.messages().store(r));
        let (type_, data): (ValueType, Vec<Datum>) = match values {
            Values::Text(true, v) => (ValueType::Bytes, v.iter().map(|t| Datum::Bytes(m.messages().store(t))).collect()),
            Values::Text(false, v) => (ValueType::String, v.iter().map(|t| Datum::String(m.messages().store(t))).collect()),
            Values::Integer(v) => (ValueType::Integer, v.iter().map(|n| Datum::Integer(*n)).collect()),
            Values::Double(v) => (ValueType::Double, v.iter().map(|x| Datum::Double(*x)).collect()),
            Values::Bool(v) => (ValueType::Bool, v.iter().map(|x| Datum::Bool(*x)).collect()),
        };
        m.add_field(name, representation, type_, &data);
    }
    let mut bytes = Vec::new();
    wire::encode(b.get(0), &mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Through a table and back a message is the same, byte for byte, if it has the headers that are filled in.
    #[test]
    fn what_is_decoded_is_encoded_again(mut model in model()) {
        for n in [1, 4] {
            model.texts[n].get_or_insert_default();
        }
        model.pid.get_or_insert(1);
        let bytes = build(&model);
        let mut record = Vec::new();
        framing::write(&bytes, None, &mut record).unwrap();
        let config = SandboxConfig {
            config: vec![],
            ..as_family(Family::Encoder)
        };
        let mut sandbox = load_with(&config, &body(
            "local raw = read_message('raw') local again = encode_message(decode_message(raw)) assert(again == raw)
            local r = create_stream_reader('x') assert(r:find_message(encode_message(raw, true)) and r:read_message('raw') == raw)
            inject_message(decode_message(raw)) return 0"));
        let mut builder = BatchBuilder::default();
        builder.raw().extend_from_slice(&bytes);
        let (raw, messages) = builder.parts();
        wire::decode(raw, Text::raw(0, raw.len()), messages).unwrap();
        let mut out = Vec::new();
        let outcome = sandbox.encode(builder.get(0), NOW, &mut out);
        prop_assert!(outcome.is_ok(), "{outcome:?}");
        prop_assert_eq!(out, bytes);
    }

    /// Bytes that are no message are refused, never a crash.
    #[test]
    fn any_bytes_may_be_decoded(bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0usize..64) {
        let text: String = bytes.iter().map(|b| format!("\\x{b:02x}")).collect();
        let cut = cut.min(bytes.len());
        let source = format!("local s = \"{text}\" pcall(decode_message, s) pcall(inject_message, s) local r = create_stream_reader('x')
            local used = 0 local found, n = r:find_message(s:sub(1, {cut})) used = used + n
            repeat found, n = r:find_message(not found and s:sub({cut} + 1) or nil) used = used + n s = '' until not found
            assert(used <= {}) pcall(r.decode_message, r, s) return 0", bytes.len());
        let outcome = call(&mut load(&body(&source)));
        prop_assert!(outcome.is_ok(), "{outcome:?}");
    }
}
