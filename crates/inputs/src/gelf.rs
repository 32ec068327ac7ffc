//! The `gelf` input: receives messages of Graylog's format over UDP and TCP.
//!
//! A datagram is a message, or one of up to 128 chunks of it that are put together within five seconds;
//! either may be compressed with gzip or zlib. Over TCP messages end in a NUL byte and are not compressed. One
//! thread serves both.
//!
//! Nothing can make the sender of a datagram wait, and a message of which one chunk is lost is lost.

mod chunks;
mod inflate;

use std::net::{IpAddr, TcpListener};
use std::time::Duration;

use message::StreamId;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use transport::SERVER_OPTIONS;

use self::chunks::{Chunks, Datagram};
use self::inflate::inflate;
use crate::connections::{IDLE_TIMEOUT, Listener, MAX_CONNECTIONS, PEER_FIELD, Served, Serving};
use crate::datagrams::{Datagrams, LARGEST, Taken};

const OWN: &[Opt] = &[
    Opt::address("listen")
        .required()
        .sample("\"127.0.0.1:12201\"")
        .doc("Address to receive at, by both protocols. Loopback unless others are meant to send."),
    Opt::strings("protocols").sample("[\"udp\"]").doc("By which protocols. Default: `[\"udp\", \"tcp\"]`."),
    Opt::size("receive_buffer")
        .default("4MiB")
        .doc("What the kernel may hold of datagrams before it drops. It gives at most the sysctl net.core.rmem_max."),
    Opt::size("max_message").default("2MiB").doc("A message over UDP that becomes larger is dropped, and counted as `refused_datagrams`."),
    Opt::integer("max_chunked")
        .default("1024")
        .doc("Messages that may be incomplete at a time; the oldest gives way, and is counted as `incomplete_messages`."),
    Opt::size("max_chunked_bytes").default("32MiB").doc("Bytes that may be kept of incomplete messages; the oldest give way."),
    MAX_CONNECTIONS,
    IDLE_TIMEOUT,
    PEER_FIELD,
];

pub const KIND: Kind = Kind::input("gelf", Stability::Experimental, |o, cx| Ok(Box::new(Gelf::new(o, cx)?)))
    .summary("Receives messages of Graylog (GELF) over UDP and TCP.")
    .doc(
        "`decoder = \"gelf\"` reads the messages, and `splitter = \"nul\"` tells those of a TCP connection apart. Messages that came in chunks are put \
         together; one that is not complete after five seconds is dropped, and counted as `incomplete_messages`. Compressed ones are \
         decompressed, up to `max_message`.\n\n\
         Senders over TCP are made to wait while consumers are full, and `tls` encrypts. Over UDP they cannot be: what arrives while the kernel's buffer \
         is full is lost, and counted as `dropped_by_kernel`.",
    )
    .options(&transport::joined::<{ OWN.len() + SERVER_OPTIONS.len() }>(&[OWN, SERVER_OPTIONS]))
    .examples(&[
        Example { title: "Both protocols", toml: "listen = \"127.0.0.1:12201\"\nsplitter = \"nul\"\ndecoder = \"gelf\"" },
        Example { title: "Docker's log driver `gelf`", toml: "listen = \"127.0.0.1:12201\"\nprotocols = \"udp\"\nsplitter = \"nul\"\ndecoder = \"gelf\"" },
    ]);

/// After a stop, so many batches of datagrams that had arrived are still taken.
const LAST_BATCHES: usize = 64;

/// Longest wait, after which idle connections and late chunks are looked for.
const PAUSE: Duration = Duration::from_secs(1);

struct Gelf {
    listen: String,
    udp: bool,
    tcp: bool,
    receive_buffer: usize,
    max_message: usize,
    max_chunked: usize,
    max_chunked_bytes: usize,
    serving: Serving,
    /// Kept from one run to the next.
    sockets: Option<Sockets>,
}

struct Sockets {
    udp: Option<Datagrams>,
    tcp: Option<Listener>,
}

/// What arrives by datagrams.
struct Local<'a> {
    gelf: &'a Gelf,
    socket: Datagrams,
    stream: StreamId,
    chunks: Chunks,
    /// Where the last message came from.
    from: Option<IpAddr>,
}

