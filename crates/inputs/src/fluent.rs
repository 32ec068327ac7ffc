//! The `fluent` input: receives events of Fluentd, Fluent Bit and the libraries that speak their
//! [forward protocol](https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1).
//!
//! Every mode of the protocol is understood: single events, lists, packed and compressed ones. A message with
//! a `chunk` is answered when all who wanted its events accepted them, so that a sender with
//! `require_ack_response` keeps them until then. One thread serves all connections in turns of one read
//! each; a peer that is faster than the consumers is made to wait by TCP.
//!
//! A message is read where it lies ([`frame`]) and checked as a whole before its first event is
//! taken ([`events`]). Who sends what is no message is disconnected.

mod connection;
mod events;
mod frame;
mod handshake;
mod served;

use std::net::TcpListener;

use msgpack::Flatten;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability};
use transport::SERVER_OPTIONS;

use self::events::Events;
use self::served::Served;
use crate::connections::{IDLE_TIMEOUT, Listener, MAX_CONNECTIONS, PEER_FIELD, Serving};

const OWN: &[Opt] = &[
    Opt::address("listen").required().sample("\"127.0.0.1:24224\"").doc("Address to accept at. Loopback unless others are meant to send."),
    Opt::secret("shared_key").doc("What senders have to know, as their own `shared_key`. Not given: nothing, and there is no handshake."),
    Opt::strings("payload")
        .sample("[\"message\", \"log\", \"msg\"]")
        .doc("Names whose value is the Payload: the first of them that a record has. Default: `[\"message\", \"log\", \"msg\"]`."),
    Opt::string("separator").default(".").doc("What joins the names on the path to a nested member."),
    Opt::integer("max_depth").default("8").doc("Depth to which nested maps are taken apart, 1 to 64; 1 takes none apart."),
    Opt::integer("max_fields").default("1024").doc("An event with more fields than this is left out, and counted as `refused_events`."),
    Opt::size("max_message")
        .default("16MiB")
        .doc("A peer that sends a longer message is disconnected. Also limits what compressed events become."),
    Opt::size("max_buffered")
        .default("64MiB")
        .doc("Bytes of messages that have not arrived in full, of all connections together; the one that goes beyond is closed."),
    MAX_CONNECTIONS,
    IDLE_TIMEOUT,
    PEER_FIELD,
];

pub const KIND: Kind = Kind::input("fluent", Stability::Experimental, |o, cx| Ok(Box::new(Fluent::new(o, cx)?)))
    .summary("Receives events of Fluentd, Fluent Bit and their client libraries (forward protocol).")
    .doc(
        "An event becomes a message of Type `fluent`; its tag is the Logger and the field `tag`, its time the Timestamp, to the nanosecond where \
         the sender tells it. Members of the record become fields, nested ones named by the path to them; the one that `payload` names is the \
         Payload. Hostname is the peer's address.\n\n\
         Events that a sender wants to have acknowledged (`require_ack_response`) are, once every consumer delivered them, set them aside, or \
         they are in the journal: nothing acknowledged is lost, and what is not is sent again and may come twice. Other senders cannot know \
         what was processed.\n\n\
         With a decoder, Payloads are its records and fields of the record are not kept: the transform `parse` keeps them. Users and \
         passwords are not understood; `tls_client_ca` does what they are for. A peer that sends what is not a message is disconnected, and \
         counted as `refused_messages`.",
    )
    .options(&transport::joined::<{ OWN.len() + SERVER_OPTIONS.len() }>(&[OWN, SERVER_OPTIONS]))
    .examples(&[
        Example { title: "Programs of this host, and Docker's log driver `fluentd`", toml: "listen = \"127.0.0.1:24224\"" },
        Example {
            title: "Other hosts, encrypted, that know a key",
            toml: "listen = \"0.0.0.0:24224\"\nshared_key = \"open sesame\"\ntls = true\ntls_cert = \"/etc/nilometer/server.pem\"\n\
                   tls_key = \"/etc/nilometer/server.key\"",
        },
    ]);

struct Fluent {
    serving: Serving,
    shared_key: Option<String>,
    events: Events,
    max_buffered: usize,
    /// Bytes of messages that have not arrived in full.
    buffered: usize,
    /// For one read.
    block: Vec<u8>,
    /// Kept from one run to the next.
    listener: Option<TcpListener>,
}

impl Fluent {
    fn new(o: &Options, _: &BuildCx) -> Result<Fluent, Problem> {
        let within = |name: &str, most: usize| {
            let n = usize::try_from(o.integer(name)).ok().filter(|n| (1..=most).contains(n));
            n.ok_or_else(|| o.problem(name, format!("`{name}` is out of range"), format!("expected 1 to {most}")))
        };
        let (max_message, max_buffered) = (o.size("max_message"), o.size("max_buffered"));
        if !(1024..=1 << 30).contains(&max_message) {
            return Err(o.problem("max_message", "`max_message` is out of range", "expected 1KiB to 1GiB"));
        }
        if max_buffered < max_message {
            return Err(o.problem("max_buffered", "`max_buffered` is too small", "expected at least `max_message`"));
        }
        let shared_key = o.get_str("shared_key").map(str::to_string);
        if shared_key.as_ref().is_some_and(String::is_empty) {
            return Err(o.problem("shared_key", "`shared_key` is empty", "expected a secret, or no such option"));
        }
        let flatten = Flatten::new(o.str("separator"), within("max_depth", 64)?, within("max_fields", 1_000_000)?);
        let default = ["message", "log", "msg"].map(String::from);
        let payload = if o.given("payload") { o.strings("payload") } else { &default };
        Ok(Fluent {
            serving: Serving::new(o, o.str("listen"))?,
            shared_key,
            events: Events::new(flatten, payload, max_message),
            max_buffered,
            buffered: 0,
            block: vec![0; 64 << 10],
            listener: None,
        })
    }

    fn bind(&self) -> Result<TcpListener, Fatal> {
        let listen = &self.serving.name;
        let listener = TcpListener::bind(listen).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        listener.map_err(|e| Fatal::new(format!("cannot accept at {listen}: {e} (option `listen`)")))
    }
}

impl Input for Fluent {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let listener = Listener::Tcp(self.listener.take().map_or_else(|| self.bind(), Ok)?);
        if let Some(tls) = &self.serving.tls {
            tls.config(cx.clock.steady()).map_err(|e| Fatal::new(format!("{}: {e}", self.serving.name)))?;
        }
        self.buffered = 0;
        let mut served = Served::default();
        while !cx.stop.asked() {
            served.turn(self, &listener, cx)?;
        }
        served.finish(self, cx);
        Ok(())
    }

    fn can_wait(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
