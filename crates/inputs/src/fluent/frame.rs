use msgpack::{Item, Reader, Wrong};

/// One message of the [forward protocol](https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1): events with a tag.
pub struct Frame<'a> {
    pub tag: &'a [u8],
    pub entries: Entries<'a>,
    /// What the sender wants to hear back once the events are accepted.
    pub chunk: Option<&'a [u8]>,
}

/// Events as they lie in a message.
pub enum Entries<'a> {
    /// The time and record of a single one.
    One(&'a [u8]),
    /// An array of arrays.
    List(&'a [u8]),
    /// Arrays one after the other, compressed with gzip if so.
    Packed { bytes: &'a [u8], gzip: bool },
}

/// An event without its tag.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Entry<'a> {
    /// Nanoseconds since 1970; 0: not said.
    pub time: i64,
    /// A map, unless the sender is wrong.
    pub record: &'a [u8],
}

impl<'a> Frame<'a> {
    /// # Errors
    /// What is not a message of the protocol.
    pub fn read(bytes: &'a [u8]) -> Result<Frame<'a>, Wrong> {
        let mut r = Reader::new(bytes);
        let n = r.array("a message: an array")?;
        if !(2..=4).contains(&n) {
            return Err(r.expected("a message of two to four parts"));
        }
        let tag = r.text("a tag")?;
        let (mut entries, parts) = match r.peek()? {
            Item::Array(_) => (Entries::List(r.raw()?), 2),
            Item::Text(bytes) | Item::Bytes(bytes) => {
                r.item()?;
                (Entries::Packed { bytes, gzip: false }, 2)
            }
            _ => {
                let start = r.at();
                r.raw()?;
                r.raw()?;
                (Entries::One(&bytes[start..r.at()]), 3)
            }
        };
        let mut chunk = None;
        if n > parts {
            chunk = options(&mut r, &mut entries)?;
        }
        if !r.is_done() {
            return Err(r.expected("the end of the message"));
        }
        Ok(Frame { tag, entries, chunk })
    }
}

/// The last part of a message. Returns the chunk.
fn options<'a>(r: &mut Reader<'a>, entries: &mut Entries<'a>) -> Result<Option<&'a [u8]>, Wrong> {
    /// A longer one is not sent back.
    const LONGEST: usize = 256;
    if r.peek()? == Item::Nil {
        r.item()?;
        return Ok(None);
    }
    let mut chunk = None;
    for _ in 0..r.map("options")? {
        match r.text("the name of an option")? {
            b"chunk" => {
                let text = r.text("a chunk: text")?;
                if text.len() > LONGEST {
                    return Err(r.expected("a chunk of at most 256 bytes in front of this"));
                }
                chunk = Some(text);
            }
            b"compressed" => match (r.text("a compression")?, &mut *entries) {
                (b"text", _) => {}
                (b"gzip", Entries::Packed { gzip, .. }) => *gzip = true,
                _ => return Err(r.expected("events packed as text or gzip in front of this")),
            },
            _ => {
                r.raw()?;
            }
        }
    }
    Ok(chunk)
}

/// The next event of a list or of those that are packed.
///
/// # Errors
/// What is none.
pub fn entry<'a>(r: &mut Reader<'a>) -> Result<Entry<'a>, Wrong> {
    if r.array("an event: time and record")? != 2 {
        return Err(r.expected("an event of two parts"));
    }
    parts(r)
}

/// Time and record.
///
/// # Errors
/// What is none.
pub fn parts<'a>(r: &mut Reader<'a>) -> Result<Entry<'a>, Wrong> {
    // Fluent Bit may put metadata beside the time.
    let time = if let Item::Array(2) = r.peek()? {
        r.item()?;
        let time = time(r)?;
        r.raw()?;
        time
    } else {
        time(r)?
    };
    Ok(Entry { time, record: r.raw()? })
}

