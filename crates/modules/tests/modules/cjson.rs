//! JSON.

use proptest::prelude::*;
use serde_json::Value;

use crate::support::{call, error_of, load, passes, payload_of};

/// A Lua string that is these bytes.
fn quoted(text: &str) -> String {
    let escaped: String = text.bytes().map(|b| format!("\\{b:03}")).collect();
    format!("\"{escaped}\"")
}

#[test]
fn writes_what_lua_has() {
    for (value, json) in [
        ("nil", "null"),
        ("true", "true"),
        ("{}", "{}"),
        ("{1, 2, {3}}", "[1,2,[3]]"),
        ("{[1] = 'a', [3] = 'c'}", r#"["a",null,"c"]"#),
        ("{a = 1}", r#"{"a":1}"#),
        ("{[5.5] = 1}", r#"{"5.5":1}"#),
        ("{[-1] = 1}", r#"{"-1":1}"#),
        ("{a = {b = {}}}", r#"{"a":{"b":{}}}"#),
        ("math.maxinteger", "9223372036854775807"),
        ("math.mininteger", "-9223372036854775808"),
        ("3.0", "3"),
        ("0.1", "0.1"),
        ("1e300", "1e+300"),
        ("-2^53", "-9007199254740992"),
        (r#"'"\\\n\1\127/é\255'"#, "\"\\\"\\\\\\n\\u0001\\u007f/é\u{fffd}\""),
        ("cjson.null", "null"),
        ("{cjson.null}", "[null]"),
    ] {
        assert_eq!(payload_of(&format!("require 'cjson' add_to_payload(cjson.encode({value}))")), json, "{value}");
    }
}

#[test]
fn reads_what_json_has() {
    passes(
        r#"
        local decode = require "cjson".decode
        assert(decode("[1,2,3]")[3] == 3 and decode(' { "a" : [ ] } ').a ~= nil and next(decode("{}")) == nil)
        assert(decode("9223372036854775807") == math.maxinteger and math.type(decode("5")) == "integer")
        assert(decode("9223372036854775808") == 2^63 and decode("-1.5e3") == -1500 and math.type(decode("1e2")) == "float")
        assert(decode('"\\u00e9\\ud83d\\ude00\\n\\/"') == "é😀\n/" and decode('"\\ud83dx"') == "\239\191\189x")
        assert(decode("true") == true and decode("null") == nil and decode('""') == "")
        local t = decode('{"a":null,"b":[1,null,3]}')
        assert(t.a == nil and t.b[1] == 1 and t.b[2] == nil and t.b[3] == 3)
        assert(decode('{"a":1,"a":2}').a == 2)
        assert(cjson.decode_null() == false and cjson.decode_null(true) == true)
        t = decode('{"a":null,"b":[null]}')
        assert(t.a == cjson.null and t.b[1] == cjson.null and decode("null") == cjson.null and tostring(t.a) == "null")
    "#,
    );
}

#[test]
fn says_where_json_is_wrong() {
    for (json, why) in [
        ("", "Expected value but found the end of the text at character 1"),
        ("{", "Expected object key string but found the end of the text at character 2"),
        ("[1,]", "Expected value but found ']' at character 4"),
        (r#"{"a":1,}"#, "Expected object key string but found '}' at character 8"),
        (r#"{"a" 1}"#, "Expected colon but found '1' at character 6"),
        ("[1 2]", "Expected comma or array end but found '2' at character 4"),
        (r#"{"a":1 "b"}"#, "Expected comma or object end but found '\\\"' at character 8"),
        ("1 x", "Expected the end but found 'x' at character 3"),
        ("01", "Expected the end of a number after 0 but found '1' at character 2"),
        ("-", "Expected digit but found the end of the text at character 2"),
        ("1e999", "Expected a number of 64 bits but found a larger one at character 1"),
        ("nul", "Expected value but found 'n' at character 1"),
        ("truer", "Expected value but found 't' at character 1"),
        (r#""abc"#, "Expected the end of the string that begins at character 1 but found the end of the text"),
        (r#""\q""#, "Expected escape code but found 'q' at character 3"),
        (r#""\u12g4""#, "Expected four hexadecimal digits but found 'u' at character 3"),
    ] {
        let error = error_of(&format!("require 'cjson' cjson.decode({})", quoted(json)));
        assert!(error.contains(why), "{json}: {error}");
    }
}

#[test]
fn says_what_json_cannot_be() {
    for (value, why) in [
        ("print", "Cannot serialise function: type not supported"),
        ("{f = print}", "Cannot serialise function: type not supported"),
        ("{[true] = 1}", "Cannot serialise boolean: table key must be a number or string"),
        ("0/0", "Cannot serialise number: must not be NaN or Inf"),
        ("{1/0}", "Cannot serialise number: must not be NaN or Inf"),
        ("{[1] = 1, [1000] = 1}", "Cannot serialise table: excessively sparse array (2 items, last index 1000)"),
        ("('x'):rep(70000)", "strbuf output_limit exceeded: the JSON text is longer than 64512 bytes"),
    ] {
        let error = error_of(&format!("require 'cjson' cjson.encode({value})"));
        assert!(error.contains(why), "{value}: {error}");
    }
}

#[test]
fn nesting_is_bounded() {
    passes(
        r#"
        require "cjson"
        local function nested(n) local t = {} for i = 2, n do t = i % 2 == 0 and {t} or {a = t} end return t end
        local json = cjson.encode(nested(1000))
        assert(cjson.encode(cjson.decode(json)) == json)
        local ok, why = pcall(cjson.encode, nested(1001))
        assert(not ok and why:find("Cannot serialise, excessive nesting (1001)", 1, true), why)
        local loop = {} loop.loop = loop
        assert(not pcall(cjson.encode, loop))
        ok, why = pcall(cjson.decode, ("["):rep(1001))
        assert(not ok and why:find("Found too many nested data structures (1001) at character 1001", 1, true), why)
        assert(cjson.decode_max_depth(2) == 2 and not pcall(cjson.decode, "[[[]]]") and cjson.decode("[[]]"))
        assert(cjson.encode_max_depth(10000) == 10000 and cjson.encode(nested(5000)))
    "#,
    );
}

#[test]
fn settings_hold_for_the_sandbox() {
    passes(
        r#"
        require "cjson"
        assert(cjson.encode_number_precision(3) == 3 and cjson.encode(1/3) == "0.333" and cjson.encode(123456.0) == "1.23e+05")
        assert(cjson.encode_invalid_numbers("null") == "null" and cjson.encode({0/0}) == "[null]")
        local convert, ratio, safe = cjson.encode_sparse_array(true)
        assert(convert == true and ratio == 2 and safe == 10)
        assert(cjson.encode({[1000] = 1}) == '{"1000":1}' and cjson.encode({[10] = 1}):find("^%[null,"))
        cjson.encode_sparse_array(false, 0)
        assert(#cjson.encode({[100] = 1}) > 400)
        assert(not pcall(cjson.encode_number_precision, 18) and not pcall(cjson.encode_max_depth, 0))
    "#,
    );
    passes("require 'cjson' assert(cjson.encode_number_precision() == 17 and cjson.decode_null() == false)");
}

#[test]
fn floats_come_back_exactly() {
    passes(
        r#"
        require "cjson"
        for _ = 1, 2000 do
            local x = string.unpack("d", string.pack("i8", math.random(0) >> math.random(0, 3)))
            if math.random(4) == 1 then x = math.random(0) * 1.0 end
            if x == x and math.abs(x) ~= math.huge then assert(cjson.decode(cjson.encode(x)) == x, x) end
        end
    "#,
    );
}

#[test]
fn memory_bounds_what_is_read() {
    let source = "require 'cjson' local s = '[' .. ('[],'):rep(300000) .. '[]]' cjson.decode(s)";
    assert!(error_of(source).contains("not enough memory"));
}

#[test]
fn the_budget_ends_a_long_text() {
    let source =
        "function process_message() require 'cjson' local s = '[' .. ('1,'):rep(1000000) .. '1]' while true do cjson.decode(s) end end";
    let mut sandbox = load(source, |c| {
        c.limits.cpu = std::time::Duration::from_millis(100);
        c.limits.memory = 64 << 20;
    });
    let failure = call(&mut sandbox).unwrap_err();
    assert_eq!(failure.kind, sandbox::FailureKind::Cpu, "{failure}");
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..6).prop_map(Value::from),
            proptest::collection::hash_map("[a-zé\"\\\\\n]{0,6}", inner, 1..6).prop_map(Value::from_iter),
        ]
    })
}

/// Numbers as Lua has them: an integral float that fits is written as an integer.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            // serde_json reads some floats off by one in the last place.
            (Some(x), Some(y)) => a == b || x == y || (!(a.is_i64() && b.is_i64()) && (x - y).abs() <= x.abs() * f64::EPSILON),
            _ => false,
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| alike(v, w))),
        _ => a == b,
    }
}

const ROUND: &str =
    "function process_message() add_to_payload(cjson.encode(cjson.decode(read_message('Payload')))) inject_payload() return 0 end";

/// What a text comes back as.
fn round(text: &[u8]) -> Result<String, sandbox::Failure> {
    let mut sandbox = load(&format!("require 'cjson' {ROUND}"), |_| {});
    let mut incoming = message::BatchBuilder::default();
    incoming.add().set_payload(text);
    let mut out = message::BatchBuilder::default();
    sandbox.process_message(incoming.finish().get(0), &mut sandbox::Inject { builder: &mut out, now_ns: 0 })?;
    Ok(String::from_utf8_lossy(out.finish().get(0).payload()).into_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn comes_back_as_serde_has_it(value in json()) {
        let back = round(value.to_string().as_bytes()).unwrap();
        let back: Value = serde_json::from_str(&back).unwrap();
        prop_assert!(alike(&back, &value), "{back} for {value}");
    }

    /// What serde reads, we read; and whatever comes out is JSON.
    #[test]
    fn reads_all_that_is_json(text in "[\\[\\]{}\",:0-9eE.+\\- ntfalsru\\\\]{0,24}") {
        match (serde_json::from_str::<Value>(&text), round(text.as_bytes())) {
            (Ok(value), Err(failure)) => prop_assert!(false, "{value}: {failure}"),
            (_, Ok(back)) => prop_assert!(serde_json::from_str::<Value>(&back).is_ok(), "{text} became {back}"),
            (Err(_), Err(_)) => {}
        }
    }
}
