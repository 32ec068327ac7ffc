//! The `http` input: accepts records as the bodies of HTTP requests, and answers for them.
//!
//! A `200` says that all who wanted the records of a body accepted them. So a request is open for as long
//! as that takes, and a sender that gets anything else, or nothing, sends the body again.
//!
//! Two threads share the work. [`server`] speaks HTTP and gathers bodies; they wait in a bounded
//! [`queue`] for the input's own thread, which pushes them into one stream and answers each body when
//! the accepted position of that stream has passed its end. While consumers are full, pushing waits, the
//! queue fills, and further senders are told to come back ([`request`]).

mod authentication;
mod json_lines;
pub(crate) mod protocol;
pub(crate) mod queue;
mod request;
mod server;
mod socket;
pub(crate) mod unpack;

use std::collections::VecDeque;
use std::net::TcpListener;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use message::StreamId;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use transport::{SERVER_OPTIONS, ServerTls};

use self::authentication::{Authentication, HMAC_HASH, HMAC_HEADER, HMAC_KEY, PASSWORD, TOKEN, USER};
use self::protocol::Protocol;
use self::queue::{Body, Outcome, Queue, Reply};
use self::server::Server;

/// After a stop, bodies that are not accepted after this long are left to their senders.
const GRACE: Duration = Duration::from_millis(1500);

const OWN: &[Opt] = &[
    Opt::address("listen").required().sample("\"127.0.0.1:5580\"").doc("Address to accept at. Loopback unless others are meant to send."),
    Opt::string("endpoint").sample("\"/logs\"").doc("Path requests must have; others are answered 404. Not given: any."),
    Opt::bool("json").default("false").doc(
        "Bodies are JSON: each element of an array, and each value that is not in one, becomes a line, whatever line breaks are in it. For the splitter `line`; other bodies may go to the splitter `none` whole.",
    ),
];

/// What all inputs of this kind have.
pub(crate) const COMMON: &[Opt] = &[
    TOKEN,
    USER,
    PASSWORD,
    HMAC_KEY,
    HMAC_HEADER,
    HMAC_HASH,
    Opt::size("max_body").default("8MiB").doc(
        "Longer bodies are answered 413. With `Content-Encoding: gzip` or `zstd` it limits what they are sent as and what they become.",
    ),
    Opt::size("max_waiting")
        .default("64MiB")
        .doc("Bytes of bodies that may be arriving or waiting for full consumers; beyond, requests are answered 503."),
    Opt::integer("max_connections").default("1024").doc("Further connections are closed at once and counted as `refused_connections`."),
    Opt::duration("timeout")
        .default("30s")
        .doc("How long the head of a request may take, or an idle connection is kept, and how long a body may take."),
    Opt::duration("answer_timeout")
        .default("30s")
        .doc("How long the records of a body may take to be accepted; then the answer is 503, and they may come twice."),
];

pub const KIND: Kind = Kind::input("http", Stability::Experimental, |o, cx| Ok(Box::new(Http::new(o, cx)?)))
    .summary("Accepts records as bodies of HTTP requests, and answers when they are taken care of.")
    .doc(
        "A body sent with POST or PUT is split and decoded like a file, and its end is the end of its last record. The answer is \
         200 once all who wanted its records accepted them, so that nothing answered with 200 is lost, whatever happens next. \
         After any other answer, or none, the sender has to send again, and records may come twice. 503 with `Retry-After` says \
         that consumers are full or did not accept in time; 4xx that the request is wrong, and why. A sender that asks for \
         `Expect: 100-continue` is told before it sends the body. Requests of one connection are answered in order.\n\n\
         Senders can be asked for a token, for user and password, and for a signature of each body; who has none is answered 401 and \
         counted as `unauthorized_requests`. Bodies may be packed with gzip or zstd. With `tls` connections are encrypted.",
    )
    .options(&transport::joined::<{ OWN.len() + COMMON.len() + SERVER_OPTIONS.len() }>(&[OWN, COMMON, SERVER_OPTIONS]))
    .examples(&[
        Example { title: "Lines", toml: "listen = \"127.0.0.1:5580\"\nsplitter = \"line\"" },
        Example {
            title: "Messages of another router's `http` output",
            toml: "listen = \"127.0.0.1:5580\"\nsplitter = \"heka\"\ndecoder = \"heka\"",
        },
        Example {
            title: "Webhooks: JSON objects or arrays of them, signed",
            toml: "listen = \"127.0.0.1:5580\"\njson = true\ndecoder = \"json\"\nhmac_key = \"the secret\"",
        },
        Example { title: "Every body a message", toml: "listen = \"127.0.0.1:5580\"\nsplitter = \"none\"" },
        Example {
            title: "Encrypted, for all who know the password",
            toml: "listen = \"0.0.0.0:5580\"\ntls = true\ntls_cert = \"/etc/nilometer/server.pem\"\ntls_key = \"/etc/nilometer/server.key\"\n\
                   user = \"sender\"\npassword = \"the secret\"\nsplitter = \"line\"",
        },
    ]);

