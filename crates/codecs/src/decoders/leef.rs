//! The Log Event Extended Format, in which products report to QRadar.
//!
//! `LEEF:2.0|vendor|product|version|event|delimiter|key=value…`, versions 1.0 and 2.0, as IBM's *QRadar LEEF guide*
//! describes it. For LEEF within syslog: `chain` with `syslog` and this decoder. ArcSight's format is `cef`.

use memchr::{memchr, memmem};
use message::Messages;
use options::Opt;
use plugin::{BuildCx, DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use super::event::{Event, event_options, severity};
use super::fields::Piece;
use super::types::excerpt;

pub const KIND: Kind = Kind::decoder("leef", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Leef(Event::new(o)?))))
    .summary("Reads events in the Log Event Extended Format.")
    .doc(
        "The parts of the header become the fields `leefVersion`, `deviceVendor`, `deviceProduct`, `deviceVersion` and `eventId`, the \
         attributes fields of their names. They stand between tabs or, in version 2.0, what the header says. `sev` gives the Severity \
         too: 6 for 0 to 3, 4 for 4 to 6, 3 for 7 and 8, 2 for 9 and 10. What stands before `LEEF:` becomes the field `before`.",
    )
    .options(event_options![
        Opt::strings("timestamp").default("devTime").doc(
            "Attributes whose value is the Timestamp, if it can be read: milliseconds since 1970, RFC 3339, `Nov 14 2023 22:13:20.123 UTC` \
             and the like.",
        ),
        Opt::strings("hostname").default("identHostName").doc("Attributes whose value is the Hostname."),
    ])
    .examples(&[Example { title: "All values text, the record kept", toml: "typed = false\nkeep_payload = true" }]);

struct Leef(Event);

const PARTS: [&str; 5] = ["leefVersion", "deviceVendor", "deviceProduct", "deviceVersion", "eventId"];

impl Decoder for Leef {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, cx: &DecodeCx) -> Result<(), Reject> {
        let bytes = record.bytes();
        let Some(start) = memmem::find(bytes, b"LEEF:") else {
            return Err(Reject::new(format!("found {}, expected `LEEF:`", excerpt(bytes))));
        };
        let event = &mut self.0;
        let mut m = event.begin(&record, out);
        let before = bytes[..start].trim_ascii();
        if !before.is_empty() {
            event.part(&mut m, &record, "before", Piece::Here(before))?;
        }
        let mut at = start + 5;
        let version = at;
        for name in PARTS {
            let Some(n) = memchr(b'|', &bytes[at..]) else {
                return Err(Reject::new(format!("at byte {}: found the end, expected `|` behind `{name}`", bytes.len())));
            };
            event.part(&mut m, &record, name, Piece::Here(&bytes[at..at + n]))?;
            at += n + 1;
        }
        let (delimiter, behind) = if bytes[version] == b'2' { delimiter(&bytes[at..]) } else { (b'\t', 0) };
        at += behind;
        while at < bytes.len() {
            let end = memchr(delimiter, &bytes[at..]).map_or(bytes.len(), |n| at + n);
            let attribute = bytes[at..end].trim_ascii();
            if let Some(sign) = memchr(b'=', attribute) {
                let (key, value) = (attribute[..sign].trim_ascii_end(), &attribute[sign + 1..]);
                if key == b"sev" {
                    severity(value).into_iter().for_each(|n| m.set_severity(n));
                }
                event.key(&mut m, &record, Piece::Here(key), Piece::Here(value), cx.now)?;
            } else if !attribute.is_empty() {
                return Err(Reject::new(format!("at byte {at}: found {}, expected key=value", excerpt(attribute))));
            }
            at = end + 1;
        }
        Ok(())
    }
}

/// The character between attributes, and the length of what says so: it may be left out, empty, a character or its
/// number such as `x5E` or `0x5E`.
fn delimiter(bytes: &[u8]) -> (u8, usize) {
    let Some(end) = memchr(b'|', &bytes[..bytes.len().min(6)]) else { return (b'\t', 0) };
    let hexadecimal = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    match &bytes[..end] {
        [] => (b'\t', 1),
        [one] => (*one, 2),
        [b'x', digits @ ..] | [b'0', b'x', digits @ ..] => hexadecimal(digits).map_or((b'\t', 0), |byte| (byte, end + 1)),
        _ => (b'\t', 0),
    }
}

#[cfg(test)]
mod tests {
    use message::{Batch, Value};
    use proptest::prelude::*;
    use testkit::plugins::{decode, decoder};

    use super::*;

    fn read(record: &[u8]) -> Result<Batch, String> {
        let (batch, rejects) = decode(&mut *decoder(&KIND, "").unwrap(), &[record]);
        rejects.into_iter().next().map_or(Ok(batch), Err)
    }

    #[test]
    fn both_versions_are_read() {
        for start in
            ["LEEF:1.0|IBM|QRadar|7|500|", "LEEF:2.0|IBM|QRadar|7|500|\t|", "LEEF:2.0|IBM|QRadar|7|500||", "LEEF:2.0|IBM|QRadar|7|500|"]
        {
            for (from, to) in [("\t", "\t"), ("^", "^"), ("^", "x5E"), ("^", "0x5e")] {
                if from != "\t" && !start.contains("2.0") || from == "^" && !start.ends_with("|\t|") {
                    continue;
                }
                let header = start.replace("|\t|", &format!("|{to}|"));
                let record = format!(
                    "host {header}src=10.0.0.1{from}sev=8{from}usrName=Ann B{from}{from}devTime=Nov 14 2023 22:13:20{from}url=a=b{from}"
                );
                let batch = read(record.as_bytes()).unwrap_or_else(|e| panic!("{e} in {record:?}"));
                let m = batch.get(0);
                assert_eq!((m.severity(), m.timestamp()), (3, 1_700_000_000_000_000_000), "{record:?}");
                let value = |name: &str| m.value(name.as_bytes(), 0, 0);
                assert_eq!((value("usrName"), value("url")), (Some(Value::String(b"Ann B")), Some(Value::String(b"a=b"))));
                assert_eq!(
                    (value("deviceProduct"), value("eventId"), value("before")),
                    (Some(Value::String(b"QRadar")), Some(Value::String(b"500")), Some(Value::String(b"host")))
                );
            }
        }
    }

    #[test]
    fn refusals_say_where_and_what() {
        let error = |record: &str| read(record.as_bytes()).unwrap_err();
        assert_eq!(error("LEEF:1.0|a"), "at byte 10: found the end, expected `|` behind `deviceVendor`");
        assert_eq!(error("LEEF:1.0|a|b|c|d|x"), "at byte 17: found `x`, expected key=value");
        assert_eq!(error("CEF:0"), "found `CEF:0`, expected `LEEF:`");
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(record in prop::collection::vec(prop_oneof![prop::sample::select(&b"a=|\tx2 1"[..]), any::<u8>()], 0..60), whole: bool) {
            let start: &[u8] = if whole { b"LEEF:2.0|a|b|c|d|" } else { b"LEEF:" };
            let (batch, rejects) = decode(&mut *decoder(&KIND, "").unwrap(), &[&[start, &record].concat()]);
            prop_assert_eq!(batch.len() + rejects.len(), 1);
        }
    }
}
