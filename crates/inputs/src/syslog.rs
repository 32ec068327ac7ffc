//! The `syslog` input: receives syslog messages in every way they are sent, at several addresses at once.
//!
//! Over TCP, TLS and stream sockets of this host, messages are told apart by the splitter `syslog`;
//! over UDP and datagram sockets each datagram is a message. One thread serves all of it, in turns of
//! one read each, so that a loud sender does not silence the others.
//!
//! Not for other routers of this kind: `tcp` with `heka` and `acknowledge` loses nothing on the way.

mod listen;

use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::Duration;

use memchr::memchr2;
use message::StreamId;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Intake, Kind, Stability, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::Type;
use transport::{SERVER_FILES, ServerTls};

use self::listen::Listen;
use crate::connections::{IDLE_TIMEOUT, Listener, MAX_CONNECTIONS, PEER_FIELD, Served, Serving, peer_field};
use crate::datagrams::{Datagrams, Receiving, Taken};
use crate::unix::socket::Bound;

const OWN: &[Opt] = &[
    Opt::strings("listen").required().sample("[\"udp://127.0.0.1:5514\", \"tcp://127.0.0.1:5514\"]").doc(
        "Where to receive: `udp://host:port`, `tcp://host:port`, `tls://host:port` (with `tls_cert` and `tls_key`), `unix:///path` (stream) and \
         `unixgram:///path` (datagrams, such as `unixgram:///dev/log`). Loopback unless others are meant to send.",
    ),
    MAX_CONNECTIONS,
    IDLE_TIMEOUT,
    PEER_FIELD,
    Opt::size("receive_buffer")
        .default("4MiB")
        .doc("What the kernel may hold of each UDP address before it drops. It gives at most the sysctl net.core.rmem_max."),
    Receiving::MAX_DATAGRAM,
    Opt::string("permissions").default("0666").doc("Permissions of sockets in the file system, in octal: who may write to them may send."),
];

pub const KIND: Kind = Kind::input("syslog", Stability::Stable, |o, cx| Ok(Box::new(Syslog::new(o, cx)?)))
    .summary("Receives syslog messages over UDP, TCP, TLS and sockets of this host.")
    .doc(
        "Unless others are named, the splitter `syslog` tells the messages of a stream apart, by their lengths or line ends, and the decoder \
         `syslog` reads RFC 5424 and RFC 3164. The Hostname of a message that has none is the address of its sender, or this host for one that came over a socket in the \
         file system.\n\n\
         Senders over streams are made to wait while consumers are full. Over UDP they cannot be: what arrives while the kernel's buffer is full \
         is lost, and counted as `dropped_by_kernel`. A datagram is one message, also when it has several lines.",
    )
    .reads("syslog", "syslog")
    .options(&transport::joined::<{ OWN.len() + SERVER_FILES.len() }>(&[OWN, SERVER_FILES]))
    .examples(&[
        Example {
            title: "What the network sends",
            toml: "listen = [\"udp://127.0.0.1:5514\", \"tcp://127.0.0.1:5514\"]",
        },
        Example { title: "What programs of this host say", toml: "listen = [\"unixgram:///run/nilometer/log\"]" },
    ]);

/// After a stop, so many batches of datagrams that had arrived are still taken.
const LAST_BATCHES: usize = 64;

/// Longest wait, after which idle connections are looked for.
const PAUSE: Duration = Duration::from_secs(1);

struct Syslog {
    listen: Vec<Listen>,
    /// How the connections of each are served; none for datagrams.
    serving: Vec<Option<Serving>>,
    peer_field: Option<String>,
    receive_buffer: usize,
    max_datagram: usize,
    permissions: u32,
    /// Whether the splitter takes lengths in front of messages.
    counts: bool,
}

