use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use matcher::Parts;
use options::{Options, Problem};
use plugin::{Build, BuildCx};

use crate::plan::{ConsumerPlan, Spec};
use crate::queue::Work;

/// Most instances of an output: each is a thread and a connection.
const MOST: i64 = 256;

/// How many instances of an output deliver at once.
pub(super) fn lanes(spec: &Spec) -> usize {
    if spec.kind.concurrent { spec.options.integer("concurrency").clamp(1, MOST) as usize } else { 1 }
}

/// What cannot be about `concurrency` of an output.
pub(crate) fn objection(output: &ConsumerPlan, cx: &BuildCx) -> Option<Problem> {
    let (spec, o) = (&output.spec, &output.spec.options);
    if !o.declares("concurrency") || o.integer("concurrency") == 1 {
        return None;
    }
    if !(1..=MOST).contains(&o.integer("concurrency")) {
        return Some(o.problem("concurrency", "`concurrency` is out of range", format!("expected 1 to {MOST}")));
    }
    if !spec.kind.concurrent {
        let title = format!("an output of type `{}` cannot deliver several batches at once", spec.kind.name);
        return Some(
            o.problem("concurrency", title, "expected 1")
                .help("remove `concurrency`: it is for outputs that wait for answers, such as http"),
        );
    }
    let encoder = output.encoder.as_ref()?;
    let Build::Encoder(build) = encoder.kind.build else { return None };
    // What is wrong with the encoder itself is said elsewhere.
    let scripted = build(&encoder.options, &BuildCx { check_only: true, ..cx.clone() }).is_ok_and(|mut e| e.script().is_some());
    let help = "use an encoder that is no script, or remove `concurrency`";
    scripted.then(|| o.problem("concurrency", "an encoder that is a script has one state only", "expected 1").help(help))
}

/// What says which messages of an output must stay in order: those that are equal in all of these parts. Empty when none must.
pub(super) struct Order(Parts);

/// Bytes of a value that are looked at.
const LONGEST: usize = 1024;

impl Order {
    /// By `order_by`.
    pub fn of(o: &Options) -> Order {
        Order(Parts::new(o.strings("order_by")))
    }

    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Shares work out to lanes, each of which gets its part in order.
    pub fn split(&self, work: Work, lanes: usize) -> Vec<(usize, Work)> {
        let (mut shares, mut key): (Vec<Vec<u32>>, _) = (vec![Vec::new(); lanes], Vec::new());
        for index in work.selection.iter() {
            self.0.key(work.batch.get(index), LONGEST, &mut key);
            let hash = FixedState::with_seed(0).hash_one(&key);
            shares[(hash % lanes as u64) as usize].push(index as u32);
        }
        if let Some(only) = shares.iter().position(|share| share.len() == work.selection.len()) {
            return vec![(only, work)];
        }
        shares.into_iter().enumerate().filter(|(_, share)| !share.is_empty()).map(|(lane, share)| (lane, work.part(share))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use message::BatchBuilder;

    use super::*;
    use crate::queue::tests::work;

    #[test]
    fn messages_of_a_key_stay_together_and_in_order_and_none_is_lost() {
        let mut b = BatchBuilder::default();
        for i in 0..300u32 {
            let mut m = b.add();
            m.set_hostname(format!("host{}", i % 10).as_bytes());
            m.add_integer(b"user", i64::from(i % 3));
        }
        let batch = Arc::new(b.finish());
        let order = Order(Parts::new(&["Hostname", "user"]));
        let shares = order.split(Work { selection: batch.all(), batch: batch.clone(), ..work(1) }, 4);
        let mut lanes = BTreeMap::new();
        let mut all: Vec<usize> = Vec::new();
        for (lane, share) in &shares {
            let indices: Vec<usize> = share.selection.iter().collect();
            assert!(indices.is_sorted());
            assert!(indices.iter().all(|i| lanes.insert(i % 30, lane).is_none_or(|before| before == lane)));
            all.extend(indices);
        }
        all.sort_unstable();
        assert_eq!((all, shares.len()), ((0..300).collect(), 4));
        let same = Order(Parts::new(&["missing"])).split(Work { selection: batch.all(), batch, ..work(1) }, 4);
        assert!(same.len() == 1 && same[0].1.selection.len() == 300);
    }
}
