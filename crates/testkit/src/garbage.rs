//! What a plugin may be fed by the world: records of every format, damaged ones, hostile ones, and
//! messages of any content.

use std::sync::LazyLock;

use message::{Batch, BatchBuilder, MessageRef, framing};
use proptest::prelude::*;

use crate::oracle;

/// A record of 1 MiB is what inputs take unless they are told otherwise.
pub const LONG: usize = 1 << 20;

/// Valid records of the formats that decoders and splitters know.
pub static RECORDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut records: Vec<Vec<u8>> = [
        r#"{"time":"2024-02-29T23:59:60Z","level":"warn","msg":"a \"b\"\n\u00e9","n":[1,2.5],"http":{"status":500,"ok":true,"x":{"y":{}}},"z":null}"#,
        r#"ts=2024-01-02T03:04:05Z level=info msg="two words \u0041" took=1.5e+3 n=-7 ok= flag"#,
        r#"10.0.0.1 - ann [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 200 2326 "http://r/" "Mozilla/5.0 (X11)""#,
        r#"10.0.0.1 - - [29/Feb/2024:23:59:59 +0000] "\x16\x03\x01" 400 - "-" "-" 1709251199.123"#,
        "a.b:1|c|@0.1\nlatency:3.5|ms\nusers:ann|s\ng:-3|g",
        "page.views:1:2:3|ms|@0.5|#env:prod,canary,name:x|c:0123456789",
        "2024-01-02 03:04:05 [error] it took 1.5s",
        "<34>1 2003-10-11T22:14:15.003Z host app 123 ID47 - message",
        "java.lang.Error: no\n\tat A.b(A.java:1)\nCaused by: x\nnext",
        "password=hunter2 card 4111 1111 1111 1111 ann@example.org 10.1.2.3 Bearer abc.def",
        "",
        "\n\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    records.push(b"\0\xff\xfe\xc3\x28\x80 not utf-8 \x1b[31m".to_vec());
    let batch = samples();
    for m in batch.iter() {
        let mut bytes = Vec::new();
        message::wire::encode(m, &mut bytes);
        let mut framed = Vec::new();
        framing::write(&bytes, None, &mut framed).expect("a header that fits");
        records.extend([bytes, framed]);
    }
    records
});

/// Long records that ask for more than their length: of memory, of time or of stack.
pub fn hostile() -> Vec<Vec<u8>> {
    let mut records: Vec<Vec<u8>> =
        [b'a', b' ', b'\n', b'[', b'{', b'"', b'\\', b'=', b':', b'|', b'0', b'-', b'\x1e', b'\xff'].map(|byte| vec![byte; LONG]).to_vec();
    let repeated = |piece: &str| piece.repeat(LONG / piece.len()).into_bytes();
    records.extend(["{\"a\":", "[1,", "a=1 ", "a.b:1|c\n", "4111 1111 ", "\x1e\x02\x08\x7f", "\\u0000", "a=\"", "1.2.3.4@"].map(repeated));
    // A short member below a long name, many times over.
    let members: Vec<String> = (0..1000).map(|i| format!("\"{i}\":{i}")).collect();
    records.push(format!("{{\"{}\":{{{}}}}}", "a".repeat(LONG - 20_000), members.join(",")).into_bytes());
    // Every value has all tags.
    let half = LONG / 2;
    records.push(format!("a:{}1|ms|#{}t", "1:".repeat(half / 2), "t,".repeat(half / 2)).into_bytes());
    // Deep, and closed again.
    records.push(["{\"a\":".repeat(half / 6), "1".into(), "}".repeat(half / 6)].concat().into_bytes());
    records.push([b"[".repeat(half), b"]".repeat(half)].concat());
    records
}

/// A record of a known format with a few changes, or arbitrary bytes.
pub fn record() -> impl Strategy<Value = Vec<u8>> {
    let sample = || any::<prop::sample::Index>().prop_map(|i| RECORDS[i.index(RECORDS.len())].clone());
    let place = any::<prop::sample::Index>;
    let damaged = (sample(), proptest::collection::vec((place(), any::<u8>()), 0..5), place()).prop_map(|(mut bytes, changes, cut)| {
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let cut = cut.index(bytes.len() * 2 + 1);
        bytes.truncate(cut);
        bytes
    });
    let spliced = (sample(), place(), sample(), place()).prop_map(|(mut a, at, b, from)| {
        a.truncate(at.index(a.len() + 1));
        a.extend_from_slice(&b[from.index(b.len() + 1)..]);
        a
    });
    prop_oneof![1 => sample(), 4 => damaged, 2 => spliced, 1 => proptest::collection::vec(any::<u8>(), 0..300)]
}

/// Several records with newlines, or anything else, between them.
pub fn stream() -> impl Strategy<Value = Vec<u8>> {
    let between = prop_oneof![3 => Just(b"\n".to_vec()), 1 => Just(b"\r\n".to_vec()), 1 => Just(b"\n ".to_vec()), 1 => Just(Vec::new())];
    proptest::collection::vec((record(), between), 0..8).prop_map(|all| all.into_iter().flat_map(|(a, b)| [a, b].concat()).collect())
}

/// Messages of any content, those of [`samples`] among them.
pub fn batch() -> impl Strategy<Value = Batch> {
    proptest::collection::vec(oracle::any_message(), 0..6).prop_map(|messages| {
        let mut all = BatchBuilder::default();
        for m in &messages {
            all.copy(oracle::build(m).get(0));
        }
        samples().iter().for_each(|m| {
            all.copy(m);
        });
        all.finish()
    })
}

/// Messages such as the decoders make them, and one with nothing in it.
pub fn samples() -> Batch {
    let mut b = BatchBuilder::default();
    b.add();
    let mut access = b.add();
    access.set_type(b"nginx.access");
    access.set_hostname(b"web1");
    access.set_timestamp(1_700_000_000_000_000_000);
    access.set_severity(6);
    access.set_pid(-1);
    access.set_payload(b"GET /\x1b[31m\n\xff{}%\"\\");
    access.add_integer(b"status", 502);
    access.add_double(b"took", 0.25);
    access.add_string(b"remote_addr", b"10.0.0.1");
    access.add_string(b"remote_addr", b"../../etc");
    access.add_bool(b"payload", true);
    for (kind, value) in [("counter", 1.0), ("gauge", -3.5), ("gauge_delta", 2.0), ("timer", 12.0)] {
        let mut sample = b.add();
        sample.set_type(b"statsd");
        sample.add_string(b"name", b"a.b c/d");
        sample.add_string(b"kind", kind.as_bytes());
        sample.add_double(b"value", value);
        sample.add_double(b"rate", 0.5);
        sample.add_string(b"env", b"prod");
    }
    let mut odd = b.add();
    odd.set_type(b"");
    odd.set_payload(b"");
    for value in [f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, -0.0] {
        odd.add_double(b"x", value);
    }
    odd.add_integer(b"", i64::MIN);
    b.finish()
}

/// Reads everything of a message, as a consumer might; returns the bytes there are.
pub fn read(m: MessageRef<'_>) -> usize {
    oracle::read(m);
    m.size()
}
