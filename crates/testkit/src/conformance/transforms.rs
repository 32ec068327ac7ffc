//! Transforms: any message is kept, dropped or refused, and what is kept can be read.

use message::{Batch, BatchBuilder};
use plugin::{Kind, Transform, Transformed};

use super::{Contract, try_on};
use crate::garbage;

/// Applies it to every message, as the engine does.
///
/// # Panics
/// When the contract is broken.
pub fn apply(transform: &mut dyn Transform, batch: &Batch) {
    let mut builder = BatchBuilder::default();
    for m in batch.iter() {
        builder.copy(m);
        let index = builder.len() - 1;
        let (raw, messages) = builder.parts();
        let outcome = transform.transform(raw, messages, index);
        assert_eq!(messages.len(), index + 1, "a transform adds and removes no messages");
        match outcome {
            Ok(Transformed::Keep) => {
                garbage::read(builder.get(index));
            }
            Ok(Transformed::Drop) => builder.messages().remove(index),
            Err(why) => {
                assert!(!why.0.is_empty() && why.0.len() < 1_000, "{:.300}", why.0);
                builder.messages().remove(index);
            }
        }
    }
    builder.finish().iter().for_each(|m| {
        garbage::read(m);
    });
}

/// Messages of any content are kept, dropped or refused.
///
/// # Panics
/// When something else happens.
pub fn survive_any_message(contract: &Contract, kind: &'static Kind) {
    for toml in contract.configurations(kind) {
        let transform = std::cell::RefCell::new(contract.transform(kind, &toml));
        try_on(60, &garbage::batch(), |batch| apply(&mut **transform.borrow_mut(), &batch));
        let mut b = BatchBuilder::default();
        garbage::hostile().iter().for_each(|payload| b.add().set_payload(payload));
        apply(&mut **transform.borrow_mut(), &b.finish());
    }
}
