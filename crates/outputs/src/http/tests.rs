use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use flate2::read::GzDecoder;
use plugin::Verdict;
use testkit::deliver::{Delivery, payloads};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A request as the server read it.
#[derive(Clone, Debug)]
struct Seen {
    /// In lower case.
    head: String,
    body: Vec<u8>,
    /// Which of the server's connections it came on.
    connection: usize,
}

impl Seen {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// What to do with a request: answer, and perhaps close.
type Reply = fn(&Seen) -> (&'static str, bool);

/// A server that answers as it is told.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn new(reply: Reply) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, seen, ended) = (listener.local_addr().unwrap(), Arc::default(), Arc::new(AtomicBool::new(false)));
        let (own, over) = (Arc::clone(&seen), ended.clone());
        let thread = thread::spawn(move || {
            for (connection, socket) in listener.incoming().enumerate() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let own = Arc::clone(&own);
                thread::spawn(move || serve(socket.unwrap(), connection, &own, reply));
            }
        });
        Server { address, seen, ended, thread: Some(thread) }
    }

    fn output(&self, more: &str) -> Delivery {
        let toml = format!("url = 'http://{}/logs?key=k'\n{more}", self.address);
        Delivery::new(testkit::plugins::output(&KIND, &toml).unwrap())
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Answers on one connection until one side closes it.
fn serve(socket: TcpStream, connection: usize, seen: &Mutex<Vec<Seen>>, reply: Reply) {
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    while let Some(head) = head(&mut reader) {
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).expect("a length").parse().unwrap();
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let request = Seen { head, body, connection };
        let (answer, close) = reply(&request);
        seen.lock().unwrap().push(request);
        if (&socket).write_all(answer.as_bytes()).is_err() || close {
            return;
        }
    }
}

fn head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head.to_lowercase().replace("\r\n", "\n"))
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const NO: &str = "HTTP/1.1 422 Not Good\r\nContent-Length: 9\r\n\r\nnot good\n";

