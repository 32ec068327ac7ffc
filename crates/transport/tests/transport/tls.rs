//! Both ends are ours.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;
use testkit::certificates::{Authority, Identity};
use testkit::plugins::options_of;
use transport::{CLIENT_OPTIONS, ClientTls, SERVER_OPTIONS, ServerTls, Stream};

/// An authority and certificates it issued to `server` and `client`.
struct World {
    dir: TempDir,
    authority: Authority,
    server: Identity,
    client: Identity,
}

impl World {
    fn new() -> World {
        let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        authority.write(dir.path());
        let (server, client) = (authority.issue(dir.path(), "server"), authority.issue(dir.path(), "client"));
        World { dir, authority, server, client }
    }

    fn server(&self, more: &str) -> ServerTls {
        let Identity { cert, key } = &self.server;
        server(&format!("tls = true\ntls_cert = {cert:?}\ntls_key = {key:?}\n{more}")).unwrap().unwrap()
    }

    fn client(&self, more: &str) -> ClientTls {
        client(&format!("tls = true\ntls_ca = {:?}\n{more}", self.dir.path().join("ca.pem"))).unwrap().unwrap()
    }

    /// The options of a client that shows its certificate.
    fn shown(&self) -> String {
        let Identity { cert, key } = &self.client;
        format!("tls_cert = {cert:?}\ntls_key = {key:?}\n")
    }

    fn client_ca(&self) -> String {
        format!("tls_client_ca = {:?}\n", self.dir.path().join("ca.pem"))
    }
}

fn server(toml: &str) -> Result<Option<ServerTls>, String> {
    ServerTls::new(&options_of(SERVER_OPTIONS, toml).unwrap()).map_err(|p| p.to_string())
}

fn client(toml: &str) -> Result<Option<ClientTls>, String> {
    ClientTls::new(&options_of(CLIENT_OPTIONS, toml).unwrap()).map_err(|p| p.to_string())
}

/// Both ends of a connection; they do not block.
fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = listener.accept().unwrap().0;
    [&client, &server].into_iter().for_each(|s| s.set_nonblocking(true).unwrap());
    (client, server)
}

fn wait(fd: BorrowedFd<'_>, events: PollFlags) -> io::Result<()> {
    let timeout = Timespec { tv_sec: 20, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::from_borrowed_fd(fd, events)], Some(&timeout))?;
    if ready == 0 { Err(io::Error::new(io::ErrorKind::TimedOut, "nothing moved")) } else { Ok(()) }
}

/// Handshakes of both ends, and what became of them.
fn shake(client: &mut Stream, server: &mut Stream) -> (io::Result<()>, io::Result<()>) {
    std::thread::scope(|s| {
        let other = s.spawn(|| server.complete(wait));
        (client.complete(wait), other.join().unwrap())
    })
}

fn pair(client: &ClientTls, server: &ServerTls, now: u64) -> (Stream, Stream) {
    let (c, s) = sockets();
    let now = Duration::from_secs(now);
    (client.connect(c, "localhost:1", now).unwrap(), server.accept(s, now).unwrap())
}

fn connected(client: &ClientTls, server: &ServerTls) -> (Stream, Stream) {
    let (mut client, mut server) = pair(client, server, 0);
    let (c, s) = shake(&mut client, &mut server);
    c.unwrap();
    s.unwrap();
    (client, server)
}

/// Reads until the end, in pieces of so many bytes.
fn read_all(stream: &mut Stream, piece: usize) -> io::Result<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), vec![0; piece]);
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return Ok(all),
            Ok(n) => all.extend_from_slice(&buf[..n]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                assert!(!stream.pending());
                wait(stream.as_fd(), stream.awaits(true, false))?;
            }
            Err(e) => return Err(e),
        }
    }
}

fn write_all(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    let mut at = 0;
    loop {
        let result = if at < bytes.len() { stream.write(&bytes[at..]).map(|n| at += n) } else { stream.flush() };
        match result {
            Ok(()) if at == bytes.len() && stream.unsent() == 0 => return Ok(()),
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => wait(stream.as_fd(), stream.awaits(false, true))?,
            Err(e) => return Err(e),
        }
    }
}

