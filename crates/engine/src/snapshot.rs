use std::hash::{BuildHasher, RandomState};

use serde_json::{Value, json};

use crate::checkpoints::StateDir;
use crate::origin::Positions;
use crate::status::Standing;

/// A filter's state with the place in its stream that it belongs to, as it is kept over restarts.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Snapshot {
    pub positions: Positions,
    /// Everything of its own below this number of the journal is part of the state.
    pub journal: u64,
    /// How many of the messages it injected have a number, see [`crate::identity::Identity`].
    pub injected: u64,
    pub state: Vec<u8>,
}

/// What a snapshot begins with; a file that does not is a state without a place.
const MAGIC: &[u8] = b"nilometer snapshot 1\n";

impl Snapshot {
    /// What the filter of this name saved last: in an earlier process, or before it left.
    pub fn of(filter: &str, state: Option<&StateDir>, standing: &Standing) -> Snapshot {
        let Some(state) = state else { return Snapshot { state: standing.shared.kept(), ..Snapshot::default() } };
        let bytes = state.state(filter).unwrap_or_default();
        Snapshot::decode(&bytes).unwrap_or_else(|| {
            log::error!(target: filter, "its saved state is damaged; it starts without");
            // Numbers that were given are not to be given again.
            Snapshot { injected: RandomState::new().hash_one(filter) >> 8, ..Snapshot::default() }
        })
    }

    /// The magic, the length of the head (4 bytes, little endian), the head in JSON, the state.
    pub fn encode(&self) -> Vec<u8> {
        let head = json!({ "positions": self.positions.json(), "journal": self.journal, "injected": self.injected }).to_string();
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(&self.state);
        bytes
    }

    /// A damaged head leaves a snapshot without its place: then nothing is known of the state either.
    pub fn decode(bytes: &[u8]) -> Option<Snapshot> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return Some(Snapshot { state: bytes.to_vec(), ..Snapshot::default() }) };
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (head, state) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        let head: Value = serde_json::from_slice(head).ok()?;
        let (positions, journal) = (Positions::parse(head.get("positions")?)?, head.get("journal")?.as_u64()?);
        // Earlier versions numbered none.
        let injected = head.get("injected").map_or(Some(0), Value::as_u64)?;
        Some(Snapshot { positions, journal, injected, state: state.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::{Origin, Part};

    #[test]
    fn a_snapshot_comes_back_and_damage_is_noticed() {
        let mut positions = Positions::default();
        positions.advance(&Origin { input: "input.a".into(), reached: vec![Part { life: 7, from: 0, to: 9 }] });
        let snapshot = Snapshot { positions, journal: 12, injected: 5, state: b"state".to_vec() };
        let bytes = snapshot.encode();
        assert_eq!(Snapshot::decode(&bytes), Some(snapshot));
        for cut in MAGIC.len()..bytes.len() - b"state".len() {
            assert_eq!(Snapshot::decode(&bytes[..cut]), None);
        }
        assert_eq!(Snapshot::decode(b"old"), Some(Snapshot { state: b"old".to_vec(), ..Snapshot::default() }));
    }
}