impl Syslog {
    fn new(o: &Options, _: &BuildCx) -> Result<Syslog, Problem> {
        let listen = Listen::all(o)?;
        let mut given = SERVER_FILES.iter().map(|file| file.name).filter(|name| o.given(name));
        if let (false, Some(name)) = (listen.iter().any(|l| matches!(l, Listen::Tls(_))), given.next()) {
            return Err(o.problem(name, format!("`{name}` without an address of TLS"), "expected `tls://host:port` in `listen`"));
        }
        let serving = |l: &Listen| match l {
            Listen::Udp(_) | Listen::Unixgram(_) => Ok(None),
            Listen::Tls(_) => Ok(Some(Serving { tls: Some(ServerTls::of_files(o)?), ..Serving::new(o, l.to_string())? })),
            Listen::Tcp(_) | Listen::Unix(_) => Serving::new(o, l.to_string()).map(Some),
        };
        let serving = listen.iter().map(serving).collect::<Result<_, Problem>>()?;
        let text = o.str("permissions");
        let permissions = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777).ok_or_else(|| {
            o.problem("permissions", format!("`permissions` is \"{text}\""), "expected an octal number up to 0777, such as \"0666\"")
        })?;
        Ok(Syslog {
            listen,
            serving,
            peer_field: peer_field(o)?,
            receive_buffer: o.size("receive_buffer"),
            max_datagram: Receiving::max_datagram(o)?,
            permissions,
            counts: !o.declares("splitter") || !o.given("splitter") || o.str("splitter") == "syslog",
        })
    }
}

/// What is open at one address.
enum Open<'a> {
    Datagrams(Box<Local>),
    Stream(Listener, Box<Served<'a>>),
}

/// A socket for datagrams, and the stream that they are pushed to.
struct Local {
    name: String,
    socket: Datagrams,
    stream: StreamId,
    /// Where the last datagram came from.
    from: Option<IpAddr>,
}

