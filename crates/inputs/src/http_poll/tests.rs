use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use message::Value;
use plugin::Clock;
use testkit::certificates::Authority;
use testkit::intake::{RecordingIntake, Running, Seen, start, start_at};
use testkit::plugins::options_of;
use transport::{SERVER_OPTIONS, ServerTls};

use super::*;

fn input(toml: &str) -> Result<Box<dyn Input>, String> {
    testkit::plugins::input(&KIND, toml)
}

fn begin(toml: &str) -> (RecordingIntake, Running) {
    let intake = RecordingIntake::default();
    let running = start(input(toml).unwrap(), &intake);
    (intake, running)
}

/// Answers every request over a connection of its own, and remembers what was asked.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
}

impl Server {
    fn new(answer: impl Fn(usize) -> Vec<u8> + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { address: listener.local_addr().unwrap(), requests: Arc::default(), ended: Arc::default() };
        let (requests, ended) = (server.requests.clone(), server.ended.clone());
        thread::spawn(move || {
            for (n, socket) in listener.incoming().enumerate() {
                let Some(mut socket) = socket.ok().filter(|_| !ended.load(Ordering::Relaxed)) else { return };
                requests.lock().unwrap().push(head(&mut socket));
                // The client may have seen enough before everything is sent.
                let _ = socket.write_all(&answer(n));
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("http://{}/path?key=secret", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn head(from: &mut impl Read) -> String {
    let lines = BufReader::new(from).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    lines.fold(String::new(), |head, line| head + &line + "\n")
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// What went wrong: text and status.
fn errors(seen: &Seen) -> Vec<(String, Option<i64>)> {
    let messages = seen.made.iter().flat_map(|batch| batch.iter()).filter(|m| m.type_() == b"http_poll.error");
    messages
        .map(|m| {
            assert!(matches!(m.value(b"duration", 0, 0), Some(Value::Double(d)) if d >= 0.0));
            assert!(matches!(m.value(b"url", 0, 0), Some(Value::String(url)) if url.starts_with(b"http")));
            let status = match m.value(b"status", 0, 0) {
                Some(Value::Integer(n)) => Some(n),
                _ => None,
            };
            (String::from_utf8_lossy(m.payload()).into_owned(), status)
        })
        .collect()
}

fn has_counted(running: &Running, name: &'static str, n: u64) -> bool {
    running.meter().read().contains(&(name, n))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn answers_are_read_at_every_turn() {
    let server = Server::new(|n| answer("200 OK", "", format!("one {n}\ntwo {n}").as_bytes()));
    let (intake, clock) = (RecordingIntake::default(), Clock::standing(1_000_000_000));
    let running = start_at(input(&format!("urls = '{}'\nevery = '10s'", server.url())).unwrap(), &intake, clock.clone());
    running.wait_for(|seen| seen.lines() == ["one 0", "two 0"]);
    clock.set(10_999_999_999);
    let polls = intake.seen().polls;
    running.wait_for(|seen| seen.polls > polls + 1);
    assert_eq!(server.requests().len(), 1);
    clock.set(11_000_000_000);
    running.wait_for(|seen| seen.lines() == ["one 0", "two 0", "one 1", "two 1"]);
    running.stop().unwrap();
    let seen = intake.seen();
    let shown = format!("http://{}/path", server.address);
    let options = &seen.streams[0].options;
    assert_eq!((&options.logger, &options.fields), (&shown, &vec![("url".to_string(), shown.clone())]), "the query may hold a key");
    assert!(seen.streams[0].closed && server.requests()[0].starts_with("GET /path?key=secret HTTP/1.1\n"));
}

#[test]
fn requests_say_who_asks() {
    let server = Server::new(|_| answer("200 OK", "", b"x"));
    for (more, expected) in [
        ("token = 'open sesame'", "authorization: Bearer open sesame\n"),
        ("user = 'Aladdin'\npassword = 'open sesame'", "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\n"),
        ("headers = { X-Of-Mine = 'this' }", "x-of-mine: this\n"),
    ] {
        let (_, running) = begin(&format!("urls = '{}'\n{more}", server.url()));
        running.wait_for(|seen| seen.bytes() == b"x");
        let request = server.requests().pop().unwrap();
        assert!(request.contains(expected) && request.contains("accept-encoding: gzip, zstd\n"), "{request}");
    }
}

#[test]
fn packed_answers_are_unpacked() {
    for (encoding, body) in [("gzip", gzip(b"a record")), ("zstd", zstd::encode_all(&b"a record"[..], 1).unwrap()), ("gzip", Vec::new())] {
        let expected = if body.is_empty() { &b""[..] } else { b"a record" };
        let server = Server::new(move |_| answer("200 OK", &format!("Content-Encoding: {encoding}\r\n"), &body));
        let (_, running) = begin(&format!("urls = '{}'", server.url()));
        running.wait_for(|seen| seen.streams.first().is_some_and(|s| s.ends == [expected.len()] && s.bytes == expected));
    }
}

#[test]
fn failures_are_told() {
    let packed = "Content-Encoding: gzip\r\n";
    for (answer, status, told) in [
        (answer("503 Service Unavailable", "", b"body"), Some(503), "503 Service Unavailable"),
        (answer("302 Found", "Location: http://127.0.0.1:1/\r\n", b""), Some(302), "302 Found, to http://127.0.0.1:1/"),
        (answer("200 OK", "", &[b'x'; 1025]), Some(200), "larger than 1 KiB (option `max_body`)"),
        (answer("200 OK", packed, &gzip(&[b'x'; 500_000])), Some(200), "larger than 1 KiB (option `max_body`)"),
        (answer("200 OK", packed, b"plain"), Some(200), "the body is not gzip"),
        (answer("200 OK", "Content-Encoding: br\r\n", b"plain"), Some(200), "none of gzip, zstd"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut".to_vec(), Some(200), ""),
        (b"garbage\r\n\r\n".to_vec(), None, ""),
        (Vec::new(), None, ""),
    ] {
        let server = Server::new(move |_| answer.clone());
        let (intake, running) = begin(&format!("urls = '{}'\nmax_body = '1KiB'\nevery = '1h'", server.url()));
        running.wait_for(|seen| !errors(seen).is_empty());
        assert!(has_counted(&running, "failed_requests", 1) && has_counted(&running, "requests", 1));
        running.stop().unwrap();
        let error = errors(&intake.seen()).remove(0);
        assert!(error.1 == status && error.0.contains(told) && !error.0.is_empty() && !error.0.contains("secret"), "{error:?}");
        assert_eq!(intake.seen().bytes(), b"");
    }
}

#[test]
fn nobody_there_is_told() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_, running) = begin(&format!("urls = 'http://{gone}/'"));
    running.wait_for(|seen| errors(seen).first().is_some_and(|e| e.0.contains("refused") && e.1.is_none()));
}

#[test]
fn one_that_does_not_answer_holds_up_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::new(|_| answer("200 OK", "", b"x\n"));
    let urls = format!("urls = ['http://{}/', '{}']\nevery = '20ms'", silent.local_addr().unwrap(), server.url());
    let (_, running) = begin(&format!("{urls}\ntimeout = '1h'"));
    running.wait_for(|seen| seen.streams.len() == 2 && seen.streams[1].ends.len() > 2);
    running.wait_for(|_| running.meter().read().iter().any(|(name, n)| *name == "skipped_requests" && *n > 0));
    // Nor a stop.
    running.stop().unwrap();
    let (_, running) = begin(&format!("{urls}\ntimeout = '50ms'"));
    running.wait_for(|seen| errors(seen).first().is_some_and(|e| e.0.contains("within 50ms (option `timeout`)")));
}

#[test]
fn servers_of_an_authority_of_ones_own_are_trusted() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let (ca, server) = (authority.write(dir.path()), authority.issue(dir.path(), "server"));
    let options = options_of(SERVER_OPTIONS, &format!("tls = true\ntls_cert = {:?}\ntls_key = {:?}", server.cert, server.key)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("urls = 'https://{}/'\nevery = '1h'", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let tls = ServerTls::new(&options).unwrap().unwrap();
        for _ in 0..2 {
            let socket = listener.accept().unwrap().0;
            // A read of an encrypted stream goes on until there is nothing more.
            socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let mut stream = tls.accept(socket, Duration::ZERO).unwrap();
            if stream.complete(|_, _| Ok(())).is_ok() {
                let (mut head, mut block) = (Vec::new(), [0; 4096]);
                while !head.ends_with(b"\r\n\r\n") {
                    let n = stream.read(&mut block).or_else(|e| if e.kind() == ErrorKind::WouldBlock { Ok(0) } else { Err(e) });
                    head.extend_from_slice(&block[..n.unwrap()]);
                }
                stream.write_all(&answer("200 OK", "", b"secret")).unwrap();
                let _ = stream.shutdown_write();
            }
        }
    });
    let (_, running) = begin(&url);
    running.wait_for(|seen| errors(seen).first().is_some_and(|e| e.0.contains("certificate")));
    let (_, running) = begin(&format!("{url}\ntls_ca = {ca:?}"));
    running.wait_for(|seen| seen.bytes() == b"secret");
    serving.join().unwrap();
    let (_, running) = begin(&format!("{url}\ntls_ca = {:?}", server.key));
    let fatal = running.finish().unwrap_err().to_string();
    assert!(fatal.contains("no certificate") && fatal.contains("option `tls_ca`"), "{fatal}");
}

#[test]
fn jitter_is_within_its_bounds() {
    assert!((0..1000).all(|_| up_to(Duration::from_secs(1)) <= Duration::from_secs(1)) && up_to(Duration::ZERO).is_zero());
    assert!((0..100).any(|_| up_to(Duration::from_secs(1)) != up_to(Duration::from_secs(1))));
}

#[test]
fn what_cannot_work_is_refused_when_it_is_configured() {
    let url = "urls = 'http://a/'";
    for (toml, told) in [
        ("urls = []", "0 URLs"),
        ("urls = 'ftp://a/'", "no `http://`"),
        ("urls = 'http://u:p@a/'", "credentials"),
        ("urls = 'http://a b/'", "no URL"),
        (&format!("{url}\nevery = '1ms'"), "too short"),
        (&format!("{url}\nevery = '1s'\njitter = '2s'"), "longer than `every`"),
        (&format!("{url}\ntimeout = '0s'"), "`timeout` is 0"),
        (&format!("{url}\ntoken = 'a'\nuser = 'b'\npassword = 'c'"), "one Authorization"),
        (&format!("{url}\nuser = 'b'"), "needs `password`"),
        (&format!("{url}\ntoken = 'a'\nheaders = {{ Authorization = 'b' }}"), "there is one already"),
        (&format!("{url}\nheaders = {{ Content-Length = '1' }}"), "not for the configuration"),
        (&format!("{url}\nheaders = {{ A = 1 }}"), "is not a string"),
    ] {
        let problem = input(toml).err().unwrap();
        assert!(problem.contains(told), "{problem}");
    }
}
