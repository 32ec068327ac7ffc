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
//!
//! With `tls` the connection is encrypted. A receiver that refuses our certificate says so only after it
//! was sent something: where certificates are asked for, `acknowledge` is what makes sure of delivery.

mod acknowledged;
#[cfg(test)]
mod encrypted;
mod link;

use std::io::{self, Read, Write};
use std::time::Duration;

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, OutBatch, OutCx, Output, Stability};
use rustix::event::PollFlags;
use transport::{CLIENT_OPTIONS, Stream};

use self::acknowledged::Acknowledged;
use crate::patience::{GRACE, Patience};
use crate::peer::Peer;

pub(crate) const TIMEOUT: Opt = Opt::duration("timeout").default("10s").doc(
    "The connection is given up when the peer takes or acknowledges nothing for this long. With `acknowledge`: when it does \
     not greet within this time; `ack_timeout` says the rest.",
);

pub(crate) const ACKNOWLEDGE: Opt = Opt::bool("acknowledge").default("false").doc(
    "Messages count as delivered when the receiver has said that they are. It must be an input `tcp` or `unix` with `acknowledge = true`.",
);

pub(crate) const ACK_TIMEOUT: Opt = Opt::duration("ack_timeout").default("60s").doc(
    "With `acknowledge`: the connection is given up, and everything outstanding sent again, when nothing is acknowledged for \
     this long. It should be longer than the consumers of the receiver may be stuck: what these have got already, they get again.",
);

const OWN: &[Opt] = &[
    Opt::address("address").required().sample("\"127.0.0.1:5565\"").doc("Listener to connect to."),
    Opt::duration("connect_timeout")
        .default("5s")
        .doc("How long one attempt to connect may take, with the lookup of the name and the handshake of TLS."),
    TIMEOUT,
    ACKNOWLEDGE,
    ACK_TIMEOUT,
];

pub const KIND: Kind = Kind::output("tcp", Stability::Stable, build)
    .concurrent()
    .summary("Streams encoded messages to a TCP listener.")
    .doc(
        "The hop to another router (with the default encoder `heka`), or to anything that takes lines. Connects when there is \
         something to write, and again after a failure.\n\n\
         By default a message counts as delivered when the kernel has taken it: TCP has no acknowledgement of the program at the \
         other end, and what is under way when that dies is lost. With `acknowledge = true` here and at the input `tcp` of the \
         receiver, a message counts as delivered when every consumer there has accepted it. Whatever is not acknowledged when the \
         connection breaks is sent again, in order: nothing is lost, some of it may arrive twice. `unconfirmed` and `queue` bound \
         what may be outstanding.\n\n\
         With `tls` the connection is encrypted and the receiver's certificate checked, against `tls_ca` or the authorities this system \
         trusts. A receiver that refuses the certificate of `tls_cert` tells it only after something was sent, so without `acknowledge` \
         the first messages may be lost.",
    )
    .options(&transport::joined::<{ OWN.len() + CLIENT_OPTIONS.len() }>(&[OWN, CLIENT_OPTIONS]))
    .examples(&[
        Example { title: "Relay everything to another router", toml: "match = 'TRUE'\naddress = \"10.0.0.7:5565\"" },
        Example {
            title: "The same, and keep everything until it is accepted there",
            toml: "match = 'TRUE'\naddress = \"10.0.0.7:5565\"\nacknowledge = true",
        },
        Example {
            title: "Encrypted, with a certificate to show",
            toml: "match = 'TRUE'\naddress = \"logs.example.com:5565\"\nacknowledge = true\ntls = true\ntls_ca = \"/etc/nilometer/ca.pem\"\n\
                   tls_cert = \"/etc/nilometer/client.pem\"\ntls_key = \"/etc/nilometer/client.key\"",
        },
    ]);

/// Bytes of an answer nobody asked for that are read and dropped at a time.
const UNASKED: usize = 4096;

struct Tcp {
    peer: Peer,
    stream: Option<Stream>,
}

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Output>, Problem> {
    over(Peer::remote(o)?, o)
}

/// The output over connections to any peer, from the options `acknowledge` and `ack_timeout`.
///
/// # Errors
/// When there would be no patience.
pub(crate) fn over(peer: Peer, o: &Options) -> Result<Box<dyn Output>, Problem> {
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
        self.stream.take_if(|stream| peer_left(stream).is_err());
    }

    /// Says goodbye and waits for the peer to do so: closing at once could destroy what is in flight.
    fn close(&mut self, cx: &mut OutCx<'_>) {
        let Some(mut stream) = self.stream.take() else { return };
        if stream.shutdown_write().is_ok() {
            let mut patience = Patience::new(cx, GRACE);
            while peer_left(&mut stream).is_ok() && patience.wait(&stream, PollFlags::IN).is_ok() {}
        }
    }

    fn default_encoder(&self) -> &'static str {
        "heka"
    }
}

impl Tcp {
    /// Sends as much as it can; how much the system has taken is returned with the error that ended it.
    fn send(&mut self, bytes: &[u8], cx: &OutCx<'_>) -> (usize, io::Result<()>) {
        self.stream.take_if(|stream| peer_left(stream).is_err());
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => match self.peer.connect(self.peer.timeout, cx) {
                Ok(stream) => self.stream.insert(stream),
                Err(e) => return (0, Err(e)),
            },
        };
        let mut patience = Patience::new(cx, self.peer.timeout);
        let mut sent = 0;
        let result = send_all(stream, bytes, &mut sent, &mut patience);
        (sent.saturating_sub(stream.unsent()), result)
    }
}

fn send_all(stream: &mut Stream, bytes: &[u8], sent: &mut usize, patience: &mut Patience<'_>) -> io::Result<()> {
    while *sent < bytes.len() || stream.unsent() > 0 {
        let result = if *sent < bytes.len() { stream.write(&bytes[*sent..]) } else { stream.flush().map(|()| 0) };
        match result {
            Ok(n) => {
                *sent += n;
                patience.renew();
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => patience.wait(&*stream, PollFlags::OUT)?,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// An error when the peer closed the connection or broke it. Drops a little of what it sent.
fn peer_left(stream: &mut Stream) -> io::Result<()> {
    match stream.read(&mut [0; UNASKED]) {
        Ok(0) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the peer closed the connection")),
        Ok(_) => Ok(()),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
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
