use message::{Batch, Value};
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::KIND;

fn decode(toml: &str, record: &str) -> Result<Batch, String> {
    let (batch, rejects) = testkit::plugins::decode(&mut *testkit::plugins::decoder(&KIND, toml).unwrap(), &[record.as_bytes()]);
    rejects.into_iter().next().map_or(Ok(batch), Err)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn scalar(value: Value<'_>) -> Json {
    match value {
        Value::String(s) | Value::Bytes(s) => json!(text(s)),
        Value::Integer(n) => json!(n),
        Value::Double(n) => json!(n),
        Value::Bool(b) => json!(b),
    }
}

/// The message's fields as JSON again, in order; JSON text is marked.
fn fields(batch: &Batch) -> Vec<(String, Json)> {
    let field = |f: message::FieldRef<'_>| match (f.representation(), f.len()) {
        (b"json", _) => json!({ "json": serde_json::from_str::<Json>(&text(f.value(0).unwrap().as_bytes().unwrap())).unwrap() }),
        (_, 1) => scalar(f.value(0).unwrap()),
        _ => f.values().map(scalar).collect(),
    };
    batch.get(0).fields().map(|f| (text(f.name()), field(f))).collect()
}

/// What is expected of an object, by the description of the decoder.
fn flattened(object: &Map<String, Json>, prefix: Option<&str>, depth: usize, out: &mut Vec<(String, Json)>) {
    for (key, value) in object {
        let name = prefix.map_or(key.clone(), |p| format!("{p}.{key}"));
        match value {
            Json::Null => {}
            Json::Object(inner) if depth < 3 => flattened(inner, Some(&name), depth + 1, out),
            Json::Object(_) => out.push((name, read_again(value))),
            Json::Array(list) => out.push((name, array(list))),
            other => out.push((name, other.clone())),
        }
    }
}

fn array(list: &[Json]) -> Json {
    let all = |test: fn(&Json) -> bool| list.iter().all(test);
    let small = |v: &Json| v.is_f64() || v.as_i64().is_some_and(|n| n.unsigned_abs() <= 1 << 53);
    let double = |v: &Json| json!(v.as_f64().unwrap());
    match list {
        [one] if one.is_string() || one.is_number() || one.is_boolean() => one.clone(),
        _ if all(Json::is_string) || all(Json::is_boolean) || all(Json::is_i64) => json!(list),
        _ if list.iter().all(|v| v.is_number() && small(v)) => list.iter().map(double).collect(),
        _ => read_again(&json!(list)),
    }
}

/// What is left as text is read by serde, which does not read every double exactly.
fn read_again(value: &Json) -> Json {
    json!({ "json": serde_json::from_str::<Json>(&value.to_string()).unwrap() })
}

fn value() -> impl Strategy<Value = Json> {
    let number = prop_oneof![any::<i64>().prop_map(|n| json!(n)), (-9..9i64).prop_map(|n| json!(n)), any::<f64>().prop_map(|n| json!(n))];
    let scalar = prop_oneof![Just(Json::Null), any::<bool>().prop_map(|b| json!(b)), number, ".{0,12}".prop_map(|s: String| json!(s))];
    scalar.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from), object(inner).prop_map(Json::from)]
    })
}

