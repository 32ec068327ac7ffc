//! The other end is another implementation. Without the command `openssl` there is nothing to compare with.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::certificates::{Authority, Identity};
use testkit::plugins::options_of;
use transport::{SERVER_OPTIONS, ServerTls};

#[test]
fn openssl_sends_lines_in_either_version() {
    if Command::new("openssl").arg("version").output().is_err() {
        return;
    }
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let ca = authority.write(dir.path());
    let (Identity { cert, key }, client) = (authority.issue(dir.path(), "server"), authority.issue(dir.path(), "client"));
    let toml = format!("tls = true\ntls_cert = {cert:?}\ntls_key = {key:?}\ntls_client_ca = {ca:?}");
    let server = ServerTls::new(&options_of(SERVER_OPTIONS, &toml).unwrap()).unwrap().unwrap();
    let lines: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    for version in ["-tls1_2", "-tls1_3"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", "-verify_hostname", "server", version, "-connect"])
            .arg(listener.local_addr().unwrap().to_string())
            .arg("-CAfile")
            .arg(&ca)
            .arg("-cert")
            .arg(&client.cert)
            .arg("-key")
            .arg(&client.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut stream = server.accept(socket, Duration::ZERO).unwrap();
        stream.complete(|_, _| Err(io::ErrorKind::TimedOut.into())).unwrap();
        let mut stdin = peer.stdin.take().unwrap();
        let mut read = vec![0; lines.len()];
        std::thread::scope(|s| {
            s.spawn(|| stdin.write_all(lines.as_bytes()).unwrap());
            stream.read_exact(&mut read).unwrap();
        });
        assert!(read == lines.as_bytes());
        stream.write_all(b"taken").unwrap();
        stream.flush().unwrap();
        stream.shutdown_write().unwrap();
        let mut answer = Vec::new();
        peer.stdout.take().unwrap().read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"taken", "{version}");
        drop(stdin);
        peer.wait().unwrap();
    }
}
