//! How connections begin: with handshakes and with what proxies say.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use plugin::Clock;
use tempfile::TempDir;
use testkit::certificates::{Authority, Identity};
use testkit::intake::{RecordingIntake, Running};
use testkit::plugins::options_of;
use transport::{CLIENT_OPTIONS, ClientTls, Stream};

use crate::tcp::tests::running;

const PATIENCE: Duration = Duration::from_secs(20);

/// An authority and what it issued to `server` and `client`.
struct World {
    dir: TempDir,
    authority: Authority,
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
        World { dir, authority, server, client }
    }

    fn running(&self, more: &str, clock: Clock) -> (RecordingIntake, SocketAddr, Running) {
        running(&format!("tls = true\n{}{more}", files(&self.server)), clock)
    }

    fn ca(&self) -> String {
        format!("{:?}", self.dir.path().join("ca.pem"))
    }

    /// A stream over a connected socket that blocks.
    fn over(&self, socket: TcpStream, more: &str) -> io::Result<Stream> {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let options = options_of(CLIENT_OPTIONS, &format!("tls = true\ntls_ca = {}\n{more}", self.ca())).unwrap();
        let tls = ClientTls::new(&options).unwrap().unwrap();
        let mut stream = tls.connect(socket, "localhost:1", Duration::ZERO)?;
        stream.complete(|_, _| Err(io::Error::other("the socket should have waited")))?;
        Ok(stream)
    }

    fn connect(&self, address: SocketAddr, more: &str) -> io::Result<Stream> {
        self.over(TcpStream::connect(address).unwrap(), more)
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Whether the other side closed, after whatever it said first.
fn is_closed(mut socket: impl Read) -> bool {
    let mut rest = Vec::new();
    match socket.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(e) => !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
    }
}

#[track_caller]
fn wait_for_failures(running: &Running, n: u64) {
    running.wait_for(|_| running.meter().read().contains(&("failed_handshakes", n)));
}

#[test]
fn encrypted_lines_arrive_though_no_poll_tells_of_the_last() {
    let world = World::new();
    let (intake, address, running) = world.running("peer_field = 'from'", Clock::real());
    let lines: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                let mut peer = world.connect(address, "").unwrap();
                peer.write_all(lines.as_bytes()).unwrap();
                // Everything is there before the peer says goodbye.
                running.wait_for(|seen| seen.bytes().len() == 3 * lines.len());
                peer.shutdown_write().unwrap();
                assert!(is_closed(peer));
            });
        }
    });
    running.wait_for(|seen| seen.streams.iter().all(|s| s.closed && s.ends == [lines.len()]));
    for stream in &intake.seen().streams {
        assert!(stream.bytes == lines.as_bytes());
        assert_eq!(
            (stream.options.hostname.as_str(), &stream.options.fields[..]),
            ("127.0.0.1", &[("from".into(), "127.0.0.1".into())][..])
        );
    }
}

#[test]
fn what_had_arrived_encrypted_before_the_stop_is_taken() {
    let world = World::new();
    let (intake, address, running) = world.running("", Clock::real());
    let mut peer = world.connect(address, "").unwrap();
    running.wait_for(|seen| seen.streams.len() == 1);
    {
        let seen = intake.seen();
        peer.write_all(&b"line\n".repeat(2000)).unwrap();
        drop(seen);
    }
    running.stop().unwrap();
    assert_eq!(intake.seen().bytes().len(), 10_000);
}