fn object(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Map<String, Json>> {
    prop::collection::btree_map("([a-z]|[\"\\\\\né]){0,3}", value, 0..5).prop_map(|m| m.into_iter().collect())
}

#[test]
fn a_long_name_above_many_members_does_not_multiply() {
    let members: Vec<String> = (0..1000).map(|i| format!("\"{i}\":{i}")).collect();
    let record = |name: usize| format!("{{\"{}\":{{{}}}}}", "a".repeat(name), members.join(","));
    assert_eq!(decode("", &record(50)).unwrap().get(0).fields().count(), 1000);
    assert!(decode("", &record(100_000)).unwrap_err().contains("far longer than the record"));
    assert!(decode("max_depth = 1", &record(100_000)).is_ok());
}

#[test]
fn the_record_is_kept_on_request() {
    let record = br#"{"message": "hello", "a": 1}"#;
    let mut decoder = testkit::plugins::decoder(&KIND, "keep_payload = true").unwrap();
    let (batch, _) = testkit::plugins::decode(&mut *decoder, &[record]);
    let m = batch.get(0);
    assert_eq!((m.payload(), m.value(b"message", 0, 0)), (&record[..], Some(Value::String(b"hello"))));
}

proptest! {
    #[test]
    fn any_object_is_read_as_serde_reads_it(object in object(value()), pretty: bool) {
        let record = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
        let mut expected = Vec::new();
        flattened(&object, None, 1, &mut expected);
        let none = ["timestamp", "severity", "payload", "hostname", "message_type", "logger", "pid", "uuid"];
        let toml = none.map(|name| format!("{name} = []\n")).concat() + "max_depth = 3";
        prop_assert_eq!(fields(&decode(&toml, &record).unwrap()), expected, "{}", record);
    }

    #[test]
    fn nothing_but_objects_is_taken(record in prop_oneof![".*", "[{}:,\\[\\]\"a1 ]{0,8}"]) {
        let is_object = serde_json::from_str::<Map<String, Json>>(&record).is_ok();
        prop_assert_eq!(decode("", &record).is_ok(), is_object);
    }
}

#[test]
fn well_known_names_become_headers() {
    let record = r#"{"time":"2023-11-14T22:13:20.5Z","level":"warn","msg":"a\tb","host":"web","type":"t","logger":"l","pid":7,
        "env_version":"2","uuid":"00112233-4455-4677-8899-aabbccddeeff","ts":1,"level":"loud"}"#;
    assert_eq!(decode("", record).unwrap().get(0).value(b"uuid", 0, 0), Some(Value::String(b"00112233-4455-4677-8899-aabbccddeeff")));
    let batch = decode("uuid = 'uuid'", record).unwrap();
    let m = batch.get(0);
    assert_eq!((m.timestamp(), m.severity(), m.pid()), (1_700_000_000_500_000_000, 4, 7));
    assert_eq!((m.payload(), m.hostname(), m.type_(), m.logger()), (&b"a\tb"[..], &b"web"[..], &b"t"[..], &b"l"[..]));
    assert_eq!((m.env_version(), m.uuid().to_string().as_str()), (&b"2"[..], "00112233-4455-4677-8899-aabbccddeeff"));
    assert_eq!(fields(&batch), [("ts".to_string(), json!(1)), ("level".to_string(), json!("loud"))]);
}

#[test]
fn headers_may_come_from_nested_members() {
    let batch = decode("severity = 'log.level'\nmax_depth = 2", r#"{"log":{"level":"error","x":{"y":1}}}"#).unwrap();
    assert_eq!(batch.get(0).severity(), 3);
    assert_eq!(fields(&batch), [("log.x".to_string(), json!({ "json": { "y": 1 } }))]);
}

#[test]
fn refusals_say_where_and_what() {
    let reject = |toml, record| decode(toml, record).unwrap_err();
    assert_eq!(reject("", r#"{"a":1,"b":"x" "#), "at byte 15: found the end, expected `,` or `}`");
    assert_eq!(reject("", r#"{"a":1}}"#), "at byte 7: found `}`, expected the end");
    assert_eq!(reject("", "[1]"), "at byte 0: found `[`, expected `{`");
    assert_eq!(reject("max_fields = 1", r#"{"a":1,"b":2}"#), "found more than 1 fields; `max_fields` raises that");
    let deep = format!(r#"{{"a":{}}}"#, "[".repeat(1000));
    assert_eq!(reject("", &deep), "at byte 132: found `[`, expected at most 128 levels of nesting");
    assert_eq!(decode("", r#"{"a":1}"#).unwrap().len(), 1);
}

#[test]
fn text_that_is_not_utf8_survives() {
    let (batch, _) = testkit::plugins::decode(&mut *testkit::plugins::decoder(&KIND, "").unwrap(), &[b"{\"msg\":\"caf\xe9\"}"]);
    assert_eq!(batch.get(0).payload(), b"caf\xe9");
}

#[test]
fn bad_options_are_refused() {
    let error = testkit::plugins::decoder(&KIND, "max_depth = 0").err().unwrap();
    assert_eq!(error, "test.toml:1:13: `max_depth` is out of range: expected 1 to 64");
}
