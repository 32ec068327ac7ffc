use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use plugin::{Gauge, Scripted};

use crate::checkpoints::StateDir;
use crate::status::Standing;
use crate::supervise::contained;

/// Keeps the states of the scripts behind one input or output: its own and those of its codecs, by
/// name. They outlive the instance with the name and, with a state directory, the process.
pub(crate) struct Keeper {
    id: Arc<str>,
    standing: Standing,
    state: Option<Arc<StateDir>>,
    /// How often states are saved.
    every: Duration,
    parts: BTreeMap<String, Vec<u8>>,
    /// When each part was saved last.
    saved_at: BTreeMap<String, Duration>,
    began: Duration,
    looked_at: Duration,
    last: bool,
    gauges: BTreeMap<String, Vec<Gauge>>,
    /// Parts whose limits were read in this look.
    seen: BTreeSet<String>,
}

/// How often limits are reported.
const LOOK: Duration = Duration::from_secs(1);

/// States are saved no more often than that.
const SHORTEST: Duration = Duration::from_millis(100);

impl Keeper {
    pub fn new(id: Arc<str>, standing: Standing, state: Option<Arc<StateDir>>, every: Duration, now: Duration) -> Keeper {
        let kept = standing.shared.kept();
        let bytes = if kept.is_empty() { state.as_ref().and_then(|s| s.state(&id)).unwrap_or_default() } else { kept };
        let parts = decode(&bytes).unwrap_or_else(|| {
            log::error!(target: &id, "its saved state is damaged; its scripts start without");
            BTreeMap::new()
        });
        let every = every.max(SHORTEST);
        let (saved_at, gauges, seen) = Default::default();
        Keeper { id, standing, state, every, parts, saved_at, began: now, looked_at: now, last: false, gauges, seen }
    }

    /// What was saved of a part.
    pub fn part(&self, name: &str) -> Option<&[u8]> {
        self.parts.get(name).map(Vec::as_slice)
    }

    pub fn forget(&mut self, name: &str) {
        self.parts.remove(name);
        self.saved_at.remove(name);
    }

    /// Whether the limits of a part were ever read.
    pub fn knows(&self, part: &str) -> bool {
        self.gauges.contains_key(part)
    }

    /// When it wants to look at the scripts again.
    pub fn next(&self) -> Duration {
        self.looked_at.saturating_add(LOOK.min(self.every))
    }

    /// Begins a look; [`Keeper::visit`] for each part and [`Keeper::done`] follow.
    pub fn begin(&mut self, now: Duration, last: bool) {
        (self.looked_at, self.last) = (now, last);
        self.seen.clear();
    }

    /// Reports limits of a part, the largest of all instances, and saves its state under `key`
    /// (empty: it is not remembered).
    pub fn visit(&mut self, part: &str, key: &str, script: &mut dyn Scripted) {
        let gauges = contained(|| script.gauges()).unwrap_or_default();
        match self.gauges.get_mut(part).filter(|_| !self.seen.insert(part.to_string())) {
            None => drop(self.gauges.insert(part.to_string(), gauges)),
            Some(known) => known.iter_mut().zip(gauges).for_each(|(k, g)| {
                k.current = k.current.max(g.current);
                k.max = k.max.max(g.max);
            }),
        }
        let saved_at = self.saved_at.get(key).copied().unwrap_or(self.began);
        if key.is_empty() || !(self.last || self.looked_at.saturating_sub(saved_at) >= self.every) {
            return;
        }
        self.saved_at.insert(key.to_string(), self.looked_at);
        match contained(|| script.save()).and_then(|r| r) {
            Ok(saved) => drop(self.parts.insert(key.to_string(), saved)),
            Err(why) => log::error!(target: &self.id, "state of {part} not saved: {why}"),
        }
    }

    /// Tells the limits, and keeps what was saved.
    pub fn done(&mut self) {
        self.standing.shared.set_gauges(self.gauges.clone().into_iter().collect());
        let bytes = encode(&self.parts);
        if self.standing.shared.kept() == bytes {
            return;
        }
        if let Some(state) = &self.state {
            state.save_state(&self.id, &bytes, Vec::new());
        }
        self.standing.shared.keep(bytes);
    }
}

/// Names and states, each with its length before it (4 bytes, little endian).
fn encode(parts: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, state) in parts.iter().filter(|(_, state)| !state.is_empty()) {
        for bytes in [name.as_bytes(), state] {
            out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
            out.extend_from_slice(&bytes[..u32::try_from(bytes.len()).map_or(0, |n| n as usize)]);
        }
    }
    out
}

fn decode(mut bytes: &[u8]) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut parts = BTreeMap::new();
    let take = |bytes: &mut &[u8]| {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let (taken, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        *bytes = rest;
        Some(taken.to_vec())
    };
    while !bytes.is_empty() {
        let name = String::from_utf8(take(&mut bytes)?).ok()?;
        parts.insert(name, take(&mut bytes)?);
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_and_damage_is_noticed() {
        let parts = BTreeMap::from([("encoder".to_string(), vec![1, 2, 3]), ("output".to_string(), vec![0])]);
        let bytes = encode(&parts);
        assert_eq!(decode(&bytes), Some(parts));
        for cut in 1..bytes.len() {
            let whole = decode(&bytes[..cut]);
            assert!(whole.is_none() || whole.unwrap().len() == 1, "{cut}");
        }
        assert_eq!(decode(b"\xff\xff\xff\xff"), None);
    }
}
