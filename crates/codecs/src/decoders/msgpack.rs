//! One map of MessagePack a record.
//!
//! For what programs write or send in MessagePack, one value a datagram, message or file. Members become
//! fields by their names, except for the well-known ones that become headers (see [`super::headers`]).
//! Fluentd's protocol is more than that: there is an input for it.

use message::Messages;
use msgpack::{Flatten, Reader};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use super::fields::within;
use super::headers::{HeaderMap, header_options};

pub const KIND: Kind = Kind::decoder("msgpack", Stability::Stable, build)
    .summary("Reads maps of MessagePack.")
    .doc(
        "A member becomes a field of its name and type: integers of 64 bits exactly, binary data as bytes, timestamps as nanoseconds since \
         1970. Members of nested maps are named by the path to them; what lies deeper than `max_depth` becomes JSON text, in a field with the \
         representation `json`. An array of values of one type becomes a field of several values, any other array JSON text. `nil` and empty \
         maps are left out. Anything that is not exactly one map is refused.",
    )
    .options(header_options![
        Opt::string("separator").default(".").doc("What joins the names on the path to a nested member."),
        Opt::integer("max_depth").default("8").doc("Depth to which nested maps are taken apart, 1 to 64; 1 takes none apart."),
        super::fields::MAX_FIELDS,
    ])
    .examples(&[
        Example { title: "What the well-known names say becomes headers", toml: "timestamp = \"at\"\nseverity = \"loglevel\"" },
        Example { title: "Keep nested maps as text", toml: "max_depth = 1" },
    ]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Decoder>, Problem> {
    let flatten = Flatten::new(o.str("separator"), within(o, "max_depth", 1, 64)?, within(o, "max_fields", 1, 1_000_000)?);
    Ok(Box::new(Msgpack { headers: HeaderMap::new(o), flatten }))
}

struct Msgpack {
    headers: HeaderMap,
    flatten: Flatten,
}

impl Decoder for Msgpack {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        self.headers.begin();
        let mut m = out.add();
        if self.headers.keep_payload {
            m.set_payload_text(record.at());
        }
        let (headers, mut reader) = (&mut self.headers, Reader::new(record.bytes()));
        let read = self.flatten.flatten(&mut reader, &mut m, &mut |m, name, value, text| headers.take(m, name, value, text));
        read.map_err(|why| Reject::new(why.to_string()))?;
        if reader.is_done() { Ok(()) } else { Err(Reject::new(reader.expected("the end").to_string())) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use testkit::plugins::decode;

    use super::*;

    fn decoded(toml: &str, bytes: &[u8]) -> Result<message::Batch, String> {
        let (batch, rejects) = decode(&mut *testkit::plugins::decoder(&KIND, toml).unwrap(), &[bytes]);
        rejects.into_iter().next().map_or(Ok(batch), Err)
    }

    #[test]
    fn members_become_headers_and_fields() {
        let map = json!({"ts": 1700000000, "level": "warn", "msg": "hello", "host": "h1", "n": -5, "http": {"status": 200, "deep": {"x": 1}}, "l": [1, 2]});
        let batch = decoded("max_depth = 2", &rmp_serde::to_vec(&map).unwrap()).unwrap();
        let m = batch.get(0);
        assert_eq!((m.timestamp(), m.severity(), m.payload(), m.hostname()), (1_700_000_000_000_000_000, 4, &b"hello"[..], &b"h1"[..]));
        let field = |name: &str, nth| m.value(name.as_bytes(), 0, nth);
        assert_eq!((field("n", 0), field("http.status", 0)), (Some(message::Value::Integer(-5)), Some(message::Value::Integer(200))));
        assert_eq!((field("http.deep", 0), field("l", 1)), (Some(message::Value::String(b"{\"x\":1}")), Some(message::Value::Integer(2))));
    }

    #[test]
    fn what_is_not_one_map_is_refused() {
        for (bytes, why) in [
            (&b"\x01"[..], "at byte 0: expected a map"),
            (b"\x81\xa1a", "at byte 3: found the end, expected a value of MessagePack"),
            (b"\x80\x80", "at byte 1: expected the end"),
            (b"\x81\xa1a\xc1", "at byte 3: found 0xc1, expected a value of MessagePack"),
            (b"\x82\xa1a\x01\xa1b\x02", "found more than 1 fields; `max_fields` raises that"),
        ] {
            assert_eq!(decoded("max_fields = 1", bytes).unwrap_err(), why);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..0xc0u8], 0..60)) {
            prop_assert!(decoded("", &bytes).map_or(1, |batch| batch.len()) == 1);
        }
    }
}
