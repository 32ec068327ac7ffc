use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};

use testkit::intake::{RecordingIntake, start};

use super::*;

/// An address that is free over TCP and UDP.
fn free() -> SocketAddr {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

fn build(toml: &str) -> Result<Box<dyn Input>, String> {
    testkit::plugins::input(&KIND, toml)
}

#[test]
fn messages_arrive_in_every_way_they_are_sent() {
    let (dir, address) = (tempfile::tempdir().unwrap(), free());
    let (stream, datagram) = (dir.path().join("stream"), dir.path().join("log"));
    let listen = format!("['udp://{address}', 'tcp://{address}', 'unix://{}', 'unixgram://{}']", stream.display(), datagram.display());
    let intake = RecordingIntake::default();
    let running = start(build(&format!("listen = {listen}\npeer_field = 'peer'")).unwrap(), &intake);
    running.wait_for(|seen| seen.polls > 1);

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(b"<13>udp", address).unwrap();
    udp.send_to(b"<13>two\nlines\n", address).unwrap();
    udp.send_to(b"\n\0", address).unwrap();
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.write_all(b"<13>tcp\n").unwrap();
    let mut unix = UnixStream::connect(&stream).unwrap();
    unix.write_all(b"<13>unix\n").unwrap();
    UnixDatagram::unbound().unwrap().send_to(b"<13>local", &datagram).unwrap();
    running.wait_for(|seen| seen.bytes().len() == 7 + 16 + 8 + 9 + 9);
    // The streams of connections go on.
    tcp.write_all(b"<13>more\n").unwrap();
    unix.write_all(b"<13>more\n").unwrap();
    running.wait_for(|seen| seen.bytes().len() == 7 + 16 + 8 + 9 + 9 + 18);
    drop(tcp);
    running.wait_for(|seen| seen.streams.iter().filter(|s| s.closed).count() == 1);
    // What had arrived before the stop is taken.
    udp.send_to(b"<13>last", address).unwrap();
    running.stop().unwrap();

    let seen = intake.seen();
    assert!(seen.streams.iter().all(|s| s.closed));
    let of = |bytes: &[u8]| seen.streams.iter().find(|s| s.bytes.starts_with(bytes)).unwrap();
    assert_eq!(of(b"<13>udp").pushed, [&b"<13>udp"[..], b"13 <13>two\nlines", b"<13>last"]);
    assert_eq!(
        (of(b"<13>tcp").bytes.as_slice(), of(b"<13>unix").bytes.as_slice()),
        (&b"<13>tcp\n<13>more\n"[..], &b"<13>unix\n<13>more\n"[..])
    );
    let peer = [("peer".to_string(), "127.0.0.1".to_string())];
    for (stream, host, fields) in [
        (of(b"<13>udp"), "127.0.0.1", &peer[..]),
        (of(b"<13>tcp"), "127.0.0.1", &peer),
        (of(b"<13>unix"), "", &[]),
        (of(b"<13>local"), "", &[]),
    ] {
        assert_eq!((stream.options.hostname.as_str(), stream.options.fields.as_slice()), (host, fields));
    }
    assert!(!stream.exists() && !datagram.exists());
}

#[test]
fn idle_connections_are_closed_and_too_many_refused() {
    let (address, clock) = (free(), plugin::Clock::standing(0));
    let toml = format!("listen = ['tcp://{address}']\nidle_timeout = '30s'\nmax_connections = 1");
    let running = testkit::intake::start_at(build(&toml).unwrap(), &RecordingIntake::default(), clock.clone());
    running.wait_for(|seen| seen.polls > 1);
    let _first = TcpStream::connect(address).unwrap();
    running.wait_for(|seen| seen.streams.len() == 1);
    let _second = TcpStream::connect(address).unwrap();
    running.wait_for(|_| running.meter().read().contains(&("refused_connections", 1)));
    clock.set(31_000_000_000);
    running.wait_for(|seen| seen.streams[0].closed);
}

#[test]
fn addresses_that_are_taken_or_none_are_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let fatal = start(build(&format!("listen = ['tcp://{address}']")).unwrap(), &RecordingIntake::default()).finish().unwrap_err();
    assert!(fatal.0.contains(&format!("cannot listen at tcp://{address}")), "{fatal}");
    for (toml, expected) in [
        ("listen = []", "`listen` is empty"),
        ("listen = ['localhost:514']", "found `localhost:514`, expected `udp://host:port`"),
        ("listen = ['udp://localhost']", "found `udp://localhost`"),
        ("listen = ['unix://relative']", "found `unix://relative`"),
        ("listen = ['tcp://h:1']\ntls_cert = 'x.pem'", "`tls_cert` without an address of TLS"),
        ("listen = ['tls://h:1']", "needs `tls_cert`"),
        ("listen = ['udp://h:1']\npermissions = '9'", "expected an octal number"),
        ("listen = ['udp://h:1']\nmax_datagram = '1MiB'", "expected 1B to 64KiB"),
    ] {
        let problem = build(toml).err().unwrap();
        assert!(problem.contains(expected), "{problem}");
    }
    assert!(!build("listen = ['tcp://h:1', 'udp://h:1']").unwrap().can_wait() && build("listen = ['unixgram:///x']").unwrap().can_wait());
}