fn time(r: &mut Reader<'_>) -> Result<i64, Wrong> {
    let wrong = r.expected("a time: seconds or EventTime");
    let second = |n: i64| n.checked_mul(1_000_000_000);
    let ns = match r.item()? {
        Item::Nil => Some(0),
        Item::Integer(n) => second(n),
        Item::Double(n) if n.abs() < 9e9 => Some((n * 1e9) as i64),
        // EventTime: seconds and nanoseconds.
        Item::Extension(0, &[a, b, c, d, e, f, g, h]) => {
            second(u32::from_be_bytes([a, b, c, d]).into()).and_then(|s| s.checked_add(u32::from_be_bytes([e, f, g, h]).into()))
        }
        _ => None,
    };
    ns.ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn bytes(value: serde_json::Value) -> Vec<u8> {
        rmp_serde::to_vec(&value).unwrap()
    }

    fn event(seconds: u32, ns: u32) -> Vec<u8> {
        [&b"\xd7\x00"[..], &seconds.to_be_bytes(), &ns.to_be_bytes()].concat()
    }

    #[test]
    fn modes_are_told_apart() {
        let message = bytes(json!(["a.b", 7, {"k": 1}, {"chunk": "c1"}]));
        let frame = Frame::read(&message).unwrap();
        assert_eq!((frame.tag, frame.chunk), (&b"a.b"[..], Some(&b"c1"[..])));
        let Entries::One(one) = frame.entries else { panic!("one") };
        assert_eq!(parts(&mut Reader::new(one)), Ok(Entry { time: 7_000_000_000, record: b"\x81\xa1k\x01" }));
        let list = bytes(json!(["t", [[1, {}], [2, {}]]]));
        assert!(matches!(Frame::read(&list).unwrap(), Frame { entries: Entries::List(_), chunk: None, .. }));
        let packed = bytes(json!(["t", "xyz", {"size": 3, "compressed": "gzip", "chunk": "q"}]));
        let frame = Frame::read(&packed).unwrap();
        assert!(matches!(frame.entries, Entries::Packed { bytes: b"xyz", gzip: true }) && frame.chunk == Some(b"q"));
    }

    #[test]
    fn times_of_every_kind() {
        let at = |time: &[u8]| parts(&mut Reader::new(&[time, b"\x80"].concat())).map(|e| e.time);
        assert_eq!(at(&event(1_700_000_000, 123_456_789)), Ok(1_700_000_000_123_456_789));
        assert_eq!(at(&bytes(json!(1.5))), Ok(1_500_000_000));
        assert_eq!(at(b"\xc0"), Ok(0));
        // As Fluent Bit has it, with metadata.
        assert_eq!(at(&[&b"\x92"[..], &event(5, 6), b"\x80"].concat()), Ok(5_000_000_006));
        assert!(at(b"\xa1x").is_err() && at(b"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff").is_err() && at(b"\xd5\x00ab").is_err());
    }

    #[test]
    fn what_is_no_message_is_told() {
        for (wrong, why) in [
            (json!(7), "at byte 0: expected a message: an array"),
            (json!([1]), "at byte 1: expected a message of two to four parts"),
            (json!([1, 2]), "at byte 1: expected a tag"),
            (json!(["t", [], {}, 3]), "at byte 5: expected the end of the message"),
            (json!(["t", [], 3]), "at byte 4: expected options"),
            (json!(["t", [], {"compressed": "gzip"}]), "at byte 21: expected events packed as text or gzip in front of this"),
        ] {
            assert_eq!(Frame::read(&bytes(wrong)).err().unwrap().to_string(), why);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_not(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..0xc0u8], 0..50)) {
            let bytes = [&b"\x93\xa1t"[..], &bytes].concat();
            if let Ok(Frame { entries: Entries::List(raw) | Entries::One(raw), .. }) = Frame::read(&bytes) {
                let mut r = Reader::new(raw);
                while entry(&mut r).is_ok() {}
                prop_assert!(r.at() <= raw.len());
            }
        }
    }
}
