use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use plugin::Clock;
use testkit::intake::{RecordingIntake, Running, start_at};

use super::*;

mod guarded;

fn http(toml: &str) -> Result<Http, Problem> {
    Http::new(&testkit::plugins::options(&KIND, toml).unwrap(), &testkit::plugins::build_cx())
}

fn running(more: &str) -> (RecordingIntake, SocketAddr, Running) {
    let mut http = http(&format!("listen = '127.0.0.1:0'\n{more}")).unwrap_or_else(|p| panic!("{p}"));
    let listener = http.bind().unwrap();
    let address = listener.local_addr().unwrap();
    http.listener = Some(listener);
    let intake = RecordingIntake::default();
    let running = start_at(Box::new(http), &intake, Clock::real());
    (intake, address, running)
}

/// Sends something and reads all answers, until the server closes.
fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    // The server may close before it has read everything.
    let _ = socket.write_all(request);
    read_all(&mut socket)
}

fn read_all(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn post(body: &[u8]) -> Vec<u8> {
    request("POST", "/", "", body)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn has_status(answer: &str, status: u16) -> bool {
    answer.starts_with(&format!("HTTP/1.1 {status} "))
}

/// A program that talks to the server; its output.
fn client(program: &str, args: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect(program);
    let mut stdin = child.stdin.take().unwrap();
    let written = thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    String::from_utf8(written.stdout).unwrap()
}

#[test]
fn curl_sends_bodies_whose_ends_are_ends_of_records() {
    let (intake, address, running) = running("endpoint = '/logs'");
    let url = format!("http://{address}/logs?source=curl");
    let send = |more: &[&str], input: &[u8]| {
        let args = [&["-sS", "-w", "%{http_code}", "--data-binary", "@-", &url], more].concat();
        assert_eq!(client("curl", &args, input), "200");
    };
    send(&[], b"one\ntwo");
    send(&["-X", "PUT"], b"three\n");
    send(&["-H", "Transfer-Encoding: chunked"], b"four\nfive");
    send(&["-H", "Content-Encoding: gzip"], &[gzip(b"six\n"), gzip(b"seven")].concat());
    // Large enough for curl to ask first.
    let large = b"line\n".repeat(1_000_000);
    send(&["-H", "Expect: 100-continue"], &large);
    running.stop().unwrap();
    let seen = intake.seen();
    let lines = seen.lines();
    assert_eq!(lines[..7], ["one", "two", "three", "four", "five", "six", "seven"]);
    assert!(lines.len() == 1_000_007 && lines[7..].iter().all(|l| l == "line"));
    assert_eq!((seen.streams.len(), seen.streams[0].ends.len(), seen.streams[0].closed), (1, 5, true));
}

const PYTHON: &str = "
import http.client, sys
connection = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]))
for i in range(200):
    connection.request('POST', '/', body='record %d' % i)
    response = connection.getresponse()
    assert response.status == 200 and response.read() == b'', response.status
print('done')
";

#[test]
fn a_python_client_keeps_its_connection() {
    let (intake, address, running) = running("");
    assert_eq!(client("python3", &["-c", PYTHON, &address.port().to_string()], b""), "done\n");
    running.wait_for(|_| running.meter().read().contains(&("requests", 200)));
    assert!(running.meter().read().contains(&("connections", 1)));
    assert_eq!(intake.seen().lines(), (0..200).map(|i| format!("record {i}")).collect::<Vec<_>>());
}

