//! Batches as inputs, decoders and transforms make them.

use message::{Batch, BatchBuilder, Datum, Span, Text, ValueType, wire};
use testkit::oracle::{self, Message};

/// Lines of 200 bytes as they were read, all with one envelope.
pub fn lines(n: usize) -> Batch {
    let mut b = BatchBuilder::default();
    let mark = b.messages().begin();
    for i in 0..n {
        let at = b.raw().len();
        let line = format!("{i:0>w$}\n", w = 190 + i % 20);
        b.raw().extend_from_slice(line.as_bytes());
        b.add().set_payload_text(Text::raw(at, line.len() - 1));
    }
    b.messages().stamp(0, 1_700_000_000_123_456_789);
    complete(&mut b, mark);
    b.finish()
}

fn complete(b: &mut BatchBuilder, mark: u32) {
    let m = b.messages();
    let texts = [b"web", b"log", b"one"].map(|text| m.store(text));
    m.fill(mark, texts[0], texts[1], texts[2]);
    let to = b.raw().len() as u64;
    b.cover(Span { stream: 1, from: 0, to });
}

/// Lines of an access log, whose fields are parts of the line.
pub fn nginx(n: usize) -> Batch {
    let mut b = BatchBuilder::default();
    let mark = b.messages().begin();
    let names = ["remote_addr", "remote_user", "request", "status", "bytes", "request_time", "referer", "agent"];
    let names = names.map(|name| b.messages().store(name.as_bytes()));
    let unit = b.messages().store(b"B");
    for i in 0..n {
        let parts = [
            format!("10.0.{}.{}", i / 250, i % 250),
            "-".into(),
            format!("GET /products/{i}?page=7 HTTP/1.1"),
            "https://www.example.com/search?q=lamps".into(),
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".into(),
        ];
        let at = parts.each_ref().map(|part| {
            let at = Text::raw(b.raw().len(), part.len());
            b.raw().extend_from_slice(part.as_bytes());
            b.raw().extend_from_slice(b"\" ");
            at
        });
        let mut m = b.add();
        m.set_timestamp(1_700_000_000_000_000_000 + i as i64 / 3 * 1_000_000_000);
        m.set_severity(6);
        m.add(names[0], Datum::String(at[0]));
        m.add(names[1], Datum::String(at[1]));
        m.add(names[2], Datum::String(at[2]));
        m.add(names[3], Datum::Integer(200));
        m.add_in(names[4], unit, Datum::Integer(5000 + i as i64));
        m.add(names[5], Datum::Double(i as f64 / 7.0));
        m.add(names[6], Datum::String(at[3]));
        m.add(names[7], Datum::Bytes(at[4]));
    }
    complete(&mut b, mark);
    b.finish()
}

/// Messages decoded from their bytes, signed by two.
pub fn heka(messages: &[Message]) -> Batch {
    let mut b = BatchBuilder::default();
    for (i, m) in messages.iter().enumerate() {
        let bytes = oracle::encoded(m);
        let at = b.raw().len() + 9;
        b.raw().extend_from_slice(&[&[30; 9][..], &bytes].concat());
        let (raw, messages) = b.parts();
        wire::decode(&raw[at..], Text::raw(at, bytes.len()), messages).expect("what was encoded");
        b.message(i).set_signer([&b"ops"[..], b"dev"][i % 2]);
    }
    b.finish()
}

/// Fields and values that lie in no order, and some that belong to no message any more.
pub fn edited() -> Batch {
    let mut b = BatchBuilder::default();
    let numbers = |from: i64, n: i64| (from..from + n).map(Datum::Integer).collect::<Vec<_>>();
    for i in 0..12 {
        let mut m = b.add();
        m.set_hops(i as u8);
        m.set_pid(-i as i32);
        let texts = [b"one", b"two"].map(|text| Datum::String(m.messages().store(text)));
        let name = m.messages().store(b"list");
        m.add_field(name, Text::NONE, ValueType::Integer, &numbers(i, i % 4));
        m.add_field(name, Text::EMPTY, ValueType::String, &texts);
        m.add_bool(b"flag", i % 2 == 0);
        m.add_field(name, name, ValueType::Double, &[]);
    }
    b.message(3).add_integer(b"late", 7);
    b.message(4).remove_field(1);
    b.message(5).set_field_values(0, ValueType::Integer, &numbers(100, 5));
    b.message(11).remove_field(3);
    b.messages().put(7, 2);
    b.messages().remove(9);
    b.finish()
}
