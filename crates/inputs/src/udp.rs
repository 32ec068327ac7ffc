//! The `udp` input: receives datagrams.
//!
//! A datagram is a record (splitter `none`), several (`line`, `heka`), and never a part of one: what
//! is left at its end is a record too. Datagrams are taken from the kernel many at a time.
//!
//! Nothing can make the sender of a datagram wait. What arrives while the kernel's buffer is full is
//! lost; how many were is in the counter `dropped_by_kernel`, and `receive_buffer` is the cure.

use std::io::IoSliceMut;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use message::StreamId;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt::RxqOvfl};
use options::unit::show_size;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

/// Datagrams taken at a time.
const BATCH: usize = 64;

/// After a stop, so many batches of what has already arrived are still taken.
const LAST_BATCHES: usize = 64;

/// No datagram is larger.
const LARGEST: usize = 64 << 10;

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
        Opt::size("max_datagram").default("64KiB").doc("Larger datagrams are dropped and counted as `oversized`. At most 64KiB."),
    ])
    .examples(&[Example { title: "Lines from local programs", toml: "listen = \"127.0.0.1:5514\"\nsplitter = \"line\"" }]);

struct Udp {
    listen: String,
    receive_buffer: usize,
    max_datagram: usize,
    /// Kept from one run to the next.
    socket: Option<UdpSocket>,
    /// The kernel's count of drops as last seen; it wraps.
    drops: u32,
}

impl Udp {
    fn new(o: &Options, _: &BuildCx) -> Result<Udp, Problem> {
        let max_datagram = o.size("max_datagram");
        if !(1..=LARGEST).contains(&max_datagram) {
            let title = format!("`max_datagram` is {}", show_size(max_datagram as u64));
            return Err(o.problem("max_datagram", title, "expected 1B to 64KiB"));
        }
        Ok(Udp { listen: o.str("listen").to_string(), receive_buffer: o.size("receive_buffer"), max_datagram, socket: None, drops: 0 })
    }

    fn bind(&self) -> Result<UdpSocket, Fatal> {
        let fatal = |e: std::io::Error| Fatal::new(format!("cannot receive at {}: {e} (option `listen`)", self.listen));
        let socket = UdpSocket::bind(&self.listen).map_err(fatal)?;
        socket.set_nonblocking(true).map_err(fatal)?;
        self.enlarge_buffer(&socket);
        if let Err(e) = setsockopt(&socket, RxqOvfl, &1) {
            log::info!("{}: the kernel does not tell how many datagrams it drops: {e}", self.listen);
        }
        Ok(socket)
    }

    fn enlarge_buffer(&self, socket: &UdpSocket) {
        let socket = SockRef::from(socket);
        let result = socket.set_recv_buffer_size(self.receive_buffer).and_then(|()| socket.recv_buffer_size());
        let asked = show_size(self.receive_buffer as u64);
        match result {
            // The kernel doubles what it is asked for, to have room for its own.
            Ok(given) if given / 2 < self.receive_buffer => {
                let given = show_size(given as u64 / 2);
                log::warn!("{}: the kernel gives a buffer of {given}, not {asked}: raise the sysctl net.core.rmem_max", self.listen);
            }
            Ok(_) => log::debug!("{}: buffer of {asked}", self.listen),
            Err(e) => log::warn!("{}: cannot set a buffer of {asked}: {e} (option `receive_buffer`)", self.listen),
        }
    }

    /// Takes up to [`BATCH`] datagrams without waiting; how many there were.
    fn receive(&mut self, socket: &UdpSocket, stream: StreamId, buffer: &mut [u8], cx: &mut InputCx<'_>) -> Result<usize, Fatal> {
        let mut slices: Vec<_> = buffer.chunks_mut(self.max_datagram).map(|chunk| [IoSliceMut::new(chunk)]).collect();
        // Headers are made for each call because the kernel overwrites the sizes in them.
        let mut headers = MultiHeaders::<()>::preallocate(slices.len(), Some(cmsg_space!(u32)));
        let received = match recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(e) => return Err(Fatal::new(format!("receiving at {} failed: {e}", self.listen))),
        };
        let (mut count, mut oversized, mut drops) = (0, 0, self.drops);
        for datagram in received {
            count += 1;
            for cmsg in datagram.cmsgs().into_iter().flatten() {
                if let ControlMessageOwned::RxqOvfl(n) = cmsg {
                    drops = n;
                }
            }
            if datagram.flags.contains(MsgFlags::MSG_TRUNC) {
                oversized += 1;
            } else if let Some(bytes) = datagram.iovs().next() {
                // An empty datagram has no slice and is no record.
                cx.intake.push(stream, bytes);
                cx.intake.end_of_stream(stream);
            }
        }
        cx.meter.add_extra("dropped_by_kernel", drops.wrapping_sub(self.drops).into());
        cx.meter.add_extra("oversized", oversized);
        self.drops = drops;
        Ok(count)
    }

    fn serve(&mut self, socket: &UdpSocket, stream: StreamId, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let mut buffer = vec![0; BATCH * self.max_datagram];
        while !cx.stop.asked() {
            if self.receive(socket, stream, &mut buffer, cx)? < BATCH {
                cx.intake.poll();
                let wait = cx.intake.wait();
                let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
                let mut fds = [PollFd::new(socket, PollFlags::IN), PollFd::from_borrowed_fd(cx.stop.fd(), PollFlags::IN)];
                // When this fails, the next receive says why.
                let _ = poll(&mut fds, Some(&wait));
            } else {
                cx.intake.poll();
            }
        }
        for _ in 0..LAST_BATCHES {
            if self.receive(socket, stream, &mut buffer, cx)? == 0 {
                break;
            }
        }
        Ok(())
    }
}

impl Input for Udp {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.bind()?,
        };
        let stream = cx.intake.open(StreamOptions::default());
        let result = self.serve(&socket, stream, cx);
        cx.intake.close(stream);
        result
    }

    fn can_wait(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use testkit::intake::{RecordingIntake, Running, start};

    use super::*;

    fn udp(toml: &str) -> Udp {
        Udp::new(&testkit::plugins::options(&KIND, toml).unwrap(), &testkit::plugins::build_cx()).unwrap()
    }

    fn running(more: &str) -> (RecordingIntake, SocketAddr, UdpSocket, Running) {
        let mut udp = udp(&format!("listen = '127.0.0.1:0'\n{more}"));
        let socket = udp.bind().unwrap();
        let address = socket.local_addr().unwrap();
        udp.socket = Some(socket);
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
        let mut udp = udp("listen = '127.0.0.1:0'\nreceive_buffer = '1B'");
        let socket = udp.bind().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Nobody reads yet: the smallest buffer the kernel grants overflows.
        for _ in 0..1000 {
            sender.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        }
        let address = socket.local_addr().unwrap();
        udp.socket = Some(socket);
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
