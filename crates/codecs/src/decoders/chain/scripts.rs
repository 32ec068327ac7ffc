//! The scripts within a chain, as one.

use std::path::PathBuf;

use plugin::{Carried, Gauge, Refusal, Scripted};

use super::Chain;

/// What scripts say of themselves, as of the last time they were looked at: they can be looked at only where they
/// may be changed.
#[derive(Default)]
pub(super) struct Known {
    files: Vec<PathBuf>,
    gauges: Vec<Gauge>,
}

impl Chain {
    /// False when there is none.
    pub(super) fn look_at_scripts(&mut self) -> bool {
        let (mut known, mut any) = (Known::default(), false);
        for script in self.scripts() {
            any = true;
            known.files.extend(script.files());
            for gauge in script.gauges() {
                match known.gauges.iter_mut().find(|g| g.name == gauge.name) {
                    Some(sum) => (sum.current, sum.max, sum.cap) = (sum.current + gauge.current, sum.max + gauge.max, sum.cap + gauge.cap),
                    None => known.gauges.push(gauge),
                }
            }
        }
        self.scripts = known;
        any
    }

    fn scripts(&mut self) -> impl Iterator<Item = &mut dyn Scripted> {
        self.parts.iter_mut().filter_map(|part| part.decoder.script())
    }
}

/// Sums of their limits; their states one behind the other, each with its length before it (32 bits, little endian).
impl Scripted for Chain {
    fn files(&self) -> Vec<PathBuf> {
        self.scripts.files.clone()
    }

    fn gauges(&self) -> Vec<Gauge> {
        self.scripts.gauges.clone()
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        for script in self.scripts() {
            let state = script.save()?;
            let length = u32::try_from(state.len()).map_err(|_| "the state of a script is larger than 4 GiB".to_string())?;
            all.extend_from_slice(&length.to_le_bytes());
            all.extend_from_slice(&state);
        }
        Ok(all)
    }

    fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        let (mut all, mut rest) = (Carried::default(), saved);
        for script in self.scripts() {
            let Some((length, behind)) = rest.split_first_chunk::<4>() else { break };
            let length = u32::from_le_bytes(*length) as usize;
            let Some((state, behind)) = behind.split_at_checked(length) else {
                return Err("the saved state of a chain is damaged".to_string());
            };
            rest = behind;
            if state.is_empty() {
                continue;
            }
            let Carried { carried, reset, unsaved } = script.restore(state)?;
            all.carried.extend(carried);
            all.reset.extend(reset);
            all.unsaved.extend(unsaved);
        }
        Ok(all)
    }

    fn refusal(&self) -> Refusal {
        self.refusal
    }
}
