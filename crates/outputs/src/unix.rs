//! The `unix` output: streams encoded messages to a program of this host.
//!
//! It is `tcp` without a network, to a socket in the file system: a message counts as delivered when the
//! kernel has taken it or, with `acknowledge`, when the receiver says so.

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, Output, Stability};

use crate::peer::Peer;
use crate::tcp::{ACK_TIMEOUT, ACKNOWLEDGE, TIMEOUT, over};

pub const KIND: Kind = Kind::output("unix", Stability::Stable, build)
    .concurrent()
    .summary("Streams encoded messages to a program of this host over a socket in the file system.")
    .doc(
        "Connects when there is something to write, and again after a failure. By default a message counts as delivered when the kernel \
         has taken it. With `acknowledge = true` here and at the receiver, an input `unix`, it does when every consumer there has accepted \
         it, and what is not acknowledged when the connection breaks is sent again.",
    )
    .options(&[
        Opt::path("path").required().sample("\"/run/nilometer/in.sock\"").doc("The file of the socket to connect to."),
        TIMEOUT,
        ACKNOWLEDGE,
        ACK_TIMEOUT,
    ])
    .examples(&[Example { title: "Lines for a program", toml: "match = 'TRUE'\npath = \"/run/program/in.sock\"\nencoder = \"json\"" }]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Output>, Problem> {
    over(Peer::local(o), o)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::thread;

    use plugin::Verdict;
    use testkit::deliver::{Delivery, payloads};

    use super::*;

    fn output(toml: &str) -> Delivery {
        Delivery::new(testkit::plugins::output(&KIND, toml).unwrap())
    }

    #[test]
    fn everything_written_arrives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.sock");
        let mut delivery = output(&format!("path = {path:?}"));
        let verdicts = delivery.write(&payloads(["early"]));
        assert!(matches!(&verdicts[..], [Verdict::Retry { why, .. }] if why.contains("in.sock: No such file")), "{verdicts:?}");

        let listener = UnixListener::bind(&path).unwrap();
        let peer = thread::spawn(move || {
            let mut all = String::new();
            listener.accept().unwrap().0.read_to_string(&mut all).unwrap();
            all
        });
        assert!(delivery.write(&payloads((0..50_000).map(|i| format!("line {i}")))).iter().all(|v| *v == Verdict::Done));
        delivery.close();
        assert_eq!(peer.join().unwrap(), (0..50_000).map(|i| format!("line {i}\n")).collect::<String>());
    }

    #[test]
    fn with_acknowledge_a_message_is_done_when_the_receiver_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let peer = thread::spawn(move || {
            let mut peer = listener.accept().unwrap().0;
            peer.write_all(b"NILOACK1").unwrap();
            peer.read_exact(&mut [0; 4]).unwrap();
            peer.write_all(&4u64.to_be_bytes()).unwrap();
            peer
        });
        let mut delivery = output(&format!("path = {path:?}\nacknowledge = true"));
        assert_eq!(delivery.write(&payloads(["one"])), [Verdict::Later(0)]);
        let peer = peer.join().unwrap();
        delivery.poll();
        assert_eq!(delivery.late, [(0..1, Verdict::Done)]);
        drop(peer);
    }
}
