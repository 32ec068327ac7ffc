use message::{Batch, BatchBuilder, Datum, Header, Text, Value, ValueType};
use proptest::prelude::*;

use super::KIND;

fn encode(toml: &str, batch: &Batch) -> String {
    let mut out = Vec::new();
    testkit::plugins::encoder(&KIND, toml).unwrap().encode(batch.get(0), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn sample() -> Batch {
    let mut b = BatchBuilder::default();
    let mut m = b.add();
    m.set_timestamp(1_700_000_000_123_456_789);
    m.set_type(b"t");
    m.set_severity(6);
    m.set_payload(b"a \"b\"\n\xff");
    m.add_integer(b"n", -1);
    m.add_double(b"whole", 2.0);
    m.add_double(b"nan", f64::NAN);
    m.add_bool(b"type", true);
    m.add_string(b"n", b"again");
    let (name, empty) = (m.messages().store(b"list"), m.messages().store(b"empty"));
    m.add_field(name, Text::NONE, ValueType::Integer, &[Datum::Integer(1), Datum::Integer(2)]);
    m.add_field(empty, Text::NONE, ValueType::Bytes, &[]);
    b.finish()
}

#[test]
fn objects_are_flat() {
    let expected = concat!(
        r#"{"timestamp":"2023-11-14T22:13:20.123456789Z","type":"t","severity":6,"payload":"a \"b\"\n"#,
        "\u{fffd}",
        r#"","n":-1,"whole":2.0,"nan":null,"fields.type":true,"n[1]":"again","list":[1,2],"empty":[]}"#,
        "\n"
    );
    assert_eq!(encode("", &sample()), expected);
}

#[test]
fn members_are_chosen_by_name() {
    assert_eq!(encode("fields = ['severity', 'list', 'n']\nomit = 'n'", &sample()), "{\"severity\":6,\"list\":[1,2]}\n");
    assert_eq!(encode("fields = []", &sample()), "{}\n");
    assert!(encode("fields = 'uuid'\nuuid = true", &sample()).starts_with("{\"uuid\":\""));
    let mut out = b"before".to_vec();
    testkit::plugins::encoder(&KIND, "fields = 'severity'").unwrap().encode(sample().get(0), &mut out).unwrap();
    assert_eq!(out, b"before{\"severity\":6}\n");
}

#[test]
fn json_text_is_written_as_json_only_if_it_is() {
    for (text, expected) in [("[1,{}]", "[1,{}]"), ("[1,", "\"[1,\""), ("[1,\n2]", "\"[1,\\n2]\""), ("1 2", "\"1 2\"")] {
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        let (name, json, text) = (m.messages().store(b"x"), m.messages().store(b"json"), m.messages().store(text.as_bytes()));
        m.add_field(name, json, ValueType::String, &[Datum::String(text)]);
        assert_eq!(encode("fields = 'x'", &b.finish()), format!("{{\"x\":{expected}}}\n"));
    }
}

#[derive(Clone, Debug)]
enum Values {
    Strings(Vec<String>),
    Integers(Vec<i64>),
    Doubles(Vec<f64>),
    Bools(Vec<bool>),
    Json(String),
}

fn values() -> impl Strategy<Value = Values> {
    prop_oneof![
        prop::collection::vec(".{0,20}", 1..4).prop_map(Values::Strings),
        prop::collection::vec(any::<i64>(), 1..4).prop_map(Values::Integers),
        prop::collection::vec(any::<f64>(), 1..4).prop_map(Values::Doubles),
        prop::collection::vec(any::<bool>(), 1..4).prop_map(Values::Bools),
        Just(Values::Json(r#"[[1, "a"], null]"#.into())),
    ]
}

/// Everything that JSON can tell of a message.
fn told(m: message::MessageRef<'_>) -> String {
    format!("{m:?} {} {} {:?}", m.pid(), m.uuid(), Header::ALL.map(|h| m.has(h)))
}

proptest! {
    #[test]
    fn the_decoder_reads_it_back(
        timestamp: i64, numbers in prop::option::of((0..8i32, any::<i32>())),
        texts in prop::collection::vec(prop::option::of(".{0,20}"), 5), fields in prop::collection::btree_map("f_.{0,8}", values(), 0..8),
    ) {
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        m.set_timestamp(timestamp);
        m.set_uuid(message::Uuid::from_random(timestamp as u128));
        if let Some((severity, pid)) = numbers {
            m.set_severity(severity);
            m.set_pid(pid);
        }
        for (header, text) in [Header::Type, Header::Logger, Header::Payload, Header::EnvVersion, Header::Hostname].into_iter().zip(&texts) {
            let text = text.as_ref().map_or(Text::NONE, |t| m.messages().store(t.as_bytes()));
            m.set_text_header(header, text);
        }
        for (name, values) in &fields {
            let name = m.messages().store(name.as_bytes());
            let (mut representation, mut data) = (Text::NONE, Vec::new());
            match values {
                Values::Strings(v) => data.extend(v.iter().map(|s| Datum::String(m.messages().store(s.as_bytes())))),
                Values::Integers(v) => data.extend(v.iter().map(|n| Datum::Integer(*n))),
                Values::Doubles(v) => data.extend(v.iter().map(|n| Datum::Double(*n))),
                Values::Bools(v) => data.extend(v.iter().map(|b| Datum::Bool(*b))),
                Values::Json(text) => {
                    representation = m.messages().store(b"json");
                    data.push(m.messages().datum(Value::String(text.as_bytes())));
                }
            }
            m.add_field(name, representation, data[0].type_(), &data);
        }
        let batch = b.finish();
        let line = encode("uuid = true", &batch);
        prop_assert_eq!(line.find("\n"), Some(line.len() - 1));
        let mut decoder = testkit::plugins::decoder(&crate::decoders::json::KIND, "uuid = 'uuid'").unwrap();
        let (decoded, rejects) = testkit::plugins::decode(&mut *decoder, &[line.trim_end_matches('\n').as_bytes()]);
        prop_assert_eq!(rejects, Vec::<String>::new());
        prop_assert_eq!(told(decoded.get(0)), told(batch.get(0)));
    }

    #[test]
    fn any_bytes_become_valid_json(payload in prop::collection::vec(any::<u8>(), 0..60), name in prop::collection::vec(any::<u8>(), 0..10)) {
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        m.set_payload(&payload);
        m.add_string(&name, &payload);
        let object: serde_json::Value = serde_json::from_str(&encode("", &b.finish())).unwrap();
        prop_assert_eq!(object["payload"].as_str().unwrap(), String::from_utf8_lossy(&payload));
    }
}
