//! Outputs: a verdict for every message, whatever the world does, and a stop is heard.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use message::Batch;
use options::{Node, Raw, Type};
use plugin::{Kind, Verdict};

use super::{Built, Contract, build};
use crate::answering::Answering;
use crate::deliver::{Delivery, payloads};
use crate::garbage;

/// Writes to where the tests themselves write to.
fn is_ours(kind: &Kind) -> bool {
    kind.name == "stdout"
}

fn connects(kind: &Kind) -> bool {
    kind.options.iter().any(|o| o.type_ == Type::Address) || speaks_http(kind)
}

fn speaks_http(kind: &Kind) -> bool {
    kind.options.iter().any(|o| o.name == "url")
}

fn delivery(contract: &Contract, kind: &Kind, toml: &str, address: &str) -> Delivery {
    match contract.build_at(kind, toml, address) {
        Built::Output(output) => Delivery::new(output),
        _ => panic!("{kind:?} builds a plugin of another family"),
    }
}

/// A world that takes everything: a peer for TCP and UDP at one port.
fn peer() -> (TcpListener, UdpSocket, String) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = tcp.local_addr().expect("its address");
        if let Ok(udp) = UdpSocket::bind(address) {
            return (tcp, udp, address.to_string());
        }
    }
}

/// Takes everything from one connection to a socket in the file system, where the kind has one.
fn drain(contract: &Contract, kind: &Kind, toml: &str) {
    let tree = contract.at_home(kind, toml, "");
    let Some(Node { raw: Raw::String(path), .. }) = tree.get("path").filter(|_| kind.name == "unix") else { return };
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).expect("a socket");
    thread::spawn(move || listener.accept().and_then(|(mut connection, _)| io::copy(&mut connection, &mut io::sink())));
}

fn silent(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Retry { why, .. } if why == "the output gave no verdict" || why.is_empty())
}

/// Any messages are delivered to a world that takes them; each has its verdict, an empty batch is
/// nothing special, and closing twice does no harm.
///
/// # Panics
/// When one has none.
pub fn give_a_verdict_on_every_message(contract: &Contract, kind: &'static Kind) {
    if is_ours(kind) {
        return;
    }
    // The peer of these tests acknowledges nothing: what is acknowledged has tests of its own.
    for toml in contract.configurations(kind).into_iter().filter(|toml| !toml.contains("acknowledge = true")) {
        let (tcp, _udp, address) = peer();
        drain(contract, kind, &toml);
        let _answering = speaks_http(kind).then(|| Answering::new(tcp.try_clone().expect("the listener")));
        let mut delivery = delivery(contract, kind, &toml, &address);
        assert_eq!(delivery.write(&payloads([""; 0])), []);
        let batches: [Batch; 2] = [garbage::samples(), payloads((0..2000).map(|i| format!("message {i}")))];
        for batch in batches {
            let verdicts = delivery.write(&batch);
            assert_eq!(verdicts.len(), batch.len());
            assert!(!verdicts.iter().any(silent), "{verdicts:.1000?} in\n{toml}");
            assert!(verdicts.contains(&Verdict::Done), "nothing is delivered: {:?} in\n{toml}", verdicts.first());
            delivery.poll();
        }
        delivery.close();
        delivery.close();
    }
}

/// What the world refuses is retried: it is not the message's fault.
///
/// # Panics
/// When it is not.
pub fn blame_the_world_for_its_faults(contract: &Contract, kind: &'static Kind) {
    // A script has no world but the one it makes itself.
    if is_ours(kind) || kind.options.is_empty() || kind.name == "lua" {
        return;
    }
    // Nobody listens there, and there is a file where the directory should be.
    let (tcp, udp, address) = peer();
    drop((tcp, udp));
    let file = contract.dir.path().join(format!("{}-is-a-file", kind.name));
    fs::write(&file, "").expect("a file");
    let mut tree = contract.at_home(kind, &contract.least(kind, ""), &address);
    for (key, node) in &mut tree.entries {
        if key.name == "dir" {
            node.raw = Raw::String(file.display().to_string());
        }
    }
    let (options, problems) = contract.check(kind, &tree);
    assert!(problems.is_empty(), "{problems:?}");
    let Ok(Built::Output(output)) = build(kind, &options, &contract.cx(kind, &options, false)) else { panic!("{kind:?} does not build") };
    let mut delivery = Delivery::new(output);
    let verdicts = delivery.write(&payloads(["a", "b"]));
    // A datagram to nobody counts as sent.
    let fair = |v: &Verdict| matches!(v, Verdict::Retry { why, .. } if !why.is_empty()) || kind.name == "udp";
    assert!(verdicts.iter().all(fair) && !verdicts.iter().any(silent), "{verdicts:?}");
    delivery.close();
}

/// The connection that comes; `None` when the output returned without one.
fn accept(listener: &TcpListener, returned: &mpsc::Receiver<()>) -> Option<TcpStream> {
    listener.set_nonblocking(true).expect("a listener");
    while returned.recv_timeout(Duration::from_millis(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
        if let Ok((connection, _)) = listener.accept() {
            return Some(connection);
        }
    }
    None
}

/// A stop ends the wait for a peer that takes nothing any more; what was not delivered is kept.
///
/// # Panics
/// When the output does not return.
pub fn honour_a_stop_while_blocked(contract: &Contract, kind: &'static Kind) {
    if is_ours(kind) {
        return;
    }
    for toml in contract.configurations(kind) {
        let (tcp, _udp, address) = peer();
        let mut delivery = delivery(contract, kind, &toml, &address);
        let stop = delivery.stop.clone();
        let blocks = connects(kind) && kind.name != "udp";
        // More than the kernel holds on both sides.
        let batch = payloads((0..64).map(|_| vec![b'x'; 1 << 20]));
        let (returned, left) = mpsc::sync_channel::<()>(1);
        let stopper = thread::spawn(move || {
            let connection = blocks.then(|| accept(&tcp, &left));
            stop.ask();
            // The connection stays open, and nobody reads it.
            let _ = left.recv();
            drop(connection);
        });
        let verdicts = delivery.write(&batch);
        drop(returned);
        stopper.join().expect("the stopper");
        assert!(!verdicts.iter().any(silent), "{verdicts:.1000?}");
        if blocks {
            let delivered = verdicts.iter().take_while(|v| **v == Verdict::Done).count();
            assert!(delivered < verdicts.len(), "the peer has read nothing");
            assert!(verdicts[delivered..].iter().all(|v| matches!(v, Verdict::Retry { .. })), "out of order: {verdicts:.1000?}");
        }
        // Nothing is waited for any more.
        delivery.deliver(&payloads(["late"]), Duration::ZERO);
        delivery.close();
    }
}
