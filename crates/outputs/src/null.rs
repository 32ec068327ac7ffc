//! The `null` output: takes everything and keeps nothing.
//!
//! For measuring what the rest of a pipeline costs, and for trying matchers. Messages are not even
//! encoded; how many there were is in the output's `received` and `delivered` counters.

use plugin::{Kind, OutBatch, OutCx, Output, Stability};

pub const KIND: Kind = Kind::output("null", Stability::Stable, |_, _| Ok(Box::new(Null)))
    .summary("Takes every message and keeps none; the counters tell how many there were.")
    .doc("For measuring the rest of a pipeline and for trying matchers. Messages are not encoded.");

struct Null;

impl Output for Null {
    fn write(&mut self, batch: &OutBatch<'_>, cx: &mut OutCx<'_>) {
        cx.done(0..batch.len());
    }

    fn wants_bytes(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use plugin::Verdict;
    use testkit::deliver::{Delivery, payloads};

    #[test]
    fn everything_is_delivered() {
        let mut null = Delivery::new(testkit::plugins::output(&super::KIND, "").unwrap());
        assert_eq!(null.write(&payloads(["a", "b"])), [Verdict::Done, Verdict::Done]);
        assert_eq!(null.write(&payloads([""; 0])), []);
    }
}
