//! Batches frozen and thawed: nothing is lost, and nothing that is damaged can be read wrongly enough to panic.

mod batches;
mod damage;

use batches::{edited, heka, lines, nginx};
use message::frozen::{Freezer, Mapping, thaw};
use message::{Batch, BatchBuilder, MessageRef, Pool, Selection, Ticket};
use proptest::prelude::*;
use testkit::{garbage, oracle};

/// Everything of a message, as text: a double may be NaN.
fn whole(m: MessageRef<'_>) -> String {
    let representations: Vec<_> = m.fields().map(|f| f.representation()).collect();
    format!("{:?} {:?} {:?} {:?}", oracle::read(m), m.signer(), m.severity(), representations)
}

/// Freezes, thaws and compares the messages asked for.
fn round_trip(freezer: &mut Freezer, pool: &Pool, batch: &Batch, selection: &Selection) -> Batch {
    let frozen = freezer.freeze(batch, selection);
    let bytes = frozen.parts.concat();
    assert_eq!(bytes.len(), frozen.size());
    let thawed = thaw(&bytes, pool).expect("what was frozen");
    match frozen.mapping {
        Mapping::Same => assert_eq!(thawed.len(), batch.len()),
        Mapping::Compact(_) => assert_eq!(thawed.len(), selection.len()),
    }
    let there = frozen.mapping.selection(selection);
    assert!(there.end() <= thawed.len());
    let (before, after): (Vec<_>, Vec<_>) = (batch.selected(selection).map(whole).collect(), thawed.selected(&there).map(whole).collect());
    assert_eq!(before, after);
    assert!(selection.iter().map(|i| frozen.mapping.index(i)).eq(there.iter().map(Some)));
    thawed
}

/// As [`round_trip`], of all, half, some and none of the messages; what was thawed can be frozen.
fn every_way(batch: &Batch) {
    let (freezer, pool) = (&mut Freezer::default(), &Pool::new());
    let every = |n: usize| (0..batch.len() as u32).step_by(n).collect::<Selection>();
    for selection in [batch.all(), every(1), every(2), every(3), every(7), Selection::of(&[])] {
        round_trip(freezer, pool, batch, &selection);
    }
    let thawed = round_trip(freezer, pool, batch, &every(3));
    round_trip(freezer, pool, &thawed, &thawed.all());
}

proptest! {
    #[test]
    fn any_batch_is_thawed_as_it_was(batch in garbage::batch(), wanted in proptest::collection::vec(any::<bool>(), 16)) {
        let wanted: Vec<u32> = (0..batch.len()).filter(|i| wanted[i % wanted.len()]).map(|i| i as u32).collect();
        let (freezer, pool) = (&mut Freezer::default(), &Pool::new());
        round_trip(freezer, pool, &batch, &Selection::of(&wanted));
        round_trip(freezer, pool, &batch, &batch.all());
    }

    #[test]
    fn decoded_messages_are_thawed_as_they_were(messages in proptest::collection::vec(oracle::any_message(), 0..8)) {
        every_way(&heka(&messages));
    }
}

#[test]
fn batches_as_inputs_make_them() {
    for batch in [lines(1300), nginx(100), edited(), garbage::samples(), BatchBuilder::default().finish()] {
        every_way(&batch);
    }
}

#[test]
fn plain_lines_take_few_bytes_beside_the_raw_block() {
    let batch = lines(1300);
    let mut freezer = Freezer::default();
    let frozen = freezer.freeze(&batch, &Selection::All(1300));
    assert!(frozen.parts[0].len() + frozen.parts[2].len() < 1300 * 2 + 200);
    assert_eq!(frozen.parts[1].as_ptr(), batch.get(0).payload().as_ptr());
}

#[test]
fn the_whole_batch_is_frozen_when_most_of_it_is_selected_or_copies_are_larger() {
    let (batch, mut freezer) = (lines(10), Freezer::default());
    let few = Selection::of(&[1, 3, 5, 7]);
    let half = Selection::of(&[1, 3, 5, 7, 9]);
    assert!(matches!(freezer.freeze(&batch, &half).mapping, Mapping::Same));
    assert!(matches!(freezer.freeze(&batch, &few).mapping, Mapping::Compact(_)));

    let mut b = BatchBuilder::default();
    let shared = b.messages().store(&[b'x'; 10_000]);
    (0..10).for_each(|_| b.add().set_payload_text(shared));
    let batch = b.finish();
    let frozen = freezer.freeze(&batch, &few);
    assert!(matches!(frozen.mapping, Mapping::Same) && frozen.size() < 11_000);
    round_trip(&mut Freezer::default(), &Pool::new(), &batch, &few);
}

#[test]
fn what_no_message_has_may_point_at_nothing() {
    let mut b = BatchBuilder::default();
    b.raw().extend_from_slice(b"record type name");
    let (type_, name) = (message::Text::raw(7, 4), message::Text::raw(12, 4));
    let mut refused = b.add();
    refused.set_type_text(type_);
    refused.add(name, message::Datum::Integer(1));
    b.messages().truncate(0);
    b.raw().truncate(6);
    b.add().set_payload_text(message::Text::raw(0, 6));
    every_way(&b.finish());
}

#[test]
fn identities_are_the_same_in_reused_memory() {
    let pool = Pool::new();
    let mut b = BatchBuilder::new(pool.clone());
    (0..9).for_each(|i| b.add().set_pid(i));
    let batch = b.finish_with(Ticket::none());
    let mut freezer = Freezer::default();
    for selection in [batch.all(), Selection::of(&[2, 6])] {
        for _ in 0..3 {
            let thawed = round_trip(&mut freezer, &pool, &batch, &selection);
            assert!(thawed.spans().is_empty());
        }
    }
}