#[test]
fn many_senders_are_answered_each_for_its_own() {
    let (intake, address, running) = running("");
    let senders: Vec<_> = (0..20)
        .map(|sender| {
            thread::spawn(move || {
                (0..20).for_each(|n| assert!(has_status(&exchange(address, &post(format!("{sender} {n}").as_bytes())), 200)))
            })
        })
        .collect();
    senders.into_iter().for_each(|s| s.join().unwrap());
    running.stop().unwrap();
    let mut lines = intake.seen().lines();
    let mut expected: Vec<_> = (0..20).flat_map(|sender| (0..20).map(move |n| format!("{sender} {n}"))).collect();
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn the_answer_waits_for_acceptance() {
    let (intake, address, running) = running("");
    intake.withhold(true);
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(&post(b"a record")).unwrap();
    // It has nothing more to send, but waits.
    socket.shutdown(Shutdown::Write).unwrap();
    running.wait_for(|seen| seen.bytes() == b"a record");
    socket.set_nonblocking(true).unwrap();
    assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
    intake.withhold(false);
    assert!(has_status(&read_all(&mut socket), 200));
}

#[test]
fn what_is_not_accepted_is_to_be_sent_again() {
    let (intake, address, _running) = running("answer_timeout = '50ms'");
    intake.withhold(true);
    let late = exchange(address, &post(b"late"));
    assert!(has_status(&late, 503) && late.contains("\r\nretry-after: 1\r\n") && late.contains("option `answer_timeout`"), "{late}");

    let (intake, address, running) = self::running("");
    intake.withhold(true);
    let sender = thread::spawn(move || exchange(address, &post(b"lost")));
    running.wait_for(|seen| seen.bytes() == b"lost");
    intake.lose();
    let lost = sender.join().unwrap();
    assert!(has_status(&lost, 503) && lost.contains("not everyone"), "{lost}");
    running.wait_for(|seen| seen.streams.len() == 2 && seen.streams[0].closed);
}

#[test]
fn a_stop_lets_what_is_under_way_be_answered() {
    for accepted in [true, false] {
        let (intake, address, running) = running("");
        intake.withhold(true);
        let mut idle = TcpStream::connect(address).unwrap();
        let sender = thread::spawn(move || exchange(address, &post(b"a record")));
        running.wait_for(|seen| seen.bytes() == b"a record");
        let stopped = thread::spawn(move || running.stop());
        // Whoever has nothing under way is sent away first.
        assert_eq!(read_all(&mut idle), "");
        if accepted {
            intake.withhold(false);
        }
        let answer = sender.join().unwrap();
        assert!(has_status(&answer, if accepted { 200 } else { 503 }), "{answer}");
        stopped.join().unwrap().unwrap();
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn wrong_requests_are_told_what_was_expected() {
    let (intake, address, running) = running("endpoint = '/in'\ntoken = 'open sesame'\nmax_body = '1KiB'");
    let token = "Authorization: Bearer open sesame\r\n";
    let with = |more: &str| format!("{token}{more}");
    let chunked =
        [b"POST /in HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n", token.as_bytes(), b"\r\n"].concat();
    let chunks = |body: &[u8]| [&chunked[..], body].concat();
    let cases: [(Vec<u8>, u16, &str); 14] = [
        (request("POST", "/in", "", b"x"), 401, "www-authenticate: Bearer"),
        (request("POST", "/in", "Authorization: Bearer open sesamE\r\n", b"x"), 401, "Authorization"),
        (request("POST", "/in", "Authorization: Basic open sesame\r\n", b"x"), 401, "Authorization"),
        (request("POST", "/other", token, b"x"), 404, "expected the path /in\n"),
        (request("GET", "/in", token, b""), 405, "allow: POST, PUT"),
        (request("POST", "/in", &with("Content-Encoding: br\r\n"), b"x"), 415, "accept-encoding: gzip, zstd"),
        (request("POST", "/in", token, &[b'x'; 1025]), 413, "at most 1 KiB, unpacked (option `max_body`)"),
        (request("POST", "/in", &with("Expect: 100-continue\r\n"), &[b'x'; 1025]), 413, "max_body"),
        (chunks(&[b"401\r\n", &[b'x'; 1025][..], b"\r\n0\r\n\r\n"].concat()), 413, "max_body"),
        (chunks(b"zz\r\nx\r\n0\r\n\r\n"), 400, "the body is cut or wrong"),
        (chunks(b"ffffffffffffffffffff\r\nx"), 400, "the body is cut or wrong"),
        (request("POST", "/in", &with("Content-Encoding: gzip\r\n"), b"plain"), 400, "not gzip"),
        (request("POST", "/in", &with("Content-Encoding: gzip\r\n"), &gzip(&[b'x'; 100])[..15]), 400, "not gzip"),
        (request("POST", "/in", &with("Content-Encoding: gzip\r\n"), &gzip(&[b'x'; 100_000])), 413, "max_body"),
    ];
    let n = cases.len() as u64;
    for (request, status, text) in cases {
        let answer = exchange(address, &request);
        assert!(has_status(&answer, status) && answer.contains(text), "expected {status} and {text}: {answer}");
    }
    for (body, more) in [(vec![b'y'; 1024], ""), (gzip(&[b'z'; 1024]), "Content-Encoding: GZIP\r\n"), (Vec::new(), "")] {
        let answer = exchange(address, &request("POST", "/in?a=b", &with(more), &body));
        assert!(has_status(&answer, 200), "{answer}");
    }
    running.wait_for(|_| running.meter().read().contains(&("refused_requests", n)));
    running.stop().unwrap();
    assert_eq!(intake.seen().bytes(), [[b'y'; 1024], [b'z'; 1024]].concat());
}

#[test]
fn what_is_not_http_is_answered_or_dropped_and_leaves_no_trace() {
    let (intake, address, running) = running("");
    let cases: [&[u8]; 8] = [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        // Whose length counts must not depend on who reads it.
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\ncut",
    ];
    for request in cases {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(request).unwrap();
        let _ = socket.shutdown(Shutdown::Write);
        let answer = read_all(&mut socket);
        assert!(answer.is_empty() || has_status(&answer, 400), "{answer}");
    }
    let answer = exchange(address, &[b"POST / HTTP/1.1\r\nHost: h\r\nX: ", &[b'x'; 200_000][..]].concat());
    assert!(answer.is_empty() || has_status(&answer, 431), "{answer}");
    assert!(has_status(&exchange(address, &post(b"sound")), 200));
    running.stop().unwrap();
    assert_eq!(intake.seen().bytes(), b"sound");
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let (intake, address, running) = running("");
    let ahead = |body: &str| format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut requests: Vec<u8> = (0..50).flat_map(|i| ahead(&format!("ahead {i}")).into_bytes()).collect();
    requests.extend(request("GET", "/", "", b""));
    let answers = exchange(address, &requests);
    let statuses: Vec<_> = answers.lines().filter_map(|l| l.strip_prefix("HTTP/1.1 ")).collect();
    assert_eq!(statuses, [vec!["200 OK"; 50], vec!["405 Method Not Allowed"]].concat());
    running.stop().unwrap();
    assert_eq!(intake.seen().lines(), (0..50).map(|i| format!("ahead {i}")).collect::<Vec<_>>());
}

#[test]
fn senders_that_dawdle_are_given_up() {
    let (intake, address, running) = running("timeout = '100ms'");
    for (part, expected) in
        [("", ""), ("POST / HTTP/1.1\r\nX: ", ""), ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nslow", "408")]
    {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(part.as_bytes()).unwrap();
        let answer = read_all(&mut socket);
        assert!(answer.get(9..12).unwrap_or_default() == expected, "{part:?}: {answer}");
    }
    running.wait_for(|_| running.meter().read().contains(&("connections", 3)));
    assert!(!running.meter().read().iter().any(|(name, n)| *name == "failed_handshakes" && *n > 0), "nobody was to shake hands");
    running.stop().unwrap();
    assert_eq!(intake.seen().bytes(), b"");
}

#[test]
fn senders_are_put_off_while_too_much_is_waiting() {
    let (intake, address, running) = running("max_body = '1KiB'\nmax_waiting = '4KiB'");
    assert!(has_status(&exchange(address, &post(b"first")), 200));
    let seen = intake.seen();
    // The input waits for the intake while this is held: bodies stay where they are.
    let senders: Vec<_> = (0..8).map(|_| thread::spawn(move || exchange(address, &post(&[b'x'; 1024])))).collect();
    while senders.iter().filter(|s| s.is_finished()).count() < 4 {
        thread::yield_now();
    }
    drop(seen);
    let answers: Vec<_> = senders.into_iter().map(|s| s.join().unwrap()).collect();
    let busy = answers.iter().filter(|a| has_status(a, 503) && a.contains("max_waiting") && a.contains("retry-after: 1")).count();
    assert_eq!(busy + answers.iter().filter(|a| has_status(a, 200)).count(), 8);
    running.wait_for(|_| running.meter().read().contains(&("put_off_requests", busy as u64)));
    assert!(has_status(&exchange(address, &post(b"again")), 200));
}

#[test]
fn a_connection_beyond_the_limit_is_closed_and_counted() {
    let (_, address, running) = running("max_connections = 1");
    let mut first = TcpStream::connect(address).unwrap();
    running.wait_for(|_| running.meter().read().contains(&("connections", 1)));
    assert_eq!(exchange(address, &post(b"second")), "");
    running.wait_for(|_| running.meter().read().contains(&("refused_connections", 1)));
    first.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok").unwrap();
    let mut line = String::new();
    BufReader::new(first).read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 200 OK\r\n");
}

#[test]
fn what_cannot_work_is_refused_when_it_is_configured() {
    for (more, option) in [
        ("max_connections = 0", "max_connections"),
        ("max_waiting = '1MiB'", "max_waiting"),
        ("max_body = '0B'", "max_waiting"),
        ("endpoint = 'logs'", "endpoint"),
        ("token = ''", "token"),
    ] {
        let problem = http(&format!("listen = '127.0.0.1:0'\n{more}")).err().unwrap().to_string();
        assert!(problem.contains(option), "{problem}");
    }
}

#[test]
fn an_address_in_use_is_fatal_and_names_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let fatal = http(&format!("listen = '{}'", taken.local_addr().unwrap())).unwrap_or_else(|p| panic!("{p}")).bind().unwrap_err();
    assert!(fatal.to_string().contains("option `listen`"), "{fatal}");
}