impl Gelf {
    fn new(o: &Options, _: &BuildCx) -> Result<Gelf, Problem> {
        let protocol = |name: &str| !o.given("protocols") || o.strings("protocols").iter().any(|p| p == name);
        let (udp, tcp) = (protocol("udp"), protocol("tcp"));
        let is_known = |p: &String| matches!(&p[..], "udp" | "tcp");
        if !(udp || tcp) || !o.strings("protocols").iter().all(is_known) {
            return Err(o.problem("protocols", "`protocols` are not those of GELF", "expected \"udp\", \"tcp\" or both"));
        }
        let limit = |name: &str, n: usize, most: usize, label: &str| match n {
            n if (1..=most).contains(&n) => Ok(n),
            _ => Err(o.problem(name, format!("`{name}` is out of range"), label)),
        };
        Ok(Gelf {
            listen: o.str("listen").to_string(),
            udp,
            tcp,
            receive_buffer: o.size("receive_buffer"),
            max_message: limit("max_message", o.size("max_message"), 1 << 30, "expected 1B to 1GiB")?,
            max_chunked: limit("max_chunked", o.integer("max_chunked").max(0) as usize, 1_000_000, "expected 1 to 1000000")?,
            max_chunked_bytes: limit("max_chunked_bytes", o.size("max_chunked_bytes"), 16 << 30, "expected 1B to 16GiB")?,
            serving: Serving::new(o, o.str("listen"))?,
            sockets: None,
        })
    }

    fn bind(&self) -> Result<Sockets, Fatal> {
        let fatal = |protocol: &str, e| Fatal::new(format!("cannot receive at {} by {protocol}: {e} (option `listen`)", self.listen));
        let bind = || Datagrams::bind(&self.listen, self.receive_buffer, LARGEST);
        let udp = self.udp.then(bind).transpose().map_err(|e| fatal("udp", e))?;
        // Port 0 is any free one: both protocols get the same.
        let address = udp.as_ref().and_then(|udp| udp.local_addr().ok()).map_or(self.listen.clone(), |a| a.to_string());
        let listener = || TcpListener::bind(&address).and_then(|l| l.set_nonblocking(true).map(|()| Listener::Tcp(l)));
        let tcp = self.tcp.then(listener).transpose().map_err(|e| fatal("tcp", e))?;
        Ok(Sockets { udp, tcp })
    }

    fn serve(&self, sockets: Sockets, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let now = cx.clock.steady();
        if let (Some(tls), true) = (&self.serving.tls, self.tcp) {
            tls.config(now).map_err(|e| Fatal::new(format!("{}: {e}", self.listen)))?;
        }
        let mut local = sockets.udp.map(|socket| Local {
            gelf: self,
            socket,
            stream: cx.intake.open(StreamOptions::default()),
            chunks: Chunks::new(self.max_chunked, self.max_chunked_bytes),
            from: None,
        });
        let mut served = sockets.tcp.map(|listener| (listener, Served::new(&self.serving, now)));
        while !cx.stop.asked() {
            turn(&mut local, &mut served, cx)?;
        }
        if let Some(local) = &mut local {
            for _ in 0..LAST_BATCHES {
                if local.receive(cx)?.datagrams == 0 {
                    break;
                }
            }
            cx.intake.close(local.stream);
        }
        if let Some((_, served)) = &mut served {
            served.finish(cx);
        }
        Ok(())
    }
}

/// Waits until something happens, then reads once from everything that has something.
fn turn(local: &mut Option<Local<'_>>, served: &mut Option<(Listener, Served<'_>)>, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
    cx.intake.poll();
    let (now, mut fds, mut at_once) = (cx.clock.steady(), Vec::new(), false);
    fds.extend(local.as_ref().map(|local| PollFd::new(&local.socket, PollFlags::IN)));
    let first = fds.len();
    if let Some((listener, served)) = served {
        at_once = served.watch(listener, now, &mut fds);
    }
    let end = fds.len();
    fds.push(PollFd::from_borrowed_fd(cx.stop.fd(), PollFlags::IN));
    let wait = if at_once { Duration::ZERO } else { cx.intake.wait().min(PAUSE) };
    // Fails for a signal only, and then nothing is ready.
    let ready = poll(&mut fds, Some(&Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() })).is_ok();
    let events: Vec<_> = fds.iter().map(|fd| if ready { fd.revents() } else { PollFlags::empty() }).collect();
    drop(fds);
    if let Some(local) = local {
        if !events[0].is_empty() {
            local.receive(cx)?;
        }
        local.chunks.expire(cx.clock.steady());
        cx.meter.add_extra("incomplete_messages", local.chunks.lost());
    }
    match served {
        Some((listener, served)) => served.go_on(listener, &events[first..end], cx),
        None => Ok(()),
    }
}

impl Local<'_> {
    /// Takes what has arrived, without waiting.
    fn receive(&mut self, cx: &mut InputCx<'_>) -> Result<Taken, Fatal> {
        let Local { gelf, socket, stream, chunks, from } = self;
        let (now, mut refused) = (cx.clock.steady(), 0);
        let taken = socket.receive_from(|datagram, ip| {
            let complete;
            let message: &[u8] = match chunks.take(datagram, ip, now) {
                Datagram::Whole(message) => message,
                Datagram::Complete(message) => {
                    complete = message;
                    &complete
                }
                Datagram::Part => return,
                Datagram::Wrong => {
                    refused += 1;
                    return;
                }
            };
            match inflate(message, gelf.max_message) {
                Some(message) if !message.is_empty() => {
                    if ip != *from {
                        *from = ip;
                        let host = ip.map_or(String::new(), |ip| ip.to_string());
                        let field = gelf.serving.peer_field.iter().filter(|_| ip.is_some()).map(|field| (field.clone(), host.clone()));
                        cx.intake.attribute(*stream, &host, &field.collect::<Vec<_>>());
                    }
                    cx.intake.push(*stream, &message);
                    cx.intake.end_of_stream(*stream);
                }
                // An empty datagram is no message.
                Some(_) => {}
                None => refused += 1,
            }
        });
        let taken = taken.map_err(|e| Fatal::new(format!("receiving at {} failed: {e}", gelf.listen)))?;
        cx.meter.add_extra("dropped_by_kernel", taken.dropped.into());
        cx.meter.add_extra("refused_datagrams", refused + taken.oversized);
        cx.meter.add_extra("incomplete_messages", chunks.lost());
        Ok(taken)
    }
}

