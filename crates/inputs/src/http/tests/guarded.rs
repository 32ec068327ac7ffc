//! Who may send, and in what shape.

use std::time::{Duration, Instant};

use testkit::certificates::Authority;

use super::*;

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 1).unwrap()
}

#[test]
fn packed_bodies_are_unpacked_as_far_as_allowed() {
    let (intake, address, running) = running("max_body = '64KiB'");
    let packed = |name: &str, body: &[u8]| exchange(address, &request("POST", "/", &format!("Content-Encoding: {name}\r\n"), body));
    let text = vec![b'x'; 64 << 10];
    for (name, body) in [("zstd", [zstd(b"one\n"), zstd(b"two")].concat()), ("zstd", zstd(&text)), ("gzip", gzip(&text))] {
        assert!(has_status(&packed(name, &body), 200));
    }
    let bomb = vec![0; 512 << 20];
    for (name, body) in [("zstd", zstd(&bomb)), ("gzip", gzip(&bomb[..32 << 20]))] {
        assert!(body.len() < 64 << 10, "{name}: it is one to unpack");
        let answer = packed(name, &body);
        assert!(has_status(&answer, 413) && answer.contains("at most 64 KiB, unpacked (option `max_body`)"), "{answer}");
    }
    let cut = zstd(&text);
    for body in [b"plain".to_vec(), cut[..cut.len() - 1].to_vec()] {
        let answer = packed("zstd", &body);
        assert!(has_status(&answer, 400) && answer.contains("the body is not zstd"), "{answer}");
    }
    running.stop().unwrap();
    assert!(intake.seen().bytes() == [b"one\ntwo", &text[..], &text[..]].concat());
}

#[test]
fn who_may_not_send_is_told_and_counted() {
    let (intake, address, running) = running("user = 'Aladdin'\npassword = 'open sesame'\nhmac_key = 'Jefe'\nhmac_header = 'X-Signature'");
    let url = format!("http://{address}/");
    let send = |more: &[&str], body: &[u8]| {
        let args = [&["-sS", "-w", "\n%{http_code}", "--data-binary", "@-", &url], more].concat();
        client("curl", &args, body)
    };
    let signature = "X-Signature: sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let body = b"what do ya want for nothing?";
    assert!(send(&["-u", "Aladdin:open sesame", "-H", signature], body).ends_with("200"));
    for (more, body, told) in [
        (&["-u", "Aladdin:open sesami", "-H", signature][..], &body[..], "Basic"),
        (&["-H", signature], body, "Basic"),
        (&["-u", "Aladdin:open sesame"], body, "`x-signature`, found none"),
        (&["-u", "Aladdin:open sesame", "-H", signature], b"what do ya want for nothing!", "`x-signature`, found another"),
    ] {
        let answer = send(more, body);
        assert!(answer.ends_with("401") && answer.contains(told), "{answer}");
    }
    running.wait_for(|_| {
        let counted = running.meter().read();
        counted.contains(&("unauthorized_requests", 4)) && counted.contains(&("refused_requests", 4))
    });
    running.stop().unwrap();
    assert_eq!(intake.seen().bytes(), body);
}

#[test]
fn a_signature_is_of_what_is_sent() {
    let (intake, address, running) = running("hmac_key = 'key'");
    let packed = gzip(b"a record");
    let digest = message::signing::Signer::new(b"", 0, message::signing::Hash::Sha256, b"key").digest(&packed);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let headers = format!("Content-Encoding: gzip\r\nX-Hub-Signature-256: {hex}\r\n");
    assert!(has_status(&exchange(address, &request("POST", "/", &headers, &packed)), 200));
    running.stop().unwrap();
    assert_eq!(intake.seen().bytes(), b"a record");
}

#[test]
fn json_becomes_lines() {
    let (intake, address, running) = running("json = true");
    for body in ["{\"a\":1}", "[{\"a\":2},\n {\"a\":\n3}]", "{\"a\":4}\n{\"a\":5}\n"] {
        assert!(has_status(&exchange(address, &post(body.as_bytes())), 200));
    }
    let answer = exchange(address, &post(b"[{\"a\":6},{\"a\":"));
    assert!(has_status(&answer, 400) && answer.contains("in the middle of value 2"), "{answer}");
    running.stop().unwrap();
    let lines: Vec<_> = intake.seen().lines().iter().map(|l| l.split_whitespace().collect::<String>()).filter(|l| !l.is_empty()).collect();
    assert_eq!(lines, (1..=5).map(|n| format!("{{\"a\":{n}}}")).collect::<Vec<_>>());
}

#[test]
fn connections_may_be_encrypted() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let ca = authority.write(dir.path()).display().to_string();
    let (server, sender) = (authority.issue(dir.path(), "server"), authority.issue(dir.path(), "sender"));
    let tls = format!("tls = true\ntls_cert = {:?}\ntls_key = {:?}\ntls_client_ca = {ca:?}", server.cert, server.key);
    let (intake, address, running) = running(&tls);
    let url = format!("https://{address}/");
    let [cert, key] = [sender.cert, sender.key].map(|path| path.display().to_string());
    let send = |more: &[&str], body: &[u8]| {
        let args = [&["-s", "-w", "%{http_code}", "--data-binary", "@-", "--cacert", &ca, &url], more].concat();
        client("curl", &args, body)
    };
    let large = b"a line\n".repeat(500_000);
    for body in [b"one\n".as_slice(), &large] {
        assert_eq!(send(&["--cert", &cert, "--key", &key], body), "200");
    }
    // Two requests over one connection.
    assert_eq!(send(&["--cert", &cert, "--key", &key, &url], b"two\n"), "200200");
    assert_eq!(send(&[], b"of a stranger\n"), "000");
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(&post(b"plain")).unwrap();
    assert!(!read_all_bytes(&mut plain).starts_with(b"HTTP"));
    running.wait_for(|_| running.meter().read().contains(&("failed_handshakes", 2)));
    // One that says nothing does not hold up a stop.
    let _silent = TcpStream::connect(address).unwrap();
    let begun = Instant::now();
    running.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "the silent one was waited for");
    let seen = intake.seen();
    assert!(seen.lines().len() == 500_003 && seen.lines().iter().all(|line| ["one", "two", "a line"].contains(&&line[..])));
}

/// What comes may be an alert of TLS.
fn read_all_bytes(socket: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    answer
}

#[test]
fn a_certificate_that_is_not_there_is_fatal_and_names_the_file() {
    let toml = "listen = '127.0.0.1:0'\ntls = true\ntls_cert = '/nowhere/cert.pem'\ntls_key = '/nowhere/key.pem'";
    let running = start_at(Box::new(http(toml).unwrap_or_else(|p| panic!("{p}"))), &RecordingIntake::default(), Clock::real());
    let fatal = running.finish().unwrap_err().to_string();
    assert!(fatal.contains("/nowhere/") && fatal.contains("tls_"), "{fatal}");
}
