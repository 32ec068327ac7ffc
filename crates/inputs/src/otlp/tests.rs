use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use flate2::Compression;
use flate2::write::GzEncoder;
use message::{MessageRef, Value};
use plugin::Clock;
use proptest::prelude::*;
use serde_json::json;
use testkit::intake::{RecordingIntake, Running, Seen, start_at};

use super::*;

fn running(more: &str) -> (RecordingIntake, SocketAddr, Running) {
    let toml = format!("listen = '127.0.0.1:0'\n{more}");
    let mut http = new(&testkit::plugins::options(&KIND, &toml).unwrap(), &testkit::plugins::build_cx()).unwrap();
    let address = http.listen().unwrap();
    let intake = RecordingIntake::default();
    (intake.clone(), address, start_at(Box::new(http), &intake, Clock::real()))
}

/// Status, head and body of the answer.
fn post(address: SocketAddr, path: &str, head: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut socket = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!("POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n");
    socket.write_all(&[request.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head, answer[end..].to_vec())
}

const AS_JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";
const AS_PROTOBUF: &str = "Content-Type: application/x-protobuf\r\n";

/// Everything of a message that is set.
fn show(m: MessageRef<'_>) -> String {
    let text = |t: &[u8]| String::from_utf8_lossy(t).into_owned();
    let value = |v: Value<'_>| match v {
        Value::String(s) => text(s),
        Value::Bytes(b) => format!("{b:?}"),
        Value::Integer(n) => n.to_string(),
        Value::Double(n) => format!("{n:?}"),
        Value::Bool(b) => b.to_string(),
    };
    let field = |f: message::FieldRef<'_>| {
        let unit = if f.representation().is_empty() { String::new() } else { format!("({})", text(f.representation())) };
        format!(" {}{unit}={}", text(f.name()), f.values().map(value).collect::<Vec<_>>().join("|"))
    };
    let severity = if m.has(message::Header::Severity) { m.severity() } else { -1 };
    let head = [text(m.type_()), m.timestamp().to_string(), severity.to_string(), text(m.logger()), text(m.hostname()), text(m.payload())]
        .join(",");
    head + &m.fields().map(field).collect::<String>()
}

fn shown(seen: &Seen) -> Vec<String> {
    seen.made.iter().flat_map(|batch| batch.iter().map(show).collect::<Vec<_>>()).collect()
}

fn kv(key: &str, value: serde_json::Value) -> serde_json::Value {
    json!({"key": key, "value": value})
}

/// Sends it as JSON and as protobuf, packed; returns what became of it, which is the same.
fn sent(path: &str, body: serde_json::Value) -> Vec<String> {
    let (intake, address, running) = running("");
    let schema = PATHS.iter().find(|(known, ..)| *known == path).unwrap().2;
    let (status, head, answer) = post(address, path, AS_JSON, body.to_string().as_bytes());
    assert!(status == 200 && head.contains("application/json") && answer == b"{}", "{head}");
    let plain = json::to_protobuf(body.to_string().as_bytes(), schema).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&plain).unwrap();
    let (status, head, answer) = post(address, path, &format!("{AS_PROTOBUF}Content-Encoding: gzip\r\n"), &gzip.finish().unwrap());
    assert!(status == 200 && head.contains("application/x-protobuf") && answer.is_empty(), "{head}");
    running.stop().unwrap();
    let mut all = shown(&intake.seen());
    let second = all.split_off(all.len() / 2);
    assert_eq!(all, second);
    all
}

fn resource() -> serde_json::Value {
    json!({"attributes": [kv("service.name", json!({"stringValue": "shop"})), kv("host.name", json!({"stringValue": "h1"}))]})
}

#[test]
fn log_records_become_messages() {
    let attributes = json!([
        kv("n", json!({"intValue": "7"})),
        kv("x", json!({"doubleValue": 0.5})),
        kv("ok", json!({"boolValue": true})),
        kv("raw", json!({"bytesValue": "AQI="})),
        kv("list", json!({"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}})),
        kv("mixed", json!({"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": 1}, {}]}})),
        kv("map", json!({"kvlistValue": {"values": [kv("k", json!({"doubleValue": 1.0}))]}})),
        kv("none", json!({})),
    ]);
    let first = json!({"timeUnixNano": "1700000000123456789", "severityNumber": 13, "severityText": "WARN", "body": {"stringValue": "hello"},
        "attributes": attributes, "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"});
    let second = json!({"observedTimeUnixNano": 5, "severityText": "fatal", "body": {"kvlistValue": {"values": [kv("a", json!({"intValue": 1}))]}}, "eventName": "e"});
    let scopes = json!([{"scope": {"name": "lib", "version": "1.2"}, "logRecords": [first]}, {"logRecords": [second]}]);
    assert_eq!(
        sent("/v1/logs", json!({"resourceLogs": [{"resource": resource(), "scopeLogs": scopes}, {}]})),
        [
            "log,1700000000123456789,4,lib,h1,hello n=7 x=0.5 ok=true raw=[1, 2] list=a|b mixed(json)=[\"a\",1,null] map(json)={\"k\":1.0} \
         trace_id=5b8efff798038103d269b633813fc60c span_id=eee19b7ec3c1b174 severity_text=WARN resource.service.name=shop resource.host.name=h1 scope.version=1.2",
            "log,5,2,shop,h1,{\"a\":1} event_name=e severity_text=fatal resource.service.name=shop resource.host.name=h1",
        ]
    );
}

