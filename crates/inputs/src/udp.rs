//! The `udp` input: receives datagrams.
//!
//! A datagram is a record (splitter `none`), several (`line`, `heka`), and never a part of one: what
//! is left at its end is a record too. Datagrams are taken from the kernel many at a time.
//!
//! Nothing can make the sender of a datagram wait. What arrives while the kernel's buffer is full is
//! lost; how many were is in the counter `dropped_by_kernel`, and `receive_buffer` is the cure.

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability};

use crate::connections::{PEER_FIELD, peer_field};
use crate::datagrams::{Datagrams, Receiving};

pub const KIND: Kind = Kind::input("udp", Stability::Stable, |o, cx| Ok(Box::new(Udp::new(o, cx)?)))
    .summary("Receives datagrams.")
    .doc(
        "A datagram is one record, or several with a splitter such as `line`; its end always ends a record. Senders cannot be made \
         to wait: what arrives while the kernel's buffer is full is lost and counted as `dropped_by_kernel`.",
    )
    .options(&[
        Opt::address("listen")
            .required()
            .sample("\"127.0.0.1:5514\"")
            .doc("Address to receive at. Loopback unless others are meant to send."),
        Opt::size("receive_buffer").default("4MiB").doc(
            "What the kernel may hold before it drops. It gives at most the sysctl net.core.rmem_max; the log says so when that is less.",
        ),
        Receiving::MAX_DATAGRAM,
        PEER_FIELD,
    ])
    .examples(&[Example { title: "Lines from local programs", toml: "listen = \"127.0.0.1:5514\"\nsplitter = \"line\"" }]);

struct Udp {
    receiving: Receiving,
    receive_buffer: usize,
    max_datagram: usize,
    /// Bound already; by a test that has to know the port.
    socket: Option<Datagrams>,
}

impl Udp {
    fn new(o: &Options, _: &BuildCx) -> Result<Udp, Problem> {
        let receiving = Receiving { name: o.str("listen").to_string(), peer_field: peer_field(o)? };
        Ok(Udp { receiving, receive_buffer: o.size("receive_buffer"), max_datagram: Receiving::max_datagram(o)?, socket: None })
    }

    fn bind(&self) -> Result<Datagrams, Fatal> {
        let listen = &self.receiving.name;
        Datagrams::bind(listen, self.receive_buffer, self.max_datagram)
            .map_err(|e| Fatal::new(format!("cannot receive at {listen}: {e} (option `listen`)")))
    }
}

impl Input for Udp {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let mut socket = self.socket.take().map_or_else(|| self.bind(), Ok)?;
        self.receiving.serve(&mut socket, cx)
    }

    fn can_wait(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};

    use testkit::intake::{RecordingIntake, Running, start};

    use super::*;

    fn udp(toml: &str) -> Udp {
        Udp::new(&testkit::plugins::options(&KIND, toml).unwrap(), &testkit::plugins::build_cx()).unwrap()
    }

    /// One whose port is known.
    fn bound(more: &str) -> (Udp, SocketAddr) {
        let mut udp = udp(&format!("listen = '127.0.0.1:0'\n{more}"));
        let socket = udp.bind().unwrap();
        let address = socket.local_addr().unwrap();
        udp.socket = Some(socket);
        (udp, address)
    }

    fn running(more: &str) -> (RecordingIntake, SocketAddr, UdpSocket, Running) {
        let (udp, address) = bound(more);
        let intake = RecordingIntake::default();
        let running = start(Box::new(udp), &intake);
        (intake, address, UdpSocket::bind("127.0.0.1:0").unwrap(), running)
    }

    #[test]
    fn every_datagram_arrives_once_and_ends_a_record() {
        let (intake, address, sender, running) = running("");
        for i in 0..500 {
            sender.send_to(format!("datagram {i}").as_bytes(), address).unwrap();
        }
        running.wait_for(|seen| seen.streams.first().is_some_and(|s| s.pushed.len() == 500));
        running.stop().unwrap();
        let seen = intake.seen();
        assert_eq!(seen.lines(), (0..500).map(|i| format!("datagram {i}")).collect::<Vec<_>>());
        assert_eq!((seen.streams[0].ends.len(), seen.streams[0].closed), (500, true));
    }

    #[test]
    fn the_largest_datagram_passes_an_empty_one_is_nothing_and_an_oversized_one_is_counted() {
        let (_, address, sender, running) = running("");
        for datagram in [&[b'x'; 65_507][..], b"", b"y"] {
            sender.send_to(datagram, address).unwrap();
        }
        let lengths = |seen: &testkit::intake::Seen| seen.streams.iter().flat_map(|s| &s.pushed).map(Vec::len).collect::<Vec<_>>();
        running.wait_for(|seen| lengths(seen) == [65_507, 1]);
        running.stop().unwrap();

        let (_, address, sender, running) = self::running("max_datagram = '8B'");
        sender.send_to(b"too large", address).unwrap();
        sender.send_to(b"in order", address).unwrap();
        running.wait_for(|seen| seen.bytes() == b"in order");
        running.wait_for(|_| running.meter().read().contains(&("oversized", 1)));
    }

    #[test]
    fn what_had_arrived_before_the_stop_is_taken_and_drops_are_counted() {
        let (udp, address) = bound("receive_buffer = '1B'");
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Nobody reads yet: the smallest buffer the kernel grants overflows.
        for _ in 0..1000 {
            sender.send_to(b"x", address).unwrap();
        }
        let intake = RecordingIntake::default();
        let running = start(Box::new(udp), &intake);
        running.wait_for(|seen| !seen.bytes().is_empty());
        // The kernel tells its count of drops with the next datagram it accepts.
        let total = |bytes: usize, meter: &plugin::Meter| {
            bytes as u64 + meter.read().iter().find(|(name, _)| *name == "dropped_by_kernel").map_or(0, |(_, n)| *n)
        };
        running.wait_for(|seen| {
            if total(seen.bytes().len(), running.meter()) < 1000 {
                sender.send_to(b"", address).unwrap();
            }
            total(seen.bytes().len(), running.meter()) >= 1000
        });
        running.stop().unwrap();
        assert!(intake.seen().bytes().len() < 1000);
    }

    #[test]
    fn datagrams_of_many_senders_say_where_they_came_from() {
        let (intake, address, sender, running) = self::running("peer_field = 'from'");
        let other = UdpSocket::bind("127.0.0.2:0").unwrap();
        for (n, socket) in [&sender, &sender, &other, &sender].into_iter().enumerate() {
            socket.send_to(b"x", address).unwrap();
            running.wait_for(|seen| seen.bytes().len() == n + 1);
            let ip = socket.local_addr().unwrap().ip().to_string();
            assert_eq!(intake.seen().streams[0].options.fields, [("from".to_string(), ip)]);
        }
        let seen = intake.seen();
        assert_eq!((seen.streams.len(), seen.streams[0].attributed.len()), (1, 3));
    }

    #[test]
    fn an_address_in_use_is_fatal_and_names_the_option() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let fatal = udp(&format!("listen = '{}'", taken.local_addr().unwrap())).bind().unwrap_err();
        assert!(fatal.to_string().contains("option `listen`"), "{fatal}");
    }

    #[test]
    fn a_limit_beyond_the_protocol_is_a_problem_of_the_configuration() {
        let problem = testkit::plugins::input(&KIND, "listen = '127.0.0.1:0'\nmax_datagram = '1MiB'").err().unwrap();
        assert_eq!(problem, "test.toml:2:16: `max_datagram` is 1 MiB: expected 1B to 64KiB");
    }
}