#[test]
fn an_encrypted_peer_is_told_what_is_accepted() {
    let world = World::new();
    let (intake, address, running) = world.running("acknowledge = true", Clock::real());
    let mut peer = world.connect(address, "").unwrap();
    let mut frame = [0; 8];
    let mut next = |peer: &mut Stream| {
        peer.read_exact(&mut frame).unwrap();
        frame
    };
    assert_eq!(&next(&mut peer), b"NILOACK1");
    peer.write_all(b"line\n").unwrap();
    assert_eq!(next(&mut peer), 5u64.to_be_bytes());
    intake.withhold(true);
    peer.write_all(b"the last").unwrap();
    peer.shutdown_write().unwrap();
    running.wait_for(|seen| seen.streams[0].ends == [13]);
    intake.withhold(false);
    assert_eq!(next(&mut peer), 13u64.to_be_bytes());
    assert!(is_closed(peer));
    running.wait_for(|seen| seen.streams[0].closed);

    // One that leaves without goodbye has not ended what it had begun.
    let mut peer = world.connect(address, "").unwrap();
    assert_eq!(&next(&mut peer), b"NILOACK1");
    peer.write_all(b"whole\nhalf").unwrap();
    assert_eq!(next(&mut peer), 6u64.to_be_bytes());
    drop(peer);
    running.wait_for(|seen| seen.streams[1].closed && seen.streams[1].ends.is_empty());
}

