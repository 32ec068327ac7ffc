//! The record as it is, as Payload.
//!
//! For text that nothing has to be known about, or that a filter takes apart later. It never
//! refuses a record.

use message::Messages;
use options::{Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Kind, Record, Reject, Stability};

pub const KIND: Kind = Kind::decoder("none", Stability::Stable, build)
    .summary("Takes the record as it is.")
    .doc("The Payload is the record; nothing is read from it and no record is refused.");

fn build(_: &Options, _: &BuildCx) -> Result<Box<dyn Decoder>, Problem> {
    Ok(Box::new(None))
}

struct None;

impl Decoder for None {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        out.add().set_payload_text(record.at());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_the_payload() {
        let (batch, rejects) = testkit::plugins::decode(&mut *testkit::plugins::decoder(&KIND, "").unwrap(), &[b"a", b"\xff\n"]);
        assert_eq!((batch.get(0).payload(), batch.get(1).payload(), rejects.len()), (&b"a"[..], &b"\xff\n"[..], 0));
    }
}
