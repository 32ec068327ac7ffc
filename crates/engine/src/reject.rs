use matcher::Matcher;
use message::{BatchBuilder, MessageRef};

/// Type of the messages that keep what was refused. They reach only consumers whose matcher names
/// this type, never those that match everything.
pub const TYPE: &str = "nilometer.reject";

/// Whether a matcher names rejects.
pub(crate) fn wanted_by(matcher: &Matcher) -> bool {
    matcher.names_type(TYPE)
}

/// Longest original kept in a reject, in bytes: a record, or the wire form of a message. Of a longer one the beginning is
/// kept, of a message that of its payload, and the reject has a field `truncated`.
pub const KEEP: usize = 1 << 20;

/// Of a message that is kept whole, as much of the payload is beside it, in bytes: for people.
const SHOWN: usize = 64 << 10;

/// What was refused.
pub(crate) enum Original<'a> {
    Record(&'a [u8]),
    Message(MessageRef<'a>),
}

/// Adds a reject to `out`: reason and plugin as fields, the original record as payload or, for a
/// message, its wire form as field `original`.
pub(crate) fn add(out: &mut BatchBuilder, plugin: &str, reason: &str, original: Original<'_>, now: i64, hostname: &str) {
    let mut m = out.add();
    m.set_type(TYPE.as_bytes());
    m.set_timestamp(now);
    m.set_logger(plugin.as_bytes());
    m.set_hostname(hostname.as_bytes());
    m.add_string(b"reason", reason.as_bytes());
    m.add_string(b"plugin", plugin.as_bytes());
    match original {
        Original::Record(bytes) => {
            m.set_payload(beginning(bytes, KEEP));
            if bytes.len() > KEEP {
                m.add_bool(b"truncated", true);
            }
        }
        Original::Message(message) => {
            m.add_string(b"original_type", message.type_());
            let mut wire = Vec::new();
            message::wire::encode(message, &mut wire);
            if wire.len() <= KEEP {
                m.set_payload(beginning(message.payload(), SHOWN));
                let (name, value) = (m.messages().store(b"original"), m.messages().store(&wire));
                m.add(name, message::Datum::Bytes(value));
            } else {
                m.set_payload(beginning(message.payload(), KEEP));
                m.add_bool(b"truncated", true);
            }
        }
    }
}

fn beginning(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[..bytes.len().min(most)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::Value;

    #[test]
    fn what_is_cut_says_so() {
        let mut b = BatchBuilder::default();
        for len in [10, SHOWN + 1, KEEP] {
            b.add().set_payload(&vec![b'x'; len]);
        }
        let (originals, mut out) = (b.finish(), BatchBuilder::default());
        originals.iter().for_each(|m| add(&mut out, "output.a", "no", Original::Message(m), 0, "host"));
        add(&mut out, "input.a", "no", Original::Record(&vec![b'x'; KEEP]), 0, "host");
        add(&mut out, "input.a", "no", Original::Record(&vec![b'x'; KEEP + 1]), 0, "host");
        let rejects = out.finish();
        let seen = |m: MessageRef<'_>| {
            let truncated = matches!(m.value(b"truncated", 0, 0), Some(Value::Bool(true)));
            (m.payload().len(), m.field(b"original", 0).is_some(), truncated)
        };
        let expected = [(10, true, false), (SHOWN, true, false), (KEEP, false, true), (KEEP, false, false), (KEEP, false, true)];
        assert_eq!(rejects.iter().map(seen).collect::<Vec<_>>(), expected);
    }
}
