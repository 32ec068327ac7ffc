//! Where messages come from: one file an input.

use plugin::Kind;

mod connections;
mod datagrams;

pub mod docker;
pub mod exec;
pub mod file_poll;
pub mod fluent;
pub mod gelf;
pub mod http;
pub mod http_poll;
pub mod journald;
pub mod kmsg;
pub mod otlp;
pub mod own;
pub mod statsd;
pub mod stdin;
pub mod syslog;
pub mod tail;
pub mod tcp;
pub mod udp;
pub mod unix;

pub const KINDS: &[&Kind] = &[
    &docker::KIND,
    &exec::KIND,
    &file_poll::KIND,
    &fluent::KIND,
    &gelf::KIND,
    &http::KIND,
    &http_poll::KIND,
    &journald::KIND,
    &kmsg::KIND,
    &otlp::KIND,
    &own::KIND,
    &statsd::KIND,
    &stdin::KIND,
    &syslog::KIND,
    &tail::KIND,
    &tcp::KIND,
    &udp::KIND,
    &unix::KIND,
];