/// What requests are held to.
struct Settings {
    listen: String,
    endpoint: Option<String>,
    json: bool,
    protocol: Option<Box<dyn Protocol>>,
    authentication: Authentication,
    tls: Option<ServerTls>,
    max_body: usize,
    max_connections: usize,
    timeout: Duration,
    answer_timeout: Duration,
}

pub(crate) struct Http {
    settings: Arc<Settings>,
    queue: Arc<Queue>,
    /// Kept from one run to the next.
    listener: Option<TcpListener>,
}

impl Http {
    fn new(o: &Options, _: &BuildCx) -> Result<Http, Problem> {
        Http::with(o, None)
    }

    /// One that makes something else of requests: with the options [`COMMON`], those of TLS and `listen`.
    ///
    /// # Errors
    /// When one of them cannot be.
    pub(crate) fn with(o: &Options, protocol: Option<Box<dyn Protocol>>) -> Result<Http, Problem> {
        let (max_body, max_waiting, max_connections) = (o.size("max_body"), o.size("max_waiting"), o.integer("max_connections"));
        if !(1..=1_000_000).contains(&max_connections) {
            return Err(o.problem("max_connections", format!("`max_connections` is {max_connections}"), "expected 1 to 1000000"));
        }
        // A body that was sent compressed is held twice for a moment.
        if max_body == 0 || max_waiting / 2 < max_body {
            return Err(o.problem("max_waiting", "`max_waiting` is too small", "expected at least twice `max_body`, and that not 0"));
        }
        let endpoint = if o.declares("endpoint") { o.get_str("endpoint").map(str::to_string) } else { None };
        if endpoint.as_ref().is_some_and(|path| !path.starts_with('/') || path.contains(['?', '#'])) {
            return Err(o.problem("endpoint", "`endpoint` is not a path", "expected something like \"/logs\""));
        }
        let settings = Settings {
            listen: o.str("listen").to_string(),
            endpoint,
            json: o.declares("json") && o.bool("json"),
            protocol,
            authentication: Authentication::new(o)?,
            tls: ServerTls::new(o)?,
            max_body,
            max_connections: max_connections as usize,
            timeout: o.duration("timeout"),
            answer_timeout: o.duration("answer_timeout"),
        };
        Ok(Http { settings: Arc::new(settings), queue: Arc::new(Queue::new(max_waiting)), listener: None })
    }

    /// Binds before it runs, for a test that has to know the port.
    #[cfg(test)]
    pub(crate) fn listen(&mut self) -> Result<std::net::SocketAddr, Fatal> {
        let listener = self.bind()?;
        let address = listener.local_addr().map_err(|e| Fatal::new(e.to_string()))?;
        self.listener = Some(listener);
        Ok(address)
    }

    fn bind(&self) -> Result<TcpListener, Fatal> {
        let listen = &self.settings.listen;
        let listener = TcpListener::bind(listen).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        listener.map_err(|e| Fatal::new(format!("cannot accept at {listen}: {e} (option `listen`)")))
    }
}

