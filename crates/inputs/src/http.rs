//! The `http` input: accepts records as the bodies of HTTP requests, and answers for them.
//!
//! A `200` says that all who wanted the records of a body accepted them. So a request is open for as long
//! as that takes, and a sender that gets anything else, or nothing, sends the body again.
//!
//! Two threads share the work. [`server`] speaks HTTP and gathers bodies; they wait in a bounded
//! [`queue`] for the input's own thread, which pushes them into one stream and answers each body when
//! the accepted position of that stream has passed its end. While consumers are full, pushing waits, the
//! queue fills, and further senders are told to come back ([`request`]).

mod queue;
mod request;
mod server;

use std::collections::VecDeque;
use std::net::TcpListener;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use message::StreamId;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::queue::{Body, Outcome, Queue, Reply};
use self::server::Server;

/// After a stop, bodies that are not accepted after this long are left to their senders.
const GRACE: Duration = Duration::from_millis(1500);

pub const KIND: Kind = Kind::input("http", Stability::Experimental, |o, cx| Ok(Box::new(Http::new(o, cx)?)))
    .summary("Accepts records as bodies of HTTP requests, and answers when they are taken care of.")
    .doc(
        "A body sent with POST or PUT is split and decoded like a file, and its end is the end of its last record. The answer is \
         200 once all who wanted its records accepted them, so that nothing answered with 200 is lost, whatever happens next. \
         After any other answer, or none, the sender has to send again, and records may come twice. 503 with `Retry-After` says \
         that consumers are full or did not accept in time; 4xx that the request is wrong, and why. A sender that asks for \
         `Expect: 100-continue` is told before it sends the body. Requests of one connection are answered in order.",
    )
    .options(&[
        Opt::address("listen")
            .required()
            .sample("\"127.0.0.1:5580\"")
            .doc("Address to accept at. Loopback unless others are meant to send: what is sent is not encrypted."),
        Opt::string("endpoint").sample("\"/logs\"").doc("Path requests must have; others are answered 404. Not given: any."),
        Opt::secret("token").doc("What senders must give as `Authorization: Bearer TOKEN`; others are answered 401. Not given: nothing."),
        Opt::size("max_body")
            .default("8MiB")
            .doc("Longer bodies are answered 413. For `Content-Encoding: gzip` it limits what they are sent as and what they become."),
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
    ])
    .examples(&[
        Example { title: "Lines", toml: "listen = \"127.0.0.1:5580\"\nsplitter = \"line\"" },
        Example {
            title: "Messages of another router's `http` output",
            toml: "listen = \"127.0.0.1:5580\"\nsplitter = \"heka\"\ndecoder = \"heka\"",
        },
    ]);

/// What requests are held to.
struct Settings {
    listen: String,
    endpoint: Option<String>,
    token: Option<String>,
    max_body: usize,
    max_connections: usize,
    timeout: Duration,
    answer_timeout: Duration,
}

struct Http {
    settings: Arc<Settings>,
    queue: Arc<Queue>,
    /// Kept from one run to the next.
    listener: Option<TcpListener>,
}

impl Http {
    fn new(o: &Options, _: &BuildCx) -> Result<Http, Problem> {
        let (max_body, max_waiting, max_connections) = (o.size("max_body"), o.size("max_waiting"), o.integer("max_connections"));
        if !(1..=1_000_000).contains(&max_connections) {
            return Err(o.problem("max_connections", format!("`max_connections` is {max_connections}"), "expected 1 to 1000000"));
        }
        // A body that was sent compressed is held twice for a moment.
        if max_body == 0 || max_waiting / 2 < max_body {
            return Err(o.problem("max_waiting", "`max_waiting` is too small", "expected at least twice `max_body`, and that not 0"));
        }
        let endpoint = o.get_str("endpoint").map(str::to_string);
        if endpoint.as_ref().is_some_and(|path| !path.starts_with('/') || path.contains(['?', '#'])) {
            return Err(o.problem("endpoint", "`endpoint` is not a path", "expected something like \"/logs\""));
        }
        let token = o.get_str("token").map(str::to_string);
        if token.as_ref().is_some_and(String::is_empty) {
            return Err(o.problem("token", "`token` is empty", "expected a secret, or no such option"));
        }
        let settings = Settings {
            listen: o.str("listen").to_string(),
            endpoint,
            token,
            max_body,
            max_connections: max_connections as usize,
            timeout: o.duration("timeout"),
            answer_timeout: o.duration("answer_timeout"),
        };
        Ok(Http { settings: Arc::new(settings), queue: Arc::new(Queue::new(max_waiting)), listener: None })
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
        let server = Server::start(listener, self.settings.clone(), self.queue.clone());
        let server = server.map_err(|e| Fatal::new(format!("cannot serve at {}: {e}", self.settings.listen)))?;
        let mut pushed = Pushed::new(cx);
        while !cx.stop.asked() {
            pushed.turn(&self.queue, Some(cx.stop.fd()), cx);
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
            pushed.turn(&self.queue, None, cx);
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
    /// Where each body ends, and who waits for its answer.
    open: VecDeque<(u64, Reply)>,
}

impl Pushed {
    fn new(cx: &mut InputCx<'_>) -> Pushed {
        Pushed { stream: open(cx), position: 0, open: VecDeque::new() }
    }

    /// Pushes what has arrived, answers what was accepted, and waits for more of either or for `stop`.
    fn turn(&mut self, queue: &Queue, stop: Option<BorrowedFd<'_>>, cx: &mut InputCx<'_>) {
        cx.intake.poll();
        self.push(queue.take(), cx);
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

    fn push(&mut self, bodies: VecDeque<Body>, cx: &mut InputCx<'_>) {
        if bodies.is_empty() {
            return;
        }
        for Body { bytes, held, reply } in bodies {
            // Whoever was told to send again, does.
            if !reply.is_closed() {
                cx.intake.push(self.stream, &bytes);
                cx.intake.end_of_stream(self.stream);
                self.position += bytes.len() as u64;
                self.open.push_back((self.position, reply));
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
        while let Some((_, reply)) = self.open.pop_front_if(|(end, _)| *end <= accepted.position) {
            let _ = reply.send(Outcome::Accepted);
        }
        if accepted.lost {
            for (_, reply) in self.open.drain(..) {
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
