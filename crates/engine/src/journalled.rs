//! What a record of the journal holds: whom it is for, which messages each gets, where they come from, and the messages.
//!
//! All little endian: version (1 byte), number of consumers (2), for each its name (2 bytes length, name) and which
//! messages are its own; number of streams the messages come from (2; none: they cannot be read again), the input's name,
//! and life, beginning and end (8 bytes each) for each stream; then the frozen batch to the end.

use std::sync::Arc;

use message::frozen::{Mapping, freeze_selection, thaw, thaw_selection};
use message::{Batch, Pool, Selection};

use crate::origin::{Origin, Part};

const VERSION: u8 = 1;

/// Writes what stands before the frozen batch.
pub(crate) fn encode(shares: &[(Arc<str>, Selection)], mapping: &Mapping<'_>, origin: Option<&Origin>, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.extend_from_slice(&(shares.len() as u16).to_le_bytes());
    for (consumer, selection) in shares {
        name(consumer, out);
        freeze_selection(&mapping.selection(selection), out);
    }
    let streams = origin.map_or(&[][..], |o| &o.reached);
    // Streams beyond cannot be skipped when they are read again: some messages may come twice.
    let streams = &streams[..streams.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(streams.len() as u16).to_le_bytes());
    if let Some(origin) = origin.filter(|_| !streams.is_empty()) {
        name(&origin.input, out);
        for number in streams.iter().flat_map(|part| [part.life, part.from, part.to]) {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

fn name(name: &str, out: &mut Vec<u8>) {
    let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(name);
}

/// A consumer's part of a record.
pub(crate) struct Share {
    pub selection: Selection,
    pub origin: Option<Arc<Origin>>,
}

/// What stands before the batch, as far as it concerns one consumer, and the frozen batch.
///
/// # Errors
/// What is wrong with the record.
pub(crate) fn decode<'a>(bytes: &'a [u8], consumer: &str) -> Result<(Option<Share>, &'a [u8]), String> {
    let mut rest = bytes;
    let mut own = None;
    consumers(&mut rest, |name, selection| {
        if name == consumer.as_bytes() {
            own = Some(selection);
        }
    })?;
    let streams = u16::from_le_bytes(take(&mut rest)?);
    let mut origin = None;
    if streams > 0 {
        let input = String::from_utf8_lossy(text(&mut rest)?).into();
        let mut number = || take(&mut rest).map(u64::from_le_bytes);
        let mut part = || Ok(Part { life: number()?, from: number()?, to: number()? });
        let reached = (0..streams).map(|_| part()).collect::<Result<_, String>>()?;
        origin = Some(Arc::new(Origin { input, reached }));
    }
    Ok((own.map(|selection| Share { selection, origin }), rest))
}

/// Whom a record is for, from its beginning.
///
/// # Errors
/// What is wrong with the record.
pub(crate) fn consumers(rest: &mut &[u8], mut each: impl FnMut(&[u8], Selection)) -> Result<(), String> {
    let [version] = take::<1>(rest)?;
    if version != VERSION {
        return Err(format!("a record of version {version}, expected {VERSION}: it was written by another version of nilo"));
    }
    for _ in 0..u16::from_le_bytes(take(rest)?) {
        let name = text(rest)?;
        each(name, thaw_selection(rest).map_err(|e| e.to_string())?);
    }
    Ok(())
}

/// The messages of a record.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn batch(frozen: &[u8], share: &Share, pool: &Pool) -> Result<Batch, String> {
    let batch = thaw(frozen, pool).map_err(|e| e.to_string())?;
    match share.selection.end() <= batch.len() {
        true => Ok(batch),
        false => Err(format!("a record of {} messages of which number {} is wanted", batch.len(), share.selection.end())),
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], String> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or("a record that ends too soon")?;
    *bytes = rest;
    Ok(*taken)
}

fn text<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let len = u16::from_le_bytes(take(bytes)?);
    let (taken, rest) = bytes.split_at_checked(usize::from(len)).ok_or("a record that ends too soon")?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::BatchBuilder;
    use message::frozen::Freezer;

    #[test]
    fn each_consumer_finds_its_own_messages() {
        let mut b = BatchBuilder::default();
        (0..10u8).for_each(|n| b.add().set_payload(&[n]));
        let b = b.finish();
        let shares = [("output.a".into(), Selection::of(&[1, 7])), ("output.b".into(), Selection::of(&[7]))];
        let mut freezer = Freezer::default();
        let (wanted, origin) = (
            Selection::of(&[1, 7]),
            Origin { input: "input.x".into(), reached: vec![Part { life: 1, from: 0, to: 2 }, Part { life: 3, from: 1, to: 4 }] },
        );
        let frozen = freezer.freeze(&b, &wanted);
        let mut bytes = Vec::new();
        encode(&shares, &frozen.mapping, Some(&origin), &mut bytes);
        frozen.parts.iter().for_each(|part| bytes.extend_from_slice(part));

        for (consumer, expected) in [("output.a", vec![1, 7]), ("output.b", vec![7])] {
            let (share, frozen) = decode(&bytes, consumer).unwrap();
            let share = share.unwrap();
            let batch = batch(frozen, &share, &Pool::default()).unwrap();
            assert_eq!(batch.selected(&share.selection).map(|m| m.payload()[0]).collect::<Vec<_>>(), expected);
            assert_eq!(share.origin.as_deref(), Some(&origin));
        }
        assert!(decode(&bytes, "output.c").unwrap().0.is_none());
        for cut in 0..40 {
            let _ = decode(&bytes[..cut], "output.a").map(|(share, rest)| share.map(|s| batch(rest, &s, &Pool::default()).is_err()));
        }
    }
}
