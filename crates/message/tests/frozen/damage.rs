//! What the disk may give back.

use message::frozen::{Freezer, FrozenError, thaw};
use message::{Batch, Pool};
use proptest::prelude::*;
use testkit::{garbage, oracle};

use crate::batches::{edited, heka, lines, nginx};

fn frozen(batch: &Batch) -> Vec<u8> {
    Freezer::default().freeze(batch, &batch.all()).parts.concat()
}

/// Reads everything of every message, if there are any.
fn read_all(bytes: &[u8], pool: &Pool) {
    let Ok(batch) = thaw(bytes, pool) else { return };
    for m in batch.iter() {
        garbage::read(m);
        let _ = (m.signer(), m.envelope(), format!("{m:?}"));
        m.fields().for_each(|f| assert_eq!(f.values().count(), f.len()));
    }
    let mut again = Freezer::default();
    let half = (0..batch.len() as u32).step_by(3).collect();
    let bytes = again.freeze(&batch, &half).parts.concat();
    thaw(&bytes, pool).expect("what was frozen");
}

fn small() -> Vec<Batch> {
    let message = oracle::read(garbage::samples().get(1));
    vec![lines(3), nginx(2), heka(&[message.clone(), message]), edited(), garbage::samples()]
}

#[test]
fn no_cut_batch_is_thawed() {
    for bytes in small().iter().map(frozen) {
        for cut in 0..bytes.len() {
            assert_eq!(thaw(&bytes[..cut], &Pool::default()).err(), Some(FrozenError::Short), "{cut} of {}", bytes.len());
        }
        assert_eq!(thaw(&[&bytes[..], b"xy"].concat(), &Pool::default()).err(), Some(FrozenError::Long(2)));
    }
}

#[test]
fn a_changed_byte_is_refused_or_does_no_harm() {
    let pool = Pool::new();
    for mut bytes in small().iter().map(frozen) {
        for at in 0..bytes.len() {
            for change in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                bytes[at] ^= change;
                read_all(&bytes, &pool);
                bytes[at] ^= change;
            }
        }
    }
}

#[test]
fn other_versions_are_refused() {
    let mut bytes = frozen(&lines(1));
    bytes[0] = 2;
    let error = thaw(&bytes, &Pool::default()).unwrap_err();
    assert_eq!(error.to_string(), "frozen batch: found version 2, expected 1: another version of the program wrote it");
}

/// A table of 2^32 rows would not fit into memory.
#[test]
fn counts_without_bytes_are_refused_before_memory_is_taken() {
    const SEED: usize = 17;
    for batch in small() {
        let bytes = frozen(&batch);
        // The counts: a column of seven integers above a least one.
        let (width, least) = ([0, 1, 2, 4, 8][usize::from(bytes[SEED] & 15)], usize::from(bytes[SEED] >> 4));
        assert!(least <= 1, "the least count is small");
        let base = if least == 1 { u32::from(bytes[SEED + 1] >> 1) } else { 0 };
        let end = SEED + 1 + least + 7 * width;
        let counts: Vec<u32> = bytes[SEED + 1 + least..end]
            .chunks(width)
            .map(|above| above.iter().rev().fold(0, |n, byte| n << 8 | u32::from(*byte)) + base)
            .collect();
        let with = |counts: &[u32]| {
            let counts: Vec<u8> = counts.iter().flat_map(|n| n.to_le_bytes()).collect();
            thaw(&[&bytes[..SEED], &[3], &counts, &bytes[end..]].concat(), &Pool::default())
        };
        assert_eq!(with(&counts).map(|b| b.len()), Ok(batch.len()));
        for changed in 0..7 {
            for count in [u32::MAX, u32::MAX - 1, 1 << 31, counts[changed] + 1] {
                let mut counts = counts.clone();
                counts[changed] = count;
                assert!(with(&counts).is_err(), "count {changed} is {count}");
            }
        }
    }
}

proptest! {
    #[test]
    fn changed_batches_are_refused_or_do_no_harm(
        batch in garbage::batch(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = frozen(&batch);
        // Most of what can be believed wrongly lies in front.
        let tables = bytes.len().min(700);
        for (at, byte) in changes {
            bytes[at.index(tables)] = byte;
        }
        read_all(&bytes, &Pool::default());
    }
}