impl Input for Http {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let listener = self.listener.take().map_or_else(|| self.bind(), Ok)?;
        if let Some(tls) = &self.settings.tls {
            tls.config(cx.clock.steady()).map_err(|e| Fatal::new(format!("cannot encrypt at {}: {e}", self.settings.listen)))?;
        }
        let server = Server::start(listener, self.settings.clone(), self.queue.clone(), cx.clock.clone());
        let server = server.map_err(|e| Fatal::new(format!("cannot serve at {}: {e}", self.settings.listen)))?;
        let mut pushed = Pushed::new(cx);
        while !cx.stop.asked() {
            pushed.turn(self, Some(cx.stop.fd()), cx);
            if server.has_ended() {
                return Err(Fatal::new(format!("accepting at {} ended", self.settings.listen)));
            }
        }
        server.stop();
        let end = cx.clock.steady() + GRACE;
        while !server.has_ended() {
            if cx.clock.steady() >= end {
                pushed.leave();
                self.queue.take();
            }
            pushed.turn(self, None, cx);
        }
        pushed.leave();
        self.queue.report(cx.meter);
        cx.intake.close(pushed.stream);
        Ok(())
    }

    fn can_wait(&self) -> bool {
        true
    }
}

/// Bodies that were pushed and are not answered yet.
struct Pushed {
    stream: StreamId,
    /// Position of the stream.
    position: u64,
    /// Where each body ends, what to answer once it is accepted, and to whom.
    open: VecDeque<(u64, Outcome, Reply)>,
}

impl Pushed {
    fn new(cx: &mut InputCx<'_>) -> Pushed {
        Pushed { stream: open(cx), position: 0, open: VecDeque::new() }
    }

    /// Pushes what has arrived, answers what was accepted, and waits for more of either or for `stop`.
    fn turn(&mut self, http: &Http, stop: Option<BorrowedFd<'_>>, cx: &mut InputCx<'_>) {
        cx.intake.poll();
        let queue = &http.queue;
        self.push(queue.take(), http.settings.protocol.as_deref(), cx);
        self.answer(cx);
        queue.report(cx.meter);
        let mut fds = vec![PollFd::from_borrowed_fd(queue.arrived(), PollFlags::IN)];
        if !self.open.is_empty() {
            fds.push(PollFd::from_borrowed_fd(cx.intake.progress(), PollFlags::IN));
        }
        fds.extend(stop.map(|stop| PollFd::from_borrowed_fd(stop, PollFlags::IN)));
        let wait = cx.intake.wait();
        // Fails for a signal only, and then there is another turn.
        let _ = poll(&mut fds, Some(&Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() }));
    }

    fn push(&mut self, bodies: VecDeque<Body>, protocol: Option<&dyn Protocol>, cx: &mut InputCx<'_>) {
        if bodies.is_empty() {
            return;
        }
        for Body { bytes, held, reply } in bodies {
            // Whoever was told to send again, does.
            if !reply.is_closed() {
                let (positions, outcome) = match protocol {
                    Some(protocol) => protocol.push(&bytes, self.stream, cx.intake, cx.meter),
                    None => {
                        cx.intake.push(self.stream, &bytes);
                        cx.intake.end_of_stream(self.stream);
                        (bytes.len() as u64, Outcome::Accepted)
                    }
                };
                self.position += positions;
                self.open.push_back((self.position, outcome, reply));
            }
            drop((bytes, held));
        }
        cx.intake.hand_on();
    }

    fn answer(&mut self, cx: &mut InputCx<'_>) {
        if self.open.is_empty() {
            return;
        }
        let accepted = cx.intake.accepted(self.stream);
        while let Some((_, outcome, reply)) = self.open.pop_front_if(|(end, ..)| *end <= accepted.position) {
            let _ = reply.send(outcome);
        }
        if accepted.lost {
            for (.., reply) in self.open.drain(..) {
                let _ = reply.send(Outcome::Lost);
            }
            cx.intake.close(self.stream);
            *self = Pushed::new(cx);
        }
    }

    /// Answers no more: the senders are told so.
    fn leave(&mut self) {
        self.open.clear();
    }
}

/// One stream for all senders: their bodies are whole, and nothing is left of one when the next comes.
fn open(cx: &mut InputCx<'_>) -> StreamId {
    cx.intake.open(StreamOptions { acknowledged: true, ..StreamOptions::default() })
}

#[cfg(test)]
mod tests;
