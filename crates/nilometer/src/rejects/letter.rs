use message::{MessageRef, Value};
use options::unit::show_size;

/// A dead letter.
pub struct Letter<'a> {
    pub plugin: String,
    pub reason: String,
    /// Nanoseconds since the UNIX epoch.
    pub time: i64,
    pub original: Original<'a>,
}

/// What was refused.
pub enum Original<'a> {
    /// In its wire form.
    Message(&'a [u8]),
    Record(&'a [u8]),
    /// It is not there whole, and why.
    Not(String),
}

impl<'a> Letter<'a> {
    /// None: it is none.
    pub fn of(m: MessageRef<'a>) -> Option<Letter<'a>> {
        let text = |name: &[u8]| match m.value(name, 0, 0) {
            Some(Value::String(s) | Value::Bytes(s)) => String::from_utf8_lossy(s).into_owned(),
            _ => String::new(),
        };
        (m.type_() == engine::REJECT_TYPE.as_bytes()).then(|| Letter {
            plugin: text(b"plugin"),
            reason: text(b"reason"),
            time: m.timestamp(),
            original: original(m),
        })
    }
}

fn original(m: MessageRef<'_>) -> Original<'_> {
    if matches!(m.value(b"truncated", 0, 0), Some(Value::Bool(true))) {
        return Original::Not(format!(
            "the original was longer than {}, and only the beginning of it was kept",
            show_size(engine::REJECT_KEEP as u64)
        ));
    }
    match m.value(b"original", 0, 0) {
        Some(Value::Bytes(wire)) => whole(wire),
        // In JSON, what is not UTF-8 became U+FFFD.
        Some(Value::String(_)) => {
            Original::Not("they were kept as JSON, which cannot hold an original message: keep them with the encoder heka".to_string())
        }
        // A filter or output refuses messages, which have a type; an input refuses records.
        _ if m.field(b"original_type", 0).is_some() => Original::Not("the original was not kept".to_string()),
        // What a transform refuses may be what it was to hide.
        _ if m.payload().is_empty() => Original::Not("nothing of the original was kept".to_string()),
        _ => Original::Record(m.payload()),
    }
}

fn whole(wire: &[u8]) -> Original<'_> {
    match message::wire::validate(wire) {
        Ok(()) => Original::Message(wire),
        Err(e) => Original::Not(format!("the original is damaged: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use message::{BatchBuilder, Datum};

    use super::*;

    fn kind(m: MessageRef<'_>) -> String {
        match Letter::of(m).map(|l| l.original) {
            None => "none".to_string(),
            Some(Original::Message(wire)) => format!("message of {}", wire.len()),
            Some(Original::Record(record)) => format!("record {}", String::from_utf8_lossy(record)),
            Some(Original::Not(why)) => why,
        }
    }

    #[test]
    fn originals_are_messages_or_records_or_not_whole() {
        let mut b = BatchBuilder::default();
        b.add().set_payload(b"original");
        let mut wire = Vec::new();
        message::wire::encode(b.finish().get(0), &mut wire);
        b.add().set_payload(b"no dead letter");
        let mut letter = |original: Option<&[u8]>, as_text: bool, truncated: bool, typed: bool| {
            let mut m = b.add();
            m.set_type(engine::REJECT_TYPE.as_bytes());
            m.set_payload(b"payload");
            if typed {
                m.add_string(b"original_type", b"t");
            }
            if let Some(original) = original {
                let (name, value) = (m.messages().store(b"original"), m.messages().store(original));
                m.add(name, if as_text { Datum::String(value) } else { Datum::Bytes(value) });
            }
            if truncated {
                m.add_bool(b"truncated", true);
            }
        };
        letter(Some(&wire), false, false, true);
        letter(None, false, false, false);
        letter(None, false, true, false);
        letter(Some(&wire), true, false, true);
        letter(None, false, false, true);
        letter(Some(b"\xff"), false, false, true);
        let batch = b.finish();
        let kinds: Vec<String> = batch.iter().map(kind).collect();
        assert_eq!(kinds[..3], ["none".to_string(), format!("message of {}", wire.len()), "record payload".to_string()]);
        for (kind, said) in kinds[3..].iter().zip(["longer than 1 MiB", "kept as JSON", "was not kept", "is damaged"]) {
            assert!(kind.contains(said), "{kind}: {said}");
        }
    }
}