impl Syslog {
    /// Opens all addresses. Files of sockets are removed when what comes second goes.
    fn open<'a>(&'a self, cx: &mut InputCx<'_>) -> Result<(Vec<Open<'a>>, Vec<Bound>), Fatal> {
        let (mut all, mut bound) = (Vec::new(), Vec::new());
        for (listen, serving) in self.listen.iter().zip(&self.serving) {
            let opened = match serving {
                Some(serving) => {
                    let listener = self.listener(listen, &mut bound).map_err(|e| listen.failed(&e))?;
                    let now = cx.clock.steady();
                    if let Some(tls) = &serving.tls {
                        tls.config(now).map_err(|e| Fatal::new(format!("{listen}: {e}")))?;
                    }
                    Open::Stream(listener, Box::new(Served::new(serving, now)))
                }
                None => {
                    let socket = self.datagrams(listen, &mut bound).map_err(|e| listen.failed(&e))?;
                    let stream = cx.intake.open(StreamOptions::default());
                    Open::Datagrams(Box::new(Local { name: listen.to_string(), socket, stream, from: None }))
                }
            };
            all.push(opened);
        }
        Ok((all, bound))
    }

    fn listener(&self, listen: &Listen, bound: &mut Vec<Bound>) -> io::Result<Listener> {
        match listen {
            Listen::Unix(path) => {
                let (file, socket) = Bound::new(path, Type::STREAM, self.permissions)?;
                bound.push(file);
                Ok(Listener::Unix(UnixListener::from(socket)))
            }
            other => {
                let listener = TcpListener::bind(other.address())?;
                listener.set_nonblocking(true)?;
                Ok(Listener::Tcp(listener))
            }
        }
    }

    fn datagrams(&self, listen: &Listen, bound: &mut Vec<Bound>) -> io::Result<Datagrams> {
        match listen {
            Listen::Unixgram(path) => {
                let (file, socket) = Bound::new(path, Type::DGRAM, self.permissions)?;
                bound.push(file);
                Ok(Datagrams::local(UnixDatagram::from(socket), self.max_datagram))
            }
            other => Datagrams::bind(other.address(), self.receive_buffer, self.max_datagram),
        }
    }

    /// Takes what has arrived, without waiting.
    fn receive(&self, local: &mut Local, cx: &mut InputCx<'_>) -> Result<Taken, Fatal> {
        let Local { name, socket, stream, from } = local;
        let taken = socket.receive_from(|datagram, ip| {
            if ip != *from {
                *from = ip;
                let host = ip.map_or(String::new(), |ip| ip.to_string());
                let fields: Vec<_> = self.peer_field.iter().filter(|_| ip.is_some()).map(|field| (field.clone(), host.clone())).collect();
                cx.intake.attribute(*stream, &host, &fields);
            }
            self.push(*stream, datagram, cx.intake);
        });
        let taken = taken.map_err(|e| Fatal::new(format!("receiving at {name} failed: {e}")))?;
        cx.meter.add_extra("dropped_by_kernel", taken.dropped.into());
        cx.meter.add_extra("oversized", taken.oversized);
        Ok(taken)
    }

    /// A datagram is one message, also when it has several lines: its length keeps them together.
    fn push(&self, stream: StreamId, datagram: &[u8], intake: &mut dyn Intake) {
        let text = without_end(datagram);
        if text.is_empty() {
            return;
        }
        if self.counts && text.starts_with(b"<") && memchr2(b'\n', 0, text).is_some() {
            intake.push(stream, &[text.len().to_string().as_bytes(), b" ", text].concat());
        } else {
            intake.push(stream, datagram);
        }
        intake.end_of_stream(stream);
    }

    /// Waits until something happens, then reads once from everything that has something.
    fn turn(&self, all: &mut [Open<'_>], cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        cx.intake.poll();
        let (now, mut fds, mut at_once, mut ends) = (cx.clock.steady(), Vec::new(), false, Vec::new());
        for open in all.iter() {
            match open {
                Open::Datagrams(local) => fds.push(PollFd::new(&local.socket, PollFlags::IN)),
                Open::Stream(listener, served) => at_once |= served.watch(listener, now, &mut fds),
            }
            ends.push(fds.len());
        }
        fds.push(PollFd::from_borrowed_fd(cx.stop.fd(), PollFlags::IN));
        let wait = if at_once { Duration::ZERO } else { cx.intake.wait().min(PAUSE) };
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        // Fails for a signal only, and then nothing is ready.
        let ready = poll(&mut fds, Some(&wait)).is_ok();
        let events: Vec<_> = fds.iter().map(|fd| if ready { fd.revents() } else { PollFlags::empty() }).collect();
        drop(fds);
        let mut start = 0;
        for (open, end) in all.iter_mut().zip(ends) {
            let events = &events[start..end];
            start = end;
            match open {
                Open::Datagrams(local) if !events[0].is_empty() => {
                    self.receive(local, cx)?;
                }
                Open::Datagrams(_) => {}
                Open::Stream(listener, served) => served.go_on(listener, events, cx)?,
            }
        }
        Ok(())
    }

    /// Takes what had arrived before the stop.
    fn finish(&self, all: &mut [Open<'_>], cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        for open in all {
            match open {
                Open::Datagrams(local) => {
                    for _ in 0..LAST_BATCHES {
                        if self.receive(local, cx)?.datagrams == 0 {
                            break;
                        }
                    }
                    cx.intake.close(local.stream);
                }
                Open::Stream(_, served) => served.finish(cx),
            }
        }
        Ok(())
    }
}

/// A datagram without line ends and NUL behind it.
fn without_end(mut datagram: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n' | b'\r' | 0] = datagram {
        datagram = rest;
    }
    datagram
}

impl Input for Syslog {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let (mut all, _bound) = self.open(cx)?;
        while !cx.stop.asked() {
            self.turn(&mut all, cx)?;
        }
        self.finish(&mut all, cx)
    }

    /// Only when no sender is one that cannot.
    fn can_wait(&self) -> bool {
        !self.listen.iter().any(|l| matches!(l, Listen::Udp(_)))
    }
}

#[cfg(test)]
mod tests;
