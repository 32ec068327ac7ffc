//! Names and numbers of the messages of OTLP 1, as in
//! [opentelemetry-proto](https://github.com/open-telemetry/opentelemetry-proto); what is not listed is not used here.

/// A message: the name of each field in JSON, its number, and its type.
pub struct Schema(pub &'static [(&'static str, u64, Type)]);

/// How a field is written in JSON.
#[derive(Clone, Copy)]
pub enum Type {
    Text,
    /// Hexadecimal digits.
    Id,
    /// Base64.
    Bytes,
    Bool,
    /// A number or its digits in quotes; as varint.
    Integer,
    /// As varint; the word is `PREFIX_` and one of these, by their numbers.
    Enum(&'static [&'static str]),
    /// As [`Type::Integer`], of 64 bits.
    Fixed64,
    Double,
    Message(&'static Schema),
}

use Type::{Bool, Bytes, Double, Enum, Fixed64, Id, Integer, Message, Text};

static ANY_VALUE: Schema = Schema(&[
    ("stringValue", 1, Text),
    ("boolValue", 2, Bool),
    ("intValue", 3, Integer),
    ("doubleValue", 4, Double),
    ("arrayValue", 5, Message(&ARRAY_VALUE)),
    ("kvlistValue", 6, Message(&KVLIST_VALUE)),
    ("bytesValue", 7, Bytes),
]);
static ARRAY_VALUE: Schema = Schema(&[("values", 1, Message(&ANY_VALUE))]);
static KVLIST_VALUE: Schema = Schema(&[("values", 1, Message(&KEY_VALUE))]);
static KEY_VALUE: Schema = Schema(&[("key", 1, Text), ("value", 2, Message(&ANY_VALUE))]);
static RESOURCE: Schema = Schema(&[("attributes", 1, Message(&KEY_VALUE))]);
static SCOPE: Schema = Schema(&[("name", 1, Text), ("version", 2, Text), ("attributes", 3, Message(&KEY_VALUE))]);

pub static LOGS: Schema = Schema(&[("resourceLogs", 1, Message(&RESOURCE_LOGS))]);
static RESOURCE_LOGS: Schema = Schema(&[("resource", 1, Message(&RESOURCE)), ("scopeLogs", 2, Message(&SCOPE_LOGS))]);
static SCOPE_LOGS: Schema = Schema(&[("scope", 1, Message(&SCOPE)), ("logRecords", 2, Message(&LOG_RECORD))]);
static LOG_RECORD: Schema = Schema(&[
    ("timeUnixNano", 1, Fixed64),
    ("observedTimeUnixNano", 11, Fixed64),
    (
        "severityNumber",
        2,
        Enum(&[
            "SEVERITY_NUMBER_UNSPECIFIED",
            "SEVERITY_NUMBER_TRACE",
            "SEVERITY_NUMBER_TRACE2",
            "SEVERITY_NUMBER_TRACE3",
            "SEVERITY_NUMBER_TRACE4",
            "SEVERITY_NUMBER_DEBUG",
            "SEVERITY_NUMBER_DEBUG2",
            "SEVERITY_NUMBER_DEBUG3",
            "SEVERITY_NUMBER_DEBUG4",
            "SEVERITY_NUMBER_INFO",
            "SEVERITY_NUMBER_INFO2",
            "SEVERITY_NUMBER_INFO3",
            "SEVERITY_NUMBER_INFO4",
            "SEVERITY_NUMBER_WARN",
            "SEVERITY_NUMBER_WARN2",
            "SEVERITY_NUMBER_WARN3",
            "SEVERITY_NUMBER_WARN4",
            "SEVERITY_NUMBER_ERROR",
            "SEVERITY_NUMBER_ERROR2",
            "SEVERITY_NUMBER_ERROR3",
            "SEVERITY_NUMBER_ERROR4",
            "SEVERITY_NUMBER_FATAL",
            "SEVERITY_NUMBER_FATAL2",
            "SEVERITY_NUMBER_FATAL3",
            "SEVERITY_NUMBER_FATAL4",
        ]),
    ),
    ("severityText", 3, Text),
    ("body", 5, Message(&ANY_VALUE)),
    ("attributes", 6, Message(&KEY_VALUE)),
    ("traceId", 9, Id),
    ("spanId", 10, Id),
    ("eventName", 12, Text),
]);

