use twox_hash::XxHash3_64;

use crate::uuid::{GOLDEN, mix};
use crate::{FieldRef, Header, MessageRef, Value};

/// Hashes what messages of one batch say: everything but Timestamp, Uuid and hops, which are others whenever a message
/// is made anew. The order of fields does not count either: a script's table has none.
///
/// XXH3-64 of each text with the hash of what is before it as seed, and a step of SplitMix64 for each number: the same
/// content has the same hash on every machine and with every build. Fields are added up.
#[derive(Clone, Debug)]
pub struct ContentHash {
    start: u64,
    /// The envelope met last, and the hash up to its end.
    envelope: Option<(u32, u64)>,
    /// The labels that fields had last time, by the field's place, and their hashes.
    labels: [Option<(u32, u64)>; LABELS],
}

/// Most messages have no more fields.
const LABELS: usize = 8;

impl ContentHash {
    /// The same content of another `maker` has another hash.
    pub fn new(maker: &[u8]) -> ContentHash {
        ContentHash { start: part(0, maker), envelope: None, labels: [None; LABELS] }
    }

    /// Hash of the maker's name alone.
    pub fn maker(&self) -> u64 {
        self.start
    }

    #[inline]
    pub fn of(&mut self, m: MessageRef<'_>) -> u64 {
        let envelope = match self.envelope {
            Some((same, hash)) if same == m.envelope() => hash,
            _ => self.envelope(m),
        };
        let own = [m.has(Header::Payload), m.has(Header::Severity), m.has(Header::Pid)];
        let numbers = number(envelope ^ bits(own), u64::from(m.severity() as u32) << 32 | u64::from(m.pid() as u32));
        let fields = m.fields().enumerate().map(|(at, f)| field(self.label(at, f), f)).fold(0, u64::wrapping_add);
        number(part(numbers, m.payload()), fields)
    }

    fn envelope(&mut self, m: MessageRef<'_>) -> u64 {
        let set = [Header::Type, Header::Logger, Header::EnvVersion, Header::Hostname].map(|header| m.has(header));
        let parts = [m.type_(), m.logger(), m.env_version(), m.hostname(), m.signer()];
        let hash = parts.into_iter().fold(self.start ^ bits(set), part);
        self.envelope = Some((m.envelope(), hash));
        hash
    }

    #[inline]
    fn label(&mut self, at: usize, f: FieldRef<'_>) -> u64 {
        let known = &mut self.labels[at % LABELS];
        match *known {
            Some((same, hash)) if same == f.label_number() => hash,
            _ => {
                let hash = part(part(self.start, f.name()), f.representation());
                *known = Some((f.label_number(), hash));
                hash
            }
        }
    }
}

#[inline]
fn field(label: u64, f: FieldRef<'_>) -> u64 {
    let shape = (f.len() as u64) << 3 | f.type_() as u64;
    f.values().fold(label ^ shape.wrapping_mul(GOLDEN), |hash, value| match value {
        Value::String(bytes) | Value::Bytes(bytes) => part(hash, bytes),
        Value::Integer(n) => number(hash, n as u64),
        Value::Double(n) => number(hash, n.to_bits()),
        Value::Bool(b) => number(hash, u64::from(b)),
    })
}

#[inline]
fn part(hash: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(hash, bytes)
}

#[inline]
fn number(hash: u64, n: u64) -> u64 {
    mix(hash.wrapping_mul(GOLDEN).wrapping_add(n))
}

/// Which of some things are so.
fn bits<const N: usize>(set: [bool; N]) -> u64 {
    set.into_iter().fold(0, |bits, one| bits << 1 | u64::from(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchBuilder, Datum, MessageMut, Text, Uuid, ValueType};

    fn hash(write: impl FnOnce(&mut MessageMut<'_>)) -> u64 {
        let mut b = BatchBuilder::default();
        write(&mut b.add());
        ContentHash::new(b"filter.a").of(b.get(0))
    }

    #[test]
    fn everything_a_message_says_counts_and_nothing_else() {
        let plain = hash(|_| ());
        let same = hash(|m| {
            m.set_timestamp(7);
            m.set_uuid(Uuid([7; 16]));
            m.set_hops(3);
        });
        assert_eq!(plain, same);
        let two = |m: &mut MessageMut<'_>, type_, values: &[Datum]| {
            let name = m.messages().store(b"a");
            m.add_field(name, Text::NONE, type_, values);
        };
        let different = [
            plain,
            hash(|m| m.set_payload(b"")),
            hash(|m| m.set_payload(b"a")),
            hash(|m| m.set_type(b"a")),
            hash(|m| m.set_logger(b"a")),
            hash(|m| m.set_hostname(b"a")),
            hash(|m| m.set_severity(7)),
            hash(|m| m.set_severity(6)),
            hash(|m| m.set_pid(0)),
            hash(|m| m.set_pid(1)),
            hash(|m| m.add_string(b"a", b"b")),
            hash(|m| m.add_string(b"ab", b"")),
            hash(|m| m.add_string(b"", b"ab")),
            hash(|m| m.add_integer(b"a", 1)),
            hash(|m| m.add_bool(b"a", true)),
            hash(|m| m.add_double(b"a", f64::from_bits(1))),
            hash(|m| two(m, ValueType::Integer, &[])),
            hash(|m| two(m, ValueType::Integer, &[Datum::Integer(1), Datum::Integer(1)])),
            hash(|m| (0..2).for_each(|_| m.add_integer(b"a", 1))),
        ];
        let distinct: std::collections::HashSet<u64> = different.into_iter().collect();
        assert_eq!(distinct.len(), different.len());
    }

    #[test]
    fn messages_of_one_batch_are_as_those_of_many() {
        let mut b = BatchBuilder::default();
        for type_ in [b"a", b"a", b"b", b"a"] {
            b.add().set_type(type_);
        }
        let mut content = ContentHash::new(b"filter.a");
        let [a, again, other, back] = [0, 1, 2, 3].map(|i| content.of(b.get(i)));
        assert_eq!((a, a, hash(|m| m.set_type(b"b"))), (again, back, other));
        assert_ne!(ContentHash::new(b"filter.b").of(b.get(0)), a);
    }

    #[test]
    fn fields_have_no_order_and_the_hash_is_that_of_other_builds() {
        let one = hash(|m| {
            m.set_payload(b"payload");
            m.add_string(b"a", b"x");
            m.add_integer(b"b", 2);
        });
        let other = hash(|m| {
            m.set_payload(b"payload");
            m.add_integer(b"b", 2);
            m.add_string(b"a", b"x");
        });
        assert_eq!((one, other), (KNOWN, KNOWN));
    }

    /// As this code first gave it; nobody else computes it.
    const KNOWN: u64 = 11860614099502593784;
}
