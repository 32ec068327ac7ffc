//! The output over TLS.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use plugin::Verdict;
use tempfile::TempDir;
use testkit::certificates::{Authority, Identity};
use testkit::deliver::{Delivery, payloads};
use testkit::plugins::options_of;
use transport::{SERVER_OPTIONS, ServerTls, Stream};

use super::KIND;

const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    dir: TempDir,
    listener: TcpListener,
    server: Identity,
    client: Identity,
}

fn files(Identity { cert, key }: &Identity) -> String {
    format!("tls_cert = {cert:?}\ntls_key = {key:?}\n")
}

impl World {
    fn new() -> World {
        let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        authority.write(dir.path());
        let (server, client) = (authority.issue(dir.path(), "server"), authority.issue(dir.path(), "client"));
        World { dir, listener: TcpListener::bind("127.0.0.1:0").unwrap(), server, client }
    }

    fn ca(&self) -> String {
        format!("{:?}", self.dir.path().join("ca.pem"))
    }

    fn output(&self, more: &str) -> Delivery {
        let toml = format!("address = '{}'\ntls = true\ntls_ca = {}\n{more}", self.listener.local_addr().unwrap(), self.ca());
        Delivery::new(testkit::plugins::output(&KIND, &toml).unwrap())
    }

    /// Accepts one connection, over a socket that blocks, and does something with it.
    fn serve<R: Send + 'static>(&self, more: &str, then: impl FnOnce(io::Result<Stream>) -> R + Send + 'static) -> JoinHandle<R> {
        let options = options_of(SERVER_OPTIONS, &format!("tls = true\n{}{more}", files(&self.server))).unwrap();
        let (tls, listener) = (ServerTls::new(&options).unwrap().unwrap(), self.listener.try_clone().unwrap());
        thread::spawn(move || {
            let socket: TcpStream = listener.accept().unwrap().0;
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut stream = tls.accept(socket, Duration::ZERO).unwrap();
            let shaken = stream.complete(|_, _| Err(io::ErrorKind::TimedOut.into()));
            then(shaken.map(|()| stream))
        })
    }
}

fn read_all(stream: io::Result<Stream>) -> String {
    let mut all = String::new();
    stream.unwrap().read_to_string(&mut all).unwrap();
    all
}

