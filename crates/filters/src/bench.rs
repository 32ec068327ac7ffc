//! How tests of filters call them.

use std::sync::Arc;

use message::{Batch, BatchBuilder};
use plugin::{Clock, Filter, FilterCx, Meter};

/// Feeds a whole batch at time 0; returns what was counted.
pub(crate) fn feed(filter: &mut dyn Filter, batch: &Arc<Batch>) -> Meter {
    feed_at(filter, batch, 0).0
}

/// As [`feed`], at a time in nanoseconds; also what was sent at once.
pub(crate) fn feed_at(filter: &mut dyn Filter, batch: &Arc<Batch>, at: i64) -> (Meter, Batch) {
    let (mut out, meter) = (BatchBuilder::default(), Meter::default());
    let cx = FilterCx { clock: &Clock::standing(at), meter: &meter };
    filter.messages(batch, &batch.all(), &mut out, &cx).unwrap();
    (meter, out.finish())
}

/// A tick due at this time in nanoseconds.
pub(crate) fn tick(filter: &mut dyn Filter, due: i64, last: bool) -> Batch {
    let (mut out, meter) = (BatchBuilder::default(), Meter::default());
    let cx = FilterCx { clock: &Clock::standing(due), meter: &meter };
    filter.tick(due, last, &mut out, &cx).unwrap();
    out.finish()
}