impl Input for Gelf {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let sockets = self.sockets.take().map_or_else(|| self.bind(), Ok)?;
        self.serve(sockets, cx)
    }

    /// Only without datagrams.
    fn can_wait(&self) -> bool {
        !self.udp
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{SocketAddr, TcpStream, UdpSocket};

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use plugin::Clock;
    use testkit::intake::{RecordingIntake, Running, start_at};

    use super::chunks::cut;
    use super::*;

    fn running(more: &str, clock: Clock) -> (RecordingIntake, SocketAddr, Running) {
        let toml = format!("listen = '127.0.0.1:0'\n{more}");
        let mut gelf = Gelf::new(&testkit::plugins::options(&KIND, &toml).unwrap(), &testkit::plugins::build_cx()).unwrap();
        let sockets = gelf.bind().unwrap();
        let address = sockets.udp.as_ref().unwrap().local_addr().unwrap();
        gelf.sockets = Some(sockets);
        let intake = RecordingIntake::default();
        let running = start_at(Box::new(gelf), &intake, clock);
        (intake, address, running)
    }

    const MESSAGE: &[u8] = br#"{"version":"1.1","host":"h","short_message":"a rather long message that is cut into many pieces"}"#;

    #[test]
    fn datagrams_chunks_and_compressed_ones_become_whole_messages() {
        let (intake, address, running) = running("peer_field = 'peer'", Clock::real());
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(MESSAGE).unwrap();
        let packed = zlib.finish().unwrap();
        let mut shuffled = cut(&packed, 7, 10);
        shuffled.reverse();
        for datagram in [vec![MESSAGE.to_vec()], cut(MESSAGE, 1, 10), vec![packed], shuffled, vec![Vec::new()]].concat() {
            sender.send_to(&datagram, address).unwrap();
        }
        let whole = |seen: &testkit::intake::Seen| seen.streams.first().map_or(0, |s| s.pushed.len());
        running.wait_for(|seen| whole(seen) == 4);
        running.stop().unwrap();
        let seen = intake.seen();
        assert!(seen.streams[0].pushed.iter().all(|m| m == MESSAGE) && seen.streams[0].ends.len() == 4);
        assert_eq!(seen.streams[0].options.fields, [("peer".to_string(), "127.0.0.1".to_string())]);
    }

    #[test]
    fn tcp_is_read_beside() {
        let (intake, address, running) = running("", Clock::real());
        TcpStream::connect(address).unwrap().write_all(&[MESSAGE, b"\0", MESSAGE, b"\0"].concat()).unwrap();
        running.wait_for(|seen| seen.streams.len() == 2 && seen.streams[1].closed);
        running.stop().unwrap();
        assert_eq!(intake.seen().streams[1].bytes, [MESSAGE, b"\0", MESSAGE, b"\0"].concat());
    }

    #[test]
    fn what_is_late_damaged_or_too_large_is_counted() {
        let clock = Clock::standing(0);
        let (intake, address, running) = running("max_message = '50B'\nprotocols = 'udp'", clock.clone());
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let count = |name, n| running.meter().read().contains(&(name, n));
        for wrong in [MESSAGE, b"\x1e\x0f1", b"\x1f\x8bdamaged"] {
            sender.send_to(wrong, address).unwrap();
        }
        running.wait_for(|_| count("refused_datagrams", 3));
        sender.send_to(&cut(MESSAGE, 1, 60)[0], address).unwrap();
        sender.send_to(b"{}", address).unwrap();
        running.wait_for(|seen| seen.bytes() == b"{}");
        clock.set(6_000_000_000);
        running.wait_for(|_| count("incomplete_messages", 1));
        running.stop().unwrap();
        assert_eq!(intake.seen().bytes(), b"{}");
    }

    #[test]
    fn limits_that_are_none_are_problems_of_the_configuration() {
        for toml in ["protocols = 'sctp'", "protocols = []", "max_chunked = 0", "max_message = '0B'"] {
            assert!(testkit::plugins::input(&KIND, &format!("listen = '127.0.0.1:0'\n{toml}")).is_err(), "{toml}");
        }
    }
}
