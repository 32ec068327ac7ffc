//! The forward protocol with the client library of Fluentd for Python.

use std::net::TcpStream;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use xtask::package::FLUENT;

use super::{free_port, there};
use crate::nilo::{Dir, wait_until};

/// Sends single events with the library, as it is and as a handler of `logging`, and compressed ones that are acknowledged
/// with the library's own MessagePack, and prints what it is told.
const SENDER: &str = r#"
import gzip, logging, socket, sys
import msgpack
from fluent import handler, sender

port = int(sys.argv[1])
s = sender.FluentSender('app', host='127.0.0.1', port=port, nanosecond_precision=True)
for n in range(100):
    event = {'message': 'event %d' % n, 'n': n, 'nested': {'ok': True, 'list': ['a', 'b'], 'share': 0.5}, 'text': 'gr\u00fc\u00df'}
    assert s.emit_with_time('web', sender.EventTime.from_unix_nano(1700000000123456789 + n), event), s.last_error
s.close()

log = logging.getLogger('shop')
h = handler.FluentHandler('py', host='127.0.0.1', port=port)
h.setFormatter(handler.FluentRecordFormatter({'logger': '%(name)s', 'level': '%(levelname)s'}))
log.addHandler(h)
log.error({'message': 'by a handler', 'n': 100})
h.close()

entries = b''.join(msgpack.packb([msgpack.ExtType(0, (1700000001).to_bytes(4, 'big') + n.to_bytes(4, 'big')), {'log': 'packed', 'n': n}]) for n in range(200, 300))
packed = gzip.compress(entries[:len(entries) // 2]) + gzip.compress(entries[len(entries) // 2:])
c = socket.create_connection(('127.0.0.1', port))
c.settimeout(30)
c.sendall(msgpack.packb(['packed', packed, {'compressed': 'gzip', 'size': 100, 'chunk': 'the chunk'}]))
unpacker = msgpack.Unpacker()
while True:
    unpacker.feed(c.recv(100))
    for answer in unpacker:
        print(answer)
        sys.exit()
"#;

#[test]
fn the_library_for_python_arrives_to_the_nanosecond() {
    if !there(&[FLUENT]) {
        return;
    }
    let dir = Dir::with(&[("send.py", SENDER)]);
    let port = free_port();
    dir.write(
        "in.toml",
        format!(
            "[input.fluent]\ntype = 'fluent'\nlisten = '127.0.0.1:{port}'\n\
             [output.out]\ntype = 'file'\nmatch = 'TRUE'\ndir = 'out'\nname = 'out.json'\nencoder = 'json'\n"
        ),
    );
    let nilo = dir.spawn(["run", "in.toml"]);
    wait_until("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let sent = Command::new("python3").arg(dir.path("send.py")).arg(port.to_string()).env("PYTHONPATH", FLUENT.root()).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    assert_eq!(String::from_utf8_lossy(&sent.stdout), "{'ack': 'the chunk'}\n");
    let received = || {
        let text = std::fs::read_to_string(dir.path("out/out.json")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect::<Vec<_>>()
    };
    wait_until("everything arrives", || received().len() >= 201);
    nilo.signal(Signal::TERM);
    nilo.end().ok();
    let mut all = received();
    assert_eq!(all.len(), 201);
    all.sort_by_key(|m| m["n"].as_i64());
    for (n, m) in all[..100].iter().enumerate() {
        assert_eq!((&m["type"], &m["logger"], &m["payload"]), (&"fluent".into(), &"app.web".into(), &format!("event {n}").into()), "{m:#}");
        let time = m["timestamp"].as_str().unwrap();
        assert!(time.starts_with("2023-11-14T22:13:20.") && time.contains(&format!(".{}", 123_456_789 + n)), "{m:#}");
        assert_eq!((&m["nested.ok"], &m["nested.share"], &m["text"]), (&true.into(), &0.5.into(), &"gr\u{fc}\u{df}".into()), "{m:#}");
        assert_eq!((&m["nested.list"], &m["tag"]), (&serde_json::json!(["a", "b"]), &"app.web".into()), "{m:#}");
    }
    let handled = &all[100];
    assert_eq!(
        (&handled["logger"], &handled["payload"], &handled["level"]),
        (&"py".into(), &"by a handler".into(), &"ERROR".into()),
        "{handled:#}"
    );
    for (n, m) in all[101..].iter().enumerate() {
        assert_eq!((&m["payload"], &m["n"]), (&"packed".into(), &(200 + n).into()), "{m:#}");
        assert!(m["timestamp"].as_str().unwrap().contains(&format!(":21.{:09}", 200 + n)), "{m:#}");
    }
}
