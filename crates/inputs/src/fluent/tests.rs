use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use flate2::Compression;
use flate2::write::GzEncoder;
use message::{MessageRef, Value};
use plugin::Clock;
use proptest::prelude::*;
use serde_json::json;
use testkit::intake::{RecordingIntake, Running, Seen, start_at};

use super::*;

fn fluent(toml: &str) -> Fluent {
    Fluent::new(&testkit::plugins::options(&KIND, toml).unwrap(), &testkit::plugins::build_cx()).unwrap()
}

fn running(more: &str) -> (RecordingIntake, SocketAddr, Running) {
    let mut fluent = fluent(&format!("listen = '127.0.0.1:0'\n{more}"));
    let listener = fluent.bind().unwrap();
    let address = listener.local_addr().unwrap();
    fluent.listener = Some(listener);
    let intake = RecordingIntake::default();
    let running = start_at(Box::new(fluent), &intake, Clock::real());
    (intake, address, running)
}

fn bytes(value: serde_json::Value) -> Vec<u8> {
    rmp_serde::to_vec(&value).unwrap()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Logger, Timestamp, Payload and the field `n` of all messages made.
fn made(seen: &Seen) -> Vec<String> {
    let one = |m: MessageRef<'_>| {
        let text = |t: &[u8]| String::from_utf8(t.to_vec()).unwrap();
        let n = match m.value(b"n", 0, 0) {
            Some(Value::Integer(n)) => n,
            _ => -1,
        };
        assert_eq!((m.type_(), m.value(b"tag", 0, 0)), (&b"fluent"[..], Some(Value::String(m.logger()))));
        format!("{} {} {} {n}", text(m.logger()), m.timestamp(), text(m.payload()))
    };
    seen.made.iter().flat_map(|batch| batch.iter().map(one).collect::<Vec<_>>()).collect()
}

fn packed(entries: &[u8], options: serde_json::Value) -> Vec<u8> {
    let mut frame = b"\x93\xa1p\xc6".to_vec();
    frame.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    frame.extend_from_slice(entries);
    frame.extend_from_slice(&bytes(options));
    frame
}

fn read_until_closed(socket: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = socket.read_to_end(&mut all);
    all
}

#[test]
fn every_mode_arrives_whatever_the_reads() {
    let (intake, address, running) = running("peer_field = 'peer'");
    let entries = [bytes(json!([3, {"log": "three", "n": 3}])), bytes(json!([4, {"message": "four", "n": 4}]))].concat();
    let stream = [
        bytes(json!(["a.b", 1, {"message": "one", "n": 1}])),
        bytes(json!(["l", [[2, {"msg": "two", "n": 2, "k8s": {"pod": "x"}}]]])),
        packed(&entries, json!({"size": 2})),
        packed(&gzip(&[bytes(json!([5, {"n": 5}])), bytes(json!([6, 7]))].concat()), json!({"compressed": "gzip"})),
        b"\x93\xa1e\xd7\x00\x00\x00\x00\x07\x00\x00\x00\x08\x81\xa1n\x07".to_vec(),
    ]
    .concat();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    for (i, piece) in stream.chunks(7).enumerate() {
        socket.write_all(piece).unwrap();
        if i % 10 == 0 {
            running.wait_for(|seen| seen.polls > 0);
        }
    }
    let expected =
        ["a.b 1000000000 one 1", "l 2000000000 two 2", "p 3000000000 three 3", "p 4000000000 four 4", "p 5000000000  5", "e 7000000008  7"];
    running.wait_for(|seen| made(seen).len() == expected.len());
    running.wait_for(|_| running.meter().read().contains(&("refused_events", 1)));
    running.stop().unwrap();
    assert_eq!(made(&intake.seen()), expected);
    let seen = intake.seen();
    let two = seen.made[1].get(0);
    assert_eq!((two.value(b"k8s.pod", 0, 0), two.value(b"peer", 0, 0)), (Some(Value::String(b"x")), Some(Value::String(two.hostname()))));
    assert_eq!(two.hostname(), b"127.0.0.1");
}

