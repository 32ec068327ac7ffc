//! The `tcp` input: accepts connections and reads a stream from each.
//!
//! Every connection is a stream of its own with its own splitter and decoder (`splitter = "heka"` for
//! another router's `tcp` output). The peer's address is the Hostname of messages that carry none.
//! A peer that is faster than the consumers is made to wait by TCP itself.
//!
//! One thread serves all connections in turns of one read each, so that a loud peer does not silence
//! the others. TCP has no way to tell a peer what was processed: when this host dies, what the
//! peer's kernel had handed over is gone.
//!
//! With `acknowledge` the peer is told: the 8 bytes `NILOACK1` when its connection is accepted, and
//! then, whenever it has grown, the count of bytes of this connection that every consumer accepted
//! (8 bytes, big endian). What it does not know to be accepted it sends again. For that reason the
//! beginning of a record at a connection that breaks is none, and a peer that has closed its side is
//! still answered until everything is accepted.
//!
//! With `tls` a connection is encrypted, and with `proxy_protocol` it begins with a header that says whom
//! a proxy speaks for; what is wrong with either is counted as `failed_handshakes`, and so is a peer
//! that takes more than ten seconds over it.

use std::net::TcpListener;

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability};
use transport::SERVER_OPTIONS;

use crate::connections::{ACKNOWLEDGE, IDLE_TIMEOUT, Listener, MAX_CONNECTIONS, PEER_FIELD, PROXY_PROTOCOL, Serving};

const OWN: &[Opt] = &[
    Opt::address("listen").required().sample("\"127.0.0.1:5565\"").doc("Address to accept at. Loopback unless others are meant to send."),
    MAX_CONNECTIONS,
    IDLE_TIMEOUT,
    ACKNOWLEDGE,
    PROXY_PROTOCOL,
    PEER_FIELD,
];

pub const KIND: Kind = Kind::input("tcp", Stability::Stable, |o, cx| Ok(Box::new(Tcp::new(o, cx)?)))
    .summary("Accepts TCP connections and reads a stream from each.")
    .doc(
        "Every connection has a splitter and decoder of its own; Hostname is the peer's address unless the message says otherwise. \
         Peers are made to wait while consumers are full. What is left when a peer closes is its last record.\n\n\
         With `tls` connections are encrypted, and with `tls_client_ca` only peers with a certificate of that authority may send. A \
         handshake has to be done within 10 seconds; one that fails is counted as `failed_handshakes`.\n\n\
         Without `acknowledge` a peer cannot know what was processed: what it had sent when this host or program dies may be lost. \
         With it, nothing is lost that the peer keeps until its acknowledgement; some of it may come twice.",
    )
    .options(&transport::joined::<{ OWN.len() + SERVER_OPTIONS.len() }>(&[OWN, SERVER_OPTIONS]))
    .examples(&[
        Example { title: "Messages of another router", toml: "listen = \"127.0.0.1:5565\"\nsplitter = \"heka\"\ndecoder = \"heka\"" },
        Example {
            title: "Messages of another router, which keeps them until they are accepted here",
            toml: "listen = \"127.0.0.1:5565\"\nsplitter = \"heka\"\ndecoder = \"heka\"\nacknowledge = true",
        },
        Example { title: "Lines", toml: "listen = \"127.0.0.1:5170\"\nsplitter = \"line\"" },
        Example {
            title: "Encrypted, from senders that show a certificate of ours",
            toml: "listen = \"0.0.0.0:6514\"\ntls = true\ntls_cert = \"/etc/nilometer/server.pem\"\ntls_key = \"/etc/nilometer/server.key\"\n\
                   tls_client_ca = \"/etc/nilometer/clients.pem\"\nsplitter = \"line\"",
        },
        Example {
            title: "Lines through a load balancer",
            toml: "listen = \"10.0.0.7:5170\"\nproxy_protocol = true\npeer_field = \"peer\"\nsplitter = \"line\"",
        },
    ]);

struct Tcp {
    serving: Serving,
    /// Kept from one run to the next.
    listener: Option<TcpListener>,
}

impl Tcp {
    fn new(o: &Options, _: &BuildCx) -> Result<Tcp, Problem> {
        Ok(Tcp { serving: Serving::new(o, o.str("listen"))?, listener: None })
    }

    fn bind(&self) -> Result<TcpListener, Fatal> {
        let listen = &self.serving.name;
        let listener = TcpListener::bind(listen).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        listener.map_err(|e| Fatal::new(format!("cannot accept at {listen}: {e} (option `listen`)")))
    }
}

