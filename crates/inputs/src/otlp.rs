//! The `otlp` input: receives logs, metrics and traces of OpenTelemetry over HTTP
//! ([OTLP 1](https://opentelemetry.io/docs/specs/otlp/#otlphttp)), in protobuf or JSON.
//!
//! It is the server of the input `http` with paths and answers of the protocol. A body in JSON becomes one in
//! protobuf ([`json`]); that is walked over where it lies ([`records`]), and messages are made of its
//! records ([`make`]). A request is answered when all who wanted its records accepted them.

mod json;
mod make;
mod records;
mod schema;
mod value;
mod wire;

use hyper::StatusCode;
use hyper::header;
use hyper::http::request::Parts;
use message::StreamId;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Input, Intake, Kind, Meter, Stability};
use transport::SERVER_OPTIONS;

use self::make::Maker;
use self::records::{Records, Signal};
use self::schema::Schema;
use self::wire::Writer;
use crate::http::protocol::{LeftOut, Protocol};
use crate::http::queue::Outcome;
use crate::http::{COMMON, Http};

const OWN: &[Opt] = &[
    Opt::address("listen").required().sample("\"127.0.0.1:4318\"").doc("Address to accept at. Loopback unless others are meant to send."),
    Opt::integer("max_fields")
        .default("1024")
        .doc("A record with more fields, those of its resource included, is left out, and its sender told so."),
];

pub const KIND: Kind = Kind::input("otlp", Stability::Experimental, |o, cx| new(o, cx).map(|http| Box::new(http) as Box<dyn Input>))
    .summary("Receives logs, metrics and traces of OpenTelemetry over HTTP (OTLP).")
    .doc(
        "Requests go to `/v1/logs`, `/v1/metrics` and `/v1/traces`, as protobuf or JSON, packed with gzip or not. Attributes are fields, those \
         of the resource with `resource.` in front of their names; arrays of values of one type have several values, what is nested is JSON text. \
         Logger is the name of the scope or else `service.name`, Hostname is `host.name`.\n\n\
         A log record is a message of Type `log`: its body is the Payload, its severity the Severity of syslog; `trace_id` and `span_id` are hexadecimal \
         digits. A span is one of Type `span` with `name`, `kind`, identities, `start`, `end` and `duration` in nanoseconds, `status`, and \
         `events` as JSON. A point of a metric is one of Type `metric` with `name`, `value` and `kind`: `gauge`, `counter` (a monotonic sum), \
         `histogram` (`value` is the sum, beside it `count`, `bounds` and `buckets`) or `summary` (`quantiles` and `values`); the representation of \
         `kind` is `cumulative` where a value counts from the beginning and not from the last point. Exponential histograms are not understood.\n\n\
         A request is answered 200 once all who wanted its records accepted them, with the count of those that were left out. 400 says that it is \
         malformed, 413 that it is too large, and 503 that it has to be sent again.",
    )
    .options(&transport::joined::<{ OWN.len() + COMMON.len() + SERVER_OPTIONS.len() }>(&[OWN, COMMON, SERVER_OPTIONS]))
    .examples(&[
        Example { title: "SDKs and collectors of this host", toml: "listen = \"127.0.0.1:4318\"" },
        Example {
            title: "Others, encrypted and with a token",
            toml: "listen = \"0.0.0.0:4318\"\ntoken = \"the secret\"\ntls = true\ntls_cert = \"/etc/nilometer/server.pem\"\ntls_key = \"/etc/nilometer/server.key\"",
        },
    ]);

/// Bytes of messages, roughly, that are handed over at a time.
const PORTION: usize = 256 << 10;

fn new(o: &Options, _: &BuildCx) -> Result<Http, Problem> {
    let max_fields = usize::try_from(o.integer("max_fields")).ok().filter(|n| (1..=1_000_000).contains(n));
    let max_fields = max_fields.ok_or_else(|| o.problem("max_fields", "`max_fields` is out of range", "expected 1 to 1000000"))?;
    Http::with(o, Some(Box::new(Otlp { max_fields })))
}

struct Otlp {
    max_fields: usize,
}

