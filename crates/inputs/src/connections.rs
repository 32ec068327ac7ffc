//! Connections that peers open, as inputs share them: accepting, telling who is there, reading in
//! turns, answering, and knowing when to let go.

mod answer;
mod arriving;
mod listener;
mod served;

#[cfg(test)]
mod arrivals;
#[cfg(test)]
mod tests;

use std::time::Duration;

use options::{Opt, Options, Problem};
use plugin::{Fatal, InputCx};
use transport::ServerTls;

pub use self::arriving::Arriving;
pub use self::listener::{Listener, Peer, prepare};
pub use self::served::Served;

pub const MAX_CONNECTIONS: Opt =
    Opt::integer("max_connections").default("1024").doc("Further connections are closed at once and counted as `refused_connections`.");

pub const IDLE_TIMEOUT: Opt = Opt::duration("idle_timeout")
    .default("10m")
    .doc("A connection on which nothing arrives for this long is closed; with `acknowledge`, nor is accepted. `0s`: never.");

pub const ACKNOWLEDGE: Opt = Opt::bool("acknowledge").default("false").doc(
    "Tells peers what was accepted: by every consumer delivered, set aside, or written to the journal. Peers have to understand it, \
     such as the output `tcp` with `acknowledge = true`: they read `NILOACK1`, then counts of accepted bytes \
     (8 bytes each, big endian, from the beginning of the connection).",
);

pub const PROXY_PROTOCOL: Opt = Opt::bool("proxy_protocol").default("false").doc(
    "Connections come from a proxy that begins each with a header of the PROXY protocol, version 1 or 2, as HAProxy, nginx and load \
     balancers do it: the address in it is the peer's. A connection without one is refused, so that nobody else may pretend to be somebody.",
);

pub const PEER_FIELD: Opt = Opt::string("peer_field")
    .sample("\"peer\"")
    .doc("Name of a field that each message gets, with the address it came from, without the port. By default there is none.");

/// How an input serves its connections.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens, for the log.
    pub name: String,
    pub max_connections: usize,
    /// Zero: never.
    pub idle_timeout: Duration,
    pub acknowledge: bool,
    pub tls: Option<ServerTls>,
    pub proxy_protocol: bool,
    pub peer_field: Option<String>,
}

impl Serving {
    /// From the options that the input declares; what it does not declare is not done.
    ///
    /// # Errors
    /// When one of them cannot be.
    pub fn new(o: &Options, name: impl Into<String>) -> Result<Serving, Problem> {
        let max = o.integer("max_connections");
        if !(1..=1_000_000).contains(&max) {
            return Err(o.problem("max_connections", format!("`max_connections` is {max}"), "expected 1 to 1000000"));
        }
        let bool = |name| o.declares(name) && o.bool(name);
        Ok(Serving {
            name: name.into(),
            max_connections: max as usize,
            idle_timeout: o.duration("idle_timeout"),
            acknowledge: bool("acknowledge"),
            tls: if o.declares("tls") { ServerTls::new(o)? } else { None },
            proxy_protocol: bool("proxy_protocol"),
            peer_field: if o.declares("peer_field") { peer_field(o)? } else { None },
        })
    }

    /// Serves connections until a stop is asked for.
    ///
    /// # Errors
    /// When nothing can be accepted any more, or there is no certificate to show.
    pub fn serve(&self, listener: &Listener, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let now = cx.clock.steady();
        if let Some(tls) = &self.tls {
            tls.config(now).map_err(|e| Fatal::new(format!("{}: {e}", self.name)))?;
        }
        let mut served = Served::new(self, now);
        while !cx.stop.asked() {
            served.turn(listener, cx)?;
        }
        served.finish(cx);
        Ok(())
    }
}

/// The option `peer_field`.
///
/// # Errors
/// When it is empty.
pub fn peer_field(o: &Options) -> Result<Option<String>, Problem> {
    match o.get_str("peer_field") {
        Some("") => Err(o.problem("peer_field", "`peer_field` is empty", "expected the name of a field, such as \"peer\"")),
        name => Ok(name.map(str::to_string)),
    }
}