fn why(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Retry { why, .. } | Verdict::Reject(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_batch_is_a_request_and_connections_are_kept() {
    let server = Server::new(|_| (OK, false));
    let mut delivery = server.output("headers = { X-Tenant = 'blue', Authorization = 'Bearer b' }");
    for batch in [payloads(["one", "two"]), payloads(["three"])] {
        assert!(delivery.write(&batch).iter().all(|v| *v == Verdict::Done));
    }
    let seen = server.seen();
    assert_eq!(seen.iter().map(Seen::text).collect::<Vec<_>>(), ["one\ntwo\n", "three\n"]);
    assert_eq!((seen[0].connection, seen[1].connection), (0, 0));
    let expected = [
        "post /logs?key=k http/1.1\n",
        "\ncontent-type: application/x-ndjson\n",
        "\nx-tenant: blue\n",
        "\nauthorization: bearer b\n",
        "\nuser-agent: nilometer/",
        "\ncontent-length: 8\n",
    ];
    for part in expected {
        assert!(seen[0].head.contains(part), "{part} is not in {}", seen[0].head);
    }
}

#[test]
fn a_connection_the_server_closed_meanwhile_costs_nothing() {
    let server = Server::new(|_| (OK, true));
    let mut delivery = server.output("");
    for text in ["one", "two", "three"] {
        assert_eq!(delivery.deliver(&payloads([text]), PATIENCE), [Verdict::Done]);
    }
    assert_eq!(server.seen().iter().map(Seen::text).collect::<Vec<_>>(), ["one\n", "two\n", "three\n"]);
}

#[test]
fn an_answer_that_does_not_come_is_a_retry() {
    let server = Server::new(|_| ("", true));
    let verdicts = server.output("").write(&payloads(["a", "b"]));
    assert!(verdicts.iter().all(|v| matches!(v, Verdict::Retry { .. })), "{verdicts:?}");
    let text = why(&verdicts[0]);
    assert!(text.starts_with(&format!("http://{}/logs: ", server.address)) && !text.contains("key"), "{text}");
}

#[test]
fn only_the_messages_that_are_refused_are_rejected() {
    let server = Server::new(|r| if r.text().contains("bad") { (NO, false) } else { (OK, false) });
    let texts: Vec<_> = (0..200).map(|i| if [0, 57, 58, 199].contains(&i) { format!("bad {i}") } else { format!("good {i}") }).collect();
    let verdicts = server.output("").write(&payloads(&texts));
    for (text, verdict) in texts.iter().zip(&verdicts) {
        assert_eq!(matches!(verdict, Verdict::Reject(_)), text.starts_with("bad"), "{text}: {verdict:?}");
    }
    assert!(why(&verdicts[57]).ends_with("the server answered 422 Unprocessable Entity: not good"), "{}", why(&verdicts[57]));
    // The others arrived once, in order.
    let taken: String = server.seen().iter().map(Seen::text).filter(|t| !t.contains("bad")).collect();
    assert_eq!(taken, texts.iter().filter(|t| t.starts_with("good")).map(|t| format!("{t}\n")).collect::<String>());
}

#[test]
fn a_server_that_refuses_everything_is_asked_a_bounded_number_of_times() {
    let server = Server::new(|_| (NO, false));
    let mut delivery = server.output("");
    let batch = payloads((0..1000).map(|i| i.to_string()));
    let verdicts = delivery.write(&batch);
    assert_eq!(server.seen().len(), MAX_REQUESTS);
    let rejected = verdicts.iter().take_while(|v| matches!(v, Verdict::Reject(_))).count();
    assert!(rejected > 10 && verdicts[rejected..].iter().all(|v| matches!(v, Verdict::Retry { .. })));
    assert!(why(&verdicts[999]).contains("422"), "{}", why(&verdicts[999]));
    assert!(delivery.deliver(&batch, PATIENCE).iter().all(|v| matches!(v, Verdict::Reject(_))));
}

#[test]
fn a_server_that_is_busy_is_asked_again_when_it_says() {
    const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let server = Server::new(|r| if r.text().starts_with('b') { (BUSY, false) } else { (NO, false) });
    // The whole and `a` are refused; then the server is busy, and what follows is kept.
    let verdicts = server.output("").write(&payloads(["a", "b", "c"]));
    assert!(matches!(&verdicts[0], Verdict::Reject(_)), "{verdicts:?}");
    assert!(matches!(&verdicts[1], Verdict::Retry { after: Some(after), .. } if *after == Duration::from_secs(7)), "{verdicts:?}");
    assert_eq!(verdicts[2], verdicts[1]);
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn statuses_of_the_configuration_are_retried() {
    let server = Server::new(|_| ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", false));
    let batch = payloads(["a"]);
    assert!(matches!(&server.output("").write(&batch)[..], [Verdict::Retry { .. }]), "a wrong password");
    assert!(matches!(&server.output("retry_status = '409'").write(&batch)[..], [Verdict::Reject(_)]));
    assert!(matches!(&server.output("retry_status = '401'").write(&batch)[..], [Verdict::Retry { .. }]));
}

#[test]
fn redirects_are_not_followed() {
    let server = Server::new(|_| ("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", false));
    let verdicts = server.output("").write(&payloads(["a"]));
    assert!(why(&verdicts[0]).contains("http://127.0.0.1:1/; redirects are not followed: set option `url`"), "{verdicts:?}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn bodies_are_compressed_on_demand() {
    let server = Server::new(|_| (OK, false));
    let texts: Vec<_> = (0..1000).map(|i| format!("line {i}")).collect();
    assert!(server.output("gzip = true\nmethod = 'PUT'").write(&payloads(&texts)).iter().all(|v| *v == Verdict::Done));
    let seen = server.seen().remove(0);
    assert!(seen.head.starts_with("put ") && seen.head.contains("\ncontent-encoding: gzip\n"), "{}", seen.head);
    let mut plain = String::new();
    GzDecoder::new(&seen.body[..]).read_to_string(&mut plain).unwrap();
    assert_eq!(plain.lines().collect::<Vec<_>>(), texts);
}

/// Reads the head of one request, then does something else than reading the body.
fn rude(then: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let socket = listener.accept().unwrap().0;
        head(&mut BufReader::with_capacity(64, socket.try_clone().unwrap())).unwrap();
        then(socket);
    });
    (address, thread)
}

fn output_to(address: SocketAddr, more: &str) -> Delivery {
    Delivery::new(testkit::plugins::output(&KIND, &format!("url = 'http://{address}/'\n{more}")).unwrap())
}

const TOO_LARGE: &[u8] = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

#[test]
fn an_answer_given_before_the_body_was_read_is_heard() {
    // Whether the server closes, or keeps the connection open without reading.
    for close in [true, false] {
        let (done, until) = std::sync::mpsc::sync_channel::<()>(1);
        let (address, server) = rude(move |mut socket| {
            socket.write_all(TOO_LARGE).unwrap();
            if !close {
                let _ = until.recv();
            }
        });
        let verdicts = output_to(address, "").write(&payloads([vec![b'x'; 64 << 20]]));
        assert!(matches!(&verdicts[..], [Verdict::Reject(why)] if why.contains("413")), "{verdicts:?}");
        drop(done);
        server.join().unwrap();
    }
}

#[test]
fn a_body_that_was_not_read_is_not_delivered_whatever_the_server_says() {
    let (done, until) = std::sync::mpsc::sync_channel::<()>(1);
    let (address, server) = rude(move |mut socket| {
        socket.write_all(OK.as_bytes()).unwrap();
        let _ = until.recv();
    });
    let verdicts = output_to(address, "").write(&payloads([vec![b'x'; 64 << 20]]));
    assert!(why(&verdicts[0]).contains("before it had read all of it"), "{verdicts:?}");
    drop(done);
    server.join().unwrap();
}

#[test]
fn a_silent_server_is_given_up_by_the_timeout_and_by_a_stop() {
    for (more, stop, expected) in [("timeout = '50ms'", false, "option `timeout`"), ("timeout = '1h'", true, "stopped while waiting")] {
        let (done, until) = std::sync::mpsc::sync_channel::<()>(1);
        let (address, server) = rude(move |_socket| until.recv().unwrap_or_default());
        let mut delivery = output_to(address, more);
        if stop {
            delivery.stop.ask();
        }
        let verdicts = delivery.write(&payloads(["a"]));
        assert!(why(&verdicts[0]).contains(expected), "{verdicts:?}");
        drop(done);
        server.join().unwrap();
    }
}

#[test]
fn answers_that_are_not_http_or_have_no_end_are_retries() {
    for answer in ["garbage\r\n\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\ncut"] {
        let (address, server) = rude(move |mut socket| socket.write_all(answer.as_bytes()).unwrap());
        let verdicts = output_to(address, "").write(&payloads(["a"]));
        assert!(matches!(&verdicts[..], [Verdict::Retry { .. }]), "{answer:?}: {verdicts:?}");
        server.join().unwrap();
    }
    // Headers without end, and a body without end.
    for start in ["HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 503 Busy\r\n\r\n"] {
        let (address, server) = rude(move |mut socket| {
            socket.write_all(start.as_bytes()).unwrap();
            while socket.write_all(&[b'x'; 4096]).is_ok() {}
        });
        let verdicts = output_to(address, "").write(&payloads(["a"]));
        assert!(matches!(&verdicts[..], [Verdict::Retry { .. }]), "{start:?}: {verdicts:?}");
        server.join().unwrap();
    }
}

#[test]
fn what_is_no_url_or_header_is_refused_when_it_is_configured() {
    let cases = [
        ("url = 'ftp://h/'", "`url`"),
        ("url = '/logs'", "`url`"),
        ("url = 'http://me:secret@h/'", "credentials"),
        ("url = 'http://h/'\nheaders = { 'a b' = 'x' }", "`a b`"),
        ("url = 'http://h/'\nheaders = { a = \"x\\ny\" }", "`a`"),
        ("url = 'http://h/'\nheaders = { Content-Length = '3' }", "`Content-Length`"),
        ("url = 'http://h/'\nretry_status = '500'", "`retry_status`"),
    ];
    for (toml, expected) in cases {
        let problem = testkit::plugins::output(&KIND, toml).err().unwrap();
        assert!(problem.contains(expected) && !problem.contains("secret"), "{problem}");
    }
}

#[test]
fn a_server_without_a_trusted_certificate_gets_nothing() {
    let server = Server::new(|_| (OK, false));
    let mut delivery =
        Delivery::new(testkit::plugins::output(&KIND, &format!("url = 'https://{}/'\ntimeout = '5s'", server.address)).unwrap());
    assert!(matches!(&delivery.write(&payloads(["secret"]))[..], [Verdict::Retry { .. }]));
    assert!(server.seen().is_empty());
}

/// Prints its port, and then the body of each request.
const PYTHON: &str = "
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        sys.stdout.write(body.decode())
        sys.stdout.flush()
        self.send_response(204)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
";

#[test]
fn a_python_server_takes_everything_in_order() {
    let mut python = Command::new("python3").args(["-c", PYTHON]).stdout(Stdio::piped()).spawn().expect("python3");
    let mut lines = BufReader::new(python.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = format!("127.0.0.1:{}", lines.next().unwrap()).parse().unwrap();
    let mut delivery = output_to(address, "");
    let deadline = Instant::now() + PATIENCE;
    for batch in 0..20 {
        let texts: Vec<_> = (0..500).map(|i| format!("{batch} {i}")).collect();
        let verdicts = delivery.deliver(&payloads(&texts), PATIENCE);
        assert!(verdicts.iter().all(|v| *v == Verdict::Done) && Instant::now() < deadline, "{:?}", verdicts.first());
        assert_eq!(lines.by_ref().take(texts.len()).collect::<Vec<_>>(), texts);
    }
    python.kill().unwrap();
    python.wait().unwrap();
}
