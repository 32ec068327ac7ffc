//! The `tcp` output: streams encoded messages to a TCP listener.
//!
//! The relay hop between two routers (`encoder = "heka"`, the default), and for anything that takes
//! lines. TCP itself carries no acknowledgement from the program at the other end: a message counts
//! as delivered once the kernel has taken all of its bytes. What the kernel still held when the peer
//! died is lost; to keep that small, a connection the peer closed is noticed before the next write,
//! and one that acknowledges nothing for `timeout` is broken. After a failure, sending starts again
//! with the first message that was not taken whole, so the peer may see a part of it twice.
//!
//! With `acknowledge` the program at the other end, an input `tcp` with the same option, says what it
//! accepted, and a message counts as delivered only then ([`acknowledged`]). What is not acknowledged
//! when a connection breaks is sent again, in order: nothing is lost, and what was under way may
//! arrive twice.

mod acknowledged;
mod link;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, OutBatch, OutCx, Output, Stability};
use rustix::event::PollFlags;

use self::acknowledged::Acknowledged;
use crate::connect::connect;
use crate::patience::{GRACE, Patience};

pub const KIND: Kind = Kind::output("tcp", Stability::Stable, build)
    .summary("Streams encoded messages to a TCP listener.")
    .doc(
        "The hop to another router (with the default encoder `heka`), or to anything that takes lines. Connects when there is \
         something to write, and again after a failure.\n\n\
         By default a message counts as delivered when the kernel has taken it: TCP has no acknowledgement of the program at the \
         other end, and what is under way when that dies is lost. With `acknowledge = true` here and at the input `tcp` of the \
         receiver, a message counts as delivered when every consumer there has accepted it. Whatever is not acknowledged when the \
         connection breaks is sent again, in order: nothing is lost, some of it may arrive twice. `unconfirmed` and `queue` bound \
         what may be outstanding.",
    )
    .options(&[
        Opt::address("address").required().sample("\"127.0.0.1:5565\"").doc("Listener to connect to."),
        Opt::duration("connect_timeout").default("5s").doc("How long one attempt to connect may take."),
        Opt::duration("timeout").default("10s").doc(
            "The connection is given up when the peer takes or acknowledges nothing for this long. With `acknowledge`: when it does \
             not greet within this time; `ack_timeout` says the rest.",
        ),
        Opt::bool("acknowledge").default("false").doc(
            "Messages count as delivered when the receiver has said that they are. It must be an input `tcp` with `acknowledge = true`.",
        ),
        Opt::duration("ack_timeout").default("60s").doc(
            "With `acknowledge`: the connection is given up, and everything outstanding sent again, when nothing is acknowledged for \
             this long. It should be longer than the consumers of the receiver may be stuck: what these have got already, they get again.",
        ),
    ])
    .examples(&[
        Example { title: "Relay everything to another router", toml: "match = 'TRUE'\naddress = \"10.0.0.7:5565\"" },
        Example {
            title: "The same, and keep everything until it is accepted there",
            toml: "match = 'TRUE'\naddress = \"10.0.0.7:5565\"\nacknowledge = true",
        },
    ]);

/// Bytes of an answer nobody asked for that are read and dropped at a time.
const UNASKED: usize = 4096;

/// Whom to send to, and how long to wait for it.
struct Peer {
    address: String,
    connect_timeout: Duration,
    timeout: Duration,
}

struct Tcp {
    peer: Peer,
    stream: Option<TcpStream>,
}

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Output>, Problem> {
    let peer =
        Peer { address: o.str("address").to_string(), connect_timeout: o.duration("connect_timeout"), timeout: o.duration("timeout") };
    if !o.bool("acknowledge") {
        return Ok(Box::new(Tcp { peer, stream: None }));
    }
    let ack_timeout = o.duration("ack_timeout");
    if ack_timeout.is_zero() {
        return Err(o.problem("ack_timeout", "`ack_timeout` is zero", "expected how long to wait for an acknowledgement, such as \"60s\""));
    }
    Ok(Box::new(Acknowledged::new(peer, ack_timeout)))
}

impl Output for Tcp {
    fn write(&mut self, batch: &OutBatch<'_>, cx: &mut OutCx<'_>) {
        let (sent, result) = self.send(batch.bytes(), cx);
        if let Err(e) = result {
            let done = batch.within(sent);
            self.stream = None;
            cx.done(0..done);
            cx.retry(done..batch.len(), None, format!("{}: {e}", self.peer.address));
        } else {
            cx.done(0..batch.len());
        }
    }