impl Input for Tcp {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let listener = self.listener.take().map_or_else(|| self.bind(), Ok)?;
        self.serving.serve(&Listener::Tcp(listener), cx)
    }

    fn can_wait(&self) -> bool {
        true
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};

    use plugin::Clock;
    use testkit::intake::{RecordingIntake, Running, Seen, start_at};

    use super::*;

    fn tcp(toml: &str) -> Tcp {
        Tcp::new(&testkit::plugins::options(&KIND, toml).unwrap(), &testkit::plugins::build_cx()).unwrap()
    }

    /// Reads up to 1000 bytes at a time.
    pub(crate) fn running(more: &str, clock: Clock) -> (RecordingIntake, SocketAddr, Running) {
        let mut tcp = tcp(&format!("listen = '127.0.0.1:0'\n{more}"));
        let listener = tcp.bind().unwrap();
        let address = listener.local_addr().unwrap();
        tcp.listener = Some(listener);
        let intake = RecordingIntake::default().with_block(1000);
        let running = start_at(Box::new(tcp), &intake, clock);
        (intake, address, running)
    }

    fn all_closed(seen: &Seen, n: usize) -> bool {
        seen.streams.len() == n && seen.streams.iter().all(|s| s.closed)
    }

    #[test]
    fn many_connections_are_streams_of_their_own() {
        let (intake, address, running) = running("", Clock::real());
        let senders: Vec<_> = (0..20)
            .map(|i| {
                std::thread::spawn(move || {
                    let mut socket = TcpStream::connect(address).unwrap();
                    (0..500).for_each(|n| writeln!(socket, "{i} line {n}").unwrap());
                    write!(socket, "{i} end").unwrap();
                })
            })
            .collect();
        senders.into_iter().for_each(|s| s.join().unwrap());
        running.wait_for(|seen| all_closed(seen, 20));
        running.stop().unwrap();
        for stream in &intake.seen().streams {
            let lines = stream.lines();
            let sender = lines[0].split_once(' ').unwrap().0.to_string();
            let expected = (0..500).map(|n| format!("{sender} line {n}")).chain([format!("{sender} end")]);
            assert_eq!(lines, expected.collect::<Vec<_>>());
            assert_eq!((stream.options.hostname.as_str(), &stream.ends[..]), ("127.0.0.1", &[stream.bytes.len()][..]));
        }
    }

    #[test]
    fn a_connection_beyond_the_limit_is_closed_and_counted() {
        let (_, address, running) = running("max_connections = 1", Clock::real());
        let mut first = TcpStream::connect(address).unwrap();
        running.wait_for(|seen| seen.streams.len() == 1);
        let mut second = TcpStream::connect(address).unwrap();
        assert!(matches!(second.read(&mut [0]), Ok(0) | Err(_)));
        running.wait_for(|_| running.meter().read().contains(&("refused_connections", 1)));

        first.write_all(b"still served\n").unwrap();
        running.wait_for(|seen| seen.bytes() == b"still served\n");
        drop(first);
        running.wait_for(|seen| all_closed(seen, 1));
        TcpStream::connect(address).unwrap().write_all(b"the next\n").unwrap();
        running.wait_for(|seen| all_closed(seen, 2));
    }

    #[test]
    fn an_idle_connection_is_closed() {
        let clock = Clock::standing(0);
        let (_, address, running) = running("idle_timeout = '30s'", clock.clone());
        let mut quiet = TcpStream::connect(address).unwrap();
        running.wait_for(|seen| seen.streams.len() == 1);
        clock.set(20_000_000_000);
        let mut busy = TcpStream::connect(address).unwrap();
        busy.write_all(b"x\n").unwrap();
        running.wait_for(|seen| seen.bytes() == b"x\n");
        clock.set(35_000_000_000);
        running.wait_for(|seen| seen.streams[0].closed && !seen.streams[1].closed);
        assert_eq!(quiet.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn what_had_arrived_before_the_stop_is_taken() {
        let (intake, address, running) = running("", Clock::real());
        let mut peer = TcpStream::connect(address).unwrap();
        running.wait_for(|seen| seen.streams.len() == 1);
        {
            let seen = intake.seen();
            // The input waits for the intake while this is held.
            peer.write_all(&b"line\n".repeat(2000)).unwrap();
            peer.write_all(b"half").unwrap();
            drop(seen);
        }
        running.stop().unwrap();
        let seen = intake.seen();
        assert_eq!((seen.bytes().len(), seen.streams[0].closed, seen.streams[0].ends.len()), (10_004, true, 0));
    }

    #[test]
    fn an_address_in_use_is_fatal_and_names_the_option() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let fatal = tcp(&format!("listen = '{}'", taken.local_addr().unwrap())).bind().unwrap_err();
        assert!(fatal.to_string().contains("option `listen`"), "{fatal}");
    }
}