#[test]
fn a_chunk_is_acknowledged_when_it_is_accepted_and_not_before() {
    let (intake, address, running) = running("");
    intake.withhold(true);
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(&bytes(json!(["t", [[1, {"n": 1}], [2, {"n": 2}]], {"chunk": "first"}]))).unwrap();
    running.wait_for(|seen| made(seen).len() == 2);
    socket.write_all(&bytes(json!(["t", 3, {"n": 3}, {"chunk": "second"}]))).unwrap();
    running.wait_for(|seen| made(seen).len() == 3);
    socket.set_nonblocking(true).unwrap();
    assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
    // It has nothing more to send, but waits.
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    intake.withhold(false);
    let answers = read_until_closed(&mut socket);
    let mut reader = msgpack::Reader::new(&answers);
    let mut acks = Vec::new();
    while !reader.is_done() {
        acks.push(rmp_serde::from_slice::<serde_json::Value>(reader.raw().unwrap()).unwrap());
    }
    assert_eq!(acks, [json!({"ack": "first"}), json!({"ack": "second"})]);
}

#[test]
fn what_is_lost_is_not_acknowledged_and_the_peer_is_sent_away() {
    let (intake, address, running) = running("");
    intake.withhold(true);
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(&bytes(json!(["t", 1, {"n": 1}, {"chunk": "c"}]))).unwrap();
    running.wait_for(|seen| made(seen).len() == 1);
    intake.lose();
    assert_eq!(read_until_closed(&mut socket), b"");
}

#[test]
fn what_had_arrived_before_the_stop_is_taken_and_acknowledged() {
    let (intake, address, running) = running("");
    let mut socket = TcpStream::connect(address).unwrap();
    running.wait_for(|seen| seen.streams.len() == 1);
    {
        let seen = intake.seen();
        // The input waits for the intake while this is held.
        socket.write_all(&bytes(json!(["t", 1, {"n": 1}, {"chunk": "c"}])).repeat(500)).unwrap();
        drop(seen);
    }
    running.stop().unwrap();
    let answers = read_until_closed(&mut socket);
    assert_eq!((made(&intake.seen()).len(), answers.len()), (500, 500 * 9));
    assert!(intake.seen().streams[0].closed);
}

#[test]
fn who_does_not_know_the_key_is_not_heard() {
    let (intake, address, running) = running("shared_key = 'secret'");
    let mut stranger = TcpStream::connect(address).unwrap();
    stranger.write_all(&bytes(json!(["t", 1, {"n": 1}]))).unwrap();
    read_until_closed(&mut stranger);
    assert!(running.meter().read().contains(&("refused_messages", 1)) && intake.seen().made.is_empty());
}

#[test]
fn wrong_and_large_messages_end_the_connection() {
    let (intake, address, running) = running("max_message = '1KiB'\nmax_buffered = '1KiB'");
    let bomb = packed(&gzip(&[0xc0; 100_000]), json!({"compressed": "gzip"}));
    let cases: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n",
        b"\xc1",
        &bomb,
        &[0x91; 200],
        &[&b"\x92\xa1t\xc6\x00\x10\x00\x00"[..], &[0; 3000]].concat(),
        &packed(b"\x92\x01\x80\x92\x01", json!({})),
    ];
    for (n, wrong) in cases.iter().enumerate() {
        let mut socket = TcpStream::connect(address).unwrap();
        let _ = socket.write_all(wrong);
        assert_eq!(read_until_closed(&mut socket), b"");
        running.wait_for(|_| running.meter().read().contains(&("refused_messages", n as u64 + 1)));
    }
    assert!(intake.seen().made.is_empty());
}

proptest! {
    #[test]
    fn any_bytes_make_messages_or_are_refused(entries in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..0xc0u8], 0..60), max in 1..50usize) {
        let mut events = Events::new(Flatten::new(".", 4, 20), &[], max);
        let mut intake = RecordingIntake::default();
        let origin = super::connection::Origin { hostname: String::new(), field: None };
        let stream = plugin::Intake::open(&mut intake, plugin::StreamOptions::default());
        for frame in [packed(&entries, json!({})), packed(&gzip(&entries), json!({"compressed": "gzip"})), [b"\x92\xa1t".to_vec(), entries.clone()].concat()] {
            if let Ok(frame) = super::frame::Frame::read(&frame) {
                let before = intake.seen().made.len();
                let result = events.make(&frame, &origin, stream, &mut intake);
                prop_assert!(result.is_ok() || intake.seen().made.len() == before);
            }
        }
    }
}

#[test]
fn a_limit_that_is_none_is_a_problem_of_the_configuration() {
    for toml in ["max_depth = 0", "max_fields = 0", "max_message = '1B'", "max_buffered = '1B'", "shared_key = ''"] {
        assert!(testkit::plugins::input(&KIND, &format!("listen = '127.0.0.1:0'\n{toml}")).is_err(), "{toml}");
    }
}
