pub mod cef;
pub mod chain;
pub mod cri;
pub mod csv;
pub mod docker_json;
mod event;
mod fields;
pub mod gelf;
pub mod graphite;
pub mod grok;
mod headers;
pub mod heka;
pub mod influx;
pub mod json;
pub mod key_value;
pub mod leef;
pub mod log_format;
pub mod logfmt;
pub mod msgpack;
pub mod none;
pub mod protobuf;
pub mod regex;
mod samples;
mod shape;
pub mod statsd;
pub mod syslog;
mod types;
pub mod xml;

use plugin::Kind;

pub const KINDS: &[&Kind] = &[
    &cri::KIND,
    &docker_json::KIND,
    &cef::KIND,
    &chain::KIND,
    &csv::KIND,
    &gelf::KIND,
    &graphite::KIND,
    &grok::KIND,
    &heka::KIND,
    &influx::KIND,
    &json::KIND,
    &key_value::KIND,
    &leef::KIND,
    &log_format::KIND,
    &logfmt::KIND,
    &msgpack::KIND,
    &none::KIND,
    &protobuf::KIND,
    &regex::KIND,
    &statsd::KIND,
    &xml::KIND,
    &syslog::KIND,
];
pub const PRESETS: &[&plugin::Preset] =
    &[&log_format::NGINX, &log_format::NGINX_MSEC, &log_format::APACHE, &log_format::APACHE_COMMON, &super::splitters::token::NUL];