fn wrong(result: io::Result<impl std::fmt::Debug>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read_whatever_the_pieces() {
    let world = World::new();
    let (client, server) = (world.client(""), world.server(""));
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
    for piece in [1000, 1 << 20] {
        let (mut from, mut to) = connected(&client, &server);
        std::thread::scope(|s| {
            let reader = s.spawn(|| read_all(&mut to, piece).unwrap());
            write_all(&mut from, &bytes).unwrap();
            from.shutdown_write().unwrap();
            assert!(reader.join().unwrap() == bytes);
        });
        // The other way is still open.
        write_all(&mut to, b"taken").unwrap();
        to.shutdown_write().unwrap();
        assert_eq!(read_all(&mut from, 100).unwrap(), b"taken");
    }
}

#[test]
fn what_nobody_reads_is_told() {
    let world = World::new();
    let (mut from, _to) = connected(&world.client(""), &world.server(""));
    let bytes = vec![b'x'; 1 << 20];
    let mut taken = 0;
    let e = loop {
        match from.write(&bytes) {
            Ok(n) => taken += n,
            Err(e) => break e,
        }
        assert!(taken < 1 << 30);
    };
    assert_eq!(e.kind(), io::ErrorKind::WouldBlock);
    assert!(from.unsent() > 0 && from.unsent() <= taken, "{} of {taken}", from.unsent());
    assert!(from.awaits(false, false).contains(PollFlags::OUT));
}

#[test]
fn a_peer_that_leaves_without_goodbye_is_no_end() {
    let world = World::new();
    let (mut from, mut to) = connected(&world.client(""), &world.server(""));
    write_all(&mut from, b"half").unwrap();
    drop(from);
    let mut buf = [0; 100];
    wait(to.as_fd(), PollFlags::IN).unwrap();
    assert_eq!(to.read(&mut buf).unwrap(), 4);
    assert!(wrong(read_all(&mut to, 100)).contains("without saying"));
}

#[test]
fn peers_have_to_show_a_certificate_when_an_authority_is_given() {
    let world = World::new();
    let server = world.server(&world.client_ca());
    let (mut from, mut to) = connected(&world.client(&world.shown()), &server);
    write_all(&mut from, b"x").unwrap();
    from.shutdown_write().unwrap();
    assert_eq!(read_all(&mut to, 10).unwrap(), b"x");

    let refused = |more: &str| {
        let (mut from, mut to) = pair(&world.client(more), &server, 0);
        let (_, accepted) = shake(&mut from, &mut to);
        // The client learns of it when it reads.
        (wrong(accepted), wrong(read_all(&mut from, 10)))
    };
    let (server_says, client_says) = refused("");
    assert!(server_says.contains("shows no certificate") && client_says.contains("options `tls_cert`"), "{server_says}; {client_says}");

    let other = tempfile::tempdir().unwrap();
    let shown = |Identity { cert, key }: Identity| format!("tls_cert = {cert:?}\ntls_key = {key:?}\n");
    let (server_says, client_says) = refused(&shown(Authority::new().issue(other.path(), "stranger")));
    assert!(server_says.contains("no authority that is trusted here (option `tls_client_ca`)"), "{server_says}");
    assert!(client_says.contains("refuses our certificate"), "{client_says}");
    let (server_says, _) = refused(&shown(world.authority.issue_expired(other.path(), "late")));
    assert!(server_says.contains("has expired"), "{server_says}");
}

#[test]
fn a_server_has_to_be_the_one_that_is_meant() {
    let world = World::new();
    let server = world.server("");
    let refused = |client: &ClientTls| {
        let (mut from, mut to) = pair(client, &server, 0);
        let (connected, _) = shake(&mut from, &mut to);
        wrong(connected)
    };
    let why = refused(&world.client("tls_server_name = 'another.example'"));
    assert!(why.contains("for another name (option `tls_server_name`)"), "{why}");
    connected(&world.client("tls_server_name = 'server'"), &server);
    let other = tempfile::tempdir().unwrap();
    let ca = Authority::new().write(other.path());
    let why = refused(&client(&format!("tls = true\ntls_ca = {ca:?}")).unwrap().unwrap());
    assert!(why.contains("no authority that is trusted here (option `tls_ca`)"), "{why}");
}

#[test]
fn what_is_not_tls_is_said() {
    let world = World::new();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4000], b"\x16\x03\x01\xff\xff", &[0xff; 100_000]] {
        let (mut peer, s) = sockets();
        let mut to = world.server("").accept(s, Duration::ZERO).unwrap();
        peer.write_all(garbage).unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let e = to.complete(wait).unwrap_err();
        assert!(matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof), "{e}");
    }
    let (mut peer, s) = sockets();
    let mut to = world.server("").accept(s, Duration::ZERO).unwrap();
    peer.write_all(b"a plain line\n").unwrap();
    assert!(wrong(to.complete(wait)).contains("is not TLS: set `tls = true` there"));

    let (c, mut peer) = sockets();
    let mut from = world.client("").connect(c, "127.0.0.1:1", Duration::ZERO).unwrap();
    peer.write_all(b"NILOACK1").unwrap();
    assert!(wrong(from.complete(wait)).contains("is not TLS"));
}