#[test]
fn points_of_metrics_become_messages() {
    let tag = json!([kv("name", json!({"stringValue": "eth0"}))]);
    let metrics = json!([
        {"name": "temp", "unit": "Cel", "gauge": {"dataPoints": [{"timeUnixNano": "1", "asDouble": 21.5, "attributes": tag}]}},
        {"name": "sent", "sum": {"isMonotonic": true, "aggregationTemporality": 2, "dataPoints": [{"timeUnixNano": "2", "asInt": "-3"}, {"timeUnixNano": 3, "asInt": 4}]}},
        {"name": "open", "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "dataPoints": [{"asInt": 5}]}},
        {"name": "took", "histogram": {"aggregationTemporality": 1, "dataPoints": [{"timeUnixNano": 4, "count": "3", "sum": 1.5, "bucketCounts": ["1", 2], "explicitBounds": [0.5], "max": 1}]}},
        {"name": "q", "summary": {"dataPoints": [{"count": 2, "sum": 3.0, "quantileValues": [{"quantile": 0.5, "value": 1}]}]}},
    ]);
    assert_eq!(
        sent("/v1/metrics", json!({"resourceMetrics": [{"resource": resource(), "scopeMetrics": [{"metrics": metrics}]}]})),
        [
            "metric,1,-1,shop,h1, name=temp kind=gauge tag_name=eth0 value(Cel)=21.5",
            "metric,2,-1,shop,h1, name=sent kind(cumulative)=counter value=-3",
            "metric,3,-1,shop,h1, name=sent kind(cumulative)=counter value=4",
            "metric,0,-1,shop,h1, name=open kind=gauge value=5",
            "metric,4,-1,shop,h1, name=took kind=histogram count=3 max=1.0 bounds=0.5 buckets=1|2 value=1.5",
            "metric,0,-1,shop,h1, name=q kind=summary count=2 quantiles=0.5 values=1.0 value=3.0",
        ]
        .map(|line| format!("{line} resource.service.name=shop resource.host.name=h1"))
    );
}

#[test]
fn spans_become_messages() {
    let span = json!({"traceId": "0102", "spanId": "03", "parentSpanId": "", "name": "GET /", "kind": "SPAN_KIND_SERVER", "startTimeUnixNano": "10", "endTimeUnixNano": "25",
        "attributes": [kv("http.status", json!({"intValue": 200}))], "status": {"code": 2, "message": "no"},
        "events": [{"timeUnixNano": 12, "name": "a", "attributes": [kv("k", json!({"stringValue": "v"}))]}, {"name": "b"}]});
    assert_eq!(
        sent("/v1/traces", json!({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "s"}, "spans": [span]}]}]})),
        [
            "span,10,-1,s,, trace_id=0102 span_id=03 name=GET / kind=server http.status=200 status_message=no start(ns)=10 end(ns)=25 duration(ns)=15 status=error \
         events(json)=[{\"name\":\"a\",\"time\":12,\"attributes\":{\"k\":\"v\"}},{\"name\":\"b\",\"time\":0,\"attributes\":{}}]",
        ]
    );
}