    fn every(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    /// Notices a peer that left while there was nothing to write.
    fn poll(&mut self, _: &mut OutCx<'_>) {
        self.stream.take_if(|s| peer_left(s).is_err());
    }

    /// Says goodbye and waits for the peer to do so: closing at once could destroy what is in flight.
    fn close(&mut self, cx: &mut OutCx<'_>) {
        let Some(stream) = self.stream.take() else { return };
        if stream.shutdown(Shutdown::Write).is_ok() {
            let mut patience = Patience::new(cx, GRACE);
            while peer_left(&stream).is_ok() && patience.wait(&stream, PollFlags::IN).is_ok() {}
        }
    }

    fn default_encoder(&self) -> &'static str {
        "heka"
    }
}

impl Tcp {
    /// Sends as much as it can; how much is returned with the error that ended it.
    fn send(&mut self, bytes: &[u8], cx: &OutCx<'_>) -> (usize, io::Result<()>) {
        self.stream.take_if(|s| peer_left(s).is_err());
        let Peer { address, connect_timeout, timeout } = &self.peer;
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => match connect(address, *timeout, &mut Patience::new(cx, *connect_timeout)) {
                Ok(stream) => self.stream.insert(stream),
                Err(e) => return (0, Err(e)),
            },
        };
        let mut patience = Patience::new(cx, *timeout);
        let mut sent = 0;
        while sent < bytes.len() {
            match stream.write(&bytes[sent..]) {
                Ok(n) => {
                    sent += n;
                    patience.renew();
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(e) = patience.wait(&*stream, PollFlags::OUT) {
                        return (sent, Err(e));
                    }
                }
                Err(e) => return (sent, Err(e)),
            }
        }
        (sent, Ok(()))
    }
}

/// An error when the peer closed the connection or broke it. Drops a little of what it sent.
fn peer_left(mut stream: &TcpStream) -> io::Result<()> {
    match stream.read(&mut [0; UNASKED]) {
        Ok(0) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the peer closed the connection")),
        Ok(_) => Ok(()),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use plugin::Verdict;
    use testkit::deliver::{Delivery, payloads};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    fn output(listener: &TcpListener, more: &str) -> Delivery {
        let toml = format!("address = '{}'\n{more}", listener.local_addr().unwrap());
        Delivery::new(testkit::plugins::output(&KIND, &toml).unwrap())
    }

    fn read_all(mut stream: TcpStream) -> String {
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        all
    }

    #[test]
    fn everything_written_arrives_before_close_returns() {
        let listener = listener();
        let mut delivery = output(&listener, "");
        let peer = thread::spawn(move || read_all(listener.accept().unwrap().0));
        let batch = payloads((0..50_000).map(|i| format!("line {i}")));
        assert!(delivery.write(&batch).iter().all(|v| *v == Verdict::Done));
        delivery.close();
        assert_eq!(peer.join().unwrap(), (0..50_000).map(|i| format!("line {i}\n")).collect::<String>());
    }

    #[test]
    fn a_peer_that_went_away_is_noticed_before_the_next_write() {
        let listener = listener();
        let mut delivery = output(&listener, "");
        let peer = thread::spawn(move || {
            let (mut first, _) = listener.accept().unwrap();
            let mut line = [0; 4];
            first.read_exact(&mut line).unwrap();
            drop(first);
            (line, listener)
        });
        assert_eq!(delivery.write(&payloads(["one"])), [Verdict::Done]);
        let (line, listener) = peer.join().unwrap();
        assert_eq!(&line, b"one\n");

        let peer = thread::spawn(move || read_all(listener.accept().unwrap().0));
        assert_eq!(delivery.deliver(&payloads(["two"]), PATIENCE), [Verdict::Done]);
        delivery.close();
        assert_eq!(peer.join().unwrap(), "two\n");
    }

    #[test]
    fn after_a_partial_write_only_what_was_taken_whole_is_done() {
        let listener = listener();
        let mut delivery = output(&listener, "timeout = '50ms'");
        let batch = payloads([vec![b'a'; 10], vec![b'b'; 64 << 20]]);
        let verdicts = delivery.write(&batch);
        assert_eq!(verdicts[0], Verdict::Done);
        let Verdict::Retry { why, .. } = &verdicts[1] else { panic!("{verdicts:?}") };
        assert!(why.contains("nothing moved for 50ms"), "{why}");
    }

    #[test]
    fn nobody_listening_is_a_retry_that_names_the_address() {
        let listener = listener();
        let mut delivery = output(&listener, "");
        let address = listener.local_addr().unwrap();
        drop(listener);
        let verdicts = delivery.write(&payloads(["a", "b"]));
        assert!(verdicts.iter().all(|v| matches!(v, Verdict::Retry { why, .. } if why.starts_with(&address.to_string()))));
    }

    #[test]
    fn a_stop_ends_the_wait_for_a_stuck_peer() {
        let listener = listener();
        let mut delivery = output(&listener, "timeout = '1h'");
        delivery.stop.ask();
        let verdicts = delivery.write(&payloads([vec![b'x'; 64 << 20]]));
        assert!(matches!(&verdicts[0], Verdict::Retry { why, .. } if why.contains("stopped while waiting")));
    }
}