#[test]
fn half_a_handshake_waits_and_does_not_block() {
    let world = World::new();
    let (mut from, mut to) = pair(&world.client(""), &world.server(""), 0);
    assert!(!to.handshake().unwrap());
    assert_eq!(to.awaits(false, false), PollFlags::IN);
    assert!(!from.handshake().unwrap());
    wait(to.as_fd(), PollFlags::IN).unwrap();
    assert!(!to.handshake().unwrap());
    assert_eq!(to.read(&mut [0; 10]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(to.write(b"early").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let (c, s) = shake(&mut from, &mut to);
    c.unwrap();
    s.unwrap();
}

/// The name in the certificate that a client is shown. `now` in seconds.
fn shown_name(world: &World, server: &ServerTls, now: u64) -> String {
    for name in ["server", "renewed"] {
        let (mut from, mut to) = pair(&world.client(&format!("tls_server_name = '{name}'")), server, now);
        if let (Ok(()), Ok(())) = shake(&mut from, &mut to) {
            return name.to_string();
        }
    }
    panic!("neither name");
}

fn replace(dir: &Path, with: &Identity) {
    for (file, with) in [("server.pem", &with.cert), ("server.key", &with.key)] {
        fs::rename(with, dir.join(file)).unwrap();
    }
}

#[test]
fn a_certificate_that_is_replaced_is_used_from_the_next_connection_on() {
    let world = World::new();
    let server = world.server("");
    assert_eq!(shown_name(&world, &server, 0), "server");
    replace(world.dir.path(), &world.authority.issue(world.dir.path(), "renewed"));
    // Not looked at again within a second.
    assert_eq!(shown_name(&world, &server, 0), "server");
    assert_eq!(shown_name(&world, &server, 1), "renewed");

    // What is of no use is not used.
    fs::write(&world.server.cert, "no certificate").unwrap();
    assert_eq!(shown_name(&world, &server, 2), "renewed");
    fs::remove_file(&world.server.cert).unwrap();
    assert_eq!(shown_name(&world, &server, 3), "renewed");
    // A certificate whose key is yet to come.
    let next = world.authority.issue(world.dir.path(), "server");
    assert_eq!(next.cert, world.server.cert);
    let key = fs::read(&next.key).unwrap();
    fs::write(&next.key, fs::read(&world.client.key).unwrap()).unwrap();
    assert_eq!(shown_name(&world, &server, 4), "renewed");
    fs::write(&next.key, [&key[..], b"\n"].concat()).unwrap();
    assert_eq!(shown_name(&world, &server, 5), "server");
}

#[test]
fn a_file_of_no_use_is_named_with_its_option() {
    let world = World::new();
    let dir = world.dir.path();
    let file = |name: &str, text: &str| {
        fs::write(dir.join(name), text).unwrap();
        dir.join(name)
    };
    let (empty, other) = (file("empty.pem", ""), file("other.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    let (cert, key) = (&world.server.cert, &world.server.key);
    for (cert, key, ca, expected) in [
        (&dir.join("missing"), key, None, "missing: No such file or directory (os error 2) (option `tls_cert`)"),
        (&dir.to_path_buf(), key, None, "is not a file (option `tls_cert`)"),
        (&empty, key, None, "holds no certificate: expected `-----BEGIN CERTIFICATE-----` (option `tls_cert`)"),
        (cert, &empty, None, "holds no private key"),
        (cert, cert, None, "(option `tls_key`)"),
        (cert, &world.client.key, None, "does not fit `tls_cert`"),
        (cert, key, Some(&other), "a certificate is of no use"),
    ] {
        let ca = ca.map_or(String::new(), |ca| format!("tls_client_ca = {ca:?}"));
        let server = server(&format!("tls = true\ntls_cert = {cert:?}\ntls_key = {key:?}\n{ca}")).unwrap().unwrap();
        let why = wrong(server.config(Duration::ZERO));
        assert!(why.contains(expected), "{why}");
    }
}

#[test]
fn options_that_do_not_go_together_are_problems() {
    for (toml, expected) in [
        ("tls = true", "test.toml:1:7: TLS needs `tls_cert`: there is nothing to encrypt with (add `tls_cert`)"),
        ("tls = true\ntls_cert = 'a'", "test.toml:1:7: TLS needs `tls_key`: there is nothing to encrypt with (add `tls_key`)"),
        ("tls_cert = 'a'", "test.toml:1:12: `tls_cert` without `tls`: nothing would be encrypted (add `tls = true`)"),
    ] {
        assert_eq!(server(toml).err().unwrap(), expected);
    }
    for (toml, expected) in [
        ("tls_ca = 'a'", "`tls_ca` without `tls`"),
        ("tls = true\ntls_cert = 'a'", "`tls_cert` needs `tls_key`"),
        ("tls = true\ntls_key = 'a'", "`tls_key` needs `tls_cert`"),
        ("tls = true\ntls_server_name = 'a b'", "`tls_server_name` is no name"),
    ] {
        let found = client(toml).err().unwrap();
        assert!(found.contains(expected), "{found}");
    }
    assert!(server("").unwrap().is_none() && client("tls = false").unwrap().is_none());
}
