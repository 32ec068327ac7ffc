//! Which entries are wanted, by the rules of `journalctl`.

use std::collections::BTreeMap;

use options::{Options, Problem};

use super::entry::Entry;

/// `MESSAGE_ID` of what systemd-coredump says.
const COREDUMP: &[u8] = b"fc2e22bc6ee647b6b90729ab34a250b1";

#[derive(Default)]
pub(super) struct Filter {
    /// Names of units, with their suffix. Empty: all.
    units: Vec<Vec<u8>>,
    /// Values by field: of each field there has to be one.
    matches: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
}

impl Filter {
    pub fn new(o: &Options) -> Result<Filter, Problem> {
        let unit = |name: &String| if name.contains('.') { name.clone() } else { format!("{name}.service") };
        let mut filter = Filter { units: o.strings("units").iter().map(|name| unit(name).into_bytes()).collect(), ..Filter::default() };
        for text in o.strings("matches") {
            let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty() && name.bytes().all(allowed)) else {
                return Err(o.problem(
                    "matches",
                    format!("\"{text}\" is no match"),
                    "expected FIELD=value with a field's name in capitals, such as \"_TRANSPORT=kernel\"",
                ));
            };
            filter.matches.entry(name.into()).or_default().push(value.into());
        }
        Ok(filter)
    }

    pub fn takes(&self, entry: &Entry) -> bool {
        let of_unit = self.units.is_empty() || self.units.iter().any(|unit| is_of(entry, unit));
        of_unit && self.matches.iter().all(|(field, values)| values.iter().any(|value| entry.is(field, value)))
    }
}

/// What the unit says itself, and what those say of it who may.
fn is_of(entry: &Entry, unit: &[u8]) -> bool {
    entry.is(b"_SYSTEMD_UNIT", unit)
        || entry.is(b"UNIT", unit) && entry.is(b"_PID", b"1")
        || entry.is(b"OBJECT_SYSTEMD_UNIT", unit) && entry.is(b"_UID", b"0")
        || entry.is(b"COREDUMP_UNIT", unit) && entry.is(b"_UID", b"0") && entry.is(b"MESSAGE_ID", COREDUMP)
}
