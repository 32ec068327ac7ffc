mod headers;
pub mod heka;
pub mod json;
pub mod log_format;
pub mod logfmt;
pub mod none;
pub mod regex;
pub mod statsd;

use plugin::Kind;

pub const KINDS: &[&Kind] = &[&heka::KIND, &json::KIND, &log_format::KIND, &logfmt::KIND, &none::KIND, &regex::KIND, &statsd::KIND];
pub const PRESETS: &[&plugin::Preset] = &[&log_format::NGINX, &log_format::NGINX_MSEC, &log_format::APACHE, &log_format::APACHE_COMMON];