/// Paths, what is sent there, and how it is written in JSON.
const PATHS: [(&str, Signal, &Schema); 3] = [
    ("/v1/logs", Signal::Logs, &schema::LOGS),
    ("/v1/metrics", Signal::Metrics, &schema::METRICS),
    ("/v1/traces", Signal::Traces, &schema::TRACES),
];

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Place of the path in [`PATHS`].
fn place(head: &Parts) -> Option<usize> {
    PATHS.iter().position(|(path, ..)| *path == head.uri.path())
}

/// [`PROTOBUF`] or [`JSON`].
fn content_type(head: &Parts) -> Option<&'static str> {
    let text = head.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let name = text.split(';').next()?.trim();
    [PROTOBUF, JSON].into_iter().find(|known| name.eq_ignore_ascii_case(known))
}

impl Protocol for Otlp {
    fn permitted(&self, head: &Parts) -> Result<(), (StatusCode, String)> {
        if place(head).is_none() {
            return Err((StatusCode::NOT_FOUND, "expected the path /v1/logs, /v1/metrics or /v1/traces".to_string()));
        }
        if head.method == hyper::Method::POST && content_type(head).is_none() {
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("expected the Content-Type {PROTOBUF} or {JSON}")));
        }
        Ok(())
    }

    /// Behind it, which signal it is.
    fn prepared(&self, head: &Parts, mut body: Vec<u8>) -> Result<Vec<u8>, String> {
        let place = place(head).unwrap_or_default();
        let (_, signal, schema) = PATHS[place];
        if content_type(head) == Some(JSON) {
            body = json::to_protobuf(&body, schema)?;
        }
        let mut records = Records::new(signal, &body);
        while records.read().map_err(|e| format!("the body is not of OTLP: {e}"))?.is_some() {}
        body.push(place as u8);
        Ok(body)
    }

    fn push(&self, body: &[u8], stream: StreamId, intake: &mut dyn Intake, meter: &Meter) -> (u64, Outcome) {
        let Some((place, body)) = body.split_last() else { return (0, Outcome::Accepted) };
        let (_, signal, _) = PATHS[usize::from(*place) % PATHS.len()];
        let (mut records, mut maker) = (Records::new(signal, body), Maker::new(signal, self.max_fields));
        let (mut positions, mut left_out) = (0, None);
        // What cannot be walked over was refused already.
        let mut next = records.read().ok().flatten();
        while next.is_some() {
            intake.make_at(stream, None, &mut |out| {
                let mut bytes = 0;
                while let (Some(record), true) = (&next, bytes < PORTION) {
                    // What it stored, also of one that is left out: what many share may be large.
                    let before = out.arena_bytes();
                    let made = maker.make(record, out);
                    bytes += 128 + out.arena_bytes() - before;
                    match made {
                        Ok(n) => bytes += n,
                        Err(why) => left_out.get_or_insert(LeftOut { records: 0, expected: why.0 }).records += 1,
                    }
                    next = records.read().ok().flatten();
                }
            });
            positions += 1;
        }
        meter.add_extra("left_out_records", left_out.map_or(0, |l| l.records));
        (positions, left_out.map_or(Outcome::Accepted, Outcome::AcceptedBut))
    }

    fn answer(&self, head: &Parts, left_out: Option<LeftOut>) -> (&'static str, Vec<u8>) {
        const COUNTS: [&str; 3] = ["rejectedLogRecords", "rejectedDataPoints", "rejectedSpans"];
        let text = |l: &LeftOut| format!("expected {}", l.expected);
        if content_type(head) == Some(JSON) {
            let name = COUNTS[place(head).unwrap_or_default()];
            let body = left_out.map_or_else(
                || serde_json::json!({}),
                |l| serde_json::json!({"partialSuccess": {name: l.records.to_string(), "errorMessage": text(&l)}}),
            );
            return (JSON, body.to_string().into_bytes());
        }
        let mut answer = Writer::default();
        if let Some(l) = left_out {
            let mut partial = Writer::default();
            partial.varint(1, l.records);
            partial.chunk(2, text(&l).as_bytes());
            answer.chunk(1, &partial.0);
        }
        (PROTOBUF, answer.0)
    }
}

#[cfg(test)]
mod tests;