pub static METRICS: Schema = Schema(&[("resourceMetrics", 1, Message(&RESOURCE_METRICS))]);
static RESOURCE_METRICS: Schema = Schema(&[("resource", 1, Message(&RESOURCE)), ("scopeMetrics", 2, Message(&SCOPE_METRICS))]);
static SCOPE_METRICS: Schema = Schema(&[("scope", 1, Message(&SCOPE)), ("metrics", 2, Message(&METRIC))]);
static METRIC: Schema = Schema(&[
    ("name", 1, Text),
    ("unit", 3, Text),
    ("gauge", 5, Message(&NUMBERS)),
    ("sum", 7, Message(&NUMBERS)),
    ("histogram", 9, Message(&HISTOGRAM)),
    ("exponentialHistogram", 10, Message(&NUMBERS)),
    ("summary", 11, Message(&SUMMARY)),
]);
const TEMPORALITY: Type =
    Enum(&["AGGREGATION_TEMPORALITY_UNSPECIFIED", "AGGREGATION_TEMPORALITY_DELTA", "AGGREGATION_TEMPORALITY_CUMULATIVE"]);
static NUMBERS: Schema =
    Schema(&[("dataPoints", 1, Message(&NUMBER_POINT)), ("aggregationTemporality", 2, TEMPORALITY), ("isMonotonic", 3, Bool)]);
static NUMBER_POINT: Schema = Schema(&[
    ("attributes", 7, Message(&KEY_VALUE)),
    ("timeUnixNano", 3, Fixed64),
    ("asDouble", 4, Double),
    ("asInt", 6, Fixed64),
    ("flags", 8, Integer),
]);
static HISTOGRAM: Schema = Schema(&[("dataPoints", 1, Message(&HISTOGRAM_POINT)), ("aggregationTemporality", 2, TEMPORALITY)]);
static HISTOGRAM_POINT: Schema = Schema(&[
    ("attributes", 9, Message(&KEY_VALUE)),
    ("timeUnixNano", 3, Fixed64),
    ("count", 4, Fixed64),
    ("sum", 5, Double),
    ("bucketCounts", 6, Fixed64),
    ("explicitBounds", 7, Double),
    ("flags", 10, Integer),
    ("min", 11, Double),
    ("max", 12, Double),
]);
static SUMMARY: Schema = Schema(&[("dataPoints", 1, Message(&SUMMARY_POINT))]);
static SUMMARY_POINT: Schema = Schema(&[
    ("attributes", 7, Message(&KEY_VALUE)),
    ("timeUnixNano", 3, Fixed64),
    ("count", 4, Fixed64),
    ("sum", 5, Double),
    ("quantileValues", 6, Message(&QUANTILE)),
    ("flags", 8, Integer),
]);
static QUANTILE: Schema = Schema(&[("quantile", 1, Double), ("value", 2, Double)]);

pub static TRACES: Schema = Schema(&[("resourceSpans", 1, Message(&RESOURCE_SPANS))]);
static RESOURCE_SPANS: Schema = Schema(&[("resource", 1, Message(&RESOURCE)), ("scopeSpans", 2, Message(&SCOPE_SPANS))]);
static SCOPE_SPANS: Schema = Schema(&[("scope", 1, Message(&SCOPE)), ("spans", 2, Message(&SPAN))]);
static SPAN: Schema = Schema(&[
    ("traceId", 1, Id),
    ("spanId", 2, Id),
    ("parentSpanId", 4, Id),
    ("name", 5, Text),
    (
        "kind",
        6,
        Enum(&[
            "SPAN_KIND_UNSPECIFIED",
            "SPAN_KIND_INTERNAL",
            "SPAN_KIND_SERVER",
            "SPAN_KIND_CLIENT",
            "SPAN_KIND_PRODUCER",
            "SPAN_KIND_CONSUMER",
        ]),
    ),
    ("startTimeUnixNano", 7, Fixed64),
    ("endTimeUnixNano", 8, Fixed64),
    ("attributes", 9, Message(&KEY_VALUE)),
    ("events", 11, Message(&EVENT)),
    ("status", 15, Message(&STATUS)),
]);
static EVENT: Schema = Schema(&[("timeUnixNano", 1, Fixed64), ("name", 2, Text), ("attributes", 3, Message(&KEY_VALUE))]);
static STATUS: Schema = Schema(&[("message", 2, Text), ("code", 3, Enum(&["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"]))]);