#[test]
fn what_is_left_out_is_told() {
    let (intake, address, running) = running("max_fields = 6");
    let points = |name: &str| json!({"name": name, "exponentialHistogram": {"dataPoints": vec![json!({}); 200]}});
    let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [points("a"), {"name": "b", "gauge": {"dataPoints": [{"asInt": 1}]}}]}]}]}).to_string();
    let (status, _, answer) = post(address, "/v1/metrics", AS_JSON, body.as_bytes());
    let expected = json!({"partialSuccess": {"rejectedDataPoints": "200", "errorMessage": "expected no exponential histogram: they are not understood"}});
    assert_eq!((status, serde_json::from_slice::<serde_json::Value>(&answer).unwrap()), (200, expected));
    let (_, _, answer) = post(address, "/v1/metrics", AS_PROTOBUF, &json::to_protobuf(body.as_bytes(), &schema::METRICS).unwrap());
    // Field 1, in which field 1 is 200.
    assert!(answer.starts_with(b"\x0a") && answer[2..].starts_with(b"\x08\xc8\x01\x12"), "{answer:?}");
    let many: Vec<_> = (0..7).map(|i| kv(&i.to_string(), json!({"intValue": i}))).collect();
    let body =
        json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"attributes": many}, {"body": {"stringValue": "x"}}]}]}]}).to_string();
    let (status, _, answer) = post(address, "/v1/logs", AS_JSON, body.as_bytes());
    assert!(status == 200 && String::from_utf8_lossy(&answer).contains("max_fields"));
    assert!(running.meter().read().contains(&("left_out_records", 401)));
    running.stop().unwrap();
    assert_eq!(shown(&intake.seen()).len(), 3);
}

#[test]
fn the_answer_waits_for_acceptance_and_what_is_lost_has_to_be_sent_again() {
    let (intake, address, running) = running("answer_timeout = '50ms'");
    intake.withhold(true);
    let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{}]}]}]}).to_string();
    let (status, head, _) = post(address, "/v1/logs", AS_JSON, body.as_bytes());
    assert!(status == 503 && head.contains("retry-after: 1"), "{head}");
    intake.withhold(false);
    assert_eq!(post(address, "/v1/logs", AS_JSON, body.as_bytes()).0, 200);
    running.stop().unwrap();
}

#[test]
fn a_large_request_is_handed_over_in_portions() {
    let (intake, address, running) = running("");
    let records = vec![json!({"body": {"stringValue": "x".repeat(1000)}}); 2000];
    let body = json!({"resourceLogs": [{"resource": resource(), "scopeLogs": [{"logRecords": records}]}]}).to_string();
    assert_eq!(post(address, "/v1/logs", AS_JSON, body.as_bytes()).0, 200);
    running.stop().unwrap();
    let seen = intake.seen();
    assert!(seen.made.len() > 5 && seen.made.iter().map(|b| b.len()).sum::<usize>() == 2000);
    assert!(shown(&seen).iter().all(|line| line.starts_with("log,0,-1,shop,h1,xxx") && line.ends_with("resource.host.name=h1")));
}

#[test]
fn wrong_requests_are_told_what_was_expected() {
    let (intake, address, running) = running("max_body = '1KiB'\ntoken = 't'");
    let token = "Authorization: Bearer t\r\n";
    let (as_json, as_protobuf) = (format!("{token}{AS_JSON}"), format!("{token}{AS_PROTOBUF}"));
    for (path, head, body, status, text) in [
        ("/v1/logs", AS_JSON, &b"{}"[..], 401, "Bearer"),
        ("/v1/profiles", &as_json, b"{}", 404, "/v1/logs, /v1/metrics or /v1/traces"),
        ("/v1/logs", token, b"{}", 415, "application/x-protobuf or application/json"),
        ("/v1/logs", &as_json, b"{", 400, "expected OTLP in JSON"),
        ("/v1/logs", &as_protobuf, b"\x0a\x05abc", 400, "the message is cut"),
        ("/v1/logs", &as_protobuf, &[0; 2000], 413, "max_body"),
    ] {
        let (found, head, answer) = post(address, path, head, body);
        assert!(found == status && String::from_utf8_lossy(&answer).contains(text), "{head}{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(post(address, "/v1/traces", &as_protobuf, b"").0, 200);
    running.stop().unwrap();
    assert!(intake.seen().made.is_empty());
}

proptest! {
    #[test]
    fn any_bytes_make_messages_or_are_refused(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0..20u8, Just(0x0a), Just(0x12)], 0..60), wrap in 0..3usize) {
        let wrapped = (0..wrap).fold(bytes, |inner, i| {
            let mut writer = Writer::default();
            writer.chunk(if i + 1 == wrap { 1 } else { 2 }, &inner);
            writer.0
        });
        let otlp = Otlp { max_fields: 10 };
        for (_, signal, _) in PATHS {
            let mut records = Records::new(signal, &wrapped);
            let mut out = message::BatchBuilder::default();
            let mut maker = Maker::new(signal, otlp.max_fields);
            while let Ok(Some(record)) = records.read() {
                let _ = maker.make(&record, out.messages());
            }
            let batch = out.finish();
            prop_assert!(batch.iter().all(|m| m.fields().count() <= 10));
        }
    }
}