fn why(verdicts: &[Verdict]) -> &str {
    match &verdicts[0] {
        Verdict::Retry { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_written_arrives_encrypted_before_close_returns() {
    let world = World::new();
    let peer = world.serve(&format!("tls_client_ca = {}", world.ca()), read_all);
    let mut delivery = world.output(&files(&world.client));
    assert!(delivery.write(&payloads((0..50_000).map(|i| format!("line {i}")))).iter().all(|v| *v == Verdict::Done));
    delivery.close();
    // It said goodbye: otherwise reading to the end would have failed.
    assert_eq!(peer.join().unwrap(), (0..50_000).map(|i| format!("line {i}\n")).collect::<String>());
}

#[test]
fn an_encrypted_peer_that_went_away_is_noticed_before_the_next_write() {
    let world = World::new();
    let mut delivery = world.output("tls_server_name = 'server'");
    let peer = world.serve("", |stream| {
        let mut stream = stream.unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        stream.shutdown_write().unwrap();
    });
    assert_eq!(delivery.write(&payloads(["one"])), [Verdict::Done]);
    peer.join().unwrap();
    let peer = world.serve("", read_all);
    assert_eq!(delivery.deliver(&payloads(["two"]), PATIENCE), [Verdict::Done]);
    delivery.close();
    assert_eq!(peer.join().unwrap(), "two\n");
}

#[test]
fn what_only_we_have_encrypted_is_not_done() {
    let world = World::new();
    let mut delivery = world.output("timeout = '50ms'");
    let peer = world.serve("", |stream| stream.unwrap());
    // The last message is shorter than what is encrypted at a time.
    let batch = payloads([vec![b'a'; 10], vec![b'b'; 64 << 20], vec![b'c'; 10]]);
    let verdicts = delivery.write(&batch);
    assert_eq!(verdicts[0], Verdict::Done);
    assert!(why(&verdicts[1..]).contains("nothing moved for 50ms") && matches!(verdicts[2], Verdict::Retry { .. }));
    drop(peer.join());
}

#[test]
fn an_encrypted_receiver_acknowledges() {
    let world = World::new();
    let mut delivery = world.output("acknowledge = true");
    let peer = world.serve("", |stream| {
        let mut stream = stream.unwrap();
        stream.write_all(b"NILOACK1").unwrap();
        stream.read_exact(&mut [0; 200_001]).unwrap();
        stream.write_all(&200_001u64.to_be_bytes()).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest
    });
    assert_eq!(delivery.write(&payloads([vec![b'x'; 200_000], b"half".to_vec()])), [Verdict::Later(0), Verdict::Later(1)]);
    let deadline = Instant::now() + PATIENCE;
    while delivery.late.is_empty() {
        assert!(Instant::now() < deadline, "nothing was acknowledged");
        delivery.poll();
        thread::yield_now();
    }
    assert_eq!(delivery.late, [(0..1, Verdict::Done)]);
    // What is not acknowledged is not said goodbye to: the peer would take it for whole.
    drop(delivery);
    assert!(peer.join().is_err());
}

#[test]
fn a_receiver_that_is_not_whom_we_mean_gets_nothing() {
    let world = World::new();
    let mut delivery = world.output("tls_server_name = 'another.example'");
    let peer = world.serve("", |stream| stream.is_err());
    let verdicts = delivery.write(&payloads(["one"]));
    assert!(why(&verdicts).contains("option `tls_server_name`"), "{verdicts:?}");
    assert!(peer.join().unwrap());

    Authority::new().write(world.dir.path());
    let mut delivery = world.output("");
    let peer = world.serve("", |stream| stream.is_err());
    let verdicts = delivery.write(&payloads(["one"]));
    assert!(why(&verdicts).contains("option `tls_ca`"), "{verdicts:?}");
    assert!(peer.join().unwrap());
}

#[test]
fn a_receiver_that_does_not_encrypt_is_told_of() {
    let world = World::new();
    let listener = world.listener.try_clone().unwrap();
    let peer = thread::spawn(move || {
        let mut peer = listener.accept().unwrap().0;
        peer.write_all(b"NILOACK1").unwrap();
        peer
    });
    let mut delivery = world.output("acknowledge = true");
    let verdicts = delivery.write(&payloads(["one"]));
    assert!(why(&verdicts).contains("what the peer sends is not TLS"), "{verdicts:?}");
    drop(peer.join());
}

#[test]
fn with_acknowledge_a_receiver_that_wants_another_certificate_is_told_of() {
    let world = World::new();
    let peer = world.serve(&format!("tls_client_ca = {}", world.ca()), |stream| stream.err().map(|e| e.to_string()));
    let mut delivery = world.output("acknowledge = true");
    let verdicts = delivery.write(&payloads(["one"]));
    assert!(why(&verdicts).contains("the peer asks for a certificate (options `tls_cert` and `tls_key`)"), "{verdicts:?}");
    assert!(peer.join().unwrap().unwrap().contains("shows no certificate"));
}

#[test]
fn a_receiver_that_wants_encryption_is_told_of() {
    let world = World::new();
    let listener = world.listener.try_clone().unwrap();
    let peer = thread::spawn(move || {
        let mut peer = listener.accept().unwrap().0;
        // What a server says of something that is no handshake: an alert.
        peer.write_all(b"\x15\x03\x03\x00\x02\x02\x32").unwrap();
        peer
    });
    let toml = format!("address = '{}'\nacknowledge = true", world.listener.local_addr().unwrap());
    let mut delivery = Delivery::new(testkit::plugins::output(&KIND, &toml).unwrap());
    let verdicts = delivery.write(&payloads(["one"]));
    assert!(why(&verdicts).contains("set `tls = true` here"), "{verdicts:?}");
    drop(peer.join());
}

#[test]
fn files_that_are_not_there_are_named() {
    let world = World::new();
    std::fs::remove_file(world.dir.path().join("ca.pem")).unwrap();
    let mut delivery = world.output("");
    let verdicts = delivery.write(&payloads(["one"]));
    assert!(why(&verdicts).contains("ca.pem: No such file") && why(&verdicts).contains("option `tls_ca`"), "{verdicts:?}");
}
