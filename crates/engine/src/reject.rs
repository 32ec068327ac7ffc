use matcher::Matcher;
use message::{BatchBuilder, MessageRef};

/// Type of the messages that keep what was refused. They reach only consumers whose matcher names
/// this type, never those that match everything.
pub(crate) const TYPE: &str = "nilometer.reject";

/// Whether a matcher names rejects.
pub(crate) fn wanted_by(matcher: &Matcher) -> bool {
    matcher.names_type(TYPE)
}

/// Longest original kept in a reject, in bytes.
const KEEP: usize = 64 << 10;

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
        Original::Record(bytes) => m.set_payload(&bytes[..bytes.len().min(KEEP)]),
        Original::Message(message) => {
            m.set_payload(&message.payload()[..message.payload().len().min(KEEP)]);
            m.add_string(b"original_type", message.type_());
            let mut wire = Vec::new();
            message::wire::encode(message, &mut wire);
            if wire.len() <= KEEP {
                let (name, value) = (m.messages().store(b"original"), m.messages().store(&wire));
                m.add(name, message::Datum::Bytes(value));
            }
        }
    }
}
