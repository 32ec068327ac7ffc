//! What headers are called outside: in JSON objects and in templates.

use message::Header;

/// Headers and their names, in the order in which they are written.
pub(super) const NAMES: [(Header, &str); 9] = [
    (Header::Timestamp, "timestamp"),
    (Header::Type, "type"),
    (Header::Logger, "logger"),
    (Header::Hostname, "hostname"),
    (Header::Severity, "severity"),
    (Header::Pid, "pid"),
    (Header::EnvVersion, "env_version"),
    (Header::Uuid, "uuid"),
    (Header::Payload, "payload"),
];

/// What stands before the name of a field that is called like a header.
pub(super) const FIELDS: &str = "fields.";

/// The header of this name.
#[inline]
pub(super) fn header(name: &[u8]) -> Option<Header> {
    // Most names have another length or another first letter than any of these.
    const FIRST: &[u8] = b"tlhspeu";
    if !(3..=11).contains(&name.len()) || !FIRST.contains(&name[0]) {
        return None;
    }
    NAMES.iter().find(|(_, known)| known.as_bytes() == name).map(|(header, _)| *header)
}
