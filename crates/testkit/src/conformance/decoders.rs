//! Decoders: any record is decoded or refused, at a cost in proportion to its length.

use message::{BatchBuilder, Text};
use plugin::{DecodeCx, Decoder, Kind, Record};

use super::{Contract, try_on};
use crate::garbage;

/// Decodes one record behind others, as the engine does. Returns the bytes of memory its messages
/// take and why it was refused, if it was.
///
/// # Panics
/// When the contract is broken.
pub fn decode(decoder: &mut dyn Decoder, record: &[u8]) -> (usize, Option<String>) {
    let mut builder = BatchBuilder::default();
    builder.add().set_payload(b"before");
    builder.raw().extend_from_slice(&[b"before", record, b"after"].concat());
    let before = builder.bytes();
    let (raw, messages) = builder.parts();
    let at = Record::new(&raw[6..6 + record.len()], Text::raw(6, record.len()));
    let refused = decoder.decode(at, messages, &DecodeCx { now: 1_700_000_000_000_000_000 }).err();
    let cost = builder.bytes() - before;
    let added = builder.len() - 1;
    if let Some(why) = &refused {
        assert!(!why.0.is_empty() && why.0.len() < 1_000, "a reason of {} bytes: {:.300}", why.0.len(), why.0);
        builder.messages().truncate(1);
    } else {
        assert!(added > 0, "neither a message nor a reason");
    }
    let batch = builder.finish();
    assert_eq!(batch.get(0).payload(), b"before");
    if refused.is_none() {
        batch.iter().for_each(|m| {
            garbage::read(m);
        });
    }
    (cost, refused.map(|r| r.0.into_owned()))
}

/// Damaged records are decoded or refused.
///
/// # Panics
/// When they do other harm.
pub fn survive_garbage(contract: &Contract, kind: &'static Kind) {
    for toml in contract.configurations(kind) {
        let decoder = std::cell::RefCell::new(contract.decoder(kind, &toml));
        try_on(300, &garbage::record(), |record| {
            decode(&mut **decoder.borrow_mut(), &record);
        });
    }
}

/// A record of 1 MiB, made to hurt, takes no more than 64 MiB.
///
/// # Panics
/// When it takes more.
pub fn stay_within_bounds(contract: &Contract, kind: &'static Kind) {
    for toml in contract.configurations(kind) {
        let mut decoder = contract.decoder(kind, &toml);
        for record in garbage::hostile() {
            let (cost, _) = decode(&mut *decoder, &record);
            let start = String::from_utf8_lossy(&record[..40]);
            assert!(cost <= 64 << 20, "{cost} bytes for a record of {} that begins with {start:?}, in\n{toml}", record.len());
        }
    }
}

/// What was refused leaves no trace in what comes after it.
///
/// # Panics
/// When it does.
pub fn forget_what_they_refused(contract: &Contract, kind: &'static Kind) {
    for toml in contract.configurations(kind) {
        let mut used = contract.decoder(kind, &toml);
        for record in garbage::RECORDS.iter() {
            let refused = decode(&mut *used, b"{\"a\":{\"time\":\"x\",\"b\":\"\\u00\xff level=").1;
            let fresh = decode(&mut *contract.decoder(kind, &toml), record);
            assert_eq!(decode(&mut *used, record).1, fresh.1, "after {refused:?}");
        }
    }
}