#[test]
fn what_is_no_handshake_is_refused_and_counted() {
    let world = World::new();
    let (_, address, running) = world.running("", Clock::real());
    let garbage =
        [&b"a plain line\n"[..], b"\x16\x03\x01\x40\x00garbage in a record", &[0xff; 70_000], b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", b""];
    for (n, garbage) in garbage.into_iter().enumerate() {
        let mut peer = connect(address);
        // It may be closed in the middle.
        let _ = peer.write_all(garbage).and_then(|()| peer.shutdown(Shutdown::Write));
        assert!(is_closed(peer));
        wait_for_failures(&running, n as u64 + 1);
    }
    let mut peer = world.connect(address, "").unwrap();
    peer.write_all(b"in order\n").unwrap();
    running.wait_for(|seen| seen.bytes() == b"in order\n" && seen.streams.len() == 1);
}

#[test]
fn a_peer_that_takes_its_time_over_the_handshake_is_refused() {
    let world = World::new();
    for (more, patience) in [("", 10), ("idle_timeout = '3s'", 3), ("idle_timeout = '0s'", 10)] {
        let clock = Clock::standing(0);
        let (intake, address, running) = world.running(&format!("max_connections = 1\n{more}"), clock.clone());
        let mut slow = connect(address);
        slow.write_all(b"\x16\x03\x01").unwrap();
        // It counts among those that are there.
        assert!(is_closed(connect(address)));
        running.wait_for(|_| running.meter().read().contains(&("refused_connections", 1)));
        clock.set((patience - 1) * 1_000_000_000);
        slow.write_all(b"\x02").unwrap();
        let polls = intake.seen().polls;
        running.wait_for(|seen| seen.polls > polls + 2);
        assert!(!running.meter().read().iter().any(|(name, _)| *name == "failed_handshakes"));
        clock.set(patience * 1_000_000_000);
        wait_for_failures(&running, 1);
        assert!(is_closed(slow));
        assert!(world.connect(address, "").is_ok());
    }
}

#[test]
fn only_certificates_of_the_authority_are_let_in() {
    let world = World::new();
    let (_, address, running) = world.running(&format!("tls_client_ca = {}", world.ca()), Clock::real());
    let other = tempfile::tempdir().unwrap();
    let (stranger, late) = (Authority::new().issue(other.path(), "stranger"), world.authority.issue_expired(other.path(), "late"));
    for (n, shown) in [String::new(), files(&stranger), files(&late)].into_iter().enumerate() {
        // With TLS 1.3 a client learns of it when it reads.
        if let Ok(mut peer) = world.connect(address, &shown) {
            let _ = peer.write_all(b"let me in\n");
            assert!(is_closed(peer));
        }
        wait_for_failures(&running, n as u64 + 1);
    }
    let mut peer = world.connect(address, &files(&world.client)).unwrap();
    peer.write_all(b"known\n").unwrap();
    running.wait_for(|seen| seen.bytes() == b"known\n" && seen.streams.len() == 1);
}

#[test]
fn a_certificate_replaced_on_disk_is_shown_to_the_next_peer() {
    let world = World::new();
    let clock = Clock::standing(0);
    let (_, address, running) = world.running("", clock.clone());
    let mut old = world.connect(address, "tls_server_name = 'server'").unwrap();
    let renewed = world.authority.issue(world.dir.path(), "renewed");
    fs::rename(renewed.cert, &world.server.cert).unwrap();
    fs::rename(renewed.key, &world.server.key).unwrap();
    clock.set(2_000_000_000);
    let mut new = world.connect(address, "tls_server_name = 'renewed'").unwrap();
    fs::write(&world.server.cert, "of no use").unwrap();
    clock.set(4_000_000_000);
    drop(world.connect(address, "tls_server_name = 'renewed'").unwrap());
    old.write_all(b"x\n").unwrap();
    running.wait_for(|seen| seen.bytes() == b"x\n");
    new.write_all(b"y\n").unwrap();
    running.wait_for(|seen| seen.bytes() == b"x\ny\n");
}

#[test]
fn a_certificate_that_is_not_there_is_fatal_and_named() {
    let world = World::new();
    fs::remove_file(&world.server.cert).unwrap();
    let (_, _, running) = world.running("", Clock::real());
    let fatal = running.finish().unwrap_err().to_string();
    assert!(fatal.contains("server.pem: No such file") && fatal.contains("option `tls_cert`"), "{fatal}");
}

#[test]
fn a_proxy_tells_whom_it_speaks_for() {
    let (intake, address, running) = running("proxy_protocol = true\npeer_field = 'peer'", Clock::real());
    let mut peer = connect(address);
    for piece in [&b"PROXY TCP4 192.0"[..], b".2.1 198.51.100.1 56324 443\r", b"\nline\nhalf"] {
        peer.set_nodelay(true).unwrap();
        peer.write_all(piece).unwrap();
    }
    running.wait_for(|seen| seen.bytes() == b"line\nhalf");
    let v6 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24"[..], &[0x20, 1, 0xd, 0xb8], &[0; 11], &[1], &[0; 16], b"\x01\x02\x03\x04"].concat();
    connect(address).write_all(&[&v6[..], b"v2\n"].concat()).unwrap();
    running.wait_for(|seen| seen.streams.len() == 2 && seen.streams[1].bytes == b"v2\n");
    // It looks whether we are there, and speaks for itself.
    connect(address).write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0local\n").unwrap();
    running.wait_for(|seen| seen.streams.len() == 3 && seen.streams[2].closed);
    for (stream, host) in intake.seen().streams.iter().zip(["192.0.2.1", "2001:db8::1", "127.0.0.1"]) {
        assert_eq!((stream.options.hostname.as_str(), &stream.options.fields[..]), (host, &[("peer".to_string(), host.to_string())][..]));
    }
}

#[test]
fn a_connection_without_a_proxys_header_is_refused() {
    let clock = Clock::standing(0);
    let (_, address, running) = running("proxy_protocol = true", clock.clone());
    let mut peer = connect(address);
    peer.write_all(b"a line\n").unwrap();
    assert!(is_closed(peer));
    wait_for_failures(&running, 1);
    let mut slow = connect(address);
    slow.write_all(b"PROXY ").unwrap();
    running.wait_for(|seen| seen.polls > 3);
    // It has to have been accepted before the clock moves on: the next one is behind it.
    let mut next = connect(address);
    next.write_all(b"PROXY UNKNOWN\r\nx\n").unwrap();
    running.wait_for(|seen| seen.bytes() == b"x\n");
    clock.set(10_000_000_000);
    wait_for_failures(&running, 2);
    assert!(is_closed(slow));
}

#[test]
fn a_proxys_header_comes_before_the_handshake() {
    let world = World::new();
    let (intake, address, running) = world.running("proxy_protocol = true", Clock::real());
    let mut socket = connect(address);
    socket.write_all(b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n").unwrap();
    let mut peer = world.over(socket, "").unwrap();
    peer.write_all(b"line\n").unwrap();
    running.wait_for(|seen| seen.bytes() == b"line\n");
    assert_eq!(intake.seen().streams[0].options.hostname, "2001:db8::7");
}
