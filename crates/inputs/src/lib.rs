//! Where messages come from: one file an input.

use plugin::Kind;

mod datagrams;

pub mod http;
pub mod statsd;
pub mod stdin;
pub mod tail;
pub mod tcp;
pub mod udp;

pub const KINDS: &[&Kind] = &[&http::KIND, &stdin::KIND, &statsd::KIND, &tail::KIND, &tcp::KIND, &udp::KIND];
