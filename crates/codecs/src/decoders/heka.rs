//! Heka's protobuf messages.
//!
//! For records that the `heka` splitter found, and for datagrams that hold one message each.

use message::{Messages, wire};
use options::{Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Kind, Record, Reject, Stability};

pub const KIND: Kind = Kind::decoder("heka", Stability::Stable, build)
    .summary("Reads Heka's protobuf messages.")
    .doc("All headers and fields are as sent. Use it with the splitter `heka` on streams, or `none` on datagrams without framing.");

fn build(_: &Options, _: &BuildCx) -> Result<Box<dyn Decoder>, Problem> {
    Ok(Box::new(Heka))
}

struct Heka;

impl Decoder for Heka {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        wire::decode(record.bytes(), record.at(), out).map_err(|e| Reject::new(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_and_others_refused() {
        let mut decoder = testkit::plugins::decoder(&KIND, "").unwrap();
        let (batch, rejects) = testkit::plugins::decode(&mut *decoder, &[b"\x10\x07\x1a\x04TEST", b"\x1a\x04TEST"]);
        assert_eq!((batch.len(), batch.get(0).timestamp(), batch.get(0).type_()), (1, 7, &b"TEST"[..]));
        assert_eq!(rejects, ["offset 6: the message ends, expected the required timestamp (field 2)"]);
    }
}
